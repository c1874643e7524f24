// What the plan promises, in small simulations, one thing at a time; plan_day_test.c does all at once.
#include "plan/sim_fixture.h"
#include "base/banned.h"

// Starts in windows of so many seconds stay within 5 sigma (Poisson) of even; the first minutes settle.
static void check_even(const struct sim *sim, size_t from_s, size_t to_s, size_t window_s)
{
    double sum = 0;
    size_t n = 0;
    for (size_t s = from_s; s + window_s <= to_s; s += window_s) {
        for (size_t i = 0; i < window_s; i++)
            sum += sim->per_second[s + i];
        n++;
    }
    double mean = sum / (double)n, limit = 5 * sqrt(mean);
    for (size_t s = from_s; s + window_s <= to_s; s += window_s) {
        double here = 0;
        for (size_t i = 0; i < window_s; i++)
            here += sim->per_second[s + i];
        if (fabs(here - mean) > limit)
            fail_msg(
                "second %zu: %.0f starts in %zu s, %.1f +- %.1f are even", s, here, window_s, mean, limit);
    }
}

static void even(uint64_t seed)
{
    struct sim sim;
    sim_open(&sim, 2000, 3, seed, 1);
    sim_watch(&sim, SIM_START_MS + SIM_HOUR);
    sim_check_promises(&sim);
    check_even(&sim, 600, 3600, 60);
    check_even(&sim, 600, 3600, 1);
    sim_close(&sim);
}

static void test_even(void **state)
{
    (void)state;
    even(11);
    even(77);
}

// A new leader with the same inputs goes on where the old one stopped: the same slots, none twice.
static void test_leader_change(void **state)
{
    struct sim sim;
    (void)state;
    sim_open(&sim, 200, 5, 3, 2);
    for (int change = 0; change < 12; change++) {
        sim_advance(&sim, sim.now + 7 * SIM_MINUTE + 1234);
        struct sim_run *run, *next;
        HASH_ITER (hh, sim.runs, run, next)
            sim_end_run(&sim, run, KP_OUTCOME_CANCELLED);
        kp_plan_destroy(sim.plan);
        sim.now += 3000; // takeover
        sim.plan = kp_plan_create(&sim.limits, NULL);
        for (size_t w = 0; w < 200; w++)
            sim_set_workload(&sim, w);
    }
    assert_int_equal(sim_duplicates(&sim), 0);
    assert_int_equal(sim.n_overlaps, 0);
    sim_close(&sim);
}

// What cannot be done is stretched, and Feasible's numbers are what happens.
static void stretch_is_said(const char *budget, const char *reason)
{
    struct sim sim;
    struct kp_feasible feasible;
    sim_open(&sim, 1, 10, 5, 6);
    sim.cluster.budget = budget;
    fixture_set_profile(&sim.cluster, 0, "cpu", 30000, 20000); // 2 % of CPU asked, 1 % allowed
    sim_set_workload(&sim, 0);
    sim_watch(&sim, SIM_START_MS + SIM_HOUR);
    size_t before = sim.n_starts;
    kp_plan_feasible(sim.plan, fixture_policy_key(&sim.cluster), sim.now, &feasible);
    assert_false(feasible.ok);
    assert_string_equal(feasible.reason, reason);
    assert_true(feasible.possible_per_minute < feasible.asked_per_minute);
    sim_watch(&sim, SIM_START_MS + 6 * SIM_HOUR);
    double happened = (double)(sim.n_starts - before) / (5 * 60);
    if (fabs(happened - feasible.possible_per_minute) > 0.06 * feasible.possible_per_minute)
        fail_msg("%.3f captures a minute happened, %.3f were said to be possible", happened,
            feasible.possible_per_minute);
    assert_int_equal(sim_duplicates(&sim) + sim.n_overlaps + sim.n_over_limit + sim.n_gaps + sim.n_silent, 0);
    sim_close(&sim);
}

static void test_stretch_is_said(void **state)
{
    (void)state;
    stretch_is_said(NULL, "OverheadBudget");
    stretch_is_said("{\"concurrentPerWorkload\":1,\"overheadPercent\":5}", "ConcurrencyPerWorkload");
}

