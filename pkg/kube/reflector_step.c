// The state machine. One request is out at a time: a list (page by page), a WatchList or a watch; what it
// brought is judged in handle_end(), which decides what comes next. Every failure waits, so that no answer of
// the API server makes a hot loop.
#include "kube/reflector_internal.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/strbuf.h"

#include "base/banned.h"

enum {
    MISSING_WAIT_MS = 5 * 1000, // a CRD or role about to be installed is found soon
    AWAY_WAIT_MS = 10 * 1000,   // a try that nobody answers costs nobody anything
    MAX_ASKED_S = 5 * 60,       // what an answer may make us wait
    LIST_TIMEOUT_MS = 5 * 60 * 1000,
    WATCH_LIST_AGAIN_MS = 60 * 60 * 1000,
    SHORT_WATCH_MS = 1000,
    SHORT_WATCHES = 3,     // in a row, though they brought something
    EXPIRY_MS = 30 * 1000, // versions that are lost more often than this are waited for
};

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

// Who comes back, and is perhaps only about to be ready ("storage is initializing"), is not the one that was
// asked so often.
static void set_reach(struct kp_reflector *r, bool in_reach)
{
    if (in_reach && r->out_of_reach)
        kp_backoff_reset(&r->backoff);
    r->out_of_reach = !in_reach;
}

static void on_begin(void *user)
{
    struct kp_reflector *r = user;
    r->began = true;
    set_reach(r, true);
    r->renewed = false;
    if (r->step != STEP_WATCH || r->closing)
        return;
    kp_reflector_enter(r);
    kp_reflector_set_state(r, KP_REFLECTOR_WATCHING);
    if (!r->error_event)
        kp_reflector_tell_well(r);
    kp_reflector_leave(r);
}

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct kp_reflector *r = user;
    if (r->closing)
        return false;
    kp_reflector_enter(r);
    bool go_on =
        kp_stream_feed(r->stream, data, len, &r->error) == KP_OK && r->error.code == KP_OK && !r->closing;
    kp_reflector_leave(r); // frees nothing we need: the request is still out
    return go_on;
}

static void handle_end(struct kp_reflector *r, const struct kp_error *err);

static void on_done(void *user, const struct kp_error *err)
{
    struct kp_reflector *r = user;
    struct kp_error end = {0};
    r->call = NULL;
    kp_reflector_enter(r);
    if (r->error.code != KP_OK)
        end = r->error;
    else if (err)
        end = *err;
    else if (kp_stream_end(r->stream, &end) < 0)
        kp_wrap(&end, "reading %s", r->kind.path);
    if (!r->closing)
        handle_end(r, end.code != KP_OK ? &end : NULL);
    kp_reflector_leave(r);
}

static void failed(struct kp_reflector *r, const struct kp_error *err);

static void begin_step(struct kp_reflector *r)
{
    bool watch = r->step != STEP_LIST;
    kp_stream_destroy(r->stream);
    r->stream = kp_stream_create(watch ? KP_STREAM_WATCH : KP_STREAM_LIST, r->tuning.max_object,
        watch ? kp_reflector_on_event : kp_reflector_on_item, r);
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

void kp_reflector_request(struct kp_reflector *r)
{
    struct kp_error err = {0};
    int64_t seconds = watch_seconds(r);
    kp_auto_strbuf path;
    kp_strbuf_init(&path, 16 * KP_KIB);
    r->step = next_step(r);
    if (r->step != STEP_WATCH)
        kp_reflector_set_state(r, KP_REFLECTOR_LISTING);
    begin_step(r);
    build_path(r, seconds, &path);
    struct kp_kube_stream_request request = {
        .path = path.data,
        .accept = r->kind.decode_protobuf ? "application/vnd.kubernetes.protobuf, application/json" : NULL,
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
    kp_reflector_set_state(r, KP_REFLECTOR_WAITING);
    if (!r->closing)
        kp_timer_start(r->timer, wait_ms, 0);
}

static void pause_and_go_on(struct kp_reflector *r)
{
    enter_waiting(r, kp_backoff_next_ms(&r->backoff, kp_mono_ms()));
}

static int64_t wait_after(struct kp_reflector *r, const struct kp_error *err)
{
    bool away = !r->began && err->http_status == 0 &&
                (err->code == KP_NETWORK || err->code == KP_TLS || err->code == KP_TIMEOUT);
    set_reach(r, !away && err->code != KP_NOT_FOUND && err->code != KP_DENIED);
    int64_t wait = kp_backoff_next_ms(&r->backoff, kp_mono_ms());
    if ((err->code == KP_NOT_FOUND || err->code == KP_DENIED) && wait > MISSING_WAIT_MS)
        wait = MISSING_WAIT_MS + (int64_t)(kp_random_next(&r->random) % 1000);
    if (away && wait > AWAY_WAIT_MS)
        wait = AWAY_WAIT_MS - (int64_t)(kp_random_next(&r->random) % (AWAY_WAIT_MS / 2));
    if (err->retry_after_s <= 0)
        return wait;
    if (wait > MISSING_WAIT_MS) // it knows better when to come again
        wait = MISSING_WAIT_MS;
    int64_t seconds = err->retry_after_s < MAX_ASKED_S ? err->retry_after_s : MAX_ASKED_S;
    int64_t asked = (1000 + (int64_t)(kp_random_next(&r->random) % 250)) * seconds;
    return asked > wait ? asked : wait;
}

// Whether the refusal may only mean that what we show or trust is of yesterday: it is read again for the next
// request.
static bool renewable(struct kp_reflector *r, const struct kp_error *err)
{
    struct kp_kube *kube = r->kube;
    if (err->code == KP_TLS && !r->began)
        return kp_credentials_distrust(&kube->credentials);
    return err->http_status == 401 && (kube->login || kube->credentials.config.token_file);
}

// Something went wrong that people ought to know of.
static void failed(struct kp_reflector *r, const struct kp_error *err)
{
    if (renewable(r, err) && !r->renewed) {
        r->renewed = true;
        pause_and_go_on(r);
        return;
    }
    kp_reflector_tell_trouble(r, err);
    enter_waiting(r, wait_after(r, err));
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
            kp_reflector_list_complete(r, rv);
        } else {
            struct kp_error missing = {0};
            kp_fail(&missing, KP_INVALID, "the list of %s has no resourceVersion", r->kind.path);
            failed(r, &missing);
            return;
        }
        if (!r->closing)
            kp_reflector_request(r);
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
        kp_reflector_request(r);
    } else {
        failed(r, err);
    }
}

static void handle_watch_end(struct kp_reflector *r, const struct kp_error *err)
{
    bool lasted = kp_mono_ms() - r->asked_ms >= SHORT_WATCH_MS;
    bool unreadable =
        err && !r->got_error_event && (err->code == KP_INVALID || err->code == KP_LIMIT) && r->began;
    bool twice = r->got_error_event && r->error_event;
    r->error_event = r->got_error_event;
    r->short_watches = lasted ? 0 : r->short_watches + 1;
    if (!err && (lasted || (r->got_event && r->short_watches <= SHORT_WATCHES))) {
        kp_reflector_request(r);
    } else if (!err) {
        pause_and_go_on(r);
    } else if (version_lost(err)) {
        int64_t now = kp_mono_ms();
        bool again = r->expired_ms != 0 && now - r->expired_ms < EXPIRY_MS;
        r->expired_ms = now;
        r->listed = false;
        r->reason = "expired";
        if (again)
            pause_and_go_on(r);
        else
            kp_reflector_request(r);
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
