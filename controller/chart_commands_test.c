// The commands that the chart runs, as processes: apply-policy against a scripted API server, and check.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <cmocka.h>

#include "controller/process_fixture.h"
#include "kube/api_peer.h"
#include "testkit/peer.h"
#include "testkit/testkit.h"
#include "base/banned.h"

#define OURS                                                                                                 \
    "\"annotations\":{\"meta.helm.sh/release-name\":\"kp\",\"meta.helm.sh/release-namespace\":\"prof\"}"
#define POLICY                                                                                               \
    "{\"apiVersion\":\"kube-pprof.dev/"                                                                      \
    "v1alpha1\",\"kind\":\"ClusterProfilingPolicy\",\"metadata\":{\"name\":"                                 \
    "\"annotated-pods\"," OURS "},\"spec\":{\"selector\":{}}}"
#define PATH      "/apis/kube-pprof.dev/v1alpha1/clusterprofilingpolicies/annotated-pods"
#define NOT_FOUND "{\"kind\":\"Status\",\"status\":\"Failure\",\"reason\":\"NotFound\",\"code\":404}"
#define GET       "GET " PATH " HTTP"
#define APPLY     "PATCH " PATH "?force=true&fieldManager=kube-pprof-chart HTTP"
#define DELETE    "DELETE " PATH " HTTP"
#define STRANGERS                                                                                            \
    "{\"metadata\":{\"name\":\"annotated-pods\",\"uid\":\"u1\",\"annotations\":{\"meta.helm.sh/"             \
    "release-name\":\"other\",\"meta.helm.sh/release-namespace\":\"prof\"}}}"
#define FOUND "{\"metadata\":{\"name\":\"annotated-pods\",\"uid\":\"u1\"," OURS "}}"

// Runs apply-policy with one more flag (NULL = none) against these answers; it asks for `least` of them at
// least.
static void applies(const struct peer_step *steps, size_t n, size_t least, const char *text, const char *flag,
    int code, const char *says)
{
    char *dir = kp_test_tmpdir();
    struct peer *peer = peer_start(steps, n);
    struct process p;
    kp_auto_free char *kubeconfig = kp_asprintf("%s/kubeconfig", dir),
                      *policy = kp_asprintf("--policy=%s", text);
    kp_auto_free char *config =
        kp_asprintf("current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
                    "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:%d'}}]\n"
                    "users: [{name: u, user: {}}]\n",
            peer->port);
    kp_auto_free char *from = kp_asprintf("--kubeconfig=%s", kubeconfig);
    const char *argv[] = {"kube-pprof", "apply-policy", from, policy, flag, NULL};
    write_file(kubeconfig, config);
    start(&p, argv);
    int ended = ends(&p);
    size_t seen = peer_seen(peer);
    kp_auto_free char *failure = peer_stop(peer);
    if (ended != code || strstr(p.said, says) == NULL || seen < least || seen > n || failure != NULL)
        fail_msg("it ended with %d after %zu requests (%s) and said:\n%s", ended, seen,
            failure != NULL ? failure : "as expected", p.said);
    kp_test_rmdir(dir);
}
#define APPLIES(text, flag, code, says, ...)                                                                 \
    do {                                                                                                     \
        static const struct peer_step steps[] = {__VA_ARGS__};                                               \
        applies(steps, KP_COUNT(steps), KP_COUNT(steps), text, flag, code, says);                            \
    } while (0)
// Its time is short: on a busy machine it may be over after the first two.
#define GIVES_UP(flag, says, ...)                                                                            \
    do {                                                                                                     \
        static const struct peer_step steps[] = {__VA_ARGS__};                                               \
        applies(steps, KP_COUNT(steps), 2, POLICY, flag, 1, says);                                           \
    } while (0)

static void test_a_policy_is_applied(void **state)
{
    (void)state;
    APPLIES(POLICY, NULL, 0, "'annotated-pods' is applied", {.expect = GET, .status = 404, .body = NOT_FOUND},
        {.expect = APPLY, .status = 201, .body = POLICY});
    APPLIES(POLICY, NULL, 0, "'annotated-pods' is applied", {.expect = GET, .status = 200, .body = FOUND},
        {.expect = APPLY, .status = 200, .body = POLICY});
}

