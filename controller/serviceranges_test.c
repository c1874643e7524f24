// The cluster's service ranges: what is learned from the API server's list, and what if it does not tell.
#include "controller/serviceranges.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "capture/address.h"
#include "testkit/peer.h"
#include "base/banned.h"

#define LIST(items) "{\"kind\":\"ServiceCIDRList\",\"metadata\":{},\"items\":[" items "]}"
#define ITEM(cidrs) "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"cidrs\":[" cidrs "]}}"

struct answer {
    int status;
    const char *json;
};

#define SERVERS "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"

struct bench {
    const char *servers;          // JSON; NULL = not asked for
    const struct answer *answers; // one after the other; the last again and again
    size_t n_answers;
    struct kp_peer *peer;
    struct kp_loop *loop;
    char *server;
    struct kp_kube *kube;
    struct kp_denylist *denied;
    struct kp_serviceranges *ranges;
    int told;
    size_t used;
    bool done;
    int log[2];
    char said[8192];
};

static const struct kp_step *answer(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    const struct bench *b = user;
    size_t i = kp_peer_requests(peer) - 1;
    if (i >= b->n_answers)
        i = b->n_answers - 1;
    const char *json_servers = b->servers;
    if (json_servers != NULL && kp_streq(request->target, SERVERS))
        return kp_peer_answer(peer, 200, "application/json", json_servers, strlen(json_servers));
    if (!kp_starts_with(request->target, "/apis/networking.k8s.io/v1/servicecidrs") ||
        strcmp(request->method, "GET") != 0)
        return kp_peer_answer(peer, 500, "text/plain", "", 0);
    const char *json = b->answers[i].json;
    return kp_peer_answer(peer, b->answers[i].status, "application/json", json, strlen(json));
}

static size_t on_ranges(void *user, const char *const *cidrs)
{
    struct bench *b = user;
    b->used = kp_denylist_learn(b->denied, cidrs);
    b->told++;
    b->done = true;
    return b->used;
}

static size_t on_servers(void *user, const char *const *ips)
{
    struct bench *b = user;
    b->used = kp_denylist_learn_servers(b->denied, ips);
    b->told++;
    b->done = true;
    return b->used;
}

static void bench_open_with(struct bench *b, const struct answer *answers, size_t n, const char *servers)
{
    static const char *const configured[] = {"10.1.0.0/16", NULL};
    *b = (struct bench){.answers = answers, .n_answers = n, .servers = servers, .loop = kp_loop_create()};
    assert_int_equal(pipe2(b->log, O_NONBLOCK | O_CLOEXEC), 0);
    kp_log_setup(KP_LOG_INFO, false, b->log[1]);
    b->peer = kp_peer_start(answer, b);
    b->server = kp_strdup(kp_peer_url(b->peer));
    struct kp_kube_config config = {.server = b->server};
    struct kp_kube_options kube = {.user_agent = "test"};
    b->kube = kp_kube_create(b->loop, &config, &kube);
    assert_int_equal(kp_denylist_create(configured, &b->denied, NULL), 0);
    struct kp_serviceranges_options options = {.kube = b->kube,
        .on_ranges = on_ranges,
        .on_servers = servers != NULL ? on_servers : NULL,
        .user = b,
        .retry_ms = 5,
        .every_ms = 10};
    b->ranges = kp_serviceranges_create(b->loop, &options);
    kp_serviceranges_start(b->ranges);
}

static void bench_open(struct bench *b, const struct answer *answers, size_t n)
{
    bench_open_with(b, answers, n, NULL);
}

static void bench_close(struct bench *b)
{
    kp_serviceranges_destroy(b->ranges);
    kp_kube_destroy(b->kube);
    kp_loop_destroy(b->loop);
    kp_denylist_destroy(b->denied);
    kp_peer_stop(b->peer);
    kp_free(b->server);
    kp_log_setup(KP_LOG_INFO, false, 2);
    close(b->log[0]);
    close(b->log[1]);
}

