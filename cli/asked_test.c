// What the commands ask a registry, and what they do with its answers.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/text.h"
#include "cli/program_testing.h"
#include "profile/profile.h"
#include "testkit/peer.h"
#include "testkit/pprof.h"
#include "base/banned.h"

#define PROFILES KP_TESTDATA "/../../pkg/profile/testdata/"
#define CORPUS   PROFILES "corpus/"
#define ID_A     "01kd2p9v7q3m8x5tz4c6r1w0e"
#define ID_B     "01kd2p9v7q3m8x5tz4c6r1w0f"
#define ID_C     "01kd2p9v7q3m8x5tz4c6r1w0g"
#define REG      "--registry", kp_peer_url(w->peer)

static const char cpu[] = CORPUS "etcd-cpu.pb.gz";
static const char trace[] = PROFILES "odd/trace.out";

struct world {
    struct kp_peer *peer;
    struct kp_ran ran;
    char *dir;
    char *cpu, *pgo;
    size_t cpu_len, pgo_len;
    char pgo_facts[1024];
};

static const struct kp_step *json(struct kp_peer *peer, int status, const char *text)
{
    return kp_peer_answer(peer, status, "application/json", text, strlen(text));
}

static const struct kp_step *facts_of(struct kp_peer *peer, const char *target)
{
    if (strstr(target, ID_A))
        return json(peer, 200,
            "{\"id\":\"" ID_A
            "\",\"namespace\":\"shop\",\"service\":\"checkout\",\"type\":\"cpu\",\"format\":"
            "\"pprof\",\"pod\":\"checkout-7d9f-x2\",\"container\":\"app\",\"startTime\":\"2026-11-26T01:02:"
            "03."
            "456Z\"}");
    if (strstr(target, ID_B)) // a push
        return json(peer, 200,
            "{\"id\":\"" ID_B
            "\",\"namespace\":\"\",\"service\":\"../x\",\"type\":\"heap\",\"format\":\"pprof\","
            "\"startTime\":\"2026-11-26T01:02:03Z\"}");
    return json(peer, 404, "{\"error\":{\"reason\":\"NotFound\",\"message\":\"no such profile\"}}");
}

static const struct kp_step *route(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    struct world *w = user;
    const char *t = request->target;
    char accept[128] = "";
    kp_peer_header(request, "Accept", accept, sizeof accept);
    if (kp_streq(request->method, "POST"))
        return strstr(t, "service=refused")
                   ? json(
                         peer, 422, "{\"error\":{\"reason\":\"Invalid\",\"message\":\"that is no profile\"}}")
               : strstr(t, "service=old") ? json(peer, 200, "{\"id\":\"\"}")
                                          : json(peer, 201, "{\"id\":\"" ID_C "\"}");
    if (kp_starts_with(t, "/api/v1/profiles/") && strstr(accept, "json"))
        return facts_of(peer, t);
    if (kp_starts_with(t, "/api/v1/services"))
        return json(peer, 200,
            "{\"items\":[{\"service\":\"other\",\"types\":[\"cpu\"]},{\"service\":\"java\",\"types\":["
            "\"wall\"]}],"
            "\"cursor\":\"\"}");
    if (strstr(t, "service=java") && !strstr(t, "type=wall"))
        return json(peer, 404,
            "{\"error\":{\"reason\":\"NotFound\",\"message\":\"no profile of type 'cpu' is kept; the service "
            "has "
            "wall\"}}");
    if (strstr(t, "service=jawa") || strstr(t, "service=other&type=heap"))
        return json(
            peer, 404, "{\"error\":{\"reason\":\"NotFound\",\"message\":\"no profile matches: check\"}}");
    if (kp_starts_with(t, "/api/v1/pgo"))
        return strstr(t, "format=json")
                   ? json(peer, 200, w->pgo_facts)
                   : kp_peer_answer(peer, 200, "application/octet-stream", w->pgo, w->pgo_len);
    if (kp_starts_with(t, "/api/v1/top") || kp_starts_with(t, "/api/v1/diff"))
        return strstr(t, "format=json")
                   ? json(peer, 200, "{\"stats\":{\"pods\":2},\"top\":{\"by\":\"label\"}}")
                   : kp_peer_answer(peer, 200, "text/plain", "pod a\n", 6);
    if (kp_starts_with(t, "/api/v1/merge") || kp_starts_with(t, "/api/v1/profiles/" ID_A) ||
        kp_starts_with(t, "/api/v1/profiles/" ID_B))
        return kp_peer_answer(peer, 200, "application/octet-stream", w->cpu, w->cpu_len);
    return json(peer, 404, "{\"error\":{\"reason\":\"NotFound\",\"message\":\"no such profile\"}}");
}

