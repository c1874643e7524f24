// The state machine. One request is out at a time: a list (page by page), a WatchList or a watch; what it
// brought is judged in handle_end(), which decides what comes next. Three rules hold: nothing leaves the
// cache but by a DELETED event or by a list that came in whole; a resource version is kept only from events
// in order (not from a WatchList's initial ones); and every failure waits, so that no answer of the API
// server makes a hot loop.
#include "kube/reflector.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "kube/cache.h"
#include "kube/client_internal.h"
#include "kube/failure.h"
#include "kube/stream.h"

#include "base/banned.h"

enum {
    IDLE_MS = 90 * 1000, // bookmarks come once a minute
    FIRST_BACKOFF_MS = 800,
    MAX_BACKOFF_MS = 30 * 1000,
    BACKOFF_RESET_MS = 2 * 60 * 1000,
    MISSING_WAIT_MS = 5 * 1000, // a CRD about to be installed is found soon
    PAGE_SIZE = 500,
    LIST_TIMEOUT_MS = 5 * 60 * 1000,
    WATCH_LIST_AGAIN_MS = 60 * 60 * 1000,
    SHORT_WATCH_MS = 1000,
};

enum step { STEP_LIST, STEP_WATCH_LIST, STEP_WATCH };

struct counters { // cells may be NULL
    struct kp_metric_family *relists, *events;
    struct kp_metric *unreadable, *objects, *last_event;
};

struct kp_reflector {
    struct kp_kube *kube;
    struct kp_reflector_kind kind; // strings are ours
    struct kp_reflector_events events;
    struct kp_reflector_tuning tuning;
    struct counters counters;
    struct kp_cache *cache;
    struct kp_timer *timer;
    struct kp_backoff backoff;
    uint64_t random;
    enum kp_reflector_state state;
    bool synced;
    struct kp_error trouble; // code 0 = well
    bool closing;
    int busy; // depth of our callbacks: what a callback destroys is freed when the outermost returns

    // where we stand
    bool listed;          // the cache is complete up to rv: go on by watching
    char rv[64];          // "" = none yet
    bool rv_unusable;     // the API server does not have rv any more: ask for the newest
    bool no_watch_list;   // for the next list only
    bool unpaged;         // a page's token expired: the next list goes without pages
    bool error_event;     // the last watch ended by an ERROR event and nothing good came since
    uint32_t round;       // number of the list that is coming in
    const char *reason;   // why we list
    char *continue_token; // of the next page
    int64_t last_event_ms;

    // the request that is out
    enum step step;
    struct kp_kube_stream *call;
    struct kp_stream *stream;
    struct kp_error error; // that we found in what came
    bool began, initial, got_event, got_error_event, asked_newest;
    int64_t asked_ms;
};

static void enter_requesting(struct kp_reflector *r);

// ---- create, destroy ----

static void make_counters(struct kp_reflector *r, struct kp_metrics *metrics)
{
    static const char *const by_reason[] = {"resource", "reason", NULL};
    static const char *const by_type[] = {"resource", "type", NULL};
    static const char *const by_resource[] = {"resource", NULL};
    const char *const name[] = {r->kind.name};
    if (!metrics)
        return;
    r->counters.relists = kp_metrics_family(metrics, KP_COUNTER, "kube_pprof_watch_relists_total",
        "Full lists asked of the API server by resource and reason.", by_reason, NULL, 0, 100);
    r->counters.events = kp_metrics_family(metrics, KP_COUNTER, "kube_pprof_watch_events_total",
        "Watch events received by resource and type.", by_type, NULL, 0, 100);
    r->counters.unreadable =
        kp_metric_with(kp_metrics_family(metrics, KP_COUNTER, "kube_pprof_watch_unreadable_objects_total",
                           "Objects left out because they could not be read.", by_resource, NULL, 0, 20),
            name);
    r->counters.objects = kp_metric_with(kp_metrics_family(metrics, KP_GAUGE, "kube_pprof_watch_objects",
                                             "Objects in the cache by resource.", by_resource, NULL, 0, 20),
        name);
    r->counters.last_event =
        kp_metric_with(kp_metrics_family(metrics, KP_GAUGE, "kube_pprof_watch_last_event_timestamp_seconds",
                           "When the last event or bookmark came in, by resource.", by_resource, NULL, 0, 20),
            name);
}

