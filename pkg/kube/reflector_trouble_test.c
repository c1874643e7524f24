#include "kube/reflector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kube/reflector_fixture.h"

#include "base/banned.h"

// ---- trouble ----

// A list that meets trouble, then a good one.
static void trouble_with(
    const struct peer_step *bad, const struct kp_reflector_tuning *tuning, int code, const char *says)
{
    struct peer_step steps[] = {
        *bad,
        {"resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 200, NULL, "", 0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), tuning);
    run_until(&f, "!", 3);
    if (f.trouble.code != code || !strstr(f.trouble.text, says))
        fail_msg("trouble %d '%s'", f.trouble.code, f.trouble.text);
    assert_int_equal(f.n_troubles, 1);
    assert_non_null(strstr(f.log.data, ". !"));
    assert_null(kp_reflector_trouble(f.reflector));
    end(&f);
}

static void test_troubles(void **state)
{
    (void)state;
    static const struct peer_step bad[] = {
        {"resourceVersion=0 ", 403, NULL, STATUS(403, "Forbidden"), 0, 0, PEER_WHOLE},
        {"resourceVersion=0 ", 500, NULL, STATUS(500, "InternalError"), 0, 0, PEER_WHOLE},
        {"resourceVersion=0 ", 502, NULL, "<html>bad gateway</html>", 0, 0, PEER_WHOLE},
        {"resourceVersion=0 ", 200, NULL, "<html>hello</html>", 0, 0, PEER_WHOLE},
        {"resourceVersion=0 ", 302, "Location: http://127.0.0.1:1/\r\n", "", 0, 0, PEER_WHOLE},
        {"resourceVersion=0 ", 404, NULL, "404 page not found\n", 0, 0, PEER_WHOLE},
        {"resourceVersion=0 ", 200, NULL, "{\"items\":[" POD("a", "5") ",", 0, 0, PEER_CHUNKED},
        {"resourceVersion=0 ", 200, NULL, "{\"items\":[],\"metadata\":{}}", 0, 0, PEER_WHOLE},
    };
    static const struct {
        int code;
        const char *says;
    } expected[] = {
        {KP_DENIED, "because Forbidden"},
        {KP_UNAVAILABLE, "because InternalError"},
        {KP_UNAVAILABLE, "GET /api/v1/pods: the API server answered 502"},
        {KP_INVALID, "not what an API server sends"},
        {KP_INVALID, "redirects are not followed"},
        {KP_NOT_FOUND, "CustomResourceDefinition"},
        {KP_NETWORK, "broke off"},
        {KP_INVALID, "no resourceVersion"},
    };
    for (size_t i = 0; i < KP_COUNT(bad); i++)
        trouble_with(&bad[i], &classic, expected[i].code, expected[i].says);
}

static void test_oversized_object(void **state)
{
    (void)state;
    char *big = kp_alloc(5000);
    memset(big, 'x', 4999);
    big[4999] = '\0';
    kp_auto_free char *body = kp_asprintf("{\"items\":[{\"metadata\":{\"name\":\"%s\"}}]}", big);
    kp_free(big);
    struct kp_reflector_tuning tuning = classic;
    struct peer_step bad = {"resourceVersion=0 ", 200, NULL, body, 0, 100, PEER_CHUNKED};
    tuning.max_object = 1000;
    trouble_with(&bad, &tuning, KP_LIMIT, "larger than 1000 bytes");
}

static void test_throttled(void **state)
{
    (void)state;
    struct peer_step bad = {
        "resourceVersion=0 ", 429, "Retry-After: 1\r\n", STATUS(429, "TooManyRequests"), 0, 0, PEER_WHOLE};
    int64_t began = kp_mono_ms();
    trouble_with(&bad, &classic, KP_THROTTLED, "because TooManyRequests");
    assert_true(kp_mono_ms() - began >= 1000);
}

static void test_silent_watch_is_given_up(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 200, NULL, BOOKMARK("21"), 0, 0, PEER_HOLD},
        {"resourceVersion=21&", 200, NULL, ADDED("b", "22"), 0, 0, PEER_HOLD},
    };
    struct kp_reflector_tuning tuning = classic;
    struct fixture f;
    tuning.idle_ms = 300;
    begin(&f, steps, KP_COUNT(steps), &tuning);
    run_until(&f, "+b", 3);
    assert_string_equal(f.log.data, "+a ! +b ");
    assert_int_equal(f.n_troubles, 0);
    end(&f);
}

