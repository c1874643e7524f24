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

static bool is_local(const char *address)
{
    return kp_starts_with(address, "127.") || kp_starts_with(address, "localhost:") ||
           kp_starts_with(address, "[::1]:") || kp_starts_with(address, "unix:");
}

int kp_gate_check_listener(
    const struct kp_gate *gate, const char *address, bool allow_everyone, struct kp_error *err)
{
    if (gate->ops != &everyone || allow_everyone || is_local(address))
        return 0;
    return kp_fail(err, KP_DENIED,
        "cannot listen on '%s': without authentication everyone who reaches it could read and write all "
        "profiles; "
        "listen on 127.0.0.1, or give --insecure-allow-everyone if that is what you want",
        address);
}

// ---- passing ----

struct passing {
    struct kp_gate gate;
    struct kp_http_exchange *x;
};

static void destroy_identity(void *thing)
{
    kp_identity_free(thing);
}

static void on_authenticated(void *user, struct kp_identity *identity, const struct kp_error *err)
{
    struct passing *passing = user;
    struct kp_http_exchange *x = passing->x;
    kp_free(passing);
    kp_http_on_gone(x, NULL, NULL);
    if (identity == NULL) {
        if (err->code == KP_UNAUTHENTICATED)
            kp_http_set_header(x, "WWW-Authenticate", "Bearer");
        kp_http_reply_error(x, err);
        return;
    }
    kp_http_attach(x, identity, destroy_identity);
    kp_http_gate_open(x);
}

static void on_gone(void *user)
{
    struct passing *passing = user;
    passing->gate.ops->cancel(passing->gate.self, passing);
    kp_free(passing);
}

void kp_gate_pass(const struct kp_gate *gate, struct kp_http_exchange *x)
{
    struct passing *passing = KP_NEW(struct passing);
    *passing = (struct passing){.gate = *gate, .x = x};
    kp_http_on_gone(x, on_gone, passing);
    gate->ops->authenticate(gate->self, x, on_authenticated, passing);
}

const struct kp_identity *kp_gate_identity(const struct kp_http_exchange *x)
{
    return kp_http_attached(x);
}
