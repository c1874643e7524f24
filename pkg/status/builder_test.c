// What conditions say, when they change, and the object that is written.
#include "status/builder.h"

#include "status/status_fixture.h"
#include "base/banned.h"

#define T0 INT64_C(1764000000000) // 2025-11-24T16:00:00Z

struct story {
    struct kp_policy *policy;
    struct kp_policy_status status;
    unsigned transitions;
    bool changed;
};

static void begin(struct story *s, const char *spec)
{
    memset(s, 0, sizeof *s);
    s->policy = fixture_policy("shop", "checkout", spec);
    s->status.since_ms = T0;
    kp_policy_status_set_types(&s->status, s->policy);
}

static void tell(struct story *s, const struct kp_policy_summary *summary, int64_t now_ms)
{
    s->changed = kp_policy_status_conditions(&s->status, s->policy, summary, now_ms, &s->transitions);
}

static void end(struct story *s)
{
    kp_policy_unref(s->policy);
}

static void expect(const struct story *s, enum kp_condition condition, enum kp_condition_status status,
    const char *reason, const char *says)
{
    const struct kp_condition_state *state = &s->status.conditions[condition];
    assert_string_equal(state->reason, reason);
    assert_int_equal(state->status, status);
    if (strstr(state->message, says) == NULL)
        fail_msg("'%s' is not in '%s'", says, state->message);
}

static void test_all_is_well(void **state)
{
    (void)state;
    struct story s;
    begin(&s, FIXTURE_SPEC);
    struct kp_policy_summary summary = fixture_summary();
    tell(&s, &summary, T0);
    assert_true(s.changed);
    assert_int_equal(s.transitions, (1u << KP_COND_COUNT) - 1);
    expect(&s, KP_COND_READY, KP_COND_TRUE, "Ready", "12 targets of 14 pods");
    expect(&s, KP_COND_ACCEPTED, KP_COND_TRUE, "Accepted", "");
    expect(&s, KP_COND_DISCOVERED, KP_COND_TRUE, "TargetsFound", "12 targets");
    expect(&s, KP_COND_FEASIBLE, KP_COND_TRUE, "Fits", "");
    expect(&s, KP_COND_SUCCEEDING, KP_COND_TRUE, "Capturing", "");
    summary.sampled = 7;
    tell(&s, &summary, T0 + 1000);
    assert_false(s.changed);
    assert_int_equal(s.transitions, 0);
    assert_int_equal(s.status.conditions[KP_COND_READY].since_ms, T0);
    end(&s);
}

static void test_not_accepted(void **state)
{
    (void)state;
    struct story s;
    begin(&s, "{'selector': {}, 'profiles': [{'type': 'x', 'path': '/metrics'}]}");
    const struct kp_policy_summary nothing = {.synced = true};
    tell(&s, &nothing, T0);
    expect(&s, KP_COND_ACCEPTED, KP_COND_FALSE, "PathNotAllowed", "--path-prefixes");
    expect(&s, KP_COND_READY, KP_COND_FALSE, "PathNotAllowed", "--path-prefixes");
    expect(&s, KP_COND_DISCOVERED, KP_COND_FALSE, "NotAccepted", "");
    expect(&s, KP_COND_FEASIBLE, KP_COND_UNKNOWN, "NothingPlanned", "");
    expect(&s, KP_COND_SUCCEEDING, KP_COND_UNKNOWN, "NoTargets", "");
    end(&s);
    begin(&s, FIXTURE_SPEC);
    struct kp_policy_summary summary = fixture_summary();
    summary.ref_problem = "Secret shop/token is not there";
    tell(&s, &summary, T0);
    expect(&s, KP_COND_ACCEPTED, KP_COND_FALSE, "ReferenceNotResolved", "shop/token");
    expect(&s, KP_COND_READY, KP_COND_FALSE, "ReferenceNotResolved", "shop/token");
    end(&s);
}

