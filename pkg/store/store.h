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
#include "base/stop.h"
#include "profile/profile.h"
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
    int (*remove)(void *self, const char *name, struct kp_error *err); // durable on return; KP_NOT_FOUND
    void (*close)(void *self);
};
struct kp_storage {
    const struct kp_storage_ops *ops;
    void *self;
};
KP_MUST_CHECK int kp_storage_dir_open(const char *path, struct kp_storage *ret, struct kp_error *err);

// Whether segments hold the received bytes as well.
enum kp_keep_original {
    KP_ORIGINAL_ON_ERROR, // where the profile read back would not be equal, and of the older text forms
    KP_ORIGINAL_ALWAYS,
    KP_ORIGINAL_NEVER, // not even then: it is read back as well as it can be
};

struct kp_store_options {
    const char *dir;                   // data directory; locked by one process
    uint64_t max_bytes;                // of everything; 0 = 90 % of the file system
    int64_t retention_ms;              // default age; 0 = for ever
    int64_t max_retention_ms;          // caps what records ask for; 0 = no cap
    uint64_t max_profiles_per_service; // the oldest beyond it are deleted; 0 = no such limit
    uint64_t
        max_bytes_per_namespace;     // its oldest go beyond it; a tenth more: KP_THROTTLED; 0 = no such limit
    size_t max_series_per_namespace; // profiles of further ones are KP_THROTTLED; 0 = no such limit
    // Of memory, for names and labels of series. A namespace that would take what is left for others:
    // KP_THROTTLED; all together an eighth above: KP_UNAVAILABLE. 0 = 256 MiB
    uint64_t max_series_bytes;
    size_t log_file_bytes; // a log file is closed at this size; 0 = 64 MiB
    int64_t seal_after_ms; // a log file is closed, to be sealed, at this age; 0 = 10 min
    enum kp_keep_original keep_original;
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
    KP_APPEND_GONE,   // its namespace was forgotten since it was taken: not kept, no id; 200
    KP_APPEND_FAILED, // see error: KP_LIMIT = store full (507), KP_THROTTLED = its namespace has what it may
                      // have (429), KP_UNAVAILABLE = the folder is gone, or series take all the memory
                      // they may (503), KP_INTERNAL = I/O
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

// The same; one of another namespace (NULL = all) is not found.
KP_MUST_CHECK int kp_store_get_in(struct kp_store *store, const char *namespace, const char *id,
    struct kp_record *ret_record, struct kp_blob **ret_body, struct kp_error *err);

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
    const struct kp_stop
        *stop; // asked where a selector has regular expressions. NULL = takes as long as it takes
};
// Calls each (records borrowed) in order of time; returns the cursor for what follows, or NULL at the end
// (free it).
KP_MUST_CHECK int kp_store_list(struct kp_store *store, const struct kp_store_query *query,
    bool (*each)(void *user, const struct kp_record *record), void *user, char **ret_cursor,
    struct kp_error *err);

// Whether a profile with this record would be found: for those who hear of new ones. Limit and cursor are not
// looked at.
bool kp_store_query_matches(const struct kp_store_query *query, const struct kp_record *record);

struct kp_service_info {
    const char *namespace, *service;
    uint64_t n_profiles, bytes; // bytes: as received; about, for what is sealed
    int64_t first_ms, last_ms;
    const char *types; // "cpu,heap"
};
KP_MUST_CHECK int kp_store_services(struct kp_store *store, const char *namespace,
    void (*each)(void *user, const struct kp_service_info *info), void *user, struct kp_error *err);

// ---- merging ----
// Sums profiles from their stored form under the rules of profile/kinds.h: windows add, counters since the
// start of a process become differences between captures of one container life (the first capture is what
// the second is compared with, unless the life began inside the time asked for: then it counts in full),
// gauges are averaged per pod over time and added over pods. Where more than one build went in, functions are
// joined by name and addresses are dropped. A single profile asked for by its id is given as it is.
struct kp_merge_query {
    struct kp_store_query select; // type is needed; limit and cursor are not looked at
    const char *const *ids;       // instead of select, but for its namespace: exactly these, each as often
                                  // as named
    size_t n_ids;
    bool plain_sum;         // profefe's: everything just adds
    bool with_startup;      // also captures of a container's first 60 s
    bool weigh_by_sampling; // windows count n/k times: k of n pods were sampled
    bool equal_durations;   // only captures as long as most of them (PGO)
    size_t max_profiles;    // KP_LIMIT beyond; 0 = 1 000 000
    size_t max_bytes;       // of memory for the sums; KP_LIMIT beyond; 0 = 256 MiB
    const int *cancelled;   // atomic; becomes not 0: KP_CANCELED soon. NULL = never
    int64_t deadline_ms;    // of kp_mono_ms(); KP_TIMEOUT beyond; 0 = none
};
struct kp_merge_stats {
    uint64_t n_profiles, n_pods, n_builds; // that are in the sum
    uint64_t n_startup, n_other_duration;  // left out
    uint64_t n_damaged;                    // left out: could not be read
    int64_t first_ms, last_ms;             // starts of captures
};
// KP_NOT_FOUND: nothing matches. KP_CONFLICT: their sample types differ, or the type is not pprof.
KP_MUST_CHECK int kp_store_merge(struct kp_store *store, const struct kp_merge_query *query,
    struct kp_profile **ret, struct kp_merge_stats *ret_stats, struct kp_error *err);

