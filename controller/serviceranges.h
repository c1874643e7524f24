// Which addresses are the cluster's services: lists the API server's ServiceCIDRs (Kubernetes 1.33 and later)
// at start, again with backoff until it succeeded, then every hour. Nothing waits for it. An API server that
// does not have them (404) or does not tell (403) leaves what is configured, which the log says once; it is
// asked again all the same.
#ifndef KP_CONTROLLER_SERVICERANGES_H
#define KP_CONTROLLER_SERVICERANGES_H

#include <stddef.h>
#include <stdint.h>

#include "aio/loop.h"
#include "kube/client.h"

#define KP_SERVICERANGES_MAX 64 // more are not taken

struct kp_serviceranges;

struct kp_serviceranges_options {
    struct kp_kube *kube;
    // The ranges as they are now, in the place of those told before: CIDR texts as the API server wrote them,
    // NULL-terminated, valid for the time of the call. Returns how many it could use.
    size_t (*on_ranges)(void *user, const char *const *cidrs);
    void *user;
    int64_t retry_ms; // first wait after a failure; 0 = 1 s
    int64_t every_ms; // between listings; 0 = an hour
};

struct kp_serviceranges *kp_serviceranges_create(
    struct kp_loop *loop, const struct kp_serviceranges_options *options);
void kp_serviceranges_start(struct kp_serviceranges *ranges);
// Before kp_kube_destroy(); nothing is told any more.
void kp_serviceranges_destroy(struct kp_serviceranges *ranges);

#endif
