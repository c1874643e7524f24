// The door: which right is asked for, how requests are read, ids, gates that take their time or fail.
#include "api/scope_fixture.h"

#include <stdio.h>

#include "base/array.h"
#include "base/banned.h"

// ---- which right is asked for ----

static void test_the_right_that_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *last;
    } rows[] = {
        {"GET", "/api/v1/profiles?namespace=zpay", "stranger list profiles/ zpay"},
        {"GET", "/api/v1/profiles?watch=true&namespace=zpay", "stranger watch profiles/ zpay"},
        {"GET", "/api/v1/profiles?watch=false", "stranger list profiles/ "},
        {"GET", "/api/v1/profiles/X?namespace=zpay", "stranger get profiles/download zpay"},
        {"GET", "/api/v1/profiles/X?namespace=zpay&meta=true", "stranger get profiles/ zpay"},
        {"GET", "/api/v1/profiles/X?namespace=zpay&meta=no", "stranger get profiles/download zpay"},
        {"DELETE", "/api/v1/profiles/X?namespace=zpay", "stranger delete profiles/ zpay"},
        {"GET", "/api/v1/merge?namespace=zpay", "stranger get profiles/merge zpay"},
        {"GET", "/api/v1/pgo?namespace=zpay", "stranger get profiles/pgo zpay"},
        {"GET", "/api/v1/targets?namespace=zpay", "stranger get profiles/targets zpay"},
        {"GET", "/api/v1/stats?namespace=zpay", "stranger list profiles/ "},
        {"POST", "/api/v1/targets", "stranger create profiles/captures kp-system"},
        {"POST", "/api/v1/namespaces", "stranger create profiles/captures kp-system"},
        {"POST", "/api/v1/profiles?namespace=zpay", "stranger create profiles/ zpay"},
        {"POST", "/api/0/profiles?namespace=zpay&service=a", "stranger create profiles/ zpay"},
        {"GET", "/api/0/profiles?service=zpay/a", "stranger list profiles/ zpay"},
        {"GET", "/api/0/profiles?service=ZPAY/a", "stranger list profiles/ "},
        {"GET", "/api/0/profiles/merge?service=zpay%2Fa", "stranger get profiles/merge zpay"},
    };
    struct bench *b = start(false);
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        assert_status(b, "stranger", rows[i].method, rows[i].path, 403);
        assert_string_equal(gate.last, rows[i].last);
    }
    int n_may = gate.n_may;
    assert_status(b, "stranger", "GET", "/api/0/version", 200);
    assert_status(b, "stranger", "GET", "/api/0/nothing", 404);
    assert_status(b, "stranger", "GET", "/healthz", 200);
    assert_status(b, NULL, "GET", "/readyz", 200);
    assert_status(b, NULL, "GET", "/api/0/version", 401);
    assert_true(holds(answer.headers.data, answer.headers.len, "WWW-Authenticate: Bearer\n"));
    assert_true(holds(answer.body, answer.len, "{\"code\":401,"));
    assert_status(b, "stranger", "POST", "/api/v1/admin/seal", 200); // from the machine itself
    assert_int_equal(gate.n_may, n_may);
    stop(b);
}

