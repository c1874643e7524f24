// --registry with the address of profefe's own registry: the program against a peer that knows /api/0 only,
// with the answers recorded from it.
#include "cli/profefe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/text.h"
#include "cli/program_testing.h"
#include "testkit/peer.h"
#include "base/banned.h"

static const struct kp_step *route(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    static const struct {
        const char *begins, *type, *body;
        int status;
    } answers[] = {
        {"/api/0/services", "application/json", "{\"code\":200,\"body\":[\"api\",\"web\"]}\n", 200},
        {"/api/0/profiles?service=web", "application/json", "{\"code\":404,\"error\":\"nothing found\"}\n",
            404},
        {"/api/0/profiles?service=api&type=nope", "application/json",
            "{\"code\":400,\"error\":\"bad request: bad\"}\n", 400},
        {"/api/0/profiles?service=api", "application/json",
            "{\"code\":200,\"body\":[{\"id\":\"old\",\"type\":\"cpu\",\"service\":\"api\",\"labels\":[{"
            "\"key\":\"v\",\"value\":\"1\"}],"
            "\"created_at\":\"2019-05-30T21:10:05Z\"},{\"id\":\"new\",\"type\":\"cpu\",\"service\":\"api\","
            "\"created_at\":\"2019-05-30T21:11:05Z\"}]}\n",
            200},
        {"/api/0/profiles/old", "application/octet-stream", "bytes", 200},
    };
    static const char stored[] = "{\"code\":200,\"body\":{\"id\":\"got\"}}\n";
    (void)user;
    if (kp_streq(request->method, "POST") && kp_starts_with(request->target, "/api/0/profiles?"))
        return kp_peer_answer(peer, 200, "text/plain; charset=utf-8", stored, sizeof stored - 1);
    for (size_t i = 0; i < KP_COUNT(answers); i++)
        if (kp_starts_with(request->target, answers[i].begins))
            return kp_peer_answer(
                peer, answers[i].status, answers[i].type, answers[i].body, strlen(answers[i].body));
    return kp_peer_answer(peer, 404, "text/plain; charset=utf-8", "404 page not found\n", 19); // Go's
}

struct world {
    struct kp_peer *peer;
    char *url;
};

static int setup(void **state)
{
    static struct world w;
    w.peer = kp_peer_start(route, NULL);
    w.url = kp_asprintf("http://127.0.0.1:%d", kp_peer_port(w.peer));
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    kp_peer_stop(w->peer);
    kp_free(w->url);
    return 0;
}

static void test_services(void **state)
{
    struct world *w = *state;
    struct kp_ran ran = {0};
    kp_run(&ran, "get", "services", "--registry", w->url, "-o", "name");
    assert_string_equal(ran.err, "");
    assert_string_equal(ran.out, "service/api\nservice/web\n");
    assert_int_equal(ran.status, 0);
    kp_ran_finish(&ran);
}

static void test_profiles_as_kube_profefes_users_type_it(void **state)
{
    struct world *w = *state;
    struct kp_ran ran = {0};
    kp_run(&ran, "get", "profiles", "--profefe-hostport", w->url, "--service", "api", "--profile-type", "cpu",
        "--from", "24h", "-o", "jsonpath={range .items[*]}{.id} {.startTime} {.labels.v};{end}");
    assert_string_equal(ran.out, "new 2019-05-30T21:11:05Z ;old 2019-05-30T21:10:05Z 1;"); // the newest first
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.err, "--registry")); // the new form
    kp_ran_finish(&ran);
}

static void test_all_services_have_what_one_of_them_has(void **state)
{
    struct world *w = *state;
    struct kp_ran ran = {0};
    kp_run(&ran, "get", "profiles", "--registry", w->url, "-o", "name");
    assert_string_equal(ran.out, "profile.data.kube-pprof.dev/new\nprofile.data.kube-pprof.dev/old\n");
    kp_ran_finish(&ran);
}

static void test_labels_are_decoded_twice_there(void **state)
{
    struct world *w = *state;
    struct kp_ran ran = {0};
    kp_run(&ran, "get", "profiles", "--registry", w->url, "--service", "api", "-l", "v=1+b");
    const char *target = kp_peer_request(w->peer, kp_peer_requests(w->peer) - 1)->target;
    if (strstr(target, "&labels=v%3D1%252Bb") == NULL)
        fail_msg("%s", target);
    kp_ran_finish(&ran);
}

// A trace does not say when it was taken: the file does.
static void test_load(void **state)
{
    static const struct timespec times[2] = {{1559250605, 0}, {1559250605, 0}};
    struct world *w = *state;
    struct kp_ran ran = {0};
    char *dir = kp_test_tmpdir();
    kp_auto_free char *path = kp_asprintf("%s/trace.out", dir);
    size_t len;
    kp_auto_free char *data =
        kp_test_read_file(KP_TESTDATA "/../../pkg/profile/testdata/odd/trace.out", &len);
    assert_int_equal(kp_file_write_atomic(path, data, len, 0600, NULL), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    kp_run(&ran, "load", path, "--service", "api", "--label", "v=1+b", "--profefe-hostport", w->url);
    assert_int_equal(ran.status, 0);
    assert_true(kp_starts_with(ran.out, "got trace "));
    assert_string_equal(kp_peer_request(w->peer, kp_peer_requests(w->peer) - 1)->target,
        "/api/0/profiles?service=api&type=trace&labels=v%3D1%252Bb&created_at=2019-05-30T21%3A10%3A05");
    kp_ran_finish(&ran);
    kp_test_rmdir(dir);
}

static void test_what_fails_is_said(void **state)
{
    struct world *w = *state;
    struct kp_ran ran = {0};
    kp_run(&ran, "get", "profiles", "--registry", w->url, "--service", "api", "-t", "nope");
    assert_int_equal(ran.status, 1);
    assert_string_equal(ran.err, "Error from server (BadRequest): bad request: bad\n");
    kp_run(&ran, "get", "profiles", "--registry", w->url, "--service", "api", "-l", "a!=b");
    assert_int_equal(ran.status, 1);
    assert_string_equal(ran.err, "error: this registry is profefe's: it knows selectors with = only\n");
    kp_run(&ran, "get", "targets", "--registry", w->url);
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "no 'targets'"));
    kp_ran_finish(&ran);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_services, setup, teardown),
        cmocka_unit_test_setup_teardown(test_profiles_as_kube_profefes_users_type_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_services_have_what_one_of_them_has, setup, teardown),
        cmocka_unit_test_setup_teardown(test_labels_are_decoded_twice_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_fails_is_said, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
