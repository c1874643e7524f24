// What a registry, an API server or a profile could send to the one who sits before a terminal.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <pty.h>
#include <unistd.h>
#include <utmp.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "cli/program_testing.h"
#include "testkit/peer.h"
#include "base/banned.h"

#define EVIL_JSON "\\u001b]0;owned\\u0007\\u001b[2J\\u009b31m\\u007f" // escaped, as JSON has it
#define EVIL_TEXT                                                                                            \
    "\x1b]0;owned\a\x1b[2J\xc2\x9b"                                                                          \
    "31m\x7f"
#define ITEM                                                                                                 \
    "{\"id\":\"" EVIL_JSON "\",\"service\":\"" EVIL_JSON "\",\"type\":\"" EVIL_JSON                          \
    "\",\"pod\":\"" EVIL_JSON "\",\"labels\":{\"" EVIL_JSON "\":\"" EVIL_JSON "\"},\"types\":[\"" EVIL_JSON  \
    "\",null,7]}"

static const struct kp_step *json(struct kp_peer *peer, int status, const char *text)
{
    return kp_peer_answer(peer, status, "application/json", text, strlen(text));
}

static const struct kp_step *evil(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    (void)user;
    if (strstr(request->target, "service=refused"))
        return json(peer, 403, "{\"error\":{\"reason\":\"x\",\"message\":\"" EVIL_JSON "\"}}");
    if (kp_streq(request->method, "POST"))
        return json(peer, 201, ITEM);
    if (strstr(request->target, "/top"))
        return kp_peer_answer(peer, 200, "text/plain", EVIL_TEXT "\n", sizeof EVIL_TEXT);
    return json(
        peer, 200, "{\"kind\":\"\xc2\x9b\x7f\",\"items\":[" ITEM ",null,7,\"x\",[]],\"cursor\":\"\"}");
}

// What the program prints on a terminal.
static char *see(const char *const *words)
{
    int master;
    char *argv[32] = {kp_strdup("kubectl-pprof")};
    struct kp_strbuf seen;
    char bytes[4096];
    kp_strbuf_init(&seen, 1u << 20);
    for (size_t i = 0; words[i]; i++)
        argv[i + 1] = kp_strdup(words[i]);
    pid_t pid = forkpty(&master, NULL, NULL, NULL);
    if (pid == 0) {
        execv(KP_PROGRAM, argv);
        _exit(127);
    }
    for (ssize_t n; (n = read(master, bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR);)
        kp_strbuf_add(&seen, bytes, n > 0 ? (size_t)n : 0);
    close(master);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    for (size_t i = 0; i < KP_COUNT(argv); i++)
        kp_free(argv[i]);
    return kp_strbuf_take(&seen, NULL);
}

static void assert_harmless(const char *seen, const char *words)
{
    for (const char *p = seen; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if ((c < 0x20 && strchr("\r\n\t", c) == NULL) || c == 0x7f ||
            (c == 0xc2 && (unsigned char)p[1] < 0xa0))
            fail_msg("%s prints the control character %#x:\n%s", words, c, seen);
    }
}

static void test_no_escape_sequence_reaches_a_terminal(void **state)
{
    static const char cpu[] = KP_TESTDATA "/../../pkg/profile/testdata/corpus/etcd-cpu.pb.gz";
    static const char *const rows[][6] = {{"get", "profiles"}, {"get", "profiles", "--show-labels"},
        {"get", "services", "-o", "wide"}, {"get", "types"}, {"get", "targets", "-o", "wide"},
        {"get", "profiles", "-o", "json"}, {"get", "profiles", "-o", "yaml"},
        {"get", "profiles", "-o", "name"}, {"get", "profiles", "-o", "jsonpath={.items[*]}"},
        {"get", "profiles", "-o", "jsonpath={.items[*].id}"}, {"top", "checkout", "--by", "label=k8s.pod"},
        {"load", cpu, "--service", "a"}, {"load", cpu, "--service", "refused"}};
    struct kp_peer *peer = kp_peer_start(evil, NULL);
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        const char *words[12] = {0};
        size_t n = 0;
        for (; n < KP_COUNT(rows[i]) && rows[i][n]; n++)
            words[n] = rows[i][n];
        words[n] = "--registry";
        words[n + 1] = kp_peer_url(peer);
        kp_auto_free char *seen = see(words);
        assert_non_null(strstr(seen, "owned")); // it was shown
        assert_harmless(seen, rows[i][n - 1]);
    }
    kp_auto_free char *logged = see((const char *const[]){
        "get", "policies", "-v", "9", "-o", "json", "--server", kp_peer_url(peer), "-n", "shop", NULL});
    assert_non_null(strstr(logged, "Response Body: "));
    assert_harmless(logged, "-v 9");
    kp_peer_stop(peer);
}

