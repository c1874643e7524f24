// Policies x pods -> targets, and for every pod left out the reason. Pure: the controller and `kubectl pprof
// explain` run the same code, so the reason shown is the reason applied.
//
// A target is (pod uid, container, port). What is wanted of it, per profile type, is the union over all
// policies that want it: shortest interval, longest duration below it, smallest budgets, largest retention
// and k; service, each label, onBusy, rotation and endpoint settings of the first policy by precedence.
// Suspended and rejected policies do not count.
#ifndef KP_TARGET_TARGET_H
#define KP_TARGET_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"
#include "base/labels.h"
#include "policy/annotations.h"
#include "policy/policy.h"
#include "record/pod.h"

// Why a pod that a policy matches is not scraped: a closed list, one row each with its words.
enum kp_leftout {
    KP_LEFTOUT_NONE,
    KP_LEFTOUT_OPTED_OUT,    // kube-pprof.dev/enable: "false"
    KP_LEFTOUT_NOT_OPTED_IN, // annotationPolicy Require and no annotation that enables
    KP_LEFTOUT_NO_ENDPOINT,  // nothing says where pprof is
    KP_LEFTOUT_CONTAINER_NOT_FOUND,
    KP_LEFTOUT_PORT_NOT_FOUND, // a port name no container declares
    KP_LEFTOUT_BAD_ANNOTATION, // an annotation that is needed cannot be read
    KP_LEFTOUT_NOT_RUNNING,    // pending, or the container does not run (crash loop)
    KP_LEFTOUT_NOT_READY,
    KP_LEFTOUT_TERMINATING,
    KP_LEFTOUT_FINISHED,     // Succeeded or Failed
    KP_LEFTOUT_HOST_NETWORK, // not allowed by the platform
    KP_LEFTOUT_PATH_NOT_ALLOWED,
    KP_LEFTOUT_NO_ADDRESS,
    KP_LEFTOUT_ADDRESS_CONFLICT, // two live pods claim the address
    KP_LEFTOUT_COUNT
};
struct kp_leftout_info {
    const char *name; // "NoEndpoint"
    bool counts;      // in status.targets.leftOut (a pod that is starting, finished or not opted in does not)
};
const struct kp_leftout_info *kp_leftout_info(enum kp_leftout reason);

// One profile type wanted of one target.
struct kp_wanted {
    const char *type;
    const char *alias; // "allocs" beside "heap": the same data, one request serves both; else NULL
    const char *path;  // whole path, no query
    bool collecting, exclusive, opaque;
    int64_t interval_ms, duration_ms;
    struct kp_int_or_percent k; // of each revision
    int64_t rotation_ms;
    double overhead_percent;
    struct kp_int_or_percent concurrent;
    int64_t profile_bytes, retention_ms;
    enum kp_on_busy on_busy;
    const char *service;
    const struct kp_labels *labels;
    const struct kp_endpoint *endpoint; // of the first policy; NULL = plain HTTP without credentials
    size_t n_policies;                  // by precedence
    const struct kp_policy *const *policies;
};

// Immutable, ref-counted, one memory block; holds references to its pod and policies.
struct kp_target {
    const struct kp_pod *pod;
    const struct kp_container *container; // of pod
    uint16_t port;
    bool https;
    const char *key;      // "uid/container/port"
    const char *workload; // "namespace/Kind/name"
    size_t n_wanted;      // sorted by type
    const struct kp_wanted *wanted;
    // private
    int refs;
    void *memory;
};
struct kp_target *kp_target_ref(const struct kp_target *target);
void kp_target_unref(const struct kp_target *target);
// Whether a running schedule may stay as it is (the pod's heartbeat fields do not matter).
bool kp_target_same(const struct kp_target *a, const struct kp_target *b);

// What one policy makes of one pod that its selectors match.
struct kp_match {
    const struct kp_policy *policy; // borrowed from the policies given
    enum kp_leftout leftout;        // NONE: it has targets
    char message[240];              // why, and what to do
    size_t n_targets;
};

// Everything about one pod.
struct kp_verdict {
    KP_ARRAY(struct kp_match) matches;
    KP_ARRAY(struct kp_target *) targets; // one reference each
    struct kp_pod_wishes wishes;          // with the annotation problems; set where there are matches
};
void kp_verdict_finish(struct kp_verdict *verdict);

struct kp_target_config {
    unsigned dialects; // KP_DIALECTS_DEFAULT
    bool allow_host_network;
    const char *const *path_prefixes; // NULL = {"/debug/", NULL}
    bool allow_not_ready;             // false: only Ready pods are scraped
    bool is_named; // somebody asks for just this pod: whether it wants to be profiled does not count
};

// Who else has the pod's address.
enum kp_ip_claim { KP_IP_OWN, KP_IP_OF_POD, KP_IP_OF_NODE };

// policies: sorted by kp_policy_compare, all of them (those that do not match the pod are passed over
// quickly). namespace_labels: of the pod's namespace, for cluster policies; NULL = unknown: a
// namespaceSelector that is not empty does not match.
void kp_target_build(const struct kp_pod *pod, const struct kp_policy *const *policies, size_t n_policies,
    const struct kp_labels *namespace_labels, enum kp_ip_claim ip_claim,
    const struct kp_target_config *config, struct kp_verdict *ret);

#endif
