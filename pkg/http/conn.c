// A connection: bytes come in, the parser cuts them into requests, one is answered after the other. lws calls
// kp_conn_on_lws(); nothing here closes a connection from inside such a call except by returning -1.
#include <arpa/inet.h>
#include <string.h>

#include "base/alloc.h"
#include "base/metrics.h"
#include "base/text.h"
#include "http/private.h"
#include "base/banned.h"

struct slot { // lws's per-session memory
    struct kp_conn *conn;
};

// ---- life ----

bool kp_peer_read(char out[KP_HTTP_PEER], const struct sockaddr *addr)
{
    struct in_addr four;
    if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)addr;
        if (!IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
            inet_ntop(AF_INET6, &six->sin6_addr, out, KP_HTTP_PEER);
            return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
        }
        memcpy(&four, six->sin6_addr.s6_addr + 12, sizeof four);
    } else if (addr->sa_family == AF_INET) {
        four = ((const struct sockaddr_in *)(const void *)addr)->sin_addr;
    } else {
        kp_copy(out, KP_HTTP_PEER, "unix");
        return true;
    }
    inet_ntop(AF_INET, &four, out, KP_HTTP_PEER);
    return (ntohl(four.s_addr) >> 24) == 127;
}

struct kp_conn *kp_conn_create(struct kp_listener *listener, const struct sockaddr *peer)
{
    struct kp_conn *conn = KP_NEW(struct kp_conn);
    struct kp_http_server *server = listener->server;
    conn->server = server;
    conn->listener = listener;
    conn->peer_is_loopback = kp_peer_read(conn->peer, peer);
    kp_http_parser_init(&conn->parser);
    kp_list_append(&server->conns, &conn->node);
    kp_metric_set(server->connections, (double)++server->n_conns);
    kp_conn_enter(conn, CONN_IDLE);
    // the first request is due like any header block, not after the long wait between requests
    conn->deadline_ms = kp_loop_mono_ms(server->loop) + server->options.header_timeout_ms;
    return conn;
}

static void drop_body(struct kp_conn *conn)
{
    conn->server->body_bytes -= conn->body_len;
    kp_free(kp_take(conn->body));
    conn->body_len = conn->body_cap = 0;
}

// Lets go of the exchange and of all memory that is not needed for closing.
static void conn_strip(struct kp_conn *conn)
{
    if (conn->x != NULL)
        kp_exchange_gone(kp_take(conn->x));
    drop_body(conn);
    kp_free(kp_take(conn->stash));
    conn->stash_len = conn->stash_at = 0;
    for (size_t i = conn->out_first; i < conn->out.n; i++)
        kp_blob_unref(conn->out.items[i].blob);
    kp_array_free(&conn->out);
    conn->server->unsent -= conn->unsent;
    conn->out_first = conn->unsent = 0;
}

void kp_conn_free(struct kp_conn *conn)
{
    struct kp_http_server *server = conn->server;
    conn_strip(conn);
    kp_list_remove(&conn->node);
    kp_metric_set(server->connections, (double)--server->n_conns);
    kp_http_parser_finish(&conn->parser);
    kp_conn_forget_trusted(conn);
    kp_free(conn);
    if (!server->closed)
        kp_listener_accept_again(server);
}

void kp_conn_kill(struct kp_conn *conn)
{
    conn_strip(conn);
    kp_conn_enter(conn, CONN_DEAD);
    if (conn->wsi != NULL)
        lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC); // may free conn
}

// ---- a request ----

static bool body_must_wait(const struct kp_conn *conn)
{
    const struct kp_http_server *server = conn->server;
    if (server->body_bytes <= server->options.max_body_bytes_in_flight)
        return false;
    // the one that started first always goes on, so somebody always ends
    kp_list_foreach (node, &server->conns) {
        const struct kp_conn *other = kp_container_of(node, struct kp_conn, node);
        if (other != conn && other->state == CONN_BODY && other->body_len > 0 &&
            other->body_since_ms < conn->body_since_ms)
            return true;
    }
    return false;
}

