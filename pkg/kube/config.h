// Where the API server is and who we are: from inside a cluster or from a kubeconfig. Nothing here reads
// environment or flags: the program hands in what it found.
#ifndef KP_KUBE_CONFIG_H
#define KP_KUBE_CONFIG_H

#include <stdbool.h>

#include "base/error.h"

struct kp_kube_config {
    char *server; // "https://10.96.0.1:443" or "unix:/path/to.sock", no trailing slash. Over http a token
                  // goes to loopback only.
    char *ca_file, *ca_pem;
    char *cert_file, *cert_pem, *key_file, *key_pem;
    char *token, *token_file; // a file wins after its first successful read, and is read again every minute
                              // and after a 401
    char *tls_server_name, *proxy;
    char *namespace; // "default" if nothing says otherwise
    bool insecure;
};

// host, port: KUBERNETES_SERVICE_HOST and _PORT; dir: where token, ca.crt and namespace lie
// ("/var/run/secrets/kubernetes.io/serviceaccount"). KP_NOT_FOUND when host is NULL. An unreadable ca.crt is
// an error.
KP_MUST_CHECK int kp_kube_config_in_cluster(
    const char *host, const char *port, const char *dir, struct kp_kube_config *ret, struct kp_error *err);
// paths: colon-separated list as in KUBECONFIG, merged as kubectl does (missing files of a list are skipped).
// context: NULL = current-context. exec plugins, auth-provider and impersonation are not served here:
// KP_INVALID with a sentence.
KP_MUST_CHECK int kp_kube_config_load(
    const char *paths, const char *context, struct kp_kube_config *ret, struct kp_error *err);
void kp_kube_config_finish(struct kp_kube_config *config);

#endif
