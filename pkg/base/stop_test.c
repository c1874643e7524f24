#include "base/stop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/banned.h"

static void test_stop(void **state)
{
    (void)state;
    struct kp_error err = {0};
    int cancelled = 0;
    struct kp_stop stop = {.cancelled = &cancelled};
    assert_int_equal(kp_stop_check(NULL, &err), 0);
    assert_int_equal(kp_stop_check(&(struct kp_stop){0}, &err), 0);
    assert_int_equal(kp_stop_check(&stop, &err), 0);
    stop.deadline_ms = kp_mono_ms() + 3600000;
    assert_int_equal(kp_stop_check(&stop, &err), 0);
    stop.deadline_ms = 1;
    assert_int_equal(kp_stop_check(&stop, &err), KP_TIMEOUT);
    cancelled = 1;
    assert_int_equal(kp_stop_check(&stop, NULL), KP_CANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
