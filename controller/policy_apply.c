// `kube-pprof apply-policy`: run by the chart after it has made the kinds of policies. Helm looks every kind
// up before it makes the first object, so that a policy cannot be in the same release as its kind.
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/text.h"
#include "controller/apiserver.h"
#include "controller/apiservice.h"
#include "controller/env.h"
#include "controller/role.h"
#include "options/options.h"
#include "base/banned.h"

#define FOLDER        "/apis/kube-pprof.dev/v1alpha1/clusterprofilingpolicies/"
#define FIELD_MANAGER "kube-pprof-chart"
#define POLL_MS       500
#define POLL_MAX_MS   4000
#define REQUEST_MS    10000

struct apply_options {
    char *kubeconfig, *policy;
    bool delete;
    int64_t timeout_ms;
};

#define AT(field) offsetof(struct apply_options, field)
static const struct kp_option rows[] = {
    {"kubeconfig", "FILES", KP_OPTION_STRING, AT(kubeconfig), NULL, 0, 0,
        "Kubeconfig. Without it: the pod's ServiceAccount."},
    {"policy", "JSON", KP_OPTION_STRING, AT(policy), NULL, 0, 0,
        "The ClusterProfilingPolicy; its annotations say of which release of Helm it is."},
    {"delete", NULL, KP_OPTION_BOOL, AT(delete), "false", 0, 0,
        "Delete it instead, if it is there and of that release."},
    {"timeout", "DURATION", KP_OPTION_DURATION, AT(timeout_ms), "60s", 100, 3600000,
        "How long to wait for the kind to be served, and to try again while the API server is away or "
        "fails."},
};

struct applying {
    struct kp_loop *loop;
    struct kp_kube *kube;
    struct kp_timer *timer;
    struct kp_kube_call *call;
    json_t *policy;
    const char *name;
    char *path;
    bool delete, wrote;
    int64_t until_ms, wait_ms;
    int told_status; // of the failure that was told last; -1 = none
    struct kp_error failure;
};

static void look(struct applying *a);

static void end(struct applying *a, const struct kp_error *err)
{
    if (err != NULL)
        a->failure = *err;
    kp_loop_stop(a->loop);
}

// What may be otherwise in a while: the kind is not served yet, the API server is away or fails.
static bool may_pass(int http_status, const struct kp_error *err)
{
    if (http_status == 0)
        return err->code == KP_NETWORK || err->code == KP_TIMEOUT;
    return http_status == 404 || http_status == 429 || http_status >= 500;
}

// Each other failure is told when it happens: whoever waits for the chart to be installed looks here first.
static void again_or_end(struct applying *a, int http_status, const struct kp_error *err)
{
    if (!may_pass(http_status, err) || kp_mono_ms() >= a->until_ms) {
        end(a, err);
        return;
    }
    if (a->told_status != http_status)
        fprintf(stderr, "kube-pprof apply-policy: %s; trying again\n", err->text);
    a->told_status = http_status;
    kp_timer_start(a->timer, a->wait_ms, 0);
    if (http_status != 404)
        a->wait_ms = a->wait_ms * 2 < POLL_MAX_MS ? a->wait_ms * 2 : POLL_MAX_MS;
}

static const char *annotation(const json_t *object, const char *key)
{
    const json_t *notes = json_object_get(json_object_get(object, "metadata"), "annotations");
    const char *value = json_string_value(json_object_get(notes, key));
    return value != NULL ? value : "";
}

// As Helm itself asks before it takes an object over.
static bool is_ours(const struct applying *a, const json_t *object)
{
    static const char *const keys[] = {"meta.helm.sh/release-name", "meta.helm.sh/release-namespace"};
    for (size_t i = 0; i < KP_COUNT(keys); i++)
        if (!kp_streq(annotation(object, keys[i]), annotation(a->policy, keys[i])))
            return false;
    return true;
}

static void on_written(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct applying *a = user;
    (void)json;
    if (err != NULL &&
        a->delete &&(http_status == 404 || http_status == 409)) { // gone, or another one by now
        end(a, NULL);
    } else if (err != NULL) {
        again_or_end(a, http_status, err);
    } else {
        a->wrote = true;
        end(a, NULL);
    }
}

static void write_it(
    struct applying *a, const char *method, const char *path, const char *content_type, struct kp_blob *body)
{
    struct kp_error err = {0};
    const struct kp_kube_request request = {.method = method,
        .path = path,
        .content_type = content_type,
        .body = body,
        .timeout_ms = REQUEST_MS,
        .max_tries = 1,
        .on_done = on_written,
        .user = a};
    int code = kp_kube_start(a->kube, &request, &a->call, &err);
    kp_blob_unref(body);
    if (code != 0)
        end(a, &err);
}

