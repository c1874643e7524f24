#include "testkit/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/banned.h"

#define WAIT_MS 20000

static int dial(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

// Reads up to size - 1 bytes, until `until` was seen or the end; returns the errno of a failed read or 0.
static int hear(int fd, char *out, size_t size, const char *until)
{
    size_t n = 0;
    out[0] = '\0';
    while (n + 1 < size && (until == NULL || strstr(out, until) == NULL)) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
        ssize_t got = recv(fd, out + n, size - 1 - n, 0);
        if (got < 0)
            return errno;
        if (got == 0)
            return 0;
        n += (size_t)got;
        out[n] = '\0';
    }
    return 0;
}

static const struct kp_step *route(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    (void)user;
    static const struct kp_step reset[] = {
        KP_STEP_TEXT("HTTP/1.1 200 OK\r\n"), KP_STEP_WAIT_MS(20), KP_STEP_RESET};
    static const struct kp_step hang[] = {KP_STEP_TEXT("HTTP/1.1 200 OK\r\n\r\n"), KP_STEP_HANG};
    static const struct kp_step pieces[] = {KP_STEP_PIECES("abcdefg", 7, 2), KP_STEP_CLOSE};
    static const struct kp_step large[] = {KP_STEP_REPEAT("0123456789", 10, 1000003), KP_STEP_CLOSE};
    if (kp_streq(request->target, "/reset"))
        return reset;
    if (kp_streq(request->target, "/hang"))
        return hang;
    if (kp_streq(request->target, "/pieces"))
        return pieces;
    if (kp_streq(request->target, "/large"))
        return large;
    if (kp_streq(request->target, "/nothing"))
        return NULL;
    return kp_peer_answer_with(peer, 404, "X-Why: none\r\n", "text/plain", "no", 2);
}

