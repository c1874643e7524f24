// What explain says of pods and policies made by hand, and of a scripted API server.
#include "cli/golden_testing.h"

#include "base/clock.h"
#include "cli/explain.h"
#include "cli/server_testing.h"
#include "target/target_fixture.h"
#include "base/banned.h"

#define NOW "2026-03-01T12:00:00Z"

static json_t *parse(const char *text)
{
    json_error_t why;
    json_t *json = json_loads(text, 0, &why);
    if (json == NULL)
        fail_msg("%s: %s", why.text, text);
    return json;
}

struct given {
    struct fixture_pod pod;
    struct kp_policies policies;
    struct kp_labels *namespace_labels;
    json_t *states;
    int revision_pods;
};

static void given_init(struct given *g)
{
    *g = (struct given){.policies = {.notes = json_array()}};
    fixture_pod_init(&g->pod);
}

static void given_policy(struct given *g, const char *namespace, const char *name, const char *spec)
{
    kp_policies_put(&g->policies, fixture_policy(namespace, name, spec));
}

static void check_explained(struct given *g, const char *golden)
{
    struct kp_pod *pod = kp_pod_build(&g->pod.draft);
    const struct kp_explained explained = {.pod = pod,
        .policies = &g->policies,
        .namespace_labels = g->namespace_labels,
        .states = g->states,
        .revision_pods = g->revision_pods};
    int64_t now_ms = 0;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(kp_time_parse(NOW, &now_ms, NULL), 0);
    json_t *data = kp_explain_data(&explained);
    kp_explain_text(data, now_ms, out);
    fclose(out);
    check_width(text);
    check_golden(golden, text);
    free(text);
    json_decref(data);
    kp_pod_unref(pod);
    kp_policies_finish(&g->policies);
    kp_labels_destroy(g->namespace_labels);
    json_decref(g->states);
}

static void test_a_pod_that_is_profiled(void **state)
{
    struct given g;
    const struct kp_label prod = {"env", "prod"};
    (void)state;
    given_init(&g);
    fixture_port(&g.pod, 0, "pprof", 6060);
    fixture_label(&g.pod, "team", "core");
    fixture_note(&g.pod, "kube-pprof.dev/path", "/debug/pprof");
    fixture_note(&g.pod, "kube-pprof.dev/prot", "6060");
    fixture_note(&g.pod, "profefe.com/port", "60x60");
    fixture_note(&g.pod, "pyroscope.io/scrape", "true");
    g.namespace_labels = kp_labels_create(&prod, 1);
    g.revision_pods = 5;
    given_policy(&g, "shop", "checkout",
        "{'selector':{'matchLabels':{'app':'checkout'}},'priority':10,'endpoints':[{'name':'main','port':'"
        "pprof'}],"
        "'profiles':[{'type':'cpu','interval':'30s'},{'type':'heap'}],'labels':{'fromPod':['team'],'static':{"
        "'env':"
        "'prod'}},'retention':{'age':'48h'}}");
    given_policy(&g, NULL, "all",
        "{'selector':{},'namespaceSelector':{'matchLabels':{'env':'prod'}},'profiles':[{'type':'heap','"
        "interval':'1m'},"
        "{'type':'allocs'},{'type':'mutex'}]}");
    given_policy(&g, "shop", "web",
        "{'selector':{'matchExpressions':[{'key':'app','operator':'In','values':['web','shop']},{'key':'tier'"
        ","
        "'operator':'Exists'},{'key':'canary','operator':'DoesNotExist'}]}}");
    given_policy(&g, NULL, "test", "{'selector':{},'namespaceSelector':{'matchLabels':{'env':'test'}}}");
    given_policy(&g, "shop", "paused", "{'selector':{},'suspend':true}");
    given_policy(&g, "shop", "wrong", "{'selector':{},'profiles':[{'type':'lock-waits'}]}");
    given_policy(&g, NULL, "opt-in", "{'selector':{},'annotationPolicy':'Require'}");
    g.states = parse(
        "[{\"container\":\"app\",\"port\":6060,\"podUID\":\"u1\",\"sampled\":true,\"profiles\":["
        "{\"type\":\"cpu\",\"intervalSeconds\":60,\"nextTime\":\"2026-03-01T12:00:40Z\",\"lastTime\":"
        "\"2026-03-01T11:59:40Z\",\"lastResult\":\"Succeeded\"},"
        "{\"type\":\"heap\",\"intervalSeconds\":60,\"lastTime\":\"2026-03-01T11:59:00Z\",\"lastResult\":"
        "\"NotServed\",\"message\":\"404 of /debug/pprof/heap: the program does not serve it\"}]}]");
    check_explained(&g, "explain/profiled.txt");
}

