#include "aio/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/clock.h"
#include "testkit/peer.h"
#include "base/banned.h"

#define TOTAL    1000000
#define MOST     6 // pieces in a turn: each takes 1 ms at least, a slice is 2 ms, the rest has a little
#define PAUSE_AT (TOTAL / 2)

struct bench {
    struct kp_loop *loop;
    struct kp_http_call *call;
    struct kp_timer *turn, *resume;
    size_t received;
    unsigned in_turn, most, pieces;
    bool may_pause, paused, done;
    int code;
};

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct bench *bench = user;
    int64_t end_us = kp_mono_us() + 1000;
    assert_false(bench->paused);
    for (size_t i = 0; i < len; i++)
        if (data[i] != '0' + (bench->received + i) % 10)
            fail_msg("byte %zu is another", bench->received + i);
    bench->received += len;
    bench->pieces++;
    bench->in_turn++;
    while (kp_mono_us() < end_us)
        ;
    if (bench->may_pause && bench->received > PAUSE_AT) {
        bench->may_pause = false;
        bench->paused = true;
        kp_http_pause(bench->call, true);
        kp_timer_start(bench->resume, 20, 0);
    }
    return true;
}

static void on_resume(void *user)
{
    struct bench *bench = user;
    bench->paused = false;
    kp_http_pause(bench->call, false);
}

static void on_turn(void *user)
{
    struct bench *bench = user;
    bench->most = bench->in_turn > bench->most ? bench->in_turn : bench->most;
    bench->in_turn = 0;
    kp_timer_start(bench->turn, 0, 0);
}

static void on_done(void *user, const struct kp_http_result *result)
{
    struct bench *bench = user;
    bench->code = result->code;
    bench->done = true;
}

static void read_all(struct bench *bench)
{
    static const struct kp_step script[] = {
        KP_STEP_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"),
        KP_STEP_REPEAT("0123456789", 10, TOTAL), KP_STEP_END};
    struct kp_peer *peer = kp_peer_start_script(script);
    struct kp_http *http = kp_http_create(bench->loop, &(struct kp_http_options){.reuse = true});
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", kp_peer_port(peer));
    struct kp_http_request request = {.method = "GET",
        .url = url,
        .timeout_ms = 60000,
        .max_body = 2 * TOTAL,
        .on_data = on_data,
        .on_done = on_done,
        .user = bench};
    assert_int_equal(kp_http_start(http, &request, &bench->call, NULL), 0);
    kp_timer_start(bench->turn, 0, 0);
    assert_true(kp_loop_run_until(bench->loop, &bench->done, 60000));
    kp_http_destroy(http);
    kp_peer_stop(peer);
}

// An answer that comes in faster than it is worked in: other work has its turn, nothing is lost, and who
// pauses it is not woken.
static void test_a_fast_answer_does_not_hold_the_loop(void **state)
{
    (void)state;
    for (int may_pause = 0; may_pause < 2; may_pause++) {
        struct bench b = {.loop = kp_loop_create(), .may_pause = may_pause == 1};
        b.turn = kp_timer_create(b.loop, on_turn, &b);
        b.resume = kp_timer_create(b.loop, on_resume, &b);
        read_all(&b);
        assert_int_equal(b.code, 0);
        assert_int_equal(b.received, TOTAL);
        assert_true(b.pieces > 2 * MOST);
        assert_in_range(b.most, 1, MOST);
        kp_timer_destroy(b.turn);
        kp_timer_destroy(b.resume);
        kp_loop_destroy(b.loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_fast_answer_does_not_hold_the_loop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
