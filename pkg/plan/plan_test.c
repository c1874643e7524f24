// Rules of the plan, one by one, on a single small workload.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "plan/plan.h"
#include "plan/plan_fixture.h"
#include "base/banned.h"

#define MINUTE   INT64_C(60000)
#define HOUR     (60 * MINUTE)
#define START_MS INT64_C(1790000000000)
#define TYPES    70 // more than any one policy may ask for

struct bench {
    struct kp_plan *plan;
    size_t n;
    struct kp_order orders[2000]; // their targets are given back at once: only numbers and wanted are read
    enum kp_outcome outcome;
    int64_t now;
    size_t n_views, n_profiles;
};

static void on_order(void *user, struct kp_order *order)
{
    struct bench *b = user;
    assert_true(b->n < sizeof b->orders / sizeof *b->orders);
    b->orders[b->n++] = *order;
    kp_plan_finish(b->plan, order->id, 1000, 40, b->now);
    kp_plan_outcome(b->plan, order->target->key, order->wanted->type, b->outcome, "said", b->now, b->now);
    kp_target_unref(order->target);
}

static void run_until(struct bench *b, int64_t until)
{
    while (b->now < until) {
        int64_t next = kp_plan_run(b->plan, b->now, on_order, b);
        assert_true(next > b->now);
        b->now = next < until ? next : until;
    }
}

static void open_bench(struct bench *b)
{
    memset(b, 0, sizeof *b);
    b->plan = kp_plan_create(NULL, NULL);
    b->now = START_MS;
    b->outcome = KP_OUTCOME_SUCCEEDED;
}

static void no_cancel(void *user, uint64_t order_id)
{
    (void)user;
    (void)order_id;
}

static struct kp_plan_diff hand_over(struct bench *b, const struct fixture_workload *workload)
{
    return kp_plan_set_workload(
        b->plan, workload->key, workload->targets.items, workload->targets.n, b->now, no_cancel, b);
}

static size_t count_type(const struct bench *b, size_t from, const char *type)
{
    size_t n = 0;
    for (size_t i = from; i < b->n; i++)
        n += strcmp(b->orders[i].wanted->type, type) == 0 ? 1 : 0;
    return n;
}

static void test_same_set_changes_nothing(void **state)
{
    struct bench b;
    struct fixture_cluster cluster;
    (void)state;
    open_bench(&b);
    fixture_cluster_make(&cluster, 1, 4, 1, START_MS - HOUR);
    assert_int_equal(hand_over(&b, &cluster.workloads[0]).added, 4);
    struct kp_plan_diff again = hand_over(&b, &cluster.workloads[0]);
    assert_int_equal(again.added + again.removed + again.changed, 0);
    struct kp_plan_diff gone =
        kp_plan_set_workload(b.plan, cluster.workloads[0].key, NULL, 0, b.now, no_cancel, &b);
    assert_int_equal(gone.removed, 4);
    run_until(&b, START_MS + HOUR);
    assert_int_equal(b.n, 0);
    kp_plan_destroy(b.plan);
    fixture_cluster_free(&cluster);
}

// All profiles of a pod that just became Ready, also of a workload nobody knew.
static void test_new_workload_soon(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct bench b;
        struct fixture_cluster cluster;
        open_bench(&b);
        b.now += (int64_t)seed * 7919;
        int64_t from = b.now;
        fixture_cluster_make(&cluster, 1, 1, seed, b.now - 1000);
        hand_over(&b, &cluster.workloads[0]);
        run_until(&b, from + 10000);
        assert_true(count_type(&b, 0, "cpu") > 0 && count_type(&b, 0, "heap") > 0);
        assert_true(count_type(&b, 0, "goroutine") > 0);
        for (size_t i = 0; i < b.n; i++) // a slot that opens meanwhile has its own place
            for (size_t k = 0; k < i; k++)
                assert_true(
                    b.orders[i].wanted != b.orders[k].wanted || b.orders[i].slot_ms != b.orders[k].slot_ms);
        kp_plan_destroy(b.plan);
        fixture_cluster_free(&cluster);
    }
}

