#include "controller/accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/policy_fixture.h"
#include "base/banned.h"

struct told {
    size_t n;
    char keys[100];
};

static void on_policy(void *user, const struct kp_policy *policy, struct kp_policy_summary *summary)
{
    struct told *told = user;
    assert_int_equal(summary->n_types, 1);
    told->n++;
    size_t at = strlen(told->keys);
    snprintf(told->keys + at, sizeof told->keys - at, "%s ", policy->key);
}

// A slice that is over hands out one all the same, and the next one goes on behind it.
static void test_policies_are_handed_out_in_slices(void **state)
{
    (void)state;
    struct kp_loop *loop = kp_loop_create();
    struct kp_plan *plan = kp_plan_create(NULL, NULL);
    struct kp_inventory *inventory = kp_inventory_create(loop, plan, &(struct kp_inventory_options){0});
    json_t *object =
        fixture_json("{'metadata': {'namespace': 'shop', 'name': 'a', 'uid': 'u', 'generation': 1}, "
                     "'spec': {'selector': {}, 'profiles': [{'type': 'cpu'}]}}");
    static const char *const keys[] = {"shop/a", "shop/b", "shop/c"};
    for (size_t i = 0; i < KP_COUNT(keys); i++) {
        json_object_set_new(json_object_get(object, "metadata"), "name", json_string(keys[i] + 5));
        assert_non_null(kp_inventory_set_policy(inventory, keys[i], object));
    }
    struct kp_accounts *accounts = kp_accounts_create(inventory);
    struct told told = {0};
    assert_false(kp_accounts_step(accounts, inventory, plan, 0, 0));
    assert_true(kp_accounts_each(accounts, on_policy, &told, 0));
    assert_int_equal(told.n, 1);
    assert_null(kp_inventory_set_policy(inventory, "shop/b", NULL)); // gone meanwhile, but not from the pass
    assert_true(kp_accounts_each(accounts, on_policy, &told, -1));
    assert_int_equal(told.n, 2);
    assert_false(kp_accounts_each(accounts, on_policy, &told, 0));
    assert_false(kp_accounts_each(accounts, on_policy, &told, 1000000));
    assert_string_equal(told.keys, "shop/a shop/b shop/c ");
    kp_accounts_destroy(accounts);
    kp_inventory_destroy(inventory);
    kp_plan_destroy(plan);
    kp_loop_destroy(loop);
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_policies_are_handed_out_in_slices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
