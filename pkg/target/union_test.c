// Several policies on one process port, service and labels, and when a schedule may stay.
#include "target/target_fixture.h"
#include "base/banned.h"

static const struct kp_wanted *wanted_of(const struct kp_target *target, const char *type)
{
    for (size_t i = 0; i < target->n_wanted; i++)
        if (strcmp(target->wanted[i].type, type) == 0)
            return &target->wanted[i];
    return NULL;
}

static void ready_pod(struct fixture_pod *f)
{
    fixture_pod_init(f);
    fixture_port(f, 0, "pprof", 6060);
    fixture_label(f, "team", "blue");
    fixture_label(f, "tier", "gold");
}

static void test_a_target(void **state)
{
    (void)state;
    struct fixture_pod f;
    ready_pod(&f);
    struct kp_policy *policy = fixture_policy("shop", "p", "{'selector': {}}");
    struct kp_verdict v;
    fixture_build_with(&f, &policy, 1, &fixture_config, &v);
    assert_int_equal(v.targets.n, 1);
    const struct kp_target *t = v.targets.items[0];
    assert_string_equal(t->key, "u1/app/6060");
    assert_string_equal(t->workload, "shop/Deployment/checkout");
    assert_int_equal(t->n_wanted, 3);
    assert_string_equal(t->wanted[0].type, "cpu");
    assert_true(t->wanted[0].collecting && t->wanted[0].exclusive && !t->wanted[0].opaque);
    assert_int_equal(t->wanted[0].interval_ms, 60000);
    assert_int_equal(t->wanted[0].duration_ms, 10000);
    assert_string_equal(t->wanted[1].type, "goroutine");
    assert_string_equal(t->wanted[2].type, "heap");
    assert_null(t->wanted[2].alias);
    assert_false(t->wanted[2].collecting);
    assert_string_equal(t->wanted[2].service, "checkout");
    assert_int_equal(t->wanted[2].n_policies, 1);
    kp_verdict_finish(&v);
    kp_policy_unref(policy);
}

static void test_union_of_policies(void **state)
{
    (void)state;
    struct fixture_pod f;
    ready_pod(&f);
    struct kp_policy *p[] = {
        fixture_policy(NULL, "base",
            "{'selector': {}, 'profiles': [{'type': 'cpu', 'interval': '20s', 'duration': '5s'}],"
            "'sampling': {'replicas': 5, 'rotation': '5m'}, 'budget': {'overheadPercent': 2, 'profileBytes': "
            "'1Mi', "
            "'concurrentPerWorkload': '10%'}, 'retention': {'age': '10h'}, 'onBusy': 'Retry',"
            "'service': {'source': 'Static', 'value': 'platform'}, 'labels': {'static': {'env': 'base', 'z': "
            "'1'}}}"),
        fixture_policy("shop", "own",
            "{'selector': {}, 'profiles': [{'type': 'cpu', 'interval': '2m', 'duration': '30s'}, {'type': "
            "'heap'}],"
            "'sampling': {'replicas': 2, 'rotation': '2h'}, 'budget': {'overheadPercent': 1, 'profileBytes': "
            "'4Mi'},"
            "'retention': {'age': '5h'}, 'labels': {'fromPod': ['team'], 'static': {'env': 'own'}}}"),
    };
    struct kp_verdict v;
    fixture_build_with(&f, p, 2, &fixture_config, &v);
    assert_string_equal(p[0]->name, "own");
    assert_int_equal(v.targets.n, 1);
    const struct kp_wanted *cpu = wanted_of(v.targets.items[0], "cpu");
    assert_int_equal(cpu->interval_ms, 20000); // the shortest
    assert_int_equal(cpu->duration_ms, 5000);  // the longest below it
    assert_true(cpu->overhead_percent == 1);   // the smallest budgets
    assert_int_equal(cpu->profile_bytes, KP_MIB);
    assert_int_equal(cpu->concurrent.value, 10);
    assert_int_equal(cpu->k.value, 5); // the largest
    assert_int_equal(cpu->retention_ms, INT64_C(10) * 3600000);
    assert_int_equal(cpu->rotation_ms, 7200000); // the first's
    assert_int_equal(cpu->on_busy, KP_ON_BUSY_YIELD);
    assert_string_equal(cpu->service, "checkout");
    assert_string_equal(kp_labels_get(cpu->labels, "env"), "own");
    assert_string_equal(kp_labels_get(cpu->labels, "z"), "1");
    assert_string_equal(kp_labels_get(cpu->labels, "team"), "blue");
    assert_int_equal(cpu->n_policies, 2);
    assert_ptr_equal(cpu->policies[0], p[0]);
    const struct kp_wanted *heap = wanted_of(v.targets.items[0], "heap");
    assert_int_equal(heap->n_policies, 1);
    assert_int_equal(heap->k.value, 2);
    kp_verdict_finish(&v);
    fixture_free(p, 2);
}

