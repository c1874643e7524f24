#include "base/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/banned.h"

// Takers that take as much as they may, in turn, until nobody may have more.
static void fill(uint64_t *has, size_t n, uint64_t limit, uint64_t *ret_left)
{
    uint64_t used = 0;
    bool any = true;
    while (any) {
        any = false;
        for (size_t i = 0; i < n; i++) {
            if (!kp_share_fits(has[i], 1, used, limit) || used == limit)
                continue;
            has[i]++;
            used++;
            any = true;
        }
    }
    *ret_left = limit - used;
}

static void test_none_fills_it(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 8; n++) {
        uint64_t has[8] = {0}, left;
        fill(has, n, 1000, &left);
        for (size_t i = 0; i < n; i++)
            assert_true(has[i] >= 3000 / (3 * n + 1) - 5);
        assert_true(left >= 1000 / (3 * n + 1) - 2);
        assert_true(kp_share_fits(left / 2, left / 2, 1000 - left, 1000)); // who comes later
    }
}

static void test_edges(void **state)
{
    (void)state;
    assert_true(kp_share_fits(0, UINT64_MAX, 10, 10)); // the first always may
    assert_false(kp_share_fits(1, 1, 10, 10));
    assert_false(kp_share_fits(1, 1, 11, 10)); // more is used than there is
    assert_false(kp_share_fits(1, UINT64_MAX, 0, 10));
    assert_true(kp_share_fits(29, 1, 0, 10));
    assert_false(kp_share_fits(30, 1, 0, 10));
}

static void test_a_table_of_shares(void **state)
{
    (void)state;
    struct kp_share *shares = NULL;
    assert_null(kp_share_find(shares, "shop"));
    struct kp_share *shop = kp_share_enter(&shares, "shop", 5);
    struct kp_share *none = kp_share_enter(&shares, "", 1);
    assert_ptr_equal(kp_share_enter(&shares, "shop", 7), shop);
    assert_ptr_not_equal(shop, none);
    assert_int_equal(shop->n, 2);
    assert_int_equal(shop->bytes, 12);
    kp_share_leave(&shares, shop, 5);
    assert_ptr_equal(kp_share_find(shares, "shop"), shop);
    assert_int_equal(shop->bytes, 7);
    kp_share_leave(&shares, shop, 7);
    assert_null(kp_share_find(shares, "shop"));
    assert_ptr_equal(kp_share_find(shares, ""), none);
    kp_share_enter(&shares, "pay", 1);
    kp_share_free_all(&shares);
    assert_null(shares);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none_fills_it),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_a_table_of_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
