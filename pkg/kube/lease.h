// Leader election by Lease (coordination.k8s.io/v1), as client-go does it: only local monotonic time is
// compared, a lost renewal deadline means not leading from that moment on, a clean stop gives the lease back.
#ifndef KP_KUBE_LEASE_H
#define KP_KUBE_LEASE_H

#include <stdbool.h>

#include "kube/client.h"

struct kp_lease;
struct kp_lease_options {
    const char *namespace, *name, *identity;
    int64_t duration_ms, renew_deadline_ms, retry_ms; // 0 = 12 s, 8 s, 2 s
};
// on_change: we lead or do not lead any more (not told of kp_lease_release). It may come again and again:
// after a lost deadline the lease is taken anew when the API server is back.
struct kp_lease *kp_lease_create(struct kp_kube *kube, const struct kp_lease_options *options,
    void (*on_change)(void *user, bool leading), void *user);
void kp_lease_start(struct kp_lease *lease);
// By the clock: false from the renew deadline on, even if on_change has not come yet. Ask before starting
// anything.
bool kp_lease_leading(const struct kp_lease *lease);
// Gives the lease back if we hold it; on_released comes once, also on failure.
void kp_lease_release(struct kp_lease *lease, kp_loop_fn on_released, void *user);
void kp_lease_destroy(struct kp_lease *lease);

#endif