static void on_timer(void *user);

struct kp_reflector *kp_reflector_create(struct kp_kube *kube, const struct kp_reflector_kind *kind,
    const struct kp_reflector_events *events, struct kp_metrics *metrics)
{
    struct kp_reflector *r = KP_NEW(struct kp_reflector);
    r->kube = kube;
    r->kind = *kind;
    r->kind.name = kp_strdup(kind->name);
    r->kind.path = kp_strdup(kind->path);
    r->kind.query = kp_strdup(kind->query);
    r->events = *events;
    r->cache = kp_cache_create(kind->unref);
    r->timer = kp_timer_create(kube->loop, on_timer, r);
    r->random = kp_random_next(&kube->random);
    r->reason = "start";
    make_counters(r, metrics);
    kp_reflector_tune(r, &(struct kp_reflector_tuning){0});
    return r;
}

void kp_reflector_tune(struct kp_reflector *r, const struct kp_reflector_tuning *tuning)
{
    struct kp_reflector_tuning *t = &r->tuning;
    *t = *tuning;
    if (t->idle_ms == 0)
        t->idle_ms = IDLE_MS;
    if (t->first_backoff_ms == 0)
        t->first_backoff_ms = FIRST_BACKOFF_MS;
    if (t->max_backoff_ms == 0)
        t->max_backoff_ms = MAX_BACKOFF_MS;
    if (t->page_size == 0)
        t->page_size = PAGE_SIZE;
    if (t->max_object == 0)
        t->max_object = KP_MAX_WATCH_OBJECT_BYTES;
    kp_backoff_init(&r->backoff, t->first_backoff_ms, t->max_backoff_ms, 1.0, kp_random_next(&r->random));
    r->backoff.reset_after_ms = BACKOFF_RESET_MS;
}

// Frees what nobody needs any more: the values at once, the rest when the request has come back.
static void release(struct kp_reflector *r)
{
    if (!r->closing || r->busy > 0)
        return;
    kp_cache_destroy(r->cache);
    r->cache = NULL;
    if (r->call)
        return;
    kp_stream_destroy(r->stream);
    kp_free(r->continue_token);
    union {
        const char *in;
        char *out;
    } name = {r->kind.name}, path = {r->kind.path}, query = {r->kind.query};
    kp_free(name.out);
    kp_free(path.out);
    kp_free(query.out);
    kp_free(r);
}

void kp_reflector_destroy(struct kp_reflector *r)
{
    if (!r || r->closing)
        return;
    r->closing = true;
    kp_timer_destroy(r->timer);
    if (r->call)
        kp_kube_stream_cancel(r->call);
    release(r);
}

static void enter(struct kp_reflector *r)
{
    r->busy++;
}

static void leave(struct kp_reflector *r)
{
    r->busy--;
    release(r);
}

// ---- telling the owner ----

static void set_state(struct kp_reflector *r, enum kp_reflector_state state)
{
    static const char *const names[] = {"idle", "listing", "watching", "waiting"};
    if (r->state == state)
        return;
    r->state = state;
    KP_DEBUG(
        "reflector", KP_S("resource", r->kind.name), KP_S("state", names[state]), KP_S("version", r->rv));
}

static void tell_trouble(struct kp_reflector *r, const struct kp_error *err)
{
    bool news = r->trouble.code != err->code || strcmp(r->trouble.text, err->text) != 0;
    r->trouble = *err;
    KP_DEBUG("reflector in trouble", KP_S("resource", r->kind.name), KP_S("error", err->text));
    if (news && r->events.on_trouble && !r->closing)
        r->events.on_trouble(r->events.user, err);
}

static void tell_well(struct kp_reflector *r)
{
    if (r->trouble.code == KP_OK)
        return;
    kp_error_clear(&r->trouble);
    if (r->events.on_trouble && !r->closing)
        r->events.on_trouble(r->events.user, NULL);
}

