// Opening: which log files there are, what is in them, and what a crash left behind.
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "store/tier.h"
#include "base/banned.h"

struct numbers {
    KP_ARRAY(uint64_t) list;
};

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

// "00000012.log" -> 12. What was being written when the process ended goes; what this program does not know
// stays, it may be another's.
static void take_name(struct kp_store *store, const char *name, struct numbers *ret)
{
    size_t digits = strspn(name, "0123456789");
    if (digits > 0 && digits <= 18 && kp_streq(name + digits, ".log")) {
        *kp_array_add(&ret->list) = strtoull(name, NULL, 10);
    } else if (kp_ends_with(name, ".tmp") || kp_streq(name, "probe")) {
        kp_auto_free char *path = kp_asprintf("%s/%s", store->log_dir, name);
        unlink(path);
    }
}

static int list_logs(struct kp_store *store, struct numbers *ret, struct kp_error *err)
{
    DIR *dir = opendir(store->log_dir);
    if (dir == NULL)
        return kp_fail_errno(err, errno, "cannot list '%s'", store->log_dir);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) // NOLINT(concurrency-mt-unsafe)
        if (!kp_streq(e->d_name, ".") && !kp_streq(e->d_name, ".."))
            take_name(store, e->d_name, ret);
    closedir(dir);
    if (ret->list.n > 1)
        qsort(ret->list.items, ret->list.n, sizeof ret->list.items[0], compare);
    return 0;
}

// ---- reading a log from its bytes ----

struct scan {
    struct kp_store *store;
    struct kp_logfile *file;
};

static void note_series(struct kp_store *store, const struct kp_record *record, uint32_t id)
{
    if (kp_series_of_id(&store->series, id) != NULL)
        return;
    kp_series_add(&store->series, record, id);
    *kp_array_add(&store->pending_series) = id;
}

static void on_good(void *user, const struct kp_frame *frame, size_t offset, const uint8_t *payload)
{
    struct scan *scan = user;
    if (frame->kind == KP_FRAME_TOMBSTONE) {
        kp_rows_add_tombstone(&scan->file->rows,
            &(struct kp_tombstone){
                .number = frame->number, .start_ms = frame->start_ms, .series = frame->series});
        return;
    }
    struct kp_record record;
    uint64_t delta = frame->number - scan->file->head.first;
    if (delta > UINT32_MAX || kp_record_decode(payload, frame->record_len, &record, NULL) != 0) {
        kp_store_count_corrupt(scan->store);
        return;
    }
    struct kp_row row = {.start_ms = frame->start_ms,
        .received_ms = record.received_ms,
        .number_delta = (uint32_t)delta,
        .series = frame->series,
        .offset = (uint32_t)(offset + KP_LOG_HEAD_BYTES),
        .record_len = frame->record_len,
        .body_len = frame->body_len,
        .keep_s = kp_store_keep_s(scan->store, &record)};
    (void)kp_key_parse(record.key, row.key);
    note_series(scan->store, &record, frame->series);
    kp_rows_add(&scan->file->rows, &row);
    kp_record_finish(&record);
}

static void on_bad(void *user, size_t offset, size_t len)
{
    struct scan *scan = user;
    kp_store_count_corrupt(scan->store);
    KP_DEBUG("damaged stretch of a log file is left out", KP_S("file", scan->file->path),
        KP_I("offset", (int64_t)offset), KP_I("bytes", (int64_t)len));
}

static int cut_tail(struct kp_store *store, struct kp_logfile *file, uint64_t size, struct kp_error *err)
{
    store->n_torn++;
    kp_metric_inc(store->m_truncated);
    KP_DEBUG("torn tail of the log is cut off", KP_S("file", file->path),
        KP_I("bytes", (int64_t)(file->size - size)));
    if (store->io->ftruncate(file->fd, (off_t)size) != 0 || store->io->fdatasync(file->fd) != 0)
        return kp_fail_errno(err, errno, "cannot cut the torn tail off '%s'", file->path);
    file->size = size;
    return 0;
}

static int scan_log(struct kp_store *store, struct kp_logfile *file, bool last, struct kp_error *err)
{
    size_t len = file->size - KP_LOG_HEAD_BYTES;
    size_t whole = 0;
    if (len > 0) {
        uint8_t *map = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, file->fd, 0);
        if (map == MAP_FAILED)
            return kp_fail_errno(err, errno, "cannot map '%s'", file->path);
        struct scan scan = {store, file};
        const struct kp_frame_visitor visitor = {on_good, on_bad, &scan};
        whole = kp_frames_scan(map + KP_LOG_HEAD_BYTES, len, &visitor);
        munmap(map, file->size);
    }
    if (whole < len && last)
        return cut_tail(store, file, KP_LOG_HEAD_BYTES + whole, err);
    if (whole < len)
        on_bad(&(struct scan){store, file}, KP_LOG_HEAD_BYTES + whole, len - whole);
    return 0;
}