// Neither a policy nor a pod's own labels can say what only the API server says.
static void test_system_fields_are_no_labels(void **state)
{
    struct fixture_pod f;
    struct kp_policy *policy = fixture_policy("shop", "p",
        "{'selector': {}, 'profiles': [{'type': 'heap'}], 'labels': {'fromPod': ['k8s.pod', 'team'], "
        "'static': "
        "{'k8s.namespace': 'pay', 'env': 'prod'}}}");
    struct kp_verdict verdict;
    (void)state;
    assert_string_equal(policy->reject_reason, "InvalidSpec");
    policy->reject_reason = NULL; // as if whoever read it had let it through
    ready_pod(&f);
    fixture_label(&f, "k8s.pod", "pay-1");
    fixture_label(&f, "team", "a");
    fixture_build_with(&f, &policy, 1, &fixture_config, &verdict);
    const struct kp_labels *labels = wanted_of(verdict.targets.items[0], "heap")->labels;
    assert_int_equal(labels->n, 2);
    assert_string_equal(labels->items[0].key, "env");
    assert_string_equal(labels->items[1].key, "team");
    kp_verdict_finish(&verdict);
    fixture_free(&policy, 1);
}

static void test_the_default_retention_is_the_largest(void **state)
{
    (void)state;
    struct fixture_pod f;
    ready_pod(&f);
    struct kp_policy *p[] = {fixture_policy("shop", "a", "{'selector': {}, 'retention': {'age': '1h'}}"),
        fixture_policy("shop", "b", "{'selector': {}}")};
    struct kp_verdict v;
    fixture_build_with(&f, p, 2, &fixture_config, &v);
    assert_int_equal(v.targets.items[0]->wanted[0].retention_ms, 0);
    kp_verdict_finish(&v);
    fixture_free(p, 2);
}

static void test_policies_with_endpoints_of_their_own(void **state)
{
    (void)state;
    struct fixture_pod f;
    ready_pod(&f);
    struct kp_policy *p[] = {
        fixture_policy("shop", "a", "{'selector': {}, 'priority': 1, 'profiles': [{'type': 'heap'}]}"),
        fixture_policy("shop", "b",
            "{'selector': {}, 'profiles': [{'type': 'heap'}, {'type': 'mutex'}], 'endpoints': ["
            "{'name': 'same', 'port': 6060, 'scheme': 'HTTPS'}, {'name': 'other', 'port': 9000}]}")};
    struct kp_verdict v;
    fixture_build_with(&f, p, 2, &fixture_config, &v);
    assert_int_equal(v.targets.n, 2);
    const struct kp_target *t = v.targets.items[0];
    assert_int_equal(t->port, 6060);
    assert_false(t->https); // the first policy's endpoint settings
    assert_null(wanted_of(t, "heap")->endpoint);
    assert_int_equal(wanted_of(t, "heap")->n_policies, 2);
    assert_int_equal(wanted_of(t, "mutex")->n_policies, 1);
    assert_int_equal(v.targets.items[1]->port, 9000);
    assert_string_equal(wanted_of(v.targets.items[1], "mutex")->endpoint->name, "other");
    assert_int_equal(v.matches.items[1].n_targets, 2);
    kp_verdict_finish(&v);
    fixture_free(p, 2);
}

