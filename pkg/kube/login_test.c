// Exec plugins: real programs (shell scripts) run by a client that talks to a scripted API server.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "kube/client_fixture.h"
#include "kube/listing.h"
#include "kube/upgrade.h"
#include "testkit/testkit.h"

#include "base/banned.h"

#define V1 "client.authentication.k8s.io/v1"

static char v1[] = V1;

struct bench {
    struct fixture f;
    char *dir, *script;
    struct kp_kube_pair env[2];
    struct kp_kube_exec exec;
};

// body: of a script that runs in its own folder, with a line in `runs` for each run.
static void bench_begin(struct bench *b, const char *body, const struct peer_step *steps, size_t n)
{
    memset(b, 0, sizeof *b);
    b->dir = kp_test_tmpdir();
    b->script = kp_asprintf("%s/login", b->dir);
    kp_auto_free char *text =
        kp_asprintf("#!/bin/sh\ncd '%s'\necho run >>runs\nn=$(grep -c run runs)\n"
                    "token() { echo \"{\\\"kind\\\":\\\"ExecCredential\\\",\\\"apiVersion\\\":"
                    "\\\"" V1 "\\\",\\\"status\\\":{\\\"token\\\":\\\"$1\\\"$2}}\"; }\n%s\n",
            b->dir, body);
    struct kp_error err = {0};
    if (kp_file_write_atomic(b->script, text, strlen(text), 0700, &err) < 0)
        fail_msg("%s", err.text);
    b->exec = (struct kp_kube_exec){.api_version = v1, .command = b->script, .env = b->env};
    begin_as(&b->f, steps, n, (struct kp_kube_config){.exec = &b->exec}, 0);
}

static void bench_end(struct bench *b)
{
    end(&b->f);
    kp_test_rmdir(b->dir);
    kp_free(b->script);
}

static int runs(const struct bench *b)
{
    kp_auto_free char *path = kp_asprintf("%s/runs", b->dir);
    kp_auto_free char *text = NULL;
    size_t len = 0;
    if (kp_file_read(path, 1 << 16, &text, &len, NULL) < 0)
        return 0;
    return (int)(len / strlen("run\n"));
}

static void ask(struct bench *b, int code)
{
    b->f.answers = b->f.wanted = 0;
    start(&b->f, (struct kp_kube_request){.method = "GET", .path = "/x"});
    wait(&b->f);
    if (b->f.error.code != code)
        fail_msg("%d: %s", b->f.error.code, b->f.error.text);
}

