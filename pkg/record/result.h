// What came of one order: capture makes it, the controller hands the bytes on to the sink and the outcome to
// plan and status.
#ifndef KP_RECORD_RESULT_H
#define KP_RECORD_RESULT_H

#include <stdint.h>

#include "base/blob.h"
#include "base/outcome.h"
#include "record/record.h"

struct kp_capture_result {
    uint64_t order_id;
    enum kp_outcome outcome; // KP_OUTCOME_SUCCEEDED here means: bytes are in hand, not yet delivered
    char message[240];       // the sentence for people; "" on success. Never a body, a header or a secret
    int http_status;
    int64_t started_ms, ended_ms; // wall clock
    int64_t busy_ms;              // how long the target worked (first byte to last for snapshots)
    size_t bytes;
    struct kp_record record; // filled whole, on success
    struct kp_blob *body;    // on success; one reference belongs to the result
};

void kp_capture_result_finish(struct kp_capture_result *result);

#endif
