#include "controller/registry_options.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "options/options.h"
#include "kube/client.h"
#include "base/banned.h"

#define AT(field) offsetof(struct kp_registry_options, field)
#define HOUR_MS   INT64_C(3600000)
#define YEAR_MS   (366 * 24 * HOUR_MS)

static const struct kp_option rows[] = {
    {"config", "FILE", KP_OPTION_STRING, AT(config), NULL, 0, 0,
        "Configuration file (flat YAML); its keys are the flags' names."},
    {"listen", "ADDRESS", KP_OPTION_STRING, AT(listen), "127.0.0.1:10100", 0, 0,
        "Where the API is served. Beyond loopback it needs --authentication=Kubernetes and TLS, or a flag "
        "that "
        "says otherwise."},
    {"metrics-listen", "ADDRESS", KP_OPTION_STRING, AT(metrics_listen), NULL, 0, 0,
        "A port of their own for /metrics and /readyz; empty: they are served with the API. /healthz is on "
        "both."},
    {"data-dir", "FOLDER", KP_OPTION_STRING, AT(data_dir), "kube-pprof-data", 0, 0,
        "Where profiles are kept. One registry per folder."},
    {"retention", "DURATION", KP_OPTION_DURATION, AT(retention_ms), "5d", 0, 0,
        "How long profiles are kept after receipt where their policy does not say; 0: for ever."},
    {"max-retention", "DURATION", KP_OPTION_DURATION, AT(max_retention_ms), "30d", 0, 0,
        "The longest a policy may ask for; 0: no limit."},
    {"max-bytes", "BYTES", KP_OPTION_BYTES, AT(max_bytes), "0", 0, 0,
        "Size of the data folder. When it is reached, the namespace with the most bytes loses its oldest "
        "profiles.\n"
        "0: all of the file system but a tenth."},
    {"max-profiles-per-service", "NUMBER", KP_OPTION_INT, AT(max_profiles_per_service), "0", 0, 0,
        "The oldest profiles of a service beyond it are deleted; 0: no limit."},
    {"seal-after", "DURATION", KP_OPTION_DURATION, AT(seal_after_ms), "10m", 1000, 24 * HOUR_MS,
        "Received profiles lie in the log for at least so long and until the hour is over, then they are "
        "moved "
        "into segments, which take a fraction of the space."},
    {"keep-original", "OnError|Always|Never", KP_OPTION_CHOICE, AT(keep_original), "OnError", 0, 0,
        "Whether segments hold the received bytes as well: where the profile read back would not be equal; "
        "always; not even then."},
    {"max-merges", "NUMBER", KP_OPTION_INT, AT(max_merges), "4", 1, 256,
        "Answers made of many profiles (merge, top, flamegraph ...) at the same time; further ones get 429."},
    {"max-merges-per-namespace", "NUMBER", KP_OPTION_INT, AT(max_merges_per_namespace), "0", 0, 256,
        "Of them, in one namespace; 0: half, where more than one asks."},
    {"max-ingest-per-namespace", "BYTES", KP_OPTION_BYTES, AT(max_ingest_per_namespace), "0", 0, 0,
        "Bytes of profiles a second that are taken for one namespace, ten seconds' worth at once; further "
        "ones "
        "get 429. 0: no limit."},
    {"max-bytes-per-namespace", "BYTES", KP_OPTION_BYTES, AT(max_bytes_per_namespace), "0", 0, 0,
        "What one namespace may keep: beyond it its oldest profiles go. 0: no limit."},
    {"max-series-per-namespace", "NUMBER", KP_OPTION_INT, AT(max_series_per_namespace), "0", 0, 0,
        "Series (service, type, pod, labels ...) that one namespace may have; profiles of further ones get "
        "429. "
        "0: no limit."},
    {"accept-empty", NULL, KP_OPTION_BOOL, AT(accept_empty), "false", 0, 0,
        "Take profiles without samples on /api/0, as profefe did before 2020."},
    {"tls-cert-file", "FILE", KP_OPTION_STRING, AT(tls_cert_file), NULL, 0, 0,
        "Certificate (PEM, with its chain) to serve HTTPS with; read again when it changes."},
    {"tls-key-file", "FILE", KP_OPTION_STRING, AT(tls_key_file), NULL, 0, 0, "Its key."},
    {"authentication", "None|Kubernetes", KP_OPTION_CHOICE, AT(authentication), "None", 0, 0,
        "Who is asked who a client is and what he may: nobody (everyone may everything), or the API server, "
        "by "
        "TokenReview and SubjectAccessReview on profiles.data.kube-pprof.dev."},
    {"kubeconfig", "FILES", KP_OPTION_STRING, AT(kubeconfig), NULL, 0, 0,
        "The way to the API server; by default that of the pod's ServiceAccount."},
    {"context", "NAME", KP_OPTION_STRING, AT(context), NULL, 0, 0,
        "Context of the kubeconfig; its current one by default."},
    {"namespace", "NAME", KP_OPTION_STRING, AT(namespace), NULL, 0, 0,
        "The registry's own: who may create profiles/captures in it may write captures of all namespaces. By "
        "default the ServiceAccount's."},
    {"token-audiences", "NAMES", KP_OPTION_LIST, AT(token_audiences), "kube-pprof", 0, 0,
        "A bearer token has to be for one of them."},
    {"accept-api-server-tokens", NULL, KP_OPTION_BOOL, AT(accept_api_server_tokens), "false", 0, 0,
        "Take also tokens that are for the API server itself. Whoever runs the registry could use them "
        "there."},
    {"aggregated-api", NULL, KP_OPTION_BOOL, AT(aggregated_api), "false", 0, 0,
        "Believe the API server's front proxy who its users are (below /apis and /openapi): ConfigMap "
        "kube-system/extension-apiserver-authentication is watched."},
    {"allow-anonymous", "NAMESPACE", KP_OPTION_STRING, AT(allow_anonymous), NULL, 0, 0,
        "Whoever says nothing of himself reads and pushes profiles of this namespace on /api/0: for agents "
        "of "
        "profefe."},
    {"controller-client-ca-file", "FILE", KP_OPTION_STRING, AT(controller_client_ca_file), NULL, 0, 0,
        "Take captures only from clients with a certificate of one of these CAs beside their token; read "
        "again "
        "when it changes."},
    {"await-namespaces", "DURATION", KP_OPTION_DURATION, AT(await_namespaces_ms), "0", 0, 24 * HOUR_MS,
        "After the start show nothing of a namespace until the controller has told how old it is: it may "
        "have "
        "been deleted and made again meanwhile. Profiles are taken. After so long who may read all "
        "namespaces "
        "reads all the same; who may read one goes on waiting. 0: nobody waits."},
    {"insecure-http", NULL, KP_OPTION_BOOL, AT(insecure_http), "false", 0, 0,
        "Take bearer tokens over HTTP beyond loopback: where something in front of it ends TLS."},
    {"insecure-allow-everyone", NULL, KP_OPTION_BOOL, AT(insecure_allow_everyone), "false", 0, 0,
        "Serve whoever can reach the address, without asking who it is: they read and write every profile. "
        "For trials."},
    {"shutdown-grace", "DURATION", KP_OPTION_DURATION, AT(grace_ms), "10s", 0, HOUR_MS,
        "How long running requests may take at the end."},
    {"log-level", "debug|info|warn|error", KP_OPTION_CHOICE, AT(log_level), "info", 0, 0,
        "SIGHUP reads it anew from the file."},
    {"log-format", "json|text", KP_OPTION_CHOICE, AT(log_format), "json", 0, 0, "Form of the log lines."},
};

