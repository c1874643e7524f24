// Many captures at once, bytes in flight, calling off.
#include "capture/answer.h"
#include "capture/capture_fixture.h"
#include "base/banned.h"

static void run(struct bench *bench, int64_t ms)
{
    const bool never = false;
    kp_loop_run_until(bench->loop, &never, ms);
}

static void check_cancelled(const struct bench *bench, uint64_t id, enum kp_outcome why)
{
    assert_int_equal(bench->results.n, 1);
    assert_int_equal(bench->results.items[0].order_id, id);
    assert_int_equal(bench->results.items[0].outcome, why);
    assert_int_equal(kp_capturer_running(bench->capturer), 0);
}

static void a_capture_can_be_called_off_in_every_state(void **state)
{
    static const struct kp_step waits[] = {KP_STEP_HANG};
    static const struct kp_step half[] = {
        KP_STEP_TEXT("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n\x1f\x8b"), KP_STEP_HANG};
    struct bench *bench = fixture_start((struct kp_capture_options){0}, true);
    (void)state;
    for (int round = 0; round < 4; round++) {
        struct kp_peer *peer = kp_peer_start_script(round == 3 ? half : waits);
        enum kp_outcome why = round % 2 == 0 ? KP_OUTCOME_POD_GONE : KP_OUTCOME_CANCELLED;
        bench->target.port = (uint16_t)kp_peer_port(peer);
        fixture_forget(bench);
        uint64_t id = fixture_order(bench, 10000, NULL);
        if (round == 1) // connecting
            run(bench, 0);
        if (round >= 2)
            fixture_until_requests(bench, peer, 1);
        if (round == 3) // reading
            run(bench, 50);
        kp_capture_cancel(bench->capturer, id + 1, why); // nobody
        kp_capture_cancel(bench->capturer, id, why);
        kp_capture_cancel(bench->capturer, id, KP_OUTCOME_THROTTLED); // the first counts
        assert_int_equal(bench->results.n, 0);                        // never from inside
        fixture_until_results(bench, 1);
        check_cancelled(bench, id, why);
        kp_capture_cancel(bench->capturer, id, why); // over
        kp_peer_stop(peer);
    }
    bench->pod.ip = "169.254.1.1"; // refused, not told yet
    fixture_forget(bench);
    uint64_t id = fixture_order(bench, 0, NULL);
    kp_capture_cancel(bench->capturer, id, KP_OUTCOME_POD_GONE);
    fixture_until_results(bench, 1);
    check_cancelled(bench, id, KP_OUTCOME_POD_GONE);
    fixture_end(bench);
}

static void destroying_calls_everything_off(void **state)
{
    static const struct kp_step waits[] = {KP_STEP_HANG};
    struct kp_peer *peer = kp_peer_start_script(waits);
    struct bench *bench = fixture_start((struct kp_capture_options){0}, true);
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    for (int i = 0; i < 10; i++)
        fixture_order(bench, 10000, NULL);
    fixture_until_requests(bench, peer, 5);
    bench->pod.ip = "169.254.1.1";
    fixture_order(bench, 0, NULL);
    kp_capturer_destroy(bench->capturer);
    bench->capturer = NULL;
    assert_int_equal(bench->results.n, 11);
    for (size_t i = 0; i < 11; i++)
        assert_int_equal(bench->results.items[i].outcome, KP_OUTCOME_CANCELLED);
    fixture_end(bench);
    kp_peer_stop(peer);
}

static void no_more_than_allowed_run(void **state)
{
    static const struct kp_step waits[] = {KP_STEP_HANG};
    struct kp_peer *peer = kp_peer_start_script(waits);
    struct bench *bench = fixture_start((struct kp_capture_options){.max_running = 2}, true);
    struct kp_error err = {0};
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    fixture_order(bench, 10000, NULL);
    fixture_order(bench, 10000, NULL);
    struct kp_order third = {
        .id = 99, .target = kp_target_ref(&bench->target), .wanted = &bench->wanted, .duration_ms = 10000};
    assert_int_equal(kp_capture_start(bench->capturer, &third, NULL, fixture_on_done, bench, &err), KP_LIMIT);
    assert_ptr_equal(third.target, &bench->target); // not taken
    kp_order_finish(&third);
    assert_int_equal(kp_capturer_running(bench->capturer), 2);
    fixture_end(bench);
    kp_peer_stop(peer);
}

