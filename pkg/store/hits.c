#include "store/hits.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "store/tier.h"
#include "base/banned.h"

// ---- one row ----

void kp_hit_set_log(struct kp_hit *hit, struct kp_logfile *file, size_t at)
{
    const struct kp_row *row = &file->rows.items[at];
    *hit = (struct kp_hit){.file = file,
        .at = (uint32_t)at,
        .row = {.start_ms = row->start_ms,
            .received_ms = row->received_ms,
            .key = {row->key[0], row->key[1]},
            .number = file->head.first + row->number_delta,
            .series = row->series,
            .body_len = row->body_len,
            .weight = 1}};
}

int kp_store_not_here(const char *id, struct kp_error *err)
{
    char shown[64];
    return kp_fail(
        err, KP_NOT_FOUND, "profile '%s' is not here", kp_printable(shown, sizeof shown, id, strlen(id)));
}

void kp_hits_hold_file(struct kp_hits *hits, struct kp_logfile *file)
{
    for (size_t i = hits->n_files; i-- > 0;)
        if (hits->files[i] == file)
            return;
    hits->files = kp_grow(hits->files, hits->n_files + 1, sizeof(struct kp_logfile *));
    hits->files[hits->n_files++] = kp_logfile_ref(file);
}

void kp_hits_hold_segment(struct kp_hits *hits, struct kp_segment *segment)
{
    for (size_t i = hits->n_segments; i-- > 0;)
        if (hits->segments[i] == segment)
            return;
    hits->segments = kp_grow(hits->segments, hits->n_segments + 1, sizeof(struct kp_segment *));
    hits->segments[hits->n_segments++] = kp_segment_ref(segment);
}

static int by_series_and_time(const void *pa, const void *pb)
{
    const struct kp_segment_row *a = &((const struct kp_hit *)pa)->row;
    const struct kp_segment_row *b = &((const struct kp_hit *)pb)->row;
    if (a->series != b->series)
        return a->series < b->series ? -1 : 1;
    if (a->start_ms != b->start_ms)
        return a->start_ms < b->start_ms ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

// ---- all that match ----

struct find {
    struct kp_store *store;
    const struct kp_store_query *query;
    struct kp_series_set chosen;
    int64_t now_ms;
    size_t max;
    struct kp_hits *hits;
    size_t cap;
};

static int add_hit(struct find *find, const struct kp_hit *hit, struct kp_error *err)
{
    struct kp_hits *hits = find->hits;
    if (hits->n == find->max)
        return kp_fail(
            err, KP_LIMIT, "more than %zu profiles match; ask for less time or fewer series", find->max);
    if (hits->n == find->cap) {
        find->cap = find->cap == 0 ? 64 : 2 * find->cap;
        hits->items = kp_grow(hits->items, find->cap, sizeof *hits->items);
    }
    hits->items[hits->n++] = *hit;
    return 0;
}

static int find_in_log(struct find *find, struct kp_logfile *file, struct kp_error *err)
{
    int64_t from = find->query->from_ms;
    int64_t to = kp_query_to_ms(find->query);
    int rc = 0;
    if (file->n_live == 0 || file->max_start_ms < from || file->min_start_ms >= to)
        return 0;
    for (size_t i = 0; rc == 0 && i < file->rows.n; i++) {
        const struct kp_row *row = &file->rows.items[i];
        if (row->start_ms < from || row->start_ms >= to || !kp_series_set_has(&find->chosen, row->series) ||
            !kp_store_row_live(find->store, file, i, find->now_ms))
            continue;
        struct kp_hit hit;
        kp_hit_set_log(&hit, file, i);
        kp_hits_hold_file(find->hits, file);
        rc = add_hit(find, &hit, err);
    }
    return rc;
}

struct find_run {
    struct find *find;
    struct kp_sealed *sealed;
    uint64_t n_taken, n_seen;
    struct kp_error *err;
};

static int find_in_run(void *user, uint32_t at, const struct kp_segment_row *row)
{
    struct find_run *run = user;
    struct find *find = run->find;
    run->n_seen++;
    if (row->start_ms < find->query->from_ms || row->start_ms >= kp_query_to_ms(find->query) ||
        !kp_sealed_row_live(find->store, run->sealed, at, row, find->now_ms))
        return 0;
    run->n_taken++;
    return add_hit(find, &(struct kp_hit){.row = *row, .segment = run->sealed->segment, .at = at}, run->err);
}

static void note_whole(struct kp_hits *hits, struct kp_segment *segment)
{
    hits->whole = kp_grow(hits->whole, hits->n_whole + 1, sizeof(struct kp_segment *));
    hits->whole[hits->n_whole++] = segment;
}

// Whether every row of every series asked for was taken.
static bool took_all(const struct find *find, const struct find_run *run)
{
    const struct kp_segment *s = run->sealed->segment;
    uint64_t n_rows = 0;
    for (uint32_t i = 0; i < s->n_runs; i++)
        if (kp_series_set_has(&find->chosen, s->runs[i].series))
            n_rows += s->runs[i].n_rows;
    return run->n_taken == n_rows;
}

static int find_in_segments(struct find *find, const struct kp_wanted *wanted_runs, struct kp_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < wanted_runs->runs.n;) {
        struct kp_sealed *sealed = wanted_runs->runs.items[i].sealed;
        struct kp_error why = {0};
        struct find_run run = {.find = find, .sealed = sealed, .err = &why};
        uint64_t n_rows = 0;
        kp_hits_hold_segment(find->hits, sealed->segment);
        for (; i < wanted_runs->runs.n && wanted_runs->runs.items[i].sealed == sealed; i++) {
            const struct kp_segment_run *r = wanted_runs->runs.items[i].run;
            n_rows += r->n_rows;
            if (rc == 0)
                rc = kp_sealed_each(sealed, r->first_row, r->n_rows, find_in_run, &run, &why);
        }
        if (rc == 0 && took_all(find, &run))
            note_whole(find->hits, sealed->segment);
        find->hits->n_damaged += rc == 0 ? n_rows - run.n_seen : 0;
        if (rc != 0)
            kp_fail(err, rc, "%s", why.text);
    }
    return rc;
}

