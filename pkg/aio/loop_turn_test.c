#include "aio/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "aio/watch.h"
#include "base/clock.h"
#include "base/alloc.h"
#include "base/banned.h"

struct bench {
    struct kp_loop *loop;
    struct kp_timer *a, *b;
    struct kp_watch *watch;
    int pipe[2];
    int left; // runs of a and b until it is over
    int64_t again_ms, work_us;
    bool over;
    char order[64];
};

static void note(struct bench *bench, char what)
{
    size_t n = strlen(bench->order);
    if (n + 1 < sizeof bench->order)
        bench->order[n] = what;
}

static void work(int64_t us)
{
    int64_t end_us = kp_mono_us() + us;
    while (kp_mono_us() < end_us)
        ;
}

static void run(struct bench *bench, char what, struct kp_timer *timer)
{
    note(bench, what);
    work(bench->work_us);
    if (write(bench->pipe[1], &what, 1) != 1)
        fail();
    bench->over = --bench->left <= 0;
    if (bench->over)
        kp_loop_stop(bench->loop);
    else
        kp_timer_start(timer, bench->again_ms, 0);
}

static void on_a(void *user)
{
    struct bench *bench = user;
    run(bench, 'a', bench->a);
}

static void on_b(void *user)
{
    struct bench *bench = user;
    run(bench, 'b', bench->b);
}

static void on_readable(void *user)
{
    struct bench *bench = user;
    char bytes[64];
    if (read(bench->pipe[0], bytes, sizeof bytes) < 1)
        fail();
    note(bench, '.');
}

static void bench_open(struct bench *bench)
{
    *bench = (struct bench){.loop = kp_loop_create()};
    assert_int_equal(pipe(bench->pipe), 0);
    bench->a = kp_timer_create(bench->loop, on_a, bench);
    bench->b = kp_timer_create(bench->loop, on_b, bench);
    bench->watch = kp_watch_create(bench->loop, bench->pipe[0], on_readable, bench);
    kp_watch_set(bench->watch, true, false);
}

static void bench_close(struct bench *bench)
{
    kp_timer_destroy(bench->a);
    kp_timer_destroy(bench->b);
    kp_watch_destroy(bench->watch);
    kp_loop_destroy(bench->loop);
    close(bench->pipe[0]);
    close(bench->pipe[1]);
}

// Two that always start themselves again, and take so long that each is due before the other is over: sockets
// have their turn between, and none of the two runs twice before.
static void test_work_in_slices_lets_sockets_through(void **state)
{
    (void)state;
    static const int64_t again[] = {0, 1};
    for (size_t i = 0; i < KP_COUNT(again); i++) {
        struct bench b;
        bench_open(&b);
        b.again_ms = again[i];
        b.work_us = 3000;
        b.left = 12;
        kp_timer_start(b.a, b.again_ms, 0);
        kp_timer_start(b.b, b.again_ms, 0);
        kp_loop_run(b.loop);
        for (const char *at = b.order; at[0] != '\0'; at++)
            assert_true(at[0] == '.' || at[0] != at[1]);
        size_t in_a_row = 0;
        for (const char *at = b.order; *at != '\0'; at++) {
            in_a_row = *at == '.' ? 0 : in_a_row + 1;
            assert_true(in_a_row <= 2);
        }
        if (b.again_ms == 0)
            assert_string_equal(b.order, "ab.ab.ab.ab.ab.ab");
        bench_close(&b);
    }
}

static void test_a_timer_that_is_soon_is_stopped_and_replaced(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b);
    b.left = 1;
    kp_timer_start(b.a, 0, 0);
    assert_true(kp_timer_active(b.a));
    kp_timer_stop(b.a);
    assert_false(kp_timer_active(b.a));
    kp_timer_start(b.a, 0, 0);
    kp_timer_start(b.a, 600000, 0); // replaced
    kp_timer_start(b.b, 600000, 0);
    kp_timer_start(b.b, 0, 0);
    assert_true(kp_loop_run_until(b.loop, &b.over, 60000));
    assert_string_equal(b.order, "b");
    assert_true(kp_timer_active(b.a));
    assert_false(kp_timer_active(b.b));
    kp_timer_start(b.a, 0, 0); // destroyed as it is
    bench_close(&b);
}

static void on_slice(void *user)
{
    struct bench *bench = user;
    int64_t whole_us = kp_loop_slice_us(bench->loop);
    work(whole_us);
    int64_t rest_us = kp_loop_slice_us(bench->loop);
    assert_true(rest_us > 0 && rest_us < 1000); // of another one in this turn
    assert_true(whole_us <= 5000);
    bench->over = true;
}

static void test_slices_of_a_turn_share_it(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b);
    struct kp_timer *timer = kp_timer_create(b.loop, on_slice, &b);
    for (int i = 0; i < 3; i++) {
        b.over = false;
        kp_timer_start(timer, i, 0);
        assert_true(kp_loop_run_until(b.loop, &b.over, 60000));
    }
    kp_timer_destroy(timer);
    bench_close(&b);
}

static void on_hold(void *user)
{
    struct bench *bench = user;
    on_readable(bench);
    work(20000);
    bench->over = true;
}

// What a socket's callback takes counts; waiting does not.
static void test_what_holds_the_loop_is_measured(void **state)
{
    (void)state;
    struct bench b;
    bool never = false;
    bench_open(&b);
    kp_watch_destroy(b.watch);
    b.watch = kp_watch_create(b.loop, b.pipe[0], on_hold, &b);
    kp_watch_set(b.watch, true, false);
    kp_loop_run_until(b.loop, &never, 1000);
    assert_true(kp_loop_take_max_hold_ms(b.loop) < 900);
    assert_int_equal(write(b.pipe[1], "x", 1), 1);
    assert_true(kp_loop_run_until(b.loop, &b.over, 60000));
    kp_loop_run_until(b.loop, &never, 1); // a turn counts when it is over
    assert_true(kp_loop_take_max_hold_ms(b.loop) >= 20);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_work_in_slices_lets_sockets_through),
        cmocka_unit_test(test_a_timer_that_is_soon_is_stopped_and_replaced),
        cmocka_unit_test(test_slices_of_a_turn_share_it),
        cmocka_unit_test(test_what_holds_the_loop_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
