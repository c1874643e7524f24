// Every outcome a scrape can have, provoked by scripted peers.
#include "capture/capture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/text.h"
#include "capture/capture_testing.h"
#include "plan/plan_fixture.h"
#include "testkit/peer.h"
#include "base/banned.h"

#define SLOT_MS INT64_C(1790000000000)
#define GZ      "\x1f\x8b\x08\x00hello"

struct bench { // one capturer, one target
    struct kp_loop *loop;
    struct kp_capturer *capturer;
    struct kp_target *target;
    struct kp_policy *policy;
    bool done;
    enum kp_outcome outcome;
    char message[240];
    struct kp_record record;
    struct kp_blob *body;
};

static struct kp_target *make_target(const char *ip, int port, struct kp_policy *policy)
{
    struct kp_port declared = {.name = "pprof", .number = (uint16_t)port, .tcp = true};
    struct kp_container container = {.name = "app",
        .image = "shop/app:1",
        .image_id = "docker.io/shop/app@sha256:abc",
        .container_id = "containerd://1",
        .started_ms = SLOT_MS,
        .ready = true,
        .restarts = 2,
        .n_ports = 1,
        .ports = &declared};
    struct kp_pod draft = {.namespace = "shop",
        .name = "checkout-1",
        .uid = "u1",
        .resource_version = "1",
        .node = "n1",
        .ip = ip,
        .host_ip = "10.9.9.9",
        .owner_kind = "StatefulSet",
        .owner_name = "checkout",
        .workload_kind = "",
        .workload_name = "",
        .revision = "",
        .version = "",
        .phase = KP_POD_RUNNING,
        .ready = true,
        .ready_since_ms = SLOT_MS,
        .n_containers = 1,
        .containers = &container};
    const struct kp_pod *pod = kp_pod_build(&draft);
    const struct kp_policy *policies[] = {policy};
    const struct kp_target_config config = {.dialects = KP_DIALECTS_DEFAULT};
    struct kp_verdict verdict;
    kp_target_build(pod, policies, 1, NULL, KP_IP_OWN, &config, &verdict);
    assert_int_equal(verdict.targets.n, 1);
    struct kp_target *target = kp_target_ref(verdict.targets.items[0]);
    kp_verdict_finish(&verdict);
    kp_pod_unref(pod);
    return target;
}

static void bench_open(struct bench *b, const char *ip, int port, const char *spec, int64_t slack_ms)
{
    struct kp_capture_options options = {.slack_ms = slack_ms, .connect_timeout_ms = 60000};
    *b = (struct bench){.loop = kp_loop_create()};
    b->policy = fixture_policy(spec);
    assert_non_null(b->policy);
    b->target = make_target(ip, port, b->policy);
    b->capturer = kp_capturer_create(b->loop, &options, NULL);
    kp_capturer_allow(b->capturer, "127.0.0.0/8");
    kp_record_init(&b->record);
}

static void bench_close(struct bench *b)
{
    kp_capturer_destroy(b->capturer);
    kp_target_unref(b->target);
    kp_policy_unref(b->policy);
    kp_record_finish(&b->record);
    kp_blob_unref(b->body);
    kp_loop_destroy(b->loop);
}

static void on_done(void *user, struct kp_capture_result *result)
{
    struct bench *b = user;
    assert_false(b->done);
    b->done = true;
    b->outcome = result->outcome;
    kp_copy(b->message, sizeof b->message, result->message);
    if (result->outcome == KP_OUTCOME_SUCCEEDED) {
        kp_record_finish(&b->record);
        kp_record_copy(&b->record, &result->record);
        b->body = kp_blob_ref(result->body);
    }
}

static void start(struct bench *b, const struct kp_capture_secrets *secrets)
{
    struct kp_order order = {.id = 7,
        .target = kp_target_ref(b->target),
        .wanted = &b->target->wanted[0],
        .slot_ms = SLOT_MS,
        .start_ms = SLOT_MS + 1000,
        .interval_ms = b->target->wanted[0].interval_ms,
        .duration_ms = b->target->wanted[0].duration_ms,
        .sample_k = 1,
        .sample_n = 3};
    assert_int_equal(kp_capture_start(b->capturer, &order, secrets, on_done, b, NULL), 0);
    assert_false(b->done); // never from inside
}

static void finish(struct bench *b)
{
    assert_true(kp_loop_run_until(b->loop, &b->done, 60000));
    assert_int_equal(kp_capturer_running(b->capturer), 0);
}

