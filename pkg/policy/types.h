// The known profile types, one row each: where they are, whether collecting takes time, what is asked by
// default.
#ifndef KP_POLICY_TYPES_H
#define KP_POLICY_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kp_profile_type {
    const char *name; // "cpu"
    const char
        *path; // below the endpoint's path: "/profile"; fgprof: "/../fgprof" is written as absolute_path
    const char *absolute_path; // instead of path: "/debug/fgprof"
    bool collecting;           // takes ?seconds=
    bool exclusive;            // one at a time per process (cpu, trace)
    bool opaque;               // not pprof: trace
    int64_t default_interval_ms, default_duration_ms;
};

const struct kp_profile_type *kp_profile_type(const char *name); // NULL: not known
// [a-z][a-z0-9_-]{0,62} as a name for custom types.
bool kp_profile_type_name_valid(const char *name);

#endif
