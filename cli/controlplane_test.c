// control-plane capture against a scripted API server: who is shown the caller's credentials. What the
// components answer is seen on the cluster.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/text.h"
#include "cli/program_testing.h"
#include "testkit/peer.h"
#include "base/banned.h"

#define MIRROR "\"annotations\":{\"kubernetes.io/config.mirror\":\"1\"},"
#define OWNER(kind, name)                                                                                    \
    "\"ownerReferences\":[{\"kind\":\"" kind "\",\"name\":\"" name "\",\"controller\":true}]"
#define POD(name, node, more)                                                                                \
    "{\"metadata\":{\"namespace\":\"kube-system\",\"name\":\"" name "\",\"uid\":\"uid-" name                 \
    "\",\"resourceVersion\":\"1\"," more "},\"spec\":{\"nodeName\":\"" node                                  \
    "\",\"hostNetwork\":true,\"containers\":[{\"name\":\"app\",\"image\":\"i\"}]},"                          \
    "\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"hostIP\":\"10.0.0.1\",\"conditions\":[{"     \
    "\"type\":\"Ready\",\"status\":\"True\"}],\"containerStatuses\":[{\"name\":\"app\",\"ready\":true,"      \
    "\"state\":{\"running\":{\"startedAt\":\"2026-01-01T00:00:00Z\"}}}]}}"

static const char pods[] = "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[" POD(
    "real-n", "n", MIRROR OWNER("Node", "n")) "," POD("forged-n", "n", OWNER("Node", "n")) "," POD("other-n",
    "n", MIRROR OWNER("Node", "m")) "," POD("unbound-n", "", MIRROR OWNER("Node", "")) "," POD("owned-n", "n",
    MIRROR OWNER("ReplicaSet", "n")) "," POD("bare", "n", MIRROR "\"labels\":{}") "]}";

static const struct kp_step *route(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    static const char missing[] =
        "{\"kind\":\"Status\",\"reason\":\"NotFound\",\"message\":\"no\",\"code\":404}";
    (void)user;
    if (kp_starts_with(request->target, "/api/v1/namespaces/kube-system/pods?"))
        return kp_peer_answer(peer, 200, "application/json", pods, sizeof pods - 1);
    return kp_peer_answer(peer, 404, "application/json", missing, sizeof missing - 1);
}

static void test_only_static_pods_are_asked(void **state)
{
    struct kp_peer *peer = kp_peer_start(route, NULL);
    struct kp_ran ran = {0};
    size_t n = 0;
    (void)state;
    kp_run(&ran, "control-plane", "capture", "scheduler", "-t", "heap", "--server", kp_peer_url(peer));
    assert_int_equal(ran.status, 1); // nothing answers behind it
    for (size_t i = 0; i < kp_peer_requests(peer); i++) {
        const char *target = kp_peer_request(peer, i)->target;
        if (strstr(target, "portforward") == NULL)
            continue;
        n++;
        if (!kp_starts_with(target, "/api/v1/namespaces/kube-system/pods/real-n/"))
            fail_msg("asked: %s", target);
    }
    assert_true(n > 0);
    for (size_t i = 0; i < 5; i++) {
        static const char *const others[] = {"forged-n", "other-n", "unbound-n", "owned-n", "bare"};
        kp_auto_free char *note = kp_asprintf("note: kube-system/%s is no static pod", others[i]);
        if (strstr(ran.err, note) == NULL)
            fail_msg("'%s' is not in:\n%s", note, ran.err);
    }
    kp_ran_finish(&ran);
    kp_peer_stop(peer);
}

// What is asked there would be asked as oneself.
static void test_nobody_is_impersonated(void **state)
{
    struct kp_peer *peer = kp_peer_start(route, NULL);
    struct kp_ran ran = {0};
    (void)state;
    kp_run(&ran, "control-plane", "capture", "scheduler", "--as", "ann", "--server", kp_peer_url(peer));
    assert_int_equal(ran.status, 1);
    assert_non_null(
        strstr(ran.err, "scheduler: it is shown your own credentials, which cannot act as 'ann'"));
    assert_int_equal(kp_peer_requests(peer), 0);
    kp_ran_finish(&ran);
    kp_peer_stop(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_static_pods_are_asked),
        cmocka_unit_test(test_nobody_is_impersonated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