static void run_until_told(struct bench *b, int times)
{
    while (b->told < times) {
        b->done = false;
        assert_true(kp_loop_run_until(b->loop, &b->done, 30000));
    }
}

static void run_until_asked(struct bench *b, size_t times)
{
    for (int i = 0; i < 3000 && kp_peer_requests(b->peer) < times; i++) {
        b->done = false;
        (void)kp_loop_run_until(b->loop, &b->done, 10);
    }
    assert_true(kp_peer_requests(b->peer) >= times);
}

// How often the log holds the text.
static int times_said(struct bench *b, const char *text)
{
    size_t have = strlen(b->said);
    ssize_t n = read(b->log[0], b->said + have, sizeof b->said - 1 - have);
    b->said[have + (n > 0 ? (size_t)n : 0)] = '\0';
    int times = 0;
    for (const char *at = strstr(b->said, text); at != NULL; at = strstr(at + 1, text))
        times++;
    return times;
}

static bool is_denied(const struct bench *b, const char *ip)
{
    return kp_denylist_check_text(b->denied, ip, false, NULL) == KP_DENIED;
}

static void test_the_servers_addresses_are_learned(void **state)
{
    static const struct answer answers[] = {{200, LIST("")}};
    struct bench b;
    struct kp_error err = {0};
    (void)state;
    bench_open_with(&b, answers, 1,
        "{\"kind\":\"EndpointSlice\",\"endpoints\":[{\"addresses\":[\"10.77.0.1\"]},"
        "{\"addresses\":[\"10.77.0.2\",7]}]}");
    while (!is_denied(&b, "10.77.0.2"))
        run_until_told(&b, b.told + 1);
    assert_int_equal(kp_denylist_check_text(b.denied, "10.77.0.1", false, &err), KP_DENIED);
    assert_non_null(strstr(err.text, "the API server"));
    assert_true(is_denied(&b, "::ffff:10.77.0.1"));
    assert_false(is_denied(&b, "10.77.0.3"));
    assert_int_equal(
        kp_denylist_check_text(b.denied, "10.77.0.1", true, NULL), 0); // a pod of its node's network
    assert_int_equal(kp_denylist_check_text(b.denied, "127.0.0.1", true, NULL), KP_DENIED);
    bench_close(&b);
}

static void test_ranges_are_learned(void **state)
{
    static const struct answer answers[] = {
        {200, LIST(ITEM("\"10.96.0.0/16\",\"fd00:1::/112\"") "," ITEM("\"10.98.0.0/24\""))},
        {200, LIST(ITEM("\"10.99.0.0/16\""))},
    };
    struct bench b;
    (void)state;
    bench_open(&b, answers, 2);
    assert_false(is_denied(&b, "10.96.0.1"));
    run_until_told(&b, 1);
    assert_int_equal(b.used, 3);
    assert_true(is_denied(&b, "10.96.0.1") && is_denied(&b, "fd00:1::1") && is_denied(&b, "10.98.0.1"));
    assert_false(is_denied(&b, "10.98.1.1"));
    run_until_told(&b, 2); // asked again after a while: the new ranges hold
    assert_true(is_denied(&b, "10.99.0.1") && is_denied(&b, "10.1.0.1"));
    assert_false(is_denied(&b, "10.96.0.1"));
    assert_int_equal(times_said(&b, "denied-cidrs"), 0);
    bench_close(&b);
}

// What it does not tell is told once, however often it was asked, and learned when it does tell.
static void test_configured_is_the_fallback(void **state)
{
    static const struct {
        int status;
        const char *json, *said;
    } rows[] = {
        {404, "{\"kind\":\"Status\",\"code\":404,\"reason\":\"NotFound\"}", "Kubernetes before 1.33"},
        {403, "{\"kind\":\"Status\",\"code\":403,\"reason\":\"Forbidden\"}", "may not list ServiceCIDRs"},
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        const struct answer refused = {rows[i].status, rows[i].json};
        const struct answer answers[] = {refused, refused, refused, {200, LIST(ITEM("\"10.96.0.0/16\""))}};
        struct bench b;
        bench_open(&b, answers, KP_COUNT(answers));
        run_until_asked(&b, 3);
        assert_int_equal(b.told, 0);
        assert_true(is_denied(&b, "10.1.0.1"));
        run_until_told(&b, 1);
        assert_true(is_denied(&b, "10.96.0.1"));
        assert_int_equal(times_said(&b, rows[i].said), 1);
        assert_int_equal(times_said(&b, "--denied-cidrs"), 1);
        bench_close(&b);
    }
}

