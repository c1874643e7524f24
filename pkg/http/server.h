// HTTP/1.1 server: libwebsockets' raw role as transport (listen, TLS, readiness), our own strict parser on
// top. RFC 9112 grammar only; anything ambiguous is 400 and close. One listener serves one routes table.
//
// Life of a request: the parser has a complete header block -> the route is found (404, 405) -> the gate, if
// any, is asked (may answer later) -> the body arrives whole (max_body) or in pieces -> the handler runs,
// once -> it answers at once or later with kp_http_reply*(). A client that leaves is told to the handler by
// on_gone. All on the loop thread.
#ifndef KP_HTTP_SERVER_H
#define KP_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aio/loop.h"
#include "base/blob.h"
#include "base/error.h"
#include "base/metrics.h"
#include "base/strbuf.h"

struct kp_http_server;
struct kp_http_exchange; // a request and its answer

// Words the JSON body of an error in another way than ours, for an API that has its own; also of refusals
// before a row of the table was found: then the path may be NULL or "". False: it is ours.
typedef bool (*kp_http_word_error_fn)(const struct kp_http_exchange *x, int status, const char *reason,
    const char *message, struct kp_strbuf *out);

struct kp_http_listener {
    const char *address;              // "127.0.0.1:10100", ":10100" (all, v4 and v6), "[::1]:0", "unix:/path"
    const char *cert_file, *key_file; // both or none; re-read by kp_http_server_reload(). TLS 1.2 and up
    // Asks for a client certificate and verifies in the handshake no more than that the client holds its key:
    // whether anything is to be believed of it, kp_http_client_trusted() says. Sessions are not resumed.
    bool ask_client_cert;
    kp_http_word_error_fn word_error; // NULL = every error is ours
};

// CA certificates that client certificates may come from; counted references. pem: one or more, what is no
// CA's among them is left out; KP_TLS if none is left or one cannot be read.
struct kp_http_trust;
KP_MUST_CHECK int kp_http_trust_create(const char *pem, struct kp_http_trust **ret, struct kp_error *err);
void kp_http_trust_unref(struct kp_http_trust *trust); // NULL is fine

struct kp_http_server_options {
    size_t max_connections;          // half of them for one address; 0 = 1024
    size_t max_body_bytes_in_flight; // of all requests together; beyond it reading pauses; 0 = 128 MiB
    int64_t header_timeout_ms;       // wall clock for the header block; 0 = 10 s
    int64_t idle_timeout_ms;         // keep-alive; 0 = 60 s
    // Of bodies and readers, after a grace of 10 s; 0 = 1 KiB/s, negative = none.
    int64_t min_rate_bytes_per_s;
    struct kp_metrics *metrics; // http_requests_total{route,code}, http_request_duration_seconds{route}, ...
    // One access line per answer; NULL = none.
    void (*on_access)(
        void *user, const struct kp_http_exchange *x, int status, size_t bytes_sent, double seconds);
    void *user;
};

typedef void (*kp_http_handler_fn)(struct kp_http_exchange *x, void *user);

struct kp_http_route {
    // "GET" (HEAD is answered from it), "POST", ...; "*" = any, where no row before it has the path
    const char *method;
    // "/api/v1/profiles/{id}"; {name} is one non-empty segment, {name...} the rest. Slashes doubled at the
    // beginning of a request's path count as one.
    const char *path;
    kp_http_handler_fn handler;
    size_t max_body;         // 0 = no body allowed beyond 0 bytes
    int64_t body_timeout_ms; // 0 = 60 s
    const char *name;        // metric label; NULL = path
    const void *tag;         // the application's, e.g. which right is needed
};

struct kp_http_server *kp_http_server_create(
    struct kp_loop *loop, const struct kp_http_server_options *options, struct kp_error *err);
// routes: terminated by a row of zeroes; must outlive the server. user goes to the handlers. gate may be
// NULL: it is asked when the headers are complete, before any body byte is read; it must call
// kp_http_gate_open() or answer (now or later).
KP_MUST_CHECK int kp_http_server_listen(struct kp_http_server *server,
    const struct kp_http_listener *listener, const struct kp_http_route *routes, kp_http_handler_fn gate,
    void *user, int *ret_port, struct kp_error *err);
