// Inside http only: server, listener, connection, exchange.
//
//   server     the lws context, the tick, limits over all connections
//   listener   a socket we accept on, its lws vhost (TLS), its routes
//   connection bytes in, bytes out, deadlines; at most one exchange at a time
//   exchange   a request and its answer; may outlive its connection until the application lets go
#ifndef KP_HTTP_PRIVATE_H
#define KP_HTTP_PRIVATE_H

#include <libwebsockets.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <uv.h>

#include "aio/loop.h"
#include "base/array.h"
#include "base/list.h"
#include "base/strbuf.h"
#include "http/parser.h"
#include "http/query.h"
#include "http/route.h"
#include "http/server.h"

#define KP_HTTP_WRITE_BYTES  (64 * 1024)        // one write; also the mark for on_space
#define KP_HTTP_MAX_UNSENT   (16 * 1024 * 1024) // of an answer in pieces; more ends the connection
#define KP_HTTP_RATE_GRACE   10000              // ms in which the minimum rate is measured
#define KP_HTTP_PEER         64                 // an address as text
#define KP_HTTP_LINGER_MS    3000
#define KP_HTTP_LINGER_BYTES (16 * 1024 * 1024)
#define KP_HTTP_HALF_OPEN_MS 5000 // an answer is still given to a client that has shut down its sending side

enum kp_conn_state {
    CONN_IDLE,   // no byte of a request yet
    CONN_HEAD,   // inside a header block
    CONN_GATE,   // the gate is asked
    CONN_BODY,   // reading a body
    CONN_ANSWER, // the handler was called, or an answer is being sent
    CONN_LINGER, // everything is sent, our side is shut; what comes is thrown away until the client closes
    CONN_DEAD,   // given to lws for closing
};

struct kp_out { // a piece of what is to be sent
    struct kp_blob *blob;
    size_t sent;
};

struct kp_trusted {              // an answer of kp_http_client_trusted()
    struct kp_http_trust *trust; // referenced; NULL = none
    char *name;
};

struct kp_conn {
    struct kp_list node; // of server->conns
    struct kp_http_server *server;
    struct kp_listener *listener;
    struct lws *wsi;
    enum kp_conn_state state;
    struct kp_http_parser parser;
    struct kp_http_exchange *x;
    char peer[KP_HTTP_PEER];
    bool peer_is_loopback;
    struct kp_trusted trusted[2]; // what is known of its certificate
    size_t next_trusted;
    bool handshake_over, rx_off, paused, in_pump;
    bool doomed; // the next tick ends it
    // input that cannot be used yet
    uint8_t *stash;
    size_t stash_len, stash_at;
    // the body so far
    uint8_t *body;
    size_t body_len, body_cap;
    int64_t body_since_ms;
    // output
    KP_ARRAY(struct kp_out) out;
    size_t out_first, unsent;
    uint64_t sent_total;
    // time
    int64_t deadline_ms;             // of the state, 0 = none
    int64_t in_window_ms, in_window; // minimum rate of bodies: bytes since
    int64_t out_window_ms;           // and of readers; 0 = nothing waits
    uint64_t out_window_start;       // bytes that had left for good then
    int64_t half_open_ms;            // since when the client's side is shut; 0 = it is not
    size_t lingered;
};

struct kp_header {
    char *name, *value;
};

struct kp_gzip_job;

struct kp_http_exchange {
    struct kp_conn *conn; // NULL: the client has gone
    struct kp_http_server *server;
    struct kp_list orphan; // of server->orphans while conn is NULL
    struct kp_http_match match;
    bool matched, gate_asked, gate_open, replied, streaming, ended, is_head, close, chunked, in_on_gone;
    struct kp_http_parser *parser; // the connection's; a copy of its own once that has gone
    struct kp_http_query query;
    bool query_parsed;
    char request_id[65];
    struct kp_blob *body;
    void *attached;
    void (*destroy_attached)(void *thing);
    kp_loop_fn on_gone, on_space;
    void *on_gone_user, *on_space_user;
    KP_ARRAY(struct kp_header) headers;
    int status;
    size_t body_sent;
    int64_t start_us;
    struct kp_gzip_job *gzip;
};

struct kp_listen_socket;
struct kp_http_pair;

