// What --by, --focus, --sample-type and so on ask of a report.
#ifndef KP_CLI_REPORTING_H
#define KP_CLI_REPORTING_H

#include "cli/cli.h"
#include "report/report.h"

struct kp_cli_report {
    struct kp_report_options options; // borrows the flags
    bool has_json;                    // -o json
};
// KP_INVALID (and wrong usage) for a flag that cannot be read.
KP_MUST_CHECK int kp_cli_report_parse(struct kp_cli *cli, struct kp_cli_report *ret, struct kp_error *err);

// A note where the two last so differently that values differ for that alone (unless --normalize).
void kp_cli_note_durations(
    struct kp_cli *cli, const struct kp_profile *profile, const struct kp_profile *base);

// A note that --focus, --ignore or --hide have left nothing, where they were given.
void kp_cli_note_nothing_left(struct kp_cli *cli);

// What pprof leaves out by itself: nodes below half a percent.
#define KP_CLI_MIN_SHARE 0.005
// Largest report.
#define KP_CLI_MAX_TEXT ((size_t)512 * KP_MIB)

#endif
