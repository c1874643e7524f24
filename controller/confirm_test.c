// An address may pass to another pod while a capture runs: what counts and what is dropped.
#include "controller/confirm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "kube/client.h"
#include "plan/plan.h"
#include "testkit/peer.h"
#include "base/banned.h"

struct bench {
    struct kp_loop *loop;
    struct kp_plan *plan;
    struct kp_inventory *inventory;
    struct kp_confirm *confirm;
    bool watch_moves, done, moves_when_asked;
    int n_asked;
    int n;
    int64_t created_ms;       // of the pod
    int64_t start_ms, end_ms; // of what is put, then as it was told
    enum kp_outcome outcome;
    // of the API server, where there is one
    char *server;
    struct kp_kube_config kube_config;
    struct kp_kube *kube;
};

static int64_t watch_mono_ms(void *user)
{
    return ((struct bench *)user)->watch_moves ? kp_mono_ms() + 1 : 0;
}

static void ask_watch(void *user)
{
    struct bench *b = user;
    b->n_asked++;
    b->watch_moves = b->moves_when_asked;
}

static void on_verdict(
    void *user, struct kp_capture_result *result, enum kp_outcome outcome, const char *message)
{
    struct bench *b = user;
    assert_true(outcome == KP_OUTCOME_SUCCEEDED || message[0] != '\0');
    assert_string_equal(result->record.pod, "a");
    b->outcome = outcome;
    b->start_ms = result->record.start_ms;
    b->end_ms = result->record.end_ms;
    b->n++;
    b->done = true;
}

static void never_cancel(void *user, uint64_t order_id)
{
    (void)user;
    (void)order_id;
}

static void ignore_namespace(void *user, const char *namespace)
{
    (void)user;
    (void)namespace;
}

static void ignore_problem(void *user, const struct kp_pod *pod, const struct kp_annotation_problem *problem)
{
    (void)user;
    (void)pod;
    (void)problem;
}

static void bench_open_with(struct bench *b, size_t max_bytes, const char *server)
{
    *b = (struct bench){.loop = kp_loop_create(), .plan = kp_plan_create(NULL, NULL), .watch_moves = true};
    struct kp_inventory_options inventory = {
        .on_cancel = never_cancel, .on_replanned = ignore_namespace, .on_annotation_problem = ignore_problem};
    b->inventory = kp_inventory_create(b->loop, b->plan, &inventory);
    struct kp_confirm_options options = {.inventory = b->inventory,
        .watch_mono_ms = watch_mono_ms,
        .ask_watch = ask_watch,
        .watch_user = b,
        .on_verdict = on_verdict,
        .user = b,
        .max_bytes = max_bytes};
    if (server != NULL) {
        b->server = kp_strdup(server);
        struct kp_kube_options kube = {.user_agent = "test"};
        b->kube_config = (struct kp_kube_config){.server = b->server};
        options.kube = b->kube = kp_kube_create(b->loop, &b->kube_config, &kube);
    }
    b->confirm = kp_confirm_create(b->loop, &options);
}

static void bench_open(struct bench *b, size_t max_bytes)
{
    bench_open_with(b, max_bytes, NULL);
}

static void bench_close(struct bench *b)
{
    if (b->kube != NULL)
        kp_kube_destroy(b->kube);
    kp_free(b->server);
    kp_confirm_destroy(b->confirm);
    kp_inventory_destroy(b->inventory);
    kp_plan_destroy(b->plan);
    kp_loop_destroy(b->loop);
}

static void set_pod_of(
    struct bench *b, const char *uid, const char *ip, const char *container_id, bool deleting)
{
    struct kp_container container = {
        .name = "app", .image = "", .image_id = "", .container_id = container_id, .started_ms = 1};
    struct kp_pod draft = {.namespace = "shop",
        .name = "a",
        .uid = uid,
        .resource_version = "1",
        .node = "",
        .ip = ip,
        .host_ip = "",
        .owner_kind = "",
        .owner_name = "",
        .workload_kind = "",
        .workload_name = "",
        .revision = "",
        .version = "",
        .phase = KP_POD_RUNNING,
        .created_ms = b->created_ms,
        .deleting = deleting,
        .n_containers = 1,
        .containers = &container};
    const struct kp_pod *pod = kp_pod_build(&draft);
    kp_inventory_set_pod(b->inventory, "shop/a", pod);
    kp_pod_unref(pod);
}

static void set_pod(struct bench *b, const char *uid, const char *ip, const char *container_id)
{
    set_pod_of(b, uid, ip, container_id, false);
}

