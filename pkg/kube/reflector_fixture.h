// A reflector against a scripted API server, for the tests of the reflector. Include cmocka.h first.
#ifndef KP_KUBE_REFLECTOR_FIXTURE_H
#define KP_KUBE_REFLECTOR_FIXTURE_H

#include "base/clock.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "kube/api_peer.h"
#include "kube/config.h"
#include "kube/reflector.h"

struct fixture {
    struct peer *peer;
    struct kp_loop *loop;
    struct kp_metrics *metrics;
    struct kp_kube *kube;
    struct kp_reflector *reflector;
    struct kp_strbuf log; // "+a =a -a ! .": came, changed, went, synced, well again
    struct kp_error trouble;
    int n_troubles;
    size_t wait_for_seen, wait_for_log;
    const char *wait_for_text;
    bool destroy_on_change, done;
    const char *token_file, *next_token; // written when the first list is complete
};

static inline void on_change(void *user, const char *key, void *old_value, void *new_value)
{
    struct fixture *f = user;
    const char *name = strchr(key, '/') ? strchr(key, '/') + 1 : key;
    kp_strbuf_addf(&f->log, "%c%s ", !old_value ? '+' : !new_value ? '-' : '=', name);
    if (f->destroy_on_change && f->reflector) {
        kp_reflector_destroy(f->reflector);
        f->reflector = NULL;
    }
}

static inline void on_synced(void *user)
{
    struct fixture *f = user;
    kp_strbuf_adds(&f->log, "! ");
    if (f->token_file &&
        kp_file_write_atomic(f->token_file, f->next_token, strlen(f->next_token), 0600, NULL) < 0)
        abort();
}

static inline void on_trouble(void *user, const struct kp_error *err)
{
    struct fixture *f = user;
    if (err) {
        f->trouble = *err;
        f->n_troubles++;
    } else {
        kp_strbuf_adds(&f->log, ". ");
    }
}

static const struct kp_reflector_tuning __attribute__((unused))
quick = {.first_backoff_ms = 1, .max_backoff_ms = 5, .page_size = 2};

static inline struct kp_reflector *make_reflector(struct fixture *f, const struct kp_reflector_tuning *tuning)
{
    struct kp_reflector_kind kind = {
        .name = "pods", .path = "/api/v1/pods", .decode = kp_decode_json, .unref = kp_unref_json};
    struct kp_reflector_events events = {
        .on_change = on_change, .on_synced = on_synced, .on_trouble = on_trouble, .user = f};
    struct kp_reflector *r = kp_reflector_create(f->kube, &kind, &events, f->metrics);
    kp_reflector_tune(r, tuning);
    return r;
}

static inline void begin_as(
    struct fixture *f, const struct kp_kube_config *config, const struct kp_reflector_tuning *tuning)
{
    kp_strbuf_init(&f->log, 1 << 20);
    f->loop = kp_loop_create();
    f->metrics = kp_metrics_create();
    f->kube = kp_kube_create(f->loop, config, &(struct kp_kube_options){.metrics = f->metrics});
    f->reflector = make_reflector(f, tuning);
    kp_reflector_start(f->reflector);
}

static inline void begin_at(struct fixture *f, const char *server, const struct kp_reflector_tuning *tuning)
{
    kp_auto_free char *copy = kp_strdup(server);
    begin_as(f, &(struct kp_kube_config){.server = copy, .token = (char[]){"secret"}}, tuning);
}

static inline void begin(
    struct fixture *f, const struct peer_step *steps, size_t n, const struct kp_reflector_tuning *tuning)
{
    char server[64];
    memset(f, 0, sizeof *f);
    f->peer = peer_start(steps, n);
    snprintf(server, sizeof server, "http://127.0.0.1:%d", f->peer->port);
    begin_at(f, server, tuning);
}

static inline void check_waits(void *user)
{
    struct fixture *f = user;
    f->done = (!f->wait_for_text || strstr(f->log.data, f->wait_for_text)) &&
              (f->wait_for_seen == 0 || peer_seen(f->peer) >= f->wait_for_seen);
}

// Until the log holds text (NULL: whatever) and as many requests were seen.
static inline void run_until(struct fixture *f, const char *text, size_t seen)
{
    struct kp_timer *timer = kp_timer_create(f->loop, check_waits, f);
    f->wait_for_text = text;
    f->wait_for_seen = seen;
    f->done = false;
    kp_timer_start(timer, 0, 1);
    bool done = kp_loop_run_until(f->loop, &f->done, 20000);
    kp_timer_destroy(timer);
    if (!done)
        fail_msg("not seen: '%s' and %zu requests; log '%s', %zu requests, trouble '%s'", text ? text : "",
            seen, f->log.data, f->peer ? peer_seen(f->peer) : 0, f->trouble.text);
}

static inline void end(struct fixture *f)
{
    kp_reflector_destroy(f->reflector);
    kp_kube_destroy(f->kube);
    kp_loop_destroy(f->loop);
    kp_metrics_destroy(f->metrics);
    kp_strbuf_finish(&f->log);
    kp_auto_free char *failure = f->peer ? peer_stop(f->peer) : NULL;
    if (failure)
        fail_msg("%s", failure);
}

#define POD(name, rv)                                                                                        \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"n\",\"resourceVersion\":\"" rv "\"}}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define ADDED(name, rv)     EVENT("ADDED", POD(name, rv))
#define BOOKMARK(rv)        EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"" rv "\"}}")
#define SYNCED(rv)                                                                                           \
    EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"" rv                                             \
                      "\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}")
#define STATUS(code, reason)                                                                                 \
    "{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"because " reason "\",\"reason\":\"" reason    \
    "\",\"code\":" #code "}"
#define LIST(rv, token, items)                                                                               \
    "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"" rv "\",\"continue\":\"" token               \
    "\"},\"items\":[" items "]}"
#define REFUSED                                                                                              \
    {                                                                                                        \
        "sendInitialEvents=true", 422, NULL, STATUS(422, "Invalid"), 0, 0, PEER_WHOLE                        \
    }

static const struct kp_reflector_tuning __attribute__((unused))
classic = {.first_backoff_ms = 1, .max_backoff_ms = 5, .page_size = 2, .no_watch_list = true};

#endif
