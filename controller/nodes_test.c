// What of a node is known, when it is asked for, and when not.
#include "controller/nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "kube/client.h"
#include "testkit/peer.h"
#include "base/banned.h"

#define INFO(architecture) "{\"status\":{\"nodeInfo\":{\"architecture\":\"" architecture "\"}}}"
#define LONG_NAME          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct answer {
    const char *name; // of the node
    int status;
    const char *body;
};

static const struct answer answers[] = {
    {"amd", 200, INFO("amd64")},
    {"arm", 200, INFO("arm64")},
    {"labelled", 200, "{\"metadata\":{\"labels\":{\"kubernetes.io/arch\":\"s390x\"}},\"status\":{}}"},
    {"both", 200,
        "{\"metadata\":{\"labels\":{\"kubernetes.io/arch\":\"s390x\"}},"
        "\"status\":{\"nodeInfo\":{\"architecture\":\"riscv64\"}}}"},
    {"bare", 200, "{\"metadata\":{\"name\":\"bare\"}}"},
    {"number", 200, "{\"status\":{\"nodeInfo\":{\"architecture\":64}}}"},
    {"strange", 200, INFO("a\\nb")},
    {"long", 200, INFO(LONG_NAME LONG_NAME)},
    {"list", 200, "[]"},
    {"broken", 200, "{\"status\":"},
    {"denied", 403, "{\"kind\":\"Status\",\"code\":403,\"reason\":\"Forbidden\",\"message\":\"no\"}"},
};

static const struct kp_step *route(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    static const char prefix[] = "/api/v1/nodes/";
    (void)user;
    if (strncmp(request->target, prefix, sizeof prefix - 1) != 0)
        return kp_peer_answer(peer, 500, "text/plain", "", 0);
    const char *name = request->target + sizeof prefix - 1;
    for (size_t i = 0; i < KP_COUNT(answers); i++)
        if (strcmp(answers[i].name, name) == 0)
            return kp_peer_answer(
                peer, answers[i].status, "application/json", answers[i].body, strlen(answers[i].body));
    if (strncmp(name, "many", 4) == 0)
        return kp_peer_answer(peer, 200, "application/json", INFO("amd64"), strlen(INFO("amd64")));
    return kp_peer_answer(peer, 404, "application/json", "{\"kind\":\"Status\",\"code\":404}", 28);
}

struct bench {
    struct kp_peer *peer;
    struct kp_loop *loop;
    char *server;
    struct kp_kube_config kube_config;
    struct kp_kube *kube;
    struct kp_nodes *nodes;
};

static void bench_open_to(struct bench *b, struct kp_peer *peer, struct kp_nodes_options options)
{
    *b = (struct bench){.peer = peer, .loop = kp_loop_create(), .server = kp_strdup(kp_peer_url(peer))};
    struct kp_kube_options kube = {.user_agent = "test"};
    b->kube_config = (struct kp_kube_config){.server = b->server};
    b->kube = options.kube = kp_kube_create(b->loop, &b->kube_config, &kube);
    b->nodes = kp_nodes_create(&options);
}

static void bench_open(struct bench *b, struct kp_nodes_options options)
{
    bench_open_to(b, kp_peer_start(route, NULL), options);
}

static void bench_close(struct bench *b)
{
    if (b->kube != NULL)
        kp_kube_destroy(b->kube);
    kp_nodes_destroy(b->nodes);
    kp_loop_destroy(b->loop);
    kp_free(b->server);
    kp_peer_stop(b->peer);
}

static void settle(struct bench *b)
{
    const bool never = false;
    for (int i = 0; i < 3000 && kp_nodes_asked(b->nodes) > 0; i++)
        (void)kp_loop_run_until(b->loop, &never, 10);
    assert_int_equal(kp_nodes_asked(b->nodes), 0);
}

static void ask(struct bench *b, const char *name)
{
    kp_nodes_ask(b->nodes, name);
    settle(b);
}

static void knows(struct bench *b, const char *name, const char *want)
{
    const char *got = kp_nodes_architecture(b->nodes, name);
    if (want == NULL)
        assert_null(got);
    else
        assert_string_equal(got != NULL ? got : "nothing", want);
}

static void test_what_a_node_says(void **state)
{
    static const char *const rows[][2] = {{"amd", "amd64"}, {"arm", "arm64"}, {"labelled", "s390x"},
        {"both", "riscv64"}, {"bare", NULL}, {"number", NULL}, {"strange", NULL}, {"long", NULL},
        {"list", NULL}, {"broken", NULL}, {"missing", NULL}};
    struct bench b;
    (void)state;
    bench_open(&b, (struct kp_nodes_options){0});
    for (int round = 0; round < 2; round++) // the second time nobody is asked, whatever was answered
        for (size_t i = 0; i < KP_COUNT(rows); i++) {
            if (round == 0)
                knows(&b, rows[i][0], NULL);
            ask(&b, rows[i][0]);
            knows(&b, rows[i][0], rows[i][1]);
        }
    assert_int_equal(kp_peer_requests(b.peer), KP_COUNT(rows));
    assert_string_equal(kp_peer_request(b.peer, 0)->target, "/api/v1/nodes/amd");
    bench_close(&b);
}