// Eight answers of 1 MiB through a budget of 256 KiB: all end, none times out, and reading did stand still.
static void bytes_in_flight_are_bounded_and_everybody_ends(void **state)
{
    static char bulk[4096];
    static const struct kp_step script[] = {
        KP_STEP_TEXT("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x1f\x8b"),
        {.kind = KP_STEP_SEND, .data = bulk, .len = sizeof bulk, .total = 1 << 20, .piece = sizeof bulk},
        KP_STEP_CLOSE};
    struct kp_peer *peer = kp_peer_start_script(script);
    struct kp_metrics *metrics = kp_metrics_create();
    struct bench *bench = fixture_start(
        (struct kp_capture_options){.max_bytes_in_flight = 256 << 10, .metrics = metrics}, true);
    struct kp_metric *in_flight = kp_gauge(metrics, "kube_pprof_capture_bytes_in_flight", "");
    double most = 0;
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    bench->wanted.profile_bytes = 2 << 20;
    for (int i = 0; i < 8; i++)
        fixture_order(bench, 0, NULL);
    int64_t end = kp_mono_ms() + FIXTURE_PATIENCE_MS;
    while (bench->results.n < 8 && kp_mono_ms() < end) {
        run(bench, 1);
        most = kp_metric_value(in_flight) > most ? kp_metric_value(in_flight) : most;
    }
    assert_int_equal(bench->results.n, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(bench->results.items[i].outcome, KP_OUTCOME_SUCCEEDED);
        assert_int_equal(bench->results.items[i].bytes, (1 << 20) + 2);
    }
    if (most < 256 << 10 || most >= 2 << 20) // the budget, one whole, a read buffer each; not eight
        fail_msg("%.0f bytes were in flight", most);
    assert_int_equal(kp_metric_value(in_flight), 0);
    fixture_end(bench);
    kp_metrics_destroy(metrics);
    kp_peer_stop(peer);
}

// Whoever fills the budget and then says nothing more does not hold up the others until their time is over.
static const struct kp_step *stuck_or_not(
    void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    static char bulk[4096];
    static const struct kp_step stuck[] = {
        KP_STEP_TEXT("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x1f\x8b"),
        KP_STEP_REPEAT(bulk, sizeof bulk, 64 << 10), KP_STEP_HANG};
    static const struct kp_step fine[] = {KP_STEP_WAIT_MS(200),
        KP_STEP_TEXT("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x1f\x8b"),
        {.kind = KP_STEP_SEND, .data = bulk, .len = sizeof bulk, .total = 40960, .piece = sizeof bulk},
        KP_STEP_CLOSE};
    (void)user;
    (void)peer;
    return strstr(request->target, "stuck") != NULL ? stuck : fine;
}

static void a_stuck_one_holds_nobody_up(void **state)
{
    struct kp_peer *peer = kp_peer_start(stuck_or_not, NULL);
    struct bench *bench = fixture_start((struct kp_capture_options){.max_bytes_in_flight = 32 << 10}, true);
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    bench->wanted.path = "/debug/pprof/stuck";
    fixture_order(bench, 0, NULL);
    fixture_until_requests(bench, peer, 1);
    bench->wanted.path = "/debug/pprof/heap";
    for (int i = 0; i < 3; i++)
        fixture_order(bench, 0, NULL);
    fixture_until_results(bench, 4); // it is cut off, sooner or later than the others end
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(bench->results.items[i].outcome,
            bench->results.items[i].order_id == 1 ? KP_OUTCOME_TIMEOUT : KP_OUTCOME_SUCCEEDED);
    fixture_end(bench);
    kp_peer_stop(peer);
}

