// The program as a process, for its tests. Include cmocka.h first.
#ifndef KP_CONTROLLER_PROCESS_FIXTURE_H
#define KP_CONTROLLER_PROCESS_FIXTURE_H

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

#define PATIENCE_MS 60000

struct process {
    pid_t pid;
    int fd; // its output, both streams
    char said[65536];
    size_t len;
};

// make: as fork.
static inline void start_by(struct process *p, const char *const *argv, pid_t (*make)(void))
{
    int fds[2];
    memset(p, 0, sizeof *p);
    assert_int_equal(pipe(fds), 0);
    p->pid = make();
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

static inline void start(struct process *p, const char *const *argv)
{
    start_by(p, argv, fork);
}

// false at the end of its output, or when patience is over
static inline bool listen_to(struct process *p, int64_t until)
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

static inline void until_it_says(struct process *p, const char *text)
{
    int64_t until = kp_mono_ms() + PATIENCE_MS;
    while (strstr(p->said, text) == NULL)
        if (!listen_to(p, until)) {
            kill(p->pid, SIGKILL);
            fail_msg("it never said '%s' but:\n%s", text, p->said);
        }
}

static inline int ends(struct process *p)
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

static inline void write_file(const char *path, const char *text)
{
    assert_int_equal(kp_file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
}

// One request to a socket in the file system, with more header lines ("" or each with its CR LF); the answer,
// cut if it does not fit.
static inline int ask_for(
    const char *path, const char *target, const char *headers, char *answer, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = 0;
    kp_copy(address.sun_path, sizeof address.sun_path, path);
    kp_auto_free char *request =
        kp_asprintf("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", target, headers);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, request, strlen(request), MSG_NOSIGNAL) > 0)
        for (ssize_t n; len + 1 < size && (n = recv(fd, answer + len, size - 1 - len, 0)) > 0;)
            len += (size_t)n;
    close(fd);
    answer[len] = '\0';
    return len > 12 ? (int)strtol(answer + 9, NULL, 10) : 0;
}

// Its status alone.
static inline int ask(const char *path, const char *target)
{
    char answer[2048];
    return ask_for(path, target, "", answer, sizeof answer);
}

static inline void until_it_is_well(struct process *p, const char *socket_path)
{
    for (int64_t until = kp_mono_ms() + PATIENCE_MS; ask(socket_path, "/healthz") != 200;) {
        if (kp_mono_ms() > until) {
            kill(p->pid, SIGKILL);
            fail_msg("/healthz is not served; it said:\n%s", p->said);
        }
        listen_to(p, kp_mono_ms() + 100);
    }
}

#endif