// The peer's threads must not read what they answer with meanwhile.
static void set_pgo(struct world *w, const char *data, size_t len)
{
    kp_peer_stop(w->peer);
    kp_free(w->pgo);
    w->pgo = kp_memdup(data, len);
    w->pgo_len = len;
    snprintf(w->pgo_facts, sizeof w->pgo_facts,
        "{\"stats\":{\"profiles\":12,\"pods\":3,\"otherDurationLeftOut\":1},\"cpuSeconds\":5.67,"
        "\"startLineShare\":"
        "0.98,\"notInlined\":[\"runtime.gopark\"],\"keptShare\":0.991,\"fits\":true,\"bytes\":%zu,\"etag\":"
        "\"\\\"%"
        "016llx%016llx\\\"\"}",
        len, (unsigned long long)kp_hash64(data, len, 1), (unsigned long long)kp_hash64(data, len, 2));
    w->peer = kp_peer_start(route, w);
}

static int setup(void **state)
{
    struct world *w = KP_NEW(struct world);
    w->cpu = kp_test_read_file(cpu, &w->cpu_len);
    w->dir = kp_test_tmpdir();
    set_pgo(w, w->cpu, w->cpu_len);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    kp_peer_stop(w->peer);
    kp_ran_finish(&w->ran);
    kp_test_rmdir(w->dir);
    kp_free(w->cpu);
    kp_free(w->pgo);
    kp_free(w);
    return 0;
}

#define RUN(...) kp_run_program((const char *const[]){__VA_ARGS__, NULL}, w->dir, NULL, &w->ran)

static void check(struct world *w, int status, const char *err)
{
    if (w->ran.status != status || !kp_streq(w->ran.err, err))
        fail_msg("status %d: %s", w->ran.status, w->ran.err);
}

static void check_target(struct world *w, size_t i, const char *target)
{
    assert_true(kp_peer_requests(w->peer) > i);
    assert_string_equal(kp_peer_request(w->peer, i)->target, target);
}

// ---- what is asked for ----

static void test_a_workload_is_a_service(void **state)
{
    struct world *w = *state;
    kp_auto_free char *golden = kp_test_read_file(KP_TESTDATA "/top/cpu.txt", NULL);
    RUN("top", "checkout", REG);
    check(w, 0, "");
    assert_string_equal(w->ran.out, golden);
    check_target(w, 0, "/api/v1/merge?service=checkout&type=cpu");
    RUN("top", "--service", "checkout", "-t", "heap", "-n", "shop", "-l", "team=a", REG);
    check_target(w, 1, "/api/v1/merge?namespace=shop&service=checkout&type=heap&selector=team%3Da");
    RUN("top", "checkout", "--from", "2026-11-26T01:00:00Z", "--to", "2026-11-26T02:00:00Z", REG);
    check_target(w, 2,
        "/api/v1/merge?service=checkout&type=cpu&from=2026-11-26T01%3A00%3A00Z&to=2026-11-26T02%3A00%3A00Z");
    RUN("top", "shop/checkout", REG); // profefe's name of a service in a namespace
    check_target(w, 3, "/api/v1/merge?service=shop%2Fcheckout&type=cpu");
}

