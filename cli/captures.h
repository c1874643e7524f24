// Many processes captured at the same time, with progress, failures told one by one, and what is done with
// the files afterwards. Shared by the commands that capture.
#ifndef KP_CLI_CAPTURES_H
#define KP_CLI_CAPTURES_H

#include "cli/taking.h"

struct kp_captures;

// Makes --output-dir and a private folder for sockets.
KP_MUST_CHECK int kp_captures_create(struct kp_cli *cli, struct kp_captures **ret, struct kp_error *err);
// Another process; the target is referenced. prefix, with_credentials: see reach.h.
void kp_captures_add(
    struct kp_captures *captures, const struct kp_target *target, const char *prefix, bool with_credentials);
// Takes all of them, --parallel at a time, and prints the files' names; then --push and --open. Fails when
// interrupted; what fails for one is complained about.
KP_MUST_CHECK int kp_captures_run(struct kp_captures *captures, struct kp_error *err);
void kp_captures_destroy(struct kp_captures *captures); // NULL is fine

#endif
