// Reports by a system field of the descriptions, over HTTP.
#include "api/api_fixture.h"

#include <stdio.h>

#include "base/text.h"
#include "base/banned.h"

#define MINUTE INT64_C(60000)

static struct bench_answer answer;

static void put(struct bench *b, const char *pod, const char *node, int64_t value, int64_t start_ms)
{
    size_t len;
    const struct kp_pprof_recipe recipe = {
        .stacks = 2, .value = value, .time_nanos = start_ms * 1000000, .duration_nanos = 1000000000};
    kp_auto_free uint8_t *bytes = kp_pprof_make(&recipe, &len);
    struct kp_record *r = KP_NEW(struct kp_record);
    struct kp_append a = {.record = r, .body = kp_blob_copy(bytes, len)};
    r->namespace = kp_strdup(pod ? "shop" : NULL);
    r->service = kp_strdup("checkout");
    r->type = kp_strdup("cpu");
    r->format = kp_strdup("pprof");
    r->pod = kp_strdup(pod);
    r->pod_uid = kp_strdup(pod);
    r->node = kp_strdup(node);
    r->container = kp_strdup(pod ? "main" : NULL);
    r->start_ms = start_ms;
    kp_store_append(b->store, &a, 1);
    if (a.status != KP_APPEND_STORED)
        fail_msg("%s", a.error.text);
    kp_record_finish(r);
    kp_free(r);
    kp_blob_unref(a.body);
}

// CPU time of a capture: 4 times the value.
static struct bench *start(void)
{
    struct bench *b = bench_start((struct kp_api_options){0});
    int64_t t = 1795525200000;
    put(b, "checkout-a", "n1", 100, t);
    put(b, "checkout-a", "n1", 150, t + MINUTE);
    put(b, "checkout-b", "n1", 10, t);
    put(b, "checkout-c", "n2", 1, t);
    put(b, NULL, NULL, 1000, t); // was pushed
    return b;
}

static void stop(struct bench *b)
{
    bench_answer_clear(&answer);
    bench_stop(b);
}

static void expect(struct bench *b, const char *query, const char *const *parts)
{
    kp_auto_free char *path = kp_asprintf("/api/v1/%s", query);
    bench_get(b, path, 200, &answer);
    for (; *parts; parts++)
        if (strstr(answer.body, *parts) == NULL)
            fail_msg("%s: '%s' is not in %.600s", query, *parts, answer.body);
}

#define ROW(name, value) "\"name\":\"" name "\",\"flat\":" #value ",\"cum\":" #value ","

static void test_top_by_a_field(void **state)
{
    (void)state;
    struct bench *b = start();
    expect(b, "top?service=checkout&type=cpu&by=label%3Dk8s.pod",
        (const char *const[]){ROW("<none>", 4000), ROW("checkout-a", 1000), ROW("checkout-b", 40),
            ROW("checkout-c", 4), "\"total\":5044,", "{\"stats\":{\"profiles\":5,", NULL});
    expect(b, "top?service=checkout&type=cpu&by=label%3Dk8s.node&selector=k8s.pod",
        (const char *const[]){ROW("n1", 1040), ROW("n2", 4), "\"total\":1044,", NULL});
    assert_null(strstr(answer.body, "<none>"));
    expect(b, "top?namespace=shop&service=checkout&type=cpu&by=label%3Dk8s.pod&focus=leaf1",
        (const char *const[]){
            ROW("checkout-a", 500), ROW("checkout-b", 20), ROW("checkout-c", 2), "\"total\":1044,", NULL});
    // a label of the samples is what it was, and a field nothing has
    expect(b, "top?namespace=shop&service=checkout&type=cpu&by=label%3Dversion",
        (const char *const[]){ROW("<none>", 1044), NULL});
    stop(b);
}

static void test_diff_by_a_field(void **state)
{
    (void)state;
    struct bench *b = start();
    expect(b,
        "diff?namespace=shop&service=checkout&type=cpu&by=label%3Dk8s.pod&from=2026-11-24T13:01:00Z&to=2026-"
        "11-24T13:02:"
        "00Z&baseFrom=2026-11-24T13:00:00Z&baseTo=2026-11-24T13:01:00Z",
        (const char *const[]){"\"name\":\"checkout-a\",\"flat\":200,\"cum\":200,\"baseFlat\":400,",
            "\"name\":\"checkout-b\",\"flat\":-40,", "\"name\":\"checkout-c\",\"flat\":-4,",
            "\"baseTotal\":444", NULL});
    stop(b);
}

static void test_what_cannot_be_is_said(void **state)
{
    (void)state;
    struct bench *b = start();
    bench_get(b, "/api/v1/profiles?limit=1", 200, &answer);
    const char *id = strstr(answer.body, "\"id\":\"");
    assert_non_null(id);
    kp_auto_free char *path = kp_asprintf("/api/v1/top?by=label%%3Dk8s.pod&ids=%.25s", id + 6);
    bench_get(b, path, 400, &answer);
    assert_non_null(strstr(answer.body, "k8s.pod is a field of descriptions"));
    bench_get(b, "/api/v1/top?service=checkout&type=cpuu", 404, &answer);
    assert_non_null(
        strstr(answer.body, "no profile of type 'cpuu' is kept; the service has cpu; nearest: cpu"));
    bench_get(b, "/api/v1/series?type=wall", 404, &answer);
    assert_non_null(strstr(answer.body, "no profile of type 'wall' is kept; the store has cpu\""));
    bench_get(b, "/api/v1/top?service=checkout&type=cpu&to=2026-01-01T00:00:00Z", 404, &answer);
    assert_non_null(strstr(answer.body, "no profile matches: check"));
    stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top_by_a_field),
        cmocka_unit_test(test_diff_by_a_field),
        cmocka_unit_test(test_what_cannot_be_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