static void test_kinds_and_pods(void **state)
{
    struct world *w = *state;
    RUN("top", "deploy/checkout", REG);
    check_target(w, 0, "/api/v1/merge?type=cpu&selector=k8s.workload%3DDeployment%2Fcheckout");
    RUN("top", "pod/checkout-7d9f-x2", "-l", "team=a", "--revision", "7d9f", REG);
    check_target(
        w, 1, "/api/v1/merge?type=cpu&selector=team%3Da%2Ck8s.pod%3Dcheckout-7d9f-x2%2Ck8s.revision%3D7d9f");
    RUN("tree", "sts/db", "--service", "db", REG);
    check_target(w, 2, "/api/v1/merge?service=db&type=cpu&selector=k8s.workload%3DStatefulSet%2Fdb");
}

static void test_ids(void **state)
{
    struct world *w = *state;
    RUN("top", ID_A, ID_B, "-n", "shop", REG);
    check(w, 0, "");
    check_target(w, 0, "/api/v1/merge?namespace=shop&ids=" ID_A "%2C" ID_B);
    RUN("diff", ID_A, ID_B, REG);
    check(w, 0, "");
    check_target(w, 1, "/api/v1/merge?ids=" ID_B);
    check_target(w, 2, "/api/v1/merge?ids=" ID_A);
    RUN("diff", cpu, ID_B, REG); // a file and an id can be compared
    check(w, 0, "");
}

static void test_a_type_is_found(void **state)
{
    struct world *w = *state;
    RUN("top", "java", REG);
    check(w, 0, "note: no cpu profiles of java are kept; this is wall\n");
    RUN("top", "java", "-t", "cpu", REG);
    assert_int_equal(w->ran.status, 1);
    assert_non_null(strstr(w->ran.err, "no profile of type 'cpu' is kept; the service has wall"));
}

static void test_what_is_not_kept_is_named(void **state)
{
    struct world *w = *state;
    RUN("top", "jawa", "-t", "wall", REG);
    check(w, 1,
        "error: no profiles of 'jawa' are kept by the registry: did you mean java?; `kubectl pprof get "
        "services` shows of what there are\n");
    RUN("diff", "other", "-t", "heap", "--base-from", "-2h", "--base-to", "-1h", REG);
    check(w, 1,
        "error: nothing of 'other' matches that is kept by the registry: of it there is cpu; look at --type, "
        "--selector, --from and --to\n");
}

static void test_by_label_is_asked(void **state)
{
    struct world *w = *state;
    RUN("top", "checkout", "--by", "label=k8s.pod", "--limit", "3", REG);
    check(w, 0, "");
    assert_string_equal(w->ran.out, "pod a\n");
    check_target(w, 0, "/api/v1/top?service=checkout&type=cpu&by=label%3Dk8s.pod&limit=3&format=text");
    RUN("top", "checkout", "--by", "label=k8s.pod", "-o", "json", REG);
    assert_string_equal(w->ran.out, "{\"by\":\"label\"}\n");
    RUN("diff", "checkout", "--by", "label=version", "--base-selector", "version=v1", "-l", "version=v2",
        REG);
    check(w, 0, "");
    check_target(w, 2,
        "/api/v1/diff?service=checkout&type=cpu&selector=version%3Dv2&baseSelector=version%3Dv1&by=label%"
        "3Dversion&format=text");
}

static void test_bases(void **state)
{
    struct world *w = *state;
    RUN("diff", "checkout", "--from", "2026-11-26T01:00:00Z", "--base-from", "2026-11-25T01:00:00Z",
        "--base-to", "2026-11-25T02:00:00Z", REG);
    check(w, 0, "");
    check_target(w, 0, "/api/v1/merge?service=checkout&type=cpu&from=2026-11-26T01%3A00%3A00Z");
    check_target(w, 1,
        "/api/v1/merge?service=checkout&type=cpu&from=2026-11-25T01%3A00%3A00Z&to=2026-11-25T02%3A00%3A00Z");
    RUN("diff", "deploy/checkout", "--revision", "b", "--base", "revision=a", REG);
    check_target(
        w, 2, "/api/v1/merge?type=cpu&selector=k8s.workload%3DDeployment%2Fcheckout%2Ck8s.revision%3Db");
    check_target(
        w, 3, "/api/v1/merge?type=cpu&selector=k8s.workload%3DDeployment%2Fcheckout%2Ck8s.revision%3Da");
    RUN("flame", "checkout", "--base", "other", "--format", "folded", REG);
    check(w, 0, "");
    check_target(w, 5, "/api/v1/merge?service=other&type=cpu");
    RUN("flame", "checkout", "--base", cpu, "--from", "2026-11-26T01:00:00Z", "--format", "folded", REG);
    check(w, 0, "");
}

