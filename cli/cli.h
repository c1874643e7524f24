// One run of the program: what was typed, where to print, and the connection once a command asks for one
// (session.h). Single thread; commands are blocking.
#ifndef KP_CLI_CLI_H
#define KP_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "cli/flags.h"

struct kp_command;
struct kp_session;

struct kp_cli {
    const struct kp_command *command;
    struct kp_cli_flags flags;
    char **args; // behind the command's name, without flags; borrowed
    size_t n_args;
    const char *(*env)(const char *name);
    FILE *out, *err; // stdout and stderr
    bool is_in_tty, is_out_tty, is_err_tty;
    bool is_usage_wrong;        // kp_cli_usage() was called: exit status 2
    int n_failures;             // told by kp_cli_complain(): exit status 1
    struct kp_session *session; // made on first use, see session.h
};

// Names a failure on stderr, as kubectl does: "Error from server (Forbidden): ..." where a server refused,
// else "error: ...". The run ends with status 1 whatever else succeeds. One line each; control characters
// never reach the terminal.
void kp_cli_complain(struct kp_cli *cli, const struct kp_error *err);
// As if kp_wrap() had put what it is of in front, but an error has no room for two long names.
void kp_cli_complain_of(struct kp_cli *cli, const char *what, const struct kp_error *err);
// A line on stderr that is no failure: "note: ...".
void kp_cli_note(struct kp_cli *cli, const char *fmt, ...) KP_PRINTF(2, 3);
// The same, with -v=LEVEL or more only.
void kp_cli_verbose(struct kp_cli *cli, int level, const char *fmt, ...) KP_PRINTF(3, 4);
// What others wrote, with its line ends: to cli->out or cli->err. As it is into files and pipes; on a
// terminal blanks stand for control characters other than line ends and tabs.
void kp_cli_write(const struct kp_cli *cli, FILE *to, const char *text, size_t len);
// The command line makes no sense: KP_INVALID, and exit status 2.
int kp_cli_usage(struct kp_cli *cli, struct kp_error *err, const char *fmt, ...) KP_PRINTF(3, 4);
// The error of one of several things becomes that of the whole, with all it knows.
static inline int kp_cli_pass(struct kp_error *err, const struct kp_error *from)
{
    if (err != NULL && err->code == 0)
        *err = *from;
    return from->code;
}
// Whether a text flag was given.
static inline bool kp_cli_given(const char *value)
{
    return value != NULL && value[0] != '\0';
}

#endif