static void test_discovery(void **state)
{
    (void)state;
    struct story s;
    begin(&s, FIXTURE_SPEC);
    struct kp_policy_summary summary = {.synced = false};
    tell(&s, &summary, T0);
    expect(&s, KP_COND_DISCOVERED, KP_COND_UNKNOWN, "CachesNotSynced", "");
    expect(&s, KP_COND_READY, KP_COND_UNKNOWN, "CachesNotSynced", "");
    summary.trouble = "pods is forbidden";
    tell(&s, &summary, T0);
    expect(&s, KP_COND_READY, KP_COND_UNKNOWN, "CachesNotSynced", "pods is forbidden");
    summary = (struct kp_policy_summary){.synced = true};
    tell(&s, &summary, T0 + 5000);
    expect(&s, KP_COND_DISCOVERED, KP_COND_TRUE, "NoPods", "");
    expect(&s, KP_COND_READY, KP_COND_TRUE, "Ready", "no pod matches");
    assert_int_equal(s.status.conditions[KP_COND_READY].since_ms, T0 + 5000);
    summary.matched = 3;
    summary.left_out = 3;
    tell(&s, &summary, T0 + 6000);
    expect(&s, KP_COND_DISCOVERED, KP_COND_TRUE, "NoTargets", "status.failures");
    assert_true(s.changed);
    assert_int_equal(s.transitions, 0); // another reason, the same status
    assert_int_equal(s.status.conditions[KP_COND_READY].since_ms, T0 + 5000);
    fixture_failure(&summary, "NotReady", "", 2, "the pod is not ready");
    fixture_failure(&summary, "NotRunning", "", 1, "the pod does not run yet");
    tell(&s, &summary, T0 + 6000);
    expect(&s, KP_COND_DISCOVERED, KP_COND_TRUE, "NoTargets",
        "3 pods match, none is ready to be profiled yet: NotReady 2, NotRunning 1");
    summary.failures[1].reason = "NoEndpoint";
    tell(&s, &summary, T0 + 6000);
    expect(&s, KP_COND_DISCOVERED, KP_COND_TRUE, "NoTargets",
        "3 pods match, none can be profiled now: NotReady 2, NoEndpoint 1; see status.failures");
    summary.matched = 1;
    summary.left_out = 0;
    tell(&s, &summary, T0 + 7000);
    expect(&s, KP_COND_DISCOVERED, KP_COND_TRUE, "NoTargets",
        "1 pod matches, none is to be profiled: opted out, not opted in, or finished");
    summary.selected = 1;
    tell(&s, &summary, T0 + 7000);
    expect(&s, KP_COND_DISCOVERED, KP_COND_TRUE, "TargetsFound", "1 target of 1 pod");
    summary.matched = 2;
    tell(&s, &summary, T0 + 7000);
    expect(&s, KP_COND_DISCOVERED, KP_COND_TRUE, "TargetsFound", "1 target of 2 pods");
    summary.trouble = "pods cannot be watched, going on with what is known: forbidden";
    tell(&s, &summary, T0 + 90000);
    expect(&s, KP_COND_DISCOVERED, KP_COND_UNKNOWN, "WatchFailing", "forbidden");
    expect(&s, KP_COND_READY, KP_COND_UNKNOWN, "WatchFailing", "going on with what is known");
    summary.trouble = NULL;
    tell(&s, &summary, T0 + 91000);
    expect(&s, KP_COND_READY, KP_COND_TRUE, "Ready", "");
    end(&s);
}

static void test_what_was_said_stands_while_caches_are_read_anew(void **state)
{
    (void)state;
    struct story s;
    begin(&s, FIXTURE_SPEC);
    struct kp_policy_summary summary = fixture_summary();
    const struct kp_policy_summary reading = {.synced = false}, broken = {.trouble = "forbidden"};
    const struct kp_policy_summary missing = {.ref_problem = "no Secret"};
    assert_false(kp_policy_status_waits(&s.status, s.policy, &reading)); // never said anything
    tell(&s, &summary, T0);
    assert_true(kp_policy_status_waits(&s.status, s.policy, &reading));
    assert_false(kp_policy_status_waits(&s.status, s.policy, &summary));
    assert_false(kp_policy_status_waits(&s.status, s.policy, &broken));
    assert_false(kp_policy_status_waits(&s.status, s.policy, &missing));
    end(&s);
}

static void test_a_suspended_policy_is_ready(void **state)
{
    (void)state;
    struct story s;
    begin(&s, "{'selector': {}, 'suspend': true}");
    const struct kp_policy_summary summary = {.synced = true};
    tell(&s, &summary, T0);
    expect(&s, KP_COND_READY, KP_COND_TRUE, "Suspended", "spec.suspend");
    expect(&s, KP_COND_DISCOVERED, KP_COND_TRUE, "Suspended", "");
    expect(&s, KP_COND_FEASIBLE, KP_COND_UNKNOWN, "NothingPlanned", "");
    kp_policy_unref(s.policy);
    s.policy = fixture_policy("shop", "checkout", "{'selector': {}}"); // resumed
    tell(&s, &summary, T0 + 1000);
    expect(&s, KP_COND_READY, KP_COND_TRUE, "Ready", "");
    assert_int_equal(s.transitions, 1u << KP_COND_READY); // an event
    assert_int_equal(s.status.conditions[KP_COND_READY].since_ms, T0);
    end(&s);
}

