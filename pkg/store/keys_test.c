#include "store/keys.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/banned.h"

#define N 20000

// Numbers under one tag that were asked about.
struct look {
    uint64_t wanted;
    int calls;
};

static bool is_wanted(void *user, uint64_t number)
{
    struct look *look = user;
    look->calls++;
    return number == look->wanted;
}

static void test_finds_what_was_added(void **state)
{
    (void)state;
    const uint64_t base = (UINT64_C(1) << 39) + 12345; // numbers are large after years
    struct kp_keyset keys = {0};
    for (uint64_t i = 0; i < N; i++) // around the first one, as when the newest file is read first
        kp_keyset_add(&keys, kp_hash64_mix(7, i), i % 2 ? base + i : base - i);
    for (uint64_t i = 0; i < N; i++) {
        struct look look = {.wanted = i % 2 ? base + i : base - i};
        assert_true(kp_keyset_find(&keys, kp_hash64_mix(7, i), is_wanted, &look));
        assert_true(look.calls < 3);
        look.wanted = 1;
        assert_false(kp_keyset_find(&keys, kp_hash64_mix(7, i), is_wanted, &look));
    }
    struct look look = {0};
    int calls = 0;
    for (uint64_t i = 0; i < N; i++, calls += look.calls, look.calls = 0)
        assert_false(kp_keyset_find(&keys, kp_hash64_mix(8, i), is_wanted, &look));
    assert_true(calls < 10);
    kp_keyset_finish(&keys);
    assert_false(kp_keyset_find(&keys, 1, is_wanted, &look));
}

static void test_same_tag_twice(void **state)
{
    (void)state;
    struct kp_keyset keys = {0};
    for (uint64_t i = 0; i < 50; i++)
        kp_keyset_add(&keys, 77, 100 + i);
    for (uint64_t i = 0; i < 50; i++) {
        struct look look = {.wanted = 100 + i};
        assert_true(kp_keyset_find(&keys, 77, is_wanted, &look));
    }
    kp_keyset_add(&keys, 77, UINT64_C(1) << 60); // too far away to be kept: not known, not somebody else
    struct look look = {.wanted = UINT64_C(1) << 60};
    assert_false(kp_keyset_find(&keys, 77, is_wanted, &look));
    assert_int_equal(look.calls, 50);
    kp_keyset_finish(&keys);
}

static void test_parse(void **state)
{
    (void)state;
    uint64_t key[2] = {0};
    assert_true(kp_key_parse("0123456789abcdef00000000000000ff", key));
    assert_true(key[0] == UINT64_C(0x0123456789abcdef) && key[1] == 0xff);
    assert_false(kp_key_parse(NULL, key));
    assert_false(kp_key_parse("", key));
    assert_false(kp_key_parse("0123456789abcdef00000000000000fg", key));
    assert_false(kp_key_parse("0123456789ABCDEF00000000000000ff", key));
    assert_false(kp_key_parse("0123456789abcdef00000000000000fff", key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_added),
        cmocka_unit_test(test_same_tag_twice),
        cmocka_unit_test(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
