// A scripted HTTP/1.1 server for tests: threads on 127.0.0.1 with a port of the system's choice. Each request
// is read whole, noted, and answered with the script that the route gives for it:
//
//     static const struct kp_step *route(void *user, struct kp_peer *peer, const struct kp_peer_request
//     *request)
//     {
//         static const struct kp_step slow[] = {
//             KP_STEP_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), KP_STEP_WAIT_MS(50),
//             KP_STEP_TEXT("ok"), KP_STEP_END};
//         return kp_streq(request->target, "/slow") ? slow : kp_peer_answer(peer, 404, "text/plain", "no",
//         2);
//     }
//     struct kp_peer *peer = kp_peer_start(route, NULL);
//     ... curl "http://127.0.0.1:%d", kp_peer_port(peer) ...
//     assert_string_equal(kp_peer_request(peer, 0)->target, "/slow");
//     kp_peer_stop(peer);
//
// What goes wrong inside (no socket, no thread) fails the test. At most KP_PEER_CONNECTIONS at a time.
#ifndef KP_TESTKIT_PEER_H
#define KP_TESTKIT_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KP_PEER_CONNECTIONS 512
#define KP_PEER_MAX_HEAD    65536
#define KP_PEER_MAX_BODY    (64u << 20)

enum kp_step_kind {
    KP_STEP_DONE, // ends a script: the next request on the same connection is read
    KP_STEP_SEND,
    KP_STEP_WAIT,
    KP_STEP_HANGS,  // reads and drops until the other side closes or the peer is stopped
    KP_STEP_RESETS, // SO_LINGER 0: the other side sees ECONNRESET
    KP_STEP_CLOSES,
};

struct kp_step {
    enum kp_step_kind kind;
    const void *data;
    size_t len;
    size_t total; // the data over and over up to so many bytes; 0 = len
    size_t piece; // bytes of one send(2), 1 ms apart; 0 = as many as go
    int ms;
};

#define KP_STEP_TEXT(text)                                                                                   \
    {                                                                                                        \
        .kind = KP_STEP_SEND, .data = (text), .len = sizeof(text) - 1                                        \
    }
#define KP_STEP_BYTES(bytes, n)                                                                              \
    {                                                                                                        \
        .kind = KP_STEP_SEND, .data = (bytes), .len = (n)                                                    \
    }
#define KP_STEP_PIECES(bytes, n, of)                                                                         \
    {                                                                                                        \
        .kind = KP_STEP_SEND, .data = (bytes), .len = (n), .piece = (of)                                     \
    }
#define KP_STEP_REPEAT(bytes, n, up_to)                                                                      \
    {                                                                                                        \
        .kind = KP_STEP_SEND, .data = (bytes), .len = (n), .total = (up_to)                                  \
    }
#define KP_STEP_WAIT_MS(n)                                                                                   \
    {                                                                                                        \
        .kind = KP_STEP_WAIT, .ms = (n)                                                                      \
    }
#define KP_STEP_HANG                                                                                         \
    {                                                                                                        \
        .kind = KP_STEP_HANGS                                                                                \
    }
#define KP_STEP_RESET                                                                                        \
    {                                                                                                        \
        .kind = KP_STEP_RESETS                                                                               \
    }
#define KP_STEP_CLOSE                                                                                        \
    {                                                                                                        \
        .kind = KP_STEP_CLOSES                                                                               \
    }
#define KP_STEP_END                                                                                          \
    {                                                                                                        \
        .kind = KP_STEP_DONE                                                                                 \
    }

struct kp_peer_request {
    const char *method, *target; // target as sent: path and query
    const char *head;            // the request line and headers as sent, up to and with the empty line
    const char *body;            // NUL behind it; chunked bodies undone
    size_t body_len;
    unsigned connection; // the how-manieth connection it came on, from 0
};

struct kp_peer;

// Called in a thread of the peer, several at a time. The script has to live until kp_peer_stop(); NULL
// closes.
typedef const struct kp_step *(*kp_peer_route_fn)(
    void *user, struct kp_peer *peer, const struct kp_peer_request *request);

struct kp_peer *kp_peer_start(kp_peer_route_fn route, void *user);
// Every request gets the same script.
struct kp_peer *kp_peer_start_script(const struct kp_step *script);
// Closes what is open, joins the threads, frees; requests and answers are gone then.
void kp_peer_stop(struct kp_peer *peer);

int kp_peer_port(const struct kp_peer *peer);
const char *kp_peer_url(const struct kp_peer *peer); // "http://127.0.0.1:PORT"

// A whole answer with Content-Length, kept by the peer until it stops. Bytes are copied. extra: more header
// lines, each with its \r\n, or NULL.
const struct kp_step *kp_peer_answer(
    struct kp_peer *peer, int status, const char *content_type, const void *body, size_t len);
const struct kp_step *kp_peer_answer_with(struct kp_peer *peer, int status, const char *extra,
    const char *content_type, const void *body, size_t len);

// Requests that were read whole, in the order they came in. A request's pointer is good until the peer stops.
size_t kp_peer_requests(struct kp_peer *peer);
const struct kp_peer_request *kp_peer_request(struct kp_peer *peer, size_t i);
// Waits until n were read; false after timeout_ms.
bool kp_peer_wait_requests(struct kp_peer *peer, size_t n, int timeout_ms);
// Value of a header of the request, copied into out; false if it is not there. Names without regard to case.
bool kp_peer_header(const struct kp_peer_request *request, const char *name, char *out, size_t size);

size_t kp_peer_connections(struct kp_peer *peer); // accepted so far
size_t kp_peer_max_open(struct kp_peer *peer);    // most at the same time
// Waits until none is open (the other side let go); false after timeout_ms.
bool kp_peer_wait_closed(struct kp_peer *peer, int timeout_ms);

// A port of 127.0.0.1 nobody listens on (for connection refused) until the test does, with SO_REUSEADDR. It
// is the test's until it ends.
int kp_test_closed_port(void);

#endif
