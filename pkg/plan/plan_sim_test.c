// A day of a large cluster under a fake clock: what the plan promises is checked against what it does.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/backoff.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "plan/heap.h"
#include "plan/plan.h"
#include "plan/plan_fixture.h"
#include "base/banned.h"

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
// A capture that finds no place waits for one to end.
#define LONGEST_WAIT_MS 15000
#define START_MS        (INT64_C(1790000000000)) // a whole second, far from zero

struct run { // an order that runs in the simulation
    uint64_t id;
    struct kp_heap_node end;
    const struct kp_target *target;
    const struct kp_wanted *wanted;
    char *node, *uid;
    bool exclusive;
    UT_hash_handle hh;
};

struct last { // starts of one track
    char *key;
    int64_t start_ms, known_since_ms, interval_ms;
    bool was_sampled;
    UT_hash_handle hh;
};

struct tally {
    char *key;
    int n, exclusive, max;
    UT_hash_handle hh;
};

struct sim {
    struct kp_plan *plan;
    struct kp_plan_limits limits;
    int64_t now;
    uint64_t random;
    struct fixture_cluster cluster;
    KP_ARRAY(uint64_t) keys; // hashes of capture keys
    struct run *runs;
    struct kp_heap ends;
    struct last *lasts;
    struct tally *nodes, *pods;
    uint32_t *per_second; // starts, by second of the simulation
    size_t seconds, n_starts, n_overlaps, n_over_limit, n_gaps;
    int running, max_running;
};

// ---- books ----

static struct tally *tally_get(struct tally **map, const char *key)
{
    struct tally *tally;
    HASH_FIND_STR(*map, key, tally);
    if (tally == NULL) {
        tally = KP_NEW(struct tally);
        tally->key = kp_strdup(key);
        HASH_ADD_KEYPTR(hh, *map, tally->key, strlen(tally->key), tally);
    }
    return tally;
}

