// Profiles whose segment was lost while the log still had their bytes: they live in the log again, until they
// are sealed anew.
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "store/tier.h"
#include "base/banned.h"

struct fallback {
    struct kp_store *store;
    const struct kp_sealed *lost; // NULL = not known which
    bool counted;
    KP_ARRAY(uint64_t) deleted; // ascending
};

static int by_number(const void *pa, const void *pb)
{
    uint64_t a = *(const uint64_t *)pa;
    uint64_t b = *(const uint64_t *)pb;
    return (a > b) - (a < b);
}

// What was deleted from hours is not in the day they became, but in the log it may be.
static void collect_deleted(struct fallback *f)
{
    for (size_t i = 0; i < f->store->files.n; i++) {
        const struct kp_rows *rows = &f->store->files.items[i]->rows;
        for (size_t k = 0; k < rows->n_tombstones; k++)
            *kp_array_add(&f->deleted) = rows->tombstones[k].number;
    }
    if (f->deleted.n > 1)
        qsort(f->deleted.items, f->deleted.n, sizeof f->deleted.items[0], by_number);
}

static bool is_deleted(const struct fallback *f, uint64_t number)
{
    return f->deleted.n > 0 &&
           bsearch(&number, f->deleted.items, f->deleted.n, sizeof number, by_number) != NULL;
}

// Also when that cannot be told now.
static bool is_elsewhere(const struct kp_store *store, const struct kp_id *id)
{
    for (size_t i = 0; i < store->sealed.n; i++) {
        struct kp_segment_row row;
        uint32_t at;
        if (kp_sealed_may_hold(store->sealed.items[i], id) &&
            kp_sealed_find(store->sealed.items[i], id, &at, &row, NULL) != KP_NOT_FOUND)
            return true;
    }
    return false;
}

static bool should_return(const struct fallback *f, const struct kp_logfile *file, size_t at)
{
    const struct kp_row *row = &file->rows.items[at];
    const struct kp_id id = {
        .start_ms = row->start_ms, .series = row->series, .number = file->head.first + row->number_delta};
    return row->offset != 0 && kp_store_flags(f->store, file, at) == KP_ROW_MOVED &&
           (f->lost == NULL || kp_sealed_may_hold(f->lost, &id)) && !is_deleted(f, id.number) &&
           !is_elsewhere(f->store, &id);
}

// False: not even its description can be read.
static bool know_series(struct kp_store *store, const struct kp_logfile *file, const struct kp_row *row)
{
    struct kp_record record;
    if (kp_series_of_id(&store->series, row->series) != NULL)
        return true;
    if (kp_logfile_read_record(file, row, &record, NULL) != 0)
        return false;
    pthread_rwlock_wrlock(&store->lock);
    kp_series_add(&store->series, &record, row->series);
    pthread_rwlock_unlock(&store->lock);
    *kp_array_add(&store->pending_series) = row->series;
    kp_record_finish(&record);
    return true;
}

static void return_row(const struct fallback *f, struct kp_logfile *file, size_t at)
{
    const struct kp_row *row = &file->rows.items[at];
    if (!know_series(f->store, file, row))
        return;
    pthread_rwlock_wrlock(&f->store->lock);
    file->rows.flags[at] &= (uint8_t)~KP_ROW_MOVED;
    if (f->counted) {
        kp_logfile_count(file, row, true);
        kp_series_of_id(&f->store->series, row->series)->n_live++;
        file->next_expiry_ms = 0;
    }
    pthread_rwlock_unlock(&f->store->lock);
}

static void return_rows(const struct fallback *f, struct kp_logfile *file)
{
    struct kp_error err = {0};
    size_t n = 0;
    for (size_t i = 0; i < file->rows.n; i++) {
        if (!should_return(f, file, i))
            continue;
        return_row(f, file, i);
        n++;
    }
    if (n > 0)
        KP_DEBUG("profiles of a lost segment are in the log still", KP_S("file", file->path),
            KP_I("profiles", (int64_t)n));
    if (n > 0 && kp_rows_sync(&file->rows, &err) != 0)
        KP_DEBUG("cannot note which profiles the log has again", KP_E(&err));
}

void kp_tier_fall_back(struct kp_store *store, const struct kp_sealed *lost, bool counted)
{
    struct fallback f = {.store = store, .lost = lost, .counted = counted};
    collect_deleted(&f);
    for (size_t i = 0; i < store->files.n; i++) {
        uint64_t end = i + 1 < store->files.n ? store->files.items[i + 1]->head.first : UINT64_MAX;
        if (lost == NULL || (store->files.items[i]->head.first <= lost->segment->max_number &&
                                end > lost->segment->min_number))
            return_rows(&f, store->files.items[i]);
    }
    kp_array_free(&f.deleted);
    kp_forgotten_rearm(store);
}
