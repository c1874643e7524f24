// What bears on pods, read once from the API server: the policies of a namespace (or of all) and of the
// cluster, and the labels of namespaces. Works without the controller; what one may not read is said, and the
// rest goes on. Blocking.
#ifndef KP_CLI_POLICIES_H
#define KP_CLI_POLICIES_H

#include <jansson.h>

#include "base/array.h"
#include "cli/session.h"
#include "policy/policy.h"

struct kp_policies_namespace {
    char *name;
    struct kp_labels *labels;
};

struct kp_policies {
    KP_ARRAY(struct kp_policy *) items; // one reference each; by precedence (kp_policy_compare)
    KP_ARRAY(struct kp_policies_namespace) namespaces;
    json_t *notes;   // sentences: what is not known, and why
    bool is_missing; // the kinds are not there: CRDs are not installed
    bool is_partial; // there are some that one may not read
};

// namespace NULL: of all namespaces. Fails where the cluster cannot be asked at all; a right that is missing
// becomes a note.
KP_MUST_CHECK int kp_policies_read(
    struct kp_cli *cli, const char *namespace, struct kp_policies *ret, struct kp_error *err);
void kp_policies_finish(struct kp_policies *policies);

// Puts in a policy (one reference is taken over) at its place, instead of one of the same key. Returns
// whether there was one.
bool kp_policies_put(struct kp_policies *policies, struct kp_policy *policy);
// Those of a namespace; asked for once each. *ret NULL: they may not be read (a note says so).
KP_MUST_CHECK int kp_policies_labels(struct kp_cli *cli, struct kp_policies *policies, const char *namespace,
    const struct kp_labels **ret, struct kp_error *err);
// All namespaces in one list, before kp_policies_labels() is called for many.
KP_MUST_CHECK int kp_policies_all_labels(
    struct kp_cli *cli, struct kp_policies *policies, struct kp_error *err);

void kp_policies_note(struct kp_policies *policies, const char *fmt, ...) KP_PRINTF(2, 3);
// "profilingpolicy/NAME", "clusterprofilingpolicy/NAME"; borrowed by the caller, to be freed.
char *kp_policies_name(const struct kp_policy *policy);

#endif
