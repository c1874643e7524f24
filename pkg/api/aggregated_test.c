// The aggregated API from outside: what is asked of the door, what comes back, and what is refused.
#include "api/aggregated_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/aggregated.h"
#include "base/banned.h"

#define TABLE                                                                                                \
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,"        \
    "application/json"
#define METADATA                                                                                             \
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,"                   \
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

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

static void golden(const char *name, const char *body)
{
    json_t *json = parse(body);
    char *pretty = json_dumps(json, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    kp_auto_free char *text = kp_asprintf("%s\n", pretty);
    kp_auto_free char *path = kp_asprintf("%s/aggregated/%s.json", KP_TESTDATA, name);
    free(pretty); // jansson's
    json_decref(json);
    kp_test_golden(path, text);
}

// ---- what the door is asked ----

static void test_questions(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *method, *path;
        int status;
        const char *asked; // "" = nothing: it was refused, or shows nothing of anybody
    } rows[] = {
        {"GET", NS "shop/profiles", 200, "list profiles ns=shop"},
        {"GET", NS "shop/profiles?watch=false", 200, "list profiles ns=shop"},
        {"GET", NS "shop/profiles?watch=0", 200, "list profiles ns=shop"},
        {"GET", NS "shop/profiles?watch=true", 405, "list profiles ns=shop"},
        {"GET", NS "shop/profiles?watch=1", 405, "list profiles ns=shop"},
        {"GET", NS "shop/profiles?watch=", 405, "list profiles ns=shop"},
        {"GET", ROOT "/profiles", 200, "list profiles ns="},
        {"GET", ROOT "/profiles?watch=1", 405, "list profiles ns="},
        {"HEAD", NS "shop/profiles", 200, "list profiles ns=shop"},
        {"GET", NS "shop/profiles/x", 404, "get profiles ns=shop"},
        {"DELETE", NS "shop/profiles/x", 404, "delete profiles ns=shop"},
        {"DELETE", NS "none/profiles", 200, "deletecollection profiles ns=none"},
        {"GET", NS "shop/profiles/x/download", 404, "get profiles/download ns=shop"},
        {"GET", NS "shop/profiles/-/merge?type=cpu", 200, "get profiles/merge ns=shop name=-"},
        {"GET", NS "shop/profiles/-/top?type=cpu", 200, "get profiles/top ns=shop name=-"},
        {"GET", NS "shop/profiles/-/flamegraph?type=cpu", 200, "get profiles/flamegraph ns=shop name=-"},
        {"GET", NS "shop/profiles/-/diff?type=cpu&baseFrom=-1h", 404, "get profiles/diff ns=shop name=-"},
        {"GET", NS "shop/profiles/-/series?type=cpu", 200, "get profiles/series ns=shop name=-"},
        {"GET", NS "shop/profiles/-/peers?type=cpu", 400, "get profiles/peers ns=shop name=-"},
        {"GET", NS "shop/profiles/-/pgo", 409, "get profiles/pgo ns=shop name=-"},
        {"GET", NS "shop/profiles/-/targets", 200, "get profiles/targets ns=shop name=-"},
        {"GET", NS "shop/profiles/-/services", 200, "get profiles/services ns=shop name=-"},
        {"GET", NS "shop/profiles/-/labels", 200, "get profiles/labels ns=shop name=-"},
        // methods the API server has words for, and others
        {"POST", NS "shop/profiles", 415, "create profiles ns=shop"},
        {"POST", ROOT "/profiles", 405, ""},
        {"POST", NS "shop/profiles/x", 405, ""},
        {"PUT", NS "shop/profiles/x", 405, ""},
        {"PATCH", NS "shop/profiles/x", 405, ""},
        {"POST", NS "shop/profiles/-/merge", 405, ""},
        {"DELETE", NS "shop/profiles/-/merge", 405, ""},
        {"DELETE", ROOT "/profiles", 405, ""},
        {"OPTIONS", NS "shop/profiles", 405, ""},
        {"TRACE", NS "shop/profiles", 405, ""},
        {"BREW", NS "shop/profiles", 405, ""},
        // nothing of anybody
        {"GET", ROOT, 200, ""},
        {"GET", "/apis", 404, ""},
        {"GET", "/openapi/v2", 200, ""},
        {"GET", "/openapi/v3", 200, ""},
        {"GET", "/openapi/v3" ROOT "?hash=1&timeout=32s", 200, ""},
    };
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        ask(w, rows[i].method, rows[i].path, NULL, NULL, rows[i].status);
        if (strcmp(w->door.asked, rows[i].asked) != 0)
            fail_msg("%s %s asked '%s'", rows[i].method, rows[i].path, w->door.asked);
        if (rows[i].status >= 400)
            check_status(w,
                rows[i].status == 400   ? "BadRequest"
                : rows[i].status == 404 ? "NotFound"
                : rows[i].status == 409 ? "Conflict"
                : rows[i].status == 415 ? "UnsupportedMediaType"
                                        : "MethodNotAllowed",
                NULL);
    }
}

