// The connection of one run: the loop, kubeconfig and API server, Ctrl-C. Everything here blocks until it is
// answered; what runs beside other things uses the parts (loop, kube, http) and kp_session_wait().
#ifndef KP_CLI_SESSION_H
#define KP_CLI_SESSION_H

#include <jansson.h>
#include <stdbool.h>

#include "aio/http.h"
#include "aio/loop.h"
#include "cli/cli.h"
#include "kube/client.h"

struct kp_session {
    struct kp_loop *loop;
    struct kp_http *http; // for everything that is not the API server: registries, port-forwarded pods
    bool is_connected;    // the rest is there
    struct kp_kube_config config;
    struct kp_kube *kube;
    bool is_interrupted; // Ctrl-C was pressed, or the terminal closed
    // What to do then: cancel what runs, so that the wait ends. NULL = nothing is running.
    void (*on_interrupt)(void *user);
    void *interrupt_user;
    struct kp_signal *sigint, *sigterm, *sighup; // private
};

// Loop and HTTP client; for --registry and local files no kubeconfig is needed.
struct kp_session *kp_session_open(struct kp_cli *cli);
// And the API server of the kubeconfig. Does not talk to it.
KP_MUST_CHECK int kp_session_connect(struct kp_cli *cli, struct kp_error *err);
void kp_session_close(struct kp_cli *cli); // NULL session is fine

// The namespace asked for, else the context's; connect first.
const char *kp_session_namespace(const struct kp_cli *cli);

// Runs the loop until *done. Ctrl-C calls on_interrupt and goes on waiting; afterwards KP_CANCELED.
KP_MUST_CHECK int kp_session_wait(struct kp_cli *cli, const bool *done, struct kp_error *err);

// One request to the API server (connects if need be); body NULL = none (borrowed). The answer's JSON is the
// caller's. An error's http_status says what the server answered, its text is the server's sentence.
KP_MUST_CHECK int kp_session_json(struct kp_cli *cli, const char *method, const char *path,
    const json_t *body, json_t **ret, struct kp_error *err);

#endif
