#include "controller/renewal.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

#define CA_NAME      "kube-pprof registry CA"
#define SERVING_NAME "kube-pprof registry"
#define MAX_PREVIOUS 16384 // bytes; CAs that were replaced one after the other

void kp_renewal_state_finish(struct kp_renewal_state *state)
{
    kp_pki_pair_finish(&state->ca);
    kp_pki_pair_finish(&state->serving);
    kp_free(state->previous);
    kp_free(state->bundle);
    *state = (struct kp_renewal_state){0};
}

char *kp_renewal_bundle(const struct kp_renewal_state *state)
{
    if (state->ca.cert == NULL)
        return NULL;
    return kp_asprintf("%s%s", state->ca.cert, state->previous != NULL ? state->previous : "");
}

// ---- times ----

static int64_t made_ms(const struct kp_pki_facts *facts)
{
    int64_t made = facts->not_before_ms + KP_PKI_BACKDATE_MS;
    return made < facts->not_after_ms ? made : facts->not_before_ms;
}

static int64_t part_of_life_ms(const struct kp_pki_facts *facts, int64_t parts, int64_t of)
{
    return made_ms(facts) + (facts->not_after_ms - made_ms(facts)) / of * parts;
}

static void sooner(struct kp_renewal *ret, int64_t at_ms)
{
    if (at_ms < ret->again_ms)
        ret->again_ms = at_ms;
}

// ---- deciding ----

static void __attribute__((format(printf, 4, 5)))
step(struct kp_renewal *ret, enum kp_renewal_step step, bool is_repair, const char *fmt, ...)
{
    va_list args;
    ret->step = step;
    ret->is_repair = is_repair;
    va_start(args, fmt);
    vsnprintf(ret->why, sizeof ret->why, fmt, args);
    va_end(args);
}

static bool ca_usable(
    const struct kp_renewal_state *state, int64_t now_ms, struct kp_pki_facts *facts, struct kp_error *err)
{
    if (kp_pki_read(state->ca.cert, facts, err) != 0)
        return false;
    if (!facts->is_ca)
        return kp_fail(err, KP_INVALID, "it is not a certificate authority") == 0;
    // the clock of who made it may be ahead of ours: that alone is no reason to throw it away
    int64_t at = now_ms > facts->not_before_ms ? now_ms : facts->not_before_ms;
    return kp_pki_check(&state->ca, state->ca.cert, NULL, 0, at, err) == 0;
}

static bool decide_ca(
    const struct kp_renewal_state *state, int64_t now_ms, struct kp_pki_facts *facts, struct kp_renewal *ret)
{
    struct kp_error err = {0};
    if (state->ca.cert == NULL && state->ca.key == NULL)
        step(ret, KP_RENEWAL_MAKE_CA, true, "there is no CA");
    else if (!ca_usable(state, now_ms, facts, &err))
        step(ret, KP_RENEWAL_MAKE_CA, true, "the CA cannot be used: %s", err.text);
    else if (now_ms >= part_of_life_ms(facts, 2, 3))
        step(ret, KP_RENEWAL_MAKE_CA, false, "two thirds of the CA's life are over");
    else
        sooner(ret, part_of_life_ms(facts, 2, 3));
    return ret->step != KP_RENEWAL_NOTHING;
}

// The certificate is of another CA than the one that signs now.
static void decide_change(const struct kp_renewal_config *config, const struct kp_renewal_state *state,
    const struct kp_pki_facts *serving, int64_t now_ms, struct kp_renewal *ret)
{
    int64_t settled = state->published_since_ms + config->settle_ms;
    int64_t last = part_of_life_ms(serving, 11, 12);
    if (state->published_since_ms != 0 && now_ms >= settled)
        step(ret, KP_RENEWAL_SIGN, false, "the new CA is known everywhere");
    else if (now_ms >= last)
        step(ret, KP_RENEWAL_SIGN, true,
            "the certificate is about to expire, though the new CA is not known "
            "everywhere yet");
    sooner(ret, state->published_since_ms != 0 && settled < last ? settled : last);
}

