// `kube-pprof registry --authentication=Kubernetes`: the client of the API server, the gate, the CA of
// controllers.
#ifndef KP_CONTROLLER_REGISTRY_AUTH_H
#define KP_CONTROLLER_REGISTRY_AUTH_H

#include "aio/loop.h"
#include "base/metrics.h"
#include "controller/registry_options.h"
#include "serve/gate.h"

struct kp_registry_auth;

KP_MUST_CHECK int kp_registry_auth_create(struct kp_loop *loop, struct kp_metrics *metrics,
    const struct kp_registry_options *options, const char *(*env)(const char *name),
    struct kp_registry_auth **ret, struct kp_error *err);
void kp_registry_auth_destroy(struct kp_registry_auth *auth); // before the loop; NULL is fine
struct kp_gate kp_registry_auth_gate(struct kp_registry_auth *auth);
const char *kp_registry_auth_namespace(const struct kp_registry_auth *auth); // the registry's own
// Reads the CA of controllers again if its file has changed; in trouble what was read stays.
void kp_registry_auth_reload(struct kp_registry_auth *auth);
bool kp_registry_auth_ready(void *auth, const char **ret_why_not); // for kp_serve_add_check()

#endif
