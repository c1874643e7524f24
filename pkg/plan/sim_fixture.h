// For the tests of plan: a cluster under a fake clock, with books that know nothing of the plan's own.
#ifndef KP_PLAN_SIM_FIXTURE_H
#define KP_PLAN_SIM_FIXTURE_H

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

#define SIM_MINUTE   INT64_C(60000)
#define SIM_HOUR     (60 * SIM_MINUTE)
#define SIM_START_MS (INT64_C(1790000000000)) // a whole second, far from zero
// A capture that finds no place waits for one to end.
#define SIM_LONGEST_WAIT_MS 15000

struct sim_tally {
    char *key;
    int n, exclusive, max;
    UT_hash_handle hh;
};

struct sim_run { // an order that runs
    uint64_t id;
    struct kp_heap_node end;
    const struct kp_target *target;
    const struct kp_wanted *wanted;
    struct sim_tally *node, *pod, *workload;
    size_t bytes;
    bool exclusive;
    UT_hash_handle hh;
};

struct sim_track { // a type of a target
    uint64_t id;
    int64_t start_ms;    // of the last capture; 0 = none
    int64_t slot_ms;     // its slot
    int64_t since_ms;    // sampled all the while
    int64_t interval_ms; // of the last capture
    unsigned reign;      // the leader of then
    bool sampled;        // when it was last looked at
    UT_hash_handle hh;
};

struct sim_policy { // what the plan says of a policy, and what happens
    const char *key;
    size_t n_starts, started_before; // in all, and when the account began
    double possible;                 // captures, summed up
    size_t n_infeasible, n_asked;
};

struct sim {
    struct kp_plan *plan;
    struct kp_plan *standby; // of another replica: knows the wanted sets, gives no orders; NULL = none
    struct kp_plan_limits limits;
    int64_t now, takeover_ms;
    uint64_t random;
    struct fixture_cluster cluster;
    KP_ARRAY(uint64_t) keys; // hashes of capture keys
    struct sim_run *runs;
    struct kp_heap ends;
    struct sim_track *tracks;
    struct sim_tally *nodes, *pods, *workloads;
    struct sim_policy policies[2];
    double expected_per_s; // as of the last look
    uint32_t *per_second;  // starts, by second of the simulation
    size_t seconds, n_starts, n_overlaps, n_over_limit, n_gaps, n_silent;
    size_t n_again; // captured under the same key by the next leader
    unsigned reign; // leaders so far
    int running, max_running;
    size_t bytes, max_bytes;
    char first_gap[300];
};

// ---- books ----

static inline struct sim_tally *sim_tally_get(struct sim_tally **map, const char *key)
{
    struct sim_tally *tally;
    HASH_FIND_STR(*map, key, tally);
    if (tally == NULL) {
        tally = KP_NEW(struct sim_tally);
        tally->key = kp_strdup(key);
        HASH_ADD_KEYPTR(hh, *map, tally->key, strlen(tally->key), tally);
    }
    return tally;
}

static inline uint64_t sim_track_id(const struct kp_target *target, const char *type)
{
    return kp_hash64_str(type, kp_hash64_str(target->key, 0));
}

static inline struct sim_track *sim_track_get(struct sim *sim, uint64_t id)
{
    struct sim_track *track;
    HASH_FIND(hh, sim->tracks, &id, sizeof id, track);
    if (track == NULL) {
        track = KP_NEW(struct sim_track);
        track->id = id;
        HASH_ADD(hh, sim->tracks, id, sizeof track->id, track);
    }
    return track;
}

// A slot of its own each: two captures are less than two intervals apart. Where the schedule was changed in
// between, the longer interval counts; a fail-over may cost one.
static inline bool sim_too_long(
    const struct sim *sim, const struct sim_track *track, int64_t since_ms, int64_t interval_ms)
{
    int64_t longest = interval_ms > track->interval_ms ? interval_ms : track->interval_ms;
    int64_t slots = 2 + (int64_t)(sim->reign - track->reign);
    return sim->now - since_ms > slots * longest + SIM_LONGEST_WAIT_MS;
}

