// A flame graph of one file, for commands that made it.
#ifndef KP_CLI_FLAME_H
#define KP_CLI_FLAME_H

#include "cli/cli.h"

// As `flame FILE` does without flags: on a terminal people walk through it, else text.
KP_MUST_CHECK int kp_flame_show_file(struct kp_cli *cli, char *path, struct kp_error *err);

#endif
