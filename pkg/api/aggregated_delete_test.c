// Deleting through the API server: one, those that match, a whole namespace.
#include "api/aggregated_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

static int setup(void **state)
{
    *state = world_begin();
    return 0;
}

static int teardown(void **state)
{
    world_end(*state);
    return 0;
}

static bool is_here(struct world *w, size_t i)
{
    return kp_store_get(w->b->store, w->ids[i], NULL, NULL, NULL) == 0;
}

static size_t n_here(struct world *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++)
        n += is_here(w, i);
    return n;
}

static void check_success(struct world *w, const char *name)
{
    json_t *s = parse(w->a.body);
    assert_string_equal(text_at(s, "kind"), "Status");
    assert_string_equal(text_at(s, "status"), "Success");
    assert_true(kp_streq(text_at(s, "details/name"), name));
    assert_string_equal(text_at(s, "details/group"), "data.kube-pprof.dev");
    json_decref(s);
}

static void test_one(void **state)
{
    struct world *w = *state;
    kp_auto_free char *path = kp_asprintf(NS "shop/profiles/%s", w->ids[0]);
    kp_auto_free char *elsewhere = kp_asprintf(NS "pay/profiles/%s", w->ids[0]);
    kp_auto_free char *by_query = kp_asprintf("%s?dryRun=All", path);
    ask(w, "DELETE", path, NULL, "{\"dryRun\":[\"All\"],\"propagationPolicy\":\"Background\"}", 200);
    check_success(w, w->ids[0]);
    ask(w, "DELETE", by_query, NULL, NULL, 200);
    ask(w, "DELETE", elsewhere, NULL, "{}", 404);
    check_status(w, "NotFound", w->ids[0]);
    assert_int_equal(n_here(w), 4);
    ask(w, "DELETE", path, NULL, "{\"propagationPolicy\":\"Background\"}", 200);
    check_success(w, w->ids[0]);
    assert_false(is_here(w, 0));
    assert_int_equal(n_here(w), 3);
    ask(w, "GET", path, NULL, NULL, 404);
    ask(w, "DELETE", path, NULL, "{}", 404);
    ask(w, "DELETE", path, NULL, "{\"dryRun\":[\"All\"]}", 404);
}

static void test_the_uid_has_to_fit(void **state)
{
    struct world *w = *state;
    kp_auto_free char *path = kp_asprintf(NS "shop/profiles/%s", w->ids[0]);
    ask(w, "DELETE", path, NULL, "{\"preconditions\":{\"uid\":\"x\"}}", 409);
    check_status(w, "Conflict", "uid");
    assert_true(is_here(w, 0));
    json_t *object = parse(ask(w, "GET", path, NULL, NULL, 200));
    kp_auto_free char *body =
        kp_asprintf("{\"preconditions\":{\"uid\":\"%s\"}}", text_at(object, "metadata/uid"));
    json_decref(object);
    ask(w, "DELETE", path, NULL, body, 200);
    assert_false(is_here(w, 0));
}

static void test_bodies(void **state)
{
    struct world *w = *state;
    kp_auto_free char *path = kp_asprintf(NS "shop/profiles/%s", w->ids[0]);
    static const char *const wrong[] = {"x", "[]", "{\"dryRun\":\"All\"}", "{\"dryRun\":[\"Some\"]}",
        "{\"dryRun\":[1]}", "{} {}", "{\"dryRun\":[\"All\",\"None\"]}"};
    for (size_t i = 0; i < KP_COUNT(wrong); i++) {
        ask(w, "DELETE", path, NULL, wrong[i], 400);
        check_status(w, "BadRequest", NULL);
        ask(w, "DELETE", NS "shop/profiles", NULL, wrong[i], 400);
    }
    kp_auto_free char *long_body = kp_alloc(70000);
    memset(long_body, ' ', 69999);
    long_body[69999] = '\0';
    ask(w, "DELETE", path, NULL, long_body, 413);
    check_status(w, "RequestEntityTooLarge", NULL);
    const char *const protobuf[] = {"Content-Type: application/vnd.kubernetes.protobuf", NULL};
    bench_request(w->b, "DELETE", path, protobuf, "k8s", 3, &w->a);
    assert_int_equal(w->a.status, 415);
    check_status(w, "UnsupportedMediaType", NULL);
    assert_int_equal(n_here(w), 4);
}