// What the API server may have authorised as something else, or as nothing.
static void test_paths_that_can_be_read_in_two_ways(void **state)
{
    struct world *w = *state;
    static const char *const paths[] = {
        NS "shop/profiles/",
        NS "shop/profiles/../secrets",
        NS "shop/profiles/x/download/../../../secrets",
        NS "shop/profiles/%2e%2e/secrets",
        NS "shop/profiles/.",
        NS "shop/profiles/%2E",
        NS "shop//profiles",
        NS "/shop/profiles",
        NS "shop",
        NS "shop/",
        "/" NS "shop/profiles",
        "//" NS "shop/profiles",
        ROOT "/",
        ROOT "//profiles",
        "/apis//data.kube-pprof.dev/v1alpha1",
        "/apis/",
        "/apis/data.kube-pprof.dev",
        "/apis/data.kube-pprof.dev/v1",
        ROOT "/watch/namespaces/shop/profiles",
        ROOT "/watch/profiles",
        ROOT "/profiles/-/merge?type=cpu",
        ROOT "/profiles/x",
        NS "shop/profiles/-",
        NS "shop/profiles/-/nothing",
        NS "shop/profiles/-/merge/",
        NS "shop/profiles/-/merge/x",
        NS "shop/profiles/x/merge",
        NS "shop/profiles/x/download/a/b",
        NS "shop/profiles/a%2Fb",
        NS "shop/profiles/a%2fb/download",
        NS "shop%2Fprofiles",
        NS "a%2F..%2Fshop/profiles",
        NS "shop/profiles/%00",
        NS "shop/profiles/%zz",
        NS "shop/profiles/x%0a",
        NS "shop/secrets",
        NS "shop/profiles:merge",
        ROOT "/merge",
        ROOT "/queries/merge",
        "/openapi/v3/",
        "/openapi/v2/..",
        "/openapi",
    };
    for (size_t i = 0; i < KP_COUNT(paths); i++) {
        bench_request(w->b, "GET", paths[i], NULL, NULL, 0, &w->a);
        if (w->a.status != 404 && w->a.status != 400)
            fail_msg("GET %s: %d %.200s", paths[i], w->a.status, w->a.body);
        check_status(w, w->a.status == 404 ? "NotFound" : "BadRequest", NULL);
    }
    for (size_t i = 0; i < w->n; i++) // nothing was done meanwhile
        assert_int_equal(kp_store_get(w->b->store, w->ids[i], NULL, NULL, NULL), 0);
    static const char *const namespaces[] = {"SHOP", "-", "a.b", "shop%20", "..", "%2e"};
    for (size_t i = 0; i < KP_COUNT(namespaces); i++) {
        kp_auto_free char *path = kp_asprintf(NS "%s/profiles", namespaces[i]);
        w->door.asked[0] = '\0';
        bench_request(w->b, "DELETE", path, NULL, NULL, 0, &w->a);
        assert_true(w->a.status == 400 || w->a.status == 404);
        assert_string_equal(w->door.asked, "");
    }
}