static void tell_change(struct kp_reflector *r, const char *key, void *old_value, void *new_value)
{
    if (r->events.on_change && !r->closing)
        r->events.on_change(r->events.user, key, old_value, new_value);
}

static void saw_event(struct kp_reflector *r, int64_t mono_ms)
{
    r->last_event_ms = mono_ms;
    kp_metric_set(r->counters.last_event, (double)kp_now_ms() / 1000);
    kp_metric_set(r->counters.objects, (double)kp_cache_count(r->cache));
}

// ---- objects ----

static void put_object(struct kp_reflector *r, const char *json, size_t len, char rv[64])
{
    char key[512] = "";
    struct kp_error err = {0};
    void *old_value = NULL;
    void *value = r->kind.decode(r->events.user, json, len, key, rv, &err);
    if (!value) {
        KP_DEBUG("object left out", KP_S("resource", r->kind.name), KP_S("error", err.text));
        kp_metric_inc(r->counters.unreadable);
        return;
    }
    if (!kp_cache_put(r->cache, key, rv, r->round, value, &old_value))
        return;
    tell_change(r, key, old_value, value);
    if (old_value)
        r->kind.unref(old_value);
}

static void remove_object(struct kp_reflector *r, const char *json, size_t len, char rv[64])
{
    char key[512] = "";
    void *value = r->kind.decode(r->events.user, json, len, key, rv, NULL);
    if (!value) {
        kp_metric_inc(r->counters.unreadable);
        return;
    }
    r->kind.unref(value);
    value = kp_cache_remove(r->cache, key);
    if (!value)
        return;
    tell_change(r, key, value, NULL);
    r->kind.unref(value);
}

static void object_gone(void *user, const char *key, void *value)
{
    struct kp_reflector *r = user;
    tell_change(r, key, value, NULL);
}

// A full list has come in: what it did not name is gone.
static void list_complete(struct kp_reflector *r, const char *rv)
{
    size_t gone = kp_cache_sweep(r->cache, r->round, object_gone, r);
    kp_copy(r->rv, sizeof r->rv, rv);
    r->listed = true;
    r->rv_unusable = r->unpaged = r->no_watch_list = false;
    KP_DEBUG("list complete", KP_S("resource", r->kind.name),
        KP_I("objects", (int64_t)kp_cache_count(r->cache)), KP_I("gone", (int64_t)gone), KP_S("version", rv));
    // The list is as new as the moment it was asked for; one from the cache of the API server may be older
    // than that.
    if (r->asked_newest)
        saw_event(r, r->asked_ms);
    tell_well(r);
    if (r->synced || r->closing)
        return;
    r->synced = true;
    if (r->events.on_synced)
        r->events.on_synced(r->events.user);
}

static bool handle_bookmark(struct kp_reflector *r, const struct kp_watch_event *event)
{
    struct kp_bookmark bookmark;
    if (kp_bookmark_parse(event->object, event->len, &bookmark, &r->error) < 0)
        return false;
    if (!r->initial) {
        kp_copy(r->rv, sizeof r->rv, bookmark.resource_version);
        saw_event(r, kp_loop_mono_ms(r->kube->loop));
    } else if (bookmark.initial_events_end) {
        r->initial = false;
        list_complete(r, bookmark.resource_version);
        set_state(r, KP_REFLECTOR_WATCHING);
    }
    return true;
}

static void handle_object(struct kp_reflector *r, const struct kp_watch_event *event)
{
    char rv[64] = "";
    if (event->type == KP_WATCH_DELETED)
        remove_object(r, event->object, event->len, rv);
    else
        put_object(r, event->object, event->len, rv);
    if (r->initial || r->closing)
        return; // initial events are not in the order of their versions
    if (*rv)
        kp_copy(r->rv, sizeof r->rv, rv);
    saw_event(r, kp_loop_mono_ms(r->kube->loop));
}

