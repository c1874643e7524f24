// Inside forward only: the listener and its connections.
#ifndef KP_FORWARD_FORWARD_PRIVATE_H
#define KP_FORWARD_FORWARD_PRIVATE_H

#include "aio/watch.h"
#include "base/list.h"
#include "forward/forward.h"

struct kp_forward {
    struct kp_loop *loop;
    struct kp_kube *kube;
    char *path, *name; // "/api/v1/...", "port 6060 of pod 'shop/web-0'"
    char *socket;
    int port, fd;
    bool bound;
    int64_t connect_timeout_ms, ping_ms;
    struct kp_watch *watch;
    struct kp_timer *rest; // after accept failed for want of descriptors
    struct kp_list conns;
    int n_conns;
    struct kp_error error; // the last one
};

// conn.c: takes the descriptor.
struct kp_forward_conn;
void kp_forward_conn_start(struct kp_forward *forward, int fd);
void kp_forward_conn_end(struct kp_forward_conn *conn);
struct kp_forward_conn *kp_forward_conn_first(struct kp_forward *forward); // NULL = none

// forward.c
void kp_forward_failed(struct kp_forward *forward, const struct kp_error *err);
void kp_forward_conn_ended(struct kp_forward *forward);

#endif
