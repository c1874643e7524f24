// Where pprof is: the endpoint rule, paths and what annotations may say.
#include "target/target_fixture.h"
#include "base/banned.h"

// ---- one policy on one pod, told in a line ----

struct outcome { // "app:6060/debug/pprof/heap" of every wanted profile, in order; or the reason it is left
                 // out
    char text[1024];
};

static struct outcome outcome_of(struct fixture_pod *f, const char *spec, unsigned dialects)
{
    struct outcome o = {""};
    struct kp_policy *policy = fixture_policy("shop", "p", spec);
    const struct kp_target_config config = {.dialects = dialects};
    struct kp_verdict verdict;
    size_t at = 0;
    assert_null(policy->reject_message);
    fixture_build_with(f, &policy, 1, &config, &verdict);
    assert_int_equal(verdict.matches.n, 1);
    for (size_t i = 0; i < verdict.targets.n; i++) {
        const struct kp_target *t = verdict.targets.items[i];
        for (size_t k = 0; k < t->n_wanted; k++)
            at += (size_t)snprintf(o.text + at, sizeof o.text - at, "%s%s%s:%u%s", at > 0 ? " " : "",
                t->https ? "https:" : "", t->container->name, t->port, t->wanted[k].path);
    }
    const struct kp_match *match = &verdict.matches.items[0];
    assert_int_equal(match->leftout == KP_LEFTOUT_NONE, match->n_targets > 0);
    assert_int_equal(match->n_targets, verdict.targets.n);
    assert_int_equal(match->leftout == KP_LEFTOUT_NONE, match->message[0] == '\0');
    if (match->leftout != KP_LEFTOUT_NONE)
        snprintf(o.text, sizeof o.text, "%s", kp_leftout_info(match->leftout)->name);
    kp_verdict_finish(&verdict);
    kp_policy_unref(policy);
    return o;
}

#define HEAP     "'profiles': [{'type': 'heap'}]"
#define CPU_HEAP "'profiles': [{'type': 'cpu'}, {'type': 'heap'}]"
#define assert_outcome(f, spec, want)                                                                        \
    assert_string_equal(outcome_of((f), "{'selector': {}, " spec "}", KP_DIALECTS_DEFAULT).text, (want))

// ---- the policy's endpoints ----

static void test_policy_endpoints(void **state)
{
    (void)state;
    struct fixture_pod f;
    fixture_pod_init(&f);
    fixture_port(&f, 0, "http", 8080);
    fixture_container(&f, "side");
    fixture_port(&f, 1, "debug", 9091);
    assert_outcome(&f, HEAP ", 'endpoints': [{'name': 'a', 'port': 6060}]", "app:6060/debug/pprof/heap");
    assert_outcome(&f, HEAP ", 'endpoints': [{'name': 'a', 'port': 9091}]", "side:9091/debug/pprof/heap");
    assert_outcome(&f, HEAP ", 'endpoints': [{'name': 'a', 'port': 'debug'}]", "side:9091/debug/pprof/heap");
    assert_outcome(&f, HEAP ", 'endpoints': [{'name': 'a', 'container': 'side', 'port': 6060}]",
        "side:6060/debug/pprof/heap");
    assert_outcome(&f,
        HEAP ", 'endpoints': [{'name': 'a', 'port': 'http', 'scheme': 'HTTPS', 'path': '/debug/x/'}]",
        "https:app:8080/debug/x/heap");
    assert_outcome(&f, HEAP ", 'endpoints': [{'name': 'a', 'port': 'http'}, {'name': 'b', 'port': 'debug'}]",
        "app:8080/debug/pprof/heap side:9091/debug/pprof/heap");
    // one of several may be missing
    assert_outcome(&f, HEAP ", 'endpoints': [{'name': 'a', 'port': 'nope'}, {'name': 'b', 'port': 'debug'}]",
        "side:9091/debug/pprof/heap");
    assert_outcome(&f, HEAP ", 'endpoints': [{'name': 'a', 'port': 'nope'}]", "PortNotFound");
    assert_outcome(
        &f, HEAP ", 'endpoints': [{'name': 'a', 'container': 'app', 'port': 'debug'}]", "PortNotFound");
    assert_outcome(
        &f, HEAP ", 'endpoints': [{'name': 'a', 'container': 'db', 'port': 6060}]", "ContainerNotFound");
}

static void test_one_port_is_one_process(void **state)
{
    (void)state;
    struct fixture_pod f;
    fixture_pod_init(&f);
    fixture_container(&f, "side");
    assert_outcome(&f,
        HEAP ", 'endpoints': [{'name': 'a', 'container': 'side', 'port': 6060}, {'name': 'b', 'port': 6060}]",
        "side:6060/debug/pprof/heap");
}

