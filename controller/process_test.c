// The program as a process: what it says, how it takes signals, that it lives on while the API server is
// away.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "testkit/peer.h"
#include "testkit/testkit.h"
#include "base/banned.h"

#define PATIENCE_MS 60000

struct process {
    pid_t pid;
    int fd; // its output, both streams
    char said[65536];
    size_t len;
};

static void start(struct process *p, const char *const *argv)
{
    int fds[2];
    memset(p, 0, sizeof *p);
    assert_int_equal(pipe(fds), 0);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], STDOUT_FILENO);
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        execv(KP_PROGRAM, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(fds[1]);
    p->fd = fds[0];
}

// false at the end of its output, or when patience is over
static bool listen_to(struct process *p, int64_t until)
{
    struct pollfd poll_fd = {.fd = p->fd, .events = POLLIN};
    int64_t left = until - kp_mono_ms();
    if (left <= 0 || poll(&poll_fd, 1, (int)left) <= 0 || p->len + 1 >= sizeof p->said)
        return false;
    ssize_t n = read(p->fd, p->said + p->len, sizeof p->said - 1 - p->len);
    if (n <= 0)
        return false;
    p->len += (size_t)n;
    p->said[p->len] = '\0';
    return true;
}

static void until_it_says(struct process *p, const char *text)
{
    int64_t until = kp_mono_ms() + PATIENCE_MS;
    while (strstr(p->said, text) == NULL)
        if (!listen_to(p, until)) {
            kill(p->pid, SIGKILL);
            fail_msg("it never said '%s' but:\n%s", text, p->said);
        }
}

static int ends(struct process *p)
{
    int status = 0;
    int64_t until = kp_mono_ms() + PATIENCE_MS;
    while (listen_to(p, until))
        ;
    if (kp_mono_ms() >= until)
        kill(p->pid, SIGKILL);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    close(p->fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void write_file(const char *path, const char *text)
{
    assert_int_equal(kp_file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
}

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

// One request to a socket in the file system; the answer's status.
static int ask(const char *path, const char *target)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char answer[2048] = "";
    size_t len = 0;
    kp_copy(address.sun_path, sizeof address.sun_path, path);
    kp_auto_free char *request =
        kp_asprintf("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", target);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, request, strlen(request), MSG_NOSIGNAL) > 0)
        for (ssize_t n;
             len + 1 < sizeof answer && (n = recv(fd, answer + len, sizeof answer - 1 - len, 0)) > 0;)
            len += (size_t)n;
    close(fd);
    return len > 12 ? (int)strtol(answer + 9, NULL, 10) : 0;
}

static void until_it_is_well(struct process *p, const char *socket_path)
{
    for (int64_t until = kp_mono_ms() + PATIENCE_MS; ask(socket_path, "/healthz") != 200;) {
        if (kp_mono_ms() > until) {
            kill(p->pid, SIGKILL);
            fail_msg("/healthz is not served; it said:\n%s", p->said);
        }
        listen_to(p, kp_mono_ms() + 100);
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
    until_it_says(&p, "service ranges cannot be listed, trying again");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_on_the_command_line),
        cmocka_unit_test(test_the_registry_takes_signals),
        cmocka_unit_test(test_the_controller_waits_for_the_api_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
