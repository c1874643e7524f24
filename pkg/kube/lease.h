// Leader election by Lease (coordination.k8s.io/v1), as client-go does it: only local time that never goes
// back is compared (it goes on while the machine is suspended), a lost renewal deadline means not leading
// from that moment on, a clean stop gives the lease back. Who waits asks more often than who leads renews,
// and again just when the lease runs out: so others take over at once when it is given back (at most 3/4 of
// retry_ms later), and within duration_ms + retry_ms of the last renewal when its holder is gone.
#ifndef KP_KUBE_LEASE_H
#define KP_KUBE_LEASE_H

#include <stdbool.h>

#include "kube/client.h"

struct kp_lease;
struct kp_lease_options {
    const char *namespace, *name, *identity;
    int64_t duration_ms, renew_deadline_ms, retry_ms; // 0 = 12 s, 8 s, 2 s
    // For one that usually is alone: once it leads it goes on while it cannot renew, until an answer shows
    // that somebody else holds the lease. It takes the lease as everybody does, and gives it back.
    bool goes_on;
};
// on_change: we lead or do not lead any more (not told of kp_lease_release). It may come again and again:
// after a lost deadline the lease is taken anew when the API server is back.
struct kp_lease *kp_lease_create(struct kp_kube *kube, const struct kp_lease_options *options,
    void (*on_change)(void *user, bool leading), void *user);
void kp_lease_start(struct kp_lease *lease);
// By the clock: false from the renew deadline on (not with goes_on), even if on_change has not come yet: a
// process that was stopped for longer finds its timers and answers due in any order. Ask before starting
// anything.
bool kp_lease_leading(const struct kp_lease *lease);
// How long what was started under our lease may go on: until others may begin. 0 = no longer.
// With goes_on, while it leads: duration_ms.
int64_t kp_lease_left_ms(const struct kp_lease *lease);
// Who holds it as far as we know, "" if nobody.
const char *kp_lease_holder(const struct kp_lease *lease);
// Gives the lease back if we hold it; on_released comes once, also on failure.
void kp_lease_release(struct kp_lease *lease, kp_loop_fn on_released, void *user);
void kp_lease_destroy(struct kp_lease *lease);

#endif
