// One answer of a server as bytes: of the API server, or of a registry named by --registry. Blocking.
#ifndef KP_CLI_FETCH_H
#define KP_CLI_FETCH_H

#include "base/blob.h"
#include "cli/session.h"

// Largest answer that is taken: sums and profiles are far below.
#define KP_FETCH_MAX ((size_t)256 * KP_MIB)

struct kp_fetch {
    const char *method;       // NULL = "GET"
    const char *path;         // of the API server: "/apis/..."; of a registry: "/api/v1/..."
    const char *accept;       // NULL = "application/json"
    const char *content_type; // of body
    const void *body;         // NULL = none
    size_t len;
};

struct kp_fetched {
    struct kp_blob *body; // one reference
    char content_type[128];
};
void kp_fetched_finish(struct kp_fetched *fetched);

// Not 2xx is an error with the server's sentence and http_status.
KP_MUST_CHECK int kp_fetch_api(
    struct kp_cli *cli, const struct kp_fetch *fetch, struct kp_fetched *ret, struct kp_error *err);
KP_MUST_CHECK int kp_fetch_registry(
    struct kp_cli *cli, const struct kp_fetch *fetch, struct kp_fetched *ret, struct kp_error *err);

#endif
