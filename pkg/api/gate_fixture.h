// A gate for tests: users by their token, rights by a table, answers at once or later. Tests only.
#ifndef KP_API_GATE_FIXTURE_H
#define KP_API_GATE_FIXTURE_H

#include <stdio.h>

#include "api/api_fixture.h"
#include "base/list.h"
#include "base/text.h"
#include "serve/gate.h"

struct fake_user {
    const char *name; // and token; NULL: who says nothing, as the open tenant
    const char *home;
};
struct fake_rule {
    const char *user, *verb, *subresource, *namespace; // "*" = any, for the namespace also all; "" = none
};

struct fake_gate {
    const struct fake_user *users;
    const struct fake_rule *rules;
    struct kp_loop *loop; // answers come later; NULL = at once
    int slow_ms;          // so late
    struct kp_list waiting;
    int n_who, n_may, n_cancelled;
    int fails;      // enum kp_code that every authorize gives instead
    bool shut;      // from now on everything is denied
    bool hangs;     // nothing is answered
    char last[200]; // "user verb resource/sub namespace"
};

struct fake_answer {
    struct kp_list node;
    struct kp_timer *timer;
    void *user;
    void (*on_who)(void *user, struct kp_identity *identity, const struct kp_error *err);
    void (*on_may)(void *user, const struct kp_error *err);
    struct kp_identity *identity;
    struct kp_error error;
};

static inline void fake_drop(struct fake_answer *a)
{
    kp_list_remove(&a->node);
    if (a->timer)
        kp_timer_destroy(a->timer);
    kp_identity_free(a->identity);
    kp_free(a);
}

static inline void fake_send(void *arg)
{
    struct fake_answer *a = arg;
    struct fake_answer copy = *a;
    a->identity = NULL;
    fake_drop(a);
    const struct kp_error *err = copy.error.code != 0 ? &copy.error : NULL;
    if (copy.on_who)
        copy.on_who(copy.user, copy.identity, err);
    else
        copy.on_may(copy.user, err);
}

static inline void fake_answer(struct fake_gate *g, const struct fake_answer *answer)
{
    struct fake_answer *a = KP_NEW(struct fake_answer);
    *a = *answer;
    kp_list_init(&a->node);
    kp_list_append(&g->waiting, &a->node);
    if (g->hangs)
        return;
    if (g->loop == NULL) {
        fake_send(a);
        return;
    }
    a->timer = kp_timer_create(g->loop, fake_send, a);
    kp_timer_start(a->timer, g->slow_ms > 0 ? g->slow_ms : 1, 0);
}

static inline void fake_authenticate(void *self, struct kp_http_exchange *x,
    void (*on_done)(void *user, struct kp_identity *identity, const struct kp_error *err), void *user)
{
    struct fake_gate *g = self;
    const char *header = kp_http_header(x, "Authorization");
    const char *token = header && kp_starts_with(header, "Bearer ") ? header + 7 : NULL;
    struct fake_answer a = {.user = user, .on_who = on_done};
    bool has_tenant = header == NULL && kp_starts_with(kp_http_matched_route(x)->path, "/api/0/");
    g->n_who++;
    for (const struct fake_user *u = g->users; u->name || u->home; u++) {
        if (u->name ? !kp_streq(u->name, token) : !has_tenant)
            continue;
        a.identity = KP_NEW(struct kp_identity);
        a.identity->by = u->name ? KP_BY_TOKEN : KP_BY_TENANT;
        a.identity->name = kp_strdup(u->name ? u->name : "system:anonymous");
        a.identity->namespace = kp_strdup(u->home);
        break;
    }
    if (a.identity == NULL)
        kp_fail(&a.error, KP_UNAUTHENTICATED, "say who you are");
    fake_answer(g, &a);
}

static inline bool fake_fits(const char *pattern, const char *text)
{
    return kp_streq(pattern, "*") || kp_streq(pattern, text ? text : "");
}

static inline void fake_authorize(void *self, const struct kp_identity *identity,
    const struct kp_access *access, void (*on_done)(void *user, const struct kp_error *err), void *user)
{
    struct fake_gate *g = self;
    struct fake_answer a = {.user = user, .on_may = on_done};
    bool may = false;
    g->n_may++;
    snprintf(g->last, sizeof g->last, "%s %s %s/%s %s", identity->name, access->verb, access->resource,
        access->subresource ? access->subresource : "", access->namespace);
    for (const struct fake_rule *r = g->rules; r->user && !g->shut; r++)
        may |= kp_streq(r->user, identity->name) && fake_fits(r->verb, access->verb) &&
               fake_fits(r->subresource, access->subresource) && fake_fits(r->namespace, access->namespace);
    if (g->fails != 0)
        kp_fail(&a.error, g->fails, "the API server does not answer");
    else if (!may)
        (void)!kp_access_denied(identity, access, &a.error);
    fake_answer(g, &a);
}

static inline void fake_cancel(void *self, void *user)
{
    struct fake_gate *g = self;
    kp_list_foreach_safe (node, &g->waiting) {
        struct fake_answer *a = kp_container_of(node, struct fake_answer, node);
        if (a->user != user)
            continue;
        fake_drop(a);
        g->n_cancelled++;
    }
}

static inline struct kp_gate fake_gate(struct fake_gate *g)
{
    static const struct kp_gate_ops ops = {.name = "fake",
        .authenticate = fake_authenticate,
        .authorize = fake_authorize,
        .cancel = fake_cancel};
    kp_list_init(&g->waiting);
    return (struct kp_gate){.ops = &ops, .self = g};
}

#endif
