#include "kube/listing.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/strbuf.h"
#include "kube/client_fixture.h"

#include "base/banned.h"

struct bench {
    struct fixture f;
    struct kp_kube_listing *listing;
    struct kp_strbuf names;
    char version[64];
    int objects, restarts, stop_at;
    struct kp_error error;
    bool done;
};

static bool on_object(void *user, const char *json, size_t len)
{
    struct bench *b = user;
    kp_strbuf_add(&b->names, json, len);
    b->objects++;
    return b->objects != b->stop_at;
}

static void on_restart(void *user)
{
    struct bench *b = user;
    kp_strbuf_adds(&b->names, "|");
    b->restarts++;
}

static void on_listed(void *user, const char *resource_version, const struct kp_error *err)
{
    struct bench *b = user;
    assert_false(b->done);
    b->done = true;
    snprintf(b->version, sizeof b->version, "%s", resource_version);
    if (err)
        b->error = *err;
}

static void bench_begin(struct bench *b, const struct peer_step *steps, size_t n, const char *path)
{
    struct kp_error err = {0};
    memset(b, 0, sizeof *b);
    kp_strbuf_init(&b->names, 64 << 20);
    begin(&b->f, steps, n);
    const struct kp_kube_listing_request request = {.path = path,
        .page_size = 2,
        .on_object = on_object,
        .on_restart = on_restart,
        .on_done = on_listed,
        .user = b};
    if (kp_kube_list_each(b->f.kube, &request, &b->listing, &err) < 0)
        fail_msg("%s", err.text);
    assert_false(b->done);
}

static void bench_wait(struct bench *b)
{
    if (!kp_loop_run_until(b->f.loop, &b->done, 20000))
        fail_msg("the list did not end");
}

static void bench_end(struct bench *b)
{
    kp_strbuf_finish(&b->names);
    end(&b->f);
}

#define PAGE(next, items)                                                                                    \
    "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"7\",\"continue\":\"" next                     \
    "\"},\"items\":[" items "]}"
#define EXPIRED(next)                                                                                        \
    "{\"kind\":\"Status\",\"metadata\":{\"continue\":\"" next                                                \
    "\"},\"reason\":\"Expired\",\"message\":\"too old\",\"code\":410}"

static void test_pages(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {{"GET /api/v1/pods?limit=2 HTTP/1.1\r\n", 200, NULL,
                                                 PAGE("a/b", "{\"n\":1},{\"n\":2}"), 0, 3, PEER_CHUNKED},
        {"GET /api/v1/pods?limit=2&continue=a%2Fb HTTP/1.1\r\n", 200, NULL, PAGE("", "{\"n\":3}"), 0, 0,
            PEER_WHOLE}};
    struct bench b;
    bench_begin(&b, steps, 2, "/api/v1/pods");
    bench_wait(&b);
    assert_int_equal(b.error.code, KP_OK);
    assert_string_equal(b.names.data, "{\"n\":1}{\"n\":2}{\"n\":3}");
    assert_string_equal(b.version, "7");
    bench_end(&b);
}

static void test_query_is_kept(void **state)
{
    (void)state;
    static const struct peer_step step = {"GET /api/v1/pods?labelSelector=a%3Db&limit=2 HTTP/1.1\r\n", 200,
        NULL, PAGE("", ""), 0, 0, PEER_WHOLE};
    struct bench b;
    bench_begin(&b, &step, 1, "/api/v1/pods?labelSelector=a%3Db");
    bench_wait(&b);
    assert_int_equal(b.error.code, KP_OK);
    assert_int_equal(b.objects, 0);
    bench_end(&b);
}

static void test_expired_goes_on_with_the_token_given(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"?limit=2 ", 200, NULL, PAGE("old", "{\"n\":1}"), 0, 0, PEER_WHOLE},
        {"&continue=old ", 410, NULL, EXPIRED("new"), 0, 0, PEER_WHOLE},
        {"&continue=new ", 200, NULL, PAGE("", "{\"n\":2}"), 0, 0, PEER_WHOLE}};
    struct bench b;
    bench_begin(&b, steps, 3, "/api/v1/pods");
    bench_wait(&b);
    assert_int_equal(b.error.code, KP_OK);
    assert_string_equal(b.names.data, "{\"n\":1}{\"n\":2}");
    assert_int_equal(b.restarts, 0);
    bench_end(&b);
}

