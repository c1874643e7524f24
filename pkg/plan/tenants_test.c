// Two tenants: what one does with his pods does not hold up the other's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "plan/plan_fixture.h"
#include "base/banned.h"

#define START   INT64_C(1700000000000)
#define STEP_MS 100

struct capture {
    uint64_t id;
    int64_t end_ms, took_ms;
    size_t bytes;
};

struct town {
    struct kp_plan *plan;
    struct kp_policy *storm, *calm;
    KP_ARRAY(struct kp_target *) targets;
    KP_ARRAY(struct capture) running;
    int64_t now_ms, hang_ms, worst_lag_ms; // of the calm one
    size_t bytes;                          // of the storm
    int n_calm, n_storm;
};

static void settle_in(
    struct town *town, const char *namespace, struct kp_policy *policy, unsigned serial, unsigned node)
{
    kp_auto_free char *name = kp_asprintf("%s%u", namespace, serial);
    const struct kp_pod *made = fixture_pod(name, 0, serial, node, START - 3600000);
    struct kp_pod draft = *made;
    draft.namespace = namespace;
    const struct kp_pod *pod = kp_pod_build(&draft);
    const struct kp_policy *policies[] = {policy};
    const struct kp_target_config config = {.dialects = KP_DIALECTS_DEFAULT};
    struct kp_verdict verdict;
    kp_target_build(pod, policies, 1, NULL, KP_IP_OWN, &config, &verdict);
    assert_int_equal(verdict.targets.n, 1);
    struct kp_target *target = kp_target_ref(verdict.targets.items[0]);
    *kp_array_add(&town->targets) = target;
    kp_plan_set_workload(town->plan, target->workload, &target, 1, START, NULL, NULL);
    kp_verdict_finish(&verdict);
    kp_pod_unref(pod);
    kp_pod_unref(made);
}

static void town_make(struct town *town, const char *storm, const char *calm, unsigned n, bool one_node)
{
    *town = (struct town){.plan = kp_plan_create(NULL, NULL), .now_ms = START};
    town->storm = fixture_named_policy("storm", storm);
    town->calm = fixture_named_policy("calm", calm);
    assert_non_null(town->storm);
    assert_non_null(town->calm);
    for (unsigned i = 0; i < n; i++)
        settle_in(town, "storm", town->storm, i, one_node ? 1 : 10 + i);
    settle_in(town, "calm", town->calm, 1000, 1);
}

static void town_free(struct town *town)
{
    kp_plan_destroy(town->plan);
    for (size_t i = 0; i < town->targets.n; i++)
        kp_target_unref(town->targets.items[i]);
    kp_policy_unref(town->storm);
    kp_policy_unref(town->calm);
    kp_array_free(&town->targets);
    kp_array_free(&town->running);
}

static void on_order(void *user, struct kp_order *order)
{
    struct town *town = user;
    bool calm = strcmp(order->target->pod->namespace, "calm") == 0;
    int64_t took = order->duration_ms + (calm ? 100 : town->hang_ms), lag = town->now_ms - order->start_ms;
    *kp_array_add(&town->running) =
        (struct capture){order->id, town->now_ms + took, took, calm ? 20000 : town->bytes};
    town->n_calm += calm;
    town->n_storm += !calm;
    if (calm && lag > town->worst_lag_ms)
        town->worst_lag_ms = lag;
    kp_target_unref(order->target);
}

static void finish_some(struct town *town)
{
    size_t kept = 0;
    for (size_t i = 0; i < town->running.n; i++) {
        struct capture c = town->running.items[i];
        if (c.end_ms <= town->now_ms)
            kp_plan_finish(town->plan, c.id, c.bytes, c.took_ms, town->now_ms);
        else
            town->running.items[kept++] = c;
    }
    town->running.n = kept;
}

static void live(struct town *town, int64_t for_ms)
{
    for (int64_t end = town->now_ms + for_ms; town->now_ms < end; town->now_ms += STEP_MS) {
        finish_some(town);
        kp_plan_run(town->plan, town->now_ms, on_order, town);
    }
}

#define HEAP(interval)                                                                                       \
    "{\"selector\":{},\"budget\":{\"overheadPercent\":5,\"concurrentPerWorkload\":\"100%\"},\"profiles\":"   \
    "[{\"type\":\"heap\",\"interval\":\"" interval "\"}]}"
#define CPU(interval, duration)                                                                              \
    "{\"selector\":{},\"budget\":{\"overheadPercent\":5,\"concurrentPerWorkload\":\"100%\"},\"profiles\":"   \
    "[{\"type\":\"cpu\",\"interval\":\"" interval "\",\"duration\":\"" duration "\"}]}"

// Ten pods that take the connection and say nothing, on the node where the other tenant has one.
static void test_pods_that_hang(void **state)
{
    struct town town;
    (void)state;
    town_make(&town, HEAP("20s"), HEAP("20s"), 10, true);
    town.hang_ms = 30000;
    live(&town, 600000);
    assert_true(town.n_storm > 100);
    assert_true(town.n_calm >= 29);
    if (town.worst_lag_ms > 2000 + STEP_MS)
        fail_msg("the other one waited for %lld ms", (long long)town.worst_lag_ms);
    town_free(&town);
}

// Ten pods that give much, slowly.
static void test_pods_that_give_much(void **state)
{
    struct town town;
    (void)state;
    town_make(&town, HEAP("40s"), HEAP("20s"), 40, false);
    town.hang_ms = 30000;
    town.bytes = 16 * KP_MIB;
    live(&town, 600000);
    assert_true(town.n_storm > 40);
    assert_true(town.n_calm >= 29);
    if (town.worst_lag_ms > STEP_MS)
        fail_msg("the other one waited for %lld ms", (long long)town.worst_lag_ms);
    town_free(&town);
}

struct intervals {
    int64_t calm_ms, storm_ms; // the longest
};

static void on_target(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    struct intervals *seen = user;
    int64_t *longest = strcmp(target->pod->namespace, "calm") == 0 ? &seen->calm_ms : &seen->storm_ms;
    for (size_t i = 0; i < target->n_wanted; i++)
        *longest = profiles[i].interval_ms > *longest ? profiles[i].interval_ms : *longest;
}

static void check_only_the_storm_is_stretched(struct town *town, const char *reason)
{
    struct intervals seen = {0};
    struct kp_feasible storm, calm;
    kp_plan_settle(town->plan, START);
    kp_plan_each_target(town->plan, START, on_target, &seen);
    kp_plan_feasible(town->plan, town->storm->key, START, &storm);
    kp_plan_feasible(town->plan, town->calm->key, START, &calm);
    assert_int_equal(seen.calm_ms, 60000);
    assert_true(seen.storm_ms > 60000);
    assert_true(calm.ok);
    assert_false(storm.ok);
    assert_string_equal(storm.reason, reason);
}

// Who asks for more than there is, of a node or of all, is cut, not who asks for little.
static void test_pods_that_ask_for_much(void **state)
{
    struct town town;
    (void)state;
    town_make(&town, CPU("60s", "50s"), CPU("60s", "10s"), 10, true);
    check_only_the_storm_is_stretched(&town, "ConcurrencyPerNode");
    town_free(&town);
    town_make(&town, CPU("60s", "50s"), CPU("60s", "10s"), 2000, false);
    check_only_the_storm_is_stretched(&town, "ConcurrencyPerNamespace");
    town_free(&town);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pods_that_hang),
        cmocka_unit_test(test_pods_that_give_much),
        cmocka_unit_test(test_pods_that_ask_for_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