// Ninety pods ask for fifteen places at once; there are fewer. Each limit is met, and never exceeded.
static void tight(struct kp_plan_limits limits, const char *reason, int most)
{
    struct sim sim;
    struct kp_feasible feasible;
    sim_open(&sim, 30, 3, 21, 2);
    sim.cluster.nodes = 3;
    kp_plan_destroy(sim.plan);
    sim.limits = limits;
    sim.plan = sim_plan(&sim);
    for (size_t w = 0; w < sim.cluster.n; w++) { // on three nodes, all at once
        for (uint64_t i = 0; i < 3; i++)
            fixture_replace_pod(&sim.cluster, w, i, SIM_START_MS - 2 * SIM_HOUR);
        fixture_set_profile(&sim.cluster, w, "cpu", 60000, 10000);
        sim_set_workload(&sim, w);
    }
    sim_watch(&sim, SIM_START_MS + SIM_HOUR);
    kp_plan_feasible(sim.plan, fixture_policy_key(&sim.cluster), sim.now, &feasible);
    assert_string_equal(feasible.reason, reason);
    size_t before = sim.n_starts;
    sim_watch(&sim, SIM_START_MS + 2 * SIM_HOUR);
    assert_int_equal(sim.n_over_limit + sim.n_overlaps + sim_duplicates(&sim), 0);
    assert_int_equal(sim.max_running, most);
    double happened = (double)(sim.n_starts - before) / 60;
    if (fabs(happened - feasible.possible_per_minute) > 0.1 * feasible.possible_per_minute)
        fail_msg("%s: %.2f captures a minute happened, %.2f were said to be possible", reason, happened,
            feasible.possible_per_minute);
    sim_close(&sim);
}

static void test_limits(void **state)
{
    const struct kp_plan_limits wide = {
        .per_node = 100, .per_namespace = 1000, .total = 1000, .bytes_in_flight = INT64_MAX / 2};
    struct kp_plan_limits limits = wide;
    (void)state;
    limits.per_node = 2;
    tight(limits, "ConcurrencyPerNode", 6);
    limits = wide;
    limits.per_namespace = 7;
    tight(limits, "ConcurrencyPerNamespace", 7);
    limits = wide;
    limits.total = 5;
    tight(limits, "ConcurrencyTotal", 5);
    limits = wide;
    limits.bytes_in_flight = 6 * SIM_BYTES + SIM_BYTES / 2;
    tight(limits, "ByteBudget", 6);
}

static void test_bytes_in_flight(void **state)
{
    struct sim sim;
    (void)state;
    sim_open(&sim, 30, 3, 21, 1);
    kp_plan_destroy(sim.plan);
    sim.limits.bytes_in_flight = 6 * SIM_BYTES;
    sim.plan = sim_plan(&sim);
    sim_advance(&sim, SIM_START_MS + SIM_HOUR); // sizes are guessed at first
    assert_true(sim.max_bytes > 4 * SIM_BYTES && sim.max_bytes <= 6 * SIM_BYTES);
    sim_close(&sim);
}

static void test_clock_jumps(void **state)
{
    struct sim sim;
    (void)state;
    sim_open(&sim, 100, 3, 9, 12);
    sim_watch(&sim, SIM_START_MS + SIM_HOUR);
    size_t before = sim.n_starts;
    sim.now += SIM_HOUR; // forward: what passed is not made up for
    struct sim_run *run, *next;
    HASH_ITER (hh, sim.runs, run, next)
        kp_heap_set(&sim.ends, &run->end, sim.now);
    sim_advance(&sim, sim.now + 2000);
    assert_true(sim.n_starts - before < 60);
    sim_advance(&sim, sim.now + SIM_HOUR);
    before = sim.n_starts;
    sim.now -= SIM_HOUR; // back: no silence
    HASH_ITER (hh, sim.runs, run, next)
        kp_heap_set(&sim.ends, &run->end, sim.now);
    sim_advance(&sim, sim.now + 10 * SIM_MINUTE);
    double asked = 100 * 3 * 1.4 * 10;
    assert_true((double)(sim.n_starts - before) > 0.8 * asked);
    assert_true((double)(sim.n_starts - before) < 1.2 * asked); // nor a burst
    sim_advance(&sim, sim.now + SIM_HOUR);
    sim.now -= 20 * SIM_MINUTE; // and once more, into what was lived twice
    HASH_ITER (hh, sim.runs, run, next)
        kp_heap_set(&sim.ends, &run->end, sim.now);
    sim_advance(&sim, sim.now + SIM_HOUR);
    // the registry knows the keys of what it has: a key again would be a capture lost
    assert_int_equal(sim_duplicates(&sim), 0);
    sim_close(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_even),
        cmocka_unit_test(test_leader_change),
        cmocka_unit_test(test_stretch_is_said),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_bytes_in_flight),
        cmocka_unit_test(test_clock_jumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