// A new leader finds pods that are Ready for long: their places of this slot are over.
static void test_old_pods_keep_their_places(void **state)
{
    struct bench b;
    struct fixture_cluster cluster;
    (void)state;
    open_bench(&b);
    fixture_cluster_make(&cluster, 1, 1, 1, START_MS - HOUR);
    hand_over(&b, &cluster.workloads[0]);
    run_until(&b, START_MS + 2 * HOUR);
    for (size_t i = 0; i < b.n; i++) {
        assert_true(b.orders[i].start_ms >= b.orders[i].slot_ms);
        assert_true(b.orders[i].start_ms < b.orders[i].slot_ms + b.orders[i].interval_ms);
    }
    assert_in_range(count_type(&b, 0, "cpu"), 118, 121);
    assert_in_range(count_type(&b, 0, "heap"), 22, 25);
    kp_plan_destroy(b.plan);
    fixture_cluster_free(&cluster);
}

// A target that changes again and again (a label, a policy) is captured all the same.
static void test_change_keeps_appointments(void **state)
{
    struct bench b;
    struct fixture_cluster cluster;
    (void)state;
    open_bench(&b);
    fixture_cluster_make(&cluster, 1, 1, 1, START_MS - HOUR);
    hand_over(&b, &cluster.workloads[0]);
    for (int i = 0; i < 240; i++) { // every 15 s for an hour
        run_until(&b, b.now + 15000);
        struct kp_policy *old = cluster.policy;
        cluster.policy =
            fixture_policy(i % 2 == 0 ? "{\"selector\":{},\"labels\":{\"static\":{\"a\":\"1\"}}}"
                                      : "{\"selector\":{},\"labels\":{\"static\":{\"a\":\"2\"}}}");
        cluster.policies[0] = cluster.policy;
        fixture_retarget(&cluster, &cluster.workloads[0]);
        assert_int_equal(hand_over(&b, &cluster.workloads[0]).changed, 1);
        kp_policy_unref(old);
    }
    assert_in_range(b.n, 58 + 11 + 11, 61 + 13 + 13);
    kp_plan_destroy(b.plan);
    fixture_cluster_free(&cluster);
}

static void count_view(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    struct bench *b = user;
    b->n_views++;
    for (size_t i = 0; i < target->n_wanted; i++) {
        assert_ptr_equal(profiles[i].wanted, &target->wanted[i]);
        b->n_profiles++;
    }
}

// Several policies together may ask for any number of types.
static void test_view_of_many_types(void **state)
{
    struct bench b;
    struct fixture_cluster cluster;
    (void)state;
    open_bench(&b);
    fixture_cluster_make(&cluster, 1, 1, 1, START_MS - HOUR);
    struct kp_target many = *cluster.workloads[0].targets.items[0], *set[] = {&many};
    struct kp_wanted *wanted = KP_NEW_ARRAY(struct kp_wanted, TYPES);
    char names[TYPES][16];
    for (int i = 0; i < TYPES; i++) {
        snprintf(names[i], sizeof names[i], "type-%03d", i);
        wanted[i] = many.wanted[1];
        wanted[i].type = names[i];
    }
    many.refs = 1000; // never freed by the plan
    many.n_wanted = TYPES;
    many.wanted = wanted;
    kp_plan_set_workload(b.plan, many.workload, set, 1, b.now, no_cancel, &b);
    kp_plan_each_target(b.plan, b.now, count_view, &b);
    assert_true(kp_plan_each_of_workload(b.plan, many.workload, b.now, count_view, &b));
    assert_int_equal(b.n_views, 2);
    assert_int_equal(b.n_profiles, 2 * TYPES);
    kp_plan_destroy(b.plan);
    kp_free(wanted);
    fixture_cluster_free(&cluster);
}

