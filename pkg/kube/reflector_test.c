#include "kube/reflector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "kube/api_peer.h"
#include "kube/config.h"
#include "record/pod.h"
#include "testkit/testkit.h"

#include "base/banned.h"

// ---- one reflector against one scripted API server ----

struct fixture {
    struct peer *peer;
    struct kp_loop *loop;
    struct kp_metrics *metrics;
    struct kp_kube *kube;
    struct kp_reflector *reflector;
    struct kp_strbuf log; // "+a =a -a ! .": came, changed, went, synced, well again
    struct kp_error trouble;
    int n_troubles;
    size_t wait_for_seen, wait_for_log;
    const char *wait_for_text;
    bool destroy_on_change, done;
};

static void on_change(void *user, const char *key, void *old_value, void *new_value)
{
    struct fixture *f = user;
    const char *name = strchr(key, '/') ? strchr(key, '/') + 1 : key;
    kp_strbuf_addf(&f->log, "%c%s ", !old_value ? '+' : !new_value ? '-' : '=', name);
    if (f->destroy_on_change && f->reflector) {
        kp_reflector_destroy(f->reflector);
        f->reflector = NULL;
    }
}

static void on_synced(void *user)
{
    struct fixture *f = user;
    kp_strbuf_adds(&f->log, "! ");
}

static void on_trouble(void *user, const struct kp_error *err)
{
    struct fixture *f = user;
    if (err) {
        f->trouble = *err;
        f->n_troubles++;
    } else {
        kp_strbuf_adds(&f->log, ". ");
    }
}

static const struct kp_reflector_tuning quick = {.first_backoff_ms = 1, .max_backoff_ms = 5, .page_size = 2};

static struct kp_reflector *make_reflector(struct fixture *f, const struct kp_reflector_tuning *tuning)
{
    struct kp_reflector_kind kind = {
        .name = "pods", .path = "/api/v1/pods", .decode = kp_decode_json, .unref = kp_unref_json};
    struct kp_reflector_events events = {
        .on_change = on_change, .on_synced = on_synced, .on_trouble = on_trouble, .user = f};
    struct kp_reflector *r = kp_reflector_create(f->kube, &kind, &events, f->metrics);
    kp_reflector_tune(r, tuning);
    return r;
}

static void begin_at(struct fixture *f, const char *server, const struct kp_reflector_tuning *tuning)
{
    kp_auto_free char *copy = kp_strdup(server);
    struct kp_kube_config config = {.server = copy, .token = (char[]){"secret"}};
    kp_strbuf_init(&f->log, 1 << 20);
    f->loop = kp_loop_create();
    f->metrics = kp_metrics_create();
    f->kube = kp_kube_create(f->loop, &config, &(struct kp_kube_options){.metrics = f->metrics});
    f->reflector = make_reflector(f, tuning);
    kp_reflector_start(f->reflector);
}

static void begin(
    struct fixture *f, const struct peer_step *steps, size_t n, const struct kp_reflector_tuning *tuning)
{
    char server[64];
    memset(f, 0, sizeof *f);
    f->peer = peer_start(steps, n);
    snprintf(server, sizeof server, "http://127.0.0.1:%d", f->peer->port);
    begin_at(f, server, tuning);
}

static void check_waits(void *user)
{
    struct fixture *f = user;
    f->done = (!f->wait_for_text || strstr(f->log.data, f->wait_for_text)) &&
              (f->wait_for_seen == 0 || peer_seen(f->peer) >= f->wait_for_seen);
}

// Until the log holds text (NULL: whatever) and as many requests were seen.
static void run_until(struct fixture *f, const char *text, size_t seen)
{
    struct kp_timer *timer = kp_timer_create(f->loop, check_waits, f);
    f->wait_for_text = text;
    f->wait_for_seen = seen;
    f->done = false;
    kp_timer_start(timer, 0, 1);
    bool done = kp_loop_run_until(f->loop, &f->done, 20000);
    kp_timer_destroy(timer);
    if (!done)
        fail_msg("not seen: '%s' and %zu requests; log '%s', %zu requests, trouble '%s'", text ? text : "",
            seen, f->log.data, f->peer ? peer_seen(f->peer) : 0, f->trouble.text);
}

static void end(struct fixture *f)
{
    kp_reflector_destroy(f->reflector);
    kp_kube_destroy(f->kube);
    kp_loop_destroy(f->loop);
    kp_metrics_destroy(f->metrics);
    kp_strbuf_finish(&f->log);
    kp_auto_free char *failure = f->peer ? peer_stop(f->peer) : NULL;
    if (failure)
        fail_msg("%s", failure);
}

#define POD(name, rv)                                                                                        \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"n\",\"resourceVersion\":\"" rv "\"}}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define ADDED(name, rv)     EVENT("ADDED", POD(name, rv))
#define BOOKMARK(rv)        EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"" rv "\"}}")
#define SYNCED(rv)                                                                                           \
    EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"" rv                                             \
                      "\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}")
#define STATUS(code, reason)                                                                                 \
    "{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"because " reason "\",\"reason\":\"" reason    \
    "\",\"code\":" #code "}"
#define LIST(rv, token, items)                                                                               \
    "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"" rv "\",\"continue\":\"" token               \
    "\"},\"items\":[" items "]}"
#define REFUSED                                                                                              \
    {                                                                                                        \
        "sendInitialEvents=true", 422, NULL, STATUS(422, "Invalid"), 0, 0, PEER_WHOLE                        \
    }

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

static const struct kp_reflector_tuning classic = {
    .first_backoff_ms = 1, .max_backoff_ms = 5, .page_size = 2, .no_watch_list = true};

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
        cmocka_unit_test(test_watch_list),
        cmocka_unit_test(test_watch_list_cut_at_every_byte),
        cmocka_unit_test(test_recorded_pods),
        cmocka_unit_test(test_fallback_is_remembered),
        cmocka_unit_test(test_fallback_on_error_event),
        cmocka_unit_test(test_ended_before_it_was_complete),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_page_expired),
        cmocka_unit_test(test_version_lost),
        cmocka_unit_test(test_list_version_unusable),
        cmocka_unit_test(test_troubles),
        cmocka_unit_test(test_oversized_object),
        cmocka_unit_test(test_throttled),
        cmocka_unit_test(test_silent_watch_is_given_up),
        cmocka_unit_test(test_cache_stands_while_the_server_is_away),
        cmocka_unit_test(test_server_cannot_be_reached),
        cmocka_unit_test(test_unreadable_objects_are_left_out),
        cmocka_unit_test(test_unreadable_watch_is_listed_again),
        cmocka_unit_test(test_destroyed_from_its_own_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
