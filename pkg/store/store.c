#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "store/format.h"
#include "store/tier.h"
#include "base/banned.h"

#define DEFAULT_LOG_FILE_BYTES ((size_t)64 * KP_MIB)
#define DEFAULT_SERIES_BYTES   ((uint64_t)256 * KP_MIB)
#define DEFAULT_SEAL_AFTER_MS  (INT64_C(600) * 1000)
#define MAX_LOG_FILE_BYTES     ((size_t)1024 * KP_MIB)

static int take_lock(struct kp_store *store, struct kp_error *err)
{
    kp_auto_free char *path = kp_asprintf("%s/lock", store->dir);
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock_fd < 0)
        return kp_fail_errno(err, errno, "cannot open '%s'", path);
    char pid[32] = {0};
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = pread(store->lock_fd, pid, sizeof pid - 1, 0);
        return kp_fail(err, KP_CONFLICT,
            "data directory '%s' is in use by process %.*s: one registry per directory", store->dir,
            n > 0 ? (int)strcspn(pid, "\n") : 1, n > 0 ? pid : "?");
    }
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(store->lock_fd, 0) != 0 || pwrite(store->lock_fd, pid, (size_t)len, 0) != len)
        return 0; // only a hint for people; the lock itself holds, also on a full disk
    return 0;
}

static void make_metrics(struct kp_store *store, struct kp_metrics *metrics)
{
    if (metrics == NULL)
        return;
    store->m_stored =
        kp_counter(metrics, "kube_pprof_registry_profiles_stored_total", "Profiles made durable.");
    store->m_known =
        kp_counter(metrics, "kube_pprof_registry_profiles_known_total", "Captures that were here already.");
    store->m_failed = kp_counter(
        metrics, "kube_pprof_registry_append_failures_total", "Profiles that could not be written.");
    store->m_quarantined = kp_counter(metrics, "kube_pprof_registry_corrupt_total",
        "Stretches of the log and segments with a wrong checksum; never served.");
    store->m_truncated =
        kp_counter(metrics, "kube_pprof_registry_log_truncations_total", "Torn log tails cut off at start.");
    store->m_dropped = kp_counter(
        metrics, "kube_pprof_registry_profiles_dropped_total", "Profiles dropped by age, bytes or request.");
    store->m_given_up = kp_counter(metrics, "kube_pprof_registry_profiles_given_up_total",
        "Profiles dropped before their age, for room.");
    store->m_sealed =
        kp_counter(metrics, "kube_pprof_registry_profiles_sealed_total", "Profiles moved into segments.");
    store->m_as_received = kp_counter(metrics, "kube_pprof_registry_sealed_as_received_total",
        "Profiles sealed as received because their symbols could not be written.");
    store->m_missing = kp_counter(metrics, "kube_pprof_registry_segments_missing_total",
        "Segments that the index knows and that were not there at the start.");
    store->m_syncs =
        kp_counter(metrics, "kube_pprof_registry_log_syncs_total", "Group commits: one fdatasync each.");
    struct kp_metric_family *f =
        kp_metrics_family(metrics, KP_HISTOGRAM, "kube_pprof_registry_log_sync_seconds",
            "How long a group commit took.", NULL, kp_buckets_seconds, kp_buckets_seconds_n, 1);
    store->m_sync_seconds = kp_metric_with(f, NULL);
}

static int open_index(struct kp_store *store, bool *ret_fresh, struct kp_error *err)
{
    kp_auto_free char *path = kp_asprintf("%s/index.db", store->dir);
    return kp_index_open(path, &store->index, ret_fresh, err);
}

static int open_storage(struct kp_store *store, struct kp_error *err)
{
    kp_auto_free char *path = kp_asprintf("%s/segments", store->dir);
    return kp_storage_dir_open(path, &store->storage, err);
}

// Space is given back file by file, and one with something left in it is copied for that: into what retention
// keeps free of the file system, a tenth.
static void limit_log_files(struct kp_store *store)
{
    uint64_t share = store->options.max_bytes / 8;
    struct statvfs fs;
    if (share == 0 && statvfs(store->log_dir, &fs) == 0)
        share = (uint64_t)fs.f_blocks * fs.f_frsize / 32;
    if (share > 0 && store->options.log_file_bytes > share)
        store->options.log_file_bytes = share;
}