static void test_a_pod_that_does_not_say_where(void **state)
{
    struct given g;
    (void)state;
    given_init(&g);
    given_policy(&g, "shop", "checkout", "{'selector':{'matchLabels':{'app':'checkout'}}}");
    given_policy(&g, NULL, "of-others", "{'selector':{},'namespaceSelector':{'matchLabels':{'env':'prod'}}}");
    check_explained(&g, "explain/no-endpoint.txt");
}

static void test_nothing_selects_it(void **state)
{
    struct given g;
    (void)state;
    given_init(&g);
    g.pod.draft.ready = false;
    given_policy(&g, "shop", "web", "{'selector':{'matchLabels':{'app':'web'}}}");
    check_explained(&g, "explain/not-selected.txt");
}

static void test_no_policy_at_all(void **state)
{
    struct given g;
    (void)state;
    given_init(&g);
    check_explained(&g, "explain/no-policy.txt");
}

static void test_the_policy_that_would(void **state)
{
    struct given g;
    (void)state;
    given_init(&g);
    given_policy(&g, "shop", "paused", "{'selector':{},'suspend':true}");
    check_explained(&g, "explain/suspended.txt");
}

static void check_headline(struct given *g, const char *message)
{
    struct kp_pod *pod = kp_pod_build(&g->pod.draft);
    const struct kp_explained explained = {
        .pod = pod, .policies = &g->policies, .namespace_labels = g->namespace_labels};
    json_t *data = kp_explain_data(&explained);
    check_says(json_string_value(json_object_get(data, "message")), message);
    json_decref(data);
    kp_pod_unref(pod);
    kp_policies_finish(&g->policies);
    kp_labels_destroy(g->namespace_labels);
}

static void test_the_reason_that_is_told_first(void **state)
{
    static const char opt_in[] = "{'selector':{},'annotationPolicy':'Require'}";
    static const char no_port[] =
        "{'selector':{},'endpoints':[{'name':'main','port':'absent'}],'priority':-1}";
    const struct kp_label prod = {"env", "prod"};
    struct given g;
    (void)state;
    given_init(&g);
    given_policy(&g, NULL, "annotated-pods", opt_in);
    check_headline(&g, "clusterprofilingpolicy/annotated-pods selects it, but ");
    given_init(&g);
    given_policy(&g, NULL, "annotated-pods", opt_in);
    given_policy(&g, NULL, "by-port", no_port); // comes later
    check_headline(&g, "clusterprofilingpolicy/by-port selects it, but ");
    given_init(&g);
    given_policy(&g, NULL, "annotated-pods", opt_in);
    given_policy(&g, NULL, "by-port", no_port);
    given_policy(&g, "shop", "checkout", "{'selector':{'matchLabels':{'app':'checkout'}},'suspend':true}");
    check_headline(&g, "profilingpolicy/checkout would select it, but is suspended");
    given_init(&g);
    given_policy(&g, NULL, "annotated-pods", opt_in);
    given_policy(&g, NULL, "of-prod",
        "{'selector':{},'namespaceSelector':{'matchLabels':{'env':'prod'}},'suspend':true}");
    g.namespace_labels = kp_labels_create(&prod, 1);
    check_headline(&g, "clusterprofilingpolicy/of-prod would select it, but is suspended");
    given_init(&g); // not meant for the pod
    given_policy(&g, NULL, "annotated-pods", opt_in);
    given_policy(&g, "shop", "web", "{'selector':{'matchLabels':{'app':'web'}},'suspend':true}");
    check_headline(&g, "clusterprofilingpolicy/annotated-pods selects it, but ");
}

