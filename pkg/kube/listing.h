// A list as a stream: every object is handed out while the answer comes in, page after page; memory is one
// object.
#ifndef KP_KUBE_LISTING_H
#define KP_KUBE_LISTING_H

#include "kube/client.h"

struct kp_kube_listing;

struct kp_kube_listing_request {
    const char *path;   // "/api/v1/pods?labelSelector=app%3Dshop", without limit and continue
    int page_size;      // objects asked for at a time; 0 = 500
    int64_t timeout_ms; // for all of it; 0 = 5 min
    // The JSON text of one object of "items"; valid for the call only. false ends the listing with
    // KP_CANCELED.
    bool (*on_object)(void *user, const char *json, size_t len);
    // A continue token expired (410) and the API server gave none to go on with: the list begins anew, what
    // came so far comes again. Optional; happens at most KP_LISTING_RESTARTS times, then it is KP_GONE. With
    // a token to go on with, the rest is of a newer version than the beginning: no object comes twice.
    void (*on_restart)(void *user);
    // Once, never from inside start. err: NULL = all objects came. resource_version: of the list; "" if it
    // failed.
    void (*on_done)(void *user, const char *resource_version, const struct kp_error *err);
    void *user;
};
#define KP_LISTING_RESTARTS 2

// What breaks off before the first object of a page is repeated a few times, as kp_kube_start() repeats a
// GET.
KP_MUST_CHECK int kp_kube_list_each(struct kp_kube *kube, const struct kp_kube_listing_request *request,
    struct kp_kube_listing **ret, struct kp_error *err);
void kp_kube_listing_cancel(struct kp_kube_listing *listing); // on_done comes, with KP_CANCELED

#endif
