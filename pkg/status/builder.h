// The status of one policy as JSON, and what of it changed. Pure: the clock is an argument.
#ifndef KP_STATUS_BUILDER_H
#define KP_STATUS_BUILDER_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "status/status.h"

enum kp_condition {
    KP_COND_READY,
    KP_COND_ACCEPTED,
    KP_COND_DISCOVERED,
    KP_COND_FEASIBLE,
    KP_COND_SUCCEEDING,
    KP_COND_COUNT
};

enum kp_condition_status { KP_COND_UNKNOWN, KP_COND_TRUE, KP_COND_FALSE };

struct kp_condition_state {
    enum kp_condition_status status;
    char reason[64];
    char message[480];
    int64_t since_ms; // lastTransitionTime
};

struct kp_type_counts {
    char type[KP_MAX_TYPE_NAME + 1];
    uint64_t succeeded, failed, skipped;
    int64_t last_success_ms;
    enum kp_outcome last_result;
};

// What is remembered of a policy between writes.
struct kp_policy_status {
    struct kp_condition_state conditions[KP_COND_COUNT];
    struct kp_type_counts types[KP_STATUS_MAX_TYPES];
    size_t n_types;
    int64_t since_ms, last_capture_ms;
};

const char *kp_condition_name(enum kp_condition condition);

// Takes conditions, transition times, lastCaptureTime and last successes over from an object as the API
// server has it: at first sight, and again while another replica writes.
void kp_policy_status_adopt(struct kp_policy_status *status, const json_t *object);

// This replica begins to count: what it counted before is not what was captured since.
void kp_policy_status_restart(struct kp_policy_status *status, int64_t now_ms);

// The types of the policy, in its order; counts of those that stay are kept.
void kp_policy_status_set_types(struct kp_policy_status *status, const struct kp_policy *policy);
// time_ms: when it was captured. Times further ahead than KP_STATUS_AHEAD_MS are given up for it: the clock
// was set back.
#define KP_STATUS_AHEAD_MS 60000
void kp_policy_status_count(struct kp_policy_status *status, const char *type, enum kp_outcome outcome,
    int64_t time_ms, int64_t now_ms);

// Whether there is nothing to say now: caches are being read (or read anew) without trouble, and what was
// said before stands until they are.
bool kp_policy_status_waits(const struct kp_policy_status *status, const struct kp_policy *policy,
    const struct kp_policy_summary *summary);

// Computes the conditions anew; a transition takes now_ms. Returns whether a status or reason changed; a bit
// per condition whose status changed (Ready: or its reason) goes to ret_transitions.
bool kp_policy_status_conditions(struct kp_policy_status *status, const struct kp_policy *policy,
    const struct kp_policy_summary *summary, int64_t now_ms, unsigned *ret_transitions);

// {"observedGeneration":..., "conditions":[...], ...}: a new reference.
json_t *kp_policy_status_json(const struct kp_policy_status *status, const struct kp_policy *policy,
    const struct kp_policy_summary *summary);

#endif
