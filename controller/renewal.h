// What is to be done about the registry's certificates: from what lies in the two Secrets and the time to the
// next step. Pure; every step is one write to one Secret, and whatever a killed controller leaves is a state
// from which the next step follows.
//
// A new CA signs nothing until everybody who verifies has it: it is put beside the old one in the bundle
// first, and signs when the bundle has been everywhere for the settling time. The old one stays in the bundle
// until nothing signed by it can be alive.
#ifndef KP_CONTROLLER_RENEWAL_H
#define KP_CONTROLLER_RENEWAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pki/pki.h"

struct kp_renewal_config {
    int64_t ca_lifetime_ms, lifetime_ms, settle_ms;
    const char *const *names; // the serving certificate is for them
    size_t n_names;
};

// What lies in the Secrets, as PEM texts; NULL = not there.
struct kp_renewal_state {
    struct kp_pki_pair ca; // signs
    char *previous;        // certificates of CAs that signed before
    struct kp_pki_pair serving;
    char *bundle; // that goes with it
    // Since when everybody who verifies has had the bundle that kp_renewal_bundle() says; 0 = has not yet.
    int64_t published_since_ms;
};
void kp_renewal_state_finish(struct kp_renewal_state *state);

enum kp_renewal_step {
    KP_RENEWAL_NOTHING,
    KP_RENEWAL_MAKE_CA,       // Secret of the CA
    KP_RENEWAL_DROP_PREVIOUS, // Secret of the CA
    KP_RENEWAL_PUBLISH,       // Secret of the serving certificate: the bundle
    KP_RENEWAL_SIGN,          // Secret of the serving certificate: all of it
};

struct kp_renewal {
    enum kp_renewal_step step;
    bool is_repair;   // something was missing or damaged; else it is time
    int64_t again_ms; // with NOTHING: when to ask again at the latest
    char why[200];
};

void kp_renewal_decide(const struct kp_renewal_config *config, const struct kp_renewal_state *state,
    int64_t now_ms, struct kp_renewal *ret);
// Makes the step: state holds afterwards what is to be written.
KP_MUST_CHECK int kp_renewal_make(const struct kp_renewal_config *config, enum kp_renewal_step step,
    int64_t now_ms, struct kp_renewal_state *state, struct kp_error *err);
// What who verifies the registry has to trust; free it. NULL without a CA.
char *kp_renewal_bundle(const struct kp_renewal_state *state);

#endif
