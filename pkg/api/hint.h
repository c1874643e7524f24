// What to tell those who find nothing: most often a name is wrong. Private to this module.
#ifndef KP_API_HINT_H
#define KP_API_HINT_H

#include "api/call.h"
#include "store/store.h"

// Where the error of the call is that nothing was found, and nothing of the type is kept at all: says which
// types are. Types are what programs call them, so an unknown one cannot be told from one that has no
// profiles yet. In a job.
void kp_hint_types(struct kp_call *call, const struct kp_merge_query *query);

#endif
