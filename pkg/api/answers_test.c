// Answers made of many profiles, over HTTP.
#include "api/api_fixture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "aio/job.h"
#include "profile/profile.h"
#include "base/banned.h"

static struct bench_answer answer; // freed at the end of each test by stop()

static void stop(struct bench *b)
{
    bench_answer_clear(&answer);
    bench_stop(b);
}

static void push_file(struct bench *b, const char *query, const char *file)
{
    size_t len;
    kp_auto_free char *path = kp_asprintf("%s/profefe/corpus/%s", KP_TESTDATA, file);
    kp_auto_free char *url = kp_asprintf("/api/v1/profiles?%s", query);
    kp_auto_free char *bytes = kp_test_read_file(path, &len);
    bench_request(b, "POST", url, NULL, bytes, len, &answer);
    assert_int_equal(answer.status, 201);
}

static struct bench *start_with_etcd(void)
{
    struct bench *b = bench_start((struct kp_api_options){0});
    push_file(b, "service=etcd&type=cpu&labels=pod=a", "etcd/cpu.01.pb.gz");
    push_file(b, "service=etcd&type=cpu&labels=pod=b", "etcd/cpu.02.pb.gz");
    push_file(b, "service=etcd&type=cpu&labels=pod=a", "etcd/cpu.03.pb.gz");
    push_file(b, "service=etcd&type=heap&labels=pod=a", "etcd/heap.01.pb.gz");
    return b;
}

static void assert_holds(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in: %.400s", part, text);
}

static int64_t total_of(const char *bytes, size_t len, const char *type)
{
    struct kp_profile *p;
    struct kp_error err = {0};
    if (kp_profile_decode(bytes, len, NULL, &p, &err) != 0)
        fail_msg("%s", err.text);
    int at = kp_profile_type_index(p, type);
    assert_true(at >= 0);
    int64_t total = kp_profile_total(p, (uint32_t)at);
    kp_profile_free(p);
    return total;
}

static int64_t total_of_file(const char *file, const char *type)
{
    size_t len;
    kp_auto_free char *path = kp_asprintf("%s/profefe/corpus/%s", KP_TESTDATA, file);
    kp_auto_free char *bytes = kp_test_read_file(path, &len);
    return total_of(bytes, len, type);
}

static void test_merge_sums_what_is_selected(void **state)
{
    (void)state;
    struct bench *b = start_with_etcd();
    int64_t one = total_of_file("etcd/cpu.01.pb.gz", "cpu");
    int64_t two = total_of_file("etcd/cpu.02.pb.gz", "cpu");
    int64_t three = total_of_file("etcd/cpu.03.pb.gz", "cpu");
    bench_get(b, "/api/v1/merge?service=etcd&type=cpu", 200, &answer);
    assert_int_equal(total_of(answer.body, answer.len, "cpu"), one + two + three);
    assert_holds(answer.headers.data, "X-Profiles: 3\n");
    assert_holds(answer.headers.data, "Content-Disposition: attachment; filename=\"merge.pb.gz\"\n");
    bench_get(b, "/api/v1/merge?service=etcd&type=cpu&selector=pod%3Da", 200, &answer);
    assert_int_equal(total_of(answer.body, answer.len, "cpu"), one + three);
    bench_get(b, "/api/v1/merge?service=etcd&type=cpu&to=2026-11-21T21:27:30Z", 200, &answer);
    assert_int_equal(total_of(answer.body, answer.len, "cpu"), one);
    stop(b);
}

