#include "store/select.h"

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

static bool matches(const struct kp_store_query *q, const struct kp_series *s)
{
    return (q->namespace == NULL || kp_streq(q->namespace, s->fields[KP_SERIES_NAMESPACE])) &&
           (q->service == NULL || kp_streq(q->service, s->fields[KP_SERIES_SERVICE])) &&
           (q->type == NULL || kp_streq(q->type, s->fields[KP_SERIES_TYPE])) &&
           (q->selector == NULL || kp_selector_matches_fn(q->selector, kp_series_lookup, s));
}

void kp_series_set_choose(
    struct kp_series_set *set, const struct kp_series_table *table, const struct kp_store_query *query)
{
    *set = (struct kp_series_set){0};
    if (table->by_id.n == 0)
        return;
    set->first = table->by_id.items[0]->id;
    set->n = table->by_id.items[table->by_id.n - 1]->id - set->first + 1;
    set->bits = KP_NEW_ARRAY(uint64_t, (size_t)set->n / 64 + 1);
    for (size_t i = 0; i < table->by_id.n; i++) {
        const struct kp_series *s = table->by_id.items[i];
        uint32_t bit = s->id - set->first;
        if (s->n_live == 0 || !matches(query, s))
            continue;
        set->bits[bit / 64] |= UINT64_C(1) << (bit % 64);
        set->n_chosen++;
    }
}

bool kp_store_query_matches(const struct kp_store_query *query, const struct kp_record *record)
{
    int64_t start = record->start_ms ? record->start_ms : record->received_ms;
    if (start < query->from_ms || start >= kp_query_to_ms(query))
        return false;
    struct kp_series *series = kp_series_make(record);
    bool yes = matches(query, series);
    kp_series_free(series);
    return yes;
}

void kp_series_set_finish(struct kp_series_set *set)
{
    kp_free(set->bits);
    *set = (struct kp_series_set){0};
}
