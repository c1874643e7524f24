// kubectl-pprof: the command line. The only place where the process ends.
#include "cli/run.h"
#include "base/banned.h"

int main(int argc, char **argv)
{
    return kp_cli_main(argc, argv);
}
