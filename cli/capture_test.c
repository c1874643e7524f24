// capture against a scripted API server: what is asked of which pod, what becomes of the answers, which files
// are left. Port-forward is seen in pkg/forward and on the cluster.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/text.h"
#include "cli/program_testing.h"
#include "testkit/peer.h"
#include "base/banned.h"

#define POD(name, more)                                                                                      \
    "{\"metadata\":{\"namespace\":\"shop\",\"name\":\"" name "\",\"uid\":\"uid-" name                        \
    "\",\"resourceVersion\":\"1\"," more                                                                     \
    "\"ownerReferences\":[{\"kind\":\"ReplicaSet\",\"name\":\"web-74fc\",\"controller\":true}],\"labels\":{" \
    "\"pod-template-hash\":\"74fc\"}},"                                                                      \
    "\"spec\":{\"nodeName\":\"n\",\"containers\":[{\"name\":\"app\",\"image\":\"i\",\"ports\":[{\"name\":"   \
    "\"pprof\",\"containerPort\":6061}]}]},"                                                                 \
    "\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"conditions\":[{\"type\":\"Ready\","          \
    "\"status\":\"True\"}],"                                                                                 \
    "\"containerStatuses\":[{\"name\":\"app\",\"ready\":true,\"state\":{\"running\":{\"startedAt\":\"2026-"  \
    "01-01T00:00:00Z\"}}}]}}"
#define N60         "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define LONG        N60 N60 N60 N60 "-the-end-web" // as long as names of pods may be
#define OUTSIDE     "a/../../outside"
#define LIST(items) "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[" items "]}"
#define NOTE(value) "\"annotations\":{\"kube-pprof.dev/enable\":\"" value "\"},"
#define PROXY(pod)  "/api/v1/namespaces/shop/pods/" pod ":6061/proxy/debug/pprof/"
#define STATUS(code, reason, message)                                                                        \
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"reason\":\"" reason                 \
    "\",\"message\":\"" message "\",\"code\":" #code "}"

static const char cpu[] = KP_TESTDATA "/../../pkg/profile/testdata/corpus/etcd-cpu.pb.gz";
static const char profile[] = "\x1f\x8b\x08 a profile";

