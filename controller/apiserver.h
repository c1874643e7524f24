// Where the API server is, for both roles.
#ifndef KP_CONTROLLER_APISERVER_H
#define KP_CONTROLLER_APISERVER_H

#include "kube/config.h"

// kubeconfig: colon-separated files, "" = from inside the cluster; context: "" = the current one.
KP_MUST_CHECK int kp_apiserver_find(const char *kubeconfig, const char *context,
    const char *(*env)(const char *name), struct kp_kube_config *ret, struct kp_error *err);

#endif
