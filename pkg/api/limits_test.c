// A namespace that wants too much, and the others, who notice nothing.
#include "api/scope_fixture.h"

#include <stdatomic.h>
#include <unistd.h>

#include "aio/job.h"
#include "api/fair.h"
#include "api/limits.h"
#include "base/limits.h"
#include "base/banned.h"

static int push(struct bench *b, const char *user, const char *path)
{
    size_t len;
    kp_auto_free uint8_t *profile = kp_pprof_make(&(struct kp_pprof_recipe){.stacks = 9}, &len);
    kp_auto_free char *auth = kp_asprintf("Authorization: Bearer %s", user);
    const char *const headers[] = {auth, NULL};
    assert_true(len > 300);
    bench_request(b, "POST", path, headers, profile, len, &answer);
    return answer.status;
}

static void assert_limit(const char *flag)
{
    assert_int_equal(answer.status, 429);
    assert_true(holds(answer.body, answer.len, "\"reason\":\"NamespaceLimit\""));
    assert_true(holds(answer.body, answer.len, "namespace 'zshop'"));
    assert_true(holds(answer.body, answer.len, flag));
    assert_true(holds(answer.headers.data, answer.headers.len, "Retry-After: "));
}

static double refused(struct bench *b, const char *limit)
{
    static const char *const labels[] = {"limit", NULL};
    struct kp_metric_family *family = kp_metrics_family(
        b->metrics, KP_COUNTER, "kube_pprof_registry_namespace_limits_total", "", labels, NULL, 0, 4);
    return kp_metric_value(kp_metric_with(family, (const char *const[]){limit}));
}

static void test_bytes_a_second(void **state)
{
    (void)state;
    struct bench *b = start_with((struct kp_api_options){.max_ingest_per_namespace = 1});
    assert_int_equal(
        push(b, "shop-agent", "/api/v1/profiles?service=a&type=cpu"), 201); // more than ten, once
    assert_int_equal(push(b, "shop-agent", "/api/v1/profiles?service=a&type=cpu"), 429);
    assert_limit("(--max-ingest-per-namespace)");
    assert_int_equal(push(b, "shop-agent", "/api/0/profiles?service=a&type=cpu"), 429);
    assert_true(
        holds(answer.body, answer.len, "{\"code\":429,\"error\":\"namespace 'zshop' sends more than"));
    assert_true(holds(answer.headers.data, answer.headers.len, "Retry-After: "));
    capture(b, "writer", 0, 1, 429);
    assert_limit("(--max-ingest-per-namespace)");
    assert_int_equal(push(b, "pay-agent", "/api/v1/profiles?service=a&type=cpu"), 201);
    assert_int_equal(refused(b, "ingest"), 3);
    stop(b);
}

static void test_bytes_come_back(void **state)
{
    (void)state;
    struct bench *b = start_with((struct kp_api_options){.max_ingest_per_namespace = 20000});
    int n = 0;
    while (push(b, "shop-agent", "/api/v1/profiles?service=a&type=cpu") == 201)
        n++;
    assert_true(n > 100); // ten seconds of them
    assert_limit("(--max-ingest-per-namespace)");
    while (push(b, "shop-agent", "/api/v1/profiles?service=a&type=cpu") == 429)
        run_for(b, 5);
    assert_int_equal(answer.status, 201);
    stop(b);
}

static void test_series(void **state)
{
    (void)state;
    bench_store.max_series_per_namespace = 2;
    struct bench *b = start_with((struct kp_api_options){0});
    bench_store.max_series_per_namespace = 0;
    assert_int_equal(push(b, "shop-agent", "/api/v1/profiles?service=a&type=cpu"), 201);
    assert_int_equal(push(b, "shop-agent", "/api/v1/profiles?service=b&type=cpu"), 201);
    assert_int_equal(push(b, "shop-agent", "/api/v1/profiles?service=c&type=cpu"), 429);
    assert_limit("(--max-series-per-namespace)");
    assert_int_equal(push(b, "shop-agent", "/api/v1/profiles?service=a&type=cpu"), 201);
    assert_int_equal(push(b, "pay-agent", "/api/v1/profiles?service=c&type=cpu"), 201);
    assert_int_equal(refused(b, "store"), 1);
    stop(b);
}

