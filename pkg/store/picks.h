// Which captures go into a merge, and what is known of each before it is read. Private to this module.
#ifndef KP_STORE_PICKS_H
#define KP_STORE_PICKS_H

#include "store/hits.h"
#include "store/store.h"

struct kp_pick {
    uint64_t life; // of a container; of the series where it is not known
    int64_t start_ms;
    uint32_t hit; // of hits.items
    uint32_t pod; // 0 ..; a pod's containers count one by one
    uint32_t duration_ms;
    float weight;
    bool is_startup; // only what the counters of later captures are compared with
};

struct kp_picks {
    struct kp_hits hits;
    struct kp_pick *items; // in the order of the hits
    size_t n;
    uint32_t n_pods;
    uint32_t *n_at_a_moment; // by pod: captures that cover no window of time
    uint64_t n_startup, n_other_duration;
    bool without_rollups;       // in: one cannot be read
    bool lost_rollup;           // out, of a merge that found so
    KP_ARRAY(uint64_t) damaged; // out: numbers of those at a moment that it could not read
};

// KP_NOT_FOUND, KP_CONFLICT (a type that is not pprof), KP_LIMIT.
KP_MUST_CHECK int kp_picks_find(
    struct kp_store *store, const struct kp_merge_query *query, struct kp_picks *ret, struct kp_error *err);
// Takes out those with these numbers, as damaged: averages are over the others.
void kp_picks_leave_out(struct kp_picks *picks, const uint64_t *numbers, size_t n);
void kp_picks_finish(struct kp_picks *picks);

static inline const struct kp_hit *kp_pick_hit(const struct kp_picks *picks, const struct kp_pick *pick)
{
    return &picks->hits.items[pick->hit];
}
const struct kp_series *kp_pick_series(const struct kp_picks *picks, const struct kp_pick *pick);

// Everything just adds: asked for, or there is only one.
static inline bool kp_merge_is_plain(const struct kp_merge_query *query)
{
    return query->plain_sum || query->n_ids == 1;
}

// KP_CANCELED, KP_TIMEOUT: not to go on.
KP_MUST_CHECK int kp_merge_check_stop(const struct kp_merge_query *query, struct kp_error *err);

#endif
