// The controller: makes the modules floor by floor, wires them, stops them in reverse order. One per process,
// on the loop thread.
#ifndef KP_CONTROLLER_CONTROLLER_H
#define KP_CONTROLLER_CONTROLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aio/loop.h"
#include "base/error.h"
#include "base/metrics.h"
#include "capture/capture.h"
#include "controller/registrylink.h"
#include "kube/config.h"
#include "plan/plan.h"
#include "policy/policy.h"
#include "sink/sink.h"
#include "target/target.h"

struct kp_controller_config {
    struct kp_kube_config kube;
    const char *identity;                // this process, for Lease and Events: the pod's name
    const char *const *watch_namespaces; // NULL-terminated; NULL or empty = the whole cluster
    bool cluster_policies; // watch ClusterProfilingPolicy and Namespaces (not in namespaced mode)
    bool leader_elect;
    bool lease_goes_on; // kp_lease_options.goes_on; only with leader_elect
    const char *lease_namespace, *lease_name;
    int64_t lease_duration_ms, lease_deadline_ms, lease_retry_ms; // 0 = 12 s, 8 s, 2 s
    struct kp_target_config target;
    struct kp_policy_caps caps;
    struct kp_plan_limits limits;
    struct kp_capture_options capture;
    struct kp_sink_registry_options registry;
    struct kp_registrylink_config link;
    const char *spool_dir;
    uint64_t spool_bytes;
};

struct kp_controller;

// Everything in config is borrowed for the controller's life. Does not need the API server or the registry to
// be there.
KP_MUST_CHECK int kp_controller_create(struct kp_loop *loop, const struct kp_controller_config *config,
    struct kp_metrics *metrics, struct kp_controller **ret, struct kp_error *err);
void kp_controller_start(struct kp_controller *controller);
// Cancels captures, delivers or spools what is in hand, writes the last status, as much as can be in short
// when others wait for the lease, gives it back; then on_stopped.
void kp_controller_stop(
    struct kp_controller *controller, int64_t grace_ms, kp_loop_fn on_stopped, void *user);
void kp_controller_destroy(struct kp_controller *controller);

// Checks of readyz: whether the caches are complete, and whether status can be written. Once it is ready the
// controller stays so, it goes on with what it knows: the sentence says what is wrong then.
bool kp_controller_caches(void *controller, const char **ret_why_not);
bool kp_controller_status(void *controller, const char **ret_why_not);

#endif
