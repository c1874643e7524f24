#include "kube/events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/strbuf.h"
#include "kube/api_peer.h"
#include "kube/config.h"

#include "base/banned.h"

struct fixture {
    struct peer *peer;
    struct kp_loop *loop;
    struct kp_metrics *metrics;
    struct kp_kube *kube;
    struct kp_events *events;
    size_t want_seen;
    bool done, may_not_write;
};

static const struct kp_event_object thing = {"g/v1", "Thing", "shop", "one", "u1"};
static const struct kp_event_object node = {"v1", "Node", NULL, "n1", NULL};

static bool may_write(void *user)
{
    return !((struct fixture *)user)->may_not_write;
}

static void begin(struct fixture *f, const struct peer_step *steps, size_t n)
{
    memset(f, 0, sizeof *f);
    f->peer = peer_start(steps, n);
    kp_auto_free char *server = kp_asprintf("http://127.0.0.1:%d", f->peer->port);
    struct kp_kube_config config = {.server = server};
    f->loop = kp_loop_create();
    f->metrics = kp_metrics_create();
    f->kube = kp_kube_create(f->loop, &config,
        &(struct kp_kube_options){.metrics = f->metrics, .may_write = may_write, .may_write_user = f});
    f->events = kp_events_create(f->kube, "kube-pprof.dev/controller", "pod-1");
}

static void check(void *user)
{
    struct fixture *f = user;
    f->done = peer_seen(f->peer) >= f->want_seen;
}

// Until as many requests were seen, and a little longer, so that their answers are in.
static void run_until(struct fixture *f, size_t seen)
{
    struct kp_timer *timer = kp_timer_create(f->loop, check, f);
    bool never = false;
    f->want_seen = seen;
    f->done = false;
    kp_timer_start(timer, 0, 1);
    bool done = kp_loop_run_until(f->loop, &f->done, 20000);
    kp_timer_destroy(timer);
    if (!done)
        fail_msg("%zu of %zu requests", peer_seen(f->peer), seen);
    (void)kp_loop_run_until(f->loop, &never, 50);
}

static void end(struct fixture *f)
{
    kp_events_destroy(f->events);
    kp_kube_destroy(f->kube);
    kp_loop_destroy(f->loop);
    kp_metrics_destroy(f->metrics);
    kp_auto_free char *failure = peer_stop(f->peer);
    if (failure)
        fail_msg("%s", failure);
}

static void has(struct fixture *f, size_t request, const char *part)
{
    if (!strstr(f->peer->seen[request], part))
        fail_msg("'%s' does not hold '%s'", f->peer->seen[request], part);
}

static double dropped(struct fixture *f)
{
    return kp_metric_value(kp_counter(f->metrics, "kube_pprof_events_dropped_total", ""));
}

#define CREATED(path)                                                                                        \
    {                                                                                                        \
        "POST " path " HTTP", 201, NULL, "{}", 0, 0, PEER_WHOLE                                              \
    }

static void test_first_is_an_event(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {CREATED("/apis/events.k8s.io/v1/namespaces/shop/events"),
        CREATED("/apis/events.k8s.io/v1/namespaces/default/events")};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps));
    kp_events_add(f.events, &thing, true, "Bad", "Reading", "two\nlines \"quoted\"");
    run_until(&f, 1);
    kp_events_add(f.events, &node, false, "Good", "Reading", "");
    run_until(&f, 2);
    static const char *const parts[] = {"\"apiVersion\":\"events.k8s.io/v1\"", "\"kind\":\"Event\"",
        "\"namespace\":\"shop\"", "\"name\":\"one.", "\"reportingController\":\"kube-pprof.dev/controller\"",
        "\"reportingInstance\":\"pod-1\"", "\"action\":\"Reading\"", "\"reason\":\"Bad\"",
        "\"type\":\"Warning\"", "\\\"quoted\\\"", "\"eventTime\":\"20"};
    for (size_t i = 0; i < KP_COUNT(parts); i++)
        has(&f, 0, parts[i]);
    has(&f, 0, "\"regarding\":{\"apiVersion\":\"g/v1\",\"kind\":\"Thing\",\"name\":\"one\",");
    has(&f, 0, "\"namespace\":\"shop\",\"uid\":\"u1\"}");
    has(&f, 1, "\"type\":\"Normal\"");
    has(&f, 1, "\"regarding\":{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":\"n1\"}");
    end(&f);
}

