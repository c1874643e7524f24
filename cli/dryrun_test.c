// What dry-run says of pods and policies made by hand, and of a scripted API server.
#include "cli/golden_testing.h"

#include "cli/dryrun.h"
#include "cli/server_testing.h"
#include "target/target_fixture.h"
#include "base/banned.h"

#define NOW INT64_C(1700000000000)

struct given {
    struct kp_policies before, after;
    struct kp_policy *asked[4];
    size_t n_asked;
    struct kp_pods pods;
    struct fixture_pod draft;
};

static void given_init(struct given *g)
{
    *g = (struct given){0};
    fixture_pod_init(&g->draft);
    fixture_port(&g->draft, 0, "pprof", 6060);
}

static void given_known(struct given *g, const char *namespace, const char *name, const char *spec)
{
    kp_policies_put(&g->before, fixture_policy(namespace, name, spec));
    kp_policies_put(&g->after, fixture_policy(namespace, name, spec));
}

static void given_asked(struct given *g, const char *namespace, const char *name, const char *spec)
{
    struct kp_policy *policy = fixture_policy(namespace, name, spec);
    g->asked[g->n_asked++] = policy;
    kp_policies_put(&g->after, policy);
}

// The draft as it is now, n times over.
static void given_pods(struct given *g, const char *prefix, int n)
{
    for (int i = 0; i < n; i++) {
        kp_auto_free char *name = kp_asprintf("%s-%d", prefix, i);
        kp_auto_free char *uid = kp_asprintf("uid-%s", name);
        g->draft.draft.name = name;
        g->draft.draft.uid = uid;
        *kp_array_add(&g->pods.items) = kp_pod_build(&g->draft.draft);
    }
}

static json_t *data_of(struct given *g)
{
    const struct kp_dryrun dryrun = {.before = &g->before,
        .after = &g->after,
        .asked = g->asked,
        .n_asked = g->n_asked,
        .pods = &g->pods,
        .now_ms = NOW};
    return kp_dryrun_data(&dryrun);
}

static void check_said(struct given *g, const char *golden)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    json_t *data = data_of(g);
    kp_dryrun_text(data, out);
    fclose(out);
    check_width(text);
    check_golden(golden, text);
    free(text);
    json_decref(data);
    kp_policies_finish(&g->before);
    kp_policies_finish(&g->after);
    kp_pods_finish(&g->pods);
}

static void test_new_policy_beside_another(void **state)
{
    struct given g;
    (void)state;
    given_init(&g);
    given_pods(&g, "checkout-7d9", 5);
    g.draft.draft.owner_name = "checkout-8e0";
    g.draft.labels[1].value = "8e0";
    given_pods(&g, "checkout-8e0", 1);
    g.draft.draft.ready = false;
    given_pods(&g, "checkout-late", 2);
    given_known(&g, NULL, "all",
        "{'selector':{},'profiles':[{'type':'heap'}],'budget':{'concurrentPerWorkload':'100%'}}");
    given_asked(&g, "shop", "checkout",
        "{'selector':{'matchLabels':{'app':'checkout'}},'profiles':[{'type':'cpu','interval':'2m'},{'type':'"
        "heap',"
        "'interval':'1m'}],'budget':{'concurrentPerWorkload':'100%'}}");
    check_said(&g, "dryrun/new.txt");
}

static void test_what_does_not_fit(void **state)
{
    struct given g;
    (void)state;
    given_init(&g);
    given_pods(&g, "checkout-7d9", 4);
    given_known(&g, "shop", "checkout", "{'selector':{},'profiles':[{'type':'cpu','interval':'10m'}]}");
    given_asked(&g, "shop", "checkout",
        "{'selector':{},'profiles':[{'type':'cpu','interval':'30s','duration':'20s'}],'sampling':{'replicas':"
        "'100%'},"
        "'budget':{'overheadPercent':'0.5'}}");
    check_said(&g, "dryrun/stretched.txt");
}

static void test_nothing_matches(void **state)
{
    struct given g;
    (void)state;
    given_init(&g);
    given_pods(&g, "checkout-7d9", 1);
    given_asked(&g, "shop", "web", "{'selector':{'matchLabels':{'app':'web'}}}");
    check_said(&g, "dryrun/nothing.txt");
}

// ---- the command ----

