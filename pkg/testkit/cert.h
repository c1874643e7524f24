// Certificates for tests, good and bad ones, as PEM texts. ECDSA P-256 (or RSA where asked for). What goes
// wrong inside fails the test.
#ifndef KP_TESTKIT_CERT_H
#define KP_TESTKIT_CERT_H

#include <stdbool.h>

struct kp_test_cert {
    char *cert, *key; // PEM
};

struct kp_test_cert_recipe {
    const char *name;              // common name; NULL = none
    const struct kp_test_cert *by; // issuer; NULL = signs itself
    bool ca;                       // may sign others
    bool rsa;                      // a key of 2048 bits
    const char *usage;             // extended key usage: "clientAuth", "serverAuth"; NULL = none said
    const char *alt;               // "IP:127.0.0.1,DNS:localhost"; NULL = none
    long from_s, to_s;             // validity from now; both 0 = an hour ago, in an hour
};

struct kp_test_cert kp_test_cert_make(const struct kp_test_cert_recipe *recipe);
void kp_test_cert_finish(struct kp_test_cert *cert);

#endif
