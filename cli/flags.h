// Every flag of the plugin, once: whatever commands take it, it means the same. A command names the flags it
// takes (command.h); these rows give --help, completion, the man page and the values.
#ifndef KP_CLI_FLAGS_H
#define KP_CLI_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options/options.h"

// Texts are "" where nothing was given.
struct kp_cli_flags {
    // kubectl's connection flags: every command takes them
    char *kubeconfig, *context, *cluster, *user, *namespace, *server, *token;
    char *certificate_authority, *client_certificate, *client_key, *tls_server_name;
    char *username, *password, *as, *as_uid;
    struct kp_option_list as_groups, as_extra;
    bool insecure, disable_compression; // the latter is taken as kubectl does, not used
    int64_t request_timeout_ms;         // 0 = none
    char *cache_dir;                    // taken as kubectl does, not used
    int64_t verbosity;

    // where profiles are kept
    char *registry, *registry_token_file, *registry_ca; // --registry URL instead of the API server

    // which pods or profiles
    bool all_namespaces;
    char *selector, *service, *from, *to, *revision;
    struct kp_option_list types;
    int64_t limit;
    bool startup;

    // capture
    int64_t duration_ms;
    char *container, *port, *path, *scheme, *output_dir, *via;
    bool push, open;
    int64_t parallel;

    // what is printed
    char *output;
    bool watch, no_headers, show_labels;
    char *by, *format, *sample_type, *focus, *ignore, *hide, *base, *base_from, *base_to, *base_selector;
    bool cum, normalize;

    // files
    char *file;     // --output-file, -f
    bool force;     // write over files
    char *filename; // -f of policy
    struct kp_option_list labels;
    bool from_go_test;
    int64_t max_bytes;
    char *previous;
    bool inline_all;

    // kube-profefe's
    char *profefe_hostport, *profile_type;
};

extern const struct kp_option kp_cli_options[];
extern const size_t kp_cli_n_options;
extern const struct kp_option_letter kp_cli_letters[];

// The row of a flag's name; NULL: there is none.
const struct kp_option *kp_cli_option(const char *flag);
// Its letter; 0: none.
char kp_cli_letter(const char *flag);

#endif
