// Writes down one HTTP request and its answer for whoever wants to see them. Internal to kube.
#ifndef KP_KUBE_RECORDER_H
#define KP_KUBE_RECORDER_H

#include "aio/http.h"

struct kp_kube;
struct kp_recorder;

// Puts itself between the request's callbacks and curl; on_done ends it. url and headers as they will be
// sent. What it notes goes to kube->on_exchange, just before the request's own on_done.
struct kp_recorder *kp_recorder_create(struct kp_kube *kube, struct kp_http_request *http);
void kp_recorder_destroy(struct kp_recorder *recorder); // the request was not started; NULL is fine

#endif
