// Two tenants of one registry: what each user sees of them on every route, and what he can write.
#include "api/scope_fixture.h"
#include "api/scope_steps_fixture.h"

#include <stdio.h>

#include "api/answers.h"
#include "base/array.h"
#include "base/banned.h"

// ---- the walk ----

struct walker {
    const char *user;
    bool sees[2];
    bool has_home;
};

static int expected(const struct walker *w, const struct step *s, int tenant)
{
    bool all = w->sees[0] && w->sees[1];
    if (w->user == NULL)
        return 401;
    switch (s->kind) {
    case BY_NAME:
        // to who has a namespace of his own the other's name is no more than a name with a slash in it
        if (w->has_home && !w->sees[tenant] && kp_starts_with(s->route, "/api/0/"))
            return kp_streq(s->route, "/api/0/services") ? 200 : 404;
        return w->sees[tenant] ? 200 : 403;
    case BY_ID:
        return w->sees[tenant] ? 200 : 404;
    case OF_ALL:
        return all ? 200 : 403;
    case OF_OWN:
        return all || w->has_home ? 200 : 403;
    }
    return 0;
}

static void walk(struct bench *b, const struct walker *w)
{
    for (size_t i = 0; i < KP_COUNT(steps); i++)
        for (int tenant = 0; tenant < 2; tenant++) {
            bool deletes = kp_streq(steps[i].method, "DELETE");
            if (deletes && w->sees[tenant])
                continue;
            kp_auto_free char *path = fill(steps[i].path, tenant);
            assert_status(b, w->user, steps[i].method, path, expected(w, &steps[i], tenant));
            for (int other = 0; other < 2; other++)
                if (!w->sees[other] && answer_shows(other))
                    fail_msg("%s %s as %s shows something of %s: %.500s", steps[i].method, path,
                        w->user ? w->user : "nobody", tenants[other], answer.body);
        }
}

static void walk_all(bool later)
{
    static const struct walker walkers[] = {{NULL, {false, false}, false},
        {"stranger", {false, false}, false}, {"shop-viewer", {true, false}, false},
        {"pay-viewer", {false, true}, false}, {"cluster-viewer", {true, true}, false},
        {"shop-agent", {true, false}, true}, {"pay-agent", {false, true}, true}};
    struct bench *b = start(later);
    for (size_t i = 0; i < KP_COUNT(walkers); i++)
        walk(b, &walkers[i]);
    assert_status(b, "cluster-viewer", "GET", "/api/v1/stats", 200);
    assert_true(holds(answer.body, answer.len, "\"profiles\":6")); // nobody deleted anything
    stop(b);
}

static void test_everyone_sees_his_own(void **state)
{
    (void)state;
    walk_all(false);
}

static void test_also_when_the_gate_takes_its_time(void **state)
{
    (void)state;
    walk_all(true);
}

// The test looks where it thinks it looks: those who see a tenant see its marks.
static void test_the_marks_are_there(void **state)
{
    (void)state;
    struct bench *b = start(false);
    for (size_t i = 0; i < KP_COUNT(steps); i++) {
        if (kp_streq(steps[i].method, "DELETE") || strstr(steps[i].path, "services") ||
            strstr(steps[i].path, "stats") || strstr(steps[i].path, "limit") ||
            strstr(steps[i].path, "diff") || strstr(steps[i].path, "peers") ||
            strstr(steps[i].path, "/labels?"))
            continue;
        kp_auto_free char *path = fill(steps[i].path, 1);
        assert_status(b, "cluster-viewer", steps[i].method, path, 200);
        if (!answer_shows(1))
            fail_msg("%s shows nothing: %.500s", path, answer.body);
    }
    stop(b);
}

static bool is_walked(const struct kp_http_route *route)
{
    for (size_t i = 0; i < KP_COUNT(steps); i++)
        if (kp_streq(steps[i].route, route->path) && kp_streq(steps[i].method, route->method))
            return true;
    return false;
}

