// `kube-pprof remove-api-service`: run before the chart's objects go. Without its switch the controller makes
// no APIService any more; one it was about to make is deleted with the second try.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "controller/apiserver.h"
#include "controller/apiservice.h"
#include "controller/env.h"
#include "options/options.h"
#include "controller/role.h"
#include "base/banned.h"

#define AGAIN_MS 2000
#define POLL_MS  200
#define LIMIT_MS 50000

struct remove_options {
    char *kubeconfig, *namespace, *service, *switch_name;
};

#define AT(field) offsetof(struct remove_options, field)
static const struct kp_option rows[] = {
    {"kubeconfig", "FILES", KP_OPTION_STRING, AT(kubeconfig), NULL, 0, 0,
        "Kubeconfig. Without it: the pod's ServiceAccount."},
    {"namespace", "NAME", KP_OPTION_STRING, AT(namespace), NULL, 0, 0,
        "Namespace of the registry; the pod's own by default."},
    {"registry-service", "NAME", KP_OPTION_STRING, AT(service), "kube-pprof-registry", 0, 0,
        "The registry's Service: an APIService of another one is left alone."},
    {"api-service-switch", "NAME", KP_OPTION_STRING, AT(switch_name), NULL, 0, 0,
        "ConfigMap to be deleted first."},
};

struct removing {
    struct kp_loop *loop;
    struct kp_kube *kube;
    struct kp_timer *timer;
    struct kp_kube_call *call;
    const char *namespace;
    char *mark;
    int64_t began_ms;
    int rounds; // the APIService was found gone so often
    struct kp_error failure;
};

static void look(struct removing *r);

static void end(struct removing *r, const struct kp_error *err)
{
    if (err != NULL)
        r->failure = *err;
    kp_loop_stop(r->loop);
}

// Takes the body over; NULL = none.
static void ask(struct removing *r, const char *method, const char *path, struct kp_blob *body,
    void (*on_done)(void *user, int http_status, json_t *json, const struct kp_error *err))
{
    struct kp_error err = {0};
    const struct kp_kube_request request = {.method = method,
        .path = path,
        .content_type = body != NULL ? "application/json" : NULL,
        .body = body,
        .timeout_ms = 10000,
        .on_done = on_done,
        .user = r};
    int code = kp_kube_start(r->kube, &request, &r->call, &err);
    kp_blob_unref(body);
    if (code != 0)
        end(r, &err);
}

static void on_timer(void *user)
{
    look(user);
}

static void on_deleted(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct removing *r = user;
    (void)json;
    if (err != NULL && http_status != 404 && http_status != 409) // 409: it is another one by now
        end(r, err);
    else
        kp_timer_start(r->timer, POLL_MS, 0); // until it is gone
}

static bool is_ours(const struct removing *r, const json_t *object)
{
    const json_t *notes = json_object_get(json_object_get(object, "metadata"), "annotations");
    return kp_streq(json_string_value(json_object_get(notes, KP_APISERVICE_MARK)), r->mark);
}

static void on_object(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct removing *r = user;
    struct kp_error late = {0};
    if (err != NULL && http_status != 404) {
        end(r, err);
    } else if (err != NULL) {
        if (++r->rounds == 2)
            end(r, NULL);
        else
            kp_timer_start(r->timer, AGAIN_MS, 0);
    } else if (!is_ours(r, json)) {
        KP_WARN("the APIService is not of this registry: it is left", KP_S("name", KP_APISERVICE));
        end(r, NULL);
    } else if (kp_mono_ms() - r->began_ms > LIMIT_MS) {
        kp_fail(&late, KP_TIMEOUT, "the APIService '%s' is still there: something holds it (finalizers?)",
            KP_APISERVICE);
        end(r, &late);
    } else {
        ask(r, "DELETE", KP_APISERVICE_PATH, kp_apiservice_delete_options(json), on_deleted);
    }
}

static void look(struct removing *r)
{
    ask(r, "GET", KP_APISERVICE_PATH, NULL, on_object);
}

static void on_switch_gone(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct removing *r = user;
    (void)json;
    if (err != NULL && http_status != 404)
        end(r, err);
    else
        look(r);
}

static int run(const struct remove_options *o, const struct kp_kube_config *config, struct kp_error *err)
{
    const struct kp_kube_options kube = {
        .user_agent = "kube-pprof/" KP_VERSION " (linux) remove-api-service"};
    struct removing r = {.loop = kp_loop_create(), .began_ms = kp_mono_ms()};
    r.namespace = o->namespace[0] != '\0' ? o->namespace : config->namespace;
    r.mark = kp_asprintf("%s/%s", r.namespace, o->service);
    r.kube = kp_kube_create(r.loop, config, &kube);
    r.timer = kp_timer_create(r.loop, on_timer, &r);
    kp_auto_free char *path = kp_asprintf("/api/v1/namespaces/%s/configmaps/%s", r.namespace, o->switch_name);
    if (o->switch_name[0] != '\0')
        ask(&r, "DELETE", path, NULL, on_switch_gone);
    else
        look(&r);
    kp_loop_run(r.loop);
    kp_timer_destroy(r.timer);
    kp_kube_destroy(r.kube);
    kp_loop_destroy(r.loop);
    kp_free(r.mark);
    return r.failure.code != 0 ? kp_fail(err, r.failure.code, "%s", r.failure.text) : 0;
}

int kp_apiservice_remove_main(int argc, char **argv)
{
    struct remove_options o = {0};
    struct kp_kube_config config = {0};
    struct kp_error err = {0};
    struct kp_options_source source = {.argc = argc, .argv = argv, .env = kp_env};
    int code = kp_options_load(rows, KP_COUNT(rows), &source, &o, &err);
    if (code == KP_OPTIONS_HELP) {
        kp_options_help(rows, KP_COUNT(rows), "remove-api-service",
            "Deletes the switch and the APIService of the aggregated API, and waits until it is gone.",
            stdout);
        return 0;
    }
    if (code != 0) {
        fprintf(stderr, "kube-pprof remove-api-service: %s\n", err.text);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    code = kp_apiserver_find(o.kubeconfig, "", kp_env, &config, &err);
    if (code == 0) {
        code = run(&o, &config, &err);
        kp_kube_config_finish(&config);
    }
    kp_options_finish(rows, KP_COUNT(rows), &o);
    if (code == 0)
        return 0;
    fprintf(stderr, "kube-pprof remove-api-service: %s\n", err.text);
    return 1;
}
