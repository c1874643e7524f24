// Delivery of captures and target states: memory first, a spool on disk when the receiver is away. The
// outcome of a capture is final when the receiver has answered: 201, or 200 for a key it has: Succeeded; 422
// Empty or Invalid; 413 TooLarge; 507 StoreFull; 429 NamespaceLimit: Throttled; on 401, 403, 429, 5xx or no
// answer the capture stays here and is tried again, with backoff: those of a namespace in order, each
// series one at a time, namespaces in turn. A namespace takes at most three quarters of the room there is,
// less where several take much.
#ifndef KP_SINK_SINK_H
#define KP_SINK_SINK_H

#include <stddef.h>
#include <stdint.h>

#include "aio/http.h"
#include "aio/loop.h"
#include "base/blob.h"
#include "base/metrics.h"
#include "base/outcome.h"
#include "record/record.h"
#include "record/state.h"

// A receiver. `registry` is the first; tests use `memory`. One capture at a time per call; several calls may
// run.
struct kp_sink_answer {
    enum kp_outcome outcome; // final, or
    bool retry;              // try again later
    int retry_after_s;
    int status; // of HTTP; 0 = there was no answer, or it is no HTTP
    char message[240];
};
struct kp_sink_ops {
    const char *name;
    // on_done comes once, later. record and body are borrowed until then.
    void (*send)(void *self, const struct kp_record *record, struct kp_blob *body,
        void (*on_done)(void *user, const struct kp_sink_answer *answer), void *user);
    void (*send_state)(void *self, struct kp_blob *encoded,
        void (*on_done)(void *user, const struct kp_sink_answer *answer), void *user);
    void (*close)(void *self); // cancels; every on_done has come when it returns
};

struct kp_sink_registry_options {
    const char *url; // "https://kube-pprof-registry.kube-pprof.svc"
    const char *ca_file, *cert_file, *key_file,
        *token_file; // NULL = none; the token is read for each request
};
KP_MUST_CHECK int kp_sink_registry_create(struct kp_loop *loop,
    const struct kp_sink_registry_options *options, const struct kp_sink_ops **ret_ops, void **ret_self,
    struct kp_error *err);
// From the next request on these PEM texts (copied) instead of the files; NULL = the file again. Connections
// made with others are not used any more.
void kp_sink_registry_set_ca(void *self, const char *ca_pem);
void kp_sink_registry_set_client(void *self, const char *cert_pem, const char *key_pem);
// One request to the registry beside deliveries, with the same credentials: method "POST" with body, or
// "GET". on_done as in kp_sink_ops, later or, when the request cannot be made at all, at once.
void kp_sink_registry_ask(void *self, const char *method, const char *path, const char *content_type,
    struct kp_blob *body, void (*on_done)(void *user, const struct kp_sink_answer *answer), void *user);

struct kp_sink;
struct kp_sink_options {
    const struct kp_sink_ops *ops;
    void *self;            // closed with the sink, also when kp_sink_create() fails
    const char *spool_dir; // NULL = memory only
    uint64_t spool_bytes;  // 0 = 512 MiB; full: the newest capture is Undelivered
    size_t memory_bytes;   // waiting in memory before spilling, and of the spool read at a time; 0 = 16 MiB
    int64_t
        max_age_ms; // older ones are dropped as Undelivered; 0 = 24 h (the registry forgets keys after that)
    int concurrent; // deliveries at once; 0 = 8
    struct kp_metrics *metrics;
    int64_t (*now_ms)(void); // NULL = wall clock
};

// The final outcome of a capture. record is borrowed; after a restart it may concern an order of an earlier
// process.
typedef void (*kp_sink_outcome_fn)(
    void *user, const struct kp_record *record, enum kp_outcome outcome, const char *message);

// Opens and replays the spool (records with a bad CRC are dropped and counted). KP_CONFLICT: another process
// holds it.
KP_MUST_CHECK int kp_sink_create(struct kp_loop *loop, const struct kp_sink_options *options,
    kp_sink_outcome_fn on_outcome, void *user, struct kp_sink **ret, struct kp_error *err);
// The record is copied, the body referenced.
void kp_sink_put(struct kp_sink *sink, const struct kp_record *record, struct kp_blob *body);
// Holds captures back (while the API server cannot confirm the pod): the caller keeps those itself; here only
// delivery pauses.
void kp_sink_pause(struct kp_sink *sink, bool paused);
// The state of a namespace's targets, encoded (record/state.h). Newest wins per namespace; not spooled.
void kp_sink_put_state(struct kp_sink *sink, const char *namespace, struct kp_blob *encoded);
size_t kp_sink_memory(const struct kp_sink *sink);    // bytes of profiles in memory
uint64_t kp_sink_waiting(const struct kp_sink *sink); // captures not delivered yet, memory and spool
// Of one policy ("ns/name"), for status.captures.spooled.
uint64_t kp_sink_waiting_of(const struct kp_sink *sink, const char *policy);
// The receiver is known to answer again: what waits for its next try is tried now.
void kp_sink_wake(struct kp_sink *sink);
const char *kp_sink_trouble(const struct kp_sink *sink); // why delivery does not get on, NULL if it does
// Tries to deliver what is in memory for at most grace_ms, writes the rest to the spool, then calls
// on_flushed.
void kp_sink_flush(struct kp_sink *sink, int64_t grace_ms, kp_loop_fn on_flushed, void *user);
void kp_sink_destroy(struct kp_sink *sink);

#endif