// Who reads it as data gets it as it is.
static void test_pipes_get_every_byte(void **state)
{
    struct kp_peer *peer = kp_peer_start(evil, NULL);
    struct kp_ran ran = {0};
    (void)state;
    kp_run(&ran, "get", "profiles", "-o", "jsonpath={.items[0].id}", "--registry", kp_peer_url(peer));
    assert_string_equal(ran.out, EVIL_TEXT);
    kp_ran_finish(&ran);
    kp_peer_stop(peer);
}

static int shell(const char *line)
{
    char *argv[] = {kp_strdup("sh"), kp_strdup("-c"), kp_strdup(line), NULL};
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        execv("/bin/sh", argv);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (size_t i = 0; i < 3; i++)
        kp_free(argv[i]);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

// ---- lists ----

static const struct kp_step *endless(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    (void)user;
    (void)request;
    return json(peer, 200, "{\"items\":[{\"id\":\"a\"}],\"cursor\":\"again\"}");
}

static void test_a_list_that_does_not_go_on(void **state)
{
    static const char *const words[] = {"profiles", "targets"};
    struct kp_peer *peer = kp_peer_start(endless, NULL);
    struct kp_ran ran = {0};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(words); i++) {
        kp_run(&ran, "get", words[i], "--registry", kp_peer_url(peer));
        assert_int_equal(ran.status, 1);
        assert_non_null(strstr(ran.err, "does not go on"));
    }
    kp_ran_finish(&ran);
    kp_peer_stop(peer);
}

static const struct kp_step *generous(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    (void)user;
    return strstr(request->target, "services")
               ? json(peer, 200, "{\"items\":[{\"service\":\"a\"},{\"service\":\"b\"},{\"service\":\"c\"}]}")
               : json(
                     peer, 200, "{\"items\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"}],\"cursor\":\"\"}");
}

static void test_limit_is_the_most_that_is_shown(void **state)
{
    static const char *const words[] = {"profiles", "services"};
    struct kp_peer *peer = kp_peer_start(generous, NULL);
    struct kp_ran ran = {0};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(words); i++) {
        kp_run(&ran, "get", words[i], "--limit", "2", "-o", "name", "--registry", kp_peer_url(peer));
        assert_int_equal(ran.status, 0);
        assert_string_equal(ran.out, i == 0 ? "profile.data.kube-pprof.dev/a\nprofile.data.kube-pprof.dev/b\n"
                                            : "service/a\nservice/b\n");
    }
    kp_ran_finish(&ran);
    kp_peer_stop(peer);
}

// A namespace is a part of paths: a kubeconfig of somebody else's may not lead elsewhere.
static void test_namespaces_are_names(void **state)
{
    static const char *const names[] = {"../../../api/v1/secrets?x=", "a/b", "a\r\nX: y", "A"};
    struct kp_peer *peer = kp_peer_start(generous, NULL);
    struct kp_ran ran = {0};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(names); i++) {
        kp_run(&ran, "get", "policies", "--server", kp_peer_url(peer), "-n", names[i]);
        assert_int_equal(ran.status, 2);
        assert_non_null(strstr(ran.err, "is no name of a namespace"));
    }
    assert_int_equal(kp_peer_requests(peer), 0);
    kp_ran_finish(&ran);
    kp_peer_stop(peer);
}

static const struct kp_step *page(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    (void)user;
    (void)request;
    return kp_peer_answer(peer, 200, "text/html", "<html>log in</html>", 19);
}

static void test_answers_that_are_no_json(void **state)
{
    static const char *const rows[][3] = {
        {"explain", "web"}, {"capture", "web"}, {"capture", "-A"}, {"status"}, {"get", "policies"}};
    struct kp_peer *peer = kp_peer_start(page, NULL);
    struct kp_ran ran = {0};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        const char *words[6] = {"--server", kp_peer_url(peer), rows[i][0], rows[i][1], rows[i][2]};
        kp_run_program(words, NULL, NULL, &ran);
        assert_int_equal(ran.status, 1);
        assert_string_not_equal(ran.err, "");
    }
    kp_ran_finish(&ran);
    kp_peer_stop(peer);
}

// A question that was cut would be another one.
static void test_no_question_is_cut(void **state)
{
    struct kp_peer *peer = kp_peer_start(generous, NULL);
    struct kp_ran ran = {0};
    kp_auto_free char *service = kp_alloc(100001);
    (void)state;
    memset(service, '%', 100000); // three bytes each
    service[100000] = '\0';
    kp_run(&ran, "get", "profiles", "--service", service, "--registry", kp_peer_url(peer));
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "ask for less"));
    kp_run(&ran, "get", "profiles", "--service", service, "--server", kp_peer_url(peer), "-n", "shop");
    assert_int_equal(ran.status, 1);
    kp_run(&ran, "capture", "-l", service, "--server", kp_peer_url(peer), "-n", "shop");
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "--selector is longer"));
    assert_int_equal(kp_peer_requests(peer), 0);
    kp_ran_finish(&ran);
    kp_peer_stop(peer);
}

