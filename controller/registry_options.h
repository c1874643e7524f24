// Options of `kube-pprof registry`.
#ifndef KP_CONTROLLER_REGISTRY_OPTIONS_H
#define KP_CONTROLLER_REGISTRY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "options/options.h"

struct kp_registry_options {
    char *config;
    char *listen, *metrics_listen;
    char *data_dir;
    int64_t retention_ms, max_retention_ms, max_bytes;
    int64_t seal_after_ms, max_merges, max_profiles_per_service;
    int64_t max_merges_per_namespace, max_ingest_per_namespace, max_bytes_per_namespace,
        max_series_per_namespace;
    char *keep_original;
    bool accept_empty;
    char *tls_cert_file, *tls_key_file;
    char *authentication; // "None", "Kubernetes"
    char *kubeconfig, *context, *namespace;
    struct kp_option_list token_audiences;
    bool accept_api_server_tokens, aggregated_api;
    char *allow_anonymous; // namespace
    char *controller_client_ca_file;
    int64_t await_namespaces_ms;
    bool insecure_allow_everyone, insecure_http;
    int64_t grace_ms;
    char *log_level, *log_format;
};

// Also checks that the options fit together. KP_OPTIONS_HELP: see options/options.h.
KP_MUST_CHECK int kp_registry_options_load(int argc, char **argv, const char *(*env)(const char *name),
    struct kp_registry_options *ret, struct kp_error *err);
void kp_registry_options_finish(struct kp_registry_options *options);
void kp_registry_options_help(FILE *out);

bool kp_registry_asks_kubernetes(const struct kp_registry_options *options); // --authentication

// Whether an address can be reached from this machine only.
bool kp_listen_is_local(const char *address);

#endif