static void test_annotations_fill_in_what_endpoints_leave_open(void **state)
{
    (void)state;
    struct fixture_pod f;
    fixture_pod_init(&f);
    fixture_container(&f, "side");
    fixture_note(&f, "kube-pprof.dev/path", "/debug/mine");
    fixture_note(&f, "kube-pprof.dev/container", "side");
    fixture_note(&f, "kube-pprof.dev/port", "7070"); // the endpoint gives one
    assert_outcome(&f, HEAP ", 'endpoints': [{'name': 'a', 'port': 6060}]", "side:6060/debug/mine/heap");
    assert_outcome(&f,
        HEAP ", 'endpoints': [{'name': 'a', 'container': 'app', 'port': 6060, 'path': '/debug/pprof'}]",
        "app:6060/debug/pprof/heap");
    assert_outcome(&f, HEAP ", 'annotationPolicy': 'Ignore', 'endpoints': [{'name': 'a', 'port': 6060}]",
        "app:6060/debug/pprof/heap");
    f.notes[0].value = "mine";
    assert_outcome(&f, HEAP ", 'endpoints': [{'name': 'a', 'port': 6060}]", "BadAnnotation");
    assert_outcome(&f, HEAP ", 'endpoints': [{'name': 'a', 'port': 6060, 'path': '/debug/pprof'}]",
        "side:6060/debug/pprof/heap");
}

// ---- annotations and port names ----

static void test_annotations_before_port_names(void **state)
{
    (void)state;
    struct fixture_pod f;
    fixture_pod_init(&f);
    fixture_port(&f, 0, "pprof", 6061);
    fixture_port(&f, 0, "admin", 9000);
    assert_outcome(&f, HEAP, "app:6061/debug/pprof/heap");
    fixture_note(&f, "kube-pprof.dev/port", "admin");
    assert_outcome(&f, HEAP, "app:9000/debug/pprof/heap");
    assert_outcome(&f, HEAP ", 'annotationPolicy': 'Ignore'", "app:6061/debug/pprof/heap");
    fixture_note(&f, "kube-pprof.dev/scheme", "https");
    fixture_note(&f, "kube-pprof.dev/path", "/debug/x");
    assert_outcome(&f, HEAP, "https:app:9000/debug/x/heap");
    f.notes[0].value = "gone";
    assert_outcome(&f, HEAP, "PortNotFound");
}

static void test_port_names(void **state)
{
    (void)state;
    static const char *const names[] = {"pprof", "debug-pprof", "http-pprof"};
    for (size_t i = 0; i < KP_COUNT(names); i++) {
        struct fixture_pod f;
        fixture_pod_init(&f);
        fixture_port(&f, 0, "http", 8080);
        fixture_port(&f, 0, names[i], 7000);
        assert_outcome(&f, HEAP, "app:7000/debug/pprof/heap");
        f.ports[0][1].tcp = false;
        assert_outcome(&f, HEAP, "NoEndpoint");
    }
    struct fixture_pod f;
    fixture_pod_init(&f);
    fixture_container(&f, "side");
    fixture_port(&f, 0, "pprof", 1);
    fixture_port(&f, 1, "http-pprof", 2);
    assert_outcome(&f, HEAP, "app:1/debug/pprof/heap side:2/debug/pprof/heap");
    fixture_note(&f, "kube-pprof.dev/container", "side");
    assert_outcome(&f, HEAP, "side:2/debug/pprof/heap");
}

static void test_only_explicit_dialects_fall_back_to_6060(void **state)
{
    (void)state;
    struct fixture_pod f;
    fixture_pod_init(&f);
    assert_outcome(&f, HEAP, "NoEndpoint");
    fixture_note(&f, "kube-pprof.dev/enable", "true");
    assert_outcome(&f, HEAP, "app:6060/debug/pprof/heap");
    f.notes[0].key = "profefe.com/enable";
    assert_outcome(&f, HEAP, "app:6060/debug/pprof/heap");
    assert_outcome(&f, HEAP ", 'annotationPolicy': 'Ignore'", "NoEndpoint");
    f.notes[0].key = "coroot.com/profile-scrape";
    assert_string_equal(outcome_of(&f, "{'selector': {}, " HEAP "}", ~0U).text, "NoEndpoint");
}