static void test_what_annotations_hold_reaches_no_terminal(void **state)
{
    struct given g;
    (void)state;
    given_init(&g);
    fixture_note(&g.pod, "kube-pprof.dev/service", "a\x1b]0;owned\x07\n\xff b");
    check_explained(&g, "explain/control.txt");
}

// ---- the command ----

#define POD                                                                                                  \
    "{\"metadata\":{\"name\":\"checkout-x\",\"namespace\":\"shop\",\"uid\":\"u1\",\"labels\":{\"app\":"      \
    "\"checkout\"}},\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"app\",\"ports\":[{\"name\":"   \
    "\"pprof\",\"containerPort\":6060}]}]},\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.7\","        \
    "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"2026-01-01T00:00:"     \
    "00Z\"}],"                                                                                               \
    "\"containerStatuses\":[{\"name\":\"app\",\"ready\":true,\"state\":{\"running\":{\"startedAt\":"         \
    "\"2026-01-01T00:00:00Z\"}}}]}}"
#define POLICIES                                                                                             \
    "{\"items\":[{\"metadata\":{\"name\":\"checkout\",\"namespace\":\"shop\",\"uid\":\"p1\"},\"spec\":{"     \
    "\"selector\":{\"matchLabels\":{\"app\":\"checkout\"}}}}]}"
#define REFUSED(what)                                                                                        \
    "{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"code\":403,\"message\":\"" what                         \
    " is forbidden: User \\\"u\\\" cannot list resource \\\"" what "\\\"\"}"
#define MISSING                                                                                              \
    "{\"kind\":\"Status\",\"reason\":\"NotFound\",\"code\":404,\"message\":\"the server could not find the " \
    "requested resource\"}"

static void test_the_command(void **state)
{
    static const struct peer_step steps[] = {
        {.expect = "GET /api/v1/namespaces/shop/pods/checkout-x ", .status = 200, .body = POD},
        {.expect = "/namespaces/shop/profilingpolicies ", .status = 200, .body = POLICIES},
        {.expect = "/clusterprofilingpolicies ", .status = 403, .body = REFUSED("clusterprofilingpolicies")},
        {.expect = "GET /api/v1/namespaces/shop ", .status = 403, .body = REFUSED("namespaces")},
        {.expect = "/profiles/-/targets?pod=checkout-x ",
            .status = 200,
            .body = "{\"items\":[],\"cursor\":\"\"}"},
    };
    struct ran_at_server r;
    (void)state;
    run_at_server(steps, KP_COUNT(steps), (const char *const[]){"explain", "checkout-x", NULL}, &r);
    check_says(r.ran.out, "Profiled:     yes, at 1 port\n");
    check_says(r.ran.out, "profilingpolicy/checkout, priority 0\n");
    check_says(
        r.ran.err, "note: policies of the cluster are not known: clusterprofilingpolicies is forbidden");
    check_says(r.ran.err, "note: labels of namespace 'shop' are not known");
    check_says(r.ran.err, "note: the registry knows no target of pod 'checkout-x'");
    assert_int_equal(r.ran.status, 0);
    kp_ran_finish(&r.ran);
}

static void test_the_command_as_data(void **state)
{
    static const struct peer_step steps[] = {
        {.expect = "/pods/checkout-x ", .status = 200, .body = POD},
        {.expect = "/namespaces/shop/profilingpolicies ", .status = 200, .body = POLICIES},
        {.expect = "/clusterprofilingpolicies ", .status = 200, .body = "{\"items\":[]}"},
        {.expect = "GET /api/v1/namespaces/shop ",
            .status = 200,
            .body = "{\"metadata\":{\"name\":\"shop\"}}"},
        {.expect = "/profiles/-/targets", .status = 404, .body = MISSING},
    };
    struct ran_at_server r;
    (void)state;
    run_at_server(steps, KP_COUNT(steps),
        (const char *const[]){
            "explain", "checkout-x", "-o", "jsonpath={.profiled} {.targets[0].port} {.notes}", NULL},
        &r);
    check_says(r.ran.out, "true 6060 ");
    check_says(
        r.ran.out, "samples, next captures and results are not known: this cluster serves no profiles");
    assert_string_equal(r.ran.err, "");
    assert_int_equal(r.ran.status, 0);
    kp_ran_finish(&r.ran);
}

