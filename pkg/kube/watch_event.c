#include "kube/watch_event.h"

#include <string.h>

#include "base/alloc.h"
#include "base/proto.h"
#include "base/text.h"
#include "kube/scan.h"
#include "kube/stream_proto.h"

#include "base/banned.h"

static int set_type(struct kp_watch_event *event, const char *type, struct kp_error *err)
{
    static const char *const types[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
    for (size_t i = 0; i < KP_COUNT(types); i++) {
        if (strcmp(type, types[i]) != 0)
            continue;
        event->type = (enum kp_watch_type)i;
        return KP_OK;
    }
    return kp_fail(err, KP_INVALID, "cannot read a watch event: unknown type '%s'", type);
}

static int no_object(struct kp_error *err)
{
    return kp_fail(err, KP_INVALID, "cannot read a watch event: it holds no object");
}

// ---- JSON ----

static int parse_json(const char *json, size_t len, struct kp_watch_event *ret, struct kp_error *err)
{
    struct kp_scan s;
    struct kp_span key;
    struct kp_span object = {"", 0};
    char type[16] = "";
    kp_scan_init(&s, json, len);
    if (kp_scan_enter(&s, '{')) {
        while (kp_scan_key(&s, &key)) {
            if (kp_span_is(key, "type"))
                kp_copy(type, sizeof type, kp_scan_string(&s));
            else if (kp_span_is(key, "object"))
                object = kp_scan_raw(&s);
            else
                kp_scan_skip(&s);
        }
    }
    const char *bad = s.bad_why;
    kp_scan_finish(&s);
    if (bad)
        return kp_fail(err, KP_INVALID, "cannot read a watch event: %s", bad);
    if (object.len == 0 || object.p[0] != '{')
        return no_object(err);
    *ret = (struct kp_watch_event){.encoding = KP_ENCODING_JSON, .object = object.p, .len = object.len};
    return set_type(ret, type, err);
}

static void scan_bookmark_annotations(struct kp_scan *s, struct kp_bookmark *bookmark)
{
    struct kp_span key;
    if (!kp_scan_enter(s, '{'))
        return;
    while (kp_scan_key(s, &key)) {
        if (kp_span_is(key, "k8s.io/initial-events-end"))
            bookmark->initial_events_end = strcmp(kp_scan_string(s), "true") == 0;
        else
            kp_scan_skip(s);
    }
}

static void scan_bookmark_metadata(struct kp_scan *s, struct kp_bookmark *bookmark)
{
    struct kp_span key;
    if (!kp_scan_enter(s, '{'))
        return;
    while (kp_scan_key(s, &key)) {
        if (kp_span_is(key, "resourceVersion"))
            kp_copy(bookmark->resource_version, sizeof bookmark->resource_version, kp_scan_string(s));
        else if (kp_span_is(key, "annotations"))
            scan_bookmark_annotations(s, bookmark);
        else
            kp_scan_skip(s);
    }
}

static const char *read_json_bookmark(const char *object, size_t len, struct kp_bookmark *bookmark)
{
    struct kp_scan s;
    struct kp_span key;
    kp_scan_init(&s, object, len);
    if (kp_scan_enter(&s, '{')) {
        while (kp_scan_key(&s, &key)) {
            if (kp_span_is(key, "metadata"))
                scan_bookmark_metadata(&s, bookmark);
            else
                kp_scan_skip(&s);
        }
    }
    const char *bad = s.bad_why;
    kp_scan_finish(&s);
    return bad;
}

// ---- protobuf ----

// The value of a message's field, the last if there are several; false if it is not there or broken.
static bool find(const void *data, size_t len, uint64_t field, struct kp_proto *ret)
{
    struct kp_proto r;
    bool found = false;
    kp_proto_start(&r, data, len);
    while (kp_proto_next(&r)) {
        if (r.field != field || r.type != KP_PROTO_BYTES)
            continue;
        *ret = r;
        found = true;
    }
    return found && !r.bad;
}

static void copy(char *to, size_t size, const struct kp_proto *field)
{
    size_t n = field->len < size ? field->len : size - 1;
    memcpy(to, field->data, n);
    to[n] = '\0';
}

// WatchEvent: 1 the type, 2 a RawExtension, whose field 1 is the object as it would come alone.
static int parse_protobuf(const char *data, size_t len, struct kp_watch_event *ret, struct kp_error *err)
{
    struct kp_proto field;
    char type[16] = "";
    if (!find(data, len, 1, &field))
        return kp_fail(err, KP_INVALID, "cannot read a watch event: it is no protobuf of one");
    copy(type, sizeof type, &field);
    if (!find(data, len, 2, &field) || !find(field.data, field.len, 1, &field) ||
        !kp_protobuf_open((const char *)field.data, field.len, &ret->object, &ret->len))
        return no_object(err);
    ret->encoding = KP_ENCODING_PROTOBUF;
    return set_type(ret, type, err);
}

// Of an object of any kind: its metadata is field 1, in which 6 is the version and 12 are the annotations.
static const char *read_protobuf_bookmark(const char *object, size_t len, struct kp_bookmark *bookmark)
{
    static const char initial_end[] = "k8s.io/initial-events-end";
    struct kp_proto metadata;
    struct kp_proto r;
    if (!find(object, len, 1, &metadata))
        return "it has no metadata";
    kp_proto_start(&r, metadata.data, metadata.len);
    while (kp_proto_next(&r)) {
        struct kp_proto key;
        struct kp_proto value;
        if (r.type != KP_PROTO_BYTES)
            continue;
        if (r.field == 6)
            copy(bookmark->resource_version, sizeof bookmark->resource_version, &r);
        else if (r.field == 12 && find(r.data, r.len, 1, &key) && key.len == sizeof initial_end - 1 &&
                 memcmp(key.data, initial_end, key.len) == 0)
            bookmark->initial_events_end =
                find(r.data, r.len, 2, &value) && value.len == 4 && memcmp(value.data, "true", 4) == 0;
    }
    return r.bad ? "it is broken" : NULL;
}

bool kp_protobuf_open(const char *data, size_t len, const char **ret_object, size_t *ret_len)
{
    const size_t n = sizeof KP_PROTOBUF_MAGIC;
    struct kp_proto raw;
    if (len < n || memcmp(data, KP_PROTOBUF_MAGIC, n) != 0 || !find(data + n, len - n, 2, &raw))
        return false;
    *ret_object = (const char *)raw.data;
    *ret_len = raw.len;
    return true;
}

// ---- either ----

int kp_watch_event_parse(
    enum kp_encoding encoding, const char *data, size_t len, struct kp_watch_event *ret, struct kp_error *err)
{
    return encoding == KP_ENCODING_PROTOBUF ? parse_protobuf(data, len, ret, err)
                                            : parse_json(data, len, ret, err);
}

int kp_bookmark_parse(const struct kp_watch_event *event, struct kp_bookmark *ret, struct kp_error *err)
{
    struct kp_bookmark bookmark = {0};
    const char *bad = event->encoding == KP_ENCODING_PROTOBUF
                          ? read_protobuf_bookmark(event->object, event->len, &bookmark)
                          : read_json_bookmark(event->object, event->len, &bookmark);
    if (bad || bookmark.resource_version[0] == '\0')
        return kp_fail(
            err, KP_INVALID, "cannot read a bookmark: %s", bad ? bad : "it holds no resourceVersion");
    *ret = bookmark;
    return KP_OK;
}
