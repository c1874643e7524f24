#include "controller/controller_options.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "policy/annotations.h"
#include "base/banned.h"

#define AT(field) offsetof(struct kp_controller_options, field)
#define MINUTE_MS INT64_C(60000)
#define DAY_MS    (24 * 60 * MINUTE_MS)
#define MIB       INT64_C(1048576)

static const struct kp_option rows[] = {
    {"config", "FILE", KP_OPTION_STRING, AT(config), NULL, 0, 0,
        "Configuration file (flat YAML); its keys are the flags' names."},
    {"kubeconfig", "FILES", KP_OPTION_STRING, AT(kubeconfig), NULL, 0, 0,
        "Kubeconfig, or a colon-separated list of them. Without it: the pod's ServiceAccount."},
    {"context", "NAME", KP_OPTION_STRING, AT(context), NULL, 0, 0,
        "Context of the kubeconfig; its current one by default."},
    {"watch-namespaces", "NAMES", KP_OPTION_LIST, AT(watch_namespaces), NULL, 0, 0,
        "Only these namespaces are watched and scraped; ClusterProfilingPolicies are then not served. "
        "Default: all."},
    {"registry-url", "URL", KP_OPTION_STRING, AT(registry_url), "http://127.0.0.1:10100", 0, 0,
        "Where captures are delivered."},
    {"registry-ca-file", "FILE", KP_OPTION_STRING, AT(registry_ca_file), NULL, 0, 0,
        "CA of the registry's certificate."},
    {"registry-cert-file", "FILE", KP_OPTION_STRING, AT(registry_cert_file), NULL, 0, 0,
        "Client certificate for the registry."},
    {"registry-key-file", "FILE", KP_OPTION_STRING, AT(registry_key_file), NULL, 0, 0, "Its key."},
    {"registry-token-file", "FILE", KP_OPTION_STRING, AT(registry_token_file), NULL, 0, 0,
        "Bearer token for the registry; read again when it changes."},
    {"registry-service", "NAME", KP_OPTION_STRING, AT(registry_service), "kube-pprof-registry", 0, 0,
        "The registry's Service, in the namespace of the Lease: what its certificate is for and what the "
        "APIService names."},
    {"manage-certificates", NULL, KP_OPTION_BOOL, AT(manage_certificates), "false", 0, 0,
        "Be the registry's certificate authority: the leader keeps its CA in the Secret SERVICE-ca and its "
        "certificate in\n"
        "SERVICE-tls, and renews both. Deliveries begin when the CA is known; --registry-ca-file is then not "
        "used."},
    {"client-certificate", NULL, KP_OPTION_BOOL, AT(client_certificate), "false", 0, 0,
        "Show the registry a certificate of that CA, made anew by each leader. Only with "
        "--manage-certificates."},
    {"certificate-lifetime", "DURATION", KP_OPTION_DURATION, AT(certificate_lifetime_ms), "90d", 10000,
        10 * 366 * DAY_MS,
        "Of the registry's certificate; it is renewed after two thirds. At least an hour: the kubelet takes "
        "minutes to put a new one before the registry."},
    {"allow-short-certificates", NULL, KP_OPTION_BOOL, AT(allow_short_certificates), "false", 0, 0,
        "Certificates that live for less than an hour: for tests of their renewal."},
    {"ca-lifetime", "DURATION", KP_OPTION_DURATION, AT(ca_lifetime_ms), "3650d", 40000, 100 * 366 * DAY_MS,
        "Of the CA; it is replaced after two thirds. At least four lifetimes of a certificate."},
    {"certificate-settle", "DURATION", KP_OPTION_DURATION, AT(certificate_settle_ms), "5m", 0, DAY_MS,
        "So long a new CA is known to all that verify the registry before it signs."},
    {"api-service", NULL, KP_OPTION_BOOL, AT(api_service), "true", 0, 0,
        "Have the APIService of the aggregated API while the registry answers; false removes it. Only with "
        "--api-service-switch."},
    {"api-service-switch", "NAME", KP_OPTION_STRING, AT(api_service_switch), NULL, 0, 0,
        "ConfigMap in the namespace of the Lease without which no APIService is kept: uninstalling deletes "
        "it "
        "first.\n"
        "Empty: APIServices are not touched."},
    {"api-service-port", "PORT", KP_OPTION_INT, AT(api_service_port), "443", 1, 65535,
        "Port of the registry's Service that the API server uses."},
    {"spool-dir", "FOLDER", KP_OPTION_STRING, AT(spool_dir), NULL, 0, 0,
        "Where captures wait while the registry is away. Without it they wait in memory only."},
    {"spool-bytes", "BYTES", KP_OPTION_BYTES, AT(spool_bytes), "512Mi", 1 * MIB, 0, "Size of the spool."},
    {"listen", "ADDRESS", KP_OPTION_STRING, AT(listen), ":8080", 0, 0,
        "Where /healthz, /readyz and /metrics are served; empty: nowhere."},
    {"leader-elect", NULL, KP_OPTION_BOOL, AT(leader_elect), "false", 0, 0,
        "Elect a leader by a Lease: needed with more than one replica."},
    {"lease-goes-on", NULL, KP_OPTION_BOOL, AT(lease_goes_on), "false", 0, 0,
        "For one replica, with --leader-elect: who leads goes on while it cannot renew the Lease, until it "
        "sees\n"
        "that another holds it. So one goes on capturing while the API server is away, and two are never "
        "without an election."},
    {"lease-namespace", "NAME", KP_OPTION_STRING, AT(lease_namespace), NULL, 0, 0,
        "Namespace of the Lease; the pod's own by default."},
    {"lease-name", "NAME", KP_OPTION_STRING, AT(lease_name), "kube-pprof-controller", 0, 0,
        "Name of the Lease."},
    {"identity", "NAME", KP_OPTION_STRING, AT(identity), NULL, 0, 0,
        "This replica in Lease and Events; the host name by default."},
    {"annotation-dialects", "NAMES", KP_OPTION_LIST, AT(dialects), "kube-pprof,profefe", 0, 0,
        "Annotation dialects that are understood: kube-pprof, profefe, grafana, pyroscope, coroot. The last "
        "three are\n"
        "off by default, since their own collectors may be running."},
    {"allow-host-network", NULL, KP_OPTION_BOOL, AT(allow_host_network), "false", 0, 0,
        "Scrape pods of the host network as well."},
    {"path-prefixes", "PATHS", KP_OPTION_LIST, AT(path_prefixes), "/debug/", 0, 0,
        "Every path that is scraped starts with one of these."},
    {"denied-cidrs", "CIDRS", KP_OPTION_LIST, AT(denied_cidrs), NULL, 0, 0,
        "Networks never scraped, beside loopback, link-local, multicast, the API server and the service "
        "ranges that it tells (ServiceCIDRs, since Kubernetes 1.33): older service ranges, nodes ..."},
    {"min-interval", "DURATION", KP_OPTION_DURATION, AT(min_interval_ms), "10s", 1000, DAY_MS,
        "Shortest interval a policy gets."},
    {"max-duration", "DURATION", KP_OPTION_DURATION, AT(max_duration_ms), "60s", 1000, 10 * MINUTE_MS,
        "Longest duration of a CPU profile a policy gets."},
    {"max-profile-bytes", "BYTES", KP_OPTION_BYTES, AT(max_profile_bytes), "64Mi", 1024, 64 * MIB,
        "Largest profile a policy gets."},
    {"max-overhead-percent", "PERCENT", KP_OPTION_PERCENT, AT(max_overhead_percent), "5", 0, 100,
        "Largest overheadPercent a policy gets."},
    {"max-captures", "N", KP_OPTION_INT, AT(max_captures), "500", 1, 10000, "Captures at once, in all."},
    {"max-captures-per-node", "N", KP_OPTION_INT, AT(max_captures_per_node), "5", 1, 10000,
        "Captures at once on one node."},
    {"max-captures-per-namespace", "N", KP_OPTION_INT, AT(max_captures_per_namespace), "100", 1, 10000,
        "Captures at once in one namespace."},
    {"captures-per-second-per-namespace", "N", KP_OPTION_DECIMAL, AT(captures_per_second_per_namespace), "0",
        0, 100000, "Rate of starts in one namespace; 0: no limit."},
    {"max-bytes-in-flight", "BYTES", KP_OPTION_BYTES, AT(max_bytes_in_flight), "64Mi", 1 * MIB, 0,
        "Profile bytes held while they are being received."},
    {"shutdown-grace", "DURATION", KP_OPTION_DURATION, AT(grace_ms), "10s", 0, 10 * MINUTE_MS,
        "How long deliveries and status writes may take at the end."},
    {"log-level", "debug|info|warn|error", KP_OPTION_CHOICE, AT(log_level), "info", 0, 0,
        "SIGHUP reads it anew from the file."},
    {"log-format", "json|text", KP_OPTION_CHOICE, AT(log_format), "json", 0, 0, "Form of the log lines."},
};

