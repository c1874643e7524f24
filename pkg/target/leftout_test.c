// Why pods are left out, and which policies select at all.
#include "target/target_fixture.h"
#include "base/banned.h"

#define SPEC "{'selector': {'matchLabels': {'app': 'checkout'}}, 'profiles': [{'type': 'heap'}]}"

static enum kp_leftout reason_with(struct fixture_pod *f, const char *spec, enum kp_ip_claim claim,
    const struct kp_target_config *config, const char *says)
{
    struct kp_policy *policy = fixture_policy("shop", "p", spec);
    struct kp_pod *pod = kp_pod_build(&f->draft);
    struct kp_verdict verdict;
    kp_target_build(pod, (const struct kp_policy *const *)&policy, 1, NULL, claim, config, &verdict);
    assert_int_equal(verdict.matches.n, 1);
    enum kp_leftout reason = verdict.matches.items[0].leftout;
    assert_int_equal(verdict.targets.n, reason == KP_LEFTOUT_NONE ? 1 : 0);
    if (strstr(verdict.matches.items[0].message, says) == NULL)
        fail_msg("'%s' is not in '%s'", says, verdict.matches.items[0].message);
    kp_verdict_finish(&verdict);
    kp_pod_unref(pod);
    kp_policy_unref(policy);
    return reason;
}

static void ready_pod(struct fixture_pod *f)
{
    fixture_pod_init(f);
    fixture_port(f, 0, "pprof", 6060);
}

#define assert_reason(f, want, says)                                                                         \
    assert_int_equal(reason_with((f), SPEC, KP_IP_OWN, &fixture_config, (says)), (want))

static void test_states_of_a_pod(void **state)
{
    (void)state;
    struct fixture_pod f;
    ready_pod(&f);
    assert_reason(&f, KP_LEFTOUT_NONE, "");
    f.draft.deleting = true;
    assert_reason(&f, KP_LEFTOUT_TERMINATING, "being deleted");
    ready_pod(&f);
    f.draft.phase = KP_POD_PENDING;
    assert_reason(&f, KP_LEFTOUT_NOT_RUNNING, "does not run yet");
    f.draft.phase = KP_POD_UNKNOWN;
    assert_reason(&f, KP_LEFTOUT_NOT_RUNNING, "");
    f.draft.phase = KP_POD_SUCCEEDED;
    assert_reason(&f, KP_LEFTOUT_FINISHED, "finished");
    f.draft.phase = KP_POD_FAILED;
    assert_reason(&f, KP_LEFTOUT_FINISHED, "finished");
    ready_pod(&f);
    f.draft.ready = false;
    assert_reason(&f, KP_LEFTOUT_NOT_READY, "readiness probe");
    ready_pod(&f);
    f.draft.ip = "";
    assert_reason(&f, KP_LEFTOUT_NO_ADDRESS, "no address");
    ready_pod(&f);
    f.containers[0].started_ms = 0;
    f.containers[0].restarts = 5;
    assert_reason(&f, KP_LEFTOUT_NOT_RUNNING, "restarted 5 times");
}

static void test_what_the_platform_allows(void **state)
{
    (void)state;
    struct fixture_pod f;
    ready_pod(&f);
    f.draft.host_network = true;
    assert_reason(&f, KP_LEFTOUT_HOST_NETWORK, "--allow-host-network");
    struct kp_target_config config = {.dialects = KP_DIALECTS_DEFAULT, .allow_host_network = true};
    assert_int_equal(reason_with(&f, SPEC, KP_IP_OWN, &config, ""), KP_LEFTOUT_NONE);
    ready_pod(&f);
    f.draft.ready = false;
    config.allow_not_ready = true;
    assert_int_equal(reason_with(&f, SPEC, KP_IP_OWN, &config, ""), KP_LEFTOUT_NONE);
    const char *const prefixes[] = {"/internal/", NULL};
    config.path_prefixes = prefixes;
    assert_int_equal(
        reason_with(&f, SPEC, KP_IP_OWN, &config, "--path-prefixes"), KP_LEFTOUT_PATH_NOT_ALLOWED);
}

static void test_an_address_that_two_pods_claim(void **state)
{
    (void)state;
    struct fixture_pod f;
    ready_pod(&f);
    assert_int_equal(
        reason_with(&f, SPEC, KP_IP_OF_POD, &fixture_config, "10.0.0.7"), KP_LEFTOUT_ADDRESS_CONFLICT);
}

