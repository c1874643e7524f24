#include "kube/watch_event.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/strbuf.h"
#include "testkit/testkit.h"

#include "base/banned.h"

// What a stream handed out: how many and a hash of all in order.
struct seen {
    size_t n, stop_after;
    uint64_t hash;
    char last[256];
};

static bool on_object(void *user, const char *json, size_t len)
{
    struct seen *seen = user;
    seen->hash = kp_hash64(json, len, seen->hash + 1);
    seen->n++;
    size_t keep = len < sizeof seen->last - 1 ? len : sizeof seen->last - 1;
    memcpy(seen->last, json, keep);
    seen->last[keep] = '\0';
    return seen->n != seen->stop_after;
}

static struct seen whole(enum kp_stream_kind kind, const char *text, size_t len, int *ret_end)
{
    struct seen seen = {0};
    struct kp_error err = {0};
    struct kp_stream *stream = kp_stream_create(kind, 1 << 20, on_object, &seen);
    int code = kp_stream_feed(stream, text, len, &err);
    *ret_end = code == KP_OK ? kp_stream_end(stream, &err) : code;
    kp_stream_destroy(stream);
    return seen;
}

static void feed_exact(struct kp_stream *stream, const char *p, size_t len)
{
    // a copy just as large, so that the sanitizer sees a byte too far
    char *piece = kp_alloc(len ? len : 1);
    memcpy(piece, p, len);
    assert_int_equal(kp_stream_feed(stream, piece, len, NULL), KP_OK);
    kp_free(piece);
}

static void expect_same_when_cut(enum kp_stream_kind kind, const char *text, size_t len, size_t stride)
{
    int end = 1;
    struct seen expected = whole(kind, text, len, &end);
    assert_int_equal(end, KP_OK);
    assert_true(expected.n > 0);
    for (size_t cut = 0; cut <= len; cut += stride) {
        struct seen seen = {0};
        struct kp_stream *stream = kp_stream_create(kind, 1 << 20, on_object, &seen);
        feed_exact(stream, text, cut);
        feed_exact(stream, text + cut, len - cut);
        assert_int_equal(kp_stream_end(stream, NULL), KP_OK);
        assert_int_equal(seen.n, expected.n);
        assert_true(seen.hash == expected.hash);
        kp_stream_destroy(stream);
    }
    struct seen seen = {0};
    struct kp_stream *stream = kp_stream_create(kind, 1 << 20, on_object, &seen);
    for (size_t i = 0; i < len; i++)
        feed_exact(stream, text + i, 1);
    assert_true(seen.hash == expected.hash);
    kp_stream_destroy(stream);
}

static const char small_watch[] =
    "{\"type\":\"ADDED\",\"object\":{\"a\":\"}\\\"{\\\\\",\"b\":[1,{\"c\":null}]}}\n"
    "{\"type\":\"DELETED\",\"object\":{}}{\"object\":{\"x\":\"\\u00e9\"},\"type\":\"MODIFIED\"} \r\n";
static const char small_list[] = "{ "
                                 "\"kind\":\"PodList\",\"metadata\":{\"items\":[{\"no\":1}],"
                                 "\"resourceVersion\":\"77\",\"continue\":\"a\\/b=\"},"
                                 "\"n\":12,\"items\":[{\"a\":\"]\"}, {\"b\":[[]]} ,{}],\"last\":true}\n";

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    size_t len = 0;
    expect_same_when_cut(KP_STREAM_WATCH, small_watch, sizeof small_watch - 1, 1);
    expect_same_when_cut(KP_STREAM_LIST, small_list, sizeof small_list - 1, 1);
    kp_auto_free char *list = kp_test_read_file(KP_TESTDATA "/list.page1.json", &len);
    expect_same_when_cut(KP_STREAM_LIST, list, len, 1);
    kp_auto_free char *watch = kp_test_read_file(KP_TESTDATA "/watchlist.pods.json", &len);
    expect_same_when_cut(KP_STREAM_WATCH, watch, len, 61);
}

static void test_list_fields(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct kp_stream *stream = kp_stream_create(KP_STREAM_LIST, 1 << 20, on_object, &seen);
    feed_exact(stream, small_list, sizeof small_list - 1);
    assert_int_equal(kp_stream_end(stream, NULL), KP_OK);
    assert_int_equal(seen.n, 3);
    assert_string_equal(seen.last, "{}");
    assert_string_equal(kp_stream_continue(stream), "a/b=");
    assert_string_equal(kp_stream_resource_version(stream), "77");
    kp_stream_destroy(stream);
}

static void test_lists_without_items(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"items\":null,\"metadata\":{}}", "{\"items\":[]}", "{}", " { } "};
    for (size_t i = 0; i < KP_COUNT(texts); i++) {
        int end = 1;
        struct seen seen = whole(KP_STREAM_LIST, texts[i], strlen(texts[i]), &end);
        assert_int_equal(end, KP_OK);
        assert_int_equal(seen.n, 0);
    }
}

