// The parts of inflating that the walker shares. Private to this module.
#ifndef KP_PROFILE_INFLATE_H
#define KP_PROFILE_INFLATE_H

#include <stdbool.h>

#include "profile/check.h"

// The limits, defaults in place of zeros.
struct kp_profile_limits kp_profile_limits_of(const struct kp_profile_limits *limits);
bool kp_profile_is_gzip(const void *data, size_t len);
// Of inflated bytes, for an input of len.
size_t kp_profile_inflate_cap(size_t len, const struct kp_profile_limits *limits);

#endif