// 1.5 MiB each, and then nothing.
static const struct kp_step *hoard_or_not(
    void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    static char bulk[4096];
    static const struct kp_step hoard[] = {
        KP_STEP_TEXT("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x1f\x8b"),
        KP_STEP_REPEAT(bulk, sizeof bulk, 1536 << 10), KP_STEP_HANG};
    static const struct kp_step fine[] = {
        KP_STEP_TEXT("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x1f\x8b"),
        {.kind = KP_STEP_SEND, .data = bulk, .len = sizeof bulk, .total = 40960, .piece = sizeof bulk},
        KP_STEP_CLOSE};
    (void)user;
    (void)peer;
    return strstr(request->target, "hoard") != NULL ? hoard : fine;
}

static size_t held;

static size_t get_held(void *user)
{
    (void)user;
    return held;
}

// While the registry is away, however much waits for it, a quarter is left.
static void what_waits_for_the_registry_leaves_some_room(void **state)
{
    struct kp_peer *peer = kp_peer_start(hoard_or_not, NULL);
    const size_t most = 4 << 20;
    struct bench *bench =
        fixture_start((struct kp_capture_options){.max_bytes_in_flight = most, .held = get_held}, true);
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    held = 10 * most;
    for (int i = 0; i < 4; i++)
        fixture_order(bench, 0, NULL);
    fixture_until_results(bench, 4);
    held = 0;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(bench->results.items[i].outcome, KP_OUTCOME_SUCCEEDED);
    fixture_end(bench);
    kp_peer_stop(peer);
}

// The bytes in flight, once they are as many as said and never more than that.
static void until_in_flight(struct bench *bench, struct kp_metric *in_flight, double least, double most)
{
    for (int64_t end = kp_mono_ms() + FIXTURE_PATIENCE_MS; kp_metric_value(in_flight) < least;) {
        if (kp_mono_ms() > end)
            fail_msg("%.0f bytes of %.0f are in flight", kp_metric_value(in_flight), least);
        run(bench, 2);
    }
    run(bench, 200); // what else would be read
    if (kp_metric_value(in_flight) > most)
        fail_msg("%.0f bytes are in flight", kp_metric_value(in_flight));
}

// One namespace's captures that do not get on take neither the room of another's nor more than the budget:
// all but one together what three quarters allow, that one its whole profile on top.
static void who_hoards_is_cut_off_and_others_get_on(void **state)
{
    struct kp_peer *peer = kp_peer_start(hoard_or_not, NULL);
    struct kp_metrics *metrics = kp_metrics_create();
    const size_t most = 4 << 20, whole = 1536 << 10;
    struct bench *bench =
        fixture_start((struct kp_capture_options){.max_bytes_in_flight = most, .metrics = metrics}, true);
    struct kp_pod calm = bench->pod;
    struct kp_target other = bench->target;
    struct kp_metric *in_flight = kp_gauge(metrics, "kube_pprof_capture_bytes_in_flight", "");
    (void)state;
    calm.namespace = "calm";
    other.pod = &calm;
    other.port = bench->target.port = (uint16_t)kp_peer_port(peer);
    bench->wanted.path = "/debug/pprof/hoard";
    bench->wanted.profile_bytes = 2 << 20;
    kp_capturer_watch_every(bench->capturer, 10 * FIXTURE_PATIENCE_MS); // nobody is cut off
    for (int i = 0; i < 6; i++)
        fixture_order(bench, 0, NULL);
    until_in_flight(bench, in_flight, (double)most / 4 * 3 + (double)whole, (double)most + (2 << 20));
    struct kp_wanted wanted = bench->wanted;
    wanted.path = "/debug/pprof/heap";
    for (int i = 0; i < 2; i++) {
        struct kp_order order = {
            .id = ++bench->next_id, .target = kp_target_ref(&other), .wanted = &wanted, .slot_ms = 1};
        assert_int_equal(kp_capture_start(bench->capturer, &order, NULL, fixture_on_done, bench, NULL), 0);
    }
    fixture_until_results(bench, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(bench->results.items[i].outcome, KP_OUTCOME_SUCCEEDED);
        assert_true(bench->results.items[i].order_id > 6);
    }
    kp_capturer_watch_every(bench->capturer, 100);
    fixture_until_results(bench, 2 + 4); // until the others have room for what they want
    for (size_t i = 2; i < 6; i++) {
        assert_int_equal(bench->results.items[i].outcome, KP_OUTCOME_TIMEOUT);
        assert_non_null(strstr(bench->results.items[i].message, "cut off"));
    }
    fixture_end(bench);
    kp_metrics_destroy(metrics);
    kp_peer_stop(peer);
}

