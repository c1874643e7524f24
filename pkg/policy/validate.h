// What only the controller can see of a policy that is well-formed.
#ifndef KP_POLICY_VALIDATE_H
#define KP_POLICY_VALIDATE_H

#include <stddef.h>

#include "policy/policy.h"

// The reason ("PathNotAllowed", "InvalidSpec", ...) with a sentence that says what to change, or NULL.
const char *kp_policy_problem(
    const struct kp_policy *policy, const struct kp_policy_caps *caps, char *message, size_t size);

// Whether a path may be scraped: starts with an allowed prefix, no "..", no escapes. prefixes NULL =
// {"/debug/", NULL}.
bool kp_path_allowed(const char *path, const char *const *prefixes);

#endif
