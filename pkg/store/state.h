// The store from inside: what its files share. Private to this module.
//
// One writer thread; readers anywhere. `lock` guards files, rows, flags, series and counters: the writer
// holds it for writing only to publish, readers while they look at rows, and for writing to mark what they
// found damaged; nobody while reading or writing files. The writer reads without it what readers do not
// change: all but flags, counts of what lives, and series_may_go.
#ifndef KP_STORE_STATE_H
#define KP_STORE_STATE_H

#include <pthread.h>

#include "base/array.h"
#include "store/caps.h"
#include "store/forgotten.h"
#include "store/id.h"
#include "store/index.h"
#include "store/io.h"
#include "store/keys.h"
#include "store/logfile.h"
#include "store/sealed.h"
#include "store/series.h"
#include "store/store.h"

#define KP_KEY_AGE_MS (INT64_C(24) * 3600 * 1000)
#define KP_MAX_KEYS   4000000

struct kp_store {
    struct kp_store_options options;
    char *dir, *log_dir;
    int lock_fd;
    const struct kp_io *io;
    struct kp_index *index;
    bool index_in_memory; // it was lost and could not be made anew
    struct kp_id_form id_form;
    KP_ARRAY(uint32_t) pending_series; // not in the index yet
    int64_t keys_built_ms;
    struct kp_keyset keys;                 // writer only
    struct kp_caps caps;                   // writer only
    bool series_may_go;                    // some lost profiles since the last look
    struct kp_storage storage;             // of segments
    KP_ARRAY(struct kp_sealed *) doomed;   // not in the table any more; their files go when nobody reads them
    KP_ARRAY(char *) bad_names;            // of damaged segments
    KP_ARRAY(struct kp_tombstone) to_bury; // found dead while opening
    struct kp_seal *sealing;               // NULL = none
    uint64_t n_seals;                      // pieces of work so far, for names

    pthread_rwlock_t lock;
    KP_ARRAY(struct kp_logfile *) files; // oldest first; the last is written to
    KP_ARRAY(struct kp_sealed *) sealed;
    struct kp_series_table series;
    struct kp_forgotten forgotten;
    uint64_t next_number;
    uint64_t log_bytes, segment_bytes;
    uint64_t budget; // of bytes, from max_bytes and the file system; written atomically
    bool full;
    struct kp_error trouble; // what the last one that was refused was told
    uint64_t n_given_up;     // profiles dropped for room
    uint64_t n_missing;
    uint64_t n_corrupt; // atomic
    uint64_t n_torn;

    struct kp_metric *m_stored, *m_known, *m_failed, *m_quarantined, *m_truncated, *m_dropped, *m_syncs,
        *m_sealed, *m_as_received, *m_missing, *m_given_up;
    struct kp_metric *m_sync_seconds;
};

static inline int64_t kp_store_now(const struct kp_store *store)
{
    return store->options.now_ms();
}

static inline struct kp_logfile *kp_store_active(const struct kp_store *store)
{
    return store->files.items[store->files.n - 1];
}

// Counts something damaged that is put aside.
void kp_store_count_corrupt(struct kp_store *store);

// recover.c
KP_MUST_CHECK int kp_store_recover(struct kp_store *store, bool fresh_index, struct kp_error *err);

// rotate.c: closes the active file (sidecar, index) and begins a new one.
KP_MUST_CHECK int kp_store_rotate(struct kp_store *store, struct kp_error *err);
KP_MUST_CHECK int kp_store_begin_file(struct kp_store *store, struct kp_error *err);
// Writes the sidecar and notes it in the index; what fails is tried again at the next start.
void kp_store_close_file(struct kp_store *store, struct kp_logfile *file);

// Brings new series into the index; what fails stays pending.
KP_MUST_CHECK int kp_store_flush_series(struct kp_store *store, struct kp_error *err);
// Where it was damaged or removed while the store is open: a new one, with all that is known.
void kp_store_mend_index(struct kp_store *store);

// compact.c: replaces a closed file by one with its live profiles only, or removes it.
KP_MUST_CHECK int kp_store_compact(struct kp_store *store, size_t at, struct kp_error *err);

// retain.c
void kp_store_measure(struct kp_store *store); // budget
// What a file system has room for, of which others may fill a part: a tenth of it stays free. And a tenth is
// ours whoever fills the rest: no room is made for others by giving up all that is stored.
uint64_t kp_store_budget_of(uint64_t total, uint64_t free_bytes, uint64_t used);
void kp_store_build_keys(struct kp_store *store);
// Bytes of each namespace: live ones in the log, and of segments; several times for one. Lock held.
void kp_store_each_share(const struct kp_store *store,
    void (*each)(void *user, const char *namespace, uint64_t bytes), void *user);
// Drops the oldest segment of a namespace, which is older than what it has in the log. Bytes that became
// free; 0 = it has none, or it cannot go now.
uint64_t kp_store_drop_oldest_segment(struct kp_store *store, const char *namespace);
// Marks its oldest in the log until about `bytes` are free. Only closed files give space back.
uint64_t kp_store_drop_oldest(struct kp_store *store, const char *namespace, uint64_t bytes);
KP_MUST_CHECK int kp_store_make_room(struct kp_store *store, uint64_t bytes, struct kp_error *err);
// KP_LIMIT: says why there is no room, and what to do.
int kp_store_fail_full(struct kp_store *store, struct kp_error *err);

// The file whose numbers this is one of; NULL = it is older than all. Call with the lock held.
struct kp_logfile *kp_store_file_of(const struct kp_store *store, uint64_t number);
// Row of a number; false if it is not there. Call with the lock held.
bool kp_store_locate(
    const struct kp_store *store, uint64_t number, struct kp_logfile **ret_file, size_t *ret_at);
// Whether it can be read: not dead, bad or past its age. Lock held.
bool kp_store_row_live(
    const struct kp_store *store, const struct kp_logfile *file, size_t at, int64_t now_ms);
// Marks a row and keeps the counters right. Lock held for writing.
void kp_store_mark(struct kp_store *store, struct kp_logfile *file, size_t at, uint8_t flag);
void kp_store_mark_sealed(
    struct kp_store *store, struct kp_sealed *sealed, uint32_t at, uint32_t series, uint8_t flag);
// For the writer, which does not hold the lock: readers may be setting KP_ROW_BAD.
uint8_t kp_store_flags(struct kp_store *store, const struct kp_logfile *file, size_t at);
// Writes tombstones to the log, durable, with one sync. Marks nothing.
KP_MUST_CHECK int kp_store_append_tombstones(
    struct kp_store *store, const struct kp_tombstone *tombstones, size_t n, struct kp_error *err);
// Of SQLite and the sidecars. On the writer thread.
uint64_t kp_store_index_bytes(const struct kp_store *store);
// What a row keeps of the retention a record asks for.
uint32_t kp_store_keep_s(const struct kp_store *store, const struct kp_record *record);
void kp_store_fill_known(
    const struct kp_store *store, const struct kp_logfile *file, size_t at, struct kp_record *record);

#endif
