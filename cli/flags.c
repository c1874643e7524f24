#include "cli/flags.h"

#include "base/duration.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

#define AT(field) offsetof(struct kp_cli_flags, field)
#define TEXT(flag, what, field, help)                                                                        \
    {                                                                                                        \
        flag, what, KP_OPTION_STRING, AT(field), NULL, 0, 0, help                                            \
    }
#define YES(flag, field, help)                                                                               \
    {                                                                                                        \
        flag, NULL, KP_OPTION_BOOL, AT(field), NULL, 0, 0, help                                              \
    }
#define DAY_MS ((int64_t)24 * 3600 * 1000)

const struct kp_option kp_cli_options[] = {
    // kubectl's
    TEXT("kubeconfig", "FILE", kubeconfig, "Kubeconfig to use instead of $KUBECONFIG and ~/.kube/config."),
    TEXT("context", "NAME", context, "Context of the kubeconfig to use."),
    TEXT("cluster", "NAME", cluster, "Cluster of the kubeconfig to use."),
    TEXT("user", "NAME", user, "User of the kubeconfig to use."),
    TEXT("namespace", "NAME", namespace, "Namespace; else the context's."),
    TEXT("server", "URL", server, "Address of the API server."),
    TEXT("token", "TOKEN", token, "Bearer token for the API server."),
    TEXT("certificate-authority", "FILE", certificate_authority,
        "Certificates the API server's must be signed by."),
    TEXT("client-certificate", "FILE", client_certificate, "Client certificate for the API server."),
    TEXT("client-key", "FILE", client_key, "Key of the client certificate."),
    TEXT("tls-server-name", "NAME", tls_server_name, "Name the API server's certificate must have."),
    YES("insecure-skip-tls-verify", insecure,
        "Do not verify the API server's certificate: anybody between could read along."),
    TEXT("as", "USER", as, "User to impersonate."),
    TEXT("as-uid", "UID", as_uid, "Uid to impersonate."),
    {"as-group", "GROUP", KP_OPTION_TEXTS, AT(as_groups), NULL, 0, 0,
        "Group to impersonate; may be repeated."},
    {"as-user-extra", "KEY=VALUE", KP_OPTION_TEXTS, AT(as_extra), NULL, 0, 0,
        "Extra field of the user to impersonate; may be repeated."},
    TEXT("username", "NAME", username, "User name for basic authentication at the API server."),
    TEXT("password", "PASSWORD", password, "Password for basic authentication at the API server."),
    YES("disable-compression", disable_compression,
        "Taken as kubectl takes it; answers are never compressed."),
    {"request-timeout", "DURATION", KP_OPTION_DURATION, AT(request_timeout_ms), "0", 0, DAY_MS,
        "Give up a request to the API server after this; 0 = never. The time of a capture is added."},
    TEXT("cache-dir", "FOLDER", cache_dir, "Taken as kubectl takes it; nothing is cached."),
    {"v", "LEVEL", KP_OPTION_INT, AT(verbosity), "0", 0, 10,
        "Say more: 1 which way was taken, 6 each request, 7 with headers, 8 with bodies, 9 uncut. Secrets "
        "are masked."},
    // which
    YES("all-namespaces", all_namespaces,
        "In all namespaces; sums over them are given with --registry only."),
    TEXT("selector", "SELECTOR", selector,
        "Label selector: a=b, a!=b, 'a in (b,c)', a, !a. For profiles also a=~REGEX and system fields: "
        "k8s.pod, k8s.node, version ..."),
    TEXT("service", "NAME", service, "Service the profiles are of."),
    TEXT("from", "TIME", from,
        "Begin: RFC 3339, -1h or 1h (both an hour ago), -7d; else all that is kept (pgo: 72h ago)."),
    TEXT("to", "TIME", to, "End, as --from; else now."),
    TEXT("revision", "NAME", revision, "Only of this revision of the workload (pod-template-hash)."),
    {"type", "TYPE", KP_OPTION_LIST, AT(types), NULL, 0, 0,
        "Profile types: cpu, heap, allocs, goroutine, block, mutex, threadcreate, trace ...; several with "
        "commas."},
    YES("startup", startup, "With captures of the first minute of a container, which sums leave out."),
    {"limit", "N", KP_OPTION_INT, AT(limit), "0", 0, 100000,
        "At most so many rows; 0 = as many as there are, or as the command shows by itself."},
    // capture
    {"duration", "DURATION", KP_OPTION_DURATION, AT(duration_ms), NULL, 1000, 3600 * (int64_t)1000,
        "How long what takes time is collected; else 10s, traces 1s."},
    TEXT("container", "NAME", container, "Container; else the one with a pprof port, or the first."),
    TEXT("port", "PORT", port,
        "Port, number or container port's name; else as annotations, policies and port names say, else "
        "6060."),
    TEXT("path", "PATH", path, "Where pprof is served; else as annotations say, else /debug/pprof."),
    {"scheme", "http|https", KP_OPTION_CHOICE, AT(scheme), NULL, 0, 0, "Whether the pod's port speaks TLS."},
    TEXT("output-dir", "FOLDER", output_dir,
        "Folder for the files; it is made if it is not there. Else the current one."),
    {"via", "auto|proxy|port-forward", KP_OPTION_CHOICE, AT(via), "auto", 0, 0,
        "How a pod is reached: the API server's pod proxy, or port-forward when that is not allowed or the "
        "program listens on its own loopback only."},
    YES("push", push,
        "Store the profiles in the registry as well, as pushes of a service named like the workload, with "
        "the labels pod and container."),
    YES("open", open, "Show the first profile as a flame graph afterwards."),
    {"parallel", "N", KP_OPTION_INT, AT(parallel), "50", 1, 500, "Pods captured at the same time."},
    // printing
    TEXT("output", "FORMAT", output,
        "json; of lists also wide, yaml, name or jsonpath=TEMPLATE. Else a table, or text."),
    YES("watch", watch, "Go on and print what changes."),
    YES("no-headers", no_headers, "No header line."),
    YES("show-labels", show_labels, "Labels in the last column."),
    TEXT("by", "WHAT", by,
        "function, line, file, package or label=KEY; of a registry also label=k8s.pod and the like."),
    {"format", "FORMAT", KP_OPTION_STRING, AT(format), NULL, 0, 0,
        "svg, html, folded, json or text; of diff also pprof."},
    TEXT("sample-type", "NAME", sample_type,
        "Which value of the profile: inuse_space, alloc_objects, cpu ...; else its default."),
    TEXT("focus", "REGEX", focus, "Only stacks with such a frame."),
    TEXT("ignore", "REGEX", ignore, "Without stacks that have such a frame."),
    TEXT("hide", "REGEX", hide, "Without such frames."),
    TEXT("base", "WHAT", base, "What to compare with: a file, an id, a workload, or revision=NAME."),
    TEXT("base-from", "TIME", base_from, "Begin of the base, as --from."),
    TEXT("base-to", "TIME", base_to, "End of the base, as --to."),
    TEXT("base-selector", "SELECTOR", base_selector, "Selector of the base: version=v1."),
    YES("cum", cum, "Sort by what is spent in a function and below, not in it alone."),
    YES("normalize", normalize, "Scale the base to the same total first."),
    // files
    TEXT("output-file", "FILE", file, "Write there; - is standard output."),
    YES("force", force, "Write over a file that is there."),
    TEXT("filename", "FILE", filename, "File with objects; - is standard input."),
    {"label", "KEY=VALUE", KP_OPTION_LIST, AT(labels), NULL, 0, 0,
        "Label of what is stored; may be repeated."},
    YES("from-go-test", from_go_test,
        "Files are of `go test -cpuprofile` and the like: label them by commit, package and benchmark."),
    {"max-bytes", "BYTES", KP_OPTION_BYTES, AT(max_bytes), "0", 0, 64 * KP_MIB,
        "Leave out the lightest stacks until the file is so small; 0 = all."},
    TEXT("previous", "FILE", previous, "PGO file to compare with; else the one that is written over."),
    YES("inline-all", inline_all, "Also what is known to do harm when inlined."),
    // the registry
    TEXT("registry", "URL", registry,
        "Read from this registry (kube-pprof's or profefe's) instead of through the API server. Also from "
        "$KUBE_PPROF_REGISTRY."),
    TEXT("registry-token-file", "FILE", registry_token_file,
        "Bearer token for --registry. Also as text in $KUBE_PPROF_TOKEN."),
    TEXT("registry-ca", "FILE", registry_ca,
        "Certificates the registry's must be signed by, else the system's."),
    // kube-profefe's
    TEXT("profefe-hostport", "URL", profefe_hostport, "As --registry; kube-profefe's name for it."),
    TEXT("profile-type", "TYPE", profile_type, "As --type; kube-profefe's name for it."),
};
const size_t kp_cli_n_options = sizeof kp_cli_options / sizeof kp_cli_options[0];

const struct kp_option_letter kp_cli_letters[] = {{'n', "namespace"}, {'A', "all-namespaces"},
    {'l', "selector"}, {'t', "type"}, {'c', "container"}, {'o', "output"}, {'w', "watch"}, {'s', "server"},
    {'v', "v"}, {'f', "filename"}, {'O', "output-file"}, {0, NULL}};

const struct kp_option *kp_cli_option(const char *flag)
{
    for (size_t i = 0; i < kp_cli_n_options; i++)
        if (kp_streq(kp_cli_options[i].flag, flag))
            return &kp_cli_options[i];
    return NULL;
}

char kp_cli_letter(const char *flag)
{
    for (const struct kp_option_letter *l = kp_cli_letters; l->letter; l++)
        if (kp_streq(l->flag, flag))
            return l->letter;
    return 0;
}