// A server that ends every watch at once is asked again in ever longer intervals.
static void test_short_watches(void **state)
{
    (void)state;
    struct peer_step steps[40] = {
        {"resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0, PEER_WHOLE},
    };
    for (size_t i = 1; i < KP_COUNT(steps); i++)
        steps[i] = (struct peer_step){"resourceVersion=20&", 200, NULL, BOOKMARK("20"), 0, 0, PEER_CHUNKED};
    struct kp_reflector_tuning tuning = classic;
    struct fixture f;
    bool never = false;
    tuning.first_backoff_ms = 200;
    tuning.max_backoff_ms = 5000;
    begin(&f, steps, KP_COUNT(steps), &tuning);
    (void)kp_loop_run_until(f.loop, &never, 1000);
    assert_in_range(peer_seen(f.peer), 5, 10);
    end(&f);
}

static void test_cache_stands_while_the_server_is_away(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 200, NULL, "", 0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &classic);
    run_until(&f, "!", 2);
    kp_auto_free char *failure = peer_stop(f.peer);
    assert_null(failure);
    f.peer = NULL;
    bool never = false;
    for (int i = 0; i < 200 && f.n_troubles == 0; i++)
        (void)kp_loop_run_until(f.loop, &never, 20);
    assert_int_equal(f.trouble.code, KP_NETWORK);
    assert_int_equal(f.n_troubles, 1);
    assert_non_null(kp_reflector_trouble(f.reflector));
    assert_int_equal(kp_reflector_count(f.reflector), 1);
    assert_true(kp_reflector_synced(f.reflector));
    end(&f);
}

static void test_server_cannot_be_reached(void **state)
{
    (void)state;
    struct peer *peer = peer_start(NULL, 0);
    char server[64];
    snprintf(server, sizeof server, "http://127.0.0.1:%d", peer->port);
    assert_null(peer_stop(peer));
    struct fixture f;
    memset(&f, 0, sizeof f);
    begin_at(&f, server, &quick);
    bool never = false;
    for (int i = 0; i < 200 && f.n_troubles == 0; i++)
        (void)kp_loop_run_until(f.loop, &never, 20);
    assert_int_equal(f.trouble.code, KP_NETWORK);
    assert_false(kp_reflector_synced(f.reflector));
    end(&f);
}

static void test_unreadable_objects_are_left_out(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"resourceVersion=0 ", 200, NULL,
            LIST("20", "", "{\"metadata\":{}}," POD("a", "5") ",{\"metadata\":7}"), 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 200, NULL, EVENT("ADDED", "{}") ADDED("b", "21"), 0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &classic);
    run_until(&f, "+b", 2);
    assert_string_equal(f.log.data, "+a ! +b ");
    struct kp_strbuf out;
    kp_strbuf_init(&out, 1 << 20);
    kp_metrics_write(f.metrics, &out);
    assert_non_null(strstr(out.data, "kube_pprof_watch_unreadable_objects_total{resource=\"pods\"} 3"));
    assert_non_null(strstr(out.data, "kube_pprof_watch_relists_total{resource=\"pods\",reason=\"start\"} 1"));
    kp_strbuf_finish(&out);
    end(&f);
}

static void test_unreadable_watch_is_listed_again(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 200, NULL, EVENT("SURPRISE", "{}"), 0, 0, PEER_CHUNKED},
        {"/pods?resourceVersion=20 ", 200, NULL, LIST("30", "", POD("a", "5")), 0, 0, PEER_WHOLE},
        {"resourceVersion=30&", 200, NULL, ADDED("b", "31"), 0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &classic);
    run_until(&f, "+b", 4);
    assert_string_equal(f.log.data, "+a ! . +b ");
    assert_non_null(strstr(f.trouble.text, "SURPRISE"));
    end(&f);
}

static void test_destroyed_from_its_own_callback(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"sendInitialEvents", 200, NULL, ADDED("a", "5") ADDED("b", "6") SYNCED("9"), 0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &quick);
    f.destroy_on_change = true;
    run_until(&f, "+a", 1);
    assert_string_equal(f.log.data, "+a ");
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_troubles),
        cmocka_unit_test(test_oversized_object),
        cmocka_unit_test(test_throttled),
        cmocka_unit_test(test_silent_watch_is_given_up),
        cmocka_unit_test(test_short_watches),
        cmocka_unit_test(test_cache_stands_while_the_server_is_away),
        cmocka_unit_test(test_server_cannot_be_reached),
        cmocka_unit_test(test_unreadable_objects_are_left_out),
        cmocka_unit_test(test_unreadable_watch_is_listed_again),
        cmocka_unit_test(test_destroyed_from_its_own_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
