// After the start nothing of a namespace is shown until it was told how old it is.
#include "api/scope_fixture.h"
#include "api/scope_steps_fixture.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/banned.h"

struct told_news {
    int n_told, n_late;
};
static struct told_news news;

static void on_namespaces(void *user, bool told)
{
    (void)user;
    news.n_told += told;
    news.n_late += !told;
}

static const struct kp_api_options waiting = {
    .await_namespaces_ms = INT64_C(3600000), .on_namespaces = on_namespaces};

static struct bench *start_waiting(struct kp_api_options options)
{
    news = (struct told_news){0};
    struct bench *b = start_with(options);
    for (int tenant = 0; tenant < 2; tenant++) {
        post_targets(b, tenant);
        capture(b, "writer", tenant, 0, 201); // captures are taken
        ids[tenant] = id_in(answer.body);
    }
    return b;
}

static int post(struct bench *b, const char *body)
{
    const char *const headers[] = {"Content-Type: application/json", "Authorization: Bearer writer", NULL};
    bench_request(b, "POST", "/api/v1/namespaces", headers, body, strlen(body), &answer);
    return answer.status;
}

// One namespace, as a part of a round or by itself.
static int tell(struct bench *b, const char *name, int64_t created_ms, const char *all)
{
    char time[KP_TIME_TEXT];
    kp_auto_free char *body = kp_asprintf("{\"items\":[{\"name\":\"%s\",\"created\":\"%s\"}]%s%s}", name,
        kp_time_format(time, created_ms), all ? ",\"all\":" : "", all ? all : "");
    return post(b, body);
}

static void assert_waits(struct bench *b, const char *user, const struct step *s, int tenant)
{
    kp_auto_free char *path = fill(s->path, tenant);
    bool is_profefe = kp_starts_with(s->path, "/api/0/"); // whose agents fall silent on 5xx
    assert_status(b, user, s->method, path, is_profefe ? 429 : 503);
    if (answer_shows(0) || answer_shows(1))
        fail_msg("%s shows: %.300s", path, answer.body);
    if (strstr(answer.body, "how old the namespaces are") == NULL ||
        strstr(answer.headers.data, is_profefe ? "Retry-After: 2\n" : "Retry-After: 1\n") == NULL)
        fail_msg("%s: %s\n%s", path, answer.headers.data, answer.body);
}

static bool is_deletion_of_all(const struct step *s)
{
    return kp_streq(s->method, "DELETE") && kp_streq(s->route, ROW);
}

// Whoever asks, and however.
static void test_nothing_is_shown_before(void **state)
{
    (void)state;
    static const char *const readers[] = {"cluster-viewer", "shop-viewer", "shop-agent"};
    for (int later = 0; later < 2; later++) {
        struct bench *b = start_waiting(waiting);
        gate.loop = later == 1 ? b->loop : NULL;
        for (size_t i = 0; i < KP_COUNT(steps); i++)
            for (size_t u = 0; u < KP_COUNT(readers); u++)
                if (!is_deletion_of_all(&steps[i]) &&
                    (u == 0 || steps[i].kind == BY_NAME || steps[i].kind == BY_ID))
                    assert_waits(b, readers[u], &steps[i], 0);
        static const struct step more[] = {
            {ROW, "DELETE", PATH "?labelSelector=team%3Dcore", BY_NAME},
            {ROW, "DELETE", PATH "?fieldSelector=metadata.name%3D{id}", BY_NAME},
            {"/api/v1/profiles", "GET", "/api/v1/profiles?watch=true&namespace={ns}", BY_NAME},
            {"/api/v1/pgo", "GET", "/api/v1/pgo?namespace={ns}&service=api", BY_NAME},
        };
        for (size_t i = 0; i < KP_COUNT(more); i++)
            assert_waits(b, "shop-viewer", &more[i], 0);
        // who may not is told so, and no more
        assert_status(b, "stranger", "GET", "/api/v1/profiles?namespace=zshop", 403);
        assert_status(b, NULL, "GET", "/api/v1/profiles?namespace=zshop", 401);
        assert_status(b, "shop-viewer", "GET", "/api/v1/profiles", 403);
        // an id that is nowhere is answered like one that is somewhere
        assert_status(b, "shop-viewer", "GET", "/api/v1/profiles/00000000000000000000000000", 503);
        assert_status(b, "cluster-viewer", "GET", AGG, 200);
        stop(b);
    }
}

static void test_one_by_one_then_all(void **state)
{
    (void)state;
    struct bench *b = start_waiting(waiting);
    const char *why = NULL;
    struct kp_metric *waits = kp_gauge(b->metrics, "kube_pprof_registry_awaits_namespaces", "");
    assert_int_equal((int)kp_metric_value(waits), 1);
    assert_true(kp_api_ready(b->api, &why)); // it takes profiles
    assert_non_null(why);
    assert_int_equal(post(b, "{\"items\":[]}"), 409); // tell all
    assert_non_null(strstr(answer.body, "\"reason\":\"Conflict\""));
    assert_int_equal(tell(b, "zshop", START + 1000, NULL), 409); // taken all the same
    assert_status(b, "shop-viewer", "GET", "/api/v1/profiles?namespace=zshop", 200);
    assert_false(answer_shows(0)); // it is older than the namespace
    assert_status(b, "pay-viewer", "GET", "/api/v1/profiles?namespace=zpay", 503);
    assert_status(b, "cluster-viewer", "GET", "/api/v1/profiles", 503);
    assert_int_equal(tell(b, "zshop", START + 1000, "{\"round\":\"a\",\"part\":0,\"more\":true}"), 204);
    assert_status(b, "pay-viewer", "GET", "/api/v1/profiles?namespace=zpay", 503);
    assert_int_equal(news.n_told, 0);
    assert_int_equal(tell(b, "other", START, "{\"round\":\"a\",\"part\":1,\"more\":false}"), 204);
    assert_int_equal(news.n_told, 1);
    assert_status(b, "pay-viewer", "GET", "/api/v1/profiles?namespace=zpay", 200);
    assert_true(answer_shows(1)); // nothing goes because it was not named
    assert_status(b, "cluster-viewer", "GET", "/api/v1/profiles", 200);
    assert_int_equal(post(b, "{\"items\":[]}"), 204);
    assert_int_equal((int)kp_metric_value(waits), 0);
    why = NULL;
    assert_true(kp_api_ready(b->api, &why));
    assert_null(why);
    stop(b);
}

