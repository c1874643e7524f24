// What the API server says when something is wrong: a Status object, JSON or protobuf, or whatever a proxy in
// front of it sends instead. Internal to kube.
#ifndef KP_KUBE_FAILURE_H
#define KP_KUBE_FAILURE_H

#include <stddef.h>

#include "base/error.h"
#include "kube/watch_event.h"

// Fills err (code, http_status, retry_after_s, sentence) from an answer that is not 2xx; returns the code.
// what: "GET /api/v1/pods", used when the body is no Status. retry_after_s: of the header.
int kp_failure_read(
    int http_status, const char *body, size_t len, const char *what, int retry_after_s, struct kp_error *err);
// From the object of a watch's ERROR event.
int kp_failure_read_event(const struct kp_watch_event *event, struct kp_error *err);

#endif
