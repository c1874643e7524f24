// What status says of a scripted API server.
#include "cli/server_testing.h"
#include "base/banned.h"

#define CONDITION(type, status, reason, message)                                                             \
    "{\"type\":\"" type "\",\"status\":\"" status "\",\"reason\":\"" reason "\",\"message\":\"" message "\"" \
    "}"
#define POLICY(name, spec, status)                                                                           \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"shop\"},\"spec\":{" spec "},\"status\":{" status   \
    "}}"
#define READY CONDITION("Ready", "True", "Ready", "3 targets of 3 pods")

// The program, where all is well but what `policies` say.
static void run_with(const char *policies, struct ran_at_server *ret)
{
    static const char workload[] =
        "{\"items\":[{\"metadata\":{\"name\":\"kp\",\"namespace\":\"kp\"},\"spec\":{\"replicas\":1},"
        "\"status\":{\"readyReplicas\":1}}]}";
    kp_auto_free char *list = kp_asprintf("{\"items\":[%s]}", policies);
    const struct peer_step steps[] = {
        {.expect = "GET /version ", .status = 200, .body = "{\"gitVersion\":\"v1.33.0\"}"},
        {.expect = "GET /apis/kube-pprof.dev/v1alpha1 ", .status = 200, .body = "{}"},
        {.expect = "/apis/apps/v1/deployments?", .status = 200, .body = workload},
        {.expect = "/apis/apps/v1/statefulsets?", .status = 200, .body = workload},
        {.expect = "/apiservices/v1alpha1.data.kube-pprof.dev ",
            .status = 200,
            .body = "{\"status\":{\"conditions\":[" CONDITION("Available", "True", "Passed", "") "]}}"},
        {.expect = "/namespaces/shop/profiles/-/services", .status = 200, .body = "{\"items\":[]}"},
        {.expect = "/namespaces/shop/profilingpolicies ", .status = 200, .body = list},
        {.expect = "/clusterprofilingpolicies ", .status = 200, .body = "{\"items\":[]}"},
    };
    run_at_server(steps, KP_COUNT(steps), (const char *const[]){"status", NULL}, ret);
    assert_int_equal(ret->n_seen, KP_COUNT(steps));
}

static void check_says_not(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        fail_msg("'%s' is in:\n%s", part, text);
}

static void test_all_is_well(void **state)
{
    struct ran_at_server r;
    (void)state;
    run_with(POLICY("a", "", "\"conditions\":[" READY "],\"targets\":{\"sampled\":3,\"leftOut\":0}"), &r);
    check_says(r.ran.out, "ok      1 of 1 ProfilingPolicy well\n");
    check_says_not(r.ran.out, "left out");
    assert_int_equal(r.ran.status, 0);
    kp_ran_finish(&r.ran);
}

static void test_every_condition_that_is_false_the_worst_first(void **state)
{
    struct ran_at_server r;
    (void)state;
    run_with(POLICY("a", "",
                 "\"conditions\":[" READY
                 "," CONDITION("Feasible", "False", "OverheadBudget", "8 a minute asked") "," CONDITION(
                     "CapturesSucceeding", "False", "Unreachable", "cpu failed on 3 of 3 targets") "]"),
        &r);
    const char *failing =
        strstr(r.ran.out, "ProfilingPolicy shop/a: Unreachable: cpu failed on 3 of 3 targets\n");
    const char *stretched = strstr(r.ran.out, "ProfilingPolicy shop/a: OverheadBudget: 8 a minute asked\n");
    assert_true(failing != NULL && stretched != NULL && failing < stretched);
    check_says_not(r.ran.out, "ProfilingPolicy well");
    assert_int_equal(r.ran.status, 1);
    kp_ran_finish(&r.ran);
}

#define LEFT_OUT(sampled)                                                                                    \
    "\"conditions\":[" READY "],\"targets\":{\"sampled\":" sampled                                           \
    ",\"leftOut\":3},\"failures\":[{\"reason\":\"Timeout\",\"type\":\"cpu\",\"message\":\"slow\"},"          \
    "{\"reason\":\"PortNotFound\",\"targets\":3,\"message\":\"no container declares a port 'metrics'\"},"    \
    "{\"reason\":\"BadAnnotation\",\"targets\":1,\"message\":\"other\"}]"

static void test_pods_that_are_left_out(void **state)
{
    struct ran_at_server r;
    (void)state;
    run_with(POLICY("a", "", LEFT_OUT("0")), &r);
    check_says(r.ran.out, "not well   ProfilingPolicy shop/a: 3 left out, 0 sampled: PortNotFound: no "
                          "container declares a port 'metrics'\n");
    check_says_not(r.ran.out, "ProfilingPolicy well");
    assert_int_equal(r.ran.status, 1);
    kp_ran_finish(&r.ran);
    run_with(POLICY("a", "", LEFT_OUT("2")), &r);
    check_says(r.ran.out, "ok      ProfilingPolicy shop/a: 3 left out, 2 sampled: PortNotFound: no ");
    check_says(r.ran.out, "1 of 1 ProfilingPolicy well\n");
    assert_int_equal(r.ran.status, 0);
    kp_ran_finish(&r.ran);
}

static void test_a_suspended_policy(void **state)
{
    struct ran_at_server r;
    (void)state;
    run_with(POLICY("a", "\"suspend\":true", LEFT_OUT("0")), &r); // what is left out is of before
    check_says(r.ran.out, "ok      ProfilingPolicy shop/a: suspended, nothing is captured\n");
    check_says_not(r.ran.out, "left out");
    assert_int_equal(r.ran.status, 0);
    kp_ran_finish(&r.ran);
}