static void test_infeasible_carries_the_numbers(void **state)
{
    (void)state;
    struct story s;
    begin(&s, FIXTURE_SPEC);
    struct kp_policy_summary summary = fixture_summary();
    summary.feasible = false;
    summary.feasible_reason = "Stretched";
    summary.feasible_message = "12.0 captures/s asked, 5.0 possible; cpu every 3m instead of 1m";
    tell(&s, &summary, T0);
    expect(&s, KP_COND_FEASIBLE, KP_COND_FALSE, "Stretched", "12.0 captures/s asked");
    expect(&s, KP_COND_READY, KP_COND_TRUE, "Ready", "");
    end(&s);
}

static void test_captures_succeeding(void **state)
{
    (void)state;
    struct story s;
    begin(&s, FIXTURE_SPEC);
    struct kp_policy_summary summary = fixture_summary();
    summary.types[0].tried = summary.types[1].tried = 0;
    tell(&s, &summary, T0);
    expect(&s, KP_COND_SUCCEEDING, KP_COND_UNKNOWN, "NoResults", "");
    summary.types[0] = (struct kp_type_summary){"cpu", 6, 3}; // half is not more than half
    summary.failing = 3;
    fixture_failure(&summary, "Timeout", "heap", 1, "the heap took too long");
    fixture_failure(&summary, "Unreachable", "cpu", 3, "connection refused by 10.0.0.7:6060");
    tell(&s, &summary, T0);
    expect(&s, KP_COND_SUCCEEDING, KP_COND_TRUE, "SomeFailing", "3 of 6");
    summary.types[0].failed = summary.failing = 4;
    tell(&s, &summary, T0);
    expect(&s, KP_COND_SUCCEEDING, KP_COND_FALSE, "Unreachable",
        "cpu failed on 4 of 6 targets: connection refused");
    // a failure of captures does not make the policy unready, but the table shows it
    expect(&s, KP_COND_READY, KP_COND_TRUE, "Ready", "12 targets of 14 pods, but cpu failed");
    summary.types[0].tried = summary.types[1].tried = 0;
    summary.types[0].failed = summary.failing = 0;
    tell(&s, &summary, T0); // other pods are in the sample now: no result yet is no news
    expect(&s, KP_COND_SUCCEEDING, KP_COND_FALSE, "Unreachable", "cpu failed");
    assert_false(s.changed);
    summary.types[0].tried = 1;
    tell(&s, &summary, T0);
    expect(&s, KP_COND_SUCCEEDING, KP_COND_TRUE, "Capturing", "");
    summary.sampled = 0;
    tell(&s, &summary, T0);
    expect(&s, KP_COND_SUCCEEDING, KP_COND_UNKNOWN, "NoTargets", "");
    end(&s);
}

// ---- the object ----

static const char *text_at(const json_t *object, const char *list, size_t i, const char *key)
{
    const char *text =
        json_string_value(json_object_get(json_array_get(json_object_get(object, list), i), key));
    return text != NULL ? text : "";
}

static json_int_t number_at(const json_t *object, const char *group, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(object, group), key));
}

static void test_captures_that_wait(void **state)
{
    (void)state;
    struct story s;
    begin(&s, FIXTURE_SPEC);
    struct kp_policy_summary summary = fixture_summary();
    summary.spooled = 3;
    tell(&s, &summary, T0);
    const struct kp_condition_state *now = &s.status.conditions[KP_COND_SUCCEEDING];
    assert_string_equal(now->reason, "Capturing"); // on their way
    summary.spool_trouble = "the registry answers 503: the disk is read-only";
    tell(&s, &summary, T0 + 1000);
    assert_int_equal(now->status, KP_COND_TRUE);
    assert_int_equal(now->since_ms, T0);
    assert_string_equal(now->reason, "WaitingForRegistry");
    assert_non_null(strstr(now->message, "wait for the registry: the registry answers 503: the disk is"));
    summary.spooled = 0;
    tell(&s, &summary, T0 + 2000);
    assert_string_equal(now->reason, "Capturing");
    end(&s);
}

