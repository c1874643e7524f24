// Flame graphs in the forms that can be written: text (an indented tree), json, folded, svg, html.
#ifndef KP_CLI_PICTURE_H
#define KP_CLI_PICTURE_H

#include "cli/cli.h"
#include "report/report.h"

// Whether --format is one of these words, and --output-file can be written; KP_INVALID and wrong usage, or
// KP_CONFLICT.
KP_MUST_CHECK int kp_picture_check(struct kp_cli *cli, const char *words, struct kp_error *err);
// To --output-file or standard output. base NULL: no difference. format "" is text.
KP_MUST_CHECK int kp_picture_print(struct kp_cli *cli, const struct kp_profile *profile,
    const struct kp_profile *base, const struct kp_report_options *options, const char *format,
    const char *title, struct kp_error *err);

// An indented tree of what is not too small to matter.
KP_MUST_CHECK int kp_picture_text(struct kp_cli *cli, const struct kp_profile *profile,
    const struct kp_profile *base, const struct kp_report_options *options, struct kp_error *err);
// On a terminal (and nothing said of a file) people walk through it; else the text. KP_CANCELED after Ctrl-C.
KP_MUST_CHECK int kp_picture_show(struct kp_cli *cli, const struct kp_profile *profile,
    const struct kp_profile *base, const struct kp_report_options *options, const char *title,
    struct kp_error *err);

#endif