static bool on_event(void *user, const char *json, size_t len)
{
    static const char *const names[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
    struct kp_reflector *r = user;
    struct kp_watch_event event;
    if (kp_watch_event_parse(json, len, &event, &r->error) < 0)
        return false;
    if (r->counters.events)
        kp_metric_inc(
            kp_metric_with(r->counters.events, (const char *const[]){r->kind.name, names[event.type]}));
    if (event.type == KP_WATCH_ERROR) {
        r->got_error_event = true;
        kp_failure_read_status(event.object, event.len, &r->error);
        return false;
    }
    r->got_event = true;
    r->error_event = false;
    if (!r->initial)
        tell_well(r);
    if (event.type == KP_WATCH_BOOKMARK)
        return handle_bookmark(r, &event) && !r->closing;
    handle_object(r, &event);
    return !r->closing;
}

static bool on_item(void *user, const char *json, size_t len)
{
    struct kp_reflector *r = user;
    char rv[64] = "";
    put_object(r, json, len, rv);
    return !r->closing;
}

// ---- the request ----

static void add_list_query(struct kp_reflector *r, struct kp_strbuf *path)
{
    const char *rv = r->rv_unusable ? "" : *r->rv ? r->rv : "0";
    r->asked_newest = *rv == '\0' || r->continue_token;
    if (r->continue_token) {
        kp_strbuf_addf(path, "limit=%d&continue=", r->tuning.page_size);
        kp_strbuf_add_url(path, r->continue_token);
        return;
    }
    // A list not older than a given version comes from the cache of the API server, which does not cut pages.
    if (!r->unpaged && (*rv == '\0' || strcmp(rv, "0") == 0))
        kp_strbuf_addf(path, "limit=%d&", r->tuning.page_size);
    kp_strbuf_addf(path, "resourceVersion=%s", rv);
}

static int64_t watch_seconds(struct kp_reflector *r)
{
    return 300 + (int64_t)(kp_random_next(&r->random) % 300); // so that not all watches end together
}

static void build_path(struct kp_reflector *r, int64_t seconds, struct kp_strbuf *path)
{
    kp_strbuf_addf(path, "%s?", r->kind.path);
    if (r->kind.query && *r->kind.query)
        kp_strbuf_addf(path, "%s&", r->kind.query);
    switch (r->step) {
    case STEP_LIST:
        add_list_query(r, path);
        return;
    case STEP_WATCH_LIST:
        r->asked_newest = true;
        kp_strbuf_addf(path,
            "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
            "&resourceVersion=%s&timeoutSeconds=%" PRId64,
            r->rv_unusable ? "" : r->rv, seconds);
        return;
    case STEP_WATCH:
        kp_strbuf_addf(path, "watch=1&allowWatchBookmarks=true&resourceVersion=%s&timeoutSeconds=%" PRId64,
            r->rv, seconds);
        return;
    }
}

static enum step next_step(const struct kp_reflector *r)
{
    if (r->listed)
        return STEP_WATCH;
    bool refused = kp_mono_ms() < r->kube->watch_list_again_ms;
    if (r->tuning.no_watch_list || r->no_watch_list || refused || r->continue_token)
        return STEP_LIST;
    return STEP_WATCH_LIST;
}

static void on_begin(void *user)
{
    struct kp_reflector *r = user;
    r->began = true;
    if (r->step != STEP_WATCH || r->closing)
        return;
    enter(r);
    set_state(r, KP_REFLECTOR_WATCHING);
    if (!r->error_event)
        tell_well(r);
    leave(r);
}

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct kp_reflector *r = user;
    if (r->closing)
        return false;
    enter(r);
    bool go_on =
        kp_stream_feed(r->stream, data, len, &r->error) == KP_OK && r->error.code == KP_OK && !r->closing;
    leave(r); // frees nothing we need: the request is still out
    return go_on;
}

static void handle_end(struct kp_reflector *r, const struct kp_error *err);

static void on_done(void *user, const struct kp_error *err)
{
    struct kp_reflector *r = user;
    struct kp_error end = {0};
    r->call = NULL;
    enter(r);
    if (r->error.code != KP_OK)
        end = r->error;
    else if (err)
        end = *err;
    else if (kp_stream_end(r->stream, &end) < 0)
        kp_wrap(&end, "reading %s", r->kind.path);
    if (!r->closing)
        handle_end(r, end.code != KP_OK ? &end : NULL);
    leave(r);
}

