#include "kube/lease.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "kube/api_peer.h"
#include "kube/config.h"

#include "base/banned.h"

struct fixture {
    struct peer *peer;
    struct kp_loop *loop;
    struct kp_kube *kube;
    struct kp_lease *lease;
    int changes;
    size_t seen_at_change;
    bool leading, released, destroy_on_change;
    bool want_leading, done;
    size_t want_seen;
};

static void on_change(void *user, bool leading)
{
    struct fixture *f = user;
    f->changes++;
    f->seen_at_change = peer_seen(f->peer);
    f->leading = leading;
    if (f->destroy_on_change) {
        kp_lease_destroy(f->lease);
        f->lease = NULL;
    }
}

static void begin_as(
    struct fixture *f, const struct peer_step *steps, size_t n, int64_t duration_ms, bool goes_on)
{
    memset(f, 0, sizeof *f);
    f->peer = peer_start(steps, n);
    kp_auto_free char *server = kp_asprintf("http://127.0.0.1:%d", f->peer->port);
    struct kp_kube_config config = {.server = server};
    f->loop = kp_loop_create();
    f->kube = kp_kube_create(f->loop, &config, NULL);
    struct kp_lease_options options = {
        "ns", "kp", "me", duration_ms, duration_ms * 2 / 3, duration_ms / 20, goes_on};
    f->lease = kp_lease_create(f->kube, &options, on_change, f);
    kp_lease_start(f->lease);
    assert_false(kp_lease_leading(f->lease));
}

static void begin(struct fixture *f, const struct peer_step *steps, size_t n, int64_t duration_ms)
{
    begin_as(f, steps, n, duration_ms, false);
}

static void check(void *user)
{
    struct fixture *f = user;
    f->done = f->leading == f->want_leading && peer_seen(f->peer) >= f->want_seen;
}

static void run_until(struct fixture *f, bool leading, size_t seen)
{
    struct kp_timer *timer = kp_timer_create(f->loop, check, f);
    f->want_leading = leading;
    f->want_seen = seen;
    f->done = false;
    kp_timer_start(timer, 0, 1);
    bool done = kp_loop_run_until(f->loop, &f->done, 20000);
    kp_timer_destroy(timer);
    if (!done)
        fail_msg("leading %d after %zu requests", f->leading, peer_seen(f->peer));
}

static void end(struct fixture *f)
{
    kp_lease_destroy(f->lease);
    kp_kube_destroy(f->kube);
    kp_loop_destroy(f->loop);
    kp_auto_free char *failure = peer_stop(f->peer);
    if (failure)
        fail_msg("%s", failure);
}

#define LEASE(holder, rv, seconds, renewed, transitions)                                                     \
    "{\"apiVersion\":\"coordination.k8s.io/"                                                                 \
    "v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":\"kp\",\"resourceVersion\":\"" rv                        \
    "\",\"labels\":{\"keep\":\"me\"},\"managedFields\":[]},\"spec\":{\"holderIdentity\":\"" holder           \
    "\",\"leaseDurationSeconds\":" #seconds ",\"renewTime\":\"" renewed                                      \
    "\",\"leaseTransitions\":" #transitions "}}"
#define NOT_FOUND                                                                                            \
    {                                                                                                        \
        "GET ", 404, NULL, "{\"kind\":\"Status\",\"reason\":\"NotFound\"}", 0, 0, PEER_WHOLE                 \
    }
#define CONFLICT(method, reason)                                                                             \
    {                                                                                                        \
        method, 409, NULL, "{\"kind\":\"Status\",\"reason\":\"" reason "\"}", 0, 0, PEER_WHOLE               \
    }

