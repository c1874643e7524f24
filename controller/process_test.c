// The program as a process: what it says, how it takes signals, that it lives on while the API server is
// away.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "controller/process_fixture.h"
#include "testkit/peer.h"
#include "testkit/testkit.h"
#include "base/banned.h"

static void test_words_on_the_command_line(void **state)
{
    static const struct {
        const char *argv[5];
        int code;
        const char *says;
    } rows[] = {
        {{"kube-pprof", NULL}, 2, "usage: kube-pprof COMMAND"},
        {{"kube-pprof", "help", NULL}, 0, "registry"},
        {{"kube-pprof", "version", NULL}, 0, "kube-pprof " KP_VERSION},
        {{"kube-pprof", "regsitry", NULL}, 2, "unknown command 'regsitry'"},
        {{"kube-pprof", "controller", "--help", NULL}, 0, "KUBE_PPROF_SPOOL_BYTES, default 512Mi"},
        {{"kube-pprof", "registry", "--help", NULL}, 0, "KUBE_PPROF_DATA_DIR, default kube-pprof-data"},
        {{"kube-pprof", "registry", "--listen=:0", NULL}, 2, "--insecure-allow-everyone"},
        {{"kube-pprof", "registry", "vreify", NULL}, 2, "unknown command 'vreify': there are verify"},
        {{"kube-pprof", "registry", "--retention=5x", NULL}, 2, "90s, 1h30m or 5d"},
        {{"kube-pprof", "controller", "--kubeconfig=/nowhere/config", NULL}, 1, "/nowhere/config"},
        {{"kube-pprof", "controller", "--min-interval=soon", NULL}, 2, "--min-interval"},
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct process p;
        start(&p, rows[i].argv);
        int code = ends(&p);
        if (code != rows[i].code || strstr(p.said, rows[i].says) == NULL)
            fail_msg("row %zu ended with %d and said:\n%s", i, code, p.said);
    }
}

static void test_the_registry_takes_signals(void **state)
{
    char *dir = kp_test_tmpdir();
    struct process p, second;
    (void)state;
    kp_auto_free char *data = kp_asprintf("--data-dir=%s/data", dir),
                      *config = kp_asprintf("%s/config.yaml", dir);
    kp_auto_free char *socket_path = kp_asprintf("%s/s", dir);
    kp_auto_free char *flag = kp_asprintf("--config=%s", config),
                      *listen_flag = kp_asprintf("--listen=unix:%s", socket_path);
    const char *argv[] = {"kube-pprof", "registry", data, flag, listen_flag, NULL};
    write_file(config, "log-level: info\n");
    start(&p, argv);
    until_it_is_well(&p, socket_path);
    assert_null(strstr(p.said, "\"msg\":\"request\""));
    write_file(config, "log-level: debug\n");
    kill(p.pid, SIGHUP);
    until_it_says(&p, "log level read again");
    assert_int_equal(ask(socket_path, "/healthz"), 200);
    until_it_says(&p, "\"msg\":\"request\""); // only said at debug
    write_file(config, "log-level: loud\n");
    kill(p.pid, SIGHUP);
    until_it_says(&p, "the configuration is not taken over");
    write_file(config, "log-level: info\n");
    start(&second, argv);
    assert_int_equal(ends(&second), 1);
    assert_non_null(strstr(second.said, "is in use by process"));
    kill(p.pid, SIGTERM);
    until_it_says(&p, "stopping");
    assert_int_equal(ends(&p), 0);
    kp_test_rmdir(dir);
}

// With a listener for its health it stays and says why, until the folder can be opened.
static void test_the_registry_waits_for_its_folder(void **state)
{
    char *dir = kp_test_tmpdir();
    char answer[2048];
    struct process first, p;
    (void)state;
    kp_auto_free char *data = kp_asprintf("--data-dir=%s/data", dir);
    kp_auto_free char *format = kp_asprintf("%s/data/format", dir);
    kp_auto_free char *other = kp_asprintf("%s/o", dir), *socket_path = kp_asprintf("%s/s", dir),
                      *health = kp_asprintf("%s/h", dir);
    kp_auto_free char *listen_other = kp_asprintf("--listen=unix:%s", other),
                      *listen_flag = kp_asprintf("--listen=unix:%s", socket_path),
                      *health_flag = kp_asprintf("--metrics-listen=unix:%s", health);
    start(&first, (const char *const[]){"kube-pprof", "registry", data, listen_other, NULL});
    until_it_is_well(&first, other);
    const char *argv[] = {"kube-pprof", "registry", data, listen_flag, health_flag, NULL};
    start(&p, argv);
    until_it_says(&p, "is in use by process");
    until_it_is_well(&p, health);
    assert_int_equal(ask_for(health, "/readyz", "", answer, sizeof answer), 503);
    assert_non_null(strstr(answer, "[-]store failed: data directory '"));
    assert_int_equal(ask_for(health, "/metrics", "", answer, sizeof answer), 200);
    kill(first.pid, SIGTERM);
    assert_int_equal(ends(&first), 0);
    until_it_says(&p, "store open");
    until_it_is_well(&p, socket_path);
    until_it_is_well(&p, health); // it listens anew
    assert_int_equal(ask(health, "/readyz"), 200);
    assert_int_equal(ask(health, "/metrics"), 200);
    kill(p.pid, SIGTERM);
    assert_int_equal(ends(&p), 0);
    write_file(format, "kube-pprof data 2 by 9.8.7 f3d9b47b\n");
    start(&p, argv);
    until_it_says(&p, "in format 2 of kube-pprof 9.8.7");
    until_it_is_well(&p, health);
    assert_int_equal(ask_for(health, "/readyz", "", answer, sizeof answer), 503);
    assert_non_null(strstr(answer, "start the newer one again"));
    kill(p.pid, SIGTERM);
    assert_int_equal(ends(&p), 0); // asked to end, it does
    assert_null(strstr(p.said, "cannot start"));
    start(&p, argv);
    until_it_says(&p, "in format 2 of kube-pprof 9.8.7");
    assert_int_equal(unlink(format), 0);
    until_it_says(&p, "listening");
    kill(p.pid, SIGTERM);
    assert_int_equal(ends(&p), 0);
    kp_test_rmdir(dir);
}

