#include "cli/run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/session.h"
#include "base/banned.h"

// Of the environment only these stand for flags: a Service named kube-pprof puts KUBE_PPROF_PORT and others
// into every pod of its namespace.
static const char *flag_env(const char *name)
{
    return kp_streq(name, "KUBE_PPROF_REGISTRY") ? getenv(name) : NULL;
}

static const char *env(const char *name)
{
    return getenv(name);
}

// The command line without --help, and whether that was there.
struct line {
    int argc;
    char **argv;
    bool is_help;
};

static void line_read(struct line *line, char **words, int argc, char **argv)
{
    bool only_args = false;
    line->argv = words;
    for (int i = 0; i < argc; i++) {
        only_args = only_args || kp_streq(argv[i], "--");
        if (!only_args && i > 0 && (kp_streq(argv[i], "--help") || kp_streq(argv[i], "-h")))
            line->is_help = true;
        else
            line->argv[line->argc++] = argv[i];
    }
}

// ---- which command ----

// Flags may stand before and within the command's name, so all of them are read to find it.
static const struct kp_command *find(
    const struct line *line, char **args, size_t *n_args, size_t *ret_taken, struct kp_error *err)
{
    struct kp_cli_flags scratch = {0};
    const struct kp_options_source source = {
        .argc = line->argc, .argv = line->argv, .letters = kp_cli_letters, .args = args, .n_args = n_args};
    if (kp_options_load(kp_cli_options, kp_cli_n_options, &source, &scratch, err) != 0)
        return NULL;
    kp_options_finish(kp_cli_options, kp_cli_n_options, &scratch);
    return kp_command_find(args, *n_args, ret_taken);
}

static int unknown(char *const *args, size_t n, const struct kp_error *err)
{
    if (err->code != 0) {
        fprintf(stderr, "error: %s\n", err->text);
        return 2;
    }
    if (n == 0) {
        kp_help_program(stderr);
        return 2;
    }
    char shown[128];
    const char *near = NULL;
    if (kp_help_is_group(args[0])) {
        fprintf(stderr, "error: unknown command '%s %s'\n", args[0],
            n > 1 ? kp_printable(shown, sizeof shown, args[1], strlen(args[1])) : "");
        kp_help_group(args[0], stderr);
        return 2;
    }
    size_t distance = 3;
    for (size_t i = 0; i < kp_cli_n_commands; i++) {
        size_t d = kp_edit_distance(args[0], kp_cli_commands[i].name);
        if (!kp_cli_commands[i].hidden && d < distance)
            distance = d, near = kp_cli_commands[i].name;
    }
    fprintf(
        stderr, "error: unknown command '%s'", kp_printable(shown, sizeof shown, args[0], strlen(args[0])));
    if (near != NULL)
        fprintf(stderr, "; did you mean %s?", near);
    fputs("\nkubectl pprof --help lists the commands\n", stderr);
    return 2;
}

// Help that needs no command; false: there is nothing of that kind.
static bool help(const struct line *line, char *const *args, size_t n)
{
    bool asked = line->is_help || (n > 0 && kp_streq(args[0], "help"));
    size_t taken;
    const struct kp_command *command = asked && n > 1 ? kp_command_find(args + 1, n - 1, &taken) : NULL;
    if (n > 0 && kp_streq(args[0], "options"))
        kp_help_flags(stdout);
    else if (n == 1 && kp_help_is_group(args[0]))
        kp_help_group(args[0], stdout);
    else if (command != NULL)
        kp_help_command(command, stdout);
    else if (asked)
        kp_help_program(stdout);
    return asked || n > 0;
}

// ---- the run ----

// The rows of the flags this command takes: every other flag is unknown to it.
static struct kp_option *rows_of(const struct kp_command *command, size_t *ret_n)
{
    struct kp_option *rows = KP_NEW_ARRAY(struct kp_option, kp_cli_n_options);
    *ret_n = 0;
    for (size_t i = 0; i < kp_cli_n_options; i++)
        if (kp_command_takes(command, kp_cli_options[i].flag))
            rows[(*ret_n)++] = kp_cli_options[i];
    return rows;
}

static int check_args(struct kp_cli *cli, struct kp_error *err)
{
    const struct kp_command *command = cli->command;
    if (cli->n_args >= command->min_args && cli->n_args <= command->max_args)
        return 0;
    if (command->max_args == 0)
        return kp_cli_usage(
            cli, err, "%s takes no arguments, but there is '%.80s'", command->name, cli->args[0]);
    return kp_cli_usage(cli, err, "%s takes %s: kubectl pprof %s %s", command->name,
        cli->n_args < command->min_args ? "more" : "less", command->name, command->args);
}

// kube-profefe's flags work, with a hint to what they are called now.
static void hint(struct kp_cli *cli)
{
    if (kp_cli_given(cli->flags.profefe_hostport))
        kp_cli_note(cli, "--profefe-hostport is called --registry here");
    if (kp_cli_given(cli->flags.profile_type))
        kp_cli_note(cli, "--profile-type is called --type, or -t, here");
}

