// A registry in this process for tests: store in a new folder, API, server on a port of the system's choice,
// and a client on the same loop. Tests only.
#ifndef KP_API_API_FIXTURE_H
#define KP_API_API_FIXTURE_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "aio/http.h"
#include "aio/loop.h"
#include "api/api.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "http/server.h"
#include "serve/serve.h"
#include "store/io.h"
#include "store/store.h"
#include "testkit/pprof.h"
#include "testkit/testkit.h"

#define BENCH_WAIT_MS 300000 // bombs that are inflated one after the other, on a busy machine

struct bench {
    char *dir;
    struct kp_loop *loop;
    struct kp_metrics *metrics;
    struct kp_store *store;
    struct kp_api *api;
    struct kp_serve *serve;
    struct kp_http_server *server;
    struct kp_http_route routes[KP_API_ROUTES + KP_SERVE_ROUTES + 1];
    struct kp_http *client;
    int port;
};

// Of the store of the next bench; its folder is filled in.
static struct kp_store_options bench_store = {.max_bytes = (uint64_t)1 << 30};

// Its system calls; NULL = the real ones.
static const struct kp_io *bench_io;

// The last answer; its texts are good until the next request.
struct bench_answer {
    bool done;
    int code, status;
    char *body; // with a NUL behind it
    size_t len;
    struct kp_strbuf headers; // "name: value\n", names in lower case as sent
};

// options: loop, store and metrics are filled in.
static inline struct bench *bench_start_for(struct kp_api_options options, size_t max_connections)
{
    struct bench *b = KP_NEW(struct bench);
    struct kp_error err = {0};
    // however long a busy machine takes to have many clients, none of them is too slow
    struct kp_http_server_options server = {.max_connections = max_connections, .min_rate_bytes_per_s = -1};
    const struct kp_http_listener listener = {.address = "127.0.0.1:0", .word_error = kp_api_word_error};
    b->dir = kp_test_tmpdir();
    b->loop = kp_loop_create();
    b->metrics = kp_metrics_create();
    static const char key[] = "kube-pprof ids 1\n0123456789abcdeffedcba9876543210 0 7c3f088a\n";
    kp_auto_free char *ids = kp_asprintf("%s/ids", b->dir); // so that ids can stand in golden files
    if (kp_file_write_atomic(ids, key, strlen(key), 0600, &err) != 0)
        fail_msg("%s", err.text);
    bench_store.dir = b->dir;
    bench_store.now_ms = options.now_ms;
    if (kp_store_open_io(&bench_store, bench_io ? bench_io : &kp_io_posix, NULL, &b->store, &err) != 0)
        fail_msg("%s", err.text);
    options.loop = b->loop;
    options.store = b->store;
    options.metrics = b->metrics;
    b->api = kp_api_create(&options);
    b->serve = kp_serve_create(b->loop, b->metrics);
    server.metrics = b->metrics;
    b->server = kp_http_server_create(b->loop, &server, &err);
    if (b->server == NULL)
        fail_msg("%s", err.text);
    size_t n = kp_api_add_routes(b->routes);
    kp_serve_add_routes(b->serve, b->routes + n);
    if (kp_http_server_listen(b->server, &listener, b->routes, kp_api_gate, b->api, &b->port, &err) != 0)
        fail_msg("%s", err.text);
    b->client = kp_http_create(b->loop, &(struct kp_http_options){.reuse = true});
    return b;
}

static inline struct bench *bench_start(struct kp_api_options options)
{
    return bench_start_for(options, 64);
}

static inline void bench_stop(struct bench *b)
{
    kp_http_destroy(b->client);
    kp_http_server_close(b->server);
    kp_api_destroy(b->api);
    kp_loop_destroy(b->loop);
    kp_http_server_free(b->server);
    kp_serve_destroy(b->serve);
    kp_store_close(b->store);
    kp_metrics_destroy(b->metrics);
    kp_test_rmdir(b->dir);
    kp_free(b);
}

static inline void bench_on_header(void *user, const char *name, const char *value)
{
    struct bench_answer *a = user;
    kp_strbuf_addf(&a->headers, "%s: %s\n", name, value);
}

static inline void bench_on_done(void *user, const struct kp_http_result *result)
{
    struct bench_answer *a = user;
    a->code = result->code;
    a->status = result->status;
    a->len = result->body ? result->body->len : 0;
    a->body = kp_alloc(a->len + 1);
    if (a->len > 0)
        memcpy(a->body, result->body->data, a->len);
    a->body[a->len] = '\0';
    a->done = true;
}

static inline void bench_answer_clear(struct bench_answer *a)
{
    kp_free(a->body);
    if (a->headers.data)
        kp_strbuf_finish(&a->headers);
    *a = (struct bench_answer){0};
}

// Sends and waits for the answer. headers: NULL-terminated, or NULL.
static inline void bench_request(struct bench *b, const char *method, const char *path,
    const char *const *headers, const void *body, size_t len, struct bench_answer *ret)
{
    struct kp_http_call *call;
    struct kp_error err = {0};
    kp_auto_free char *url = kp_asprintf("http://127.0.0.1:%d%s", b->port, path);
    struct kp_blob *blob = body ? kp_blob_copy(body, len) : NULL;
    bench_answer_clear(ret);
    kp_strbuf_init(&ret->headers, 65536);
    const struct kp_http_request request = {.method = method,
        .url = url,
        .headers = headers,
        .body = blob,
        .max_body = (size_t)256 << 20,
        .on_header = bench_on_header,
        .on_done = bench_on_done,
        .user = ret};
    if (kp_http_start(b->client, &request, &call, &err) != 0)
        fail_msg("%s", err.text);
    assert_true(kp_loop_run_until(b->loop, &ret->done, BENCH_WAIT_MS));
    kp_blob_unref(blob);
    if (ret->code != 0)
        fail_msg("%s %s: no answer (%d)", method, path, ret->code);
}

// A GET that has to be answered with this status.
static inline const char *bench_get(struct bench *b, const char *path, int status, struct bench_answer *ret)
{
    bench_request(b, "GET", path, NULL, NULL, 0, ret);
    if (ret->status != status)
        fail_msg("GET %s: %d instead of %d: %.300s", path, ret->status, status, ret->body);
    return ret->body;
}

static inline int bench_connect(int port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

// Asks for what is many MiB large, and reads nothing; its answer has begun.
static inline int bench_deaf_client(struct bench *b, const char *path, const char *header)
{
    const bool never = false;
    char first;
    kp_auto_free char *head = kp_asprintf("GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", path, header);
    int fd = bench_connect(b->port);
    assert_int_equal(kp_write_all(fd, head, strlen(head), NULL), 0);
    for (int i = 0; i < 4000 && recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1; i++)
        kp_loop_run_until(b->loop, &never, 5);
    return fd;
}

#endif
