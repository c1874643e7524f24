// One event of a watch taken apart without a tree. Pure. Internal to kube.
#ifndef KP_KUBE_WATCH_EVENT_H
#define KP_KUBE_WATCH_EVENT_H

#include "kube/stream.h"

enum kp_watch_type { KP_WATCH_ADDED, KP_WATCH_MODIFIED, KP_WATCH_DELETED, KP_WATCH_BOOKMARK, KP_WATCH_ERROR };

struct kp_watch_event {
    enum kp_watch_type type;
    enum kp_encoding encoding;
    const char *object; // its JSON text, or its message, within the event's
    size_t len;
};
KP_MUST_CHECK int kp_watch_event_parse(enum kp_encoding encoding, const char *data, size_t len,
    struct kp_watch_event *ret, struct kp_error *err);

struct kp_bookmark {
    char resource_version[64];
    bool initial_events_end;
};
KP_MUST_CHECK int kp_bookmark_parse(
    const struct kp_watch_event *event, struct kp_bookmark *ret, struct kp_error *err);

// The message within what the API server sends as protobuf: "k8s\0" and a runtime.Unknown, whose field 2 it
// is. false if it is nothing of the kind.
bool kp_protobuf_open(const char *data, size_t len, const char **ret_object, size_t *ret_len);

#endif
