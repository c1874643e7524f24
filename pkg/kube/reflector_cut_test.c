// A connection that breaks at every byte of what the API server sends: nothing is lost, nothing is thought
// gone, and it goes on from the last event that came whole.
#include "kube/reflector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "kube/reflector_fixture.h"
#include "kube/watch_event.h"
#include "testkit/testkit.h"

#include "base/banned.h"

enum { MAX_EVENTS = 64 };

static const struct kp_reflector_tuning at_once = {.first_backoff_ms = 1, .max_backoff_ms = 1};
static const struct kp_reflector_tuning at_once_classic = {
    .first_backoff_ms = 1, .max_backoff_ms = 1, .no_watch_list = true};

static size_t times(const char *log, const char *what)
{
    size_t n = 0;
    for (const char *p = log; (p = strstr(p, what)) != NULL; p++)
        n++;
    return n;
}

// ---- a list ----

// A cache that was complete is listed again, and the list breaks: it stands as it was until one came whole.
static void test_list(void **state)
{
    (void)state;
    static const char list[] = LIST("30", "", POD("a", "5") "," POD("c", "25") "," POD("d", "26"));
    for (size_t cut = 0; cut < sizeof list; cut++) {
        const struct peer_step steps[] = {
            {"resourceVersion=0 ", 200, NULL, LIST("20", "", POD("a", "5") "," POD("b", "6")), 0, 0,
                PEER_WHOLE},
            {"resourceVersion=20&", 410, NULL, STATUS(410, "Gone"), 0, 0, PEER_WHOLE},
            {"/pods?resourceVersion=20 ", 200, NULL, cut > 0 ? list : "", cut, 0, PEER_CUT},
            {"/pods?resourceVersion=20 ", 200, NULL, list, 0, 0, PEER_WHOLE},
            {"resourceVersion=30&", 200, NULL, ADDED("e", "31"), 0, 0, PEER_HOLD},
        };
        struct fixture f;
        begin(&f, steps, KP_COUNT(steps), &at_once_classic);
        run_until(&f, "+e ", 5);
        // 'b' goes once, when the whole list was there; who came with the broken one came once
        const char *gone = strstr(f.log.data, "-b ");
        if (times(f.log.data, " -") != 1 || !gone || times(f.log.data, "+c ") != 1 ||
            times(f.log.data, "+d ") != 1 || gone < strstr(f.log.data, "+d ") ||
            times(f.log.data, "+a ") != 1 || times(f.log.data, "!") != 1)
            fail_msg("cut at %zu: '%s'", cut, f.log.data);
        assert_int_equal(kp_reflector_count(f.reflector), 4);
        assert_null(kp_reflector_trouble(f.reflector));
        end(&f);
    }
}

// ---- a watch ----

struct recorded {
    const char *text;
    size_t n, ends[MAX_EVENTS]; // where each event is over
    char versions[MAX_EVENTS][64];
    size_t synced; // the number of the event that ends the initial ones
};

static bool on_event(void *user, const char *json, size_t len)
{
    struct recorded *r = user;
    struct kp_watch_event event;
    assert_true(r->n < MAX_EVENTS);
    assert_int_equal(kp_watch_event_parse(KP_ENCODING_JSON, json, len, &event, NULL), KP_OK);
    struct kp_bookmark bookmark; // every object has its version where a bookmark has it
    assert_int_equal(kp_bookmark_parse(&event, &bookmark, NULL), KP_OK);
    if (bookmark.initial_events_end)
        r->synced = r->n;
    memcpy(r->versions[r->n++], bookmark.resource_version, sizeof bookmark.resource_version);
    return true;
}

static void take_apart(struct recorded *r, const char *text, size_t len)
{
    *r = (struct recorded){.text = text};
    struct kp_stream *stream = kp_stream_create(KP_STREAM_WATCH, 1 << 20, on_event, r);
    for (size_t i = 0; i < len; i++) {
        size_t before = r->n;
        assert_int_equal(kp_stream_feed(stream, text + i, 1, NULL), KP_OK);
        if (r->n > before)
            r->ends[before] = i + 1;
    }
    kp_stream_destroy(stream);
    assert_true(r->n > r->synced);
}

// What the API server sends who asks again after that many events: all of it while the list was not
// complete, else what comes behind the last event.
static void cut_at(const struct recorded *r, size_t cut, const char *final_log, size_t final_count)
{
    size_t whole = 0;
    char expect[96] = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=&";
    const char *rest = r->text;
    while (whole < r->n && r->ends[whole] <= cut)
        whole++;
    if (whole > r->synced) {
        snprintf(
            expect, sizeof expect, "allowWatchBookmarks=true&resourceVersion=%s&", r->versions[whole - 1]);
        rest = r->text + r->ends[whole - 1];
    }
    const struct peer_step steps[] = {
        {"sendInitialEvents", 200, NULL, cut > 0 ? r->text : "", cut, 0, PEER_CUT},
        {expect, 200, NULL, rest, 0, 0, PEER_HOLD},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), &at_once);
    run_until(&f, final_log, 2);
    if (kp_reflector_count(f.reflector) != final_count || times(f.log.data, " -") != 1 ||
        times(f.log.data, "!") != 1)
        fail_msg("cut at %zu: '%s'", cut, f.log.data);
    end(&f);
}

static void test_watch(void **state)
{
    (void)state;
    static const char text[] = ADDED("a", "5") ADDED("b", "7") SYNCED("9") EVENT("MODIFIED", POD("a", "10"))
        ADDED("c", "11") BOOKMARK("15") EVENT("DELETED", POD("b", "16")) EVENT("MODIFIED", POD("c", "17"));
    struct recorded r;
    take_apart(&r, text, sizeof text - 1);
    assert_int_equal(r.n, 8);
    for (size_t cut = 0; cut < sizeof text; cut++)
        cut_at(&r, cut, "=c ", 2);
}

// As a real API server sent it. KP_CUT_EVERY=1 in the environment cuts at each of its 61 000 bytes, which
// takes minutes; else at some thousands of them.
static void test_recorded_watch(void **state)
{
    (void)state;
    size_t len = 0;
    const char *every = getenv("KP_CUT_EVERY");
    size_t stride = every ? strtoul(every, NULL, 10) : 97;
    kp_auto_free char *text = kp_test_read_file(KP_TESTDATA "/watchlist.pods.json", &len);
    struct recorded r;
    take_apart(&r, text, len);
    for (size_t cut = 0; cut <= len; cut += stride > 0 ? stride : 1)
        cut_at(&r, cut, "-lone ", 2);
    for (size_t i = 0; i < r.n; i++) { // around the end of each event
        for (size_t cut = r.ends[i] - 3; cut <= r.ends[i] + 2 && cut <= len; cut++)
            cut_at(&r, cut, "-lone ", 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_recorded_watch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
