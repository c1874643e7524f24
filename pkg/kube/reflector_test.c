#include "kube/reflector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kube/reflector_fixture.h"
#include "testkit/testkit.h"

#include "base/banned.h"

// ---- WatchList ----

static void test_watch_list(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET /api/v1/pods?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&"
         "resourceVersionMatch=NotOlderThan&resourceVersion=&timeoutSeconds=",
            200, NULL,
            ADDED("b", "7") ADDED("a", "5") SYNCED("9") EVENT("MODIFIED", POD("a", "10"))
                EVENT("DELETED", POD("b", "11")) BOOKMARK("12"),
            0, 10, PEER_CHUNKED},
        {"watch=1&allowWatchBookmarks=true&resourceVersion=12&timeoutSeconds=", 200, NULL, ADDED("c", "13"),
            0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &quick);
    assert_false(kp_reflector_synced(f.reflector));
    assert_int_equal(kp_reflector_state(f.reflector), KP_REFLECTOR_LISTING);
    run_until(&f, "+c", 2);
    assert_string_equal(f.log.data, "+b +a ! =a -b +c ");
    assert_int_equal(kp_reflector_count(f.reflector), 2);
    assert_non_null(kp_reflector_get(f.reflector, "n/a"));
    assert_null(kp_reflector_get(f.reflector, "n/b"));
    assert_true(kp_reflector_synced(f.reflector));
    assert_int_equal(kp_reflector_state(f.reflector), KP_REFLECTOR_WATCHING);
    assert_null(kp_reflector_trouble(f.reflector));
    assert_true(kp_reflector_last_event_mono_ms(f.reflector) > 0);
    assert_non_null(strstr(f.peer->seen[0], "Authorization: Bearer secret"));
    assert_null(strcasestr(f.peer->seen[0], "Accept-Encoding"));
    end(&f);
}

static void ask_until(struct fixture *f, size_t seen)
{
    kp_reflector_ask(f->reflector);
    kp_reflector_ask(f->reflector); // one at a time
    run_until(f, NULL, seen);
    kp_loop_run_until(f->loop, &(const bool){false}, 100);
}

// A bookmark of a second watch is as good as one of the first; an event is not, nor is anything else.
static void test_asked_where_nothing_happens(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"sendInitialEvents", 200, NULL, ADDED("a", "5") SYNCED("9"), 0, 0, PEER_HOLD},
        {"GET /api/v1/pods?limit=1&fieldSelector=metadata.name%3Dnone ", 200, NULL, LIST("12", "", ""), 0, 0,
            PEER_WHOLE},
        {"GET /api/v1/pods?watch=1&resourceVersion=9&allowWatchBookmarks=true&timeoutSeconds=4 ", 200, NULL,
            BOOKMARK("12"), 0, 3, PEER_HOLD},
        {"limit=1", 200, NULL, LIST("13", "", ""), 0, 0, PEER_WHOLE},
        {"timeoutSeconds=4 ", 200, NULL, EVENT("DELETED", POD("a", "10")) BOOKMARK("13"), 0, 0, PEER_HOLD},
        {"limit=1", 200, NULL, LIST("13", "", ""), 0, 0, PEER_WHOLE},
        {"timeoutSeconds=4 ", 410, NULL, STATUS(410, "Expired"), 0, 0, PEER_WHOLE},
        {"limit=1", 403, NULL, STATUS(403, "Forbidden"), 0, 0, PEER_WHOLE},
        {"limit=1", 200, NULL, LIST("9", "", ""), 0, 0, PEER_WHOLE}, // nothing at all happened
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &quick);
    kp_reflector_ask(f.reflector); // not in step yet
    run_until(&f, "!", 1);
    int64_t at = kp_reflector_last_event_mono_ms(f.reflector);
    kp_loop_run_until(f.loop, &(const bool){false}, 5);
    ask_until(&f, 3);
    int64_t asked = kp_reflector_last_event_mono_ms(f.reflector);
    assert_true(asked > at);
    for (size_t seen = 5; seen <= 8; seen += seen == 7 ? 1 : 2) {
        ask_until(&f, seen);
        assert_int_equal(kp_reflector_last_event_mono_ms(f.reflector), asked);
    }
    ask_until(&f, 9);
    assert_true(kp_reflector_last_event_mono_ms(f.reflector) > asked);
    assert_string_equal(f.log.data, "+a ! "); // the cache is the first watch's
    assert_null(kp_reflector_trouble(f.reflector));
    end(&f);
}

