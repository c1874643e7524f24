// Identities as this module makes them. Private to auth.
#ifndef KP_AUTH_IDENTITY_H
#define KP_AUTH_IDENTITY_H

#include "base/array.h"
#include "kube/reviews.h"
#include "serve/gate.h"

// One that is being put together; strings are copied.
struct kp_identity_draft {
    enum kp_identity_by by;
    const char *name, *uid; // uid may be NULL
    KP_ARRAY(const char *) groups;
    KP_ARRAY(struct kp_review_extra) extra;
};
void kp_identity_draft_finish(struct kp_identity_draft *draft);

// The draft's identity, with the namespace if it is a service account. KP_UNAUTHENTICATED: it has no name, is
// no UTF-8, or larger than 64 KiB. Finishes the draft.
KP_MUST_CHECK int kp_identity_make(
    struct kp_identity_draft *draft, struct kp_identity **ret, struct kp_error *err);
struct kp_identity *kp_identity_copy(const struct kp_identity *identity);

#endif
