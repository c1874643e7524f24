// Port-forward: a Unix socket that leads to a port of a pod, through the API server and the kubelet
// (WebSocket, v4.channel.k8s.io). It reaches what listens on the pod's loopback, and needs the right to
// create and get pods/portforward.
//
//     struct kp_forward *forward;
//     if (kp_forward_create(loop, kube, &(struct kp_forward_options){.namespace = "shop", .pod = "web-0",
//             .port = 6060, .dir = private_dir}, &forward, &err) < 0) ...
//     request.unix_socket = kp_forward_socket(forward);   // of a kp_http_request to "http://localhost/..."
//     ... on_done: kp_forward_error(forward, &why) says why a connection broke ...
//     kp_forward_destroy(forward);
//
// Every connection that is accepted becomes a WebSocket of its own, asked for when it is accepted. Nothing is
// read from either side that the other does not take: a connection holds at most 64 KiB.
//
// The protocol knows no half close. When the pod's side closes, what it sent is delivered and the connection
// closed; a client that shuts down its sending side counts as gone. When something fails the client's
// connection is closed after what had come in, which looks like an end: compare kp_forward_error().
#ifndef KP_FORWARD_FORWARD_H
#define KP_FORWARD_FORWARD_H

#include <stdint.h>

#include "aio/loop.h"
#include "base/error.h"
#include "kube/client.h"

#define KP_FORWARD_CONNECTIONS 64 // at a time; further ones wait to be accepted

struct kp_forward;

struct kp_forward_options {
    const char *namespace, *pod;
    int port;
    // Where the socket is made: a directory of ours that nobody else may enter (0700; KP_DENIED if it is
    // another's or open to others, KP_INVALID if its path is too long for a socket). The socket has mode
    // 0600, and a client of another user is turned away whatever the modes say.
    const char *dir;
    int64_t connect_timeout_ms; // until the WebSocket stands; 0 = 10 s
    // A ping after so long without a byte from the server; three without an answer and the connection is
    // given up. 0 = 20 s.
    int64_t ping_ms;
};

// Asks the API server for nothing yet. kube must live longer. Nothing is kept of options.
KP_MUST_CHECK int kp_forward_create(struct kp_loop *loop, struct kp_kube *kube,
    const struct kp_forward_options *options, struct kp_forward **ret, struct kp_error *err);
const char *kp_forward_socket(const struct kp_forward *forward); // its path, until destroy
// The last failure of a connection, code KP_OK if there was none since the start: "port 6060 of pod
// 'shop/web-0': connection refused: ...". Codes and http_status as of kp_kube_start(); KP_NETWORK when
// nothing listens in the pod.
void kp_forward_error(const struct kp_forward *forward, struct kp_error *ret);
// Closes all connections and removes the socket. No callback comes from here at any time. NULL is fine.
void kp_forward_destroy(struct kp_forward *forward);

#endif