// Wherever a WatchList breaks, nothing is lost, nothing is thought gone, and the next one makes it whole.
static void test_watch_list_cut_at_every_byte(void **state)
{
    (void)state;
    static const char stream[] = ADDED("a", "5") ADDED("b", "7") SYNCED("9") EVENT("DELETED", POD("b", "11"));
    static const char again[] = ADDED("a", "5") SYNCED("20");
    for (size_t cut = 0; cut < sizeof stream; cut++) {
        struct peer_step steps[] = {
            {"sendInitialEvents", 200, NULL, stream, cut, 0, PEER_CUT},
            {"watch=1", 200, NULL, "", 0, 0, PEER_HOLD},
        };
        bool synced = strstr(stream, "initial") && cut >= (size_t)(strstr(stream, "\"DELETED") - stream) - 9;
        bool deleted = cut >= sizeof stream - 2;
        if (!synced) {
            steps[1].body = again;
        } else if (!deleted) {
            steps[1].expect = "resourceVersion=9&";
            steps[1].body = EVENT("DELETED", POD("b", "11"));
        } else {
            steps[1].expect = "resourceVersion=11&";
            steps[1].body = ADDED("c", "12");
        }
        if (cut == 0)
            steps[0].body = "";
        struct fixture f;
        begin(&f, steps, KP_COUNT(steps), &quick);
        run_until(&f, "!", 2);
        run_until(&f, deleted ? "+c" : "!", 2);
        if (synced)
            run_until(&f, "-b", 2);
        if (kp_reflector_count(f.reflector) != (deleted ? 2 : 1) || !kp_reflector_get(f.reflector, "n/a") ||
            strstr(f.log.data, "-a"))
            fail_msg("cut at %zu: '%s'", cut, f.log.data);
        end(&f);
    }
}

static void test_recorded_pods(void **state)
{
    (void)state;
    size_t len = 0;
    kp_auto_free char *body = kp_test_read_file(KP_TESTDATA "/watchlist.pods.json", &len);
    struct peer_step steps[] = {{"sendInitialEvents", 200, NULL, body, len, 1000, PEER_HOLD}};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &quick);
    kp_reflector_destroy(f.reflector);
    f.reflector = NULL;
    end(&f);

    begin(&f, steps, KP_COUNT(steps), &quick);
    run_until(&f, "-lone", 1);
    assert_int_equal(kp_reflector_count(f.reflector), 2);
    end(&f);
}

// ---- falling back ----

static void test_fallback_is_remembered(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        REFUSED,
        {"GET /api/v1/pods?limit=2&resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0,
            PEER_WHOLE},
        {"watch=1&allowWatchBookmarks=true&resourceVersion=20&", 200, NULL, ADDED("b", "21"), 0, 0,
            PEER_HOLD},
        {"limit=2&resourceVersion=0 ", 200, NULL, LIST("22", "", ""), 0, 0, PEER_WHOLE},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &quick);
    run_until(&f, "+b", 3);
    assert_string_equal(f.log.data, "+a ! +b ");
    assert_int_equal(f.n_troubles, 0);
    struct kp_reflector *second = make_reflector(&f, &quick);
    kp_reflector_start(second);
    run_until(&f, NULL, 4);
    kp_reflector_destroy(second);
    end(&f);
}

static void test_fallback_on_error_event(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"sendInitialEvents", 200, NULL, EVENT("ERROR", STATUS(500, "InternalError")), 0, 0, PEER_CHUNKED},
        {"limit=2&resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0, PEER_CHUNKED},
        {"resourceVersion=20", 200, NULL, "", 0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &quick);
    run_until(&f, "!", 3);
    assert_string_equal(f.log.data, "+a ! ");
    end(&f);
}

static void test_ended_before_it_was_complete(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"sendInitialEvents", 200, NULL, ADDED("a", "5"), 0, 0, PEER_CHUNKED},
        {"limit=2&resourceVersion=0 ", 200, NULL, LIST("20", "", POD("b", "6")), 0, 0, PEER_CHUNKED},
        {"resourceVersion=20", 200, NULL, "", 0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &quick);
    run_until(&f, "!", 3);
    assert_string_equal(f.log.data, "+a +b -a . ! ");
    assert_non_null(strstr(f.trouble.text, "before its list was complete"));
    end(&f);
}

