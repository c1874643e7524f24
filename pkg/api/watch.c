// GET /api/v1/profiles?watch=true: descriptions of new profiles as server-sent events, as they are stored.
// Readers that do not keep up are cut: they list again.
#include <string.h>

#include "api/query.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/list.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_WATCHES  256
#define MAX_UNREAD   ((size_t)256 << 10) // written since the reader was last seen to be near the end
#define MAX_STEPS    2000                // of the regular expressions of all watches, matched on the loop
#define HEARTBEAT_MS 15000
#define MAX_EVENT    ((size_t)256 << 10)

struct watch {
    struct kp_list node;
    struct kp_watches *all;
    struct kp_api *api;
    struct kp_http_exchange *x;
    struct kp_timer *timer; // to the next review
    struct kp_api_review review;
    struct kp_query q;
    size_t unread, steps;
};

struct kp_watches {
    struct kp_list list;
    size_t n, steps;
    struct kp_timer *heartbeat;
    struct kp_metric *m_open, *m_cut;
};

static void drop(struct watch *w)
{
    kp_list_remove(&w->node);
    kp_api_review_cancel(&w->review);
    kp_timer_destroy(w->timer);
    w->all->n--;
    w->all->steps -= w->steps;
    kp_metric_set(w->all->m_open, (double)w->all->n);
    kp_query_finish(&w->q);
    kp_free(w);
}

static void on_gone(void *user)
{
    drop(user);
}

static void on_space(void *user)
{
    struct watch *w = user;
    w->unread = 0;
}

static void end(struct watch *w, const char *why)
{
    kp_auto_free char *text = kp_asprintf("event: end\ndata: {\"reason\":\"%s\"}\n\n", why);
    kp_http_reply_write(w->x, text, strlen(text));
    kp_http_reply_end(w->x);
    drop(w);
}

static void on_reviewed(void *user, const struct kp_error *err)
{
    struct watch *w = user;
    if (err)
        end(w, kp_code_info(err->code)->reason);
    else
        kp_timer_start(w->timer, w->api->options.review_every_ms, 0);
}

// Rights end and tokens are revoked while a watch lasts.
static void on_review_due(void *user)
{
    struct watch *w = user;
    kp_api_review_start(&w->review, w->api, w->x, on_reviewed, w);
}

static void send_text(struct watch *w, const char *text, size_t len)
{
    if (w->unread + len > MAX_UNREAD) {
        kp_metric_inc(w->all->m_cut);
        end(w, "TooSlow");
        return;
    }
    w->unread += len;
    kp_http_reply_write(w->x, text, len);
}

static void on_heartbeat(void *user)
{
    struct kp_watches *all = user;
    static const char beat[] = ": still here\n\n";
    kp_list_foreach_safe (node, &all->list)
        send_text(kp_container_of(node, struct watch, node), beat, sizeof beat - 1);
}

void kp_api_publish(struct kp_api *api, const struct kp_record *record)
{
    struct kp_strbuf event;
    if (kp_list_empty(&api->watches->list))
        return;
    kp_strbuf_init(&event, MAX_EVENT);
    kp_strbuf_addf(&event, "event: profile\nid: %s\ndata: ", record->id);
    struct kp_json j = {.out = &event};
    kp_json_record(&j, record);
    kp_strbuf_adds(&event, "\n\n");
    kp_list_foreach_safe (node, &api->watches->list) {
        struct watch *w = kp_container_of(node, struct watch, node);
        const struct kp_store_query query = kp_query_select(&w->q);
        if (!event.overflow && kp_store_query_matches(&query, record))
            send_text(w, event.data, event.len);
    }
    kp_strbuf_finish(&event);
}

// Those who watch one namespace are at most half of all, and their regular expressions as well.
static bool has_half(const struct kp_watches *all, const char *namespace, size_t steps)
{
    size_t n = 0;
    kp_list_foreach (node, &all->list) {
        const struct watch *w = kp_container_of(node, struct watch, node);
        if (kp_streq(w->q.namespace, namespace)) {
            n++;
            steps += w->steps;
        }
    }
    return namespace && (n >= MAX_WATCHES / 2 || steps > MAX_STEPS / 2);
}

void kp_api_watch(struct kp_api *api, struct kp_http_exchange *x, struct kp_query *q)
{
    static const char hello[] = ": descriptions of new profiles follow\n\n";
    struct kp_watches *all = api->watches;
    size_t steps = kp_selector_regex_steps(q->selector);
    struct kp_error err = {0};
    if (has_half(all, q->namespace, steps)) {
        err.retry_after_s = 10;
        kp_fail(&err, KP_THROTTLED,
            "namespace '%.63s' is watched by as many as may be (%d), or their regular expressions are too "
            "long",
            q->namespace, MAX_WATCHES / 2);
        kp_limits_count(api, "watches");
        kp_api_refuse_limit(x, &err);
        kp_query_finish(q);
        return;
    }
    if (all->n >= MAX_WATCHES || all->steps + steps > MAX_STEPS) {
        kp_http_set_header(x, "Retry-After", "10");
        kp_http_reply_status(x, 429, "Throttled",
            all->n >= MAX_WATCHES ? "too many watch for new profiles already"
                                  : "those who watch for new profiles use too long regular expressions; "
                                    "use = or in");
        kp_query_finish(q);
        return;
    }
    kp_http_set_header(x, "Cache-Control", "no-store");
    if (strcmp(kp_http_method(x), "HEAD") == 0) { // there is no end to wait for
        kp_http_reply_begin(x, 200, "text/event-stream", NULL, NULL);
        kp_http_reply_end(x);
        kp_query_finish(q);
        return;
    }
    struct watch *w = KP_NEW(struct watch);
    w->all = all;
    w->api = api;
    w->x = x;
    w->timer = kp_timer_create(api->options.loop, on_review_due, w);
    kp_timer_start(w->timer, api->options.review_every_ms, 0);
    w->q = *q;
    w->steps = steps;
    all->steps += steps;
    kp_list_append(&all->list, &w->node);
    all->n++;
    kp_metric_set(all->m_open, (double)all->n);
    kp_http_on_gone(x, on_gone, w);
    kp_http_reply_begin(x, 200, "text/event-stream", on_space, w);
    send_text(w, hello, sizeof hello - 1);
}

void kp_api_start_watches(struct kp_api *api)
{
    struct kp_watches *all = KP_NEW(struct kp_watches);
    struct kp_metrics *m = api->options.metrics;
    kp_list_init(&all->list);
    if (m) {
        all->m_open = kp_gauge(m, "kube_pprof_registry_watches", "Clients that watch for new profiles.");
        all->m_cut = kp_counter(
            m, "kube_pprof_registry_watches_cut_total", "Watches ended because the client did not keep up.");
    }
    all->heartbeat = kp_timer_create(api->options.loop, on_heartbeat, all);
    kp_timer_start(all->heartbeat, HEARTBEAT_MS, HEARTBEAT_MS);
    api->watches = all;
}

void kp_api_end_watches(struct kp_api *api)
{
    kp_list_foreach_safe (node, &api->watches->list)
        end(kp_container_of(node, struct watch, node), "Stopping");
}

void kp_api_free_watches(struct kp_api *api)
{
    kp_list_foreach_safe (node, &api->watches->list)
        drop(kp_container_of(node, struct watch, node));
    kp_timer_destroy(api->watches->heartbeat);
    kp_free(api->watches);
}
