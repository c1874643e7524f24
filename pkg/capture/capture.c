#include "capture/capture.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "capture/answer.h"
#include "capture/capture_private.h"
#include "capture/capture_testing.h"
#include "capture/describe.h"
#include "capture/request.h"
#include "base/banned.h"

#define MAX_RUNNING      2000
#define SNAPSHOT_MS      30000
#define DEFAULT_SLACK_MS 10000

void kp_order_finish(struct kp_order *order)
{
    kp_target_unref(order->target);
    order->target = NULL;
    order->wanted = NULL;
}

// ---- the end ----

static void set_gauges(struct kp_capturer *capturer)
{
    kp_metric_set(capturer->running, HASH_COUNT(capturer->scrapes));
    kp_metric_set(capturer->in_flight, (double)capturer->bytes);
}

// The wall clock may be set while a capture runs: how long it took is told by the other one.
static int64_t ended_ms(const struct kp_scrape *scrape)
{
    return scrape->started_ms + (kp_mono_ms() - scrape->started_mono_ms);
}

static void scrape_free(struct kp_scrape *scrape)
{
    struct kp_capturer *capturer = scrape->owner;
    if (scrape->state == KP_SCRAPE_PAUSED)
        capturer->n_paused--;
    if (capturer->leader == scrape)
        capturer->leader = NULL;
    capturer->bytes -= scrape->len;
    kp_flow_leave(scrape);
    HASH_DEL(capturer->scrapes, scrape);
    kp_order_finish(&scrape->order);
    kp_free(scrape->body);
    kp_free(scrape->where);
    kp_free(scrape);
    set_gauges(capturer);
}

static void finish(struct kp_scrape *scrape, struct kp_capture_result *result)
{
    struct kp_capturer *capturer = scrape->owner;
    kp_capture_done_fn on_done = scrape->on_done;
    void *user = scrape->user;
    result->order_id = scrape->id;
    result->started_ms = scrape->started_ms;
    result->ended_ms = ended_ms(scrape);
    scrape_free(scrape);
    on_done(user, result);
    kp_capture_result_finish(result);
    kp_flow_resume_some(capturer);
}

static int64_t busy_ms(const struct kp_scrape *scrape, const struct kp_http_result *answer)
{
    // a snapshot is work from the question on, a collecting profile sleeps first
    int64_t total = answer->total_us / 1000;
    return scrape->order.duration_ms > 0 ? total - scrape->order.duration_ms : total;
}

static void on_answer(void *user, const struct kp_http_result *answer)
{
    struct kp_scrape *scrape = user;
    struct kp_capture_result result = {0};
    scrape->call = NULL;
    struct kp_scrape_facts facts = {.order = &scrape->order,
        .where = scrape->where,
        .is_go = scrape->is_go,
        .ended_too_large = scrape->too_large,
        .paused = scrape->state == KP_SCRAPE_PAUSED,
        .stalled = scrape->stalled,
        .cap = scrape->order.wanted->profile_bytes,
        .cancelled = scrape->cancelled};
    struct kp_blob *body = answer->body != NULL && answer->body->len > 0
                               ? kp_blob_ref(answer->body)
                               : kp_blob_take(kp_take(scrape->body), scrape->len);
    result.outcome = kp_scrape_judge(&facts, answer, body, result.message);
    result.http_status = answer->status;
    result.bytes = scrape->len;
    result.busy_ms = busy_ms(scrape, answer);
    if (result.outcome == KP_OUTCOME_SUCCEEDED) {
        result.body = kp_blob_ref(body);
        kp_capture_describe(&scrape->order, scrape->started_ms, ended_ms(scrape), &result.record);
        result.record.size_bytes = body->len;
    }
    kp_blob_unref(body);
    finish(scrape, &result);
}

static void on_turn(void *user)
{
    struct kp_capturer *capturer = user;
    struct kp_scrape *scrape, *next;
    HASH_ITER (hh, capturer->scrapes, scrape, next) {
        if (scrape->state != KP_SCRAPE_REFUSED)
            continue;
        scrape->state = KP_SCRAPE_OVER;
        struct kp_capture_result result = {.outcome = KP_OUTCOME_REFUSED};
        kp_copy(result.message, sizeof result.message, scrape->refusal);
        if (scrape->cancelled != KP_OUTCOME_NONE) {
            result.outcome = scrape->cancelled;
            result.message[0] = '\0';
        }
        finish(scrape, &result);
    }
}

// ---- reading ----

static bool allow_address(void *user, const struct sockaddr *addr, struct kp_error *err)
{
    const struct kp_scrape *scrape = user;
    return kp_denylist_check(scrape->owner->denied, addr, scrape->order.target->pod->host_network, err) == 0;
}