static const struct kp_step hangs[] = {
    KP_STEP_TEXT(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\nabc"),
    KP_STEP_HANG, KP_STEP_END};

static const struct {
    const char *begins, *type, *body;
    int status;
} answers[] = {
    {"/api/v1/namespaces/shop/pods/web-1 ", "application/json", POD("web-1", ""), 200},
    {"/api/v1/namespaces/hidden ", "application/json", STATUS(403, "Forbidden", "no"), 403},
    {"/api/v1/namespaces/shop/pods/nosuch ", "application/json",
        STATUS(404, "NotFound", "pods \\\"nosuch\\\" not found"), 404},
    {"/api/v1/namespaces/shop/pods?", "application/json",
        "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[" POD("web-1", "") "," POD(
            "web-2", "") "]}",
        200},
    {"/api/v1/namespaces/long/pods", "application/json", LIST(POD(LONG, "")), 200},
    {"/api/v1/namespaces/shop/pods/no ", "application/json", POD("no", NOTE("false")), 200},
    {"/api/v1/namespaces/shop/pods/odd ", "application/json", POD("odd", NOTE("maybe")), 200},
    {"/api/v1/pods?", "application/json", LIST(POD("no", NOTE("false"))), 200},
    {PROXY("no") "heap ", "application/octet-stream", profile, 200},
    {PROXY("odd") "heap ", "application/octet-stream", profile, 200},
    {"/api/v1/namespaces/shop/pods/web-1:6061/proxy/own/pprof/heap ", "application/octet-stream", profile,
        200},
    {PROXY(LONG) "heap ", "application/octet-stream", profile, 200},
    {"/api/v1/namespaces/evil/pods", "application/json", LIST(POD(OUTSIDE, "")), 200},
    {PROXY(OUTSIDE) "heap ", "application/octet-stream", profile, 200},
    {PROXY("web-1") "heap ", "application/octet-stream", profile, 200},
    {PROXY("web-1") "profile?seconds=2 ", "application/octet-stream", profile, 200},
    {PROXY("web-1") "goroutine ", "text/html", "<html>hello</html>", 200},
    {PROXY("web-1") "block ", "text/plain", "404 page not found\n", 404},
    {PROXY("web-1") "mutex ", "application/json",
        STATUS(403, "Forbidden",
            "pods \\\"web-1\\\" is forbidden: User \\\"u\\\" cannot get resource \\\"pods/proxy\\\""),
        403},
    {"/api/v1/namespaces/shop/pods/web-1/portforward", "application/json",
        STATUS(403, "Forbidden", "cannot get resource \\\"pods/portforward\\\""), 403},
    {PROXY("web-2") "profile?seconds=2 ", "text/plain",
        "Could not enable CPU profiling: cpu profiling already in use\n", 500},
    {PROXY("web-2") "heap ", "application/octet-stream", profile, 200},
};

static const struct kp_step *route(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    (void)user;
    kp_auto_free char *target = kp_asprintf("%s ", request->target);
    if (kp_starts_with(target, PROXY("web-1") "trace"))
        return hangs;
    for (size_t i = 0; i < KP_COUNT(answers); i++)
        if (kp_starts_with(target, answers[i].begins))
            return kp_peer_answer(
                peer, answers[i].status, answers[i].type, answers[i].body, strlen(answers[i].body));
    return kp_peer_answer(peer, 404, "application/json", STATUS(404, "NotFound", "nothing here"),
        sizeof STATUS(404, "NotFound", "nothing here") - 1);
}

struct world {
    struct kp_peer *peer;
    char *dir;
    struct kp_ran ran;
};

static int setup(void **state)
{
    static struct world w;
    w = (struct world){.peer = kp_peer_start(route, NULL), .dir = kp_test_tmpdir()};
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    kp_ran_finish(&w->ran);
    kp_peer_stop(w->peer);
    kp_test_rmdir(w->dir);
    return 0;
}

#define CAPTURE(w, ...)                                                                                      \
    kp_run(&(w)->ran, "capture", "--server", kp_peer_url((w)->peer), "-n", "shop", "--output-dir", (w)->dir, \
        "--via", "proxy", __VA_ARGS__)

// Files in the folder; hidden ones count: nothing half done may stay.
static size_t count_files(const struct world *w, const char *part)
{
    size_t n = 0;
    DIR *dir = opendir(w->dir);
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (!kp_streq(e->d_name, ".") && !kp_streq(e->d_name, "..") && strstr(e->d_name, part) != NULL)
            n++;
    closedir(dir);
    return n;
}

static void test_one_pod_each_type_a_file(void **state)
{
    struct world *w = *state;
    CAPTURE(w, "web-1", "-t", "cpu,heap", "--duration", "2s");
    assert_string_equal(w->ran.err, "");
    assert_int_equal(w->ran.status, 0);
    assert_int_equal(count_files(w, ""), 2);
    assert_int_equal(count_files(w, "shop_web-1_app_cpu_2"), 1);
    assert_int_equal(count_files(w, "shop_web-1_app_heap_2"), 1);
    kp_auto_free char *path = kp_strndup(w->ran.out, strcspn(w->ran.out, "\n"));
    size_t len;
    char *bytes = kp_test_read_file(path, &len);
    assert_int_equal(len, sizeof profile - 1);
    assert_memory_equal(bytes, profile, len);
    kp_free(bytes);
    CAPTURE(w, "web-1", "-t", "heap"); // again: nothing is written over
    assert_int_equal(count_files(w, ""), 3);
}

static void test_heap_and_allocs_are_asked_once(void **state)
{
    struct world *w = *state;
    CAPTURE(w, "web-1", "-t", "heap,allocs");
    assert_int_equal(w->ran.status, 0);
    assert_int_equal(count_files(w, "_heap_"), 1);
    assert_int_equal(count_files(w, "_allocs_"), 1);
    size_t n = 0;
    for (size_t i = 0; i < kp_peer_requests(w->peer); i++)
        n += strstr(kp_peer_request(w->peer, i)->target, "/proxy/") != NULL;
    assert_int_equal(n, 1);
}

// What is said of where pprof is counts; the rest is as the pod says (here the port).
static void test_container_and_path(void **state)
{
    struct world *w = *state;
    CAPTURE(w, "web-1", "-t", "heap", "-c", "app", "--path", "/own/pprof");
    assert_string_equal(w->ran.err, "");
    assert_int_equal(w->ran.status, 0);
    assert_int_equal(count_files(w, "shop_web-1_app_heap_"), 1);
    CAPTURE(w, "web-1", "-t", "heap", "-c", "sidecar");
    assert_int_equal(w->ran.status, 1);
    assert_non_null(strstr(w->ran.err, "sidecar"));
    assert_int_equal(count_files(w, ""), 1);
}

// Who names a pod wants it, whatever it says of policies.
static void test_a_pod_that_says_no(void **state)
{
    static const char *const pods[][2] = {{"no", "note: shop/no: the pod carries kube-pprof.dev/enable: "
                                                 "\"false\"; it is captured because you asked for it\n"},
        {"odd", "note: shop/odd: kube-pprof.dev/enable: 'maybe' is neither true nor false; it is captured "
                "because you asked for it\n"}};
    struct world *w = *state;
    for (size_t i = 0; i < KP_COUNT(pods); i++) {
        CAPTURE(w, pods[i][0], "-t", "heap");
        assert_string_equal(w->ran.err, pods[i][1]);
        assert_int_equal(w->ran.status, 0);
        CAPTURE(w, pods[i][0], "-t", "heap", "--port", "6061");
        assert_string_equal(w->ran.err, pods[i][1]);
        assert_int_equal(w->ran.status, 0);
    }
    assert_int_equal(count_files(w, "_heap_"), 4);
    kp_run(&w->ran, "capture", "--server", kp_peer_url(w->peer), "-n", "no", "-A", "--output-dir", w->dir,
        "--via", "proxy", "-t", "heap", "--port", "6061");
    assert_int_equal(w->ran.status, 1);
    assert_int_equal(count_files(w, "_heap_"), 4);
}

// Labels are decoded by the registry, each for itself.
static void test_labels_of_what_is_pushed(void **state)
{
    struct world *w = *state;
    CAPTURE(w, "web-1", "-t", "heap", "--push", "--label", "v=1+b%20c");
    const struct kp_peer_request *last = kp_peer_request(w->peer, kp_peer_requests(w->peer) - 1);
    assert_string_equal(last->method, "POST");
    if (strstr(last->target, "labels=pod%3Dweb-1%2Ccontainer%3Dapp%2Cv%3D1%252Bb%252520c") == NULL)
        fail_msg("%s", last->target);
}

static void test_a_workload_whose_one_pod_is_busy(void **state)
{
    struct world *w = *state;
    CAPTURE(w, "deploy/web", "-t", "cpu,heap", "--duration", "2s");
    assert_int_equal(w->ran.status, 1);
    assert_non_null(strstr(w->ran.err, "error: shop/web-2 cpu: another profiler is active in this process"));
    assert_int_equal(count_files(w, "web-1"), 2);
    assert_int_equal(count_files(w, "web-2"), 1); // the heap was taken nevertheless
    assert_int_equal(count_files(w, "part"), 0);
}

static void test_what_pods_answer_instead(void **state)
{
    struct world *w = *state;
    CAPTURE(w, "web-1", "-t", "goroutine,block,mutex");
    assert_int_equal(w->ran.status, 1);
    assert_non_null(strstr(
        w->ran.err, "goroutine: port 6061/debug/pprof/goroutine answers text/html, not a pprof profile"));
    assert_non_null(strstr(w->ran.err,
        "block: port 6061/debug/pprof/block answers 404: the program does not serve 'block' there"));
    assert_non_null(strstr(w->ran.err, "cannot get resource \"pods/proxy\""));
    assert_int_equal(count_files(w, ""), 0);
}

static void test_neither_way_is_allowed(void **state)
{
    struct world *w = *state;
    CAPTURE(w, "web-1", "-t", "mutex", "--via", "auto");
    assert_int_equal(w->ran.status, 1);
    assert_string_equal(w->ran.err,
        "note: shop/web-1: not by the pod proxy: pods \"web-1\" is forbidden: User \"u\" cannot get resource "
        "\"pods/proxy\"\n"
        "Error from server (Forbidden): shop/web-1 mutex: cannot get resource "
        "\"pods/portforward\"\n");
    assert_int_equal(count_files(w, ""), 0);
}

static void test_a_name_that_is_not_there_costs_the_others_nothing(void **state)
{
    struct world *w = *state;
    CAPTURE(w, "nosuch", "web-1", "-t", "heap");
    assert_int_equal(w->ran.status, 1);
    assert_string_equal(w->ran.err, "Error from server (NotFound): pods \"nosuch\" not found\n");
    assert_int_equal(count_files(w, "web-1"), 1);
}

#define CAPTURE_OF(w, namespace)                                                                             \
    kp_run(&(w)->ran, "capture", "--server", kp_peer_url((w)->peer), "-n", namespace, "-l", "a=b",           \
        "--output-dir", (w)->dir, "--via", "proxy", "-t", "heap")

static void test_a_name_as_long_as_names_may_be(void **state)
{
    struct world *w = *state;
    CAPTURE_OF(w, "long");
    assert_string_equal(w->ran.err, "");
    assert_int_equal(w->ran.status, 0);
    assert_int_equal(count_files(w, "-the-end-web_app_heap_2"), 1);
}

#define INTO(w, folder, ...)                                                                                 \
    kp_run(&(w)->ran, "capture", "--server", kp_peer_url((w)->peer), "-n", "shop", "--output-dir", folder,   \
        "--via", "proxy", __VA_ARGS__)

// Folders that were made for files that never came go again; others stay.
static void test_no_empty_folder_stays(void **state)
{
    struct world *w = *state;
    kp_auto_free char *folder = kp_asprintf("%s/new/of/today", w->dir);
    kp_auto_free char *there = kp_asprintf("%s/there/", w->dir);
    INTO(w, folder, "web-1", "-t", "mutex");
    assert_int_equal(w->ran.status, 1);
    assert_int_equal(count_files(w, ""), 0);
    INTO(w, folder, "nosuch");
    assert_int_equal(count_files(w, ""), 0);
    assert_int_equal(mkdir(there, 0755), 0);
    INTO(w, there, "nosuch");
    assert_int_equal(count_files(w, "there"), 1);
    INTO(w, folder, "web-1", "-t", "heap,mutex");
    assert_int_equal(count_files(w, "new"), 1);
}

// What is stored for a namespace that is not there nobody finds again.
static void test_load_wants_a_namespace_that_is_there(void **state)
{
    struct world *w = *state;
    kp_run(&w->ran, "load", cpu, "--service", "a", "--server", kp_peer_url(w->peer), "-n", "nosuch");
    assert_int_equal(w->ran.status, 1);
    assert_string_equal(
        w->ran.err, "error: there is no namespace 'nosuch': make it, or say another one with -n\n");
    assert_int_equal(kp_peer_requests(w->peer), 1);
    kp_run(&w->ran, "load", cpu, "--service", "a", "--server", kp_peer_url(w->peer), "-n", "hidden");
    assert_string_equal(kp_peer_request(w->peer, kp_peer_requests(w->peer) - 1)->method, "POST");
}

// An API server may say what it likes: files stay in the folder, under plain names.
static void test_no_name_leads_out_of_the_folder(void **state)
{
    struct world *w = *state;
    CAPTURE_OF(w, "evil");
    assert_string_equal(w->ran.err, "");
    assert_int_equal(w->ran.status, 0);
    assert_int_equal(count_files(w, "shop_a-..-..-outside_app_heap_2"), 1);
}

// Ctrl-C, and a terminal that is closed.
static void test_signals_leave_no_half_file(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct world *w = *state;
    for (size_t i = 0; i < KP_COUNT(signals); i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            signal(SIGHUP, SIG_DFL); // tests may be run by nohup
            execl(KP_PROGRAM, "kubectl-pprof", "capture", "--server", kp_peer_url(w->peer), "-n", "shop",
                "--output-dir", w->dir, "--via", "proxy", "-t", "trace", "web-1", (char *)NULL);
            _exit(127);
        }
        for (int k = 0; k < 60000 && count_files(w, ".part") == 0; k++)
            usleep(1000);
        assert_int_equal(count_files(w, ".part"), 1);
        assert_int_equal(kill(pid, signals[i]), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 130);
        assert_int_equal(count_files(w, ""), 0);
    }
}

