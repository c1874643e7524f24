#include "controller/apiserver.h"

#include <stddef.h>

#include "base/banned.h"

#define SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

int kp_apiserver_find(const char *kubeconfig, const char *context, const char *(*env)(const char *name),
    struct kp_kube_config *ret, struct kp_error *err)
{
    if (kubeconfig[0] != '\0')
        return kp_kube_config_load(kubeconfig, context[0] != '\0' ? context : NULL, ret, err);
    if (kp_kube_config_in_cluster(env("KUBERNETES_SERVICE_HOST"), env("KUBERNETES_SERVICE_PORT"),
            SERVICE_ACCOUNT_DIR, ret, err) == 0)
        return 0;
    return kp_wrap(err, "no way to the API server: give --kubeconfig, or run in a pod with a ServiceAccount");
}
