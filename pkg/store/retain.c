// What may stay: by age since receipt, then by bytes. Rows are marked first; files are written again or
// removed afterwards.
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "store/quarantine.h"
#include "store/tier.h"
#include "base/banned.h"

#define REBUILD_KEYS_MS (INT64_C(3600) * 1000)
#define FREE_SHARE      10 // a tenth of the file system stays free when max_bytes is not given

static uint64_t used_bytes(const struct kp_store *store)
{
    return store->log_bytes + store->segment_bytes + kp_store_index_bytes(store);
}

uint64_t kp_store_budget_of(uint64_t total, uint64_t free_bytes, uint64_t used)
{
    uint64_t share = total / FREE_SHARE;
    uint64_t ours = used + free_bytes;
    uint64_t budget = ours > share ? ours - share : 0;
    return budget > share ? budget : share + (share == 0);
}

void kp_store_measure(struct kp_store *store)
{
    uint64_t budget = store->options.max_bytes;
    struct statvfs fs;
    if (budget == 0 && statvfs(store->log_dir, &fs) == 0) {
        uint64_t total = (uint64_t)fs.f_blocks * fs.f_frsize;
        budget = kp_store_budget_of(total, (uint64_t)fs.f_bavail * fs.f_frsize, used_bytes(store));
    }
    __atomic_store_n(&store->budget, budget, __ATOMIC_RELAXED);
}

void kp_store_build_keys(struct kp_store *store)
{
    struct kp_keyset *keys = &store->keys; // not both at once: they are the largest part of the memory
    kp_keyset_finish(keys);
    int64_t now_ms = kp_store_now(store);
    for (size_t f = store->files.n; f-- > 0;) { // the newest first: they stay when there are too many
        const struct kp_logfile *file = store->files.items[f];
        for (size_t i = file->rows.n; i-- > 0 && keys->n < KP_MAX_KEYS;) {
            const struct kp_row *row = &file->rows.items[i];
            if ((row->key[0] | row->key[1]) != 0 && row->received_ms + KP_KEY_AGE_MS > now_ms)
                kp_keyset_add(keys, row->key[1], file->head.first + row->number_delta);
        }
    }
    store->keys_built_ms = now_ms;
}

// ---- age ----

static void expire_file(struct kp_store *store, struct kp_logfile *file, int64_t now_ms)
{
    if (file->next_expiry_ms > now_ms)
        return;
    int64_t next = INT64_MAX;
    pthread_rwlock_wrlock(&store->lock);
    for (size_t i = 0; i < file->rows.n; i++) {
        const struct kp_row *row = &file->rows.items[i];
        int64_t at =
            file->rows.flags[i] == 0 ? kp_store_expiry(store, row->keep_s, row->received_ms) : INT64_MAX;
        if (at <= now_ms)
            kp_store_mark(store, file, i, KP_ROW_DEAD);
        else if (at < next)
            next = at;
    }
    file->next_expiry_ms = next;
    pthread_rwlock_unlock(&store->lock);
}

// ---- bytes ----

struct share {
    const char *namespace;
    uint64_t bytes;
    UT_hash_handle hh;
};

static const char *namespace_of(const struct kp_store *store, uint32_t series)
{
    const struct kp_series *s = kp_series_of_id(&store->series, series);
    return s ? s->fields[KP_SERIES_NAMESPACE] : "";
}

static void add_share(void *user, const char *namespace, uint64_t bytes)
{
    struct share **all = user;
    struct share *share;
    HASH_FIND_STR(*all, namespace, share);
    if (share == NULL) {
        share = KP_NEW(struct share);
        share->namespace = namespace;
        HASH_ADD_KEYPTR(hh, *all, share->namespace, strlen(share->namespace), share);
    }
    share->bytes += bytes;
}

void kp_store_each_share(
    const struct kp_store *store, void (*each)(void *user, const char *namespace, uint64_t bytes), void *user)
{
    for (size_t f = 0; f < store->files.n; f++) {
        const struct kp_logfile *file = store->files.items[f];
        for (size_t i = 0; file->n_live > 0 && i < file->rows.n; i++)
            if (file->rows.flags[i] == 0)
                each(user, namespace_of(store, file->rows.items[i].series),
                    (uint64_t)file->rows.items[i].record_len + file->rows.items[i].body_len);
    }
    for (size_t i = 0; i < store->sealed.n; i++)
        each(user, store->sealed.items[i]->segment->namespace, store->sealed.items[i]->segment->file_bytes);
}

// The namespace with the most bytes is the one furthest over an equal share. Its name, to be freed; NULL if
// nothing lives.
static char *fattest(struct kp_store *store)
{
    pthread_rwlock_rdlock(&store->lock);
    struct share *all = NULL;
    kp_store_each_share(store, add_share, &all);
    pthread_rwlock_unlock(&store->lock);
    const struct share *fat = NULL;
    struct share *s;
    struct share *next;
    HASH_ITER (hh, all, s, next)
        if (fat == NULL || s->bytes > fat->bytes)
            fat = s;
    char *name = fat ? kp_strdup(fat->namespace) : NULL;
    HASH_ITER (hh, all, s, next) {
        HASH_DEL(all, s);
        kp_free(s);
    }
    return name;
}

