// The API server: requests with credentials, Status objects turned into errors, 429 and 5xx with Retry-After
// repeated.
#ifndef KP_KUBE_CLIENT_H
#define KP_KUBE_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "aio/http.h"
#include "aio/loop.h"
#include "base/metrics.h"
#include "kube/config.h"

struct kp_kube;
struct kp_kube_call;
struct kp_kube_exchange;

struct kp_kube_options {
    const char *user_agent;     // "kube-pprof/0.2.0 (linux/amd64)"
    struct kp_metrics *metrics; // rest_client_requests_total and the like; NULL = none
    double writes_per_second;   // token bucket for everything that is not GET; 0 = 20
    bool terminal;              // stdin is one: an exec plugin may ask there
    // Told of every HTTP request once it is over (kubectl's -v=6..9; kube/exchange.h writes it down): also of
    // those that are repeated, and of lists and watches. Secrets are masked.
    void (*on_exchange)(void *user, const struct kp_kube_exchange *exchange);
    void *exchange_user;
    size_t exchange_max_body; // bytes kept of each body for on_exchange; 0 = none
    // Asked each time a write is about to go out, repeats as well: whatever is no GET, not harmless and not
    // urgent. Where it says no the request ends with KP_CANCELED. NULL = all may.
    bool (*may_write)(void *user);
    void *may_write_user;
};

// config is copied. Never fails because the API server is away.
struct kp_kube *kp_kube_create(
    struct kp_loop *loop, const struct kp_kube_config *config, const struct kp_kube_options *options);
// Cancels what runs (callbacks come before it returns).
void kp_kube_destroy(struct kp_kube *kube);

struct kp_kube_request {
    const char *method;         // "GET" "POST" "PATCH" "PUT" "DELETE"
    const char *path;           // "/api/v1/namespaces/shop/pods/x?..."
    const char *accept;         // NULL = application/json
    const char *content_type;   // of body
    struct kp_blob *body;       // referenced; NULL = none
    const char *const *headers; // more of them, "Name: value", NULL-terminated; copied; NULL = none
    size_t max_body;            // 0 = KP_MAX_JSON_BYTES
    int64_t timeout_ms;         // of one try, and no further try begins after it; 0 = 60 s
    int max_tries; // 0 = 10; 1 = do not repeat. A 401 is answered with fresh credentials, if there
                   // may be any, and a certificate that is not trusted with a fresh look at the CA file, once
                   // and whatever is said here
    bool urgent;   // not held back by writes_per_second (the Lease)
    bool harmless; // a POST that changes nothing: repeated like a GET
    // The raw form, for answers that are not JSON or are too large to hold (profiles through the pod proxy):
    // a 2xx body goes to on_data as it comes, and on_done gets no json. Of errors nothing is handed out, they
    // become err as ever. Without timeout_ms there is no limit in time then, without max_body none in size.
    // Once on_data was called nothing is repeated: an answer that breaks off is KP_NETWORK. Returning false
    // ends the call with KP_CANCELED.
    bool (*on_data)(void *user, const uint8_t *data, size_t len);
    int64_t idle_timeout_ms; // with on_data: no byte for so long is KP_TIMEOUT; 0 = none
    // Of a 2xx answer, before its body; optional. false ends the call with KP_CANCELED.
    bool (*on_head)(void *user, int http_status, const char *content_type);
    // Also of the raw form, optional: the body (its first 64 KiB) of an answer that is not 2xx, before
    // on_done: what is behind a proxy of the API server has words of its own.
    void (*on_refusal)(void *user, int http_status, const char *content_type, const void *body, size_t len);
    // json: the parsed answer (borrowed; NULL if empty, not JSON or failed). err: NULL on success; else code
    // and sentence from the Status object ("profilingpolicies.kube-pprof.dev \"x\" is forbidden: ...").
    void (*on_done)(void *user, int http_status, json_t *json, const struct kp_error *err);
    void *user;
};
KP_MUST_CHECK int kp_kube_start(struct kp_kube *kube, const struct kp_kube_request *request,
    struct kp_kube_call **ret, struct kp_error *err);
void kp_kube_cancel(struct kp_kube_call *call); // on_done still comes, with KP_CANCELED
// Cancels; on_done does not come any more: for owners that are being destroyed. NULL is fine.
void kp_kube_forget(struct kp_kube_call *call);

// What shows others who we are, as it stands: a token, also a file's or an exec plugin's, once there was an
// answer. Returns the header "Authorization: ...", NULL if there is none; certificate and key go to
// *ret_tls, nothing else of which is set. Borrowed until the loop runs on.
const char *kp_kube_identity(struct kp_kube *kube, struct kp_http_tls *ret_tls);

// Server-side apply (force) of `object` on path; takes the json reference.
KP_MUST_CHECK int kp_kube_apply(struct kp_kube *kube, const char *path, const char *field_manager,
    json_t *object, void (*on_done)(void *user, int http_status, json_t *json, const struct kp_error *err),
    void *user, struct kp_kube_call **ret, struct kp_error *err);

// Whether a name may stand in a path (DNS subdomain; no '/', '..', '%').
bool kp_kube_name_valid(const char *name);

#endif
