// The job owns the process: it starts it, reads it and waits for it. The loop's side can only tell it to
// stop, through an eventfd.
#include "kube/plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aio/job.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/strbuf.h"
#include "base/text.h"

#include "base/banned.h"

enum {
    MAX_OUTPUT = KP_MIB,
    TIME_LIMIT_MS = 60 * 1000,
    GRACE_MS = 1000, // between SIGTERM and SIGKILL
    LOOK_MS = 20,
};

struct kp_plugin_run {
    char *command, *hint, *api_version;
    char **argv, **envp;
    bool interactive;
    int stop_fd;
    struct kp_exec_credential credential;
    struct kp_error err;
    kp_plugin_done_fn on_done; // NULL = abandoned
    void *user;
};

// ---- before ----

// What the plugin is given goes before what we were given: the first of a name counts.
static char **make_environment(const struct kp_kube_exec *exec, const char *info)
{
    size_t inherited = 0, n = 0;
    while (environ[inherited])
        inherited++;
    char **envp = KP_NEW_ARRAY(char *, inherited + exec->n_env + 2);
    for (size_t i = exec->n_env; i-- > 0;) // of the plugin's own the last
        envp[n++] = kp_asprintf("%s=%s", exec->env[i].name, exec->env[i].value);
    envp[n++] = kp_asprintf("KUBERNETES_EXEC_INFO=%s", info);
    size_t own = n;
    for (size_t i = 0; i < inherited; i++) {
        size_t name = strcspn(environ[i], "=") + 1;
        bool replaced = false;
        for (size_t k = 0; k < own; k++)
            replaced |= strncmp(envp[k], environ[i], name) == 0;
        if (!replaced)
            envp[n++] = kp_strdup(environ[i]);
    }
    return envp;
}

static char **make_arguments(const struct kp_kube_exec *exec)
{
    size_t n = 0;
    while (exec->args && exec->args[n])
        n++;
    char **argv = KP_NEW_ARRAY(char *, n + 2);
    argv[0] = kp_strdup(exec->command);
    for (size_t i = 0; i < n; i++)
        argv[i + 1] = kp_strdup(exec->args[i]);
    return argv;
}

static void texts_free(char **texts)
{
    for (size_t i = 0; texts[i]; i++)
        kp_free(texts[i]);
    kp_free(texts);
}

static void run_free(struct kp_plugin_run *run)
{
    kp_exec_credential_finish(&run->credential);
    texts_free(run->argv);
    texts_free(run->envp);
    kp_free(run->command);
    kp_free(run->hint);
    kp_free(run->api_version);
    close(run->stop_fd);
    kp_free(run);
}

// ---- in the job ----

static int spawn_failed(struct kp_plugin_run *run, int number)
{
    char hint[160];
    if (number != ENOENT)
        return kp_fail_errno(&run->err, number, "cannot run exec plugin '%s'", run->command);
    return kp_fail(&run->err, KP_NOT_FOUND, "exec plugin '%s' is not installed%s%s", run->command,
        run->hint ? ": " : "",
        run->hint ? kp_printable(hint, sizeof hint, run->hint, strlen(run->hint)) : "");
}

static int spawn(struct kp_plugin_run *run, int output, pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    if (!run->interactive) { // a group of its own can be ended whole, but must not read the terminal
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawnattr_setpgroup(&attributes, 0);
        flags |= POSIX_SPAWN_SETPGROUP;
    }
    posix_spawnattr_setflags(&attributes, flags);
    int number = posix_spawnp(ret_pid, run->command, &files, &attributes, run->argv, run->envp);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return number == 0 ? KP_OK : spawn_failed(run, number);
}

static bool told_to_stop(const struct kp_plugin_run *run, int wait_ms)
{
    struct pollfd stop = {run->stop_fd, POLLIN, 0};
    return poll(&stop, 1, wait_ms) > 0;
}

static int timed_out(struct kp_plugin_run *run)
{
    return kp_fail(
        &run->err, KP_TIMEOUT, "exec plugin '%s' took longer than %d s", run->command, TIME_LIMIT_MS / 1000);
}

static int read_output(struct kp_plugin_run *run, int fd, int64_t until_ms, struct kp_strbuf *out)
{
    for (;;) {
        char piece[16384];
        int64_t left = until_ms - kp_mono_ms();
        struct pollfd fds[] = {{fd, POLLIN, 0}, {run->stop_fd, POLLIN, 0}};
        int n = run->interactive ? poll(fds, 2, -1) : left > 0 ? poll(fds, 2, (int)left) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            return timed_out(run);
        if (fds[1].revents)
            return kp_fail(&run->err, KP_CANCELED, "exec plugin '%s' was canceled", run->command);
        ssize_t len = read(fd, piece, sizeof piece);
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            return KP_OK;
        kp_strbuf_add(out, piece, (size_t)len);
        explicit_bzero(piece, (size_t)len);
        if (out->overflow)
            return kp_fail(
                &run->err, KP_LIMIT, "exec plugin '%s' printed more than %d bytes", run->command, MAX_OUTPUT);
    }
}

