// Carries out orders: one state machine per running scrape. Credentials and transports are handed in
// resolved. Never follows a redirect or a proxy variable, never sends anything to an address that is not the
// pod's own and allowed.
#ifndef KP_CAPTURE_CAPTURE_H
#define KP_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aio/http.h"
#include "aio/loop.h"
#include "base/metrics.h"
#include "plan/plan.h"
#include "record/result.h"

struct kp_capturer;

// What an endpoint's references resolve to; strings are copied by kp_capture_start(). Missing = not asked
// for.
struct kp_capture_secrets {
    const char *bearer, *username, *password; // never logged
    const char *ca_pem, *cert_pem, *key_pem;
};

struct kp_capture_options {
    int max_running; // 0 = 2000; more are refused (KP_LIMIT)
    // Received and not yet handed on; 0 = 64 MiB. A namespace may take three times what is left of it, then
    // its captures are read one after the other.
    size_t max_bytes_in_flight;
    // How much is held in memory after that, on its way to the registry: it lessens the room, by three
    // quarters at most. NULL = nothing.
    size_t (*held)(void *held_user);
    void *held_user;
    int64_t connect_timeout_ms; // 0 = 5 s
    int64_t slack_ms; // beyond the duration until a capture is a Timeout; 0 = 10 s (snapshots: 30 s in all)
    // Networks never to be scraped beside loopback, link-local, multicast, unspecified: CIDR texts,
    // NULL-terminated (the API server's service range, node and API server addresses ...).
    const char *const *denied_cidrs;
    int64_t (*now_ms)(void); // NULL = wall clock
    struct kp_metrics *metrics;
};

struct kp_capturer *kp_capturer_create(
    struct kp_loop *loop, const struct kp_capture_options *options, struct kp_error *err);
// Cancels everything; every on_done has come (Cancelled) when this returns.
void kp_capturer_destroy(struct kp_capturer *capturer);
// Networks never to be scraped from now on, beside those of the options: the cluster's services. Replaces
// what an earlier call gave; see kp_denylist_learn().
size_t kp_capturer_learn_denied(struct kp_capturer *capturer, const char *const *cidrs);
// The same for the API server's addresses; see kp_denylist_learn_servers().
size_t kp_capturer_learn_servers(struct kp_capturer *capturer, const char *const *ips);
int kp_capturer_running(const struct kp_capturer *capturer);

// result is the receiver's to finish after use; given by pointer for the time of the call (kp_take what you
// keep).
typedef void (*kp_capture_done_fn)(void *user, struct kp_capture_result *result);

// Takes the order over (its target reference too). The pod's address is checked first: Refused comes through
// on_done like every other outcome, later, never from inside. On KP_LIMIT nothing was taken and on_done does
// not come.
KP_MUST_CHECK int kp_capture_start(struct kp_capturer *capturer, struct kp_order *order,
    const struct kp_capture_secrets *secrets, kp_capture_done_fn on_done, void *user, struct kp_error *err);
void kp_capture_cancel(
    struct kp_capturer *capturer, uint64_t order_id, enum kp_outcome why); // PodGone, Cancelled
void kp_order_finish(struct kp_order *order);                              // drops the target reference

#endif
