#include "controller/apiservice.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "controller/secretdata.h"
#include "base/banned.h"

#define EVERY_MS      5000
#define WITHDRAW_MS   60000
#define AGAIN_MS      300000 // after one that was of no use; twice as long each time
#define AGAIN_MAX_MS  3600000
#define FIELD_MANAGER "kube-pprof"
#define TIMEOUT_MS    10000

// ---- deciding ----

enum kp_apiservice_step kp_apiservice_decide(
    const struct kp_apiservice_facts *facts, int64_t now_mono_ms, const char **ret_why)
{
    bool is_ours = facts->found == KP_APISERVICE_STALE || facts->found == KP_APISERVICE_GOOD;
    *ret_why = "";
    if (facts->found == KP_APISERVICE_OTHERS)
        return KP_APISERVICE_LEAVE;
    if (!facts->wanted || !facts->switched_on) {
        *ret_why = facts->wanted ? "its switch, the chart's ConfigMap, is gone" : "--api-service=false";
        return is_ours ? KP_APISERVICE_WITHDRAW : KP_APISERVICE_LEAVE;
    }
    if (is_ours && !facts->answers && now_mono_ms - facts->answered_ms >= WITHDRAW_MS) {
        *ret_why = "the registry has not answered for a minute; namespaces could not be deleted";
        return KP_APISERVICE_WITHDRAW;
    }
    if (is_ours && now_mono_ms - facts->available_ms >= WITHDRAW_MS) {
        *ret_why = "the API server has found no way to the registry for a minute; namespaces could not be "
                   "deleted";
        return KP_APISERVICE_WITHDRAW;
    }
    if (!facts->has_bundle)
        return KP_APISERVICE_LEAVE;
    if (facts->found == KP_APISERVICE_ABSENT && facts->answers && now_mono_ms >= facts->again_ms) {
        *ret_why = "the registry answers";
        return KP_APISERVICE_APPLY;
    }
    if (facts->found ==
        KP_APISERVICE_STALE) { // also while it does not answer: a new CA must be known in time
        *ret_why = "it is not as it should be";
        return KP_APISERVICE_APPLY;
    }
    return KP_APISERVICE_LEAVE;
}

// ---- doing ----

enum state { STATE_STOPPED, STATE_WAITING, STATE_ASKING, STATE_ACTING };

struct kp_apiservice {
    struct kp_apiservice_options options;
    enum state state;
    struct kp_timer *timer;
    struct kp_kube_call *call;
    struct kp_apiservice_facts facts;
    json_t *object; // as read last; NULL = there was none
    char *mark, *switch_path, *bundle,
        *in_place;         // in_place: the bundle of the object; NULL = no object of ours
    char unavailable[200]; // what the API server says of it; "" = it is well
    int64_t pause_ms;      // that the next useless one costs; 0 = the first
    bool is_read, probing, told_others, told_failure,
        is_apply;      // is_apply: what is being done, else withdrawn
    bool told_silence; // that the registry does not answer
    struct kp_metric *ready, *present, *available, *failures;
    struct kp_metric_family *changes;
};

static void wait_for(struct kp_apiservice *s, int64_t ms)
{
    s->state = STATE_WAITING;
    kp_timer_start(s->timer, ms, 0);
}

static int64_t every_ms(const struct kp_apiservice *s)
{
    return s->options.every_ms != 0 ? s->options.every_ms : EVERY_MS;
}

static void round_over(struct kp_apiservice *s)
{
    wait_for(s, every_ms(s));
}

static void failed(struct kp_apiservice *s, const char *what, const struct kp_error *err)
{
    kp_metric_inc(s->failures);
    if (!s->told_failure)
        KP_WARN("the APIService of profiles cannot be kept, trying again", KP_S("what", what), KP_E(err));
    s->told_failure = true;
    s->is_read = false;
    round_over(s);
}

// ---- the object ----

static json_t *spec_of(const struct kp_apiservice *s)
{
    kp_auto_free char *bundle = kp_base64(s->bundle, strlen(s->bundle));
    return json_pack("{s:s,s:s,s:i,s:i,s:s,s:{s:s,s:s,s:i}}", "group", "data.kube-pprof.dev", "version",
        "v1alpha1", "groupPriorityMinimum", 1000, "versionPriority", 15, "caBundle", bundle, "service",
        "name", s->options.service, "namespace", s->options.namespace, "port", s->options.port);
}