// Every row says who may, and is walked above or here.
static void test_no_row_forgets_to_say(void **state)
{
    (void)state;
    static const char *const elsewhere[] = {"POST /api/v1/profiles", "POST " ROW, "GET /api/v1/pgo",
        "POST /api/v1/admin/seal", "POST /api/v1/targets", "POST /api/v1/namespaces", "POST /api/0/profiles",
        "POST /api/0/profiles/",
        "GET /apis/data.kube-pprof.dev/v1alpha1/namespaces/{namespace}/profiles/-/pgo",
        "DELETE /api/0/profiles/merge", "GET /api/0/version", "* /api/0/{rest...}"};
    struct kp_http_route routes[KP_API_ROUTES];
    size_t n = kp_api_add_routes(routes);
    for (size_t i = 0; i < n; i++) {
        const struct kp_admission *a = kp_api_admission(&routes[i]);
        kp_auto_free char *name = kp_asprintf("%s %s", routes[i].method, routes[i].path);
        bool known = is_walked(&routes[i]);
        for (size_t k = 0; k < KP_COUNT(elsewhere); k++)
            known |= kp_streq(elsewhere[k], name);
        bool documents = kp_streq(routes[i].path, "/apis") || kp_streq(routes[i].path, AGG) ||
                         kp_streq(routes[i].path, "/apis/{rest...}") ||
                         kp_starts_with(routes[i].path, "/openapi/");
        if (documents && a && a->where == KP_ADMIT_OPEN)
            continue; // the same for everybody
        if (a == NULL || a->where == KP_ADMIT_NOBODY || a->where == KP_ADMIT_OPEN)
            fail_msg("%s does not say who may", name);
        if (a->where != KP_ADMIT_KNOWN && a->verb == NULL)
            fail_msg("%s has no verb", name);
        if (!known)
            fail_msg("%s is not walked by this test", name);
    }
}

// ---- writing ----

static void push(struct bench *b, const char *user, const char *path, int status)
{
    size_t len;
    kp_auto_free uint8_t *profile = kp_pprof_make(&(struct kp_pprof_recipe){.stacks = 3, .gzip = true}, &len);
    kp_auto_free char *auth = kp_asprintf("Authorization: Bearer %s", user);
    const char *const headers[] = {auth, NULL};
    bench_request(b, "POST", path, headers, profile, len, &answer);
    if (answer.status != status)
        fail_msg("POST %s as %s: %d instead of %d: %s", path, user, answer.status, status, answer.body);
}

static void test_pushes_are_stamped(void **state)
{
    (void)state;
    struct bench *b = start(false);
    push(b, "shop-agent", "/api/v1/profiles?service=pushed&type=cpu", 201);
    push(b, "shop-agent", "/api/v1/profiles?service=pushed&type=cpu&namespace=zshop", 201);
    push(b, "shop-agent", "/api/v1/profiles?service=pushed&type=cpu&namespace=zpay", 403);
    push(b, "shop-agent", "/api/0/profiles?service=pushed&type=cpu&namespace=zpay", 403);
    push(b, "shop-agent", "/api/0/profiles?service=zpay/api&type=cpu", 200); // a plain name of zshop
    assert_true(holds(answer.body, answer.len, "\"service\":\"zpay/api\""));
    push(b, "shop-agent", "/api/0/profiles?service=zshop/old&type=cpu&labels=version%3Dv1", 200);
    assert_true(holds(answer.body, answer.len, "\"service\":\"old\""));
    push(b, "shop-viewer", "/api/v1/profiles?service=pushed&type=cpu", 403); // into which?
    push(b, "writer", "/api/v1/profiles?service=pushed&type=cpu", 403);
    capture(b, "shop-agent", 0, 9, 403);
    capture(b, "cluster-viewer", 0, 9, 201); // may everything
    assert_status(b, "pay-viewer", "GET", "/api/v1/profiles?namespace=zpay", 200);
    assert_null(strstr(answer.body, "pushed"));
    assert_status(b, "cluster-viewer", "GET", "/api/v1/services", 200);
    assert_true(holds(answer.body, answer.len, "\"namespace\":\"zshop\",\"service\":\"pushed\""));
    assert_true(holds(answer.body, answer.len, "\"namespace\":\"zshop\",\"service\":\"zpay/api\""));
    assert_false(holds(answer.body, answer.len, "\"namespace\":\"\""));
    assert_status(b, "cluster-viewer", "GET", "/api/v1/profiles?selector=k8s.namespace%3Dzpay", 200);
    assert_null(strstr(answer.body, "zpay/api"));
    assert_status(b, "shop-agent", "GET", "/api/0/services", 200);
    assert_non_null(strstr(answer.body, "[\"api\",\"old\",\"pushed\",\"zpay/api\"]"));
    stop(b);
}