// ---- lists ----

static void test_pages(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"limit=2&resourceVersion=0 ", 200, NULL, LIST("20", "t/1=", POD("a", "5") "," POD("b", "6")), 0, 3,
            PEER_CHUNKED},
        {"limit=2&continue=t%2F1%3D ", 200, NULL, LIST("20", "t2", POD("c", "7")), 0, 0, PEER_WHOLE},
        {"limit=2&continue=t2 ", 200, NULL, LIST("20", "", POD("d", "8")), 0, 0, PEER_WHOLE},
        {"watch=1&allowWatchBookmarks=true&resourceVersion=20&", 200, NULL, "", 0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &classic);
    run_until(&f, "!", 4);
    assert_string_equal(f.log.data, "+a +b +c +d ! ");
    end(&f);
}

static void test_page_expired(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"resourceVersion=0 ", 200, NULL, LIST("20", "t1", POD("a", "5")), 0, 0, PEER_WHOLE},
        {"continue=t1 ", 410, NULL, STATUS(410, "Expired"), 0, 0, PEER_WHOLE},
        {"limit=2&resourceVersion= ", 200, NULL, LIST("30", "t2", POD("b", "6")), 0, 0, PEER_WHOLE},
        {"continue=t2 ", 410, NULL, STATUS(410, "Expired"), 0, 0, PEER_WHOLE},
        {"/pods?resourceVersion= ", 200, NULL, LIST("40", "", POD("b", "6")), 0, 0, PEER_WHOLE},
        {"resourceVersion=40&", 200, NULL, "", 0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &classic);
    run_until(&f, "!", 6);
    // 'a' goes only when a list was whole
    assert_string_equal(f.log.data, "+a +b -a ! ");
    assert_int_equal(f.n_troubles, 0);
    end(&f);
}

static void relist_after(const struct peer_step *lost)
{
    struct peer_step steps[] = {
        {"resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5") "," POD("b", "6") "," POD("c", "7")),
            0, 0, PEER_WHOLE},
        *lost,
        {"/pods?resourceVersion=20 ", 200, NULL, LIST("30", "", POD("a", "5") "," POD("b", "25")), 0, 0,
            PEER_WHOLE},
        {"resourceVersion=30&", 200, NULL, ADDED("d", "31"), 0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &classic);
    run_until(&f, "+d", 4);
    assert_string_equal(f.log.data, "+a +b +c ! =b -c +d ");
    assert_int_equal(f.n_troubles, 0);
    end(&f);
}

static void test_version_lost(void **state)
{
    (void)state;
    size_t len = 0;
    kp_auto_free char *recorded = kp_test_read_file(KP_TESTDATA "/watch.expired.json", &len);
    relist_after(
        &(struct peer_step){"resourceVersion=20&", 410, NULL, STATUS(410, "Gone"), 0, 0, PEER_WHOLE});
    relist_after(&(struct peer_step){"resourceVersion=20&", 200, NULL, recorded, len, 7, PEER_CHUNKED});
}

static void test_list_version_unusable(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5")), 0, 0, PEER_WHOLE},
        {"resourceVersion=20&", 410, NULL, STATUS(410, "Gone"), 0, 0, PEER_WHOLE},
        {"/pods?resourceVersion=20 ", 504, NULL, STATUS(504, "Timeout"), 0, 0, PEER_WHOLE},
        {"/pods?limit=2&resourceVersion= ", 200, NULL, LIST("3", "", ""), 0, 0, PEER_WHOLE},
        {"resourceVersion=3&", 200, NULL, "", 0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &classic);
    run_until(&f, "-a", 5);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watch_list),
        cmocka_unit_test(test_asked_where_nothing_happens),
        cmocka_unit_test(test_watch_list_cut_at_every_byte),
        cmocka_unit_test(test_recorded_pods),
        cmocka_unit_test(test_fallback_is_remembered),
        cmocka_unit_test(test_fallback_on_error_event),
        cmocka_unit_test(test_ended_before_it_was_complete),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_page_expired),
        cmocka_unit_test(test_version_lost),
        cmocka_unit_test(test_list_version_unusable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
