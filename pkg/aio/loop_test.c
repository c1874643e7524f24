#include "aio/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/banned.h"

static void set(void *user)
{
    *(bool *)user = true;
}

// A timer that is due already ends the wait, not the event after it.
static void what_a_due_timer_ends_is_over_at_once(void **state)
{
    struct kp_loop *loop = kp_loop_create();
    bool done = false, later = false;
    struct kp_timer *now = kp_timer_create(loop, set, &done), *next = kp_timer_create(loop, set, &later);
    (void)state;
    kp_timer_start(now, 0, 0);
    kp_timer_start(next, 60000, 0);
    assert_true(kp_loop_run_until(loop, &done, 120000));
    assert_false(later);
    kp_timer_destroy(now);
    kp_timer_destroy(next);
    kp_loop_destroy(loop);
}

static void a_wait_ends_at_its_deadline(void **state)
{
    struct kp_loop *loop = kp_loop_create();
    const bool never = false;
    bool later = false;
    struct kp_timer *next = kp_timer_create(loop, set, &later);
    (void)state;
    kp_timer_start(next, 60000, 0);
    assert_false(kp_loop_run_until(loop, &never, -1));
    assert_false(kp_loop_run_until(loop, &never, 0));
    assert_false(kp_loop_run_until(loop, &never, 5));
    assert_false(later);
    kp_timer_destroy(next);
    kp_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_due_timer_ends_is_over_at_once),
        cmocka_unit_test(a_wait_ends_at_its_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
