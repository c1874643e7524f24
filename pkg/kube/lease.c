// One attempt at a time: as leader a PUT with the version last seen, otherwise a GET and, if the lease is
// free, a PUT or POST. Another's lease counts from the moment we saw it change, on our own clock; clocks are
// never compared. Ours counts from the moment the renewal was asked for, so that we stop before
// anybody else may begin.
#include "kube/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "kube/client_internal.h"

#include "base/banned.h"

enum request { REQUEST_NONE, REQUEST_GET, REQUEST_TAKE, REQUEST_RELEASE };

struct kp_lease {
    struct kp_kube *kube;
    char *namespace, *name, *identity, *path;
    int64_t duration_ms, deadline_ms, retry_ms;
    void (*on_change)(void *user, bool leading);
    void *user;
    struct kp_timer *retry, *deadline;
    uint64_t random;
    struct kp_metric *master;
    bool goes_on, started, leading, closing, ever_held;
    int busy; // in on_done: what the owner destroys meanwhile is freed at its end

    json_t *object;     // as last seen or written; NULL = none seen
    char *seen;         // its spec, to notice changes
    int64_t seen_ms;    // when it changed; times are kp_boot_ms()
    int64_t renewed_ms; // when our last renewal that went well was asked for

    enum request request; // that is out
    struct kp_kube_call *call;
    int64_t asked_ms;

    bool releasing;
    kp_loop_fn on_released;
    void *released_user;
};

static void lease_free(struct kp_lease *lease);
static void on_retry(void *user);
static void on_deadline(void *user);

static int64_t or_default(int64_t ms, int64_t usual)
{
    return ms > 0 ? ms : usual;
}

struct kp_lease *kp_lease_create(struct kp_kube *kube, const struct kp_lease_options *options,
    void (*on_change)(void *user, bool leading), void *user)
{
    static const char *const by_name[] = {"name", NULL};
    struct kp_lease *lease = KP_NEW(struct kp_lease);
    lease->kube = kube;
    lease->namespace = kp_strdup(options->namespace);
    lease->name = kp_strdup(options->name);
    lease->identity = kp_strdup(options->identity);
    lease->path = kp_asprintf("/apis/coordination.k8s.io/v1/namespaces/%s/leases", options->namespace);
    lease->duration_ms = or_default(options->duration_ms, 12000);
    lease->deadline_ms = or_default(options->renew_deadline_ms, 8000);
    lease->retry_ms = or_default(options->retry_ms, 2000);
    lease->goes_on = options->goes_on;
    lease->on_change = on_change;
    lease->user = user;
    lease->random = kp_random_next(&kube->random);
    lease->retry = kp_timer_create(kube->loop, on_retry, lease);
    lease->deadline = kp_timer_create(kube->loop, on_deadline, lease);
    if (kube->metrics)
        lease->master =
            kp_metric_with(kp_metrics_family(kube->metrics, KP_GAUGE, "leader_election_master_status",
                               "1 while this process leads.", by_name, NULL, 0, 10),
                (const char *const[]){lease->name});
    return lease;
}

bool kp_lease_leading(const struct kp_lease *lease)
{
    // The timer may be late: what counts is the clock.
    return lease->leading && (lease->goes_on || kp_boot_ms() - lease->renewed_ms < lease->deadline_ms);
}

int64_t kp_lease_left_ms(const struct kp_lease *lease)
{
    if (lease->goes_on && lease->leading)
        return lease->duration_ms;
    int64_t left = lease->renewed_ms + lease->duration_ms - kp_boot_ms();
    return lease->ever_held && left > 0 ? left : 0;
}

static void set_leading(struct kp_lease *lease, bool leading, bool tell)
{
    if (lease->leading == leading)
        return;
    lease->leading = leading;
    kp_metric_set(lease->master, leading);
    KP_DEBUG("lease", KP_S("name", lease->name), KP_S("identity", lease->identity), KP_B("leading", leading));
    if (!leading)
        kp_timer_stop(lease->deadline);
    if (tell && lease->on_change && !lease->closing)
        lease->on_change(lease->user, leading);
}

static void on_deadline(void *user)
{
    struct kp_lease *lease = user;
    if (!lease->goes_on)
        set_leading(lease, false, true);
}

// ---- what the lease says ----

static const json_t *spec_of(const struct kp_lease *lease)
{
    return json_object_get(lease->object, "spec");
}

static const char *holder_of(const struct kp_lease *lease)
{
    const char *holder = json_string_value(json_object_get(spec_of(lease), "holderIdentity"));
    return holder ? holder : "";
}

const char *kp_lease_holder(const struct kp_lease *lease)
{
    return holder_of(lease);
}

