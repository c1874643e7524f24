// All pods and targets there are, workload by workload, some at a time, so that one with thousands of pods
// does not hold the loop either. Pods that go while a workload is being walked through may hide another one
// from this walk; none is visited twice.
#ifndef KP_CONTROLLER_WALK_H
#define KP_CONTROLLER_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "controller/inventory.h"
#include "plan/plan.h"

#define KP_WALK_MOST 200 // visited in one step

struct kp_walk;

struct kp_walk_visit {
    void (*pod)(void *user, const struct kp_pod *pod, const struct kp_pod_match *matches, size_t n);
    void (*target)(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles);
    void *user;
};

// Through the workloads there are now; namespace NULL = all.
struct kp_walk *kp_walk_create(const struct kp_inventory *inventory, const char *namespace);
void kp_walk_destroy(struct kp_walk *walk); // NULL is fine
// False when all were visited, of each workload the pods before the targets.
bool kp_walk_step(struct kp_walk *walk, const struct kp_inventory *inventory, struct kp_plan *plan,
    int64_t now_ms, const struct kp_walk_visit *visit);

#endif
