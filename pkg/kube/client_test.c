#include "kube/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/blob.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "kube/client_fixture.h"
#include "testkit/testkit.h"

#include "base/banned.h"

static void test_get(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET /api/v1/pods/x?a=b HTTP/1.1\r\n", 200, NULL, "{\"kind\":\"Pod\"}", 0, 0, PEER_WHOLE}};
    struct fixture f;
    begin(&f, steps, 1);
    start(&f, (struct kp_kube_request){.method = "GET", .path = "/api/v1/pods/x?a=b"});
    wait(&f);
    assert_int_equal(f.error.code, KP_OK);
    assert_int_equal(f.status, 200);
    assert_string_equal(f.json, "{\"kind\":\"Pod\"}");
    const char *seen = f.peer->seen[0];
    assert_non_null(strstr(seen, "User-Agent: kube-pprof/9 (test)\r\n"));
    assert_non_null(strstr(seen, "Accept: application/json\r\n"));
    assert_non_null(strstr(seen, "Authorization: Bearer secret\r\n"));
    assert_null(strcasestr(seen, "Accept-Encoding"));
    assert_null(strcasestr(seen, "Content-Type"));
    struct kp_strbuf out;
    kp_strbuf_init(&out, 1 << 20);
    kp_metrics_write(f.metrics, &out);
    assert_non_null(
        strstr(out.data, "rest_client_requests_total{code=\"200\",method=\"GET\",host=\"127.0.0.1:"));
    kp_strbuf_finish(&out);
    end(&f);
}

static void test_answers_without_json(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET /healthz", 200, NULL, "ok", 0, 0, PEER_WHOLE}, {"GET /empty", 204, NULL, "", 0, 0, PEER_WHOLE}};
    struct fixture f;
    begin(&f, steps, 2);
    start(&f, (struct kp_kube_request){.method = "GET", .path = "/healthz"});
    wait(&f);
    assert_int_equal(f.error.code, KP_OK);
    assert_null(f.json);
    f.answers = 0;
    f.wanted = 0;
    start(&f, (struct kp_kube_request){.method = "GET", .path = "/empty"});
    wait(&f);
    assert_int_equal(f.status, 204);
    assert_null(f.json);
    end(&f);
}

static const struct {
    struct peer_step step;
    int code;
    const char *says;
} refusals[] = {
    {{"/x", 403, NULL, STATUS(403, "Forbidden"), 0, 0, PEER_WHOLE}, KP_DENIED, "because Forbidden"},
    {{"/x", 409, NULL, STATUS(409, "Conflict"), 0, 0, PEER_WHOLE}, KP_CONFLICT, "because Conflict"},
    {{"/x", 404, NULL, STATUS(404, "NotFound"), 0, 0, PEER_WHOLE}, KP_NOT_FOUND, "because NotFound"},
    {{"/x", 401, NULL, STATUS(401, "Unauthorized"), 0, 0, PEER_WHOLE}, KP_UNAUTHENTICATED,
        "because Unauthorized"},
    {{"/x", 307, "Location: http://127.0.0.1:1/\r\n", "", 0, 0, PEER_WHOLE}, KP_INVALID,
        "redirects are not followed"},
    {{"/x", 500, NULL, "<html>", 0, 0, PEER_WHOLE}, KP_UNAVAILABLE, "POST /x: the API server answered 500"},
};

static void test_refusals_are_not_repeated(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(refusals); i++) {
        struct fixture f;
        struct kp_blob *body = kp_blob_copy("{}", 2);
        begin(&f, &refusals[i].step, 1);
        start(&f,
            (struct kp_kube_request){
                .method = "POST", .path = "/x?secret=1", .content_type = "application/json", .body = body});
        wait(&f);
        assert_int_equal(f.error.code, refusals[i].code);
        assert_int_equal(f.error.http_status, refusals[i].step.status);
        if (!strstr(f.error.text, refusals[i].says))
            fail_msg("'%s'", f.error.text);
        assert_int_equal(peer_seen(f.peer), 1);
        kp_blob_unref(body);
        end(&f);
    }
}

