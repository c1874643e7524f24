// A call is queued (writes wait for their turn), runs, may wait and run again, and is done once. All of its
// state lives in kp_kube_call; enter_x functions are the only places that change it.
#include "kube/client.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "kube/client_internal.h"
#include "kube/client_testing.h"
#include "kube/config_internal.h"
#include "kube/failure.h"

#include "base/banned.h"

enum {
    MAX_CALLS = 4096,
    CONNECTIONS = 32,
    LONG_CONNECTIONS = 2048,
    DEFAULT_TIMEOUT_MS = 60 * 1000,
    DEFAULT_TRIES = 10,
    FIRST_BACKOFF_MS = 500,
    MAX_BACKOFF_MS = 30 * 1000,
    AWAY_WAIT_MS = 5 * 1000, // a try that nobody answers costs nobody anything
};

enum call_state {
    CALL_QUEUED,   // a write whose turn has not come
    CALL_LOGIN,    // credentials are being got
    CALL_RUNNING,  // an HTTP request is out
    CALL_WAITING,  // before the next try
    CALL_CANCELED, // on_done is about to come
};

struct kp_kube_call {
    struct kp_list node;
    struct kp_kube *kube;
    enum call_state state;
    char *method, *path, *accept, *content_type;
    char **headers;
    struct kp_blob *body;
    size_t max_body;
    int64_t timeout_ms, began_ms, try_began_ms;
    int tries, max_tries;
    int64_t idle_timeout_ms;
    bool token_renewed, ca_renewed, urgent, harmless;
    bool handed_out;           // on_data was called
    bool refused;              // by on_data or on_head
    unsigned login_generation; // of the credentials in use
    struct kp_login_wait login;
    struct kp_backoff backoff;
    struct kp_timer *timer;
    struct kp_http_call *http;
    bool (*on_data)(void *user, const uint8_t *data, size_t len);
    bool (*on_head)(void *user, int http_status, const char *content_type);
    void (*on_refusal)(void *user, int http_status, const char *content_type, const void *body, size_t len);
    void (*on_done)(void *user, int http_status, json_t *json, const struct kp_error *err);
    void *user;
};

// ---- the client ----

static void make_metrics(struct kp_kube *kube, struct kp_metrics *metrics)
{
    static const char *const by_code[] = {"code", "method", "host", NULL};
    static const char *const by_verb[] = {"verb", "host", NULL};
    static const char *const retry_labels[] = {"code", "verb", "host", NULL};
    if (!metrics)
        return;
    kube->requests = kp_metrics_family(metrics, KP_COUNTER, "rest_client_requests_total",
        "Requests to the API server by status code, method and host.", by_code, NULL, 0, 200);
    kube->durations = kp_metrics_family(metrics, KP_HISTOGRAM, "rest_client_request_duration_seconds",
        "Time a request to the API server took, lists and watches left out.", by_verb, kp_buckets_seconds,
        kp_buckets_seconds_n, 20);
    kube->retries = kp_metrics_family(metrics, KP_COUNTER, "rest_client_request_retries_total",
        "Requests to the API server that were tried again.", retry_labels, NULL, 0, 200);
}

struct kp_kube *kp_kube_create(
    struct kp_loop *loop, const struct kp_kube_config *config, const struct kp_kube_options *options)
{
    struct kp_kube *kube = KP_NEW(struct kp_kube);
    double rate = options && options->writes_per_second > 0 ? options->writes_per_second : 20;
    kube->loop = loop;
    kube->http =
        kp_http_create(loop, &(struct kp_http_options){.max_connections = CONNECTIONS, .reuse = true});
    kube->long_http =
        kp_http_create(loop, &(struct kp_http_options){.max_connections = LONG_CONNECTIONS, .reuse = true});
    kp_credentials_init(&kube->credentials, config);
    kube->login = kp_login_create(loop, &kube->credentials, options && options->terminal);
    kube->user_agent = kp_asprintf(
        "User-Agent: %s", options && options->user_agent ? options->user_agent : "kube-pprof/" KP_VERSION);
    kp_list_init(&kube->calls);
    kp_list_init(&kube->listings);
    kp_list_init(&kube->ending);
    kube->random = kp_hash64_mix((uint64_t)kp_mono_us(), (uint64_t)getpid());
    kube->write_interval_ms = 1000 / rate;
    kube->write_burst_ms = kube->write_interval_ms * (rate > 10 ? rate : 10);
    if (options) {
        kube->on_exchange = options->on_exchange;
        kube->exchange_user = options->exchange_user;
        kube->exchange_max_body = options->exchange_max_body;
        kube->may_write = options->may_write;
        kube->may_write_user = options->may_write_user;
    }
    kube->metrics = options ? options->metrics : NULL;
    make_metrics(kube, kube->metrics);
    return kube;
}