static void test_the_object(void **state)
{
    (void)state;
    struct story s;
    begin(&s, FIXTURE_SPEC);
    struct kp_policy_summary summary = fixture_summary();
    summary.left_out = 2;
    summary.failing = 1;
    summary.spooled = 9;
    fixture_failure(&summary, "Unreachable", "cpu", 1, "bad \xff bytes\nand lines");
    kp_policy_status_count(&s.status, "cpu", KP_OUTCOME_SUCCEEDED, T0 + 5000, T0 + 5000);
    kp_policy_status_count(&s.status, "cpu", KP_OUTCOME_SUCCEEDED, T0 + 3000, T0 + 3000); // delivered late
    kp_policy_status_count(&s.status, "heap", KP_OUTCOME_UNREACHABLE, T0 + 6000, T0 + 6000);
    kp_policy_status_count(&s.status, "heap", KP_OUTCOME_BUSY, T0 + 7000, T0 + 7000);
    kp_policy_status_count(
        &s.status, "other", KP_OUTCOME_SUCCEEDED, T0 + 9000, T0 + 9000); // no longer asked for
    tell(&s, &summary, T0);
    json_t *object = kp_policy_status_json(&s.status, s.policy, &summary);
    assert_int_equal(json_integer_value(json_object_get(object, "observedGeneration")), 3);
    assert_int_equal(json_array_size(json_object_get(object, "conditions")), KP_COND_COUNT);
    for (size_t i = 0; i < KP_COND_COUNT; i++) {
        assert_string_equal(
            text_at(object, "conditions", i, "type"), kp_condition_name((enum kp_condition)i));
        assert_string_equal(text_at(object, "conditions", i, "lastTransitionTime"), "2025-11-24T16:00:00Z");
        assert_true(text_at(object, "conditions", i, "reason")[0] != '\0');
        assert_true(text_at(object, "conditions", i, "message")[0] != '\0');
    }
    assert_int_equal(number_at(object, "targets", "selected"), 12);
    assert_int_equal(number_at(object, "targets", "sampled"), 6);
    assert_int_equal(number_at(object, "targets", "failing"), 1);
    assert_int_equal(number_at(object, "targets", "leftOut"), 2);
    assert_int_equal(number_at(object, "captures", "succeeded"), 2);
    assert_int_equal(number_at(object, "captures", "failed"), 1);
    assert_int_equal(number_at(object, "captures", "skipped"), 1);
    assert_int_equal(number_at(object, "captures", "spooled"), 9);
    assert_string_equal(
        json_string_value(json_object_get(object, "lastCaptureTime")), "2025-11-24T16:00:05Z");
    assert_string_equal(text_at(object, "profiles", 0, "type"), "cpu");
    assert_string_equal(text_at(object, "profiles", 0, "lastResult"), "Succeeded");
    assert_string_equal(text_at(object, "profiles", 1, "lastResult"), "Busy");
    assert_string_equal(text_at(object, "profiles", 1, "lastSuccessTime"), "");
    assert_string_equal(text_at(object, "failures", 0, "reason"), "Unreachable");
    assert_null(strpbrk(text_at(object, "failures", 0, "message"), "\n\xff"));
    json_decref(object);
    end(&s);
}

// Counted while the clock was an hour ahead: that must not be the last for an hour when it is right again.
static void test_times_of_a_clock_that_was_ahead(void **state)
{
    enum { HOUR = 3600000 };
    (void)state;
    struct story s;
    begin(&s, FIXTURE_SPEC);
    kp_policy_status_count(&s.status, "cpu", KP_OUTCOME_SUCCEEDED, T0 + HOUR, T0 + HOUR);
    kp_policy_status_count(&s.status, "cpu", KP_OUTCOME_SUCCEEDED, T0, T0 + HOUR); // delivered late
    assert_int_equal(s.status.last_capture_ms, T0 + HOUR);
    kp_policy_status_count(&s.status, "heap", KP_OUTCOME_SUCCEEDED, T0 + 1000, T0 + 3000);
    assert_int_equal(s.status.last_capture_ms, T0 + 1000);
    assert_int_equal(s.status.types[0].last_success_ms, T0 + HOUR);
    kp_policy_status_count(&s.status, "cpu", KP_OUTCOME_SUCCEEDED, T0 + 2000, T0 + 4000);
    assert_int_equal(s.status.types[0].last_success_ms, T0 + 2000);
    assert_int_equal(s.status.last_capture_ms, T0 + 2000);
    kp_policy_status_count(&s.status, "cpu", KP_OUTCOME_SUCCEEDED, T0 + 5000, T0); // a little is nothing
    kp_policy_status_count(&s.status, "cpu", KP_OUTCOME_SUCCEEDED, T0 + 1000, T0 + 1000);
    assert_int_equal(s.status.last_capture_ms, T0 + 5000);
    end(&s);
}

