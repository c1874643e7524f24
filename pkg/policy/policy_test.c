// Policies that are accepted: what every field becomes, defaults, caps, precedence.
#include "policy/policy.h"

#include <string.h>

#include "policy/policy_fixture.h"
#include "base/banned.h"

static void test_everything_has_a_default(void **state)
{
    (void)state;
    struct kp_policy *p = fixture_policy("shop", "checkout", "{'selector': {}}");
    assert_null(p->reject_reason);
    assert_string_equal(p->key, "shop/checkout");
    assert_string_equal(p->uid, "uid-checkout");
    assert_int_equal(p->generation, 3);
    assert_false(p->suspend);
    assert_int_equal(p->priority, 0);
    assert_int_equal(p->annotations, KP_ANNOTATIONS_HONOR);
    assert_int_equal(p->on_busy, KP_ON_BUSY_YIELD);
    assert_int_equal(p->n_endpoints, 0);
    assert_int_equal(p->n_profiles, 3);
    assert_string_equal(p->profiles[0].type, "cpu");
    assert_int_equal(p->profiles[0].interval_ms, 60000);
    assert_int_equal(p->profiles[0].duration_ms, 10000);
    assert_string_equal(p->profiles[1].type, "heap");
    assert_int_equal(p->profiles[1].interval_ms, 300000);
    assert_int_equal(p->profiles[1].duration_ms, 0);
    assert_string_equal(p->profiles[2].type, "goroutine");
    assert_int_equal(p->sample_replicas.value, 3);
    assert_false(p->sample_replicas.is_percent);
    assert_int_equal(p->rotation_ms, 3600000);
    assert_true(p->overhead_percent == 1);
    assert_int_equal(p->concurrent_per_workload.value, 25);
    assert_true(p->concurrent_per_workload.is_percent);
    assert_int_equal(p->profile_bytes, 16 * KP_MIB);
    assert_int_equal(p->service_source, KP_SERVICE_WORKLOAD);
    assert_int_equal(p->static_labels->n, 0);
    assert_int_equal(p->retention_ms, 0);
    assert_true(kp_selector_is_empty(p->selector));
    kp_policy_unref(p);
}

static void test_type_dependent_defaults(void **state)
{
    (void)state;
    struct kp_policy *p = fixture_policy("shop", "x",
        "{'selector': {}, 'profiles': [{'type': 'trace'}, {'type': 'fgprof'}, {'type': 'threadcreate'},"
        "{'type': 'goroutineleak'}, {'type': 'mine', 'path': '/debug/mine'}, {'type': 'cpu', 'interval': "
        "'5m'}]}");
    assert_null(p->reject_message);
    static const struct {
        int64_t interval, duration;
    } want[] = {{3600000, 1000}, {300000, 10000}, {600000, 0}, {3600000, 0}, {300000, 0}, {300000, 10000}};
    assert_int_equal(p->n_profiles, KP_COUNT(want));
    for (size_t i = 0; i < KP_COUNT(want); i++) {
        assert_int_equal(p->profiles[i].interval_ms, want[i].interval);
        assert_int_equal(p->profiles[i].duration_ms, want[i].duration);
    }
    kp_policy_unref(p);
}

static const char everything[] =
    "{'suspend': true, 'priority': -7, 'annotationPolicy': 'Require', 'onBusy': 'Retry',"
    "'selector': {'matchLabels': {'app': 'checkout'}, 'matchExpressions': ["
    "  {'key': 'tier', 'operator': 'In', 'values': ['a', 'b']}, {'key': 'canary', 'operator': "
    "'DoesNotExist'}]},"
    "'endpoints': [{'name': 'main', 'container': 'app', 'port': 'pprof', 'scheme': 'HTTPS', 'path': "
    "'/debug/x',"
    "  'tls': {'serverName': 'n', 'ca': {'configMapRef': {'name': 'cas'}}, "
    "          'clientCertificate': {'secretRef': {'name': 'client'}}},"
    "  'authorization': {'type': 'Basic', 'secretRef': {'name': 'login'}},"
    "  'headers': [{'name': 'X-Scope-OrgID', 'value': 'shop'}]}, {'name': 'side', 'port': 9091}],"
    "'sampling': {'replicas': '20%', 'rotation': '30m'},"
    "'budget': {'overheadPercent': '500m', 'concurrentPerWorkload': 4, 'profileBytes': '8Mi'},"
    "'service': {'source': 'PodLabel', 'key': 'app'},"
    "'labels': {'fromPod': ['team'], 'static': {'env': 'prod'}}, 'retention': {'age': '120h'}}";