#define POD_OF(namespace)                                                                                    \
    "{\"metadata\":{\"name\":\"checkout-x\",\"namespace\":\"" namespace "\",\"uid\":\"u1\",\"labels\":{"     \
                                                                        "\"app\":"                           \
                                                                        "\"checkout\"}},\"spec\":{"          \
                                                                        "\"nodeName\":\"n1\","               \
                                                                        "\"containers\":[{\"name\":\"app\"," \
                                                                        "\"ports\":[{\"name\":"              \
                                                                        "\"pprof\",\"containerPort\":6060}]" \
                                                                        "}]},\"status\":{\"phase\":"         \
                                                                        "\"Running\",\"podIP\":\"10.0.0."    \
                                                                        "7\","                               \
                                                                        "\"conditions\":[{\"type\":"         \
                                                                        "\"Ready\",\"status\":\"True\","     \
                                                                        "\"lastTransitionTime\":\"2026-01-"  \
                                                                        "01T00:00:"                          \
                                                                        "00Z\"}],"                           \
                                                                        "\"containerStatuses\":[{\"name\":"  \
                                                                        "\"app\",\"ready\":true,\"state\":{" \
                                                                        "\"running\":{\"startedAt\":"        \
                                                                        "\"2026-01-01T00:00:00Z\"}}}]}}"
#define POD POD_OF("shop")
#define REFUSED(what)                                                                                        \
    "{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"code\":403,\"message\":\"" what                         \
    " is forbidden: User \\\"u\\\" cannot list resource \\\"" what "\\\"\"}"

static void run_with(const struct peer_step *steps, size_t n, const char *policy, const char *output,
    struct ran_at_server *ret)
{
    char *dir = kp_test_tmpdir();
    kp_auto_free char *file = kp_asprintf("%s/policy.yaml", dir);
    assert_int_equal(kp_file_write_atomic(file, policy, strlen(policy), 0600, NULL), 0);
    run_at_server(
        steps, n, (const char *const[]){"policy", "dry-run", file, output ? "-o" : NULL, output, NULL}, ret);
    kp_test_rmdir(dir);
}

static void test_the_command(void **state)
{
    static const struct peer_step steps[] = {
        {.expect = "/namespaces/shop/profilingpolicies ", .status = 200, .body = "{\"items\":[]}"},
        {.expect = "/clusterprofilingpolicies ", .status = 403, .body = REFUSED("clusterprofilingpolicies")},
        {.expect = "GET /api/v1/namespaces/shop/pods?",
            .status = 200,
            .body = "{\"metadata\":{},\"items\":[" POD "]}"},
        {.expect = "GET /api/v1/namespaces/shop ",
            .status = 200,
            .body = "{\"metadata\":{\"name\":\"shop\"}}"},
        {.expect = "/namespaces/shop/"
                   "profiles?limit=20&fieldSelector=spec.service%3Dcheckout-x%2Cspec.type%3Dcpu ",
            .status = 200,
            .body =
                "{\"items\":[{\"metadata\":{\"name\":\"a\",\"namespace\":\"shop\"},\"status\":{\"sizeBytes\":"
                "1000}},"
                "{\"metadata\":{\"name\":\"b\",\"namespace\":\"shop\"},\"status\":{\"sizeBytes\":3000}}]}"},
    };
    struct ran_at_server r;
    (void)state;
    run_with(steps, KP_COUNT(steps),
        "apiVersion: kube-pprof.dev/v1alpha1\nkind: ProfilingPolicy\nmetadata: {name: a}\nspec: {suspend: "
        "true, "
        "selector: {matchLabels: {app: checkout}}, profiles: [{type: cpu}]}\n",
        NULL, &r);
    assert_int_equal(r.ran.status, 0);
    check_golden("dryrun/command.txt", r.ran.out);
    check_says(
        r.ran.err, "note: policies of the cluster are not known: clusterprofilingpolicies is forbidden");
    kp_ran_finish(&r.ran);
}

// A namespace that is not the session's, whose profiles may be read there only, or not at all.
static void check_sizes(int status, const char *body, const char *says)
{
    const struct peer_step steps[] = {
        {.expect = "/namespaces/pay/profilingpolicies ", .status = 200, .body = "{\"items\":[]}"},
        {.expect = "/clusterprofilingpolicies ", .status = 200, .body = "{\"items\":[]}"},
        {.expect = "GET /api/v1/namespaces/pay/pods?",
            .status = 200,
            .body = "{\"metadata\":{},\"items\":[" POD_OF("pay") "]}"},
        {.expect = "GET /api/v1/namespaces/pay ", .status = 200, .body = "{\"metadata\":{\"name\":\"pay\"}}"},
        {.expect = "/namespaces/pay/profiles?", .status = status, .body = body},
    };
    struct ran_at_server r;
    run_with(steps, KP_COUNT(steps),
        "apiVersion: kube-pprof.dev/v1alpha1\nkind: ProfilingPolicy\nmetadata: {name: a, namespace: "
        "pay}\nspec: "
        "{selector: {}, profiles: [{type: cpu}]}\n",
        NULL, &r);
    assert_int_equal(r.ran.status, 0);
    check_says(r.ran.out, says);
    kp_ran_finish(&r.ran);
}