// `| head` has enough: not worth a word.
static bool is_reader_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

static int run(struct kp_cli *cli)
{
    struct kp_error err = {0};
    int rc = check_args(cli, &err);
    hint(cli);
    if (rc == 0)
        rc = cli->command->run(cli, &err);
    bool interrupted = cli->session != NULL && cli->session->is_interrupted;
    if (rc != 0 && !interrupted)
        kp_cli_complain(cli, &err);
    if (cli->is_usage_wrong)
        fprintf(cli->err, "see kubectl pprof %s --help\n", cli->command->name);
    kp_session_close(cli);
    if ((fflush(cli->out) != 0 || ferror(cli->out)) && !interrupted) {
        if (!is_reader_gone())
            fputs("error: not all could be written to standard output\n", cli->err);
        cli->n_failures++;
    }
    if (interrupted)
        return 130;
    return cli->is_usage_wrong ? 2 : cli->n_failures > 0 ? 1 : 0;
}

// What `get -o name` prints is taken back: profile.data.kube-pprof.dev/ID, service/NAME.
static char *plain_name(char *arg)
{
    static const char *const kinds[] = {
        "profile.data.kube-pprof.dev/", "profiles/", "profile/", "prof/", "service/"};
    for (size_t i = 0; i < KP_COUNT(kinds); i++)
        if (kp_starts_with(arg, kinds[i]) && arg[strlen(kinds[i])] != '\0')
            return arg + strlen(kinds[i]);
    return arg;
}

static int start(const struct kp_command *command, const struct line *line, size_t taken)
{
    size_t n_rows;
    kp_auto_free struct kp_option *rows = rows_of(command, &n_rows);
    struct kp_cli cli = {.command = command,
        .env = env,
        .out = stdout,
        .err = stderr,
        .is_in_tty = isatty(0),
        .is_out_tty = isatty(1),
        .is_err_tty = isatty(2)};
    kp_auto_free char **args = KP_NEW_ARRAY(char *, (size_t)line->argc + 1);
    struct kp_error err = {0};
    const struct kp_options_source source = {.argc = line->argc,
        .argv = line->argv,
        .env = flag_env,
        .letters = kp_cli_letters,
        .args = args,
        .n_args = &cli.n_args};
    if (kp_options_load(rows, n_rows, &source, &cli.flags, &err) != 0) {
        fprintf(stderr, "error: %s\nsee kubectl pprof %s --help\n", err.text, command->name);
        return 2;
    }
    cli.args = args + taken;
    cli.n_args -= taken;
    for (size_t i = 0; i < cli.n_args && command->complete != KP_COMPLETE_FILES; i++)
        cli.args[i] = plain_name(cli.args[i]);
    int status = run(&cli);
    kp_options_finish(rows, n_rows, &cli.flags);
    return status;
}

// `__complete WORD...`: the words are somebody's half-typed line, not ours.
static int start_complete(int argc, char **argv)
{
    size_t taken;
    const struct kp_command *command = kp_command_find(argv + 1, 1, &taken);
    struct kp_cli cli = {.command = command,
        .args = argv + 2,
        .n_args = (size_t)argc - 2,
        .env = env,
        .out = stdout,
        .err = stderr};
    return run(&cli);
}

// Where one of 0, 1 and 2 is closed, the next file or connection would take its place, and what is printed
// would go there. Nothing can be written to these, so closed ones still say so.
static void keep_standard_files(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
            _exit(1);
}

int kp_cli_main(int argc, char **argv)
{
    keep_standard_files();
    signal(SIGPIPE, SIG_IGN); // a closed pipe is an error of writing
    char version[] = "version";
    if (argc == 2 && kp_streq(argv[1], "--version"))
        argv[1] = version;
    if (argc > 1 && kp_streq(argv[1], "__complete"))
        return start_complete(argc, argv);
    struct line line = {0};
    kp_auto_free char **words = KP_NEW_ARRAY(char *, (size_t)argc + 1);
    line_read(&line, words, argc, argv);
    kp_auto_free char **args = KP_NEW_ARRAY(char *, (size_t)argc + 1);
    size_t n_args = 0;
    size_t taken = 0;
    struct kp_error err = {0};
    const struct kp_command *command = find(&line, args, &n_args, &taken, &err);
    if (command != NULL && line.is_help) {
        kp_help_command(command, stdout);
        return 0;
    }
    if (command != NULL)
        return start(command, &line, taken);
    bool known = n_args == 0 || kp_streq(args[0], "help") || kp_streq(args[0], "options") ||
                 (n_args == 1 && kp_help_is_group(args[0]));
    if (err.code == 0 && known && help(&line, args, n_args))
        return 0;
    return unknown(args, n_args, &err);
}
