// What is known of every policy and target, told to people: summaries for the status writer, state batches
// for the registry. Recomputed in one pass a while after something changed.
#ifndef KP_CONTROLLER_REPORT_H
#define KP_CONTROLLER_REPORT_H

#include <stdbool.h>

#include "controller/inventory.h"
#include "plan/plan.h"
#include "sink/sink.h"
#include "status/status.h"

struct kp_report;

struct kp_report_options {
    struct kp_plan *plan;
    struct kp_inventory *inventory;
    struct kp_statuses *statuses;
    struct kp_sink *sink;
    struct kp_metrics *metrics;
    // Whether the caches are complete; else why not (may stay NULL).
    bool (*synced)(void *user, const char **ret_trouble);
    // What a policy that was read may have missed since, NULL = nothing.
    const char *(*trouble_of)(void *user, const char *policy_key);
    bool (*may_post)(void *user); // by the clock, asked before each post; NULL = always
    void *user;
};

struct kp_report *kp_report_create(struct kp_loop *loop, const struct kp_report_options *options);
void kp_report_destroy(struct kp_report *report);

// Something changed: policies' summaries (namespace NULL: only those), and the state of that namespace's
// targets.
void kp_report_touch(struct kp_report *report, const char *namespace);
// What a policy refers to (Secrets, ConfigMaps) could not be read; NULL: it could.
void kp_report_references(struct kp_report *report, const char *policy_key, const char *problem);
// The registry refused a capture because its namespace has what it may: policies as in a record.
void kp_report_limit(struct kp_report *report, const char *policies, const char *message);
// The registry may have lost the states of targets: all are posted again.
void kp_report_post_again(struct kp_report *report);
// Only the leader posts.
void kp_report_set_posting(struct kp_report *report, bool posting);

#endif
