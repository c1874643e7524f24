// Captures of the cluster as profefe's clients see them, pushes beside them, and who hears of both.
#include "api/api_fixture.h"

#include <stdio.h>

#include "base/array.h"
#include "record/record.h"
#include "base/banned.h"

#define ALL "&from=2000-01-01T00:00:00&to=2040-01-01T00:00:00"

static struct bench_answer answer;

static void stop(struct bench *b)
{
    bench_answer_clear(&answer);
    bench_stop(b);
}

static void assert_holds(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in: %.600s", part, text);
}

static uint8_t *small(size_t *ret_len)
{
    return kp_pprof_make(
        &(struct kp_pprof_recipe){.stacks = 3, .time_nanos = INT64_C(1795000000000000000), .gzip = true},
        ret_len);
}

// A capture of container app of a pod of namespace shop; big: with labels of about 50 KiB.
static void capture(struct bench *b, const char *type, const char *pod, bool big)
{
    struct kp_record r;
    struct kp_strbuf frame;
    KP_ARRAY(struct kp_label) labels = {0};
    static char value[1001];
    static char keys[48][8];
    size_t len;
    kp_auto_free uint8_t *profile = small(&len);
    memset(value, 'x', sizeof value - 1);
    kp_record_init(&r);
    r.service = kp_strdup("checkout");
    r.type = kp_strdup(type);
    r.format = kp_strdup("pprof");
    r.namespace = kp_strdup("shop");
    r.pod = kp_strdup(pod);
    r.container = kp_strdup("app");
    r.start_ms = INT64_C(1795000000000);
    *kp_array_add(&labels) = (struct kp_label){"team", "pay"};
    *kp_array_add(&labels) = (struct kp_label){"pod", "posing"};
    for (size_t i = 0; big && i < KP_COUNT(keys); i++) {
        snprintf(keys[i], sizeof keys[i], "k%zu", i);
        *kp_array_add(&labels) = (struct kp_label){keys[i], value};
    }
    r.labels = kp_labels_create(labels.items, labels.n);
    kp_strbuf_init(&frame, 1 << 20);
    kp_capture_frame(&frame, &r, profile, len);
    const char *const headers[] = {"Content-Type: " KP_CAPTURE_MEDIA_TYPE, NULL};
    bench_request(b, "POST", "/api/v1/profiles", headers, frame.data, frame.len, &answer);
    if (answer.status != 201)
        fail_msg("%d %s", answer.status, answer.body);
    kp_strbuf_finish(&frame);
    kp_record_finish(&r);
    kp_array_free(&labels);
}

static int push(struct bench *b, const char *service)
{
    size_t len;
    kp_auto_free uint8_t *profile = small(&len);
    kp_auto_free char *path = kp_asprintf("/api/0/profiles?type=cpu&service=%s", service);
    bench_request(b, "POST", path, NULL, profile, len, &answer);
    return answer.status;
}

static void test_services_of_the_cluster_have_their_namespace_in_front(void **state)
{
    (void)state;
    struct bench *b = bench_start((struct kp_api_options){0});
    assert_int_equal(push(b, "shop/old"), 200); // no such namespace yet: a plain name
    capture(b, "cpu", "checkout-1", false);
    capture(b, "cpu", "checkout-2", false);
    capture(b, "allocs", "checkout-1", false);
    capture(b, "lock-waits", "checkout-1", false);
    assert_int_equal(push(b, "checkout"), 200);
    assert_int_equal(push(b, "other/name"), 200);
    assert_int_equal(push(b, "shop/new"), 409);
    assert_holds(answer.body, "would be taken for a service of the namespace 'shop'");
    assert_holds(bench_get(b, "/api/0/services", 200, &answer),
        "[\"checkout\",\"other/name\",\"shop/checkout\",\"shop/old\"]");
    bench_get(b, "/api/0/profiles?service=shop/checkout&type=cpu&labels=pod%3Dcheckout-2" ALL, 200, &answer);
    assert_holds(answer.body,
        "\"service\":\"shop/checkout\",\"labels\":[{\"key\":\"container\",\"value\":\"app\"},{\"key\":"
        "\"namespace\",\"value\":\"shop\"},{\"key\":\"pod\",\"value\":\"checkout-2\"},{\"key\":\"team\","
        "\"value\":\"pay\"}]");
    assert_null(strstr(answer.body, "checkout-1"));
    bench_get(b, "/api/0/profiles?service=shop/checkout&labels=pod%3Dposing" ALL, 404, &answer);
    bench_get(b, "/api/0/profiles?service=checkout" ALL, 200, &answer);
    assert_null(strstr(answer.body, "shop"));
    bench_get(b, "/api/0/profiles?service=other/name" ALL, 200, &answer);
    stop(b);
}

