// Group commit: encode all, one write, one fdatasync, then publish. What is published is durable; what fails
// leaves no trace.
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "store/id.h"
#include "store/state.h"
#include "base/banned.h"

#define CHUNK_ENTRIES 256
#define CHUNK_BYTES   ((size_t)256 * KP_MIB)

struct item {
    struct kp_append *entry;
    struct kp_row row; // offset: within the chunk, until it is written
    uint32_t body_crc;
    size_t meta_at; // head and record in meta
    size_t bytes;   // with padding
    ptrdiff_t twin; // item with the same key before it, or -1
};

struct chunk {
    struct kp_store *store;
    struct item items[CHUNK_ENTRIES];
    size_t n;
    size_t bytes;
    struct kp_strbuf meta;
    struct iovec iov[3 * CHUNK_ENTRIES];
    size_t n_iov;
};

// ---- keys ----

struct key_look {
    const struct kp_store *store;
    int64_t forgotten_ms; // of the namespace: keys from before are not known any more
    const uint64_t *key;
    struct kp_logfile *file;
    size_t at;
};

static bool same_key(void *user, uint64_t number)
{
    struct key_look *look = user;
    if (!kp_store_locate(look->store, number, &look->file, &look->at))
        return false;
    const struct kp_row *row = &look->file->rows.items[look->at];
    return row->key[0] == look->key[0] && row->key[1] == look->key[1] &&
           !kp_forgotten_is_before(look->forgotten_ms, row->start_ms, row->received_ms);
}

static void set_id(
    const struct kp_store *store, struct kp_record *record, const struct kp_row *row, uint64_t number)
{
    char text[KP_ID_TEXT];
    kp_free(record->id);
    record->id = kp_strdup(kp_id_format(&store->id_form, text,
        &(struct kp_id){.start_ms = row->start_ms, .series = row->series, .number = number}));
    record->received_ms = row->received_ms;
    record->size_bytes = row->body_len;
}

void kp_store_fill_known(
    const struct kp_store *store, const struct kp_logfile *file, size_t at, struct kp_record *record)
{
    const struct kp_row *row = &file->rows.items[at];
    set_id(store, record, row, file->head.first + row->number_delta);
}

static int64_t forgotten_ms(const struct kp_store *store, const struct kp_record *record)
{
    return kp_forgotten_before(&store->forgotten, record->namespace ? record->namespace : "");
}

// When something is received now. No note is of a time that was not yet: where it seems so the clock was set
// back, and what comes after the note is not hidden by it.
static int64_t received_ms(const struct kp_store *store, const struct kp_record *record)
{
    int64_t now_ms = kp_store_now(store);
    int64_t before_ms = forgotten_ms(store, record);
    return before_ms > now_ms + 1 ? before_ms : now_ms; // + 1: one may be about its own millisecond as well
}

// A late delivery of what belongs to the past of its namespace: as if it had been stored and gone since.
static bool gone(struct kp_store *store, struct kp_append *entry)
{
    struct kp_record *record = entry->record;
    int64_t now_ms = received_ms(store, record);
    if (!kp_forgotten_is_before(
            forgotten_ms(store, record), record->start_ms > 0 ? record->start_ms : now_ms, now_ms)) {
        record->received_ms = now_ms; // asked again, a clock that went on would say something else
        return false;
    }
    kp_free(record->id);
    record->id = NULL;
    entry->status = KP_APPEND_GONE;
    kp_metric_inc(store->m_dropped);
    return true;
}

// The writer reads rows and keys without the lock: only it changes them, but for flags.
static bool known(struct kp_store *store, struct kp_append *entry, const uint64_t key[2])
{
    struct key_look look = {.store = store, .key = key, .forgotten_ms = forgotten_ms(store, entry->record)};
    if ((key[0] | key[1]) == 0 || !kp_keyset_find(&store->keys, key[1], same_key, &look))
        return false;
    kp_store_fill_known(store, look.file, look.at, entry->record);
    entry->status = KP_APPEND_KNOWN;
    kp_metric_inc(store->m_known);
    return true;
}

// ---- encode ----

static struct kp_series *add_series(struct kp_store *store, const struct kp_record *record)
{
    pthread_rwlock_wrlock(&store->lock);
    struct kp_series *series = kp_series_add(&store->series, record, 0);
    pthread_rwlock_unlock(&store->lock);
    *kp_array_add(&store->pending_series) = series->id;
    return series;
}

