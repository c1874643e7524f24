// What a schedule would be, before anything is captured.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plan/plan_fixture.h"
#include "base/banned.h"

#define NOW INT64_C(1700000000000)

struct seen {
    size_t targets, sampled;
    int64_t interval_ms;
    double overhead;
};

static void on_target(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    struct seen *seen = user;
    seen->targets++;
    for (size_t i = 0; i < target->n_wanted; i++) {
        seen->sampled += profiles[i].sampled ? 1 : 0;
        seen->interval_ms = profiles[i].interval_ms;
        seen->overhead = kp_plan_overhead_percent(profiles[i].wanted, 60000, 0);
    }
}

static void test_samples_and_stretches_at_once(void **state)
{
    struct fixture_cluster cluster;
    struct kp_plan *plan = kp_plan_create(NULL, NULL);
    struct kp_feasible feasible;
    struct seen seen = {0};
    (void)state;
    fixture_cluster_make(&cluster, 1, 5, 3, NOW - 3600000);
    cluster.budget = "{\"overheadPercent\":\"0.5\",\"concurrentPerWorkload\":\"100%\"}";
    fixture_set_profile(&cluster, 0, "cpu", 60000, 20000);
    kp_plan_set_workload(plan, cluster.workloads[0].key, cluster.workloads[0].targets.items,
        cluster.workloads[0].targets.n, NOW, NULL, NULL);
    kp_plan_settle(plan, NOW);
    kp_plan_each_target(plan, NOW, on_target, &seen);
    kp_plan_feasible(plan, fixture_policy_key(&cluster), NOW, &feasible);
    assert_int_equal(seen.targets, 5);
    assert_int_equal(seen.sampled, 3);
    assert_int_equal(seen.interval_ms, 120000); // 20 s every 60 s at 3 % is 1 %
    assert_true(seen.overhead > 0.999 && seen.overhead < 1.001);
    assert_false(feasible.ok);
    assert_string_equal(feasible.reason, "OverheadBudget");
    kp_plan_destroy(plan);
    fixture_cluster_free(&cluster);
}

static void test_what_is_read_at_once_costs_what_it_took(void **state)
{
    const struct kp_wanted heap = {.type = "heap"};
    (void)state;
    assert_true(kp_plan_overhead_percent(&heap, 60000, 0) < 1e-9);
    assert_true(kp_plan_overhead_percent(&heap, 60000, 600) > 0.999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_and_stretches_at_once),
        cmocka_unit_test(test_what_is_read_at_once_costs_what_it_took),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