static void test_created_renewed_released(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        NOT_FOUND,
        {"POST /apis/coordination.k8s.io/v1/namespaces/ns/leases HTTP", 201, NULL,
            LEASE("me", "1", 2, "a", 0), 0, 0, PEER_WHOLE},
        {"PUT /apis/coordination.k8s.io/v1/namespaces/ns/leases/kp HTTP", 200, NULL,
            LEASE("me", "2", 2, "b", 0), 0, 0, PEER_WHOLE},
        {"\"resourceVersion\":\"2\"", 200, NULL, LEASE("me", "3", 2, "c", 0), 0, 0, PEER_WHOLE},
        {"\"holderIdentity\":\"\",\"leaseDurationSeconds\":1,", 200, NULL, LEASE("", "4", 1, "c", 0), 0, 0,
            PEER_WHOLE},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), 2000);
    run_until(&f, true, 4);
    assert_true(kp_lease_leading(f.lease));
    assert_int_equal(f.changes, 1);
    bool never = false;
    (void)kp_loop_run_until(f.loop, &never, 30);
    kp_lease_release(f.lease, NULL, NULL);
    assert_false(kp_lease_leading(f.lease));
    run_until(&f, true, 5); // f.leading stays: release tells nothing
    assert_int_equal(f.changes, 1);
    assert_non_null(strstr(f.peer->seen[1], "\"leaseTransitions\":0"));
    assert_non_null(strstr(f.peer->seen[1], "\"leaseDurationSeconds\":2"));
    assert_non_null(strstr(f.peer->seen[1], "\"holderIdentity\":\"me\""));
    assert_non_null(strstr(f.peer->seen[2], "\"keep\":\"me\""));
    assert_null(strstr(f.peer->seen[2], "managedFields"));
    end(&f);
}

static void on_released(void *user)
{
    struct fixture *f = user;
    assert_false(f->released);
    f->released = true;
}

static void test_release_of_nothing(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET", 200, NULL, LEASE("other", "1", 60, "a", 4), 0, 0, PEER_WHOLE}};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), 60000);
    run_until(&f, false, 1);
    kp_lease_release(f.lease, on_released, &f);
    assert_false(f.released);
    assert_true(kp_loop_run_until(f.loop, &f.released, 20000));
    end(&f);
}

// Somebody else's lease runs out only by our own clock, counted anew with each change.
static void test_taken_over_when_it_runs_out(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET", 200, NULL, LEASE("other", "1", 1, "a", 4), 0, 0, PEER_WHOLE},
        {"GET", 200, NULL, LEASE("other", "2", 1, "b", 4), 0, 0, PEER_WHOLE},
        {NULL, 200, NULL, LEASE("other", "2", 1, "b", 4), 0, 0, PEER_WHOLE},
        {NULL, 200, NULL, LEASE("other", "2", 1, "b", 4), 0, 0, PEER_WHOLE},
        {NULL, 200, NULL, LEASE("other", "2", 1, "b", 4), 0, 0, PEER_WHOLE},
        {NULL, 200, NULL, LEASE("me", "3", 10, "c", 5), 0, 0, PEER_WHOLE},
    };
    struct fixture f;
    int64_t began = kp_mono_ms();
    begin(&f, steps, KP_COUNT(steps), 16000); // asks again every 400 to 600 ms
    run_until(&f, true, 4);
    assert_true(kp_mono_ms() - began >= 1400);
    size_t n = peer_seen(f.peer);
    assert_non_null(strstr(f.peer->seen[n - 1], "PUT "));
    assert_non_null(strstr(f.peer->seen[n - 1], "\"leaseTransitions\":5"));
    assert_non_null(strstr(f.peer->seen[n - 1], "\"resourceVersion\":\"2\""));
    end(&f);
}

static void test_free_lease_is_taken_at_once(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET", 200, NULL, LEASE("", "1", 60, "a", 4), 0, 0, PEER_WHOLE},
        {"\"leaseTransitions\":5", 200, NULL, LEASE("me", "2", 60, "b", 5), 0, 0, PEER_WHOLE},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), 60000);
    run_until(&f, true, 2);
    end(&f);
}

static void test_lost_race(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        NOT_FOUND,
        CONFLICT("POST ", "AlreadyExists"),
        {"GET", 200, NULL, LEASE("other", "1", 600, "a", 4), 0, 0, PEER_WHOLE},
        {"GET", 200, NULL, LEASE("other", "1", 600, "a", 4), 0, 0, PEER_WHOLE},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), 1000);
    run_until(&f, false, 4);
    assert_int_equal(f.changes, 0);
    end(&f);
}

static void test_taken_away(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET", 200, NULL, LEASE("", "1", 1, "a", 4), 0, 0, PEER_WHOLE},
        {"PUT", 200, NULL, LEASE("me", "2", 600, "b", 5), 0, 0, PEER_WHOLE},
        CONFLICT("PUT ", "Conflict"),
        {"GET", 200, NULL, LEASE("other", "3", 600, "a", 6), 0, 0, PEER_WHOLE},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), 4000);
    run_until(&f, true, 2);
    run_until(&f, false, 4);
    assert_false(kp_lease_leading(f.lease));
    assert_int_equal(f.changes, 2);
    end(&f);
}

