#include "kube/reflector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "kube/reflector_fixture.h"
#include "testkit/testkit.h"

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

// The same of a watch: the cache stands, and what is known is not asked for again.
static void test_watch_refused(void **state)
{
    (void)state;
    static const struct peer_step bad[] = {
        {"resourceVersion=20&", 403, NULL, STATUS(403, "Forbidden"), 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 500, NULL, STATUS(500, "InternalError"), 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 503, NULL, "<html>sorry</html>", 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 302, "Location: /api/v1/pods\r\n", "", 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 404, NULL, "404 page not found\n", 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 401, NULL, STATUS(401, "Unauthorized"), 0, 0, PEER_WHOLE},
    };
    for (size_t i = 0; i < KP_COUNT(bad); i++) {
        const struct peer_step steps[] = {
            {"resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0, PEER_WHOLE},
            bad[i],
            {"resourceVersion=20&", 200, NULL, ADDED("b", "21"), 0, 0, PEER_HOLD},
        };
        struct fixture f;
        begin(&f, steps, KP_COUNT(steps), &classic);
        run_until(&f, "+b", 3);
        assert_string_equal(f.log.data, "+a ! . +b ");
        assert_int_equal(f.n_troubles, 1);
        end(&f);
    }
}

// Whoever answers with a redirect does not learn our token, and where it leads gets nothing.
static void test_redirects_are_not_followed(void **state)
{
    (void)state;
    struct peer *elsewhere = peer_start(NULL, 0);
    kp_auto_free char *location =
        kp_asprintf("Location: http://127.0.0.1:%d/api/v1/pods\r\n", elsewhere->port);
    const struct peer_step steps[] = {
        {"resourceVersion=0 ", 307, location, "", 0, 0, PEER_WHOLE},
        {"resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 301, location, "", 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 200, NULL, ADDED("b", "21"), 0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &classic);
    run_until(&f, "+b", 4);
    assert_int_equal(f.n_troubles, 2);
    end(&f);
    assert_int_equal(peer_seen(elsewhere), 0);
    kp_auto_free char *failure = peer_stop(elsewhere);
    assert_null(failure);
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

// An API server that refuses everybody is asked when it said, not sooner, by lists and by watches.
static void test_storm_of_refusals(void **state)
{
    (void)state;
    struct peer_step steps[40] = {
        {"resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0, PEER_WHOLE},
    };
    for (size_t i = 1; i < KP_COUNT(steps); i++)
        steps[i] = (struct peer_step){
            NULL, 429, "Retry-After: 1\r\n", STATUS(429, "TooManyRequests"), 0, 0, PEER_WHOLE};
    steps[5] = (struct peer_step){"resourceVersion=20&", 200, NULL, ADDED("b", "21"), 0, 0, PEER_HOLD};
    struct fixture f;
    int64_t began = kp_mono_ms();
    begin(&f, steps, KP_COUNT(steps), &classic);
    run_until(&f, "+b", 6);
    assert_true(kp_mono_ms() - began >= 4000); // four refusals, a second each
    assert_string_equal(f.log.data, "+a ! . +b ");
    assert_int_equal(f.n_troubles, 1); // the same words are no news
    end(&f);
}

// Errors without a word of when to come back: ever longer intervals.
static void test_storm_of_errors(void **state)
{
    (void)state;
    struct peer_step steps[40] = {
        {"resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0, PEER_WHOLE},
    };
    for (size_t i = 1; i < KP_COUNT(steps); i++)
        steps[i] = (struct peer_step){NULL, 500, NULL, STATUS(500, "InternalError"), 0, 0, PEER_WHOLE};
    struct kp_reflector_tuning tuning = classic;
    struct fixture f;
    bool never = false;
    tuning.first_backoff_ms = 200;
    tuning.max_backoff_ms = 5000;
    begin(&f, steps, KP_COUNT(steps), &tuning);
    (void)kp_loop_run_until(f.loop, &never, 2000);
    // at the earliest after 0.2, 0.6, 1.4 s
    assert_in_range(peer_seen(f.peer), 2, 5);
    assert_int_equal(kp_reflector_count(f.reflector), 1);
    end(&f);
}

// Slow is not silent: a list that takes longer than a silence may, and one that stops in the middle.
static void test_slow_list(void **state)
{
    (void)state;
    static const char list[] = LIST("20", "", POD("a", "5") "," POD("b", "6") "," POD("c", "7"));
    static const struct peer_step steps[] = {
        {"resourceVersion=0 ", 200, NULL, list, 100, 0, PEER_HOLD},
        {"resourceVersion=0 ", 200, NULL, list, 0, sizeof list / 20, PEER_SLOW},
        {"resourceVersion=20&", 200, NULL, ADDED("d", "21"), 0, 0, PEER_HOLD},
    };
    struct kp_reflector_tuning tuning = classic;
    struct fixture f;
    tuning.idle_ms = 1000;
    begin(&f, steps, KP_COUNT(steps), &tuning);
    run_until(&f, "+d", 3);
    assert_string_equal(f.log.data, "+a +b +c . ! +d ");
    assert_int_equal(f.n_troubles, 1);
    assert_int_equal(f.trouble.code, KP_TIMEOUT);
    if (!strstr(f.trouble.text, "/api/v1/pods: ") || !strstr(f.trouble.text, "no byte for"))
        fail_msg("'%s'", f.trouble.text);
    end(&f);
}

// The initial events of a WatchList that fall silent are asked for again.
static void test_silent_watch_list_is_given_up(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"sendInitialEvents", 200, NULL, ADDED("a", "5"), 0, 0, PEER_HOLD},
        {"sendInitialEvents", 200, NULL, ADDED("a", "5") ADDED("b", "6") SYNCED("9"), 0, 0, PEER_HOLD},
    };
    struct kp_reflector_tuning tuning = quick;
    struct fixture f;
    tuning.idle_ms = 300;
    begin(&f, steps, KP_COUNT(steps), &tuning);
    run_until(&f, "!", 2);
    assert_string_equal(f.log.data, "+a +b . ! ");
    end(&f);
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

// One that was away for long and comes back, not ready yet, is asked again soon.
static void test_back_but_not_ready(void **state)
{
    (void)state;
    static const struct peer_step gone = {NULL, 0, NULL, NULL, 0, 0, PEER_DROP};
    const struct peer_step steps[] = {gone, gone, gone, gone, gone, gone,
        {NULL, 429, NULL, STATUS(429, "TooManyRequests"), 0, 0, PEER_WHOLE},
        {"resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 200, NULL, "", 0, 0, PEER_HOLD}};
    struct kp_reflector_tuning tuning = classic;
    struct fixture f;
    tuning.first_backoff_ms = 50;
    tuning.max_backoff_ms = 60000;
    begin(&f, steps, KP_COUNT(steps), &tuning);
    run_until(&f, NULL, 7);
    int64_t began = kp_mono_ms();
    run_until(&f, "!", 9);
    assert_true(kp_mono_ms() - began < 2000); // the seventh wait in a row would be 3.2 s and more
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

// A token that was replaced is read again without a word; one that is refused all the same is trouble.
static void test_token_is_read_again(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"Authorization: Bearer old\r\n", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0, PEER_WHOLE},
        {"Authorization: Bearer old\r\n", 401, NULL, STATUS(401, "Unauthorized"), 0, 0, PEER_WHOLE},
        {"Authorization: Bearer new\r\n", 200, NULL, ADDED("b", "21"), 0, 0, PEER_CUT},
        {"Authorization: Bearer new\r\n", 401, NULL, STATUS(401, "Unauthorized"), 0, 0, PEER_WHOLE},
        {"Authorization: Bearer new\r\n", 401, NULL, STATUS(401, "Unauthorized"), 0, 0, PEER_WHOLE},
        {"Authorization: Bearer new\r\n", 200, NULL, ADDED("c", "22"), 0, 0, PEER_HOLD},
    };
    char *dir = kp_test_tmpdir();
    kp_auto_free char *path = kp_asprintf("%s/token", dir);
    struct fixture f;
    memset(&f, 0, sizeof f);
    f.peer = peer_start(steps, KP_COUNT(steps));
    kp_auto_free char *server = kp_asprintf("http://127.0.0.1:%d", f.peer->port);
    assert_int_equal(kp_file_write_atomic(path, "old\n", 4, 0600, NULL), KP_OK);
    f.token_file = path;
    f.next_token = "new\n";
    begin_as(&f, &(struct kp_kube_config){.server = server, .token_file = path}, &classic);
    run_until(&f, "+c", 6);
    assert_string_equal(f.log.data, "+a ! +b . +c ");
    assert_int_equal(f.n_troubles, 1);
    assert_int_equal(f.trouble.code, KP_UNAUTHENTICATED);
    end(&f);
    kp_test_rmdir(dir);
}

// An object of 1 MiB, in a list and in a watch.
static void test_large_object(void **state)
{
    (void)state;
    char *big = kp_alloc((1 << 20) + 1);
    memset(big, 'x', 1 << 20);
    big[1 << 20] = '\0';
#define LARGE(version)                                                                                       \
    "{\"metadata\":{\"name\":\"big\",\"namespace\":\"n\",\"resourceVersion\":\"" version                     \
    "\",\"annotations\":{\"a\":\"%s\"}}}"
    kp_auto_free char *list =
        kp_asprintf(LIST("20", "", POD("a", "5") "," LARGE("6") "," POD("b", "7")), big);
    kp_auto_free char *watch = kp_asprintf(EVENT("MODIFIED", LARGE("21")) ADDED("c", "22"), big);
    kp_free(big);
    const struct peer_step steps[] = {
        {"resourceVersion=0 ", 200, NULL, list, 0, 10007, PEER_CHUNKED},
        {"resourceVersion=20&", 200, NULL, watch, 0, 10007, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &classic);
    run_until(&f, "+c", 2);
    assert_string_equal(f.log.data, "+a +big +b ! =big +c ");
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
        cmocka_unit_test(test_watch_refused),
        cmocka_unit_test(test_redirects_are_not_followed),
        cmocka_unit_test(test_oversized_object),
        cmocka_unit_test(test_throttled),
        cmocka_unit_test(test_storm_of_refusals),
        cmocka_unit_test(test_storm_of_errors),
        cmocka_unit_test(test_slow_list),
        cmocka_unit_test(test_silent_watch_list_is_given_up),
        cmocka_unit_test(test_silent_watch_is_given_up),
        cmocka_unit_test(test_short_watches),
        cmocka_unit_test(test_cache_stands_while_the_server_is_away),
        cmocka_unit_test(test_server_cannot_be_reached),
        cmocka_unit_test(test_back_but_not_ready),
        cmocka_unit_test(test_unreadable_objects_are_left_out),
        cmocka_unit_test(test_unreadable_watch_is_listed_again),
        cmocka_unit_test(test_token_is_read_again),
        cmocka_unit_test(test_large_object),
        cmocka_unit_test(test_destroyed_from_its_own_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
