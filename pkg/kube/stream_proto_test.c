#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "kube/failure.h"
#include "kube/watch_event.h"
#include "testkit/testkit.h"

#include "base/banned.h"

struct seen {
    size_t n, stop_after;
    uint64_t hash;
};

static bool on_object(void *user, const char *data, size_t len)
{
    struct seen *seen = user;
    seen->hash = kp_hash64(data, len, seen->hash + ++seen->n);
    return seen->n != seen->stop_after;
}

// ---- wherever the pieces break ----

static struct kp_stream *feed(
    enum kp_stream_kind kind, const char *data, size_t len, size_t piece, struct seen *seen)
{
    struct kp_stream *stream = kp_stream_create(kind, 1 << 20, on_object, seen);
    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        char *copy = kp_memdup(data + at, n); // exactly as large: a byte too far is seen by the sanitizer
        assert_int_equal(kp_stream_feed(stream, copy, n, NULL), KP_OK);
        kp_free(copy);
    }
    return stream;
}

static void any_pieces(enum kp_stream_kind kind, const char *path, size_t objects)
{
    size_t len = 0;
    kp_auto_free char *file = kp_test_read_file(path, &len);
    struct seen whole = {0};
    kp_stream_destroy(feed(kind, file, len, len, &whole));
    assert_int_equal(whole.n, objects);
    for (size_t piece = 1; piece < 40; piece++) {
        struct seen seen = {0};
        struct kp_stream *stream = feed(kind, file, len, piece, &seen);
        assert_int_equal(kp_stream_end(stream, NULL), KP_OK);
        assert_int_equal(kp_stream_encoding(stream), KP_ENCODING_PROTOBUF);
        assert_int_equal(seen.n, objects);
        assert_true(seen.hash == whole.hash);
        kp_stream_destroy(stream);
    }
}

static void test_any_pieces(void **state)
{
    (void)state;
    any_pieces(KP_STREAM_LIST, KP_TESTDATA "/list.pods.pb", 5);
    any_pieces(KP_STREAM_WATCH, KP_TESTDATA "/watchlist.pods.pb", 12);
}

static void test_pages(void **state)
{
    size_t len = 0;
    struct seen seen = {0};
    (void)state;
    kp_auto_free char *one = kp_test_read_file(KP_TESTDATA "/list.page1.pb", &len);
    struct kp_stream *stream = feed(KP_STREAM_LIST, one, len, len, &seen);
    assert_int_equal(strncmp(kp_stream_continue(stream), "eyJ", 3), 0);
    assert_int_equal(seen.n, 2);
    kp_stream_destroy(stream);
    kp_auto_free char *two = kp_test_read_file(KP_TESTDATA "/list.page2.pb", &len);
    stream = feed(KP_STREAM_LIST, two, len, len, &seen);
    assert_true(*kp_stream_resource_version(stream));
    assert_int_equal(seen.n, 4);
    kp_stream_destroy(stream);
}

static void test_broken_off_anywhere(void **state)
{
    size_t len = 0;
    (void)state;
    kp_auto_free char *list = kp_test_read_file(KP_TESTDATA "/list.pods.pb", &len);
    size_t fine = 0;
    for (size_t cut = 0; cut < len; cut++) {
        struct seen seen = {0};
        struct kp_stream *stream = feed(KP_STREAM_LIST, list, cut, len, &seen);
        struct kp_error err = {0};
        if (kp_stream_end(stream, &err) == KP_OK)
            fine++; // behind the list, between the last fields: nothing is missing
        else
            assert_int_equal(err.code, KP_NETWORK);
        kp_stream_destroy(stream);
    }
    assert_in_range(fine, 1, 2);
    kp_auto_free char *watch = kp_test_read_file(KP_TESTDATA "/watchlist.pods.pb", &len);
    fine = 0;
    for (size_t cut = 1; cut < len; cut++) {
        struct seen seen = {0};
        struct kp_stream *stream = feed(KP_STREAM_WATCH, watch, cut, len, &seen);
        fine += kp_stream_end(stream, NULL) == KP_OK;
        kp_stream_destroy(stream);
    }
    assert_int_equal(fine, 11); // between the frames
}

static void test_stops_when_told(void **state)
{
    size_t len = 0;
    struct seen seen = {.stop_after = 2};
    (void)state;
    kp_auto_free char *list = kp_test_read_file(KP_TESTDATA "/list.pods.pb", &len);
    struct kp_stream *stream = feed(KP_STREAM_LIST, list, len, 100, &seen);
    assert_int_equal(seen.n, 2);
    assert_int_equal(kp_stream_end(stream, NULL), KP_OK);
    kp_stream_destroy(stream);
}

// ---- what no API server sends ----

struct bad {
    enum kp_stream_kind kind;
    const char *data;
    size_t len;
    int code;
};

#define BAD(kind, text, code)                                                                                \
    {                                                                                                        \
        kind, text, sizeof text - 1, code                                                                    \
    }

