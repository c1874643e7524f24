#include "serve/gate.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

void kp_identity_free(struct kp_identity *identity)
{
    if (identity == NULL)
        return;
    for (size_t i = 0; i < identity->n_groups; i++)
        kp_free(identity->groups[i]);
    kp_free(identity->groups);
    for (size_t i = 0; i < identity->n_extra; i++) {
        kp_free(identity->extra[i].key);
        kp_free(identity->extra[i].value);
    }
    kp_free(identity->extra);
    kp_free(identity->uid);
    kp_free(identity->namespace);
    kp_free(identity->name);
    kp_free(identity);
}

// ---- everyone ----

static void everyone_authenticate(void *self, struct kp_http_exchange *x,
    void (*on_done)(void *user, struct kp_identity *identity, const struct kp_error *err), void *user)
{
    (void)self;
    (void)x;
    struct kp_identity *identity = KP_NEW(struct kp_identity);
    identity->name = kp_strdup("system:anonymous");
    identity->groups = KP_NEW_ARRAY(char *, 1);
    identity->groups[0] = kp_strdup("system:unauthenticated");
    identity->n_groups = 1;
    on_done(user, identity, NULL);
}

static void everyone_authorize(void *self, const struct kp_identity *identity, const struct kp_access *access,
    void (*on_done)(void *user, const struct kp_error *err), void *user)
{
    (void)self;
    (void)identity;
    (void)access;
    on_done(user, NULL);
}

static void everyone_cancel(void *self, void *user)
{
    (void)self;
    (void)user;
}

static const struct kp_gate_ops everyone = {
    .name = "everyone",
    .authenticate = everyone_authenticate,
    .authorize = everyone_authorize,
    .cancel = everyone_cancel,
};

struct kp_gate kp_gate_everyone(void)
{
    return (struct kp_gate){.ops = &everyone};
}

int kp_access_denied(const struct kp_identity *identity, const struct kp_access *access, struct kp_error *err)
{
    bool all = access->namespace == NULL || access->namespace[0] == '\0';
    return kp_fail(err, KP_DENIED,
        "%s.data.kube-pprof.dev is forbidden: User \"%.80s\" cannot %s resource \"%s%s%s\" in API group "
        "\"data.kube-pprof.dev\" %s%s%s",
        access->resource, identity->name, access->verb, access->resource, access->subresource ? "/" : "",
        access->subresource ? access->subresource : "", all ? "at the cluster scope" : "in the namespace \"",
        all ? "" : access->namespace, all ? "" : "\"");
}