struct kp_http_file { // what tells that a file is another one now; zero = it was not there
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed, moved;
};

struct kp_listener {
    struct kp_list node; // of server->listeners
    struct kp_http_server *server;
    struct lws_vhost *vhost;
    char *name; // of the vhost, which does not copy it and reads it in handshakes that name a server
    const struct kp_http_route *routes;
    kp_http_handler_fn gate;
    kp_http_word_error_fn word_error;
    void *user;
    struct kp_listen_socket *socket; // NULL when it no longer accepts
    char *cert_file, *key_file, *unix_path;
    bool ask_client_cert;
    struct kp_http_pair *pair; // what is served
    struct kp_http_file cert_seen, key_seen;
    struct lws_protocols protocols[2];
    int port;
};

struct kp_http_server {
    struct kp_loop *loop;
    struct kp_http_server_options options;
    struct lws_context *lws;
    struct kp_timer *tick;
    struct kp_list listeners, conns, orphans;
    size_t n_conns, body_bytes, unsent; // unsent: of all answers
    bool accept_paused, draining, closed;
    int64_t drain_until_ms;
    kp_loop_fn on_drained;
    void *on_drained_user;
    uint64_t id_seed, id_next;
    uint8_t *bounce; // LWS_PRE + KP_HTTP_WRITE_BYTES
    struct kp_metric_family *requests, *seconds;
    struct kp_metric *connections, *refused;
};

// listener.c
int kp_listener_open(struct kp_http_server *server, const struct kp_http_listener *options,
    struct kp_listener **ret, struct kp_error *err);
void kp_listener_stop(struct kp_listener *listener); // accepting
void kp_listener_accept_again(struct kp_http_server *server);
void kp_listener_free(struct kp_listener *listener);
// tls.c
int kp_http_tls_open(
    struct kp_listener *listener, const struct kp_http_listener *options, struct kp_error *err);
int kp_http_tls_reload(struct kp_listener *listener, struct kp_error *err);
void kp_http_tls_set_up(struct kp_listener *listener, void *ssl_ctx);
void kp_http_tls_finish(struct kp_listener *listener);
int kp_http_tls_fail(struct kp_error *err, const char *what, const char *subject); // OpenSSL's last error
// trust.c
void kp_conn_forget_trusted(struct kp_conn *conn);
// conn.c
int kp_conn_on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *slot, void *in, size_t len);
bool kp_peer_read(char out[KP_HTTP_PEER], const struct sockaddr *addr); // whether it is loopback
struct kp_conn *kp_conn_create(struct kp_listener *listener, const struct sockaddr *peer);
void kp_conn_free(struct kp_conn *conn);
void kp_conn_kill(struct kp_conn *conn); // not from inside an lws callback
void kp_conn_continue(struct kp_conn *conn);
void kp_conn_resume_body(struct kp_conn *conn);
// conn_out.c
void kp_conn_send(struct kp_conn *conn, struct kp_blob *blob); // takes the reference
int kp_conn_flush(struct kp_conn *conn);                       // on writable; -1 = close
// conn_time.c
void kp_conn_enter(struct kp_conn *conn, enum kp_conn_state state);
void kp_conn_tick(struct kp_conn *conn, int64_t now_ms);
// exchange.c
struct kp_http_exchange *kp_exchange_create(struct kp_conn *conn);
void kp_exchange_free(struct kp_http_exchange *x);
void kp_exchange_gone(struct kp_http_exchange *x);   // its connection has gone
void kp_exchange_finish(struct kp_http_exchange *x); // the answer is sent: metrics, access line, free
// reply.c
void kp_reply_early(struct kp_http_exchange *x, int status, const char *message); // and close
const char *kp_http_status_text(int status);
// gzip.c
bool kp_gzip_wanted(const struct kp_http_exchange *x, const char *content_type, size_t len);
// Sends the answer compressed: at once if small, else after a job. False if it would not help.
bool kp_gzip_reply(struct kp_http_exchange *x, int status, const char *content_type, struct kp_blob *body);
void kp_gzip_abandon(struct kp_gzip_job *job);
void kp_reply_whole(struct kp_http_exchange *x, int status, const char *content_type, struct kp_blob *body);

#endif