static void test_taking_over(void **state)
{
    (void)state;
    struct story a, b;
    begin(&a, FIXTURE_SPEC);
    struct kp_policy_summary summary = fixture_summary();
    kp_policy_status_count(&a.status, "cpu", KP_OUTCOME_SUCCEEDED, T0 + 5000, T0 + 5000);
    tell(&a, &summary, T0);
    json_t *object = json_pack("{s:o}", "status", kp_policy_status_json(&a.status, a.policy, &summary));
    begin(&b, FIXTURE_SPEC);
    kp_policy_status_adopt(&b.status, object);
    summary.types[0].tried = summary.types[1].tried = 0; // a new controller has no results yet
    tell(&b, &summary, T0 + 3600000);
    assert_int_equal(b.transitions, 0);
    assert_false(b.changed);
    for (int i = 0; i < KP_COND_COUNT; i++)
        assert_int_equal(b.status.conditions[i].since_ms, T0);
    expect(&b, KP_COND_SUCCEEDING, KP_COND_TRUE, "Capturing", "captures succeed");
    assert_int_equal(b.status.last_capture_ms, T0 + 5000);
    assert_int_equal(b.status.types[0].last_success_ms, T0 + 5000);
    assert_int_equal(b.status.types[0].succeeded, 0); // counters restart
    json_decref(object);
    end(&a);
    end(&b);
}

static void test_whatever_is_in_the_object(void **state)
{
    (void)state;
    static const char odd[] =
        "{'status': {'conditions': [3, {}, {'type': 'Ready', 'status': 'Maybe', 'lastTransitionTime': 'x'}],"
        "'lastCaptureTime': 'yesterday', 'profiles': [{'type': 'cpu', 'lastResult': 'Nice'}]}}";
    static const char *const objects[] = {
        "{}", "{'status': 3}", "{'status': {'conditions': 'x', 'profiles': {}}}", odd};
    for (size_t i = 0; i < KP_COUNT(objects); i++) {
        struct story s;
        begin(&s, FIXTURE_SPEC);
        json_t *object = fixture_json(objects[i]);
        kp_policy_status_adopt(&s.status, object);
        struct kp_policy_summary summary = fixture_summary();
        tell(&s, &summary, T0);
        expect(&s, KP_COND_READY, KP_COND_TRUE, "Ready", "");
        assert_int_equal(s.status.conditions[KP_COND_READY].since_ms, T0);
        assert_int_equal(s.status.last_capture_ms, 0);
        json_decref(object);
        end(&s);
    }
}

static void test_types_of_an_edited_policy(void **state)
{
    (void)state;
    struct story s;
    begin(&s, FIXTURE_SPEC);
    kp_policy_status_count(&s.status, "heap", KP_OUTCOME_SUCCEEDED, T0, T0);
    struct kp_policy *edited = fixture_policy(
        "shop", "checkout", "{'selector': {}, 'profiles': [{'type': 'heap'}, {'type': 'mutex'}]}");
    kp_policy_status_set_types(&s.status, edited);
    assert_int_equal(s.status.n_types, 2);
    assert_string_equal(s.status.types[0].type, "heap");
    assert_int_equal(s.status.types[0].succeeded, 1);
    assert_int_equal(s.status.types[1].succeeded, 0);
    kp_policy_unref(edited);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_well),
        cmocka_unit_test(test_not_accepted),
        cmocka_unit_test(test_discovery),
        cmocka_unit_test(test_what_was_said_stands_while_caches_are_read_anew),
        cmocka_unit_test(test_a_suspended_policy_is_ready),
        cmocka_unit_test(test_infeasible_carries_the_numbers),
        cmocka_unit_test(test_captures_succeeding),
        cmocka_unit_test(test_captures_that_wait),
        cmocka_unit_test(test_the_object),
        cmocka_unit_test(test_times_of_a_clock_that_was_ahead),
        cmocka_unit_test(test_taking_over),
        cmocka_unit_test(test_whatever_is_in_the_object),
        cmocka_unit_test(test_types_of_an_edited_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