// A workload with all its revisions is not compared with one of them.
static void test_a_revision_is_compared_with_the_others(void **state)
{
    struct world *w = *state;
    RUN("diff", "deploy/checkout", "--base", "revision=a", REG);
    check(w, 0, "");
    check_target(
        w, 0, "/api/v1/merge?type=cpu&selector=k8s.workload%3DDeployment%2Fcheckout%2Ck8s.revision%21%3Da");
    check_target(
        w, 1, "/api/v1/merge?type=cpu&selector=k8s.workload%3DDeployment%2Fcheckout%2Ck8s.revision%3Da");
    RUN("flame", "checkout", "--base", "revision=a", "--format", "folded", REG);
    check_target(w, 2, "/api/v1/merge?service=checkout&type=cpu&selector=k8s.revision%21%3Da");
    check_target(w, 3, "/api/v1/merge?service=checkout&type=cpu&selector=k8s.revision%3Da");
}

static void test_merge_is_handed_on(void **state)
{
    struct world *w = *state;
    RUN("merge", "checkout", REG);
    check(w, 0, "");
    assert_int_equal(w->ran.out_len, w->cpu_len);
    assert_memory_equal(w->ran.out, w->cpu, w->cpu_len);
    RUN("merge", "checkout", "--focus", "Range", REG);
    check(w, 0, "");
    assert_true(w->ran.out_len > 0 && w->ran.out_len < w->cpu_len);
}

// ---- download ----

static void check_file(struct world *w, const char *name)
{
    size_t len;
    kp_auto_free char *path = kp_asprintf("%s/%s", w->dir, name);
    kp_auto_free char *data = kp_test_read_file(path, &len);
    assert_int_equal(len, w->cpu_len);
    assert_memory_equal(data, w->cpu, len);
}

static void test_download(void **state)
{
    struct world *w = *state;
    RUN("download", "profile.data.kube-pprof.dev/" ID_A,
        REG); // as get -o name prints it; standard output is no terminal
    check(w, 0, "");
    assert_int_equal(w->ran.out_len, w->cpu_len);
    RUN("download", ID_A, "-O", "one.pb.gz", REG);
    check(w, 0, "");
    check_file(w, "one.pb.gz");
    RUN("download", ID_A, ID_C, ID_B, "--output-dir", "new/folder", REG);
    assert_int_equal(w->ran.status, 1); // one of three is not there
    assert_string_equal(w->ran.err, "Error from server (NotFound): " ID_C ": no such profile\n");
    assert_string_equal(w->ran.out, "new/folder/shop_checkout-7d9f-x2_app_cpu_20261126T010203.456Z.pb.gz\n"
                                    "new/folder/-.-x_heap_20261126T010203.000Z_" ID_B ".pb.gz\n");
    check_file(w, "new/folder/shop_checkout-7d9f-x2_app_cpu_20261126T010203.456Z.pb.gz");
    RUN("download", ID_A, "--output-dir", "new/folder", REG);
    assert_int_equal(w->ran.status, 1);
    assert_non_null(strstr(w->ran.err, "is there already"));
    RUN("download", ID_A, "--output-dir", "new/folder", "--force", REG);
    check(w, 0, "");
}

// ---- pgo ----

// What is told is told of the file that is written; what was captured this second is in it.
static void test_pgo_asks_twice_for_the_same(void **state)
{
    struct world *w = *state;
    RUN("pgo", "checkout", REG);
    assert_int_equal(w->ran.status, 0);
    const char *first = strstr(kp_peer_request(w->peer, 0)->target, "&to=");
    const char *second = strstr(kp_peer_request(w->peer, 1)->target, "&to=");
    assert_non_null(first);
    assert_non_null(second);
    size_t len = strcspn(first + 1, "&");
    assert_int_equal(strcspn(second + 1, "&"), len);
    assert_memory_equal(first, second, len + 1);
}