static void test_repeats(void **state)
{
    (void)state;
    static const struct peer_step get[] = {
        {"GET /x", 503, NULL, "down", 0, 0, PEER_WHOLE},
        {"GET /x", 200, NULL, "", 0, 0, PEER_CUT},
        {"GET /x", 429, "Retry-After: 1\r\n", STATUS(429, "TooManyRequests"), 0, 0, PEER_WHOLE},
        {"GET /x", 200, NULL, "{}", 0, 0, PEER_WHOLE},
    };
    static const struct peer_step post[] = {
        {"POST /x", 503, "Retry-After: 1\r\n", "", 0, 0, PEER_WHOLE},
        {"POST /x", 201, NULL, "{}", 0, 0, PEER_WHOLE},
    };
    struct fixture f;
    begin(&f, get, KP_COUNT(get));
    int64_t began = kp_mono_ms();
    start(&f, (struct kp_kube_request){.method = "GET", .path = "/x"});
    wait(&f);
    assert_int_equal(f.error.code, KP_OK);
    assert_int_equal(peer_seen(f.peer), 4);
    assert_true(kp_mono_ms() - began >= 1000);
    end(&f);
    begin(&f, post, KP_COUNT(post));
    start(&f, (struct kp_kube_request){.method = "POST", .path = "/x"});
    wait(&f);
    assert_int_equal(f.status, 201);
    end(&f);
}

static void test_tries_are_bounded(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET /x", 503, NULL, "", 0, 0, PEER_WHOLE}, {"GET /x", 503, NULL, "", 0, 0, PEER_WHOLE}};
    struct fixture f;
    begin(&f, steps, 2);
    start(&f, (struct kp_kube_request){.method = "GET", .path = "/x", .max_tries = 1});
    wait(&f);
    assert_int_equal(f.error.code, KP_UNAVAILABLE);
    assert_int_equal(peer_seen(f.peer), 1);
    end(&f);
    // no try begins after the time limit
    static const struct peer_step late = {"GET /x", 503, "Retry-After: 30\r\n", "", 0, 0, PEER_WHOLE};
    begin(&f, &late, 1);
    start(&f, (struct kp_kube_request){.method = "GET", .path = "/x", .timeout_ms = 2000});
    wait(&f);
    assert_int_equal(f.error.code, KP_UNAVAILABLE);
    assert_int_equal(f.error.retry_after_s, 30);
    end(&f);
}

static void test_token_is_read_again_after_401(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"Authorization: Bearer old\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE},
        {"Authorization: Bearer old\r\n", 401, NULL, STATUS(401, "Unauthorized"), 0, 0, PEER_WHOLE},
        {"Authorization: Bearer new\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE},
        {"Authorization: Bearer new\r\n", 401, NULL, "", 0, 0, PEER_WHOLE},
        {"Authorization: Bearer new\r\n", 401, NULL, "", 0, 0, PEER_WHOLE},
    };
    char *dir = kp_test_tmpdir();
    kp_auto_free char *path = kp_asprintf("%s/token", dir);
    struct fixture f;
    assert_int_equal(kp_file_write_atomic(path, "old\n", 4, 0600, NULL), KP_OK);
    begin_as(&f, steps, KP_COUNT(steps), (struct kp_kube_config){.token_file = path}, 0);
    for (int i = 0; i < 3; i++) {
        f.answers = f.wanted = 0;
        start(&f, (struct kp_kube_request){.method = "GET", .path = "/x"});
        wait(&f);
        assert_int_equal(f.error.code, i < 2 ? KP_OK : KP_UNAUTHENTICATED);
        if (i == 0)
            assert_int_equal(kp_file_write_atomic(path, "new\n", 4, 0600, NULL), KP_OK);
    }
    assert_int_equal(peer_seen(f.peer), 5);
    end(&f);
    kp_test_rmdir(dir);
}

