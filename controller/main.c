// kube-pprof: one binary, two roles. The only place where the process ends.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "controller/role.h"
#include "base/banned.h"

static const struct {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"controller", "watch policies and pods, capture profiles, write status", kp_controller_main},
    {"registry", "check, store and serve profiles", kp_registry_main},
    {"remove-api-service", "before uninstalling: take the APIService away", kp_apiservice_remove_main},
    {"apply-policy", "after installing: apply the chart's policy", kp_policy_apply_main},
    {"check", "ask whether URLs answer: helm test", kp_check_main},
};

static void usage(FILE *out)
{
    fputs("kube-pprof " KP_VERSION
          ": continuous profiling for Kubernetes\n\nusage: kube-pprof COMMAND [FLAGS]\n\ncommands:\n",
        out);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(out, "  %-18s %s\n", commands[i].name, commands[i].what);
    fputs("  version            print the version\n\n`kube-pprof COMMAND --help` lists the flags of a "
          "command.\n",
        out);
}

static void end_at_once(int signum)
{
    _exit(128 + signum);
}

// As process 1 of a container a signal without a handler is lost. The loop's own come when there is something
// to be ended in order.
static void end_when_told(void)
{
    const struct sigaction action = {.sa_handler = end_at_once};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
}

int main(int argc, char **argv)
{
    end_when_told();
    const char *command = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (kp_streq(command, commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    if (kp_streq(command, "version") || kp_streq(command, "--version")) {
        puts("kube-pprof " KP_VERSION);
        return 0;
    }
    if (kp_streq(command, "help") || kp_streq(command, "--help") || kp_streq(command, "-h")) {
        usage(stdout);
        return 0;
    }
    if (command[0] != '\0')
        fprintf(stderr, "kube-pprof: unknown command '%s'\n\n", command);
    usage(stderr);
    return 2;
}