// Flags of a command that would do nothing with what else was said.
static void test_flags_without_use_are_refused(void **state)
{
    static const char cpu[] = KP_TESTDATA "/../../pkg/profile/testdata/corpus/etcd-cpu.pb.gz";
    static const char *const rows[][7] = {{"capture", "web", "--service=a"},
        {"capture", "web", "--label=a=b"}, {"capture", "web", "--push", "--label=bad"},
        {"top", cpu, "--startup"}, {"flame", cpu, "--normalize"}, {"diff", cpu, cpu, "--format=svg", "--cum"},
        {"diff", cpu, cpu, "--format=folded", "-o", "json"},
        {"diff", cpu, cpu, "--format=svg", "--no-headers"}, {"status", "-o", "name"},
        {"explain", "web", "-o", "wide"}, {"policy", "lint", "-", "-o", "name"}};
    struct kp_ran ran = {0};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        const char *words[8] = {0};
        memcpy(words, rows[i], sizeof rows[i]);
        kp_run_program(words, NULL, NULL, &ran);
        if (ran.status != 2)
            fail_msg("%s %s: status %d\n%s", rows[i][0], rows[i][2], ran.status, ran.err);
    }
    kp_ran_finish(&ran);
}

// Else a connection would get the number of the closed file, and what is printed with it.
static void test_standard_files_that_are_closed(void **state)
{
    static const struct {
        const char *closed;
        int status; // what was printed could not be
    } rows[] = {{"<&-", 0}, {">&-", 1}, {"2>&-", 0}};
    struct kp_peer *peer = kp_peer_start(generous, NULL);
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        kp_auto_free char *line =
            kp_asprintf("'" KP_PROGRAM "' get profiles -o json --registry %s >/dev/null %s",
                kp_peer_url(peer), rows[i].closed);
        assert_int_equal(shell(line), rows[i].status);
    }
    kp_peer_stop(peer);
}

static void test_a_reader_that_has_enough_is_no_error(void **state)
{
    struct kp_peer *peer = kp_peer_start(generous, NULL);
    char *dir = kp_test_tmpdir();
    kp_auto_free char *err = kp_asprintf("%s/err", dir);
    int status;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        int ends[2];
        if (pipe(ends) != 0 || dup2(ends[1], 1) != 1 || dup2(open(err, O_WRONLY | O_CREAT, 0600), 2) != 2)
            _exit(127);
        close(ends[0]);
        execl(KP_PROGRAM, "kubectl-pprof", "get", "profiles", "-o", "json", "--registry", kp_peer_url(peer),
            (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    kp_auto_free char *said = kp_test_read_file(err, NULL);
    assert_string_equal(said, "");
    kp_test_rmdir(dir);
    kp_peer_stop(peer);
}

// Flags that would do nothing are not taken.
static void test_flags_of_profiles_do_not_go_with_other_things(void **state)
{
    static const char *const rows[][3] = {{"services", "--type", "cpu"}, {"types", "--selector", "a=b"},
        {"targets", "--from", "-1h"}, {"services", "--to", "now"}, {"targets", "--revision", "a"},
        {"policies", "--service", "a"}, {"profiles", "--type", "cpu,heap"}};
    struct kp_peer *peer = kp_peer_start(generous, NULL);
    struct kp_ran ran = {0};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        kp_auto_free char *flag = kp_asprintf("%s=%s", rows[i][1], rows[i][2]);
        kp_run(&ran, "get", rows[i][0], flag, "--registry", kp_peer_url(peer));
        assert_int_equal(ran.status, 2);
        assert_non_null(strstr(ran.err, rows[i][1]));
    }
    assert_int_equal(kp_peer_requests(peer), 0);
    kp_ran_finish(&ran);
    kp_peer_stop(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_escape_sequence_reaches_a_terminal),
        cmocka_unit_test(test_pipes_get_every_byte),
        cmocka_unit_test(test_a_list_that_does_not_go_on),
        cmocka_unit_test(test_limit_is_the_most_that_is_shown),
        cmocka_unit_test(test_standard_files_that_are_closed),
        cmocka_unit_test(test_answers_that_are_no_json),
        cmocka_unit_test(test_no_question_is_cut),
        cmocka_unit_test(test_a_reader_that_has_enough_is_no_error),
        cmocka_unit_test(test_namespaces_are_names),
        cmocka_unit_test(test_flags_without_use_are_refused),
        cmocka_unit_test(test_flags_of_profiles_do_not_go_with_other_things),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
