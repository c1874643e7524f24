#include "kube/stream.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "kube/scan.h"
#include "kube/stream_proto.h"

#include "base/banned.h"

enum { KEEP_BYTES = 256 * KP_KIB }; // of memory between objects

// Finds the end of one JSON value that comes in pieces.
struct value {
    int depth;
    bool started, scalar, in_string, escaped;
};

enum place {
    AT_EVENT, // between the objects of a watch
    IN_EVENT,
    AT_LIST, // before the list's opening brace
    AT_KEY,
    IN_KEY,
    AT_COLON,
    AT_VALUE,
    IN_VALUE,
    AT_ITEM,
    IN_ITEM,
    AT_END, // behind the list
};

struct kp_stream {
    enum kp_stream_kind kind;
    bool began;                    // a byte has told the encoding
    struct kp_proto_stream *proto; // NULL: it is JSON
    enum place place;
    struct value value;
    struct kp_strbuf partial; // the value in hand, as far as it came in earlier pieces
    size_t max_object;
    kp_stream_object_fn on_object;
    void *user;
    bool stopped, failed;
    char key[32]; // of the list's field in hand; longer ones concern us not
    char *continue_token;
    char resource_version[64];
};

struct kp_stream *kp_stream_create(
    enum kp_stream_kind kind, size_t max_object, kp_stream_object_fn on_object, void *user)
{
    struct kp_stream *stream = KP_NEW(struct kp_stream);
    stream->kind = kind;
    stream->place = kind == KP_STREAM_WATCH ? AT_EVENT : AT_LIST;
    stream->max_object = max_object;
    stream->on_object = on_object;
    stream->user = user;
    kp_strbuf_init(&stream->partial, max_object);
    return stream;
}

void kp_stream_destroy(struct kp_stream *stream)
{
    if (!stream)
        return;
    kp_proto_stream_destroy(stream->proto);
    kp_strbuf_finish(&stream->partial);
    kp_free(stream->continue_token);
    kp_free(stream);
}

const char *kp_stream_continue(const struct kp_stream *stream)
{
    if (stream->proto)
        return kp_proto_stream_continue(stream->proto);
    return stream->continue_token ? stream->continue_token : "";
}

const char *kp_stream_resource_version(const struct kp_stream *stream)
{
    return stream->proto ? kp_proto_stream_resource_version(stream->proto) : stream->resource_version;
}

enum kp_encoding kp_stream_encoding(const struct kp_stream *stream)
{
    return stream->proto ? KP_ENCODING_PROTOBUF : KP_ENCODING_JSON;
}

// ---- the end of a value ----