static void test_those_that_match(void **state)
{
    struct world *w = *state;
    ask(w, "DELETE", NS "shop/profiles?labelSelector=team%3Dnone", NULL, NULL, 200);
    ask(w, "DELETE", NS "shop/profiles?labelSelector=team%3Da", NULL, "{\"dryRun\":[\"All\"]}", 200);
    ask(w, "DELETE", NS "shop/profiles?fieldSelector=metadata.namespace%3Dpay", NULL, NULL, 200);
    ask(w, "DELETE", NS "shop/profiles?fieldSelector=a%3Db", NULL, NULL, 400);
    assert_int_equal(n_here(w), 4);
    ask(w, "DELETE", NS "shop/profiles?fieldSelector=spec.type%3Dheap", NULL, NULL, 200);
    check_success(w, NULL);
    assert_false(is_here(w, 1));
    assert_int_equal(n_here(w), 3);
    kp_auto_free char *name = kp_asprintf(NS "shop/profiles?fieldSelector=metadata.name%%3D%s", w->ids[3]);
    ask(w, "DELETE", name, NULL, NULL, 200); // it lies elsewhere
    assert_int_equal(n_here(w), 3);
    ask(w, "DELETE", NS "shop/profiles?labelSelector=team%3Da", NULL, "", 200);
    assert_false(is_here(w, 0));
    assert_true(is_here(w, 2) && is_here(w, 3));
}

// What would be overlooked, so that more is deleted than was meant, is refused.
static void test_nothing_is_overlooked(void **state)
{
    struct world *w = *state;
    static const char *const queries[] = {"dryRun=", "dryRun", "dryRun=all", "dryRun=ALL", "dryRun=true",
        "dryrun=All", "DryRun=All", "dry%52un=All&dryRun=All", "dryRun=All&dryRun=", "dryRun=%zz",
        "dryRun=A%00ll", "labelselector=team%3Dnone", "labelSelector=%zz", "labelSelector=team%3Dnone%",
        "limit=1", "continue=x", "fieldselector=metadata.name%3Dx", "watch=true", "selector=x"};
    static const char *const bodies[] = {"{\"dryrun\":[\"All\"]}", "{\"DryRun\":[\"All\"]}",
        "{\"dryRun\":[\"All\"],\"dryRun\":[]}", "{\"dryRun\":[\"all\"]}", "{\"dryRun\":[[\"All\"]]}",
        "{\"dryRun\":{\"All\":true}}", "{\"dryRun\":true}", "{\"preconditions\":{\"uid\":7}}",
        "{\"preconditions\":{\"uid\":\"\"}}", "{\"preconditions\":[]}", "{\"Preconditions\":{\"uid\":\"x\"}}",
        "{\"preconditions\":{\"resourceVersion\":1}}"};
    static const char *const wrong_version = "{\"preconditions\":{\"resourceVersion\":\"2\"}}";
    kp_auto_free char *one = kp_asprintf(NS "shop/profiles/%s", w->ids[0]);
    const char *const paths[] = {one, NS "shop/profiles"};
    for (size_t p = 0; p < KP_COUNT(paths); p++) {
        for (size_t i = 0; i < KP_COUNT(queries); i++) {
            kp_auto_free char *path = kp_asprintf("%s?%s", paths[p], queries[i]);
            ask(w, "DELETE", path, NULL, NULL, 400);
        }
        for (size_t i = 0; i < KP_COUNT(bodies); i++)
            ask(w, "DELETE", paths[p], NULL, bodies[i], 400);
        ask(w, "DELETE", paths[p], NULL, wrong_version, 409);
        check_status(w, "Conflict", "resourceVersion");
    }
    kp_auto_strbuf many;
    kp_strbuf_init(&many, 4096);
    kp_strbuf_adds(&many, NS "shop/profiles?pretty=1");
    for (int i = 0; i < 300; i++) // the selector would be one too many
        kp_strbuf_adds(&many, "&a");
    kp_strbuf_adds(&many, "&labelSelector=team%3Dnone");
    ask(w, "DELETE", many.data, NULL, NULL, 400);
    ask(w, "DELETE", NS "shop/profiles", NULL, "{\"preconditions\":{\"uid\":\"x\"}}", 400);
    assert_int_equal(n_here(w), 4);
    ask(w, "DELETE", one, NULL, "{\"preconditions\":{\"resourceVersion\":\"1\",\"uid\":null}}", 200);
    assert_int_equal(n_here(w), 3);
    ask(w, "DELETE", NS "shop/profiles?propagationPolicy=Background&timeout=30s&pretty=", NULL,
        "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"dryRun\":[],\"preconditions\":null}", 200);
    assert_int_equal(n_here(w), 1);
}