// Until the lease of somebody else may be taken; 0 or less = now.
static int64_t until_free_ms(const struct kp_lease *lease)
{
    int64_t seconds = json_integer_value(json_object_get(spec_of(lease), "leaseDurationSeconds"));
    if (*holder_of(lease) == '\0' || strcmp(holder_of(lease), lease->identity) == 0)
        return 0;
    if (seconds < 1 || seconds > 3600)
        seconds = lease->duration_ms / 1000;
    return lease->seen_ms + seconds * 1000 - kp_boot_ms();
}

static void saw(struct kp_lease *lease, json_t *object)
{
    char *spec = json_dumps(json_object_get(object, "spec"), JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    bool changed = !lease->seen || !spec || strcmp(spec, lease->seen) != 0;
    json_decref(lease->object);
    lease->object = json_deep_copy(object);
    json_object_del(json_object_get(lease->object, "metadata"), "managedFields");
    if (changed)
        lease->seen_ms = kp_boot_ms();
    free(lease->seen);
    lease->seen = spec;
}

// ---- writing ----

static json_t *new_object(const struct kp_lease *lease)
{
    if (lease->object)
        return json_deep_copy(lease->object);
    return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{}}", "apiVersion", "coordination.k8s.io/v1", "kind",
        "Lease", "metadata", "name", lease->name, "namespace", lease->namespace, "spec");
}

static json_t *taken_object(const struct kp_lease *lease)
{
    char now[KP_TIME_TEXT];
    json_t *object = new_object(lease);
    json_t *spec = json_object_get(object, "spec");
    bool ours = strcmp(holder_of(lease), lease->identity) == 0;
    int64_t transitions = json_integer_value(json_object_get(spec, "leaseTransitions"));
    if (!json_is_object(spec)) {
        spec = json_object();
        json_object_set_new(object, "spec", spec);
    }
    kp_time_format_micro(now, kp_now_ms());
    json_object_set_new(spec, "holderIdentity", json_string(lease->identity));
    json_object_set_new(spec, "leaseDurationSeconds", json_integer((lease->duration_ms + 999) / 1000));
    json_object_set_new(spec, "renewTime", json_string(now));
    if (!ours) {
        json_object_set_new(spec, "acquireTime", json_string(now));
        json_object_set_new(spec, "leaseTransitions", json_integer(lease->object ? transitions + 1 : 0));
    }
    return object;
}

static json_t *released_object(const struct kp_lease *lease)
{
    char now[KP_TIME_TEXT];
    json_t *object = json_deep_copy(lease->object);
    json_t *spec = json_object_get(object, "spec");
    kp_time_format_micro(now, kp_now_ms());
    json_object_set_new(spec, "holderIdentity", json_string(""));
    json_object_set_new(spec, "leaseDurationSeconds", json_integer(1));
    json_object_set_new(spec, "renewTime", json_string(now));
    return object;
}

static void on_done(void *user, int http_status, json_t *json, const struct kp_error *err);

// takes object
static int send(struct kp_lease *lease, enum request kind, const char *method, json_t *object)
{
    bool whole = strcmp(method, "POST") == 0;
    kp_auto_free char *path = kp_asprintf("%s%s%s", lease->path, whole ? "" : "/", whole ? "" : lease->name);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    struct kp_blob *body = text ? kp_blob_copy(text, strlen(text)) : NULL;
    struct kp_kube_request request = {
        .method = method,
        .path = path,
        .content_type = "application/json",
        .body = body,
        .timeout_ms = lease->deadline_ms / 2,
        .max_tries = 1,
        .urgent = true,
        .on_done = on_done,
        .user = lease,
    };
    lease->request = kind;
    lease->asked_ms = kp_boot_ms();
    int code = kp_kube_start(lease->kube, &request, &lease->call, NULL);
    if (code < 0) {
        lease->request = REQUEST_NONE;
        lease->call = NULL;
    }
    kp_blob_unref(body);
    free(text);
    json_decref(object);
    return code;
}

// ---- the course of things ----

// Those who wait do not all come at once.
static int64_t follower_wait_ms(struct kp_lease *lease)
{
    int64_t usual = lease->retry_ms / 2, spread = lease->retry_ms / 4;
    int64_t free = lease->object ? until_free_ms(lease) : 0;
    if (free > 0 && free < usual)
        usual = free, spread = lease->retry_ms / 8;
    return usual + (int64_t)(kp_random_next(&lease->random) % (uint64_t)(spread + 1));
}

static void try_later(struct kp_lease *lease)
{
    kp_timer_start(lease->retry, lease->leading ? lease->retry_ms : follower_wait_ms(lease), 0);
}

static void take(struct kp_lease *lease)
{
    const char *method = lease->object ? "PUT" : "POST";
    if (send(lease, REQUEST_TAKE, method, taken_object(lease)) < 0)
        try_later(lease);
}

static void attempt(struct kp_lease *lease)
{
    if (lease->closing || lease->releasing || lease->call)
        return;
    if (lease->leading && lease->object)
        take(lease);
    else if (send(lease, REQUEST_GET, "GET", NULL) < 0)
        try_later(lease);
}

