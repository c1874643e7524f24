// What is told once becomes an Event; what is told again within six minutes becomes a series of it: the
// second time is written, further ones are only counted and written every half hour and at the end (as
// client-go does). Everything is bounded: series in memory, and new Events per second; what does not fit is
// dropped and counted.
#include "kube/events.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "kube/client_internal.h"

#include "base/banned.h"

// uthash is macros: NOLINTBEGIN(readability-function-size)

enum {
    MAX_SERIES = 1000,
    RATE = 10,
    BURST = 200,
    SERIES_END_MS = 6 * 60 * 1000,
    SERIES_WRITE_MS = 30 * 60 * 1000,
    WALK_MS = 60 * 1000,
    MAX_NOTE = 1024,
    MAX_NAME = 253,
};

struct series {
    struct kp_events *events;
    json_t *object; // the Event as it was made
    char *namespace, *name;
    int64_t count, written_count; // written_count 0 = the Event itself is not there yet
    int64_t last_ms, written_ms;  // monotonic
    int64_t last_wall_ms;
    struct kp_kube_call *call;
    bool ended;
    UT_hash_handle hh;
    char key[];
};

struct kp_events {
    struct kp_kube *kube;
    char *reporting, *instance;
    struct series *series;
    bool closing;
    struct kp_bucket bucket;
    struct kp_timer *timer;
    struct kp_metric *dropped;
    uint64_t number; // for names
};

static void on_walk(void *user);

struct kp_events *kp_events_create(struct kp_kube *kube, const char *reporting, const char *instance)
{
    struct kp_events *events = KP_NEW(struct kp_events);
    events->kube = kube;
    events->reporting = kp_strdup(reporting);
    events->instance = kp_strndup(instance, 128);
    kp_bucket_init(&events->bucket, RATE, BURST, kp_mono_ms());
    events->timer = kp_timer_create(kube->loop, on_walk, events);
    kp_timer_start(events->timer, WALK_MS, WALK_MS);
    if (kube->metrics)
        events->dropped = kp_counter(kube->metrics, "kube_pprof_events_dropped_total",
            "Kubernetes Events that were not sent: too many at once, or refused.");
    return events;
}

static void series_free(struct series *s)
{
    HASH_DEL(s->events->series, s);
    json_decref(s->object);
    kp_free(s->namespace);
    kp_free(s->name);
    kp_free(s);
}

static void events_free(struct kp_events *events)
{
    kp_free(events->reporting);
    kp_free(events->instance);
    kp_free(events);
}

void kp_events_destroy(struct kp_events *events)
{
    struct series *s;
    struct series *next;
    if (!events || events->closing)
        return;
    events->closing = true;
    kp_timer_destroy(events->timer);
    HASH_ITER (hh, events->series, s, next) {
        if (s->call)
            kp_kube_cancel(s->call);
        else
            series_free(s);
    }
    if (!events->series)
        events_free(events);
}

// ---- writing ----

static void on_written(void *user, int http_status, json_t *json, const struct kp_error *err);

static void send(
    struct series *s, const char *method, const char *path, const char *content_type, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    struct kp_blob *blob = text ? kp_blob_copy(text, strlen(text)) : NULL;
    struct kp_kube_request request = {
        .method = method,
        .path = path,
        .content_type = content_type,
        .body = blob,
        .on_done = on_written,
        .user = s,
    };
    struct kp_error err = {0};
    if (!blob || kp_kube_start(s->events->kube, &request, &s->call, &err) < 0) {
        KP_DEBUG("event not sent", KP_S("name", s->name), KP_S("error", err.text));
        kp_metric_inc(s->events->dropped);
        s->call = NULL;
    }
    kp_blob_unref(blob);
    free(text);
}

static void create(struct series *s)
{
    kp_auto_free char *path = kp_asprintf("/apis/events.k8s.io/v1/namespaces/%s/events", s->namespace);
    send(s, "POST", path, "application/json", s->object);
}

static void write_series(struct series *s)
{
    char last[KP_TIME_TEXT];
    kp_auto_free char *path =
        kp_asprintf("/apis/events.k8s.io/v1/namespaces/%s/events/%s", s->namespace, s->name);
    kp_time_format_micro(last, s->last_wall_ms);
    json_t *body =
        json_pack("{s:{s:I, s:s}}", "series", "count", (json_int_t)s->count, "lastObservedTime", last);
    s->written_count = s->count;
    s->written_ms = kp_mono_ms();
    send(s, "PATCH", path, "application/merge-patch+json", body);
    json_decref(body);
}

static void new_name(struct series *s);

static void on_written(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct series *s = user;
    struct kp_events *events = s->events;
    (void)http_status;
    (void)json;
    s->call = NULL;
    if (events->closing) {
        series_free(s);
        if (!events->series)
            events_free(events);
        return;
    }
    bool created = s->written_count == 0;
    if (err && err->code == KP_NOT_FOUND && !created && !s->ended) {
        // the Event has aged out: tell it anew
        s->written_count = 0;
        s->count = 1;
        new_name(s);
        create(s);
        return;
    }
    if (err) {
        KP_DEBUG("event refused", KP_S("name", s->name), KP_S("error", err->text));
        kp_metric_inc(events->dropped);
    }
    if (s->ended || (err && created)) {
        series_free(s);
        return;
    }
    if (created) {
        s->written_count = 1;
        s->written_ms = kp_mono_ms();
        if (s->count > 1)
            write_series(s);
    }
}