static void test_it_waits_for_the_kind(void **state)
{
    (void)state;
    APPLIES(POLICY, NULL, 0, "is applied", {.expect = GET, .status = 404, .body = "404 page not found\n"},
        {.expect = APPLY, .status = 404, .body = "404 page not found\n"},
        {.expect = GET, .status = 404, .body = NOT_FOUND}, {.expect = APPLY, .status = 201, .body = POLICY});
    GIVES_UP("--timeout=100ms", "404", {.expect = GET, .status = 404, .body = NOT_FOUND},
        {.expect = APPLY, .status = 404, .body = "404 page not found\n"},
        {.expect = GET, .status = 404, .body = NOT_FOUND},
        {.expect = APPLY, .status = 404, .body = "404 page not found\n"});
}

static void test_what_is_not_ours_is_left_alone(void **state)
{
    (void)state;
    APPLIES(
        POLICY, NULL, 1, "annotatedPods.enabled=false", {.expect = GET, .status = 200, .body = STRANGERS});
    APPLIES(POLICY, "--delete", 0, "is not there", {.expect = GET, .status = 200, .body = STRANGERS});
}

static void test_it_is_deleted(void **state)
{
    (void)state;
    APPLIES(POLICY, "--delete", 0, "is deleted", {.expect = GET, .status = 200, .body = FOUND},
        {.expect = DELETE, .status = 200, .body = "{}"});
    APPLIES(POLICY, "--delete", 0, "is not there", {.expect = GET, .status = 404, .body = NOT_FOUND});
    APPLIES(POLICY, "--delete", 0, "is not there", {.expect = GET, .status = 200, .body = FOUND},
        {.expect = "\"uid\":\"u1\"", .status = 409, .body = "{\"kind\":\"Status\",\"code\":409}"});
}

static void test_refusals_are_told(void **state)
{
    (void)state;
    APPLIES(POLICY, NULL, 1, "spec.profiles: Invalid value",
        {.expect = GET, .status = 404, .body = NOT_FOUND},
        {.expect = APPLY,
            .status = 422,
            .body = "{\"kind\":\"Status\",\"reason\":\"Invalid\",\"code\":422,\"message\":\"spec.profiles: "
                    "Invalid value\"}"});
    applies(NULL, 0, 0, "{\"metadata\":{\"name\":\"../x\"}}", NULL, 2,
        "--policy holds none: it has no metadata.name");
    applies(NULL, 0, 0, "{", NULL, 2, "--policy holds none");
}

#define TYPED_PATCH                                                                                          \
    "{\"kind\":\"Status\",\"status\":\"Failure\",\"code\":500,\"message\":\"failed to create typed patch "   \
    "object: .spec.smapling: field not declared in schema\"}"

// The API server says 500 of a spec that it does not take: that must not look like one that is away for ever.
static void test_failures_are_told_when_they_happen(void **state)
{
    (void)state;
    APPLIES(POLICY, NULL, 0,
        "field not declared in schema; trying again\nClusterProfilingPolicy 'annotated-p",
        {.expect = GET, .status = 404, .body = NOT_FOUND},
        {.expect = APPLY, .status = 500, .body = TYPED_PATCH},
        {.expect = GET, .status = 404, .body = NOT_FOUND}, {.expect = APPLY, .status = 201, .body = POLICY});
    GIVES_UP("--timeout=400ms", "field not declared in schema",
        {.expect = GET, .status = 404, .body = NOT_FOUND},
        {.expect = APPLY, .status = 500, .body = TYPED_PATCH},
        {.expect = GET, .status = 503, .body = TYPED_PATCH});
    APPLIES(POLICY, "--delete", 0, "trying again\nClusterProfilingPolicy 'annotated-pods' is deleted",
        {.expect = GET, .status = 503, .body = "{}"}, {.expect = GET, .status = 200, .body = FOUND},
        {.expect = DELETE, .status = 200, .body = "{}"});
}

