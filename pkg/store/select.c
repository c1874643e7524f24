#include "store/select.h"

#include "base/alloc.h"
#include "base/text.h"
#include "store/state.h"
#include "base/banned.h"

#define CHUNK      64   // series copied at a time
#define CHUNK_LOOK 8192 // series looked at without a pause

static bool is_of(const struct kp_store_query *q, const struct kp_series *s)
{
    return (q->namespace == NULL || kp_streq(q->namespace, s->fields[KP_SERIES_NAMESPACE])) &&
           (q->service == NULL || kp_streq(q->service, s->fields[KP_SERIES_SERVICE])) &&
           (q->type == NULL || kp_streq(q->type, s->fields[KP_SERIES_TYPE]));
}

static bool selects(const struct kp_store_query *q, const struct kp_series *s)
{
    return q->selector == NULL || kp_selector_matches_fn(q->selector, kp_series_lookup, s);
}

// ---- what is decided without the lock ----

// Of the series with ids below `end`: a bit for each that the selector selects.
struct judged {
    uint32_t end;
    KP_ARRAY(uint64_t) words;
};

static void set_judged(struct judged *judged, uint32_t id)
{
    while (judged->words.n <= id / 64)
        *kp_array_add(&judged->words) = 0;
    judged->words.items[id / 64] |= UINT64_C(1) << (id % 64);
}

static bool is_judged_good(const struct judged *judged, uint32_t id)
{
    return id / 64 < judged->words.n && (judged->words.items[id / 64] >> (id % 64) & 1) != 0;
}

static size_t first_from(const struct kp_series_table *table, uint32_t id)
{
    size_t low = 0;
    size_t high = table->by_id.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (table->by_id.items[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

// The next few series from id judged->end on that it is about; moves end. False: there are no more.
static bool copy_some(struct kp_store *store, const struct kp_store_query *query, struct judged *judged,
    struct kp_series *ret[CHUNK], size_t *ret_n)
{
    const struct kp_series_table *table = &store->series;
    size_t n = 0;
    pthread_rwlock_rdlock(&store->lock);
    size_t first = first_from(table, judged->end);
    size_t at = first;
    for (; at < table->by_id.n && n < CHUNK && at - first < CHUNK_LOOK; at++) {
        const struct kp_series *s = table->by_id.items[at];
        judged->end = s->id + 1;
        if (s->n_live > 0 && is_of(query, s))
            ret[n++] = kp_series_copy(s);
    }
    bool more = at < table->by_id.n;
    pthread_rwlock_unlock(&store->lock);
    *ret_n = n;
    return more;
}

static int judge(
    struct kp_store *store, const struct kp_store_query *query, struct judged *judged, struct kp_error *err)
{
    struct kp_series *some[CHUNK];
    int rc = 0;
    bool more = query->selector != NULL && kp_selector_regex_steps(query->selector) > 0;
    while (more && rc == 0) {
        size_t n;
        more = copy_some(store, query, judged, some, &n);
        for (size_t i = 0; i < n; i++) {
            if (rc == 0)
                rc = kp_stop_check(query->stop, err);
            if (rc == 0 && selects(query, some[i]))
                set_judged(judged, some[i]->id);
            kp_series_free(some[i]);
        }
    }
    return rc;
}

// ---- the set ----

static void choose(struct kp_series_set *set, const struct kp_series_table *table,
    const struct kp_store_query *query, const struct judged *judged)
{
    if (table->by_id.n == 0)
        return;
    set->first = table->by_id.items[0]->id;
    set->n = table->by_id.items[table->by_id.n - 1]->id - set->first + 1;
    set->bits = KP_NEW_ARRAY(uint64_t, (size_t)set->n / 64 + 1);
    for (size_t i = 0; i < table->by_id.n; i++) {
        const struct kp_series *s = table->by_id.items[i];
        uint32_t bit = s->id - set->first;
        if (s->n_live == 0 || !is_of(query, s))
            continue;
        if (s->id < judged->end ? !is_judged_good(judged, s->id) : !selects(query, s))
            continue;
        set->bits[bit / 64] |= UINT64_C(1) << (bit % 64);
        set->n_chosen++;
    }
}

int kp_series_set_choose_locked(struct kp_series_set *set, struct kp_store *store,
    const struct kp_store_query *query, struct kp_error *err)
{
    struct judged judged = {0};
    *set = (struct kp_series_set){0};
    int rc = judge(store, query, &judged, err);
    if (rc == 0) {
        pthread_rwlock_rdlock(&store->lock);
        choose(set, &store->series, query, &judged);
    }
    kp_array_free(&judged.words);
    return rc;
}

bool kp_store_query_matches(const struct kp_store_query *query, const struct kp_record *record)
{
    int64_t start = record->start_ms ? record->start_ms : record->received_ms;
    if (start < query->from_ms || start >= kp_query_to_ms(query))
        return false;
    struct kp_series *series = kp_series_make(record);
    bool yes = is_of(query, series) && selects(query, series);
    kp_series_free(series);
    return yes;
}

void kp_series_set_finish(struct kp_series_set *set)
{
    kp_free(set->bits);
    *set = (struct kp_series_set){0};
}