// All is only what came whole and in order, of one who tells.
static void test_rounds(void **state)
{
    (void)state;
    static const struct {
        const char *all;
        int status;
        bool told;
    } rows[] = {
        {"{\"round\":\"a\",\"part\":1}", 409, false},
        {"{\"round\":\"a\",\"part\":0,\"more\":true}", 204, false},
        {"{\"round\":\"a\",\"part\":2}", 409, false},
        {"{\"round\":\"a\",\"part\":1}", 409, false}, // the round is over
        {"{\"round\":\"a\",\"part\":0,\"more\":true}", 204, false},
        {"{\"round\":\"b\",\"part\":1}", 409, false}, // somebody else's
        {"{\"round\":\"a\",\"part\":0,\"more\":true}", 204, false},
        {"{\"round\":\"b\",\"part\":0,\"more\":true}", 204, false}, // another leader
        {"{\"round\":\"a\",\"part\":1}", 409, false},
        {"{\"round\":\"b\",\"part\":0,\"more\":true}", 204, false}, {"{\"round\":\"b\"}", 400, false},
        {"{\"round\":\"b\",\"part\":1}", 409, false}, // what was refused was missed
        {"{\"round\":\"\",\"part\":0}", 400, false}, {"{\"round\":\"b\",\"part\":-1}", 400, false},
        {"{\"round\":\"b\",\"part\":0.5}", 400, false},
        {"{\"round\":\"b\",\"part\":0,\"more\":1}", 400, false},
        {"{\"round\":\"0123456789012345678901234567890123456789012345678901234567890123x\",\"part\":0}", 400,
            false},
        {"[]", 400, false}, {"{\"round\":\"b\",\"part\":0,\"more\":true}", 204, false},
        {"{\"round\":\"b\",\"part\":1,\"more\":true}", 204, false},
        {"{\"round\":\"b\",\"part\":2}", 204, true},
        {"{\"round\":\"c\",\"part\":7}", 204, true}, // nobody waits any more
    };
    struct bench *b = start_waiting(waiting);
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        int status = tell(b, "other", START, rows[i].all);
        if (status != rows[i].status || news.n_told != (rows[i].told ? 1 : 0))
            fail_msg("row %zu: %d, told %d: %s", i, status, news.n_told, answer.body);
    }
    stop(b);
}

// A namespace whose deletion goes through is one of which nothing older is kept: what is left of it is
// listed, or it would not go while the controller is away.
static void test_a_namespace_can_go(void **state)
{
    (void)state;
    struct bench *b = start_waiting(waiting);
    kp_auto_free char *path = fill(PATH, 0);
    kp_auto_free char *dry = fill(PATH "?dryRun=All", 0);
    assert_status(b, "shop-viewer", "DELETE", dry, 200);
    assert_status(b, "shop-viewer", "GET", path, 503);
    assert_status(b, "shop-viewer", "DELETE", path, 200);
    assert_status(b, "shop-viewer", "GET", path, 200);
    assert_non_null(strstr(answer.body, "\"items\":[]"));
    assert_status(b, "pay-viewer", "GET", "/api/v1/profiles?namespace=zpay", 503);
    stop(b);
}

// A controller that does not come keeps out those who read by a right in one namespace, and nobody else.
static void test_when_nobody_tells(void **state)
{
    (void)state;
    struct kp_api_options soon = waiting;
    soon.await_namespaces_ms = 1;
    struct bench *b = start_waiting(soon);
    while (news.n_late == 0)
        run_for(b, 1);
    assert_status(b, "cluster-viewer", "GET", "/api/v1/profiles", 200);
    assert_true(answer_shows(0) && answer_shows(1));
    kp_auto_free char *by_id = fill("/api/v1/profiles/{id}", 0);
    assert_status(b, "cluster-viewer", "GET", by_id, 200);
    assert_status(b, "cluster-viewer", "GET", "/api/v1/profiles?namespace=zshop", 503);
    assert_status(b, "shop-viewer", "GET", by_id, 503);
    assert_status(b, "shop-viewer", "GET", "/api/v1/profiles?namespace=zshop", 503);
    assert_non_null(strstr(answer.body, "when the controller runs"));
    assert_int_equal(tell(b, "other", START, "{\"round\":\"a\",\"part\":0}"), 204);
    assert_status(b, "shop-viewer", "GET", "/api/v1/profiles?namespace=zshop", 200);
    assert_int_equal(news.n_late, 1);
    assert_int_equal(news.n_told, 1);
    stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_shown_before),
        cmocka_unit_test(test_one_by_one_then_all),
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_a_namespace_can_go),
        cmocka_unit_test(test_when_nobody_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