bool kp_listen_is_local(const char *address)
{
    return kp_starts_with(address, "unix:") || kp_is_loopback(address);
}

bool kp_registry_asks_kubernetes(const struct kp_registry_options *o)
{
    return kp_streq(o->authentication, "Kubernetes");
}

static bool has_tls(const struct kp_registry_options *o)
{
    return o->tls_cert_file[0] != '\0';
}

// What is said to no effect is refused: somebody relies on it.
static int check_authentication(const struct kp_registry_options *o, struct kp_error *err)
{
    const struct {
        const char *flag;
        bool said, needs_tls;
    } needs[] = {
        {"--accept-api-server-tokens", o->accept_api_server_tokens, false},
        {"--allow-anonymous", o->allow_anonymous[0] != '\0', false},
        {"--aggregated-api", o->aggregated_api, true},
        {"--controller-client-ca-file", o->controller_client_ca_file[0] != '\0', true},
    };
    bool asks = kp_registry_asks_kubernetes(o);
    for (size_t i = 0; i < KP_COUNT(needs); i++) {
        if (needs[i].said && !asks)
            return kp_fail(err, KP_INVALID, "%s needs --authentication=Kubernetes", needs[i].flag);
        if (needs[i].said && needs[i].needs_tls && !has_tls(o))
            return kp_fail(err, KP_INVALID, "%s needs --tls-cert-file and --tls-key-file", needs[i].flag);
    }
    if (asks && o->insecure_allow_everyone)
        return kp_fail(
            err, KP_INVALID, "--insecure-allow-everyone and --authentication=Kubernetes exclude each other");
    if (asks && o->token_audiences.n == 0)
        return kp_fail(err, KP_INVALID, "--token-audiences must not be empty");
    if (o->allow_anonymous[0] != '\0' && !kp_kube_name_valid(o->allow_anonymous))
        return kp_fail(
            err, KP_INVALID, "--allow-anonymous=%.60s is not the name of a namespace", o->allow_anonymous);
    if (o->namespace[0] != '\0' && !kp_kube_name_valid(o->namespace))
        return kp_fail(err, KP_INVALID, "--namespace=%.60s is not the name of one", o->namespace);
    return 0;
}