static void test_workloads_are_named_as_top_names_them(void **state)
{
    struct world *w = *state;
    CAPTURE(w, "rc/old", "ro/new", "-t", "heap");
    assert_int_equal(w->ran.status, 1);
    assert_non_null(strstr(w->ran.err, "there is no pod of ReplicationController 'old'"));
    assert_non_null(strstr(w->ran.err, "there is no pod of Rollout 'new'"));
}

static void test_wrong_usage(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *arg, *value, *says;
    } cases[] = {{"-t", "CPU!", "is no name of a profile"}, {"--via", "pigeon", "--via"},
        {"--duration", "1ms", "--duration"}, {"--port", "0", "port"},
        {"widget/x", "--", "pods are named by themselves or by a workload"}};
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        kp_run(&w->ran, "capture", "--server", kp_peer_url(w->peer), "-n", "shop", "web-1", cases[i].arg,
            cases[i].value);
        assert_int_equal(w->ran.status, 2);
        assert_non_null(strstr(w->ran.err, cases[i].says));
    }
    kp_run(&w->ran, "capture", "--server", kp_peer_url(w->peer));
    assert_int_equal(w->ran.status, 2);
    assert_string_equal(w->ran.err,
        "error: say which pods: POD, deploy/NAME, -l SELECTOR or -A\nsee kubectl pprof capture --help\n");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_one_pod_each_type_a_file),
        TEST(test_heap_and_allocs_are_asked_once),
        TEST(test_container_and_path),
        TEST(test_a_pod_that_says_no),
        TEST(test_labels_of_what_is_pushed),
        TEST(test_a_workload_whose_one_pod_is_busy),
        TEST(test_what_pods_answer_instead),
        TEST(test_neither_way_is_allowed),
        TEST(test_a_name_that_is_not_there_costs_the_others_nothing),
        TEST(test_a_name_as_long_as_names_may_be),
        TEST(test_no_empty_folder_stays),
        TEST(test_load_wants_a_namespace_that_is_there),
        TEST(test_no_name_leads_out_of_the_folder),
        TEST(test_signals_leave_no_half_file),
        TEST(test_workloads_are_named_as_top_names_them),
        TEST(test_wrong_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
