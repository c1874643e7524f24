#include "store/picks.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/text.h"
#include "store/facts.h"
#include "base/banned.h"

#define MAX_PROFILES    1000000
#define UNKNOWN_LIFE    (UINT64_C(1) << 63)
#define STOP_LOOK_EVERY 256

int kp_merge_check_stop(const struct kp_merge_query *query, struct kp_error *err)
{
    const struct kp_stop stop = {query->cancelled, query->deadline_ms};
    return kp_stop_check(&stop, err);
}

const struct kp_series *kp_pick_series(const struct kp_picks *picks, const struct kp_pick *pick)
{
    return kp_hits_series(&picks->hits, kp_pick_hit(picks, pick)->row.series);
}

// ---- pods ----

struct pod {
    uint64_t hash[2];
    uint32_t at;
    UT_hash_handle hh;
};

struct pods {
    struct pod *all;
    uint32_t n;
};

// A container of a pod; where no pod is known each series is taken for one.
static void pod_key(const struct kp_series *s, uint64_t ret[2])
{
    const char *uid = s->fields[KP_SERIES_POD_UID];
    const char *pod = uid[0] ? uid : s->fields[KP_SERIES_POD];
    for (uint64_t k = 0; k < 2; k++) {
        uint64_t h = kp_hash64_str(s->fields[KP_SERIES_NAMESPACE], k);
        h = kp_hash64_str(s->fields[KP_SERIES_SERVICE], h);
        h = pod[0] ? kp_hash64_str(pod, h) : kp_hash64_mix(h, s->id);
        ret[k] = kp_hash64_str(s->fields[KP_SERIES_CONTAINER], h);
    }
}

static uint32_t pod_of(struct pods *pods, const struct kp_series *s)
{
    uint64_t key[2];
    struct pod *pod = NULL;
    pod_key(s, key);
    HASH_FIND(hh, pods->all, key, sizeof key, pod);
    if (pod == NULL) {
        pod = KP_NEW(struct pod);
        pod->hash[0] = key[0];
        pod->hash[1] = key[1];
        pod->at = pods->n++;
        HASH_ADD(hh, pods->all, hash, sizeof pod->hash, pod);
    }
    return pod->at;
}

static void pods_finish(struct pods *pods)
{
    struct pod *pod;
    struct pod *next;
    HASH_ITER (hh, pods->all, pod, next) {
        HASH_DEL(pods->all, pod);
        kp_free(pod);
    }
}

// ---- what is known of each ----

// The facts of a sealed row are in it. KP_CORRUPT: the record cannot be read.
static int facts_of(
    struct kp_store *store, const struct kp_hit *hit, struct kp_segment_row *ret, struct kp_error *err)
{
    struct kp_record record;
    *ret = hit->row;
    if (hit->segment)
        return 0;
    int rc = kp_hit_read(store, hit, &record, NULL, err);
    if (rc != 0)
        return rc;
    kp_row_set_facts(ret, &record);
    kp_record_finish(&record);
    return 0;
}

static int check_format(const struct kp_series *s, struct kp_error *err)
{
    if (kp_streq(s->fields[KP_SERIES_FORMAT], "pprof"))
        return 0;
    char shown[64];
    const char *type = s->fields[KP_SERIES_TYPE];
    return kp_fail(err, KP_CONFLICT, "profiles of type '%s' are not pprof and cannot be merged",
        kp_printable(shown, sizeof shown, type, strlen(type)));
}

static void pick(struct kp_picks *picks, uint32_t hit, uint32_t pod, const struct kp_segment_row *row,
    const struct kp_merge_query *query)
{
    bool all_count = query->with_startup || query->plain_sum || query->n_ids > 0;
    bool is_startup = (row->flags & KP_SROW_STARTUP) != 0 && !all_count;
    picks->n_startup += is_startup;
    picks->items[picks->n++] = (struct kp_pick){
        .life = row->life != 0 ? (uint64_t)pod << 32 | row->life : UNKNOWN_LIFE | row->series,
        .start_ms = row->start_ms,
        .hit = hit,
        .pod = pod,
        .duration_ms = row->duration_ms,
        .weight = row->weight > 0 ? row->weight : 1,
        .is_startup = is_startup};
}

static int look_at_hits(
    struct kp_store *store, const struct kp_merge_query *query, struct kp_picks *picks, struct kp_error *err)
{
    struct pods pods = {0};
    const struct kp_series *series = NULL;
    uint32_t pod = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < picks->hits.n; i++) {
        const struct kp_hit *hit = &picks->hits.items[i];
        struct kp_segment_row row = hit->row;
        if (series == NULL || series->id != row.series) {
            series = kp_hits_series(&picks->hits, row.series);
            pod = pod_of(&pods, series);
            rc = check_format(series, err);
        }
        if (rc == 0 && i % STOP_LOOK_EVERY == 0)
            rc = kp_merge_check_stop(query, err);
        if (rc == 0 && (!query->plain_sum || query->equal_durations))
            rc = facts_of(store, hit, &row, err);
        if (rc == KP_CORRUPT && query->n_ids == 0) { // put aside by now
            kp_error_clear(err);
            rc = 0;
        } else if (rc == 0) {
            pick(picks, (uint32_t)i, pod, &row, query);
        }
    }
    picks->n_pods = pods.n;
    pods_finish(&pods);
    return rc;
}

