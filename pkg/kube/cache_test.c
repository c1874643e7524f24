#include "kube/cache.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "kube/client.h"
#include "kube/failure.h"

#include "base/banned.h"

static int live;

static char *value(const char *text)
{
    live++;
    return kp_strdup(text);
}

static void unref(void *v)
{
    live--;
    kp_free(v);
}

struct gone {
    size_t n;
    char last[32];
};

static void on_gone(void *user, const char *key, void *v)
{
    struct gone *gone = user;
    gone->n++;
    assert_non_null(v);
    memcpy(gone->last, key, strlen(key) + 1);
}

static void test_put_and_sweep(void **state)
{
    (void)state;
    struct kp_cache *cache = kp_cache_create(unref);
    struct gone gone = {0};
    void *old = NULL;
    assert_true(kp_cache_put(cache, "a/x", "1", 1, value("one"), &old));
    assert_null(old);
    assert_false(kp_cache_put(cache, "a/x", "1", 2, value("same"), &old)); // a relist that brings nothing new
    assert_string_equal(kp_cache_get(cache, "a/x"), "one");
    assert_true(kp_cache_put(cache, "a/x", "2", 2, value("two"), &old));
    assert_string_equal(old, "one");
    unref(old);
    assert_true(kp_cache_put(cache, "a/y", "3", 1, value("y"), &old));
    assert_true(kp_cache_put(cache, "a/z", "", 2, value("z"), &old));
    assert_true(kp_cache_put(cache, "a/z", "", 2, value("z2"), &old)); // no version: taken as changed
    unref(old);
    assert_int_equal(kp_cache_count(cache), 3);
    assert_int_equal(kp_cache_sweep(cache, 2, on_gone, &gone), 1);
    assert_string_equal(gone.last, "a/y");
    assert_null(kp_cache_get(cache, "a/y"));
    old = kp_cache_remove(cache, "a/x");
    assert_string_equal(old, "two");
    unref(old);
    assert_null(kp_cache_remove(cache, "a/x"));
    assert_int_equal(kp_cache_count(cache), 1);
    kp_cache_destroy(cache);
    kp_cache_destroy(NULL);
    assert_int_equal(live, 0);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a-b", "a.b", "0", "checkout-7d9f-x.shop"};
    static const char *const bad[] = {"", "-a", "a-", ".a", "a.", "a..b", "a.-b", "a-.b", "A", "a/b", "..",
        "a%2f", "a b", "a?b", "\xC3\xA9"};
    for (size_t i = 0; i < KP_COUNT(good); i++)
        assert_true(kp_kube_name_valid(good[i]));
    for (size_t i = 0; i < KP_COUNT(bad); i++)
        assert_false(kp_kube_name_valid(bad[i]));
    assert_false(kp_kube_name_valid(NULL));
}

static const struct {
    int http_status;
    const char *body;
    int code, retry_after;
    const char *says;
} answers[] = {
    {403, "{\"kind\":\"Status\",\"message\":\"pods is forbidden\",\"reason\":\"Forbidden\",\"code\":403}",
        KP_DENIED, 0, "pods is forbidden"},
    {500, "{\"kind\":\"Status\",\"reason\":\"ServerTimeout\",\"details\":{\"retryAfterSeconds\":3}}",
        KP_UNAVAILABLE, 3, "ServerTimeout"},
    {409, "{\"kind\":\"Status\",\"message\":\"m\",\"reason\":\"AlreadyExists\"}", KP_CONFLICT, 0, "m"},
    {410, "{\"kind\":\"Status\",\"message\":\"m\",\"reason\":\"Expired\"}", KP_GONE, 0, "m"},
    {422, "{\"kind\":\"Status\",\"message\":\"m\",\"reason\":\"Unheard\"}", KP_INVALID, 0, "m"},
    {502, "<html>Bad gateway</html>", KP_UNAVAILABLE, 0, "GET /x: the API server answered 502"},
    {302, "", KP_INVALID, 0, "redirects are not followed"},
    {404, "404 page not found\n", KP_NOT_FOUND, 0, "CustomResourceDefinition"},
    {401, "{}", KP_UNAUTHENTICATED, 0, "401"},
    {429, "[]", KP_THROTTLED, 0, "429"},
    {504, "", KP_TIMEOUT, 0, "504"},
};

static void test_failures(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(answers); i++) {
        struct kp_error err = {0};
        int code = kp_failure_read(
            answers[i].http_status, answers[i].body, strlen(answers[i].body), "GET /x", 0, &err);
        assert_int_equal(code, answers[i].code);
        assert_int_equal(err.http_status, answers[i].http_status);
        assert_int_equal(err.retry_after_s, answers[i].retry_after);
        if (!strstr(err.text, answers[i].says))
            fail_msg("'%s' does not say '%s'", err.text, answers[i].says);
    }
    struct kp_error err = {0};
    const char expired[] =
        "{\"kind\":\"Status\",\"message\":\"too old\",\"reason\":\"Expired\",\"code\":410}";
    struct kp_watch_event event = {KP_WATCH_ERROR, KP_ENCODING_JSON, expired, sizeof expired - 1};
    assert_int_equal(kp_failure_read_event(&event, &err), KP_GONE);
    assert_int_equal(err.http_status, 410);
    kp_error_clear(&err);
    event.object = "nonsense";
    event.len = 8;
    assert_int_equal(kp_failure_read_event(&event, &err), KP_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_and_sweep),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
