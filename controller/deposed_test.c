// A replica that was stopped (SIGSTOP, a frozen cgroup, a loop that was held) beyond its Lease: when it goes
// on, it starts no capture and writes nothing, whatever is due first. And one that cannot renew: what it
// captures ends when others may begin; one that is alone goes on with it. Against an API server of which the
// Lease, two watches and the number of writes are real.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "capture/capture_testing.h"
#include "controller/controller.h"
#include "controller/controller_testing.h"
#include "kube/client_testing.h"
#include "testkit/peer.h"
#include "base/banned.h"

#define PODS        40
#define PATIENCE_MS 60000
#define DURATION_MS 1500
#define DEADLINE_MS 1000
#define LEASES      "/apis/coordination.k8s.io/v1/namespaces/kp/leases"
#define SYNCED                                                                                               \
    "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\",\"annotations\":{"           \
    "\"k8s.io/initial-events-end\":\"true\"}}}}\n"
#define POLICY                                                                                               \
    "{\"type\":\"ADDED\",\"object\":{\"apiVersion\":\"kube-pprof.dev/v1alpha1\",\"kind\":"                   \
    "\"ProfilingPolicy\",\"metadata\":{\"namespace\":\"shop\",\"name\":\"p\",\"uid\":\"u\",\"generation\":"  \
    "1,\"resourceVersion\":\"7\"},\"spec\":{\"selector\":{},\"endpoints\":[{\"name\":\"m\",\"port\":%d}],"   \
    "\"sampling\":{\"replicas\":100},\"budget\":{\"concurrentPerWorkload\":\"100%%\"}}}}\n"

struct bench {
    pthread_mutex_t lock;
    json_t *lease;
    int version, leases, writes; // writes: of anything else
    bool is_full;                // the Lease cannot be written
    char *pods, *policies;
    struct kp_step streams[2][3];
    struct kp_peer *peer,
        *pprof; // pprof: of the one pod that can be scraped; NULL = there are many that cannot
    struct kp_loop *loop;
    struct kp_metrics *metrics;
    struct kp_controller_config config;
    struct kp_controller *controller;
    bool done;
    int looks, starts_then;
};

// ---- the API server ----