static json_t *object_of(const struct kp_apiservice *s)
{
    return json_pack("{s:s,s:s,s:{s:s,s:{s:s,s:s},s:{s:s}},s:o}", "apiVersion", "apiregistration.k8s.io/v1",
        "kind", "APIService", "metadata", "name", KP_APISERVICE, "labels", "app.kubernetes.io/part-of",
        "kube-pprof", "app.kubernetes.io/managed-by", "kube-pprof-controller", "annotations",
        KP_APISERVICE_MARK, s->mark, "spec", spec_of(s));
}

// Its condition Available, and what is said with it.
static bool is_available(const json_t *object, const char **ret_message)
{
    size_t i;
    json_t *condition;
    *ret_message = "it has no condition Available yet";
    json_array_foreach(json_object_get(json_object_get(object, "status"), "conditions"), i, condition)
    {
        const char *message = json_string_value(json_object_get(condition, "message"));
        if (!kp_streq(json_string_value(json_object_get(condition, "type")), "Available"))
            continue;
        *ret_message = message != NULL ? message : "";
        return kp_streq(json_string_value(json_object_get(condition, "status")), "True");
    }
    return false;
}

static void note_available(struct kp_apiservice *s, const json_t *object, bool is_ours)
{
    const char *message = "";
    bool available = is_ours && is_available(object, &message);
    kp_metric_set(s->available, available ? 1 : 0);
    kp_printable(s->unavailable, sizeof s->unavailable, message, strlen(message));
    if (available || !is_ours)
        s->facts.available_ms = kp_mono_ms();
    if (available)
        s->pause_ms = 0;
}

static enum kp_apiservice_found judge(const struct kp_apiservice *s, const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const json_t *spec = json_object_get(object, "spec");
    if (!kp_streq(
            json_string_value(json_object_get(json_object_get(metadata, "annotations"), KP_APISERVICE_MARK)),
            s->mark))
        return KP_APISERVICE_OTHERS;
    if (s->bundle == NULL)
        return KP_APISERVICE_GOOD;
    json_t *want = spec_of(s);
    bool same = true;
    const char *key;
    json_t *value;
    json_object_foreach(want, key, value) same = same && json_equal(json_object_get(spec, key), value);
    same = same && !json_is_true(json_object_get(spec, "insecureSkipTLSVerify"));
    json_decref(want);
    return same ? KP_APISERVICE_GOOD : KP_APISERVICE_STALE;
}

struct kp_blob *kp_apiservice_delete_options(const json_t *object)
{
    const char *uid = json_string_value(json_object_get(json_object_get(object, "metadata"), "uid"));
    json_t *options = uid != NULL ? json_pack("{s:s,s:s,s:{s:s}}", "apiVersion", "v1", "kind",
                                        "DeleteOptions", "preconditions", "uid", uid)
                                  : json_pack("{s:s,s:s}", "apiVersion", "v1", "kind", "DeleteOptions");
    char *text = json_dumps(options, JSON_COMPACT);
    struct kp_blob *blob = kp_blob_copy(text, strlen(text));
    free(text);
    json_decref(options);
    return blob;
}

static void note_object(struct kp_apiservice *s, const json_t *object)
{
    json_decref(s->object);
    s->object = json_incref((json_t *)(uintptr_t)object);
    s->facts.found = object != NULL ? judge(s, object) : KP_APISERVICE_ABSENT;
    s->is_read = true;
    kp_free(kp_take(s->in_place));
    bool is_ours = s->facts.found == KP_APISERVICE_STALE || s->facts.found == KP_APISERVICE_GOOD;
    if (is_ours)
        s->in_place =
            kp_strdup(s->facts.found == KP_APISERVICE_GOOD && s->bundle != NULL ? s->bundle : "another");
    kp_metric_set(s->present, is_ours ? 1 : 0);
    note_available(s, object, is_ours);
    if (s->facts.found == KP_APISERVICE_OTHERS && !s->told_others)
        KP_WARN(
            "an APIService that is not of this registry is in the way: it is left alone, and profiles are "
            "not served through the API server; delete it to have ours made",
            KP_S("name", KP_APISERVICE), KP_S("expected_annotation", KP_APISERVICE_MARK),
            KP_S("with", s->mark));
    s->told_others = s->facts.found == KP_APISERVICE_OTHERS;
}

