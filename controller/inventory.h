// What the API server told us, and what follows from it: pods grouped by workload, policies by precedence,
// namespace labels. Level-driven: a change marks workloads dirty; shortly after, the wanted targets of the
// dirty workloads are computed anew and handed to the plan, in slices of a few milliseconds. Nothing acts
// before kp_inventory_open().
#ifndef KP_CONTROLLER_INVENTORY_H
#define KP_CONTROLLER_INVENTORY_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "aio/loop.h"
#include "base/metrics.h"
#include "plan/plan.h"
#include "target/target.h"

struct kp_inventory;

struct kp_inventory_options {
    struct kp_target_config target;
    struct kp_policy_caps caps;
    int64_t slice_us; // before the loop gets its turn; 0 = what the loop has, less: a pod at a time
    struct kp_metrics *metrics;
    // A running order's target is gone.
    void (*on_cancel)(void *user, uint64_t order_id);
    // Targets of this namespace were computed anew. Not told where a pod changed in nothing that is scheduled
    // or reported, only in what its captures take along.
    void (*on_replanned)(void *user, const char *namespace);
    // An annotation of this pod cannot be read (told once per pod and text).
    void (*on_annotation_problem)(
        void *user, const struct kp_pod *pod, const struct kp_annotation_problem *problem);
    void *user;
};

struct kp_inventory *kp_inventory_create(
    struct kp_loop *loop, struct kp_plan *plan, const struct kp_inventory_options *options);
void kp_inventory_destroy(struct kp_inventory *inventory);

// Every cache is complete: start to act. Before that changes are only noted.
void kp_inventory_open(struct kp_inventory *inventory);

// key "namespace/name"; NULL = gone. The pod is referenced.
void kp_inventory_set_pod(struct kp_inventory *inventory, const char *key, const struct kp_pod *pod);
// object NULL = gone. key: "namespace/name", or "/name" for a cluster policy. Returns the policy (borrowed)
// or NULL.
const struct kp_policy *kp_inventory_set_policy(
    struct kp_inventory *inventory, const char *key, const json_t *object);
void kp_inventory_set_namespace(
    struct kp_inventory *inventory, const char *name, const struct kp_labels *labels);
// Computes everything anew (a safety net, every ten minutes).
void kp_inventory_refresh(struct kp_inventory *inventory);

// ---- what is known ----
// What one policy makes of one pod.
struct kp_pod_match {
    const struct kp_policy *policy;
    enum kp_leftout leftout;
    unsigned n_targets;
    const char *message; // NULL unless the pod is left out
};
void kp_inventory_each_pod(const struct kp_inventory *inventory, const char *namespace, // NULL = all
    void (*each)(void *user, const struct kp_pod *pod, const struct kp_pod_match *matches, size_t n),
    void *user);
// Of one workload, by its key, from the from-th on at most so many; returns how many there were. Of one that
// is gone: none.
size_t kp_inventory_each_some(const struct kp_inventory *inventory, const char *workload, size_t from,
    size_t most,
    void (*each)(void *user, const struct kp_pod *pod, const struct kp_pod_match *matches, size_t n),
    void *user);
void kp_inventory_each_policy(const struct kp_inventory *inventory,
    void (*each)(void *user, const struct kp_policy *policy), void *user);
void kp_inventory_each_workload(const struct kp_inventory *inventory, const char *namespace, // NULL = all
    void (*each)(void *user, const char *workload), void *user);
const struct kp_policy *kp_inventory_policy(const struct kp_inventory *inventory, const char *key);
const struct kp_pod *kp_inventory_pod(
    const struct kp_inventory *inventory, const char *namespace, const char *name);
// Whether it is worked in what was there when it was opened, and what became of policies and namespaces since
// then. Pods that change do not count: there is always one.
bool kp_inventory_settled(const struct kp_inventory *inventory);
// Whether changes wait to be worked in.
bool kp_inventory_busy(const struct kp_inventory *inventory);

#endif
