// Large uploads, and many clients that hardly move.
#include "api/api_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

#define SLOW_CLIENTS 500
#define SLOW_BYTES   (64 * KP_MIB)

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

static struct bench_answer answer;

static void test_the_largest_profile_there_may_be(void **state)
{
    (void)state;
    struct bench *b = bench_start((struct kp_api_options){0});
    size_t len = KP_MAX_PROFILE_BYTES;
    char *body = kp_calloc(1, len + 1);
    memcpy(body, "go 1.26 trace", 13);
    bench_request(b, "POST", "/api/v1/profiles?service=a&type=trace", NULL, body, len, &answer);
    assert_int_equal(answer.status, 201);
    bench_request(b, "POST", "/api/0/profiles?service=a&type=trace", NULL, body, len + 1, &answer);
    assert_int_equal(answer.status, 413);
    bench_get(b, "/api/v1/profiles?service=a", 200, &answer);
    assert_non_null(strstr(answer.body, "\"sizeBytes\":67108864"));
    kp_free(body);
    bench_answer_clear(&answer);
    bench_stop(b);
}

static uint8_t *squeeze(const void *data, size_t len, size_t *ret_len)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, len);
    uint8_t *out = kp_alloc(room);
    z.next_in = (uint8_t *)(uintptr_t)data;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    *ret_len = z.total_out;
    deflateEnd(&z);
    return out;
}

// Each of them inflates to as much as one may: they are looked at one after the other.
static void test_large_bombs_take_memory_one_at_a_time(void **state)
{
    (void)state;
    struct bench *b = bench_start((struct kp_api_options){0});
    size_t unit, len = 0, room = 2 * KP_MIB;
    struct bench_answer answers[6] = {0};
    kp_auto_free uint8_t *zeros = kp_calloc(1, KP_MIB);
    kp_auto_free uint8_t *member = squeeze(zeros, KP_MIB, &unit);
    uint8_t *bomb = kp_alloc(room);
    for (; len + unit < room; len += unit) // the last member tells of 1 MiB only
        memcpy(bomb + len, member, unit);
    struct kp_blob *blob = kp_blob_take(bomb, len);
    kp_auto_free char *url = kp_asprintf("http://127.0.0.1:%d/api/v1/profiles?service=a&type=cpu", b->port);
    for (size_t i = 0; i < KP_COUNT(answers); i++) {
        struct kp_http_call *call;
        const struct kp_http_request request = {
            .method = "POST", .url = url, .body = blob, .on_done = bench_on_done, .user = &answers[i]};
        assert_int_equal(kp_http_start(b->client, &request, &call, NULL), 0);
    }
    for (size_t i = 0; i < KP_COUNT(answers); i++) {
        assert_true(kp_loop_run_until(b->loop, &answers[i].done, BENCH_WAIT_MS));
        assert_int_equal(answers[i].status, 413);
        bench_answer_clear(&answers[i]);
    }
    kp_blob_unref(blob);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    print_message("6 large bombs: %ld MiB at most\n", usage.ru_maxrss / 1024);
    if (!IS_SANITIZED)
        assert_true(usage.ru_maxrss / 1024 < 240);
    bench_stop(b);
}

static size_t resident(void)
{
    kp_auto_free char *text = NULL;
    assert_int_equal(kp_file_read("/proc/self/statm", 4096, &text, NULL, NULL), 0);
    const char *pages = strchr(text, ' ');
    assert_non_null(pages);
    return strtoull(pages, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

static int slow_client(int port, const char *body, size_t len)
{
    static const char head[] = "POST /api/v1/profiles?service=a&type=cpu HTTP/1.1\r\nHost: a\r\n"
                               "Content-Length: 67108864\r\n\r\n";
    int fd = bench_connect(port);
    assert_int_equal(kp_write_all(fd, head, sizeof head - 1, NULL), 0);
    assert_int_equal(kp_write_all(fd, body, len, NULL), 0);
    return fd;
}

static double connections(struct bench *b)
{
    return kp_metric_value(kp_gauge(b->metrics, "http_connections", ""));
}

static void test_slow_clients_cost_little(void **state)
{
    (void)state;
    static char body[16384];
    int fds[SLOW_CLIENTS];
    const bool never = false;
    struct bench *b = bench_start_for((struct kp_api_options){0}, 2 * (SLOW_CLIENTS + 16));
    bench_get(b, "/healthz", 200, &answer); // what is made once is there
    size_t before = resident();
    for (int i = 0; i < SLOW_CLIENTS; i++) {
        fds[i] = slow_client(b->port, body, sizeof body);
        kp_loop_run_until(b->loop, &never, 1);
    }
    for (int i = 0; i < 2000 && connections(b) < SLOW_CLIENTS; i++)
        kp_loop_run_until(b->loop, &never, 5);
    kp_loop_run_until(b->loop, &never, 100);
    assert_true(connections(b) >= SLOW_CLIENTS);
    size_t grown = resident() - before;
    print_message("%d slow clients take %zu KiB\n", SLOW_CLIENTS, grown / 1024);
    if (!IS_SANITIZED)
        assert_true(grown < SLOW_BYTES);
    bench_get(b, "/healthz", 200, &answer); // and the others are served
    for (int i = 0; i < SLOW_CLIENTS; i++)
        close(fds[i]);
    bench_answer_clear(&answer);
    bench_stop(b);
}

static void test_answers_nobody_reads_are_bounded(void **state)
{
    (void)state;
    int fds[8];
    struct bench *b =
        bench_start((struct kp_api_options){.max_unsent_bytes = (size_t)3 * KP_MAX_PROFILE_BYTES});
    char *body = kp_calloc(1, KP_MAX_PROFILE_BYTES);
    bench_request(
        b, "POST", "/api/v1/profiles?service=a&type=trace", NULL, body, KP_MAX_PROFILE_BYTES, &answer);
    assert_int_equal(answer.status, 201);
    kp_free(body);
    const char *id = strstr(answer.body, "\"id\":\"");
    assert_non_null(id);
    kp_auto_free char *path = kp_asprintf("/api/v1/profiles/%.25s", id + 6);
    int n = 0;
    bench_get(b, path, 200, &answer);
    for (; n < 8 && answer.status == 200; n++) { // what the kernel takes is not counted
        fds[n] = bench_deaf_client(b, path, "");
        bench_request(b, "GET", path, NULL, NULL, 0, &answer);
    }
    assert_int_equal(answer.status, 429);
    assert_true(n >= 2 && n < 8);
    bench_get(b, "/api/v1/profiles?service=a", 200, &answer); // small ones are given
    for (int i = 0; i < n; i++)
        close(fds[i]);
    const bool never = false;
    for (int i = 0; i < 4000 && connections(b) > 1; i++)
        kp_loop_run_until(b->loop, &never, 5);
    bench_get(b, path, 200, &answer); // who left no longer counts
    bench_answer_clear(&answer);
    bench_stop(b);
}

int main(void)
{
    const struct rlimit files = {4096, 4096};
    (void)!setrlimit(RLIMIT_NOFILE, &files);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_large_bombs_take_memory_one_at_a_time), // the first: it looks at the most there was
        cmocka_unit_test(test_the_largest_profile_there_may_be),
        cmocka_unit_test(test_slow_clients_cost_little),
        cmocka_unit_test(test_answers_nobody_reads_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