// ---- one round: the switch, the object, a step ----

static void on_acted(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct kp_apiservice *s = user;
    s->call = NULL;
    if (err == NULL && s->changes != NULL)
        kp_metric_inc(kp_metric_with(s->changes, (const char *const[]){s->is_apply ? "apply" : "withdraw"}));
    if (err != NULL && http_status != 404 && http_status != 409)
        failed(s, "write", err);
    else if (err == NULL && json_object_get(json, "spec") != NULL &&
             json_object_get(json_object_get(json, "metadata"), "deletionTimestamp") == NULL) {
        note_object(s, json);
        round_over(s);
    } else {
        wait_for(s, 1000); // see what is there now
    }
}

// The registry answers us, but not the API server.
static void pause(struct kp_apiservice *s)
{
    s->pause_ms = s->pause_ms == 0                 ? AGAIN_MS
                  : s->pause_ms < AGAIN_MAX_MS / 2 ? 2 * s->pause_ms
                                                   : AGAIN_MAX_MS;
    s->facts.again_ms = kp_mono_ms() + s->pause_ms;
}

static void act(struct kp_apiservice *s)
{
    const char *why;
    struct kp_error err = {0};
    int code;
    enum kp_apiservice_step step = kp_apiservice_decide(&s->facts, kp_mono_ms(), &why);
    if (step == KP_APISERVICE_LEAVE) {
        if (s->told_failure)
            KP_SAY(KP_LOG_INFO, "the APIService of profiles is kept again");
        s->told_failure = false;
        round_over(s);
        return;
    }
    bool is_useless =
        step == KP_APISERVICE_WITHDRAW && s->facts.answers && s->facts.wanted && s->facts.switched_on;
    s->is_apply = step == KP_APISERVICE_APPLY;
    if (!s->told_failure) { // what fails comes by every few seconds
        KP_LOG_(is_useless ? KP_LOG_WARN : KP_LOG_INFO, "APIService of profiles",
            KP_S("step", s->is_apply ? "is made" : "is withdrawn"), KP_S("because", why),
            KP_S("api_server_says", is_useless ? s->unavailable : ""));
        if (is_useless)
            pause(s);
    }
    s->state = STATE_ACTING;
    if (s->is_apply) {
        code = kp_kube_apply(
            s->options.kube, KP_APISERVICE_PATH, FIELD_MANAGER, object_of(s), on_acted, s, &s->call, &err);
    } else {
        struct kp_kube_request request = {.method = "DELETE",
            .path = KP_APISERVICE_PATH,
            .content_type = "application/json",
            .body = kp_apiservice_delete_options(s->object),
            .timeout_ms = TIMEOUT_MS,
            .max_tries = 1,
            .on_done = on_acted,
            .user = s};
        code = kp_kube_start(s->options.kube, &request, &s->call, &err);
        kp_blob_unref(request.body);
    }
    if (code != 0)
        failed(s, "write", &err);
}

static void get(struct kp_apiservice *s, const char *path,
    void (*on_done)(void *user, int http_status, json_t *json, const struct kp_error *err))
{
    struct kp_error err = {0};
    const struct kp_kube_request request = {.method = "GET",
        .path = path,
        .timeout_ms = TIMEOUT_MS,
        .max_tries = 1,
        .on_done = on_done,
        .user = s};
    if (kp_kube_start(s->options.kube, &request, &s->call, &err) != 0)
        failed(s, "read", &err);
}

static void on_object(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct kp_apiservice *s = user;
    s->call = NULL;
    if (err != NULL && http_status != 404) {
        failed(s, "read the APIService", err);
        return;
    }
    note_object(s, err == NULL ? json : NULL);
    act(s);
}

static void on_switch(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct kp_apiservice *s = user;
    (void)json;
    s->call = NULL;
    if (err != NULL && http_status != 404) {
        failed(s, "read the ConfigMap that is its switch", err);
        return;
    }
    s->facts.switched_on = err == NULL;
    get(s, KP_APISERVICE_PATH, on_object);
}

