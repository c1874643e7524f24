// The state of the targets of one namespace, as the registry is told: the wanted set, pods left out and why,
// last results. Gathered in slices, and encoded on the way.
#ifndef KP_CONTROLLER_TARGETSTATE_H
#define KP_CONTROLLER_TARGETSTATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "controller/inventory.h"
#include "plan/plan.h"

struct kp_target_states;

struct kp_target_states *kp_target_states_create(
    const struct kp_inventory *inventory, const char *namespace, int64_t now_ms);
void kp_target_states_destroy(struct kp_target_states *states); // NULL is fine
// Gathers for about slice_us; false when it is over. At most KP_STATE_MAX_TARGETS, the rest is left out and
// that is said (truncated).
bool kp_target_states_step(struct kp_target_states *states, const struct kp_inventory *inventory,
    struct kp_plan *plan, int64_t slice_us);
const char *kp_target_states_namespace(const struct kp_target_states *states);
// What was gathered, encoded (record/state.h), once; NULL if it is more than KP_STATE_MAX_BYTES.
struct kp_blob *kp_target_states_take(struct kp_target_states *states);

#endif