#define CPU  "{\"selector\":{},\"profiles\":[{\"type\":\"cpu\",\"interval\":\"10s\",\"duration\":\"1s\"}]}"
#define HEAP "{\"selector\":{},\"profiles\":[{\"type\":\"heap\"}],\"budget\":{\"profileBytes\":\"4Ki\"}}"

// Runs one scrape against a script; the outcome and words of the message are checked.
static void expect(const struct kp_step *script, const char *spec, enum kp_outcome outcome, const char *words)
{
    struct kp_peer *peer = kp_peer_start_script(script);
    struct bench b;
    // a busy machine takes its time with what is endless
    int64_t patience_ms = outcome == KP_OUTCOME_TIMEOUT ? 400 : 120000;
    bench_open(&b, "127.0.0.1", kp_peer_port(peer), spec, patience_ms);
    start(&b, NULL);
    finish(&b);
    if (b.outcome != outcome)
        fail_msg("%s (%s) instead of %s", kp_outcome_info(b.outcome)->name, b.message,
            kp_outcome_info(outcome)->name);
    if (strstr(b.message, words) == NULL)
        fail_msg("'%s' does not say '%s'", b.message, words);
    bench_close(&b);
    kp_peer_stop(peer);
}

#define ANSWER(name, status, type, body)                                                                     \
    static const struct kp_step name[] = {                                                                   \
        KP_STEP_TEXT("HTTP/1.1 " status "\r\nContent-Type: " type "\r\nConnection: close\r\n\r\n" body),     \
        KP_STEP_CLOSE, KP_STEP_END}