static bool series_known(const struct kp_store *store, const struct kp_rows *rows)
{
    uint32_t last = 0;
    for (size_t i = 0; i < rows->n; i++) {
        if (rows->items[i].series == last || rows->flags[i] != 0)
            continue;
        last = rows->items[i].series;
        if (kp_series_of_id(&store->series, last) == NULL)
            return false;
    }
    return true;
}

static bool map_sidecar(struct kp_store *store, struct kp_logfile *file)
{
    if (!kp_index_log_closed(store->index, file->head.number, file->size) ||
        kp_rows_map(&file->rows, file->sidecar, file->head.number, file->size, NULL) != 0)
        return false;
    if (series_known(store, &file->rows)) {
        file->closed = true;
        return true;
    }
    kp_rows_finish(&file->rows);
    return false;
}

static int open_log(struct kp_store *store, uint64_t number, bool last, struct kp_error *err)
{
    struct kp_logfile *file = kp_logfile_new(store->log_dir, number);
    struct kp_error why = {0};
    int rc = kp_logfile_open(file, &why);
    if (rc == KP_CORRUPT) { // nothing in it can be found; it is kept for people
        kp_auto_free char *aside = kp_asprintf("%s.bad", file->path);
        rc = rename(file->path, aside) == 0 ? 0
                                            : kp_fail_errno(err, errno, "cannot put '%s' aside", file->path);
        kp_store_count_corrupt(store);
        kp_logfile_unref(file);
        return rc;
    }
    if (rc != 0)
        kp_fail(err, rc, "%s", why.text);
    else if (!map_sidecar(store, file))
        rc = scan_log(store, file, last, err);
    if (rc != 0) {
        kp_logfile_unref(file);
        return rc;
    }
    *kp_array_add(&store->files) = file;
    return 0;
}

// ---- what follows from the rows ----

static void apply_tombstones(struct kp_store *store)
{
    for (size_t i = 0; i < store->files.n; i++) {
        const struct kp_rows *rows = &store->files.items[i]->rows;
        for (size_t k = 0; k < rows->n_tombstones; k++) {
            struct kp_logfile *file;
            size_t at;
            if (kp_store_locate(store, rows->tombstones[k].number, &file, &at))
                file->rows.flags[at] |= KP_ROW_DEAD;
        }
    }
}

static void count_rows(struct kp_store *store, struct kp_logfile *file)
{
    for (size_t i = 0; i < file->rows.n; i++) {
        const struct kp_row *row = &file->rows.items[i];
        bool live = file->rows.flags[i] == 0;
        kp_logfile_count(file, row, live);
        struct kp_series *series = live ? kp_series_of_id(&store->series, row->series) : NULL;
        if (series)
            series->n_live++;
        if (file->head.first + row->number_delta >= store->next_number)
            store->next_number = file->head.first + row->number_delta + 1;
    }
    if (file->head.first > store->next_number)
        store->next_number = file->head.first;
    store->log_bytes += file->size;
}

int kp_store_recover(struct kp_store *store, bool fresh_index, struct kp_error *err)
{
    struct numbers numbers = {0};
    int rc = fresh_index ? 0 : kp_index_load_series(store->index, &store->series, err);
    if (rc == 0)
        rc = list_logs(store, &numbers, err);
    for (size_t i = 0; rc == 0 && i < numbers.list.n; i++)
        rc = open_log(store, numbers.list.items[i], i + 1 == numbers.list.n, err);
    kp_array_free(&numbers.list);
    if (rc != 0)
        return rc;
    apply_tombstones(store);
    rc = kp_tier_recover(store, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < store->files.n; i++)
        count_rows(store, store->files.items[i]);
    for (size_t i = 0; i + 1 < store->files.n; i++) {
        if (!store->files.items[i]->closed)
            kp_store_close_file(store, store->files.items[i]);
        kp_logfile_park(store->files.items[i]);
    }
    kp_store_build_keys(store);
    store->series_may_go = true;
    if (store->files.n == 0 || kp_store_active(store)->closed)
        rc = kp_store_begin_file(store, err);
    if (rc == 0)
        kp_tier_settle(store);
    return rc;
}
