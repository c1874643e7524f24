// Opening the segments: which there are, which the index knows, and what a crash left half done. A profile
// that lies in a whole segment is there; the log's copy of it is then moved.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "store/tier.h"
#include "base/banned.h"

struct listing {
    KP_ARRAY(char *) names;
    struct kp_store *store;
};

static void on_name(void *user, const char *name, uint64_t size)
{
    struct listing *listing = user;
    (void)size;
    if (kp_ends_with(name, ".seg"))
        *kp_array_add(&listing->names) = kp_strdup(name);
    else if (kp_ends_with(name, ".seg.bad"))
        *kp_array_add(&listing->store->bad_names) = kp_strndup(name, strlen(name) - strlen(".bad"));
}

static bool is_bad(const struct kp_store *store, const char *name)
{
    for (size_t i = 0; i < store->bad_names.n; i++)
        if (kp_streq(store->bad_names.items[i], name))
            return true;
    return false;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// Somebody removed what they are about.
static void drop_stale_marks(struct kp_store *store, const struct listing *listing)
{
    size_t kept = 0;
    for (size_t i = 0; i < store->bad_names.n; i++) {
        char *name = store->bad_names.items[i];
        if (listing->names.n > 0 &&
            bsearch(&name, listing->names.items, listing->names.n, sizeof(char *), compare_names)) {
            store->bad_names.items[kept++] = name;
            continue;
        }
        kp_auto_free char *mark = kp_asprintf("%s.bad", name);
        (void)!store->storage.ops->remove(store->storage.self, mark, NULL); // else at the next start
        kp_free(name);
    }
    store->bad_names.n = kept;
}

static int open_one(struct kp_store *store, const char *name, struct kp_error *err)
{
    struct kp_segment *segment = NULL;
    struct kp_error why = {0};
    int rc = is_bad(store, name) ? KP_NOT_FOUND : kp_segment_open(&store->storage, name, &segment, &why);
    if (rc == 0) {
        struct kp_sealed *sealed = kp_sealed_new(segment);
        sealed->noted = kp_index_has_segment(store->index, name, segment->file_bytes);
        kp_tier_add(store, sealed);
    }
    if (rc == KP_CORRUPT)
        kp_tier_quarantine(store, name, why.text);
    return rc == 0 || rc == KP_CORRUPT || rc == KP_NOT_FOUND ? 0 : kp_fail(err, rc, "%s", why.text);
}

// ret_bad: how many were found damaged now.
static int open_all(struct kp_store *store, size_t *ret_bad, struct kp_error *err)
{
    struct listing listing = {.store = store};
    int rc = store->storage.ops->list(store->storage.self, "", on_name, &listing, err);
    size_t n_bad = store->bad_names.n;
    store->n_seals = listing.names.n + n_bad; // names made later are new ones
    if (listing.names.n > 1)
        qsort(listing.names.items, listing.names.n, sizeof(char *), compare_names);
    if (rc == 0)
        drop_stale_marks(store, &listing);
    n_bad = store->bad_names.n;
    for (size_t i = 0; i < listing.names.n; i++) {
        if (rc == 0)
            rc = open_one(store, listing.names.items[i], err);
        kp_free(listing.names.items[i]);
    }
    kp_array_free(&listing.names);
    *ret_bad = store->bad_names.n - n_bad;
    return rc;
}

// Those that were joined into one that is there are left over from a crash.
static void remove_replaced(struct kp_store *store)
{
    for (size_t i = 0; i < store->sealed.n; i++) {
        const struct kp_segment *young = store->sealed.items[i]->segment;
        for (uint32_t k = 0; k < young->n_replaces; k++)
            for (size_t j = store->sealed.n; j-- > 0;)
                if (kp_streq(store->sealed.items[j]->segment->name, young->replaces[k])) {
                    kp_tier_remove(store, store->sealed.items[j]);
                    i = i > j ? i - 1 : i;
                    break;
                }
    }
}

// Nobody knows any more whose profiles they are. Not yet counted.
static void forget_run(struct kp_store *store, struct kp_sealed *sealed, const struct kp_segment_run *run)
{
    uint32_t id = run->series;
    store->series.next_id = id >= store->series.next_id ? id + 1 : store->series.next_id;
    for (uint32_t i = run->first_row; i < run->first_row + run->n_rows; i++)
        sealed->n_bad += kp_sealed_kill(sealed, i);
    kp_sealed_set_damaged(sealed);
    kp_store_count_corrupt(store);
}

// A series without a living profile stays forgotten, but nobody else gets its id.
static int note_series(struct kp_store *store, struct kp_sealed *sealed, struct kp_error *err)
{
    const struct kp_segment *s = sealed->segment;
    for (uint32_t r = 0; r < s->n_runs; r++) {
        struct kp_record record;
        uint32_t id = s->runs[r].series;
        if (kp_series_of_id(&store->series, id) != NULL)
            continue;
        if (kp_sealed_n_live(sealed, s->runs[r].first_row, s->runs[r].n_rows) == 0) {
            store->series.next_id = id >= store->series.next_id ? id + 1 : store->series.next_id;
            continue;
        }
        struct kp_error why = {0};
        int rc = kp_segment_read_series(s, r, &record, &why);
        if (rc == KP_CORRUPT) {
            forget_run(store, sealed, &s->runs[r]);
            continue;
        }
        if (rc != 0)
            return kp_fail(err, rc, "%s", why.text);
        kp_series_add(&store->series, &record, id);
        *kp_array_add(&store->pending_series) = id;
        kp_record_finish(&record);
    }
    return 0;
}

// ---- profiles that are in two segments ----

struct numbers {
    KP_ARRAY(uint64_t) list;
};

static int add_number(void *user, uint32_t at, const struct kp_segment_row *row)
{
    (void)at;
    *kp_array_add(&((struct numbers *)user)->list) = row->number;
    return 0;
}

static int compare_numbers(const void *pa, const void *pb)
{
    uint64_t a = *(const uint64_t *)pa;
    uint64_t b = *(const uint64_t *)pb;
    return (a > b) - (a < b);
}

struct shadow {
    struct kp_sealed *sealed;
    const struct numbers *numbers;
};

static int shadow_row(void *user, uint32_t at, const struct kp_segment_row *row)
{
    struct shadow *shadow = user;
    if (shadow->numbers->list.n > 0 && bsearch(&row->number, shadow->numbers->list.items,
                                           shadow->numbers->list.n, sizeof row->number, compare_numbers))
        shadow->sealed->shadowed |= kp_sealed_kill(shadow->sealed, at);
    return 0;
}

static int shadow_run(struct kp_sealed *a, struct kp_sealed *b, const struct kp_segment_run *run_a,
    const struct kp_segment_run *run_b, struct kp_error *err)
{
    struct numbers numbers = {0};
    int rc = kp_sealed_each(a, run_a->first_row, run_a->n_rows, add_number, &numbers, err);
    if (rc == 0 && numbers.list.n > 1)
        qsort(numbers.list.items, numbers.list.n, sizeof numbers.list.items[0], compare_numbers);
    if (rc == 0)
        rc = kp_sealed_each(
            b, run_b->first_row, run_b->n_rows, shadow_row, &(struct shadow){b, &numbers}, err);
    kp_array_free(&numbers.list);
    return rc;
}

// A file that could neither be stored whole nor removed, and was made again later: what b has that a has as
// well is dead in b.
static int shadow(struct kp_sealed *a, struct kp_sealed *b, struct kp_error *err)
{
    const struct kp_segment *sa = a->segment;
    const struct kp_segment *sb = b->segment;
    int rc = 0;
    if (sa->max_number < sb->min_number || sb->max_number < sa->min_number ||
        sa->max_start_ms < sb->min_start_ms || sb->max_start_ms < sa->min_start_ms ||
        !kp_streq(sa->namespace, sb->namespace))
        return 0;
    for (uint32_t r = 0; rc == 0 && r < sb->n_runs; r++) {
        const struct kp_segment_run *run = kp_segment_find_run(sa, sb->runs[r].series);
        if (run && run->min_start_ms <= sb->runs[r].max_start_ms &&
            sb->runs[r].min_start_ms <= run->max_start_ms)
            rc = shadow_run(a, b, run, &sb->runs[r], err);
    }
    return rc;
}

static int shadow_all(struct kp_store *store, struct kp_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < store->sealed.n; i++) {
        struct kp_sealed *b = store->sealed.items[i];
        if (b->noted)
            continue;
        for (size_t k = 0; rc == 0 && k < store->sealed.n; k++) {
            struct kp_sealed *a = store->sealed.items[k];
            if (a != b && (a->noted || k < i))
                rc = shadow(a, b, err);
        }
    }
    return rc;
}

