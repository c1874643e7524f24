// One line at the bottom of the terminal that says what is going on; nothing where stderr is no terminal.
#ifndef KP_CLI_PROGRESS_H
#define KP_CLI_PROGRESS_H

#include "cli/cli.h"

// Draws text in the place of the last one, cut to the terminal's width.
void kp_progress_show(const struct kp_cli *cli, const char *text);
// Takes the line away: before anything else is printed, and at the end.
void kp_progress_clear(const struct kp_cli *cli);

#endif