static void note_key(struct sim *sim, const struct kp_order *order)
{
    uint64_t hash = kp_hash64_str(order->wanted->type, kp_hash64_str(order->target->key, 0));
    *kp_array_add(&sim->keys) = kp_hash64_mix(hash, (uint64_t)order->slot_ms);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static size_t duplicates(const struct sim *sim)
{
    size_t n = 0;
    qsort(sim->keys.items, sim->keys.n, sizeof *sim->keys.items, by_value);
    for (size_t i = 1; i < sim->keys.n; i++)
        n += sim->keys.items[i] == sim->keys.items[i - 1] ? 1 : 0;
    return n;
}

static void note_gap(struct sim *sim, const struct kp_order *order)
{
    char *key = kp_asprintf("%s|%s", order->target->key, order->wanted->type);
    struct last *last;
    HASH_FIND_STR(sim->lasts, key, last);
    if (last == NULL) {
        last = KP_NEW(struct last);
        last->key = key;
        HASH_ADD_KEYPTR(hh, sim->lasts, last->key, strlen(last->key), last);
    } else {
        // only where nothing but time passed: sampled all the while, rotation is longer than the gap
        if (last->was_sampled && sim->now - last->start_ms > 2 * order->interval_ms + LONGEST_WAIT_MS)
            sim->n_gaps++;
        kp_free(key);
    }
    last->start_ms = sim->now;
    last->was_sampled = order->sample_k == order->sample_n; // all pods are in the sample
}

static void check_limits(struct sim *sim, const struct kp_order *order)
{
    const struct kp_pod *pod = order->target->pod;
    struct tally *node = tally_get(&sim->nodes, pod->node), *on_pod = tally_get(&sim->pods, pod->uid);
    bool exclusive = order->wanted->exclusive;
    if (on_pod->n > 0 && (exclusive || on_pod->exclusive > 0))
        sim->n_overlaps++;
    node->n++;
    on_pod->n++;
    on_pod->exclusive += exclusive ? 1 : 0;
    sim->running++;
    sim->max_running = sim->running > sim->max_running ? sim->running : sim->max_running;
    if (node->n > sim->limits.per_node || sim->running > sim->limits.total)
        sim->n_over_limit++;
}

static void on_order(void *user, struct kp_order *order)
{
    struct sim *sim = user;
    struct run *run = KP_NEW(struct run);
    size_t second = (size_t)((sim->now - START_MS) / 1000);
    note_key(sim, order);
    note_gap(sim, order);
    check_limits(sim, order);
    sim->n_starts++;
    if (second < sim->seconds)
        sim->per_second[second]++;
    *run = (struct run){.id = order->id,
        .target = order->target,
        .wanted = order->wanted,
        .node = kp_strdup(order->target->pod->node),
        .uid = kp_strdup(order->target->pod->uid),
        .exclusive = order->wanted->exclusive};
    HASH_ADD(hh, sim->runs, id, sizeof run->id, run);
    kp_heap_set(&sim->ends, &run->end, sim->now + (order->duration_ms > 0 ? order->duration_ms + 100 : 50));
}

static void end_run(struct sim *sim, struct run *run, enum kp_outcome outcome)
{
    struct tally *on_pod = tally_get(&sim->pods, run->uid);
    tally_get(&sim->nodes, run->node)->n--;
    on_pod->n--;
    on_pod->exclusive -= run->exclusive ? 1 : 0;
    sim->running--;
    kp_plan_finish(sim->plan, run->id, 20000, 40, sim->now);
    kp_plan_outcome(sim->plan, run->target->key, run->wanted->type, outcome, "", sim->now, sim->now);
    HASH_DEL(sim->runs, run);
    kp_heap_remove(&sim->ends, &run->end);
    kp_target_unref(run->target);
    kp_free(run->node);
    kp_free(run->uid);
    kp_free(run);
}

static void on_cancel(void *user, uint64_t order_id)
{
    struct sim *sim = user;
    struct run *run;
    HASH_FIND(hh, sim->runs, &order_id, sizeof order_id, run);
    if (run != NULL)
        kp_heap_set(&sim->ends, &run->end, sim->now); // ends at the next step
}

// ---- the clock ----

static int64_t end_due(struct sim *sim)
{
    struct kp_heap_node *first;
    while ((first = kp_heap_first(&sim->ends)) != NULL && first->due_ms <= sim->now)
        end_run(sim, kp_container_of(first, struct run, end), KP_OUTCOME_SUCCEEDED);
    return first != NULL ? first->due_ms : INT64_MAX;
}

static void advance(struct sim *sim, int64_t until)
{
    while (sim->now < until) {
        int64_t next_end = end_due(sim);
        int64_t next = kp_plan_run(sim->plan, sim->now, on_order, sim);
        assert_true(next > sim->now);
        int64_t ends_again = end_due(sim);
        next = next_end < next ? next_end : next;
        next = ends_again < next ? ends_again : next;
        sim->now = next < until ? next : until;
    }
}

static void set_workload(struct sim *sim, size_t w)
{
    struct fixture_workload *workload = &sim->cluster.workloads[w];
    kp_plan_set_workload(
        sim->plan, workload->key, workload->targets.items, workload->targets.n, sim->now, on_cancel, sim);
}

static void sim_open(struct sim *sim, size_t n_workloads, size_t pods_each, uint64_t seed, int64_t hours)
{
    *sim = (struct sim){.now = START_MS,
        .random = seed,
        .limits = {.per_node = 5, .per_namespace = 100000, .total = 2000, .bytes_in_flight = INT64_MAX / 2}};
    sim->seconds = (size_t)(hours * 3600);
    sim->per_second = kp_calloc(sim->seconds, sizeof *sim->per_second);
    sim->plan = kp_plan_create(&sim->limits, NULL);
    fixture_cluster_make(&sim->cluster, n_workloads, pods_each, seed, START_MS - 2 * HOUR);
    for (size_t w = 0; w < n_workloads; w++)
        set_workload(sim, w);
}

static void sim_close(struct sim *sim)
{
    struct run *run, *next_run;
    HASH_ITER (hh, sim->runs, run, next_run)
        end_run(sim, run, KP_OUTCOME_CANCELLED);
    kp_array_free(&sim->keys);
    struct last *last, *next_last;
    HASH_ITER (hh, sim->lasts, last, next_last) {
        HASH_DEL(sim->lasts, last);
        kp_free(last->key);
        kp_free(last);
    }
    for (int i = 0; i < 2; i++) {
        struct tally **map = i == 0 ? &sim->nodes : &sim->pods;
        struct tally *tally, *next;
        HASH_ITER (hh, *map, tally, next) {
            HASH_DEL(*map, tally);
            kp_free(tally->key);
            kp_free(tally);
        }
    }
    kp_heap_finish(&sim->ends);
    kp_plan_destroy(sim->plan);
    fixture_cluster_free(&sim->cluster);
    kp_free(sim->per_second);
}

// ---- the promises ----

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

static void check_promises(const struct sim *sim)
{
    assert_int_equal(duplicates(sim), 0);
    assert_int_equal(sim->n_overlaps, 0);
    assert_int_equal(sim->n_over_limit, 0);
    assert_int_equal(sim->n_gaps, 0);
    assert_true(sim->n_starts > 0);
}

// Sanitizers make it ten times slower: two hours say the same about memory.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                                         \
    (defined(__has_feature) && defined(__clang__))
#if defined(__clang__) && !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
#define DAY_HOURS 24
#else
#define DAY_HOURS 2
#endif
#else
#define DAY_HOURS 24
#endif

static void test_day_of_churn(void **state)
{
    struct sim sim;
    (void)state;
    sim_open(&sim, 1000, 10, 7, DAY_HOURS); // 10 000 pods
    int64_t end = START_MS + DAY_HOURS * HOUR;
    for (int64_t t = START_MS + 5 * MINUTE; t <= end; t += 5 * MINUTE) {
        advance(&sim, t);
        for (int i = 0; i < 20; i++) { // churn: pods replaced, workloads rolled
            size_t w = (size_t)(kp_random_next(&sim.random) % 1000);
            if (i == 0)
                fixture_roll(&sim.cluster, w, sim.now);
            else
                fixture_replace_pod(&sim.cluster, w, kp_random_next(&sim.random), sim.now);
            set_workload(&sim, w);
        }
    }
    check_promises(&sim);
    // 3 of 10 pods each: cpu every minute, heap and goroutine every five
    double asked = 1000 * 3 * (1 + 0.2 + 0.2) * DAY_HOURS * 60;
    assert_true((double)sim.n_starts > 0.97 * asked);
    // while a workload rolls, three of each revision are
    assert_true((double)sim.n_starts < 2 * asked);
    sim_close(&sim);
}

static void even(uint64_t seed)
{
    struct sim sim;
    sim_open(&sim, 2000, 3, seed, 1);
    advance(&sim, START_MS + HOUR);
    check_promises(&sim);
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
        advance(&sim, sim.now + 7 * MINUTE + 1234);
        struct run *run, *next;
        HASH_ITER (hh, sim.runs, run, next)
            end_run(&sim, run, KP_OUTCOME_CANCELLED);
        kp_plan_destroy(sim.plan);
        sim.now += 3000; // takeover
        sim.plan = kp_plan_create(&sim.limits, NULL);
        for (size_t w = 0; w < 200; w++)
            set_workload(&sim, w);
    }
    assert_int_equal(duplicates(&sim), 0);
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
    set_workload(&sim, 0);
    advance(&sim, START_MS + HOUR);
    size_t before = sim.n_starts;
    kp_plan_feasible(sim.plan, fixture_policy_key(&sim.cluster), sim.now, &feasible);
    assert_false(feasible.ok);
    assert_string_equal(feasible.reason, reason);
    assert_true(feasible.possible_per_minute < feasible.asked_per_minute);
    advance(&sim, START_MS + 6 * HOUR);
    double happened = (double)(sim.n_starts - before) / (5 * 60);
    if (fabs(happened - feasible.possible_per_minute) > 0.06 * feasible.possible_per_minute)
        fail_msg("%.3f captures a minute happened, %.3f were said to be possible", happened,
            feasible.possible_per_minute);
    assert_int_equal(duplicates(&sim) + sim.n_overlaps + sim.n_over_limit + sim.n_gaps, 0);
    sim_close(&sim);
}

