#include "store/tier.h"

#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "base/banned.h"

// ---- looking ----

int64_t kp_store_expiry(const struct kp_store *store, uint32_t keep_s, int64_t received_ms)
{
    int64_t keep = keep_s == KP_KEEP_DEFAULT ? store->options.retention_ms : (int64_t)keep_s * 1000;
    return keep == 0 ? INT64_MAX : received_ms + keep;
}

bool kp_sealed_row_live(const struct kp_store *store, const struct kp_sealed *sealed, uint32_t at,
    const struct kp_segment_row *row, int64_t now_ms)
{
    return !kp_sealed_is_dead(sealed, at) &&
           !kp_forgotten_is_before(
               __atomic_load_n(&sealed->forgotten_ms, __ATOMIC_RELAXED), row->start_ms, row->received_ms) &&
           kp_store_expiry(store, sealed->segment->keep_s, row->received_ms) > now_ms;
}

void kp_wanted_gather(struct kp_wanted *wanted_runs, const struct kp_store *store,
    const struct kp_series_set *chosen, const struct kp_store_query *query)
{
    int64_t to = kp_query_to_ms(query);
    for (size_t i = 0; i < store->sealed.n; i++) {
        struct kp_sealed *sealed = store->sealed.items[i];
        const struct kp_segment *s = sealed->segment;
        if (s->max_start_ms < query->from_ms || s->min_start_ms >= to ||
            kp_sealed_n_dead(sealed) == s->n_rows || kp_sealed_is_forgotten(sealed) ||
            (query->namespace && !kp_streq(query->namespace, s->namespace)))
            continue;
        size_t before = wanted_runs->runs.n;
        for (uint32_t r = 0; r < s->n_runs; r++) {
            const struct kp_segment_run *run = &s->runs[r];
            if (kp_series_set_has(chosen, run->series) && run->max_start_ms >= query->from_ms &&
                run->min_start_ms < to)
                *kp_array_add(&wanted_runs->runs) = (struct kp_wanted_run){sealed, run};
        }
        if (wanted_runs->runs.n > before)
            *kp_array_add(&wanted_runs->held) = kp_sealed_ref(sealed);
    }
}

void kp_wanted_finish(struct kp_wanted *wanted_runs)
{
    for (size_t i = 0; i < wanted_runs->held.n; i++)
        kp_sealed_unref(wanted_runs->held.items[i]);
    kp_array_free(&wanted_runs->held);
    kp_array_free(&wanted_runs->runs);
}

// ---- changing ----

struct kp_sealed *kp_tier_find(
    struct kp_store *store, const struct kp_id *id, uint32_t *ret_at, struct kp_segment_row *ret_row)
{
    for (size_t i = 0; i < store->sealed.n; i++) {
        struct kp_sealed *sealed = store->sealed.items[i];
        if (kp_sealed_may_hold(sealed, id) && kp_sealed_find(sealed, id, ret_at, ret_row, NULL) == 0)
            return sealed;
    }
    return NULL;
}

void kp_tier_count_series(struct kp_store *store, const struct kp_sealed *sealed, bool add)
{
    const struct kp_segment *s = sealed->segment;
    for (uint32_t r = 0; r < s->n_runs; r++) {
        struct kp_series *series = kp_series_of_id(&store->series, s->runs[r].series);
        uint32_t n = kp_sealed_n_live(sealed, s->runs[r].first_row, s->runs[r].n_rows);
        if (series && add)
            series->n_live += n;
        else if (series)
            series->n_live -= n;
    }
    if (!add)
        store->series_may_go = true;
}

void kp_tier_add(struct kp_store *store, struct kp_sealed *sealed)
{
    *kp_array_add(&store->sealed) = sealed;
    kp_forgotten_note_sealed(store, sealed);
    store->segment_bytes += sealed->segment->file_bytes;
}

void kp_tier_remove(struct kp_store *store, struct kp_sealed *sealed)
{
    struct kp_sealed **items = store->sealed.items;
    for (size_t i = 0; i < store->sealed.n; i++) {
        if (items[i] != sealed)
            continue;
        memmove(items + i, items + i + 1, (store->sealed.n - 1 - i) * sizeof(struct kp_sealed *));
        store->sealed.n--;
        store->segment_bytes -= sealed->segment->file_bytes;
        *kp_array_add(&store->doomed) = sealed;
        return;
    }
}

// Readers hold the sealed segment while they choose rows, and the segment for as long as they read.
static bool is_read(const struct kp_sealed *sealed)
{
    return __atomic_load_n(&sealed->refs, __ATOMIC_ACQUIRE) > 1 ||
           __atomic_load_n(&sealed->segment->refs, __ATOMIC_ACQUIRE) > 1;
}

