// How much two profiles for the compiler have in common.
#ifndef KP_CLI_OVERLAP_H
#define KP_CLI_OVERLAP_H

#include "profile/profile.h"

// The compiler looks at calls: who calls whom, how many lines behind the caller's beginning. Each has a share
// of the weight (last sample type) of all calls in all stacks of its profile; the overlap is the sum of the
// smaller of the two shares over all calls, as `llvm-profdata overlap` has it: 1 for profiles of equal
// shares, 0 for nothing in common (also for profiles without calls).
double kp_overlap(const struct kp_profile *a, const struct kp_profile *b);

#endif