static int encode(struct chunk *chunk, struct kp_append *entry, struct item *item, struct kp_error *err)
{
    struct kp_record *record = entry->record;
    if (entry->body->len > KP_MAX_PROFILE_BYTES)
        return kp_fail(err, KP_INVALID, "a profile of %zu bytes, at most %d are stored", entry->body->len,
            KP_MAX_PROFILE_BYTES);
    record->size_bytes = entry->body->len;
    kp_free(record->id); // follows from where the profile lies
    record->id = NULL;
    item->meta_at = chunk->meta.len;
    static const uint8_t room[KP_FRAME_HEAD_BYTES];
    kp_strbuf_add(&chunk->meta, room, sizeof room);
    size_t record_at = chunk->meta.len;
    kp_record_encode(record, &chunk->meta);
    size_t record_len = chunk->meta.len - record_at;
    if (chunk->meta.overflow || record_len > KP_MAX_RECORD_BYTES) {
        chunk->meta.overflow = false;
        chunk->meta.len = item->meta_at;
        return kp_fail(
            err, KP_INVALID, "the description of a profile is longer than %d bytes", KP_MAX_RECORD_BYTES);
    }
    item->body_crc = kp_crc32c(0, chunk->meta.data + record_at, record_len);
    item->body_crc = kp_crc32c(item->body_crc, entry->body->data, entry->body->len);
    item->row.received_ms = record->received_ms;
    item->row.start_ms = record->start_ms > 0 ? record->start_ms : record->received_ms;
    item->row.record_len = (uint32_t)record_len;
    item->row.body_len = (uint32_t)entry->body->len;
    item->row.keep_s = kp_store_keep_s(chunk->store, record);
    uint64_t hash[2];
    kp_series_hash(record, hash);
    struct kp_series *series = kp_series_find(&chunk->store->series, hash);
    int rc = series
                 ? 0
                 : kp_series_fits(&chunk->store->series, record, chunk->store->options.max_series_bytes, err);
    if (rc == 0)
        rc = kp_caps_take(chunk->store, record, record_len + entry->body->len, series == NULL, err);
    if (rc != 0) {
        chunk->meta.len = item->meta_at;
        return rc;
    }
    item->row.series = (series ? series : add_series(chunk->store, record))->id;
    return 0;
}

static ptrdiff_t twin_of(const struct chunk *chunk, const uint64_t key[2])
{
    if ((key[0] | key[1]) != 0)
        for (size_t i = 0; i < chunk->n; i++)
            if (chunk->items[i].row.key[0] == key[0] && chunk->items[i].row.key[1] == key[1])
                return chunk->items[i].twin >= 0 ? chunk->items[i].twin : (ptrdiff_t)i;
    return -1;
}

static void take_entry(struct chunk *chunk, struct kp_append *entry)
{
    struct item item = {.entry = entry, .twin = -1};
    entry->error = (struct kp_error){0};
    (void)kp_key_parse(entry->record->key, item.row.key);
    if (gone(chunk->store, entry) || known(chunk->store, entry, item.row.key))
        return;
    item.twin = twin_of(chunk, item.row.key);
    if (item.twin < 0) {
        if (encode(chunk, entry, &item, &entry->error) != 0) {
            entry->status = KP_APPEND_FAILED;
            if (entry->error.code != KP_THROTTLED) // its namespace has what it may: nothing failed here
                kp_metric_inc(chunk->store->m_failed);
            return;
        }
        size_t len = (size_t)KP_FRAME_HEAD_BYTES + item.row.record_len + item.row.body_len;
        item.bytes = (len + KP_FRAME_ALIGN - 1) / KP_FRAME_ALIGN * KP_FRAME_ALIGN;
        item.row.offset = (uint32_t)chunk->bytes;
        chunk->bytes += item.bytes;
    }
    chunk->items[chunk->n++] = item;
}

// ---- write ----

static void gather(struct chunk *chunk, uint64_t first_number)
{
    static uint8_t zeros[KP_FRAME_ALIGN];
    chunk->n_iov = 0;
    for (size_t i = 0; i < chunk->n; i++) {
        struct item *item = &chunk->items[i];
        if (item->twin >= 0)
            continue;
        const struct kp_row *row = &item->row;
        uint8_t *head = (uint8_t *)chunk->meta.data + item->meta_at;
        size_t len = (size_t)KP_FRAME_HEAD_BYTES + row->record_len;
        kp_frame_put(head, &(struct kp_frame){.kind = KP_FRAME_PROFILE,
                               .series = row->series,
                               .record_len = row->record_len,
                               .body_len = row->body_len,
                               .body_crc = item->body_crc,
                               .number = first_number++,
                               .start_ms = row->start_ms});
        chunk->iov[chunk->n_iov++] = (struct iovec){head, len};
        chunk->iov[chunk->n_iov++] =
            (struct iovec){(uint8_t *)(uintptr_t)item->entry->body->data, item->entry->body->len};
        chunk->iov[chunk->n_iov++] = (struct iovec){zeros, item->bytes - len - item->entry->body->len};
    }
}

