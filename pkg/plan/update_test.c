// A workload that is handed over in parts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "plan/plan_fixture.h"
#include "plan/plan_private.h"
#include "base/banned.h"

#define NOW  INT64_C(1790000000000)
#define PODS 40
#define K    3 // sampled by default

struct town {
    struct kp_plan *plan;
    struct fixture_cluster cluster;
    const struct fixture_workload *workload;
    size_t seen, sampled, orders, of_nothing, cancelled;
};

static void on_cancel(void *user, uint64_t order_id)
{
    (void)order_id;
    ((struct town *)user)->cancelled++;
}

static void on_order(void *user, struct kp_order *order)
{
    ((struct town *)user)->orders++;
    ((struct town *)user)->of_nothing += order->sample_n == 0;
    kp_target_unref(order->target);
}

static void count(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    struct town *town = user;
    town->seen++;
    assert_true(target->n_wanted > 0);
    town->sampled += profiles[0].sampled ? 1 : 0;
    assert_true(profiles[0].interval_ms > 0);
}

static void look(struct town *town)
{
    town->seen = town->sampled = 0;
    kp_plan_each_target(town->plan, NOW, count, town);
}

// The pods became Ready just now, so that those sampled are captured within seconds.
static void open_town(struct town *town)
{
    memset(town, 0, sizeof *town);
    town->plan = kp_plan_create(NULL, NULL);
    fixture_cluster_make(&town->cluster, 2, PODS, 3, NOW - 1000);
    town->workload = &town->cluster.workloads[0];
}

static void close_town(struct town *town)
{
    kp_plan_destroy(town->plan);
    fixture_cluster_free(&town->cluster);
}

static struct kp_plan_update *begin(struct town *town, size_t n)
{
    return kp_plan_update_begin(town->plan, town->workload->key, town->workload->targets.items, n);
}

static struct kp_plan_diff finish(struct town *town, struct kp_plan_update *update)
{
    while (!kp_plan_update_step(update, 7, NOW, on_cancel, town)) {
    }
    return kp_plan_update_end(update);
}

static void test_samples_when_all_are_there(void **state)
{
    struct town town;
    (void)state;
    open_town(&town);
    struct kp_plan_update *update = begin(&town, PODS);
    for (int i = 0; i < 5; i++) {
        assert_false(kp_plan_update_step(update, 7, NOW, on_cancel, &town));
        kp_plan_run(town.plan, NOW + 10000, on_order, &town);
        look(&town);
        assert_int_equal(town.seen, 7 * (i + 1));
    }
    assert_int_equal(town.orders, 0);
    struct kp_plan_diff diff = finish(&town, update);
    assert_int_equal(diff.added, PODS);
    assert_int_equal(diff.changed + diff.removed, 0);
    look(&town);
    assert_int_equal(town.seen, PODS);
    assert_int_equal(town.sampled, K);
    kp_plan_run(town.plan, NOW + 10000, on_order, &town);
    assert_true(town.orders > 0);
    close_town(&town);
}

static void test_what_the_set_lacks_goes_at_last(void **state)
{
    struct town town;
    (void)state;
    open_town(&town);
    finish(&town, begin(&town, PODS));
    kp_plan_run(town.plan, NOW + 10000, on_order, &town);
    struct kp_plan_update *update = begin(&town, 1);
    assert_false(kp_plan_update_step(update, 1, NOW, on_cancel, &town));
    look(&town);
    assert_int_equal(town.seen, PODS);
    assert_int_equal(town.sampled, K);
    assert_int_equal(town.cancelled, 0);
    assert_int_equal(finish(&town, update).removed, PODS - 1);
    look(&town);
    assert_int_equal(town.seen, 1);
    assert_int_equal(town.sampled, 1);
    assert_true(town.cancelled > 0);
    // nothing of it is left
    assert_int_equal(finish(&town, begin(&town, 0)).removed, 1);
    assert_false(kp_plan_each_of_workload(town.plan, town.workload->key, NOW, count, &town));
    close_town(&town);
}

static void test_the_same_again_changes_nothing(void **state)
{
    struct town town;
    (void)state;
    open_town(&town);
    finish(&town, begin(&town, PODS));
    struct kp_plan_diff diff = finish(&town, begin(&town, PODS));
    assert_int_equal(diff.added + diff.changed + diff.removed, 0);
    close_town(&town);
}

// In parts and at once make the same plan.
static void test_same_as_at_once(void **state)
{
    struct town parts, whole;
    (void)state;
    open_town(&parts);
    open_town(&whole);
    finish(&parts, begin(&parts, PODS));
    kp_plan_set_workload(
        whole.plan, whole.workload->key, whole.workload->targets.items, PODS, NOW, on_cancel, &whole);
    for (int64_t now = NOW; now < NOW + 600000; now += 1000) {
        kp_plan_run(parts.plan, now, on_order, &parts);
        kp_plan_run(whole.plan, now, on_order, &whole);
        assert_int_equal(parts.orders, whole.orders);
    }
    assert_true(parts.orders > 0);
    close_town(&parts);
    close_town(&whole);
}