// One pod of a workload asks for more than the others: only it gets more.
static void test_each_pod_its_own_interval(void **state)
{
    struct bench b;
    struct fixture_cluster cluster;
    size_t n[2] = {0};
    (void)state;
    open_bench(&b);
    fixture_cluster_make(&cluster, 1, 2, 1, START_MS - HOUR);
    struct kp_target *set[2], twin[2];
    struct kp_wanted wanted[2];
    for (int i = 0; i < 2; i++) {
        twin[i] = *cluster.workloads[0].targets.items[i];
        wanted[i] = twin[i].wanted[0];
        assert_string_equal(wanted[i].type, "cpu");
        twin[i].refs = 100000;
        twin[i].n_wanted = 1;
        twin[i].wanted = &wanted[i];
        set[i] = &twin[i];
    }
    wanted[1].interval_ms = 10 * MINUTE;
    wanted[1].duration_ms = 2000;
    kp_plan_set_workload(b.plan, twin[0].workload, set, 2, b.now, no_cancel, &b);
    run_until(&b, START_MS + 4 * HOUR);
    for (size_t i = 0; i < b.n; i++) {
        size_t who = b.orders[i].wanted == &wanted[1] ? 1 : 0;
        assert_int_equal(b.orders[i].duration_ms, wanted[who].duration_ms);
        assert_int_equal(b.orders[i].interval_ms, wanted[who].interval_ms);
        n[who]++;
    }
    assert_in_range(n[0], 238, 241);
    assert_in_range(n[1], 23, 25);
    kp_plan_destroy(b.plan);
    fixture_cluster_free(&cluster);
}

// A pod whose owner becomes known later moves from one workload to another.
static void test_target_moves_to_another_workload(void **state)
{
    struct bench b;
    struct fixture_cluster cluster;
    (void)state;
    open_bench(&b);
    fixture_cluster_make(&cluster, 1, 2, 1, START_MS - HOUR);
    const struct fixture_workload *workload = &cluster.workloads[0];
    hand_over(&b, workload);
    const char *other = "shop/Deployment/other";
    struct kp_plan_diff diff =
        kp_plan_set_workload(b.plan, other, workload->targets.items, 1, b.now, no_cancel, &b);
    assert_int_equal(diff.added, 1);
    hand_over(&b, &(struct fixture_workload){
                      .key = workload->key, .targets = {.items = workload->targets.items + 1, .n = 1}});
    assert_true(kp_plan_each_of_workload(b.plan, other, b.now, count_view, &b));
    assert_int_equal(b.n_views, 1);
    assert_true(kp_plan_each_of_workload(b.plan, workload->key, b.now, count_view, &b));
    assert_int_equal(b.n_views, 2);
    run_until(&b, START_MS + HOUR);
    assert_true(b.n > 2 * 58);
    kp_plan_destroy(b.plan);
    fixture_cluster_free(&cluster);
}

static void test_busy_becomes_contended(void **state)
{
    struct bench b;
    struct fixture_cluster cluster;
    (void)state;
    open_bench(&b);
    fixture_cluster_make(&cluster, 1, 1, 1, START_MS - HOUR);
    fixture_set_profile(&cluster, 0, "cpu", MINUTE, 5000);
    hand_over(&b, &cluster.workloads[0]);
    b.outcome = KP_OUTCOME_BUSY;
    run_until(&b, START_MS + 30 * MINUTE);
    assert_int_equal(b.n, 3); // three times running, then not before an hour is over
    run_until(&b, START_MS + 70 * MINUTE);
    assert_int_equal(b.n, 4);
    assert_false(b.orders[2].probe);
    assert_true(b.orders[3].probe);
    b.outcome = KP_OUTCOME_SUCCEEDED;
    run_until(&b, START_MS + 140 * MINUTE);
    assert_true(b.orders[4].probe);
    assert_false(b.orders[5].probe); // free again: every minute
    kp_plan_destroy(b.plan);
    fixture_cluster_free(&cluster);
}

// A program that does not have a profile will not have it a minute later.
static void test_not_served_is_asked_hourly(void **state)
{
    struct bench b;
    struct fixture_cluster cluster;
    (void)state;
    open_bench(&b);
    fixture_cluster_make(&cluster, 1, 1, 1, START_MS - HOUR);
    fixture_set_profile(&cluster, 0, "cpu", MINUTE, 5000);
    hand_over(&b, &cluster.workloads[0]);
    b.outcome = KP_OUTCOME_NOT_SERVED;
    run_until(&b, START_MS + 30 * MINUTE);
    assert_int_equal(b.n, 2); // once may be a restart
    run_until(&b, START_MS + 70 * MINUTE);
    assert_int_equal(b.n, 3);
    b.outcome = KP_OUTCOME_SUCCEEDED;
    run_until(&b, START_MS + 140 * MINUTE);
    assert_true(b.n > 8); // it has it now: every minute
    kp_plan_destroy(b.plan);
    fixture_cluster_free(&cluster);
}