static const struct bad bads[] = {
    BAD(KP_STREAM_LIST, "k8s!", KP_INVALID),
    BAD(KP_STREAM_LIST, "k8s\0\x13", KP_INVALID),                                     // a group
    BAD(KP_STREAM_LIST, "k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", KP_INVALID), // no number
    BAD(KP_STREAM_LIST, "k8s\0\x12\x03\x12\x09", KP_INVALID), // an object longer than the list
    BAD(KP_STREAM_LIST, "k8s\0\x12\x03\x1a\x09", KP_INVALID), // another field, likewise
    BAD(KP_STREAM_LIST, "k8s\0\x12\x01\x12\x01", KP_INVALID), // the list ends within a field
    BAD(KP_STREAM_LIST, "k8s\0\x12\x03\x09", KP_INVALID),     // eight bytes in three
    BAD(KP_STREAM_LIST, "k8s\0\x12\xff\xff\xff\x7f\x12\xff\xff\xff\x6f", KP_LIMIT), // an object of 200 MB
    BAD(KP_STREAM_WATCH, "\x00\x10\x00\x01", KP_LIMIT),
    BAD(KP_STREAM_WATCH, "\x1f\x8b\x08\x00", KP_LIMIT), // gzip
    BAD(KP_STREAM_WATCH, "<html>", KP_INVALID),
};

static void test_what_is_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(bads); i++) {
        for (size_t piece = 1; piece <= bads[i].len; piece += bads[i].len - 1) {
            struct seen seen = {0};
            struct kp_error err = {0};
            struct kp_stream *stream = kp_stream_create(bads[i].kind, 1 << 20, on_object, &seen);
            int code = KP_OK;
            for (size_t at = 0; at < bads[i].len && code == KP_OK; at += piece)
                code = kp_stream_feed(stream, bads[i].data + at, piece, &err);
            assert_int_equal(code, bads[i].code);
            assert_int_equal(seen.n, 0);
            assert_int_equal(kp_stream_end(stream, NULL), KP_INVALID);
            kp_stream_destroy(stream);
        }
    }
}

// ---- events, refusals ----

static void test_no_events(void **state)
{
    static const struct bad events[] = {
        BAD(KP_STREAM_WATCH, "", 0),
        BAD(KP_STREAM_WATCH,
            "\x0a\x05"
            "ADDED",
            0),
        BAD(KP_STREAM_WATCH,
            "\x0a\x05"
            "ADDED\x12\x02\x0a\x00",
            0),
        BAD(KP_STREAM_WATCH,
            "\x0a\x05"
            "ADDED\x12\x06\x0a\x04k8s\0",
            0),
        BAD(KP_STREAM_WATCH,
            "\x0a\x05"
            "OTHER\x12\x08\x0a\x06k8s\0\x12\x00",
            0),
        BAD(KP_STREAM_WATCH, "{\"type\":\"ADDED\"}", 0),
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(events); i++) {
        struct kp_watch_event event;
        assert_int_equal(
            kp_watch_event_parse(KP_ENCODING_PROTOBUF, events[i].data, events[i].len, &event, NULL),
            KP_INVALID);
    }
    struct kp_bookmark bookmark;
    const struct kp_watch_event empty = {KP_WATCH_BOOKMARK, KP_ENCODING_PROTOBUF, "\x0a\x00", 2};
    assert_int_equal(kp_bookmark_parse(&empty, &bookmark, NULL), KP_INVALID);
}

static void test_refusals(void **state)
{
    size_t len = 0;
    struct kp_error err = {0};
    (void)state;
    kp_auto_free char *none = kp_test_read_file(KP_TESTDATA "/notfound.pb", &len);
    assert_int_equal(kp_failure_read(404, none, len, "GET /x", 0, &err), KP_NOT_FOUND);
    assert_string_equal(err.text, "pods \"none\" not found");
    assert_int_equal(err.http_status, 404);
    kp_error_clear(&err);
    kp_auto_free char *refused = kp_test_read_file(KP_TESTDATA "/watchlist.refused.pb", &len);
    assert_int_equal(kp_failure_read(422, refused, len, "GET /x", 0, &err), KP_INVALID);
    assert_non_null(strstr(err.text, "sendInitialEvents requires setting resourceVersionMatch"));
    kp_error_clear(&err);
    assert_int_equal(kp_failure_read(500, "k8s\0\x12\x01", 6, "GET /x", 0, &err), KP_UNAVAILABLE);
    assert_string_equal(err.text, "GET /x: the API server answered 500");
}

static void test_error_events(void **state)
{
    struct kp_watch_event event = {.encoding = KP_ENCODING_PROTOBUF};
    struct kp_error err = {0};
    (void)state;
    event.object = "\x1a\x07too old\x22\x07"
                   "Expired\x2a\x02\x28\x09\x30\x9a\x03";
    event.len = strlen(event.object);
    assert_int_equal(kp_failure_read_event(&event, &err), KP_GONE);
    assert_string_equal(err.text, "too old");
    assert_int_equal(err.http_status, 410);
    assert_int_equal(err.retry_after_s, 9);
    kp_error_clear(&err);
    event.len = 3;
    assert_int_equal(kp_failure_read_event(&event, &err), KP_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_pieces),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_broken_off_anywhere),
        cmocka_unit_test(test_stops_when_told),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_no_events),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_error_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
