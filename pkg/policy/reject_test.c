// Policies that are not accepted: each wrong thing has its sentence. The API server refuses most of them, but
// the CRD in a cluster may be an older one.
#include <string.h>

#include "policy/policy_fixture.h"
#include "policy/validate.h"
#include "base/banned.h"

static const struct {
    const char *spec, *reason, *message; // a part of it
} rows[] = {
    {"{}", "InvalidSpec", "selector is missing"},
    {"null", "InvalidSpec", "selector is missing"},
    {"{'selector': []}", "InvalidSpec", "selector must be an object"},
    // whatever is wrong with a selector must not make it select more
    {"{'selector': {'matchLabels': ['a']}}", "InvalidSpec", "matchLabels must be an object"},
    {"{'selector': {'matchLabels': {'a': 1}}}", "InvalidSpec", "too many or wrong labels"},
    {"{'selector': {'matchExpressions': {}}}", "InvalidSpec", "matchExpressions must be a list"},
    {"{'selector': {'matchExpressions': [{'key': 'a', 'operator': 'Is'}]}}", "InvalidSpec",
        "matchExpressions[0]"},
    {"{'selector': {'matchExpressions': [{'key': 'a', 'operator': 'NotIn'}]}}", "InvalidSpec",
        "matchExpressions[0]"},
    {"{'selector': {'matchExpressions': [{'key': 'a', 'operator': 'Exists', 'values': ['b']}]}}",
        "InvalidSpec", "matchExpressions[0]"},
    {"{'selector': {}, 'suspend': 'yes'}", "InvalidSpec", "suspend must be true or false"},
    {"{'selector': {}, 'priority': 1e30}", "InvalidSpec", "priority must be"},
    {"{'selector': {}, 'annotationPolicy': 'Maybe'}", "InvalidSpec", "'Maybe' is not known"},
    {"{'selector': {}, 'onBusy': 3}", "InvalidSpec", "onBusy must be a string"},
    {"{'selector': {}, 'profiles': []}", "InvalidSpec", "profiles is empty"},
    {"{'selector': {}, 'profiles': {}}", "InvalidSpec", "profiles must be a list"},
    {"{'selector': {}, 'profiles': [{}]}", "InvalidSpec", "a profile has no type"},
    {"{'selector': {}, 'profiles': [{'type': 'lock'}]}", "InvalidSpec",
        "profile type 'lock' is not known; give its path"},
    {"{'selector': {}, 'profiles': [{'type': 'Lock', 'path': '/debug/x'}]}", "InvalidSpec",
        "is not a name for"},
    {"{'selector': {}, 'profiles': [{'type': 'heap', 'duration': '5s'}]}", "InvalidSpec",
        "takes no duration"},
    {"{'selector': {}, 'profiles': [{'type': 'cpu', 'interval': '10s'}]}", "InvalidSpec",
        "must be shorter than its interval"},
    {"{'selector': {}, 'profiles': [{'type': 'cpu', 'duration': '0s'}]}", "InvalidSpec", "shorter than 1s"},
    {"{'selector': {}, 'profiles': [{'type': 'heap', 'interval': '9s'}]}", "InvalidSpec", "shorter than 10s"},
    {"{'selector': {}, 'profiles': [{'type': 'heap', 'interval': '1 week'}]}", "InvalidSpec",
        "'1 week' is not a duration"},
    {"{'selector': {}, 'profiles': [{'type': 'heap'}, {'type': 'heap'}]}", "InvalidSpec", "listed twice"},
    {"{'selector': {}, 'profiles': [{'type': 'x', 'path': '/metrics'}]}", "PathNotAllowed", "'/metrics'"},
    {"{'selector': {}, 'profiles': [{'type': 'x', 'path': '/debug/../x'}]}", "InvalidSpec", "profile path"},
    {"{'selector': {}, 'profiles': [{'type': 'x', 'path': '/debug/x?a=b'}]}", "InvalidSpec", "profile path"},
    {"{'selector': {}, 'profiles': [{'type': 'x', 'path': '/debug/x#a'}]}", "InvalidSpec", "profile path"},
    {"{'selector': {}, 'endpoints': {'name': 'x'}}", "InvalidSpec", "endpoints must be a list"},
    {"{'selector': {}, 'endpoints': [{'name': 'x'}]}", "InvalidSpec", "an endpoint has no port"},
    {"{'selector': {}, 'endpoints': ['x']}", "InvalidSpec", "an endpoint has no port"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 65536}]}", "InvalidSpec", "65536 is not between"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 1, 'path': '/'}]}", "PathNotAllowed",
        "endpoint path '/'"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 1, 'scheme': 'https'}]}", "InvalidSpec",
        "'https' is not known"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 1, 'tls': {}}]}", "InvalidSpec",
        "tls needs scheme HTTPS"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 1, 'scheme': 'HTTPS', 'tls': {'ca': {}}}]}",
        "InvalidSpec", "exactly one of secretRef and configMapRef"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 1, 'scheme': 'HTTPS', 'tls': {'ca': "
     "{'secretRef': {'name': 'a'}, 'configMapRef': {'name': 'b'}}}}]}",
        "InvalidSpec", "exactly one of"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 1, 'scheme': 'HTTPS', 'tls': {'ca': "
     "{'secretRef': {'name': '../../kube-system/secrets/x'}}}}]}",
        "InvalidSpec", "cannot be the name of a Secret"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 1, 'scheme': 'HTTPS', 'tls': {'serverName': "
     "'a\\r\\nb'}}]}",
        "InvalidSpec", "is no name of a server"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 1, 'scheme': 'HTTPS', 'tls': {'serverName': "
     "'a b'}}]}",
        "InvalidSpec", "'a b' is no name of a server"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 1, 'authorization': {'type': 'Bearer', "
     "'secretRef': {'name': 't'}}}]}",
        "InvalidSpec", "only sent over verified HTTPS"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 1, 'scheme': 'HTTPS', 'tls': "
     "{'insecureSkipVerify': true}, "
     "'authorization': {'type': 'Bearer', 'secretRef': {'name': 't'}}}]}",
        "InvalidSpec", "only sent over verified HTTPS"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 1, 'scheme': 'HTTPS', 'authorization': {'type': "
     "'Bearer'}}]}",
        "InvalidSpec", "authorization.secretRef.name is missing"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 1, 'headers': [{'name': 'hOsT', 'value': 'x'}]}]}",
        "InvalidSpec", "header 'hOsT'"},
    {"{'selector': {}, 'endpoints': [{'name': 'x', 'port': 1, 'headers': [{'name': 'A', 'value': 'x\\r\\nB: "
     "y'}]}]}",
        "InvalidSpec", "control characters"},
    {"{'selector': {}, 'sampling': {'replicas': 0}}", "InvalidSpec", "sampling.replicas"},
    {"{'selector': {}, 'sampling': {'replicas': -3}}", "InvalidSpec", "sampling.replicas"},
    {"{'selector': {}, 'sampling': {'replicas': '120%'}}", "InvalidSpec", "replicas: "},
    {"{'selector': {}, 'sampling': {'replicas': true}}", "InvalidSpec", "replicas must be"},
    {"{'selector': {}, 'budget': {'overheadPercent': 0}}", "InvalidSpec", "overheadPercent must be above 0"},
    {"{'selector': {}, 'budget': {'overheadPercent': 'nan'}}", "InvalidSpec", "overheadPercent"},
    {"{'selector': {}, 'budget': {'overheadPercent': '1x'}}", "InvalidSpec", "'1x' is not a number"},
    {"{'selector': {}, 'budget': {'profileBytes': 3}}", "InvalidSpec", "profileBytes must be at least"},
    {"{'selector': {}, 'budget': {'profileBytes': []}}", "InvalidSpec", "profileBytes must be"},
    {"{'selector': {}, 'service': {'source': 'PodLabel'}}", "InvalidSpec", "service.key is missing"},
    {"{'selector': {}, 'service': {'source': 'Static', 'value': 'a/b'}}", "InvalidSpec",
        "service.value 'a/b'"},
    {"{'selector': {}, 'labels': {'fromPod': [3]}}", "InvalidSpec", "labels.fromPod[0]"},
    {"{'selector': {}, 'labels': {'static': {'a b': 'c'}}}", "InvalidSpec", "'a b' is not a label"},
    {"{'selector': {}, 'labels': {'fromPod': ['team', 'k8s.pod']}}", "InvalidSpec",
        "labels.fromPod: 'k8s.pod' begins with k8s."},
    {"{'selector': {}, 'labels': {'static': {'k8s.namespace': 'pay'}}}", "InvalidSpec",
        "labels.static: 'k8s.namespace' begins with k8s."},
    {"{'selector': {}, 'retention': {'age': 'long'}}", "InvalidSpec", "age: 'long' is not a duration"},
};

static void test_each_wrong_thing_has_its_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_policy *p = fixture_policy("shop", "x", rows[i].spec);
        if (p->reject_reason == NULL)
            fail_msg("accepted: %s", rows[i].spec);
        if (strstr(p->reject_message, rows[i].message) == NULL)
            fail_msg("%s: '%s' is not in '%s'", rows[i].spec, rows[i].message, p->reject_message);
        assert_string_equal(p->reject_reason, rows[i].reason);
        assert_true(p->n_profiles >= 1);
        assert_non_null(p->static_labels);
        kp_policy_unref(p);
    }
}

