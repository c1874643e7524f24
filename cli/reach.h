// One port of one pod: asked through the API server's pod proxy, or through port-forward where that is not
// allowed or the program listens on its own loopback only. One request at a time; callbacks come from the
// loop. TLS of the pod is not verified on either way: the API server does not, and a pod has no name that a
// certificate could bear.
#ifndef KP_CLI_REACH_H
#define KP_CLI_REACH_H

#include "base/outcome.h"
#include "cli/session.h"

enum kp_reach_via { KP_REACH_AUTO, KP_REACH_PROXY, KP_REACH_FORWARD };

struct kp_reach_options {
    const char *namespace, *pod;
    uint16_t port;
    bool https;
    enum kp_reach_via via;
    // Instead of a pod: what paths are appended to at the API server: "" for its own,
    // "/api/v1/nodes/N/proxy".
    const char *prefix;
    // The program asks who we are (components of the control plane): port-forward with the kubeconfig's token
    // or certificate, which the pod proxy takes off.
    bool with_credentials;
    const char *dir; // a private directory (0700) for sockets; NULL: port-forward is not tried
};

struct kp_reach;
// Everything is copied. Nothing is asked yet. The session is connected.
struct kp_reach *kp_reach_create(struct kp_cli *cli, const struct kp_reach_options *options);
// Not while a request runs: cancel it and wait for on_done. NULL is fine.
void kp_reach_destroy(struct kp_reach *reach);

struct kp_reach_answer {
    int status; // of the pod; 0: it gave none
    const char *content_type;
    const void *refusal; // of a status that is not 2xx: the beginning of the body
    size_t refusal_len;
    struct kp_error error; // code 0: a 2xx answer came in whole
};

struct kp_reach_request {
    const char *path;   // "/debug/pprof/heap?seconds=..."
    int64_t timeout_ms; // of the whole
    size_t max_body;
    bool (*on_data)(void *user, const uint8_t *data, size_t len); // of a 2xx answer; false stops
    void (*on_done)(void *user, const struct kp_reach_answer *answer);
    void *user;
};
KP_MUST_CHECK int kp_reach_get(
    struct kp_reach *reach, const struct kp_reach_request *request, struct kp_error *err);
// on_done comes with KP_CANCELED.
void kp_reach_cancel(struct kp_reach *reach);

#endif
