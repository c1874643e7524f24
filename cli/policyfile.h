// Policies in files, before they are applied: YAML of several documents, or JSON; lists are taken apart.
#ifndef KP_CLI_POLICYFILE_H
#define KP_CLI_POLICYFILE_H

#include <jansson.h>

#include "base/array.h"
#include "cli/cli.h"
#include "policy/policy.h"

struct kp_policyfile_object {
    const char *file; // borrowed; "standard input"
    json_t *object;   // NULL: what stands there cannot be read, problem says why
    char *problem;
};

struct kp_policyfile {
    KP_ARRAY(struct kp_policyfile_object) items;
};

// The arguments and --filename; "-" is standard input. A usage error where there is none. What cannot be read
// is an item with a problem.
KP_MUST_CHECK int kp_policyfile_read(struct kp_cli *cli, struct kp_policyfile *ret, struct kp_error *err);
// The documents of one text, added.
void kp_policyfile_split(struct kp_policyfile *files, const char *file, const char *text, size_t len);
void kp_policyfile_finish(struct kp_policyfile *files);

// "ProfilingPolicy", "ClusterProfilingPolicy" of our group; NULL: it is something else.
const char *kp_policyfile_kind(const json_t *object);
// "profilingpolicy/NAME" as far as it says so; to be freed.
char *kp_policyfile_name(const json_t *object);
// As the controller would read it; a ProfilingPolicy without a namespace is of `namespace`.
KP_MUST_CHECK int kp_policyfile_parse(
    const json_t *object, const char *namespace, struct kp_policy **ret, struct kp_error *err);

#endif