static int set_up(struct kp_store *store, struct kp_error *err)
{
    bool fresh = false;
    int rc = kp_dir_create(store->log_dir, 0700, err);
    if (rc == 0) {
        limit_log_files(store);
        rc = take_lock(store, err);
    }
    if (rc == 0)
        rc = kp_format_check(store->dir, store->log_dir, err);
    if (rc == 0 && store->storage.ops == NULL)
        rc = open_storage(store, err);
    if (rc == 0)
        rc = open_index(store, &fresh, err);
    if (rc == 0)
        rc = kp_forgotten_load(store, err);
    if (rc == 0)
        rc = kp_store_recover(store, fresh, err);
    if (rc == 0)
        rc = kp_id_form_load(store->dir, store->next_number, &store->id_form, err);
    if (rc != 0)
        return rc;
    kp_format_note(store->dir);
    kp_store_measure(store);
    return 0;
}

int kp_store_open_io(const struct kp_store_options *options, const struct kp_io *io,
    const struct kp_storage *storage, struct kp_store **ret, struct kp_error *err)
{
    struct kp_store *store = KP_NEW(struct kp_store);
    store->options = *options;
    store->io = io;
    if (storage)
        store->storage = *storage;
    store->lock_fd = -1;
    store->dir = kp_strdup(options->dir);
    store->options.dir = store->dir;
    store->log_dir = kp_asprintf("%s/log", store->dir);
    if (store->options.now_ms == NULL)
        store->options.now_ms = kp_now_ms;
    if (store->options.seal_after_ms == 0)
        store->options.seal_after_ms = DEFAULT_SEAL_AFTER_MS;
    if (store->options.log_file_bytes == 0)
        store->options.log_file_bytes = DEFAULT_LOG_FILE_BYTES;
    if (store->options.log_file_bytes > MAX_LOG_FILE_BYTES)
        store->options.log_file_bytes = MAX_LOG_FILE_BYTES;
    if (store->options.max_series_bytes == 0)
        store->options.max_series_bytes = DEFAULT_SERIES_BYTES;
    pthread_rwlock_init(&store->lock, NULL);
    make_metrics(store, options->metrics);
    int rc = set_up(store, err);
    if (rc != 0)
        kp_store_close(store);
    else
        *ret = store;
    return rc;
}

int kp_store_open(const struct kp_store_options *options, struct kp_store **ret, struct kp_error *err)
{
    return kp_store_open_io(options, &kp_io_posix, NULL, ret, err);
}

void kp_store_close(struct kp_store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < store->files.n; i++)
        kp_logfile_unref(store->files.items[i]);
    kp_array_free(&store->files);
    if (store->storage.ops)
        kp_tier_sweep(store, true);
    for (size_t i = 0; i < store->sealed.n; i++)
        kp_sealed_unref(store->sealed.items[i]);
    for (size_t i = 0; i < store->bad_names.n; i++)
        kp_free(store->bad_names.items[i]);
    kp_array_free(&store->sealed);
    kp_array_free(&store->doomed);
    kp_array_free(&store->bad_names);
    kp_array_free(&store->to_bury);
    if (store->storage.ops)
        store->storage.ops->close(store->storage.self);
    kp_array_free(&store->pending_series);
    kp_series_table_finish(&store->series);
    kp_forgotten_finish(&store->forgotten);
    kp_caps_finish(&store->caps);
    kp_keyset_finish(&store->keys);
    kp_index_close(store->index);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    pthread_rwlock_destroy(&store->lock);
    kp_free(store->log_dir);
    kp_free(store->dir);
    kp_free(store);
}

// ---- rows ----

struct kp_logfile *kp_store_file_of(const struct kp_store *store, uint64_t number)
{
    size_t low = 0;
    size_t high = store->files.n;
    while (low < high) { // the last file whose first number is not past it
        size_t mid = low + (high - low) / 2;
        if (store->files.items[mid]->head.first <= number)
            low = mid + 1;
        else
            high = mid;
    }
    return low > 0 ? store->files.items[low - 1] : NULL;
}

bool kp_store_locate(
    const struct kp_store *store, uint64_t number, struct kp_logfile **ret_file, size_t *ret_at)
{
    struct kp_logfile *file = kp_store_file_of(store, number);
    if (file == NULL)
        return false;
    uint64_t delta = number - file->head.first;
    ptrdiff_t at = delta <= UINT32_MAX ? kp_rows_find(&file->rows, (uint32_t)delta) : -1;
    if (at < 0)
        return false;
    *ret_file = file;
    *ret_at = (size_t)at;
    return true;
}

bool kp_store_row_live(const struct kp_store *store, const struct kp_logfile *file, size_t at, int64_t now_ms)
{
    const struct kp_row *row = &file->rows.items[at];
    return file->rows.flags[at] == 0 && kp_store_expiry(store, row->keep_s, row->received_ms) > now_ms &&
           !kp_forgotten_hides_row(store, row);
}