static bool is_full(int errno_value)
{
    return errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EFBIG;
}

// Bytes that were not acknowledged must not stay: they would come back as profiles after a restart. If even
// cutting them off fails, the file is left; what a restart then finds was sent, and its key keeps it from
// counting twice.
static void undo(struct kp_store *store, struct kp_logfile *file)
{
    if (store->io->ftruncate(file->fd, (off_t)file->size) == 0)
        return;
    struct kp_error err = {0};
    if (kp_store_rotate(store, &err) != 0)
        KP_DEBUG("cannot begin a new log file", KP_E(&err));
}

static int write_durably(
    struct kp_store *store, struct kp_logfile *file, struct iovec *iov, size_t n, struct kp_error *err)
{
    int64_t started_us = kp_mono_us();
    int e = kp_io_write_all(store->io, file->fd, iov, n, (off_t)file->size);
    bool synced = e != 0 || store->io->fdatasync(file->fd) == 0;
    if (!synced)
        e = errno;
    kp_metric_inc(store->m_syncs);
    kp_metric_observe(store->m_sync_seconds, (double)(kp_mono_us() - started_us) / 1e6);
    if (e == 0)
        return 0;
    undo(store, file);
    if (!synced && !is_full(e)) { // what the kernel has of this file cannot be trusted any more
        struct kp_error ignored = {0};
        (void)!kp_store_rotate(store, &ignored);
    }
    if (is_full(e))
        return kp_store_fail_full(store, err);
    return kp_fail(err, KP_INTERNAL,
        "cannot write to '%s': %s; what is stored can be read, writing goes on by "
        "itself when the disk is mended",
        file->path, strerrordesc_np(e));
}

// Whether what was written can be found again: nobody took the file, or the folder, away beneath.
static int check_place(struct kp_store *store, const struct kp_logfile *file, struct kp_error *err)
{
    struct stat open_one;
    struct stat named;
    if (fstat(file->fd, &open_one) == 0 && stat(file->path, &named) == 0 && open_one.st_dev == named.st_dev &&
        open_one.st_ino == named.st_ino)
        return 0;
    struct kp_error ignored = {0};
    (void)!kp_store_rotate(store, &ignored); // where only the file went
    return kp_fail(err, KP_UNAVAILABLE,
        "'%s' was removed beneath the registry; put the data folder back, or restart the registry to begin a "
        "new one",
        file->path);
}

// A file holds what one hour received; one large enough is closed as well. If that fails on a full disk the
// old one goes on, up to what offsets can name.
static int choose_file(struct kp_store *store, size_t bytes, struct kp_logfile **ret, struct kp_error *err)
{
    struct kp_logfile *file = kp_store_active(store);
    bool used = file->size > KP_LOG_HEAD_BYTES;
    bool other_hour = file->head.created_ms / KP_HOUR_MS != kp_store_now(store) / KP_HOUR_MS;
    if (used && (other_hour || file->size + bytes > store->options.log_file_bytes)) {
        struct kp_error why = {0};
        int rc = kp_store_rotate(store, &why);
        if (rc != 0 && file->size + bytes > UINT32_MAX)
            return kp_fail(err, rc, "%s", why.text);
    }
    *ret = kp_store_active(store);
    return 0;
}

// ---- publish ----

static void publish(struct chunk *chunk, struct kp_logfile *file)
{
    struct kp_store *store = chunk->store;
    pthread_rwlock_wrlock(&store->lock);
    for (size_t i = 0; i < chunk->n; i++) {
        struct item *item = &chunk->items[i];
        if (item->twin >= 0)
            continue;
        uint64_t number = store->next_number++;
        item->row.number_delta = (uint32_t)(number - file->head.first);
        item->row.offset += (uint32_t)file->size;
        kp_rows_add(&file->rows, &item->row);
        kp_logfile_count(file, &item->row, true);
        kp_series_of_id(&store->series, item->row.series)->n_live++;
        if ((item->row.key[0] | item->row.key[1]) != 0)
            kp_keyset_add(&store->keys, item->row.key[1], number);
        set_id(store, item->entry->record, &item->row, number);
        item->entry->status = KP_APPEND_STORED;
        kp_metric_inc(store->m_stored);
    }
    file->next_expiry_ms = 0;
    file->size += chunk->bytes;
    store->log_bytes += chunk->bytes;
    store->full = false;
    kp_error_clear(&store->trouble);
    pthread_rwlock_unlock(&store->lock);
}

