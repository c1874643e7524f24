// The clock is set while captures wait for a place.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plan/plan.h"
#include "plan/plan_fixture.h"
#include "base/banned.h"

#define MINUTE   INT64_C(60000)
#define HOUR     (60 * MINUTE)
#define START_MS INT64_C(1790000000000)

static void no_cancel(void *user, uint64_t order_id)
{
    (void)user;
    (void)order_id;
}

struct late {
    size_t n;
    int64_t now, due_ms;
    uint64_t id;
};

static void on_late_order(void *user, struct kp_order *order)
{
    struct late *late = user;
    late->n++;
    late->id = order->id;
    late->due_ms = order->start_ms;
    kp_target_unref(order->target);
}

// What waits for a place when the clock is set forward waited for a slot that passed.
static void test_who_waits_does_not_make_up_for_a_clock_set_forward(void **state)
{
    struct fixture_cluster cluster;
    struct kp_plan *plan = kp_plan_create(NULL, NULL);
    struct late late = {0};
    int64_t now = START_MS;
    (void)state;
    fixture_cluster_make(&cluster, 1, 3, 3, START_MS - HOUR);
    cluster.budget = "{\"concurrentPerWorkload\":1,\"overheadPercent\":5}";
    fixture_set_profile(&cluster, 0, "heap", 60000, 0);
    kp_plan_set_workload(plan, cluster.workloads[0].key, cluster.workloads[0].targets.items,
        cluster.workloads[0].targets.n, now, no_cancel, NULL);
    for (; now < START_MS + 5 * MINUTE; now += 1000)
        kp_plan_run(plan, now, on_late_order, &late);
    assert_int_equal(late.n, 1); // it does not end, two wait
    now += HOUR;
    kp_plan_finish(plan, late.id, 1000, 40, now);
    for (int64_t end = now + 2 * MINUTE; now < end; now += 1000) {
        size_t before = late.n;
        kp_plan_run(plan, now, on_late_order, &late);
        assert_true(late.n == before || now - late.due_ms < 30000);
        if (late.n != before)
            kp_plan_finish(plan, late.id, 1000, 40, now);
    }
    assert_true(late.n >= 1 + 3 && late.n <= 1 + 9); // at most one a slot and pod
    kp_plan_destroy(plan);
    fixture_cluster_free(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_waits_does_not_make_up_for_a_clock_set_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
