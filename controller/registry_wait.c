#include "controller/registry_wait.h"

#include <signal.h>

#include "aio/loop.h"
#include "api/api.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "http/server.h"
#include "serve/serve.h"
#include "base/banned.h"

#define AGAIN_MS 2000

struct waiting {
    const struct kp_store_options *options;
    struct kp_loop *loop;
    struct kp_store *store;
    bool asked_to_end;
    struct kp_error error;
    struct kp_signal *signals[2];
};

static bool is_open(void *user, const char **ret_why_not)
{
    const struct waiting *w = user;
    *ret_why_not = w->error.text;
    return false;
}

// On the loop's own thread: whoever asks meanwhile waits, as at every start. A signal that came while it took
// its time is told in the same turn, after this.
static void try_again(void *user)
{
    struct waiting *w = user;
    struct kp_error err = {0};
    if (kp_store_open(w->options, &w->store, &err) == 0) {
        kp_loop_stop(w->loop);
        return;
    }
    if (!kp_streq(err.text, w->error.text))
        KP_ERROR("the data folder still cannot be opened", KP_E(&err));
    w->error = err;
}

static void on_signal(void *user)
{
    struct waiting *w = user;
    w->asked_to_end = true;
    kp_loop_stop(w->loop);
}

// With metrics of its own: those of the registry would go on to ask for what ends here.
static int serve_until_open(
    struct waiting *w, struct kp_metrics *metrics, const char *listen, struct kp_error *err)
{
    const struct kp_http_listener listener = {.address = listen};
    struct kp_serve *serve = kp_serve_create(w->loop, metrics);
    struct kp_http_server *server =
        kp_http_server_create(w->loop, &(struct kp_http_server_options){.metrics = metrics}, err);
    struct kp_timer *timer = kp_timer_create(w->loop, try_again, w);
    int port = 0;
    int rc = server != NULL ? 0 : err->code;
    kp_serve_add_check(serve, "store", is_open, w);
    if (rc == 0)
        rc = kp_http_server_listen(server, &listener, kp_serve_routes(serve), NULL, serve, &port, err);
    if (rc == 0) {
        kp_timer_start(timer, AGAIN_MS, AGAIN_MS);
        kp_loop_run(w->loop);
    }
    kp_timer_destroy(timer);
    if (server)
        kp_http_server_close(server);
    for (size_t i = 0; i < KP_COUNT(w->signals); i++)
        kp_signal_destroy(w->signals[i]);
    kp_loop_destroy(w->loop);
    if (server)
        kp_http_server_free(server);
    kp_serve_destroy(serve);
    return rc;
}

int kp_registry_open_store(
    const struct kp_store_options *options, const char *listen, struct kp_store **ret, struct kp_error *err)
{
    struct waiting w = {.options = options};
    int rc = kp_store_open(options, ret, &w.error);
    if (rc == 0 || listen[0] == '\0')
        return rc == 0 ? 0 : kp_fail(err, rc, "%s", w.error.text);
    KP_ERROR("the data folder cannot be opened; it is tried again until it can", KP_E(&w.error));
    struct kp_metrics *metrics = kp_metrics_create();
    kp_metrics_add_process(metrics);
    kp_metric_set(kp_gauge(metrics, KP_STORE_FAILING_METRIC, KP_STORE_FAILING_HELP), 1);
    w.loop = kp_loop_create();
    w.signals[0] = kp_signal_create(w.loop, SIGTERM, on_signal, &w);
    w.signals[1] = kp_signal_create(w.loop, SIGINT, on_signal, &w);
    rc = serve_until_open(&w, metrics, listen, err);
    kp_metrics_destroy(metrics);
    if (rc == 0 && w.asked_to_end)
        rc = kp_fail(err, KP_CANCELED, "it was asked to end");
    if (rc == 0)
        *ret = w.store;
    else
        kp_store_close(w.store);
    return rc;
}