static inline void sim_note_gap(struct sim *sim, const struct kp_order *order, uint64_t id)
{
    struct sim_track *track = sim_track_get(sim, id);
    if (!track->sampled) {
        track->sampled = true;
        track->since_ms = sim->now;
        track->reign = sim->reign;
    } else if (track->start_ms >= track->since_ms &&
               sim_too_long(sim, track, track->start_ms, order->interval_ms)) {
        if (sim->n_gaps++ == 0)
            snprintf(sim->first_gap, sizeof sim->first_gap, "%s %s: %lld s after %lld s, interval %lld s",
                order->target->key, order->wanted->type, (long long)(sim->now - track->start_ms) / 1000,
                (long long)(track->start_ms - SIM_START_MS) / 1000, (long long)order->interval_ms / 1000);
    }
    track->start_ms = sim->now;
    track->slot_ms = order->slot_ms;
    track->interval_ms = order->interval_ms;
    track->reign = sim->reign;
}

// One leader gives a key once. The next one finds other ranks in the slot it begins in if pods came and went
// meanwhile, and may give one of that slot again: the registry knows the key.
static inline void sim_note_key(struct sim *sim, const struct kp_order *order, uint64_t id)
{
    const struct sim_track *track = sim_track_get(sim, id);
    bool leader_died = track->start_ms < sim->takeover_ms && order->slot_ms < sim->takeover_ms &&
                       sim->takeover_ms < order->slot_ms + order->interval_ms;
    if (track->start_ms != 0 && track->slot_ms == order->slot_ms && leader_died)
        sim->n_again++;
    *kp_array_add(&sim->keys) = kp_hash64_mix(kp_hash64_mix(id, (uint64_t)order->slot_ms),
        track->slot_ms == order->slot_ms && leader_died ? sim->reign : 0);
}

static inline int sim_by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static inline size_t sim_duplicates(const struct sim *sim)
{
    size_t n = 0;
    qsort(sim->keys.items, sim->keys.n, sizeof *sim->keys.items, sim_by_value);
    for (size_t i = 1; i < sim->keys.n; i++)
        n += sim->keys.items[i] == sim->keys.items[i - 1] ? 1 : 0;
    return n;
}

// ---- captures ----

// max(1, share of the workload's pods); all pods of the simulation have the same number of brothers.
static inline int sim_allowed(const struct sim *sim, const struct kp_wanted *wanted)
{
    int pods = (int)sim->cluster.workloads[0].pods.n;
    int n = wanted->concurrent.is_percent ? pods * wanted->concurrent.value / 100 : wanted->concurrent.value;
    return n < 1 ? 1 : n;
}

static inline void sim_take(struct sim *sim, struct sim_run *run, size_t bytes)
{
    const struct kp_pod *pod = run->target->pod;
    run->node = sim_tally_get(&sim->nodes, pod->node);
    run->pod = sim_tally_get(&sim->pods, pod->uid);
    run->workload = sim_tally_get(&sim->workloads, pod->workload_name);
    run->bytes = bytes;
    if (run->pod->n > 0 && (run->exclusive || run->pod->exclusive > 0))
        sim->n_overlaps++;
    run->pod->exclusive += run->exclusive ? 1 : 0;
    run->node->n++;
    run->pod->n++;
    run->workload->n++;
    sim->running++;
    sim->bytes += bytes;
    sim->max_running = sim->running > sim->max_running ? sim->running : sim->max_running;
    sim->max_bytes = sim->bytes > sim->max_bytes ? sim->bytes : sim->max_bytes;
    run->node->max = run->node->n > run->node->max ? run->node->n : run->node->max;
    run->workload->max = run->workload->n > run->workload->max ? run->workload->n : run->workload->max;
    const struct kp_plan_limits *limits = &sim->limits; // all pods are of one namespace
    if (run->node->n > limits->per_node || sim->running > limits->total ||
        sim->running > limits->per_namespace || run->workload->n > sim_allowed(sim, run->wanted))
        sim->n_over_limit++;
}

