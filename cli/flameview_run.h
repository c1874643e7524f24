// A flame graph on the terminal, for as long as somebody looks at it.
#ifndef KP_CLI_FLAMEVIEW_RUN_H
#define KP_CLI_FLAMEVIEW_RUN_H

#include "base/error.h"
#include "cli/screen.h"
#include "report/report.h"

struct kp_flameview_options {
    // The table is made of its nodes as well: ask kp_report_flame() for many (a limit of some 100 000), the
    // time to draw does not depend on it. Colours are of change where it has a base.
    const struct kp_flame *flame;
    const char *title;
    enum kp_colors colors; // kp_terminal_colors()
    int in_fd, out_fd;     // of one terminal: kp_terminal_is_usable() for both
    int esc_ms;            // after which an Esc begins no sequence any more; 0: 100
};

// Returns 0 when the user has quit; KP_CANCELED on SIGINT (Ctrl-C), SIGTERM and SIGHUP; KP_NETWORK when the
// terminal is gone. The terminal is as it was before in each case, also when the process is ended or stopped
// by a signal. Blocks, and uses signals (terminal.h): of one thread only.
KP_MUST_CHECK int kp_flameview_run(const struct kp_flameview_options *options, struct kp_error *err);

#endif
