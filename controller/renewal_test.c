// The registry's certificates over years of a fake clock: who has the bundle that was published always
// verifies what is served, whatever is lost or damaged on the way it comes back.
#include "controller/renewal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

#define NOW_MS    INT64_C(1800000000000)
#define MINUTE_MS INT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

static const char *const names[] = {"kube-pprof-registry.kube-pprof.svc", "localhost"};
static const struct kp_renewal_config config = {.ca_lifetime_ms = 120 * DAY_MS,
    .lifetime_ms = 20 * DAY_MS,
    .settle_ms = 5 * MINUTE_MS,
    .names = names,
    .n_names = 2};

struct world {
    struct kp_renewal_state state;
    int64_t now_ms, publish_lag_ms;
    char *known;                       // the bundle that verifiers have
    struct kp_pki_pair served;         // what the registry has mounted
    int64_t known_at_ms, served_at_ms; // when they get what is written
    unsigned steps[5], repairs;
};

static void world_finish(struct world *w)
{
    kp_renewal_state_finish(&w->state);
    kp_pki_pair_finish(&w->served);
    kp_free(w->known);
}

static struct kp_renewal decide(struct world *w)
{
    struct kp_renewal ret;
    kp_renewal_decide(&config, &w->state, w->now_ms, &ret);
    return ret;
}

static void copy_pair(struct kp_pki_pair *to, const struct kp_pki_pair *from)
{
    kp_pki_pair_finish(to);
    *to = (struct kp_pki_pair){kp_strdup(from->cert), kp_strdup(from->key)};
}

// Also by who has a clock that is nearly an hour behind.
static void assert_trusted(const struct world *w)
{
    struct kp_error err = {0};
    for (int64_t behind = 0; behind < HOUR_MS; behind += HOUR_MS - MINUTE_MS)
        if (w->known != NULL && kp_pki_check(&w->served, w->known, names, 2, w->now_ms - behind, &err) != 0)
            fail_msg("after %lld days, a clock %lld minutes behind: %s",
                (long long)((w->now_ms - NOW_MS) / DAY_MS), (long long)(behind / MINUTE_MS), err.text);
}

// What is written reaches verifiers and the registry only after a while.
static void spread(struct world *w)
{
    kp_auto_free char *bundle = kp_renewal_bundle(&w->state);
    if (!kp_streq(bundle, w->state.bundle)) {
        w->state.published_since_ms = 0;
        w->known_at_ms = 0;
    } else if (!kp_streq(w->known, bundle)) {
        if (w->known_at_ms == 0)
            w->known_at_ms = w->now_ms + w->publish_lag_ms;
        w->state.published_since_ms = 0;
        if (w->now_ms >= w->known_at_ms) {
            kp_free(w->known);
            w->known = kp_strdup(bundle);
            w->state.published_since_ms = w->now_ms;
            w->known_at_ms = 0;
        }
    } else if (w->state.published_since_ms == 0) {
        w->state.published_since_ms = w->now_ms;
    }
    if (w->state.serving.cert != NULL && !kp_streq(w->served.cert, w->state.serving.cert)) {
        if (w->served_at_ms == 0)
            w->served_at_ms = w->now_ms + 2 * MINUTE_MS;
        if (w->now_ms >= w->served_at_ms || w->served.cert == NULL) {
            copy_pair(&w->served, &w->state.serving);
            w->served_at_ms = 0;
        }
    }
}

// Lets the controller do what it decides until it waits.
static int64_t turn(struct world *w)
{
    for (int i = 0; i < 10; i++) {
        struct kp_error err = {0};
        spread(w);
        struct kp_renewal next = decide(w);
        if (next.step == KP_RENEWAL_NOTHING)
            return next.again_ms;
        w->steps[next.step]++;
        w->repairs += next.is_repair;
        assert_int_not_equal(next.why[0], '\0');
        if (kp_renewal_make(&config, next.step, w->now_ms, &w->state, &err) != 0)
            fail_msg("%s", err.text);
    }
    fail_msg("the steps have no end");
    return 0;
}

static void years_pass_and_nobody_is_refused(void **state)
{
    struct world w = {.now_ms = NOW_MS, .publish_lag_ms = 3 * MINUTE_MS};
    (void)state;
    turn(&w);
    while (w.now_ms < NOW_MS + 2 * 365 * DAY_MS) {
        int64_t again = turn(&w);
        assert_true(again > w.now_ms);
        assert_trusted(&w);
        // in small steps where something is under way
        bool is_quiet = w.known_at_ms == 0 && w.served_at_ms == 0;
        int64_t jump = again - w.now_ms < DAY_MS ? again - w.now_ms : DAY_MS;
        w.now_ms += is_quiet ? jump : MINUTE_MS;
    }
    // a CA every 80 days, a certificate every 13 days and a third and at each change of the CA
    assert_in_range(w.steps[KP_RENEWAL_MAKE_CA], 9, 11);
    assert_in_range(w.steps[KP_RENEWAL_DROP_PREVIOUS], 8, 10);
    assert_in_range(w.steps[KP_RENEWAL_SIGN], 54, 75);
    assert_int_equal(w.repairs, 2); // there was nothing at the beginning
    world_finish(&w);
}