static void test_deadline(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET", 200, NULL, LEASE("me", "1", 1, "a", 4), 0, 0, PEER_WHOLE}, // our own from before a restart
        {"PUT", 200, NULL, LEASE("me", "2", 600, "b", 4), 0, 0, PEER_WHOLE},
        {"PUT", 500, NULL, "", 0, 0, PEER_WHOLE},
    }; // and then silence
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), 1500);
    run_until(&f, true, 2);
    assert_non_null(strstr(f.peer->seen[1], "\"leaseTransitions\":4"));
    int64_t led = kp_mono_ms();
    run_until(&f, false, 3);
    int64_t lasted = kp_mono_ms() - led;
    assert_true(lasted <= 1500); // before anybody else may begin
    assert_false(kp_lease_leading(f.lease));
    end(&f);
}

// A stopped process does not run its timers; when it goes on the first one that is due may be any.
static void on_first_after_the_stop(void *user)
{
    struct fixture *f = user;
    assert_true(f->leading); // nobody was told yet
    assert_false(kp_lease_leading(f->lease));
    f->released = true;
}

static void test_a_stop_beyond_the_deadline_is_noticed_by_the_clock(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET", 200, NULL, LEASE("", "1", 1, "a", 4), 0, 0, PEER_WHOLE},
        {"PUT", 200, NULL, LEASE("me", "2", 1, "b", 5), 0, 0, PEER_WHOLE},
        {"GET", 200, NULL, LEASE("other", "3", 600, "c", 6), 0, 0, PEER_WHOLE},
        {"GET", 200, NULL, LEASE("other", "3", 600, "c", 6), 0, 0, PEER_WHOLE},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), 600);
    assert_int_equal(kp_lease_left_ms(f.lease), 0);
    run_until(&f, true, 2);
    assert_true(kp_lease_left_ms(f.lease) > 0 && kp_lease_left_ms(f.lease) <= 600);
    assert_string_equal(kp_lease_holder(f.lease), "me");
    struct kp_timer *timer = kp_timer_create(f.loop, on_first_after_the_stop, &f);
    kp_timer_start(timer, 1, 0); // before the renewal and the deadline
    usleep(700000);
    assert_int_equal(kp_lease_left_ms(f.lease), 0);
    assert_true(kp_loop_run_until(f.loop, &f.released, 20000));
    run_until(&f, false, 3);
    assert_false(kp_lease_leading(f.lease));
    run_until(&f, false, 4);
    assert_string_equal(kp_lease_holder(f.lease), "other");
    kp_timer_destroy(timer);
    end(&f);
}

static void on_marker(void *user)
{
    *(bool *)user = true;
}

// Alone: its own lease from before a restart is taken at once; then the server is away for longer than the
// lease lasts, the lease is deleted, somebody empties it, and only another holder ends it.
static void test_goes_on_until_another_holds_it(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET", 200, NULL, LEASE("me", "1", 600, "a", 4), 0, 0, PEER_WHOLE},
        {"PUT", 200, NULL, LEASE("me", "2", 600, "b", 4), 0, 0, PEER_WHOLE},
        {"PUT", 0, NULL, NULL, 0, 0, PEER_DROP},
        {"PUT", 500, NULL, "", 0, 0, PEER_WHOLE},
        {"PUT", 504, NULL, "", 0, 0, PEER_HOLD}, // until it is given up: a third of the duration
        {"PUT", 504, NULL, "", 0, 0, PEER_HOLD},
        {"PUT", 504, NULL, "", 0, 0, PEER_HOLD},
        {"PUT", 504, NULL, "", 0, 0, PEER_HOLD},
        {"\"resourceVersion\":\"2\"", 404, NULL, "{}", 0, 0, PEER_WHOLE},
        NOT_FOUND,
        {"POST ", 500, NULL, "", 0, 0, PEER_WHOLE},
        {"GET", 403, NULL, "{}", 0, 0, PEER_WHOLE},
        NOT_FOUND,
        CONFLICT("POST ", "AlreadyExists"),
        {"GET", 200, NULL, LEASE("", "3", 1, "c", 5), 0, 0, PEER_WHOLE},
        CONFLICT("PUT ", "Conflict"),
        {"GET", 200, NULL, LEASE("other", "4", 600, "d", 6), 0, 0, PEER_WHOLE},
        {"GET", 200, NULL, LEASE("other", "4", 600, "d", 6), 0, 0, PEER_WHOLE},
    };
    struct fixture f;
    begin_as(&f, steps, KP_COUNT(steps), 600, true);
    assert_int_equal(kp_lease_left_ms(f.lease), 0);
    run_until(&f, true, 2);
    int64_t led = kp_boot_ms();
    run_until(&f, true, 9);
    assert_true(kp_boot_ms() - led > 600); // others may have begun
    assert_true(kp_lease_leading(f.lease));
    assert_int_equal(kp_lease_left_ms(f.lease), 600);
    run_until(&f, true, 12);
    assert_true(kp_lease_leading(f.lease));
    assert_int_equal(f.changes, 1);
    run_until(&f, false, 18);
    assert_false(kp_lease_leading(f.lease));
    assert_int_equal(kp_lease_left_ms(f.lease), 0);
    assert_int_equal(f.changes, 2);
    assert_int_equal(f.seen_at_change, 17); // not before it was seen who holds it
    end(&f);
}