static void test_pgo(void **state)
{
    struct world *w = *state;
    RUN("pgo", "checkout", "--max-bytes", "1Mi", "--from", "2026-11-26T01:00:00Z", "--to",
        "2026-11-26T02:00:00Z", REG);
    assert_int_equal(w->ran.status, 0);
    assert_string_equal(w->ran.out, "");
    kp_auto_free char *written = kp_asprintf("default.pgo is written, %zu bytes\n", w->cpu_len);
    const char *const says[] = {"captures:             12\n", "pods:                 3\n",
        "of other length:      1 left out\n", "CPU-seconds:          5.7\n",
        "with start line:      98.0 % of", "kept:                 99.1 % of",
        "not to be inlined:    runtime.gopark\n", written};
    for (size_t i = 0; i < KP_COUNT(says); i++)
        if (strstr(w->ran.err, says[i]) == NULL)
            fail_msg("'%s' is not in\n%s", says[i], w->ran.err);
    assert_null(strstr(w->ran.err, "overlap"));
    check_file(w, "default.pgo");
    check_target(w, 1,
        "/api/v1/"
        "pgo?service=checkout&type=cpu&from=2026-11-26T01%3A00%3A00Z&to=2026-11-26T02%3A00%3A00Z&maxBytes="
        "1048576");
    RUN("pgo", "checkout", REG); // the same again: only asked what it would be
    assert_int_equal(w->ran.status, 0);
    assert_non_null(strstr(w->ran.err, "default.pgo is unchanged\n"));
    assert_non_null(strstr(w->ran.err, "overlap with before:  100.0 %"));
    assert_int_equal(kp_peer_requests(w->peer), 3);
}

static void test_pgo_is_compared_with_what_was_there(void **state)
{
    struct world *w = *state;
    size_t len;
    kp_auto_free char *later =
        kp_test_read_file(KP_TESTDATA "/../../pkg/report/testdata/profiles/etcd-cpu-later.pb.gz", &len);
    RUN("pgo", "checkout", REG);
    assert_int_equal(w->ran.status, 0);
    set_pgo(w, later, len);
    RUN("pgo", "checkout", "-o", "json", REG);
    check(w, 0, "");
    const char *overlap = strstr(w->ran.out, "\"overlap\": 0.");
    assert_non_null(overlap);
    assert_non_null(strstr(w->ran.out, "\"unchanged\": false"));
    RUN("pgo", "checkout", "--previous", cpu, "-O", "-", REG);
    assert_int_equal(w->ran.status, 0);
    assert_int_equal(w->ran.out_len, len);
    assert_memory_equal(w->ran.out, later, len);
    assert_non_null(strstr(w->ran.err, "overlap with before:"));
}

static void test_pgo_writes_over_nothing_else(void **state)
{
    struct world *w = *state;
    kp_auto_free char *path = kp_asprintf("%s/main.go", w->dir);
    assert_int_equal(kp_file_write_atomic(path, "package main\n", 13, 0600, NULL), 0);
    RUN("pgo", "checkout", "-O", "main.go", REG);
    assert_int_equal(w->ran.status, 1);
    assert_non_null(strstr(w->ran.err, "main.go is there and no CPU profile"));
    assert_int_equal(kp_peer_requests(w->peer), 0);
    kp_auto_free char *text = kp_test_read_file(path, NULL);
    assert_string_equal(text, "package main\n");
    RUN("pgo", "checkout", "-O", "main.go", "--force", REG);
    assert_int_equal(w->ran.status, 0);
    check_file(w, "main.go");
}

// ---- load ----

