// One resource kept in step with the API server: WatchList where served, list + watch otherwise; pages,
// bookmarks, 410, backoff with jitter, silent watches noticed. Objects are taken apart one at a time while
// the answer streams in: memory is the cache and one object. Never deletes anything because the API server is
// away: the cache stands until a new list is complete.
#ifndef KP_KUBE_REFLECTOR_H
#define KP_KUBE_REFLECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kube/client.h"

// How one kind is read. A value is what decode makes of an object's JSON text; it is handed to unref when it
// leaves the cache.
struct kp_reflector_kind {
    const char *name;  // metric label and log: "pods"
    const char *path;  // "/api/v1/pods" or "/api/v1/namespaces/NS/pods"
    const char *query; // extra selector "fieldSelector=...", or NULL
    // Fills key ("ns/name", or "name" of a cluster-scoped object; at most 512 bytes) and resource version and
    // returns a value; NULL with err: the object is left out and counted.
    void *(*decode)(
        void *user, const char *json, size_t len, char key[512], char rv[64], struct kp_error *err);
    // The same from the object's protobuf message, which is asked for where this is given: the API server
    // writes it four times as fast, and it is shorter. Where it is not served JSON comes. NULL: JSON only.
    void *(*decode_protobuf)(
        void *user, const char *data, size_t len, char key[512], char rv[64], struct kp_error *err);
    void (*unref)(void *value);
};

enum kp_reflector_state {
    KP_REFLECTOR_IDLE,     // not started
    KP_REFLECTOR_LISTING,  // a list or the initial events of a WatchList are coming in
    KP_REFLECTOR_WATCHING, // in step
    KP_REFLECTOR_WAITING,  // backing off after a failure
};

struct kp_reflector_events {
    // old or new is NULL for an object that came or went. Values are borrowed; new is in the cache already.
    void (*on_change)(void *user, const char *key, void *old_value, void *new_value);
    void (*on_synced)(void *user); // the first complete list is in the cache
    // In trouble (once per failure: no connection, 403, CRD missing ...) and well again (err NULL). A watch
    // that breaks and is there again at once is no trouble.
    void (*on_trouble)(void *user, const struct kp_error *err);
    void *user; // also decode's
};

struct kp_reflector;
struct kp_reflector *kp_reflector_create(struct kp_kube *kube, const struct kp_reflector_kind *kind,
    const struct kp_reflector_events *events, struct kp_metrics *metrics);
// Before start: other figures than the usual ones (0 = as it is), for tests and odd API servers.
struct kp_reflector_tuning {
    int64_t idle_ms;                          // a watch that sends nothing for so long is given up; 90 s
    int64_t first_backoff_ms, max_backoff_ms; // 0.8 s, 30 s
    int page_size;                            // 500
    size_t max_object;                        // KP_MAX_WATCH_OBJECT_BYTES
    bool no_watch_list;                       // list + watch even where WatchList is served
};
void kp_reflector_tune(struct kp_reflector *reflector, const struct kp_reflector_tuning *tuning);
void kp_reflector_start(struct kp_reflector *reflector);
void kp_reflector_destroy(struct kp_reflector *reflector);

bool kp_reflector_synced(const struct kp_reflector *reflector);
enum kp_reflector_state kp_reflector_state(const struct kp_reflector *reflector);
const char *kp_reflector_trouble(const struct kp_reflector *reflector); // sentence, NULL if well
size_t kp_reflector_count(const struct kp_reflector *reflector);
void *kp_reflector_get(const struct kp_reflector *reflector, const char *key); // borrowed, NULL if not there
// Newest resource version seen (object, bookmark or list) and when, on the monotonic clock: "has the watch
// delivered anything newer than T?". 0 = nothing yet.
int64_t kp_reflector_last_event_mono_ms(const struct kp_reflector *reflector);
// Where nothing happens the API server is heard of once a minute. Asks it now: some two seconds later the
// time of this call counts as that of an event, if there was none since. Does nothing while it is being asked
// or is not in step.
void kp_reflector_ask(struct kp_reflector *reflector);

// Ready-made kinds. path is copied into the kind by the caller.
// Pods: readers that pick fields, never a tree (podscan.c, podproto.c). Values are struct kp_pod.
void *kp_decode_pod(
    void *user, const char *json, size_t len, char key[512], char rv[64], struct kp_error *err);
void *kp_decode_pod_protobuf(
    void *user, const char *data, size_t len, char key[512], char rv[64], struct kp_error *err);
void kp_unref_pod(void *value);
// Anything small: values are json_t without managedFields.
void *kp_decode_json(
    void *user, const char *json, size_t len, char key[512], char rv[64], struct kp_error *err);
void kp_unref_json(void *value);

#endif