static void test_a_wrong_namespace_selector_does_not_select_all(void **state)
{
    (void)state;
    static const char *const specs[] = {"{'selector': {}, 'namespaceSelector': 'prod'}",
        "{'selector': {}, 'namespaceSelector': {'matchLabels': 'prod'}}"};
    for (size_t i = 0; i < KP_COUNT(specs); i++) {
        struct kp_policy *p = fixture_policy(NULL, "x", specs[i]);
        assert_non_null(p->reject_reason);
        kp_policy_unref(p);
    }
}

static void test_too_many(void **state)
{
    (void)state;
    static const struct {
        const char *head, *item, *tail, *message;
        int n;
    } lists[] = {
        {"{'selector': {}, 'endpoints': [", "{'name': 'e', 'port': 1}", "]}", "more than 8 endpoints", 9},
        {"{'selector': {}, 'profiles': [", "{'type': 'cpu'}", "]}", "more than 16 profiles", 17},
        {"{'selector': {}, 'labels': {'fromPod': [", "'a'", "]}}", "more than 64 labels", 65},
        {"{'selector': {}, 'endpoints': [{'name': 'e', 'port': 1, 'headers': [",
            "{'name': 'a', 'value': 'b'}", "]}]}", "more than 16 headers", 17},
    };
    for (size_t i = 0; i < KP_COUNT(lists); i++) {
        char spec[4096];
        size_t at = (size_t)snprintf(spec, sizeof spec, "%s", lists[i].head);
        for (int k = 0; k < lists[i].n; k++)
            at += (size_t)snprintf(spec + at, sizeof spec - at, "%s%s", k > 0 ? "," : "", lists[i].item);
        snprintf(spec + at, sizeof spec - at, "%s", lists[i].tail);
        struct kp_policy *p = fixture_policy("shop", "x", spec);
        assert_non_null(p->reject_message);
        assert_non_null(strstr(p->reject_message, lists[i].message));
        kp_policy_unref(p);
    }
}

static void test_allowed_paths(void **state)
{
    (void)state;
    static const char *const own[] = {"/debug/", "/internal/pprof", NULL};
    static const struct {
        const char *path;
        bool standard, own;
    } paths[] = {{"/debug/pprof", true, true}, {"/debug", true, true}, {"/debugger", false, false},
        {"/internal/pprof/heap", false, true}, {"/", false, false}, {"", false, false},
        {"debug/x", false, false}, {"/debug/../x", false, false}, {"/debug//x", false, false},
        {"/debug/%2e", false, false}, {"/debug/x y", false, false}, {"/debug/\\x", false, false},
        {"/debug/\x01", false, false}};
    for (size_t i = 0; i < KP_COUNT(paths); i++) {
        assert_int_equal(kp_path_allowed(paths[i].path, NULL), paths[i].standard);
        assert_int_equal(kp_path_allowed(paths[i].path, own), paths[i].own);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_wrong_thing_has_its_sentence),
        cmocka_unit_test(test_a_wrong_namespace_selector_does_not_select_all),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_allowed_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
