#include "cli/command.h"

#include <string.h>

#include "base/text.h"
#include "base/banned.h"

#define MANY          10000
#define SELECT        "all-namespaces selector service type from to revision "
#define REPORT        SELECT "startup sample-type focus ignore hide by limit "
#define FROM_REGISTRY "registry registry-token-file registry-ca "
#define PROFEFE       "profefe-hostport profile-type "

const struct kp_command kp_cli_commands[] = {
    {.name = "capture",
        .args = "(POD... | KIND/NAME | -l SELECTOR | -A)",
        .summary = "take profiles of running pods and write them into files",
        .about = "Works without kube-pprof in the cluster. Pods are reached through the API server: by its "
                 "pod proxy "
                 "(right: get pods/proxy) or by port-forward (right: create and get pods/portforward) where "
                 "the proxy is "
                 "not allowed or the program listens on its own loopback only.\n\n"
                 "Files are named NAMESPACE_POD_CONTAINER_TYPE_TIME.pb.gz. Ctrl-C leaves no half file.",
        .examples = "# ten seconds of CPU of one pod\nkubectl pprof capture checkout-7d9f-x2\n"
                    "# CPU and heap of every pod of a Deployment\nkubectl pprof capture deploy/checkout -t "
                    "cpu,heap --duration 30s\n"
                    "# look at it right away\nkubectl pprof capture checkout-7d9f-x2 --open\n",
        .flags = "all-namespaces selector type duration container port path scheme output-dir via push open "
                 "parallel service label " FROM_REGISTRY "profefe-hostport",
        .max_args = MANY,
        .complete = KP_COMPLETE_PODS,
        .run = kp_cli_capture},
    {.name = "get",
        .args = "(profiles | services | types | targets | policies) [ID...]",
        .summary = "list what is kept, captured and asked for",
        .examples = "# the CPU profiles of the last hour\nkubectl pprof get profiles --service checkout -t "
                    "cpu --from -1h\n"
                    "# what is captured now, and why not\nkubectl pprof get targets -o wide\n",
        .flags = SELECT "limit output watch no-headers show-labels " FROM_REGISTRY PROFEFE,
        .min_args = 1,
        .max_args = MANY,
        .complete = KP_COMPLETE_WORDS,
        .words = "profiles services types targets policies",
        .run = kp_cli_get},
    {.name = "download",
        .args = "ID...",
        .summary = "write kept profiles into files, or into a pipe",
        .about =
            "One profile goes into a pipe or to -O FILE. Several, or one on a terminal, become files named "
            "NAMESPACE_POD_CONTAINER_TYPE_TIME.pb.gz; their paths are printed.",
        .examples = "kubectl pprof download 01kd2p9v7q3m8x5tz4c6r1w0e -O cpu.pb.gz && go tool pprof -top "
                    "cpu.pb.gz\nkubectl pprof "
                    "get profiles --service checkout -o name | xargs kubectl pprof download --output-dir "
                    "profiles\n",
        .flags = "output-file output-dir force " FROM_REGISTRY,
        .min_args = 1,
        .max_args = MANY,
        .run = kp_cli_download},
    {.name = "merge",
        .args = "(WORKLOAD | ID... | FILE...)",
        .summary = "add profiles up into one",
        .examples = "# a day of CPU\nkubectl pprof merge checkout -t cpu --from -24h -O day.pb.gz\n",
        .flags = SELECT "startup focus ignore hide output-file force " FROM_REGISTRY PROFEFE,
        .max_args = MANY,
        .complete = KP_COMPLETE_SERVICES,
        .run = kp_cli_merge},
    {.name = "top",
        .args = "(WORKLOAD | FILE... | ID...)",
        .summary = "show where it goes: the most expensive functions",
        .examples = "kubectl pprof top deploy/checkout\nkubectl pprof top checkout -t heap --from -7d --to "
                    "-6d\nkubectl pprof top cpu.pb.gz --by line --cum\n",
        .flags = REPORT "cum output no-headers " FROM_REGISTRY,
        .max_args = MANY,
        .complete = KP_COMPLETE_SERVICES,
        .run = kp_cli_top},
    {.name = "tree",
        .args = "(WORKLOAD | FILE... | ID...)",
        .summary = "show who calls whom, as an indented tree",
        .examples = "kubectl pprof tree checkout --focus hashOrders\n",
        .flags = REPORT "output " FROM_REGISTRY,
        .max_args = MANY,
        .complete = KP_COMPLETE_SERVICES,
        .run = kp_cli_tree},
    {.name = "flame",
        .args = "(WORKLOAD | FILE... | ID...)",
        .summary = "flame graph: interactive on a terminal, or a file",
        .about = "Keys: arrows move, Enter zooms in, Esc out, / searches, Tab shows the table, ? all keys, q "
                 "quits.",
        .examples =
            "kubectl pprof flame checkout\nkubectl pprof flame cpu.pb.gz --format html -O graph.html\n",
        .flags =
            REPORT "format output-file force base base-from base-to base-selector normalize " FROM_REGISTRY,
        .max_args = MANY,
        .complete = KP_COMPLETE_SERVICES,
        .run = kp_cli_flame},
    {.name = "diff",
        .args = "(WORKLOAD | FILE FILE | ID ID)",
        .summary = "compare two times, revisions, labels or files",
        .about = "Of two files or ids the first is the base. Of a workload the base is what --base, "
                 "--base-from and --base-to, or "
                 "--base-selector say.",
        .examples = "# now against yesterday\nkubectl pprof diff checkout --from -1h --base-from -25h "
                    "--base-to -24h\n"
                    "# two versions\nkubectl pprof diff checkout -l version=v2 --base-selector version=v1\n"
                    "kubectl pprof diff old.pb.gz new.pb.gz\n",
        .flags = REPORT "cum base base-from base-to base-selector normalize output no-headers format "
                        "output-file force " FROM_REGISTRY,
        .max_args = MANY,
        .complete = KP_COMPLETE_SERVICES,
        .run = kp_cli_diff},
    {.name = "explain",
        .args = "(POD... | KIND/NAME)",
        .summary = "say whether a pod is profiled, by which policy, and if not, why",
        .about = "Every policy by precedence, requirement by requirement; the annotations that were read; "
                 "and what is "
                 "captured where, how often, decided by whom. Works without the controller: the same rules "
                 "are applied "
                 "to the pod, the policies and the annotations as they stand. With the registry also: "
                 "whether the pod "
                 "is in the sample now, last results and next captures. A right that is missing is named, "
                 "and the rest "
                 "is told.",
        .examples = "kubectl pprof explain checkout-7d9f-x2\nkubectl pprof explain deploy/checkout -o yaml\n",
        .flags = "output " FROM_REGISTRY,
        .min_args = 1,
        .max_args = MANY,
        .complete = KP_COMPLETE_PODS,
        .run = kp_cli_explain},
    {.name = "pgo",
        .args = "WORKLOAD",
        .summary = "write a profile for `go build -pgo`",
        .about =
            "Into default.pgo, which is written over if it is a CPU profile. Beside it is told how many "
            "captures, pods and CPU-seconds it is made of, which share of the samples has start lines, and "
            "how much it has in common with the previous file: each call (caller, line in it, callee) has a "
            "share of the weight of all calls, and the overlap is the sum of the smaller of both shares. "
            "The same captures give the same file.",
        .examples = "kubectl pprof pgo checkout && go build -pgo=default.pgo ./cmd/checkout\n",
        .flags = "service selector from to revision startup max-bytes previous inline-all output-file force "
                 "output " FROM_REGISTRY,
        .max_args = 1,
        .complete = KP_COMPLETE_SERVICES,
        .run = kp_cli_pgo},
    {.name = "load",
        .args = "FILE...",
        .summary = "store files in the registry",
        .about =
            "The type is found out of each file unless --type says it. --from-go-test adds the labels commit "
            "(git's HEAD, with -dirty where files differ from it), package and benchmark.",
        .examples = "kubectl pprof load cpu.pb.gz --service batch --label run=7\n"
                    "go test -bench . -cpuprofile cpu.out && kubectl pprof load cpu.out --service mypkg "
                    "--from-go-test\n",
        .flags = "service label type from-go-test " FROM_REGISTRY "profefe-hostport",
        .min_args = 1,
        .max_args = MANY,
        .complete = KP_COMPLETE_FILES,
        .run = kp_cli_load},
    {.name = "policy lint",
        .args = "FILE...",
        .summary = "check policies before they are applied",
        .about =
            "Needs no cluster: what the API server and the controller would refuse is an error (exit status "
            "1), what "
            "is allowed but rarely meant a warning. Unknown fields are named with the one that may have been "
            "meant. "
            "Files are YAML of one or several documents, or JSON; - is standard input. What is no policy is "
            "passed over.",
        .examples =
            "kubectl pprof policy lint policy.yaml\nkubectl get ppol checkout -o yaml | kubectl pprof policy "
            "lint -\n",
        .flags = "filename output",
        .max_args = MANY,
        .complete = KP_COMPLETE_FILES,
        .run = kp_cli_policy_lint},
    {.name = "policy init",
        .args = "[KIND/NAME]",
        .summary = "print a policy to begin with",
        .about = "With KIND/NAME the selector is the workload's, and the endpoints are the ports its "
                 "containers declare "
                 "for pprof.",
        .examples = "kubectl pprof policy init deploy/checkout >policy.yaml\nkubectl pprof policy init -t "
                    "cpu,mutex\n",
        .flags = "type",
        .max_args = 1,
        .run = kp_cli_policy_init},
    {.name = "policy dry-run",
        .args = "FILE...",
        .summary = "say what a policy would capture, and what that would cost",
        .about = "Nothing is changed. Pods, namespaces and the other policies are read from the cluster as "
                 "it is, and "
                 "the controller's own rules and schedule are applied to them, with its limits as they are "
                 "by default; "
                 "for a ProfilingPolicy only its own namespace is looked at. Told are the pods that are "
                 "matched, left "
                 "out (and why) and sampled, captures an hour, the share of a process' CPU, what is "
                 "stretched because "
                 "it does not fit, and what is shared with other policies; with the registry also bytes a "
                 "day, by the "
                 "size of profiles that are kept.",
        .examples = "kubectl pprof policy dry-run policy.yaml\n",
        .flags = "filename output " FROM_REGISTRY,
        .max_args = MANY,
        .complete = KP_COMPLETE_FILES,
        .run = kp_cli_policy_dry_run},
    {.name = "control-plane capture",
        .args = "[COMPONENT...]",
        .summary = "profile apiserver, controller-manager, scheduler, etcd and kubelet",
        .about = "Through the API server, with the rights you have; a right that is missing is named: get on "
                 "/debug/pprof/* for the API server, get nodes/proxy for kubelets. The other components are "
                 "found where they are static pods (kubeadm), and asked by port-forward with the "
                 "kubeconfig's token or certificate, also an exec plugin's (not as somebody else: only the "
                 "API server knows --as).",
        .examples = "kubectl pprof control-plane capture apiserver -t cpu,heap --duration 30s\n",
        .flags = "type duration output-dir open parallel",
        .max_args = MANY,
        .complete = KP_COMPLETE_WORDS,
        .words = "apiserver controller-manager scheduler etcd kubelet",
        .run = kp_cli_control_plane},
    {.name = "status",
        .args = "",
        .summary = "say how kube-pprof in this cluster is",
        .examples = "kubectl pprof status\n",
        .flags = "output " FROM_REGISTRY,
        .run = kp_cli_status},
    {.name = "completion",
        .args = "(bash | zsh | fish)",
        .summary = "print the script that completes commands in a shell",
        .about = "The script completes the program under its own name, kubectl-pprof. For `kubectl pprof`, "
                 "kubectl asks a "
                 "program kubectl_complete-pprof on the PATH: one of two lines, see the example.",
        .examples =
            "# kubectl pprof\nprintf '#!/bin/sh\\nexec kubectl-pprof __complete \"$@\"\\n' "
            ">/usr/local/bin/kubectl_complete-pprof; chmod +x /usr/local/bin/kubectl_complete-pprof\n# "
            "kubectl-pprof\nkubectl pprof completion bash >/etc/bash_completion.d/kubectl-pprof\n",
        .flags = "",
        .min_args = 1,
        .max_args = 1,
        .complete = KP_COMPLETE_WORDS,
        .words = "bash zsh fish",
        .run = kp_cli_completion},
    {.name = "version",
        .args = "",
        .summary = "print the version",
        .examples = "",
        .flags = "",
        .run = kp_cli_version},
    {.name = "__complete",
        .args = "WORD...",
        .summary = "",
        .examples = "",
        .flags = "",
        .max_args = MANY,
        .hidden = true,
        .run = kp_cli_complete},
    {.name = "__man",
        .args = "",
        .summary = "",
        .examples = "",
        .flags = "",
        .max_args = 1,
        .hidden = true,
        .run = kp_cli_man},
};
const size_t kp_cli_n_commands = sizeof kp_cli_commands / sizeof kp_cli_commands[0];

static const char common[] =
    "kubeconfig context cluster user namespace server token certificate-authority client-certificate "
    "client-key tls-server-name insecure-skip-tls-verify as as-uid as-group as-user-extra username password "
    "disable-compression request-timeout cache-dir v";

bool kp_command_is_common(const char *flag)
{
    return kp_has_word(common, flag);
}

bool kp_command_takes(const struct kp_command *command, const char *flag)
{
    return kp_command_is_common(flag) || kp_has_word(command->flags, flag);
}

// How many of the words the name takes; 0: they begin otherwise.
static size_t matches(const char *name, char *const *words, size_t n)
{
    size_t taken = 0;
    while (*name) {
        size_t len = strcspn(name, " ");
        if (taken == n || strlen(words[taken]) != len || strncmp(words[taken], name, len) != 0)
            return 0;
        taken++;
        name += len + (name[len] == ' ');
    }
    return taken;
}

const struct kp_command *kp_command_find(char *const *words, size_t n, size_t *ret_taken)
{
    for (size_t i = 0; i < kp_cli_n_commands; i++) {
        *ret_taken = matches(kp_cli_commands[i].name, words, n);
        if (*ret_taken > 0)
            return &kp_cli_commands[i];
    }
    return NULL;
}