// Room is made before its time: who pushes on and on is refused at times, and keeps no more than he may.
static void test_stored_bytes(void **state)
{
    (void)state;
    bench_store.max_bytes_per_namespace = 20000;
    struct bench *b = start_with((struct kp_api_options){.retain_every_ms = 3600000});
    bench_store.max_bytes_per_namespace = 0;
    int n_refused = 0;
    int n_taken = 0;
    int n_other = 0;
    for (int i = 0; n_refused == 0 || n_taken < 200; i++) {
        assert_true(i < 100000);
        int status = push(b, "shop-agent", "/api/v1/profiles?service=a&type=cpu");
        n_refused += status == 429;
        n_taken += status == 201;
        if (status == 429)
            assert_limit("(--max-bytes-per-namespace)");
        if (i == 0 || n_refused == 1)
            n_other += push(b, "pay-agent", "/api/v1/profiles?service=a&type=cpu") == 201;
    }
    ask(b, "pay-viewer", "GET", "/api/v1/services?namespace=zpay");
    kp_auto_free char *all = kp_asprintf("\"profiles\":%d,", n_other);
    assert_true(holds(answer.body, answer.len, all));
    ask(b, "shop-viewer", "GET", "/api/v1/profiles?namespace=zshop");
    assert_true(holds(answer.body, answer.len, "\"id\":"));
    stop(b);
}

static void on_nothing(void *arg)
{
    (void)arg;
}

static void sleep_until(void *arg)
{
    while (!*(_Atomic bool *)arg)
        usleep(1000);
}

static struct bench_answer *send_push(struct bench *b, const char *user)
{
    struct bench_answer *a = KP_NEW(struct bench_answer);
    size_t len;
    kp_auto_free uint8_t *profile = kp_pprof_make(&(struct kp_pprof_recipe){.stacks = 9}, &len);
    struct kp_blob *body = kp_blob_copy(profile, len);
    kp_auto_free char *auth = kp_asprintf("Authorization: Bearer %s", user);
    const char *const headers[] = {auth, NULL};
    struct kp_http_call *call;
    kp_auto_free char *url = kp_asprintf("http://127.0.0.1:%d/api/v1/profiles?service=a&type=cpu", b->port);
    kp_strbuf_init(&a->headers, 65536);
    const struct kp_http_request request = {.method = "POST",
        .url = url,
        .headers = headers,
        .body = body,
        .on_header = bench_on_header,
        .on_done = bench_on_done,
        .user = a};
    assert_int_equal(kp_http_start(b->client, &request, &call, NULL), 0);
    kp_blob_unref(body);
    return a;
}

// While nothing can be looked at: one namespace fills half of the queue, and another finds room in it.
static void test_uploads_that_wait(void **state)
{
    (void)state;
    _Atomic bool release = false;
    struct bench_answer *waiting[4];
    struct bench *b = start_with((struct kp_api_options){.max_waiting = 4});
    for (int i = 0; i < 64; i++)
        kp_job_run(b->loop, KP_JOB_SHORT, sleep_until, on_nothing, &release);
    for (int i = 0; i < 2; i++)
        waiting[i] = send_push(b, "shop-agent");
    while (kp_job_count(b->loop) != 66)
        run_for(b, 1);
    assert_int_equal(push(b, "shop-agent", "/api/v1/profiles?service=a&type=cpu"), 429);
    assert_true(
        holds(answer.body, answer.len, "\"NamespaceLimit\",\"message\":\"2 uploads of namespace 'zshop'"));
    for (int i = 2; i < 4; i++)
        waiting[i] = send_push(b, "pay-agent");
    while (kp_job_count(b->loop) != 68)
        run_for(b, 1);
    release = true;
    for (int i = 0; i < 4; i++) {
        assert_true(kp_loop_run_until(b->loop, &waiting[i]->done, BENCH_WAIT_MS));
        assert_int_equal(waiting[i]->status, 201);
        bench_answer_clear(waiting[i]);
        kp_free(waiting[i]);
    }
    assert_int_equal(push(b, "shop-agent", "/api/v1/profiles?service=a&type=cpu"), 201);
    stop(b);
}

