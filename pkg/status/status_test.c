// When status is written: against an API server of which every request is expected. Times given to updates
// lie ahead of the clock instead of being waited for.
#include "status/status.h"

#include "status/writer_fixture.h"
#include "base/banned.h"

#define EVENT "POST /apis/events.k8s.io/v1/namespaces/shop/events"

static void test_first_sight_is_written_at_once(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {OK(APPLY)};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    add(&f, "{}");
    struct kp_policy_summary summary = fixture_summary();
    kp_statuses_update(f.statuses, "shop/p", &summary, kp_now_ms());
    run_until(&f, 1);
    assert_true(has(&f, 0, "fieldManager=kube-pprof-controller"));
    assert_true(has(&f, 0, "\"kind\":\"ProfilingPolicy\""));
    assert_true(has(&f, 0, "\"sampled\":6"));
    assert_true(has(&f, 0, "\"type\":\"CapturesSucceeding\""));
    end(&f);
}

static void test_an_edit_is_told_at_once(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {OK(APPLY), OK(APPLY)};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    add(&f, "{}");
    struct kp_policy_summary summary = fixture_summary();
    kp_statuses_update(f.statuses, "shop/p", &summary, kp_now_ms());
    run_until(&f, 1);
    kp_statuses_update(f.statuses, "shop/p", &summary, kp_now_ms() + 100); // nothing new
    ((struct kp_policy *)(uintptr_t)f.policy)->generation += 1;            // edited, with the same result
    kp_statuses_update(f.statuses, "shop/p", &summary, kp_now_ms() + 200);
    run_until(&f, 2);
    end(&f);
}

static void test_cluster_policies_have_their_own_path(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        OK("PATCH /apis/kube-pprof.dev/v1alpha1/clusterprofilingpolicies/all/status?")};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    kp_policy_unref(f.policy);
    f.policy = fixture_policy(NULL, "all", FIXTURE_SPEC);
    add(&f, "{}");
    struct kp_policy_summary summary = fixture_summary();
    kp_statuses_update(f.statuses, "/all", &summary, kp_now_ms());
    run_until(&f, 1);
    assert_true(has(&f, 0, "\"kind\":\"ClusterProfilingPolicy\""));
    assert_false(has(&f, 0, "\"namespace\""));
    end(&f);
}

static void test_when_what_is_written(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {OK(APPLY), OK(APPLY), OK(APPLY), OK(APPLY), OK(APPLY)};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    add(&f, "{}");
    struct kp_policy_summary summary = fixture_summary();
    int64_t now = kp_now_ms();
    kp_statuses_update(f.statuses, "shop/p", &summary, now);
    run_until(&f, 1);
    // the same again: nothing, not even after a minute
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 1000);
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 70000);
    run_until(&f, 1);
    // target counts: at most every 5 s
    summary.sampled = 5;
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 2000);
    run_until(&f, 1);
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 9000);
    run_until(&f, 2);
    assert_true(has(&f, 1, "\"sampled\":5"));
    // the set of reasons: the same
    fixture_failure(&summary, "Timeout", "cpu", 1, "too slow");
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 2000);
    run_until(&f, 2);
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 9000);
    run_until(&f, 3);
    // counters: once a minute
    kp_statuses_count(f.statuses, "shop/p", "cpu", KP_OUTCOME_SUCCEEDED, now);
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 30000);
    run_until(&f, 3);
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 70000);
    run_until(&f, 4);
    assert_true(has(&f, 3, "\"succeeded\":1"));
    // a condition: at once
    summary.feasible = false;
    summary.feasible_message = "2 asked, 1 possible";
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 2000);
    run_until(&f, 5);
    assert_true(has(&f, 4, "2 asked, 1 possible"));
    end(&f);
}

static void test_a_failed_write_is_repeated(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {APPLY, 403, NULL, "{\"kind\":\"Status\",\"message\":\"forbidden\",\"reason\":\"Forbidden\"}", 0, 0,
            PEER_WHOLE},
        OK(APPLY)};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    add(&f, "{}");
    struct kp_policy_summary summary = fixture_summary();
    int64_t now = kp_now_ms();
    kp_statuses_update(f.statuses, "shop/p", &summary, now);
    run_until(&f, 1);
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 1000);
    run_until(&f, 1);
    assert_string_equal(kp_statuses_trouble(f.statuses), "forbidden");
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 9000);
    run_until(&f, 2);
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 10000);
    run_until(&f, 2);
    assert_null(kp_statuses_trouble(f.statuses));
    end(&f);
}

