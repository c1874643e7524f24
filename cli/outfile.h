// Where results go: standard output, or a file that is there whole or not at all.
#ifndef KP_CLI_OUTFILE_H
#define KP_CLI_OUTFILE_H

#include "cli/cli.h"

// Writes what a command made to --output-file, else to standard output. Files are written by rename, and one
// that is there only with --force (KP_CONFLICT). Bytes that are no text go to no terminal (KP_INVALID).
KP_MUST_CHECK int kp_out_bytes(struct kp_cli *cli, const void *data, size_t len, struct kp_error *err);
KP_MUST_CHECK int kp_out_text(struct kp_cli *cli, const void *data, size_t len, struct kp_error *err);
// Before the work is done: whether kp_out_bytes could write.
KP_MUST_CHECK int kp_out_check(struct kp_cli *cli, bool is_text, struct kp_error *err);
// The same into a file of this name.
KP_MUST_CHECK int kp_out_file(
    struct kp_cli *cli, const char *path, const void *data, size_t len, struct kp_error *err);

#endif
