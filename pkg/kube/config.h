// Where the API server is and who we are: from inside a cluster or from a kubeconfig. Nothing here reads
// environment or flags: the program hands in what it found.
#ifndef KP_KUBE_CONFIG_H
#define KP_KUBE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

// A program that hands out credentials (aws, gke-gcloud-auth-plugin, kubelogin ...); kube/client.h runs it.
enum kp_kube_exec_mode { KP_KUBE_EXEC_NEVER, KP_KUBE_EXEC_IF_AVAILABLE, KP_KUBE_EXEC_ALWAYS };
struct kp_kube_pair {
    char *name, *value;
};
struct kp_kube_exec {
    char *api_version;        // "client.authentication.k8s.io/v1" or ".../v1beta1"
    char *command;            // a path, or a name to look for in PATH
    char **args;              // NULL-terminated; NULL = none
    struct kp_kube_pair *env; // beside the inherited environment
    size_t n_env;
    enum kp_kube_exec_mode interactive_mode;
    char *install_hint; // what to do when the command is not there; NULL = nothing said
    bool provide_cluster_info;
    char *cluster_info; // JSON object for the plugin; NULL unless provide_cluster_info
};

struct kp_kube_config {
    char *server; // "https://10.96.0.1:443", with a base path perhaps, or "unix:/path/to.sock"; no trailing
                  // slash. Over http credentials go to loopback only.
    char *ca_file, *ca_pem;
    char *cert_file, *cert_pem, *key_file, *key_pem;
    char *token, *token_file;  // a file wins after its first successful read, and is read again every minute
                               // and after a 401
    char *username, *password; // basic authentication
    char *tls_server_name;
    char *proxy;     // http, https or socks5 URL, whatever NO_PROXY says decided already; NULL = none
    char *namespace; // "default" if nothing says otherwise
    bool insecure;
    char *as, *as_uid;             // impersonation
    char **as_groups;              // NULL-terminated; NULL = none
    struct kp_kube_pair *as_extra; // a name may be there several times
    size_t n_as_extra;
    struct kp_kube_exec *exec; // NULL = none. Unused beside a token, basic authentication or a certificate
    char *last_resort;         // why `server` is nobody's wish but the place kubectl tries in the end; NULL
};

// host, port: KUBERNETES_SERVICE_HOST and _PORT; dir: where token, ca.crt and namespace lie
// ("/var/run/secrets/kubernetes.io/serviceaccount"). KP_NOT_FOUND when host is NULL. An unreadable ca.crt is
// an error.
KP_MUST_CHECK int kp_kube_config_in_cluster(
    const char *host, const char *port, const char *dir, struct kp_kube_config *ret, struct kp_error *err);
// For programs that are told files and a context and nothing else; kube/kubeconfig.h has the rest. paths:
// colon-separated list as in KUBECONFIG, merged as kubectl does (missing files of a list are skipped).
// context: NULL = current-context.
KP_MUST_CHECK int kp_kube_config_load(
    const char *paths, const char *context, struct kp_kube_config *ret, struct kp_error *err);
void kp_kube_config_copy(struct kp_kube_config *to, const struct kp_kube_config *from);
void kp_kube_config_finish(struct kp_kube_config *config);

#endif