// Clients of one namespace that do not read leave room for the answers of others.
static void test_answers_nobody_reads(void **state)
{
    (void)state;
    enum { LARGE = 8 << 20 };
    static const char *const agents[] = {"shop-agent", "pay-agent"};
    kp_auto_free char *body = kp_calloc(1, LARGE);
    char *paths[2];
    int fds[2];
    struct bench *b = start_with((struct kp_api_options){.max_unsent_bytes = (size_t)4 * LARGE});
    for (int i = 0; i < 2; i++) {
        kp_auto_free char *auth = kp_asprintf("Authorization: Bearer %s", agents[i]);
        const char *const headers[] = {auth, NULL};
        bench_request(b, "POST", "/api/v1/profiles?service=a&type=trace", headers, body, LARGE, &answer);
        assert_int_equal(answer.status, 201);
        kp_auto_free char *id = id_in(answer.body);
        paths[i] = kp_asprintf("/api/v1/profiles/%s", id);
    }
    for (int i = 0; i < 2; i++)
        fds[i] = bench_deaf_client(b, paths[0], "Authorization: Bearer shop-agent\r\n");
    ask(b, "shop-agent", "GET", paths[0]);
    assert_limit("2 large answers");
    assert_status(b, "shop-viewer", "GET", "/api/v1/profiles?namespace=zshop", 200); // small ones are given
    assert_status(b, "pay-agent", "GET", paths[1], 200);
    assert_int_equal(refused(b, "unread"), 1);
    close(fds[0]);
    do
        ask(b, "shop-agent", "GET", paths[0]);
    while (answer.status == 429); // who left no longer counts
    assert_int_equal(answer.status, 200);
    kp_free(paths[0]);
    kp_free(paths[1]);
    stop(b); // while one still does not read
    close(fds[1]);
}

// ---- merges ----

struct blocker {
    _Atomic bool release;
};

static void block(void *arg)
{
    struct blocker *blocker = arg;
    while (!blocker->release)
        usleep(1000);
}

static struct bench_answer *send_get(
    struct bench *b, const char *what, const char *user, const char *namespace)
{
    struct bench_answer *a = KP_NEW(struct bench_answer);
    kp_auto_free char *auth = kp_asprintf("Authorization: Bearer %s", user);
    const char *const headers[] = {auth, NULL};
    struct kp_http_call *call;
    kp_auto_free char *url =
        kp_asprintf("http://127.0.0.1:%d/api/v1/%s?namespace=%s&type=cpu", b->port, what, namespace);
    kp_strbuf_init(&a->headers, 65536);
    const struct kp_http_request request = {.method = "GET",
        .url = url,
        .headers = headers,
        .on_header = bench_on_header,
        .on_done = bench_on_done,
        .user = a};
    assert_int_equal(kp_http_start(b->client, &request, &call, NULL), 0);
    return a;
}

static void finish_merge(struct bench *b, struct bench_answer *a, int status)
{
    assert_true(kp_loop_run_until(b->loop, &a->done, BENCH_WAIT_MS));
    assert_int_equal(a->status, status);
    bench_answer_clear(a);
    kp_free(a);
}

static void wait_for_jobs(struct bench *b, int n)
{
    while (kp_job_count(b->loop) != n)
        run_for(b, 1);
}

// Long jobs fill the pool, so that merges wait in it.
static void fill_pool(struct bench *b, struct blocker *blocker)
{
    for (int i = 0; i < 64; i++)
        kp_job_run(b->loop, KP_JOB_LONG, block, NULL, blocker);
}