static void test_load(void **state)
{
    struct world *w = *state;
    static const char *const types[][2] = {{"corpus/etcd-cpu.pb.gz", "cpu"}, {"legacy/block.txt", "block"},
        {"corpus/etcd-heap.pb.gz", "heap"}, {"corpus/etcd-allocs.pb.gz", "allocs"},
        {"corpus/etcd-mutex.pb.gz", "mutex"}, {"corpus/etcd-goroutine.pb.gz", "goroutine"},
        {"corpus/etcd-threadcreate.pb.gz", "threadcreate"}};
    for (size_t i = 0; i < KP_COUNT(types); i++) {
        kp_auto_free char *path = kp_asprintf(PROFILES "%s", types[i][0]);
        kp_auto_free char *says = kp_asprintf(ID_C " %s %s run=7\n", types[i][1], path);
        bool has_time = !kp_ends_with(path, ".txt"); // else it is as old as its file
        kp_auto_free char *target =
            kp_asprintf("/api/v1/profiles?namespace=shop&service=batch&type=%s&labels=run%%3D7", types[i][1]);
        RUN("load", path, "--service", "batch", "--label", "run=7", "-n", "shop", REG);
        check(w, 0, "");
        assert_string_equal(w->ran.out, says);
        const struct kp_peer_request *request = kp_peer_request(w->peer, i);
        assert_string_equal(request->method, "POST");
        assert_true(has_time ? kp_streq(request->target, target) : kp_starts_with(request->target, target));
        size_t len;
        kp_auto_free char *bytes = kp_test_read_file(path, &len);
        assert_int_equal(request->body_len, len);
        assert_memory_equal(request->body, bytes, len);
    }
}

static void test_load_goes_on(void **state)
{
    struct world *w = *state;
    RUN("load", "nothing.pb.gz", cpu, "--service", "batch", "-t", "custom", REG);
    assert_int_equal(w->ran.status, 1);
    assert_string_equal(w->ran.err, "error: cannot read 'nothing.pb.gz': No such file or directory\n");
    assert_string_equal(w->ran.out, ID_C " custom " CORPUS "etcd-cpu.pb.gz\n");
    RUN("load", cpu, trace, "--service", "batch", "-t", "heap", REG);
    assert_int_equal(w->ran.status, 1);
    assert_string_equal(w->ran.err,
        "error: " CORPUS "etcd-cpu.pb.gz: it is of cpu, not of heap: leave --type out\n"
        "error: " PROFILES "odd/trace.out: it is of trace, not of heap: leave --type out\n");
    assert_string_equal(w->ran.out, "");
    RUN("load", cpu, "--service", "refused", REG);
    assert_int_equal(w->ran.status, 1);
    assert_non_null(strstr(w->ran.err, "that is no profile"));
    RUN("load", cpu, "--service", "old", REG);
    assert_int_equal(w->ran.status, 1);
    assert_non_null(strstr(w->ran.err, "did not keep it"));
    assert_string_equal(w->ran.out, "");
}

static void test_load_a_trace(void **state)
{
    struct world *w = *state;
    RUN("load", trace, "--service", "batch", REG);
    check(w, 0, "");
    // as old as its file
    assert_non_null(strstr(kp_peer_request(w->peer, 0)->target, "?service=batch&type=trace&time=20"));
}

static void test_a_registry_behind_a_proxy(void **state)
{
    struct world *w = *state;
    setenv("HTTP_PROXY", kp_peer_url(w->peer), 1);
    RUN("get", "services", "--registry", "http://registry.example");
    unsetenv("HTTP_PROXY");
    assert_int_equal(kp_peer_requests(w->peer), 1);
    assert_string_equal(kp_peer_request(w->peer, 0)->target, "http://registry.example/api/v1/services");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_workload_is_a_service),
        T(test_kinds_and_pods),
        T(test_ids),
        T(test_a_type_is_found),
        T(test_what_is_not_kept_is_named),
        T(test_by_label_is_asked),
        T(test_bases),
        T(test_a_revision_is_compared_with_the_others),
        T(test_merge_is_handed_on),
        T(test_download),
        T(test_pgo),
        T(test_pgo_asks_twice_for_the_same),
        T(test_pgo_is_compared_with_what_was_there),
        T(test_pgo_writes_over_nothing_else),
        T(test_load),
        T(test_load_goes_on),
        T(test_load_a_trace),
        T(test_a_registry_behind_a_proxy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
