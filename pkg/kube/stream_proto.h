// The protobuf half of stream.h: what the API server sends as application/vnd.kubernetes.protobuf
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding). A list is "k8s\0" and a
// runtime.Unknown whose field 2 is the list: its field 1 the ListMeta, its field 2 the objects. A watch is
// frames: four bytes of length, most significant first, and a WatchEvent. Internal to kube.
#ifndef KP_KUBE_STREAM_PROTO_H
#define KP_KUBE_STREAM_PROTO_H

#include "kube/stream.h"

#define KP_PROTOBUF_MAGIC "k8s" // with the NUL behind it

struct kp_proto_stream;

// Whether an answer that begins with this byte is protobuf, not JSON.
bool kp_proto_stream_begins(enum kp_stream_kind kind, unsigned char first);

struct kp_proto_stream *kp_proto_stream_create(
    enum kp_stream_kind kind, size_t max_object, kp_stream_object_fn on_object, void *user);
void kp_proto_stream_destroy(struct kp_proto_stream *stream); // NULL is fine
// As kp_stream_feed and kp_stream_end.
KP_MUST_CHECK int kp_proto_stream_feed(
    struct kp_proto_stream *stream, const uint8_t *data, size_t len, struct kp_error *err);
KP_MUST_CHECK int kp_proto_stream_end(const struct kp_proto_stream *stream, struct kp_error *err);
const char *kp_proto_stream_continue(const struct kp_proto_stream *stream);
const char *kp_proto_stream_resource_version(const struct kp_proto_stream *stream);

#endif
