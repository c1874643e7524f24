// From watch events to wanted targets: pods, policies, namespaces, addresses.
#include "controller/inventory_fixture.h"

#include "base/banned.h"

static void test_nothing_happens_before_caches_are_complete(void **state)
{
    struct bench b;
    bool never = false;
    (void)state;
    bench_open(&b);
    set_pod(&b, "a", "10.0.0.1", NULL, NULL);
    set_policy(&b, "shop/p", NAMESPACED, ALL, 1);
    kp_loop_run_until(b.loop, &never, 60);
    assert_int_equal(targets(&b), 0);
    kp_inventory_open(b.inventory);
    settle(&b);
    assert_int_equal(targets(&b), 1);
    bench_close(&b);
}

static void test_pods_and_policies_come_and_go(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b);
    kp_inventory_open(b.inventory);
    set_policy(&b, "shop/p", NAMESPACED, ALL, 1);
    set_pod(&b, "a", "10.0.0.1", NULL, NULL);
    set_pod(&b, "b", "10.0.0.2", NULL, NULL);
    settle(&b);
    assert_int_equal(targets(&b), 2);
    int before = b.replanned;
    set_pod(&b, "a", "10.0.0.1", NULL, NULL); // the same again
    set_policy(&b, "shop/p", NAMESPACED, ALL, 1);
    settle(&b);
    assert_int_equal(b.replanned, before);
    kp_inventory_set_pod(b.inventory, "shop/a", NULL);
    settle(&b);
    assert_int_equal(targets(&b), 1);
    set_policy(&b, "shop/p", NAMESPACED, "{\"suspend\":true,\"selector\":{}}", 2);
    settle(&b);
    assert_int_equal(targets(&b), 0);
    set_policy(&b, "shop/p", NAMESPACED, ALL, 3);
    settle(&b);
    assert_int_equal(targets(&b), 1);
    kp_inventory_set_policy(b.inventory, "shop/p", NULL);
    settle(&b);
    assert_int_equal(targets(&b), 0);
    bench_close(&b);
}

static void test_two_pods_on_one_address(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b);
    kp_inventory_open(b.inventory);
    set_policy(&b, "shop/p", NAMESPACED, ALL, 1);
    set_pod(&b, "a", "10.0.0.1", NULL, NULL);
    settle(&b);
    assert_int_equal(targets(&b), 1);
    set_pod(&b, "b", "10.0.0.1", NULL, NULL);
    settle(&b);
    assert_int_equal(targets(&b), 0); // neither
    kp_inventory_set_pod(b.inventory, "shop/a", NULL);
    settle(&b);
    assert_int_equal(targets(&b), 1);
    bench_close(&b);
}

static void test_namespace_labels(void **state)
{
    struct bench b;
    struct kp_label prod = {"env", "prod"};
    struct kp_labels *labels = kp_labels_create(&prod, 1), *none = kp_labels_create(NULL, 0);
    (void)state;
    bench_open(&b);
    kp_inventory_open(b.inventory);
    set_policy(
        &b, "/p", "", "{\"selector\":{},\"namespaceSelector\":{\"matchLabels\":{\"env\":\"prod\"}}}", 1);
    set_pod(&b, "a", "10.0.0.1", NULL, NULL);
    settle(&b);
    assert_int_equal(targets(&b), 0);
    kp_inventory_set_namespace(b.inventory, "shop", labels);
    settle(&b);
    assert_int_equal(targets(&b), 1);
    kp_inventory_set_namespace(b.inventory, "shop", none);
    settle(&b);
    assert_int_equal(targets(&b), 0);
    kp_labels_destroy(labels);
    kp_labels_destroy(none);
    bench_close(&b);
}

static void test_annotation_problems_are_told_once(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b);
    kp_inventory_open(b.inventory);
    set_policy(&b, "shop/p", NAMESPACED, ALL, 1);
    set_pod(&b, "a", "10.0.0.1", "profefe.com/port", "70000");
    settle(&b);
    assert_int_equal(b.problems, 1);
    kp_inventory_refresh(b.inventory);
    settle(&b);
    assert_int_equal(b.problems, 1);
    bench_close(&b);
}

struct view {
    const struct kp_target *a, *b;
    int64_t next_ms;
};

static void view_target(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    struct view *view = user;
    bool is_a = strcmp(target->pod->name, "a") == 0;
    *(is_a ? &view->a : &view->b) = target;
    if (is_a)
        view->next_ms = profiles[0].next_ms;
}