static bool delimits(char c)
{
    return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// p in a string; returns behind what belongs to it.
static const char *feed_string(struct value *v, const char *p, const char *end)
{
    while (p < end) {
        if (v->escaped) {
            v->escaped = false;
        } else if (*p == '\\') {
            v->escaped = true;
        } else if (*p == '"') {
            v->in_string = false;
            return p + 1;
        }
        p++;
    }
    return p;
}

// Takes bytes up to the value's end; *ret_done tells whether it is there. A scalar ends before its delimiter.
static const char *feed_value(struct value *v, const char *p, const char *end, bool *ret_done)
{
    *ret_done = false;
    while (p < end) {
        if (v->in_string) {
            p = feed_string(v, p, end);
            *ret_done = !v->in_string && v->depth == 0;
        } else if (v->scalar) {
            *ret_done = delimits(*p);
            p += !*ret_done;
        } else {
            char c = *p++;
            if (c == '"')
                v->in_string = true;
            else if (c == '{' || c == '[')
                v->depth++;
            else if (c == '}' || c == ']')
                *ret_done = --v->depth <= 0;
            else if (v->depth == 0)
                v->scalar = true;
        }
        if (*ret_done)
            break;
    }
    return p;
}

// ---- what is done with a value ----

static int object_done(struct kp_stream *stream, const char *json, size_t len)
{
    if (!stream->on_object(stream->user, json, len))
        stream->stopped = true;
    return KP_OK;
}

static void metadata_done(struct kp_stream *stream, const char *json, size_t len)
{
    struct kp_scan s;
    struct kp_span key;
    kp_scan_init(&s, json, len);
    if (kp_scan_enter(&s, '{')) {
        while (kp_scan_key(&s, &key)) {
            if (kp_span_is(key, "continue")) {
                kp_free(stream->continue_token);
                stream->continue_token = kp_strdup(kp_scan_string(&s));
            } else if (kp_span_is(key, "resourceVersion")) {
                kp_copy(stream->resource_version, sizeof stream->resource_version, kp_scan_string(&s));
            } else {
                kp_scan_skip(&s);
            }
        }
    }
    kp_scan_finish(&s);
}

static int key_done(struct kp_stream *stream, const char *json, size_t len)
{
    size_t n = len - 2; // without the quotes
    if (n >= sizeof stream->key)
        n = 0;
    memcpy(stream->key, json + 1, n);
    stream->key[n] = '\0';
    stream->place = AT_COLON;
    return KP_OK;
}

static int value_done(struct kp_stream *stream, const char *json, size_t len)
{
    switch (stream->place) {
    case IN_EVENT:
        stream->place = AT_EVENT;
        return object_done(stream, json, len);
    case IN_ITEM:
        stream->place = AT_ITEM;
        return object_done(stream, json, len);
    case IN_KEY:
        return key_done(stream, json, len);
    case IN_VALUE:
        stream->place = AT_KEY;
        if (strcmp(stream->key, "metadata") == 0)
            metadata_done(stream, json, len);
        return KP_OK;
    case AT_EVENT:
    case AT_LIST:
    case AT_KEY:
    case AT_COLON:
    case AT_VALUE:
    case AT_ITEM:
    case AT_END:
        break;
    }
    return KP_OK;
}

// ---- between values ----

static int unexpected(const char *p, const char *what, struct kp_error *err)
{
    char shown[24];
    kp_printable(shown, sizeof shown, p, 1);
    return kp_fail(
        err, KP_INVALID, "the answer is not what an API server sends: '%s' where %s should be", shown, what);
}

static int begin(struct kp_stream *stream, enum place place)
{
    stream->place = place;
    stream->value = (struct value){0};
    kp_strbuf_clear(&stream->partial);
    return KP_OK;
}

static int step_between(struct kp_stream *stream, const char **p, struct kp_error *err)
{
    const char *at = *p;
    char c = *at;
    switch (stream->place) {
    case AT_EVENT:
        return c == '{' ? begin(stream, IN_EVENT) : unexpected(at, "a watch event", err);
    case AT_LIST:
        stream->place = AT_KEY;
        ++*p;
        return c == '{' ? KP_OK : unexpected(at, "a list", err);
    case AT_KEY:
        if (c == '"')
            return begin(stream, IN_KEY);
        ++*p;
        if (c == '}')
            stream->place = AT_END;
        return c == '}' || c == ',' ? KP_OK : unexpected(at, "a field", err);
    case AT_COLON:
        stream->place = AT_VALUE;
        ++*p;
        return c == ':' ? KP_OK : unexpected(at, "a colon", err);
    case AT_VALUE:
        if (c == '[' && strcmp(stream->key, "items") == 0) {
            ++*p;
            stream->place = AT_ITEM;
            return KP_OK;
        }
        return delimits(c) ? unexpected(at, "a value", err) : begin(stream, IN_VALUE);
    case AT_ITEM:
        if (c == '{')
            return begin(stream, IN_ITEM);
        ++*p;
        if (c == ']')
            stream->place = AT_KEY;
        return c == ']' || c == ',' ? KP_OK : unexpected(at, "an object of the list", err);
    case AT_END:
        return unexpected(at, "the end", err);
    case IN_EVENT:
    case IN_KEY:
    case IN_VALUE:
    case IN_ITEM:
        break;
    }
    return KP_OK;
}

static bool within(const struct kp_stream *stream)
{
    return stream->place == IN_EVENT || stream->place == IN_KEY || stream->place == IN_VALUE ||
           stream->place == IN_ITEM;
}

static int too_large(const struct kp_stream *stream, struct kp_error *err)
{
    return kp_fail(err, KP_LIMIT, "an object in the answer is larger than %zu bytes", stream->max_object);
}

// Takes what belongs to the value in hand. Whole in this piece it is not copied.
static int step_within(struct kp_stream *stream, const char **p, const char *end, struct kp_error *err)
{
    bool done = false;
    const char *from = *p;
    *p = feed_value(&stream->value, from, end, &done);
    size_t len = (size_t)(*p - from);
    if (stream->partial.len + len > stream->max_object)
        return too_large(stream, err);
    if (done && stream->partial.len == 0)
        return value_done(stream, from, len);
    kp_strbuf_add(&stream->partial, from, len);
    if (!done)
        return KP_OK;
    int code = value_done(stream, stream->partial.data, stream->partial.len);
    if (stream->partial.cap > KEEP_BYTES) {
        kp_strbuf_finish(&stream->partial);
        kp_strbuf_init(&stream->partial, stream->max_object);
    }
    kp_strbuf_clear(&stream->partial);
    return code;
}

int kp_stream_feed(struct kp_stream *stream, const void *data, size_t len, struct kp_error *err)
{
    const char *p = data;
    const char *end = p + len;
    if (!stream->began && len > 0) {
        stream->began = true;
        if (kp_proto_stream_begins(stream->kind, (unsigned char)*p))
            stream->proto =
                kp_proto_stream_create(stream->kind, stream->max_object, stream->on_object, stream->user);
    }
    if (stream->proto)
        return kp_proto_stream_feed(stream->proto, data, len, err);
    while (p < end && !stream->stopped) {
        if (!within(stream) && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
            p++;
            continue;
        }
        int code = within(stream) ? step_within(stream, &p, end, err) : step_between(stream, &p, err);
        if (code != KP_OK) {
            stream->stopped = stream->failed = true;
            return code;
        }
    }
    return KP_OK;
}

int kp_stream_end(const struct kp_stream *stream, struct kp_error *err)
{
    if (stream->proto)
        return kp_proto_stream_end(stream->proto, err);
    if (stream->failed)
        return kp_fail(err, KP_INVALID, "the answer was not what an API server sends");
    if (stream->stopped || stream->place == AT_EVENT || stream->place == AT_END)
        return KP_OK;
    return kp_fail(err, KP_NETWORK, "the answer broke off in the middle");
}
