// Inside target only: which endpoints one policy finds on one pod.
#ifndef KP_TARGET_RESOLVE_H
#define KP_TARGET_RESOLVE_H

#include "target/target.h"

// An endpoint found: container and port are fixed; where it came from says how paths are made.
struct kp_found {
    const struct kp_container *container;
    uint16_t port;
    bool https;
    const char *path;                   // prefix of the paths: "/debug/pprof"
    const struct kp_endpoint *endpoint; // of the policy, NULL = from annotations or a named port
    const char *only_type;              // annotations that give one type a port of its own; NULL = all
};

#define KP_FOUND_MAX (KP_MAX_ENDPOINTS + KP_MAX_PROFILES)

// Returns the number found, or 0 with the reason and a sentence in match.
size_t kp_target_resolve(const struct kp_pod *pod, const struct kp_policy *policy,
    const struct kp_pod_wishes *wishes, const struct kp_target_config *config,
    struct kp_found found[KP_FOUND_MAX], struct kp_match *match);

#endif
