// The whole way: a client on the Unix socket, an API server that behaves well, fails, or falls silent.
#include "forward/forward.h"

#include "forward/forward_fixture.h"
#include "kube/exchange.h"
#include "base/banned.h"

// ---- well ----

static void test_there_and_back(void **state)
{
    char got[4096];
    (void)state;
    struct bench *bench = bench_create(echoes, NULL);
    struct kp_error err = run_one(bench, asks, got);
    assert_string_equal(got, "hello");
    assert_int_equal(err.code, 0);
    const char *seen = bench->server->seen;
    assert_true(
        kp_starts_with(seen, "GET /api/v1/namespaces/shop/pods/web-0/portforward?ports=6060 HTTP/1.1\r\n"));
    assert_non_null(strstr(seen, "\r\nAuthorization: Bearer secret\r\n"));
    assert_non_null(strstr(seen, "\r\nAccept: */*\r\n")); // asked for JSON, API servers answer 406
    assert_non_null(strstr(seen, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"));
    assert_non_null(strstr(seen, "\r\nSec-WebSocket-Version: 13\r\n"));
    assert_non_null(strstr(seen, "\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n"));
    assert_non_null(strstr(seen, "\r\nHost: 127.0.0.1:"));
    assert_non_null(strstr(seen, "\r\nUser-Agent: kube-pprof/"));
    bench_destroy(bench);
}

struct told {
    int n, status;
    bool masked;
};

static void on_exchange(void *user, const struct kp_kube_exchange *exchange)
{
    struct told *told = user;
    told->n++;
    told->status = exchange->status;
    for (size_t i = 0; exchange->request_headers[i] != NULL; i++)
        told->masked |= strcmp(exchange->request_headers[i], "Authorization: Bearer <masked>") == 0;
    assert_null(exchange->error);
    assert_non_null(strstr(exchange->url, "/api/v1/namespaces/shop/pods/web-0/portforward?ports=6060"));
}

// For -v=6 and more: one request, told of when the connection stands, whatever becomes of it.
static void test_exchange(void **state)
{
    struct told told = {0};
    (void)state;
    struct bench *bench = bench_create(echoes, NULL);
    bench->kube_options.on_exchange = on_exchange;
    bench->kube_options.exchange_user = &told;
    struct kp_error err = run_one(bench, asks, NULL);
    assert_string_equal(err.text, "");
    bench_destroy(bench);
    assert_int_equal(told.n, 1);
    assert_int_equal(told.status, 101);
    assert_true(told.masked);
}

// Pieces of a message in several frames, a ping between them, empty messages.
static void cuts(struct side *side)
{
    uint8_t payload[FRAME_BYTES];
    size_t len = 0;
    char accept[32];
    side_head(side);
    accept_of(side->head, accept);
    side_printf(side, "HTTP/1.1 100 Continue\r\n\r\n");
    side_printf(side,
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\n"
        "Sec-WebSocket-Accept:%s\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
        "\x02\x02%c\xac"
        "\x80\x01\x17"
        "\x82\x01%c"
        "\x82\x01%c"
        "\x02%c",
        accept, 0, 0, 0, 0);
    side_printf(side,
        "\x89\x03"
        "abc"
        "%c%c",
        0, 0);
    side_printf(side,
        "%c\x01%c"
        "%c\x03"
        "one"
        "\x80\x03"
        "two",
        0, 0, 0);
    if (side_receive(side, payload, &len) == KP_OP_PONG && len == 3 && memcmp(payload, "abc", 3) == 0)
        side_message(side, 0, "!", 1);
    side_close(side, 1000);
    // the echo of the close frame
    if (side_receive(side, payload, &len) == KP_OP_CLOSE)
        server_stage(side->server, 1);
}

static void test_cut_messages(void **state)
{
    char got[4096];
    (void)state;
    struct bench *bench = bench_create(cuts, NULL);
    struct kp_error err = run_one(bench, listens, got);
    assert_string_equal(err.text, "");
    assert_string_equal(got, "onetwo!");
    turn_until_stage(bench, 1);
    bench_destroy(bench);
}

static void waits_for_three(struct side *side)
{
    if (side->number == 2)
        server_stage(side->server, 1);
    server_wait_stage(side->server, 1);
    echoes(side);
}

static void asks_its_number(struct client *client)
{
    char number = (char)('0' + (client - client->bench->clients));
    client_write(client->fd, &number, 1);
    client_read(client->fd, client->got, sizeof client->got);
}

static void test_three_at_once(void **state)
{
    struct kp_error err;
    (void)state;
    struct bench *bench = bench_create(waits_for_three, NULL);
    bench_open(bench);
    for (int i = 0; i < 3; i++)
        client_start(bench, asks_its_number);
    clients_join(bench);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bench->clients[i].got[0], '0' + i);
        assert_int_equal(bench->clients[i].got[1], '\0');
    }
    kp_forward_error(bench->forward, &err);
    assert_int_equal(err.code, 0);
    bench_destroy(bench);
}

