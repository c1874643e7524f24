// Kubernetes Events (events.k8s.io/v1) with series, rate-limited and bounded. One per state change, never per
// scrape.
#ifndef KP_KUBE_EVENTS_H
#define KP_KUBE_EVENTS_H

#include <stdbool.h>

#include "kube/client.h"

struct kp_events;

struct kp_event_object { // what it is about; strings are copied
    const char *api_version, *kind, *namespace, *name, *uid;
};

// reporting: "kube-pprof.dev/controller"; instance: pod name.
struct kp_events *kp_events_create(struct kp_kube *kube, const char *reporting, const char *instance);
void kp_events_destroy(struct kp_events *events);
// warning: type Warning instead of Normal. note: at most 1024 bytes. Repeats within 6 minutes become a
// series.
void kp_events_add(struct kp_events *events, const struct kp_event_object *about, bool warning,
    const char *reason, const char *action, const char *note);

#endif