// ---- the log's copies ----

struct adopt {
    struct kp_store *store;
    struct kp_sealed *sealed;
};

// A file that was read from its bytes lost the rows of which only the key was left.
static void restore_key(struct kp_store *store, const struct kp_segment_row *row)
{
    struct kp_logfile *file = kp_store_file_of(store, row->number);
    if (file == NULL || file->closed || (row->key[0] | row->key[1]) == 0 ||
        row->received_ms + KP_KEY_AGE_MS <= kp_store_now(store) ||
        row->number - file->head.first > UINT32_MAX)
        return;
    *kp_array_add(&file->lost) = (struct kp_row){.start_ms = row->start_ms,
        .received_ms = row->received_ms,
        .key = {row->key[0], row->key[1]},
        .number_delta = (uint32_t)(row->number - file->head.first),
        .series = row->series,
        .body_len = row->body_len,
        .keep_s = KP_KEEP_DEFAULT};
}

static int adopt_row(void *user, uint32_t at, const struct kp_segment_row *row)
{
    struct adopt *adopt = user;
    struct kp_logfile *file;
    size_t k;
    if (!kp_store_locate(adopt->store, row->number, &file, &k)) {
        restore_key(adopt->store, row);
        return 0;
    }
    uint8_t flags = file->rows.flags[k];
    if ((flags & KP_ROW_DEAD) == 0) { // what is damaged in the log is whole here
        file->rows.flags[k] |= KP_ROW_MOVED;
    } else if ((flags & KP_ROW_MOVED) == 0 && kp_sealed_kill(adopt->sealed, at)) {
        // deleted or dropped before the crash
        *kp_array_add(&adopt->store->to_bury) =
            (struct kp_tombstone){.number = row->number, .start_ms = row->start_ms, .series = row->series};
    }
    return 0;
}