static void test_parameters_are_read_in_one_way(void **state)
{
    (void)state;
    static const struct {
        const char *user, *path;
        int status;
    } rows[] = {
        {"shop-viewer", "/api/v1/profiles?namespace=zshop&namespace=zpay", 400},
        {"shop-viewer", "/api/v1/profiles?namespace=zpay&namespace=zshop", 400},
        {"shop-viewer", "/api/v1/profiles?namespace=zshop&name%73pace=zpay", 400},
        {"shop-viewer", "/api/v1/profiles?namespace=zshop&limit=1&limit=2", 400},
        {"shop-viewer", "/api/v1/profiles?namespace=", 403},
        {"shop-viewer", "/api/v1/profiles?namespace", 403},
        {"shop-viewer", "/api/v1/profiles?Namespace=zshop", 403},
        {"shop-viewer", "/api/v1/profiles?namespace=zshop%00", 400},
        {"cluster-viewer", "/api/v1/services?namespace=zshop%", 400}, // else it would be all of them
        {"shop-viewer", "/api/v1/profiles?namespace=ZSHOP", 400},
        {"shop-viewer", "/api/v1/profiles?namespace=zshop/", 400},
        {"shop-viewer", "/api/v1/profiles?namespace=zshop%2F..%2Fzpay", 400},
        {"shop-viewer", "/api/v1/profiles?namespace=%20zshop", 400},
        {"shop-viewer", "/api/v1/profiles?namespace=*", 400},
        {"shop-viewer", "/api/v1/profiles?namespace=%7Ashop", 200},
        {"shop-viewer", "/api/v1/profiles?namespace=zshop;namespace=zpay", 400},
        {"shop-viewer", "/api/v1/profiles?namespace=zshop&selector=k8s.namespace%3Dzpay", 200},
        {"shop-viewer", "/api/v1/profiles?namespace=zshop&service=zpay/api", 200},
        {"shop-viewer", "/api/0/profiles?service=zshop/api&service=zpay/api" ALL, 200},
        {"shop-viewer", "/api/0/profiles?service=zpay/api&service=zshop/api" ALL, 403},
        {"shop-viewer", "/api/0/profiles?service=zpay%252Fapi" ALL, 403},
        {"shop-viewer", "/api/0/profiles?namespace=zshop&service=api" ALL, 403},
        {"shop-agent", "/api/0/profiles?service=api" ALL, 200},
        {"shop-agent", "/api/0/profiles?service=zshop/api&labels=namespace%3Dzpay" ALL, 404},
        {"shop-agent", "/api/0/profiles?service=zpay/api" ALL, 404},
        {"shop-agent", "/api/0/profiles?service=/api" ALL, 404},
    };
    struct bench *b = start(false);
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        assert_status(b, rows[i].user, "GET", rows[i].path, rows[i].status);
        assert_false(answer_shows(1));
    }
    stop(b);
}

// ---- by id ----

static void test_what_is_not_his_is_not_there(void **state)
{
    (void)state;
    struct bench *b = start(true);
    kp_auto_free char *theirs = kp_asprintf("/api/v1/profiles/%s", ids[1]);
    kp_auto_free char *never = kp_strdup(theirs);
    never[strlen(never) - 1] = never[strlen(never) - 1] == '1' ? '2' : '1';
    static const char *const who[] = {"stranger", "shop-viewer", "shop-agent"};
    static const char *const how[] = {"GET", "DELETE"};
    for (size_t i = 0; i < KP_COUNT(who); i++)
        for (size_t k = 0; k < KP_COUNT(how); k++) {
            int64_t before_ms = kp_loop_mono_ms(b->loop);
            assert_status(b, who[i], how[k], theirs, 404);
            kp_auto_free char *first = kp_strdup(answer.body);
            assert_true(kp_loop_mono_ms(b->loop) - before_ms >= 95);
            before_ms = kp_loop_mono_ms(b->loop);
            assert_status(b, who[i], how[k], never, 404);
            assert_true(kp_loop_mono_ms(b->loop) - before_ms >= 95);
            assert_int_equal(strlen(first), strlen(answer.body)); // the ids differ
            strstr(first, ids[1])[0] = '\0';
            assert_memory_equal(first, answer.body, strlen(first));
        }
    stop(b);
}

// Where the gate takes its time too: what is nowhere has no namespace to ask about, and waits as long.
static void test_nor_by_a_slow_gate(void **state)
{
    (void)state;
    enum { SLOW_MS = 120 };
    struct bench *b = start(true);
    kp_auto_free char *theirs = kp_asprintf("/api/v1/profiles/%s", ids[1]);
    kp_auto_free char *never = kp_strdup(theirs);
    never[strlen(never) - 1] = never[strlen(never) - 1] == '1' ? '2' : '1';
    const char *const paths[] = {never, theirs, "/api/v1/profiles/X"};
    gate.slow_ms = SLOW_MS;
    for (size_t i = 0; i < KP_COUNT(paths); i++) {
        int64_t before_ms = kp_loop_mono_ms(b->loop);
        assert_status(b, "stranger", "GET", paths[i], 404);
        assert_true(kp_loop_mono_ms(b->loop) - before_ms >= 95 + 2 * SLOW_MS);
    }
    stop(b);
}

