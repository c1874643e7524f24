// A slot is captured once, and a target has one turn at a time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "plan/plan_fixture.h"
#include "plan/plan_private.h"
#include "base/banned.h"

#define HOUR     INT64_C(3600000)
#define START_MS INT64_C(1790000000000)
#define MOST     2000

struct town {
    struct kp_plan *plan;
    struct fixture_cluster cluster;
    const struct fixture_workload *workload;
    int64_t now_ms;
    bool is_quick; // a capture is over at once, else never
    size_t n;
    int64_t slots[MOST];
    const struct kp_pod *pods[MOST];
};

static void on_cancel(void *user, uint64_t order_id)
{
    (void)user;
    (void)order_id;
}

static void on_order(void *user, struct kp_order *order)
{
    struct town *town = user;
    assert_true(town->n < MOST);
    town->slots[town->n] = order->slot_ms;
    town->pods[town->n++] = order->target->pod; // the cluster's, which outlives the orders
    if (town->is_quick)
        kp_plan_finish(town->plan, order->id, 1000, 10, order->start_ms);
    kp_target_unref(order->target);
}

static void hand_over(struct town *town)
{
    kp_plan_set_workload(town->plan, town->workload->key, town->workload->targets.items,
        town->workload->targets.n, town->now_ms, on_cancel, town);
}

static void open_town(struct town *town, size_t pods, const struct kp_plan_limits *limits)
{
    memset(town, 0, sizeof *town);
    town->plan = kp_plan_create(limits, NULL);
    town->now_ms = START_MS;
    fixture_cluster_make(&town->cluster, 1, pods, 3, START_MS - HOUR);
    town->workload = &town->cluster.workloads[0];
}

static void close_town(struct town *town)
{
    kp_plan_destroy(town->plan);
    fixture_cluster_free(&town->cluster);
}

static void run(struct town *town, int64_t ms)
{
    for (int64_t end_ms = town->now_ms + ms; town->now_ms < end_ms;) {
        town->now_ms += 500;
        kp_plan_run(town->plan, town->now_ms, on_order, town);
    }
}

// Another duration moves places within slots: who was captured in this one has had its turn.
static void test_another_duration_is_no_other_slot(void **state)
{
    struct town town;
    (void)state;
    open_town(&town, 40, NULL);
    town.is_quick = true;
    for (int i = 0; i < 40; i++) {
        fixture_set_profile(&town.cluster, 0, "cpu", 60000, i % 2 == 0 ? 30000 : 5000);
        hand_over(&town);
        run(&town, 97000);
    }
    assert_true(town.n > 60);
    for (size_t i = 0; i < town.n; i++)
        for (size_t k = 0; k < i; k++)
            if (town.slots[i] == town.slots[k] && town.pods[i] == town.pods[k])
                fail_msg("a pod was captured twice in slot %lld", (long long)town.slots[i]);
    close_town(&town);
}

// Nor is one lost whose beginning the loop was late for: places in it that had passed by then are kept at
// once.
static void test_a_slot_that_opens_late_is_kept(void **state)
{
    enum { PODS = 3, SLOTS = 300 };
    struct town town;
    (void)state;
    open_town(&town, PODS, NULL);
    town.is_quick = true;
    fixture_set_profile(&town.cluster, 0, "heap", 12000, 0);
    hand_over(&town);
    for (int64_t end_ms = town.now_ms + SLOTS * INT64_C(12000); town.now_ms < end_ms;) {
        town.now_ms += 900;
        kp_plan_run(town.plan, town.now_ms, on_order, &town);
    }
    assert_in_range(town.n, PODS * (SLOTS - 1), PODS * (SLOTS + 1));
    close_town(&town);
}

static size_t waiting(const struct town *town, struct kp_track **ret_first)
{
    size_t n = 0;
    *ret_first = NULL;
    kp_list_foreach (node, &town->plan->waiting) {
        struct kp_track *track = kp_container_of(node, struct kp_track, waiting);
        *ret_first = n++ == 0 ? track : *ret_first;
    }
    return n;
}

// A capture of a slot that is over turns out to be Busy while the target already waits for its next turn.
static void test_who_waits_is_not_tried_again_as_well(void **state)
{
    struct town town;
    struct kp_track *first = NULL, *track;
    (void)state;
    open_town(&town, 3, &(struct kp_plan_limits){.total = 3});
    struct kp_policy *old = town.cluster.policy;
    town.cluster.policy =
        fixture_policy("{\"selector\":{},\"onBusy\":\"Retry\",\"budget\":{\"concurrentPerWorkload\":3},"
                       "\"profiles\":[{\"type\":\"cpu\",\"interval\":\"60s\",\"duration\":\"5s\"}]}");
    town.cluster.policies[0] = town.cluster.policy;
    fixture_retarget(&town.cluster, &town.cluster.workloads[0]);
    kp_policy_unref(old);
    hand_over(&town);
    for (int i = 0; i < 1000 && town.n < 3; i++) // all places are taken, for ever
        run(&town, 500);
    for (int i = 0; i < 1000; i++) {
        run(&town, 500);
        if (waiting(&town, &first) == 2 && first->slot == first->group->slot &&
            kp_group_slot_end(first->group, first->slot) - town.now_ms > 15000)
            break;
    }
    assert_int_equal(waiting(&town, &first), 2);
    kp_plan_outcome(
        town.plan, first->member->target->key, "cpu", KP_OUTCOME_BUSY, "busy", town.now_ms, town.now_ms);
    assert_int_equal(first->node.place, 0);
    run(&town, 15000);
    size_t n = waiting(&town, &track);
    assert_int_equal(n, 2);
    for (const struct kp_list *node = town.plan->waiting.prev; node != &town.plan->waiting; node = node->prev)
        assert_true(n-- > 0);
    assert_int_equal(n, 0);
    close_town(&town);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_duration_is_no_other_slot),
        cmocka_unit_test(test_a_slot_that_opens_late_is_kept),
        cmocka_unit_test(test_who_waits_is_not_tried_again_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