static void test_expired_without_a_token_begins_anew(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"?limit=2 ", 200, NULL, PAGE("t", "{\"n\":1}"), 0, 0, PEER_WHOLE},
        {"&continue=t ", 410, NULL, EXPIRED(""), 0, 0, PEER_WHOLE},
        {"?limit=2 ", 200, NULL, PAGE("t", "{\"n\":1}"), 0, 0, PEER_WHOLE},
        {"&continue=t ", 410, NULL, EXPIRED(""), 0, 0, PEER_WHOLE},
        {"?limit=2 ", 200, NULL, PAGE("t", "{\"n\":1}"), 0, 0, PEER_WHOLE},
        {"&continue=t ", 410, NULL, EXPIRED(""), 0, 0, PEER_WHOLE}};
    struct bench b;
    bench_begin(&b, steps, 6, "/api/v1/pods");
    bench_wait(&b);
    assert_int_equal(b.error.code, KP_GONE); // not for ever
    assert_string_equal(b.names.data, "{\"n\":1}|{\"n\":1}|{\"n\":1}");
    assert_int_equal(b.restarts, KP_LISTING_RESTARTS);
    bench_end(&b);
}

static void test_repeats_before_the_first_object_only(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {{NULL, 503, NULL, "", 0, 0, PEER_WHOLE},
        {NULL, 200, NULL, "{\"items\":[", 0, 0, PEER_CUT},
        {NULL, 200, NULL, PAGE("t", "{\"n\":1}"), 0, 0, PEER_WHOLE},
        {"&continue=t ", 200, NULL, "{\"items\":[{\"n\":2},", 0, 0, PEER_CUT}};
    struct bench b;
    bench_begin(&b, steps, 4, "/api/v1/pods");
    bench_wait(&b);
    assert_int_equal(b.error.code, KP_NETWORK);
    assert_string_equal(b.names.data, "{\"n\":1}{\"n\":2}");
    bench_end(&b);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        struct peer_step step;
        int code;
        const char *says;
    } rows[] = {
        {{NULL, 403, NULL, STATUS(403, "Forbidden"), 0, 0, PEER_WHOLE}, KP_DENIED, "because Forbidden"},
        {{NULL, 200, NULL, "<html>", 0, 0, PEER_WHOLE}, KP_INVALID, "not what an API server sends"},
        {{NULL, 410, NULL, EXPIRED("x"), 0, 0, PEER_WHOLE}, KP_GONE, "too old"}, // no token was asked with
    };
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct bench b;
        bench_begin(&b, &rows[i].step, 1, "/api/v1/pods");
        bench_wait(&b);
        assert_int_equal(b.error.code, rows[i].code);
        if (!strstr(b.error.text, rows[i].says))
            fail_msg("'%s'", b.error.text);
        assert_int_equal(peer_seen(b.f.peer), 1);
        bench_end(&b);
    }
}

static void test_stopped_and_canceled(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {NULL, 200, NULL, PAGE("t", "{\"n\":1},{\"n\":2}"), 0, 0, PEER_WHOLE}};
    static const struct peer_step waits = {NULL, 503, "Retry-After: 20\r\n", "", 0, 0, PEER_WHOLE};
    struct bench b;
    bool never = false;
    bench_begin(&b, steps, 1, "/api/v1/pods");
    b.stop_at = 1;
    bench_wait(&b);
    assert_int_equal(b.error.code, KP_CANCELED);
    assert_int_equal(b.objects, 1);
    bench_end(&b);
    bench_begin(&b, NULL, 0, "/api/v1/pods"); // never answers
    (void)kp_loop_run_until(b.f.loop, &never, 30);
    kp_kube_listing_cancel(b.listing);
    assert_false(b.done);
    bench_wait(&b);
    assert_int_equal(b.error.code, KP_CANCELED);
    bench_end(&b);
    bench_begin(&b, &waits, 1, "/api/v1/pods"); // waits to ask again
    for (int i = 0; i < 100 && peer_seen(b.f.peer) == 0; i++)
        (void)kp_loop_run_until(b.f.loop, &never, 20);
    (void)kp_loop_run_until(b.f.loop, &never, 50);
    kp_kube_listing_cancel(b.listing);
    bench_wait(&b);
    assert_int_equal(b.error.code, KP_CANCELED);
    bench_end(&b);
    bench_begin(&b, &waits, 1, "/api/v1/pods"); // the client goes
    for (int i = 0; i < 100 && peer_seen(b.f.peer) == 0; i++)
        (void)kp_loop_run_until(b.f.loop, &never, 20);
    (void)kp_loop_run_until(b.f.loop, &never, 50);
    kp_kube_destroy(b.f.kube);
    b.f.kube = NULL;
    assert_true(b.done);
    assert_int_equal(b.error.code, KP_CANCELED);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_query_is_kept),
        cmocka_unit_test(test_expired_goes_on_with_the_token_given),
        cmocka_unit_test(test_expired_without_a_token_begins_anew),
        cmocka_unit_test(test_repeats_before_the_first_object_only),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_stopped_and_canceled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
