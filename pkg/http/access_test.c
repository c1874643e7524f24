// Request ids and what is told of each answer.
#include "http/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "aio/http.h"
#include "aio/loop.h"
#include "base/alloc.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

enum { ADDRESS_HAS = 4 }; // connections

struct bench {
    struct kp_loop *loop;
    struct kp_http_server *server;
    struct kp_http *client;
    int port, status;
    bool done;
    char id[80], body[512];
    // the access line
    int n_lines, line_status;
    size_t line_bytes;
    char line_id[80], line_path[80];
};

static void on_access(
    void *user, const struct kp_http_exchange *x, int status, size_t bytes_sent, double seconds)
{
    struct bench *b = user;
    assert_true(seconds >= 0);
    b->n_lines++;
    b->line_status = status;
    b->line_bytes = bytes_sent;
    kp_copy(b->line_id, sizeof b->line_id, kp_http_request_id(x));
    kp_copy(b->line_path, sizeof b->line_path, kp_http_path(x));
}

static void on_hello(struct kp_http_exchange *x, void *user)
{
    (void)user;
    kp_http_reply_text(x, 200, "text/plain", "hello");
}

// Each header that begins with X, as it came, between bars; then what X-Remote-User is.
static void on_headers(struct kp_http_exchange *x, void *user)
{
    const char *name, *value, *who = kp_http_header(x, "X-Remote-User");
    kp_auto_strbuf out;
    (void)user;
    kp_strbuf_init(&out, 4096);
    for (size_t i = 0; kp_http_header_at(x, i, &name, &value); i++)
        if (name[0] == 'X' || name[0] == 'x')
            kp_strbuf_addf(&out, "%s=%s|", name, value);
    kp_strbuf_adds(&out, who ? who : "nobody");
    kp_http_reply_text(x, 200, "text/plain", out.data);
}

static bool word_error(const struct kp_http_exchange *x, int status, const char *reason, const char *message,
    struct kp_strbuf *out)
{
    const char *path = kp_http_path(x);
    if (path == NULL || !kp_starts_with(path, "/other/"))
        return false;
    kp_strbuf_addf(out, "<%d %s: %s>", status, reason, message);
    return true;
}

static const struct kp_http_route routes[] = {
    {.method = "GET", .path = "/headers", .handler = on_headers},
    {.method = "GET", .path = "/hello", .handler = on_hello},
    {0},
};

static int start(void **state)
{
    struct bench *b = KP_NEW(struct bench);
    const struct kp_http_server_options options = {
        .on_access = on_access, .user = b, .max_connections = (size_t)2 * ADDRESS_HAS};
    const struct kp_http_listener listener = {.address = "127.0.0.1:0", .word_error = word_error};
    b->loop = kp_loop_create();
    b->server = kp_http_server_create(b->loop, &options, NULL);
    assert_non_null(b->server);
    assert_int_equal(kp_http_server_listen(b->server, &listener, routes, NULL, b, &b->port, NULL), 0);
    b->client = kp_http_create(b->loop, &(struct kp_http_options){0});
    *state = b;
    return 0;
}

static int stop(void **state)
{
    struct bench *b = *state;
    kp_http_destroy(b->client);
    kp_http_server_close(b->server);
    kp_loop_destroy(b->loop);
    kp_http_server_free(b->server);
    kp_free(b);
    return 0;
}

static void on_header(void *user, const char *name, const char *value)
{
    struct bench *b = user;
    if (kp_streq(name, "X-Request-Id") || kp_streq(name, "x-request-id"))
        kp_copy(b->id, sizeof b->id, value);
}

static void on_done(void *user, const struct kp_http_result *result)
{
    struct bench *b = user;
    b->status = result->status;
    snprintf(b->body, sizeof b->body, "%.*s", result->body ? (int)result->body->len : 0,
        result->body ? (const char *)result->body->data : "");
    b->done = true;
}

static void request_with(struct bench *b, const char *path, const char *const *headers)
{
    kp_auto_free char *url = kp_asprintf("http://127.0.0.1:%d%s", b->port, path);
    struct kp_http_call *call;
    const struct kp_http_request get = {.method = "GET",
        .url = url,
        .headers = headers,
        .on_header = on_header,
        .on_done = on_done,
        .user = b};
    b->done = false;
    b->id[0] = '\0';
    int lines = b->n_lines;
    assert_int_equal(kp_http_start(b->client, &get, &call, NULL), 0);
    assert_true(kp_loop_run_until(b->loop, &b->done, 20000));
    const bool never = false;
    for (int i = 0; i < 1000 && b->n_lines == lines; i++)
        kp_loop_run_until(b->loop, &never, 5);
    assert_int_equal(b->n_lines, lines + 1);
}

static void request(struct bench *b, const char *path, const char *header)
{
    request_with(b, path, (const char *const[]){header, NULL});
}