static void test_stretch_is_said(void **state)
{
    (void)state;
    stretch_is_said(NULL, "OverheadBudget");
    stretch_is_said("{\"concurrentPerWorkload\":1,\"overheadPercent\":5}", "ConcurrencyPerWorkload");
}

static void test_clock_jumps(void **state)
{
    struct sim sim;
    (void)state;
    sim_open(&sim, 100, 3, 9, 12);
    advance(&sim, START_MS + HOUR);
    size_t before = sim.n_starts;
    sim.now += HOUR; // forward: what passed is not made up for
    struct run *run, *next;
    HASH_ITER (hh, sim.runs, run, next)
        kp_heap_set(&sim.ends, &run->end, sim.now);
    advance(&sim, sim.now + 2000);
    assert_true(sim.n_starts - before < 60);
    advance(&sim, sim.now + HOUR);
    before = sim.n_starts;
    sim.now -= HOUR; // back: no silence
    HASH_ITER (hh, sim.runs, run, next)
        kp_heap_set(&sim.ends, &run->end, sim.now);
    advance(&sim, sim.now + 10 * MINUTE);
    double asked = 100 * 3 * 1.4 * 10;
    assert_true((double)(sim.n_starts - before) > 0.8 * asked);
    sim_close(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_even),
        cmocka_unit_test(test_leader_change),
        cmocka_unit_test(test_stretch_is_said),
        cmocka_unit_test(test_clock_jumps),
        cmocka_unit_test(test_day_of_churn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
