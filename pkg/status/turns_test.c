#include "status/turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/banned.h"

static void wait_all(struct kp_turns *turns, const char *namespace, struct kp_list *nodes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        kp_list_init(&nodes[i]);
        kp_turns_wait(turns, namespace, &nodes[i]);
    }
}

static void test_namespaces_take_turns(void **state)
{
    (void)state;
    struct kp_turns *turns = kp_turns_create();
    struct kp_list shop[3], calm[1], late[1];
    assert_true(kp_turns_empty(turns));
    assert_null(kp_turns_take(turns));
    wait_all(turns, "shop", shop, 3);
    assert_ptr_equal(kp_turns_take(turns), &shop[0]);
    wait_all(turns, "calm", calm, 1); // had no turn yet
    assert_ptr_equal(kp_turns_take(turns), &calm[0]);
    kp_turns_wait(turns, "calm", &calm[0]);
    assert_ptr_equal(kp_turns_take(turns), &shop[1]);
    wait_all(turns, "late", late, 1);
    assert_ptr_equal(kp_turns_take(turns), &late[0]);
    assert_ptr_equal(kp_turns_take(turns), &calm[0]);
    kp_turns_wait(turns, "calm", &calm[0]); // its turn is remembered where nothing waited
    assert_ptr_equal(kp_turns_take(turns), &shop[2]);
    assert_false(kp_turns_empty(turns));
    assert_ptr_equal(kp_turns_take(turns), &calm[0]);
    assert_true(kp_turns_empty(turns));
    kp_turns_destroy(turns);
}

static void test_who_is_taken_out_has_no_turn(void **state)
{
    (void)state;
    struct kp_turns *turns = kp_turns_create();
    struct kp_list shop[2], calm[1];
    wait_all(turns, "shop", shop, 2);
    wait_all(turns, "calm", calm, 1);
    kp_list_remove(&shop[0]);
    kp_list_remove(&shop[1]);
    assert_false(kp_turns_empty(turns));
    kp_turns_wait(turns, "shop", &shop[1]);
    kp_list_remove(&calm[0]);
    assert_ptr_equal(kp_turns_take(turns), &shop[1]);
    assert_null(kp_turns_take(turns));
    assert_true(kp_turns_empty(turns));
    kp_turns_wait(turns, "calm", &calm[0]);
    assert_ptr_equal(kp_turns_take(turns), &calm[0]);
    kp_turns_destroy(turns);
}

// Turns are forgotten where nothing waits, and nothing that waits is lost.
static void test_namespaces_without_end(void **state)
{
    (void)state;
    enum { NAMESPACES = 25000 };
    static struct kp_list nodes[NAMESPACES];
    struct kp_turns *turns = kp_turns_create();
    struct kp_list kept[1];
    wait_all(turns, "kept", kept, 1);
    for (size_t i = 0; i < NAMESPACES; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%zu", i);
        wait_all(turns, name, &nodes[i], 1);
        if (i % 2 == 0)
            kp_list_remove(&nodes[i]);
    }
    size_t n = 0;
    kp_list_remove(&kept[0]);
    for (size_t i = 1; i < NAMESPACES; i += 2)
        n += kp_list_empty(&nodes[i]) ? 0 : 1;
    assert_int_equal(n, NAMESPACES / 2);
    assert_ptr_equal(kp_turns_take(turns), &nodes[1]);
    for (size_t i = 0; i < NAMESPACES; i++)
        kp_list_remove(&nodes[i]);
    assert_true(kp_turns_empty(turns));
    kp_turns_destroy(turns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_namespaces_take_turns),
        cmocka_unit_test(test_who_is_taken_out_has_no_turn),
        cmocka_unit_test(test_namespaces_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