// As the namespace controller does it: delete, then list.
static void test_all_of_a_namespace(void **state)
{
    struct world *w = *state;
    ask(w, "DELETE", NS "shop/profiles", NULL, "{\"dryRun\":[\"All\"]}", 200);
    assert_int_equal(n_here(w), 4);
    ask(w, "DELETE", NS "shop/profiles", NULL, "{\"propagationPolicy\":\"Background\"}", 200);
    check_success(w, NULL);
    ask(w, "GET", NS "shop/profiles", NULL, NULL, 200);
    check_names(w, "");
    assert_int_equal(n_here(w), 1);
    ask(w, "DELETE", NS "shop/profiles", NULL, NULL, 200); // again
    const bool never = false;
    for (int i = 0; i < 1000; i++) { // upkeep follows by itself
        struct kp_store_stats stats;
        kp_store_get_stats(w->b->store, &stats);
        if (stats.n_profiles == 1)
            break;
        kp_loop_run_until(w->b->loop, &never, 5);
    }
    struct kp_store_stats stats;
    kp_store_get_stats(w->b->store, &stats);
    assert_int_equal(stats.n_profiles, 1);
    size_t len;
    kp_auto_free uint8_t *late =
        kp_pprof_make(&(struct kp_pprof_recipe){.stacks = 5, .value = 1, .time_nanos = T0 * 1000000}, &len);
    bench_request(
        w->b, "POST", "/api/v1/profiles?service=api&type=cpu&namespace=shop", NULL, late, len, &w->a);
    assert_int_equal(w->a.status, 410);
    assert_non_null(strstr(w->a.body, "\"reason\":\"Gone\",\"message\":\"not kept: it was captured before"));
    bench_request(
        w->b, "POST", "/api/0/profiles?service=api&type=cpu&namespace=shop", NULL, late, len, &w->a);
    assert_int_equal(w->a.status, 410);
    assert_non_null(strstr(w->a.body, "{\"code\":410,\"error\":\"not kept: it was captured before"));
    put_profile(w, "shop", "api", "cpu", "api-1", "a"); // of the next namespace of that name
    ask(w, "GET", NS "shop/profiles", NULL, NULL, 200);
    check_names(w, "4");
}

// What was received while the clock was ahead goes as well, and nothing of the next namespace is taken for
// it.
static void test_all_after_the_clock_was_set_back(void **state)
{
    struct world *w = *state;
    agg_clock_ms -= INT64_C(2) * 3600000;
    ask(w, "DELETE", NS "shop/profiles", NULL, "{\"dryRun\":[\"All\"]}", 200);
    assert_int_equal(n_here(w), 4);
    ask(w, "DELETE", NS "shop/profiles", NULL, NULL, 200);
    check_success(w, NULL);
    assert_int_equal(n_here(w), 1);
    ask(w, "GET", NS "shop/profiles", NULL, NULL, 200);
    check_names(w, "");
    put_profile(w, "shop", "api", "cpu", "api-1", "a");
    ask(w, "GET", NS "shop/profiles", NULL, NULL, 200);
    check_names(w, "4");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_one),
        T(test_the_uid_has_to_fit),
        T(test_bodies),
        T(test_those_that_match),
        T(test_nothing_is_overlooked),
        T(test_all_of_a_namespace),
        T(test_all_after_the_clock_was_set_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
