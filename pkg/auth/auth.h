// Who is it, may he, as Kubernetes says: a gate (serve/gate.h) over front-proxy certificates, TokenReview and
// SubjectAccessReview. Answers are kept: of tokens by their hash for at most 60 s, of rights 30 s, counted
// from the question; a question under way is put once, however many wait for it. When the API server is away
// what is known is good for its time, then the answer is no. Everything is bounded: tokens and answers kept,
// questions at once. On the loop thread.
//
// Who a request is of: the front proxy's certificate with X-Remote-* headers (paths below /apis and /openapi
// only), else its bearer token, else, on /api/0 and without any Authorization header, the open tenant.
#ifndef KP_AUTH_AUTH_H
#define KP_AUTH_AUTH_H

#include "aio/loop.h"
#include "base/metrics.h"
#include "kube/client.h"
#include "serve/gate.h"

struct kp_auth;

struct kp_auth_options {
    struct kp_loop *loop;
    struct kp_kube *kube; // borrowed; its writes_per_second bounds the questions
    const char *const *audiences;
    size_t n_audiences;              // a token must be for one of them
    bool api_server_tokens;          // also tokens made for the API server itself
    const char *anonymous_namespace; // on /api/0 who says nothing of himself is this tenant; NULL = nobody
    bool front_proxy; // watch kube-system/extension-apiserver-authentication, believe X-Remote-*
    int64_t token_ms, refused_ms, access_ms; // how long answers are kept; 0 = 60 s, 10 s, 30 s
    size_t max_tokens, max_answers;          // kept; 0 = 4096, 16384
    // At the API server at once; beyond it 429. Tokens never seen get three quarters of it, so that somebody
    // who makes them up cannot keep the known ones out; a quarter is for one user, or for one address that
    // shows tokens never seen. 0 = 64.
    size_t max_questions;
    struct kp_metrics *metrics;
    int64_t (*now_mono_ms)(void); // NULL = the clock
    // Questions cannot be put or the front proxy's CA is not to be had: once when it begins (what: "reviews",
    // "front proxy"), and with err NULL when it is over. NULL = not told.
    void (*on_trouble)(void *user, const char *what, const struct kp_error *err);
    void *user;
};

// Strings of the options are copied.
struct kp_auth *kp_auth_create(const struct kp_auth_options *options);
// Who waits for an answer gets none. Not from inside a callback; before the kube client goes. NULL is fine.
void kp_auth_destroy(struct kp_auth *auth);
struct kp_gate kp_auth_gate(struct kp_auth *auth);
// From now on captures (create profiles/captures) are taken only from clients that have shown a certificate
// of one of these beside their token. Takes the reference.
void kp_auth_set_controller_ca(struct kp_auth *auth, struct kp_http_trust *trust);
// For kp_serve_add_check(): the CA of the front proxy is known (where it is wanted).
bool kp_auth_ready(void *auth, const char **ret_why_not);

#endif