// Swaps certificates live; open connections stay. Files that are as they were are left alone, and as long as
// a certificate and its key cannot be read or do not belong together, what was served goes on to be.
KP_MUST_CHECK int kp_http_server_reload(struct kp_http_server *server, struct kp_error *err);
// Stops accepting, closes idle connections, lets running requests finish for at most grace_ms, then calls
// on_drained.
void kp_http_server_drain(struct kp_http_server *server, int64_t grace_ms, kp_loop_fn on_drained, void *user);
// Ends everything now; call kp_http_server_free() after the loop ran to its end (kp_loop_destroy does the
// closing).
void kp_http_server_close(struct kp_http_server *server);
void kp_http_server_free(struct kp_http_server *server);

// ---- the request; strings are borrowed until the answer is complete ----
const char *kp_http_method(const struct kp_http_exchange *x);
const char *kp_http_path(const struct kp_http_exchange *x);  // as sent, before '?', not decoded
const char *kp_http_query(const struct kp_http_exchange *x); // raw text behind '?', "" if none
const char *kp_http_header(const struct kp_http_exchange *x, const char *name); // NULL if not there
const char *kp_http_param(const struct kp_http_exchange *x, const char *name); // {name} of the route, decoded
// A query parameter, decoded; NULL if not there; of several the first.
const char *kp_http_arg(const struct kp_http_exchange *x, const char *name);
// The i-th query pair in order, decoded (badly escaped pairs are left out); false past the end.
bool kp_http_arg_at(
    const struct kp_http_exchange *x, size_t i, const char **ret_name, const char **ret_value);
bool kp_http_args_whole(const struct kp_http_exchange *x);      // no pair was left out
struct kp_blob *kp_http_body(const struct kp_http_exchange *x); // borrowed; never NULL in a handler
const char *kp_http_peer(const struct kp_http_exchange *x);     // IP text
bool kp_http_peer_is_loopback(const struct kp_http_exchange *x);
// The common name ("" if it has none) of the client's certificate if it was issued, for client
// authentication, by one of `trust` and is valid now; else NULL. Copy it to keep it beyond this turn of the
// loop. The chain is checked once per connection and trust.
const char *kp_http_client_trusted(const struct kp_http_exchange *x, struct kp_http_trust *trust);
// Each header of the request in order, names as they were sent; false past the end.
bool kp_http_header_at(
    const struct kp_http_exchange *x, size_t i, const char **ret_name, const char **ret_value);
const char *kp_http_request_id(const struct kp_http_exchange *x);
const struct kp_http_route *kp_http_matched_route(const struct kp_http_exchange *x);
// Bytes of all answers of the server that wait for their clients to read.
size_t kp_http_unsent(const struct kp_http_exchange *x);
// A thing that lives as long as the exchange (one only, the identity); destroy frees it.
void kp_http_attach(struct kp_http_exchange *x, void *thing, void (*destroy)(void *thing));
void *kp_http_attached(const struct kp_http_exchange *x);
// Told once if the client leaves before kp_http_reply() or kp_http_reply_end(); afterwards x must not be
// used. NULL clears. Without it x stays valid until it is answered (the answer then goes nowhere).
void kp_http_on_gone(struct kp_http_exchange *x, kp_loop_fn on_gone, void *user);

void kp_http_gate_open(struct kp_http_exchange *x);

// ---- the answer: one of these, once ----
void kp_http_set_header(struct kp_http_exchange *x, const char *name, const char *value); // before the reply
void kp_http_reply(
    struct kp_http_exchange *x, int status, const char *content_type, struct kp_blob *body); // refs body
void kp_http_reply_text(struct kp_http_exchange *x, int status, const char *content_type, const char *text);
// {"error": {"reason": ..., "message": ...}} with the status that belongs to the error's code.
void kp_http_reply_error(struct kp_http_exchange *x, const struct kp_error *err);
void kp_http_reply_status(struct kp_http_exchange *x, int status, const char *reason, const char *message);
// In pieces: begin, then write (bytes are copied) until end. on_space is called when less than 64 KiB wait to
// be sent.
void kp_http_reply_begin(
    struct kp_http_exchange *x, int status, const char *content_type, kp_loop_fn on_space, void *user);
void kp_http_reply_write(struct kp_http_exchange *x, const void *data, size_t len);
void kp_http_reply_end(struct kp_http_exchange *x);

int kp_http_status_of(int code); // KP_NOT_FOUND -> 404 ...

#endif