static void test_a_policy_that_is_gone(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {{APPLY, 404, NULL,
        "{\"kind\":\"Status\",\"message\":\"not found\",\"reason\":\"NotFound\"}", 0, 0, PEER_WHOLE}};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    add(&f, "{}");
    struct kp_policy_summary summary = fixture_summary();
    int64_t now = kp_now_ms();
    kp_statuses_update(f.statuses, "shop/p", &summary, now);
    run_until(&f, 1);
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 9000);
    kp_statuses_drop_policy(f.statuses, "shop/p");
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 90000);
    kp_statuses_count(f.statuses, "shop/p", "cpu", KP_OUTCOME_SUCCEEDED, now);
    kp_statuses_drop_policy(f.statuses, "shop/p");
    run_until(&f, 1);
    end(&f);
}

static void test_changed_while_it_is_written(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {OK(APPLY), OK(APPLY)};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    add(&f, "{}");
    struct kp_policy_summary summary = fixture_summary();
    kp_statuses_update(f.statuses, "shop/p", &summary, kp_now_ms());
    summary.feasible = false;
    summary.feasible_message = "2 asked, 1 possible";
    kp_statuses_update(f.statuses, "shop/p", &summary, kp_now_ms());
    run_until(&f, 2);
    assert_true(has(&f, 0, "\"sampled\":6"));
    assert_false(has(&f, 0, "2 asked"));
    assert_true(has(&f, 1, "2 asked, 1 possible"));
    end(&f);
}

static void test_dropped_while_it_is_written(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {OK(APPLY)};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    add(&f, "{}");
    struct kp_policy_summary summary = fixture_summary();
    kp_statuses_update(f.statuses, "shop/p", &summary, kp_now_ms());
    kp_statuses_drop_policy(f.statuses, "shop/p");
    run_until(&f, 1);
    end(&f);
}

static void test_only_who_writes_judges(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {OK(APPLY)};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    kp_statuses_set_writing(f.statuses, false);
    bool never = false;
    add(&f, "{}");
    struct kp_policy_summary summary = fixture_summary();
    int64_t now = kp_now_ms();
    kp_statuses_update(f.statuses, "shop/p", &summary, now);
    run_until(&f, 0);
    // the leader wrote meanwhile
    add(&f, "{'status': {'conditions': [{'type': 'Ready', 'status': 'True', 'reason': 'Ready', "
            "'lastTransitionTime': '2020-01-01T00:00:00Z'}], 'lastCaptureTime': '2021-01-01T00:00:00Z', "
            "'profiles': [{'type': 'cpu', 'lastResult': 'Timeout'}]}}");
    kp_statuses_count(f.statuses, "shop/p", "cpu", KP_OUTCOME_CANCELLED, 0); // of when it led once
    add(&f, "{'status': {'profiles': [{'type': 'cpu', 'lastResult': 'Unreachable'}]}}");
    (void)kp_loop_run_until(f.loop, &never, 1100);
    char since[2][KP_TIME_TEXT];
    kp_time_format(since[0], kp_now_ms());
    kp_statuses_set_writing(f.statuses, true);
    kp_time_format(since[1], kp_now_ms());
    run_until(&f, 0);
    kp_statuses_update(f.statuses, "shop/p", &summary, now);
    run_until(&f, 1);
    assert_true(has(&f, 0, "\"lastTransitionTime\":\"2020-01-01T00:00:00Z\""));
    assert_true(has(&f, 0, "\"lastCaptureTime\":\"2021-01-01T00:00:00Z\""));
    assert_true(has(&f, 0, "\"lastResult\":\"Unreachable\""));
    assert_true(has(&f, 0, "\"skipped\":0,"));
    assert_true(has(&f, 0, since[0]) || has(&f, 0, since[1]));
    end(&f);
}

