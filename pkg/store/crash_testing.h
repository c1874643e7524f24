// A child process that works on a store until it is killed at a random moment, and what it told before. Tests
// only.
#ifndef KP_STORE_CRASH_TESTING_H
#define KP_STORE_CRASH_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/backoff.h"

#define MAX_LINE 128

struct victim {
    void (*run)(const char *dir, int fd, uint64_t seed); // never returns; writes whole lines to fd
    size_t line_size;                                    // at most MAX_LINE
    void (*on_line)(void *user, const void *line);       // each that arrived whole
    void *user;
    uint64_t least_ns, spread_ns; // how long it lives
};

static inline void read_lines(int fd, const struct victim *v)
{
    _Alignas(max_align_t) char line[MAX_LINE];
    size_t have = 0;
    assert_true(v->line_size <= sizeof line);
    for (;;) {
        ssize_t n = read(fd, line + have, v->line_size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; // a line cut by the kill was told to nobody
        have += (size_t)n;
        if (have == v->line_size) {
            v->on_line(v->user, line);
            have = 0;
        }
    }
}

// A victim that ends by itself fails the test.
static inline void kill_one(const struct victim *v, const char *dir, uint64_t *random)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    fflush(stdout);
    uint64_t seed = kp_random_next(random);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        v->run(dir, fds[1], seed);
    }
    close(fds[1]);
    struct timespec wait = {0, (long)(v->least_ns + kp_random_next(random) % v->spread_ns)};
    nanosleep(&wait, NULL);
    kill(pid, SIGKILL);
    read_lines(fds[0], v);
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("the victim ended by itself: %d", status);
}

#endif