static void test_answers(void **state)
{
    ANSWER(not_found, "404 Not Found", "text/plain", "Unknown profile");
    ANSWER(denied, "401 Unauthorized", "text/plain", "go away secret-body");
    ANSWER(forbidden, "403 Forbidden", "text/plain", "no");
    ANSWER(busy, "500 Internal Server Error", "text/plain; charset=utf-8\r\nX-Go-Pprof: 1",
        "Could not enable CPU profiling: cpu profiling already in use\n");
    ANSWER(
        write_timeout, "400 Bad Request", "text/plain", "profile duration exceeds server's WriteTimeout\n");
    ANSWER(failing, "500 Internal Server Error", "text/plain", "secret-body");
    ANSWER(redirect, "302 Found\r\nLocation: http://169.254.169.254/", "text/plain", "");
    ANSWER(html, "200 OK", "text/html", "<html>hello</html>");
    ANSWER(empty, "200 OK", "application/octet-stream", "");
    static const struct kp_step garbage[] = {KP_STEP_TEXT("SSH-2.0-OpenSSH\r\n"), KP_STEP_CLOSE, KP_STEP_END};
    static const struct kp_step reset[] = {KP_STEP_RESET, KP_STEP_END};
    static const struct kp_step cut[] = {
        KP_STEP_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" GZ), KP_STEP_CLOSE, KP_STEP_END};
    static const struct kp_step hang[] = {KP_STEP_HANG, KP_STEP_END};
    static const struct kp_step huge[] = {KP_STEP_TEXT("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" GZ),
        KP_STEP_REPEAT("0123456789", 10, 1u << 30), KP_STEP_CLOSE, KP_STEP_END};
    static const struct kp_step headers[] = {KP_STEP_TEXT("HTTP/1.1 200 OK\r\n"),
        KP_STEP_REPEAT("X-More: 0123456789abcdef\r\n", 26, 1u << 30), KP_STEP_CLOSE, KP_STEP_END};
    static const struct kp_step long_header[] = {KP_STEP_TEXT("HTTP/1.1 200 OK\r\nX-Long: "),
        KP_STEP_REPEAT("0123456789", 10, 1u << 30), KP_STEP_CLOSE, KP_STEP_END};
    static const struct kp_step interim[] = {
        KP_STEP_REPEAT("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 40, 1u << 30), KP_STEP_CLOSE,
        KP_STEP_END};
    static const struct kp_step trailers[] = {
        KP_STEP_TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\x1f\x8b\r\n0\r\n"),
        KP_STEP_REPEAT("X-More: 0123456789abcdef\r\n", 26, 1u << 30), KP_STEP_CLOSE, KP_STEP_END};
    (void)state;
    expect(headers, HEAP, KP_OUTCOME_NOT_PPROF, "headers without end");
    expect(long_header, HEAP, KP_OUTCOME_NOT_PPROF, "headers without end");
    expect(interim, HEAP, KP_OUTCOME_NOT_PPROF, "headers without end");
    expect(trailers, HEAP, KP_OUTCOME_NOT_PPROF, "headers without end");
    expect(not_found, HEAP, KP_OUTCOME_NOT_SERVED, "404");
    expect(denied, HEAP, KP_OUTCOME_DENIED, "credentials");
    expect(forbidden, HEAP, KP_OUTCOME_DENIED, "403");
    expect(busy, CPU, KP_OUTCOME_BUSY, "another profiler");
    expect(write_timeout, CPU, KP_OUTCOME_HTTP_ERROR, "WriteTimeout");
    expect(failing, HEAP, KP_OUTCOME_HTTP_ERROR, "500");
    expect(redirect, HEAP, KP_OUTCOME_HTTP_ERROR, "redirects are never followed");
    expect(html, HEAP, KP_OUTCOME_NOT_PPROF, "text/html");
    expect(empty, HEAP, KP_OUTCOME_EMPTY, "empty");
    expect(garbage, HEAP, KP_OUTCOME_NOT_PPROF, "does not speak HTTP");
    expect(reset, HEAP, KP_OUTCOME_UNREACHABLE, "closed the connection");
    expect(cut, HEAP, KP_OUTCOME_UNREACHABLE, "closed the connection");
    expect(hang, CPU, KP_OUTCOME_TIMEOUT, "1s");
    expect(hang, HEAP, KP_OUTCOME_TIMEOUT, "in time");
    expect(huge, HEAP, KP_OUTCOME_TOO_LARGE, "4Ki");
}

static void test_bodies_stay_out_of_messages(void **state)
{
    ANSWER(failing, "500 Internal Server Error", "text/plain", "secret-body");
    struct kp_peer *peer = kp_peer_start_script(failing);
    struct bench b;
    (void)state;
    bench_open(&b, "127.0.0.1", kp_peer_port(peer), HEAP, 400);
    start(&b, NULL);
    finish(&b);
    assert_null(strstr(b.message, "secret-body"));
    bench_close(&b);
    kp_peer_stop(peer);
}

static const struct kp_step *give_profile(
    void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    (void)user;
    (void)request;
    return kp_peer_answer(peer, 200, "application/octet-stream", GZ, sizeof GZ - 1);
}

static void test_success_fills_the_record(void **state)
{
    struct kp_peer *peer = kp_peer_start(give_profile, NULL);
    struct bench b;
    char key[KP_CAPTURE_KEY_TEXT];
    (void)state;
    bench_open(&b, "127.0.0.1", kp_peer_port(peer), CPU, 2000);
    start(&b, NULL);
    finish(&b);
    assert_int_equal(b.outcome, KP_OUTCOME_SUCCEEDED);
    assert_int_equal(b.body->len, sizeof GZ - 1);
    assert_memory_equal(b.body->data, GZ, sizeof GZ - 1);
    const struct kp_record *r = &b.record;
    assert_string_equal(r->service, "checkout");
    assert_string_equal(r->type, "cpu");
    assert_string_equal(r->format, "pprof");
    assert_string_equal(r->namespace, "shop");
    assert_string_equal(r->pod, "checkout-1");
    assert_string_equal(r->workload_kind, "StatefulSet");
    assert_string_equal(r->image_digest, "sha256:abc");
    assert_string_equal(r->policies, "/p");
    assert_int_equal(r->port, kp_peer_port(peer));
    assert_int_equal(r->restarts, 2);
    assert_true(r->slot_ms == SLOT_MS);
    assert_int_equal(r->sample_k, 1);
    assert_int_equal(r->sample_n, 3);
    assert_true(r->start_ms > 0 && r->end_ms >= r->start_ms);
    kp_capture_key(key, "u1", "app", (uint32_t)kp_peer_port(peer), "/debug/pprof/profile", "cpu", SLOT_MS);
    assert_string_equal(r->key, key);
    struct kp_error err = {0};
    if (kp_record_check(r, &err) != 0)
        fail_msg("%s", err.text);
    const struct kp_peer_request *request = kp_peer_request(peer, 0);
    assert_string_equal(request->target, "/debug/pprof/profile?seconds=1");
    assert_null(strstr(request->head, "Authorization"));
    assert_non_null(strstr(request->head, "User-Agent: kube-pprof/"));
    bench_close(&b);
    kp_peer_stop(peer);
}

static void test_nothing_is_sent_to_denied_addresses(void **state)
{
    struct kp_peer *peer = kp_peer_start(give_profile, NULL);
    static const char *const ips[] = {"127.0.0.1", "::ffff:127.0.0.1"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct kp_capture_options options = {0};
        struct bench b;
        bench_open(&b, ips[i], kp_peer_port(peer), HEAP, 400);
        kp_capturer_destroy(b.capturer);
        b.capturer = kp_capturer_create(b.loop, &options, NULL); // as in production
        start(&b, NULL);
        finish(&b);
        assert_int_equal(b.outcome, KP_OUTCOME_REFUSED);
        assert_non_null(strstr(b.message, "loopback"));
        bench_close(&b);
    }
    assert_int_equal(kp_peer_requests(peer), 0);
    kp_peer_stop(peer);
}

static void test_credentials_only_over_https(void **state)
{
    struct kp_peer *peer = kp_peer_start(give_profile, NULL);
    struct kp_capture_secrets secrets = {.bearer = "s3cret"};
    struct bench b;
    (void)state;
    bench_open(&b, "127.0.0.1", kp_peer_port(peer), HEAP, 400);
    start(&b, &secrets);
    finish(&b);
    assert_int_equal(b.outcome, KP_OUTCOME_REFUSED);
    assert_null(strstr(b.message, "s3cret"));
    assert_int_equal(kp_peer_requests(peer), 0);
    bench_close(&b);
    kp_peer_stop(peer);
}

static void test_nobody_listens(void **state)
{
    struct kp_peer *peer = kp_peer_start(give_profile, NULL);
    int port = kp_peer_port(peer);
    struct bench b;
    (void)state;
    kp_peer_stop(peer); // the port is free again
    bench_open(&b, "127.0.0.1", port, HEAP, 400);
    start(&b, NULL);
    finish(&b);
    assert_int_equal(b.outcome, KP_OUTCOME_UNREACHABLE);
    assert_non_null(strstr(b.message, "nothing listens"));
    bench_close(&b);
}

static void test_cancel(void **state)
{
    static const struct kp_step hang[] = {KP_STEP_HANG, KP_STEP_END};
    static const enum kp_outcome whys[] = {KP_OUTCOME_POD_GONE, KP_OUTCOME_CANCELLED};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct kp_peer *peer = kp_peer_start_script(hang);
        struct bench b;
        bench_open(&b, "127.0.0.1", kp_peer_port(peer), CPU, 5000);
        start(&b, NULL);
        if (i >= 2) // once the request is out
            kp_loop_run_until(b.loop, &b.done, 200);
        kp_capture_cancel(b.capturer, 7, whys[i % 2]);
        assert_false(b.done);
        finish(&b);
        assert_int_equal(b.outcome, whys[i % 2]);
        bench_close(&b);
        kp_peer_stop(peer);
    }
}

static void test_destroy_tells_everybody(void **state)
{
    static const struct kp_step hang[] = {KP_STEP_HANG, KP_STEP_END};
    struct kp_peer *peer = kp_peer_start_script(hang);
    struct bench b;
    (void)state;
    bench_open(&b, "127.0.0.1", kp_peer_port(peer), CPU, 5000);
    start(&b, NULL);
    kp_loop_run_until(b.loop, &b.done, 100);
    kp_capturer_destroy(b.capturer);
    b.capturer = NULL;
    assert_true(b.done);
    assert_int_equal(b.outcome, KP_OUTCOME_CANCELLED);
    bench_close(&b);
    kp_peer_stop(peer);
}

static void test_full(void **state)
{
    static const struct kp_step hang[] = {KP_STEP_HANG, KP_STEP_END};
    struct kp_peer *peer = kp_peer_start_script(hang);
    struct kp_capture_options options = {.max_running = 1};
    struct kp_error err = {0};
    struct bench b;
    (void)state;
    bench_open(&b, "127.0.0.1", kp_peer_port(peer), CPU, 5000);
    kp_capturer_destroy(b.capturer);
    b.capturer = kp_capturer_create(b.loop, &options, NULL);
    kp_capturer_allow(b.capturer, "127.0.0.0/8");
    start(&b, NULL);
    struct kp_order second = {.id = 8, .target = kp_target_ref(b.target), .wanted = &b.target->wanted[0]};
    assert_int_equal(kp_capture_start(b.capturer, &second, NULL, on_done, &b, &err), KP_LIMIT);
    assert_non_null(second.target); // nothing was taken
    kp_order_finish(&second);
    bench_close(&b);
    kp_peer_stop(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_bodies_stay_out_of_messages),
        cmocka_unit_test(test_success_fills_the_record),
        cmocka_unit_test(test_nothing_is_sent_to_denied_addresses),
        cmocka_unit_test(test_credentials_only_over_https),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_destroy_tells_everybody),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