static void test_errors_are_status_objects(void **state)
{
    struct world *w = *state;
    kp_auto_free char *path = kp_asprintf(NS "shop/profiles/%s", w->ids[3]); // of another namespace
    ask(w, "GET", path, NULL, NULL, 404);
    kp_auto_free char *message = kp_asprintf("profiles.data.kube-pprof.dev \"%s\" not found", w->ids[3]);
    check_status(w, "NotFound", message);
    json_t *s = parse(w->a.body);
    assert_string_equal(text_at(s, "details/name"), w->ids[3]);
    json_decref(s);
    w->door.allow = "shop";
    ask(w, "GET", NS "pay/profiles", NULL, NULL, 403);
    check_status(w, "Forbidden",
        "profiles.data.kube-pprof.dev is forbidden: User \"alice\" cannot list resource \"profiles\" in API "
        "group "
        "\"data.kube-pprof.dev\" in the namespace \"pay\"");
    golden("forbidden", w->a.body);
    ask(w, "GET", ROOT "/profiles", NULL, NULL, 403);
    check_status(w, "Forbidden", "at the cluster scope");
    const char *const nobody[] = {"X-Nobody: 1", NULL};
    bench_request(w->b, "GET", NS "shop/profiles", nobody, NULL, 0, &w->a);
    assert_int_equal(w->a.status, 401);
    check_status(w, "Unauthorized", "nobody said");
    ask(w, "GET", NS "shop/profiles", "application/vnd.kubernetes.protobuf", NULL, 406);
    check_status(w, "NotAcceptable", "application/json");
    ask(w, "PATCH", NS "shop/profiles/x", NULL, NULL, 405);
    check_status(w, "MethodNotAllowed", NULL);
    assert_non_null(strstr(w->a.headers.data, "GET, HEAD, DELETE"));
    // the rest of the registry speaks as before
    bench_get(w->b, "/api/v1/nothing", 404, &w->a);
    assert_non_null(strstr(w->a.body, "\"error\""));
}

// ---- documents ----

