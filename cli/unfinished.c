// Commands of the table that are still being written.
#include "cli/command.h"
#include "base/banned.h"

#define UNFINISHED(what)                                                                                     \
    int kp_cli_##what(struct kp_cli *cli, struct kp_error *err)                                              \
    {                                                                                                        \
        return kp_fail(err, KP_INTERNAL, "%s is not there yet", cli->command->name);                         \
    }
UNFINISHED(policy_dry_run)