static void test_one_pod_that_changes_leaves_the_others(void **state)
{
    struct bench b;
    struct view before = {0}, after = {0};
    (void)state;
    bench_open(&b);
    kp_inventory_open(b.inventory);
    set_policy(&b, "shop/p", NAMESPACED, ALL, 1);
    set_pod(&b, "a", "10.0.0.1", "kube-pprof.dev/service", "one");
    set_pod(&b, "b", "10.0.0.2", NULL, NULL);
    settle(&b);
    kp_plan_each_target(b.plan, 0, view_target, &before);
    set_pod(&b, "a", "10.0.0.1", "kube-pprof.dev/service", "two");
    settle(&b);
    kp_plan_each_target(b.plan, 0, view_target, &after);
    assert_string_equal(after.a->wanted[0].service, "two");
    assert_ptr_equal(after.b, before.b);
    assert_int_equal(after.next_ms, before.next_ms);
    kp_inventory_refresh(b.inventory); // all anew, and nothing differs
    settle(&b);
    kp_plan_each_target(b.plan, 0, view_target, &before);
    assert_ptr_equal(after.a, before.a);
    assert_ptr_equal(after.b, before.b);
    bench_close(&b);
}

// The status waits for what a policy selects to be known, not for a moment in which no pod changes.
static void test_settled_while_pods_change(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b);
    set_policy(&b, "shop/p", NAMESPACED, ALL, 1);
    set_pod(&b, "a", "10.0.0.1", NULL, NULL);
    assert_false(kp_inventory_settled(b.inventory));
    kp_inventory_open(b.inventory);
    assert_false(kp_inventory_settled(b.inventory));
    settle(&b);
    assert_true(kp_inventory_settled(b.inventory));
    set_pod(&b, "b", "10.0.0.2", NULL, NULL);
    assert_true(kp_inventory_busy(b.inventory));
    assert_true(kp_inventory_settled(b.inventory));
    set_policy(&b, "shop/p", NAMESPACED, ALL, 2);
    assert_false(kp_inventory_settled(b.inventory));
    kp_inventory_set_pod(b.inventory, "shop/a", NULL);
    kp_inventory_set_pod(b.inventory, "shop/b", NULL); // the workload goes while it is marked
    settle(&b);
    assert_true(kp_inventory_settled(b.inventory));
    bench_close(&b);
}

static double delays(struct bench *b)
{
    struct kp_strbuf out;
    kp_strbuf_init(&out, 1 << 20);
    kp_metrics_write(b->metrics, &out);
    const char *name = "\nkube_pprof_replan_delay_seconds_count ";
    const char *found = strstr(out.data, name);
    assert_non_null(found);
    double n = strtod(found + strlen(name), NULL);
    kp_strbuf_finish(&out);
    return n;
}

static void test_delays_are_counted_for_each_pod(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b);
    set_policy(&b, "shop/p", NAMESPACED, ALL, 1);
    set_pod(&b, "a", "10.0.0.1", NULL, NULL);
    kp_inventory_open(b.inventory);
    settle(&b);
    assert_true(delays(&b) == 0); // what was there before is no delay
    set_pod(&b, "a", "10.0.0.1", "kube-pprof.dev/service", "one");
    set_pod(&b, "b", "10.0.0.2", NULL, NULL);
    settle(&b);
    assert_true(delays(&b) == 2);
    set_pod(&b, "b", "10.0.0.2", NULL, NULL); // a heartbeat
    settle(&b);
    assert_true(delays(&b) == 2);
    kp_inventory_set_pod(b.inventory, "shop/a", NULL);
    settle(&b);
    assert_true(delays(&b) == 3);
    bench_close(&b);
}

// However an address is written, whichever of two it is, and whose node's it is.
static void test_addresses_of_others(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b);
    set_policy(&b, "shop/p", NAMESPACED, ALL, 1);
    kp_inventory_open(b.inventory);
    set_pod_with(&b, "a", "10.0.0.1", "fd00::1", "10.9.9.9");
    settle(&b);
    assert_int_equal(targets(&b), 1);
    set_pod_with(&b, "b", "::ffff:10.0.0.1", "", "10.9.9.9"); // the first's, mapped
    settle(&b);
    assert_int_equal(targets(&b), 0);
    set_pod_with(&b, "b", "fd00:0::0:1", "", "10.9.9.9"); // its other one, written otherwise
    settle(&b);
    assert_int_equal(targets(&b), 1); // whose first it is is scraped there, nobody is at the other one
    set_pod_with(&b, "b", "10.9.9.9", "", ""); // the node's
    settle(&b);
    assert_int_equal(targets(&b), 1);
    set_pod_with(&b, "b", "10.0.0.2", "", "10.9.9.8");
    settle(&b);
    assert_int_equal(targets(&b), 2);
    set_pod_with(&b, "c", "10.0.0.3", "", "10.0.0.2"); // a node that turns up later
    settle(&b);
    assert_int_equal(targets(&b), 2);
    kp_inventory_set_pod(b.inventory, "shop/c", NULL);
    settle(&b);
    assert_int_equal(targets(&b), 2);
    bench_close(&b);
}