static void test_who_may_see_it_is_told_what_he_may_not(void **state)
{
    (void)state;
    static const char *const who[] = {"shop-reader", "shop-pod"};
    static const struct {
        const char *method, *path;
        int own; // status for his namespace's
        const char *says;
    } rows[] = {
        {"DELETE", "/api/v1/profiles/{id}", 403, "cannot delete resource \\\"profiles\\\" in API"},
        {"DELETE", "/api/0/profiles/{id}", 403, "cannot delete resource \\\"profiles\\\" in API"},
        {"GET", "/api/v1/profiles/{id}", 403, "cannot get resource \\\"profiles/download\\\" in API"},
        {"GET", "/api/0/profiles/{id}", 403, "cannot get resource \\\"profiles/download\\\" in API"},
        {"GET", "/api/v1/profiles/{id}?meta=true", 200, "\"zshop-mark\""},
    };
    struct bench *b = start(true);
    for (size_t i = 0; i < KP_COUNT(rows) * KP_COUNT(who); i++) {
        size_t at = i / KP_COUNT(who);
        kp_auto_free char *own = fill(rows[at].path, 0);
        kp_auto_free char *other = fill(rows[at].path, 1);
        assert_status(b, who[i % KP_COUNT(who)], rows[at].method, own, rows[at].own);
        if (!holds(answer.body, answer.len, rows[at].says))
            fail_msg("%s %s: %s", rows[at].method, own, answer.body);
        assert_status(b, who[i % KP_COUNT(who)], rows[at].method, other, 404);
        assert_false(answer_shows(1));
    }
    stop(b);
}

// Joined ids, sums of ids, a base.
static void test_nor_is_it_beside_what_is_his(void **state)
{
    (void)state;
    static const char *const paths[] = {"/api/0/profiles/{own}+{other}", "/api/0/profiles/{other}+{own}",
        "/api/v1/merge?namespace=zshop&ids={own},{other}", "/api/v1/merge?namespace=zshop&ids={other},{own}",
        "/api/v1/top?namespace=zshop&ids={other}", "/api/v1/series?namespace=zshop&ids={other}",
        "/api/v1/pgo?namespace=zshop&ids={other}",
        "/api/v1/peers?namespace=zshop&function=main.f0&ids={other}",
        "/api/v1/flamegraph?namespace=zshop&type=cpu&baseIds={other}",
        "/api/v1/diff?namespace=zshop&type=cpu&baseIds={other}"};
    struct bench *b = start(false);
    for (size_t i = 0; i < KP_COUNT(paths); i++) {
        kp_auto_free char *path = fill(paths[i], 0);
        assert_status(b, "shop-viewer", "GET", path, 404);
        assert_false(answer_shows(1));
    }
    stop(b);
}

static void test_cursors_open_nothing(void **state)
{
    (void)state;
    struct bench *b = start(false);
    assert_status(b, "pay-viewer", "GET", "/api/v1/profiles?namespace=zpay&limit=1&order=oldest", 200);
    const char *at = strstr(answer.body, "\"cursor\":\"");
    assert_non_null(at);
    kp_auto_free char *cursor = kp_strndup(at + 10, strcspn(at + 10, "\""));
    kp_auto_free char *path = kp_asprintf("/api/v1/profiles?namespace=zshop&limit=5&cursor=%s", cursor);
    assert_status(b, "shop-viewer", "GET", path, 200);
    assert_false(answer_shows(1));
    kp_auto_free char *all = kp_asprintf("/api/v1/profiles?limit=5&cursor=%s", cursor);
    assert_status(b, "shop-viewer", "GET", all, 403);
    stop(b);
}