// Copies of the series that may have hits. Lock held.
static void copy_series(struct find *find, const struct kp_wanted *wanted_runs)
{
    struct kp_hits *hits = find->hits;
    const struct kp_series_set *chosen = &find->chosen;
    kp_auto_free uint8_t *used = KP_NEW_ARRAY(uint8_t, (size_t)chosen->n + 1);
    size_t n_used = 0;
    for (size_t i = 0; i < hits->n; i++)
        used[hits->items[i].row.series - chosen->first] = 1;
    for (size_t i = 0; i < wanted_runs->runs.n; i++)
        used[wanted_runs->runs.items[i].run->series - chosen->first] = 1;
    for (uint32_t i = 0; i < chosen->n; i++)
        n_used += used[i];
    hits->series = KP_NEW_ARRAY(struct kp_series *, n_used + 1);
    for (uint32_t i = 0; i < chosen->n; i++)
        if (used[i])
            hits->series[hits->n_series++] =
                kp_series_copy(kp_series_of_id(&find->store->series, chosen->first + i));
}

// Hits are in order.
static void drop_series_without_hits(struct kp_hits *hits)
{
    size_t kept = 0;
    size_t at = 0;
    for (size_t i = 0; i < hits->n_series; i++) {
        struct kp_series *s = hits->series[i];
        while (at < hits->n && hits->items[at].row.series < s->id)
            at++;
        if (at < hits->n && hits->items[at].row.series == s->id)
            hits->series[kept++] = s;
        else
            kp_series_free(s);
    }
    hits->n_series = kept;
}

int kp_hits_find(struct kp_store *store, const struct kp_store_query *query, size_t max, struct kp_hits *ret,
    struct kp_error *err)
{
    struct kp_hits hits = {0};
    struct find find = {
        .store = store, .query = query, .now_ms = kp_store_now(store), .max = max, .hits = &hits};
    struct kp_wanted wanted_runs = {0};
    int rc = kp_series_set_choose_locked(&find.chosen, store, query, err);
    if (rc != 0)
        return rc;
    if (find.chosen.n_chosen > 0) {
        for (size_t i = 0; rc == 0 && i < store->files.n; i++)
            rc = find_in_log(&find, store->files.items[i], err);
        kp_wanted_gather(&wanted_runs, store, &find.chosen, query);
        copy_series(&find, &wanted_runs);
    }
    pthread_rwlock_unlock(&store->lock);
    if (rc == 0)
        rc = find_in_segments(&find, &wanted_runs, err);
    kp_wanted_finish(&wanted_runs);
    kp_series_set_finish(&find.chosen);
    if (rc != 0) {
        kp_hits_finish(&hits);
        return rc;
    }
    if (hits.n > 1)
        qsort(hits.items, hits.n, sizeof *hits.items, by_series_and_time);
    drop_series_without_hits(&hits);
    *ret = hits;
    return 0;
}

// ---- by ids ----

// In the log; else takes the segments that may have it. Lock held.
static bool find_in_files(struct kp_store *store, const struct kp_id *id, struct kp_hits *hits,
    struct kp_hit *ret, struct kp_wanted *ret_wanted)
{
    struct kp_logfile *file;
    size_t at;
    if (kp_store_locate(store, id->number, &file, &at) && file->rows.items[at].series == id->series &&
        file->rows.items[at].start_ms == id->start_ms &&
        kp_store_row_live(store, file, at, kp_store_now(store))) {
        kp_hit_set_log(ret, file, at);
        kp_hits_hold_file(hits, file);
        return true;
    }
    for (size_t i = 0; i < store->sealed.n; i++)
        if (kp_sealed_may_hold(store->sealed.items[i], id))
            *kp_array_add(&ret_wanted->held) = kp_sealed_ref(store->sealed.items[i]);
    return false;
}

