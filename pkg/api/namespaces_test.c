// The controller tells when namespaces were created: what is older than one of the same name is gone.
#include "api/scope_fixture.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/banned.h"

static int post(struct bench *b, const char *user, const char *body)
{
    kp_auto_free char *auth = kp_asprintf("Authorization: Bearer %s", user);
    const char *const headers[] = {"Content-Type: application/json", auth, NULL};
    bench_request(b, "POST", "/api/v1/namespaces", headers, body, strlen(body), &answer);
    return answer.status;
}

static int post_one(struct bench *b, const char *name, int64_t created_ms)
{
    char time[KP_TIME_TEXT];
    kp_auto_free char *body = kp_asprintf(
        "{\"items\":[{\"name\":\"%s\",\"created\":\"%s\"}]}", name, kp_time_format(time, created_ms));
    return post(b, "writer", body);
}

static size_t n_of(struct bench *b, const char *namespace)
{
    kp_auto_free char *path = kp_asprintf("/api/v1/profiles?namespace=%s", namespace);
    size_t n = 0;
    ask(b, "cluster-viewer", "GET", path);
    assert_int_equal(answer.status, 200);
    for (const char *p = answer.body; (p = strstr(p, "\"id\":")) != NULL; p++)
        n++;
    return n;
}

static void test_what_is_older_is_gone(void **state)
{
    (void)state;
    struct bench *b = start(false);
    int64_t now_ms = kp_now_ms();
    assert_int_equal(post(b, "writer", "{\"items\":[]}"), 204);
    assert_int_equal(post_one(b, "zshop", START - 1000), 204); // older than all of it
    assert_int_equal(post_one(b, "nowhere", START), 204);
    assert_int_equal(n_of(b, "zshop"), 3);
    assert_int_equal(post_one(b, "zshop", START + 60000), 204); // one capture began before
    assert_int_equal(n_of(b, "zshop"), 2);
    assert_int_equal(post_one(b, "zshop", START), 204); // nothing new
    assert_int_equal(n_of(b, "zshop"), 2);
    assert_int_equal(n_of(b, "zpay"), 3);
    // made an hour from now, says a clock that runs ahead: what comes from now on stays
    assert_int_equal(post_one(b, "zpay", now_ms + 3600000), 204);
    assert_int_equal(n_of(b, "zpay"), 0);
    stop(b);
}

static void test_several_go_with_one_write(void **state)
{
    (void)state;
    struct bench *b = start(false);
    int watch = kp_test_watch_moves(b->dir);
    assert_int_equal(post(b, "writer",
                         "{\"items\":[{\"name\":\"zshop\",\"created\":\"2036-01-01T00:00:00Z\"},"
                         "{\"name\":\"zpay\",\"created\":\"2036-01-01T00:00:00Z\"},"
                         "{\"name\":\"young\",\"created\":\"2036-01-01T00:00:00Z\"}]}"),
        204);
    assert_int_equal(kp_test_count_moves(watch, "forgotten"), 1);
    close(watch);
    assert_int_equal(n_of(b, "zshop") + n_of(b, "zpay"), 0);
    stop(b);
}

// What was taken in the namespace before and comes late.
static void test_nothing_older_comes_later(void **state)
{
    (void)state;
    struct bench *b = start(false);
    int64_t now_ms = kp_now_ms();
    assert_int_equal(post_one(b, "young", now_ms - 1000), 204);
    kp_auto_free char *named = kp_strdup("young");
    struct kp_append append = {0};
    struct kp_record r;
    kp_record_init(&r);
    r.service = kp_strdup("api");
    r.type = kp_strdup("cpu");
    r.format = kp_strdup("trace");
    r.namespace = kp_take(named);
    r.start_ms = now_ms - 60000;
    append.record = &r;
    append.body = kp_blob_copy("x", 1);
    kp_store_append(b->store, &append, 1);
    assert_int_equal(n_of(b, "young"), 0);
    kp_blob_unref(append.body);
    kp_record_finish(&r);
    stop(b);
}

static void test_what_is_wrong_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *body, *part;
    } rows[] = {
        {"", "not JSON"},
        {"[", "not JSON"},
        {"[]", "the body is not {"},
        {"{\"items\":{}}", "the body is not {"},
        {"{\"items\":[1]}", "items[0]: name"},
        {"{\"items\":[{\"name\":\"\"}]}", "items[0]: name"},
        {"{\"items\":[{\"name\":\"a/b\",\"created\":\"2026-01-01T00:00:00Z\"}]}", "items[0]: name"},
        {"{\"items\":[{\"name\":\"a\"}]}", "created: of namespace 'a'"},
        {"{\"items\":[{\"name\":\"a\",\"created\":\"yesterday\"}]}", "created: of namespace 'a'"},
        {"{\"items\":[{\"name\":\"a\",\"name\":\"b\",\"created\":\"2026-01-01T00:00:00Z\"}]}", "not JSON"},
    };
    struct bench *b = start(false);
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        assert_int_equal(post(b, "writer", rows[i].body), 400);
        if (strstr(answer.body, rows[i].part) == NULL)
            fail_msg("'%s': %s", rows[i].body, answer.body);
    }
    assert_int_equal(post(b, "shop-viewer", "{\"items\":[]}"), 403);
    struct kp_strbuf many;
    kp_strbuf_init(&many, 1 << 20);
    kp_strbuf_adds(&many, "{\"items\":[{\"name\":\"a\",\"created\":\"2026-01-01T00:00:00Z\"}");
    for (int i = 0; i < 5000; i++)
        kp_strbuf_adds(&many, ",{\"name\":\"a\",\"created\":\"2026-01-01T00:00:00Z\"}");
    kp_strbuf_adds(&many, "]}");
    assert_int_equal(post(b, "writer", many.data), 400);
    assert_non_null(strstr(answer.body, "5001 namespaces"));
    kp_strbuf_finish(&many);
    stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_older_is_gone),
        cmocka_unit_test(test_several_go_with_one_write),
        cmocka_unit_test(test_nothing_older_comes_later),
        cmocka_unit_test(test_what_is_wrong_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
