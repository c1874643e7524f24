// How the values of a sample type add up over time: one static table (design: aggregation rules).
#ifndef KP_PROFILE_KINDS_H
#define KP_PROFILE_KINDS_H

#include "profile/profile.h"

enum kp_aggregation {
    KP_AGGREGATE_SUM,   // of a window of time: cpu, samples; windows add
    KP_AGGREGATE_DELTA, // since the process began: alloc_*, contentions, delay; differences add
    KP_AGGREGATE_GAUGE, // at one moment: inuse_*, goroutine, threadcreate; averaged over time, added over
                        // pods
    KP_AGGREGATE_NONE,  // unknown: not merged over time
};

// By profile type ("cpu", "heap", ...) and sample type ("inuse_space"). A capture that asked for a difference
// (duration > 0 where the type has none of its own) is a window.
enum kp_aggregation kp_aggregation_of(const char *profile_type, const char *sample_type, bool has_window);

#endif
