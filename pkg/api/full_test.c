// A disk that is full, a folder that is gone: who sends is told, and when to try again; who reads is served.
#include "api/api_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/banned.h"

#define AGGREGATED "/apis/data.kube-pprof.dev/v1alpha1"

static struct bench_answer answer;

static void push(struct bench *b, const char *path, int wanted)
{
    size_t len;
    kp_auto_free uint8_t *body =
        kp_pprof_make(&(struct kp_pprof_recipe){.stacks = 200, .time_nanos = 1795000000000000000}, &len);
    bench_request(b, "POST", path, NULL, body, len, &answer);
    if (answer.status != wanted)
        fail_msg("%d: %s", answer.status, answer.body);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void must_hold(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in: %s", part, text);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct bench *b = bench_start((struct kp_api_options){0});
    const char *why = NULL;
    signal(SIGXFSZ, SIG_IGN);
    push(b, "/api/v1/profiles?service=svc&type=cpu", 201);
    assert_true(kp_api_ready(b->api, &why));
    assert_null(why);
    limit_files(300);
    push(b, "/api/v1/profiles?service=svc&type=cpu", 507);
    must_hold(answer.headers.data, "Retry-After: 30\n");
    must_hold(answer.body, "StoreFull");
    must_hold(answer.body, b->dir);
    push(b, "/api/0/profiles?service=svc&type=cpu", 429);
    must_hold(answer.headers.data, "Retry-After: 30\n");
    bench_request(b, "POST", "/api/v1/admin/seal", NULL, NULL, 0, &answer);
    assert_int_equal(answer.status, 507);
    must_hold(answer.headers.data, "Retry-After: 30\n");
    char now[KP_TIME_TEXT];
    kp_auto_free char *ages =
        kp_asprintf("{\"items\":[{\"name\":\"shop\",\"created\":\"%s\"}]}", kp_time_format(now, kp_now_ms()));
    limit_files(10); // less than the notes of forgotten namespaces
    bench_request(b, "POST", "/api/v1/namespaces", NULL, ages, strlen(ages), &answer);
    assert_int_equal(answer.status, 507);
    must_hold(answer.headers.data, "Retry-After: 30\n");
    bench_request(b, "DELETE", AGGREGATED "/namespaces/shop/profiles", NULL, NULL, 0, &answer);
    assert_int_equal(answer.status, 507);
    limit_files(300);
    assert_true(kp_api_ready(b->api, &why)); // it can be read
    assert_null(why);
    assert_false(kp_api_writes(b->api, &why));
    must_hold(why, "the store is full");
    bench_request(b, "GET", "/api/v1/merge?type=cpu", NULL, NULL, 0, &answer);
    assert_int_equal(answer.status, 200);
    limit_files(0);
    push(b, "/api/v1/profiles?service=svc&type=cpu", 201);
    why = NULL;
    assert_true(kp_api_ready(b->api, &why));
    assert_true(kp_api_writes(b->api, &why));
    assert_null(why);
    bench_answer_clear(&answer);
    bench_stop(b);
}

// ---- a disk that takes no writes ----

static int disk_errno;

static ssize_t failing_pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    errno = disk_errno;
    return disk_errno != 0 ? -1 : pwritev(fd, iov, n, offset);
}

static int failing_fdatasync(int fd)
{
    errno = disk_errno;
    return disk_errno != 0 ? -1 : fdatasync(fd);
}

static int failing_ftruncate(int fd, off_t size)
{
    errno = disk_errno;
    return disk_errno != 0 ? -1 : ftruncate(fd, size);
}

static struct {
    int n, code;
    char text[240];
} told;

static void on_trouble(void *user, const struct kp_error *err)
{
    (void)user;
    told.n++;
    told.code = err ? err->code : 0;
    kp_copy(told.text, sizeof told.text, err ? err->text : "");
}