static void a_new_ca_waits_until_it_is_known(void **state)
{
    struct world w = {.now_ms = NOW_MS};
    (void)state;
    turn(&w);
    kp_auto_free char *first = kp_strdup(w.state.serving.cert);
    assert_int_equal(kp_renewal_make(&config, KP_RENEWAL_MAKE_CA, w.now_ms, &w.state, NULL), 0);
    assert_non_null(w.state.previous);
    assert_int_equal(decide(&w).step, KP_RENEWAL_PUBLISH);
    assert_int_equal(kp_renewal_make(&config, KP_RENEWAL_PUBLISH, w.now_ms, &w.state, NULL), 0);
    assert_string_equal(w.state.serving.cert, first);
    w.state.published_since_ms = 0;
    w.now_ms += DAY_MS; // not known everywhere: it waits, however long
    assert_int_equal(decide(&w).step, KP_RENEWAL_NOTHING);
    w.state.published_since_ms = w.now_ms;
    assert_true(decide(&w).again_ms == w.now_ms + 5 * MINUTE_MS);
    w.now_ms += 5 * MINUTE_MS - 1;
    assert_int_equal(decide(&w).step, KP_RENEWAL_NOTHING);
    w.now_ms += 1;
    assert_int_equal(decide(&w).step, KP_RENEWAL_SIGN);
    assert_int_equal(kp_renewal_make(&config, KP_RENEWAL_SIGN, w.now_ms, &w.state, NULL), 0);
    assert_int_equal(decide(&w).step, KP_RENEWAL_NOTHING); // the old one is trusted on
    assert_non_null(strstr(w.state.bundle, w.state.previous));
    world_finish(&w);
}

static void lost_and_damaged_things_come_back(void **state)
{
    (void)state;
    for (int what = 0; what < 7; what++) {
        struct world w = {.now_ms = NOW_MS, .publish_lag_ms = 3 * MINUTE_MS};
        struct kp_renewal_state *s = &w.state;
        for (int i = 0; i < 10; i++, w.now_ms += MINUTE_MS)
            turn(&w);
        w.repairs = 0;
        char **victims[] = {&s->ca.cert, &s->ca.key, &s->serving.cert, &s->serving.key, &s->bundle};
        if (what < 5) {
            kp_free(*victims[what]);
            *victims[what] = kp_strdup("hand-edited into nonsense");
        } else if (what == 5) { // the Secret of the CA is deleted
            kp_pki_pair_finish(&s->ca);
        } else { // that of the certificate
            kp_pki_pair_finish(&s->serving);
            kp_free(s->bundle);
            s->bundle = NULL;
        }
        for (int i = 0; i < 30; i++, w.now_ms += MINUTE_MS) {
            turn(&w);
            assert_trusted(&w); // also while it is repaired: nothing is signed by a CA nobody knows
        }
        if (what != 4)
            assert_int_equal(w.repairs, 1);
        struct kp_renewal next = decide(&w);
        assert_int_equal(next.step, KP_RENEWAL_NOTHING);
        kp_auto_free char *bundle = kp_renewal_bundle(s);
        assert_string_equal(s->bundle, bundle);
        assert_int_equal(kp_pki_check(&s->serving, s->ca.cert, names, 2, w.now_ms, NULL), 0);
        world_finish(&w);
    }
}

static void names_that_are_wanted_are_there(void **state)
{
    static const char *const other[] = {"pprof-registry.elsewhere.svc"};
    struct world w = {.now_ms = NOW_MS};
    struct kp_renewal_config moved = config;
    struct kp_renewal next;
    (void)state;
    turn(&w);
    moved.names = other;
    moved.n_names = 1;
    kp_renewal_decide(&moved, &w.state, w.now_ms, &next);
    assert_int_equal(next.step, KP_RENEWAL_SIGN);
    assert_non_null(strstr(next.why, "not for 'pprof-registry.elsewhere.svc'"));
    world_finish(&w);
}

static void a_certificate_near_its_end_does_not_wait(void **state)
{
    struct world w = {.now_ms = NOW_MS};
    (void)state;
    turn(&w);
    assert_int_equal(kp_renewal_make(&config, KP_RENEWAL_MAKE_CA, w.now_ms, &w.state, NULL), 0);
    assert_int_equal(kp_renewal_make(&config, KP_RENEWAL_PUBLISH, w.now_ms, &w.state, NULL), 0);
    w.state.published_since_ms = 0; // and stays so
    w.now_ms = NOW_MS + 18 * DAY_MS;
    assert_int_equal(decide(&w).step, KP_RENEWAL_NOTHING);
    w.now_ms = NOW_MS + 19 * DAY_MS;
    struct kp_renewal next = decide(&w);
    assert_int_equal(next.step, KP_RENEWAL_SIGN);
    assert_true(next.is_repair);
    world_finish(&w);
}

static void replaced_again_and_again_stays_bounded(void **state)
{
    struct world w = {.now_ms = NOW_MS};
    (void)state;
    turn(&w);
    for (int i = 0; i < 40; i++) {
        kp_free(w.state.ca.key);
        w.state.ca.key = kp_strdup("");
        turn(&w);
        assert_true(strlen(w.state.previous) <= 16384);
    }
    world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(years_pass_and_nobody_is_refused),
        cmocka_unit_test(a_new_ca_waits_until_it_is_known),
        cmocka_unit_test(lost_and_damaged_things_come_back),
        cmocka_unit_test(names_that_are_wanted_are_there),
        cmocka_unit_test(a_certificate_near_its_end_does_not_wait),
        cmocka_unit_test(replaced_again_and_again_stays_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