void kp_tier_sweep(struct kp_store *store, bool force)
{
    size_t kept = 0;
    for (size_t i = 0; i < store->doomed.n; i++) {
        struct kp_sealed *sealed = store->doomed.items[i];
        struct kp_error err = {0};
        if (is_read(sealed) && !force) {
            store->doomed.items[kept++] = sealed;
            continue;
        }
        int rc = store->storage.ops->remove(store->storage.self, sealed->segment->name, &err);
        if (rc != 0 && rc != KP_NOT_FOUND && !force) {
            KP_DEBUG("cannot remove a segment", KP_E(&err));
            store->doomed.items[kept++] = sealed;
            continue;
        }
        kp_sealed_unref(sealed);
    }
    store->doomed.n = kept;
}

static bool is_there(const struct kp_store *store, const char *name)
{
    uint8_t byte;
    return store->storage.ops->get(store->storage.self, name, 0, 1, &byte, NULL) != KP_NOT_FOUND;
}

void kp_tier_quarantine(struct kp_store *store, const char *name, const char *why)
{
    kp_auto_free char *mark = kp_asprintf("%s.bad", name);
    struct kp_error err = {0};
    kp_store_count_corrupt(store);
    KP_DEBUG("a damaged segment is left out", KP_S("segment", name), KP_S("why", why));
    if (!is_there(store, name))
        return;
    if (store->storage.ops->put(store->storage.self, mark, why, strlen(why), &err) != 0)
        KP_DEBUG("cannot mark a damaged segment", KP_E(&err)); // it will be found damaged again
    pthread_rwlock_wrlock(&store->lock);
    *kp_array_add(&store->bad_names) = kp_strdup(name);
    pthread_rwlock_unlock(&store->lock);
}

void kp_tier_put_aside(struct kp_store *store, struct kp_sealed *sealed, const char *why)
{
    kp_sealed_ref(sealed);
    pthread_rwlock_wrlock(&store->lock);
    kp_tier_count_series(store, sealed, false);
    kp_tier_remove(store, sealed);
    store->doomed.n--; // its file is kept for people
    pthread_rwlock_unlock(&store->lock);
    kp_sealed_unref(sealed); // the table's
    kp_tier_quarantine(store, sealed->segment->name, why);
    kp_tier_fall_back(store, sealed, true);
    kp_tier_note(store, NULL, 0, &sealed, 1);
    kp_sealed_unref(sealed);
}

static int note(struct kp_store *store, struct kp_sealed *const *added, size_t n_added,
    struct kp_sealed *const *removed, size_t n_removed, struct kp_error *err)
{
    int rc = kp_store_flush_series(store, err);
    if (rc == 0)
        rc = kp_index_begin(store->index, err);
    for (size_t i = 0; rc == 0 && i < n_added; i++)
        if (!added[i]->shadowed)
            rc = kp_index_put_segment(
                store->index, added[i]->segment->name, added[i]->segment->file_bytes, err);
    for (size_t i = 0; rc == 0 && i < n_removed; i++)
        rc = kp_index_remove_segment(store->index, removed[i]->segment->name, err);
    if (rc == 0)
        rc = kp_index_commit(store->index, true, err);
    if (rc != 0)
        kp_index_rollback(store->index);
    return rc;
}

void kp_tier_note(struct kp_store *store, struct kp_sealed *const *added, size_t n_added,
    struct kp_sealed *const *removed, size_t n_removed)
{
    struct kp_error err = {0};
    if (note(store, added, n_added, removed, n_removed, &err) != 0) {
        KP_DEBUG("the index will learn of segments at the next start", KP_E(&err));
        return;
    }
    for (size_t i = 0; i < n_added; i++)
        added[i]->noted = !added[i]->shadowed;
}

bool kp_store_tombstone_needed(
    struct kp_store *store, const struct kp_tombstone *tombstone, const struct kp_logfile *in)
{
    struct kp_logfile *file;
    size_t at;
    if (store->sealing) // a segment in the making may hold the profile
        return true;
    for (size_t i = 0; i < store->sealed.n; i++)
        if (kp_sealed_has_buried(store->sealed.items[i], tombstone->number))
            return true;
    for (size_t i = 0; i < store->doomed.n; i++) // a crash now would bring them back
        if (kp_sealed_has_buried(store->doomed.items[i], tombstone->number))
            return true;
    return kp_store_locate(store, tombstone->number, &file, &at) && file != in &&
           file->rows.items[at].offset != 0;
}

bool kp_store_needs_tombstones(struct kp_store *store, const struct kp_logfile *file)
{
    for (size_t i = 0; i < file->rows.n_tombstones; i++)
        if (kp_store_tombstone_needed(store, &file->rows.tombstones[i], file))
            return true;
    return false;
}
