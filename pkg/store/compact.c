// Giving space back: a closed file is written again with what lives in it, or removed. Rows of dropped
// captures stay for as long as their keys must be known, also when no byte of them is left.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "store/tier.h"
#include "base/banned.h"

static bool key_matters(const struct kp_row *row, int64_t now_ms)
{
    return (row->key[0] | row->key[1]) != 0 && row->received_ms + KP_KEY_AGE_MS > now_ms;
}

// While a segment is made, what was found damaged meanwhile must not look as if it had been dropped.
static bool row_matters(const struct kp_store *store, const struct kp_row *row, uint8_t flags, int64_t now_ms)
{
    return flags == 0 || key_matters(row, now_ms) || (store->sealing && flags == KP_ROW_BAD);
}

static int copy_frame(const struct kp_logfile *from, const struct kp_row *row, int to, struct kp_error *err)
{
    size_t len = (size_t)KP_FRAME_HEAD_BYTES + row->record_len + row->body_len;
    size_t padded = (len + KP_FRAME_ALIGN - 1) / KP_FRAME_ALIGN * KP_FRAME_ALIGN;
    kp_auto_free uint8_t *bytes = kp_alloc(padded);
    if (pread(from->fd, bytes, padded, row->offset) != (ssize_t)padded)
        return kp_fail(err, KP_INTERNAL, "cannot read '%s'", from->path);
    return kp_write_all(to, bytes, padded, err);
}

// Writes the live frames of old to fd; fills the rows of young.
static int copy_live(struct kp_store *store, const struct kp_logfile *old, struct kp_logfile *young, int fd,
    struct kp_error *err)
{
    int64_t now_ms = kp_store_now(store);
    uint8_t head[KP_LOG_HEAD_BYTES];
    kp_log_head_put(head, &old->head);
    int rc = kp_write_all(fd, head, sizeof head, err);
    young->head = old->head;
    young->size = sizeof head;
    for (size_t i = 0; rc == 0 && i < old->rows.n; i++) {
        struct kp_row row = old->rows.items[i];
        uint8_t flags = kp_store_flags(store, old, i);
        bool live = flags == 0;
        if (!row_matters(store, &row, flags, now_ms))
            continue;
        if (live) {
            rc = copy_frame(old, &row, fd, err);
            row.offset = (uint32_t)young->size;
            size_t len = (size_t)KP_FRAME_HEAD_BYTES + row.record_len + row.body_len;
            young->size += (len + KP_FRAME_ALIGN - 1) / KP_FRAME_ALIGN * KP_FRAME_ALIGN;
        } else {
            row.offset = row.record_len = 0;
        }
        kp_rows_add(&young->rows, &row);
        young->rows.flags[young->rows.n - 1] = flags;
        kp_logfile_count(young, &row, live);
    }
    return rc;
}

static int copy_tombstones(struct kp_store *store, const struct kp_logfile *old, struct kp_logfile *young,
    int fd, struct kp_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < old->rows.n_tombstones; i++) {
        const struct kp_tombstone *t = &old->rows.tombstones[i];
        if (!kp_store_tombstone_needed(store, t, old))
            continue;
        uint8_t bytes[KP_FRAME_HEAD_BYTES];
        kp_frame_put(bytes, &(struct kp_frame){.kind = KP_FRAME_TOMBSTONE,
                                .series = t->series,
                                .number = t->number,
                                .start_ms = t->start_ms});
        rc = kp_write_all(fd, bytes, sizeof bytes, err);
        young->size += sizeof bytes;
        kp_rows_add_tombstone(&young->rows, t);
    }
    return rc;
}

static int write_young(struct kp_store *store, const struct kp_logfile *old, struct kp_logfile *young,
    const char *tmp, struct kp_error *err)
{
    young->fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (young->fd < 0)
        return kp_fail_errno(err, errno, "cannot create '%s'", tmp);
    int rc = copy_live(store, old, young, young->fd, err);
    if (rc == 0)
        rc = copy_tombstones(store, old, young, young->fd, err);
    if (rc == 0 && store->io->fdatasync(young->fd) != 0)
        rc = kp_fail_errno(err, errno, "cannot write '%s'", tmp);
    if (rc == 0 && rename(tmp, old->path) != 0)
        rc = kp_fail_errno(err, errno, "cannot rename '%s'", tmp);
    if (rc == 0)
        rc = kp_dir_sync(store->log_dir, err);
    return rc;
}

static int rewrite(struct kp_store *store, size_t at, struct kp_error *err)
{
    struct kp_logfile *old = store->files.items[at];
    struct kp_logfile *young = kp_logfile_new(store->log_dir, old->head.number);
    kp_auto_free char *tmp = kp_asprintf("%s.tmp", old->path);
    int rc = write_young(store, old, young, tmp, err);
    if (rc != 0) {
        unlink(tmp);
        kp_logfile_unref(young);
        return rc;
    }
    pthread_rwlock_wrlock(&store->lock);
    store->files.items[at] = young;
    store->log_bytes -= old->size - young->size;
    // a reader may have found a damaged profile since its row was copied
    for (size_t i = 0; i < old->rows.n; i++) {
        ptrdiff_t k = old->rows.flags[i] & KP_ROW_BAD
                          ? kp_rows_find(&young->rows, old->rows.items[i].number_delta)
                          : -1;
        if (k >= 0 && young->rows.flags[k] == 0) {
            const struct kp_row *row = &young->rows.items[k];
            young->rows.flags[k] = KP_ROW_BAD;
            young->n_live--;
            young->live_bytes -= (uint64_t)row->record_len + row->body_len + KP_FRAME_HEAD_BYTES;
        }
    }
    pthread_rwlock_unlock(&store->lock);
    kp_logfile_unref(old);
    kp_store_close_file(store, young);
    kp_logfile_park(young);
    return 0;
}

static int drop(struct kp_store *store, size_t at, struct kp_error *err)
{
    struct kp_logfile *file = store->files.items[at];
    int rc = kp_index_begin(store->index, err);
    if (rc == 0)
        rc = kp_index_remove_log(store->index, file->head.number, err);
    if (rc == 0)
        rc = kp_index_commit(store->index, false, err);
    if (rc != 0) { // a row of a file that is gone does no harm
        kp_index_rollback(store->index);
        kp_error_clear(err);
    }
    if (unlink(file->path) != 0 && errno != ENOENT)
        return kp_fail_errno(err, errno, "cannot remove '%s'", file->path);
    unlink(file->sidecar);
    rc = kp_dir_sync(store->log_dir, err); // before a segment goes that its profiles are in
    if (rc != 0)
        return rc;
    pthread_rwlock_wrlock(&store->lock);
    struct kp_logfile **items = store->files.items;
    memmove(items + at, items + at + 1, (store->files.n - 1 - at) * sizeof(struct kp_logfile *));
    store->files.n--;
    store->log_bytes -= file->size;
    pthread_rwlock_unlock(&store->lock);
    kp_logfile_unref(file);
    return 0;
}

static bool holds_anything(struct kp_store *store, const struct kp_logfile *file)
{
    int64_t now_ms = kp_store_now(store);
    for (size_t i = 0; i < file->rows.n; i++)
        if (row_matters(store, &file->rows.items[i], kp_store_flags(store, file, i), now_ms))
            return true;
    return kp_store_needs_tombstones(store, file);
}

int kp_store_compact(struct kp_store *store, size_t at, struct kp_error *err)
{
    return holds_anything(store, store->files.items[at]) ? rewrite(store, at, err) : drop(store, at, err);
}
