#include "http/server.h"

#include <sys/random.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/metrics.h"
#include "http/private.h"
#include "base/banned.h"

#define TICK_MS       500
#define DRAIN_TICK_MS 20
#define LWS_TIMEOUT_S 10     // at least, of lws's own: TLS handshakes, flushing at close
#define LWS_BUFFER    131072 // holds most uploads; larger than a TLS record, or they stall on libuv

// ---- the tick ----

static void end_drain(struct kp_http_server *server)
{
    kp_loop_fn on_drained = kp_take(server->on_drained);
    kp_timer_start(server->tick, TICK_MS, TICK_MS);
    if (on_drained != NULL)
        on_drained(server->on_drained_user);
}

static void drain_step(struct kp_http_server *server, int64_t now)
{
    bool is_over = now >= server->drain_until_ms;
    kp_list_foreach_safe (node, &server->conns) {
        struct kp_conn *conn = kp_container_of(node, struct kp_conn, node);
        // what has no exchange has nothing to finish; a linger has had its answer
        if (conn->state != CONN_DEAD && (is_over || (conn->x == NULL && conn->state != CONN_LINGER)))
            kp_conn_kill(conn);
    }
    if (is_over || kp_list_empty(&server->conns))
        end_drain(server);
}

static void on_tick(void *user)
{
    struct kp_http_server *server = user;
    int64_t now = kp_loop_mono_ms(server->loop);
    kp_list_foreach_safe (node, &server->conns) {
        kp_conn_tick(kp_container_of(node, struct kp_conn, node), now);
    }
    kp_list_foreach_safe (paused, &server->conns) {
        kp_conn_resume_body(kp_container_of(paused, struct kp_conn, node));
    }
    kp_listener_accept_again(server);
    if (server->on_drained != NULL)
        drain_step(server, now);
}

// ---- life ----

static void on_lws_log(int level, const char *line)
{
    KP_DEBUG("libwebsockets", KP_I("level", level), KP_S("line", line));
}

static int make_context(struct kp_http_server *server, struct kp_error *err)
{
    void *loops[1] = {kp_loop_uv(server->loop)};
    struct lws_context_creation_info info = {0};
    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.options =
        LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.foreign_loops = loops;
    info.pt_serv_buf_size = LWS_BUFFER;
    int64_t patience_s = server->options.header_timeout_ms / 1000;
    info.timeout_secs = patience_s > LWS_TIMEOUT_S ? (unsigned)patience_s : LWS_TIMEOUT_S;
    info.fd_limit_per_thread = (unsigned)server->options.max_connections + 32;
    info.gid = (gid_t)-1;
    info.uid = (uid_t)-1;
    server->lws = lws_create_context(&info);
    if (server->lws == NULL)
        return kp_fail(err, KP_INTERNAL,
            "libwebsockets does not start: is its plug-in libwebsockets-evlib_uv.so (package "
            "libwebsockets-evlib-uv) installed?");
    return 0;
}

static void make_metrics(struct kp_http_server *server)
{
    struct kp_metrics *metrics = server->options.metrics;
    if (metrics == NULL)
        return;
    server->requests = kp_metrics_family(metrics, KP_COUNTER, "http_requests_total",
        "HTTP requests answered, by route and status (499: the client left).",
        (const char *const[]){"route", "code", NULL}, NULL, 0, 500);
    server->seconds = kp_metrics_family(metrics, KP_HISTOGRAM, "http_request_duration_seconds",
        "From the complete header block to the last byte of the answer.",
        (const char *const[]){"route", NULL}, kp_buckets_seconds, kp_buckets_seconds_n, 100);
    server->connections = kp_gauge(metrics, "http_connections", "Connections open to the HTTP server.");
    server->refused = kp_counter(
        metrics, "http_connections_refused_total", "Connections that were accepted and could not be served.");
}