// ---- failures on the way ----

static void nobody_listens(struct side *side)
{
    static const char text[] =
        "error forwarding port 6060 to pod 0123456789abcdef0123456789abcdef0123456789abc, uid : "
        "failed to execute portforward in network namespace \"/var/run/netns/cni-1\": "
        "failed to connect to localhost:6060 inside namespace \"0123\", IPv4: dial tcp4 "
        "127.0.0.1:6060: connect: connection refused IPv6 dial tcp6 [::1]:6060: connect: "
        "connection refused";
    if (!side_open(side))
        return;
    side_message(side, 1, text, sizeof text - 1);
    side_close(side, 1000);
    side_receive(side, (uint8_t[FRAME_BYTES]){0}, &(size_t){0});
}

static void test_nobody_listens(void **state)
{
    (void)state;
    struct bench *bench = bench_create(nobody_listens, NULL);
    struct kp_error err = run_one(bench, asks, NULL);
    assert_failure(&err, KP_NETWORK, "nothing listens there: connection refused");
    bench_destroy(bench);
}

static void goes_away(struct side *side)
{
    if (side_open(side))
        side_message(side, 0, "half an ans", 11);
}

static void test_server_goes_away(void **state)
{
    char got[4096];
    (void)state;
    struct bench *bench = bench_create(goes_away, NULL);
    struct kp_error err = run_one(bench, listens, got);
    assert_string_equal(got, "half an ans");
    assert_failure(&err, KP_NETWORK, "hung up in the middle");
    bench_destroy(bench);
}

static void closes_with_reason(struct side *side)
{
    if (!side_open(side))
        return;
    side_message(side, 0, "x", 1);
    side_frame(side, KP_OP_CLOSE, "\x03\xf3oh", 4);
    side_receive(side, (uint8_t[FRAME_BYTES]){0}, &(size_t){0});
}

static void test_close_with_reason(void **state)
{
    char got[4096];
    (void)state;
    struct bench *bench = bench_create(closes_with_reason, NULL);
    struct kp_error err = run_one(bench, listens, got);
    assert_string_equal(got, "x");
    assert_failure(&err, KP_UNAVAILABLE, "with code 1011: oh");
    bench_destroy(bench);
}

static void never_answers(struct side *side)
{
    side_head(side);
    server_stage(side->server, 1);
    side_read(side, side->head, sizeof side->head);
}

static void test_no_answer(void **state)
{
    (void)state;
    struct bench *bench = bench_create(never_answers, NULL);
    bench->options.connect_timeout_ms = 100;
    struct kp_error err = run_one(bench, asks, NULL);
    assert_failure(&err, KP_TIMEOUT, "no answer within 100 ms");
    bench_destroy(bench);
}

static void test_no_server(void **state)
{
    (void)state;
    struct bench *bench = bench_create(echoes, NULL);
    shutdown(bench->server->listener, SHUT_RDWR); // gone, and its port with it
    struct kp_error err = run_one(bench, asks, NULL);
    assert_failure(&err, KP_NETWORK, "onnect");
    bench_destroy(bench);
}

// ---- silence ----

static void is_silent(struct side *side)
{
    uint8_t payload[FRAME_BYTES];
    size_t len;
    if (side_open(side)) {
        while (side_receive(side, payload, &len) >= 0)
            continue;
    }
}

static void test_silent_server(void **state)
{
    (void)state;
    struct bench *bench = bench_create(is_silent, NULL);
    bench->options.ping_ms = 20;
    struct kp_error err = run_one(bench, listens, NULL);
    assert_failure(&err, KP_TIMEOUT, "answers no ping");
    bench_destroy(bench);
}

static void answers_pings(struct side *side)
{
    uint8_t payload[FRAME_BYTES];
    size_t len = 0;
    if (!side_open(side))
        return;
    for (int i = 0; i < 6; i++) {
        if (side_receive(side, payload, &len) != KP_OP_PING)
            return;
        side_frame(side, KP_OP_PONG, payload, len);
    }
    side_message(side, 0, "at last", 7);
    side_close(side, 1000);
    side_receive(side, payload, &len);
}

static void test_pings_keep_it(void **state)
{
    char got[4096];
    (void)state;
    struct bench *bench = bench_create(answers_pings, NULL);
    bench->options.ping_ms = 100;
    struct kp_error err = run_one(bench, listens, got);
    assert_string_equal(err.text, "");
    assert_string_equal(got, "at last");
    bench_destroy(bench);
}

// ---- the end of the client, of the forward, of all ----