// ---- as long as most ----

static int compare_durations(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool about(uint32_t duration, uint32_t common)
{
    uint32_t margin = common / 10;
    return duration >= common - margin && (uint64_t)duration <= (uint64_t)common + margin;
}

// The duration that most have within 10 %; of several the longest.
static uint32_t most_common(const struct kp_picks *picks)
{
    kp_auto_free uint32_t *all = KP_NEW_ARRAY(uint32_t, picks->n + 1);
    size_t n = 0;
    for (size_t i = 0; i < picks->n; i++)
        if (!picks->items[i].is_startup)
            all[n++] = picks->items[i].duration_ms;
    qsort(all, n, sizeof *all, compare_durations);
    uint32_t best = 0;
    size_t n_best = 0;
    size_t low = 0;
    size_t high = 0;
    for (size_t i = 0; i < n; i++) {
        while (all[low] < all[i] && !about(all[low], all[i]))
            low++;
        while (high < n && (all[high] <= all[i] || about(all[high], all[i])))
            high++;
        if (high - low >= n_best) {
            n_best = high - low;
            best = all[i];
        }
    }
    return best;
}

static void keep_equal_durations(struct kp_picks *picks)
{
    uint32_t common = most_common(picks);
    size_t n = 0;
    for (size_t i = 0; i < picks->n; i++) {
        if (picks->items[i].is_startup || about(picks->items[i].duration_ms, common))
            picks->items[n++] = picks->items[i];
        else
            picks->n_other_duration++;
    }
    picks->n = n;
}

// ---- all together ----

static void count_moments(struct kp_picks *picks)
{
    picks->n_at_a_moment = KP_NEW_ARRAY(uint32_t, picks->n_pods + 1);
    for (size_t i = 0; i < picks->n; i++)
        if (picks->items[i].duration_ms == 0 && !picks->items[i].is_startup)
            picks->n_at_a_moment[picks->items[i].pod]++;
}

static int find_hits(
    struct kp_store *store, const struct kp_merge_query *query, struct kp_hits *ret, struct kp_error *err)
{
    size_t max = query->max_profiles != 0 ? query->max_profiles : MAX_PROFILES;
    if (query->n_ids > max)
        return kp_fail(
            err, KP_LIMIT, "%zu profiles are more than can be merged at once: %zu", query->n_ids, max);
    const struct kp_stop stop = {query->cancelled, query->deadline_ms};
    struct kp_store_query select = query->select;
    select.stop = &stop;
    return query->n_ids > 0 ? kp_hits_of_ids(store, select.namespace, query->ids, query->n_ids, ret, err)
                            : kp_hits_find(store, &select, max, ret, err);
}

int kp_picks_find(
    struct kp_store *store, const struct kp_merge_query *query, struct kp_picks *ret, struct kp_error *err)
{
    struct kp_picks picks = {0};
    int rc = find_hits(store, query, &picks.hits, err);
    if (rc != 0)
        return rc;
    picks.items = KP_NEW_ARRAY(struct kp_pick, picks.hits.n + 1);
    rc = look_at_hits(store, query, &picks, err);
    if (rc == 0 && query->equal_durations)
        keep_equal_durations(&picks);
    if (rc == 0 && picks.n == 0)
        rc = picks.hits.n_damaged > 0
                 ? kp_fail(err, KP_CORRUPT, "none of the profiles that match can be read")
                 : kp_fail(err, KP_NOT_FOUND,
                       "no profile matches: check namespace, service, type, selector and times "
                       "against what the path .../services lists");
    else if (rc == 0 && picks.n == picks.n_startup)
        rc = kp_fail(err, KP_NOT_FOUND,
            "no profile matches but %zu of the first minute of a container: wait for later ones, or ask for "
            "them with startup=true",
            picks.n);
    if (rc != 0) {
        kp_picks_finish(&picks);
        return rc;
    }
    count_moments(&picks);
    *ret = picks;
    return 0;
}

static bool is_among(const uint64_t *numbers, size_t n, uint64_t number)
{
    for (size_t i = 0; i < n; i++)
        if (numbers[i] == number)
            return true;
    return false;
}

void kp_picks_leave_out(struct kp_picks *picks, const uint64_t *numbers, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < picks->n; i++) {
        if (picks->items[i].duration_ms == 0 &&
            is_among(numbers, n, kp_pick_hit(picks, &picks->items[i])->row.number))
            picks->hits.n_damaged++;
        else
            picks->items[kept++] = picks->items[i];
    }
    picks->n = kept;
    kp_free(picks->n_at_a_moment);
    count_moments(picks);
}

void kp_picks_finish(struct kp_picks *picks)
{
    kp_array_free(&picks->damaged);
    kp_hits_finish(&picks->hits);
    kp_free(picks->items);
    kp_free(picks->n_at_a_moment);
    *picks = (struct kp_picks){0};
}