static char *make_pods(int n)
{
    char now[KP_TIME_TEXT];
    struct kp_strbuf text;
    kp_strbuf_init(&text, 1 << 20);
    kp_time_format(now, kp_now_ms());
    kp_strbuf_adds(&text, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n");
    for (int i = 0; i < n; i++)
        kp_strbuf_addf(&text,
            "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"namespace\":\"shop\",\"name\":\"w%d\",\"uid\":"
            "\"uid-%d\",\"resourceVersion\":\"8\",\"creationTimestamp\":\"%s\"},\"spec\":{\"nodeName\":\"n%"
            "d\","
            "\"containers\":[{\"name\":\"app\",\"image\":\"i\"}]},\"status\":{\"phase\":\"Running\","
            "\"podIP\":"
            "\"127.0.%d.1\",\"hostIP\":\"10.0.0.1\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\","
            "\"lastTransitionTime\":\"%s\"}],\"containerStatuses\":[{\"name\":\"app\",\"containerID\":"
            "\"containerd://%d\",\"ready\":true,\"state\":{\"running\":{\"startedAt\":\"%s\"}}}]}}}\n",
            i, i, now, i, i, now, i, now);
    kp_strbuf_adds(&text, SYNCED);
    return kp_strbuf_take(&text, NULL);
}

static json_t *lease_of(const char *holder)
{
    return json_pack("{s:{s:s,s:s},s:{s:s,s:i}}", "metadata", "name", "l", "namespace", "kp", "spec",
        "holderIdentity", holder, "leaseDurationSeconds", 600);
}

static void set_lease(struct bench *b, json_t *lease)
{
    char version[20];
    snprintf(version, sizeof version, "%d", ++b->version);
    json_object_set_new(json_object_get(lease, "metadata"), "resourceVersion", json_string(version));
    json_decref(b->lease);
    b->lease = lease;
}

static int serve_lease(struct bench *b, const struct kp_peer_request *request)
{
    b->leases++;
    if (kp_streq(request->method, "GET"))
        return b->lease != NULL ? 200 : 404;
    if (b->is_full)
        return 507;
    json_t *lease = json_loadb(request->body, request->body_len, 0, NULL);
    json_t *theirs = json_object_get(json_object_get(lease, "metadata"), "resourceVersion");
    json_t *ours = json_object_get(json_object_get(b->lease, "metadata"), "resourceVersion");
    if (b->lease != NULL && !json_equal(theirs, ours)) {
        json_decref(lease);
        return 409;
    }
    set_lease(b, lease);
    return 200;
}

static const struct kp_step *api(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    struct bench *b = user;
    if (strstr(request->target, "/shop/pods?") != NULL)
        return b->streams[0];
    if (strstr(request->target, "/profilingpolicies?") != NULL)
        return b->streams[1];
    pthread_mutex_lock(&b->lock);
    bool is_lease = kp_starts_with(request->target, LEASES);
    int status = is_lease ? serve_lease(b, request) : kp_streq(request->method, "GET") ? 404 : 200;
    b->writes += !is_lease && status == 200;
    char *text = is_lease && status == 200 ? json_dumps(b->lease, 0) : NULL;
    pthread_mutex_unlock(&b->lock);
    const char *body = text != NULL ? text : "{}";
    const struct kp_step *step = kp_peer_answer(peer, status, "application/json", body, strlen(body));
    free(text);
    return step;
}

static int writes(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    int n = b->writes;
    pthread_mutex_unlock(&b->lock);
    return n;
}

// ---- the controller ----

static double metric(struct bench *b, const char *name)
{
    struct kp_strbuf text;
    kp_strbuf_init(&text, 1 << 20);
    kp_metrics_write(b->metrics, &text);
    const char *at = strstr(text.data, name);
    double value = at != NULL ? strtod(at + strlen(name), NULL) : -1;
    kp_strbuf_finish(&text);
    return value;
}

static int starts(struct bench *b)
{
    return (int)metric(b, "\nkube_pprof_capture_start_lag_seconds_count ");
}

static bool leads(struct bench *b)
{
    return metric(b, "\nleader_election_master_status{name=\"l\"} ") == 1;
}

// hanging: of one pod, whose pprof takes every request and answers none; else of many that cannot be scraped,
// so that each start is over at once.
static void begin(struct bench *b, bool hanging, bool goes_on, int64_t duration_ms)
{
    static const struct kp_step hang[] = {KP_STEP_HANG};
    static const char *const namespaces[] = {"shop", NULL}, *const prefixes[] = {"/debug/", NULL};
    memset(b, 0, sizeof *b);
    kp_log_setup(KP_LOG_ERROR, false, 2);
    pthread_mutex_init(&b->lock, NULL);
    b->pprof = hanging ? kp_peer_start_script(hang) : NULL;
    b->pods = make_pods(hanging ? 1 : PODS);
    b->policies = kp_asprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" POLICY "%s",
        hanging ? kp_peer_port(b->pprof) : 6060, SYNCED);
    b->streams[0][0] = (struct kp_step)KP_STEP_BYTES(b->pods, strlen(b->pods));
    b->streams[1][0] = (struct kp_step)KP_STEP_BYTES(b->policies, strlen(b->policies));
    b->streams[0][1] = b->streams[1][1] = (struct kp_step)KP_STEP_HANG;
    b->peer = kp_peer_start(api, b);
    b->loop = kp_loop_create();
    b->metrics = kp_metrics_create();
    b->config = (struct kp_controller_config){.kube = {.server = (char *)(uintptr_t)kp_peer_url(b->peer)},
        .identity = "me",
        .watch_namespaces = namespaces,
        .leader_elect = true,
        .lease_goes_on = goes_on,
        .lease_namespace = "kp",
        .lease_name = "l",
        .lease_duration_ms = duration_ms,
        .lease_deadline_ms = DEADLINE_MS,
        .lease_retry_ms = 200,
        .target = {.dialects = KP_DIALECTS_DEFAULT, .path_prefixes = prefixes},
        .caps = {.min_interval_ms = 10000,
            .max_duration_ms = 60000,
            .max_profile_bytes = 64 * KP_MIB,
            .max_overhead_percent = 100,
            .path_prefixes = prefixes},
        .registry = {.url = "http://127.0.0.1:1"},
        .link = {.service = "registry"}};
    struct kp_error err = {0};
    if (kp_controller_create(b->loop, &b->config, b->metrics, &b->controller, &err) != 0)
        fail_msg("%s", err.text);
    if (hanging)
        kp_capturer_allow(kp_controller_parts(b->controller).capturer, "127.0.0.0/8");
    kp_controller_start(b->controller);
}

static void on_stopped(void *user)
{
    ((struct bench *)user)->done = true;
}

static void end(struct bench *b)
{
    b->done = false;
    kp_controller_stop(b->controller, 500, on_stopped, b);
    assert_true(kp_loop_run_until(b->loop, &b->done, PATIENCE_MS));
    kp_controller_destroy(b->controller);
    kp_loop_destroy(b->loop);
    kp_metrics_destroy(b->metrics);
    kp_peer_stop(b->peer);
    json_decref(b->lease);
    if (b->pprof != NULL)
        kp_peer_stop(b->pprof);
    kp_free(b->pods);
    kp_free(b->policies);
    pthread_mutex_destroy(&b->lock);
}