static void fail_all(struct chunk *chunk, const struct kp_error *err)
{
    struct kp_store *store = chunk->store;
    for (size_t i = 0; i < chunk->n; i++) {
        chunk->items[i].entry->status = KP_APPEND_FAILED;
        chunk->items[i].entry->error = *err;
        kp_metric_inc(store->m_failed);
    }
    pthread_rwlock_wrlock(&store->lock);
    store->full = store->full || err->code == KP_LIMIT;
    store->trouble = *err;
    pthread_rwlock_unlock(&store->lock);
}

static void answer_twins(struct chunk *chunk)
{
    for (size_t i = 0; i < chunk->n; i++) {
        struct item *item = &chunk->items[i];
        if (item->twin < 0)
            continue;
        const struct kp_append *first = chunk->items[item->twin].entry;
        kp_free(item->entry->record->id);
        item->entry->record->id = kp_strdup(first->record->id);
        item->entry->record->received_ms = first->record->received_ms;
        item->entry->record->size_bytes = first->record->size_bytes;
        item->entry->status = KP_APPEND_KNOWN;
        kp_metric_inc(chunk->store->m_known);
    }
}

static void commit(struct chunk *chunk)
{
    struct kp_store *store = chunk->store;
    struct kp_logfile *file = kp_store_active(store);
    struct kp_error err = {0};
    if (chunk->n == 0)
        return;
    int rc = kp_store_make_room(store, chunk->bytes, &err);
    if (rc == 0)
        rc = choose_file(store, chunk->bytes, &file, &err);
    if (rc == 0) {
        gather(chunk, store->next_number);
        rc = write_durably(store, file, chunk->iov, chunk->n_iov, &err);
    }
    if (rc == 0)
        rc = check_place(store, file, &err);
    if (rc != 0) {
        fail_all(chunk, &err);
        return;
    }
    publish(chunk, file);
    answer_twins(chunk);
    struct kp_error late = {0};
    if (kp_store_flush_series(store, &late) != 0)
        KP_DEBUG("the index will learn of new series later", KP_E(&late)); // the log has them
}

void kp_store_append(struct kp_store *store, struct kp_append *entries, size_t n)
{
    struct chunk *chunk = KP_NEW(struct chunk);
    chunk->store = store;
    kp_strbuf_init(&chunk->meta, (size_t)CHUNK_ENTRIES * (KP_MAX_RECORD_BYTES + KP_FRAME_HEAD_BYTES));
    for (size_t i = 0; i < n; i++) {
        take_entry(chunk, &entries[i]);
        if (chunk->n < CHUNK_ENTRIES && chunk->bytes < CHUNK_BYTES && i + 1 < n)
            continue;
        commit(chunk);
        chunk->n = 0;
        chunk->bytes = 0;
        kp_strbuf_clear(&chunk->meta);
    }
    kp_strbuf_finish(&chunk->meta);
    kp_free(chunk);
}

int kp_store_append_tombstones(
    struct kp_store *store, const struct kp_tombstone *tombstones, size_t n, struct kp_error *err)
{
    size_t len = n * KP_FRAME_HEAD_BYTES;
    kp_auto_free uint8_t *bytes = kp_alloc(len);
    for (size_t i = 0; i < n; i++)
        kp_frame_put(bytes + i * KP_FRAME_HEAD_BYTES, &(struct kp_frame){.kind = KP_FRAME_TOMBSTONE,
                                                          .series = tombstones[i].series,
                                                          .number = tombstones[i].number,
                                                          .start_ms = tombstones[i].start_ms});
    struct kp_logfile *active = kp_store_active(store);
    int rc = choose_file(store, len, &active, err);
    if (rc == 0)
        rc = write_durably(store, active, &(struct iovec){bytes, len}, 1, err);
    if (rc != 0)
        return rc;
    pthread_rwlock_wrlock(&store->lock);
    for (size_t i = 0; i < n; i++)
        kp_rows_add_tombstone(&active->rows, &tombstones[i]);
    active->size += len;
    store->log_bytes += len;
    pthread_rwlock_unlock(&store->lock);
    return 0;
}