static void test_the_controller_waits_for_the_api_server(void **state)
{
    char *dir = kp_test_tmpdir();
    struct process p;
    (void)state;
    kp_auto_free char *kubeconfig = kp_asprintf("%s/kubeconfig", dir),
                      *socket_path = kp_asprintf("%s/s", dir);
    kp_auto_free char *flag = kp_asprintf("--kubeconfig=%s", kubeconfig),
                      *listen_flag = kp_asprintf("--listen=unix:%s", socket_path),
                      *spool = kp_asprintf("--spool-dir=%s/spool", dir);
    kp_auto_free char *text =
        kp_asprintf("current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
                    "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:%d'}}]\n"
                    "users: [{name: u, user: {}}]\n",
            kp_test_closed_port());
    write_file(kubeconfig, text);
    const char *argv[] = {"kube-pprof", "controller", flag, listen_flag, spool, "--shutdown-grace=1s", NULL};
    start(&p, argv);
    until_it_says(&p, "cannot"); // reach the API server
    until_it_says(&p, "127.0.0.1");
    until_it_says(&p, "what is never scraped cannot be asked for, trying again");
    until_it_is_well(&p, socket_path);
    assert_int_equal(ask(socket_path, "/readyz"), 503); // no caches
    assert_int_equal(ask(socket_path, "/metrics"), 200);
    kill(p.pid, SIGHUP);
    until_it_says(&p, "read the log level again");
    kill(p.pid, SIGTERM);
    until_it_says(&p, "stopping");
    assert_int_equal(ends(&p), 0);
    assert_non_null(strstr(p.said, "controller stops"));
    kp_test_rmdir(dir);
}

// Its child is process 1 of a namespace of its own, as in a container.
static pid_t fork_first(void)
{
    return (pid_t)syscall(SYS_clone, (unsigned long)CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
}

// Opens a pipe that somebody reads.
static int open_when_read(const char *path)
{
    int fd = -1;
    for (int64_t until = kp_mono_ms() + PATIENCE_MS; fd < 0 && kp_mono_ms() < until; usleep(1000))
        fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

// Its start is held by a configuration that does not come.
static void end_early(const char *command, int signum, pid_t (*make)(void))
{
    char *dir = kp_test_tmpdir();
    struct process p;
    kp_auto_free char *config = kp_asprintf("%s/config", dir), *flag = kp_asprintf("--config=%s", config);
    assert_int_equal(mkfifo(config, 0600), 0);
    start_by(&p, (const char *const[]){"kube-pprof", command, flag, NULL}, make);
    int fd = open_when_read(config);
    kill(p.pid, signum);
    assert_int_equal(ends(&p), 128 + signum);
    close(fd);
    kp_test_rmdir(dir);
}

static void test_told_to_end_while_it_starts(void **state)
{
    (void)state;
    end_early("controller", SIGTERM, fork);
    end_early("registry", SIGINT, fork);
    pid_t first = fork_first(); // needs a right that not everybody has
    if (first == 0)
        _exit(0);
    if (first < 0)
        return;
    assert_int_equal(waitpid(first, NULL, 0), first);
    end_early("controller", SIGTERM, fork_first);
    end_early("registry", SIGTERM, fork_first);
    end_early("controller", SIGINT, fork_first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_on_the_command_line),
        cmocka_unit_test(test_told_to_end_while_it_starts),
        cmocka_unit_test(test_the_registry_takes_signals),
        cmocka_unit_test(test_the_registry_waits_for_its_folder),
        cmocka_unit_test(test_the_controller_waits_for_the_api_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
