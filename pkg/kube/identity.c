#include "base/clock.h"
#include "kube/client.h"
#include "kube/client_internal.h"

#include "base/banned.h"

const char *kp_kube_identity(struct kp_kube *kube, struct kp_http_tls *ret_tls)
{
    struct kp_http_tls tls;
    int64_t now = kp_mono_ms();
    kp_credentials_tls(&kube->credentials, now, &tls);
    *ret_tls = (struct kp_http_tls){.cert_file = tls.cert_file,
        .cert_pem = tls.cert_pem,
        .key_file = tls.key_file,
        .key_pem = tls.key_pem};
    return kp_credentials_header(&kube->credentials, now);
}
