// What an endpoint's references resolve to: Secrets read by name in the pod's namespace, only with the label
// kube-pprof.dev/use: "true", and ConfigMaps. Answers are kept for 30 s, failures for 10 s. Nothing of them
// is ever logged.
#ifndef KP_CONTROLLER_SECRETS_H
#define KP_CONTROLLER_SECRETS_H

#include <stdbool.h>

#include "capture/capture.h"
#include "kube/client.h"
#include "policy/policy.h"

struct kp_secrets;

struct kp_secrets *kp_secrets_create(struct kp_loop *loop, struct kp_kube *kube);
// Call after kp_kube_destroy(), so that no answer is outstanding.
void kp_secrets_destroy(struct kp_secrets *secrets);

bool kp_endpoint_needs_secrets(const struct kp_endpoint *endpoint); // NULL: false

// on_done comes once, later. resolved is NULL on failure (err says which reference, and what to do); borrowed
// otherwise.
void kp_secrets_resolve(struct kp_secrets *secrets, const struct kp_endpoint *endpoint, const char *namespace,
    void (*on_done)(void *user, const struct kp_capture_secrets *resolved, const struct kp_error *err),
    void *user);

#endif