static void test_where_kube_pprof_is_not_installed(void **state)
{
    static const struct peer_step steps[] = {
        {.expect = "/pods/absent ",
            .status = 404,
            .body = "{\"kind\":\"Status\",\"code\":404,\"reason\":\"NotFound\",\"message\":\"pods "
                    "\\\"absent\\\" not found\"}"},
        {.expect = "/pods/checkout-x ", .status = 200, .body = POD},
        {.expect = "/namespaces/shop/profilingpolicies ", .status = 404, .body = MISSING},
        {.expect = "/clusterprofilingpolicies ", .status = 404, .body = MISSING},
        {.expect = "GET /api/v1/namespaces/shop ",
            .status = 200,
            .body = "{\"metadata\":{\"name\":\"shop\"}}"},
    };
    struct ran_at_server r;
    (void)state;
    run_at_server(steps, KP_COUNT(steps), (const char *const[]){"explain", "absent", "checkout-x", NULL}, &r);
    check_says(r.ran.err, "pods \"absent\" not found");
    check_says(r.ran.err,
        "note: this cluster does not know ProfilingPolicy and ClusterProfilingPolicy: install kube-pprof");
    check_says(r.ran.out, "Profiled:     no: this cluster does not know ProfilingPolicy");
    assert_int_equal(r.ran.status, 1); // one was not there
    assert_int_equal(r.n_seen, KP_COUNT(steps));
    kp_ran_finish(&r.ran);
}

// The controller may be set otherwise, or what it saw has changed.
static void check_compared(const char *policies, const char *states, const char *says)
{
    const struct peer_step steps[] = {
        {.expect = "/pods/checkout-x ", .status = 200, .body = POD},
        {.expect = "/namespaces/shop/profilingpolicies ", .status = 200, .body = policies},
        {.expect = "/clusterprofilingpolicies ", .status = 200, .body = "{\"items\":[]}"},
        {.expect = "GET /api/v1/namespaces/shop ",
            .status = 200,
            .body = "{\"metadata\":{\"name\":\"shop\"}}"},
        {.expect = "/profiles/-/targets", .status = 200, .body = states},
    };
    struct ran_at_server r;
    run_at_server(steps, KP_COUNT(steps), (const char *const[]){"explain", "checkout-x", NULL}, &r);
    check_says(r.ran.err, says);
    assert_int_equal(r.ran.status, 0);
    kp_ran_finish(&r.ran);
}

static void test_the_controller_sees_it_otherwise(void **state)
{
    (void)state;
    check_compared(POLICIES,
        "{\"items\":[{\"pod\":\"checkout-x\",\"leftOutReason\":\"AddressConflict\",\"message\":\"two claim "
        "it\"}]}",
        "note: the controller, when it looked last, left pod 'checkout-x' out: AddressConflict: two claim "
        "it\n");
    check_compared("{\"items\":[]}", "{\"items\":[{\"pod\":\"checkout-x\",\"port\":6060,\"sampled\":true}]}",
        "note: the controller, when it looked last, did profile pod 'checkout-x' at port 6060: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pod_that_is_profiled),
        cmocka_unit_test(test_a_pod_that_does_not_say_where),
        cmocka_unit_test(test_nothing_selects_it),
        cmocka_unit_test(test_no_policy_at_all),
        cmocka_unit_test(test_the_policy_that_would),
        cmocka_unit_test(test_the_reason_that_is_told_first),
        cmocka_unit_test(test_what_annotations_hold_reaches_no_terminal),
        cmocka_unit_test(test_the_command),
        cmocka_unit_test(test_the_command_as_data),
        cmocka_unit_test(test_where_kube_pprof_is_not_installed),
        cmocka_unit_test(test_the_controller_sees_it_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
