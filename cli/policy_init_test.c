// policy init of workloads as a scripted API server has them.
#include "cli/golden_testing.h"

#include "cli/server_testing.h"
#include "base/banned.h"

static void check_init(const char *arg, const char *path, const char *workload, const char *golden)
{
    const struct peer_step step = {.expect = path, .status = 200, .body = workload};
    struct ran_at_server r;
    run_at_server(&step, 1, (const char *const[]){"policy", "init", arg, NULL}, &r);
    assert_int_equal(r.ran.status, 0);
    check_golden(golden, r.ran.out);
    kp_ran_finish(&r.ran);
}

static void test_deployment(void **state)
{
    (void)state;
    check_init("deploy/checkout", "GET /apis/apps/v1/namespaces/shop/deployments/checkout ",
        "{\"metadata\":{\"name\":\"checkout\"},\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"checkout\","
        "\"rel\":"
        "\"yes\"},\"matchExpressions\":[{\"key\":\"canary\",\"operator\":\"DoesNotExist\"}]},\"template\":{"
        "\"metadata\":{"
        "\"labels\":{\"app\":\"checkout\",\"rel\":\"yes\"}},\"spec\":{\"containers\":[{\"name\":\"app\","
        "\"ports\":[{"
        "\"name\":\"http\",\"containerPort\":8080},{\"name\":\"pprof\",\"containerPort\":6061}]},{\"name\":"
        "\"side\","
        "\"ports\":[{\"containerPort\":6060}]}]}}}}",
        "init/deployment.yaml");
}

static void test_what_a_run_adds_is_no_selector(void **state)
{
    (void)state;
    check_init("cronjob/nightly", "GET /apis/batch/v1/namespaces/shop/cronjobs/nightly ",
        "{\"metadata\":{\"name\":\"nightly\"},\"spec\":{\"jobTemplate\":{\"spec\":{\"template\":{"
        "\"metadata\":{\"labels\":"
        "{\"app\":\"nightly\",\"job-name\":\"x\"},\"annotations\":{\"kube-pprof.dev/"
        "port\":\"6060\"}},\"spec\":{"
        "\"containers\":[{\"name\":\"app\"}]}}}}}}",
        "init/cronjob.yaml");
    check_init("pod/bare", "GET /api/v1/namespaces/shop/pods/bare ",
        "{\"metadata\":{\"name\":\"bare\"},\"spec\":{\"containers\":[{\"name\":\"app\"}]}}",
        "init/bare.yaml");
}

static void test_not_there(void **state)
{
    static const struct peer_step step = {.status = 404,
        .body = "{\"kind\":\"Status\",\"code\":404,\"reason\":\"NotFound\",\"message\":\"deployments.apps "
                "\\\"x\\\" not "
                "found\"}"};
    struct ran_at_server r;
    (void)state;
    run_at_server(&step, 1, (const char *const[]){"policy", "init", "deploy/x", NULL}, &r);
    assert_int_equal(r.ran.status, 1);
    assert_string_equal(r.ran.out, "");
    check_says(r.ran.err, "Error from server (NotFound): ");
    kp_ran_finish(&r.ran);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deployment),
        cmocka_unit_test(test_what_a_run_adds_is_no_selector),
        cmocka_unit_test(test_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