static void decide_serving(const struct kp_renewal_config *config, const struct kp_renewal_state *state,
    const struct kp_pki_facts *ca, int64_t now_ms, struct kp_renewal *ret)
{
    struct kp_error err = {0};
    struct kp_pki_facts facts;
    kp_auto_free char *bundle = kp_renewal_bundle(state);
    int64_t at = now_ms > ca->not_before_ms ? now_ms : ca->not_before_ms;
    if (state->serving.cert == NULL && state->serving.key == NULL) {
        step(ret, KP_RENEWAL_SIGN, true, "there is no certificate");
    } else if (kp_pki_check(&state->serving, bundle, config->names, config->n_names, at, &err) != 0 ||
               kp_pki_read(state->serving.cert, &facts, &err) != 0) {
        step(ret, KP_RENEWAL_SIGN, true, "%s", err.text);
    } else if (!kp_streq(state->bundle, bundle)) {
        step(ret, KP_RENEWAL_PUBLISH, false, "the bundle is not that of the CA");
    } else if (memcmp(facts.issuer_key_id, ca->key_id, sizeof facts.issuer_key_id) != 0) {
        decide_change(config, state, &facts, now_ms, ret);
    } else if (now_ms >= part_of_life_ms(&facts, 2, 3)) {
        step(ret, KP_RENEWAL_SIGN, false, "two thirds of the certificate's life are over");
    } else {
        sooner(ret, part_of_life_ms(&facts, 2, 3));
        // what the previous CA signed was signed before this one was made
        int64_t over = made_ms(ca) + config->lifetime_ms + config->settle_ms;
        if (state->previous != NULL && now_ms >= over)
            step(ret, KP_RENEWAL_DROP_PREVIOUS, false, "nothing that the old CA signed can be alive");
        else if (state->previous != NULL)
            sooner(ret, over);
    }
}

void kp_renewal_decide(const struct kp_renewal_config *config, const struct kp_renewal_state *state,
    int64_t now_ms, struct kp_renewal *ret)
{
    struct kp_pki_facts ca;
    *ret = (struct kp_renewal){.step = KP_RENEWAL_NOTHING, .again_ms = INT64_MAX};
    if (!decide_ca(state, now_ms, &ca, ret))
        decide_serving(config, state, &ca, now_ms, ret);
}

// ---- making ----

static bool readable(const char *cert)
{
    struct kp_pki_facts facts;
    return cert != NULL && kp_pki_read(cert, &facts, NULL) == 0 && facts.is_ca;
}

// What has to be trusted on beside a new CA: all there was. Of a CA that is lost the bundle is left.
static char *former(const struct kp_renewal_state *state)
{
    const char *rest = readable(state->previous) ? state->previous : "";
    if (readable(state->ca.cert) && strlen(state->ca.cert) + strlen(rest) <= MAX_PREVIOUS)
        return kp_asprintf("%s%s", state->ca.cert, rest);
    if (readable(state->ca.cert))
        return kp_strdup(state->ca.cert);
    return readable(state->bundle) && strlen(state->bundle) <= MAX_PREVIOUS ? kp_strdup(state->bundle) : NULL;
}

static int make_ca(const struct kp_renewal_config *config, int64_t now_ms, struct kp_renewal_state *state,
    struct kp_error *err)
{
    struct kp_pki_pair made = {0};
    if (kp_pki_make_ca(CA_NAME, now_ms, config->ca_lifetime_ms, &made, err) != 0)
        return err->code;
    char *previous = former(state);
    kp_pki_pair_finish(&state->ca);
    kp_free(state->previous);
    state->ca = made;
    state->previous = previous;
    return 0;
}

static int sign(const struct kp_renewal_config *config, int64_t now_ms, struct kp_renewal_state *state,
    struct kp_error *err)
{
    const struct kp_pki_request request = {.common_name = SERVING_NAME,
        .dns_names = config->names,
        .n_dns_names = config->n_names,
        .server = true,
        .valid_ms = config->lifetime_ms};
    struct kp_pki_pair made = {0};
    if (kp_pki_sign(&state->ca, &request, now_ms, &made, err) != 0)
        return err->code;
    kp_pki_pair_finish(&state->serving);
    state->serving = made;
    return 0;
}

int kp_renewal_make(const struct kp_renewal_config *config, enum kp_renewal_step step, int64_t now_ms,
    struct kp_renewal_state *state, struct kp_error *err)
{
    struct kp_error failure = {0};
    int code = 0;
    if (step == KP_RENEWAL_MAKE_CA)
        code = make_ca(config, now_ms, state, &failure);
    else if (step == KP_RENEWAL_SIGN)
        code = sign(config, now_ms, state, &failure);
    if (code != 0)
        return kp_fail(err, code, "%s", failure.text);
    if (step == KP_RENEWAL_DROP_PREVIOUS) {
        kp_free(state->previous);
        state->previous = NULL;
    } else if (step == KP_RENEWAL_SIGN || step == KP_RENEWAL_PUBLISH) {
        kp_free(state->bundle);
        state->bundle = kp_renewal_bundle(state);
    }
    return 0;
}