static void test_repeats_become_a_series(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        CREATED("/apis/events.k8s.io/v1/namespaces/shop/events"),
        {"PATCH /apis/events.k8s.io/v1/namespaces/shop/events/one.", 200, NULL, "{}", 0, 0, PEER_WHOLE},
        CREATED("/apis/events.k8s.io/v1/namespaces/shop/events"),
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps));
    for (int i = 0; i < 5; i++) // while the first is on its way
        kp_events_add(f.events, &thing, true, "Bad", "Reading", i ? "other words" : "words");
    run_until(&f, 2);
    has(&f, 1, "Content-Type: application/merge-patch+json");
    has(&f, 1, "\"series\":{\"count\":5,\"lastObservedTime\":\"20");
    for (int i = 0; i < 5; i++) // only counted
        kp_events_add(f.events, &thing, true, "Bad", "Reading", "words");
    kp_events_add(f.events, &thing, false, "Bad", "Reading", "another series");
    run_until(&f, 3);
    assert_int_equal(peer_seen(f.peer), 3);
    has(&f, 2, "\"type\":\"Normal\"");
    assert_true(dropped(&f) == 0);
    end(&f);
}

static void test_aged_out_event_is_told_anew(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        CREATED("/apis/events.k8s.io/v1/namespaces/shop/events"),
        {"PATCH ", 404, NULL, "{\"kind\":\"Status\",\"reason\":\"NotFound\"}", 0, 0, PEER_WHOLE},
        CREATED("/apis/events.k8s.io/v1/namespaces/shop/events"),
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps));
    kp_events_add(f.events, &thing, true, "Bad", "Reading", "words");
    kp_events_add(f.events, &thing, true, "Bad", "Reading", "words");
    run_until(&f, 3);
    end(&f);
}

static void test_refused_event_is_dropped(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"POST ", 403, NULL, "{\"kind\":\"Status\",\"reason\":\"Forbidden\"}", 0, 0, PEER_WHOLE},
        CREATED("/apis/events.k8s.io/v1/namespaces/shop/events"),
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps));
    kp_events_add(f.events, &thing, true, "Bad", "Reading", "words");
    run_until(&f, 1);
    assert_true(dropped(&f) == 1);
    kp_events_add(f.events, &thing, true, "Bad", "Reading", "words");
    run_until(&f, 2); // tried anew, not as a series of nothing
    end(&f);
}

static void test_flood_is_bounded(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, NULL, 0);
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof name, "pod-%d", i);
        kp_events_add(f.events, &(struct kp_event_object){"v1", "Pod", "shop", name, "u"}, true, "Bad",
            "Reading", "words");
    }
    assert_true(dropped(&f) >= 700);
    end(&f); // and destroyed while requests are out
}

// Who does not lead tells nothing; when it leads again it does not count what nobody was told.
static void test_what_could_not_be_told_is_told_later(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"POST /apis/events.k8s.io/v1/namespaces/shop/events ", 201, NULL, "{}", 0, 0, PEER_WHOLE}};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps));
    f.may_not_write = true;
    kp_events_add(f.events, &thing, true, "Reason", "Act", "first");
    run_until(&f, 0);
    f.may_not_write = false;
    kp_events_add(f.events, &thing, true, "Reason", "Act", "second");
    run_until(&f, 1);
    has(&f, 0, "\"note\":\"second\"");
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_is_an_event),
        cmocka_unit_test(test_repeats_become_a_series),
        cmocka_unit_test(test_what_could_not_be_told_is_told_later),
        cmocka_unit_test(test_aged_out_event_is_told_anew),
        cmocka_unit_test(test_refused_event_is_dropped),
        cmocka_unit_test(test_flood_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
