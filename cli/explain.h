// What is said of one pod: whether it is profiled, by whom, and if not, why. Data first; the text is made
// from it, so that -o json says the same.
#ifndef KP_CLI_EXPLAIN_H
#define KP_CLI_EXPLAIN_H

#include <jansson.h>
#include <stdio.h>

#include "base/labels.h"
#include "cli/policies.h"
#include "record/pod.h"

struct kp_explained {
    const struct kp_pod *pod;
    const struct kp_policies *policies;
    const struct kp_labels *namespace_labels; // NULL = not known
    const json_t *states;                     // of the pod, as the registry tells them; NULL = not known
    int revision_pods;                        // pods of its revision; 0 = not known
};

json_t *kp_explain_data(const struct kp_explained *explained);
void kp_explain_text(const json_t *data, int64_t now_ms, FILE *out);

#endif