static void test_read_only_disk(void **state)
{
    (void)state;
    static const struct kp_io failing = {failing_pwritev, failing_fdatasync, failing_ftruncate};
    bench_io = &failing;
    struct bench *b =
        bench_start((struct kp_api_options){.on_store_trouble = on_trouble, .retain_every_ms = 3600000});
    bench_io = NULL;
    const char *why = NULL;
    push(b, "/api/v1/profiles?service=svc&type=cpu", 201);
    for (int round = 1; round <= 2; round++) {
        disk_errno = round == 1 ? EROFS : EIO;
        const char *words = round == 1 ? "Read-only file system" : "Input/output error";
        for (int i = 0; i < 3; i++) {
            push(b, "/api/v1/profiles?service=svc&type=cpu", 503);
            must_hold(answer.headers.data, "Retry-After: 30\n");
            must_hold(answer.body, words);
            must_hold(answer.body, "what is stored can be read");
            push(b, "/api/0/profiles?service=svc&type=cpu", 429);
        }
        assert_int_equal(told.n, 2 * round - 1); // once, not for each
        assert_int_equal(told.code, KP_INTERNAL);
        must_hold(told.text, words);
        assert_true(kp_api_ready(b->api, &why));
        assert_false(kp_api_writes(b->api, &why));
        must_hold(why, words);
        bench_request(b, "GET", "/api/v1/merge?type=cpu", NULL, NULL, 0, &answer);
        assert_int_equal(answer.status, 200);
        bench_request(b, "GET", "/metrics", NULL, NULL, 0, &answer);
        must_hold(answer.body, "\nkube_pprof_registry_store_failing 1\n");
        must_hold(answer.body, "\nkube_pprof_registry_store_full 0\n");
        disk_errno = 0;
        push(b, "/api/v1/profiles?service=svc&type=cpu", 201);
        assert_int_equal(told.n, 2 * round);
        assert_int_equal(told.code, 0);
        assert_true(kp_api_writes(b->api, &why));
        bench_request(b, "GET", "/metrics", NULL, NULL, 0, &answer);
        must_hold(answer.body, "\nkube_pprof_registry_store_failing 0\n");
    }
    bench_answer_clear(&answer);
    bench_stop(b);
}

static void test_the_folder_goes(void **state)
{
    (void)state;
    struct bench *b = bench_start((struct kp_api_options){0});
    const char *why = NULL;
    push(b, "/api/v1/profiles?service=svc&type=cpu", 201);
    kp_test_rmdir(b->dir);
    b->dir = kp_test_tmpdir();
    push(b, "/api/v1/profiles?service=svc&type=cpu", 503);
    must_hold(answer.headers.data, "Retry-After: 30\n");
    must_hold(answer.body, "removed beneath the registry");
    push(b, "/api/0/profiles?service=svc&type=cpu", 429);
    assert_false(kp_api_ready(b->api, &why));
    must_hold(why, "removed beneath the registry");
    bench_answer_clear(&answer);
    bench_stop(b);
}

// readyz tells what is wrong also while it is ready.
static bool on_check(void *user, const char **ret_why_not)
{
    const int *how = user;
    if (*how > 0)
        *ret_why_not = "the disk smells";
    return *how < 2;
}

static void test_ready_with_a_word(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *text;
    } rows[] = {{200, "ok"}, {200, "[+]nose ok, but: the disk smells\nreadyz check passed\n"},
        {503, "[-]nose failed: the disk smells\nreadyz check failed\n"}};
    static const char excluded[] = "[+]nose excluded: the disk smells\nreadyz check passed\n";
    struct bench *b = bench_start((struct kp_api_options){0});
    int how;
    kp_serve_add_check(b->serve, "nose", on_check, &how);
    for (how = 0; how < 3; how++) {
        bench_request(b, "GET", "/readyz", NULL, NULL, 0, &answer);
        assert_int_equal(answer.status, rows[how].status);
        assert_string_equal(answer.body, rows[how].text);
        bench_request(b, "GET", "/readyz?exclude=nose", NULL, NULL, 0, &answer);
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, how < 2 ? rows[how].text : excluded);
        bench_request(b, "GET", "/readyz?exclude=ear", NULL, NULL, 0, &answer);
        assert_int_equal(answer.status, rows[how].status);
    }
    bench_answer_clear(&answer);
    bench_stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_read_only_disk),
        cmocka_unit_test(test_the_folder_goes),
        cmocka_unit_test(test_ready_with_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