// Waits for the process; false when it is still there at the end.
static bool reap(const struct kp_plugin_run *run, pid_t pid, int64_t until_ms, bool may_stop, int *ret_status)
{
    for (;;) {
        pid_t got = waitpid(pid, ret_status, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR))
            return true;
        if (kp_mono_ms() >= until_ms)
            return false;
        if (may_stop && told_to_stop(run, LOOK_MS))
            return false;
        if (!may_stop)
            poll(NULL, 0, LOOK_MS);
    }
}

static void kill_it(const struct kp_plugin_run *run, pid_t pid)
{
    int status;
    pid_t whom = run->interactive ? pid : -pid;
    kill(whom, SIGTERM);
    if (reap(run, pid, kp_mono_ms() + GRACE_MS, false, &status))
        return;
    kill(whom, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
}

static void end_and_read(struct kp_plugin_run *run, pid_t pid, int64_t until_ms, const struct kp_strbuf *out)
{
    int status = 0;
    struct kp_error own = {0};
    if (run->err.code == KP_OK && !reap(run, pid, run->interactive ? INT64_MAX : until_ms, true, &status))
        timed_out(run);
    if (run->err.code != KP_OK) {
        kill_it(run, pid);
        return;
    }
    if (WIFSIGNALED(status))
        kp_fail(&run->err, KP_UNAUTHENTICATED, "exec plugin '%s' was ended by signal %d", run->command,
            WTERMSIG(status));
    else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        kp_fail(&run->err, KP_UNAUTHENTICATED, "exec plugin '%s' failed with status %d", run->command,
            WEXITSTATUS(status));
    else if (kp_exec_credential_parse(out->data, out->len, run->api_version, &run->credential, &own) < 0)
        kp_fail(&run->err, own.code, "exec plugin '%s': %s", run->command, own.text);
}

static void work(void *arg)
{
    struct kp_plugin_run *run = arg;
    struct kp_strbuf out;
    pid_t pid = 0;
    int ends[2];
    if (run->err.code != KP_OK)
        return;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        kp_fail_errno(&run->err, errno, "cannot run exec plugin '%s'", run->command);
        return;
    }
    int64_t until_ms = kp_mono_ms() + TIME_LIMIT_MS;
    int code = spawn(run, ends[1], &pid);
    close(ends[1]);
    kp_strbuf_init(&out, MAX_OUTPUT);
    if (code == KP_OK) {
        (void)!read_output(run, ends[0], until_ms, &out);
        end_and_read(run, pid, until_ms, &out);
    }
    close(ends[0]);
    explicit_bzero(out.data, out.len);
    kp_strbuf_finish(&out);
}

// ---- the loop's side ----

static void done(void *arg)
{
    struct kp_plugin_run *run = arg;
    if (run->on_done)
        run->on_done(run->user, &run->credential, run->err.code != KP_OK ? &run->err : NULL);
    run_free(run);
}

struct kp_plugin_run *kp_plugin_start(struct kp_loop *loop, const struct kp_kube_exec *exec, bool terminal,
    kp_plugin_done_fn on_done, void *user)
{
    struct kp_plugin_run *run = KP_NEW(struct kp_plugin_run);
    run->interactive = terminal && exec->interactive_mode != KP_KUBE_EXEC_NEVER;
    run->command = kp_strdup(exec->command);
    run->hint = kp_strdup(exec->install_hint);
    run->api_version = kp_strdup(exec->api_version);
    run->argv = make_arguments(exec);
    kp_auto_free char *info = kp_exec_info(exec, run->interactive);
    run->envp = make_environment(exec, info);
    run->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    run->on_done = on_done;
    run->user = user;
    if (exec->interactive_mode == KP_KUBE_EXEC_ALWAYS && !terminal)
        kp_fail(&run->err, KP_INVALID, "exec plugin '%s' needs somebody to talk to: stdin is no terminal",
            run->command);
    else if (run->stop_fd < 0)
        kp_fail_errno(&run->err, errno, "cannot run exec plugin '%s'", run->command);
    kp_job_run(loop, KP_JOB_LONG, work, done, run);
    return run;
}

void kp_plugin_abandon(struct kp_plugin_run *run)
{
    run->on_done = NULL;
    (void)!eventfd_write(run->stop_fd, 1);
}
