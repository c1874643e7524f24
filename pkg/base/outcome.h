// What can come of a capture: one closed list for metrics, status reasons, the registry and people.
#ifndef KP_BASE_OUTCOME_H
#define KP_BASE_OUTCOME_H

#include <stdbool.h>

enum kp_outcome {
    KP_OUTCOME_NONE, // no attempt yet
    KP_OUTCOME_SUCCEEDED,
    // skipped: neutral
    KP_OUTCOME_BUSY,      // another profiler holds the CPU profile
    KP_OUTCOME_CONTENDED, // it did three times running: asked hourly only
    KP_OUTCOME_THROTTLED, // our own budget
    KP_OUTCOME_POD_GONE,
    KP_OUTCOME_CANCELLED,
    KP_OUTCOME_NOT_SERVED, // 404
    KP_OUTCOME_EMPTY,
    // failed
    KP_OUTCOME_UNREACHABLE,
    KP_OUTCOME_TIMEOUT,
    KP_OUTCOME_HTTP_ERROR,
    KP_OUTCOME_NOT_PPROF,
    KP_OUTCOME_INVALID, // the registry refused it
    KP_OUTCOME_TOO_LARGE,
    KP_OUTCOME_DENIED, // 401, 403
    KP_OUTCOME_TLS_ERROR,
    KP_OUTCOME_REFUSED,     // address or path not allowed; nothing was sent
    KP_OUTCOME_UNDELIVERED, // spool full
    KP_OUTCOME_STORE_FULL,
    KP_OUTCOME_COUNT
};

enum kp_outcome_class { KP_CLASS_NONE, KP_CLASS_SUCCEEDED, KP_CLASS_SKIPPED, KP_CLASS_FAILED };

struct kp_outcome_info {
    const char *name; // "Unreachable": status reason and metric label
    enum kp_outcome_class class;
    const char *advice; // one sentence: what to do about it
};

const struct kp_outcome_info *kp_outcome_info(enum kp_outcome outcome); // never NULL
bool kp_outcome_parse(const char *name, enum kp_outcome *ret);

#endif