// Who has to stand still until his time is over is not at fault.
static void who_never_had_room_is_throttled(void **state)
{
    const struct kp_wanted wanted = {.type = "heap"};
    const struct kp_order order = {.wanted = &wanted};
    struct kp_scrape_facts facts = {.order = &order, .where = "10.0.0.1:6060/debug/pprof/heap"};
    const struct kp_http_result late = {.code = KP_TIMEOUT, .status = 200, .connect_us = 1};
    char message[240];
    (void)state;
    assert_int_equal(kp_scrape_judge(&facts, &late, NULL, message), KP_OUTCOME_TIMEOUT);
    facts.paused = true;
    assert_int_equal(kp_scrape_judge(&facts, &late, NULL, message), KP_OUTCOME_THROTTLED);
    assert_non_null(strstr(message, "--max-bytes-in-flight"));
}

static void a_paused_capture_can_be_called_off(void **state)
{
    static char bulk[4096];
    static const struct kp_step script[] = {
        KP_STEP_TEXT("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x1f\x8b"),
        KP_STEP_REPEAT(bulk, sizeof bulk, 64 << 10), KP_STEP_HANG};
    struct kp_peer *peer = kp_peer_start_script(script);
    struct bench *bench = fixture_start((struct kp_capture_options){.max_bytes_in_flight = 32 << 10}, true);
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    for (int i = 0; i < 4; i++)
        fixture_order(bench, 0, NULL);
    fixture_until_requests(bench, peer, 4);
    run(bench, 200);
    for (uint64_t id = 1; id <= 4; id++)
        kp_capture_cancel(bench->capturer, id, KP_OUTCOME_CANCELLED);
    fixture_until_results(bench, 4);
    fixture_end(bench);
    kp_peer_stop(peer);
}

static void two_hundred_at_once(void **state)
{
    static const struct kp_step script[] = {KP_STEP_WAIT_MS(300),
        KP_STEP_TEXT("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" FIXTURE_PROFILE), KP_STEP_CLOSE};
    struct kp_peer *peer = kp_peer_start_script(script);
    struct bench *bench = fixture_start((struct kp_capture_options){0}, true);
    (void)state;
    bench->target.port = (uint16_t)kp_peer_port(peer);
    for (int i = 0; i < 200; i++)
        fixture_order(bench, 1000, NULL);
    fixture_until_results(bench, 200);
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(bench->results.items[i].outcome, KP_OUTCOME_SUCCEEDED);
    assert_int_equal(kp_peer_connections(peer), 200); // one each: connections are not kept
    fixture_end(bench);
    kp_peer_stop(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_capture_can_be_called_off_in_every_state),
        cmocka_unit_test(destroying_calls_everything_off),
        cmocka_unit_test(no_more_than_allowed_run),
        cmocka_unit_test(bytes_in_flight_are_bounded_and_everybody_ends),
        cmocka_unit_test(a_stuck_one_holds_nobody_up),
        cmocka_unit_test(what_waits_for_the_registry_leaves_some_room),
        cmocka_unit_test(who_hoards_is_cut_off_and_others_get_on),
        cmocka_unit_test(who_never_had_room_is_throttled),
        cmocka_unit_test(a_paused_capture_can_be_called_off),
        cmocka_unit_test(two_hundred_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