static void test_sizes_of_its_own_namespace(void **state)
{
    (void)state;
    check_sizes(200,
        "{\"items\":[{\"metadata\":{\"name\":\"a\",\"namespace\":\"pay\"},\"status\":{\"sizeBytes\":1000}}]}",
        "a day, by the size of profiles that are kept");
    check_sizes(200, "{\"items\":[]}", "not known: no profiles of these services and types are kept");
    check_sizes(403, REFUSED("profiles"), "not known: profiles that are kept cannot be read, see the note");
}

static void test_as_data_and_over_the_cluster(void **state)
{
    static const struct peer_step steps[] = {
        {.expect = "GET /apis/kube-pprof.dev/v1alpha1/profilingpolicies ",
            .status = 200,
            .body = "{\"items\":[]}"},
        {.expect = "/clusterprofilingpolicies ", .status = 200, .body = "{\"items\":[]}"},
        {.expect = "GET /api/v1/pods?", .status = 403, .body = REFUSED("pods")},
        {.expect = "GET /api/v1/namespaces/shop/pods?",
            .status = 200,
            .body = "{\"metadata\":{},\"items\":[" POD "]}"},
        {.expect = "GET /api/v1/namespaces ",
            .status = 200,
            .body = "{\"items\":[{\"metadata\":{\"name\":\"shop\",\"labels\":{\"env\":\"prod\"}}}]}"},
        {.expect = "/profiles?", .status = 403, .body = REFUSED("profiles")},
    };
    struct ran_at_server r;
    (void)state;
    run_with(steps, KP_COUNT(steps),
        "apiVersion: kube-pprof.dev/v1alpha1\nkind: ClusterProfilingPolicy\nmetadata: {name: a}\nspec: "
        "{selector: {}, "
        "namespaceSelector: {matchLabels: {env: prod}}}\n",
        "jsonpath={.policies[0].podsProfiled} {.policies[0].captures[*].type} {.notes}", &r);
    assert_int_equal(r.ran.status, 0);
    check_says(r.ran.out, "1 cpu goroutine heap ");
    check_says(r.ran.out, "only pods of namespace 'shop' are looked at: pods is forbidden");
    check_says(r.ran.out, "sizes of profiles are not known: profiles is forbidden");
    assert_string_equal(r.ran.err, "");
    kp_ran_finish(&r.ran);
}

static void test_a_policy_that_would_be_refused(void **state)
{
    struct ran_at_server r;
    (void)state;
    run_with(NULL, 0,
        "apiVersion: kube-pprof.dev/v1alpha1\nkind: ProfilingPolicy\nmetadata: {name: a}\nspec: {}\n", NULL,
        &r);
    assert_int_equal(r.ran.status, 1);
    assert_string_equal(r.ran.out, "");
    check_says(r.ran.err, "policy.yaml: profilingpolicy/a: spec.selector: is missing");
    kp_ran_finish(&r.ran);
    run_with(NULL, 0,
        "apiVersion: kube-pprof.dev/v1alpha1\nkind: ProfilingPolicy\nmetadata: {name: a}\nspec: {selector: "
        "{}, "
        "intervall: 30s, profiles: [{type: cpu, every: 1m}]}\n",
        NULL, &r);
    assert_int_equal(r.ran.status, 1);
    assert_string_equal(r.ran.out, "");
    check_says(r.ran.err, "policy.yaml: profilingpolicy/a: spec.intervall: ");
    check_says(r.ran.err, "policy.yaml: profilingpolicy/a: spec.profiles[0].every: ");
    kp_ran_finish(&r.ran);
    run_with(NULL, 0, "kind: Deployment\n", NULL, &r);
    check_says(r.ran.err, "there is no policy in what was given");
    assert_int_equal(r.ran.status, 1);
    kp_ran_finish(&r.ran);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_policy_beside_another),
        cmocka_unit_test(test_what_does_not_fit),
        cmocka_unit_test(test_nothing_matches),
        cmocka_unit_test(test_the_command),
        cmocka_unit_test(test_sizes_of_its_own_namespace),
        cmocka_unit_test(test_as_data_and_over_the_cluster),
        cmocka_unit_test(test_a_policy_that_would_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