int kp_controller_options_load(int argc, char **argv, const char *(*env)(const char *name),
    struct kp_controller_options *ret, struct kp_error *err)
{
    struct kp_options_source source = {.argc = argc, .argv = argv, .env = env};
    return kp_options_load(rows, KP_COUNT(rows), &source, ret, err);
}

void kp_controller_options_finish(struct kp_controller_options *options)
{
    kp_free(options->namespaces);
    kp_free(options->prefixes);
    kp_free(options->cidrs);
    kp_options_finish(rows, KP_COUNT(rows), options);
}

void kp_controller_options_help(FILE *out)
{
    kp_options_help(rows, KP_COUNT(rows), "controller",
        "Watches ProfilingPolicies and pods, captures profiles, delivers them to the registry and writes "
        "what came of it\n"
        "into each policy's status.",
        out);
}

// ---- configuration ----

static const char **terminated(const struct kp_option_list *list)
{
    const char **items = KP_NEW_ARRAY(const char *, list->n + 1);
    for (size_t i = 0; i < list->n; i++)
        items[i] = list->items[i];
    return items;
}

static int read_dialects(const struct kp_option_list *list, unsigned *ret, struct kp_error *err)
{
    static const struct {
        const char *name;
        unsigned bit;
    } dialects[] = {{"kube-pprof", KP_DIALECT_OWN}, {"profefe", KP_DIALECT_PROFEFE},
        {"grafana", KP_DIALECT_GRAFANA}, {"pyroscope", KP_DIALECT_PYROSCOPE}, {"coroot", KP_DIALECT_COROOT}};
    *ret = 0;
    for (size_t i = 0; i < list->n; i++) {
        unsigned bit = 0;
        for (size_t d = 0; d < KP_COUNT(dialects); d++)
            bit |= kp_streq(dialects[d].name, list->items[i]) ? dialects[d].bit : 0;
        if (bit == 0)
            return kp_fail(err, KP_INVALID,
                "--annotation-dialects: '%.40s' is not a dialect; use kube-pprof, profefe, grafana, "
                "pyroscope or coroot",
                list->items[i]);
        *ret |= bit;
    }
    return 0;
}