static void test_answers_and_notes(void **state)
{
    (void)state;
    struct kp_peer *peer = kp_peer_start(route, NULL);
    int fd = dial(kp_peer_port(peer));
    char text[512], value[64];
    say(fd, "GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Two:  two words \r\n\r\n");
    assert_int_equal(hear(fd, text, sizeof text, "\r\n\r\nno"), 0);
    assert_non_null(strstr(text, "HTTP/1.1 404 "));
    assert_non_null(strstr(text, "\r\nX-Why: none\r\n"));
    // the same connection again, with bodies of both kinds
    say(fd, "POST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel");
    say(fd, "lo");
    assert_int_equal(hear(fd, text, sizeof text, "\r\n\r\nno"), 0);
    say(fd, "PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(hear(fd, text, sizeof text, "100 Continue\r\n\r\n"), 0);
    say(fd, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_int_equal(hear(fd, text, sizeof text, "\r\n\r\nno"), 0);
    assert_true(kp_peer_wait_requests(peer, 3, WAIT_MS));
    assert_int_equal(kp_peer_requests(peer), 3);
    const struct kp_peer_request *first = kp_peer_request(peer, 0);
    assert_string_equal(first->method, "GET");
    assert_string_equal(first->target, "/a?b=c");
    assert_int_equal(first->body_len, 0);
    assert_true(kp_peer_header(first, "x-two", value, sizeof value));
    assert_string_equal(value, "two words ");
    assert_false(kp_peer_header(first, "x-tw", value, sizeof value));
    assert_string_equal(kp_peer_request(peer, 1)->body, "hello");
    assert_string_equal(kp_peer_request(peer, 2)->body, "abcde");
    assert_int_equal(kp_peer_request(peer, 2)->body_len, 5);
    assert_int_equal(kp_peer_connections(peer), 1);
    close(fd);
    assert_true(kp_peer_wait_closed(peer, WAIT_MS));
    kp_peer_stop(peer);
}

static void test_misbehaves_as_told(void **state)
{
    (void)state;
    struct kp_peer *peer = kp_peer_start(route, NULL);
    char text[256];
    int fd = dial(kp_peer_port(peer));
    say(fd, "GET /reset HTTP/1.1\r\n\r\n");
    assert_int_equal(hear(fd, text, sizeof text, NULL), ECONNRESET);
    close(fd);
    fd = dial(kp_peer_port(peer));
    say(fd, "GET /pieces HTTP/1.1\r\n\r\n");
    assert_int_equal(hear(fd, text, sizeof text, NULL), 0);
    assert_string_equal(text, "abcdefg");
    close(fd);
    fd = dial(kp_peer_port(peer));
    say(fd, "GET /nothing HTTP/1.1\r\n\r\n");
    assert_int_equal(hear(fd, text, sizeof text, NULL), 0);
    assert_string_equal(text, "");
    close(fd);
    kp_peer_stop(peer);
}

static void test_repeats_up_to_a_size(void **state)
{
    (void)state;
    struct kp_peer *peer = kp_peer_start(route, NULL);
    int fd = dial(kp_peer_port(peer));
    char *text = kp_alloc(1000100);
    say(fd, "GET /large HTTP/1.1\r\n\r\n");
    assert_int_equal(hear(fd, text, 1000100, NULL), 0);
    assert_int_equal(strlen(text), 1000003);
    assert_memory_equal(text + 1000000, "012", 3);
    kp_free(text);
    close(fd);
    kp_peer_stop(peer);
}

static void test_stops_with_hanging_and_idle_connections(void **state)
{
    (void)state;
    struct kp_peer *peer = kp_peer_start(route, NULL);
    char text[64];
    int hanging = dial(kp_peer_port(peer)), idle = dial(kp_peer_port(peer)), half = dial(kp_peer_port(peer));
    say(hanging, "GET /hang HTTP/1.1\r\n\r\n");
    assert_int_equal(hear(hanging, text, sizeof text, "\r\n\r\n"), 0);
    say(half, "GET /half HT");
    assert_int_equal(kp_peer_requests(peer), 1);
    assert_false(kp_peer_wait_requests(peer, 2, 1));
    assert_false(kp_peer_wait_closed(peer, 1));
    int port = kp_peer_port(peer);
    kp_peer_stop(peer);
    assert_int_equal(dial(port), -1);
    close(hanging);
    close(idle);
    close(half);
}

static void test_serves_many_at_once(void **state)
{
    (void)state;
    struct kp_peer *peer = kp_peer_start(route, NULL);
    int fds[64];
    char text[256];
    for (size_t i = 0; i < KP_COUNT(fds); i++)
        say(fds[i] = dial(kp_peer_port(peer)), "GET /many HTTP/1.1\r\n\r\n");
    for (size_t i = 0; i < KP_COUNT(fds); i++)
        assert_int_equal(hear(fds[i], text, sizeof text, "\r\n\r\nno"), 0);
    assert_int_equal(kp_peer_max_open(peer), KP_COUNT(fds));
    for (size_t i = 0; i < KP_COUNT(fds); i++)
        close(fds[i]);
    assert_true(kp_peer_wait_closed(peer, WAIT_MS));
    assert_int_equal(kp_peer_requests(peer), KP_COUNT(fds));
    kp_peer_stop(peer);
}

static void test_refuses_what_is_over_a_limit(void **state)
{
    (void)state;
    struct kp_peer *peer = kp_peer_start(route, NULL);
    char text[64];
    int fd = dial(kp_peer_port(peer));
    say(fd, "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n");
    assert_int_equal(hear(fd, text, sizeof text, NULL), 0);
    assert_string_equal(text, "");
    close(fd);
    assert_int_equal(kp_peer_requests(peer), 0);
    kp_peer_stop(peer);
}

static void test_closed_port(void **state)
{
    (void)state;
    assert_int_equal(dial(kp_test_closed_port()), -1);
    assert_int_equal(errno, ECONNREFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_and_notes),
        cmocka_unit_test(test_misbehaves_as_told),
        cmocka_unit_test(test_repeats_up_to_a_size),
        cmocka_unit_test(test_stops_with_hanging_and_idle_connections),
        cmocka_unit_test(test_serves_many_at_once),
        cmocka_unit_test(test_refuses_what_is_over_a_limit),
        cmocka_unit_test(test_closed_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
