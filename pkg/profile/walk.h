// The walker proper: inflated bytes, every message read, nothing built. Slower than to decode and with little
// memory, and it has a sentence for everything that can be wrong. Private to this module.
#ifndef KP_PROFILE_WALK_H
#define KP_PROFILE_WALK_H

#include "profile/check.h"

// Limits without zeros (kp_profile_limits_of). KP_INVALID: no protobuf of a profile, or one that is broken;
// KP_LIMIT. A profile without samples is one.
KP_MUST_CHECK int kp_profile_walk(const uint8_t *data, size_t len, const struct kp_profile_limits *limits,
    struct kp_profile_summary *ret, struct kp_error *err);

#endif