static void test_types_profefe_does_not_have_are_other(void **state)
{
    (void)state;
    struct bench *b = bench_start((struct kp_api_options){0});
    capture(b, "cpu", "checkout-1", false);
    capture(b, "allocs", "checkout-1", false);
    capture(b, "lock-waits", "checkout-1", false);
    bench_get(b, "/api/0/profiles?service=shop/checkout&type=other" ALL, 200, &answer);
    assert_null(strstr(answer.body, "allocs"));
    assert_holds(strstr(answer.body, "\"type\":\"other\"") + 1, "\"type\":\"other\"");
    assert_null(strstr(answer.body, "\"type\":\"cpu\""));
    bench_get(b, "/api/0/profiles?service=shop/checkout&type=other&limit=1" ALL, 200, &answer);
    assert_null(strstr(strstr(answer.body, "\"type\":\"other\"") + 1, "\"type\":\"other\""));
    bench_get(b, "/api/0/profiles/merge?service=shop/checkout&type=other" ALL, 200, &answer);
    assert_holds(answer.headers.data, "filename=\"other\"");
    stop(b);
}

static void test_empty_profiles_are_taken_where_that_is_asked_for(void **state)
{
    (void)state;
    size_t len;
    kp_auto_free uint8_t *empty = kp_pprof_make(&(struct kp_pprof_recipe){.gzip = true}, &len);
    for (int accept = 0; accept < 2; accept++) {
        struct bench *b = bench_start((struct kp_api_options){.accept_empty = accept == 1});
        bench_request(b, "POST", "/api/0/profiles?service=a&type=cpu", NULL, empty, len, &answer);
        assert_int_equal(answer.status, accept == 1 ? 200 : 400);
        stop(b);
    }
}

// ---- watching ----

struct reader {
    struct kp_strbuf text;
    struct kp_http_call *call;
    bool done, hello;
    int events;
    const char *wanted;
    bool seen;
};

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct reader *r = user;
    kp_strbuf_add(&r->text, data, len);
    r->hello |= strstr(r->text.data, "follow\n\n") != NULL;
    r->seen |= r->wanted && strstr(r->text.data, r->wanted) != NULL;
    return true;
}

static void on_done(void *user, const struct kp_http_result *result)
{
    (void)result;
    ((struct reader *)user)->done = true;
}

static void watch(struct bench *b, const char *query, struct reader *r)
{
    kp_auto_free char *url = kp_asprintf("http://127.0.0.1:%d/api/v1/profiles?watch=true%s", b->port, query);
    kp_strbuf_init(&r->text, (size_t)64 << 20);
    const struct kp_http_request request = {.method = "GET",
        .url = url,
        .on_data = on_data,
        .on_done = on_done,
        .max_body = (size_t)1 << 30,
        .user = r};
    assert_int_equal(kp_http_start(b->client, &request, &r->call, NULL), 0);
    assert_true(kp_loop_run_until(b->loop, &r->hello, BENCH_WAIT_MS));
}

