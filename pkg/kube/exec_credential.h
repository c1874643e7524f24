// What an exec plugin is told and what it answers: ExecCredential, client.authentication.k8s.io/v1 and
// v1beta1. Pure. Internal to kube.
#ifndef KP_KUBE_EXEC_CREDENTIAL_H
#define KP_KUBE_EXEC_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kube/config.h"

struct kp_exec_credential {
    char *token;              // NULL = none; fit for a header
    char *cert_pem, *key_pem; // both or none, and they belong together
    int64_t expires_ms;       // wall clock; 0 = nothing said
};

// json: all of the plugin's output. KP_INVALID with a sentence that does not repeat what is secret.
KP_MUST_CHECK int kp_exec_credential_parse(const char *json, size_t len, const char *api_version,
    struct kp_exec_credential *ret, struct kp_error *err);
void kp_exec_credential_finish(struct kp_exec_credential *credential); // wipes

// The value of KUBERNETES_EXEC_INFO; to be freed.
char *kp_exec_info(const struct kp_kube_exec *exec, bool interactive);

#endif