// ---- the end of a call ----

static void call_free(struct kp_kube_call *call)
{
    kp_list_remove(&call->node);
    call->kube->n_calls--;
    kp_login_leave(call->kube->login, &call->login);
    kp_timer_destroy(call->timer);
    kp_blob_unref(call->body);
    kp_free(call->method);
    kp_free(call->path);
    kp_free(call->accept);
    kp_free(call->content_type);
    kp_kube_texts_free(call->headers);
    kp_free(call);
}

static void finish(struct kp_kube_call *call, int status, json_t *json, const struct kp_error *err)
{
    void (*on_done)(void *, int, json_t *, const struct kp_error *) = call->on_done;
    void *user = call->user;
    call_free(call);
    if (on_done)
        on_done(user, status, json, err);
    json_decref(json);
}

static void finish_error(struct kp_kube_call *call, int code, const char *why)
{
    struct kp_error err = {0};
    kp_fail(&err, code, "%s %s: %s", call->method, call->path, why);
    finish(call, 0, NULL, &err);
}

// ---- trying ----

static bool on_http_head(void *user, int status, const char *content_type)
{
    struct kp_kube_call *call = user;
    if (call->state == CALL_CANCELED)
        return false;
    if (call->on_head && status >= 200 && status < 300)
        call->refused = !call->on_head(call->user, status, content_type);
    return !call->refused;
}

static bool on_http_data(void *user, const uint8_t *data, size_t len)
{
    struct kp_kube_call *call = user;
    if (call->state == CALL_CANCELED)
        return false;
    call->handed_out = true;
    call->refused = !call->on_data(call->user, data, len);
    return !call->refused;
}

static void on_http_done(void *user, const struct kp_http_result *result);

// Whether it would change something that we may not change now: it may have waited for long.
static bool is_write(const struct kp_kube_call *call)
{
    return strcmp(call->method, "GET") != 0 && !call->harmless && !call->urgent;
}

static bool is_forbidden(const struct kp_kube_call *call)
{
    const struct kp_kube *kube = call->kube;
    return is_write(call) && kube->may_write && !kube->may_write(kube->may_write_user);
}

size_t kp_kube_writes_out(const struct kp_kube *kube)
{
    size_t n = 0;
    kp_list_foreach (node, &kube->calls) {
        const struct kp_kube_call *call = kp_container_of(node, struct kp_kube_call, node);
        n += call->state == CALL_RUNNING && is_write(call);
    }
    return n;
}

static int enter_running(struct kp_kube_call *call, struct kp_error *err)
{
    if (is_forbidden(call))
        return kp_fail(err, KP_CANCELED, "%s %s: not written, since this replica does not lead", call->method,
            call->path);
    struct kp_http_request http = {
        .method = call->method,
        .body = call->body,
        .timeout_ms = call->timeout_ms,
        .idle_timeout_ms = call->idle_timeout_ms,
        .max_body = call->max_body,
        .on_head = call->on_head ? on_http_head : NULL,
        .on_data = call->on_data ? on_http_data : NULL,
        .on_done = on_http_done,
        .user = call,
    };
    call->state = CALL_RUNNING;
    call->login_generation = kp_login_generation(call->kube->login);
    call->tries++;
    call->try_began_ms = kp_mono_ms();
    // What takes long must not hold up what is short.
    struct kp_http *over = call->urgent || call->on_data ? call->kube->long_http : call->kube->http;
    const struct kp_kube_headers headers = {
        call->accept, call->body ? call->content_type : NULL, (const char *const *)call->headers};
    return kp_kube_http_start(call->kube, over, call->path, &headers, &http, &call->http, err);
}

static void on_login(void *user, const struct kp_error *err)
{
    struct kp_kube_call *call = user;
    struct kp_error own = {0};
    if (err)
        own = *err;
    if (err || enter_running(call, &own) < 0)
        finish(call, 0, NULL, &own);
}

static int enter_login(struct kp_kube_call *call, struct kp_error *err)
{
    if (kp_login_ready(call->kube->login))
        return enter_running(call, err);
    call->state = CALL_LOGIN;
    call->login = (struct kp_login_wait){.on_login = on_login, .user = call};
    kp_login_wait(call->kube->login, &call->login);
    return KP_OK;
}

static void on_call_timer(void *user)
{
    struct kp_kube_call *call = user;
    struct kp_error err = {0};
    if (call->state == CALL_CANCELED)
        finish_error(call, KP_CANCELED, "canceled");
    else if (enter_login(call, &err) < 0)
        finish(call, 0, NULL, &err);
}