static void test_names_that_are_none(void **state)
{
    static const char *const rows[] = {NULL, "", "../secrets", "a/b", "a%2fb", "a?watch=1"};
    struct bench b;
    (void)state;
    bench_open(&b, (struct kp_nodes_options){0});
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        ask(&b, rows[i]);
        knows(&b, rows[i], NULL);
    }
    assert_int_equal(kp_peer_requests(b.peer), 0);
    bench_close(&b);
}

static void test_asked_once_while_being_read(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, (struct kp_nodes_options){0});
    for (int i = 0; i < 50; i++)
        kp_nodes_ask(b.nodes, "amd");
    assert_int_equal(kp_nodes_asked(b.nodes), 1);
    knows(&b, "amd", NULL); // nobody waits
    settle(&b);
    knows(&b, "amd", "amd64");
    assert_int_equal(kp_peer_requests(b.peer), 1);
    bench_close(&b);
}

static void pass(struct bench *b) // the time of one millisecond at least
{
    const bool never = false;
    (void)kp_loop_run_until(b->loop, &never, 20);
}

static void test_read_again_after_a_while(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, (struct kp_nodes_options){.keep_ms = 1, .retry_ms = 1});
    static const char *const names[] = {"amd", "missing", "denied"};
    for (size_t i = 0; i < KP_COUNT(names); i++) {
        ask(&b, names[i]);
        pass(&b);
        ask(&b, names[i]);
        pass(&b);
        assert_int_equal(kp_peer_requests(b.peer), 2 * (i + 1));
    }
    knows(&b, "amd", "amd64");
    bench_close(&b);
}

// Who may not read one node may not read the others: no question, until a while has passed.
static void test_without_the_right(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, (struct kp_nodes_options){.max_requests = 1});
    ask(&b, "amd");
    kp_nodes_ask(b.nodes, "denied");
    kp_nodes_ask(b.nodes, "arm"); // waits behind it
    assert_int_equal(kp_nodes_asked(b.nodes), 2);
    settle(&b);
    ask(&b, "arm");
    ask(&b, "both");
    ask(&b, "denied");
    assert_int_equal(kp_peer_requests(b.peer), 2);
    knows(&b, "arm", NULL);
    knows(&b, "amd", "amd64");
    bench_close(&b);
}

static void test_bounded(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, (struct kp_nodes_options){.max_nodes = 2});
    ask(&b, "amd");
    ask(&b, "arm");
    knows(&b, "amd", "amd64"); // used: the other one is the older
    ask(&b, "both");
    knows(&b, "arm", NULL);
    knows(&b, "amd", "amd64");
    knows(&b, "both", "riscv64");
    ask(&b, "arm");
    knows(&b, "arm", "arm64");
    assert_int_equal(kp_peer_requests(b.peer), 4);
    // also while all that are kept are being read
    for (int i = 0; i < 20; i++) {
        kp_auto_free char *name = kp_asprintf("many%d", i);
        kp_nodes_ask(b.nodes, name);
        assert_true(kp_nodes_asked(b.nodes) <= 2);
    }
    settle(&b);
    knows(&b, "many19", "amd64");
    bench_close(&b);
}

static void test_few_at_once(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, (struct kp_nodes_options){0});
    for (int i = 0; i < 40; i++) {
        kp_auto_free char *name = kp_asprintf("many%d", i);
        kp_nodes_ask(b.nodes, name);
    }
    assert_int_equal(kp_nodes_asked(b.nodes), 40);
    settle(&b);
    for (int i = 0; i < 40; i++) {
        kp_auto_free char *name = kp_asprintf("many%d", i);
        knows(&b, name, "amd64");
    }
    assert_int_equal(kp_peer_requests(b.peer), 40);
    assert_true(kp_peer_max_open(b.peer) <= 4);
    bench_close(&b);
}

// What is outstanding at the end is let go, whichever goes first, and nothing new begins.
static void test_the_end_while_it_is_read(void **state)
{
    static const struct kp_step hang[] = {KP_STEP_HANG, KP_STEP_END};
    (void)state;
    for (int nodes_first = 0; nodes_first < 2; nodes_first++) {
        struct bench b;
        bench_open_to(&b, kp_peer_start_script(hang), (struct kp_nodes_options){.max_requests = 1});
        kp_nodes_ask(b.nodes, "amd");
        kp_nodes_ask(b.nodes, "arm");
        for (int i = 0; i < 300 && kp_peer_requests(b.peer) == 0; i++)
            pass(&b);
        assert_int_equal(kp_peer_requests(b.peer), 1);
        if (nodes_first) {
            kp_nodes_destroy(b.nodes);
            b.nodes = NULL;
        } else {
            kp_kube_destroy(b.kube);
            b.kube = NULL;
            assert_int_equal(kp_nodes_asked(b.nodes), 1); // the one that never began
        }
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_node_says),
        cmocka_unit_test(test_names_that_are_none),
        cmocka_unit_test(test_asked_once_while_being_read),
        cmocka_unit_test(test_read_again_after_a_while),
        cmocka_unit_test(test_without_the_right),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_few_at_once),
        cmocka_unit_test(test_the_end_while_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
