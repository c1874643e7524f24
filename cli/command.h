// The table of commands: from its rows come dispatch, --help, completion, the man page and
// docs/kubectl-pprof.md.
#ifndef KP_CLI_COMMAND_H
#define KP_CLI_COMMAND_H

#include <stddef.h>

#include "cli/cli.h"

// What can be completed at an argument's place.
enum kp_complete {
    KP_COMPLETE_NOTHING,
    KP_COMPLETE_FILES,
    KP_COMPLETE_PODS,
    KP_COMPLETE_SERVICES,
    KP_COMPLETE_WORDS
};

struct kp_command {
    const char *name;     // "capture"; of a group two words: "policy lint"
    const char *args;     // "(POD... | deploy/NAME | -l SELECTOR | -A)"; "" = none
    const char *summary;  // one line, begins lower case
    const char *about;    // paragraphs; "" = the summary says it all
    const char *examples; // "# what for\nkubectl pprof ...\n" ...
    const char *flags;    // names of the flags it takes beside kubectl's, with blanks between
    size_t min_args, max_args;
    enum kp_complete complete; // of the arguments
    const char *words;         // KP_COMPLETE_WORDS: "profiles services types"
    bool hidden;               // works, but is not listed
    // 0, or the code in err (told by the caller; single failures among many by kp_cli_complain).
    int (*run)(struct kp_cli *cli, struct kp_error *err);
};

extern const struct kp_command kp_cli_commands[];
extern const size_t kp_cli_n_commands;

// The command that words[0..n) begin with (its longest name), and how many words that took; NULL: none.
const struct kp_command *kp_command_find(char *const *words, size_t n, size_t *ret_taken);
// Whether the command takes the flag: kubectl's own are taken by all.
bool kp_command_takes(const struct kp_command *command, const char *flag);
bool kp_command_is_common(const char *flag);

// One function per command, in files of their own.
int kp_cli_capture(struct kp_cli *cli, struct kp_error *err);
int kp_cli_get(struct kp_cli *cli, struct kp_error *err);
int kp_cli_download(struct kp_cli *cli, struct kp_error *err);
int kp_cli_merge(struct kp_cli *cli, struct kp_error *err);
int kp_cli_top(struct kp_cli *cli, struct kp_error *err);
int kp_cli_tree(struct kp_cli *cli, struct kp_error *err);
int kp_cli_flame(struct kp_cli *cli, struct kp_error *err);
int kp_cli_diff(struct kp_cli *cli, struct kp_error *err);
int kp_cli_explain(struct kp_cli *cli, struct kp_error *err);
int kp_cli_pgo(struct kp_cli *cli, struct kp_error *err);
int kp_cli_load(struct kp_cli *cli, struct kp_error *err);
int kp_cli_policy_lint(struct kp_cli *cli, struct kp_error *err);
int kp_cli_policy_init(struct kp_cli *cli, struct kp_error *err);
int kp_cli_policy_dry_run(struct kp_cli *cli, struct kp_error *err);
int kp_cli_control_plane(struct kp_cli *cli, struct kp_error *err);
int kp_cli_status(struct kp_cli *cli, struct kp_error *err);
int kp_cli_completion(struct kp_cli *cli, struct kp_error *err);
int kp_cli_complete(struct kp_cli *cli, struct kp_error *err); // __complete
int kp_cli_man(struct kp_cli *cli, struct kp_error *err);      // __man
int kp_cli_version(struct kp_cli *cli, struct kp_error *err);

#endif