static void on_header(void *user, const char *name, const char *value)
{
    struct kp_scrape *scrape = user;
    (void)value;
    scrape->is_go |= strcasecmp(name, "X-Go-Pprof") == 0;
}

static void keep(struct kp_scrape *scrape, const uint8_t *data, size_t len)
{
    if (scrape->len + len > scrape->cap) {
        size_t cap = scrape->cap * 2, most = (size_t)scrape->order.wanted->profile_bytes;
        cap = cap < most ? cap : most;
        scrape->cap = cap < scrape->len + len ? scrape->len + len : cap;
        scrape->body = kp_realloc(scrape->body, scrape->cap);
    }
    memcpy(scrape->body + scrape->len, data, len);
    scrape->len += len;
    scrape->owner->bytes += len;
    scrape->space->bytes += len;
}

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct kp_scrape *scrape = user;
    struct kp_capturer *capturer = scrape->owner;
    if (scrape->len + len > (size_t)scrape->order.wanted->profile_bytes) {
        scrape->too_large = true;
        return false;
    }
    keep(scrape, data, len);
    if (scrape->state == KP_SCRAPE_ASKING && !kp_flow_may_read_on(capturer, scrape)) {
        scrape->state = KP_SCRAPE_PAUSED;
        capturer->n_paused++;
        kp_http_pause(scrape->call, true);
        if (!kp_timer_active(capturer->watch))
            kp_timer_start(capturer->watch, capturer->watch_ms, capturer->watch_ms);
    }
    kp_metric_set(capturer->in_flight, (double)capturer->bytes);
    return true;
}

// ---- starting ----

static int64_t timeout_ms(const struct kp_capturer *capturer, const struct kp_order *order)
{
    int64_t slack = capturer->options.slack_ms > 0 ? capturer->options.slack_ms : DEFAULT_SLACK_MS;
    if (order->duration_ms > 0)
        return order->duration_ms + slack;
    return capturer->options.slack_ms > 0 ? slack : SNAPSHOT_MS;
}

// Refusals that need no packet.
static int check_order(
    const struct kp_scrape *scrape, const struct kp_capture_secrets *secrets, struct kp_error *err)
{
    const struct kp_target *target = scrape->order.target;
    const struct kp_pod *pod = target->pod;
    const struct kp_endpoint *endpoint = scrape->order.wanted->endpoint;
    bool credentials =
        secrets != NULL && (secrets->bearer != NULL || secrets->username != NULL || secrets->key_pem != NULL);
    if (kp_denylist_check_text(scrape->owner->denied, pod->ip, pod->host_network, err) != 0)
        return err->code;
    if (!pod->host_network && pod->host_ip[0] != '\0' && strcmp(pod->ip, pod->host_ip) == 0)
        return kp_fail(
            err, KP_DENIED, "the pod claims its node's address %s without using the node's network", pod->ip);
    if (credentials && (!target->https || (endpoint != NULL && endpoint->tls_insecure)))
        return kp_fail(
            err, KP_DENIED, "credentials are only sent over verified HTTPS; nothing was sent to %s", pod->ip);
    if (secrets != NULL && secrets->bearer != NULL && strpbrk(secrets->bearer, "\r\n") != NULL)
        return kp_fail(err, KP_INVALID,
            "the bearer token in the Secret of endpoints[].authorization holds a line feed: store it "
            "without");
    return 0;
}

static int send_request(
    struct kp_scrape *scrape, const struct kp_capture_secrets *secrets, struct kp_error *err)
{
    struct kp_capturer *capturer = scrape->owner;
    struct kp_scrape_request made;
    kp_scrape_request_make(&scrape->order, secrets, &made);
    struct kp_http_request request = {
        .method = "GET",
        .url = made.url,
        .headers = (const char *const *)made.headers,
        .tls = made.tls,
        .connect_timeout_ms = capturer->options.connect_timeout_ms,
        .timeout_ms = timeout_ms(capturer, &scrape->order),
        .max_body = (size_t)scrape->order.wanted->profile_bytes + 1,
        .allow_address = allow_address,
        .on_header = on_header,
        .on_data = on_data,
        .on_done = on_answer,
        .user = scrape,
    };
    scrape->where = kp_strdup(made.where);
    int code =
        kp_http_start(capturer->clients[scrape->order.id % KP_CAPTURE_CLIENTS], &request, &scrape->call, err);
    kp_scrape_request_finish(&made);
    return code;
}

