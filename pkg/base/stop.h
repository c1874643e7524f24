// When work for somebody is to be given up: they have left, or it takes too long. Handed down to whatever may
// take long, which asks now and then.
#ifndef KP_BASE_STOP_H
#define KP_BASE_STOP_H

#include <stdint.h>

#include "base/error.h"

struct kp_stop {
    const int *cancelled; // atomic; becomes not 0 when nobody waits any more. NULL = never
    int64_t deadline_ms;  // of kp_mono_ms(); 0 = none
};

// 0: go on; KP_CANCELED; KP_TIMEOUT. stop may be NULL.
KP_MUST_CHECK int kp_stop_check(const struct kp_stop *stop, struct kp_error *err);

#endif
