// One target in place of another: only where the schedule stays what it is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/text.h"
#include "plan/plan.h"
#include "plan/plan_fixture.h"
#include "base/banned.h"

#define HOUR     INT64_C(3600000)
#define START_MS INT64_C(1790000000000)

struct bench {
    struct kp_plan *plan;
    struct fixture_cluster cluster;
    const struct kp_target *seen; // of the last view
    int64_t next_ms;
    uint64_t started, cancelled;
    bool is_quick; // a capture is over at once, else never
};

static void on_order(void *user, struct kp_order *order)
{
    struct bench *b = user;
    b->started = order->id;
    if (b->is_quick)
        kp_plan_finish(b->plan, order->id, 1000, 40, order->start_ms);
    kp_target_unref(order->target);
}

static void on_cancel(void *user, uint64_t order_id)
{
    ((struct bench *)user)->cancelled = order_id;
}

static void on_view(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    struct bench *b = user;
    b->seen = target;
    b->next_ms = profiles[0].next_ms;
}

static void look(struct bench *b)
{
    kp_plan_each_target(b->plan, START_MS, on_view, b);
}

// One old pod with one CPU profile a minute.
static void setup(struct bench *b)
{
    *b = (struct bench){.plan = kp_plan_create(NULL, NULL)};
    fixture_cluster_make(&b->cluster, 1, 1, 7, START_MS - HOUR);
    fixture_set_profile(&b->cluster, 0, "cpu", 60000, 10000);
    const struct fixture_workload *workload = &b->cluster.workloads[0];
    kp_plan_set_workload(b->plan, workload->key, workload->targets.items, 1, START_MS, on_cancel, b);
    look(b);
}

static void teardown(struct bench *b)
{
    kp_plan_destroy(b->plan);
    fixture_cluster_free(&b->cluster);
}

// The pod as it was, but for what change does to its draft.
static struct kp_target *changed_target(struct bench *b, void (*change)(struct kp_pod *draft))
{
    struct fixture_workload *workload = &b->cluster.workloads[0];
    struct kp_pod draft = *workload->pods.items[0];
    change(&draft);
    kp_pod_unref(workload->pods.items[0]);
    workload->pods.items[0] = kp_pod_build(&draft);
    fixture_retarget(&b->cluster, workload);
    return workload->targets.items[0];
}

static bool replace(struct bench *b, struct kp_target *target)
{
    return kp_plan_replace_target(b->plan, b->cluster.workloads[0].key, target, on_cancel, b);
}

static void other_restarts(struct kp_pod *draft)
{
    static struct kp_container container;
    container = draft->containers[0];
    container.restarts++;
    draft->containers = &container;
}

static void other_container(struct kp_pod *draft)
{
    other_restarts(draft);
    ((struct kp_container *)(uintptr_t)draft->containers)->container_id = "containerd://other";
}

static void other_node(struct kp_pod *draft)
{
    draft->node = "node-other";
}

static void other_revision(struct kp_pod *draft)
{
    static struct kp_label label = {"pod-template-hash", "other"};
    draft->labels = &label;
    draft->owner_name = "w7-0-other";
}

static void other_pod(struct kp_pod *draft)
{
    draft->uid = "other";
}

static void test_appointments_stay(void **state)
{
    struct bench b;
    (void)state;
    setup(&b);
    b.is_quick = true;
    for (int64_t now = START_MS; b.next_ms == 0; look(&b))
        kp_plan_run(b.plan, now += 1000, on_order, &b);
    int64_t next_ms = b.next_ms;
    struct kp_target *target = changed_target(&b, other_restarts);
    assert_ptr_not_equal(b.seen, target);
    assert_true(replace(&b, target));
    look(&b);
    assert_ptr_equal(b.seen, target);
    assert_int_equal(b.next_ms, next_ms);
    // and it is found by its key
    assert_int_equal(kp_plan_outcome(b.plan, target->key, "cpu", KP_OUTCOME_BUSY, "", START_MS, START_MS),
        KP_OUTCOME_BUSY);
    teardown(&b);
}

static void test_what_runs_ends_with_its_container(void **state)
{
    struct bench b;
    (void)state;
    setup(&b);
    for (int64_t now = START_MS; b.started == 0; now += 1000)
        kp_plan_run(b.plan, now, on_order, &b);
    assert_true(replace(&b, changed_target(&b, other_restarts)));
    assert_int_equal(b.cancelled, 0);
    assert_true(replace(&b, changed_target(&b, other_container)));
    assert_int_equal(b.cancelled, b.started);
    kp_plan_finish(b.plan, b.started, 0, 0, START_MS);
    teardown(&b);
}

static void test_what_is_not_that_simple_is_left_alone(void **state)
{
    static void (*const changes[])(struct kp_pod * draft) = {other_node, other_revision, other_pod};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(changes); i++) {
        struct bench b;
        setup(&b);
        const struct kp_target *before = b.seen;
        assert_false(replace(&b, changed_target(&b, changes[i])));
        look(&b);
        assert_ptr_equal(b.seen, before);
        teardown(&b);
    }
    struct bench b;
    setup(&b);
    struct kp_target *target = changed_target(&b, other_restarts);
    assert_false(kp_plan_replace_target(b.plan, "shop/Deployment/other", target, on_cancel, &b));
    fixture_set_profile(&b.cluster, 0, "cpu", 30000, 10000);
    assert_false(replace(&b, b.cluster.workloads[0].targets.items[0]));
    teardown(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appointments_stay),
        cmocka_unit_test(test_what_runs_ends_with_its_container),
        cmocka_unit_test(test_what_is_not_that_simple_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
