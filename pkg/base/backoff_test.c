#include "base/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

static void test_doubles_up_to_the_maximum(void **state)
{
    (void)state;
    static const int64_t want[] = {800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
    struct kp_backoff b;
    kp_backoff_init(&b, 800, 30000, 0, 1);
    int64_t now = 1000;
    for (size_t i = 0; i < KP_COUNT(want); i++) {
        int64_t wait = kp_backoff_next_ms(&b, now);
        assert_int_equal(wait, want[i]);
        now += wait;
    }
}

static void test_jitter_stays_within(void **state)
{
    (void)state;
    struct kp_backoff b;
    int64_t least = INT64_MAX, most = 0;
    kp_backoff_init(&b, 1000, 1000, 0.5, 42);
    for (int i = 0; i < 1000; i++) {
        int64_t wait = kp_backoff_next_ms(&b, 1 + i);
        assert_in_range(wait, 1000, 1499);
        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
    }
    assert_true(least < 1050 && most > 1450);
}

static void test_calm_starts_again(void **state)
{
    (void)state;
    struct kp_backoff b;
    kp_backoff_init(&b, 100, 10000, 0, 1);
    b.reset_after_ms = 5000;
    assert_int_equal(kp_backoff_next_ms(&b, 1), 100);
    assert_int_equal(kp_backoff_next_ms(&b, 101), 200);
    assert_int_equal(kp_backoff_next_ms(&b, 5000), 400);
    assert_int_equal(kp_backoff_next_ms(&b, 5000 + 800 + 5001), 100);
    kp_backoff_reset(&b);
    assert_int_equal(kp_backoff_next_ms(&b, 20000), 100);
}

static void test_huge_maximum(void **state)
{
    (void)state;
    struct kp_backoff b;
    kp_backoff_init(&b, 1, INT64_MAX / 4, 0.5, 1);
    int64_t before = 0;
    for (int i = 0; i < 100; i++) {
        int64_t wait = kp_backoff_next_ms(&b, 1);
        assert_true(wait > 0 && wait <= INT64_MAX / 4 / 2 * 3 + 1);
        assert_true(wait >= before / 2);
        before = wait;
    }
}

static void test_bucket(void **state)
{
    (void)state;
    struct kp_bucket b;
    kp_bucket_init(&b, 2, 3, 1000); // 2 a second, 3 at once
    for (int i = 0; i < 3; i++)
        assert_true(kp_bucket_take(&b, 1000));
    assert_false(kp_bucket_take(&b, 1000));
    assert_in_range(kp_bucket_wait_ms(&b, 1000), 500, 501);
    assert_false(kp_bucket_take(&b, 1400));
    assert_true(kp_bucket_take(&b, 1510));
    assert_false(kp_bucket_take(&b, 1510));
    assert_int_equal(kp_bucket_wait_ms(&b, 60000), 0);
    for (int i = 0; i < 3; i++) // never more than the burst
        assert_true(kp_bucket_take(&b, 60000));
    assert_false(kp_bucket_take(&b, 60000));
    // what wait_ms says is enough
    assert_true(kp_bucket_take(&b, 60000 + kp_bucket_wait_ms(&b, 60000)));
}

static void test_bucket_of_rate_zero(void **state)
{
    (void)state;
    struct kp_bucket b;
    kp_bucket_init(&b, 0, 1, 0);
    assert_true(kp_bucket_take(&b, 0));
    assert_false(kp_bucket_take(&b, INT64_MAX / 4));
    assert_int_equal(kp_bucket_wait_ms(&b, 0), INT64_MAX / 2);
    kp_bucket_init(&b, 1e-300, 0, 0);
    assert_int_equal(kp_bucket_wait_ms(&b, 0), INT64_MAX / 2);
}

// splitmix64's published first numbers for seed 1234567
static void test_random(void **state)
{
    (void)state;
    uint64_t random = 1234567;
    assert_true(kp_random_next(&random) == 6457827717110365317u);
    assert_true(kp_random_next(&random) == 3203168211198807973u);
    assert_true(kp_random_next(&random) == 9817491932198370423u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doubles_up_to_the_maximum),
        cmocka_unit_test(test_jitter_stays_within),
        cmocka_unit_test(test_calm_starts_again),
        cmocka_unit_test(test_huge_maximum),
        cmocka_unit_test(test_bucket),
        cmocka_unit_test(test_bucket_of_rate_zero),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
