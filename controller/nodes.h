// What machine a pod runs on: the architecture of its node, for the records of captures. A node is asked for
// when a capture of one of its pods starts, and is known a moment later; nobody waits for it. What is read is
// kept for a day, a failure for 10 min; without the right to read nodes there is one line in the log, and one
// question every 10 min.
#ifndef KP_CONTROLLER_NODES_H
#define KP_CONTROLLER_NODES_H

#include <stddef.h>
#include <stdint.h>

#include "kube/client.h"

struct kp_nodes;

struct kp_nodes_options {
    struct kp_kube *kube;
    size_t max_nodes;    // kept, the one longest not asked for goes first; 0 = 10 000
    size_t max_requests; // at once; 0 = 4
    int64_t keep_ms;     // 0 = a day; then it is read again, and what was known stands meanwhile
    int64_t retry_ms;    // 0 = 10 min
};

struct kp_nodes *kp_nodes_create(const struct kp_nodes_options *options);
// Before or after kp_kube_destroy().
void kp_nodes_destroy(struct kp_nodes *nodes);

// Reads the node unless it is known, being read, or could not be read a while ago. Names that are none
// ("", NULL) are passed over.
void kp_nodes_ask(struct kp_nodes *nodes, const char *name);
// "amd64", "arm64" ...; NULL while it is not known. Borrowed until the loop goes on.
const char *kp_nodes_architecture(struct kp_nodes *nodes, const char *name);
// Nodes being read or waiting for that.
size_t kp_nodes_asked(const struct kp_nodes *nodes);

#endif
