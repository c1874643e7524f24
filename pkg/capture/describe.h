// The record of a capture: everything nobody can reconstruct later. Pure.
#ifndef KP_CAPTURE_DESCRIBE_H
#define KP_CAPTURE_DESCRIBE_H

#include "plan/plan.h"
#include "record/record.h"

// Initialises and fills ret; kp_record_finish() frees it.
void kp_capture_describe(
    const struct kp_order *order, int64_t start_ms, int64_t end_ms, struct kp_record *ret);

#endif