// What was learned holds while the API server is away.
static void test_failures_are_tried_again(void **state)
{
    static const struct answer answers[] = {
        {503, "{}"},
        {200, "{\"kind\":\"Strange\"}"},
        {200, LIST(ITEM("\"10.96.0.0/16\""))},
        {500, "{}"},
    };
    struct bench b;
    (void)state;
    bench_open(&b, answers, KP_COUNT(answers));
    run_until_told(&b, 1);
    assert_true(kp_peer_requests(b.peer) >= 3);
    assert_int_equal(times_said(&b, "trying again"), 1);
    run_until_asked(&b, 6);
    assert_true(is_denied(&b, "10.96.0.1"));
    assert_int_equal(b.told, 1);
    assert_int_equal(times_said(&b, "trying again"), 2);
    assert_int_equal(times_said(&b, "denied-cidrs"), 0);
    bench_close(&b);
}

static void test_bad_values_are_ignored(void **state)
{
    static const struct answer answers[] = {
        {200, LIST("7,{},{\"spec\":{\"cidrs\":\"10.2.0.0/16\"}}," ITEM(
                  "\"rubbish\",null,5,\"10.96.0.0/40\",\"10.97.0.0/16\""))},
    };
    struct bench b;
    (void)state;
    bench_open(&b, answers, 1);
    run_until_told(&b, 1);
    assert_int_equal(b.used, 1);
    assert_true(is_denied(&b, "10.97.0.1"));
    assert_false(is_denied(&b, "10.96.0.1") || is_denied(&b, "10.2.0.1"));
    bench_close(&b);
}

static void test_bounded(void **state)
{
    kp_auto_strbuf cidrs;
    struct bench b;
    (void)state;
    kp_strbuf_init(&cidrs, KP_MIB);
    for (int i = 0; i < 200; i++) {
        kp_auto_free char *cidr = kp_asprintf("%s\"10.%d.0.0/16\"", i > 0 ? "," : "", i + 2);
        kp_strbuf_adds(&cidrs, cidr);
    }
    kp_auto_free char *list = kp_strbuf_take(&cidrs, NULL);
    kp_auto_free char *json = kp_asprintf(LIST(ITEM("%s")), list);
    const struct answer answers[] = {{200, json}};
    bench_open(&b, answers, 1);
    run_until_told(&b, 1);
    assert_int_equal(b.used, KP_SERVICERANGES_MAX);
    assert_true(is_denied(&b, "10.65.0.1"));
    assert_false(is_denied(&b, "10.66.0.1"));
    assert_true(times_said(&b, "more of what is never scraped than is taken") >= 1);
    bench_close(&b);
}

// Destroyed while its request is out: nothing is told any more.
static void test_destroyed_while_asking(void **state)
{
    static const struct answer answers[] = {{200, LIST(ITEM("\"10.96.0.0/16\""))}};
    struct bench b;
    bool never = false;
    (void)state;
    bench_open(&b, answers, 1);
    (void)kp_loop_run_until(b.loop, &never, 0);
    kp_serviceranges_destroy(b.ranges);
    b.ranges = NULL;
    int told = b.told;
    assert_false(kp_loop_run_until(b.loop, &never, 50));
    assert_int_equal(b.told, told);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_are_learned),
        cmocka_unit_test(test_the_servers_addresses_are_learned),
        cmocka_unit_test(test_configured_is_the_fallback),
        cmocka_unit_test(test_failures_are_tried_again),
        cmocka_unit_test(test_bad_values_are_ignored),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_destroyed_while_asking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
