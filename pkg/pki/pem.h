// Inside pki only: PEM texts to OpenSSL's objects and back.
#ifndef KP_PKI_PEM_H
#define KP_PKI_PEM_H

#include <openssl/x509.h>

#include "base/error.h"

// kp_fail() with OpenSSL's own reason behind the text; empties OpenSSL's error queue.
int kp_pem_fail(struct kp_error *err, int code, const char *fmt, ...) KP_PRINTF(3, 4);

KP_MUST_CHECK int kp_pem_cert(const char *text, X509 **ret, struct kp_error *err); // the first one
// All of them, at least one; *ret_first apart if ret_first is not NULL.
KP_MUST_CHECK int kp_pem_certs(
    const char *text, X509 **ret_first, STACK_OF(X509) * *ret, struct kp_error *err);
KP_MUST_CHECK int kp_pem_key(const char *text, EVP_PKEY **ret, struct kp_error *err);
// NULL when it cannot be written; free it.
char *kp_pem_of_cert(X509 *cert);
char *kp_pem_of_key(EVP_PKEY *key);

#endif
