#include "cli/run.h"

#include <stdio.h>

#include "base/text.h"
#include "base/banned.h"

int kp_cli_main(int argc, char **argv)
{
    if (argc > 1 && kp_streq(argv[1], "version")) {
        puts("kubectl-pprof " KP_VERSION);
        return 0;
    }
    fputs("usage: kubectl pprof COMMAND [FLAGS]\n", stderr);
    return 2;
}