static void test_every_field(void **state)
{
    (void)state;
    struct kp_policy *p = fixture_policy("shop", "full", everything);
    assert_null(p->reject_message);
    assert_true(p->suspend);
    assert_int_equal(p->priority, -7);
    assert_int_equal(p->annotations, KP_ANNOTATIONS_REQUIRE);
    assert_int_equal(p->on_busy, KP_ON_BUSY_RETRY);
    const struct kp_endpoint *e = &p->endpoints[0];
    assert_int_equal(p->n_endpoints, 2);
    assert_string_equal(e->container, "app");
    assert_string_equal(e->port_name, "pprof");
    assert_int_equal(e->port, 0);
    assert_true(e->https);
    assert_string_equal(e->path, "/debug/x");
    assert_false(e->path_open);
    assert_string_equal(e->tls_server_name, "n");
    assert_string_equal(e->tls_ca.name, "cas");
    assert_string_equal(e->tls_ca.key, "ca.crt");
    assert_true(e->tls_ca.is_config_map);
    assert_string_equal(e->tls_client_secret, "client");
    assert_int_equal(e->auth, KP_AUTH_BASIC);
    assert_string_equal(e->auth_secret.name, "login");
    assert_int_equal(e->n_headers, 1);
    assert_string_equal(e->headers[0].key, "X-Scope-OrgID");
    assert_int_equal(p->endpoints[1].port, 9091);
    assert_string_equal(p->endpoints[1].path, "/debug/pprof");
    assert_true(p->endpoints[1].path_open);
    assert_true(p->sample_replicas.is_percent);
    assert_int_equal(p->sample_replicas.value, 20);
    assert_int_equal(p->rotation_ms, 1800000);
    assert_true(p->overhead_percent == 0.5);
    assert_int_equal(p->concurrent_per_workload.value, 4);
    assert_int_equal(p->profile_bytes, 8 * KP_MIB);
    assert_string_equal(p->service_key, "app");
    assert_string_equal(p->labels_from_pod[0], "team");
    assert_string_equal(kp_labels_get(p->static_labels, "env"), "prod");
    assert_int_equal(p->retention_ms, INT64_C(120) * 3600000);
    kp_policy_unref(p);
}

static void test_selector_selects(void **state)
{
    (void)state;
    struct kp_policy *p = fixture_policy("shop", "full", everything);
    static const struct {
        const char *labels;
        bool matches;
    } rows[] = {{"app=checkout,tier=b", true}, {"app=checkout", false}, {"app=other,tier=a", false},
        {"app=checkout,tier=a,canary=", false}};
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_labels *labels = NULL;
        assert_int_equal(kp_labels_parse(rows[i].labels, &labels, NULL), 0);
        assert_int_equal(kp_selector_matches(p->selector, labels), rows[i].matches);
        kp_labels_destroy(labels);
    }
    kp_policy_unref(p);
}

