// The state of targets as the controller posts it to the registry, one batch per namespace: the wanted set,
// pods left out and why, last results. Encoded with base/wire for POST /api/v1/targets; the registry keeps
// the newest batch per namespace.
#ifndef KP_RECORD_STATE_H
#define KP_RECORD_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/outcome.h"
#include "base/strbuf.h"

struct kp_profile_state {
    char *type;
    int64_t interval_ms, duration_ms; // as scheduled now, stretched
    int64_t next_ms;                  // next capture, 0 = not planned
    int64_t last_ms, last_success_ms;
    enum kp_outcome last_outcome;
    char *message;
};

struct kp_target_state {
    char *pod, *pod_uid, *node, *container, *workload; // workload: "Deployment/checkout"
    char *service, *policies;
    uint32_t port;
    bool sampled;
    char *left_out_reason; // NULL for a target; then port, profiles are empty and message says why
    char *message;
    KP_ARRAY(struct kp_profile_state) profiles;
};

struct kp_state_batch {
    char *namespace;
    int64_t time_ms;
    bool truncated; // more targets than fit
    KP_ARRAY(struct kp_target_state) targets;
};

#define KP_STATE_MEDIA_TYPE  "application/vnd.kube-pprof.targets"
#define KP_STATE_MAX_TARGETS 20000
#define KP_STATE_MAX_BYTES   (KP_MAX_PROFILE_BYTES / 2)

void kp_state_batch_finish(struct kp_state_batch *batch);
// Several, one behind the other, read as one batch: one with all but targets, and then those some at a time.
void kp_state_batch_encode(const struct kp_state_batch *batch, struct kp_strbuf *out);
KP_MUST_CHECK int kp_state_batch_decode(
    const void *data, size_t len, struct kp_state_batch *ret, struct kp_error *err);

#endif