#define SIM_BYTES 20000 // of every profile

static inline void sim_on_order(void *user, struct kp_order *order)
{
    struct sim *sim = user;
    struct sim_run *run = KP_NEW(struct sim_run);
    size_t second = (size_t)((sim->now - SIM_START_MS) / 1000);
    uint64_t id = sim_track_id(order->target, order->wanted->type);
    sim_note_key(sim, order, id);
    sim_note_gap(sim, order, id);
    sim->n_starts++;
    if (second < sim->seconds)
        sim->per_second[second]++;
    for (size_t i = 0; i < KP_COUNT(sim->policies); i++)
        sim->policies[i].n_starts += sim->policies[i].key != NULL &&
                                     strcmp(order->wanted->policies[0]->key, sim->policies[i].key) == 0;
    *run = (struct sim_run){.id = order->id,
        .target = order->target,
        .wanted = order->wanted,
        .exclusive = order->wanted->exclusive};
    sim_take(sim, run, SIM_BYTES);
    HASH_ADD(hh, sim->runs, id, sizeof run->id, run);
    kp_heap_set(&sim->ends, &run->end, sim->now + (order->duration_ms > 0 ? order->duration_ms + 100 : 50));
}

static inline void sim_end_run(struct sim *sim, struct sim_run *run, enum kp_outcome outcome)
{
    run->node->n--;
    run->pod->n--;
    run->pod->exclusive -= run->exclusive ? 1 : 0;
    run->workload->n--;
    sim->running--;
    sim->bytes -= run->bytes;
    kp_plan_finish(sim->plan, run->id, SIM_BYTES, 40, sim->now);
    kp_plan_outcome(sim->plan, run->target->key, run->wanted->type, outcome, "", sim->now, sim->now);
    HASH_DEL(sim->runs, run);
    kp_heap_remove(&sim->ends, &run->end);
    kp_target_unref(run->target);
    kp_free(run);
}

static inline void sim_end_all(struct sim *sim)
{
    struct sim_run *run, *next;
    HASH_ITER (hh, sim->runs, run, next)
        sim_end_run(sim, run, KP_OUTCOME_CANCELLED);
}

static inline void sim_on_cancel(void *user, uint64_t order_id)
{
    struct sim *sim = user;
    struct sim_run *run;
    HASH_FIND(hh, sim->runs, &order_id, sizeof order_id, run);
    if (run != NULL)
        kp_heap_set(&sim->ends, &run->end, sim->now); // ends at the next step
}

// ---- the clock ----

static inline int64_t sim_end_due(struct sim *sim)
{
    struct kp_heap_node *first;
    while ((first = kp_heap_first(&sim->ends)) != NULL && first->due_ms <= sim->now)
        sim_end_run(sim, kp_container_of(first, struct sim_run, end), KP_OUTCOME_SUCCEEDED);
    return first != NULL ? first->due_ms : INT64_MAX;
}

static inline void sim_advance(struct sim *sim, int64_t until)
{
    while (sim->now < until) {
        int64_t next_end = sim_end_due(sim);
        int64_t next = kp_plan_run(sim->plan, sim->now, sim_on_order, sim);
        assert_true(next > sim->now);
        int64_t ends_again = sim_end_due(sim);
        next = next_end < next ? next_end : next;
        next = ends_again < next ? ends_again : next;
        sim->now = next < until ? next : until;
    }
}

static inline void sim_no_cancel(void *user, uint64_t order_id)
{
    (void)user;
    (void)order_id;
}

static inline void sim_set_workload(struct sim *sim, size_t w)
{
    struct fixture_workload *workload = &sim->cluster.workloads[w];
    kp_plan_set_workload(
        sim->plan, workload->key, workload->targets.items, workload->targets.n, sim->now, sim_on_cancel, sim);
    if (sim->standby != NULL)
        kp_plan_set_workload(sim->standby, workload->key, workload->targets.items, workload->targets.n,
            sim->now, sim_no_cancel, sim);
}