static void enter_waiting(struct kp_kube_call *call, int64_t wait_ms, int status)
{
    char code[16];
    call->state = CALL_WAITING;
    call->http = NULL;
    KP_DEBUG("request to the API server is tried again", KP_S("method", call->method),
        KP_S("path", call->path), KP_I("status", status), KP_I("wait_ms", wait_ms));
    snprintf(code, sizeof code, "%d", status);
    if (call->kube->retries)
        kp_metric_inc(kp_metric_with(call->kube->retries,
            (const char *const[]){status ? code : "<error>", call->method, call->kube->credentials.host}));
    kp_timer_start(call->timer, wait_ms, 0);
}

// GET, PUT and PATCH leave things as one of them does; a POST that was perhaps carried out must not be
// repeated.
static bool repeatable(const struct kp_kube_call *call)
{
    return call->harmless || strcmp(call->method, "POST") != 0;
}

static bool worth_repeating(const struct kp_kube_call *call, const struct kp_error *err)
{
    if (err->http_status == 429)
        return true;
    if (err->http_status >= 500)
        return err->retry_after_s > 0 || repeatable(call);
    return err->code == KP_NETWORK && repeatable(call);
}

// Whether other credentials may be had than the ones that were refused.
static bool renew(const struct kp_kube_call *call)
{
    struct kp_kube *kube = call->kube;
    return kp_login_refused(kube->login, call->login_generation) || kube->credentials.config.token_file;
}

// When a write may go out, also again: as far apart as the rate says, past a burst.
static int64_t turn_ms(const struct kp_kube_call *call)
{
    struct kp_kube *kube = call->kube;
    if (strcmp(call->method, "GET") == 0 || call->urgent)
        return 0;
    double now = (double)kp_mono_ms();
    if (kube->write_due_ms < now)
        kube->write_due_ms = now;
    double wait = kube->write_due_ms - now - kube->write_burst_ms;
    kube->write_due_ms += kube->write_interval_ms;
    return wait > 0 ? (int64_t)ceil(wait) : 0;
}

// Returns whether the call goes on.
static bool try_again(struct kp_kube_call *call, const struct kp_error *err)
{
    int64_t now = kp_mono_ms();
    struct kp_kube *kube = call->kube;
    if (call->state == CALL_CANCELED || kube->destroying)
        return false;
    if (err->http_status == 401 && !call->token_renewed && renew(call)) {
        call->token_renewed = true;
        enter_waiting(call, 0, 401);
        return true;
    }
    if (err->code == KP_TLS && !call->ca_renewed && repeatable(call) && !call->handed_out && !call->refused &&
        kp_credentials_distrust(&kube->credentials)) {
        call->ca_renewed = true;
        enter_waiting(call, 0, 0);
        return true;
    }
    if (call->tries >= call->max_tries || call->handed_out || call->refused)
        return false;
    if (!worth_repeating(call, err))
        return false;
    int64_t wait = kp_backoff_next_ms(&call->backoff, now);
    if (err->http_status == 0 && wait > AWAY_WAIT_MS)
        wait = AWAY_WAIT_MS - (int64_t)(kp_random_next(&kube->random) % (AWAY_WAIT_MS / 2));
    if (err->retry_after_s > 0) // a quarter on top so that not everybody comes back together
        wait =
            err->retry_after_s * 1000LL + (int64_t)(kp_random_next(&kube->random) % 250) * err->retry_after_s;
    int64_t limit = call->timeout_ms > 0 ? call->timeout_ms : DEFAULT_TIMEOUT_MS;
    if (now + wait - call->began_ms > limit)
        return false;
    int64_t turn = turn_ms(call);
    if (turn > wait) {
        call->began_ms += turn - wait; // as at the start
        wait = turn;
    }
    enter_waiting(call, wait, err->http_status);
    return true;
}

static void read_result(
    const struct kp_kube_call *call, const struct kp_http_result *result, struct kp_error *err)
{
    char what[200];
    if (call->state == CALL_CANCELED || call->refused) {
        kp_fail(err, KP_CANCELED, "%s %s: canceled", call->method, call->path);
        return;
    }
    if (result->code != KP_OK) {
        *err = result->error;
        err->http_status = 0;
        kp_kube_explain(call->kube, result, err);
        return;
    }
    if (result->status >= 200 && result->status < 300)
        return;
    snprintf(what, sizeof what, "%s %.*s", call->method, (int)strcspn(call->path, "?"), call->path);
    kp_failure_read(result->status, result->body ? (const char *)result->body->data : "",
        result->body ? result->body->len : 0, what, result->retry_after_s, err);
}