static void test_heap_and_allocs_are_one_request(void **state)
{
    (void)state;
    struct fixture_pod f;
    ready_pod(&f);
    struct kp_policy *p[] = {
        fixture_policy("shop", "a", "{'selector': {}, 'profiles': [{'type': 'heap', 'interval': '5m'}]}"),
        fixture_policy("shop", "b",
            "{'selector': {}, 'profiles': [{'type': 'allocs', 'interval': '1m'}], 'sampling': {'replicas': "
            "7}}")};
    struct kp_verdict v;
    fixture_build_with(&f, p, 2, &fixture_config, &v);
    const struct kp_target *t = v.targets.items[0];
    assert_int_equal(t->n_wanted, 1);
    assert_string_equal(t->wanted[0].type, "heap");
    assert_string_equal(t->wanted[0].alias, "allocs");
    assert_string_equal(t->wanted[0].path, "/debug/pprof/heap");
    assert_int_equal(t->wanted[0].interval_ms, 60000);
    assert_int_equal(t->wanted[0].k.value, 7);
    assert_int_equal(t->wanted[0].n_policies, 2);
    kp_verdict_finish(&v);
    fixture_build_with(&f, &p[1], 1, &fixture_config, &v);
    assert_string_equal(v.targets.items[0]->wanted[0].type, "allocs");
    assert_null(v.targets.items[0]->wanted[0].alias);
    kp_verdict_finish(&v);
    fixture_free(p, 2);
}

static void test_service_names(void **state)
{
    (void)state;
    static const struct {
        const char *service, *note, *want;
    } rows[] = {
        {"{}", NULL, "checkout"}, {"{'source': 'PodLabel', 'key': 'team'}", NULL, "blue"},
        {"{'source': 'PodLabel', 'key': 'nope'}", NULL, "checkout"},
        {"{'source': 'Annotation', 'key': 'kube-pprof.dev/port'}", NULL, "checkout"},
        {"{'source': 'Static', 'value': 'fixed'}", NULL, "fixed"}, {"{}", "mine", "mine"},
        {"{}", "a/b", "checkout"}, // unreadable: reported, and the workload's name
    };
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct fixture_pod f;
        ready_pod(&f);
        if (rows[i].note != NULL)
            fixture_note(&f, "kube-pprof.dev/service", rows[i].note);
        kp_auto_free char *spec = kp_asprintf("{'selector': {}, 'service': %s}", rows[i].service);
        struct kp_policy *policy = fixture_policy("shop", "p", spec);
        struct kp_verdict v;
        fixture_build_with(&f, &policy, 1, &fixture_config, &v);
        assert_string_equal(v.targets.items[0]->wanted[0].service, rows[i].want);
        kp_verdict_finish(&v);
        kp_policy_unref(policy);
    }
}

static void test_annotations_are_clamped_by_the_policy(void **state)
{
    (void)state;
    static const struct {
        const char *interval, *duration;
        int64_t want_interval, want_duration;
    } rows[] = {{"10s", "30s", 60000, 10000}, {"5m", "2s", 300000, 2000}, {"1s", "1s", 60000, 1000}};
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct fixture_pod f;
        ready_pod(&f);
        fixture_note(&f, "kube-pprof.dev/interval", rows[i].interval);
        fixture_note(&f, "kube-pprof.dev/duration", rows[i].duration);
        struct kp_policy *policy =
            fixture_policy("shop", "p", "{'selector': {}, 'profiles': [{'type': 'cpu'}]}");
        struct kp_verdict v;
        fixture_build_with(&f, &policy, 1, &fixture_config, &v);
        assert_int_equal(v.targets.items[0]->wanted[0].interval_ms, rows[i].want_interval);
        assert_int_equal(v.targets.items[0]->wanted[0].duration_ms, rows[i].want_duration);
        kp_verdict_finish(&v);
        kp_policy_unref(policy);
    }
}

