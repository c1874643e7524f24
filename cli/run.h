// The whole program but for main(): for tests, too.
#ifndef KP_CLI_RUN_H
#define KP_CLI_RUN_H

// Returns the exit status: 0 all done, 1 something failed (each failure was named on stderr), 2 wrong usage.
int kp_cli_main(int argc, char **argv);

#endif