// What changes between two slices is worked in as well, also of a pod that was built already.
static void test_changes_while_a_workload_is_half_built(void **state)
{
    struct bench b;
    (void)state;
    slice_us = -1;
    bench_open(&b);
    set_policy(&b, "shop/p", NAMESPACED, ALL, 1);
    set_pod(&b, "a", "10.0.0.1", NULL, NULL);
    set_pod(&b, "b", "10.0.0.2", NULL, NULL);
    set_pod(&b, "c", "10.0.0.3", NULL, NULL);
    kp_inventory_open(b.inventory);
    kp_inventory_on_timer(b.inventory);
    assert_true(kp_inventory_busy(b.inventory));
    assert_int_equal(targets(&b), 0); // as a whole, or not yet
    kp_inventory_set_pod(b.inventory, "shop/a", NULL);
    set_pod(&b, "d", "10.0.0.4", NULL, NULL);
    kp_inventory_on_timer(b.inventory);
    set_pod(&b, "b", "10.0.0.4", NULL, NULL); // built, and now in the way of one that was not
    settle(&b);
    assert_int_equal(targets(&b), 1);
    assert_int_equal(b.replanned, 1);
    set_policy(&b, "shop/p", NAMESPACED, ALL, 2);
    kp_inventory_on_timer(b.inventory);
    assert_false(kp_inventory_settled(b.inventory));
    assert_null(kp_inventory_set_policy(b.inventory, "shop/p", NULL)); // those that were built too
    settle(&b);
    assert_true(kp_inventory_settled(b.inventory));
    assert_int_equal(targets(&b), 0);
    bench_close(&b);
}

static void set_many(struct bench *b, int n)
{
    for (int i = 0; i < n; i++) {
        char name[8], ip[16];
        snprintf(name, sizeof name, "p%d", i);
        snprintf(ip, sizeof ip, "10.0.1.%d", i + 1);
        set_pod(b, name, ip, NULL, NULL);
    }
}

static void until_half_told(struct bench *b, int n)
{
    for (int i = 0; i < 2 * n && targets(b) == 0; i++)
        kp_inventory_on_timer(b->inventory);
    assert_in_range(targets(b), 1, n - 1);
    assert_true(kp_inventory_busy(b->inventory));
}

static void test_changes_while_the_plan_has_half_of_a_workload(void **state)
{
    enum { PODS = 120 };
    struct bench b;
    int64_t before = slice_us;
    (void)state;
    slice_us = -1;
    bench_open(&b);
    set_policy(&b, "shop/p", NAMESPACED, ALL, 1);
    set_many(&b, PODS);
    kp_inventory_open(b.inventory);
    until_half_told(&b, PODS);
    kp_inventory_set_pod(b.inventory, "shop/p0", NULL);
    kp_inventory_set_pod(b.inventory, "shop/p119", NULL);
    set_pod(&b, "late", "10.0.2.1", NULL, NULL);
    settle(&b);
    assert_int_equal(targets(&b), PODS - 1);
    assert_int_equal(b.replanned, 2); // the first set has been told, then what changed meanwhile
    // all of them go
    assert_null(kp_inventory_set_policy(b.inventory, "shop/p", NULL));
    for (int i = 0; i < 2 * PODS; i++)
        kp_inventory_on_timer(b.inventory);
    assert_int_equal(targets(&b), 0);
    assert_int_equal(b.replanned, 3);
    bench_close(&b);
    bench_open(&b); // the end comes in the midst of it
    set_policy(&b, "shop/p", NAMESPACED, ALL, 1);
    set_many(&b, PODS);
    kp_inventory_open(b.inventory);
    until_half_told(&b, PODS);
    bench_close(&b);
    slice_us = before;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_happens_before_caches_are_complete),
        cmocka_unit_test(test_pods_and_policies_come_and_go),
        cmocka_unit_test(test_two_pods_on_one_address),
        cmocka_unit_test(test_namespace_labels),
        cmocka_unit_test(test_annotation_problems_are_told_once),
        cmocka_unit_test(test_one_pod_that_changes_leaves_the_others),
        cmocka_unit_test(test_settled_while_pods_change),
        cmocka_unit_test(test_delays_are_counted_for_each_pod),
        cmocka_unit_test(test_addresses_of_others),
        cmocka_unit_test(test_changes_while_a_workload_is_half_built),
        cmocka_unit_test(test_changes_while_the_plan_has_half_of_a_workload),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    slice_us = -1; // the same, a pod at a time
    return failed + cmocka_run_group_tests_name("a pod at a time", tests, NULL, NULL);
}
