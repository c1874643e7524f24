// Deleting one profile, those that match, or all of a namespace.
#include <string.h>

#include "aio/job.h"
#include "api/aggregated.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_DELETES 5000 // by selectors, with one call

struct deletion {
    struct kp_api *api;
    struct kp_http_exchange *x; // NULL: the client left
    struct kp_agg_delete_options options;
    char *namespace, *id; // id NULL: those that match
    struct kp_agg_select select;
    int64_t now_ms;
    bool more, forgot; // forgot: all of the namespace
    struct kp_error error;
};

static void on_gone(void *user)
{
    struct deletion *d = user;
    d->x = NULL;
}

// ---- on the thread that writes ----

static int delete_one(struct deletion *d, const char *id)
{
    struct kp_store *store = d->api->options.store;
    char uid[KP_AGG_UID_TEXT];
    kp_agg_uid(uid, id);
    int rc = kp_store_get_in(store, d->namespace, id, NULL, NULL, &d->error);
    if (rc == 0 && d->options.uid[0] && !kp_streq(d->options.uid, uid))
        rc = kp_fail(&d->error, KP_CONFLICT,
            "the uid in the precondition (%s) is not that of the profile (%s)", d->options.uid, uid);
    return rc != 0 || d->options.dry_run ? rc : kp_store_delete(store, id, &d->error);
}

static void delete_matching(struct deletion *d)
{
    const struct kp_agg_select *s = &d->select;
    const struct kp_store_query query = {.namespace = d->namespace,
        .service = s->service,
        .type = s->type,
        .selector = s->selector,
        .limit = MAX_DELETES};
    size_t n = 0;
    if (kp_store_delete_matching(d->api->options.store, &query, &n, &d->error) == 0)
        d->more = n == MAX_DELETES;
}

static void work(void *arg)
{
    struct deletion *d = arg;
    const struct kp_agg_select *s = &d->select;
    if (d->id) {
        (void)!delete_one(d, d->id);
    } else if (d->options.dry_run || s->nothing || (s->namespace && !kp_streq(s->namespace, d->namespace))) {
        return;
    } else if (s->name) {
        if (delete_one(d, s->name) == KP_NOT_FOUND)
            kp_error_clear(&d->error);
    } else if (kp_agg_select_is_all(s)) {
        d->forgot = kp_store_forget_namespace(d->api->options.store, d->namespace,
                        d->now_ms + 1, // this millisecond's as well
                        &d->error) == 0;
        if (d->forgot)
            delete_matching(d); // received at a time that is yet to come, if the clock was set back
    } else {
        delete_matching(d);
    }
}

// ---- on the loop ----

static void answer(struct deletion *d)
{
    kp_http_on_gone(d->x, NULL, NULL);
    if (d->error.code == 0 && d->more)
        kp_fail(&d->error, KP_THROTTLED, "%d profiles were deleted, more match: ask again", MAX_DELETES);
    if (d->error.code == KP_NOT_FOUND)
        kp_api_refuse_id(d->api, d->x, &d->error);
    else if (d->error.code != 0)
        kp_api_refuse_write(d->x, &d->error);
    else
        kp_agg_reply_success(d->x, d->id);
}

static void done(void *arg)
{
    struct deletion *d = arg;
    if (d->forgot) // else a namespace would not go while the controller is away: what is left is listed
        kp_told_set(d->api->told, d->namespace, d->now_ms + 1);
    if (d->x)
        answer(d);
    if (d->id == NULL)
        kp_api_retain_soon(d->api);
    d->api->busy--;
    kp_agg_select_finish(&d->select);
    kp_free(d->namespace);
    kp_free(d->id);
    kp_free(d);
}

static bool is_other_media(const struct kp_http_exchange *x)
{
    const char *type = kp_http_header(x, "Content-Type");
    return kp_http_body(x)->len > 0 && type && !kp_starts_with(type, "application/json");
}

// Overlooked, "labelselector=" or "limit=1" would delete the whole namespace.
static int check_params(const struct kp_http_exchange *x, struct kp_error *err)
{
    const char *name;
    const char *value;
    char shown[48];
    for (size_t i = 0; kp_http_arg_at(x, i, &name, &value); i++)
        if (!kp_agg_delete_takes(name))
            return kp_fail(err, KP_INVALID, "DELETE takes no parameter '%s' here",
                kp_printable(shown, sizeof shown, name, strlen(name)));
    return 0;
}

static bool take_options(struct kp_http_exchange *x, struct kp_agg_delete_options *ret)
{
    const struct kp_blob *body = kp_http_body(x);
    struct kp_error err = {0};
    if (!kp_agg_path_is_strict(kp_http_path(x))) {
        kp_api_agg_nothing(x, NULL);
        return false;
    }
    if (is_other_media(x)) {
        kp_http_reply_status(
            x, 415, "UnsupportedMediaType", "DeleteOptions are read as application/json only");
        return false;
    }
    if (check_params(x, &err) == 0 &&
        kp_agg_delete_options_parse(body->data, body->len, kp_http_arg(x, "dryRun"), ret, &err) == 0)
        return true;
    kp_http_reply_error(x, &err);
    return false;
}

static void start(struct kp_http_exchange *x, struct kp_api *api, struct deletion *d)
{
    d->api = api;
    d->x = x;
    d->namespace = kp_strdup(kp_api_scope(x)->namespace);
    d->now_ms = api->options.now_ms();
    api->busy++;
    kp_http_on_gone(x, on_gone, d);
    kp_worker_run(api->worker, work, done, d);
}

void kp_api_agg_delete(struct kp_http_exchange *x, void *user)
{
    struct kp_agg_delete_options options;
    if (!take_options(x, &options))
        return;
    struct deletion *d = KP_NEW(struct deletion);
    d->options = options;
    d->id = kp_strdup(kp_http_param(x, "id"));
    start(x, user, d);
}

void kp_api_agg_delete_all(struct kp_http_exchange *x, void *user)
{
    struct kp_agg_delete_options options;
    struct kp_agg_select select;
    if (!take_options(x, &options) || !kp_agg_take_select(x, &select))
        return;
    if (options.uid[0] && select.name == NULL) {
        kp_http_reply_status(x, 400, "Invalid", "preconditions: a uid is that of one profile, not of many");
        kp_agg_select_finish(&select);
        return;
    }
    struct deletion *d = KP_NEW(struct deletion);
    d->options = options;
    d->select = select;
    start(x, user, d);
}
