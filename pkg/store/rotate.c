// From one log file to the next.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "store/state.h"
#include "base/banned.h"

int kp_store_flush_series(struct kp_store *store, struct kp_error *err)
{
    if (store->pending_series.n == 0)
        return 0;
    int rc = kp_index_begin(store->index, err);
    for (size_t i = 0; rc == 0 && i < store->pending_series.n; i++) {
        const struct kp_series *series = kp_series_of_id(&store->series, store->pending_series.items[i]);
        if (series)
            rc = kp_index_put_series(store->index, series, err);
    }
    if (rc == 0)
        rc = kp_index_commit(store->index, false, err);
    if (rc == 0)
        store->pending_series.n = 0;
    else
        kp_index_rollback(store->index);
    return rc;
}

static int note_closed(struct kp_store *store, const struct kp_logfile *file, struct kp_error *err)
{
    int rc = kp_store_flush_series(store, err);
    if (rc == 0)
        rc = kp_rows_save(&file->rows, file->sidecar, file->head.number, file->size, err);
    if (rc == 0)
        rc = kp_index_begin(store->index, err);
    if (rc == 0)
        rc = kp_index_close_log(store->index, file->head.number, file->size, err);
    if (rc == 0)
        rc = kp_index_commit(store->index, true, err);
    if (rc != 0)
        kp_index_rollback(store->index);
    return rc;
}

void kp_store_close_file(struct kp_store *store, struct kp_logfile *file)
{
    struct kp_error err = {0};
    struct kp_rows mapped = {0};
    int rc = note_closed(store, file, &err);
    if (rc == 0)
        rc = kp_rows_map(&mapped, file->sidecar, file->head.number, file->size, &err);
    if (rc != 0) { // its rows stay in memory; the next start reads the log itself
        KP_DEBUG("cannot write the sidecar of a log file", KP_S("file", file->path), KP_E(&err));
        return;
    }
    pthread_rwlock_wrlock(&store->lock);
    struct kp_rows old = file->rows;
    if (old.n > 0) // readers may have found damaged ones since they were saved
        memcpy(mapped.flags, old.flags, old.n);
    file->rows = mapped;
    file->closed = true;
    pthread_rwlock_unlock(&store->lock);
    kp_rows_finish(&old);
}

int kp_store_begin_file(struct kp_store *store, struct kp_error *err)
{
    uint64_t number = store->files.n > 0 ? kp_store_active(store)->head.number + 1 : 1;
    struct kp_logfile *file = kp_logfile_new(store->log_dir, number);
    int rc = kp_logfile_create(file, store->next_number, kp_store_now(store), err);
    if (rc != 0) {
        kp_logfile_unref(file);
        return rc;
    }
    pthread_rwlock_wrlock(&store->lock);
    *kp_array_add(&store->files) = file;
    store->log_bytes += file->size;
    pthread_rwlock_unlock(&store->lock);
    return 0;
}

// All that it would know. Where a part fails the next start looks for itself.
static int fill_index(struct kp_store *store, struct kp_error *err)
{
    int rc = kp_index_begin(store->index, err);
    for (size_t i = 0; rc == 0 && i < store->series.by_id.n; i++)
        rc = kp_index_put_series(store->index, store->series.by_id.items[i], err);
    for (size_t i = 0; rc == 0 && i < store->files.n; i++)
        if (store->files.items[i]->closed)
            rc = kp_index_close_log(
                store->index, store->files.items[i]->head.number, store->files.items[i]->size, err);
    for (size_t i = 0; rc == 0 && i < store->sealed.n; i++)
        if (store->sealed.items[i]->noted)
            rc = kp_index_put_segment(store->index, store->sealed.items[i]->segment->name,
                store->sealed.items[i]->segment->file_bytes, err);
    if (rc == 0)
        rc = kp_index_commit(store->index, true, err);
    if (rc != 0)
        kp_index_rollback(store->index);
    else
        store->pending_series.n = 0;
    return rc;
}

void kp_store_mend_index(struct kp_store *store)
{
    struct kp_error err = {0};
    bool fresh;
    if (!kp_index_is_lost(store->index))
        return;
    kp_auto_free char *path = kp_asprintf("%s/index.db", store->dir);
    if (!store->index_in_memory) // of that it was said
        kp_store_count_corrupt(store);
    kp_index_close(kp_take(store->index)); // first: it would remove the write-ahead log of the new one
    int rc = kp_index_open(path, &store->index, &fresh, &err);
    store->index_in_memory = rc != 0; // until the next time
    if (rc != 0)
        rc = kp_index_open(":memory:", &store->index, &fresh, NULL);
    if (rc != 0)
        abort(); // only for lack of memory
    rc = fill_index(store, &err);
    KP_DEBUG(
        "the index was damaged or gone and is made anew", KP_S("index", path), KP_I("code", rc), KP_E(&err));
}

int kp_store_rotate(struct kp_store *store, struct kp_error *err)
{
    struct kp_logfile *old = kp_store_active(store);
    int rc = kp_store_begin_file(store, err);
    if (rc == 0)
        kp_store_close_file(store, old);
    return rc;
}
