// What handlers know of their caller, refusals, and asking again.
#include <stdio.h>
#include <string.h>

#include "api/admit.h"
#include "api/admit_private.h"
#include "api/limits.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_LATE      512
#define RETRY_AFTER_S 2
#define WINDOW_MS     30000
#define NOTHING_FOUND "nothing found" // profefe's words

// ---- scope ----

void kp_api_admitted_free(void *admitted)
{
    struct kp_admitted *in = admitted;
    kp_limits_leave_unread(in->reader, in->unread);
    kp_identity_free(in->identity);
    kp_free(in->namespace);
    kp_free(in->asked);
    kp_free(in);
}

const struct kp_scope *kp_api_scope(const struct kp_http_exchange *x)
{
    static char name[] = "system:anonymous";
    static const struct kp_identity nobody = {.name = name};
    static const struct kp_access none = {.verb = "get", .resource = "profiles", .namespace = KP_API_NOWHERE};
    static const struct kp_scope nothing = {
        .who = &nobody, .namespace = KP_API_NOWHERE, .plain_names = true, .access = &none};
    const struct kp_admitted *in = kp_http_attached(x);
    return in ? &in->scope : &nothing;
}

int kp_api_count_unread(struct kp_api *api, struct kp_http_exchange *x, size_t bytes, struct kp_error *err)
{
    struct kp_admitted *in = kp_http_attached(x);
    if (in == NULL || in->reader != NULL)
        return 0;
    int rc = kp_limits_unread(api, in->scope.namespace, bytes, &in->reader, err);
    in->unread = rc == 0 ? bytes : 0;
    return rc;
}

bool kp_api_is_namespace(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len <= 63 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len &&
           text[0] != '-' && text[len - 1] != '-';
}

// ---- refusals ----

void kp_api_refuse(struct kp_http_exchange *x, const struct kp_error *err)
{
    struct kp_error shown = *err;
    if (shown.retry_after_s == 0 && (shown.code == KP_THROTTLED || shown.code == KP_UNAVAILABLE))
        shown.retry_after_s = RETRY_AFTER_S;
    if (shown.code == KP_UNAUTHENTICATED)
        kp_http_set_header(x, "WWW-Authenticate", "Bearer");
    if (!kp_starts_with(kp_http_matched_route(x)->path, "/api/0/"))
        kp_http_reply_error(x, &shown);
    else if (shown.code == KP_NOT_FOUND)
        kp_profefe_error(x, 404, kp_starts_with(shown.text, NOTHING_FOUND) ? shown.text : NOTHING_FOUND);
    else
        kp_profefe_fail(x, &shown);
}

void kp_api_refuse_limit(struct kp_http_exchange *x, const struct kp_error *err)
{
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", err->retry_after_s > 0 ? err->retry_after_s : RETRY_AFTER_S);
    kp_http_set_header(x, "Retry-After", seconds);
    if (kp_starts_with(kp_http_matched_route(x)->path, "/api/0/"))
        kp_profefe_error(x, 429, err->text);
    else
        kp_http_reply_status(x, 429, KP_API_LIMIT_REASON, err->text);
}

void kp_api_refuse_write(struct kp_http_exchange *x, const struct kp_error *err)
{
    char seconds[16];
    if (err->code != KP_LIMIT) {
        kp_api_refuse(x, err);
        return;
    }
    (void)snprintf(seconds, sizeof seconds, "%d", KP_API_FULL_RETRY_S);
    kp_http_set_header(x, "Retry-After", seconds);
    if (kp_starts_with(kp_http_matched_route(x)->path, "/api/0/"))
        kp_profefe_error(x, 429, err->text);
    else
        kp_http_reply_status(x, 507, "StoreFull", err->text);
}

// Two windows, so that the last whole one always counts.
static void move_windows(struct kp_api *api)
{
    int64_t now_ms = kp_loop_mono_ms(api->options.loop);
    int64_t age_ms = now_ms - api->reviews.since_ms;
    if (age_ms < WINDOW_MS)
        return;
    api->reviews.before_ms = age_ms < 2 * WINDOW_MS ? api->reviews.slowest_ms : 0;
    api->reviews.slowest_ms = 0;
    api->reviews.since_ms = now_ms;
}

