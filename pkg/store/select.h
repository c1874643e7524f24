// Which series a query asks for: decided once for each, whatever number of profiles they have. Private to
// this module.
#ifndef KP_STORE_SELECT_H
#define KP_STORE_SELECT_H

#include "store/series.h"
#include "store/store.h"

struct kp_series_set {
    uint32_t first, n; // bit i stands for series first + i
    uint64_t *bits;
    size_t n_chosen;
};

struct kp_store;

// Those that match and have a profile that can be read. Locks the store for reading and leaves it locked; if
// it fails (query->stop), it is not locked and there is nothing to finish. Regular expressions, which take
// what time their author likes, are matched before, so that nobody waits for the lock meanwhile.
KP_MUST_CHECK int kp_series_set_choose_locked(struct kp_series_set *set, struct kp_store *store,
    const struct kp_store_query *query, struct kp_error *err);
void kp_series_set_finish(struct kp_series_set *set);

static inline bool kp_series_set_has(const struct kp_series_set *set, uint32_t id)
{
    uint32_t bit = id - set->first;
    return bit < set->n && (set->bits[bit / 64] >> (bit % 64) & 1) != 0;
}

// [from, to) of a query without the special cases.
static inline int64_t kp_query_to_ms(const struct kp_store_query *query)
{
    return query->to_ms != 0 ? query->to_ms : INT64_MAX;
}

#endif
