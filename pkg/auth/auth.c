#include "auth/auth.h"

#include <string.h>
#include <strings.h>

#include "auth/auth_private.h"
#include "auth/identity.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_TOKEN (16 * KP_KIB)

int64_t kp_auth_now(const struct kp_auth *auth)
{
    return auth->options.now_mono_ms != NULL ? auth->options.now_mono_ms() : kp_mono_ms();
}

// ---- who is it ----

// The route's, which the request's path may write in more than one way.
static bool is_below(const struct kp_http_exchange *x, const char *top)
{
    const struct kp_http_route *route = kp_http_matched_route(x);
    size_t len = strlen(top);
    return route != NULL && strncmp(route->path, top, len) == 0 &&
           (route->path[len] == '/' || route->path[len] == '\0');
}

// The one Authorization header; *ret NULL: there is none.
static int find_authorization(const struct kp_http_exchange *x, const char **ret, struct kp_error *err)
{
    const char *name, *value, *found = NULL;
    for (size_t i = 0; kp_http_header_at(x, i, &name, &value); i++) {
        if (strcasecmp(name, "Authorization") != 0)
            continue;
        if (found != NULL)
            return kp_fail(err, KP_UNAUTHENTICATED, "the Authorization header is there twice");
        found = value;
    }
    *ret = found;
    return 0;
}

static int read_bearer(const char *authorization, const char **ret, struct kp_error *err)
{
    static const char scheme[] = "Bearer ";
    if (strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return kp_fail(err, KP_UNAUTHENTICATED, "Authorization has to be 'Bearer TOKEN'");
    const char *token = authorization + sizeof scheme - 1;
    token += strspn(token, " ");
    size_t len = strlen(token);
    for (const char *c = token; *c != '\0'; c++)
        if (*c <= ' ' || *c >= 0x7f)
            len = 0;
    if (len == 0 || len > MAX_TOKEN)
        return kp_fail(err, KP_UNAUTHENTICATED, "this cannot be a bearer token");
    *ret = token;
    return 0;
}

static struct kp_identity *open_tenant(struct kp_auth *auth)
{
    struct kp_identity_draft draft = {.by = KP_BY_TENANT, .name = "system:anonymous"};
    struct kp_identity *identity = NULL;
    *kp_array_add(&draft.groups) = "system:unauthenticated";
    if (kp_identity_make(&draft, &identity, NULL) == 0)
        identity->namespace = kp_strdup(auth->anonymous_namespace);
    kp_metric_inc(auth->anonymous);
    return identity;
}

// An identity, a token to ask about, or why neither.
static int look_at(struct kp_auth *auth, const struct kp_http_exchange *x, struct kp_identity **ret,
    const char **ret_token, struct kp_error *err)
{
    const char *authorization = NULL;
    *ret_token = NULL;
    *ret = NULL;
    if ((is_below(x, "/apis") || is_below(x, "/openapi")) && kp_front_proxy_read(auth, x, ret, err) != 0)
        return err->code;
    if (*ret != NULL)
        return 0;
    int code = find_authorization(x, &authorization, err);
    if (code == 0 && authorization != NULL)
        code = read_bearer(authorization, ret_token, err);
    else if (code == 0 && auth->anonymous_namespace != NULL && is_below(x, "/api/0"))
        *ret = open_tenant(auth);
    else if (code == 0)
        code = kp_fail(err, KP_UNAUTHENTICATED,
            "say who you are with a bearer token (kubectl create token NAME --audience=%.60s)",
            auth->options.n_audiences > 0 ? auth->audiences[0] : "...");
    return code;
}

static void authenticate(void *self, struct kp_http_exchange *x, kp_on_identity_fn on_done, void *user)
{
    struct kp_auth *auth = self;
    struct kp_error err = {0};
    struct kp_identity *identity;
    const char *token;
    bool controller_cert =
        auth->controller_ca != NULL && kp_http_client_trusted(x, auth->controller_ca) != NULL;
    if (look_at(auth, x, &identity, &token, &err) != 0) {
        on_done(user, NULL, &err);
    } else if (token != NULL) {
        kp_tokens_ask(auth, token,
            &(struct kp_waiter){.on_identity = on_done,
                .user = user,
                .controller_cert = controller_cert,
                .by = kp_question_by_peer(kp_http_peer(x))});
    } else {
        on_done(user, identity, NULL);
    }
}

// ---- may he ----

static bool tenant_may(const struct kp_identity *who, const struct kp_access *access)
{
    bool reads = kp_streq(access->verb, "get") || kp_streq(access->verb, "list");
    bool pushes = kp_streq(access->verb, "create") && access->subresource == NULL;
    return (reads || pushes) && kp_streq(access->resource, "profiles") &&
           kp_streq(access->namespace, who->namespace);
}

static int check(const struct kp_auth *auth, const struct kp_identity *who, const struct kp_access *access,
    struct kp_error *err)
{
    bool captures = kp_streq(access->subresource, "captures");
    if (captures && auth->controller_ca != NULL && !who->controller_cert)
        return kp_fail(err, KP_DENIED,
            "forbidden: captures are taken from clients with a certificate of the controllers' CA only");
    if (who->by == KP_BY_TENANT && !tenant_may(who, access))
        return kp_access_denied(who, access, err);
    if (who->by == KP_BY_NOTHING)
        return kp_access_denied(who, access, err); // not one of ours
    return 0;
}

static void authorize(void *self, const struct kp_identity *who, const struct kp_access *access,
    kp_on_access_fn on_done, void *user)
{
    struct kp_auth *auth = self;
    struct kp_error err = {0};
    if (check(auth, who, access, &err) != 0)
        on_done(user, &err);
    else if (who->by == KP_BY_TENANT)
        on_done(user, NULL);
    else
        kp_rights_ask(auth, who, access, on_done, user);
}

static void cancel(void *self, void *user)
{
    kp_questions_cancel(self, user);
}

struct kp_gate kp_auth_gate(struct kp_auth *auth)
{
    static const struct kp_gate_ops ops = {
        .name = "Kubernetes", .authenticate = authenticate, .authorize = authorize, .cancel = cancel};
    return (struct kp_gate){.ops = &ops, .self = auth};
}

// ---- life ----

static void make_metrics(struct kp_auth *auth, struct kp_metrics *metrics)
{
    static const char *const labels[] = {"kind", "result", NULL}, *const kind[] = {"kind", NULL};
    if (metrics == NULL)
        return;
    struct kp_metric_family *reviews =
        kp_metrics_family(metrics, KP_COUNTER, "kube_pprof_registry_reviews_total",
            "Questions to the API server: whose token (kind token), may he (access).", labels, NULL, 0, 8);
    struct kp_metric_family *hits =
        kp_metrics_family(metrics, KP_COUNTER, "kube_pprof_registry_review_cache_hits_total",
            "Such questions that were answered from what was known.", kind, NULL, 0, 4);
    struct {
        const char *kind;
        struct kp_kind_metrics *cells;
    } rows[] = {{"token", &auth->token_metrics}, {"access", &auth->right_metrics}};
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        const char *name = rows[i].kind;
        rows[i].cells->yes = kp_metric_with(reviews, (const char *const[]){name, "yes"});
        rows[i].cells->no = kp_metric_with(reviews, (const char *const[]){name, "no"});
        rows[i].cells->error = kp_metric_with(reviews, (const char *const[]){name, "error"});
        rows[i].cells->hits = kp_metric_with(hits, (const char *const[]){name});
    }
    auth->running = kp_gauge(
        metrics, "kube_pprof_registry_reviews_running", "Such questions at the API server at this moment.");
    auth->throttled = kp_counter(metrics, "kube_pprof_registry_reviews_throttled_total",
        "Requests that got 429 because too many such questions ran.");
    auth->anonymous = kp_counter(metrics, "kube_pprof_registry_anonymous_requests_total",
        "Requests on /api/0 of clients that say nothing of themselves (--allow-anonymous).");
    kp_metric_set(kp_gauge(metrics, "kube_pprof_registry_anonymous_allowed",
                      "1 if such requests read and push profiles of a namespace."),
        auth->anonymous_namespace != NULL);
}

