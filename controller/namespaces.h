// Tells the registry when the cluster's namespaces were created, so that what is older than a namespace, and
// so of an earlier one of the same name, goes: all of them at first and when the registry has been away, then
// what changed. A namespace that is gone is not told: nothing is deleted because it is not listed.
#ifndef KP_CONTROLLER_NAMESPACES_H
#define KP_CONTROLLER_NAMESPACES_H

#include "aio/loop.h"
#include "base/blob.h"

struct kp_namespaces;
// Posts a body to /api/v1/namespaces; on_done once, later: whether it was taken.
typedef void (*kp_namespaces_post_fn)(
    void *user, struct kp_blob *body, void (*on_done)(void *poster, bool taken), void *poster);

struct kp_namespaces *kp_namespaces_create(struct kp_loop *loop, kp_namespaces_post_fn post, void *user);
// created: RFC 3339 as Kubernetes writes it; NULL = the namespace is gone.
void kp_namespaces_set(struct kp_namespaces *namespaces, const char *name, const char *created);
// While this replica leads and all namespaces are known. Turning it on tells all of them again.
void kp_namespaces_set_posting(struct kp_namespaces *namespaces, bool posting);
void kp_namespaces_tell_all(struct kp_namespaces *namespaces);
void kp_namespaces_destroy(struct kp_namespaces *namespaces); // after what posts

#endif