static void test_one_run_for_all(void **state)
{
    (void)state;
    struct peer_step steps[6];
    for (size_t i = 0; i < KP_COUNT(steps); i++)
        steps[i] = (struct peer_step){"Authorization: Bearer t1\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE};
    struct bench b;
    bench_begin(&b, "token t$n", steps, KP_COUNT(steps));
    for (int i = 0; i < 5; i++)
        start(&b.f, (struct kp_kube_request){.method = i % 2 ? "POST" : "GET", .path = "/x"});
    wait(&b.f);
    assert_int_equal(b.f.error.code, KP_OK);
    ask(&b, KP_OK);
    assert_int_equal(runs(&b), 1);
    bench_end(&b);
}

#define REFUSED STATUS(401, "Unauthorized")

static void test_refused_token_is_renewed_once(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"Bearer t1\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE},
        {"Bearer t1\r\n", 401, NULL, REFUSED, 0, 0, PEER_WHOLE},
        {"Bearer t2\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE},
        {"Bearer t2\r\n", 401, NULL, REFUSED, 0, 0, PEER_WHOLE},
        {"Bearer t3\r\n", 401, NULL, REFUSED, 0, 0, PEER_WHOLE},
    };
    struct bench b;
    bench_begin(&b, "token t$n", steps, KP_COUNT(steps));
    ask(&b, KP_OK);
    ask(&b, KP_OK);
    assert_int_equal(runs(&b), 2);
    ask(&b, KP_UNAUTHENTICATED);
    assert_int_equal(runs(&b), 3);
    bench_end(&b);
}

static void test_many_refused_together_are_renewed_once(void **state)
{
    (void)state;
    struct peer_step steps[9];
    for (size_t i = 0; i < KP_COUNT(steps); i++)
        steps[i] = (struct peer_step){i < 5 ? "Bearer t1\r\n" : "Bearer t2\r\n", i > 0 && i < 5 ? 401 : 200,
            NULL, "{}", 0, 0, PEER_WHOLE};
    struct bench b;
    bench_begin(&b, "token t$n", steps, KP_COUNT(steps));
    ask(&b, KP_OK);
    b.f.answers = b.f.wanted = 0;
    for (int i = 0; i < 4; i++)
        start(&b.f, (struct kp_kube_request){.method = "GET", .path = "/x", .max_tries = 1});
    wait(&b.f);
    assert_int_equal(b.f.error.code, KP_OK);
    assert_int_equal(runs(&b), 2);
    bench_end(&b);
}

static void test_expired_is_got_again_before_asking(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {{"Bearer t1\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE},
        {"Bearer t2\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE},
        {"Bearer t2\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE}};
    struct bench b;
    bench_begin(&b,
        "case $n in 1) e=2020-01-01T00:00:00Z;; *) e=2999-01-01T00:00:00Z;; esac\n"
        "token t$n \",\\\"expirationTimestamp\\\":\\\"$e\\\"\"",
        steps, KP_COUNT(steps));
    for (int i = 0; i < 3; i++)
        ask(&b, KP_OK);
    assert_int_equal(runs(&b), 2);
    bench_end(&b);
}

static bool on_object(void *user, const char *json, size_t len)
{
    (void)user;
    (void)json;
    (void)len;
    return true;
}

static void on_listed(void *user, const char *version, const struct kp_error *err)
{
    struct fixture *f = user;
    (void)version;
    on_done(f, 200, NULL, err);
}

static void test_lists_log_in_too(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {{"Bearer t1\r\n", 401, NULL, REFUSED, 0, 0, PEER_WHOLE},
        {"Bearer t2\r\n", 200, NULL, "{\"items\":[]}", 0, 0, PEER_WHOLE}};
    struct bench b;
    bench_begin(&b, "token t$n", steps, KP_COUNT(steps));
    b.f.wanted = 1;
    const struct kp_kube_listing_request request = {
        .path = "/x", .on_object = on_object, .on_done = on_listed, .user = &b.f};
    assert_int_equal(kp_kube_list_each(b.f.kube, &request, NULL, NULL), KP_OK);
    wait(&b.f);
    assert_int_equal(b.f.error.code, KP_OK);
    assert_int_equal(runs(&b), 2);
    bench_end(&b);
}

static void on_upgraded(void *user)
{
    struct fixture *f = user;
    on_done(f, 101, NULL, NULL);
}

static void on_nothing(void *user)
{
    (void)user;
}

static void on_failed(void *user, const struct kp_error *err)
{
    on_done(user, 0, NULL, err);
}

static void on_exchange(void *user, const struct kp_kube_exchange *exchange)
{
    (void)exchange;
    ++*(int *)user;
}

// Also while every request is written down.
static void test_upgrades_log_in_too(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {{"Bearer t1\r\n", 401, NULL, REFUSED, 0, 0, PEER_WHOLE},
        {"Bearer t2\r\n", 101, "Connection: Upgrade\r\nUpgrade: websocket\r\n", "", 0, 0, PEER_WHOLE}};
    struct bench b;
    int exchanges = 0;
    struct kp_kube_upgrade *upgrade = NULL, *early = NULL;
    bench_begin(&b, "token t$n", steps, KP_COUNT(steps));
    kp_kube_destroy(b.f.kube);
    kp_auto_free char *server = kp_asprintf("http://127.0.0.1:%d", b.f.peer->port);
    b.f.kube = kp_kube_create(b.f.loop, &(struct kp_kube_config){.server = server, .exec = &b.exec},
        &(struct kp_kube_options){.on_exchange = on_exchange, .exchange_user = &exchanges});
    const struct kp_kube_upgrade_request request = {.path = "/x",
        .protocol = "websocket",
        .on_upgraded = on_upgraded,
        .on_ready = on_nothing,
        .on_failed = on_failed,
        .user = &b.f};
    b.f.wanted = 1;
    assert_int_equal(kp_kube_upgrade_start(b.f.kube, &request, &upgrade, NULL), KP_OK);
    assert_int_equal(kp_kube_upgrade_start(b.f.kube, &request, &early, NULL), KP_OK);
    kp_kube_upgrade_close(early); // while it waits for the plugin
    wait(&b.f);
    assert_int_equal(b.f.status, 101);
    assert_int_equal(runs(&b), 2);
    assert_int_equal(exchanges, 2);
    kp_kube_upgrade_close(upgrade);
    bench_end(&b);
}

// ---- what the plugin sees ----

static void test_it_can_be_shown_to_others(void **state)
{
    (void)state;
    struct peer_step steps[] = {{"Authorization: Bearer t1\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE}};
    struct bench b;
    struct kp_http_tls tls;
    bench_begin(&b, "token t$n", steps, KP_COUNT(steps));
    assert_null(kp_kube_identity(b.f.kube, &tls));
    ask(&b, KP_OK);
    assert_string_equal(kp_kube_identity(b.f.kube, &tls), "Authorization: Bearer t1");
    assert_null(tls.cert_pem);
    bench_end(&b);
}

static void test_environment_and_arguments(void **state)
{
    (void)state;
    static const struct peer_step step = {
        "Bearer a-b--mine-kept-null\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE};
    struct bench b;
    char *args[] = {(char[]){"a"}, (char[]){"b"}, NULL};
    assert_int_equal(setenv("KP_TEST_REPLACED", "theirs", 1), 0);
    assert_int_equal(setenv("KP_TEST_KEPT", "kept", 1), 0);
    bench_begin(&b,
        "case $KUBERNETES_EXEC_INFO in *'\"interactive\":false'*) ;; *) exit 9;; esac\n"
        "in=$(cat)\n" // ends at once: /dev/null
        "token \"$1-$2-$in-$KP_TEST_REPLACED-$KP_TEST_KEPT-null\"",
        &step, 1);
    // what the fixture copied was without these
    kp_kube_destroy(b.f.kube);
    b.env[0] = (struct kp_kube_pair){(char[]){"KP_TEST_REPLACED"}, (char[]){"mine"}};
    b.exec.n_env = 1;
    b.exec.args = args;
    kp_auto_free char *server = kp_asprintf("http://127.0.0.1:%d", b.f.peer->port);
    b.f.kube = kp_kube_create(b.f.loop, &(struct kp_kube_config){.server = server, .exec = &b.exec}, NULL);
    ask(&b, KP_OK);
    unsetenv("KP_TEST_REPLACED");
    unsetenv("KP_TEST_KEPT");
    bench_end(&b);
}

static void test_not_beside_a_token(void **state)
{
    (void)state;
    static const struct peer_step step = {"Bearer own\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE};
    struct bench b;
    bench_begin(&b, "token t$n", &step, 1);
    kp_kube_destroy(b.f.kube);
    kp_auto_free char *server = kp_asprintf("http://127.0.0.1:%d", b.f.peer->port);
    b.f.kube = kp_kube_create(b.f.loop,
        &(struct kp_kube_config){.server = server, .exec = &b.exec, .token = (char[]){"own"}}, NULL);
    ask(&b, KP_OK);
    assert_int_equal(runs(&b), 0);
    bench_end(&b);
}

// ---- what goes wrong ----

static void test_plugins_that_fail(void **state)
{
    static const struct {
        const char *body, *says;
        int code;
    } rows[] = {
        {"exit 3", "failed with status 3", KP_UNAUTHENTICATED},
        {"kill -9 $$", "ended by signal 9", KP_UNAUTHENTICATED},
        {"echo hello", "not one JSON object", KP_INVALID},
        {"token", "neither a token", KP_INVALID},
        {"head -c 3000000 /dev/zero", "printed more than", KP_LIMIT},
        {"sleep 100 & head -c 3000000 /dev/zero; wait", "printed more than", KP_LIMIT},
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct bench b;
        bench_begin(&b, rows[i].body, NULL, 0);
        ask(&b, rows[i].code);
        if (!strstr(b.f.error.text, rows[i].says))
            fail_msg("'%s' does not say '%s'", b.f.error.text, rows[i].says);
        assert_non_null(strstr(b.f.error.text, b.script));
        ask(&b, rows[i].code); // and again
        assert_int_equal(runs(&b), 2);
        assert_int_equal(peer_seen(b.f.peer), 0);
        bench_end(&b);
    }
}

static void test_not_installed(void **state)
{
    (void)state;
    struct kp_kube_exec exec = {.api_version = v1,
        .command = (char[]){"kp-no-such-plugin"},
        .install_hint = (char[]){"get it\nfrom https://example.org\033[31m"}};
    struct fixture f;
    begin_as(&f, NULL, 0, (struct kp_kube_config){.exec = &exec}, 0);
    start(&f, (struct kp_kube_request){.method = "GET", .path = "/x"});
    wait(&f);
    assert_int_equal(f.error.code, KP_NOT_FOUND);
    assert_non_null(strstr(f.error.text, "exec plugin 'kp-no-such-plugin' is not installed: get it"));
    assert_non_null(strstr(f.error.text, "from https://example.org"));
    assert_null(strpbrk(f.error.text, "\n\033"));
    end(&f);
}

static void test_somebody_must_be_there(void **state)
{
    (void)state;
    struct kp_kube_exec exec = {
        .api_version = v1, .command = (char[]){"true"}, .interactive_mode = KP_KUBE_EXEC_ALWAYS};
    struct fixture f;
    begin_as(&f, NULL, 0, (struct kp_kube_config){.exec = &exec}, 0);
    start(&f, (struct kp_kube_request){.method = "GET", .path = "/x"});
    wait(&f);
    assert_int_equal(f.error.code, KP_INVALID);
    assert_non_null(strstr(f.error.text, "stdin is no terminal"));
    end(&f);
}

// ---- giving up ----

// A plugin that never ends, with a child of its own; gone tells when both are.
static const char endless[] = "echo $$ >pid\nsleep 1000 &\necho $! >child\nwait";

static pid_t pid_in(const struct bench *b, const char *name)
{
    kp_auto_free char *path = kp_asprintf("%s/%s", b->dir, name);
    bool never = false;
    for (int i = 0; i < 1000; i++) {
        kp_auto_free char *text = NULL;
        size_t len = 0;
        if (kp_file_read(path, 100, &text, &len, NULL) == KP_OK && len > 0 && text[len - 1] == '\n')
            return (pid_t)strtol(text, NULL, 10);
        (void)kp_loop_run_until(b->f.loop, &never, 10);
    }
    fail_msg("the plugin did not start");
    return 0;
}

static void assert_gone(pid_t pid)
{
    for (int i = 0; i < 1000 && kill(pid, 0) == 0; i++) {
        kp_auto_free char *path = kp_asprintf("/proc/%d/stat", (int)pid);
        kp_auto_free char *text = NULL;
        size_t len = 0;
        if (kp_file_read(path, 4096, &text, &len, NULL) < 0 || strstr(text, ") Z "))
            return; // nobody may be there to bury it
        usleep(10000);
    }
    assert_int_not_equal(kill(pid, 0), 0);
}

static void test_cancel_ends_the_plugin(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, endless, NULL, 0);
    struct kp_kube_call *one = start(&b.f, (struct kp_kube_request){.method = "GET", .path = "/x"});
    struct kp_kube_call *two = start(&b.f, (struct kp_kube_request){.method = "GET", .path = "/y"});
    struct kp_kube_listing *list;
    const struct kp_kube_listing_request request = {
        .path = "/x", .on_object = on_object, .on_done = on_listed, .user = &b.f};
    b.f.wanted++;
    assert_int_equal(kp_kube_list_each(b.f.kube, &request, &list, NULL), KP_OK);
    pid_t plugin = pid_in(&b, "pid"), child = pid_in(&b, "child");
    kp_kube_cancel(one);
    kp_kube_listing_cancel(list);
    assert_int_equal(kill(plugin, 0), 0); // somebody waits still
    kp_kube_cancel(two);
    assert_int_equal(b.f.answers, 0);
    wait(&b.f);
    assert_int_equal(b.f.error.code, KP_CANCELED);
    assert_gone(plugin);
    assert_gone(child);
    bench_end(&b);
}

static void test_destroy_ends_the_plugin(void **state)
{
    (void)state;
    struct bench b;
    struct kp_kube_listing *list;
    bench_begin(&b, endless, NULL, 0);
    start(&b.f, (struct kp_kube_request){.method = "GET", .path = "/x"});
    const struct kp_kube_listing_request request = {
        .path = "/x", .on_object = on_object, .on_done = on_listed, .user = &b.f};
    b.f.wanted += 2;
    assert_int_equal(kp_kube_list_each(b.f.kube, &request, NULL, NULL), KP_OK);
    assert_int_equal(kp_kube_list_each(b.f.kube, &request, &list, NULL), KP_OK);
    pid_t plugin = pid_in(&b, "pid");
    kp_kube_listing_cancel(list); // its end has not come when the client goes
    kp_kube_destroy(b.f.kube);
    b.f.kube = NULL;
    assert_int_equal(b.f.answers, 3);
    assert_int_equal(b.f.error.code, KP_CANCELED);
    kp_loop_destroy(b.f.loop);
    b.f.loop = NULL;
    assert_gone(plugin);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_run_for_all),
        cmocka_unit_test(test_refused_token_is_renewed_once),
        cmocka_unit_test(test_many_refused_together_are_renewed_once),
        cmocka_unit_test(test_expired_is_got_again_before_asking),
        cmocka_unit_test(test_lists_log_in_too),
        cmocka_unit_test(test_upgrades_log_in_too),
        cmocka_unit_test(test_it_can_be_shown_to_others),
        cmocka_unit_test(test_environment_and_arguments),
        cmocka_unit_test(test_not_beside_a_token),
        cmocka_unit_test(test_plugins_that_fail),
        cmocka_unit_test(test_not_installed),
        cmocka_unit_test(test_somebody_must_be_there),
        cmocka_unit_test(test_cancel_ends_the_plugin),
        cmocka_unit_test(test_destroy_ends_the_plugin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