// Once a minute: ends what has been silent, writes what has been counted for long.
static void on_walk(void *user)
{
    struct kp_events *events = user;
    struct series *s;
    struct series *next;
    int64_t now = kp_mono_ms();
    HASH_ITER (hh, events->series, s, next) {
        bool unwritten = s->count != s->written_count;
        if (s->call)
            continue;
        if (now - s->last_ms >= SERIES_END_MS) {
            s->ended = true;
            if (unwritten && s->written_count > 0)
                write_series(s);
            if (!s->call)
                series_free(s);
        } else if (unwritten && s->written_count > 0 && now - s->written_ms >= SERIES_WRITE_MS) {
            write_series(s);
        }
    }
}

// ---- telling ----

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

static void new_name(struct series *s)
{
    char suffix[32];
    const char *about = json_string_value(json_object_get(json_object_get(s->object, "regarding"), "name"));
    uint64_t ns = (uint64_t)kp_now_ms() * 1000000 + s->events->number++ % 1000000;
    snprintf(suffix, sizeof suffix, ".%" PRIx64, ns);
    kp_free(s->name);
    s->name = kp_asprintf("%.*s%s", (int)(MAX_NAME - strlen(suffix)), or_empty(about), suffix);
    json_object_set_new(json_object_get(s->object, "metadata"), "name", json_string(s->name));
}

static json_t *make_object(const struct kp_events *events, const struct kp_event_object *about, bool warning,
    const char *reason, const char *action, const char *note, const char *namespace)
{
    char now[KP_TIME_TEXT];
    char shown[MAX_NOTE];
    kp_time_format_micro(now, kp_now_ms());
    kp_printable(shown, sizeof shown, note, strlen(note));
    json_t *regarding = json_pack("{s:s, s:s, s:s}", "apiVersion", or_empty(about->api_version), "kind",
        or_empty(about->kind), "name", or_empty(about->name));
    if (about->namespace && *about->namespace)
        json_object_set_new(regarding, "namespace", json_string(about->namespace));
    if (about->uid && *about->uid)
        json_object_set_new(regarding, "uid", json_string(about->uid));
    return json_pack("{s:s, s:s, s:{s:s}, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "apiVersion",
        "events.k8s.io/v1", "kind", "Event", "metadata", "namespace", namespace, "eventTime", now,
        "reportingController", events->reporting, "reportingInstance", events->instance, "action", action,
        "reason", reason, "note", shown, "type", warning ? "Warning" : "Normal", "regarding", regarding);
}

static void begin_series(
    struct kp_events *events, const char *key, size_t len, json_t *object, const char *namespace)
{
    struct series *s = kp_calloc(1, sizeof *s + len + 1);
    s->events = events;
    s->object = object;
    s->namespace = kp_strdup(namespace);
    s->count = 1;
    s->last_ms = kp_mono_ms();
    s->last_wall_ms = kp_now_ms();
    memcpy(s->key, key, len + 1);
    HASH_ADD_KEYPTR(hh, events->series, s->key, len, s);
    new_name(s);
    create(s);
    if (!s->call)
        series_free(s);
}

static void repeat(struct series *s)
{
    s->count++;
    s->last_ms = kp_mono_ms();
    s->last_wall_ms = kp_now_ms();
    if (s->written_count == 1 && !s->call)
        write_series(s);
}

void kp_events_add(struct kp_events *events, const struct kp_event_object *about, bool warning,
    const char *reason, const char *action, const char *note)
{
    kp_auto_strbuf key;
    struct series *s;
    const char *namespace = about->namespace && *about->namespace ? about->namespace : "default";
    int64_t now = kp_mono_ms();
    kp_strbuf_init(&key, 8192);
    kp_strbuf_addf(&key, "%d|%s|%s|%s|%s|%s|%s|%s", warning, action, reason, or_empty(about->api_version),
        or_empty(about->kind), namespace, or_empty(about->name), or_empty(about->uid));
    if (events->closing || key.overflow)
        return;
    HASH_FIND(hh, events->series, key.data, key.len, s);
    if (s && !s->ended && now - s->last_ms < SERIES_END_MS) {
        repeat(s);
        return;
    }
    if (s && s->call) // its last word is on the way
        return;
    if (s)
        series_free(s);
    if (HASH_COUNT(events->series) >= MAX_SERIES || !kp_bucket_take(&events->bucket, now)) {
        kp_metric_inc(events->dropped);
        return;
    }
    json_t *object = make_object(events, about, warning, reason, action, note, namespace);
    if (object)
        begin_series(events, key.data, key.len, object, namespace);
}

// NOLINTEND(readability-function-size)