int kp_capture_start(struct kp_capturer *capturer, struct kp_order *order,
    const struct kp_capture_secrets *secrets, kp_capture_done_fn on_done, void *user, struct kp_error *err)
{
    if ((int)HASH_COUNT(capturer->scrapes) >= capturer->options.max_running)
        return kp_fail(err, KP_LIMIT, "%d captures run at once already", capturer->options.max_running);
    struct kp_scrape *scrape = KP_NEW(struct kp_scrape);
    struct kp_error refusal = {0};
    scrape->id = order->id;
    scrape->owner = capturer;
    scrape->order = *order;
    order->target = NULL; // taken
    scrape->on_done = on_done;
    scrape->user = user;
    scrape->started_ms = capturer->options.now_ms != NULL ? capturer->options.now_ms() : kp_now_ms();
    scrape->started_mono_ms = kp_mono_ms();
    scrape->state = KP_SCRAPE_ASKING;
    HASH_ADD(hh, capturer->scrapes, id, sizeof scrape->id, scrape);
    kp_flow_enter(scrape);
    if (check_order(scrape, secrets, &refusal) != 0 || send_request(scrape, secrets, &refusal) != 0) {
        scrape->state = KP_SCRAPE_REFUSED;
        kp_copy(scrape->refusal, sizeof scrape->refusal, refusal.text);
        kp_timer_start(capturer->turn, 0, 0);
    }
    set_gauges(capturer);
    return 0;
}

void kp_capture_cancel(struct kp_capturer *capturer, uint64_t order_id, enum kp_outcome why)
{
    struct kp_scrape *scrape;
    HASH_FIND(hh, capturer->scrapes, &order_id, sizeof order_id, scrape);
    if (scrape == NULL || scrape->cancelled != KP_OUTCOME_NONE)
        return;
    scrape->cancelled = why;
    if (scrape->call != NULL)
        kp_http_cancel(scrape->call);
}

void kp_capturer_allow(struct kp_capturer *capturer, const char *cidr)
{
    kp_denylist_forget(capturer->denied, cidr);
}

void kp_capturer_watch_every(struct kp_capturer *capturer, int64_t ms)
{
    capturer->watch_ms = ms;
    if (kp_timer_active(capturer->watch))
        kp_timer_start(capturer->watch, ms, ms);
}

size_t kp_capturer_learn_denied(struct kp_capturer *capturer, const char *const *cidrs)
{
    return kp_denylist_learn(capturer->denied, cidrs);
}

size_t kp_capturer_learn_servers(struct kp_capturer *capturer, const char *const *ips)
{
    return kp_denylist_learn_servers(capturer->denied, ips);
}

int kp_capturer_running(const struct kp_capturer *capturer)
{
    return (int)HASH_COUNT(capturer->scrapes);
}

// ---- life ----

struct kp_capturer *kp_capturer_create(
    struct kp_loop *loop, const struct kp_capture_options *options, struct kp_error *err)
{
    struct kp_capturer *capturer = KP_NEW(struct kp_capturer);
    capturer->loop = loop;
    capturer->options = *options;
    if (capturer->options.max_running <= 0)
        capturer->options.max_running = MAX_RUNNING;
    if (capturer->options.max_bytes_in_flight == 0)
        capturer->options.max_bytes_in_flight = 64 * KP_MIB;
    if (kp_denylist_create(options->denied_cidrs, &capturer->denied, err) != 0) {
        kp_free(capturer);
        return NULL;
    }
    struct kp_http_options http = {.max_connections = capturer->options.max_running};
    for (size_t i = 0; i < KP_CAPTURE_CLIENTS; i++)
        capturer->clients[i] = kp_http_create(loop, &http);
    capturer->turn = kp_timer_create(loop, on_turn, capturer);
    capturer->watch = kp_timer_create(loop, kp_flow_on_watch, capturer);
    capturer->watch_ms = KP_FLOW_WATCH_MS;
    if (options->metrics != NULL) {
        capturer->running =
            kp_gauge(options->metrics, "kube_pprof_captures_running", "Captures that run now.");
        capturer->in_flight = kp_gauge(options->metrics, "kube_pprof_capture_bytes_in_flight",
            "Bytes of captures received and not yet handed on.");
    }
    return capturer;
}

void kp_capturer_destroy(struct kp_capturer *capturer)
{
    if (capturer == NULL)
        return;
    struct kp_scrape *scrape, *next;
    capturer->closing = true;
    HASH_ITER (hh, capturer->scrapes, scrape, next)
        if (scrape->cancelled == KP_OUTCOME_NONE)
            scrape->cancelled = KP_OUTCOME_CANCELLED;
    for (size_t i = 0; i < KP_CAPTURE_CLIENTS; i++)
        kp_http_destroy(capturer->clients[i]); // every answer comes now
    on_turn(capturer);
    kp_timer_destroy(capturer->turn);
    kp_timer_destroy(capturer->watch);
    kp_denylist_destroy(capturer->denied);
    kp_free(capturer);
}