// Whoever is handed over between two steps of an older set is newer.
static void test_a_later_set_wins(void **state)
{
    struct town town;
    (void)state;
    open_town(&town);
    struct kp_plan_update *older = begin(&town, PODS);
    assert_false(kp_plan_update_step(older, 7, NOW, on_cancel, &town));
    kp_plan_set_workload(
        town.plan, town.workload->key, town.workload->targets.items + 5, 10, NOW, on_cancel, &town);
    finish(&town, older);
    look(&town);
    assert_int_equal(town.seen, 10);
    assert_int_equal(town.sampled, K);
    // also when it was about to drop what it lacks
    older = begin(&town, 1);
    assert_false(kp_plan_update_step(older, 7, NOW, on_cancel, &town));
    finish(&town, begin(&town, PODS));
    finish(&town, older);
    look(&town);
    assert_int_equal(town.seen, PODS);
    close_town(&town);
}

// Its pods are another workload's meanwhile, all of them; what is put after that is its own.
static void test_pods_leave_between_steps(void **state)
{
    struct town town;
    (void)state;
    open_town(&town);
    struct kp_plan_update *update = begin(&town, PODS);
    assert_false(kp_plan_update_step(update, 7, NOW, on_cancel, &town));
    const char *other = town.cluster.workloads[1].key;
    kp_plan_set_workload(town.plan, other, town.workload->targets.items, 7, NOW, on_cancel, &town);
    assert_false(kp_plan_each_of_workload(town.plan, town.workload->key, NOW, count, &town));
    finish(&town, update);
    town.seen = 0;
    assert_true(kp_plan_each_of_workload(town.plan, town.workload->key, NOW, count, &town));
    assert_int_equal(town.seen, PODS - 7);
    town.seen = 0;
    assert_true(kp_plan_each_of_workload(town.plan, other, NOW, count, &town));
    assert_int_equal(town.seen, 7);
    close_town(&town);
}

static void test_given_up_leaves_nothing_behind(void **state)
{
    struct town town;
    (void)state;
    open_town(&town);
    struct kp_plan_update *update = begin(&town, PODS);
    assert_false(kp_plan_update_step(update, 7, NOW, on_cancel, &town));
    kp_plan_update_end(update);
    kp_plan_update_end(NULL);
    look(&town);
    assert_int_equal(town.seen, 7);
    finish(&town, begin(&town, PODS));
    look(&town);
    assert_int_equal(town.sampled, K);
    close_town(&town);
}

// Captures that start before the set is whole say of which sample they are all the same.
static void test_a_sample_is_told_of_meanwhile(void **state)
{
    struct town town;
    (void)state;
    open_town(&town);
    fixture_set_profile(&town.cluster, 0, "heap", 60000, 0);
    finish(&town, begin(&town, PODS));
    town.cluster.budget = "{\"concurrentPerWorkload\":\"50%\"}";
    fixture_set_profile(&town.cluster, 0, "heap", 60000, 0);
    struct kp_plan_update *update = begin(&town, PODS);
    assert_false(kp_plan_update_step(update, PODS, NOW, on_cancel, &town));
    kp_plan_run(town.plan, NOW + 10000, on_order, &town);
    assert_int_equal(town.orders, K);
    assert_int_equal(town.of_nothing, 0);
    finish(&town, update);
    close_town(&town);
}

// Also when all that go are of a type that no other asks for, so that no group of theirs is left.
static void test_how_many_run_follows_how_many_there_are(void **state)
{
    struct town town;
    struct kp_target *targets[PODS + 8];
    const struct kp_work *work;
    (void)state;
    open_town(&town);
    town.cluster.budget = "{\"concurrentPerWorkload\":\"25%\"}";
    fixture_set_profile(&town.cluster, 0, "cpu", 60000, 10000);
    fixture_set_profile(&town.cluster, 1, "heap", 60000, 0);
    memcpy(targets, town.workload->targets.items, PODS * sizeof *targets);
    memcpy(targets + PODS, town.cluster.workloads[1].targets.items, 8 * sizeof *targets);
    kp_plan_set_workload(town.plan, town.workload->key, targets, PODS + 8, NOW, on_cancel, &town);
    HASH_FIND_STR(town.plan->works, town.workload->key, work);
    assert_non_null(work);
    assert_int_equal(work->allowed, 12);
    kp_plan_set_workload(town.plan, town.workload->key, targets, PODS, NOW, on_cancel, &town);
    assert_int_equal(work->allowed, 10);
    close_town(&town);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_when_all_are_there),
        cmocka_unit_test(test_what_the_set_lacks_goes_at_last),
        cmocka_unit_test(test_the_same_again_changes_nothing),
        cmocka_unit_test(test_same_as_at_once),
        cmocka_unit_test(test_a_later_set_wins),
        cmocka_unit_test(test_pods_leave_between_steps),
        cmocka_unit_test(test_given_up_leaves_nothing_behind),
        cmocka_unit_test(test_a_sample_is_told_of_meanwhile),
        cmocka_unit_test(test_how_many_run_follows_how_many_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