// The first capture has begun, many more are due, nothing that was written while it led is on its way: the
// process stands still until its lease is over and another replica has it.
static void on_look(void *user)
{
    struct bench *b = user;
    if (b->done || starts(b) < 1 || !leads(b) ||
        kp_kube_writes_out(kp_controller_parts(b->controller).kube) > 0 || ++b->looks < 10)
        return;
    usleep((DURATION_MS + 100) * 1000);
    pthread_mutex_lock(&b->lock);
    set_lease(b, lease_of("other"));
    pthread_mutex_unlock(&b->lock);
    b->starts_then = starts(b);
    b->done = true;
}

static void run(struct bench *b, int64_t ms)
{
    const bool never = false;
    (void)kp_loop_run_until(b->loop, &never, ms);
}

static void test_stopped_beyond_the_lease(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, false, false, DURATION_MS);
    struct kp_timer *look = kp_timer_create(b.loop, on_look, &b);
    kp_timer_start(look, 1, 1);
    assert_true(kp_loop_run_until(b.loop, &b.done, PATIENCE_MS));
    int then = writes(&b);
    assert_true(b.starts_then >= 1 && b.starts_then < 3 * PODS);
    run(&b, 1500); // and what else is due by and by
    assert_int_equal(starts(&b), b.starts_then);
    assert_int_equal(writes(&b), then);
    assert_false(leads(&b));
    // it goes on as soon as it has the lease again
    pthread_mutex_lock(&b.lock);
    set_lease(&b, lease_of(""));
    pthread_mutex_unlock(&b.lock);
    int64_t until = kp_mono_ms() + PATIENCE_MS;
    while ((starts(&b) == b.starts_then || writes(&b) == then) && kp_mono_ms() < until)
        run(&b, 20);
    assert_true(starts(&b) > b.starts_then);
    assert_true(writes(&b) > then);
    while (!leads(&b) && kp_mono_ms() < until) // on a busy machine not all the time
        run(&b, 5);
    assert_true(leads(&b));
    kp_timer_destroy(look);
    end(&b);
}

static void set_full(struct bench *b, bool is_full)
{
    pthread_mutex_lock(&b->lock);
    b->is_full = is_full;
    pthread_mutex_unlock(&b->lock);
}

static int running(struct bench *b)
{
    return (int)metric(b, "\nkube_pprof_captures_running ");
}

static void test_captures_end_with_the_lease(void **state)
{
    static const char *const types[] = {"cpu", "heap", "goroutine"};
    struct bench b;
    (void)state;
    begin(&b, true, false, 4 * DEADLINE_MS); // to see that it leads no more, and they go on
    int64_t until = kp_mono_ms() + PATIENCE_MS;
    while (running(&b) < 1 && kp_mono_ms() < until)
        run(&b, 5);
    set_full(&b, true);
    while (leads(&b) && kp_mono_ms() < until)
        run(&b, 5);
    assert_false(leads(&b));
    assert_true(running(&b) >= 1); // nobody else may begin yet
    while (running(&b) > 0 && kp_mono_ms() < until)
        run(&b, 5);
    assert_int_equal(running(&b), 0);
    assert_true(kp_peer_wait_closed(b.pprof, PATIENCE_MS));
    int cancelled = 0;
    for (size_t i = 0; i < KP_COUNT(types); i++) { // whichever had its turn
        kp_auto_free char *name =
            kp_asprintf("\nkube_pprof_captures_total{result=\"Cancelled\",type=\"%s\"} ", types[i]);
        cancelled += metric(&b, name) >= 1;
    }
    assert_true(cancelled >= 1);
    end(&b);
}

// Alone it goes on beyond the lease that it cannot renew, until another has taken it.
static void test_alone_it_goes_on_without_renewals(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, true, true, DURATION_MS);
    int64_t until = kp_mono_ms() + PATIENCE_MS;
    while (running(&b) < 1 && kp_mono_ms() < until)
        run(&b, 5);
    assert_true(leads(&b));
    set_full(&b, true);
    run(&b, 2 * DURATION_MS);
    assert_true(leads(&b));
    assert_true(running(&b) >= 1);
    pthread_mutex_lock(&b.lock);
    set_lease(&b, lease_of("other"));
    pthread_mutex_unlock(&b.lock);
    set_full(&b, false);
    while ((leads(&b) || running(&b) > 0) && kp_mono_ms() < until)
        run(&b, 5);
    assert_false(leads(&b));
    assert_int_equal(running(&b), 0);
    assert_true(kp_peer_wait_closed(b.pprof, PATIENCE_MS));
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stopped_beyond_the_lease),
        cmocka_unit_test(test_captures_end_with_the_lease),
        cmocka_unit_test(test_alone_it_goes_on_without_renewals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