// Beyond loopback nothing is open by accident.
static int check_exposure(const struct kp_registry_options *o, struct kp_error *err)
{
    if (kp_listen_is_local(o->listen))
        return 0;
    if (!kp_registry_asks_kubernetes(o) && !o->insecure_allow_everyone)
        return kp_fail(err, KP_INVALID,
            "--listen=%.60s: everyone who reaches this address could read and write all profiles; say "
            "--authentication=Kubernetes, listen on 127.0.0.1, or say --insecure-allow-everyone",
            o->listen);
    if (kp_registry_asks_kubernetes(o) && !has_tls(o) && !o->insecure_http)
        return kp_fail(err, KP_INVALID,
            "--listen=%.60s: tokens would cross the network in the clear; give --tls-cert-file and "
            "--tls-key-file, or say --insecure-http if something in front ends TLS",
            o->listen);
    return 0;
}

static int check(const struct kp_registry_options *o, struct kp_error *err)
{
    if (o->listen[0] == '\0')
        return kp_fail(err, KP_INVALID, "--listen must not be empty");
    if (o->data_dir[0] == '\0')
        return kp_fail(err, KP_INVALID, "--data-dir must not be empty");
    if ((o->tls_cert_file[0] == '\0') != (o->tls_key_file[0] == '\0'))
        return kp_fail(err, KP_INVALID, "--tls-cert-file and --tls-key-file go together");
    if (check_authentication(o, err) != 0 || check_exposure(o, err) != 0)
        return err->code;
    if (o->max_bytes != 0 && o->max_bytes < 1 << 20)
        return kp_fail(err, KP_INVALID, "--max-bytes: less than 1Mi holds no log");
    return 0;
}

int kp_registry_options_load(int argc, char **argv, const char *(*env)(const char *name),
    struct kp_registry_options *ret, struct kp_error *err)
{
    struct kp_options_source source = {.argc = argc, .argv = argv, .env = env};
    int rc = kp_options_load(rows, KP_COUNT(rows), &source, ret, err);
    if (rc == 0 && check(ret, err) != 0) {
        rc = err->code;
        kp_options_finish(rows, KP_COUNT(rows), ret);
    }
    return rc;
}

void kp_registry_options_finish(struct kp_registry_options *options)
{
    kp_options_finish(rows, KP_COUNT(rows), options);
}

void kp_registry_options_help(FILE *out)
{
    kp_options_help(rows, KP_COUNT(rows), "registry",
        "Checks, stores and serves profiles. Its HTTP API: docs/registry-api.md.\n"
        "For a data folder that no registry has open: `registry verify`, `repair`, `export`, `import`.",
        out);
}
