#include "cli/command.h"
#include "base/banned.h"

int kp_cli_version(struct kp_cli *cli, struct kp_error *err)
{
    (void)err;
    fputs("kubectl-pprof " KP_VERSION "\n", cli->out);
    return 0;
}
