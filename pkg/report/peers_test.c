#include "report/report_fixture.h"

#include "base/text.h"
#include "base/banned.h"

static int peers_of(
    const char *folded, const char *function, struct kp_report_options o, char **ret, struct kp_error *err)
{
    kp_auto_profile *profile = kp_folded(folded);
    struct kp_strbuf out;
    kp_strbuf_init(&out, 1 << 20);
    int rc = kp_report_peers(profile, &o, function, &out, err);
    *ret = kp_strbuf_take(&out, NULL);
    return rc;
}

static void assert_peers(
    const char *folded, const char *function, struct kp_report_options o, const char *expected)
{
    struct kp_error err = {0};
    char *json;
    if (peers_of(folded, function, o, &json, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(json, expected);
    kp_free(json);
}

#define HEAD(function) "{\"function\":\"" function "\",\"sampleType\":\"cpu\",\"unit\":\"nanoseconds\","

static void test_peers(void **state)
{
    (void)state;
    assert_peers("a;f;x 5|b;f 3|f;x 2|a;f@f.go:3;y+z 1|other 9", "f", (struct kp_report_options){0},
        HEAD("f") "\"total\":20,\"flat\":3,\"cum\":11,\"fromRoot\":2,"
                  "\"callers\":{\"leftOut\":0,\"rows\":[{\"name\":\"a\",\"value\":6},{\"name\":\"b\","
                  "\"value\":3}]},"
                  "\"callees\":{\"leftOut\":0,\"rows\":[{\"name\":\"x\",\"value\":7},{\"name\":\"y\","
                  "\"value\":1}]}}");
    // by line a name would be several keys
    assert_peers("a@a.go:1;f@f.go:2 5|a@a.go:2;f@f.go:3 4", "f", (struct kp_report_options){.by = KP_BY_LINE},
        HEAD("f") "\"total\":9,\"flat\":9,\"cum\":9,\"fromRoot\":0,"
                  "\"callers\":{\"leftOut\":0,\"rows\":[{\"name\":\"a\",\"file\":\"a.go\",\"value\":9}]},"
                  "\"callees\":{\"leftOut\":0,\"rows\":[]}}");
}

static void test_recursion(void **state)
{
    (void)state;
    assert_peers("f;f;g;f;g 5", "f", (struct kp_report_options){0},
        HEAD("f") "\"total\":5,\"flat\":0,\"cum\":5,\"fromRoot\":5,"
                  "\"callers\":{\"leftOut\":0,\"rows\":[{\"name\":\"g\",\"value\":5}]},"
                  "\"callees\":{\"leftOut\":0,\"rows\":[{\"name\":\"g\",\"value\":5}]}}");
}

static void test_options(void **state)
{
    (void)state;
    assert_peers("a;f 5|b;f 3|c;f 1", "f", (struct kp_report_options){.limit = 1, .ignore = "^b$"},
        HEAD("f") "\"total\":9,\"flat\":6,\"cum\":6,\"fromRoot\":0,"
                  "\"callers\":{\"leftOut\":1,\"rows\":[{\"name\":\"a\",\"value\":5}]},"
                  "\"callees\":{\"leftOut\":0,\"rows\":[]}}");
    char *json;
    struct kp_error err = {0};
    assert_int_equal(peers_of("a 1", "b", (struct kp_report_options){0}, &json, &err), KP_NOT_FOUND);
    assert_string_equal(json, "");
    assert_true(kp_starts_with(err.text, "no function 'b' in the profile"));
    kp_free(json);
}

// flat and cum are those of top, which agree with pprof.
static void test_corpus(void **state)
{
    (void)state;
    kp_auto_profile *profile = kp_load("etcd-cpu");
    struct kp_report_options o = {.limit = 40, .sort_cum = true};
    struct kp_top *top = NULL;
    assert_int_equal(kp_report_top(profile, &o, &top, NULL), 0);
    for (size_t i = 0; i < top->n; i++) {
        kp_auto_strbuf out;
        kp_strbuf_init(&out, 1 << 20);
        assert_int_equal(kp_report_peers(profile, &o, top->rows[i].name, &out, NULL), 0);
        kp_auto_free char *expected = kp_asprintf(
            "\"flat\":%lld,\"cum\":%lld,", (long long)top->rows[i].flat, (long long)top->rows[i].cum);
        assert_non_null(strstr(out.data, expected));
    }
    kp_top_free(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers),
        cmocka_unit_test(test_recursion),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_corpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