static void put_in(struct bench *b, const char *namespace)
{
    struct kp_capture_result result = {
        .outcome = KP_OUTCOME_SUCCEEDED, .bytes = 3, .body = kp_blob_copy("abc", 3)};
    kp_record_init(&result.record);
    result.record.namespace = kp_strdup(namespace);
    result.record.pod = kp_strdup("a");
    result.record.pod_uid = kp_strdup("u1");
    result.record.container = kp_strdup("app");
    result.record.container_id = kp_strdup("c1");
    result.record.start_ms = b->start_ms;
    result.record.end_ms = b->end_ms;
    kp_confirm_put(b->confirm, &result, "10.0.0.1");
    kp_capture_result_finish(&result); // taken: nothing is left in it
}

static void put(struct bench *b)
{
    put_in(b, "shop");
}

static enum kp_outcome verdict(const char *uid, const char *ip, const char *container_id)
{
    struct bench b;
    bench_open(&b, 0);
    if (uid != NULL)
        set_pod(&b, uid, ip, container_id);
    put(&b);
    assert_false(b.done);
    assert_true(kp_loop_run_until(b.loop, &b.done, 5000));
    assert_int_equal(b.n, 1);
    assert_int_equal(kp_confirm_waiting(b.confirm), 0);
    bench_close(&b);
    return b.outcome;
}

static void test_verdicts(void **state)
{
    (void)state;
    assert_int_equal(verdict("u1", "10.0.0.1", "c1"), KP_OUTCOME_SUCCEEDED);
    assert_int_equal(verdict("u2", "10.0.0.1", "c1"), KP_OUTCOME_POD_GONE); // another pod of the same name
    assert_int_equal(verdict("u1", "10.0.0.2", "c1"), KP_OUTCOME_POD_GONE); // another address
    assert_int_equal(verdict("u1", "10.0.0.1", "c2"), KP_OUTCOME_POD_GONE); // the container was restarted
    assert_int_equal(verdict(NULL, "", ""), KP_OUTCOME_POD_GONE);           // no such pod any more
}

static void captured(struct bench *b, int64_t start_ms, int64_t want_ms)
{
    b->start_ms = start_ms;
    b->end_ms = start_ms + 2000;
    b->done = false;
    put(b);
    assert_true(kp_loop_run_until(b->loop, &b->done, 5000));
    assert_int_equal(b->outcome, KP_OUTCOME_SUCCEEDED);
    assert_int_equal(b->start_ms, want_ms);
    assert_int_equal(b->end_ms, want_ms + 2000);
}

// By a clock that is behind a pod is captured before it was made, and nothing of it would be kept.
static void test_no_capture_is_older_than_its_pod(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, 0);
    b.created_ms = 7200000;
    set_pod(&b, "u1", "10.0.0.1", "c1");
    captured(&b, 7200000, 7200000);
    captured(&b, 7300000, 7300000);
    captured(&b, 3600000, 7200000); // an hour behind, as is known now
    captured(&b, 3610000, 7210000); // and not all at once
    captured(&b, 3500000, 7200000);
    captured(&b, 7200000, 7200000);
    bench_close(&b);
}

static void test_waits_for_the_watch(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, 0);
    b.watch_moves = false;
    set_pod(&b, "u1", "10.0.0.1", "c1");
    put(&b);
    assert_false(kp_loop_run_until(b.loop, &b.done, 400));
    assert_int_equal(kp_confirm_waiting(b.confirm), 1);
    b.watch_moves = true;
    assert_true(kp_loop_run_until(b.loop, &b.done, 5000));
    assert_int_equal(b.outcome, KP_OUTCOME_SUCCEEDED);
    bench_close(&b);
}

// Where nothing happens to any pod one question confirms all that wait.
static void test_a_silent_watch_is_asked(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, 0);
    b.watch_moves = false;
    b.moves_when_asked = true;
    set_pod(&b, "u1", "10.0.0.1", "c1");
    for (int i = 0; i < 100; i++)
        put(&b);
    assert_true(kp_loop_run_until(b.loop, &b.done, 5000));
    assert_int_equal(b.n_asked, 1);
    while (kp_confirm_waiting(b.confirm) > 0)
        kp_loop_run_until(b.loop, &(const bool){false}, 10);
    assert_int_equal(b.n, 100);
    assert_int_equal(b.n_asked, 1);
    bench_close(&b);
}

static void test_a_namespace_leaves_room_for_others(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, 40);
    b.watch_moves = false;
    for (int i = 0; i < 20; i++)
        put(&b);
    assert_int_equal(b.n, 10); // 30 of 40 bytes
    put_in(&b, "pay");
    put_in(&b, "pay");
    assert_int_equal(b.n, 10);
    assert_int_equal(kp_confirm_bytes(b.confirm), 36);
    bench_close(&b);
}