uint64_t kp_store_drop_oldest_segment(struct kp_store *store, const char *namespace)
{
    struct kp_sealed *oldest = NULL;
    for (size_t i = 0; i < store->sealed.n; i++) {
        struct kp_sealed *s = store->sealed.items[i];
        if (kp_streq(s->segment->namespace, namespace) &&
            (oldest == NULL || s->segment->min_received_ms < oldest->segment->min_received_ms))
            oldest = s;
    }
    if (oldest == NULL)
        return 0;
    uint64_t bytes = oldest->segment->file_bytes;
    uint32_t n_live = oldest->segment->n_rows - kp_sealed_n_dead(oldest);
    struct kp_error err = {0};
    if (kp_tier_drop(store, oldest, &err) == 0) {
        store->n_given_up += n_live;
        return bytes;
    }
    KP_DEBUG("cannot drop a segment", KP_E(&err));
    return 0;
}

uint64_t kp_store_drop_oldest(struct kp_store *store, const char *namespace, uint64_t bytes)
{
    uint64_t freed = 0;
    pthread_rwlock_wrlock(&store->lock);
    for (size_t f = 0; f + 1 < store->files.n && freed < bytes; f++) {
        struct kp_logfile *file = store->files.items[f];
        for (size_t i = 0; i < file->rows.n && freed < bytes; i++) {
            const struct kp_row *row = &file->rows.items[i];
            if (file->rows.flags[i] != 0 || strcmp(namespace_of(store, row->series), namespace) != 0)
                continue;
            kp_store_mark(store, file, i, KP_ROW_DEAD);
            store->n_given_up++;
            freed += (uint64_t)row->record_len + row->body_len + KP_FRAME_HEAD_BYTES;
        }
    }
    pthread_rwlock_unlock(&store->lock);
    return freed;
}

// The closed file with the largest dead part, if it is worth the writing.
static bool find_dead(struct kp_store *store, uint64_t at_least, size_t *ret_at)
{
    uint64_t most = 0;
    int64_t now_ms = kp_store_now(store);
    pthread_rwlock_rdlock(&store->lock);
    for (size_t f = 0; f + 1 < store->files.n; f++) {
        const struct kp_logfile *file = store->files.items[f];
        if (at_least == UINT64_MAX && kp_tier_may_need(store, f))
            continue;
        uint64_t used = KP_LOG_HEAD_BYTES + file->live_bytes + file->n_live * KP_FRAME_ALIGN +
                        file->rows.n_tombstones * KP_FRAME_HEAD_BYTES;
        uint64_t dead = file->size > used ? file->size - used : 0;
        if (store->sealing == NULL && file->n_live == 0 && file->max_received_ms + KP_KEY_AGE_MS <= now_ms &&
            !kp_store_needs_tombstones(store, file))
            dead = UINT64_MAX; // at most old keys are left: it can be removed
        if (dead > most && (dead >= file->size / 2 || dead >= at_least)) {
            most = dead;
            *ret_at = f;
        }
    }
    pthread_rwlock_unlock(&store->lock);
    return most > 0;
}

static bool over(const struct kp_store *store, uint64_t bytes)
{
    return store->budget > 0 && used_bytes(store) + bytes > store->budget;
}

static int make_room(struct kp_store *store, uint64_t bytes, struct kp_error *err)
{
    uint64_t slack = store->budget / 20; // not again for every profile
    if (!over(store, bytes))             // asked once: it looks at files, and each batch comes here
        return 0;
    for (int round = 0; over(store, bytes) && round < 256; round++) {
        uint64_t wanted = used_bytes(store) + bytes + slack - store->budget;
        size_t at;
        if (!find_dead(store, 1, &at)) {
            kp_auto_free char *namespace = fattest(store);
            if (namespace == NULL)
                break;
            if (kp_store_drop_oldest_segment(store, namespace) > 0)
                continue;
            if (kp_store_drop_oldest(store, namespace, wanted) == 0 && kp_store_rotate(store, err) != 0)
                return err ? err->code : KP_INTERNAL;
            continue;
        }
        int rc = kp_store_compact(store, at, err);
        if (rc != 0)
            return rc;
    }
    return over(store, bytes) ? kp_store_fail_full(store, err) : 0;
}

int kp_store_make_room(struct kp_store *store, uint64_t bytes, struct kp_error *err)
{
    uint64_t before = store->n_given_up; // what goes for a namespace's own limit counts there as well
    int rc = make_room(store, bytes, err);
    kp_metric_add(store->m_given_up, (double)(store->n_given_up - before));
    return rc;
}