// Not by kp_kube_apply, which tries again by itself and does not say so.
static void apply_it(struct applying *a)
{
    kp_auto_free char *path = kp_asprintf("%s?force=true&fieldManager=" FIELD_MANAGER, a->path);
    char *text = json_dumps(a->policy, JSON_COMPACT);
    struct kp_blob *body = text != NULL ? kp_blob_copy(text, strlen(text)) : NULL; // never: it was read
    free(text);
    write_it(a, "PATCH", path, "application/apply-patch+yaml", body);
}

static void on_object(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct applying *a = user;
    struct kp_error why = {0};
    if (err != NULL && http_status != 404) {
        again_or_end(a, http_status, err);
    } else if (err != NULL && a->delete) {
        end(a, NULL);
    } else if (err == NULL && !is_ours(a, json)) {
        if (!a->delete)
            kp_fail(&why, KP_CONFLICT,
                "the ClusterProfilingPolicy '%s' is there already and not of this release (annotations "
                "meta.helm.sh/release-name '%s', release-namespace '%s'): delete it, or leave it out here "
                "with "
                "annotatedPods.enabled=false",
                a->name, annotation(json, "meta.helm.sh/release-name"),
                annotation(json, "meta.helm.sh/release-namespace"));
        end(a, why.code != 0 ? &why : NULL);
    } else if (a->delete) {
        write_it(a, "DELETE", a->path, "application/json", kp_apiservice_delete_options(json));
    } else {
        apply_it(a);
    }
}

static void look(struct applying *a)
{
    struct kp_error err = {0};
    const struct kp_kube_request request = {.method = "GET",
        .path = a->path,
        .timeout_ms = REQUEST_MS,
        .max_tries = 1,
        .on_done = on_object,
        .user = a};
    if (kp_kube_start(a->kube, &request, &a->call, &err) != 0)
        end(a, &err);
}

static void on_timer(void *user)
{
    look(user);
}

static int run(
    const struct apply_options *o, const struct kp_kube_config *config, json_t *policy, struct kp_error *err)
{
    const struct kp_kube_options kube = {.user_agent = "kube-pprof/" KP_VERSION " (linux) apply-policy"};
    struct applying a = {.loop = kp_loop_create(),
        .policy = policy,
        .delete = o->delete,
        .until_ms = kp_mono_ms() + o->timeout_ms,
        .wait_ms = POLL_MS,
        .told_status = -1};
    a.name = json_string_value(json_object_get(json_object_get(policy, "metadata"), "name"));
    a.path = kp_asprintf("%s%s", FOLDER, a.name);
    a.kube = kp_kube_create(a.loop, config, &kube);
    a.timer = kp_timer_create(a.loop, on_timer, &a);
    look(&a);
    kp_loop_run(a.loop);
    kp_timer_destroy(a.timer);
    kp_kube_destroy(a.kube);
    kp_loop_destroy(a.loop);
    if (a.failure.code == 0)
        printf("ClusterProfilingPolicy '%s' %s\n", a.name,
            !a.wrote    ? "is not there"
            : o->delete ? "is deleted"
                        : "is applied");
    kp_free(a.path);
    return a.failure.code != 0 ? kp_fail(err, a.failure.code, "%s", a.failure.text) : 0;
}

static int read_policy(const char *text, json_t **ret, struct kp_error *err)
{
    json_error_t why;
    if (text[0] == '\0')
        return kp_fail(err, KP_INVALID, "no policy: give it with --policy=JSON");
    json_t *policy = json_loads(text, 0, &why);
    const json_t *name = json_object_get(json_object_get(policy, "metadata"), "name");
    *ret = policy;
    if (kp_kube_name_valid(json_string_value(name)))
        return 0;
    json_decref(policy);
    return kp_fail(err, KP_INVALID, "--policy holds none: %s",
        policy == NULL ? why.text : "it has no metadata.name that can be one");
}

int kp_policy_apply_main(int argc, char **argv)
{
    struct apply_options o = {0};
    struct kp_kube_config config = {0};
    struct kp_error err = {0};
    json_t *policy = NULL;
    struct kp_options_source source = {.argc = argc, .argv = argv, .env = kp_env};
    int code = kp_options_load(rows, KP_COUNT(rows), &source, &o, &err);
    if (code == KP_OPTIONS_HELP) {
        kp_options_help(rows, KP_COUNT(rows), "apply-policy",
            "Applies a ClusterProfilingPolicy when its kind is served, unless another release has it.",
            stdout);
        return 0;
    }
    if (code != 0 || read_policy(o.policy, &policy, &err) != 0) {
        fprintf(stderr, "kube-pprof apply-policy: %s\n", err.text);
        kp_options_finish(rows, KP_COUNT(rows), &o);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    code = kp_apiserver_find(o.kubeconfig, "", kp_env, &config, &err);
    if (code == 0) {
        code = run(&o, &config, policy, &err);
        kp_kube_config_finish(&config);
    }
    json_decref(policy);
    kp_options_finish(rows, KP_COUNT(rows), &o);
    if (code == 0)
        return 0;
    fprintf(stderr, "kube-pprof apply-policy: %s\n", err.text);
    return 1;
}
