// Where the API server is and who we are, found as kubectl finds it: from its flags, its files and, as the
// last resort, from inside a cluster. Nothing here reads the environment: the program hands it in.
#ifndef KP_KUBE_KUBECONFIG_H
#define KP_KUBE_KUBECONFIG_H

#include "kube/config.h"

// kubectl's connection flags by their names; NULL (or "") = not given.
struct kp_kubeconfig_wishes {
    const char *kubeconfig; // that file only; it must exist
    const char *context, *cluster, *user, *namespace;
    const char *server; // without a scheme it is https if anything of TLS is wished for, http otherwise
    const char *token, *username, *password;
    const char *certificate_authority, *client_certificate, *client_key; // relative to the working directory
    const char *tls_server_name;
    const char *as, *as_uid;
    const char *const *as_groups; // NULL-terminated
    const char *const *as_extra;  // "key=value", NULL-terminated; a key may be there several times
    bool insecure;                // --insecure-skip-tls-verify
    // For KUBECONFIG (colon-separated list, missing files are skipped), HTTPS_PROXY, HTTP_PROXY, NO_PROXY
    // (also in small letters), KUBERNETES_SERVICE_HOST and _PORT, POD_NAMESPACE. NULL = an empty environment.
    const char *(*env)(const char *name);
    const char *home;                // for ~/.kube/config; NULL = there is none
    const char *service_account_dir; // NULL = /var/run/secrets/kubernetes.io/serviceaccount
};

// Files, merging, overriding as kubectl does. Unlike kubectl it does not go on to localhost when a file is
// there and says nothing usable (no current-context, a context that names a cluster or user nobody defines):
// KP_INVALID or KP_NOT_FOUND with a sentence that says what is missing and, where it helps, what there is.
// With no configuration at all, and not in a cluster, ret is kubectl's http://localhost:8080, with
// ret->last_resort saying why; a refused connection is then reported with it.
KP_MUST_CHECK int kp_kubeconfig_load(
    const struct kp_kubeconfig_wishes *wishes, struct kp_kube_config *ret, struct kp_error *err);

#endif