// Whether the log's rows may not say yet, or not say any more, what lies in this segment.
static bool needs_look(const struct kp_store *store, const struct kp_sealed *sealed)
{
    const struct kp_segment *s = sealed->segment;
    if (!sealed->noted)
        return true;
    for (size_t i = 0; i < store->files.n; i++) {
        uint64_t end = i + 1 < store->files.n ? store->files.items[i + 1]->head.first : UINT64_MAX;
        const struct kp_logfile *file = store->files.items[i];
        if (!file->closed && file->head.first <= s->max_number && end > s->min_number)
            return true;
    }
    return false;
}

static int by_delta(const void *pa, const void *pb)
{
    uint32_t a = ((const struct kp_row *)pa)->number_delta;
    uint32_t b = ((const struct kp_row *)pb)->number_delta;
    return (a > b) - (a < b);
}

static void merge_lost(struct kp_logfile *file)
{
    struct kp_rows rows = {0};
    size_t i = 0;
    if (file->lost.n == 0)
        return;
    qsort(file->lost.items, file->lost.n, sizeof file->lost.items[0], by_delta);
    for (size_t k = 0; k < file->lost.n; k++) {
        const struct kp_row *lost = &file->lost.items[k];
        for (; i < file->rows.n && file->rows.items[i].number_delta < lost->number_delta; i++) {
            kp_rows_add(&rows, &file->rows.items[i]);
            rows.flags[rows.n - 1] = file->rows.flags[i];
        }
        if (rows.n > 0 && rows.items[rows.n - 1].number_delta == lost->number_delta)
            continue;
        kp_rows_add(&rows, lost);
        rows.flags[rows.n - 1] = KP_ROW_MOVED;
    }
    for (; i < file->rows.n; i++) {
        kp_rows_add(&rows, &file->rows.items[i]);
        rows.flags[rows.n - 1] = file->rows.flags[i];
    }
    for (size_t k = 0; k < file->rows.n_tombstones; k++)
        kp_rows_add_tombstone(&rows, &file->rows.tombstones[k]);
    kp_rows_finish(&file->rows);
    file->rows = rows;
    kp_array_free(&file->lost);
}

static void apply_tombstones(struct kp_store *store)
{
    for (size_t i = 0; i < store->files.n; i++) {
        const struct kp_rows *rows = &store->files.items[i]->rows;
        for (size_t k = 0; k < rows->n_tombstones; k++) {
            const struct kp_tombstone *t = &rows->tombstones[k];
            const struct kp_id id = {.start_ms = t->start_ms, .series = t->series, .number = t->number};
            struct kp_segment_row row;
            uint32_t at;
            struct kp_sealed *sealed = kp_tier_find(store, &id, &at, &row);
            if (sealed) {
                (void)kp_sealed_kill(sealed, at);
                kp_sealed_bury(sealed, t->number);
            }
        }
    }
}

// What cannot be read stays out, and what the log has of it in the log.
static int adopt_one(struct kp_store *store, struct kp_sealed *sealed, struct kp_error *err)
{
    struct adopt adopt = {store, sealed};
    int rc = note_series(store, sealed, err);
    if (rc == 0 && needs_look(store, sealed))
        rc = kp_sealed_each(sealed, 0, sealed->segment->n_rows, adopt_row, &adopt, err);
    return rc;
}

static int compare_name(const void *name, const void *sealed)
{
    return strcmp(name, (*(struct kp_sealed *const *)sealed)->segment->name);
}