static void busy_within_a_slot(const char *on_busy, size_t n)
{
    struct bench b;
    struct fixture_cluster cluster;
    open_bench(&b);
    fixture_cluster_make(&cluster, 1, 1, 1, START_MS - HOUR);
    kp_auto_free char *spec =
        kp_asprintf("{\"selector\":{},\"onBusy\":\"%s\",\"profiles\":[{\"type\":\"cpu\","
                    "\"interval\":\"60s\",\"duration\":\"5s\"}]}",
            on_busy);
    cluster.workloads[0].own_policy = fixture_named_policy("busy", spec);
    fixture_retarget(&cluster, &cluster.workloads[0]);
    hand_over(&b, &cluster.workloads[0]);
    b.outcome = KP_OUTCOME_BUSY;
    run_until(&b, START_MS + 3 * MINUTE);
    assert_true(b.n >= 2);
    size_t in_slot = 0;
    for (size_t i = 0; i < b.n; i++)
        in_slot += b.orders[i].slot_ms == b.orders[0].slot_ms ? 1 : 0;
    assert_int_equal(in_slot, n);
    kp_plan_destroy(b.plan);
    fixture_cluster_free(&cluster);
}

static void test_on_busy(void **state)
{
    (void)state;
    busy_within_a_slot("Yield", 1);
    busy_within_a_slot("Retry", 2); // once more
}

static void test_rate_survives_a_clock_set_back(void **state)
{
    struct bench b;
    struct fixture_cluster cluster;
    struct kp_plan_limits limits = {.captures_per_second_per_namespace = 2};
    (void)state;
    open_bench(&b);
    kp_plan_destroy(b.plan);
    b.plan = kp_plan_create(&limits, NULL);
    fixture_cluster_make(&cluster, 5, 3, 1, START_MS - 9 * HOUR);
    for (size_t w = 0; w < 5; w++)
        hand_over(&b, &cluster.workloads[w]);
    run_until(&b, START_MS + 10 * MINUTE);
    size_t before = b.n;
    b.now -= HOUR;
    run_until(&b, b.now + 10 * MINUTE);
    assert_true(b.n - before > 100);
    kp_plan_destroy(b.plan);
    fixture_cluster_free(&cluster);
}

// ---- bytes ----

#define MIB ((size_t)1 << 20)

struct slow {
    struct kp_plan *plan;
    KP_ARRAY(uint64_t) ids;
    size_t bytes;
    int64_t busy_ms;
};

static void on_slow_order(void *user, struct kp_order *order)
{
    struct slow *slow = user;
    *kp_array_add(&slow->ids) = order->id;
    kp_target_unref(order->target);
}

// Each capture takes 2.5 s to come in.
static int64_t run_slowly(struct slow *slow, int64_t now, int64_t until)
{
    for (; now < until; now += 2500) {
        for (size_t i = 0; i < slow->ids.n; i++)
            kp_plan_finish(slow->plan, slow->ids.items[i], slow->bytes, slow->busy_ms, now);
        slow->ids.n = 0;
        kp_plan_run(slow->plan, now, on_slow_order, slow);
    }
    return now;
}

