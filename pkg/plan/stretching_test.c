// Stretches of many targets are computed over several calls, while targets come and go.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plan/plan_fixture.h"
#include "base/banned.h"

#define NOW       INT64_C(1700000000000)
#define WORKLOADS 300
#define PODS      20 // each; of three profiles

static void on_order(void *user, struct kp_order *order)
{
    (void)user;
    kp_target_unref(order->target);
}

static void on_cancel(void *user, uint64_t id)
{
    (void)user;
    (void)id;
}

static void hand_over(struct kp_plan *plan, const struct fixture_workload *workload, size_t n, int64_t now_ms)
{
    kp_plan_set_workload(plan, workload->key, workload->targets.items, n, now_ms, on_cancel, NULL);
}

// Few places: everything is stretched, and by nodes differently.
static struct kp_plan *make(const struct fixture_cluster *cluster)
{
    const struct kp_plan_limits limits = {.per_node = 1, .per_namespace = 40, .total = 50};
    struct kp_plan *plan = kp_plan_create(&limits, NULL);
    for (size_t w = 0; w < cluster->n; w++)
        hand_over(plan, &cluster->workloads[w], cluster->workloads[w].targets.n, NOW);
    return plan;
}

struct sum {
    int64_t interval_ms, largest_ms;
    size_t n;
};

static void add_target(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    struct sum *sum = user;
    for (size_t i = 0; i < target->n_wanted; i++) {
        sum->n++;
        sum->interval_ms += profiles[i].interval_ms;
        if (profiles[i].interval_ms > sum->largest_ms)
            sum->largest_ms = profiles[i].interval_ms;
    }
}

static struct sum sum_of(struct kp_plan *plan)
{
    struct sum sum = {0};
    kp_plan_each_target(plan, NOW, add_target, &sum);
    return sum;
}

// Calls of kp_plan_run() one after the other until it does not ask for the next millisecond any more.
static int64_t run_all(struct kp_plan *plan, int64_t now_ms, unsigned *ret_calls)
{
    *ret_calls = 0;
    while (kp_plan_run(plan, now_ms, on_order, NULL) == now_ms + 1 && *ret_calls < 1000) {
        now_ms++;
        ++*ret_calls;
    }
    return now_ms;
}

static void assert_same(struct kp_plan *a, struct kp_plan *b, const char *policy)
{
    struct kp_feasible x, y;
    struct sum s = sum_of(a), t = sum_of(b);
    assert_int_equal(s.n, t.n);
    assert_int_equal(s.interval_ms, t.interval_ms);
    kp_plan_feasible(a, policy, NOW, &x);
    kp_plan_feasible(b, policy, NOW, &y);
    assert_false(x.ok);
    assert_string_equal(x.reason, y.reason);
    assert_true(fabs(x.asked_per_minute - y.asked_per_minute) < 1e-6 * y.asked_per_minute);
    assert_true(fabs(x.possible_per_minute - y.possible_per_minute) < 1e-6 * y.possible_per_minute);
}

static void test_over_several_calls_as_at_once(void **state)
{
    (void)state;
    struct fixture_cluster cluster;
    fixture_cluster_make(&cluster, WORKLOADS, PODS, 3, NOW - 3600000);
    struct kp_plan *at_once = make(&cluster), *plan = make(&cluster);
    struct kp_feasible feasible;
    unsigned calls;
    kp_plan_settle(at_once, NOW + 1000);
    assert_true(kp_plan_run(plan, NOW, on_order, NULL) > NOW); // not due: changes settle
    struct sum before = sum_of(plan);
    assert_int_equal(kp_plan_run(plan, NOW + 1000, on_order, NULL), NOW + 1001);
    struct sum within = sum_of(plan);
    assert_int_equal(within.interval_ms, before.interval_ms); // what is half computed is not used
    kp_plan_feasible(plan, fixture_policy_key(&cluster), NOW, &feasible);
    assert_true(feasible.ok);
    run_all(plan, NOW + 1001, &calls);
    // 18 000 tracks are walked through in some passes, 4 000 a call
    assert_in_range(calls, 8, 40);
    assert_true(sum_of(plan).largest_ms > before.largest_ms);
    assert_same(plan, at_once, fixture_policy_key(&cluster));
    run_all(plan, NOW + 2000, &calls);
    assert_true(calls <= 1); // nothing changed
    kp_plan_destroy(at_once);
    kp_plan_destroy(plan);
    fixture_cluster_free(&cluster);
}

// Between two calls: workloads go, the one that is next among them, come, and change.
static void change_one(struct kp_plan *plan, struct fixture_cluster *cluster, unsigned step, int64_t now_ms)
{
    for (size_t w = step % 7; w < cluster->n; w += 7) {
        struct fixture_workload *workload = &cluster->workloads[w];
        if (step % 3 == 0)
            hand_over(plan, workload, 0, now_ms);
        else if (step % 3 == 1)
            hand_over(plan, workload, workload->targets.n / 2, now_ms);
        else
            hand_over(plan, workload, workload->targets.n, now_ms);
    }
}

static void test_targets_come_and_go_meanwhile(void **state)
{
    (void)state;
    struct fixture_cluster cluster;
    fixture_cluster_make(&cluster, WORKLOADS, PODS, 5, NOW - 3600000);
    struct kp_plan *plan = make(&cluster), *fresh = make(&cluster);
    int64_t now = NOW + 1000;
    unsigned calls;
    for (unsigned step = 0; step < 100; step++) {
        int64_t next = kp_plan_run(plan, now, on_order, NULL);
        assert_true(next > now);
        now = next > now + 1000 ? now + 1000 : next;
        change_one(plan, &cluster, step, now);
    }
    for (size_t w = 0; w < cluster.n; w++)
        hand_over(plan, &cluster.workloads[w], cluster.workloads[w].targets.n, now);
    now = run_all(plan, now, &calls) + 2000;
    run_all(plan, now, &calls);
    kp_plan_settle(fresh, now);
    assert_int_equal(sum_of(plan).n, sum_of(fresh).n);
    assert_same(plan, fresh, fixture_policy_key(&cluster));
    kp_plan_run(plan, now + 60000, on_order, NULL); // is destroyed in the middle
    kp_plan_destroy(fresh);
    kp_plan_destroy(plan);
    fixture_cluster_free(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_over_several_calls_as_at_once),
        cmocka_unit_test(test_targets_come_and_go_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
