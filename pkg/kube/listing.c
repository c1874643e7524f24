#include "kube/listing.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "kube/client_internal.h"
#include "kube/stream.h"

#include "base/banned.h"

enum {
    PAGE_SIZE = 500,
    TIMEOUT_MS = 5 * 60 * 1000,
    IDLE_MS = 60 * 1000,
    PAGE_TRIES = 5,
    FIRST_BACKOFF_MS = 500,
    MAX_BACKOFF_MS = 10 * 1000,
    MAX_TOKEN = 16 * KP_KIB,
};

struct kp_kube_listing {
    struct kp_list node;
    struct kp_kube *kube;
    struct kp_kube_listing_request request; // path is ours
    char *path, *token;                     // token: of the next page; NULL = the first
    char *fresh_token;                      // what a 410 gave to go on with
    struct kp_kube_stream *http;            // NULL while waiting
    struct kp_stream *objects;
    struct kp_timer *timer;
    struct kp_backoff backoff;
    int64_t until_ms;
    int tries, restarts;
    bool renewed;          // a 401 was answered with a second try
    bool began, canceled;  // began: an object of this page was handed out
    struct kp_error wrong; // what we found wrong with the answer
};

static void listing_free(struct kp_kube_listing *l)
{
    kp_list_remove(&l->node);
    kp_stream_destroy(l->objects);
    kp_timer_destroy(l->timer);
    kp_free(l->path);
    kp_free(l->token);
    kp_free(l->fresh_token);
    kp_free(l);
}

static void finish(struct kp_kube_listing *l, const struct kp_error *err)
{
    struct kp_kube_listing_request request = l->request;
    char version[64] = "";
    if (!err && l->objects)
        snprintf(version, sizeof version, "%s", kp_stream_resource_version(l->objects));
    listing_free(l);
    request.on_done(request.user, version, err);
}

static bool on_object(void *user, const char *json, size_t len)
{
    struct kp_kube_listing *l = user;
    l->began = true;
    if (!l->request.on_object(l->request.user, json, len))
        l->canceled = true;
    return !l->canceled;
}

static void on_begin(void *user)
{
    (void)user;
}

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct kp_kube_listing *l = user;
    return kp_stream_feed(l->objects, data, len, &l->wrong) == KP_OK && !l->canceled;
}

static void on_refusal(void *user, const char *body, size_t len)
{
    struct kp_kube_listing *l = user;
    json_t *status = json_loadb(body, len, 0, NULL);
    const char *token = json_string_value(json_object_get(json_object_get(status, "metadata"), "continue"));
    if (token && *token && strlen(token) < MAX_TOKEN) {
        kp_free(l->fresh_token);
        l->fresh_token = kp_strdup(token);
    }
    json_decref(status);
}

static int start_page(struct kp_kube_listing *l, struct kp_error *err);

static void wait_and_start(struct kp_kube_listing *l, int64_t wait_ms)
{
    l->http = NULL;
    kp_timer_start(l->timer, wait_ms, 0);
}

static void start_or_finish(struct kp_kube_listing *l)
{
    struct kp_error err = {0};
    if (start_page(l, &err) < 0)
        finish(l, &err);
}

// What a page needs to be asked for anew. Returns whether the listing goes on.
static bool go_on_after(struct kp_kube_listing *l, const struct kp_error *err)
{
    if (l->canceled)
        return false;
    if (err->code == KP_GONE && l->token && !l->began) {
        if (!l->fresh_token && ++l->restarts > KP_LISTING_RESTARTS)
            return false;
        kp_free(l->token);
        l->token = kp_take(l->fresh_token);
        if (!l->token && l->request.on_restart)
            l->request.on_restart(l->request.user);
        wait_and_start(l, 0);
        return true;
    }
    bool renewable = l->kube->login || l->kube->credentials.config.token_file;
    if (err->http_status == 401 && renewable && !l->renewed) {
        l->renewed = true;
        wait_and_start(l, 0);
        return true;
    }
    bool passing = err->code == KP_NETWORK || err->http_status == 429 || err->http_status >= 500;
    int64_t now = kp_mono_ms();
    int64_t wait = kp_backoff_next_ms(&l->backoff, now);
    if (err->retry_after_s > 0)
        wait = err->retry_after_s * 1000LL;
    if (!passing || l->began || l->wrong.code != KP_OK || ++l->tries >= PAGE_TRIES ||
        now + wait > l->until_ms)
        return false;
    wait_and_start(l, wait);
    return true;
}

