// Inside target only: putting together what several policies want of one process port.
#ifndef KP_TARGET_BUILD_H
#define KP_TARGET_BUILD_H

#include "target/resolve.h"

struct kp_target_builder;

struct kp_target_builder *kp_target_builder_create(
    const struct kp_pod *pod, const struct kp_pod_wishes *wishes);
// One policy's endpoint; policies come in order of precedence. Returns whether anything is wanted there.
bool kp_target_builder_add(struct kp_target_builder *builder, const struct kp_policy *policy,
    const struct kp_found *found, const struct kp_target_config *config);
// Makes the targets (one reference each into verdict->targets) and frees the builder.
void kp_target_builder_finish(struct kp_target_builder *builder, struct kp_verdict *verdict);

#endif
