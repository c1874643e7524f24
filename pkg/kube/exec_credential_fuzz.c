#include <stdint.h>

#include "kube/exec_credential.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char version[] = "client.authentication.k8s.io/v1";
    struct kp_exec_credential credential = {0};
    if (kp_exec_credential_parse((const char *)data, size, version, &credential, NULL) != KP_OK)
        return 0;
    if (!credential.token && !credential.cert_pem)
        __builtin_trap();
    if (!credential.cert_pem != !credential.key_pem)
        __builtin_trap();
    kp_exec_credential_finish(&credential);
    return 0;
}