static void test_caps_clamp(void **state)
{
    (void)state;
    const struct kp_policy_caps caps = {.min_interval_ms = 30000,
        .max_duration_ms = 5000,
        .max_profile_bytes = KP_MIB,
        .max_overhead_percent = 0.25};
    struct kp_policy *p = fixture_policy_caps("shop", "x",
        "{'selector': {}, 'profiles': [{'type': 'cpu', 'interval': '20s'}, {'type': 'trace', 'duration': "
        "'50s'}]}",
        &caps);
    assert_null(p->reject_message);
    assert_int_equal(p->profiles[0].interval_ms, 30000);
    assert_int_equal(p->profiles[0].duration_ms, 5000);
    assert_int_equal(p->profiles[1].duration_ms, 10000); // traces have a cap of their own
    assert_int_equal(p->profile_bytes, KP_MIB);
    assert_true(p->overhead_percent == 0.25);
    kp_policy_unref(p);
    p = fixture_policy(
        "shop", "x", "{'selector': {}, 'sampling': {'rotation': '1s'}, 'budget': {'overheadPercent': 50}}");
    assert_int_equal(p->rotation_ms, 60000);
    assert_true(p->overhead_percent == 5);
    kp_policy_unref(p);
}

static void test_cluster_policies(void **state)
{
    (void)state;
    struct kp_policy *p = fixture_policy(
        NULL, "base", "{'selector': {}, 'namespaceSelector': {'matchLabels': {'env': 'prod'}}}");
    assert_true(kp_policy_is_cluster(p));
    assert_string_equal(p->key, "/base");
    assert_false(kp_selector_is_empty(p->namespace_selector));
    kp_policy_unref(p);
    // it means nothing in a namespaced policy, and must not widen one
    p = fixture_policy("shop", "x", "{'selector': {}, 'namespaceSelector': {}}");
    assert_null(p->namespace_selector);
    assert_false(kp_policy_is_cluster(p));
    kp_policy_unref(p);
}

static void test_precedence(void **state)
{
    (void)state;
    struct kp_policy *order[] = {fixture_policy(NULL, "z", "{'selector': {}, 'priority': 1}"),
        fixture_policy("shop", "b", "{'selector': {}}"), fixture_policy("web", "b", "{'selector': {}}"),
        fixture_policy("shop", "c", "{'selector': {}}"), fixture_policy(NULL, "a", "{'selector': {}}"),
        fixture_policy("shop", "a", "{'selector': {}, 'priority': -1}")};
    for (size_t i = 0; i < KP_COUNT(order); i++) {
        for (size_t j = 0; j < KP_COUNT(order); j++) {
            int want = i < j ? -1 : i > j ? 1 : 0;
            int got = kp_policy_compare(order[i], order[j]);
            assert_int_equal(got < 0 ? -1 : got > 0, want);
        }
    }
    for (size_t i = 0; i < KP_COUNT(order); i++)
        kp_policy_unref(order[i]);
}

static void test_references(void **state)
{
    (void)state;
    struct kp_policy *p = fixture_policy("shop", "x", "{'selector': {}}");
    assert_ptr_equal(kp_policy_ref(p), p);
    kp_policy_unref(p);
    assert_string_equal(p->name, "x");
    kp_policy_unref(p);
    kp_policy_unref(NULL);
}

static void test_without_a_name_it_is_no_policy(void **state)
{
    (void)state;
    static const char *const objects[] = {"{}", "[]", "{'metadata': {}}", "{'metadata': {'name': ''}}",
        "{'metadata': {'name': 3}}", "{'metadata': 'x', 'spec': {}}"};
    for (size_t i = 0; i < KP_COUNT(objects); i++) {
        json_t *object = fixture_json(objects[i]);
        struct kp_policy *p = NULL;
        struct kp_error err = {0};
        assert_int_equal(kp_policy_parse(object, NULL, &p, &err), KP_INVALID);
        assert_null(p);
        assert_non_null(strstr(err.text, "metadata.name"));
        json_decref(object);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_has_a_default),
        cmocka_unit_test(test_type_dependent_defaults),
        cmocka_unit_test(test_every_field),
        cmocka_unit_test(test_selector_selects),
        cmocka_unit_test(test_caps_clamp),
        cmocka_unit_test(test_cluster_policies),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_without_a_name_it_is_no_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