static void test_cancel(void **state)
{
    (void)state;
    static const struct peer_step waits = {"GET /x", 503, "Retry-After: 20\r\n", "", 0, 0, PEER_WHOLE};
    struct fixture f;
    bool never = false;
    begin(&f, NULL, 0); // never answers
    struct kp_kube_call *call = start(&f, (struct kp_kube_request){.method = "GET", .path = "/x"});
    (void)kp_loop_run_until(f.loop, &never, 50);
    kp_kube_cancel(call);
    kp_kube_cancel(call);
    assert_int_equal(f.answers, 0);
    wait(&f);
    assert_int_equal(f.error.code, KP_CANCELED);
    end(&f);
    begin(&f, &waits, 1); // waiting for the next try
    call = start(&f, (struct kp_kube_request){.method = "GET", .path = "/x"});
    for (int i = 0; i < 100 && peer_seen(f.peer) == 0; i++)
        (void)kp_loop_run_until(f.loop, &never, 20);
    (void)kp_loop_run_until(f.loop, &never, 50);
    kp_kube_cancel(call);
    wait(&f);
    assert_int_equal(f.error.code, KP_CANCELED);
    end(&f);
}

static void test_forget(void **state)
{
    (void)state;
    struct fixture f;
    bool never = false;
    begin(&f, NULL, 0);
    struct kp_kube_call *running = start(&f, (struct kp_kube_request){.method = "GET", .path = "/x"});
    (void)kp_loop_run_until(f.loop, &never, 20);
    struct kp_kube_call *young = start(&f, (struct kp_kube_request){.method = "GET", .path = "/x"});
    kp_kube_forget(running);
    kp_kube_forget(young);
    kp_kube_forget(NULL);
    (void)kp_loop_run_until(f.loop, &never, 50);
    assert_int_equal(f.answers, 0);
    end(&f);
    assert_int_equal(f.answers, 0);
}

static void test_destroy_cancels(void **state)
{
    (void)state;
    struct fixture f;
    begin_as(&f, NULL, 0, (struct kp_kube_config){0}, 1);
    for (int i = 0; i < 15; i++) // more than the burst: some wait for their turn
        start(&f, (struct kp_kube_request){.method = i ? "DELETE" : "GET", .path = "/x"});
    kp_kube_destroy(f.kube);
    assert_int_equal(f.answers, 15);
    assert_int_equal(f.error.code, KP_CANCELED);
    f.kube = NULL;
    end(&f);
}

static void test_writes_are_spread(void **state)
{
    (void)state;
    struct peer_step steps[40];
    struct fixture f;
    for (size_t i = 0; i < KP_COUNT(steps); i++)
        steps[i] = (struct peer_step){NULL, 200, NULL, "{}", 0, 0, PEER_WHOLE};
    begin_as(&f, steps, KP_COUNT(steps), (struct kp_kube_config){0}, 20);
    int64_t began = kp_mono_ms();
    for (int i = 0; i < 30; i++)
        start(&f, (struct kp_kube_request){.method = "PATCH", .path = "/x"});
    start(&f, (struct kp_kube_request){.method = "PUT", .path = "/x", .urgent = true});
    wait(&f);
    // a burst of 20, then one every 50 ms
    assert_true(kp_mono_ms() - began >= 400);
    end(&f);
}

// All of them refused, and all told to come back in a second: they do not come all at once, and none too
// soon.
static void test_storm_of_refused_writes(void **state)
{
    (void)state;
    enum { CALLS = 20, RATE = 10 };
    struct peer_step steps[60];
    struct fixture f;
    bool never = false;
    for (size_t i = 0; i < KP_COUNT(steps); i++)
        steps[i] = (struct peer_step){
            NULL, 429, "Retry-After: 1\r\n", STATUS(429, "TooManyRequests"), 0, 0, PEER_WHOLE};
    begin_as(&f, steps, KP_COUNT(steps), (struct kp_kube_config){0}, RATE);
    for (int i = 0; i < CALLS; i++)
        start(&f, (struct kp_kube_request){.method = i % 2 ? "PATCH" : "POST", .path = "/x"});
    (void)kp_loop_run_until(f.loop, &never, 900);
    assert_in_range(peer_seen(f.peer), RATE, CALLS); // a burst of ten, then ten a second; nobody twice
    (void)kp_loop_run_until(f.loop, &never, 2100);
    assert_in_range(peer_seen(f.peer), CALLS, RATE + 3 * RATE + 5);
    assert_int_equal(f.answers, 0);
    kp_kube_destroy(f.kube);
    f.kube = NULL;
    end(&f);
}

static bool ask_whether_leading(void *user)
{
    int *left = user;
    return (*left)-- > 0;
}