// One that has never answered yet may be starting: it is given two rounds.
static void tell(struct kp_apiservice *s, bool answers, const char *why_not)
{
    bool is_late = s->facts.answers || kp_mono_ms() - s->facts.answered_ms >= 2 * every_ms(s);
    if (answers && !s->facts.answers)
        KP_SAY(KP_LOG_INFO, "the registry answers");
    else if (!answers && is_late && !s->told_silence)
        KP_WARN("the registry does not answer", KP_S("why", why_not));
    s->told_silence = !answers && (is_late || s->told_silence);
}

static void on_probed(void *asker, bool answers, const char *why_not)
{
    struct kp_apiservice *s = asker;
    s->probing = false;
    if (s->state == STATE_STOPPED)
        return;
    if (answers)
        s->facts.answered_ms = kp_mono_ms();
    kp_metric_set(s->ready, answers ? 1 : 0);
    tell(s, answers, why_not);
    if (answers == s->facts.answers)
        return;
    s->facts.answers = answers;
    s->options.on_answers(s->options.user, answers);
    if (answers && s->state == STATE_WAITING)
        wait_for(s, 1);
}

static void on_timer(void *user)
{
    struct kp_apiservice *s = user;
    if (s->state != STATE_WAITING)
        return;
    if (s->options.switch_name != NULL) {
        s->state = STATE_ASKING;
        get(s, s->switch_path, on_switch);
    } else {
        s->is_read = true;
        round_over(s);
    }
    if (!s->probing && s->state != STATE_STOPPED) {
        s->probing = true;
        s->options.probe(s->options.user, on_probed, s);
    }
}

// ---- life ----

static void make_metrics(struct kp_apiservice *s, struct kp_metrics *metrics)
{
    static const char *const labels[] = {"step", NULL};
    if (metrics == NULL)
        return;
    s->ready = kp_gauge(metrics, "kube_pprof_registry_ready",
        "1 while the registry answers the leading controller over verified TLS.");
    s->present =
        kp_gauge(metrics, "kube_pprof_api_service_present", "1 while the APIService of profiles is ours.");
    s->available = kp_gauge(metrics, "kube_pprof_api_service_available",
        "1 while the API server calls the APIService of profiles available.");
    s->failures = kp_counter(metrics, "kube_pprof_api_service_failures_total",
        "Times the APIService or its switch could not be read or written.");
    s->changes = kp_metrics_family(metrics, KP_COUNTER, "kube_pprof_api_service_changes_total",
        "Times the APIService was made, corrected (apply) or withdrawn.", labels, NULL, 0, 4);
}

struct kp_apiservice *kp_apiservice_create(struct kp_loop *loop, const struct kp_apiservice_options *options)
{
    struct kp_apiservice *s = KP_NEW(struct kp_apiservice);
    s->options = *options;
    s->mark = kp_asprintf("%s/%s", options->namespace, options->service);
    s->switch_path = kp_asprintf("/api/v1/namespaces/%s/configmaps/%s", options->namespace,
        options->switch_name != NULL ? options->switch_name : "");
    s->facts.wanted = options->wanted;
    s->timer = kp_timer_create(loop, on_timer, s);
    make_metrics(s, options->metrics);
    return s;
}

void kp_apiservice_set_running(struct kp_apiservice *s, bool running)
{
    if (running == (s->state != STATE_STOPPED))
        return;
    kp_kube_forget(kp_take(s->call));
    kp_timer_stop(s->timer);
    s->state = STATE_STOPPED;
    s->is_read = false;
    s->facts.answers = s->told_silence = false;
    s->facts.answered_ms = s->facts.available_ms = kp_mono_ms();
    if (running)
        wait_for(s, 1);
}

void kp_apiservice_set_bundle(struct kp_apiservice *s, const char *bundle)
{
    kp_free(s->bundle);
    s->bundle = kp_strdup(bundle);
    s->facts.has_bundle = bundle != NULL;
    if (s->state == STATE_WAITING)
        wait_for(s, 1);
}

bool kp_apiservice_published(const struct kp_apiservice *s, const char *bundle)
{
    return s->is_read && (s->in_place == NULL || kp_streq(s->in_place, bundle));
}

void kp_apiservice_destroy(struct kp_apiservice *s)
{
    if (s == NULL)
        return;
    kp_apiservice_set_running(s, false);
    kp_timer_destroy(s->timer);
    kp_free(s->mark);
    kp_free(s->switch_path);
    kp_free(s->bundle);
    kp_free(s->in_place);
    json_decref(s->object);
    kp_free(s);
}