static void test_a_port_for_each_type(void **state)
{
    (void)state;
    struct fixture_pod f;
    fixture_pod_init(&f);
    fixture_note(&f, "profiles.grafana.com/cpu.scrape", "true");
    fixture_note(&f, "profiles.grafana.com/cpu.port", "8080");
    fixture_note(&f, "profiles.grafana.com/memory.scrape", "true");
    fixture_note(&f, "profiles.grafana.com/memory.port", "8081");
    fixture_note(&f, "profiles.grafana.com/memory.path", "/debug/pprof/allocs");
    const char *spec =
        "{'selector': {}, 'profiles': [{'type': 'cpu'}, {'type': 'goroutine'}, {'type': 'heap'}]}";
    assert_string_equal(
        outcome_of(&f, spec, ~0U).text, "app:8080/debug/pprof/profile app:8081/debug/pprof/allocs");
    assert_string_equal(outcome_of(&f, spec, KP_DIALECTS_DEFAULT).text, "NoEndpoint");
}

// As most pods with these annotations have it: it is one target.
static void test_the_same_port_for_each_type(void **state)
{
    (void)state;
    struct fixture_pod f;
    fixture_pod_init(&f);
    fixture_note(&f, "profiles.grafana.com/cpu.scrape", "true");
    fixture_note(&f, "profiles.grafana.com/cpu.port", "8080");
    fixture_note(&f, "profiles.grafana.com/memory.scrape", "true");
    fixture_note(&f, "profiles.grafana.com/memory.port", "8080");
    assert_string_equal(outcome_of(&f, "{'selector': {}, " CPU_HEAP "}", ~0U).text,
        "app:8080/debug/pprof/profile app:8080/debug/pprof/heap");
}

static void test_what_is_needed_and_unreadable_is_not_guessed(void **state)
{
    (void)state;
    static const char *const keys[] = {"kube-pprof.dev/port", "kube-pprof.dev/path", "kube-pprof.dev/scheme",
        "kube-pprof.dev/container", "profefe.com/port", "kube-pprof.dev/enable"};
    for (size_t i = 0; i < KP_COUNT(keys); i++) {
        struct fixture_pod f;
        fixture_pod_init(&f);
        fixture_port(&f, 0, "pprof", 6061);
        fixture_note(&f, keys[i], "??");
        assert_outcome(&f, HEAP, "BadAnnotation");
    }
    struct fixture_pod f;
    fixture_pod_init(&f);
    fixture_port(&f, 0, "pprof", 6061);
    fixture_note(&f, "kube-pprof.dev/interval", "??"); // the policy's stands
    assert_outcome(&f, HEAP, "app:6061/debug/pprof/heap");
}

// ---- paths ----

static void test_paths(void **state)
{
    (void)state;
    struct fixture_pod f;
    fixture_pod_init(&f);
    fixture_port(&f, 0, "pprof", 1);
    assert_outcome(&f,
        "'profiles': [{'type': 'cpu'}, {'type': 'fgprof'}, {'type': 'mine', 'path': '/debug/mine'}, {'type': "
        "'trace'}]",
        "app:1/debug/pprof/profile app:1/debug/fgprof app:1/debug/mine app:1/debug/pprof/trace");
    assert_outcome(&f, "'profiles': [{'type': 'cpu', 'path': '/debug/own'}]", "app:1/debug/own");
    fixture_note(&f, "kube-pprof.dev/path", "/metrics");
    assert_outcome(&f, HEAP, "PathNotAllowed");
    f.notes[0].value = "/debug/sub";
    assert_outcome(&f, "'profiles': [{'type': 'fgprof'}]", "app:1/debug/sub/fgprof");
}

static void test_types_a_pod_names(void **state)
{
    (void)state;
    struct fixture_pod f;
    fixture_pod_init(&f);
    fixture_port(&f, 0, "pprof", 1);
    fixture_note(&f, "kube-pprof.dev/types", "heap,mutex");
    assert_outcome(
        &f, CPU_HEAP, "app:1/debug/pprof/heap"); // annotations narrow a policy, they do not widen it
    assert_outcome(
        &f, CPU_HEAP ", 'annotationPolicy': 'Ignore'", "app:1/debug/pprof/profile app:1/debug/pprof/heap");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy_endpoints),
        cmocka_unit_test(test_one_port_is_one_process),
        cmocka_unit_test(test_annotations_fill_in_what_endpoints_leave_open),
        cmocka_unit_test(test_annotations_before_port_names),
        cmocka_unit_test(test_port_names),
        cmocka_unit_test(test_only_explicit_dialects_fall_back_to_6060),
        cmocka_unit_test(test_a_port_for_each_type),
        cmocka_unit_test(test_the_same_port_for_each_type),
        cmocka_unit_test(test_what_is_needed_and_unreadable_is_not_guessed),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_types_a_pod_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