// Values over time: per step the total of one sample type, or what is spent in and below one function.
struct kp_points_query {
    struct kp_merge_query merge;
    int64_t step_ms;         // buckets begin at multiples of it
    const char *sample_type; // NULL = the default one
    const char *function;    // exact name; NULL = totals
    const char *group_by;    // label or system field; NULL = one line
    size_t max_points;       // KP_LIMIT beyond; 0 = 11 000
};
struct kp_point {
    const char *group; // "" without group_by
    int64_t time_ms;
    double value; // of windows and counters: per second of each pod, added over pods (cores for CPU); of
                  // gauges: averaged per pod, added over pods
    uint64_t n_profiles;
};
// In order of group and time. A counter's growth lies in the step in which the later capture lies. ret_unit:
// "bytes", "count"; of windows and counters "cores" (CPU), "seconds/second", "bytes/second", ... (free it).
// KP_INVALID: there is no such sample type.
KP_MUST_CHECK int kp_store_points(struct kp_store *store, const struct kp_points_query *query,
    void (*each)(void *user, const struct kp_point *point), void *user, char **ret_unit,
    struct kp_error *err);

// Label keys of the series that match (key NULL), or values of one key, each once, in order. System fields
// count.
KP_MUST_CHECK int kp_store_labels(struct kp_store *store, const struct kp_store_query *query, const char *key,
    void (*each)(void *user, const char *text, uint64_t n_profiles), void *user, struct kp_error *err);

// ---- sealing ----
// Moves closed stretches of the log into segments. begin (writer thread) picks a stretch, pins it and returns
// NULL in *ret if there is nothing to do (KP_CONFLICT: one is under way); run does the work on any thread,
// beside reads and writes; end (writer thread) puts the segments in the place of the stretch: those that were
// whole, if run failed. now: also what is being written, and hours that are not over. When no stretch is to
// be sealed, begin picks segments that are worth joining or writing again.
struct kp_seal;
KP_MUST_CHECK int kp_store_seal_begin(
    struct kp_store *store, bool now, struct kp_seal **ret, struct kp_error *err);
KP_MUST_CHECK int kp_seal_run(struct kp_seal *seal, const int *cancelled, struct kp_error *err);
KP_MUST_CHECK int kp_seal_end(struct kp_seal *seal, struct kp_error *err); // frees it

// Checks every segment and log file whole (sums, footers, every profile can be read back). Calls each for
// what is wrong. Any thread.
KP_MUST_CHECK int kp_store_verify(struct kp_store *store,
    void (*each)(void *user, const char *file, const char *what), void *user, struct kp_error *err);

// ---- upkeep (writer thread) ----
KP_MUST_CHECK int kp_store_delete(struct kp_store *store, const char *id, struct kp_error *err);
// The oldest that match, query->limit (above 0) at most, with one sync. Ask again while *ret_n is the limit.
KP_MUST_CHECK int kp_store_delete_matching(
    struct kp_store *store, const struct kp_store_query *query, size_t *ret_n, struct kp_error *err);
// Everything of the namespace that was received, or whose capture began, before before_ms is gone, also what
// of it is yet to come: one durable note, in constant time; the bytes go with the next upkeep. Of several
// calls the latest time stands. "" is a namespace like any other.
KP_MUST_CHECK int kp_store_forget_namespace(
    struct kp_store *store, const char *namespace, int64_t before_ms, struct kp_error *err);
// The same of several, with one note for all: all are gone, or none. KP_LIMIT: there are too many, some of
// them are not gone.
struct kp_forget {
    const char *namespace;
    int64_t before_ms;
};
KP_MUST_CHECK int kp_store_forget_namespaces(
    struct kp_store *store, const struct kp_forget *items, size_t n, struct kp_error *err);
// Drops what is past its age, then, over max_bytes, the oldest of the namespace furthest over its share.
// Small steps: call it again at once while *ret_more.
KP_MUST_CHECK int kp_store_retain(struct kp_store *store, bool *ret_more, struct kp_error *err);
// Whether a namespace is over its limit, so that kp_store_retain() should be called before its time. Any
// thread.
bool kp_store_wants_retain(struct kp_store *store);

struct kp_store_stats {
    uint64_t n_profiles, log_bytes, segment_bytes, index_bytes, n_series, n_segments, n_sealed;
    uint64_t n_corrupt, n_torn; // since it was opened: damaged pieces put aside, log tails cut off
    uint64_t n_missing;         // segments that were not there when it was opened
    uint64_t limit_bytes;       // of log, segments and index together: as options and file system have it
    bool full;
};
void kp_store_get_stats(struct kp_store *store, struct kp_store_stats *ret);
// What keeps profiles from being stored since the last was refused: KP_LIMIT (full), KP_INTERNAL (the disk
// cannot be written), KP_UNAVAILABLE (somebody took the folder away: nothing can be read either). False:
// nothing does. Any thread, at once.
bool kp_store_trouble(struct kp_store *store, struct kp_error *ret);

#endif