static void test_discovery(void **state)
{
    struct world *w = *state;
    static const char aggregated[] =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    golden("resources", ask(w, "GET", ROOT, NULL, NULL, 200));
    golden("discovery", ask(w, "GET", "/apis", aggregated, NULL, 200));
    assert_non_null(
        strstr(w->a.headers.data, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"));
    ask(w, "GET", "/apis", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList", NULL,
        404);
    golden("openapi-v2", ask(w, "GET", "/openapi/v2", NULL, NULL, 200));
    ask(w, "GET", "/openapi/v3", NULL, NULL, 200);
    assert_non_null(strstr(w->a.body, "\"apis/data.kube-pprof.dev/v1alpha1\""));
    golden("schema", ask(w, "GET", "/openapi/v3" ROOT, NULL, NULL, 200));
    const char *const paths[] = {ROOT, "/openapi/v2", "/openapi/v3"};
    for (size_t i = 0; i < KP_COUNT(paths); i++) {
        ask(w, "GET", paths[i], NULL, NULL, 200);
        const char *etag = strcasestr(w->a.headers.data, "etag: ");
        assert_non_null(etag);
        kp_auto_free char *known = kp_asprintf("If-None-Match: %.18s", etag + 6);
        const char *const headers[] = {known, NULL};
        bench_request(w->b, "GET", paths[i], headers, NULL, 0, &w->a);
        assert_int_equal(w->a.status, 304);
        bench_request(
            w->b, "GET", paths[i], (const char *const[]){"If-None-Match: \"x\"", NULL}, NULL, 0, &w->a);
        assert_int_equal(w->a.status, 200);
    }
}

// What is told is served, and the other way round.
static void test_sub_resources_are_told(void **state)
{
    struct world *w = *state;
    struct kp_http_route routes[KP_API_ROUTES];
    size_t n = kp_api_add_routes(routes);
    size_t n_served = 0;
    json_t *told = parse(ask(w, "GET", ROOT, NULL, NULL, 200));
    for (size_t i = 0; i < n; i++) {
        const char *tail = kp_starts_with(routes[i].path, NS "{namespace}/profiles/")
                               ? strchr(routes[i].path + strlen(NS "{namespace}/profiles/"), '/')
                               : NULL;
        if (tail == NULL)
            continue;
        kp_auto_free char *name = kp_asprintf("profiles%s", tail);
        bool found = false;
        size_t k;
        json_t *item;
        json_array_foreach(json_object_get(told, "resources"), k, item) found |=
            kp_streq(text_at(item, "name"), name);
        if (!found)
            fail_msg("%s is not told", name);
        n_served++;
    }
    assert_int_equal(json_array_size(json_object_get(told, "resources")), n_served + 1);
    json_decref(told);
}

// ---- lists ----

static void test_forms(void **state)
{
    struct world *w = *state;
    golden("list", ask(w, "GET", NS "shop/profiles", NULL, NULL, 200));
    golden("table", ask(w, "GET", NS "shop/profiles?limit=500", TABLE, NULL, 200));
    golden("table-object", ask(w, "GET", NS "pay/profiles?includeObject=Object", TABLE, NULL, 200));
    golden("table-none", ask(w, "GET", NS "pay/profiles?includeObject=None", TABLE, NULL, 200));
    golden("metadata", ask(w, "GET", NS "pay/profiles", METADATA, NULL, 200));
    golden("empty", ask(w, "GET", NS "none/profiles", TABLE, NULL, 200));
    kp_auto_free char *path = kp_asprintf(NS "shop/profiles/%s", w->ids[0]);
    golden("object", ask(w, "GET", path, "*/*", NULL, 200));
    golden("table-one", ask(w, "GET", path, TABLE, NULL, 200));
    golden("metadata-one",
        ask(w, "GET", path, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", NULL, 200));
    ask(w, "GET", NS "shop/profiles?includeObject=Some", TABLE, NULL, 400);
    ask(w, "HEAD", path, NULL, NULL, 200);
    assert_int_equal(w->a.len, 0);
}

static void check_list(struct world *w, const char *query, const char *places)
{
    kp_auto_free char *path = kp_asprintf("%s%s", ROOT, query);
    ask(w, "GET", path, NULL, NULL, 200);
    check_names(w, places);
    ask(w, "GET", path, TABLE, NULL, 200);
    check_names(w, places);
}

static void test_selectors(void **state)
{
    struct world *w = *state;
    check_list(w, "/profiles", "3 2 1 0");
    check_list(w, "/namespaces/shop/profiles", "2 1 0");
    check_list(w, "/namespaces/shop/profiles?labelSelector=team%3Da", "1 0");
    check_list(w, "/namespaces/shop/profiles?labelSelector=team%21%3Da", "2");
    check_list(w, "/profiles?labelSelector=team+in+%28a%29", "3 1 0");
    check_list(w, "/profiles?labelSelector=k8s.pod%3Dapi-0", "1 0");
    check_list(w, "/profiles?labelSelector=%21team", "");
    check_list(w, "/namespaces/shop/profiles?selector=team%3D%7E%5Bb-z%5D", "2");
    check_list(w, "/profiles?fieldSelector=spec.type%3Dcpu", "3 2 0");
    check_list(w, "/profiles?fieldSelector=spec.type%3D%3Dcpu%2Cspec.service%3Dapi", "3 0");
    check_list(w, "/profiles?fieldSelector=spec.type%3Dcpu%2Cspec.type%3Dheap", "");
    check_list(w, "/profiles?fieldSelector=spec.pod%21%3Dapi-0", "3 2");
    check_list(w, "/profiles?fieldSelector=spec.pod%3Dweb-0%2Cspec.node%3Dnode-1", "2");
    check_list(w, "/profiles?fieldSelector=spec.workload%3DDeployment%2Fweb&labelSelector=team%3Db", "2");
    check_list(w, "/profiles?fieldSelector=metadata.namespace%3Dpay", "3");
    check_list(w, "/namespaces/shop/profiles?fieldSelector=metadata.namespace%3Dpay", "");
    check_list(w, "/namespaces/shop/profiles?fieldSelector=metadata.namespace%3Dshop", "2 1 0");
    kp_auto_free char *name = kp_asprintf("/profiles?fieldSelector=metadata.name%%3D%s", w->ids[1]);
    check_list(w, name, "1");
    kp_auto_free char *other =
        kp_asprintf("/namespaces/pay/profiles?fieldSelector=metadata.name%%3D%s", w->ids[1]);
    check_list(w, other, "");
    kp_auto_free char *both =
        kp_asprintf("/profiles?fieldSelector=metadata.name%%3D%s%%2Cspec.type%%3Dcpu", w->ids[1]);
    check_list(w, both, "");
    static const struct {
        const char *query, *message;
    } wrong[] = {
        {"fieldSelector=spec.size%3D1", "field label not supported: spec.size"},
        {"fieldSelector=spec.type", "fieldSelector is wrong"},
        {"fieldSelector=spec.type%21%3Dcpu", "with = only"},
        {"fieldSelector=spec.pod%3D%5Cx", "backslash"},
        {"labelSelector=team%3D%7Ea", "labelSelector"},
        {"labelSelector=team%3Da&selector=team%3Db", "not both"},
        {"selector=team%3D%7E%28", "selector"},
        {"from=yesterday", "from"},
        {"labelSelector=a+b", "labelSelector"},
        {"limit=-1", "limit"},
        {"limit=x", "limit"},
    };
    for (size_t i = 0; i < KP_COUNT(wrong); i++) {
        kp_auto_free char *path = kp_asprintf(NS "shop/profiles?%s", wrong[i].query);
        ask(w, "GET", path, NULL, NULL, 400);
        check_status(w, "BadRequest", wrong[i].message);
    }
}

static void test_chunks(void **state)
{
    struct world *w = *state;
    kp_auto_free char *path = kp_strdup(NS "shop/profiles?limit=2");
    ask(w, "GET", path, TABLE, NULL, 200);
    check_names(w, "2 1");
    json_t *list = parse(w->a.body);
    kp_auto_free char *next =
        kp_asprintf(NS "shop/profiles?continue=%s&limit=2", text_at(list, "metadata/continue"));
    json_decref(list);
    ask(w, "GET", next, TABLE, NULL, 200);
    check_names(w, "0");
    list = parse(w->a.body);
    assert_null(text_at(list, "metadata/continue"));
    json_decref(list);
    ask(w, "GET", NS "shop/profiles?continue=garbage&limit=2", TABLE, NULL, 410);
    check_status(w, "Expired", "continue");
    ask(w, "GET", NS "shop/profiles?continue=&limit=0", TABLE, NULL, 200);
    check_names(w, "2 1 0");
}

// ---- sub-resources ----

static void test_queries_are_those_of_the_registry(void **state)
{
    struct world *w = *state;
    static const char *const queries[] = {"merge?type=cpu", "top?type=cpu",
        "flamegraph?type=cpu&format=folded", "series?type=cpu", "services?", "labels?",
        "top?type=cpu&limit=1"};
    for (size_t i = 0; i < KP_COUNT(queries); i++) {
        kp_auto_free char *here = kp_asprintf(NS "shop/profiles/-/%s", queries[i]);
        kp_auto_free char *there = kp_asprintf("/api/v1/%s&namespace=shop", queries[i]);
        ask(w, "GET", here, "*/*", NULL, 200);
        size_t len = w->a.len;
        kp_auto_free char *body = kp_memdup(w->a.body, len + 1);
        ask(w, "GET", there, "*/*", NULL, 200);
        assert_int_equal(w->a.len, len);
        assert_memory_equal(w->a.body, body, len);
    }
    // kubectl --request-timeout puts it into every request; it is between it and the API server
    static const char *const timed[] = {"merge?type=cpu&timeout=1.5s", "services?timeout=3s",
        "labels?timeout=1m0s", "targets?timeout=5", "top?type=cpu&timeout=x"};
    for (size_t i = 0; i < KP_COUNT(timed); i++) {
        kp_auto_free char *path = kp_asprintf(NS "shop/profiles/-/%s", timed[i]);
        ask(w, "GET", path, NULL, NULL, 200);
    }
    ask(w, "GET", NS "shop/profiles/-/merge?type=cpu&namespace=pay", NULL, NULL, 400);
    check_status(w, "BadRequest", "namespace");
    static const char *const unknown[] = {"watch=true", "continue=x", "fieldSelector=a%3Db", "nothing=1"};
    for (size_t i = 0; i < KP_COUNT(unknown); i++) {
        kp_auto_free char *path = kp_asprintf(NS "shop/profiles/-/merge?type=cpu&%s", unknown[i]);
        ask(w, "GET", path, NULL, NULL, 400);
        check_status(w, "BadRequest", NULL);
    }
    kp_auto_free char *ids = kp_asprintf(NS "shop/profiles/-/merge?ids=%s", w->ids[3]);
    ask(w, "GET", ids, NULL, NULL, 404); // of another namespace
    check_status(w, "NotFound", NULL);
}

static void test_download(void **state)
{
    struct world *w = *state;
    struct kp_blob *body;
    kp_auto_free char *path = kp_asprintf(NS "shop/profiles/%s/download", w->ids[0]);
    assert_int_equal(kp_store_get(w->b->store, w->ids[0], NULL, &body, NULL), 0);
    ask(w, "GET", path, "application/json", NULL, 200); // kubectl get --raw says so, and wants bytes
    assert_int_equal(w->a.len, body->len);
    assert_memory_equal(w->a.body, body->data, body->len);
    assert_null(strcasestr(w->a.headers.data, "content-encoding"));
    kp_blob_unref(body);
    kp_auto_free char *other = kp_asprintf(NS "pay/profiles/%s/download", w->ids[0]);
    ask(w, "GET", other, NULL, NULL, 404);
    check_status(w, "NotFound", w->ids[0]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_questions),
        T(test_paths_that_can_be_read_in_two_ways),
        T(test_errors_are_status_objects),
        T(test_discovery),
        T(test_sub_resources_are_told),
        T(test_forms),
        T(test_selectors),
        T(test_chunks),
        T(test_queries_are_those_of_the_registry),
        T(test_download),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
