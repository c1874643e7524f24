// Which addresses may be scraped. Pure.
#ifndef KP_CAPTURE_ADDRESS_H
#define KP_CAPTURE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct sockaddr;
struct kp_denylist; // networks never to be scraped

// CIDR texts ("10.96.0.0/16", "fd00::/8"), NULL-terminated; NULL = none. Loopback, link-local, multicast,
// unspecified, reserved and broadcast, the metadata addresses of clouds, and IPv6 that stands for an IPv4
// address (NAT64, 6to4, Teredo, IPv4-compatible, translated) are always in.
KP_MUST_CHECK int kp_denylist_create(
    const char *const *cidrs, struct kp_denylist **ret, struct kp_error *err);
void kp_denylist_destroy(struct kp_denylist *list);
// Puts the networks of the cluster's services, learned while running, in the place of those an earlier call
// put in; what create() was given stays. A text that is no network is left out. Returns how many were put in.
size_t kp_denylist_learn(struct kp_denylist *list, const char *const *cidrs);
// The same for the addresses of the API server: those its pods have that use their node's network, so that
// they do not count for such pods.
size_t kp_denylist_learn_servers(struct kp_denylist *list, const char *const *ips);
// Takes a network out again, named as it was put in. For tests.
void kp_denylist_forget(struct kp_denylist *list, const char *cidr);
// v4-in-v6 is un-mapped first. KP_DENIED names the address and the network. host_network: the pod uses its
// node's network.
KP_MUST_CHECK int kp_denylist_check(
    const struct kp_denylist *list, const struct sockaddr *addr, bool host_network, struct kp_error *err);
// The same for an address literal; a text that is none is KP_INVALID.
KP_MUST_CHECK int kp_denylist_check_text(
    const struct kp_denylist *list, const char *ip, bool host_network, struct kp_error *err);
// An address literal as 16 bytes, IPv4 as v4-in-v6: the same however it is written. False if it is none.
bool kp_address_parse(const char *ip, unsigned char out[16]);

#endif
