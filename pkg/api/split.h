// A sum whose samples say what a field of their descriptions is, so that reports can be made by k8s.pod and
// so on as by a label of the samples. Private to this module.
#ifndef KP_API_SPLIT_H
#define KP_API_SPLIT_H

#include "api/call.h"
#include "profile/profile.h"
#include "store/store.h"

// The field in by=label=KEY, or NULL: KEY is a label of the samples. by may be NULL.
const char *kp_split_field(const char *by);

// Puts another in the place of the sum of the query, *profile: made of one sum for each value of the field,
// the samples of which have the value as a label. Unchanged where no description has the field.
KP_MUST_CHECK int kp_split_sum(
    struct kp_call *call, const struct kp_merge_query *query, const char *field, struct kp_profile **profile);

#endif