static void test_all_policies_are_measured(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {OK(APPLY)};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    struct kp_metrics *metrics = kp_metrics_create();
    kp_statuses_set_writing(f.statuses, false);
    kp_statuses_destroy(f.statuses);
    f.statuses = kp_statuses_create(f.loop, f.kube, NULL, "kube-pprof-controller", metrics);
    struct kp_metric_family *policies = kp_metrics_family(metrics, KP_GAUGE, "kube_pprof_policies", "",
        (const char *const[]){"condition", "status", NULL}, NULL, 0, 1);
    const struct kp_metric *ready = kp_metric_with(policies, (const char *const[]){"Ready", "True"}),
                           *infeasible = kp_metric_with(policies, (const char *const[]){"Feasible", "False"}),
                           *unknown = kp_metric_with(policies, (const char *const[]){"Feasible", "Unknown"});
    const struct kp_metric *last = kp_gauge(metrics, "kube_pprof_last_capture_timestamp_seconds", "");
    kp_statuses_measure(f.statuses);
    assert_int_equal(kp_metric_value(ready) + kp_metric_value(unknown), 0);
    assert_int_equal(kp_metric_value(last), 0);
    // a replica that follows tells what the leader wrote
    add(&f, "{'status': {'conditions': [{'type': 'Ready', 'status': 'True', 'reason': 'Ready', "
            "'lastTransitionTime': '2020-01-01T00:00:00Z'}], 'lastCaptureTime': '2021-01-01T00:00:00Z'}}");
    kp_statuses_measure(f.statuses);
    assert_int_equal(kp_metric_value(ready), 1);
    assert_int_equal(kp_metric_value(unknown), 1);
    assert_int_equal(kp_metric_value(last), 1609459200);
    kp_statuses_set_writing(f.statuses, true);
    struct kp_policy_summary summary = fixture_summary();
    int64_t now = kp_now_ms();
    summary.feasible = false;
    kp_statuses_count(f.statuses, "shop/p", "cpu", KP_OUTCOME_SUCCEEDED, now);
    kp_statuses_count(f.statuses, "shop/p", "heap", KP_OUTCOME_TIMEOUT, now + 5000);
    kp_statuses_update(f.statuses, "shop/p", &summary, now);
    kp_statuses_measure(f.statuses);
    assert_int_equal(kp_metric_value(infeasible), 1);
    assert_int_equal(kp_metric_value(unknown), 0);
    assert_int_equal(kp_metric_value(last), now / 1000);
    run_until(&f, 1);
    kp_statuses_drop_policy(f.statuses, "shop/p");
    kp_statuses_measure(f.statuses);
    assert_int_equal(kp_metric_value(infeasible) + kp_metric_value(ready), 0);
    assert_int_equal(kp_metric_value(last), now / 1000); // that was
    // written when the clock was ahead
    add(&f, "{'status': {'lastCaptureTime': '2200-01-01T00:00:00Z'}}");
    kp_statuses_measure(f.statuses);
    assert_true(kp_metric_value(last) > (double)now / 1000);
    kp_statuses_count(f.statuses, "shop/p", "cpu", KP_OUTCOME_SUCCEEDED, now + 1000);
    kp_statuses_measure(f.statuses);
    assert_int_equal(kp_metric_value(last), (now + 1000) / 1000);
    end(&f);
    kp_metrics_destroy(metrics);
}

static void test_reading_anew_is_no_news(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {OK(APPLY), OK(APPLY)};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    add(&f, "{}");
    struct kp_policy_summary summary = fixture_summary();
    const struct kp_policy_summary reading = {.synced = false}, broken = {.trouble = "pods is forbidden"};
    int64_t now = kp_now_ms();
    kp_statuses_update(f.statuses, "shop/p", &summary, now);
    run_until(&f, 1);
    kp_statuses_update(f.statuses, "shop/p", &reading, now + 90000);
    run_until(&f, 1);
    kp_statuses_update(f.statuses, "shop/p", &broken, now + 90000);
    run_until(&f, 2);
    assert_true(has(&f, 1, "pods is forbidden"));
    end(&f);
}

// And who has many policies does not have the others wait behind all of them.
static void test_five_writes_a_second_in_all(void **state)
{
    (void)state;
    enum { POLICIES = 8 };
    static struct peer_step steps[POLICIES];
    for (size_t i = 0; i < POLICIES; i++)
        steps[i] = (struct peer_step)OK("/namespaces/shop/");
    steps[5] = (struct peer_step)OK("/namespaces/calm/"); // who came last, but has no turn yet
    struct fixture f;
    begin(&f, steps, POLICIES, false);
    struct kp_policy_summary summary = fixture_summary();
    struct kp_policy *policies[POLICIES];
    json_t *nothing = json_object();
    int64_t start = kp_mono_ms();
    for (int i = 0; i < POLICIES; i++) {
        kp_auto_free char *name = kp_asprintf("p%d", i);
        policies[i] = fixture_policy(i == POLICIES - 1 ? "calm" : "shop", name, FIXTURE_SPEC);
        kp_statuses_set_policy(f.statuses, policies[i], nothing);
        kp_statuses_update(f.statuses, policies[i]->key, &summary, kp_now_ms());
    }
    run_until(&f, POLICIES);
    assert_true(kp_mono_ms() - start >= 400); // three above the first five
    for (int i = 0; i < POLICIES; i++)
        kp_policy_unref(policies[i]);
    json_decref(nothing);
    end(&f);
}