static void take_body(struct kp_conn *conn)
{
    const struct kp_http_route *route = conn->x->match.route;
    size_t n = conn->parser.data_len;
    if (conn->body_len + n > route->max_body) {
        kp_reply_early(conn->x, 413, "the body is larger than this route takes");
        return;
    }
    if (conn->body_len + n > conn->body_cap) {
        size_t cap = conn->body_cap * 2 > 4096 ? conn->body_cap * 2 : 4096;
        if (conn->parser.has_length && cap > conn->parser.length)
            cap = (size_t)conn->parser.length;
        conn->body_cap = cap < conn->body_len + n ? conn->body_len + n : cap;
        conn->body = kp_realloc(conn->body, conn->body_cap);
    }
    memcpy(conn->body + conn->body_len, conn->parser.data, n);
    conn->body_len += n;
    conn->server->body_bytes += n;
    conn->in_window += (int64_t)n;
    conn->paused = body_must_wait(conn);
}

static void call_handler(struct kp_conn *conn)
{
    struct kp_http_exchange *x = conn->x;
    size_t len = conn->body_len;
    x->body = kp_blob_take(kp_take(conn->body), len); // counted until the answer is sent
    kp_conn_enter(conn, CONN_ANSWER);
    x->match.route->handler(x, conn->listener->user);
}

static void start_body(struct kp_conn *conn)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    kp_conn_enter(conn, CONN_BODY);
    if (conn->parser.expect_continue && conn->stash_len == conn->stash_at &&
        (conn->parser.chunked || conn->parser.left > 0))
        kp_conn_send(conn, kp_blob_copy(go_on, sizeof go_on - 1));
}

static void end_of_head(struct kp_conn *conn)
{
    struct kp_http_parser *parser = &conn->parser;
    struct kp_http_exchange *x = conn->x = kp_exchange_create(conn);
    char allow[160];
    int status = kp_http_route_find(
        conn->listener->routes, parser->method, parser->path, &x->match, allow, sizeof allow);
    x->matched = status == 0;
    kp_conn_enter(conn, CONN_GATE);
    if (status == 405)
        kp_http_set_header(x, "Allow", allow);
    if (status != 0)
        kp_reply_early(x, status,
            status == 404   ? "there is nothing at this path"
            : status == 405 ? "this path does not know the method"
                            : "the path is badly escaped or leaves its folder");
    else if (parser->expect_unknown)
        kp_reply_early(x, 417, "the only expectation known here is 100-continue");
    else if (parser->has_length && parser->length > x->match.route->max_body)
        kp_reply_early(x, 413, "the body is larger than this route takes");
    else if (conn->listener->gate == NULL)
        start_body(conn);
    else {
        x->gate_asked = true;
        conn->listener->gate(x, conn->listener->user);
    }
}

static void open_gate(struct kp_http_exchange *x)
{
    x->gate_open = true;
    start_body(x->conn);
    kp_conn_continue(x->conn);
}

void kp_http_gate_open(struct kp_http_exchange *x)
{
    if (x->conn == NULL && !x->replied)
        kp_exchange_free(x); // the client has gone: nobody else will end it
    else if (x->gate_open || x->replied)
        return;
    else
        open_gate(x);
}
static void refuse(struct kp_conn *conn)
{
    if (conn->x == NULL)
        conn->x = kp_exchange_create(conn);
    if (!conn->x->replied)
        kp_reply_early(conn->x, conn->parser.status, conn->parser.why);
}

// ---- input ----

static bool is_reading(const struct kp_conn *conn)
{
    return (conn->state == CONN_IDLE || conn->state == CONN_HEAD || conn->state == CONN_BODY) &&
           !conn->paused;
}

// Gives bytes to the parser as long as they can be used; returns how many were.
static size_t feed(struct kp_conn *conn, const uint8_t *data, size_t len)
{
    size_t used = 0;
    for (bool more = true; more && is_reading(conn);) {
        enum kp_parse event;
        used += kp_http_parser_feed(&conn->parser, data + used, len - used, &event);
        if (conn->state == CONN_IDLE && kp_http_parser_started(&conn->parser))
            kp_conn_enter(conn, CONN_HEAD);
        switch (event) {
        case KP_PARSE_MORE:
            more = false;
            break;
        case KP_PARSE_HEAD:
            // what stands behind the head says whether the client waits for 100 Continue
            conn->parser.expect_continue = conn->parser.expect_continue && used == len;
            end_of_head(conn);
            break;
        case KP_PARSE_DATA:
            take_body(conn);
            break;
        case KP_PARSE_END:
            call_handler(conn);
            break;
        case KP_PARSE_FAILED:
            refuse(conn);
            more = false;
            break;
        }
    }
    return used;
}

