// What policies would capture and what that would cost, worked out by the controller's own rules and schedule
// (pkg/target, pkg/plan) without touching anything. Data first; the text is made from it.
#ifndef KP_CLI_DRYRUN_H
#define KP_CLI_DRYRUN_H

#include <jansson.h>
#include <stdio.h>

#include "cli/pods.h"
#include "cli/policies.h"

struct kp_dryrun {
    const struct kp_policies *before, *after; // as the cluster has them; with those asked about put in
    struct kp_policy *const *asked;           // of after
    size_t n_asked;
    const struct kp_pods *pods; // that any of them may select
    int64_t now_ms;
};

// {"policies": [...], "capturesPerHour", "capturesPerHourNow"}. Labels of namespaces are those of `after`.
json_t *kp_dryrun_data(const struct kp_dryrun *dryrun);
void kp_dryrun_text(const json_t *data, FILE *out);

#endif
