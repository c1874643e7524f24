#include "kube/stream_proto.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/proto.h"
#include "base/text.h"

#include "base/banned.h"

enum {
    KEEP_BYTES = 256 * KP_KIB, // of memory between objects
    HEAD_BYTES = 4,            // the magic of a list, the length of a frame
    MAX_VARINT = 10,
    FIELD_LIST = 2,     // of Unknown
    FIELD_METADATA = 1, // of a list
    FIELD_ITEM = 2,
};

enum place { AT_HEAD, AT_TAG, AT_NUMBER, AT_LENGTH, AT_SKIP, AT_OBJECT };

struct kp_proto_stream {
    enum kp_stream_kind kind;
    size_t max_object;
    kp_stream_object_fn on_object;
    void *user;
    enum place place;
    uint8_t head[HEAD_BYTES];
    size_t n_head; // bytes of head, or of a varint, that came
    uint64_t varint, field;
    uint64_t left;            // of what is stepped over or handed out
    uint64_t list_left;       // in the list
    bool in_list, whole_list; // whether we are in it; whether it is over
    bool stopped, failed;
    struct kp_strbuf partial; // the object in hand, as far as it came in earlier pieces
    char *continue_token;
    char resource_version[64];
};

bool kp_proto_stream_begins(enum kp_stream_kind kind, unsigned char first)
{
    // no frame is as long as one whose length begins with a character of JSON
    return kind == KP_STREAM_LIST ? first == KP_PROTOBUF_MAGIC[0]
                                  : first < ' ' && first != '\n' && first != '\r' && first != '\t';
}

struct kp_proto_stream *kp_proto_stream_create(
    enum kp_stream_kind kind, size_t max_object, kp_stream_object_fn on_object, void *user)
{
    struct kp_proto_stream *s = KP_NEW(struct kp_proto_stream);
    s->kind = kind;
    s->max_object = max_object;
    s->on_object = on_object;
    s->user = user;
    kp_strbuf_init(&s->partial, max_object);
    return s;
}

void kp_proto_stream_destroy(struct kp_proto_stream *s)
{
    if (!s)
        return;
    kp_strbuf_finish(&s->partial);
    kp_free(s->continue_token);
    kp_free(s);
}

const char *kp_proto_stream_continue(const struct kp_proto_stream *s)
{
    return s->continue_token ? s->continue_token : "";
}

const char *kp_proto_stream_resource_version(const struct kp_proto_stream *s)
{
    return s->resource_version;
}

static int broken(struct kp_error *err)
{
    return kp_fail(
        err, KP_INVALID, "the answer is not what an API server sends: it is no protobuf of Kubernetes");
}

// ---- what is done with an object ----

static void take_metadata(struct kp_proto_stream *s, const void *data, size_t len)
{
    struct kp_proto r;
    kp_proto_start(&r, data, len);
    while (kp_proto_next(&r)) {
        if (r.type != KP_PROTO_BYTES)
            continue;
        if (r.field == 2) {
            size_t n = r.len < sizeof s->resource_version ? r.len : sizeof s->resource_version - 1;
            memcpy(s->resource_version, r.data, n);
            s->resource_version[n] = '\0';
        } else if (r.field == 3) {
            kp_free(s->continue_token);
            s->continue_token = kp_strndup((const char *)r.data, r.len);
        }
    }
}

static void take_object(struct kp_proto_stream *s, const void *data, size_t len)
{
    if (s->kind == KP_STREAM_LIST && s->field == FIELD_METADATA)
        take_metadata(s, data, len);
    else if (!s->on_object(s->user, data, len))
        s->stopped = true;
}

static void next_place(struct kp_proto_stream *s)
{
    s->place = s->kind == KP_STREAM_WATCH ? AT_HEAD : AT_TAG;
    s->n_head = 0;
    s->varint = 0;
    if (s->in_list && s->list_left == 0) {
        s->in_list = false;
        s->whole_list = true;
    }
}

// Whole in this piece it is not copied.
static size_t step_object(struct kp_proto_stream *s, const uint8_t *data, size_t len)
{
    size_t n = s->left < len ? (size_t)s->left : len;
    bool done = n == s->left;
    s->left -= n;
    if (s->in_list)
        s->list_left -= n;
    if (done && s->partial.len == 0) {
        take_object(s, data, n);
        next_place(s);
        return n;
    }
    kp_strbuf_add(&s->partial, (const char *)data, n);
    if (!done)
        return n;
    take_object(s, s->partial.data, s->partial.len);
    if (s->partial.cap > KEEP_BYTES) {
        kp_strbuf_finish(&s->partial);
        kp_strbuf_init(&s->partial, s->max_object);
    }
    kp_strbuf_clear(&s->partial);
    next_place(s);
    return n;
}

// ---- between objects ----