static void test_what_is_wrong_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int status;
        const char *part;
    } rows[] = {
        {"/api/v1/merge?service=etcd", 400, "say of which profiles: type=cpu"},
        {"/api/v1/merge?type=cpu&sevrice=etcd", 400, "this path takes no parameter 'sevrice'"},
        {"/api/v1/merge?type=cpu&from=yesterday", 400, "from: 'yesterday' is not a time"},
        {"/api/v1/merge?type=cpu&from=2026-11-22T00:00:00Z&to=2026-11-21T00:00:00Z", 400,
            "from is not before to"},
        {"/api/v1/merge?type=cpu&selector=a%20in", 400, "selector: "},
        {"/api/v1/merge?type=cpu&timeout=11m", 400, "timeout: it must lie between"},
        {"/api/v1/merge?ids=a,,b", 400, "ids: an empty id"},
        {"/api/v1/merge?ids=nonsense", 404, "nonsense"},
        {"/api/v1/merge?service=nobody&type=cpu", 404, "NotFound"},
        {"/api/v1/top?type=cpu&by=colour", 400, "by: 'colour' is none of"},
        {"/api/v1/top?type=cpu&sort=up", 400, "sort: 'up' is none of flat|cum"},
        {"/api/v1/top?type=cpu&sampleType=inuse_space", 400, "inuse_space"},
        {"/api/v1/top?type=cpu&minShare=2", 400, "minShare: '2' is not a share"},
        {"/api/v1/flamegraph?type=cpu&maxNodes=0", 400, "maxNodes: "},
        {"/api/v1/flamegraph?type=cpu&focus=(", 400, "focus: regex '(' is wrong: "},
        {"/api/v1/merge?type=cpu&hide=a%7B2,1%7D", 400, "hide: regex 'a{2,1}' is wrong: "},
        {"/api/v1/series?type=cpu&step=1y", 400, "step: '1y' is not a duration"},
        {"/api/v1/series?type=cpu&step=5w", 400, "step: it must lie between"},
        {"/api/v1/diff?type=cpu", 400, "say what to compare with"},
        {"/api/v1/peers?type=cpu", 400, "function=NAME"},
        {"/api/v1/pgo?type=heap", 400, "CPU profiles only"},
        {"/api/v1/pgo?service=etcd&from=2026-11-01T00:00:00Z", 409,
            "no function of these profiles has a start line"},
        {"/api/v1/pgo?service=nobody", 404, "the last 72 h (from= looks further back): no profile matches"},
        {"/api/v1/pgo?service=etcd&maxBytes=1", 400, "maxBytes: it must lie between"},
        {"/api/v1/profiles?limit=0x1", 400, "limit: "},
        {"/api/v1/services?watch=1", 400, "no parameter 'watch'"},
        {"/api/v1/targets?cursor=x", 400, "cursor: "},
    };
    struct bench *b = start_with_etcd();
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        assert_holds(bench_get(b, rows[i].path, rows[i].status, &answer), rows[i].part);
    stop(b);
}

static void test_top_and_diff(void **state)
{
    (void)state;
    struct bench *b = start_with_etcd();
    bench_get(b, "/api/v1/top?service=etcd&type=cpu&limit=3&by=function", 200, &answer);
    assert_holds(answer.body, "{\"stats\":{\"profiles\":3,");
    assert_holds(answer.body, "\"name\":\"runtime/internal/syscall.Syscall6\"");
    bench_get(b, "/api/v1/top?service=etcd&type=heap&sampleType=alloc_space&format=text", 200, &answer);
    assert_holds(answer.body, "flat%");
    bench_get(b, "/api/v1/diff?service=etcd&type=cpu&selector=pod%3Da&baseSelector=pod%3Db", 200, &answer);
    assert_holds(answer.body, "\"baseStats\":{\"profiles\":1,");
    bench_get(b, "/api/v1/diff?service=etcd&type=cpu&baseSelector=pod%3Db&format=pprof", 200, &answer);
    int64_t without = total_of_file("etcd/cpu.01.pb.gz", "cpu") + total_of_file("etcd/cpu.03.pb.gz", "cpu");
    assert_int_equal(total_of(answer.body, answer.len, "cpu"), without);
    stop(b);
}

// ---- too many, too long, left ----

struct blocker {
    _Atomic bool release;
    _Atomic int done;
};

static void block(void *arg)
{
    struct blocker *blocker = arg;
    while (!blocker->release)
        usleep(1000);
}

static void unblocked(void *arg)
{
    ((struct blocker *)arg)->done++;
}

// Long jobs fill the pool, so that merges wait.
static void fill_pool(struct bench *b, struct blocker *blocker, int n)
{
    for (int i = 0; i < n; i++)
        kp_job_run(b->loop, KP_JOB_LONG, block, unblocked, blocker);
}

static bool start_request(
    struct bench *b, const char *path, struct bench_answer *ret, struct kp_http_call **call)
{
    kp_auto_free char *url = kp_asprintf("http://127.0.0.1:%d%s", b->port, path);
    kp_strbuf_init(&ret->headers, 65536);
    const struct kp_http_request request = {
        .method = "GET", .url = url, .on_header = bench_on_header, .on_done = bench_on_done, .user = ret};
    return kp_http_start(b->client, &request, call, NULL) == 0;
}

