// A profile as text, in the form of `go tool pprof -raw` (Profile.String() of github.com/google/pprof), so
// that what we decode can be laid beside what Go decodes. Two lines are easier to read by machine: time and
// duration are printed in nanoseconds ("TimeNanos: n", "DurationNanos: n").
#ifndef KP_TESTKIT_RAW_H
#define KP_TESTKIT_RAW_H

#include "base/strbuf.h"
#include "profile/profile.h"

void kp_test_raw(const struct kp_profile *profile, struct kp_strbuf *out);

// Totals of each sample type, then the n functions with the largest own value of the last type, cumulative
// value beside it; by value, then by name. For goldens: computed the plain way.
void kp_test_top(const struct kp_profile *profile, unsigned n, struct kp_strbuf *out);

#endif