static void set_defaults(struct kp_auth_options *o)
{
    o->token_ms = o->token_ms > 0 ? o->token_ms : 60 * 1000;
    o->refused_ms = o->refused_ms > 0 ? o->refused_ms : 10 * 1000;
    o->access_ms = o->access_ms > 0 ? o->access_ms : 30 * 1000;
    o->max_tokens = o->max_tokens > 0 ? o->max_tokens : 4096;
    o->max_answers = o->max_answers > 0 ? o->max_answers : 16384;
    o->max_questions = o->max_questions > 0 ? o->max_questions : 64;
}

struct kp_auth *kp_auth_create(const struct kp_auth_options *options)
{
    struct kp_auth *auth = KP_NEW(struct kp_auth);
    auth->options = *options;
    set_defaults(&auth->options);
    auth->audiences = KP_NEW_ARRAY(char *, options->n_audiences + 1);
    for (size_t i = 0; i < options->n_audiences; i++)
        auth->audiences[i] = kp_strdup(options->audiences[i]);
    auth->anonymous_namespace = kp_strdup(options->anonymous_namespace);
    kp_list_init(&auth->known);
    kp_list_init(&auth->refused);
    kp_list_init(&auth->used_rights);
    kp_list_init(&auth->questions);
    make_metrics(auth, options->metrics);
    if (options->front_proxy)
        kp_front_proxy_start(auth);
    return auth;
}

void kp_auth_set_controller_ca(struct kp_auth *auth, struct kp_http_trust *trust)
{
    kp_http_trust_unref(auth->controller_ca);
    auth->controller_ca = trust;
}

void kp_auth_destroy(struct kp_auth *auth)
{
    if (auth == NULL)
        return;
    kp_tokens_finish(auth);
    kp_rights_finish(auth);
    kp_front_proxy_finish(auth);
    kp_http_trust_unref(auth->controller_ca);
    for (size_t i = 0; i < auth->options.n_audiences; i++)
        kp_free(auth->audiences[i]);
    kp_free(auth->audiences);
    kp_free(auth->anonymous_namespace);
    kp_free(auth);
}