static int check_prefixes(const struct kp_option_list *list, struct kp_error *err)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->items[i][0] != '/' || strstr(list->items[i], "..") != NULL)
            return kp_fail(err, KP_INVALID, "--path-prefixes: '%.60s' must start with '/' and not hold '..'",
                list->items[i]);
    return 0;
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static int check_link(const struct kp_controller_options *o, struct kp_error *err)
{
    bool is_tls = kp_starts_with(o->registry_url, "https://");
    if (o->manage_certificates && !is_tls)
        return kp_fail(
            err, KP_INVALID, "--manage-certificates: --registry-url must then start with https://");
    if (o->client_certificate && !o->manage_certificates)
        return kp_fail(err, KP_INVALID, "--client-certificate needs --manage-certificates");
    if (o->certificate_lifetime_ms < 60 * MINUTE_MS && !o->allow_short_certificates)
        return kp_fail(err, KP_INVALID,
            "--certificate-lifetime must be at least 1h: the kubelet takes minutes to put a renewed "
            "certificate "
            "before the registry, and the old one must not expire meanwhile");
    if (o->ca_lifetime_ms / 4 < o->certificate_lifetime_ms)
        return kp_fail(err, KP_INVALID, "--ca-lifetime must be at least four times --certificate-lifetime");
    if (o->certificate_settle_ms > o->certificate_lifetime_ms / 4)
        return kp_fail(
            err, KP_INVALID, "--certificate-settle must be at most a quarter of --certificate-lifetime");
    if (o->api_service_switch[0] != '\0' && o->api_service && !o->manage_certificates &&
        (!is_tls || o->registry_ca_file[0] == '\0'))
        return kp_fail(err, KP_INVALID,
            "--api-service: the API server has to verify the registry; give an https --registry-url with "
            "--manage-certificates or --registry-ca-file, or say --api-service=false");
    return 0;
}