// The table is in order of names: nothing was added since it was filled.
static void on_noted(void *user, const char *name)
{
    struct listing *gone = user;
    const struct kp_store *store = gone->store;
    if (store->sealed.n == 0 || bsearch(name, store->sealed.items, store->sealed.n,
                                    sizeof store->sealed.items[0], compare_name) == NULL)
        *kp_array_add(&gone->names) = kp_strdup(name);
}

static bool is_replaced(const struct kp_store *store, const char *name)
{
    for (size_t i = 0; i < store->sealed.n; i++)
        for (uint32_t k = 0; k < store->sealed.items[i]->segment->n_replaces; k++)
            if (kp_streq(store->sealed.items[i]->segment->replaces[k], name))
                return true;
    return false;
}

// Of segments that the index noted. Some went with a crash, their profiles are elsewhere.
static bool any_missing(struct kp_store *store)
{
    struct listing gone = {.store = store};
    int rc = kp_index_list_segments(store->index, on_noted, &gone, NULL);
    bool any = rc != 0 || gone.names.n > 0;
    for (size_t i = 0; i < gone.names.n; i++) {
        if (!is_bad(store, gone.names.items[i]) && !is_replaced(store, gone.names.items[i])) {
            KP_DEBUG("a segment is missing", KP_S("segment", gone.names.items[i]));
            store->n_missing++;
            kp_metric_inc(store->m_missing);
        }
        kp_free(gone.names.items[i]);
    }
    kp_array_free(&gone.names);
    return any;
}

int kp_tier_recover(struct kp_store *store, struct kp_error *err)
{
    size_t n_bad = 0;
    int rc = open_all(store, &n_bad, err);
    if (rc != 0)
        return rc;
    remove_replaced(store);
    rc = shadow_all(store, err);
    apply_tombstones(store);
    for (size_t i = 0; rc == 0 && i < store->sealed.n; i++)
        rc = adopt_one(store, store->sealed.items[i], err);
    if (rc != 0)
        return rc;
    bool is_missing = any_missing(store);
    if (n_bad > 0 || is_missing)
        kp_tier_fall_back(store, NULL, false);
    for (size_t i = 0; i < store->files.n; i++)
        merge_lost(store->files.items[i]);
    for (size_t i = 0; i < store->sealed.n; i++) {
        kp_tier_count_series(store, store->sealed.items[i], true);
        if (store->sealed.items[i]->segment->max_number >= store->next_number)
            store->next_number = store->sealed.items[i]->segment->max_number + 1;
    }
    return 0;
}

// ---- once the log can be written to ----

static void forget(struct kp_store *store, const struct listing *gone)
{
    struct kp_error err = {0};
    int rc = gone->names.n > 0 ? kp_index_begin(store->index, &err) : 0;
    for (size_t i = 0; rc == 0 && i < gone->names.n; i++)
        rc = kp_index_remove_segment(store->index, gone->names.items[i], &err);
    if (rc == 0 && gone->names.n > 0)
        rc = kp_index_commit(store->index, false, &err);
    if (rc != 0)
        kp_index_rollback(store->index);
}

// Those found dead in a segment that the index does not know. False: their tombstones could not be written.
static bool bury_late(struct kp_store *store)
{
    struct kp_error err = {0};
    size_t n = store->to_bury.n;
    if (n > 0 && kp_store_append_tombstones(store, store->to_bury.items, n, &err) != 0) {
        KP_DEBUG("deletes will be noted at the next start", KP_E(&err));
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const struct kp_tombstone *t = &store->to_bury.items[i];
        const struct kp_id id = {.start_ms = t->start_ms, .series = t->series, .number = t->number};
        struct kp_segment_row row;
        uint32_t at;
        struct kp_sealed *sealed = kp_tier_find(store, &id, &at, &row);
        if (sealed)
            kp_sealed_bury(sealed, t->number);
    }
    kp_array_free(&store->to_bury);
    return true;
}

void kp_tier_settle(struct kp_store *store)
{
    struct kp_error err = {0};
    struct listing gone = {.store = store};
    KP_ARRAY(struct kp_sealed *) fresh = {0};
    if (!bury_late(store))
        return; // the segments stay unknown to the index until then
    if (kp_index_list_segments(store->index, on_noted, &gone, &err) == 0)
        forget(store, &gone);
    for (size_t i = 0; i < gone.names.n; i++)
        kp_free(gone.names.items[i]);
    kp_array_free(&gone.names);
    for (size_t i = 0; i < store->sealed.n; i++)
        if (!store->sealed.items[i]->noted)
            *kp_array_add(&fresh) = store->sealed.items[i];
    if (fresh.n > 0)
        kp_tier_note(store, fresh.items, fresh.n, NULL, 0);
    kp_array_free(&fresh);
    kp_tier_sweep(store, false);
}