static void checks(const struct peer_step *steps, size_t n, const char *path, const char *timeout, int code,
    const char *says)
{
    struct peer *peer = peer_start(steps, n);
    struct process p;
    kp_auto_free char *url = kp_asprintf("http://127.0.0.1:%d%s", peer->port, path);
    const char *argv[] = {"kube-pprof", "check", url, timeout, NULL};
    start(&p, argv);
    int ended = ends(&p);
    kp_auto_free char *failure = peer_stop(peer);
    if (ended != code || strstr(p.said, says) == NULL || failure != NULL)
        fail_msg("it ended with %d and said:\n%s", ended, p.said);
}

static void test_check_asks_until_it_is_well(void **state)
{
    static const struct peer_step later[] = {{.expect = "GET /readyz", .status = 503, .body = "not\nyet"},
        {.expect = "GET /readyz", .status = 200, .body = "ok"}};
    static const struct peer_step never[] = {{.expect = "GET /readyz", .status = 503, .body = "not\nyet"},
        {.expect = "GET /readyz", .status = 503, .body = "never\nat all"}};
    (void)state;
    checks(later, 2, "/readyz", "--timeout=60s", 0, "ok      http://127.0.0.1:");
    checks(later, 2, "/readyz", "--timeout=60s", 0, "waiting for http://127.0.0.1:");
    checks(never, 2, "/readyz", "--timeout=600ms", 1, "answers 503: ");
}

// /b is not answered before `released`; all but /a are not well.
struct held {
    atomic_bool released;
    atomic_int n_a, n_b, n_c;
};

static const struct kp_step *hold(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    struct held *held = user;
    bool is_a = kp_streq(request->target, "/a");
    if (is_a)
        held->n_a++;
    else if (kp_streq(request->target, "/b"))
        held->n_b++;
    else
        held->n_c++;
    while (!is_a && !held->released)
        usleep(1000);
    return kp_peer_answer(peer, is_a ? 200 : 503, "text/plain", "no", 2);
}

// Each line comes when it is known, and the time is for all URLs together: when it is over those that are
// left are asked once.
static void test_check_has_one_time_for_all(void **state)
{
    struct held held = {0};
    struct kp_peer *peer = kp_peer_start(hold, &held);
    struct process p;
    (void)state;
    kp_auto_free char *a = kp_asprintf("%s/a", kp_peer_url(peer)),
                      *b = kp_asprintf("%s/b", kp_peer_url(peer)),
                      *c = kp_asprintf("%s/c", kp_peer_url(peer));
    const char *argv[] = {"kube-pprof", "check", "--timeout=1s", a, b, c, NULL};
    start(&p, argv);
    until_it_says(&p, "ok      http://");
    assert_null(strstr(p.said, "FAILED"));
    usleep(1000 * 1000);
    held.released = true;
    int ended = ends(&p);
    kp_peer_stop(peer);
    if (ended != 1 || held.n_a != 1 || held.n_b != 1 || held.n_c != 1 ||
        strstr(p.said, "/c: answers 503") == NULL)
        fail_msg("it ended with %d and said:\n%s", ended, p.said);
}

static void test_check_says_what_is_wrong(void **state)
{
    struct process p;
    kp_auto_free char *url = kp_asprintf("http://127.0.0.1:%d/", kp_test_closed_port());
    const char *const rows[][6] = {{"kube-pprof", "check", url, "--timeout=100ms", NULL},
        {"kube-pprof", "check", NULL}, {"kube-pprof", "check", "--ca-file", NULL},
        {"kube-pprof", "check", "--help", NULL}};
    const struct {
        int code;
        const char *says;
    } want[] = {{1, "FAILED  http://127.0.0.1:"}, {2, "no URL: say which"}, {2, "ca-file"}, {0, "URL..."}};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(want); i++) {
        start(&p, rows[i]);
        int code = ends(&p);
        if (code != want[i].code || strstr(p.said, want[i].says) == NULL)
            fail_msg("row %zu ended with %d and said:\n%s", i, code, p.said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_policy_is_applied),
        cmocka_unit_test(test_it_waits_for_the_kind),
        cmocka_unit_test(test_what_is_not_ours_is_left_alone),
        cmocka_unit_test(test_it_is_deleted),
        cmocka_unit_test(test_refusals_are_told),
        cmocka_unit_test(test_failures_are_told_when_they_happen),
        cmocka_unit_test(test_check_asks_until_it_is_well),
        cmocka_unit_test(test_check_has_one_time_for_all),
        cmocka_unit_test(test_check_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