static void run_for(struct bench *b, int64_t ms)
{
    const bool never = false;
    kp_loop_run_until(b->loop, &never, ms);
}

static void test_merges_are_bounded_and_given_up(void **state)
{
    (void)state;
    struct blocker blocker = {0};
    struct bench_answer first = {0};
    struct kp_http_call *call;
    struct bench *b = bench_start((struct kp_api_options){.max_merges = 1});
    push_file(b, "service=etcd&type=cpu", "etcd/cpu.01.pb.gz");
    fill_pool(b, &blocker, 64);
    assert_true(start_request(b, "/api/v1/merge?type=cpu", &first, &call));
    while (kp_job_count(b->loop) < 65)
        run_for(b, 5);
    bench_get(b, "/api/v1/merge?type=cpu", 429, &answer);
    assert_holds(answer.headers.data, "Retry-After: 2\n");
    bench_get(b,
        "/api/0/profiles/merge?service=etcd&type=cpu&from=2000-01-01T00:00:00&to=2040-01-01T00:00:00", 429,
        &answer);
    kp_http_cancel(call); // the client leaves: its place is free once the job has looked
    assert_true(kp_loop_run_until(b->loop, &first.done, BENCH_WAIT_MS));
    blocker.release = true;
    while (kp_job_count(b->loop) > 0)
        run_for(b, 5);
    bench_get(b, "/api/v1/merge?type=cpu", 200, &answer);
    bench_answer_clear(&first);
    stop(b);
}

// What became of a request when its time was over before a thread had looked at it.
static void ask_too_late(struct bench *b, const char *path, struct bench_answer *late)
{
    struct blocker blocker = {0};
    struct kp_http_call *call;
    fill_pool(b, &blocker, 64);
    assert_true(start_request(b, path, late, &call));
    while (kp_job_count(b->loop) < 65)
        run_for(b, 5);
    run_for(b, 5);
    blocker.release = true;
    assert_true(kp_loop_run_until(b->loop, &late->done, BENCH_WAIT_MS));
    if (late->status != 504)
        fail_msg("%s: %d, %s", path, late->status, late->body);
    while (kp_job_count(b->loop) > 0)
        run_for(b, 5);
}

static void test_a_deadline_passes(void **state)
{
    struct bench_answer late = {0};
    (void)state;
    struct bench *b = start_with_etcd();
    ask_too_late(b, "/api/v1/merge?type=cpu&timeout=1ms", &late);
    bench_answer_clear(&late);
    stop(b);
}

// Whatever time the client gives the API server, ours is over before that gives up; then it is said how to
// ask for less.
static void test_the_api_server_hears_in_time_how_to_ask_for_less(void **state)
{
    static const char *const paths[] = {"merge?type=cpu", "merge?type=cpu&timeout=10m", "top?type=cpu",
        "flamegraph?type=cpu", "series?type=cpu", "pgo?type=cpu&from=2000-01-01T00:00:00Z",
        "diff?type=cpu&baseFrom=2000-01-01T00:00:00Z"};
    struct bench_answer late;
    (void)state;
    struct bench *b = bench_start((struct kp_api_options){.aggregated_timeout_ms = 1});
    push_file(b, "namespace=shop&service=etcd&type=cpu", "etcd/cpu.01.pb.gz");
    for (size_t i = 0; i < KP_COUNT(paths); i++) {
        kp_auto_free char *path =
            kp_asprintf("/apis/data.kube-pprof.dev/v1alpha1/namespaces/shop/profiles/-/%s", paths[i]);
        late = (struct bench_answer){0};
        ask_too_late(b, path, &late);
        assert_holds(late.body, "\"kind\":\"Status\"");
        assert_holds(late.body, "\"reason\":\"Timeout\"");
        assert_holds(late.body, "; ask for less: a shorter time (from, to), one service or type");
        bench_answer_clear(&late);
    }
    stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_sums_what_is_selected),
        cmocka_unit_test(test_what_is_wrong_is_said),
        cmocka_unit_test(test_top_and_diff),
        cmocka_unit_test(test_merges_are_bounded_and_given_up),
        cmocka_unit_test(test_a_deadline_passes),
        cmocka_unit_test(test_the_api_server_hears_in_time_how_to_ask_for_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
