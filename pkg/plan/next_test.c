// When a target is captured next, as it is told: what was said comes true.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "plan/plan.h"
#include "plan/plan_fixture.h"
#include "base/banned.h"

#define HOUR     INT64_C(3600000)
#define START_MS INT64_C(1790000000000)
#define PODS     7

struct bench {
    struct kp_plan *plan;
    struct fixture_cluster cluster;
    int64_t now_ms, said_ms[PODS], captured_ms[PODS];
    unsigned kept, broken, started; // promises; broken: put off
    bool is_silent;                 // nothing was said yet
};

static size_t number_of(const struct bench *b, const struct kp_target *target)
{
    const struct fixture_workload *workload = &b->cluster.workloads[0];
    for (size_t i = 0; i < workload->pods.n; i++)
        if (strcmp(workload->targets.items[i]->key, target->key) == 0)
            return i;
    fail_msg("a target that there is not: %s", target->key);
    return 0;
}

static void on_view(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    struct bench *b = user;
    size_t at = number_of(b, target);
    b->broken +=
        b->said_ms[at] != 0 && profiles[0].next_ms > b->said_ms[at] && b->captured_ms[at] < b->now_ms;
    b->said_ms[at] = profiles[0].next_ms;
    b->is_silent |= profiles[0].sampled && profiles[0].next_ms == 0;
}

static void look(struct bench *b)
{
    b->is_silent = false;
    kp_plan_each_target(b->plan, b->now_ms, on_view, b);
}

static void on_order(void *user, struct kp_order *order)
{
    struct bench *b = user;
    size_t at = number_of(b, order->target);
    int64_t said_ms = b->said_ms[at];
    b->captured_ms[at] = b->now_ms;
    b->started++;
    b->kept += said_ms != 0 && b->now_ms >= said_ms && b->now_ms < said_ms + 100;
    kp_plan_finish(b->plan, order->id, 1000, 40, order->start_ms);
    kp_target_unref(order->target);
}

static void on_cancel(void *user, uint64_t order_id)
{
    (void)user;
    (void)order_id;
}

static void setup(struct bench *b, const char *type, int64_t interval_ms)
{
    *b = (struct bench){.plan = kp_plan_create(NULL, NULL), .now_ms = START_MS};
    fixture_cluster_make(&b->cluster, 1, PODS, 7, START_MS - HOUR);
    fixture_set_profile(&b->cluster, 0, type, interval_ms, 0);
    const struct fixture_workload *workload = &b->cluster.workloads[0];
    kp_plan_set_workload(b->plan, workload->key, workload->targets.items, PODS, START_MS, on_cancel, b);
    kp_plan_run(b->plan, b->now_ms, on_order, b);
    look(b);
}

static void teardown(struct bench *b)
{
    kp_plan_destroy(b->plan);
    fixture_cluster_free(&b->cluster);
}

// What is said at any time, also between two captures, is when the next one starts.
static void test_what_is_said_comes_true(void **state)
{
    struct bench b;
    (void)state;
    setup(&b, "heap", 60000);
    for (; b.now_ms < START_MS + HOUR; b.now_ms += 100) {
        kp_plan_run(b.plan, b.now_ms, on_order, &b);
        look(&b);
        assert_false(b.is_silent);
    }
    assert_in_range(b.started, 60, PODS * 61);
    assert_in_range(b.kept, b.started - PODS, b.started); // all but the first, perhaps
    assert_int_equal(b.broken, 0);
    teardown(&b);
}

// Also by those who ask for less than others of their workload.
static void test_what_is_said_to_the_modest_comes_true(void **state)
{
    struct bench b;
    struct kp_target *set[PODS], twin[PODS];
    struct kp_wanted wanted[PODS];
    (void)state;
    setup(&b, "heap", 60000);
    for (int i = 0; i < PODS; i++) {
        twin[i] = *b.cluster.workloads[0].targets.items[i];
        wanted[i] = twin[i].wanted[0];
        wanted[i].interval_ms = 60000 * (1 + i % 3);
        twin[i].refs = 100000;
        twin[i].wanted = &wanted[i];
        set[i] = &twin[i];
    }
    kp_plan_set_workload(b.plan, twin[0].workload, set, PODS, b.now_ms, on_cancel, &b);
    for (; b.now_ms < START_MS + HOUR; b.now_ms += 100) {
        kp_plan_run(b.plan, b.now_ms, on_order, &b);
        look(&b);
        assert_false(b.is_silent);
    }
    assert_in_range(b.started, 60, PODS * 61);
    assert_in_range(b.kept, b.started - PODS, b.started);
    assert_in_range(b.broken, 0, PODS); // by those that are not of the sample any more
    teardown(&b);
}

// Who does not serve a type is asked again after an hour: so it is said.
static void test_who_is_left_alone_is_told_of_later(void **state)
{
    struct bench b;
    (void)state;
    setup(&b, "heap", 60000);
    size_t at = 0;
    while (b.said_ms[at] == 0) // not of the sample
        at++;
    const struct kp_target *target = b.cluster.workloads[0].targets.items[at];
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned n = b.started; b.started < n + 2 * PODS; b.now_ms += 100)
            kp_plan_run(b.plan, b.now_ms, on_order, &b);
        kp_plan_outcome(b.plan, target->key, "heap", KP_OUTCOME_NOT_SERVED, "", b.now_ms, b.now_ms);
    }
    int64_t refused_ms = b.now_ms;
    look(&b);
    assert_in_range(b.said_ms[at], refused_ms + HOUR, refused_ms + HOUR + 120000);
    teardown(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_said_comes_true),
        cmocka_unit_test(test_what_is_said_to_the_modest_comes_true),
        cmocka_unit_test(test_who_is_left_alone_is_told_of_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
