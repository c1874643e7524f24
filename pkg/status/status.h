// Outcomes -> conditions, counters -> the status of a policy, and when to write it. The builder is pure (json
// in, json out); the writer applies it with kube, few and late: see docs/architecture.md "Status".
#ifndef KP_STATUS_STATUS_H
#define KP_STATUS_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/outcome.h"
#include "kube/client.h"
#include "kube/events.h"
#include "policy/policy.h"

#define KP_STATUS_MAX_TYPES    KP_MAX_PROFILES
#define KP_STATUS_MAX_FAILURES 10

// What is true of a policy now: the controller fills it from verdicts and plan.
struct kp_policy_summary {
    bool synced;             // caches are complete; false: TargetsDiscovered Unknown
    const char *trouble;     // why they are not (403 on pods ...) or cannot be kept up, or NULL
    bool refs_checked;       // references (Secrets) were looked up
    const char *ref_problem; // NULL = all resolve
    uint32_t matched;        // pods that match, scrapable or not
    uint32_t selected;       // targets
    uint32_t sampled, failing, left_out;
    uint64_t spooled;
    const char *spool_trouble; // why they wait, NULL if they are on their way
    bool feasible;
    const char *feasible_reason, *feasible_message;
    size_t n_types;
    struct kp_type_summary {
        const char *type;
        uint32_t tried, failed; // sampled targets with a last attempt; of those, whose last attempt failed
    } types[KP_STATUS_MAX_TYPES];
    size_t n_failures;
    struct kp_failure_summary { // by reason: failures of captures, then reasons of pods left out that count
        const char *reason, *type, *namespace, *pod, *container, *message;
        uint32_t targets;
        int64_t time_ms;
    } failures[KP_STATUS_MAX_FAILURES];
};

struct kp_statuses;

// events may be NULL. field_manager: "kube-pprof-controller".
struct kp_statuses *kp_statuses_create(struct kp_loop *loop, struct kp_kube *kube, struct kp_events *events,
    const char *field_manager, struct kp_metrics *metrics);
// Call after kp_kube_destroy(), so that no answer is outstanding.
void kp_statuses_destroy(struct kp_statuses *statuses);

// A policy came or changed; `object` as cached (status inside: conditions, transition times and
// lastCaptureTime are taken over from it at first sight).
void kp_statuses_set_policy(
    struct kp_statuses *statuses, const struct kp_policy *policy, const json_t *object);
void kp_statuses_drop_policy(struct kp_statuses *statuses, const char *policy_key);
// One final outcome of one policy's capture: counters and times per type.
void kp_statuses_count(struct kp_statuses *statuses, const char *policy_key, const char *type,
    enum kp_outcome outcome, int64_t time_ms);
// The current state; call when something changed and every few seconds: what is due by the clock, or failed,
// is written then. Decides what to write and when.
void kp_statuses_update(struct kp_statuses *statuses, const char *policy_key,
    const struct kp_policy_summary *summary, int64_t now_ms);
// Sets the gauges of all policies together: conditions, the last capture that was stored. Call after a round
// of updates. A replica that does not write tells what the one that does has written.
void kp_statuses_measure(struct kp_statuses *statuses);
// Why the status of some policy could not be written the last time, a sentence, borrowed until the loop
// turns; NULL = all were.
const char *kp_statuses_trouble(const struct kp_statuses *statuses);
// Only the leader writes.
void kp_statuses_set_writing(struct kp_statuses *statuses, bool writing);
// Writes what waits, for at most grace_ms, then calls on_flushed.
void kp_statuses_flush(struct kp_statuses *statuses, int64_t grace_ms, kp_loop_fn on_flushed, void *user);

#endif
