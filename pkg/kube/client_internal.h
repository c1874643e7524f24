// What client.c shares with reflector.c: streams on the same connections and credentials. Internal to kube.
#ifndef KP_KUBE_CLIENT_INTERNAL_H
#define KP_KUBE_CLIENT_INTERNAL_H

#include "base/list.h"
#include "kube/client.h"
#include "kube/credentials.h"
#include "kube/login.h"

struct kp_kube {
    struct kp_loop *loop;
    // Watches hold their connections for minutes: they and the Lease must not wait for, nor hold up, ordinary
    // calls.
    struct kp_http *http, *long_http;
    struct kp_credentials credentials;
    struct kp_login *login; // NULL = no exec plugin
    char *user_agent;
    struct kp_list calls;    // kp_kube_call
    struct kp_list listings; // kp_kube_listing
    struct kp_list ending;   // kp_kube_stream, canceled before it was sent
    int n_calls;
    bool destroying;
    uint64_t random;
    double write_interval_ms, write_burst_ms; // token bucket by time of arrival (GCRA)
    double write_due_ms;
    int64_t watch_list_again_ms; // the server does not serve WatchList: not tried again before; monotonic
    void (*on_exchange)(void *user, const struct kp_kube_exchange *exchange); // NULL = nobody wants to know
    void *exchange_user;
    size_t exchange_max_body;
    bool (*may_write)(void *user); // NULL = always
    void *may_write_user;
    struct kp_metrics *metrics;                              // NULL = none
    struct kp_metric_family *requests, *durations, *retries; // NULL = none
};

// What is the same for every request: URL, credentials, TLS. Everything is copied. accept: NULL = JSON. Of
// credentials it takes what is there: kp_login_ready() first.
struct kp_kube_headers {
    const char *accept, *content_type;
    const char *const *more; // NULL-terminated; NULL = none
};
KP_MUST_CHECK int kp_kube_http_start(struct kp_kube *kube, struct kp_http *over, const char *path,
    const struct kp_kube_headers *headers, struct kp_http_request *http, struct kp_http_call **ret,
    struct kp_error *err);
// What there is to say of a failed request beyond curl's words; err is result->error at first.
void kp_kube_explain(const struct kp_kube *kube, const struct kp_http_result *result, struct kp_error *err);
// Ends what waits without a connection, once they are closed.
void kp_kube_streams_end(struct kp_kube *kube);
void kp_kube_listings_end(struct kp_kube *kube);
void kp_kube_count_request(struct kp_kube *kube, const char *method, int status); // status 0: no answer

// A GET whose body is handed over as it comes: lists and watches. No repeats, no time limit but the ones
// given.
struct kp_kube_stream_request {
    const char *path;
    const char *accept; // a constant; NULL = JSON
    int64_t timeout_ms, idle_timeout_ms;
    // 2xx: the answer begins.
    void (*on_begin)(void *user);
    bool (*on_data)(void *user, const uint8_t *data, size_t len); // false = stop; on_done says KP_CANCELED
    // The body of an answer that is not 2xx, before on_done; optional.
    void (*on_refusal)(void *user, const char *body, size_t len);
    void (*on_done)(void *user, const struct kp_error *err); // NULL = clean end
    void *user;
};
struct kp_kube_stream;
KP_MUST_CHECK int kp_kube_stream_start(struct kp_kube *kube, const struct kp_kube_stream_request *request,
    struct kp_kube_stream **ret, struct kp_error *err);
// As kp_http_relax().
void kp_kube_stream_relax(struct kp_kube_stream *stream, int64_t gap_ms);
void kp_kube_stream_cancel(struct kp_kube_stream *stream); // on_done comes later

#endif
