// The store: what the registry keeps. Two tiers: a log of received bytes (this is where an acknowledged
// profile lives at first), and sealed segments. Blocking, batch-oriented calls, meant to run in jobs or on
// one writer thread; no threads of its own. Writes (append, retain, seal) come from one thread at a time;
// reads may run beside them from any thread.
#ifndef KP_STORE_STORE_H
#define KP_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/error.h"
#include "base/metrics.h"
#include "base/selector.h"
#include "record/record.h"

struct kp_store;

// The seam for segment storage: whole immutable files by name. A folder is the first implementation
// (storage_dir.c), object storage a later one. All blocking; names are [A-Za-z0-9._/-].
struct kp_storage_ops {
    int (*put)(void *self, const char *name, const void *data, size_t len,
        struct kp_error *err); // durable on return
    int (*get)(void *self, const char *name, uint64_t offset, size_t len, void *out, struct kp_error *err);
    int (*list)(void *self, const char *prefix, void (*each)(void *user, const char *name, uint64_t size),
        void *user, struct kp_error *err);
    int (*remove)(void *self, const char *name, struct kp_error *err);
    void (*close)(void *self);
};
struct kp_storage {
    const struct kp_storage_ops *ops;
    void *self;
};
KP_MUST_CHECK int kp_storage_dir_open(const char *path, struct kp_storage *ret, struct kp_error *err);

struct kp_store_options {
    const char *dir;          // data directory; locked by one process
    uint64_t max_bytes;       // of everything; 0 = 90 % of the file system
    int64_t retention_ms;     // default age; 0 = for ever
    int64_t max_retention_ms; // caps what records ask for; 0 = no cap
    size_t log_file_bytes;    // a log file is closed at this size; 0 = 64 MiB
    struct kp_metrics *metrics;
    int64_t (*now_ms)(void); // NULL = the wall clock; tests set it
};

// Recovers after a crash: checks the log's tail, truncates at the last whole record, rebuilds what the index
// lacks. KP_CONFLICT: another process holds the directory.
KP_MUST_CHECK int kp_store_open(
    const struct kp_store_options *options, struct kp_store **ret, struct kp_error *err);
void kp_store_close(struct kp_store *store);

enum kp_append_status {
    KP_APPEND_STORED, // 201
    KP_APPEND_KNOWN,  // the key was here already: 200, with the first id
    KP_APPEND_FAILED, // see error: KP_LIMIT = store full (507), KP_INTERNAL = I/O
};

struct kp_append {
    struct kp_record *record; // in: everything but id, received_ms, size_bytes; out: those as well
    struct kp_blob *body;     // validated by the caller
    enum kp_append_status status;
    struct kp_error error;
};
// Group commit: writes all, one fdatasync, then indexes. When it returns every entry is durable or has
// failed. The call as a whole fails only together with every entry.
void kp_store_append(struct kp_store *store, struct kp_append *entries, size_t n);

// ---- reading ----
// Returns KP_NOT_FOUND, or the record (finish it) and the bytes (unref them; either may be NULL).
KP_MUST_CHECK int kp_store_get(struct kp_store *store, const char *id, struct kp_record *ret_record,
    struct kp_blob **ret_body, struct kp_error *err);

struct kp_store_query {
    const char *namespace;      // NULL = all
    const char *service, *type; // NULL = any
    int64_t from_ms, to_ms;     // start of the capture; [from, to); 0 = open
    const struct kp_selector
        *selector;      // over labels and the system fields k8s.namespace k8s.pod k8s.container k8s.node
                        // k8s.workload k8s.revision version ...; NULL = all
    size_t limit;       // 0 = 1000
    const char *cursor; // from the answer before; NULL = start
    bool newest_first;
};
// Calls each (records borrowed) in order of time; returns the cursor for what follows, or NULL at the end
// (free it).
KP_MUST_CHECK int kp_store_list(struct kp_store *store, const struct kp_store_query *query,
    bool (*each)(void *user, const struct kp_record *record), void *user, char **ret_cursor,
    struct kp_error *err);

struct kp_service_info {
    const char *namespace, *service;
    uint64_t n_profiles, bytes;
    int64_t first_ms, last_ms;
    const char *types; // "cpu,heap"
};
KP_MUST_CHECK int kp_store_services(struct kp_store *store, const char *namespace,
    void (*each)(void *user, const struct kp_service_info *info), void *user, struct kp_error *err);

// ---- upkeep (writer thread) ----
KP_MUST_CHECK int kp_store_delete(struct kp_store *store, const char *id, struct kp_error *err);
// Drops what is past its age, then, over max_bytes, the oldest of the namespace furthest over its share.
// Small steps: call it again at once while *ret_more.
KP_MUST_CHECK int kp_store_retain(struct kp_store *store, bool *ret_more, struct kp_error *err);

struct kp_store_stats {
    uint64_t n_profiles, log_bytes, segment_bytes, index_bytes, n_series;
    bool full;
};
void kp_store_get_stats(struct kp_store *store, struct kp_store_stats *ret);

#endif