void kp_api_note_review(struct kp_api *api, int64_t took_ms)
{
    move_windows(api);
    if (took_ms > api->reviews.slowest_ms)
        api->reviews.slowest_ms = took_ms < KP_API_LATE_MAX_MS ? took_ms : KP_API_LATE_MAX_MS;
}

int64_t kp_api_slowest_review_ms(struct kp_api *api)
{
    move_windows(api);
    return api->reviews.slowest_ms > api->reviews.before_ms ? api->reviews.slowest_ms
                                                            : api->reviews.before_ms;
}

struct late {
    struct kp_list node;
    struct kp_api *api;
    struct kp_http_exchange *x;
    struct kp_timer *timer;
    struct kp_error error;
};

static void free_late(struct late *l)
{
    kp_list_remove(&l->node);
    l->api->n_late--;
    kp_timer_destroy(l->timer);
    kp_free(l);
}

static void late_gone(void *user)
{
    free_late(user);
}

static void on_due(void *user)
{
    struct late *l = user;
    struct kp_http_exchange *x = l->x;
    const struct kp_error err = l->error;
    kp_http_on_gone(x, NULL, NULL);
    free_late(l);
    kp_api_refuse(x, &err);
}

void kp_api_refuse_late(
    struct kp_api *api, struct kp_http_exchange *x, int64_t not_before_ms, const struct kp_error *err)
{
    if (api->n_late >= MAX_LATE) {
        struct kp_error full = {0};
        kp_fail(&full, KP_THROTTLED, "too many ask for profiles that are not here");
        kp_api_refuse(x, &full);
        return;
    }
    int64_t wait_ms = not_before_ms - kp_loop_mono_ms(api->options.loop);
    struct late *l = KP_NEW(struct late);
    l->api = api;
    l->x = x;
    l->error = *err;
    l->timer = kp_timer_create(api->options.loop, on_due, l);
    kp_list_append(&api->late, &l->node);
    api->n_late++;
    kp_http_on_gone(x, late_gone, l);
    kp_timer_start(l->timer, wait_ms > 0 ? wait_ms : 0, 0);
}

void kp_api_refuse_id(struct kp_api *api, struct kp_http_exchange *x, const struct kp_error *err)
{
    const struct kp_scope *scope = kp_api_scope(x);
    if (scope->namespace == NULL)
        kp_api_refuse(x, err);
    else
        kp_api_refuse_late(api, x, scope->not_before_ms, err);
}

void kp_api_end_late(struct kp_api *api)
{
    kp_list_foreach_safe (node, &api->late)
        on_due(kp_container_of(node, struct late, node));
}

// ---- again ----

static void finish_review(void *user, const struct kp_error *err)
{
    struct kp_api_review *r = user;
    r->running = false;
    kp_identity_free(kp_take(r->who));
    r->on_done(r->user, err);
}

static void on_who(void *user, struct kp_identity *identity, const struct kp_error *err)
{
    struct kp_api_review *r = user;
    r->who = identity;
    if (err)
        finish_review(r, err);
    else
        r->gate->ops->authorize(r->gate->self, r->who, r->access, finish_review, r);
}

void kp_api_review_start(struct kp_api_review *r, struct kp_api *api, struct kp_http_exchange *x,
    void (*on_done)(void *user, const struct kp_error *err), void *user)
{
    *r = (struct kp_api_review){.running = true,
        .gate = &api->options.gate,
        .access = kp_api_scope(x)->access,
        .on_done = on_done,
        .user = user};
    r->gate->ops->authenticate(r->gate->self, x, on_who, r);
}

void kp_api_review_cancel(struct kp_api_review *r)
{
    if (!r->running)
        return;
    r->running = false;
    r->gate->ops->cancel(r->gate->self, r);
    kp_identity_free(kp_take(r->who));
}
