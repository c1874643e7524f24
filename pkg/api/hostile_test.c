// A thousand queries at once, each as bad as it can be made, of clients most of which never read: memory
// stays within bounds, every one is answered with a status that says what it is, and others are served
// meanwhile.
#include "api/gate_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

#define CLIENTS   (IS_SANITIZED ? 200 : 1000)
#define PODS      200
#define ROUNDS    2
#define MAX_BYTES (256 * KP_MIB) // above what is there before

static struct bench_answer answer;

// Two tenants with a namespace each.
static const struct fake_user users[] = {{"shop", "shop"}, {"pay", "pay"}, {0}};
static const struct fake_rule rules[] = {{"shop", "*", "*", "shop"}, {"pay", "*", "*", "pay"}, {0}};

static size_t resident(void)
{
    kp_auto_free char *text = NULL;
    assert_int_equal(kp_file_read("/proc/self/statm", 4096, &text, NULL, NULL), 0);
    const char *pages = strchr(text, ' ');
    assert_non_null(pages);
    return strtoull(pages, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

// Many series, each with as many and as long labels as there may be.
static void fill(struct bench *b)
{
    struct kp_label labels[12];
    char values[KP_COUNT(labels)][128];
    char names[KP_COUNT(labels)][16];
    for (int i = 0; i < PODS * ROUNDS; i++) {
        struct kp_record record = {0};
        size_t len;
        uint8_t *body = kp_pprof_make(&(struct kp_pprof_recipe){.stacks = 60 + (unsigned)i % 200,
                                          .value = 1 + i,
                                          .time_nanos = INT64_C(1795000000000000000) + i,
                                          .build_id = "a",
                                          .seed = (uint64_t)i % 7},
            &len);
        for (size_t k = 0; k < KP_COUNT(labels); k++) {
            snprintf(names[k], sizeof names[k], "label%zu", k);
            memset(values[k], 'a', sizeof values[k] - 1);
            snprintf(values[k] + 100, 28, "%d-%zu", i % PODS, k);
            labels[k] = (struct kp_label){names[k], values[k]};
        }
        record.namespace = kp_strdup(i % 2 ? "shop" : "pay");
        record.service = kp_strdup("api");
        record.type = kp_strdup("cpu");
        record.format = kp_strdup("pprof");
        record.pod = kp_asprintf("api-%d", i % PODS);
        record.container = kp_strdup("main");
        record.start_ms = kp_now_ms() - 3600000 + i * 1000;
        record.end_ms = record.start_ms + 1000;
        record.labels = kp_labels_create(labels, KP_COUNT(labels));
        struct kp_append append = {.record = &record, .body = kp_blob_take(body, len)};
        kp_store_append(b->store, &append, 1);
        assert_int_equal(append.status, KP_APPEND_STORED);
        kp_blob_unref(append.body);
        kp_record_finish(&record);
    }
}

static char *repeated(const char *before, const char *part, size_t n, const char *after)
{
    struct kp_strbuf out;
    size_t len;
    kp_strbuf_init(&out, 1 << 20);
    kp_strbuf_adds(&out, before);
    for (size_t i = 0; i < n; i++)
        kp_strbuf_adds(&out, part);
    kp_strbuf_adds(&out, after);
    return kp_strbuf_take(&out, &len);
}

struct queries {
    KP_ARRAY(char *) paths;
};

// %28 ( %29 ) %2b + %7b { %7d } %22 " %7c |
static void make_queries(struct queries *q)
{
    static const char *const plain[] = {
        "/api/v1/profiles?limit=10000",
        "/api/v1/profiles?limit=10000&selector=label0%3D~%22%28a*%29*b%22",
        "/api/v1/profiles?limit=10000&selector=label0%3D~%22%28a%7ca%7caa%29%2b%24%22",
        "/api/v1/profiles?limit=10000&selector=label0%3D~%22%28%28%28a%7b30%7d%29%7b30%7d%29%7b30%7d%29%22",
        "/api/v1/profiles?limit=10000&from=1970-01-01T00:00:00Z&to=9999-12-31T23:59:59Z",
        "/api/v1/labels",
        "/api/v1/labels/label3?selector=label1%21~%22.*x.*y.*z.*%22",
        "/api/v1/merge?type=cpu&from=-99999h",
        "/api/v1/merge?type=cpu&focus=.*a.*b.*c.*d.*e.*f.*g.*&ignore=%28.%2b%29%2bz&hide=.%7b1%2c200%7d",
        "/api/v1/series?type=cpu&step=1s&from=-9999h&groupBy=label0",
        "/api/v1/series?type=cpu&step=1s&groupBy=label0&timeout=10m",
        "/api/v1/top?type=cpu&limit=10000&timeout=10m",
        "/api/v1/flamegraph?type=cpu&maxNodes=200000&minShare=0&format=svg",
        "/api/v1/flamegraph?type=cpu&maxNodes=200000&minShare=0&format=html",
        "/api/v1/diff?type=cpu&baseFrom=-99999h&limit=10000",
        "/api/v1/peers?type=cpu&limit=10000",
        "/api/v1/pgo?service=api&maxBytes=1Gi",
        "/api/0/profiles?service=api&type=cpu&from=0000-01-01T00:00:00&to=9999-01-01T00:00:00",
        "/api/0/profiles/merge?service=api&type=cpu&from=1970-01-01T00:00:00&to=9999-01-01T00:00:00",
        "/api/v1/profiles?watch=true&selector=label0%3D~%22%28a*%29*b%22",
    };
    for (size_t i = 0; i < KP_COUNT(plain); i++)
        *kp_array_add(&q->paths) = kp_strdup(plain[i]);
    *kp_array_add(&q->paths) = repeated("/api/v1/profiles?selector=", "label0%21%3Dx%2C", 500, "label1%3Dy");
    *kp_array_add(&q->paths) =
        repeated("/api/v1/profiles?selector=label0%3D~%22", "%28a%7cb%29%3F", 500, "%22");
    *kp_array_add(&q->paths) =
        repeated("/api/v1/merge?type=cpu&ids=", "0000000000000000000000000,", 280, "x");
    *kp_array_add(&q->paths) = repeated("/api/v1/merge?type=cpu", "&focus=a", 900, "");
}

static int status_of(int fd)
{
    char head[16] = {0};
    ssize_t n = recv(fd, head, 12, MSG_DONTWAIT);
    return n == 12 ? (int)strtol(head + 9, NULL, 10) : n == 0 ? 1 : 0;
}

struct flood {
    int fds[1000];
    bool reads[1000];
    int statuses[600];
};

static void begin(struct flood *f, struct bench *b, const struct queries *q)
{
    const bool never = false;
    for (int i = 0; i < CLIENTS; i++) {
        const char *path = q->paths.items[(size_t)i % q->paths.n];
        bool is_old = kp_starts_with(path, "/api/0/");
        kp_auto_free char *head = kp_asprintf("GET %s%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                                              "Authorization: Bearer shop\r\n\r\n",
            path,
            is_old              ? ""
            : strchr(path, '?') ? "&namespace=shop"
                                : "?namespace=shop");
        f->fds[i] = bench_connect(b->port);
        f->reads[i] = i % 3 == 0;
        assert_int_equal(kp_write_all(f->fds[i], head, strlen(head), NULL), 0);
        if (i % 50 == 0)
            kp_loop_run_until(b->loop, &never, 1);
    }
}

static void test_a_thousand_bad_queries_at_once(void **state)
{
    (void)state;
    struct queries q = {0};
    struct flood *f = KP_NEW(struct flood);
    struct fake_gate gate = {.users = users, .rules = rules};
    static const char *const headers[] = {"Authorization: Bearer pay", NULL};
    struct bench *b = bench_start_for((struct kp_api_options){.gate = fake_gate(&gate)}, 2 * (CLIENTS + 16));
    make_queries(&q);
    fill(b);
    size_t before = resident();
    size_t peak = before;
    int64_t slowest_us = 0;
    const bool never = false;
    bool seen[1000] = {0};
    begin(f, b, &q);
    int64_t until_ms = kp_mono_ms() + 2 * BENCH_WAIT_MS;
    int n_well = 0;
    int n_left = CLIENTS;
    while (n_left > 0 && kp_mono_ms() < until_ms) {
        int64_t start_us = kp_mono_us();
        bench_request(b, "GET", "/api/v1/profiles?namespace=pay&limit=1", headers, NULL, 0, &answer);
        assert_int_equal(answer.status, 200); // somebody who does no harm
        int64_t took_us = kp_mono_us() - start_us;
        slowest_us = took_us > slowest_us ? took_us : slowest_us;
        n_well++;
        kp_loop_run_until(b->loop, &never, 5);
        for (int i = 0; i < CLIENTS; i++) {
            static char trash[65536];
            int status = seen[i] ? 0 : status_of(f->fds[i]);
            if (status > 0 && status < 600) {
                seen[i] = true;
                f->statuses[status]++;
                n_left--;
            }
            while (seen[i] && f->reads[i] && recv(f->fds[i], trash, sizeof trash, MSG_DONTWAIT) > 0)
                ;
        }
        size_t now = resident();
        peak = now > peak ? now : peak;
    }
    kp_auto_strbuf said;
    kp_strbuf_init(&said, 4096);
    for (int s = 1; s < 600; s++)
        if (f->statuses[s] > 0)
            kp_strbuf_addf(&said, " %d: %d", s, f->statuses[s]);
    print_message("%d bad queries:%s, %d without an answer; %zu MiB more at the most; %d requests of another "
                  "tenant, the "
                  "slowest %.0f ms\n",
        CLIENTS, said.data, n_left, (peak - before) / KP_MIB, n_well, (double)slowest_us / 1000);
    static const int fine[] = {200, 400, 404, 409, 413, 414, 422, 429, 431, 503, 504};
    int n_fine = 0;
    for (size_t i = 0; i < KP_COUNT(fine); i++)
        n_fine += f->statuses[fine[i]];
    assert_int_equal(n_fine, CLIENTS); // each says what it is
    assert_true(f->statuses[200] > 0 && f->statuses[400] > 0 && f->statuses[429] > 0);
    if (!IS_SANITIZED)
        assert_true(peak - before < MAX_BYTES);
    for (int i = 0; i < CLIENTS; i++)
        close(f->fds[i]);
    for (int i = 0; i < 4000 && kp_metric_value(kp_gauge(b->metrics, "http_connections", "")) > 1; i++)
        kp_loop_run_until(b->loop, &never, 5);
    bench_request(b, "GET", "/api/v1/merge?namespace=shop&type=cpu", // and all is free again
        (const char *const[]){"Authorization: Bearer shop", NULL}, NULL, 0, &answer);
    assert_int_equal(answer.status, 200);
    bench_answer_clear(&answer);
    bench_stop(b);
    for (size_t i = 0; i < q.paths.n; i++)
        kp_free(q.paths.items[i]);
    kp_array_free(&q.paths);
    kp_free(f);
}

// One alone of each kind: what it costs at the most.
static void test_each_bad_query_alone(void **state)
{
    (void)state;
    struct queries q = {0};
    struct bench *b = bench_start((struct kp_api_options){0});
    make_queries(&q);
    fill(b);
    for (size_t i = 0; i < q.paths.n; i++) {
        if (strstr(q.paths.items[i], "watch=true"))
            continue;
        int64_t start_us = kp_mono_us();
        size_t before = resident();
        bench_request(b, "GET", q.paths.items[i], NULL, NULL, 0, &answer);
        print_message("%d in %6.1f ms, %4zu KiB, %3zd MiB more: %.90s\n", answer.status,
            (double)(kp_mono_us() - start_us) / 1000, answer.len / 1024,
            ((ssize_t)resident() - (ssize_t)before) / (ssize_t)KP_MIB, q.paths.items[i]);
        if (answer.status >= 500 && answer.status != 504)
            fail_msg("%d: %s", answer.status, answer.body);
        kp_free(q.paths.items[i]);
        q.paths.items[i] = NULL;
    }
    for (size_t i = 0; i < q.paths.n; i++)
        kp_free(q.paths.items[i]);
    kp_array_free(&q.paths);
    bench_answer_clear(&answer);
    bench_stop(b);
}

int main(void)
{
    const struct rlimit files = {4096, 4096};
    (void)!setrlimit(RLIMIT_NOFILE, &files);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_bad_query_alone),
        cmocka_unit_test(test_a_thousand_bad_queries_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
