// Targets x clock -> orders: slots, spread, sampling per revision with rotation, budgets, concurrency,
// stretching (design: see docs/architecture.md "Scheduling"). Pure: no I/O, the clock is an argument, one
// heap of workload slots, no timer per target.
//
// Level-driven: the wanted set of a workload is handed over whole and diffed with the running one; the same
// set again changes nothing. The plan owns what is known of each target: last outcomes, next captures,
// stretch.
#ifndef KP_PLAN_PLAN_H
#define KP_PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "base/outcome.h"
#include "target/target.h"

struct kp_plan;

struct kp_plan_limits {      // zeroes mean the defaults written here
    int per_node;            // 5 captures at once
    int per_namespace;       // 100
    int total;               // 500
    int64_t bytes_in_flight; // 64 MiB of bodies (each running capture counts its expected size)
    double captures_per_second_per_namespace; // 0 = no cap
    int64_t max_stretch_ms;                   // an interval is never stretched beyond this: 24 h
};

struct kp_order {
    uint64_t id;
    const struct kp_target *target; // one reference, the receiver's
    const struct kp_wanted *wanted; // inside target
    // Start of the slot: goes into the capture key. After the clock was set back it is some milliseconds more
    // in slots that were open before, so that their captures are not taken for those of then.
    int64_t slot_ms;
    int64_t start_ms;            // when it was due
    int64_t interval_ms;         // stretched
    int64_t duration_ms;         // 0 for snapshots
    uint32_t sample_k, sample_n; // of this revision now
    bool probe;                  // hourly look whether a contended profile is free again
};

struct kp_plan *kp_plan_create(const struct kp_plan_limits *limits, struct kp_metrics *metrics);
void kp_plan_destroy(struct kp_plan *plan);

// Replaces what is wanted of one workload ("namespace/Kind/name"); targets are referenced. An empty set
// removes it. Orders running on a target that is gone are handed to on_cancel. Adding and dropping counts are
// returned for the log.
struct kp_plan_diff {
    size_t added, removed, changed;
};
struct kp_plan_diff kp_plan_set_workload(struct kp_plan *plan, const char *workload,
    struct kp_target *const *targets, size_t n, int64_t now_ms,
    void (*on_cancel)(void *user, uint64_t order_id), void *user);

// The same in parts, for workloads so large that it would hold the loop: begun with the set, whose targets
// are referenced; step by step, each of at most so many targets or of one profile type of all; ended when a
// step returns true, or before (NULL is fine). Until then what was put is sampled and captured only where a
// slot opens meanwhile, and what the set lacks stays. Of two sets of a workload the one that was begun last
// wins, unless that is empty.
struct kp_plan_update;
struct kp_plan_update *kp_plan_update_begin(
    struct kp_plan *plan, const char *workload, struct kp_target *const *targets, size_t n);
bool kp_plan_update_step(struct kp_plan_update *update, size_t most, int64_t now_ms,
    void (*on_cancel)(void *user, uint64_t order_id), void *user);
struct kp_plan_diff kp_plan_update_end(struct kp_plan_update *update);

// Puts target in place of the one with its key, when nothing but what a capture takes along differs (labels,
// service, the pod's status): its appointments stay as they are. False: nothing was done, hand over the whole
// set.
bool kp_plan_replace_target(struct kp_plan *plan, const char *workload, struct kp_target *target,
    void (*on_cancel)(void *user, uint64_t order_id), void *user);

// Gives every order that is due and within limits; the rest waits or is skipped as Throttled (counted).
// Returns when to call again (wall clock), at the latest now_ms + 60 s; earlier changes (set_workload,
// finish) need a call as well. Stretches are computed over several calls, each of about 4 000 profiles of
// targets.
int64_t kp_plan_run(
    struct kp_plan *plan, int64_t now_ms, void (*on_order)(void *user, struct kp_order *order), void *user);

// Another replica ran the schedule until now, with a plan of its own: what was due meanwhile is not made up
// for and not counted as missed, only a pod that just came is still captured soon. What is to come stays.
void kp_plan_take_over(struct kp_plan *plan, int64_t now_ms);

// The capture is over: frees its place, learns size and time for the overhead estimate. bytes, busy_ms: of
// the target's work.
void kp_plan_finish(struct kp_plan *plan, uint64_t order_id, size_t bytes, int64_t busy_ms, int64_t now_ms);
// The final outcome (after the registry answered, or at once where nothing was delivered): kept as the
// target's last result; Busy three times running turns into Contended. target_key and type identify, since
// the order may be long over. Returns the outcome that counts.
enum kp_outcome kp_plan_outcome(struct kp_plan *plan, const char *target_key, const char *type,
    enum kp_outcome outcome, const char *message, int64_t start_ms, int64_t now_ms);

// ---- what is known, for status and the registry ----
struct kp_plan_profile {
    const struct kp_wanted *wanted;
    bool sampled;                 // now
    int64_t interval_ms;          // stretched
    int64_t next_ms;              // as things stand; 0 = not sampled
    enum kp_outcome last_outcome; // NONE before the first
    const char *message;          // borrowed, "" if none
    int64_t last_ms, last_success_ms;
};
// Every target with its profiles (as many as target->n_wanted), in one pass.
void kp_plan_each_target(struct kp_plan *plan, int64_t now_ms,
    void (*each)(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles),
    void *user);
// Of one workload only; false if it is not known.
bool kp_plan_each_of_workload(struct kp_plan *plan, const char *workload, int64_t now_ms,
    void (*each)(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles),
    void *user);
// Of one workload, from the from-th on at most so many; returns how many there were.
size_t kp_plan_each_some(struct kp_plan *plan, const char *workload, size_t from, size_t most, int64_t now_ms,
    void (*each)(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles),
    void *user);

// Does the schedule of a policy fit? Numbers over the last computed schedule.
struct kp_feasible {
    bool ok;
    double asked_per_minute, possible_per_minute; // captures
    const char *
        reason; // "Fits", "OverheadBudget", "ConcurrencyPerWorkload", "ConcurrencyPerNode", "ByteBudget", ...
    char message[240]; // asked, possible, what stretched: numbers a person can check
};
void kp_plan_feasible(struct kp_plan *plan, const char *policy_key, int64_t now_ms, struct kp_feasible *ret);

// Samples and stretches at once, without waiting for changes to settle and without orders: for those who only
// want to know what a schedule would be.
void kp_plan_settle(struct kp_plan *plan, int64_t now_ms);

// ---- pieces, tested alone ----
// Share of a process' CPU, in percent, that capturing this every interval_ms costs. busy_ms: how long one
// capture keeps the target busy; it counts where the profile is read at once and 0 = not known yet.
double kp_plan_overhead_percent(const struct kp_wanted *wanted, int64_t interval_ms, int64_t busy_ms);
uint64_t kp_plan_workload_hash(const char *workload, const char *type);
// Start of slot n and the pod's place in it: o + nI + frac(rank/m + H(workload, type, n)) (I - D - 1 s).
int64_t kp_plan_slot_start(uint64_t hash, int64_t interval_ms, int64_t n);
int64_t kp_plan_slot_number(uint64_t hash, int64_t interval_ms, int64_t now_ms);
int64_t kp_plan_place(
    uint64_t hash, int64_t n, int64_t interval_ms, int64_t duration_ms, size_t rank, size_t m);

#endif