static void failed(struct kp_reflector *r, const struct kp_error *err);

static void begin_step(struct kp_reflector *r)
{
    bool watch = r->step != STEP_LIST;
    kp_stream_destroy(r->stream);
    r->stream = kp_stream_create(
        watch ? KP_STREAM_WATCH : KP_STREAM_LIST, r->tuning.max_object, watch ? on_event : on_item, r);
    r->initial = r->step == STEP_WATCH_LIST;
    r->began = r->got_event = r->got_error_event = false;
    kp_error_clear(&r->error);
    if (r->continue_token)
        return;
    r->asked_ms = kp_mono_ms();
    if (r->step == STEP_WATCH)
        return;
    r->round++;
    if (r->counters.relists)
        kp_metric_inc(kp_metric_with(r->counters.relists, (const char *const[]){r->kind.name, r->reason}));
}

static void enter_requesting(struct kp_reflector *r)
{
    struct kp_error err = {0};
    int64_t seconds = watch_seconds(r);
    kp_auto_strbuf path;
    kp_strbuf_init(&path, 16 * KP_KIB);
    r->step = next_step(r);
    if (r->step != STEP_WATCH)
        set_state(r, KP_REFLECTOR_LISTING);
    begin_step(r);
    build_path(r, seconds, &path);
    struct kp_kube_stream_request request = {
        .path = path.data,
        .timeout_ms = r->step == STEP_LIST ? LIST_TIMEOUT_MS : (seconds + 30) * 1000,
        .idle_timeout_ms = r->tuning.idle_ms,
        .on_begin = on_begin,
        .on_data = on_data,
        .on_done = on_done,
        .user = r,
    };
    if (path.overflow)
        kp_fail(&err, KP_LIMIT, "the selector or page token of %s is too long", r->kind.name);
    else if (kp_kube_stream_start(r->kube, &request, &r->call, &err) == KP_OK)
        return;
    failed(r, &err);
}

// ---- waiting ----

static void enter_waiting(struct kp_reflector *r, int64_t wait_ms)
{
    set_state(r, KP_REFLECTOR_WAITING);
    if (!r->closing)
        kp_timer_start(r->timer, wait_ms, 0);
}

static void on_timer(void *user)
{
    struct kp_reflector *r = user;
    enter(r);
    enter_requesting(r);
    leave(r);
}

// Something went wrong that people ought to know of.
static void failed(struct kp_reflector *r, const struct kp_error *err)
{
    int64_t wait = kp_backoff_next_ms(&r->backoff, kp_mono_ms());
    int64_t asked = err->retry_after_s * 1000LL;
    if (err->code == KP_NOT_FOUND && wait > MISSING_WAIT_MS)
        wait = MISSING_WAIT_MS;
    if (asked > 0) {
        asked += (int64_t)(kp_random_next(&r->random) % 250) * err->retry_after_s;
        wait = asked > wait ? asked : wait;
    }
    tell_trouble(r, err);
    enter_waiting(r, wait);
}

static void pause_and_go_on(struct kp_reflector *r)
{
    enter_waiting(r, kp_backoff_next_ms(&r->backoff, kp_mono_ms()));
}

// ---- what the end of a request means ----

static void drop_page(struct kp_reflector *r)
{
    kp_free(r->continue_token);
    r->continue_token = NULL;
}

// The API server does not have the version we asked for (any more, or yet).
static bool version_lost(const struct kp_error *err)
{
    return err->code == KP_GONE || (err->code == KP_TIMEOUT && err->http_status == 504);
}

static void handle_list_end(struct kp_reflector *r, const struct kp_error *err)
{
    bool paging = r->continue_token != NULL;
    drop_page(r);
    if (!err) {
        const char *next = kp_stream_continue(r->stream);
        const char *rv = kp_stream_resource_version(r->stream);
        if (*next) {
            r->continue_token = kp_strdup(next);
        } else if (*rv) {
            list_complete(r, rv);
        } else {
            struct kp_error missing = {0};
            kp_fail(&missing, KP_INVALID, "the list of %s has no resourceVersion", r->kind.path);
            failed(r, &missing);
            return;
        }
        if (!r->closing)
            enter_requesting(r);
        return;
    }
    r->reason = "failed";
    if (version_lost(err) && (paging || !r->rv_unusable)) {
        r->unpaged = paging && r->rv_unusable;
        r->rv_unusable = true;
        r->reason = "expired";
        pause_and_go_on(r);
        return;
    }
    failed(r, err);
}

