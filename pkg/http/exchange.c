// A request as the application sees it.
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/text.h"
#include "http/private.h"
#include "base/banned.h"

// ---- life ----

static void set_request_id(struct kp_http_exchange *x, const char *given)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = given != NULL ? strlen(given) : 0;
    if (n > 0 && n < sizeof x->request_id && strspn(given, allowed) == n) {
        kp_copy(x->request_id, sizeof x->request_id, given);
        return;
    }
    uint64_t z = x->server->id_seed + ++x->server->id_next * 0x9e3779b97f4a7c15u; // splitmix64
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    snprintf(x->request_id, sizeof x->request_id, "%016llx", (unsigned long long)(z ^ (z >> 31)));
}

struct kp_http_exchange *kp_exchange_create(struct kp_conn *conn)
{
    struct kp_http_exchange *x = KP_NEW(struct kp_http_exchange);
    x->conn = conn;
    x->server = conn->server;
    x->parser = &conn->parser;
    kp_list_init(&x->orphan);
    x->is_head = strcmp(conn->parser.method, "HEAD") == 0;
    x->close = !conn->parser.keep_alive;
    x->start_us = kp_mono_us();
    set_request_id(x, kp_http_parser_header(&conn->parser, "X-Request-Id"));
    return x;
}

void kp_exchange_free(struct kp_http_exchange *x)
{
    if (x->gzip != NULL)
        kp_gzip_abandon(x->gzip);
    if (x->conn == NULL && x->parser != NULL) {
        kp_http_parser_finish(x->parser);
        kp_free(x->parser);
    }
    if (x->destroy_attached != NULL)
        x->destroy_attached(x->attached);
    kp_list_remove(&x->orphan);
    kp_http_match_finish(&x->match);
    kp_http_query_finish(&x->query);
    kp_blob_unref(x->body);
    for (size_t i = 0; i < x->headers.n; i++) {
        kp_free(x->headers.items[i].name);
        kp_free(x->headers.items[i].value);
    }
    kp_array_free(&x->headers);
    kp_free(x);
}

static void count(const struct kp_http_exchange *x, int status)
{
    struct kp_http_server *server = x->server;
    const struct kp_http_route *route = x->match.route;
    const char *name = route == NULL ? "none" : route->name != NULL ? route->name : route->path;
    char code[12];
    double seconds = (double)(kp_mono_us() - x->start_us) / 1e6;
    snprintf(code, sizeof code, "%d", status);
    if (server->requests != NULL) {
        kp_metric_inc(kp_metric_with(server->requests, (const char *const[]){name, code}));
        kp_metric_observe(kp_metric_with(server->seconds, (const char *const[]){name}), seconds);
    }
    if (server->options.on_access != NULL)
        server->options.on_access(server->options.user, x, status, x->body_sent, seconds);
}

void kp_exchange_finish(struct kp_http_exchange *x)
{
    count(x, x->status);
    kp_exchange_free(x);
}

void kp_exchange_gone(struct kp_http_exchange *x)
{
    struct kp_conn *conn = x->conn;
    bool is_settled = x->streaming ? x->ended : x->replied;
    bool is_ours = !x->gate_asked && conn->state != CONN_ANSWER; // no application has seen it
    count(x, 499);
    // the application may still hold strings of the request: they stay where they are
    x->parser = kp_memdup(&conn->parser, sizeof conn->parser);
    kp_http_parser_init(&conn->parser);
    x->conn = NULL;
    if (is_settled || is_ours) {
        kp_exchange_free(x);
    } else if (x->on_gone != NULL) {
        x->on_gone(x->on_gone_user);
        kp_exchange_free(x);
    } else {
        kp_list_append(&x->server->orphans, &x->orphan); // until it is answered
    }
}

void kp_http_on_gone(struct kp_http_exchange *x, kp_loop_fn on_gone, void *user)
{
    x->on_gone = on_gone;
    x->on_gone_user = user;
}

// ---- reading ----

const char *kp_http_method(const struct kp_http_exchange *x)
{
    return x->parser->method;
}

const char *kp_http_path(const struct kp_http_exchange *x)
{
    return x->parser->path;
}

const char *kp_http_query(const struct kp_http_exchange *x)
{
    return x->parser->query;
}

const char *kp_http_header(const struct kp_http_exchange *x, const char *name)
{
    return kp_http_parser_header(x->parser, name);
}

bool kp_http_header_at(
    const struct kp_http_exchange *x, size_t i, const char **ret_name, const char **ret_value)
{
    if (i >= x->parser->n_fields)
        return false;
    *ret_name = x->parser->text + x->parser->fields[i].name;
    *ret_value = x->parser->text + x->parser->fields[i].value;
    return true;
}

const char *kp_http_param(const struct kp_http_exchange *x, const char *name)
{
    return kp_http_match_param(&x->match, name);
}

// Decoded at first use: most requests never ask.
static const struct kp_http_query *query_of(const struct kp_http_exchange *x)
{
    struct kp_http_exchange *lazy = (struct kp_http_exchange *)(uintptr_t)x;
    if (!x->query_parsed)
        kp_http_query_parse(&lazy->query, x->parser->query);
    lazy->query_parsed = true;
    return &x->query;
}

const char *kp_http_arg(const struct kp_http_exchange *x, const char *name)
{
    return kp_http_query_get(query_of(x), name);
}

bool kp_http_arg_at(const struct kp_http_exchange *x, size_t i, const char **ret_name, const char **ret_value)
{
    const struct kp_http_query *query = query_of(x);
    if (i >= query->n)
        return false;
    *ret_name = query->args[i].name;
    *ret_value = query->args[i].value;
    return true;
}

bool kp_http_args_whole(const struct kp_http_exchange *x)
{
    return query_of(x)->is_whole;
}

struct kp_blob *kp_http_body(const struct kp_http_exchange *x)
{
    return x->body;
}

const char *kp_http_peer(const struct kp_http_exchange *x)
{
    return x->conn != NULL ? x->conn->peer : "";
}

bool kp_http_peer_is_loopback(const struct kp_http_exchange *x)
{
    return x->conn != NULL && x->conn->peer_is_loopback;
}

const char *kp_http_request_id(const struct kp_http_exchange *x)
{
    return x->request_id;
}

const struct kp_http_route *kp_http_matched_route(const struct kp_http_exchange *x)
{
    return x->match.route;
}

size_t kp_http_unsent(const struct kp_http_exchange *x)
{
    return x->server->unsent;
}

void kp_http_attach(struct kp_http_exchange *x, void *thing, void (*destroy)(void *thing))
{
    if (x->destroy_attached != NULL)
        x->destroy_attached(x->attached);
    x->attached = thing;
    x->destroy_attached = destroy;
}

void *kp_http_attached(const struct kp_http_exchange *x)
{
    return x->attached;
}
