// Cuts what the API server sends into single objects while it comes in, wherever the pieces break. As JSON a
// watch is one object after another (newlines are not relied on), a list is one object whose "items" are
// handed out one at a time; of protobuf see stream_proto.h. Which of them it is the first byte tells. Memory
// is one object. Pure. Internal to kube.
#ifndef KP_KUBE_STREAM_H
#define KP_KUBE_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/strbuf.h"

struct kp_stream;

enum kp_stream_kind { KP_STREAM_WATCH, KP_STREAM_LIST };
enum kp_encoding { KP_ENCODING_JSON, KP_ENCODING_PROTOBUF };

// data is the object's JSON text or its message, valid for the call only. Returning false stops the stream:
// nothing more is handed out.
typedef bool (*kp_stream_object_fn)(void *user, const char *data, size_t len);

// KP_STREAM_WATCH: on_object gets each event. KP_STREAM_LIST: each element of "items". An object larger than
// max_object is KP_LIMIT.
struct kp_stream *kp_stream_create(
    enum kp_stream_kind kind, size_t max_object, kp_stream_object_fn on_object, void *user);
void kp_stream_destroy(struct kp_stream *stream);

// KP_INVALID: not what the API server sends (HTML ...). After an error or a stop nothing more is taken.
KP_MUST_CHECK int kp_stream_feed(
    struct kp_stream *stream, const void *data, size_t len, struct kp_error *err);
// The answer is over. KP_NETWORK if it broke off inside an object or before the end of the list.
KP_MUST_CHECK int kp_stream_end(const struct kp_stream *stream, struct kp_error *err);

// Of what came so far; JSON before anything came.
enum kp_encoding kp_stream_encoding(const struct kp_stream *stream);
// Of a list, once it has ended; "" if missing.
const char *kp_stream_continue(const struct kp_stream *stream);
const char *kp_stream_resource_version(const struct kp_stream *stream);

#endif
