// For tests that stop a client at a moment of their choice.
#ifndef KP_KUBE_CLIENT_TESTING_H
#define KP_KUBE_CLIENT_TESTING_H

#include "kube/client.h"

// Requests that may change something and wait for their answer; those of a Lease do not count.
size_t kp_kube_writes_out(const struct kp_kube *kube);

#endif