// Whether this answer says that WatchList is not served.
static bool refuses_watch_list(const struct kp_reflector *r, const struct kp_error *err)
{
    int status = err->http_status;
    if (r->got_error_event)
        return true;
    return !r->began && status >= 400 && status < 500 && status != 401 && status != 403 && status != 404 &&
           status != 429;
}

static void handle_initial_end(struct kp_reflector *r, const struct kp_error *err)
{
    struct kp_error early = {0};
    if (!err) {
        kp_fail(&early, KP_UNAVAILABLE, "the API server ended the watch of %s before its list was complete",
            r->kind.path);
        r->no_watch_list = true;
        err = &early;
    }
    r->reason = "failed";
    if (version_lost(err) && !r->rv_unusable && *r->rv) {
        r->rv_unusable = true;
        r->reason = "expired";
        pause_and_go_on(r);
    } else if (refuses_watch_list(r, err)) {
        KP_DEBUG("no WatchList here, falling back to list and watch", KP_S("resource", r->kind.name),
            KP_S("error", err->text));
        r->no_watch_list = true;
        r->reason = "fallback";
        if (err->http_status >= 400 && err->http_status < 500 && err->code == KP_INVALID)
            r->kube->watch_list_again_ms = kp_mono_ms() + WATCH_LIST_AGAIN_MS;
        enter_requesting(r);
    } else {
        failed(r, err);
    }
}

static void handle_watch_end(struct kp_reflector *r, const struct kp_error *err)
{
    bool lasted = r->got_event || kp_mono_ms() - r->asked_ms >= SHORT_WATCH_MS;
    bool unreadable =
        err && !r->got_error_event && (err->code == KP_INVALID || err->code == KP_LIMIT) && r->began;
    bool twice = r->got_error_event && r->error_event;
    r->error_event = r->got_error_event;
    if (!err && lasted) {
        enter_requesting(r);
    } else if (!err) {
        pause_and_go_on(r);
    } else if (version_lost(err)) {
        r->listed = false;
        r->reason = "expired";
        pause_and_go_on(r);
    } else if (unreadable) {
        r->listed = false;
        r->reason = "unreadable";
        failed(r, err);
    } else if (r->began && !twice) {
        pause_and_go_on(
            r); // the connection broke or fell silent; only if it does not come back is it trouble
    } else {
        failed(r, err);
    }
}

static void handle_end(struct kp_reflector *r, const struct kp_error *err)
{
    if (r->step == STEP_LIST)
        handle_list_end(r, err);
    else if (r->initial)
        handle_initial_end(r, err);
    else
        handle_watch_end(r, err);
}

// ---- asking ----

void kp_reflector_start(struct kp_reflector *r)
{
    if (r->state != KP_REFLECTOR_IDLE || r->closing)
        return;
    enter(r);
    enter_requesting(r);
    leave(r);
}

bool kp_reflector_synced(const struct kp_reflector *r)
{
    return r->synced;
}

enum kp_reflector_state kp_reflector_state(const struct kp_reflector *r)
{
    return r->state;
}

const char *kp_reflector_trouble(const struct kp_reflector *r)
{
    return r->trouble.code != KP_OK ? r->trouble.text : NULL;
}

size_t kp_reflector_count(const struct kp_reflector *r)
{
    return kp_cache_count(r->cache);
}

void *kp_reflector_get(const struct kp_reflector *r, const char *key)
{
    return kp_cache_get(r->cache, key);
}

void kp_reflector_each(
    const struct kp_reflector *r, void (*each)(void *user, const char *key, void *value), void *user)
{
    kp_cache_each(r->cache, each, user);
}

int64_t kp_reflector_last_event_mono_ms(const struct kp_reflector *r)
{
    return r->last_event_ms;
}