static void push_bytes(struct bench *b, const char *user, const char *type, const char *path, int status)
{
    size_t len;
    kp_auto_free uint8_t *profile = kp_pprof_make(&(struct kp_pprof_recipe){.stacks = 3, .gzip = true}, &len);
    kp_auto_free char *auth = kp_asprintf("Authorization: Bearer %s", user);
    kp_auto_free char *content = kp_asprintf("Content-Type: %s", type);
    bench_request(b, "POST", path, (const char *const[]){auth, content, NULL}, profile, len, &answer);
    if (answer.status != status)
        fail_msg("POST %s as %s: %d instead of %d: %s", path, user, answer.status, status, answer.body);
}

static void test_pushes_through_the_api_server(void **state)
{
    static const char bytes[] = "application/octet-stream";
    static const char shop[] = AGG "/namespaces/zshop/profiles?service=pushed&type=cpu";
    (void)state;
    struct bench *b = start(false);
    push_bytes(b, "shop-agent", bytes, shop, 201);
    assert_true(kp_starts_with(answer.body, "{\"id\":\"0"));
    assert_non_null(strstr(answer.headers.data, "ocation: " AGG "/namespaces/zshop/profiles/0"));
    push_bytes(b, "shop-agent", "Application/Octet-Stream; a=b",
        AGG "/namespaces/zshop/profiles?service=b&type=cpu", 201);
    push_bytes(b, "shop-agent", bytes, AGG "/namespaces/zpay/profiles?service=pushed&type=cpu", 403);
    push_bytes(b, "pay-viewer", bytes, shop, 403);
    assert_non_null(strstr(answer.body, "\"kind\":\"Status\""));
    push_bytes(b, "cluster-viewer", bytes, AGG "/profiles?service=pushed&type=cpu", 405); // into which?
    push_bytes(
        b, "shop-agent", bytes, AGG "/namespaces/zshop/profiles?service=x&type=cpu&namespace=zpay", 400);
    push_bytes(b, "shop-agent", bytes, AGG "/namespaces/zshop/profiles?service=x&type=cpu&dryRun=All", 400);
    push_bytes(
        b, "shop-agent", bytes, AGG "/namespaces/zshop/profiles?service=x&type=cpu&labels=k8s.pod%3Da", 400);
    static const char *const others[] = {"application/json", "application/yaml", "application/octet-streams",
        "application/vnd.kubernetes.protobuf", "application/vnd.kube-pprof.capture"};
    for (size_t i = 0; i < KP_COUNT(others); i++) {
        push_bytes(b, "cluster-viewer", others[i], shop, 415);
        assert_non_null(strstr(answer.body, "kubectl pprof load"));
        assert_non_null(strstr(answer.body, "\"reason\":\"UnsupportedMediaType\""));
    }
    assert_status(b, "cluster-viewer", "GET", AGG "/namespaces/zpay/profiles", 200);
    assert_null(strstr(answer.body, "pushed"));
    assert_status(
        b, "shop-viewer", "GET", AGG "/namespaces/zshop/profiles?fieldSelector=spec.service%3Dpushed", 200);
    assert_non_null(strstr(answer.body, "\"namespace\":\"zshop\""));
    stop(b);
}

static void test_system_fields_cannot_be_pushed(void **state)
{
    (void)state;
    static const struct {
        const char *user, *path, *says;
    } rows[] = {
        {"shop-agent", "/api/v1/profiles?service=pushed&type=cpu&labels=team=a,k8s.pod=b",
            "\"message\":\"the label 'k8s.pod' cannot be pushed: "},
        {"shop-agent", "/api/0/profiles?service=pushed&type=cpu&labels=k8s.namespace%3Dzpay",
            "{\"code\":400,\"error\":\"bad request: bad \\\"labels\\\": the label 'k8s.namespace' cannot"},
        {"shop-agent", "/api/0/profiles?service=pushed&type=cpu&labels=,team%3Da,k8s%252Enode%3D,",
            "the label 'k8s.node' cannot"},
        {"cluster-viewer", "/api/v1/profiles?service=pushed&type=cpu&labels=k8s.=b",
            "the label 'k8s.' cannot"},
    };
    struct bench *b = start(false);
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        push(b, rows[i].user, rows[i].path, 400);
        if (!holds(answer.body, answer.len, rows[i].says))
            fail_msg("%s: %s", rows[i].path, answer.body);
    }
    // others that look alike; version is what profefe's agent sends with each
    push(b, "shop-agent", "/api/v1/profiles?service=pushed&type=cpu&labels=k8s=a,K8S.pod=b,version=v1", 201);
    push(b, "shop-agent", "/api/0/profiles?service=pushed&type=cpu&labels=version%3Dv1.2%252B3", 200);
    stop(b);
}

// ---- watching ----