// An API server that does not answer has ten writes waiting for it, not one of every policy.
static void test_ten_writes_at_once(void **state)
{
    (void)state;
    enum { POLICIES = 14, AT_ONCE = 10 };
    struct fixture f;
    begin(&f, NULL, 0, false);
    struct kp_policy_summary summary = fixture_summary();
    json_t *nothing = json_object();
    bool never = false;
    for (int i = 0; i < POLICIES; i++) {
        kp_auto_free char *name = kp_asprintf("p%d", i);
        struct kp_policy *policy = fixture_policy(i == POLICIES - 1 ? "calm" : "shop", name, FIXTURE_SPEC);
        kp_statuses_set_policy(f.statuses, policy, nothing);
        kp_statuses_update(f.statuses, policy->key, &summary, kp_now_ms());
        kp_policy_unref(policy);
    }
    run_until(&f, AT_ONCE);
    (void)kp_loop_run_until(f.loop, &never, 1000);
    assert_int_equal(peer_seen(f.peer), AT_ONCE);
    json_decref(nothing);
    end(&f);
}

static void test_changes_of_conditions_are_events(void **state)
{
    (void)state;
    struct peer_step steps[4];
    for (size_t i = 0; i < KP_COUNT(steps); i++)
        steps[i] = (struct peer_step){NULL, 200, NULL, "{}", 0, 0, PEER_WHOLE};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), true);
    add(&f, "{'status': {'conditions': [{'type': 'Ready', 'status': 'True', 'reason': 'Ready', "
            "'lastTransitionTime': '2020-01-01T00:00:00Z'}, {'type': 'Feasible', 'status': 'True', 'reason': "
            "'Fits', "
            "'lastTransitionTime': '2020-01-01T00:00:00Z'}, {'type': 'CapturesSucceeding', 'status': 'True', "
            "'reason': 'Capturing', 'lastTransitionTime': '2020-01-01T00:00:00Z'}]}}");
    struct kp_policy_summary summary = fixture_summary();
    int64_t now = kp_now_ms();
    kp_statuses_update(f.statuses, "shop/p", &summary, now);
    run_until(&f, 1); // what was so before is no event
    summary.types[0].failed = summary.failing = 6;
    fixture_failure(&summary, "Unreachable", "cpu", 6, "connection refused");
    kp_statuses_update(f.statuses, "shop/p", &summary, now + 1000);
    run_until(&f, 3);
    size_t event = has(&f, 1, EVENT) ? 1 : 2;
    assert_true(has(&f, event, EVENT));
    assert_true(has(&f, event, "\"type\":\"Warning\""));
    assert_true(has(&f, event, "\"reason\":\"Unreachable\""));
    assert_true(
        has(&f, event, "CapturesSucceeding is false: cpu failed on 6 of 6 targets: connection refused"));
    assert_true(has(&f, event, "\"uid\":\"uid-p\""));
    end(&f);
}

static void on_flushed(void *user)
{
    *(bool *)user = true;
}

static void test_flush(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {OK(APPLY)};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    add(&f, "{}");
    bool flushed = false;
    kp_statuses_flush(f.statuses, 20000, on_flushed, &flushed); // nothing to write
    assert_false(flushed);                                      // never from inside
    assert_true(kp_loop_run_until(f.loop, &flushed, 10000));
    flushed = false;
    struct kp_policy_summary summary = fixture_summary();
    kp_statuses_update(f.statuses, "shop/p", &summary, kp_now_ms());
    kp_statuses_flush(f.statuses, 20000, on_flushed, &flushed);
    assert_true(kp_loop_run_until(f.loop, &flushed, 10000));
    assert_int_equal(peer_seen(f.peer), 1);
    end(&f);
}

static void test_flush_gives_up(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, NULL, 0, false); // never answers
    add(&f, "{}");
    bool flushed = false;
    struct kp_policy_summary summary = fixture_summary();
    kp_statuses_update(f.statuses, "shop/p", &summary, kp_now_ms());
    kp_statuses_flush(f.statuses, 100, on_flushed, &flushed);
    assert_true(kp_loop_run_until(f.loop, &flushed, 10000));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_sight_is_written_at_once),
        cmocka_unit_test(test_an_edit_is_told_at_once),
        cmocka_unit_test(test_cluster_policies_have_their_own_path),
        cmocka_unit_test(test_when_what_is_written),
        cmocka_unit_test(test_a_failed_write_is_repeated),
        cmocka_unit_test(test_a_policy_that_is_gone),
        cmocka_unit_test(test_changed_while_it_is_written),
        cmocka_unit_test(test_dropped_while_it_is_written),
        cmocka_unit_test(test_only_who_writes_judges),
        cmocka_unit_test(test_all_policies_are_measured),
        cmocka_unit_test(test_reading_anew_is_no_news),
        cmocka_unit_test(test_five_writes_a_second_in_all),
        cmocka_unit_test(test_ten_writes_at_once),
        cmocka_unit_test(test_changes_of_conditions_are_events),
        cmocka_unit_test(test_flush),
        cmocka_unit_test(test_flush_gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