static void test_opting_in_and_out(void **state)
{
    (void)state;
    static const char require[] =
        "{'selector': {}, 'annotationPolicy': 'Require', 'profiles': [{'type': 'heap'}]}";
    static const char ignore[] =
        "{'selector': {}, 'annotationPolicy': 'Ignore', 'profiles': [{'type': 'heap'}]}";
    struct fixture_pod f;
    ready_pod(&f);
    assert_int_equal(reason_with(&f, require, KP_IP_OWN, &fixture_config, "kube-pprof.dev/enable: \"true\""),
        KP_LEFTOUT_NOT_OPTED_IN);
    fixture_note(&f, "profefe.com/enable", "true");
    assert_int_equal(reason_with(&f, require, KP_IP_OWN, &fixture_config, ""), KP_LEFTOUT_NONE);
    f.notes[0].value = "yess";
    assert_int_equal(
        reason_with(&f, require, KP_IP_OWN, &fixture_config, "'yess'"), KP_LEFTOUT_BAD_ANNOTATION);
    assert_int_equal(reason_with(&f, SPEC, KP_IP_OWN, &fixture_config, ""), KP_LEFTOUT_NONE);
    f.notes[0].value = "true";
    fixture_note(&f, "kube-pprof.dev/enable", "false");
    assert_int_equal(reason_with(&f, require, KP_IP_OWN, &fixture_config, "enable"), KP_LEFTOUT_OPTED_OUT);
    assert_int_equal(reason_with(&f, SPEC, KP_IP_OWN, &fixture_config, "enable"), KP_LEFTOUT_OPTED_OUT);
    assert_int_equal(reason_with(&f, ignore, KP_IP_OWN, &fixture_config, "enable"), KP_LEFTOUT_OPTED_OUT);
}

static void test_sentences_say_what_to_do(void **state)
{
    (void)state;
    struct fixture_pod f;
    fixture_pod_init(&f);
    assert_reason(&f, KP_LEFTOUT_NO_ENDPOINT, "kube-pprof.dev/port");
    for (int i = 0; i < KP_LEFTOUT_COUNT; i++) {
        const char *name = kp_leftout_info((enum kp_leftout)i)->name;
        assert_non_null(name);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(name, kp_leftout_info((enum kp_leftout)k)->name);
    }
}

static size_t matches_of(struct kp_policy *policy, const struct kp_labels *namespace_labels)
{
    struct fixture_pod f;
    ready_pod(&f);
    struct kp_pod *pod = kp_pod_build(&f.draft);
    struct kp_verdict verdict;
    kp_target_build(pod, (const struct kp_policy *const *)&policy, 1, namespace_labels, KP_IP_OWN,
        &fixture_config, &verdict);
    size_t n = verdict.matches.n;
    kp_verdict_finish(&verdict);
    kp_pod_unref(pod);
    kp_policy_unref(policy);
    return n;
}

static void test_which_policies_select(void **state)
{
    (void)state;
    struct kp_labels *prod = NULL, *dev = NULL;
    assert_int_equal(kp_labels_parse("env=prod", &prod, NULL), 0);
    assert_int_equal(kp_labels_parse("env=dev", &dev, NULL), 0);
    assert_int_equal(matches_of(fixture_policy("shop", "p", SPEC), NULL), 1);
    assert_int_equal(matches_of(fixture_policy("web", "p", SPEC), NULL), 0);
    assert_int_equal(
        matches_of(fixture_policy("shop", "p", "{'selector': {'matchLabels': {'app': 'x'}}}"), NULL), 0);
    assert_int_equal(matches_of(fixture_policy("shop", "p", "{'selector': {}, 'suspend': true}"), NULL), 0);
    assert_int_equal(matches_of(fixture_policy("shop", "p", "{'selector': {}, 'profiles': []}"), NULL), 0);
    assert_int_equal(matches_of(fixture_policy(NULL, "p", SPEC), NULL), 1);
    static const char in_prod[] = "{'selector': {}, 'namespaceSelector': {'matchLabels': {'env': 'prod'}}}";
    assert_int_equal(matches_of(fixture_policy(NULL, "p", in_prod), prod), 1);
    assert_int_equal(matches_of(fixture_policy(NULL, "p", in_prod), dev), 0);
    assert_int_equal(matches_of(fixture_policy(NULL, "p", in_prod), NULL), 0); // not known yet
    kp_labels_destroy(prod);
    kp_labels_destroy(dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states_of_a_pod),
        cmocka_unit_test(test_what_the_platform_allows),
        cmocka_unit_test(test_an_address_that_two_pods_claim),
        cmocka_unit_test(test_opting_in_and_out),
        cmocka_unit_test(test_sentences_say_what_to_do),
        cmocka_unit_test(test_which_policies_select),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