struct kp_http_server *kp_http_server_create(
    struct kp_loop *loop, const struct kp_http_server_options *options, struct kp_error *err)
{
    struct kp_http_server *server = KP_NEW(struct kp_http_server);
    struct kp_http_server_options *o = &server->options;
    *o = *options;
    o->max_connections = o->max_connections > 0 ? o->max_connections : 1024;
    o->max_body_bytes_in_flight =
        o->max_body_bytes_in_flight > 0 ? o->max_body_bytes_in_flight : (size_t)128 * 1024 * 1024;
    o->header_timeout_ms = o->header_timeout_ms > 0 ? o->header_timeout_ms : 10000;
    o->idle_timeout_ms = o->idle_timeout_ms > 0 ? o->idle_timeout_ms : 60000;
    o->min_rate_bytes_per_s = o->min_rate_bytes_per_s != 0 ? o->min_rate_bytes_per_s : 1024;
    server->loop = loop;
    kp_list_init(&server->listeners);
    kp_list_init(&server->conns);
    kp_list_init(&server->orphans);
    if (getrandom(&server->id_seed, sizeof server->id_seed, 0) < 0)
        server->id_seed = (uint64_t)kp_loop_mono_ms(loop);
    if (make_context(server, err) != 0) {
        kp_free(server);
        return NULL;
    }
    make_metrics(server);
    server->bounce = kp_alloc(LWS_PRE + KP_HTTP_WRITE_BYTES);
    server->tick = kp_timer_create(loop, on_tick, server);
    kp_timer_start(server->tick, TICK_MS, TICK_MS);
    return server;
}

int kp_http_server_listen(struct kp_http_server *server, const struct kp_http_listener *options,
    const struct kp_http_route *routes, kp_http_handler_fn gate, void *user, int *ret_port,
    struct kp_error *err)
{
    struct kp_error failure = {0};
    struct kp_listener *listener;
    if (kp_listener_open(server, options, &listener, &failure) != 0) {
        kp_fail(err, failure.code, "%s", failure.text);
        return failure.code;
    }
    listener->routes = routes;
    listener->gate = gate;
    listener->user = user;
    kp_list_append(&server->listeners, &listener->node);
    if (ret_port != NULL)
        *ret_port = listener->port;
    return 0;
}

int kp_http_server_reload(struct kp_http_server *server, struct kp_error *err)
{
    int first = 0;
    kp_list_foreach (node, &server->listeners) {
        int code = kp_http_tls_reload(kp_container_of(node, struct kp_listener, node), err);
        first = first != 0 ? first : code;
    }
    return first;
}

static void stop_listening(struct kp_http_server *server)
{
    kp_list_foreach (node, &server->listeners) {
        kp_listener_stop(kp_container_of(node, struct kp_listener, node));
    }
}

void kp_http_server_drain(struct kp_http_server *server, int64_t grace_ms, kp_loop_fn on_drained, void *user)
{
    server->draining = true;
    server->drain_until_ms = kp_loop_mono_ms(server->loop) + grace_ms;
    server->on_drained = on_drained;
    server->on_drained_user = user;
    stop_listening(server);
    kp_timer_start(server->tick, 0, DRAIN_TICK_MS);
}

void kp_http_server_close(struct kp_http_server *server)
{
    if (server == NULL || server->closed)
        return;
    server->closed = true;
    stop_listening(server);
    kp_timer_destroy(kp_take(server->tick));
    kp_list_foreach_safe (node, &server->conns) {
        kp_conn_kill(kp_container_of(node, struct kp_conn, node)); // tells who waits for on_gone
    }
    lws_context_destroy(server->lws); // the first of two: the loop does the closing
}

void kp_http_server_free(struct kp_http_server *server)
{
    if (server == NULL)
        return;
    lws_context_destroy(server->lws); // the second one frees
    while (!kp_list_empty(&server->conns))
        kp_conn_free(kp_container_of(server->conns.next, struct kp_conn, node));
    while (!kp_list_empty(&server->orphans))
        kp_exchange_free(kp_container_of(server->orphans.next, struct kp_http_exchange, orphan));
    while (!kp_list_empty(&server->listeners))
        kp_listener_free(kp_container_of(server->listeners.next, struct kp_listener, node));
    kp_free(server->bounce);
    kp_free(server);
}