// It is no leader until it has the lease, and gives it back at its end.
static void test_goes_on_waits_for_anothers_lease(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET", 200, NULL, LEASE("other", "1", 1, "a", 4), 0, 0, PEER_WHOLE},
        {"GET", 200, NULL, LEASE("other", "2", 1, "b", 4), 0, 0, PEER_WHOLE},
        {"GET", 200, NULL, LEASE("", "3", 1, "b", 4), 0, 0, PEER_WHOLE},
        {"\"leaseTransitions\":5", 200, NULL, LEASE("me", "4", 600, "c", 5), 0, 0, PEER_WHOLE},
        {"\"holderIdentity\":\"\"", 200, NULL, LEASE("", "5", 1, "d", 5), 0, 0, PEER_WHOLE},
    };
    struct fixture f;
    begin_as(&f, steps, KP_COUNT(steps), 16000, true);
    run_until(&f, false, 2);
    assert_false(kp_lease_leading(f.lease));
    assert_int_equal(f.changes, 0);
    run_until(&f, true, 4);
    assert_int_equal(f.seen_at_change, 4);
    assert_true(kp_lease_leading(f.lease));
    kp_lease_release(f.lease, on_released, &f);
    assert_false(kp_lease_leading(f.lease));
    assert_true(kp_loop_run_until(f.loop, &f.released, 20000));
    end(&f);
}

// What is given back is taken soon: it is asked for more often than a leader renews.
static void test_given_back_is_asked_for_within_a_retry(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET", 200, NULL, LEASE("other", "1", 600, "a", 4), 0, 0, PEER_WHOLE},
        {"GET", 200, NULL, LEASE("", "2", 1, "b", 4), 0, 0, PEER_WHOLE},
        {"PUT", 200, NULL, LEASE("me", "3", 600, "c", 5), 0, 0, PEER_WHOLE},
    };
    struct fixture f;
    bool passed = false;
    begin(&f, steps, KP_COUNT(steps), 60000); // a leader renews every 3 s
    run_until(&f, false, 1);
    struct kp_timer *marker = kp_timer_create(f.loop, on_marker, &passed);
    kp_timer_start(marker, 3000, 0);
    run_until(&f, true, 3);
    assert_false(passed);
    kp_timer_destroy(marker);
    end(&f);
}

static void test_destroyed_from_its_own_callback(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"GET", 200, NULL, LEASE("", "1", 60, "a", 4), 0, 0, PEER_WHOLE},
        {"PUT", 200, NULL, LEASE("me", "2", 60, "b", 5), 0, 0, PEER_WHOLE},
    };
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), 60000);
    f.destroy_on_change = true;
    run_until(&f, true, 2);
    assert_null(f.lease);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_created_renewed_released),
        cmocka_unit_test(test_release_of_nothing),
        cmocka_unit_test(test_taken_over_when_it_runs_out),
        cmocka_unit_test(test_free_lease_is_taken_at_once),
        cmocka_unit_test(test_lost_race),
        cmocka_unit_test(test_taken_away),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_a_stop_beyond_the_deadline_is_noticed_by_the_clock),
        cmocka_unit_test(test_goes_on_until_another_holds_it),
        cmocka_unit_test(test_goes_on_waits_for_anothers_lease),
        cmocka_unit_test(test_given_back_is_asked_for_within_a_retry),
        cmocka_unit_test(test_destroyed_from_its_own_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