static void on_page_done(void *user, const struct kp_error *err)
{
    struct kp_kube_listing *l = user;
    struct kp_error end = {0};
    l->http = NULL;
    if (l->canceled)
        kp_fail(&end, KP_CANCELED, "the list of '%s' was canceled", l->path);
    else if (l->wrong.code != KP_OK)
        end = l->wrong;
    else if (err)
        end = *err;
    if (end.code != KP_OK || kp_stream_end(l->objects, &end) < 0) {
        if (!go_on_after(l, &end))
            finish(l, &end);
        return;
    }
    const char *next = kp_stream_continue(l->objects);
    if (*next == '\0') {
        finish(l, NULL);
        return;
    }
    kp_free(l->token);
    l->token = kp_strdup(next);
    l->tries = 0;
    start_or_finish(l);
}

static void on_timer(void *user)
{
    struct kp_kube_listing *l = user;
    struct kp_error err = {0};
    if (l->canceled) {
        kp_fail(&err, KP_CANCELED, "the list of '%s' was canceled", l->path);
        finish(l, &err);
        return;
    }
    start_or_finish(l);
}

static int start_page(struct kp_kube_listing *l, struct kp_error *err)
{
    kp_auto_strbuf path;
    int page = l->request.page_size > 0 ? l->request.page_size : PAGE_SIZE;
    int64_t left = l->until_ms - kp_mono_ms();
    if (left <= 0)
        return kp_fail(err, KP_TIMEOUT, "the list of '%s' took too long", l->path);
    kp_strbuf_init(&path, 4 * MAX_TOKEN);
    kp_strbuf_addf(&path, "%s%climit=%d", l->path, strchr(l->path, '?') ? '&' : '?', page);
    if (l->token) {
        kp_strbuf_adds(&path, "&continue=");
        kp_strbuf_add_url(&path, l->token);
    }
    if (path.overflow)
        return kp_fail(err, KP_LIMIT, "the list of '%s' has a continue token that is too long", l->path);
    kp_stream_destroy(l->objects);
    l->objects = kp_stream_create(KP_STREAM_LIST, KP_MAX_WATCH_OBJECT_BYTES, on_object, l);
    l->began = false;
    l->wrong = (struct kp_error){0};
    return kp_kube_stream_start(l->kube,
        &(struct kp_kube_stream_request){
            .path = path.data,
            .timeout_ms = left,
            .idle_timeout_ms = IDLE_MS,
            .on_begin = on_begin,
            .on_data = on_data,
            .on_refusal = on_refusal,
            .on_done = on_page_done,
            .user = l,
        },
        &l->http, err);
}

int kp_kube_list_each(struct kp_kube *kube, const struct kp_kube_listing_request *request,
    struct kp_kube_listing **ret, struct kp_error *err)
{
    struct kp_kube_listing *l = KP_NEW(struct kp_kube_listing);
    l->kube = kube;
    kp_list_append(&kube->listings, &l->node);
    l->request = *request;
    l->path = kp_strdup(request->path);
    l->request.path = NULL;
    l->until_ms = kp_mono_ms() + (request->timeout_ms > 0 ? request->timeout_ms : TIMEOUT_MS);
    l->timer = kp_timer_create(kube->loop, on_timer, l);
    kp_backoff_init(&l->backoff, FIRST_BACKOFF_MS, MAX_BACKOFF_MS, 0.5,
        kp_hash64_mix((uint64_t)kp_mono_us(), (uint64_t)(uintptr_t)l));
    int code = start_page(l, err);
    if (code < 0) {
        listing_free(l);
        return code;
    }
    if (ret)
        *ret = l;
    return KP_OK;
}

void kp_kube_listing_cancel(struct kp_kube_listing *l)
{
    if (l->canceled)
        return;
    l->canceled = true;
    if (l->http)
        kp_kube_stream_cancel(l->http);
    else
        kp_timer_start(l->timer, 0, 0);
}

void kp_kube_listings_end(struct kp_kube *kube)
{
    while (!kp_list_empty(&kube->listings)) {
        struct kp_kube_listing *l = kp_container_of(kube->listings.next, struct kp_kube_listing, node);
        struct kp_error err = {0};
        kp_fail(&err, KP_CANCELED, "the list of '%s' was canceled", l->path);
        finish(l, &err);
    }
}