static void test_bounded(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, 4);
    b.watch_moves = false;
    set_pod(&b, "u1", "10.0.0.1", "c1");
    put(&b);
    put(&b); // six bytes are more than four
    assert_int_equal(b.n, 1);
    assert_int_equal(b.outcome, KP_OUTCOME_UNDELIVERED);
    bench_close(&b); // what waits is judged by the cache
    assert_int_equal(b.n, 2);
    assert_int_equal(b.outcome, KP_OUTCOME_SUCCEEDED);
}

static const struct kp_step *answer_pod(
    void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    const char *const *pod = user; // uid, address, container id; NULL: no such pod
    if (strcmp(request->target, "/api/v1/namespaces/shop/pods/a") != 0)
        return kp_peer_answer(peer, 500, "text/plain", "", 0);
    if (pod == NULL)
        return kp_peer_answer(peer, 404, "application/json", "{\"kind\":\"Status\",\"code\":404}", 28);
    kp_auto_free char *json = kp_asprintf(
        "{\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"shop\",\"name\":\"a\",\"uid\":\"%s\","
        "\"resourceVersion\":\"9\"},"
        "\"spec\":{\"containers\":[{\"name\":\"app\"}]},\"status\":{\"phase\":\"Running\",\"podIP\":\"%s\","
        "\"containerStatuses\":[{\"name\":\"app\",\"containerID\":\"%s\"}]}}",
        pod[0], pod[1], pod[2]);
    return kp_peer_answer(peer, 200, "application/json", json, strlen(json));
}

// The watch stands still: after two seconds the pod is asked for. The cache, which holds the pod that was
// captured, is not believed.
static void test_the_pod_is_fetched_when_the_watch_is_silent(void **state)
{
    static const char *const same[] = {"u1", "10.0.0.1", "c1"}, *const other[] = {"u2", "10.0.0.1", "c1"},
                             *const moved[] = {"u1", "10.0.0.9", "c1"},
                             *const restarted[] = {"u1", "10.0.0.1", "c2"};
    static const struct {
        const char *const *pod;
        enum kp_outcome outcome;
    } rows[] = {{same, KP_OUTCOME_SUCCEEDED}, {other, KP_OUTCOME_POD_GONE}, {moved, KP_OUTCOME_POD_GONE},
        {restarted, KP_OUTCOME_POD_GONE}, {NULL, KP_OUTCOME_POD_GONE}};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_peer *peer = kp_peer_start(answer_pod, (void *)(uintptr_t)rows[i].pod);
        struct bench b;
        bench_open_with(&b, 0, kp_peer_url(peer));
        b.watch_moves = false;
        set_pod(&b, "u1", "10.0.0.1", "c1");
        int64_t began = kp_mono_ms();
        put(&b);
        assert_true(kp_loop_run_until(b.loop, &b.done, 30000));
        assert_true(kp_mono_ms() - began >= 2000);
        assert_int_equal(b.outcome, rows[i].outcome);
        assert_int_equal(kp_peer_requests(peer), 1);
        bench_close(&b);
        kp_peer_stop(peer);
    }
}