// Every id names its series. Lock held.
static bool is_of_namespace(const struct kp_store *store, const char *namespace, const struct kp_id *id)
{
    if (namespace == NULL)
        return true;
    const struct kp_series *s = kp_series_of_id(&store->series, id->series);
    return s && kp_streq(s->fields[KP_SERIES_NAMESPACE], namespace);
}

static int find_one(struct kp_store *store, const char *namespace, const char *text, struct kp_hits *hits,
    struct kp_hit *ret, struct kp_error *err)
{
    struct kp_id id;
    if (!kp_id_parse(&store->id_form, text, &id))
        return kp_store_not_here(text, err);
    struct kp_wanted wanted_runs = {0};
    pthread_rwlock_rdlock(&store->lock);
    if (!is_of_namespace(store, namespace, &id)) {
        pthread_rwlock_unlock(&store->lock);
        return kp_store_not_here(text, err);
    }
    int rc = find_in_files(store, &id, hits, ret, &wanted_runs) ? 0 : KP_NOT_FOUND;
    pthread_rwlock_unlock(&store->lock);
    struct kp_error why = {0};
    for (size_t i = 0; (rc == KP_NOT_FOUND || rc == KP_CORRUPT) && i < wanted_runs.held.n; i++) {
        struct kp_sealed *sealed = wanted_runs.held.items[i];
        *ret = (struct kp_hit){.segment = sealed->segment};
        int found = kp_sealed_find(sealed, &id, &ret->at, &ret->row, &why);
        rc = rc == KP_CORRUPT && found == KP_NOT_FOUND ? rc : found;
        if (rc == 0 && !kp_sealed_row_live(store, sealed, ret->at, &ret->row, kp_store_now(store)))
            rc = KP_NOT_FOUND;
        if (rc == 0)
            kp_hits_hold_segment(hits, sealed->segment);
    }
    kp_wanted_finish(&wanted_runs);
    if (rc == KP_NOT_FOUND)
        return kp_store_not_here(text, err);
    return rc == 0 ? 0 : kp_fail(err, rc, "%s", why.text);
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

// The series of hits in any order; one that went meanwhile is left out.
static void copy_series_of_ids(struct kp_store *store, struct kp_hits *hits)
{
    kp_auto_free uint32_t *ids = KP_NEW_ARRAY(uint32_t, hits->n + 1);
    for (size_t i = 0; i < hits->n; i++)
        ids[i] = hits->items[i].row.series;
    qsort(ids, hits->n, sizeof *ids, compare_ids);
    hits->series = KP_NEW_ARRAY(struct kp_series *, hits->n + 1);
    pthread_rwlock_rdlock(&store->lock);
    for (size_t i = 0; i < hits->n; i++) {
        const struct kp_series *s =
            i > 0 && ids[i] == ids[i - 1] ? NULL : kp_series_of_id(&store->series, ids[i]);
        if (s)
            hits->series[hits->n_series++] = kp_series_copy(s);
    }
    pthread_rwlock_unlock(&store->lock);
}

int kp_hits_of_ids(struct kp_store *store, const char *namespace, const char *const *ids, size_t n,
    struct kp_hits *ret, struct kp_error *err)
{
    struct kp_hits hits = {.items = KP_NEW_ARRAY(struct kp_hit, n + 1)};
    for (size_t i = 0; i < n; i++) {
        int rc = find_one(store, namespace, ids[i], &hits, &hits.items[i], err);
        if (rc != 0) {
            kp_hits_finish(&hits);
            return rc;
        }
        hits.n++;
    }
    copy_series_of_ids(store, &hits);
    for (size_t i = 0; i < n; i++)
        if (kp_hits_series(&hits, hits.items[i].row.series) == NULL) {
            kp_hits_finish(&hits);
            return kp_store_not_here(ids[i], err); // its last profile just went
        }
    *ret = hits;
    return 0;
}

void kp_hits_finish(struct kp_hits *hits)
{
    for (size_t i = 0; i < hits->n_files; i++)
        kp_logfile_unref(hits->files[i]);
    for (size_t i = 0; i < hits->n_series; i++)
        kp_series_free(hits->series[i]);
    for (size_t i = 0; i < hits->n_segments; i++)
        kp_segment_unref(hits->segments[i]);
    kp_free(hits->files);
    kp_free(hits->series);
    kp_free(hits->whole);
    kp_free(hits->segments);
    kp_free(hits->items);
    *hits = (struct kp_hits){0};
}

const struct kp_series *kp_hits_series(const struct kp_hits *hits, uint32_t id)
{
    size_t low = 0;
    size_t high = hits->n_series;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (hits->series[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < hits->n_series && hits->series[low]->id == id ? hits->series[low] : NULL;
}