static void test_every_answer_has_an_id(void **state)
{
    struct bench *b = *state;
    char first[80];
    request(b, "/hello", NULL);
    assert_int_equal(strlen(b->id), 16);
    kp_copy(first, sizeof first, b->id);
    request(b, "/hello", NULL);
    assert_string_not_equal(first, b->id);
    request(b, "/nothing", NULL);
    assert_int_equal(b->status, 404);
    assert_int_equal(strlen(b->id), 16);
}

static void test_the_clients_id_is_taken_over_if_it_is_harmless(void **state)
{
    struct bench *b = *state;
    request(b, "/hello", "X-Request-Id: trace-1.2_3");
    assert_string_equal(b->id, "trace-1.2_3");
    request(b, "/hello", "X-Request-Id: a b\"c");
    assert_int_equal(strlen(b->id), 16);
    request(
        b, "/hello", "X-Request-Id: 0123456789012345678901234567890123456789012345678901234567890123456789");
    assert_int_equal(strlen(b->id), 16);
}

static void test_each_answer_is_told_once(void **state)
{
    struct bench *b = *state;
    request(b, "/hello?a=b", "X-Request-Id: one");
    assert_int_equal(b->line_status, 200);
    assert_int_equal(b->line_bytes, 5);
    assert_string_equal(b->line_id, "one");
    assert_string_equal(b->line_path, "/hello");
    request(b, "/nothing", NULL);
    assert_int_equal(b->line_status, 404);
    assert_true(b->line_bytes > 5);
}

static void test_an_api_may_word_its_errors(void **state)
{
    struct bench *b = *state;
    request(b, "/nothing", NULL);
    assert_string_equal(
        b->body, "{\"error\":{\"reason\":\"NotFound\",\"message\":\"there is nothing at this path\"}}\n");
    request(b, "/other/x", NULL);
    assert_string_equal(b->body, "<404 NotFound: there is nothing at this path>");
    request(b, "/other/%2e%2e/x", NULL);
    assert_string_equal(b->body, "<400 Invalid: the path is badly escaped or leaves its folder>");
}

static void test_headers_are_what_was_sent(void **state)
{
    struct bench *b = *state;
    const char *const two[] = {"x-remote-GROUP: a b/\xc3\xbc%c", "X_remote_user: root", "X-Remote-Group: a b",
        "X-Remote-Group:  c ", NULL};
    request_with(b, "/headers", two);
    assert_string_equal(b->body,
        "x-remote-GROUP=a b/\xc3\xbc%c|X_remote_user=root|X-Remote-Group=a b|X-Remote-Group=c|nobody");
    const char *const first[] = {"X-Remote-User: one", "x-remote-user: two", NULL};
    request_with(b, "/headers", first);
    assert_string_equal(b->body, "X-Remote-User=one|x-remote-user=two|one");
}

// From 127.0.0.HOST, which is another client.
static int connect_from(const struct bench *b, unsigned host)
{
    const struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000U + host)};
    const struct sockaddr_in to = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)b->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static bool is_served(struct bench *b, int fd)
{
    static const char get[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    const bool never = false;
    char room[4096];
    ssize_t n = -1;
    (void)!send(fd, get, sizeof get - 1, MSG_NOSIGNAL);
    for (int i = 0; i < 2000 && n < 0; i++) {
        kp_loop_run_until(b->loop, &never, 5);
        n = recv(fd, room, sizeof room, MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return false;
    }
    return n > 0;
}

static void test_one_address_has_half_of_the_connections(void **state)
{
    struct bench *b = *state;
    int fds[ADDRESS_HAS], others[ADDRESS_HAS];
    for (int i = 0; i < ADDRESS_HAS; i++) {
        fds[i] = connect_from(b, 1);
        assert_true(is_served(b, fds[i]));
    }
    int more = connect_from(b, 1);
    assert_false(is_served(b, more));
    close(more);
    for (int i = 0; i < ADDRESS_HAS; i++) {
        others[i] = connect_from(b, 2);
        assert_true(is_served(b, others[i]));
    }
    close(fds[0]);
    for (int i = 0; i < 1000; i++) { // until the server has noticed
        fds[0] = connect_from(b, 1);
        if (is_served(b, fds[0]))
            break;
        close(fds[0]);
    }
    assert_true(is_served(b, fds[0]));
    for (int i = 0; i < ADDRESS_HAS; i++) {
        close(fds[i]);
        close(others[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_api_may_word_its_errors, start, stop),
        cmocka_unit_test_setup_teardown(test_headers_are_what_was_sent, start, stop),
        cmocka_unit_test_setup_teardown(test_every_answer_has_an_id, start, stop),
        cmocka_unit_test_setup_teardown(test_the_clients_id_is_taken_over_if_it_is_harmless, start, stop),
        cmocka_unit_test_setup_teardown(test_each_answer_is_told_once, start, stop),
        cmocka_unit_test_setup_teardown(test_one_address_has_half_of_the_connections, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
