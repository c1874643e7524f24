// What we keep of a pod: a few hundred bytes in one heap block, immutable, shared by reference count. Made by
// kp_pod_build() from a draft whose strings are copied in. Only annotations whose key belongs to a dialect we
// know are kept, and KP_POD_MIRROR.
#ifndef KP_RECORD_POD_H
#define KP_RECORD_POD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/labels.h"

struct kp_port {
    const char *name; // "" if it has none
    uint16_t number;
    bool tcp;
};

struct kp_container {
    const char *name;
    const char *image;
    const char *image_id;     // as in status, holds the digest; "" before it runs
    const char *container_id; // "containerd://..."; "" before it runs
    int64_t started_ms;       // of the running state; 0 = not running
    uint32_t restarts;
    bool ready;
    uint16_t n_ports;
    const struct kp_port *ports;
};

enum kp_pod_phase { KP_POD_PENDING, KP_POD_RUNNING, KP_POD_SUCCEEDED, KP_POD_FAILED, KP_POD_UNKNOWN };

struct kp_pod {
    const char *namespace, *name, *uid;
    const char *resource_version;
    const char *node, *ip, *host_ip;      // "" if not known yet
    const char *other_ip, *other_host_ip; // of the other family, where there are two; else ""
    const char *owner_kind, *owner_name;  // controller reference as it stands; "" without one
    // Derived: the workload ("Deployment" "checkout"; a bare pod is "Pod" and its own name, a static pod
    // "StaticPod" and its name without the node; "CronJob", Argo's "Rollout"; other owners as they are) and
    // its revision (pod-template-hash, controller-revision-hash; "" if none).
    const char *workload_kind, *workload_name, *revision;
    const char *version; // label app.kubernetes.io/version, else version; "" if none
    enum kp_pod_phase phase;
    bool ready, deleting, host_network;
    int64_t created_ms, ready_since_ms;    // 0 = not ready
    struct kp_label *labels, *annotations; // sorted by key
    uint16_t n_labels, n_annotations;
    uint16_t n_containers; // sidecars (init containers with restartPolicy Always) included, after the others
    const struct kp_container *containers;
    // private
    int refs;
};

// A draft is a kp_pod whose pointers may point anywhere; derived fields are filled in here.
struct kp_pod *kp_pod_build(const struct kp_pod *draft);
struct kp_pod *kp_pod_ref(const struct kp_pod *pod);
void kp_pod_unref(const struct kp_pod *pod); // NULL is fine

const char *kp_pod_label(const struct kp_pod *pod, const char *key);      // NULL if not there
const char *kp_pod_annotation(const struct kp_pod *pod, const char *key); // NULL if not there
// kp_label_lookup_fn over the labels: kp_selector_matches_fn(selector, kp_pod_label_lookup, pod)
const char *kp_pod_label_lookup(const void *pod, const char *key);
// Whether anything that matters for profiling differs (a status heartbeat does not).
bool kp_pod_same(const struct kp_pod *a, const struct kp_pod *b);
// The annotation of a kubelet's mirror of a static pod.
#define KP_POD_MIRROR "kubernetes.io/config.mirror"
// Whether kp_pod keeps this annotation: a prefix of a dialect we know, or KP_POD_MIRROR.
bool kp_pod_keeps_annotation(const char *key, size_t len);

#endif
