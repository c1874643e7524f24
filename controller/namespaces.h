// Tells the registry when the cluster's namespaces were created, so that what is older than a namespace, and
// so of an earlier one of the same name, goes. All of them at first, when the registry has been away, and
// when it says that it has not been told of all since it started; then what changed. A namespace that is gone
// is not told: nothing is deleted because it is not listed.
#ifndef KP_CONTROLLER_NAMESPACES_H
#define KP_CONTROLLER_NAMESPACES_H

#include "aio/loop.h"
#include "base/blob.h"

struct kp_namespaces;
enum kp_namespaces_answer {
    KP_NAMESPACES_TAKEN,
    KP_NAMESPACES_TELL_ALL, // taken, if it was not part of a telling of all; but it does not know all of them
    KP_NAMESPACES_AGAIN,    // not taken
    KP_NAMESPACES_REFUSED,  // for good: not repeated by itself
};
typedef void (*kp_namespaces_posted_fn)(void *poster, enum kp_namespaces_answer answer);
// Posts a body to /api/v1/namespaces; on_done once, later.
typedef void (*kp_namespaces_post_fn)(
    void *user, struct kp_blob *body, kp_namespaces_posted_fn on_done, void *poster);

struct kp_namespaces_options {
    kp_namespaces_post_fn post;
    void (*on_new)(void *user);   // the registry has started anew: it wants to be told all. NULL = not told
    bool (*may_post)(void *user); // asked before each post; false: asked again in a while. NULL = always
    void *user;
    size_t max_batch; // 0 = 1000
};

struct kp_namespaces *kp_namespaces_create(struct kp_loop *loop, const struct kp_namespaces_options *options);
// created: RFC 3339 as Kubernetes writes it; NULL = the namespace is gone.
void kp_namespaces_set(struct kp_namespaces *namespaces, const char *name, const char *created);
// While this replica leads and all namespaces are known. Turning it on tells all of them again.
void kp_namespaces_set_posting(struct kp_namespaces *namespaces, bool posting);
void kp_namespaces_tell_all(struct kp_namespaces *namespaces);
// Asks the registry, which is known to answer, whether it wants to be told all.
void kp_namespaces_ask(struct kp_namespaces *namespaces);
void kp_namespaces_destroy(struct kp_namespaces *namespaces); // after what posts

#endif