static void on_retry(void *user)
{
    struct kp_lease *lease = user;
    lease->busy++;
    if (lease->leading && !kp_lease_leading(lease)) // the timer of the deadline is late
        set_leading(lease, false, true);
    attempt(lease);
    lease->busy--;
    if (lease->closing && !lease->call)
        lease_free(lease);
}

void kp_lease_start(struct kp_lease *lease)
{
    if (lease->started)
        return;
    lease->started = true;
    attempt(lease);
}

static void handle_get(struct kp_lease *lease, const struct kp_error *err)
{
    if (err && err->code != KP_NOT_FOUND) {
        try_later(lease);
        return;
    }
    if (err) {
        json_decref(lease->object);
        lease->object = NULL;
    }
    if (!lease->object || until_free_ms(lease) <= 0)
        take(lease);
    else
        try_later(lease);
}

static void handle_taken(struct kp_lease *lease, const struct kp_error *err)
{
    if (err && (err->code == KP_CONFLICT || err->code == KP_NOT_FOUND)) {
        // somebody else wrote it: look who
        if (send(lease, REQUEST_GET, "GET", NULL) < 0)
            try_later(lease);
        return;
    }
    if (!err) {
        lease->renewed_ms = lease->asked_ms;
        lease->ever_held = true;
        int64_t left = lease->deadline_ms - (kp_boot_ms() - lease->asked_ms);
        if (left > 0) {
            kp_timer_start(lease->deadline, left, 0);
            set_leading(lease, true, true);
        }
    }
    if (!lease->closing && !lease->releasing && !lease->call)
        try_later(lease);
}

static void lose_if_others(struct kp_lease *lease)
{
    bool is_nobodys = *holder_of(lease) == '\0'; // or nothing is known of it
    if (lease->leading && strcmp(holder_of(lease), lease->identity) != 0 && !(lease->goes_on && is_nobodys))
        set_leading(lease, false, true);
}

static void released(struct kp_lease *lease);
static void release_now(struct kp_lease *lease);

static void handle_done(
    struct kp_lease *lease, enum request request, json_t *json, const struct kp_error *err)
{
    if (!err && json_is_object(json) && request != REQUEST_RELEASE)
        saw(lease, json);
    if (request == REQUEST_RELEASE) {
        released(lease);
    } else if (lease->releasing) {
        release_now(lease);
    } else if (request == REQUEST_GET) {
        lose_if_others(lease);
        if (!lease->closing && !lease->releasing)
            handle_get(lease, err);
    } else {
        handle_taken(lease, err);
    }
}

static void on_done(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct kp_lease *lease = user;
    enum request request = lease->request;
    (void)http_status;
    lease->call = NULL;
    lease->request = REQUEST_NONE;
    lease->busy++;
    if (!lease->closing)
        handle_done(lease, request, json, err);
    lease->busy--;
    if (lease->closing && !lease->call)
        lease_free(lease);
}

// ---- giving it back ----

static void released(struct kp_lease *lease)
{
    kp_loop_fn on_released = lease->on_released;
    lease->on_released = NULL;
    if (on_released)
        on_released(lease->released_user);
}

static void on_nothing_to_release(void *user)
{
    released(user);
}

static void release_now(struct kp_lease *lease)
{
    bool ours = lease->object && strcmp(holder_of(lease), lease->identity) == 0;
    if (ours && send(lease, REQUEST_RELEASE, "PUT", released_object(lease)) == KP_OK)
        return;
    kp_timer_destroy(lease->retry);
    lease->retry = kp_timer_create(lease->kube->loop, on_nothing_to_release, lease);
    kp_timer_start(lease->retry, 0, 0);
}

void kp_lease_release(struct kp_lease *lease, kp_loop_fn on_released, void *user)
{
    lease->on_released = on_released;
    lease->released_user = user;
    if (lease->releasing)
        return;
    lease->releasing = true;
    kp_timer_stop(lease->retry);
    set_leading(lease, false, false);
    if (!lease->call) // else when it is back: it may be a renewal
        release_now(lease);
}

// ---- the end ----

static void lease_free(struct kp_lease *lease)
{
    json_decref(lease->object);
    free(lease->seen);
    kp_free(lease->namespace);
    kp_free(lease->name);
    kp_free(lease->identity);
    kp_free(lease->path);
    kp_free(lease);
}

void kp_lease_destroy(struct kp_lease *lease)
{
    if (!lease || lease->closing)
        return;
    lease->closing = true;
    kp_metric_set(lease->master, 0);
    kp_timer_destroy(lease->retry);
    kp_timer_destroy(lease->deadline);
    if (lease->call)
        kp_kube_cancel(lease->call); // freed when it is back
    else if (lease->busy == 0)
        lease_free(lease);
}