int kp_store_fail_full(struct kp_store *store, struct kp_error *err)
{
    struct statvfs fs = {0};
    bool known = statvfs(store->log_dir, &fs) == 0;
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    uint64_t used = used_bytes(store);
    if (store->options.max_bytes > 0 && used >= store->options.max_bytes)
        return kp_fail(err, KP_LIMIT,
            "the store is full: %" PRIu64 " of %" PRIu64
            " bytes are in use; raise --max-bytes or shorten --retention",
            used, store->budget);
    return kp_fail(err, KP_LIMIT,
        "the store is full: '%.60s' has %.1f MiB free%s, of which the registry may not take more; it holds "
        "%.1f "
        "MiB, %" PRIu64 " profiles were given up for room; free space there or give it a larger disk",
        store->dir, (double)free_bytes / KP_MIB, known ? "" : " (not known)", (double)used / KP_MIB,
        store->n_given_up);
}

static bool has_space(const struct kp_store *store)
{
    struct statvfs fs;
    return !over(store, 0) && statvfs(store->log_dir, &fs) == 0 &&
           (uint64_t)fs.f_bavail * fs.f_frsize >= KP_MIB;
}

static bool can_write(const struct kp_store *store)
{
    kp_auto_free char *path = kp_asprintf("%s/probe", store->log_dir);
    int rc = kp_file_write_atomic(path, "", 0, 0600, NULL);
    return rc == 0 && unlink(path) == 0 && store->io->fdatasync(kp_store_active(store)->fd) == 0;
}

// Also where nobody tries to store anything.
static void look_whether_mended(struct kp_store *store)
{
    int code = store->trouble.code; // only this thread sets it
    if (code == 0 || (store->full && !has_space(store)) || (code == KP_INTERNAL && !can_write(store)) ||
        code == KP_UNAVAILABLE)
        return;
    pthread_rwlock_wrlock(&store->lock);
    store->full = false;
    kp_error_clear(&store->trouble);
    pthread_rwlock_unlock(&store->lock);
}

// ---- series ----

static void drop_series(struct kp_store *store)
{
    KP_ARRAY(uint32_t) gone = {0};
    pthread_rwlock_rdlock(&store->lock);
    for (size_t i = 0; store->series_may_go && i < store->series.by_id.n; i++)
        if (store->series.by_id.items[i]->n_live == 0)
            *kp_array_add(&gone) = store->series.by_id.items[i]->id;
    pthread_rwlock_unlock(&store->lock);
    struct kp_error err = {0};
    int rc = gone.n > 0 ? kp_index_begin(store->index, &err) : 0;
    for (size_t i = 0; rc == 0 && i < gone.n; i++)
        rc = kp_index_remove_series(store->index, gone.items[i], &err);
    if (rc == 0 && gone.n > 0)
        rc = kp_index_commit(store->index, false, &err);
    if (rc != 0) {
        kp_index_rollback(store->index);
        KP_DEBUG("cannot remove series from the index", KP_E(&err));
    } else {
        pthread_rwlock_wrlock(&store->lock);
        for (size_t i = 0; i < gone.n; i++)
            kp_series_remove(&store->series, gone.items[i]);
        pthread_rwlock_unlock(&store->lock);
        store->series_may_go = false;
    }
    kp_array_free(&gone);
}

static int keep_within_limits(struct kp_store *store, int64_t now_ms, bool *ret_more, struct kp_error *err)
{
    struct kp_logfile *active = kp_store_active(store);
    pthread_rwlock_rdlock(&store->lock);
    bool spent = active->n_live == 0 && active->rows.n > 0;
    pthread_rwlock_unlock(&store->lock);
    if (spent) { // closed, it can go
        int failed = kp_store_rotate(store, err);
        if (failed != 0)
            return failed;
    }
    size_t at;
    int rc = kp_tier_expire(store, err);
    if (rc == 0)
        rc = kp_store_cap(store, ret_more, err);
    if (rc == 0)
        rc = kp_caps_retain(store, ret_more, err);
    kp_tier_sweep(store, false);
    if (rc != 0 || *ret_more)
        return rc;
    if (find_dead(store, UINT64_MAX, &at)) {
        *ret_more = true;
        return kp_store_compact(store, at, err);
    }
    drop_series(store);
    if (now_ms - store->keys_built_ms > REBUILD_KEYS_MS)
        kp_store_build_keys(store);
    rc = kp_store_make_room(store, 0, err);
    if (rc == 0)
        look_whether_mended(store);
    return rc;
}

int kp_store_retain(struct kp_store *store, bool *ret_more, struct kp_error *err)
{
    int64_t now_ms = kp_store_now(store);
    struct kp_error why = {0};
    *ret_more = false;
    kp_store_measure(store);
    kp_store_mend_index(store);
    if (!store->id_form.is_saved)
        (void)!kp_id_form_save(store->dir, &store->id_form, NULL); // again with the next upkeep
    for (size_t f = 0; f < store->files.n; f++)
        expire_file(store, store->files.items[f], now_ms);
    kp_quarantine_sweep(store);
    int forgotten = kp_forgotten_apply(store, ret_more, &why);
    if (forgotten == 0 && *ret_more)
        return 0;
    *ret_more = false; // a segment that cannot be forgotten must not keep the rest from going
    int rc = keep_within_limits(store, now_ms, ret_more, err);
    return rc == 0 && !*ret_more && forgotten != 0 ? kp_fail(err, forgotten, "%s", why.text) : rc;
}
