// A pod as it is read, field by field in whatever order they come, from JSON (podscan.c) or protobuf
// (podproto.c); what the status says of a container is matched to it by name at the end. Internal to kube.
#ifndef KP_KUBE_POD_DRAFT_H
#define KP_KUBE_POD_DRAFT_H

#include "base/error.h"
#include "base/limits.h"
#include "record/pod.h"

struct kp_container_draft {
    struct kp_container c; // ports: from first_port on, c.n_ports of them
    size_t first_port;
    bool init, sidecar;
};

struct kp_container_status {
    const char *name, *image_id, *container_id;
    int64_t started_ms;
    uint32_t restarts;
    bool ready, init;
};

enum { KP_POD_DRAFT_LABELS = 1024, KP_POD_DRAFT_STATUSES = 4 * KP_MAX_POD_CONTAINERS };

// Some 80 KB, for the stack: what is in the arrays is set by what adds to them, the rest by start. Strings
// are borrowed until build.
struct kp_pod_draft {
    struct kp_pod pod;    // what is not in the arrays
    const char *too_many; // what passed its limit: "more than 128 containers"
    size_t n_labels, n_annotations, n_containers, n_statuses, n_ports;
    struct kp_label labels[KP_POD_DRAFT_LABELS];
    struct kp_label annotations[KP_POD_DRAFT_LABELS];
    struct kp_container_draft containers[KP_MAX_POD_CONTAINERS];
    struct kp_container_status statuses[KP_POD_DRAFT_STATUSES];
    struct kp_port ports[KP_MAX_POD_PORTS];
};

void kp_pod_draft_start(struct kp_pod_draft *draft);
// Whether there is room for another; else the pod will be refused.
bool kp_pod_draft_more_labels(struct kp_pod_draft *draft);
bool kp_pod_draft_more_annotations(struct kp_pod_draft *draft);
// Where there is room.
void kp_pod_draft_add_label(struct kp_pod_draft *draft, const char *key, const char *value);
void kp_pod_draft_add_annotation(struct kp_pod_draft *draft, const char *key, const char *value);
void kp_pod_draft_add_port(struct kp_pod_draft *draft, struct kp_container_draft *container, const char *name,
    int64_t number, bool tcp);
// One that is over: init containers that are no sidecars are dropped with their ports.
void kp_pod_draft_add_container(struct kp_pod_draft *draft, const struct kp_container_draft *container);
void kp_pod_draft_add_status(struct kp_pod_draft *draft, const struct kp_container_status *status);
void kp_pod_draft_set_phase(struct kp_pod_draft *draft, const char *text);
uint32_t kp_pod_draft_restarts(int64_t number); // cut to its range
// A condition of the status.
void kp_pod_draft_add_condition(
    struct kp_pod_draft *draft, const char *type, const char *status, int64_t since_ms);

// The pod, with its key ("ns/name") and version. KP_INVALID: no name, KP_LIMIT: too many of something.
struct kp_pod *kp_pod_draft_build(
    struct kp_pod_draft *draft, char key[512], char rv[64], struct kp_error *err);

#endif