// ---- when the gate cannot say, and when clients leave ----

static void test_who_cannot_be_asked_says_no(void **state)
{
    (void)state;
    struct bench *b = start(false);
    gate.fails = KP_UNAVAILABLE;
    kp_auto_free char *path = kp_asprintf("/api/v1/profiles/%s", ids[0]);
    assert_status(b, "shop-viewer", "GET", path, 503);
    assert_true(holds(answer.headers.data, answer.headers.len, "Retry-After: 2\n"));
    assert_status(b, "shop-viewer", "GET", "/api/v1/profiles?namespace=zshop", 503);
    assert_status(b, "shop-viewer", "GET", "/api/0/profiles?service=zshop/api" ALL, 429);
    gate.fails = KP_THROTTLED;
    assert_status(b, "shop-viewer", "GET", "/api/v1/profiles?namespace=zshop", 429);
    assert_true(holds(answer.headers.data, answer.headers.len, "Retry-After: 2\n"));
    stop(b);
}

static struct kp_http_call *send_off(struct bench *b, const char *path, struct bench_answer *ret)
{
    static const char *const headers[] = {"Authorization: Bearer shop-viewer", NULL};
    struct kp_http_call *call;
    kp_auto_free char *url = kp_asprintf("http://127.0.0.1:%d%s", b->port, path);
    kp_strbuf_init(&ret->headers, 65536);
    const struct kp_http_request request = {.method = "GET",
        .url = url,
        .headers = headers,
        .on_header = bench_on_header,
        .on_done = bench_on_done,
        .user = ret};
    assert_int_equal(kp_http_start(b->client, &request, &call, NULL), 0);
    return call;
}

static void test_clients_that_leave_at_the_door(void **state)
{
    (void)state;
    struct bench *b = start(true);
    struct bench_answer gone = {0};
    gate.hangs = true;
    struct kp_http_call *call = send_off(b, "/api/v1/profiles?namespace=zshop", &gone);
    int n_who = gate.n_who;
    while (gate.n_who == n_who)
        run_for(b, 1);
    kp_http_cancel(call);
    while (gate.n_cancelled == 0)
        run_for(b, 1);
    assert_true(kp_list_empty(&gate.waiting));
    gate.hangs = false;
    bench_answer_clear(&gone);
    // in the tenth of a second before a 404, and when the registry stops in it
    kp_auto_free char *path = kp_asprintf("/api/v1/profiles/%s", ids[1]);
    struct bench_answer late[2] = {{0}, {0}};
    call = send_off(b, path, &late[0]);
    run_for(b, 60);
    kp_http_cancel(call);
    assert_true(kp_loop_run_until(b->loop, &late[0].done, BENCH_WAIT_MS));
    send_off(b, path, &late[1]);
    run_for(b, 60);
    stop(b);
    bench_answer_clear(&late[0]);
    bench_answer_clear(&late[1]);
}

static void test_requests_at_the_door_when_the_registry_stops(void **state)
{
    (void)state;
    struct bench *b = start(true);
    struct bench_answer asked = {0};
    int n_who = gate.n_who;
    gate.hangs = true;
    send_off(b, "/api/v1/profiles?namespace=zshop", &asked);
    while (gate.n_who == n_who)
        run_for(b, 1);
    stop(b);
    assert_true(kp_list_empty(&gate.waiting));
    bench_answer_clear(&asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_right_that_is_asked_for),
        cmocka_unit_test(test_parameters_are_read_in_one_way),
        cmocka_unit_test(test_what_is_not_his_is_not_there),
        cmocka_unit_test(test_nor_by_a_slow_gate),
        cmocka_unit_test(test_who_may_see_it_is_told_what_he_may_not),
        cmocka_unit_test(test_nor_is_it_beside_what_is_his),
        cmocka_unit_test(test_cursors_open_nothing),
        cmocka_unit_test(test_who_cannot_be_asked_says_no),
        cmocka_unit_test(test_clients_that_leave_at_the_door),
        cmocka_unit_test(test_requests_at_the_door_when_the_registry_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