static inline struct kp_plan *sim_plan(struct sim *sim)
{
    struct kp_plan *plan = kp_plan_create(&sim->limits, NULL);
    for (size_t w = 0; w < sim->cluster.n; w++) {
        struct fixture_workload *workload = &sim->cluster.workloads[w];
        kp_plan_set_workload(
            plan, workload->key, workload->targets.items, workload->targets.n, sim->now, sim_no_cancel, sim);
    }
    return plan;
}

// ---- looking at all targets ----

static inline void sim_look_at(
    void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    struct sim *sim = user;
    for (size_t i = 0; i < target->n_wanted; i++) {
        struct sim_track *track = sim_track_get(sim, sim_track_id(target, profiles[i].wanted->type));
        if (profiles[i].sampled) {
            sim->expected_per_s += 1000.0 / (double)profiles[i].interval_ms;
            if (!track->sampled) {
                track->since_ms = sim->now;
                track->interval_ms = profiles[i].interval_ms;
                track->reign = sim->reign;
            }
            int64_t since = track->start_ms > track->since_ms ? track->start_ms : track->since_ms;
            sim->n_silent += sim_too_long(sim, track, since, profiles[i].interval_ms) ? 1 : 0;
        }
        track->sampled = profiles[i].sampled;
    }
}

// Notes who is sampled, and who is but is not captured.
static inline void sim_look(struct sim *sim)
{
    sim->expected_per_s = 0;
    kp_plan_each_target(sim->plan, sim->now, sim_look_at, sim);
}

// The same, with a look now and then.
static inline void sim_watch(struct sim *sim, int64_t until)
{
    while (sim->now < until) {
        int64_t next = sim->now + 5 * SIM_MINUTE;
        sim_advance(sim, next < until ? next : until);
        sim_look(sim);
    }
}

// ---- life ----

static inline void sim_open(
    struct sim *sim, size_t n_workloads, size_t pods_each, uint64_t seed, int64_t hours)
{
    *sim = (struct sim){.now = SIM_START_MS,
        .random = seed,
        .limits = {.per_node = 5, .per_namespace = 100000, .total = 2000, .bytes_in_flight = INT64_MAX / 2}};
    sim->seconds = (size_t)(hours * 3600);
    sim->per_second = kp_calloc(sim->seconds, sizeof *sim->per_second);
    fixture_cluster_make(&sim->cluster, n_workloads, pods_each, seed, SIM_START_MS - 2 * SIM_HOUR);
    sim->plan = sim_plan(sim);
}

static inline void sim_tallies_free(struct sim_tally **map)
{
    struct sim_tally *tally, *next;
    HASH_ITER (hh, *map, tally, next) {
        HASH_DEL(*map, tally);
        kp_free(tally->key);
        kp_free(tally);
    }
}

static inline void sim_close(struct sim *sim)
{
    struct sim_track *track, *next;
    sim_end_all(sim);
    kp_array_free(&sim->keys);
    HASH_ITER (hh, sim->tracks, track, next) {
        HASH_DEL(sim->tracks, track);
        kp_free(track);
    }
    sim_tallies_free(&sim->nodes);
    sim_tallies_free(&sim->pods);
    sim_tallies_free(&sim->workloads);
    kp_heap_finish(&sim->ends);
    kp_plan_destroy(sim->plan);
    kp_plan_destroy(sim->standby);
    fixture_cluster_free(&sim->cluster);
    kp_free(sim->per_second);
}

static inline int sim_busiest(const struct sim_tally *map)
{
    int most = 0;
    for (const struct sim_tally *tally = map; tally != NULL; tally = tally->hh.next)
        most = tally->max > most ? tally->max : most;
    return most;
}

static inline void sim_check_promises(const struct sim *sim)
{
    assert_int_equal(sim_duplicates(sim), 0);
    assert_int_equal(sim->n_overlaps, 0);
    assert_int_equal(sim->n_over_limit, 0);
    if (sim->n_gaps > 0)
        fail_msg("%zu gaps, first: %s", sim->n_gaps, sim->first_gap);
    assert_int_equal(sim->n_silent, 0);
    assert_true(sim->n_starts > 0);
}

#endif