static void keep_rest(struct kp_conn *conn, const uint8_t *data, size_t len)
{
    size_t have = conn->stash_len - conn->stash_at;
    if (len == 0)
        return;
    uint8_t *all = kp_alloc(have + len);
    if (have > 0)
        memcpy(all, conn->stash + conn->stash_at, have);
    memcpy(all + have, data, len);
    kp_free(conn->stash);
    conn->stash = all;
    conn->stash_len = have + len;
    conn->stash_at = 0;
}

static void pump_stash(struct kp_conn *conn)
{
    // the stash is taken out: an answer given from inside may not change it under our feet
    uint8_t *data = kp_take(conn->stash);
    size_t at = conn->stash_at, len = conn->stash_len;
    conn->stash_at = conn->stash_len = 0;
    if (conn->state != CONN_LINGER)
        at += feed(conn, data == NULL ? (const uint8_t *)"" : data + at, len - at);
    if (at < len && conn->state != CONN_LINGER && conn->state != CONN_DEAD)
        keep_rest(conn, data + at, len - at);
    kp_free(data);
}

static void set_flow(struct kp_conn *conn)
{
    bool off = !(is_reading(conn) || conn->state == CONN_LINGER);
    if (off == conn->rx_off || conn->state == CONN_DEAD || conn->wsi == NULL)
        return;
    conn->rx_off = off;
    lws_rx_flow_control(conn->wsi, off ? 0 : 1);
}

// Goes on after something changed: an answer was sent, the gate opened, there is room again.
void kp_conn_continue(struct kp_conn *conn)
{
    if (conn->in_pump)
        return;
    conn->in_pump = true;
    pump_stash(conn);
    conn->in_pump = false;
    set_flow(conn);
}

void kp_conn_resume_body(struct kp_conn *conn)
{
    if (!conn->paused || body_must_wait(conn))
        return;
    conn->paused = false;
    kp_conn_continue(conn);
}

static int on_rx(struct kp_conn *conn, const uint8_t *data, size_t len)
{
    if (!conn->handshake_over) {
        conn->handshake_over = true;
        lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0); // from here on the deadlines are ours
    }
    if (conn->state == CONN_DEAD)
        return -1;
    if (conn->state == CONN_LINGER) {
        conn->lingered += len;
        return conn->lingered > KP_HTTP_LINGER_BYTES ? -1 : 0;
    }
    conn->in_pump = true;
    size_t used = conn->stash_len > conn->stash_at ? 0 : feed(conn, data, len);
    conn->in_pump = false;
    keep_rest(conn, data + used, len - used);
    set_flow(conn);
    return 0;
}

static struct kp_conn *adopt(struct kp_listener *listener, struct lws *wsi)
{
    struct sockaddr_storage peer = {0};
    socklen_t size = sizeof peer;
    getpeername(lws_get_socket_fd(wsi), (struct sockaddr *)&peer, &size);
    struct kp_conn *conn = kp_conn_create(listener, (struct sockaddr *)&peer);
    conn->wsi = wsi;
    return conn;
}

int kp_conn_on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *slot_memory, void *in, size_t len)
{
    struct slot *slot = slot_memory;
    struct kp_listener *listener;
    struct kp_conn *conn;
    switch ((int)reason) {
    case LWS_CALLBACK_RAW_ADOPT:
        listener = lws_vhost_user(lws_get_vhost(wsi));
        slot->conn = adopt(listener, wsi);
        if (listener->cert_file == NULL)
            lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0); // with TLS the handshake is still to come
        return 0;
    case LWS_CALLBACK_RAW_RX:
        return slot != NULL && slot->conn != NULL ? on_rx(slot->conn, in, len) : -1;
    case LWS_CALLBACK_RAW_WRITEABLE:
        return slot != NULL && slot->conn != NULL ? kp_conn_flush(slot->conn) : -1;
    case LWS_CALLBACK_RAW_CLOSE: // also after a failed handshake that was never adopted
        if (slot == NULL || slot->conn == NULL)
            return 0;
        conn = kp_take(slot->conn);
        conn->wsi = NULL;
        kp_conn_free(conn);
        return 0;
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        listener = lws_vhost_user(in);
        kp_http_tls_set_up(listener, slot_memory);
        return 0;
    default:
        return 0;
    }
}