static void on_http_done(void *user, const struct kp_http_result *result)
{
    struct kp_kube_call *call = user;
    struct kp_kube *kube = call->kube;
    struct kp_error err = {0};
    call->http = NULL;
    read_result(call, result, &err);
    kp_kube_count_request(kube, call->method, result->status);
    if (kube->durations)
        kp_metric_observe(
            kp_metric_with(kube->durations, (const char *const[]){call->method, kube->credentials.host}),
            (double)(kp_mono_ms() - call->try_began_ms) / 1000);
    if (result->status == 401)
        kp_credentials_drop(&kube->credentials);
    if (err.code != KP_OK) {
        if (try_again(call, &err))
            return;
        if (call->on_refusal && result->body)
            call->on_refusal(
                call->user, result->status, result->content_type, result->body->data, result->body->len);
        finish(call, result->status, NULL, &err);
        return;
    }
    json_t *json = NULL;
    if (result->body && result->body->len > 0)
        json = json_loadb((const char *)result->body->data, result->body->len, JSON_DECODE_ANY, NULL);
    finish(call, result->status, json, NULL);
}

// ---- starting ----

static struct kp_kube_call *call_create(struct kp_kube *kube, const struct kp_kube_request *request)
{
    struct kp_kube_call *call = KP_NEW(struct kp_kube_call);
    call->kube = kube;
    call->method = kp_strdup(request->method);
    call->path = kp_strdup(request->path);
    call->accept = kp_strdup(request->accept);
    call->content_type = kp_strdup(request->content_type);
    call->body = request->body ? kp_blob_ref(request->body) : NULL;
    call->headers = kp_kube_texts_copy(request->headers);
    call->max_body = request->max_body > 0 || !request->on_data ? request->max_body : SIZE_MAX / 2;
    call->timeout_ms = request->timeout_ms > 0 || request->on_data ? request->timeout_ms : DEFAULT_TIMEOUT_MS;
    call->idle_timeout_ms = request->idle_timeout_ms;
    call->on_data = request->on_data;
    call->on_head = request->on_head;
    call->on_refusal = request->on_refusal;
    call->max_tries = request->max_tries > 0 ? request->max_tries : DEFAULT_TRIES;
    call->urgent = request->urgent;
    call->harmless = request->harmless;
    call->began_ms = kp_mono_ms();
    call->on_done = request->on_done;
    call->user = request->user;
    kp_backoff_init(&call->backoff, FIRST_BACKOFF_MS, MAX_BACKOFF_MS, 1.0, kp_random_next(&kube->random));
    call->timer = kp_timer_create(kube->loop, on_call_timer, call);
    kp_list_append(&kube->calls, &call->node);
    kube->n_calls++;
    return call;
}

int kp_kube_start(struct kp_kube *kube, const struct kp_kube_request *request, struct kp_kube_call **ret,
    struct kp_error *err)
{
    if (kube->destroying)
        return kp_fail(err, KP_CANCELED, "the client is shutting down");
    if (kube->n_calls >= MAX_CALLS)
        return kp_fail(err, KP_THROTTLED, "more than %d requests to the API server are waiting", MAX_CALLS);
    struct kp_kube_call *call = call_create(kube, request);
    int64_t wait = turn_ms(call);
    if (wait > 0) {
        call->state = CALL_QUEUED;
        call->began_ms += wait; // waiting for our own turn is not held against the API server
        kp_timer_start(call->timer, wait, 0);
    } else {
        int code = enter_login(call, err);
        if (code < 0) {
            call_free(call);
            return code;
        }
    }
    if (ret)
        *ret = call;
    return KP_OK;
}

void kp_kube_cancel(struct kp_kube_call *call)
{
    if (call->state == CALL_CANCELED)
        return;
    bool running = call->state == CALL_RUNNING && call->http;
    kp_login_leave(call->kube->login, &call->login);
    call->state = CALL_CANCELED;
    if (running)
        kp_http_cancel(call->http);
    else
        kp_timer_start(call->timer, 0, 0);
}

void kp_kube_forget(struct kp_kube_call *call)
{
    if (!call)
        return;
    call->on_done = NULL;
    kp_kube_cancel(call);
}

void kp_kube_destroy(struct kp_kube *kube)
{
    if (!kube)
        return;
    kube->destroying = true;
    kp_http_destroy(kube->http);
    kp_http_destroy(kube->long_http);
    kp_login_destroy(kp_take(kube->login));
    kp_kube_streams_end(kube);
    kp_kube_listings_end(kube);
    while (!kp_list_empty(&kube->calls)) {
        struct kp_kube_call *call = kp_container_of(kube->calls.next, struct kp_kube_call, node);
        finish_error(call, KP_CANCELED, "canceled");
    }
    kp_credentials_finish(&kube->credentials);
    kp_free(kube->user_agent);
    kp_free(kube);
}