static struct kp_registrylink_config link_config(const struct kp_controller_options *o)
{
    return (struct kp_registrylink_config){.service = o->registry_service,
        .manage_certificates = o->manage_certificates,
        .client_certificate = o->client_certificate,
        .ca_file = or_null(o->registry_ca_file),
        .certificate_lifetime_ms = o->certificate_lifetime_ms,
        .ca_lifetime_ms = o->ca_lifetime_ms,
        .settle_ms = o->certificate_settle_ms,
        .api_service_switch = or_null(o->api_service_switch),
        .api_service = o->api_service,
        .api_service_port = (int)o->api_service_port};
}

int kp_controller_options_config(
    struct kp_controller_options *options, struct kp_controller_config *config, struct kp_error *err)
{
    unsigned dialects;
    if (read_dialects(&options->dialects, &dialects, err) != 0 ||
        check_prefixes(&options->path_prefixes, err) != 0)
        return KP_INVALID;
    if (!kp_starts_with(options->registry_url, "http://") &&
        !kp_starts_with(options->registry_url, "https://"))
        return kp_fail(err, KP_INVALID, "--registry-url: '%.100s' must start with http:// or https://",
            options->registry_url);
    if (check_link(options, err) != 0)
        return KP_INVALID;
    options->namespaces = terminated(&options->watch_namespaces);
    options->prefixes = terminated(&options->path_prefixes);
    options->cidrs = terminated(&options->denied_cidrs);
    *config = (struct kp_controller_config){
        .identity = options->identity,
        .watch_namespaces = options->namespaces,
        .cluster_policies = options->watch_namespaces.n == 0,
        .leader_elect = options->leader_elect,
        .lease_goes_on = options->lease_goes_on,
        .lease_namespace = options->lease_namespace,
        .lease_name = options->lease_name,
        .target = {.dialects = dialects,
            .allow_host_network = options->allow_host_network,
            .path_prefixes = options->prefixes},
        .caps = {.min_interval_ms = options->min_interval_ms,
            .max_duration_ms = options->max_duration_ms,
            .max_profile_bytes = options->max_profile_bytes,
            .max_overhead_percent = options->max_overhead_percent,
            .path_prefixes = options->prefixes,
            .allow_host_network = options->allow_host_network},
        .limits = {.per_node = (int)options->max_captures_per_node,
            .per_namespace = (int)options->max_captures_per_namespace,
            .total = (int)options->max_captures,
            .bytes_in_flight = options->max_bytes_in_flight,
            .captures_per_second_per_namespace = options->captures_per_second_per_namespace},
        .capture = {.max_running = (int)options->max_captures + 64,
            .max_bytes_in_flight = (size_t)options->max_bytes_in_flight,
            .denied_cidrs = options->cidrs},
        .registry = {.url = options->registry_url,
            .ca_file = or_null(options->registry_ca_file),
            .cert_file = or_null(options->registry_cert_file),
            .key_file = or_null(options->registry_key_file),
            .token_file = or_null(options->registry_token_file)},
        .link = link_config(options),
        .spool_dir = or_null(options->spool_dir),
        .spool_bytes = (uint64_t)options->spool_bytes,
    };
    return 0;
}

void kp_controller_options_deny_server(
    struct kp_controller_options *options, struct kp_controller_config *config)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    const char *host = strstr(config->kube.server, "://");
    if (host == NULL)
        return;
    host += 3;
    bool is_six = *host == '[';
    kp_auto_free char *address =
        is_six ? kp_strndup(host + 1, strcspn(host + 1, "]/")) : kp_strndup(host, strcspn(host, ":/"));
    if (inet_pton(is_six ? AF_INET6 : AF_INET, address, bytes) != 1)
        return; // a name: pods have addresses
    struct kp_option_list *list = &options->denied_cidrs;
    list->items = kp_grow(list->items, list->n + 1, sizeof *list->items);
    list->items[list->n++] = kp_take(address);
    kp_free(options->cidrs);
    options->cidrs = terminated(list);
    config->capture.denied_cidrs = options->cidrs;
}
