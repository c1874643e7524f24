// The flags of `kube-pprof controller`, and the configuration they make.
#ifndef KP_CONTROLLER_CONTROLLER_OPTIONS_H
#define KP_CONTROLLER_CONTROLLER_OPTIONS_H

#include "base/error.h"
#include "controller/controller.h"
#include "options/options.h"

struct kp_controller_options {
    char *config, *kubeconfig, *context;
    char *listen, *log_level, *log_format;
    struct kp_option_list watch_namespaces;
    bool leader_elect, lease_goes_on;
    char *lease_namespace, *lease_name, *identity;
    char *registry_url, *registry_ca_file, *registry_cert_file, *registry_key_file, *registry_token_file;
    char *registry_service, *api_service_switch;
    bool manage_certificates, client_certificate, api_service;
    int64_t certificate_lifetime_ms, ca_lifetime_ms, certificate_settle_ms, api_service_port;
    bool allow_short_certificates;
    char *spool_dir;
    int64_t spool_bytes;
    struct kp_option_list dialects, path_prefixes, denied_cidrs;
    bool allow_host_network;
    int64_t min_interval_ms, max_duration_ms, max_profile_bytes;
    double max_overhead_percent;
    int64_t max_captures, max_captures_per_node, max_captures_per_namespace, max_bytes_in_flight;
    double captures_per_second_per_namespace;
    int64_t grace_ms;
    // private: NULL-terminated copies of the lists
    const char **namespaces, **prefixes, **cidrs;
};

// As kp_options_load. env: getenv's shape.
KP_MUST_CHECK int kp_controller_options_load(int argc, char **argv, const char *(*env)(const char *name),
    struct kp_controller_options *ret, struct kp_error *err);
void kp_controller_options_finish(struct kp_controller_options *options);
void kp_controller_options_help(FILE *out);

// Fills config but for config->kube; it borrows from options. KP_INVALID names the flag that is wrong.
KP_MUST_CHECK int kp_controller_options_config(
    struct kp_controller_options *options, struct kp_controller_config *config, struct kp_error *err);

// The API server is never scraped: adds the host of config->kube.server to the denied networks if it is an
// address. After kp_controller_options_config().
void kp_controller_options_deny_server(
    struct kp_controller_options *options, struct kp_controller_config *config);

#endif