static int begin_object(struct kp_proto_stream *s, uint64_t len, struct kp_error *err)
{
    if (len > s->max_object)
        return kp_fail(err, KP_LIMIT, "an object in the answer is larger than %zu bytes", s->max_object);
    s->left = len;
    s->place = AT_OBJECT;
    if (len == 0) {
        take_object(s, "", 0);
        next_place(s);
    }
    return KP_OK;
}

static void begin_skip(struct kp_proto_stream *s, uint64_t len)
{
    s->left = len;
    s->place = AT_SKIP;
    if (len == 0)
        next_place(s);
}

static int head_done(struct kp_proto_stream *s, struct kp_error *err)
{
    const uint8_t *h = s->head;
    if (s->kind == KP_STREAM_WATCH)
        return begin_object(s, (uint64_t)h[0] << 24 | (uint64_t)h[1] << 16 | (uint64_t)h[2] << 8 | h[3], err);
    if (memcmp(h, KP_PROTOBUF_MAGIC, HEAD_BYTES) != 0)
        return broken(err);
    next_place(s);
    return KP_OK;
}

static int tag_done(struct kp_proto_stream *s, struct kp_error *err)
{
    s->field = s->varint >> 3;
    s->n_head = 0;
    unsigned type = s->varint & 7;
    s->varint = 0;
    switch (type) {
    case KP_PROTO_VARINT:
        s->place = AT_NUMBER;
        return KP_OK;
    case KP_PROTO_BYTES:
        s->place = AT_LENGTH;
        return KP_OK;
    case KP_PROTO_FIXED64:
    case KP_PROTO_FIXED32:
        begin_skip(s, type == KP_PROTO_FIXED64 ? 8 : 4);
        return s->in_list && s->left > s->list_left ? broken(err) : KP_OK;
    default:
        return broken(err);
    }
}

static int length_done(struct kp_proto_stream *s, struct kp_error *err)
{
    uint64_t len = s->varint;
    if (s->in_list && len > s->list_left)
        return broken(err);
    if (s->in_list && (s->field == FIELD_METADATA || s->field == FIELD_ITEM))
        return begin_object(s, len, err);
    if (s->in_list || s->field != FIELD_LIST) {
        begin_skip(s, len);
        return KP_OK;
    }
    s->in_list = true;
    s->list_left = len;
    next_place(s);
    return KP_OK;
}

static int varint_done(struct kp_proto_stream *s, struct kp_error *err)
{
    if (s->place == AT_TAG)
        return tag_done(s, err);
    if (s->place == AT_LENGTH)
        return length_done(s, err);
    next_place(s);
    return KP_OK;
}

static int step_varint(struct kp_proto_stream *s, uint8_t byte, struct kp_error *err)
{
    if (s->in_list && s->list_left-- == 0)
        return broken(err);
    if (s->n_head == MAX_VARINT || (s->n_head == MAX_VARINT - 1 && byte > 1))
        return broken(err);
    s->varint |= (uint64_t)(byte & 0x7f) << (7 * s->n_head++);
    return byte < 0x80 ? varint_done(s, err) : KP_OK;
}

static int step(struct kp_proto_stream *s, const uint8_t **p, const uint8_t *end, struct kp_error *err)
{
    size_t len = (size_t)(end - *p);
    size_t n;
    switch (s->place) {
    case AT_HEAD:
        s->head[s->n_head++] = *(*p)++;
        return s->n_head < HEAD_BYTES ? KP_OK : head_done(s, err);
    case AT_TAG:
    case AT_NUMBER:
    case AT_LENGTH:
        return step_varint(s, *(*p)++, err);
    case AT_SKIP:
        n = s->left < len ? (size_t)s->left : len;
        *p += n;
        s->left -= n;
        s->list_left -= s->in_list ? n : 0;
        if (s->left == 0)
            next_place(s);
        return KP_OK;
    case AT_OBJECT:
        *p += step_object(s, *p, len);
        return KP_OK;
    }
    return KP_OK;
}

int kp_proto_stream_feed(struct kp_proto_stream *s, const uint8_t *data, size_t len, struct kp_error *err)
{
    const uint8_t *p = data;
    const uint8_t *end = data + len;
    while (p < end && !s->stopped) {
        int code = step(s, &p, end, err);
        if (code != KP_OK) {
            s->stopped = s->failed = true;
            return code;
        }
    }
    return KP_OK;
}

int kp_proto_stream_end(const struct kp_proto_stream *s, struct kp_error *err)
{
    bool between =
        s->n_head == 0 && !s->in_list && s->place == (s->kind == KP_STREAM_WATCH ? AT_HEAD : AT_TAG);
    if (s->failed)
        return kp_fail(err, KP_INVALID, "the answer was not what an API server sends");
    if (s->stopped || (between && (s->kind == KP_STREAM_WATCH || s->whole_list)))
        return KP_OK;
    return kp_fail(err, KP_NETWORK, "the answer broke off in the middle");
}
