// Much data, and readers who take their time: what is held stays small.
#include <sys/resource.h>

#include "forward/forward_fixture.h"
#include "base/banned.h"

#define MUCH       (100L * 1000 * 1000)
#define PIECE      50000
#define PING_MS    600000       // a busy machine is silent for long, and the scripts know no ping
#define MAX_GROWTH (24L * 1024) // KiB of memory, for 100 MB; sockets are the kernel's

static uint8_t pattern(long at)
{
    return (uint8_t)(at % 251);
}

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

// True when nobody took anything for a while.
static bool is_stuck(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    return poll(&poll_fd, 1, 200) == 0;
}

// ---- down ----

static void sends_much(struct side *side)
{
    uint8_t *message = kp_alloc(1 + PIECE), *piece = message + 1;
    long sent = 0;
    bool open = side_open(side);
    message[0] = 0;
    while (open && sent < MUCH) {
        for (long i = 0; i < PIECE; i++)
            piece[i] = pattern(sent + i);
        if (side->server->stage == 0 && is_stuck(side->fd)) {
            pthread_mutex_lock(&side->server->lock);
            side->server->count = sent;
            pthread_mutex_unlock(&side->server->lock);
            server_stage(side->server, 1);
        }
        side_frame(side, KP_OP_BINARY, message, 1 + PIECE);
        sent += PIECE;
    }
    side_close(side, 1000);
    side_read(side, piece, PIECE);
    kp_free(message);
}

static void reads_late(struct client *client)
{
    uint8_t *piece = kp_alloc(PIECE);
    ssize_t n;
    bool right = true;
    server_wait_stage(client->bench->server, 1);
    while ((n = recv(client->fd, piece, PIECE, 0)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            right &= piece[i] == pattern(client->count + i);
        client->count += n;
    }
    client->got[0] = right;
    kp_free(piece);
}

static void test_much_down(void **state)
{
    char got[4096];
    (void)state;
    struct bench *bench = bench_create(sends_much, NULL);
    bench->options.ping_ms = PING_MS;
    long before = peak_kib();
    struct kp_error err = run_one(bench, reads_late, got);
    assert_string_equal(err.text, "");
    assert_int_equal(bench->clients[0].count, MUCH);
    assert_true(got[0]);
    assert_true(peak_kib() - before < MAX_GROWTH);
    // the server could not send more than the buffers of sockets hold while nobody read
    assert_true(bench->server->count > 0 && bench->server->count < MUCH / 4);
    bench_destroy(bench);
}

// ---- up ----

static void takes_much(struct side *side)
{
    uint8_t *payload = kp_alloc(FRAME_BYTES);
    size_t len = 0;
    long at = 0;
    bool right = true;
    if (side_open(side)) {
        server_wait_stage(side->server, 1); // nothing is read before the client is stuck
        while (at < MUCH && side_receive(side, payload, &len) == KP_OP_BINARY) {
            for (size_t i = 1; i < len; i++)
                right &= payload[i] == pattern(at++);
        }
        side_message(side, 0, right && at == MUCH ? "all" : "not", 3);
        side_close(side, 1000);
        side_receive(side, payload, &len);
    }
    kp_free(payload);
}

static void writes_much(struct client *client)
{
    uint8_t *piece = kp_alloc(PIECE);
    for (long sent = 0; sent < MUCH; sent += PIECE) {
        for (long i = 0; i < PIECE; i++)
            piece[i] = pattern(sent + i);
        if (client->count == 0 && is_stuck(client->fd)) {
            client->count = sent;
            server_stage(client->bench->server, 1);
        }
        client_write(client->fd, piece, PIECE);
    }
    client_read(client->fd, client->got, sizeof client->got);
    kp_free(piece);
}

static void test_much_up(void **state)
{
    char got[4096];
    (void)state;
    struct bench *bench = bench_create(takes_much, NULL);
    bench->options.ping_ms = PING_MS;
    long before = peak_kib();
    struct kp_error err = run_one(bench, writes_much, got);
    assert_string_equal(err.text, "");
    assert_string_equal(got, "all");
    assert_true(peak_kib() - before < MAX_GROWTH);
    assert_true(bench->clients[0].count > 0 && bench->clients[0].count < MUCH / 4);
    bench_destroy(bench);
}

// ---- both at once ----

static void echoes_much(struct side *side)
{
    uint8_t *payload = kp_alloc(FRAME_BYTES);
    size_t len = 0;
    long at = 0;
    bool open = side_open(side);
    while (open && at < MUCH / 10) {
        int opcode = side_receive(side, payload, &len);
        if (opcode == KP_OP_PONG)
            continue;
        if (opcode != KP_OP_BINARY)
            break;
        side_frame(side, KP_OP_BINARY, payload, len);
        side_frame(side, KP_OP_PING, "?", 1);
        at += (long)len - 1;
    }
    side_close(side, 1000);
    while (open && side_receive(side, payload, &len) >= 0)
        continue; // pongs
    kp_free(payload);
}

static void *writes_in_parallel(void *user)
{
    struct client *client = user;
    uint8_t *piece = kp_alloc(PIECE);
    for (long sent = 0; sent < MUCH / 10; sent += PIECE) {
        for (long i = 0; i < PIECE; i++)
            piece[i] = pattern(sent + i);
        client_write(client->fd, piece, PIECE);
    }
    kp_free(piece);
    return NULL;
}

static void writes_and_reads(struct client *client)
{
    pthread_t writer;
    server_stage(client->bench->server, 1); // reads_late() need not wait
    pthread_create(&writer, NULL, writes_in_parallel, client);
    reads_late(client);
    pthread_join(writer, NULL);
}

static void test_both_ways(void **state)
{
    char got[4096];
    (void)state;
    struct bench *bench = bench_create(echoes_much, NULL);
    bench->options.ping_ms = PING_MS;
    struct kp_error err = run_one(bench, writes_and_reads, got);
    assert_string_equal(err.text, "");
    assert_int_equal(bench->clients[0].count, MUCH / 10);
    assert_true(got[0]);
    bench_destroy(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_much_down),
        cmocka_unit_test(test_much_up),
        cmocka_unit_test(test_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
