// Questions to the API server about others: whose token is this (authentication.k8s.io/v1 TokenReview), may
// he do that (authorization.k8s.io/v1 SubjectAccessReview). One question, one answer: keeping answers is the
// caller's. A try ends after 10 s, and there are few. Tokens are neither logged nor part of any sentence. The
// rights for both: ClusterRole system:auth-delegator. On the loop thread.
#ifndef KP_KUBE_REVIEWS_H
#define KP_KUBE_REVIEWS_H

#include <stdbool.h>
#include <stddef.h>

#include "kube/client.h"

struct kp_review; // a question under way

struct kp_review_extra {
    const char *key, *value; // of several values of a key: several of these
};

struct kp_review_user {
    const char *name, *uid; // uid may be NULL
    const char *const *groups;
    size_t n_groups;
    const struct kp_review_extra *extra;
    size_t n_extra;
};

// Exactly once, later: who (borrowed; NULL: the token is nobody's, not_why says why) or err (the question
// could not be put, or the answer not read: KP_NETWORK, KP_UNAVAILABLE, KP_DENIED: we may not ask ...).
typedef void (*kp_review_token_fn)(
    void *user, const struct kp_review_user *who, const char *not_why, const struct kp_error *err);
// audiences: the token must be for one of them; none = for the API server itself.
struct kp_review *kp_review_token(struct kp_kube *kube, const char *token, const char *const *audiences,
    size_t n_audiences, kp_review_token_fn on_done, void *user);

struct kp_review_access {
    // NULL or "" = not said
    const char *verb, *group, *version, *resource, *subresource, *namespace, *name;
};
typedef void (*kp_review_access_fn)(void *user, bool allowed, const struct kp_error *err);
struct kp_review *kp_review_may(struct kp_kube *kube, const struct kp_review_user *who,
    const struct kp_review_access *access, kp_review_access_fn on_done, void *user);

void kp_review_forget(struct kp_review *review); // on_done does not come any more. NULL is fine

#endif