// No answer is no verdict: the capture waits.
static void test_waits_while_the_api_server_is_away(void **state)
{
    static const struct kp_step refuse[] = {
        KP_STEP_TEXT("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), KP_STEP_END};
    struct kp_peer *peer = kp_peer_start_script(refuse);
    struct bench b;
    (void)state;
    bench_open_with(&b, 0, kp_peer_url(peer));
    b.watch_moves = false;
    set_pod(&b, "u1", "10.0.0.1", "c1");
    put(&b);
    for (int i = 0; i < 300 && kp_peer_requests(peer) == 0; i++)
        assert_false(kp_loop_run_until(b.loop, &b.done, 100));
    assert_int_equal(kp_peer_requests(peer), 1);
    assert_false(kp_loop_run_until(b.loop, &b.done, 500));
    assert_int_equal(kp_confirm_waiting(b.confirm), 1);
    b.watch_moves = true; // it is back
    assert_true(kp_loop_run_until(b.loop, &b.done, 30000));
    assert_int_equal(b.outcome, KP_OUTCOME_SUCCEEDED);
    bench_close(&b);
    kp_peer_stop(peer);
}

// Ten at most in a second, however many wait.
static void test_fetches_are_few(void **state)
{
    static const char *const same[] = {"u1", "10.0.0.1", "c1"};
    struct kp_peer *peer = kp_peer_start(answer_pod, (void *)(uintptr_t)same);
    struct bench b;
    (void)state;
    bench_open_with(&b, 0, kp_peer_url(peer));
    b.watch_moves = false;
    set_pod(&b, "u1", "10.0.0.1", "c1");
    int64_t began = kp_mono_ms();
    for (int i = 0; i < 40; i++)
        put(&b);
    while (b.n < 40 && kp_mono_ms() - began < 60000) {
        b.done = false;
        (void)kp_loop_run_until(b.loop, &b.done, 1000);
    }
    assert_int_equal(b.n, 40);
    // ten at once, thirty more at ten a second
    assert_true(kp_mono_ms() - began >= 2000 + 2900);
    bench_close(&b);
    kp_peer_stop(peer);
}

// An API server that refuses is not asked for each of them: those that are out tell it for all.
static void test_refusals_count_for_all(void **state)
{
    static const struct kp_step refuse[] = {
        KP_STEP_TEXT("HTTP/1.1 429 Too Many\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n"), KP_STEP_END};
    struct kp_peer *peer = kp_peer_start_script(refuse);
    struct bench b;
    (void)state;
    bench_open_with(&b, 0, kp_peer_url(peer));
    b.watch_moves = false;
    set_pod(&b, "u1", "10.0.0.1", "c1");
    for (int i = 0; i < 40; i++)
        put(&b);
    for (int i = 0; i < 300 && kp_peer_requests(peer) == 0; i++)
        assert_false(kp_loop_run_until(b.loop, &b.done, 100));
    assert_false(kp_loop_run_until(b.loop, &b.done, 2000)); // without it thirty more would have gone out
    assert_in_range(kp_peer_requests(peer), 1, 15);
    assert_int_equal(kp_confirm_waiting(b.confirm), 40);
    b.watch_moves = true;
    while (b.n < 40) {
        b.done = false;
        assert_true(kp_loop_run_until(b.loop, &b.done, 30000));
    }
    assert_int_equal(b.outcome, KP_OUTCOME_SUCCEEDED);
    bench_close(&b);
    kp_peer_stop(peer);
}

// ---- captures whose connection broke ----

static void put_broken(struct bench *b)
{
    struct kp_capture_result result = {
        .outcome = KP_OUTCOME_UNREACHABLE, .bytes = 1000, .message = "closed the connection"};
    kp_record_init(&result.record);
    result.record.namespace = kp_strdup("shop");
    result.record.pod = kp_strdup("a");
    result.record.pod_uid = kp_strdup("u1");
    result.record.container = kp_strdup("app");
    kp_confirm_put(b->confirm, &result, "10.0.0.1");
}

static enum kp_outcome verdict_of_broken(const char *uid, const char *ip, bool deleting)
{
    struct bench b;
    bench_open(&b, 0);
    if (uid != NULL)
        set_pod_of(&b, uid, ip, "c2", deleting);
    put_broken(&b);
    assert_true(kp_loop_run_until(b.loop, &b.done, 30000));
    assert_int_equal(kp_confirm_waiting(b.confirm), 0);
    bench_close(&b);
    return b.outcome;
}

// A pod that ends during its capture closes the connection before the watch tells of it: nobody's fault.
static void test_a_pod_that_ends_is_gone(void **state)
{
    (void)state;
    assert_int_equal(verdict_of_broken("u1", "10.0.0.1", true), KP_OUTCOME_POD_GONE);
    assert_int_equal(verdict_of_broken("u2", "10.0.0.1", false), KP_OUTCOME_POD_GONE);
    assert_int_equal(verdict_of_broken(NULL, "", false), KP_OUTCOME_POD_GONE);
    assert_int_equal(
        verdict_of_broken("u1", "10.0.0.1", false), KP_OUTCOME_UNREACHABLE); // the program crashed
}

// What failed takes no room of what was captured, asks the API server for no pod, and is not held back for
// long.
static void test_a_failure_does_not_wait_long(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, 4);
    b.watch_moves = false;
    set_pod(&b, "u1", "10.0.0.1", "c1");
    for (int i = 0; i < 50; i++)
        put_broken(&b);
    assert_int_equal(kp_confirm_bytes(b.confirm), 0);
    assert_int_equal(b.n, 0);
    assert_true(kp_loop_run_until(b.loop, &b.done, 30000));
    while (kp_confirm_waiting(b.confirm) > 0)
        kp_loop_run_until(b.loop, &(const bool){false}, 10);
    assert_int_equal(b.n, 50);
    assert_int_equal(b.outcome, KP_OUTCOME_UNREACHABLE);
    assert_true(b.n_asked > 0);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_no_capture_is_older_than_its_pod),
        cmocka_unit_test(test_waits_for_the_watch),
        cmocka_unit_test(test_a_silent_watch_is_asked),
        cmocka_unit_test(test_a_namespace_leaves_room_for_others),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_the_pod_is_fetched_when_the_watch_is_silent),
        cmocka_unit_test(test_waits_while_the_api_server_is_away),
        cmocka_unit_test(test_fetches_are_few),
        cmocka_unit_test(test_refusals_count_for_all),
        cmocka_unit_test(test_a_pod_that_ends_is_gone),
        cmocka_unit_test(test_a_failure_does_not_wait_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