// They are matched on the loop, so that all together may cost no more than so much.
static void test_long_expressions_are_not_watched(void **state)
{
    (void)state;
    struct bench *b = bench_start((struct kp_api_options){0});
    struct reader reader = {0};
    struct bench_answer refused = {0};
    for (int i = 0; i < 3; i++) { // what was left counts no more
        watch(b, "&selector=a%3D~%22(ab%3Fc)%7B300%7D%22", &reader);
        bench_get(b, "/api/v1/profiles?watch=true&selector=a%3D~%22(ab%3Fc)%7B300%7D%22", 429, &refused);
        assert_holds(refused.body, "too long regular expressions");
        kp_api_end_watches(b->api);
        assert_true(kp_loop_run_until(b->loop, &reader.done, BENCH_WAIT_MS));
        kp_strbuf_finish(&reader.text);
        reader = (struct reader){0};
    }
    bench_answer_clear(&refused);
    bench_stop(b);
}

static void test_new_profiles_are_told(void **state)
{
    (void)state;
    struct bench *b = bench_start((struct kp_api_options){0});
    struct reader all = {.wanted = "\"type\":\"heap\""};
    struct reader some = {.wanted = "event: end"};
    watch(b, "", &all);
    watch(b, "&namespace=shop&selector=k8s.pod%3Dcheckout-2,team%3Dpay", &some);
    capture(b, "cpu", "checkout-1", false);
    capture(b, "cpu", "checkout-2", false);
    capture(b, "heap", "checkout-1", false);
    assert_true(kp_loop_run_until(b->loop, &all.seen, BENCH_WAIT_MS));
    assert_holds(all.text.data, "event: profile\nid: ");
    kp_api_end_watches(b->api);
    assert_true(kp_loop_run_until(b->loop, &some.done, BENCH_WAIT_MS));
    assert_true(kp_loop_run_until(b->loop, &all.done, BENCH_WAIT_MS));
    assert_true(some.seen);
    assert_holds(some.text.data, "\"pod\":\"checkout-2\"");
    assert_null(strstr(some.text.data, "checkout-1"));
    kp_strbuf_finish(&all.text);
    kp_strbuf_finish(&some.text);
    stop(b);
}

static void test_a_reader_that_does_not_read_is_cut(void **state)
{
    (void)state;
    struct bench *b = bench_start((struct kp_api_options){0});
    struct reader slow = {0};
    struct reader fast = {.wanted = "\"type\":\"heap\""};
    watch(b, "", &slow);
    watch(b, "&type=heap", &fast);
    kp_http_pause(slow.call, true);
    struct kp_metric *cut = kp_counter(b->metrics, "kube_pprof_registry_watches_cut_total", "");
    int n = 0;
    for (; n < 2000 && kp_metric_value(cut) < 1; n++)
        capture(b, "cpu", "checkout-1", true);
    assert_true(n < 2000);
    assert_false(fast.done);
    capture(b, "heap", "checkout-1", false);
    assert_true(kp_loop_run_until(b->loop, &fast.seen, BENCH_WAIT_MS));
    kp_http_pause(slow.call, false);
    assert_true(kp_loop_run_until(b->loop, &slow.done, BENCH_WAIT_MS));
    kp_http_cancel(fast.call);
    assert_true(kp_loop_run_until(b->loop, &fast.done, BENCH_WAIT_MS));
    kp_strbuf_finish(&slow.text);
    kp_strbuf_finish(&fast.text);
    stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_services_of_the_cluster_have_their_namespace_in_front),
        cmocka_unit_test(test_types_profefe_does_not_have_are_other),
        cmocka_unit_test(test_empty_profiles_are_taken_where_that_is_asked_for),
        cmocka_unit_test(test_new_profiles_are_told),
        cmocka_unit_test(test_long_expressions_are_not_watched),
        cmocka_unit_test(test_a_reader_that_does_not_read_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