static void start_anew(struct fixture *f, struct kp_kube_request request)
{
    f->wanted = f->answers = 0;
    f->done = false;
    start(f, request);
}

// Who does not lead any more writes nothing, also not what he began to write before.
static void test_writes_end_with_the_right_to(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"PATCH /first", 200, NULL, "{}", 0, 0, PEER_WHOLE},
        {"PATCH /again", 503, "Retry-After: 1\r\n", "{}", 0, 0, PEER_WHOLE},
        {"GET /read", 200, NULL, "{}", 0, 0, PEER_WHOLE},
        {"POST /review", 200, NULL, "{}", 0, 0, PEER_WHOLE},
        {"PUT /lease", 200, NULL, "{}", 0, 0, PEER_WHOLE},
    };
    struct fixture f;
    int left = 2;
    begin(&f, steps, KP_COUNT(steps));
    kp_kube_destroy(f.kube);
    kp_auto_free char *server = kp_asprintf("http://127.0.0.1:%d", f.peer->port);
    f.kube = kp_kube_create(f.loop, &(struct kp_kube_config){.server = server},
        &(struct kp_kube_options){.may_write = ask_whether_leading, .may_write_user = &left});
    start_anew(&f, (struct kp_kube_request){.method = "PATCH", .path = "/first"});
    wait(&f);
    assert_int_equal(f.status, 200);
    start_anew(&f, (struct kp_kube_request){.method = "PATCH", .path = "/again"});
    wait(&f);
    assert_int_equal(f.error.code, KP_CANCELED);
    assert_non_null(strstr(f.error.text, "does not lead"));
    struct kp_error err = {0};
    struct kp_kube_request request = {.method = "DELETE", .path = "/never", .on_done = on_done, .user = &f};
    assert_int_equal(kp_kube_start(f.kube, &request, NULL, &err), KP_CANCELED);
    start_anew(&f, (struct kp_kube_request){.method = "GET", .path = "/read"});
    wait(&f);
    start_anew(&f, (struct kp_kube_request){.method = "POST", .path = "/review", .harmless = true});
    wait(&f);
    start_anew(&f, (struct kp_kube_request){.method = "PUT", .path = "/lease", .urgent = true});
    wait(&f);
    assert_int_equal(f.status, 200);
    assert_int_equal(peer_seen(f.peer), KP_COUNT(steps));
    end(&f);
}

static void test_apply(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"PATCH /apis/g/v1/namespaces/n/things/x/status?force=true&fieldManager=kube%20pprof HTTP/1.1\r\n",
            200, NULL, "{\"metadata\":{\"resourceVersion\":\"7\"}}", 0, 0, PEER_WHOLE}};
    struct fixture f;
    struct kp_error err = {0};
    begin(&f, steps, 1);
    f.wanted = 1;
    json_t *object = json_pack("{s:s}", "kind", "Thing");
    assert_int_equal(kp_kube_apply(f.kube, "/apis/g/v1/namespaces/n/things/x/status", "kube pprof", object,
                         on_done, &f, NULL, &err),
        KP_OK);
    wait(&f);
    assert_int_equal(f.error.code, KP_OK);
    assert_non_null(strstr(f.peer->seen[0], "Content-Type: application/apply-patch+yaml\r\n"));
    assert_non_null(strstr(f.peer->seen[0], "\r\n\r\n{\"kind\":\"Thing\"}"));
    end(&f);
}

static void test_nobody_there(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, NULL, 0);
    kp_auto_free char *failure = peer_stop(f.peer);
    assert_null(failure);
    start(&f, (struct kp_kube_request){.method = "GET", .path = "/x", .max_tries = 2});
    wait(&f);
    assert_int_equal(f.error.code, KP_NETWORK);
    assert_int_equal(f.status, 0);
    f.peer = peer_start(NULL, 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_answers_without_json),
        cmocka_unit_test(test_refusals_are_not_repeated),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_tries_are_bounded),
        cmocka_unit_test(test_token_is_read_again_after_401),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_destroy_cancels),
        cmocka_unit_test(test_writes_are_spread),
        cmocka_unit_test(test_storm_of_refused_writes),
        cmocka_unit_test(test_writes_end_with_the_right_to),
        cmocka_unit_test(test_apply),
        cmocka_unit_test(test_nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