uint8_t kp_store_flags(struct kp_store *store, const struct kp_logfile *file, size_t at)
{
    pthread_rwlock_rdlock(&store->lock);
    uint8_t flags = file->rows.flags[at];
    pthread_rwlock_unlock(&store->lock);
    return flags;
}

uint32_t kp_store_keep_s(const struct kp_store *store, const struct kp_record *record)
{
    if (record->retention_ms <= 0)
        return KP_KEEP_DEFAULT;
    int64_t max = store->options.max_retention_ms;
    int64_t keep = max > 0 && record->retention_ms > max ? max : record->retention_ms;
    int64_t seconds = (keep + 999) / 1000;
    return seconds < KP_KEEP_DEFAULT ? (uint32_t)seconds : KP_KEEP_DEFAULT - 1;
}

void kp_store_count_corrupt(struct kp_store *store)
{
    __atomic_add_fetch(&store->n_corrupt, 1, __ATOMIC_RELAXED);
    kp_metric_inc(store->m_quarantined);
}

static void lost_one(struct kp_store *store, uint32_t id, uint8_t flag)
{
    struct kp_series *series = kp_series_of_id(&store->series, id);
    if (series)
        series->n_live--;
    store->series_may_go = true;
    if (flag == KP_ROW_BAD)
        kp_store_count_corrupt(store);
    else
        kp_metric_inc(store->m_dropped);
}

void kp_store_mark_sealed(
    struct kp_store *store, struct kp_sealed *sealed, uint32_t at, uint32_t series, uint8_t flag)
{
    if (!kp_sealed_kill(sealed, at))
        return;
    __atomic_add_fetch(&sealed->n_bad, flag == KP_ROW_BAD, __ATOMIC_RELAXED);
    lost_one(store, series, flag);
}

void kp_store_mark(struct kp_store *store, struct kp_logfile *file, size_t at, uint8_t flag)
{
    const struct kp_row *row = &file->rows.items[at];
    if (file->rows.flags[at] == 0) {
        file->n_live--;
        file->live_bytes -= (uint64_t)row->record_len + row->body_len + KP_FRAME_HEAD_BYTES;
        if (flag != KP_ROW_MOVED)
            lost_one(store, row->series, flag);
    }
    file->rows.flags[at] |= flag;
}

static uint64_t sqlite_bytes(const struct kp_store *store)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    uint64_t bytes = 0;
    for (size_t i = 0; i < KP_COUNT(suffixes); i++) {
        kp_auto_free char *path = kp_asprintf("%s/index.db%s", store->dir, suffixes[i]);
        struct stat st;
        if (stat(path, &st) == 0)
            bytes += (uint64_t)st.st_size;
    }
    return bytes;
}

static uint64_t sidecar_bytes(const struct kp_store *store)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < store->files.n; i++)
        bytes += store->files.items[i]->rows.map_len;
    return bytes;
}

uint64_t kp_store_index_bytes(const struct kp_store *store)
{
    return sqlite_bytes(store) + sidecar_bytes(store);
}

void kp_store_get_stats(struct kp_store *store, struct kp_store_stats *ret)
{
    *ret = (struct kp_store_stats){0};
    pthread_rwlock_rdlock(&store->lock);
    for (size_t i = 0; i < store->files.n; i++)
        ret->n_profiles += store->files.items[i]->n_live;
    for (size_t i = 0; i < store->sealed.n; i++)
        ret->n_sealed += store->sealed.items[i]->segment->n_rows - kp_sealed_n_dead(store->sealed.items[i]);
    ret->n_profiles += ret->n_sealed;
    ret->n_segments = store->sealed.n;
    ret->segment_bytes = store->segment_bytes;
    ret->log_bytes = store->log_bytes;
    ret->index_bytes = sidecar_bytes(store);
    ret->n_series = store->series.by_id.n;
    ret->full = store->full;
    ret->limit_bytes = __atomic_load_n(&store->budget, __ATOMIC_RELAXED);
    ret->n_missing = store->n_missing;
    ret->n_torn = store->n_torn;
    ret->n_corrupt = __atomic_load_n(&store->n_corrupt, __ATOMIC_RELAXED);
    pthread_rwlock_unlock(&store->lock);
    ret->index_bytes += sqlite_bytes(store);
}

bool kp_store_trouble(struct kp_store *store, struct kp_error *ret)
{
    pthread_rwlock_rdlock(&store->lock);
    *ret = store->trouble;
    pthread_rwlock_unlock(&store->lock);
    return ret->code != 0;
}