struct reader {
    struct kp_strbuf text;
    bool done, hello;
};

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct reader *r = user;
    kp_strbuf_add(&r->text, data, len);
    r->hello |= strstr(r->text.data, "follow\n\n") != NULL;
    return true;
}

static void on_done(void *user, const struct kp_http_result *result)
{
    (void)result;
    ((struct reader *)user)->done = true;
}

static void watch(struct bench *b, const char *user, const char *path, struct reader *r)
{
    struct kp_http_call *call;
    kp_auto_free char *url = kp_asprintf("http://127.0.0.1:%d%s", b->port, path);
    kp_auto_free char *auth = kp_asprintf("Authorization: Bearer %s", user);
    const char *const headers[] = {auth, NULL};
    kp_strbuf_init(&r->text, 1 << 20);
    const struct kp_http_request request = {.method = "GET",
        .url = url,
        .headers = headers,
        .on_data = on_data,
        .on_done = on_done,
        .max_body = 1 << 20,
        .user = r};
    assert_int_equal(kp_http_start(b->client, &request, &call, NULL), 0);
    assert_true(kp_loop_run_until(b->loop, &r->hello, BENCH_WAIT_MS));
}

static void test_watches_see_their_own_and_end_with_the_right(void **state)
{
    (void)state;
    for (int later = 0; later < 2; later++) {
        struct bench *b = start(later == 1);
        struct reader shop = {0};
        struct reader all = {0};
        assert_int_equal(status_of(b, "shop-viewer", "GET", "/api/v1/profiles?watch=true"), 403);
        watch(b, "shop-viewer", "/api/v1/profiles?watch=true&namespace=zshop", &shop);
        watch(b, "cluster-viewer", "/api/v1/profiles?watch=1", &all);
        capture(b, "writer", 1, 7, 201);
        capture(b, "writer", 0, 7, 201);
        int n_may = gate.n_may;
        while (gate.n_may < n_may + 4) // asked again, and may
            run_for(b, 5);
        assert_false(shop.done);
        gate.shut = true;
        assert_true(kp_loop_run_until(b->loop, &shop.done, BENCH_WAIT_MS));
        assert_true(kp_loop_run_until(b->loop, &all.done, BENCH_WAIT_MS));
        assert_non_null(strstr(shop.text.data, "zshop-mark"));
        assert_null(strstr(shop.text.data, "zpay"));
        if (strstr(shop.text.data, "event: end\ndata: {\"reason\":\"Forbidden\"}") == NULL)
            fail_msg("%s", shop.text.data);
        assert_non_null(strstr(all.text.data, "zpay-mark"));
        kp_strbuf_finish(&shop.text);
        kp_strbuf_finish(&all.text);
        stop(b);
    }
}

// The regular expressions of one namespace leave room for those of another.
static void test_one_namespace_has_half_of_the_watches(void **state)
{
    (void)state;
    struct bench *b = start(false);
    struct reader shop = {0};
    struct reader pay = {0};
    const char *const selector = "&selector=a%3D~%22(ab%3Fc)%7B200%7D%22";
    kp_auto_free char *of_shop = kp_asprintf("/api/v1/profiles?watch=true&namespace=zshop%s", selector);
    kp_auto_free char *of_pay = kp_asprintf("/api/v1/profiles?watch=true&namespace=zpay%s", selector);
    watch(b, "shop-viewer", of_shop, &shop);
    assert_status(b, "shop-viewer", "GET", of_shop, 429);
    assert_true(holds(answer.body, answer.len, "\"reason\":\"NamespaceLimit\""));
    watch(b, "pay-viewer", of_pay, &pay);
    kp_api_end_watches(b->api);
    assert_true(kp_loop_run_until(b->loop, &shop.done, BENCH_WAIT_MS));
    assert_true(kp_loop_run_until(b->loop, &pay.done, BENCH_WAIT_MS));
    kp_strbuf_finish(&shop.text);
    kp_strbuf_finish(&pay.text);
    stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everyone_sees_his_own),
        cmocka_unit_test(test_also_when_the_gate_takes_its_time),
        cmocka_unit_test(test_the_marks_are_there),
        cmocka_unit_test(test_no_row_forgets_to_say),
        cmocka_unit_test(test_pushes_are_stamped),
        cmocka_unit_test(test_pushes_through_the_api_server),
        cmocka_unit_test(test_system_fields_cannot_be_pushed),
        cmocka_unit_test(test_one_namespace_has_half_of_the_watches),
        cmocka_unit_test(test_watches_see_their_own_and_end_with_the_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