static void sees_goodbye(struct side *side)
{
    uint8_t payload[FRAME_BYTES];
    size_t len = 0;
    if (side_open(side) && side_receive(side, payload, &len) == KP_OP_BINARY && len == 6 &&
        side_receive(side, payload, &len) == KP_OP_CLOSE && len == 2 && payload[0] == 3 && payload[1] == 0xe8)
        server_stage(side->server, 1);
}

static void leaves(struct client *client)
{
    client_write(client->fd, "hello", 5);
}

static void test_client_leaves(void **state)
{
    struct kp_error err;
    (void)state;
    struct bench *bench = bench_create(sees_goodbye, NULL);
    bench_open(bench);
    client_start(bench, leaves);
    clients_join(bench);
    turn_until_stage(bench, 1);
    kp_forward_error(bench->forward, &err);
    assert_int_equal(err.code, 0);
    bench_destroy(bench);
}

static void floods(struct side *side)
{
    static const uint8_t zeros[30000];
    uint8_t payload[FRAME_BYTES];
    if (!side_open(side))
        return;
    memset(payload, 0, sizeof payload);
    while (side_write(side, "\x82\x7e\x75\x30", 4) && side_write(side, zeros, sizeof zeros))
        server_stage(side->server, 1);
}

// Whatever is under way: asking, sending to somebody who does not read, nothing at all.
static void test_destroy_in_the_middle(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct bench *bench = bench_create(i < 2 ? floods : never_answers, NULL);
        bench_open(bench);
        int fds[3];
        for (size_t k = 0; k < KP_COUNT(fds); k++)
            fds[k] = client_connect(kp_forward_socket(bench->forward));
        turn_loop(bench, 20);
        if (i < 3)
            turn_until_stage(bench, 1);
        turn_loop(bench, 20);
        if (i % 2 == 1) { // the wrong way round
            kp_kube_destroy(kp_take(bench->kube));
            turn_loop(bench, 5);
        }
        bench_destroy(bench);
        for (size_t k = 0; k < KP_COUNT(fds); k++)
            close(fds[k]);
    }
}

// ---- the socket ----

static void test_socket(void **state)
{
    struct stat info;
    struct kp_error err = {0};
    struct kp_forward *other = NULL;
    (void)state;
    struct bench *bench = bench_create(echoes, NULL);
    bench_open(bench);
    assert_int_equal(stat(kp_forward_socket(bench->forward), &info), 0);
    assert_true(S_ISSOCK(info.st_mode));
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(kp_forward_create(bench->loop, bench->kube, &bench->options, &other, &err), 0);
    assert_string_not_equal(kp_forward_socket(other), kp_forward_socket(bench->forward));
    kp_auto_free char *path = kp_strdup(kp_forward_socket(other));
    kp_forward_destroy(other);
    assert_int_equal(access(path, F_OK), -1);
    bench_destroy(bench);
}

static void test_options(void **state)
{
    struct kp_forward *forward = NULL;
    (void)state;
    struct bench *bench = bench_create(echoes, NULL);
    bench->kube = kp_kube_create(bench->loop, &bench->config, NULL);
    kp_auto_free char *deep = kp_asprintf("%s/%0100d", bench->dir, 1);
    kp_auto_free char *none = kp_asprintf("%s/none", bench->dir);
    assert_int_equal(mkdir(deep, 0700), 0);
    const struct {
        const char *namespace, *pod, *dir;
        int port, code;
        const char *part;
    } rows[] = {
        {"shop", "a/b", bench->dir, 80, KP_INVALID, "name"},
        {"..", "a", bench->dir, 80, KP_INVALID, "name"},
        {"shop", "a", bench->dir, 0, KP_INVALID, "port 0"},
        {"shop", "a", bench->dir, 65536, KP_INVALID, "port 65536"},
        {"shop", "a", none, 80, KP_NOT_FOUND, none},
        {"shop", "a", "/tmp", 80, KP_DENIED, "0700"},
        {"shop", "a", "/dev/null", 80, KP_INVALID, "not a directory"},
        {"shop", "a", deep, 80, KP_INVALID, "too long"},
    };
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_error err = {0};
        struct kp_forward_options options = {
            .namespace = rows[i].namespace, .pod = rows[i].pod, .dir = rows[i].dir, .port = rows[i].port};
        int code = kp_forward_create(bench->loop, bench->kube, &options, &forward, &err);
        if (code != rows[i].code || strstr(err.text, rows[i].part) == NULL)
            fail_msg("row %zu: %d %s", i, code, err.text);
    }
    bench_destroy(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_cut_messages),
        cmocka_unit_test(test_three_at_once),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_server_goes_away),
        cmocka_unit_test(test_close_with_reason),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_no_server),
        cmocka_unit_test(test_silent_server),
        cmocka_unit_test(test_pings_keep_it),
        cmocka_unit_test(test_client_leaves),
        cmocka_unit_test(test_destroy_in_the_middle),
        cmocka_unit_test(test_socket),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