static void test_merges_at_once(void **state)
{
    (void)state;
    struct blocker first = {0};
    struct bench_answer *merges[4];
    struct bench *b = start_with((struct kp_api_options){.max_merges = 4});
    for (int tenant = 0; tenant < 2; tenant++)
        capture(b, "writer", tenant, 1, 201);
    fill_pool(b, &first); // alone it has all places
    for (int i = 0; i < 4; i++)
        merges[i] = send_get(b, "merge", "shop-viewer", "zshop");
    wait_for_jobs(b, 68);
    ask(b, "shop-viewer", "GET", "/api/v1/merge?namespace=zshop&type=cpu");
    assert_limit("(--max-merges-per-namespace)");
    ask(b, "pay-viewer", "GET", "/api/v1/merge?namespace=zpay&type=cpu");
    assert_int_equal(answer.status, 429);
    assert_true(holds(answer.body, answer.len, "4 merges and searches are under way already"));
    assert_false(holds(answer.body, answer.len, "NamespaceLimit"));
    first.release = true;
    for (int i = 0; i < 4; i++)
        finish_merge(b, merges[i], 200);
    wait_for_jobs(b, 0);
    // now that somebody else has asked, only half of them
    struct blocker second = {0};
    fill_pool(b, &second);
    for (int i = 0; i < 2; i++)
        merges[i] = send_get(b, "merge", "shop-viewer", "zshop");
    wait_for_jobs(b, 66);
    ask(b, "shop-viewer", "GET", "/api/v1/merge?namespace=zshop&type=cpu");
    assert_limit("(--max-merges-per-namespace)");
    ask(b, "shop-agent", "GET", "/api/0/profiles/merge?service=api&type=cpu" ALL);
    assert_int_equal(answer.status, 429);
    for (int i = 2; i < 4; i++)
        merges[i] = send_get(b, "merge", "pay-viewer", "zpay");
    wait_for_jobs(b, 68);
    second.release = true;
    for (int i = 0; i < 4; i++)
        finish_merge(b, merges[i], 200);
    assert_int_equal(refused(b, "merges"), 3);
    stop(b);
}

// Who asks for much at once waits for himself: who asks last, in another namespace, is not the last.
static void test_short_answers_take_turns(void **state)
{
    (void)state;
    enum { N = 24 };
    struct blocker blocker = {0};
    struct bench_answer *many[N];
    struct bench *b = start_with((struct kp_api_options){0});
    for (int tenant = 0; tenant < 2; tenant++)
        capture(b, "writer", tenant, 1, 201);
    for (int i = 0; i < 16; i++)
        kp_job_run(b->loop, KP_JOB_SHORT, block, NULL, &blocker);
    for (int i = 0; i < N; i++)
        many[i] = send_get(b, "profiles", "shop-viewer", "zshop");
    wait_for_jobs(b, 16 + KP_FAIR_AT_ONCE);
    struct bench_answer *one = send_get(b, "profiles", "pay-viewer", "zpay");
    wait_for_jobs(b, 16 + KP_FAIR_AT_ONCE + 1);
    run_for(b, 50); // all are there
    blocker.release = true;
    assert_true(kp_loop_run_until(b->loop, &one->done, BENCH_WAIT_MS));
    int n = 0;
    for (int i = 0; i < N; i++)
        n += many[i]->done;
    if (n > N - 4) // they are told in bunches: without turns it is all of them
        fail_msg("%d of %d who came first were served first", n, N);
    finish_merge(b, one, 200);
    for (int i = 0; i < N; i++)
        finish_merge(b, many[i], 200);
    stop(b);
}

// Each by its name, none of them as "other".
static void test_every_limit_has_its_number(void **state)
{
    static const char *const limits[] = {"ingest", "store", "merges", "watches", "waiting", "unread"};
    (void)state;
    struct bench *b = start_with((struct kp_api_options){0});
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_MIB);
    for (size_t i = 0; i < KP_COUNT(limits); i++)
        kp_limits_count(b->api, limits[i]);
    kp_metrics_write(b->metrics, &out);
    for (size_t i = 0; i < KP_COUNT(limits); i++) {
        kp_auto_free char *line = kp_asprintf("namespace_limits_total{limit=\"%s\"} 1\n", limits[i]);
        assert_non_null(strstr(out.data, line));
    }
    stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_a_second),
        cmocka_unit_test(test_bytes_come_back),
        cmocka_unit_test(test_series),
        cmocka_unit_test(test_stored_bytes),
        cmocka_unit_test(test_uploads_that_wait),
        cmocka_unit_test(test_answers_nobody_reads),
        cmocka_unit_test(test_every_limit_has_its_number),
        cmocka_unit_test(test_merges_at_once),
        cmocka_unit_test(test_short_answers_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
