// What is read of a request, without one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "api/aggregated.h"
#include "base/text.h"
#include "base/banned.h"

static void test_paths(void **state)
{
    (void)state;
    static const char *const ours[] = {"/apis", "/apis/", "/apis/x", "//apis/x", "/openapi/v2", "///openapi"};
    static const char *const others[] = {"", "/", "/api", "/apisx", "/api/v1/apis", "/x/apis", "/openapis"};
    static const char *const good[] = {
        "/apis", "/apis/a", "/apis/a/-/b", "/apis/a%41", "/apis/...", "/apis/a:b"};
    static const char *const bad[] = {"", "/", "apis", "/apis/", "//apis", "/apis//a", "/apis/.", "/apis/%2e",
        "/apis/..", "/apis/.%2E", "/apis/a%2Fb", "/apis/%2f", "/apis/%", "/apis/%0g", "/apis/%00",
        "/apis/a%0Ab", "/apis/%7F", "/apis/a/"};
    for (size_t i = 0; i < KP_COUNT(ours); i++)
        assert_true(kp_agg_is_path(ours[i]));
    for (size_t i = 0; i < KP_COUNT(others); i++)
        assert_false(kp_agg_is_path(others[i]));
    for (size_t i = 0; i < KP_COUNT(good); i++)
        assert_true(kp_agg_path_is_strict(good[i]));
    for (size_t i = 0; i < KP_COUNT(bad); i++)
        if (kp_agg_path_is_strict(bad[i]))
            fail_msg("'%s' was taken", bad[i]);
}

static void test_accept(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        int form; // -1 = none
        bool beta;
    } rows[] = {
        {NULL, KP_AGG_OBJECT, false},
        {"", KP_AGG_OBJECT, false},
        {" ", KP_AGG_OBJECT, false},
        {"*/*", KP_AGG_OBJECT, false},
        {"application/*;q=0.8", KP_AGG_OBJECT, false},
        {"application/json", KP_AGG_OBJECT, false},
        {"application/json;as=Table;v=v1;g=meta.k8s.io", KP_AGG_TABLE, false},
        {"application/json; as = Table ; g=meta.k8s.io;v=v1beta1 , application/json", KP_AGG_TABLE, true},
        {"application/json;as=Table;g=meta.k8s.io;v=v2,application/json", KP_AGG_OBJECT, false},
        {"application/json;as=Table;g=other;v=v1", -1, false},
        {"application/json;as=Chair;g=meta.k8s.io;v=v1,*/*", KP_AGG_OBJECT, false},
        {"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,"
         "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
            KP_AGG_METADATA, false},
        {"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", KP_AGG_METADATA, false},
        {"application/json;q=0,*/*", KP_AGG_OBJECT, false},
        {"application/json;q=0.0", -1, false},
        {"text/html", -1, false},
        {"application/yaml,application/vnd.kubernetes.protobuf", -1, false},
        {",;=,;;==,", -1, false},
        {"application/json;as=TableTableTableTableTableTableTableTableTableTableTableTableTable;"
         "g=meta.k8s.io;v=v1",
            KP_AGG_OBJECT, false},
    };
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_agg_accept accept;
        struct kp_error err = {0};
        int rc = kp_agg_accept_parse(rows[i].accept, &accept, &err);
        if ((rc == 0) != (rows[i].form >= 0) ||
            (rc == 0 && (accept.form != (enum kp_agg_form)rows[i].form || accept.beta != rows[i].beta)))
            fail_msg("'%s': %d, form %d", rows[i].accept, rc, (int)accept.form);
    }
    assert_true(kp_agg_wants_discovery(
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"));
    assert_false(
        kp_agg_wants_discovery("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"));
    assert_false(kp_agg_wants_discovery("application/json"));
    assert_false(kp_agg_wants_discovery(NULL));
}

static void test_watch(void **state)
{
    (void)state;
    static const char *const yes[] = {"true", "1", "", "yes", "t", "no", "00"};
    static const char *const no[] = {"false", "0", "FALSE", NULL};
    for (size_t i = 0; i < KP_COUNT(yes); i++)
        assert_true(kp_agg_is_watch(yes[i]));
    for (size_t i = 0; i < KP_COUNT(no); i++)
        assert_false(kp_agg_is_watch(no[i]));
}

static void test_ages(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {{-5, "0s"}, {0, "0s"}, {119, "119s"}, {120, "2m"}, {125, "2m5s"}, {599, "9m59s"},
        {600, "10m"}, {10799, "179m"}, {10800, "3h"}, {10860, "3h1m"}, {28800, "8h"}, {172799, "47h"},
        {172800, "2d"}, {176400, "2d1h"}, {691200, "8d"}, {63071999, "729d"}, {63072000, "2y0d"}};
    char text[KP_AGG_AGE_TEXT];
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        assert_string_equal(kp_agg_age(text, rows[i].seconds * 1000), rows[i].text);
    (void)kp_agg_age(text, INT64_MAX);
    (void)kp_agg_age(text, INT64_MIN);
}

static void test_uids_follow_from_names(void **state)
{
    (void)state;
    char a[KP_AGG_UID_TEXT];
    char b[KP_AGG_UID_TEXT];
    kp_agg_uid(a, "x");
    kp_agg_uid(b, "x");
    assert_string_equal(a, b);
    assert_int_equal(strlen(a), 36);
    assert_int_equal(a[14], '8');
    kp_agg_uid(b, "y");
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_ages),
        cmocka_unit_test(test_uids_follow_from_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
