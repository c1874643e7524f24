// A small certificate authority: keys, certificates, and what is to be renewed when. Pure: files, Secrets and
// the clock are the caller's. ECDSA P-256, X.509 v3 (RFC 5280); everything is PEM text.
#ifndef KP_PKI_PKI_H
#define KP_PKI_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct kp_pki_pair {
    char *cert, *key; // PEM; zeroed when freed
};
void kp_pki_pair_finish(struct kp_pki_pair *pair);

// What is made is good from so long ago on: clocks of those who verify may be behind by that, or that of who
// makes it ahead.
#define KP_PKI_BACKDATE_MS INT64_C(3600000)

KP_MUST_CHECK int kp_pki_make_ca(
    const char *common_name, int64_t now_ms, int64_t valid_ms, struct kp_pki_pair *ret, struct kp_error *err);

struct kp_pki_request {
    const char *common_name;
    const char *const *dns_names;
    size_t n_dns_names;
    bool server, client; // extended key usage
    int64_t valid_ms;    // cut to the CA's own end
};
KP_MUST_CHECK int kp_pki_sign(const struct kp_pki_pair *ca, const struct kp_pki_request *request,
    int64_t now_ms, struct kp_pki_pair *ret, struct kp_error *err);

// The first certificate of the text.
struct kp_pki_facts {
    char common_name[65];
    int64_t not_before_ms, not_after_ms;
    uint8_t key_id[20]; // of its own key; zero = none said
    uint8_t issuer_key_id[20];
    bool is_ca;
};
KP_MUST_CHECK int kp_pki_read(const char *cert, struct kp_pki_facts *ret, struct kp_error *err);
// Whether key belongs to cert, cert was issued by ca (any of the certificates in it) and is good for each of
// these names at that time; the sentence says what is not so.
KP_MUST_CHECK int kp_pki_check(const struct kp_pki_pair *pair, const char *ca, const char *const *dns_names,
    size_t n_dns_names, int64_t at_ms, struct kp_error *err);

#endif
