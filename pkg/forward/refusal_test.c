// API servers that refuse, in all ways, or break the rules.
#include "base/file.h"
#include "forward/forward_fixture.h"
#include "base/banned.h"

static const char *the_answer; // of refuses(); set before the server starts

static void refuses(struct side *side)
{
    side_head(side);
    server_note(side->server, side->head);
    side_write(side, the_answer, strlen(the_answer));
}

static void test_refusals(void **state)
{
#define FORBIDDEN                                                                                            \
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"pods \\\"web-0\\\" is " \
    "forbidden: "                                                                                            \
    "User \\\"u\\\" cannot create resource "                                                                 \
    "\\\"pods/portforward\\\"\",\"reason\":\"Forbidden\",\"code\":403}"
    static const struct {
        const char *answer;
        int code, http_status;
        const char *part;
    } rows[] = {
        {"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n" FORBIDDEN, KP_DENIED, 403,
            "cannot create resource \"pods/portforward\""},
        {"HTTP/1.1 403 Forbidden\r\n\r\n{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\","
         "\"message\":\"pods \\\"web-0\\\" is forbidden: \",\"reason\":\"Forbidden\",\"code\":403}",
            KP_DENIED, 403, "needs get and create on pods/portforward: pods \"web-0\" is forbidden"},
        {"HTTP/1.1 404 Not Found\r\n\r\n{\"kind\":\"Status\",\"status\":\"Failure\","
         "\"message\":\"pods \\\"web-0\\\" not found\",\"code\":404}",
            KP_NOT_FOUND, 404, "pods \"web-0\" not found"},
        {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", KP_UNAUTHENTICATED, 401, "401"},
        {"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops", KP_UNAVAILABLE, 500,
            "answered 500"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", KP_INVALID, 0, "status 200 instead"},
        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 50\r\n\r\nhalf", KP_INVALID, 0, "broke in the middle"},
        {"SSH-2.0-OpenSSH_9.2\r\n", KP_INVALID, 0, "not HTTP/1.1"},
        {"", KP_INVALID, 0, "broke in the middle"},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
            KP_INVALID, 0, "the answer to our key"},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", KP_INVALID,
            0, "not a WebSocket handshake"},
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        char got[4096];
        the_answer = rows[i].answer;
        struct bench *bench = bench_create(refuses, NULL);
        struct kp_error err = run_one(bench, asks, got);
        assert_failure(&err, rows[i].code, rows[i].part);
        assert_false(kp_ends_with(err.text, " ") || kp_ends_with(err.text, ":"));
        assert_int_equal(err.http_status, rows[i].http_status);
        assert_string_equal(got, "");
        bench_destroy(bench);
    }
}

static void test_chunked_refusal(void **state)
{
    static const char body[] = FORBIDDEN;
    (void)state;
    kp_auto_free char *answer = kp_asprintf("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n"
                                            "A;x=y\r\n%.10s\r\n%zx\r\n%s\r\n0\r\nTrailer: 1\r\n\r\n",
        body, strlen(body + 10), body + 10);
    the_answer = answer;
    struct bench *bench = bench_create(refuses, NULL);
    struct kp_error err = run_one(bench, asks, NULL);
    assert_failure(&err, KP_DENIED, "cannot create resource \"pods/portforward\"");
    bench_destroy(bench);
}

static void answers_another_protocol(struct side *side)
{
    char accept[32];
    side_head(side);
    accept_of(side->head, accept);
    side_printf(side,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %s\r\n%s\r\n",
        accept, the_answer);
    side_receive(side, (uint8_t[FRAME_BYTES]){0}, &(size_t){0});
}

static void test_wrong_handshakes(void **state)
{
    static const char *const rows[][2] = {
        {"Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n", "the subprotocol is 'v5.channel.k8s.io'"},
        {"", "does not speak the WebSocket subprotocol"},
        {"Sec-WebSocket-Protocol: v4.channel.k8s.io\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
            "an extension nobody asked for"},
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        the_answer = rows[i][0];
        struct bench *bench = bench_create(answers_another_protocol, NULL);
        struct kp_error err = run_one(bench, asks, NULL);
        assert_failure(&err, KP_INVALID, rows[i][1]);
        bench_destroy(bench);
    }
}

static void wants_new_token(struct side *side)
{
    static const char refusal[] = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    if (side->number > 0) {
        echoes(side);
        return;
    }
    side_head(side);
    char *path = kp_asprintf("%s", the_answer);
    assert_int_equal(kp_file_write_atomic(path, "fresh", 5, 0600, NULL), 0);
    kp_free(path);
    side_write(side, refusal, sizeof refusal - 1);
}

static void test_token_read_again(void **state)
{
    char got[4096];
    (void)state;
    struct bench *bench = bench_create(wants_new_token, NULL);
    kp_auto_free char *file = kp_asprintf("%s/token", bench->dir);
    assert_int_equal(kp_file_write_atomic(file, "stale", 5, 0600, NULL), 0);
    the_answer = file;
    bench->config.token_file = file;
    struct kp_error err = run_one(bench, asks, got);
    assert_string_equal(err.text, "");
    assert_string_equal(got, "hello");
    assert_non_null(strstr(bench->server->seen, "\r\nAuthorization: Bearer fresh\r\n"));
    bench_destroy(bench);
}

// ---- broken rules ----

static const uint8_t *the_bytes; // of breaks_rules()
static size_t the_bytes_len;

static void breaks_rules(struct side *side)
{
    uint8_t payload[FRAME_BYTES];
    size_t len = 0;
    if (!side_open(side))
        return;
    side_write(side, the_bytes, the_bytes_len);
    if (side_receive(side, payload, &len) == KP_OP_CLOSE && len == 2 && payload[0] == 3 && payload[1] == 0xea)
        server_stage(side->server, 1); // 1002
}

static void test_broken_rules(void **state)
{
#define ROW(bytes, part)                                                                                     \
    {                                                                                                        \
        bytes, sizeof(bytes) - 1, part                                                                       \
    }
    static const struct {
        const char *bytes;
        size_t len;
        const char *part;
    } rows[] = {
        ROW("\x82\x82"
            "abcd\x61\x62",
            "masked"),
        ROW("\xc2\x01z", "reserved bits"),
        ROW("\x81\x01z", "text message"),
        ROW("\x83\x01z", "kind of a frame"),
        ROW("\x80\x01z", "continuation of no message"),
        ROW("\x82\x7e\x00\x01z", "shortest form"),
        ROW("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xffz", "shortest form"),
        ROW("\x09\x01z", "control frame"),
        ROW("\x88\x01z", "valid code"),
        ROW("\x88\x02\x03\xed", "valid code"),
        ROW("\x82\x01\x05", "channel 5"),
        ROW("\x82\x00", "without a channel"),
        ROW("GET / HTTP/1.1", "reserved bits"),
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        the_bytes = (const uint8_t *)rows[i].bytes;
        the_bytes_len = rows[i].len;
        struct bench *bench = bench_create(breaks_rules, NULL);
        struct kp_error err = run_one(bench, listens, NULL);
        assert_failure(&err, KP_INVALID, rows[i].part);
        turn_until_stage(bench, 1);
        bench_destroy(bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_chunked_refusal),
        cmocka_unit_test(test_wrong_handshakes),
        cmocka_unit_test(test_token_read_again),
        cmocka_unit_test(test_broken_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
