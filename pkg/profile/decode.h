// Protobuf only: the part of kp_profile_decode() that is told what it reads. Private to this module.
#ifndef KP_PROFILE_DECODE_H
#define KP_PROFILE_DECODE_H

#include "profile/profile.h"

// Inflated bytes, KP_QUICK_SLACK zeros behind them, taken over unless it fails; without a sentence: the
// walker says why.
KP_MUST_CHECK int kp_profile_decode_proto(
    uint8_t *bytes, size_t len, const struct kp_profile_limits *limits, struct kp_profile **ret);

#endif
