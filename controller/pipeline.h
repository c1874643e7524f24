// The way of a capture: order (plan) -> secrets -> capture -> confirm -> sink -> outcome (plan, status).
// Wiring only: every rule lives in the module it belongs to.
#ifndef KP_CONTROLLER_PIPELINE_H
#define KP_CONTROLLER_PIPELINE_H

#include <stdbool.h>

#include "capture/capture.h"
#include "controller/confirm.h"
#include "controller/inventory.h"
#include "controller/nodes.h"
#include "controller/secrets.h"
#include "plan/plan.h"
#include "sink/sink.h"
#include "status/status.h"

struct kp_pipeline;

struct kp_pipeline_options {
    struct kp_plan *plan;
    struct kp_capturer *capturer;
    struct kp_secrets *secrets;
    struct kp_nodes *nodes;
    struct kp_metrics *metrics;
    // A final outcome of one target and type was noted.
    void (*on_outcome)(void *user, const char *namespace);
    // The registry did not take a capture: its namespace has what it may. Policies as in a record.
    void (*on_limit)(void *user, const char *policies, const char *message);
    // What the endpoint of this policy refers to was read (problem NULL), or not.
    void (*on_references)(void *user, const char *policy_key, const char *problem);
    // By the clock, whatever was told last: whether a capture may start now, and whether one that is under
    // way may go on. NULL = always. Asked before each start and at each end.
    bool (*may_start)(void *user);
    bool (*may_go_on)(void *user);
    void *user;
};

struct kp_pipeline *kp_pipeline_create(struct kp_loop *loop, const struct kp_pipeline_options *options);
// The rest of the way, made after the pipeline because they call back into it. Borrowed.
void kp_pipeline_connect(struct kp_pipeline *pipeline, struct kp_inventory *inventory,
    struct kp_confirm *confirm, struct kp_sink *sink, struct kp_statuses *statuses);
void kp_pipeline_destroy(struct kp_pipeline *pipeline);

// Whether orders may start (leader, caches complete, lease held).
void kp_pipeline_set_running(struct kp_pipeline *pipeline, bool running);
// The wanted set changed: asks the plan at the next turn.
void kp_pipeline_kick(struct kp_pipeline *pipeline);
// An order's target is gone: its capture ends as PodGone, or as Cancelled if the pod still stands.
void kp_pipeline_cancel(struct kp_pipeline *pipeline, uint64_t order_id);

// All that run end, as Cancelled: another replica may begin with them.
void kp_pipeline_cancel_all(struct kp_pipeline *pipeline);

// Bytes of profiles that confirm and sink hold in memory. To be handed to the capturer, with the place where
// the pipeline will be: NULL before.
size_t kp_pipeline_held(void *place);
// To be handed to confirm and sink.
void kp_pipeline_on_verdict(
    void *pipeline, struct kp_capture_result *result, enum kp_outcome outcome, const char *message);
void kp_pipeline_on_delivered(
    void *pipeline, const struct kp_record *record, enum kp_outcome outcome, const char *message);

#endif
