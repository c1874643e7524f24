// Runs the program as people do: arguments in; status, standard output and error out. Tests only.
#ifndef KP_CLI_PROGRAM_TESTING_H
#define KP_CLI_PROGRAM_TESTING_H

#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "testkit/testkit.h"

struct kp_ran {
    int status;
    char *out, *err; // NUL behind them
    size_t out_len;
};

static inline void kp_ran_finish(struct kp_ran *ran)
{
    kp_free(ran->out);
    kp_free(ran->err);
    *ran = (struct kp_ran){0};
}

// words: NULL-terminated, without the program's name. dir: where it runs, NULL = here. input: a file for
// standard input, NULL = none. Finish *ret.
static inline void kp_run_program(
    const char *const *words, const char *dir, const char *input, struct kp_ran *ret)
{
    char *tmp = kp_test_tmpdir();
    char *out = kp_asprintf("%s/out", tmp);
    char *err = kp_asprintf("%s/err", tmp);
    char *argv[64] = {kp_strdup("kubectl-pprof")};
    pid_t pid;
    int status = -1;
    for (size_t i = 0; words[i] && i + 2 < KP_COUNT(argv); i++)
        argv[i + 1] = kp_strdup(words[i]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (dir)
        posix_spawn_file_actions_addchdir_np(&actions, dir);
    posix_spawn_file_actions_addopen(&actions, 0, input ? input : "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, err, O_WRONLY | O_CREAT, 0600);
    if (posix_spawn(&pid, KP_PROGRAM, &actions, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) != pid)
        status = -1;
    posix_spawn_file_actions_destroy(&actions);
    kp_ran_finish(ret);
    ret->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    ret->out = kp_test_read_file(out, &ret->out_len);
    ret->err = kp_test_read_file(err, NULL);
    for (size_t i = 0; i < KP_COUNT(argv); i++)
        kp_free(argv[i]);
    kp_free(out);
    kp_free(err);
    kp_test_rmdir(tmp);
}

#define kp_run(ret, ...) kp_run_program((const char *const[]){__VA_ARGS__, NULL}, NULL, NULL, ret)

#endif