static const struct {
    enum kp_stream_kind kind;
    const char *text;
    int code;
} wrong[] = {
    {KP_STREAM_WATCH, "<html>Bad gateway</html>", KP_INVALID},
    {KP_STREAM_LIST, "<html>Bad gateway</html>", KP_INVALID},
    {KP_STREAM_WATCH, "[1]", KP_INVALID},
    {KP_STREAM_WATCH, "{\"type\":\"ADDED\",\"obj", KP_NETWORK},
    {KP_STREAM_LIST, "", KP_NETWORK},
    {KP_STREAM_LIST, "{\"items\":[{}", KP_NETWORK},
    {KP_STREAM_LIST, "{\"items\":[{},", KP_NETWORK},
    {KP_STREAM_LIST, "{\"items\":[{}]", KP_NETWORK},
    {KP_STREAM_LIST, "{\"items\":[7]}", KP_INVALID},
    {KP_STREAM_LIST, "{\"items\":[{}]}{}", KP_INVALID},
    {KP_STREAM_LIST, "{\"metadata\" {}}", KP_INVALID},
    {KP_STREAM_LIST, "{\"metadata\":}", KP_INVALID},
    {KP_STREAM_LIST, "{metadata:1}", KP_INVALID},
};

static void test_wrong_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(wrong); i++) {
        int end = 1;
        (void)whole(wrong[i].kind, wrong[i].text, strlen(wrong[i].text), &end);
        if (end != wrong[i].code)
            fail_msg("%s gives %d", wrong[i].text, end);
    }
    int end = 1;
    (void)whole(KP_STREAM_WATCH, "", 0, &end);
    assert_int_equal(end, KP_OK); // a watch that had nothing to say
}

static void test_objects_are_limited(void **state)
{
    (void)state;
    for (int pieces = 0; pieces <= 1; pieces++) {
        struct seen seen = {0};
        struct kp_error err = {0};
        struct kp_stream *stream = kp_stream_create(KP_STREAM_WATCH, 100, on_object, &seen);
        const char small[] = "{\"a\":1}";
        assert_int_equal(kp_stream_feed(stream, small, sizeof small - 1, &err), KP_OK);
        char large[300];
        memset(large, 'x', sizeof large);
        memcpy(large, (const char[]){'{', '"', 'a', '"', ':', '"'}, 6);
        int code = KP_OK;
        if (pieces) {
            for (size_t i = 0; i < sizeof large && code == KP_OK; i++)
                code = kp_stream_feed(stream, large + i, 1, &err);
        } else {
            code = kp_stream_feed(stream, large, sizeof large, &err);
        }
        assert_int_equal(code, KP_LIMIT);
        assert_non_null(strstr(err.text, "100 bytes"));
        assert_int_equal(seen.n, 1);
        assert_int_equal(kp_stream_end(stream, NULL), KP_INVALID);
        kp_stream_destroy(stream);
    }
}

static void test_stop(void **state)
{
    (void)state;
    struct seen seen = {.stop_after = 2};
    struct kp_stream *stream = kp_stream_create(KP_STREAM_WATCH, 1 << 20, on_object, &seen);
    feed_exact(stream, small_watch, sizeof small_watch - 1);
    feed_exact(stream, small_watch, sizeof small_watch - 1);
    assert_int_equal(seen.n, 2);
    assert_int_equal(kp_stream_end(stream, NULL), KP_OK);
    kp_stream_destroy(stream);
}

static int parse(const char *json, struct kp_watch_event *event, struct kp_error *err)
{
    return kp_watch_event_parse(KP_ENCODING_JSON, json, strlen(json), event, err);
}

static void test_events(void **state)
{
    (void)state;
    struct kp_watch_event event;
    struct kp_error err = {0};
    assert_int_equal(parse("{\"object\": {\"a\":[1]} ,\"x\":{},\"type\":\"DELETED\"}", &event, NULL), KP_OK);
    assert_int_equal(event.type, KP_WATCH_DELETED);
    assert_int_equal(event.len, strlen("{\"a\":[1]}"));
    assert_memory_equal(event.object, "{\"a\":[1]}", event.len);
    assert_int_equal(parse("{\"type\":\"ADDED\"}", &event, NULL), KP_INVALID);
    assert_int_equal(parse("{\"type\":\"ADDED\",\"object\":7}", &event, NULL), KP_INVALID);
    assert_int_equal(parse("{\"object\":{}}", &event, NULL), KP_INVALID);
    assert_int_equal(parse("{\"type\":\"NEWKIND\",\"object\":{}}", &event, &err), KP_INVALID);
    assert_non_null(strstr(err.text, "NEWKIND"));
}

static int parse_bookmark(const char *json, struct kp_bookmark *bookmark)
{
    const struct kp_watch_event event = {KP_WATCH_BOOKMARK, KP_ENCODING_JSON, json, strlen(json)};
    return kp_bookmark_parse(&event, bookmark, NULL);
}

static void test_bookmarks(void **state)
{
    (void)state;
    struct kp_bookmark bookmark;
    const char end[] =
        "{\"kind\":\"Pod\",\"metadata\":{\"annotations\":{\"k8s.io/initial-events-end\":\"true\"},"
        "\"resourceVersion\":\"5\"}}";
    const char plain[] = "{\"metadata\":{\"resourceVersion\":\"6\",\"creationTimestamp\":null},\"spec\":{}}";
    assert_int_equal(parse_bookmark(end, &bookmark), KP_OK);
    assert_true(bookmark.initial_events_end);
    assert_string_equal(bookmark.resource_version, "5");
    assert_int_equal(parse_bookmark(plain, &bookmark), KP_OK);
    assert_false(bookmark.initial_events_end);
    assert_string_equal(bookmark.resource_version, "6");
    assert_int_equal(parse_bookmark("{}", &bookmark), KP_INVALID);
    assert_int_equal(parse_bookmark("{", &bookmark), KP_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_list_fields),
        cmocka_unit_test(test_lists_without_items),
        cmocka_unit_test(test_wrong_answers),
        cmocka_unit_test(test_objects_are_limited),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_bookmarks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
