// A day of a large cluster under a fake clock: churn, rolling updates, a policy that asks for too much,
// leaders that die. What the plan promises is checked against what it does.
#include "plan/sim_fixture.h"
#include "base/banned.h"

// Sanitizers make it ten times slower: two hours say the same about memory.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DAY_HOURS 2
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define DAY_HOURS 2
#endif
#endif
#ifndef DAY_HOURS
#define DAY_HOURS 24
#endif

#define WORKLOADS    1000 // of ten pods
#define GREEDY_EVERY 20   // each so-many-th workload is the greedy policy's
#define STEP_MS      (5 * SIM_MINUTE)
#define SETTLE_MS    5000 // new pods are captured soon, stretching is computed anew
#define TAKEOVER_MS  15000
#define TAKEOVERS    8
#define CHANGES      20 // workloads that change in a step

// Half as often as by default, so that the test takes half as long.
static void use_policy(struct sim *sim)
{
    kp_policy_unref(sim->cluster.policy);
    sim->cluster.policy = fixture_policy(
        "{\"selector\":{},\"profiles\":[{\"type\":\"cpu\",\"interval\":\"2m\",\"duration\":\"10s\"},"
        "{\"type\":\"heap\",\"interval\":\"10m\"},{\"type\":\"goroutine\",\"interval\":\"10m\"}]}");
    assert_non_null(sim->cluster.policy);
    sim->cluster.policies[0] = sim->cluster.policy;
    for (size_t w = 0; w < WORKLOADS; w++)
        fixture_retarget(&sim->cluster, &sim->cluster.workloads[w]);
}

static void use_greedy_policy(struct sim *sim)
{
    for (size_t w = 0; w < WORKLOADS; w += GREEDY_EVERY) {
        // twice the overhead that is allowed, and more places than there are
        sim->cluster.workloads[w].own_policy = fixture_named_policy("greedy",
            "{\"selector\":{},\"budget\":{\"overheadPercent\":1},"
            "\"profiles\":[{\"type\":\"cpu\",\"interval\":\"30s\",\"duration\":\"20s\"}]}");
        assert_non_null(sim->cluster.workloads[w].own_policy);
        fixture_retarget(&sim->cluster, &sim->cluster.workloads[w]);
        sim_set_workload(sim, w);
    }
}

static void change_some(struct sim *sim)
{
    for (int i = 0; i < CHANGES; i++) {
        size_t w = (size_t)(kp_random_next(&sim->random) % WORKLOADS);
        if (i < 3 || sim->cluster.workloads[w].rolling)
            fixture_roll(&sim->cluster, w, sim->now);
        else
            fixture_replace_pod(&sim->cluster, w, kp_random_next(&sim->random), sim->now);
        sim_set_workload(sim, w);
    }
}

// The leader dies with all its captures; the other replica begins when the Lease has run out.
static void take_over(struct sim *sim)
{
    sim_end_all(sim);
    kp_plan_destroy(sim->plan);
    sim->takeover_ms = sim->now += TAKEOVER_MS;
    sim->reign++;
    sim->plan = sim->standby;
    sim->standby = sim_plan(sim);
}

static void promise(struct sim *sim, int64_t for_ms)
{
    for (size_t i = 0; i < KP_COUNT(sim->policies); i++) {
        struct kp_feasible feasible;
        kp_plan_feasible(sim->plan, sim->policies[i].key, sim->now, &feasible);
        sim->policies[i].possible += feasible.possible_per_minute * (double)for_ms / SIM_MINUTE;
        sim->policies[i].n_asked++;
        sim->policies[i].n_infeasible += feasible.ok ? 0 : 1;
    }
}

// Starts a second stay within 5 sigma (Poisson) of even, which is the sum of what all sampled targets are
// promised.
static void check_even(const struct sim *sim, int64_t from_ms)
{
    size_t from = (size_t)((from_ms - SIM_START_MS + 999) / 1000),
           to = (size_t)((sim->now - SIM_START_MS) / 1000);
    double limit = 5 * sqrt(sim->expected_per_s);
    for (size_t s = from; s < to; s++)
        if (fabs(sim->per_second[s] - sim->expected_per_s) > limit)
            fail_msg("second %zu: %u starts, %.1f +- %.1f are even", s, sim->per_second[s],
                sim->expected_per_s, limit);
}

// Five minutes: changes, a while to settle, peace.
static void step(struct sim *sim, int64_t end, bool leader_dies)
{
    int64_t from;
    sim_look(sim);
    change_some(sim);
    from = sim->now;
    sim_advance(sim, sim->now + SETTLE_MS);
    sim_look(sim);
    promise(sim, end - from);
    if (leader_dies) {
        sim_advance(sim, from + STEP_MS / 2);
        check_even(sim, from + SETTLE_MS);
        take_over(sim);
        from = sim->now;
        sim_advance(sim, from + 2 * SETTLE_MS);
        sim_look(sim);
        from += SETTLE_MS;
    }
    sim_advance(sim, end);
    check_even(sim, from + SETTLE_MS);
}

static void check_numbers(const struct sim_policy *policy)
{
    double happened = (double)(policy->n_starts - policy->started_before);
    if (fabs(happened - policy->possible) > 0.02 * policy->possible)
        fail_msg("%s: %.0f captures happened, %.0f were said to be possible", policy->key, happened,
            policy->possible);
}

static void test_day(void **state)
{
    struct sim sim;
    int64_t end = SIM_START_MS + DAY_HOURS * SIM_HOUR;
    int steps = DAY_HOURS * 12, takeovers = 0;
    (void)state;
    sim_open(&sim, WORKLOADS, 10, 7, DAY_HOURS);
    use_policy(&sim);
    sim.limits.total = sim.limits.per_namespace = 500; // the default in all
    sim.limits.bytes_in_flight = 64 << 20;
    kp_plan_destroy(sim.plan);
    sim.plan = sim_plan(&sim);
    sim.standby = sim_plan(&sim);
    use_greedy_policy(&sim);
    sim.policies[0].key = fixture_policy_key(&sim.cluster);
    sim.policies[1].key = sim.cluster.workloads[0].own_policy->key;
    sim_advance(&sim, SIM_START_MS + STEP_MS);
    for (size_t i = 0; i < KP_COUNT(sim.policies); i++)
        sim.policies[i].started_before = sim.policies[i].n_starts;
    for (int i = 1; i < steps; i++) {
        bool dies = i % (steps / TAKEOVERS) == 0;
        step(&sim, SIM_START_MS + (i + 1) * STEP_MS, dies);
        takeovers += dies ? 1 : 0;
    }
    assert_true(sim.now == end && takeovers >= TAKEOVERS - 1);
    sim_look(&sim);
    sim_check_promises(&sim);
    assert_true(sim.n_again <= 10 * (size_t)takeovers); // of 3000 pods
    check_numbers(&sim.policies[0]);
    check_numbers(&sim.policies[1]);
    assert_int_equal(sim.policies[0].n_infeasible, 0);
    assert_int_equal(sim.policies[1].n_infeasible, sim.policies[1].n_asked);
    assert_int_equal(sim_busiest(sim.workloads), 2); // a quarter of ten pods: the limit is met, not only kept
    assert_true(sim.max_running > sim.limits.total / 2 && sim.max_bytes < (size_t)sim.limits.bytes_in_flight);
    sim_close(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
