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

#define PIECES 200
#define GAP_MS 20

struct bench {
    struct kp_loop *loop;
    struct kp_http *http;
    struct kp_peer *peer;
    struct kp_http_call *call;
    struct kp_step script[2 * PIECES + 3];
    int64_t began_ms, turn_ms; // of the loop's clock, which stands still within a turn
    size_t received, cancel_at;
    unsigned readings;
    bool done, some;
    int code;
};

static bool on_head(void *user, int status, const char *content_type)
{
    struct bench *b = user;
    (void)content_type;
    assert_int_equal(status, 200);
    kp_http_relax(b->call, GAP_MS);
    return true;
}

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct bench *b = user;
    for (size_t i = 0; i < len; i++)
        assert_int_equal(data[i], 'x');
    b->received += len;
    b->readings += b->turn_ms != kp_loop_mono_ms(b->loop);
    b->turn_ms = kp_loop_mono_ms(b->loop);
    b->some = b->received > 10;
    if (b->cancel_at > 0 && b->received >= b->cancel_at)
        kp_http_cancel(b->call);
    return true;
}

static void on_done(void *user, const struct kp_http_result *result)
{
    struct bench *b = user;
    b->code = result->code;
    b->done = true;
}

// A piece each millisecond.
static void begin(struct bench *b, const struct kp_step *last)
{
    char url[64];
    size_t n = 0;
    b->script[n++] = (struct kp_step)KP_STEP_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n");
    for (size_t i = 0; i < PIECES; i++) {
        b->script[n++] = (struct kp_step)KP_STEP_TEXT("x");
        b->script[n++] = (struct kp_step)KP_STEP_WAIT_MS(1);
    }
    b->script[n++] = *last;
    b->loop = kp_loop_create();
    b->peer = kp_peer_start_script(b->script);
    b->http = kp_http_create(b->loop, &(struct kp_http_options){.reuse = true});
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", kp_peer_port(b->peer));
    struct kp_http_request request = {.method = "GET",
        .url = url,
        .timeout_ms = 60000,
        .max_body = 1000,
        .on_head = on_head,
        .on_data = on_data,
        .on_done = on_done,
        .user = b};
    b->began_ms = kp_mono_ms();
    assert_int_equal(kp_http_start(b->http, &request, &b->call, NULL), 0);
}

static void end(struct bench *b)
{
    kp_http_destroy(b->http);
    kp_loop_destroy(b->loop);
    kp_peer_stop(b->peer);
}

static void test_what_comes_together_is_read_together(void **state)
{
    static const struct kp_step last = KP_STEP_END;
    struct bench b = {0};
    (void)state;
    begin(&b, &last);
    assert_true(kp_loop_run_until(b.loop, &b.done, 60000));
    assert_int_equal(b.code, 0);
    assert_int_equal(b.received, PIECES);
    // a few more: where reading took too long, it goes on at once
    assert_in_range(b.readings, 1, (unsigned)((kp_mono_ms() - b.began_ms) / GAP_MS) + PIECES / 10);
    end(&b);
}

// The connection breaks while it rests.
static void test_an_end_is_seen(void **state)
{
    static const struct kp_step last = KP_STEP_CLOSE;
    struct bench b = {0};
    (void)state;
    begin(&b, &last);
    b.script[0] = (struct kp_step)KP_STEP_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n");
    assert_true(kp_loop_run_until(b.loop, &b.done, 60000));
    assert_int_equal(b.code, KP_NETWORK);
    assert_int_equal(b.received, PIECES);
    end(&b);
}

static void test_canceled_and_destroyed_while_it_rests(void **state)
{
    static const struct kp_step last = KP_STEP_HANG;
    struct bench b = {.cancel_at = 30};
    (void)state;
    begin(&b, &last);
    assert_true(kp_loop_run_until(b.loop, &b.done, 60000));
    assert_int_equal(b.code, KP_CANCELED);
    end(&b);
    struct bench c = {0};
    begin(&c, &last);
    assert_true(kp_loop_run_until(c.loop, &c.some, 60000));
    end(&c);
    assert_int_equal(c.code, KP_CANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_comes_together_is_read_together),
        cmocka_unit_test(test_an_end_is_seen),
        cmocka_unit_test(test_canceled_and_destroyed_while_it_rests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