#define NO_PATH "404 page not found\n"
#define NO_SERVICE                                                                                           \
    "{\"kind\":\"Status\",\"status\":\"Failure\",\"reason\":\"NotFound\",\"code\":404,\"message\":\"not "    \
    "found\"}"

// An installation for some namespaces has no APIService, and is well without.
static void test_without_an_api_service(void **state)
{
    static const struct {
        const char *arg, *says;
        int code;
        size_t n_services; // whether profiles are asked for
    } rows[] = {
        {"--leader-elect=true", "ok      are not served through the API server, as it was installed", 0, 0},
        {"--api-service=true", "not well   are not served through the API server: the controller makes", 1,
            1},
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct ran_at_server r;
        kp_auto_free char *workload = kp_asprintf(
            "{\"items\":[{\"metadata\":{\"name\":\"kp\",\"namespace\":\"kp\"},\"spec\":{\"replicas\":1,"
            "\"template\":{\"spec\":{\"containers\":[{\"args\":[\"controller\",\"%s\"]}]}}},"
            "\"status\":{\"readyReplicas\":1}}]}",
            rows[i].arg);
        struct peer_step steps[] = {
            {.expect = "GET /version ", .status = 200, .body = "{\"gitVersion\":\"v1.33.0\"}"},
            {.expect = "GET /apis/kube-pprof.dev/v1alpha1 ", .status = 200, .body = "{}"},
            {.expect = "/apis/apps/v1/deployments?", .status = 200, .body = workload},
            {.expect = "/apis/apps/v1/statefulsets?", .status = 200, .body = workload},
            {.expect = "/apiservices/v1alpha1.data.kube-pprof.dev ", .status = 404, .body = NO_SERVICE},
            {.expect = "/namespaces/shop/profiles/-/services", .status = 404, .body = NO_PATH},
            {.expect = "/namespaces/shop/profilingpolicies ", .status = 200, .body = "{\"items\":[]}"},
            {.expect = "/clusterprofilingpolicies ", .status = 200, .body = "{\"items\":[]}"},
        };
        size_t n = KP_COUNT(steps);
        if (rows[i].n_services == 0) {
            memmove(&steps[5], &steps[6], 2 * sizeof steps[0]);
            n--;
        }
        run_at_server(steps, n, (const char *const[]){"status", NULL}, &r);
        assert_int_equal(r.n_seen, n);
        check_says(r.ran.out, rows[i].says);
        check_says(r.ran.out, "--registry");
        check_says_not(r.ran.out, "CustomResourceDefinition");
        assert_int_equal(r.ran.status, rows[i].code);
        kp_ran_finish(&r.ran);
    }
}

// Scaled to none, or not ready: what to do about it.
static void test_what_to_do_about_workloads(void **state)
{
    static const struct {
        const char *replicas, *says[2];
    } rows[] = {
        {"0", {"not well   kp/kp: 0 of 0 ready, version unknown; it is scaled to none: "
               "kubectl -n kp scale deployment/kp --replicas=1",
                  "not well   kp/kp: 0 of 0 ready, version unknown; it is scaled to none: "
                  "kubectl -n kp scale statefulset/kp --replicas=1"}},
        {"2", {"kp/kp: 0 of 2 ready, version unknown; for the reason see kubectl -n kp describe pods -l "
               "app.kubernetes.io/name=kube-pprof, and kubectl -n kp logs deployment/kp",
                  "and kubectl -n kp logs statefulset/kp"}},
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct ran_at_server r;
        kp_auto_free char *workload = kp_asprintf(
            "{\"items\":[{\"metadata\":{\"name\":\"kp\",\"namespace\":\"kp\"},\"spec\":{\"replicas\":%s,"
            "\"template\":{\"spec\":{\"containers\":[{\"args\":[\"--api-service=true\"]}]}}}}]}",
            rows[i].replicas);
        const struct peer_step steps[] = {
            {.expect = "GET /version ", .status = 200, .body = "{\"gitVersion\":\"v1.33.0\"}"},
            {.expect = "GET /apis/kube-pprof.dev/v1alpha1 ", .status = 200, .body = "{}"},
            {.expect = "/apis/apps/v1/deployments?", .status = 200, .body = workload},
            {.expect = "/apis/apps/v1/statefulsets?", .status = 200, .body = workload},
            {.expect = "/apiservices/v1alpha1.data.kube-pprof.dev ", .status = 404, .body = NO_SERVICE},
            {.expect = "/namespaces/shop/profiles/-/services", .status = 503, .body = "service unavailable"},
            {.expect = "/namespaces/shop/profiles/-/services", .status = 503, .body = "service unavailable"},
            {.expect = "/namespaces/shop/profiles/-/services", .status = 503, .body = "service unavailable"},
            {.expect = "/namespaces/shop/profilingpolicies ", .status = 200, .body = "{\"items\":[]}"},
            {.expect = "/clusterprofilingpolicies ", .status = 200, .body = "{\"items\":[]}"},
        };
        run_at_server(steps, KP_COUNT(steps), (const char *const[]){"status", NULL}, &r);
        for (size_t k = 0; k < KP_COUNT(rows[i].says); k++)
            if (strstr(r.ran.out, rows[i].says[k]) == NULL)
                fail_msg("'%s' is not in\n%s", rows[i].says[k], r.ran.out);
        assert_non_null(strstr(r.ran.out, "answered 503"));
        check_says_not(r.ran.out, "kubectl pprof status"); // that is what it is
        kp_ran_finish(&r.ran);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_well),
        cmocka_unit_test(test_every_condition_that_is_false_the_worst_first),
        cmocka_unit_test(test_pods_that_are_left_out),
        cmocka_unit_test(test_a_suspended_policy),
        cmocka_unit_test(test_without_an_api_service),
        cmocka_unit_test(test_what_to_do_about_workloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
