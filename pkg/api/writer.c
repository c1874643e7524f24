// One worker writes. While it commits a batch the next one gathers, so the busier it is, the more profiles
// share one sync.
#include "api/state.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/banned.h"

#define BATCH_UPLOADS   256
#define BATCH_BYTES     ((size_t)64 << 20)
#define FIRST_RETAIN_MS 2000
#define SOON_MS         200

struct batch {
    struct kp_api *api;
    struct kp_upload *uploads[BATCH_UPLOADS];
    struct kp_append appends[BATCH_UPLOADS];
    size_t n;
};

static void write_next(struct kp_api *api);

static void commit(void *arg)
{
    struct batch *b = arg;
    kp_store_append(b->api->options.store, b->appends, b->n);
}

static void take_result(struct kp_upload *u, const struct kp_append *a)
{
    u->append = *a;
    if (a->status != KP_APPEND_FAILED)
        return;
    static const struct {
        int code, status;
        const char *reason;
    } rows[] = {{KP_LIMIT, 507, "StoreFull"}, {KP_INVALID, 422, "Invalid"},
        {KP_THROTTLED, 429, KP_API_LIMIT_REASON}, {KP_UNAVAILABLE, 503, "Unavailable"},
        {KP_INTERNAL, 503, "Unavailable"}}; // the disk: it may be mended
    u->error = a->error;
    u->status = 500;
    u->reason = "InternalError";
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        if (rows[i].code == a->error.code) {
            u->status = rows[i].status;
            u->reason = rows[i].reason;
        }
    if (a->error.code == KP_THROTTLED)
        kp_limits_count(u->api, "store");
}

// Sizes and times in the sentence change with every try: only another kind of trouble is news.
static void tell_trouble(struct kp_api *api)
{
    struct kp_error trouble;
    bool is_in = kp_store_trouble(api->options.store, &trouble);
    int code = is_in ? trouble.code : 0;
    if (code == api->told_trouble)
        return;
    api->told_trouble = code;
    if (api->options.on_store_trouble)
        api->options.on_store_trouble(api->options.user, is_in ? &trouble : NULL);
}

static void committed(void *arg)
{
    struct batch *b = arg;
    struct kp_api *api = b->api;
    api->writing = false;
    write_next(api); // the disk first, then the answers
    tell_trouble(api);
    if (!api->retains_soon && kp_timer_active(api->retain_timer) &&
        kp_store_wants_retain(api->options.store)) {
        api->retains_soon = true;
        kp_timer_start(api->retain_timer, SOON_MS, 0);
    }
    for (size_t i = 0; i < b->n; i++) {
        take_result(b->uploads[i], &b->appends[i]);
        kp_upload_finish(b->uploads[i]);
    }
    api->busy--;
    kp_free(b);
}

static void write_next(struct kp_api *api)
{
    if (api->writing || kp_list_empty(&api->waiting))
        return;
    struct batch *b = KP_NEW(struct batch);
    b->api = api;
    size_t bytes = 0;
    kp_list_foreach_safe (node, &api->waiting) {
        struct kp_upload *u = kp_container_of(node, struct kp_upload, node);
        if (b->n == BATCH_UPLOADS || (b->n > 0 && bytes + u->bytes > BATCH_BYTES))
            break;
        kp_list_remove(node);
        bytes += u->bytes;
        b->uploads[b->n] = u;
        b->appends[b->n] = (struct kp_append){.record = &u->record, .body = u->profile};
        b->n++;
    }
    api->writing = true;
    api->writing_since_ms = kp_loop_mono_ms(api->options.loop);
    api->busy++;
    kp_worker_run(api->worker, commit, committed, b);
}

void kp_api_write(struct kp_api *api, struct kp_upload *upload)
{
    kp_list_append(&api->waiting, &upload->node);
    write_next(api);
}

// ---- delete ----

struct deletion {
    struct kp_api *api;
    struct kp_http_exchange *x;
    char *id;
    char *namespace; // where it has to lie; NULL = anywhere
    struct kp_error error;
};

static void delete_gone(void *user)
{
    struct deletion *d = user;
    d->x = NULL;
}

static void delete_work(void *arg)
{
    struct deletion *d = arg;
    struct kp_store *store = d->api->options.store;
    if (d->namespace == NULL || kp_store_get_in(store, d->namespace, d->id, NULL, NULL, &d->error) == 0)
        (void)!kp_store_delete(store, d->id, &d->error);
}

static void delete_done(void *arg)
{
    struct deletion *d = arg;
    if (d->x) {
        kp_http_on_gone(d->x, NULL, NULL);
        if (d->error.code == KP_NOT_FOUND)
            kp_api_refuse_id(d->api, d->x, &d->error);
        else if (d->error.code != 0)
            kp_api_refuse_write(d->x, &d->error);
        else
            kp_http_reply(d->x, 204, NULL, NULL);
    }
    d->api->busy--;
    kp_free(d->id);
    kp_free(d->namespace);
    kp_free(d);
}

void kp_api_delete_profile(struct kp_http_exchange *x, void *user)
{
    struct deletion *d = KP_NEW(struct deletion);
    d->api = user;
    d->x = x;
    d->id = kp_strdup(kp_http_param(x, "id"));
    d->namespace = kp_strdup(kp_api_scope(x)->namespace);
    d->api->busy++;
    kp_http_on_gone(x, delete_gone, d);
    kp_worker_run(d->api->worker, delete_work, delete_done, d);
}

// ---- retention ----

struct retention {
    struct kp_api *api;
    bool more;
    struct kp_error error;
};

static void retain_work(void *arg)
{
    struct retention *r = arg;
    (void)!kp_store_retain(r->api->options.store, &r->more, &r->error);
}

static void retain_done(void *arg)
{
    struct retention *r = arg;
    struct kp_api *api = r->api;
    if (r->error.code != 0)
        KP_DEBUG("retention did not get on", KP_E(&r->error));
    tell_trouble(api);
    // a small pause, so that uploads get their turn
    bool soon = api->should_retain || (r->more && r->error.code == 0);
    kp_timer_start(api->retain_timer, soon ? 10 : api->options.retain_every_ms, 0);
    api->retaining = api->should_retain = false;
    api->busy--;
    kp_free(r);
}

static void on_retain(void *user)
{
    struct kp_api *api = user;
    struct retention *r = KP_NEW(struct retention);
    r->api = api;
    api->retains_soon = false;
    api->busy++;
    api->retaining = true;
    kp_worker_run(api->worker, retain_work, retain_done, r);
}

void kp_api_retain_soon(struct kp_api *api)
{
    if (!api->retaining)
        kp_timer_start(api->retain_timer, 10, 0);
    api->should_retain = api->retaining;
}

void kp_api_start_retention(struct kp_api *api)
{
    api->retain_timer = kp_timer_create(api->options.loop, on_retain, api);
    kp_timer_start(api->retain_timer, FIRST_RETAIN_MS, 0);
}
