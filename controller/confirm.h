// Was it the pod we meant? An address may pass to another pod while a capture runs. A result counts once the
// watch has delivered something newer than the window's end (where it is silent for a second it is asked,
// once for all that wait; after 2 s the pod is fetched, at most 10/s) and uid, address and container still
// stand; else it is dropped as PodGone. While the API server is away results wait here, bounded. What would
// be older than its pod, by a clock that is behind, gets times by the API server's.
#ifndef KP_CONTROLLER_CONFIRM_H
#define KP_CONTROLLER_CONFIRM_H

#include <stdbool.h>

#include "controller/inventory.h"
#include "kube/client.h"
#include "record/result.h"

struct kp_confirm;

struct kp_confirm_options {
    struct kp_kube *kube;
    struct kp_inventory *inventory;
    // When the pods' watch last delivered something, monotonic; 0 = never.
    int64_t (*watch_mono_ms)(void *watch_user);
    // Has it deliver something in about two seconds, where nothing happens; once a second at most. NULL = it
    // cannot.
    void (*ask_watch)(void *watch_user);
    void *watch_user;
    // The verdict: the pod still stands (KP_OUTCOME_SUCCEEDED, or the outcome and sentence of a failure that
    // was put), PodGone, or Undelivered (too much waits). Takes the result over.
    void (*on_verdict)(
        void *user, struct kp_capture_result *result, enum kp_outcome outcome, const char *message);
    void *user;
    size_t max_bytes; // waiting; 0 = 48 MiB; one always may. A namespace takes at most three times what it
                      // leaves free.
    struct kp_metrics *metrics;
};

struct kp_confirm *kp_confirm_create(struct kp_loop *loop, const struct kp_confirm_options *options);
// What waits is judged by the cache as it stands. Call after kp_kube_destroy(), so that no answer is
// outstanding.
void kp_confirm_destroy(struct kp_confirm *confirm);
// Takes the result over (its body and record move). pod_ip: where the capture went. A connection that broke
// (Unreachable) may be put too: it is told as it is after 5 s at most, but as PodGone if the pod ends.
void kp_confirm_put(struct kp_confirm *confirm, struct kp_capture_result *result, const char *pod_ip);
size_t kp_confirm_waiting(const struct kp_confirm *confirm);
size_t kp_confirm_bytes(const struct kp_confirm *confirm); // of profiles that wait

#endif