// Sixty heap profiles a minute of 40 MiB, 2.5 s each, but 64 MiB are allowed at once: that is one at a time,
// and not more than 24 a minute.
static void test_bytes_do_not_fit(void **state)
{
    struct fixture_cluster cluster;
    struct kp_feasible feasible;
    struct kp_metrics *metrics = kp_metrics_create();
    struct slow slow = {.plan = kp_plan_create(NULL, metrics), .bytes = 40 * MIB, .busy_ms = 2500};
    (void)state;
    fixture_cluster_make(&cluster, 20, 3, 3, START_MS - HOUR);
    cluster.budget = "{\"concurrentPerWorkload\":\"100%\",\"overheadPercent\":5,\"profileBytes\":\"64Mi\"}";
    for (size_t w = 0; w < cluster.n; w++) {
        fixture_set_profile(&cluster, w, "heap", 60000, 0);
        kp_plan_set_workload(slow.plan, cluster.workloads[w].key, cluster.workloads[w].targets.items,
            cluster.workloads[w].targets.n, START_MS, no_cancel, NULL);
    }
    kp_plan_run(slow.plan, START_MS, on_slow_order, &slow);
    kp_plan_feasible(slow.plan, fixture_policy_key(&cluster), START_MS, &feasible);
    assert_string_equal(feasible.reason, "Fits"); // nothing is known yet
    int64_t now = run_slowly(&slow, START_MS, START_MS + 30 * MINUTE);
    kp_plan_feasible(slow.plan, fixture_policy_key(&cluster), now, &feasible);
    assert_false(feasible.ok);
    assert_string_equal(feasible.reason, "ByteBudget");
    assert_true(feasible.asked_per_minute > 59.99 && feasible.asked_per_minute < 60.01);
    assert_true(feasible.possible_per_minute > 18 && feasible.possible_per_minute <= 24);
    assert_non_null(strstr(feasible.message, "60 captures a minute asked, 20 possible under the controller's "
                                             "--max-bytes-in-flight: heap of shop/Deployment/"));
    assert_non_null(strstr(feasible.message, " every 3m instead of 1m, 40 MiB each"));
    struct kp_strbuf text;
    kp_strbuf_init(&text, 65536);
    kp_metrics_write(metrics, &text);
    assert_non_null(strstr(text.data, "kube_pprof_captures_waited_total{for=\"bytes\"} "));
    kp_strbuf_finish(&text);
    kp_array_free(&slow.ids);
    kp_plan_destroy(slow.plan);
    kp_metrics_destroy(metrics);
    fixture_cluster_free(&cluster);
}

static void expect_throttled(
    void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    size_t *n = user;
    (void)target;
    if (profiles[0].last_outcome != KP_OUTCOME_THROTTLED)
        return;
    if (strstr(profiles[0].message,
            "budget.concurrentPerWorkload of the policy is used up (if that stays so: raise it"))
        ++*n;
}

// One capture takes for ever: the others say what they wait for.
static void test_throttled_says_by_what(void **state)
{
    struct fixture_cluster cluster;
    struct slow slow = {.plan = kp_plan_create(NULL, NULL)};
    size_t n = 0;
    (void)state;
    fixture_cluster_make(&cluster, 1, 3, 3, START_MS - HOUR);
    cluster.budget = "{\"concurrentPerWorkload\":1,\"overheadPercent\":5}";
    fixture_set_profile(&cluster, 0, "heap", 60000, 0);
    kp_plan_set_workload(slow.plan, cluster.workloads[0].key, cluster.workloads[0].targets.items,
        cluster.workloads[0].targets.n, START_MS, no_cancel, NULL);
    for (int64_t now = START_MS; now < START_MS + 5 * MINUTE; now += 1000)
        kp_plan_run(slow.plan, now, on_slow_order, &slow);
    assert_int_equal(slow.ids.n, 1);
    kp_plan_each_target(slow.plan, START_MS + 5 * MINUTE, expect_throttled, &n);
    assert_int_equal(n, 2);
    kp_array_free(&slow.ids);
    kp_plan_destroy(slow.plan);
    fixture_cluster_free(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_set_changes_nothing),
        cmocka_unit_test(test_new_workload_soon),
        cmocka_unit_test(test_old_pods_keep_their_places),
        cmocka_unit_test(test_change_keeps_appointments),
        cmocka_unit_test(test_view_of_many_types),
        cmocka_unit_test(test_each_pod_its_own_interval),
        cmocka_unit_test(test_target_moves_to_another_workload),
        cmocka_unit_test(test_busy_becomes_contended),
        cmocka_unit_test(test_not_served_is_asked_hourly),
        cmocka_unit_test(test_on_busy),
        cmocka_unit_test(test_rate_survives_a_clock_set_back),
        cmocka_unit_test(test_bytes_do_not_fit),
        cmocka_unit_test(test_throttled_says_by_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
