// The cache, and what its owner is told. Nothing leaves the cache but by a DELETED event or by a list that
// came in whole; a resource version is kept only from events in order (not from a WatchList's initial ones).
#include "kube/reflector.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "kube/failure.h"
#include "kube/reflector_internal.h"

#include "base/banned.h"

enum {
    IDLE_MS = 90 * 1000, // bookmarks come once a minute
    FIRST_BACKOFF_MS = 800,
    MAX_BACKOFF_MS = 30 * 1000,
    BACKOFF_RESET_MS = 2 * 60 * 1000,
    PAGE_SIZE = 500,
    READ_GAP_MS = 35, // of a watch in step: events that come together are one piece of work
};

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

static void on_timer(void *user)
{
    struct kp_reflector *r = user;
    kp_reflector_enter(r);
    kp_reflector_request(r);
    kp_reflector_leave(r);
}

struct kp_reflector *kp_reflector_create(struct kp_kube *kube, const struct kp_reflector_kind *kind,
    const struct kp_reflector_events *events, struct kp_metrics *metrics)
{
    struct kp_reflector *r = KP_NEW(struct kp_reflector);
    r->kube = kube;
    r->kind = *kind;
    r->kind.name = r->texts[0] = kp_strdup(kind->name);
    r->kind.path = r->texts[1] = kp_strdup(kind->path);
    r->kind.query = r->texts[2] = kp_strdup(kind->query);
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

// Several reflectors of one resource (one a namespace) share the figure.
static void count_objects(struct kp_reflector *r, size_t n)
{
    kp_metric_add(r->counters.objects, (double)n - (double)r->counted);
    r->counted = n;
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
    for (size_t i = 0; i < KP_COUNT(r->texts); i++)
        kp_free(r->texts[i]);
    kp_free(r);
}

void kp_reflector_destroy(struct kp_reflector *r)
{
    if (!r || r->closing)
        return;
    r->closing = true;
    count_objects(r, 0);
    kp_timer_destroy(r->timer);
    kp_kube_forget(kp_take(r->asking));
    if (r->call)
        kp_kube_stream_cancel(r->call);
    release(r);
}

void kp_reflector_enter(struct kp_reflector *r)
{
    r->busy++;
}

void kp_reflector_leave(struct kp_reflector *r)
{
    r->busy--;
    release(r);
}

// ---- telling the owner ----

void kp_reflector_set_state(struct kp_reflector *r, enum kp_reflector_state state)
{
    static const char *const names[] = {"idle", "listing", "watching", "waiting"};
    if (r->state == state)
        return;
    r->state = state;
    if (state == KP_REFLECTOR_WATCHING && r->call)
        kp_kube_stream_relax(r->call, READ_GAP_MS);
    KP_DEBUG(
        "reflector", KP_S("resource", r->kind.name), KP_S("state", names[state]), KP_S("version", r->rv));
}

void kp_reflector_tell_trouble(struct kp_reflector *r, const struct kp_error *err)
{
    bool news = r->trouble.code != err->code || strcmp(r->trouble.text, err->text) != 0;
    r->trouble = *err;
    KP_DEBUG("reflector in trouble", KP_S("resource", r->kind.name), KP_S("error", err->text));
    if (news && r->events.on_trouble && !r->closing)
        r->events.on_trouble(r->events.user, err);
}

void kp_reflector_tell_well(struct kp_reflector *r)
{
    if (r->trouble.code == KP_OK)
        return;
    kp_error_clear(&r->trouble);
    if (r->events.on_trouble && !r->closing)
        r->events.on_trouble(r->events.user, NULL);
}

// What is read now may have come when the watch was read last.
static void saw_event(struct kp_reflector *r)
{
    kp_reflector_saw(r, kp_loop_mono_ms(r->kube->loop) - READ_GAP_MS);
}

static void tell_change(struct kp_reflector *r, const char *key, void *old_value, void *new_value)
{
    if (r->events.on_change && !r->closing)
        r->events.on_change(r->events.user, key, old_value, new_value);
}

void kp_reflector_saw(struct kp_reflector *r, int64_t mono_ms)
{
    r->last_event_ms = mono_ms;
    kp_metric_set(r->counters.last_event, (double)kp_now_ms() / 1000);
    count_objects(r, kp_cache_count(r->cache));
}

// ---- objects ----

static void *decode(struct kp_reflector *r, const struct kp_watch_event *event, char key[512], char rv[64],
    struct kp_error *err)
{
    void *user = r->events.user;
    if (event->encoding == KP_ENCODING_JSON)
        return r->kind.decode(user, event->object, event->len, key, rv, err);
    if (r->kind.decode_protobuf)
        return r->kind.decode_protobuf(user, event->object, event->len, key, rv, err);
    kp_fail(err, KP_INVALID, "cannot read an object: it is protobuf, which was not asked for");
    return NULL;
}

static void put_object(struct kp_reflector *r, const struct kp_watch_event *event, char rv[64])
{
    char key[512] = "";
    struct kp_error err = {0};
    void *old_value = NULL;
    void *value = decode(r, event, key, rv, &err);
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

static void remove_object(struct kp_reflector *r, const struct kp_watch_event *event, char rv[64])
{
    char key[512] = "";
    void *value = decode(r, event, key, rv, NULL);
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
void kp_reflector_list_complete(struct kp_reflector *r, const char *rv)
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
        kp_reflector_saw(r, r->asked_ms);
    kp_reflector_tell_well(r);
    if (r->synced || r->closing)
        return;
    r->synced = true;
    if (r->events.on_synced)
        r->events.on_synced(r->events.user);
}

static bool handle_bookmark(struct kp_reflector *r, const struct kp_watch_event *event)
{
    struct kp_bookmark bookmark;
    if (kp_bookmark_parse(event, &bookmark, &r->error) < 0)
        return false;
    if (!r->initial) {
        kp_copy(r->rv, sizeof r->rv, bookmark.resource_version);
        saw_event(r);
    } else if (bookmark.initial_events_end) {
        r->initial = false;
        kp_reflector_list_complete(r, bookmark.resource_version);
        kp_reflector_set_state(r, KP_REFLECTOR_WATCHING);
    }
    return true;
}

static void handle_object(struct kp_reflector *r, const struct kp_watch_event *event)
{
    char rv[64] = "";
    if (event->type == KP_WATCH_DELETED)
        remove_object(r, event, rv);
    else
        put_object(r, event, rv);
    if (r->initial || r->closing)
        return; // initial events are not in the order of their versions
    if (*rv)
        kp_copy(r->rv, sizeof r->rv, rv);
    saw_event(r);
}

static void count_event(struct kp_reflector *r, enum kp_watch_type type)
{
    static const char *const names[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
    if (!r->counters.events)
        return;
    if (!r->counters.event[type])
        r->counters.event[type] =
            kp_metric_with(r->counters.events, (const char *const[]){r->kind.name, names[type]});
    kp_metric_inc(r->counters.event[type]);
}

bool kp_reflector_on_event(void *user, const char *data, size_t len)
{
    struct kp_reflector *r = user;
    struct kp_watch_event event;
    if (kp_watch_event_parse(kp_stream_encoding(r->stream), data, len, &event, &r->error) < 0)
        return false;
    count_event(r, event.type);
    if (event.type == KP_WATCH_ERROR) {
        r->got_error_event = true;
        (void)kp_failure_read_event(&event, &r->error);
        return false;
    }
    r->got_event = true;
    r->error_event = false;
    if (!r->initial)
        kp_reflector_tell_well(r);
    if (event.type == KP_WATCH_BOOKMARK)
        return handle_bookmark(r, &event) && !r->closing;
    handle_object(r, &event);
    return !r->closing;
}

bool kp_reflector_on_item(void *user, const char *data, size_t len)
{
    struct kp_reflector *r = user;
    const struct kp_watch_event item = {KP_WATCH_ADDED, kp_stream_encoding(r->stream), data, len};
    char rv[64] = "";
    put_object(r, &item, rv);
    return !r->closing;
}

// ---- asking ----

void kp_reflector_start(struct kp_reflector *r)
{
    if (r->state != KP_REFLECTOR_IDLE || r->closing)
        return;
    kp_reflector_enter(r);
    kp_reflector_request(r);
    kp_reflector_leave(r);
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

int64_t kp_reflector_last_event_mono_ms(const struct kp_reflector *r)
{
    return r->last_event_ms;
}