static void test_when_a_schedule_may_stay(void **state)
{
    (void)state;
    struct fixture_pod f;
    ready_pod(&f);
    struct kp_policy *p = fixture_policy("shop", "p", "{'selector': {}}");
    struct kp_policy *edited = fixture_policy("shop", "p", "{'selector': {}, 'onBusy': 'Retry'}");
    struct kp_verdict a, b, c, d;
    fixture_build_with(&f, &p, 1, &fixture_config, &a);
    f.draft.resource_version = "99"; // a heartbeat
    fixture_build_with(&f, &p, 1, &fixture_config, &b);
    fixture_build_with(&f, &edited, 1, &fixture_config, &c);
    f.containers[0].restarts++;
    f.containers[0].started_ms++;
    fixture_build_with(&f, &p, 1, &fixture_config, &d);
    assert_true(kp_target_same(a.targets.items[0], a.targets.items[0]));
    assert_true(kp_target_same(a.targets.items[0], b.targets.items[0]));
    assert_false(kp_target_same(a.targets.items[0], c.targets.items[0]));
    assert_false(kp_target_same(a.targets.items[0], d.targets.items[0]));
    kp_verdict_finish(&a);
    kp_verdict_finish(&b);
    kp_verdict_finish(&c);
    struct kp_target *kept = kp_target_ref(d.targets.items[0]);
    kp_verdict_finish(&d);
    kp_policy_unref(p);
    kp_policy_unref(edited);
    assert_string_equal(kept->wanted[0].policies[0]->name, "p"); // the target holds what it needs
    assert_string_equal(kept->pod->name, "checkout-7d9-x");
    kp_target_unref(kept);
}

static void test_labels_are_bounded_and_the_first_policies_win(void **state)
{
    (void)state;
    struct fixture_pod f;
    ready_pod(&f);
    struct kp_policy *p[8];
    for (int i = 0; i < 8; i++) {
        char spec[2048], name[16];
        size_t at =
            (size_t)snprintf(spec, sizeof spec, "{'selector': {}, 'labels': {'static': {'first': '%d'", i);
        for (int k = 0; k < 20; k++)
            at += (size_t)snprintf(spec + at, sizeof spec - at, ", 'l%d-%d': 'x'", i, k);
        snprintf(spec + at, sizeof spec - at, "}}}");
        snprintf(name, sizeof name, "p%d", i);
        p[i] = fixture_policy("shop", name, spec);
    }
    struct kp_verdict v;
    fixture_build_with(&f, p, 8, &fixture_config, &v);
    const struct kp_labels *labels = v.targets.items[0]->wanted[0].labels;
    assert_int_equal(labels->n, KP_MAX_LABELS);
    assert_string_equal(kp_labels_get(labels, "first"), "0");
    assert_string_equal(kp_labels_get(labels, "l0-19"), "x");
    assert_null(kp_labels_get(labels, "l7-0"));
    kp_verdict_finish(&v);
    fixture_free(p, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_target),
        cmocka_unit_test(test_union_of_policies),
        cmocka_unit_test(test_system_fields_are_no_labels),
        cmocka_unit_test(test_the_default_retention_is_the_largest),
        cmocka_unit_test(test_policies_with_endpoints_of_their_own),
        cmocka_unit_test(test_heap_and_allocs_are_one_request),
        cmocka_unit_test(test_service_names),
        cmocka_unit_test(test_annotations_are_clamped_by_the_policy),
        cmocka_unit_test(test_when_a_schedule_may_stay),
        cmocka_unit_test(test_labels_are_bounded_and_the_first_policies_win),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
