// Requests to the API server that go over to another protocol: port-forward, exec.
#ifndef KP_KUBE_UPGRADE_H
#define KP_KUBE_UPGRADE_H

#include <stdint.h>

#include "kube/client.h"

struct kp_kube_upgrade;

struct kp_kube_upgrade_request {
    const char *path;           // "/api/v1/namespaces/shop/pods/x/portforward?ports=6060"
    const char *protocol;       // "websocket"
    const char *const *headers; // more of them, "Name: value", NULL-terminated, at most 8; NULL = none
    int64_t timeout_ms;         // until the answer; 0 = 10 s
    void (*on_header)(void *user, const char *name, const char *value); // of the answer; may be NULL
    // The connection is ours: use it with kp_http_read() and the like on kp_kube_upgrade_connection().
    void (*on_upgraded)(void *user);
    void (*on_ready)(void *user); // see kp_http_want()
    // Refused (err from the Status object), no connection, or the client is being destroyed. Comes at most
    // once and not after kp_kube_upgrade_close(); the upgrade is gone then. An upgraded connection that
    // breaks is seen by reading it, not here.
    void (*on_failed)(void *user, const struct kp_error *err);
    void *user;
};

// Credentials, TLS and proxy as for every other request; a 401 makes it read its token again and ask a second
// time.
KP_MUST_CHECK int kp_kube_upgrade_start(struct kp_kube *kube, const struct kp_kube_upgrade_request *request,
    struct kp_kube_upgrade **ret, struct kp_error *err);
// Only between on_upgraded and kp_kube_upgrade_close() or on_failed.
struct kp_http_call *kp_kube_upgrade_connection(const struct kp_kube_upgrade *upgrade);
// Gives up whatever stage it is in; no callback comes any more. NULL is fine.
void kp_kube_upgrade_close(struct kp_kube_upgrade *upgrade);

#endif
