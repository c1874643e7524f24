// Which addresses are the cluster's services and the API server's own: lists ServiceCIDRs (Kubernetes 1.33
// and later) and reads the endpoints of the Service kubernetes, at start, again with backoff until it
// succeeded, then every hour and every ten minutes. Nothing waits for it. An API server that does not have
// them (404) or does not tell (403) leaves what is configured, which the log says once; it is asked again all
// the same.
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
    // The API server's addresses, likewise. NULL: they are not asked for.
    size_t (*on_servers)(void *user, const char *const *ips);
    void *user;
    int64_t retry_ms; // first wait after a failure; 0 = 1 s
    int64_t every_ms; // between listings; 0 = an hour, and ten minutes
};

struct kp_serviceranges *kp_serviceranges_create(
    struct kp_loop *loop, const struct kp_serviceranges_options *options);
void kp_serviceranges_start(struct kp_serviceranges *ranges);
// Before kp_kube_destroy(); nothing is told any more.
void kp_serviceranges_destroy(struct kp_serviceranges *ranges);

#endif
