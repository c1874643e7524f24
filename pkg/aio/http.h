// HTTP client (libcurl multi on the loop), HTTP/1.1 only, never a redirect, never an environment proxy.
//
// A request is started with kp_http_start(); if that returns an error there is no callback. Otherwise on_done
// comes exactly once, never from inside start, also after kp_http_cancel() (code KP_CANCELED, later). After
// on_done the handle is gone.
#ifndef KP_AIO_HTTP_H
#define KP_AIO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aio/loop.h"
#include "base/blob.h"
#include "base/error.h"
#include "base/metrics.h"

struct sockaddr;
struct kp_http;
struct kp_http_call;

struct kp_http_options {
    int max_connections; // in all; more calls wait; 0 = 256
    int max_per_host;    // 0 = no limit
    bool reuse;          // keep connections alive between calls
};

struct kp_http *kp_http_create(struct kp_loop *loop, const struct kp_http_options *options);
// Cancels what runs; every on_done has been called when this returns.
void kp_http_destroy(struct kp_http *http);

// TLS of one call. PEM texts and files are alternatives; texts win. Without a CA the system's bundle counts.
struct kp_http_tls {
    const char *ca_file, *ca_pem;
    const char *cert_file, *cert_pem;
    const char *key_file, *key_pem;
    const char *server_name; // verified and sent as SNI instead of the URL's host
    bool insecure;           // no verification
};

struct kp_http_result {
    int code;                 // KP_OK when an HTTP answer came in whole, whatever its status
    int status;               // HTTP status, 0 if none came
    struct kp_error error;    // set when code is not KP_OK; names the peer and the cause, ready to be shown
    int os_errno;             // of the failed connect, 0 otherwise
    struct kp_blob *body;     // NULL with on_data; borrowed (ref it to keep it)
    const char *content_type; // borrowed; "" if none
    int retry_after_s;
    char peer_ip[46];
    int64_t connect_us, first_byte_us, total_us; // since start; 0 = not reached
    size_t bytes_received;                       // of the body
    bool head_too_large; // the call was ended since its headers took more than KP_MAX_ANSWER_HEAD (KP_LIMIT)
};

struct kp_http_request {
    const char *method; // "GET"
    const char *url;
    const char *const
        *headers; // "Name: value", NULL-terminated; names and values without CR LF (KP_INVALID otherwise)
    struct kp_blob *body;   // referenced until done; NULL = none
    struct kp_http_tls tls; // copied
    const char *connect_ip; // connect there whatever the URL's host is (an IP literal), NULL = the URL's host
    const char *unix_socket;    // connect to this socket instead
    const char *proxy;          // http, https or socks5 URL; explicit only; NULL = none
    int64_t connect_timeout_ms; // 0 = 5 s
    int64_t timeout_ms;         // the whole call; 0 = none
    int64_t idle_timeout_ms;    // no byte for so long (watches); 0 = none
    size_t max_body;            // more is KP_LIMIT; with on_data it bounds the sum; 0 = KP_MAX_JSON_BYTES
    bool keepalive;             // TCP keep-alive and TCP_USER_TIMEOUT (watches)

    // Asks to go over to another protocol on the same connection ("websocket"); the headers Connection and
    // Upgrade are added, there is no body. When the answer is 101, on_upgraded comes (after on_header and
    // on_head) and the connection carries bytes both ways until kp_http_cancel(): see kp_http_read(). Any
    // other answer ends like that of an ordinary call (its body up to 64 KiB). timeout_ms counts up to
    // on_upgraded; there is no idle timeout.
    const char *upgrade;
    void (*on_upgraded)(void *user);
    void (*on_ready)(void *user); // what kp_http_want() asked for

    // May refuse the address about to be used, after v4-in-v6 was un-mapped; sentence into err. KP_DENIED to
    // the caller.
    bool (*allow_address)(void *user, const struct sockaddr *addr, struct kp_error *err);
    // Status line and headers are complete. Optional. Returning false ends the call with KP_CANCELED.
    bool (*on_head)(void *user, int status, const char *content_type);
    // A response header, optional; name without regard to case, borrowed.
    void (*on_header)(void *user, const char *name, const char *value);
    // Body bytes as they come instead of result.body; only for status 2xx, other bodies (up to 64 KiB) go to
    // result.body. Returning false ends the call with KP_CANCELED.
    bool (*on_data)(void *user, const uint8_t *data, size_t len);
    void (*on_done)(void *user, const struct kp_http_result *result);
    void *user;
};

KP_MUST_CHECK int kp_http_start(struct kp_http *http, const struct kp_http_request *request,
    struct kp_http_call **ret_call, struct kp_error *err);
void kp_http_cancel(struct kp_http_call *call);

// ---- an upgraded connection ----

// Bytes read or written; 0 = the other side closed (read), KP_THROTTLED = none now, try again when on_ready
// comes; other negative codes: it broke, see err. A write that was throttled is repeated with the same bytes
// at the same address. One read may leave more behind that on_ready does not tell of: read until
// KP_THROTTLED, or try again without being told.
KP_MUST_CHECK int kp_http_read(struct kp_http_call *call, void *buf, size_t size, struct kp_error *err);
KP_MUST_CHECK int kp_http_write(
    struct kp_http_call *call, const void *bytes, size_t len, struct kp_error *err);
// Asks for on_ready, again and again while it holds; level-triggered.
void kp_http_want(struct kp_http_call *call, bool readable, bool writable);

// From the next piece of the body on: what comes is in no hurry, and is read at most once in so many
// milliseconds (0: at once, as it is at first). Of an answer that brings little at a time, and often, that
// saves most of the work.
void kp_http_relax(struct kp_http_call *call, int64_t gap_ms);
// Stops and goes on reading (back-pressure).
void kp_http_pause(struct kp_http_call *call, bool paused);

#endif
