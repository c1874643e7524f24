// The state of the targets of one namespace, as the registry is told: the wanted set, pods left out and why,
// last results.
#ifndef KP_CONTROLLER_TARGETSTATE_H
#define KP_CONTROLLER_TARGETSTATE_H

#include "controller/inventory.h"
#include "plan/plan.h"
#include "record/state.h"

// Fills ret, to be finished by the caller. At most KP_STATE_MAX_TARGETS; beyond that ret->truncated.
void kp_target_states(const struct kp_inventory *inventory, struct kp_plan *plan, const char *namespace,
    int64_t now_ms, struct kp_state_batch *ret);

#endif
