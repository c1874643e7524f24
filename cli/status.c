// status: is kube-pprof there, does it work, and what do policies say; each part with the rights one has.
#include <stdarg.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"
#include "base/banned.h"

#define OURS "?labelSelector=app.kubernetes.io%2Fname%3Dkube-pprof"

enum health { WELL, UNKNOWN, ILL };

struct status {
    struct kp_cli *cli;
    struct kp_table *table;
    json_t *parts;
    enum health worst;
    size_t n_controllers, n_with_api; // seen; of them those that make the APIService
};

static void tell(struct status *s, const char *part, enum health health, const char *fmt, ...)
    KP_PRINTF(4, 5);

static void tell(struct status *s, const char *part, enum health health, const char *fmt, ...)
{
    static const char *const words[] = {[WELL] = "ok", [UNKNOWN] = "unknown", [ILL] = "not well"};
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 65536);
    va_list args;
    va_start(args, fmt);
    kp_strbuf_vaddf(&text, fmt, args);
    va_end(args);
    kp_table_cell(s->table, part);
    kp_table_cell(s->table, words[health]);
    kp_table_cell(s->table, text.data);
    json_array_append_new(
        s->parts, json_pack("{s:s,s:s,s:s}", "part", part, "state", words[health], "message", text.data));
    if (health > s->worst)
        s->worst = health;
}

static const char *text_at(const json_t *object, const char *a, const char *b)
{
    const json_t *inner = json_object_get(object, a);
    return json_string_value(b ? json_object_get(inner, b) : inner);
}

// An answer, or a line that says why there is none.
static json_t *ask(struct status *s, const char *part, const char *path, int *ret_code)
{
    struct kp_error err = {0};
    json_t *json = NULL;
    *ret_code = kp_session_json(s->cli, "GET", path, NULL, &json, &err);
    if (*ret_code != 0 && *ret_code != KP_CANCELED && err.http_status != 404)
        tell(s, part, err.http_status == 403 ? UNKNOWN : ILL, "%s", err.text);
    return json;
}

static const json_t *condition_of(const json_t *object, const char *type)
{
    size_t i;
    json_t *condition;
    json_array_foreach(json_object_get(json_object_get(object, "status"), "conditions"), i,
        condition) if (kp_streq(text_at(condition, "type", NULL), type)) return condition;
    return NULL;
}

// ---- parts ----

static int look_at_server(struct status *s, struct kp_error *err)
{
    json_t *version = NULL;
    int rc = kp_session_json(s->cli, "GET", "/version", NULL, &version, err);
    if (rc == 0)
        tell(s, "cluster", WELL, "Kubernetes %s at %s", text_at(version, "gitVersion", NULL),
            s->cli->session->config.server);
    json_decref(version);
    return rc;
}

static int look_at_kinds(struct status *s)
{
    int rc;
    json_t *kinds = ask(s, "kinds", "/apis/kube-pprof.dev/v1alpha1", &rc);
    if (rc == 0)
        tell(s, "kinds", WELL, "ProfilingPolicy and ClusterProfilingPolicy are there");
    else if (rc == KP_NOT_FOUND)
        tell(s, "kinds", ILL,
            "ProfilingPolicy is not known here: kube-pprof is not installed in this cluster");
    json_decref(kinds);
    return rc;
}

static bool has_arg(const json_t *workload, const char *arg)
{
    const json_t *pod = json_object_get(json_object_get(workload, "spec"), "template");
    const json_t *containers = json_object_get(json_object_get(pod, "spec"), "containers");
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(json_array_get(containers, 0), "args"), i,
        item) if (kp_streq(json_string_value(item), arg)) return true;
    return false;
}

static char *what_to_do(
    const char *kind, const char *namespace, const char *name, long long ready, long long wanted)
{
    if (wanted == 0)
        return kp_asprintf(
            "; it is scaled to none: kubectl -n %s scale %s/%s --replicas=1", namespace, kind, name);
    if (ready < wanted)
        return kp_asprintf(
            "; for the reason see kubectl -n %s describe pods -l %s, and kubectl -n %s logs %s/%s", namespace,
            "app.kubernetes.io/name=kube-pprof", namespace, kind, name);
    return kp_strdup("");
}

static void look_at_workloads(struct status *s, const char *part, const char *path)
{
    int rc;
    json_t *list = ask(s, part, path, &rc);
    size_t i;
    json_t *item;
    size_t n = 0;
    json_array_foreach(json_object_get(list, "items"), i, item)
    {
        long long wanted = json_integer_value(json_object_get(json_object_get(item, "spec"), "replicas"));
        long long ready =
            json_integer_value(json_object_get(json_object_get(item, "status"), "readyReplicas"));
        const json_t *labels = json_object_get(json_object_get(item, "metadata"), "labels");
        const char *version = text_at(labels, "app.kubernetes.io/version", NULL);
        n++;
        if (kp_streq(part, "controller")) {
            s->n_controllers++;
            s->n_with_api += has_arg(item, "--api-service=true") ? 1 : 0;
        }
        const char *namespace = text_at(item, "metadata", "namespace");
        const char *name = text_at(item, "metadata", "name");
        const char *kind = kp_streq(part, "controller") ? "deployment" : "statefulset";
        kp_auto_free char *advice = what_to_do(kind, namespace, name, ready, wanted);
        tell(s, part, advice[0] == '\0' ? WELL : ILL, "%s/%s: %lld of %lld ready, version %s%s", namespace,
            name, ready, wanted, version ? version : "unknown", advice);
    }
    if (rc == 0 && n == 0)
        tell(s, part, ILL, "none is there (label app.kubernetes.io/name=kube-pprof)");
    json_decref(list);
}

// With watchNamespaces, or aggregatedAPI.enabled=false; not known where the controller cannot be looked at.
static bool is_api_off(const struct status *s)
{
    return s->n_controllers > 0 && s->n_with_api == 0;
}

// Returns whether profiles can be asked for through the API server.
static bool look_at_api(struct status *s)
{
    int rc;
    json_t *service =
        ask(s, "profiles", "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.data.kube-pprof.dev", &rc);
    const json_t *available = condition_of(service, "Available");
    if (rc == KP_NOT_FOUND && is_api_off(s))
        tell(s, "profiles", WELL,
            "are not served through the API server, as it was installed (watchNamespaces, or "
            "aggregatedAPI.enabled=false): read them with --registry");
    else if (rc == KP_NOT_FOUND)
        tell(s, "profiles", ILL,
            "are not served through the API server: the controller makes the APIService once the registry is "
            "ready, unless it was turned off (watchNamespaces, or aggregatedAPI.enabled=false: read them "
            "with --registry then)");
    else if (rc == 0 && kp_streq(text_at(available, "status", NULL), "True"))
        tell(s, "profiles", WELL, "are served through the API server");
    else if (rc == 0)
        tell(s, "profiles", ILL, "are not served: %s",
            available ? text_at(available, "message", NULL) : "the API server has not looked yet");
    json_decref(service);
    return rc != KP_NOT_FOUND || !is_api_off(s);
}

static void look_at_services(struct status *s)
{
    struct kp_error err = {0};
    json_t *answer = NULL;
    char age[KP_AGE_TEXT];
    int rc = kp_ask_json(s->cli, "services", NULL, &answer, &err);
    const char *namespace = kp_ask_is_direct(s->cli) ? "the registry" : kp_session_namespace(s->cli);
    int64_t last = 0;
    int64_t n = 0;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(answer, "items"), i, item)
    {
        int64_t ms = 0;
        const char *time = text_at(item, "lastTime", NULL);
        if (time && kp_time_parse(time, &ms, NULL) == 0 && ms > last)
            last = ms;
        n += json_integer_value(json_object_get(item, "profiles"));
    }
    if (rc != 0)
        tell(s, "services", err.http_status == 403 ? UNKNOWN : ILL, "%s", err.text);
    else if (last == 0)
        tell(s, "services", WELL, "nothing is kept in %s yet", namespace);
    else
        tell(s, "services", WELL, "%zu in %s, %lld profiles, the last %s ago",
            json_array_size(json_object_get(answer, "items")), namespace, (long long)n,
            kp_age_format(age, kp_now_ms() - last));
    json_decref(answer);
}

static void tell_policy(struct status *s, const json_t *policy, const char *kind, enum health health,
    const char *reason, const char *message)
{
    const char *namespace = text_at(policy, "metadata", "namespace");
    tell(s, "policies", health, "%s %s%s%s: %s%s%s", kind, namespace ? namespace : "", namespace ? "/" : "",
        text_at(policy, "metadata", "name"), reason ? reason : "", reason && message ? ": " : "",
        message ? message : "");
}

// The first failure that is of a pod that is left out; those of captures have a type.
static const json_t *left_out_failure(const json_t *status)
{
    size_t i;
    json_t *failure;
    json_array_foreach(json_object_get(status, "failures"), i,
        failure) if (text_at(failure, "type", NULL) == NULL) return failure;
    return NULL;
}

// Pods that were to be profiled and cannot be: not well where that is all of them.
static bool look_at_left_out(struct status *s, const json_t *policy, const char *kind)
{
    const json_t *status = json_object_get(policy, "status");
    const json_t *targets = json_object_get(status, "targets");
    long long n = json_integer_value(json_object_get(targets, "leftOut"));
    long long sampled = json_integer_value(json_object_get(targets, "sampled"));
    const json_t *failure = left_out_failure(status);
    const char *message = text_at(failure, "message", NULL);
    if (n <= 0)
        return true;
    kp_auto_free char *text =
        kp_asprintf("%lld left out, %lld sampled%s%s%s%s", n, sampled, failure ? ": " : "",
            failure ? text_at(failure, "reason", NULL) : "", message ? ": " : "", message ? message : "");
    tell_policy(s, policy, kind, sampled > 0 ? WELL : ILL, NULL, text);
    return sampled > 0;
}

static bool look_at_policy(struct status *s, const json_t *policy, const char *kind)
{
    static const char *const types[] = {"Ready", "CapturesSucceeding", "Feasible"}; // the worst first
    bool well = true;
    for (size_t i = 0; i < KP_COUNT(types); i++) {
        const json_t *condition = condition_of(policy, types[i]);
        if (!kp_streq(text_at(condition, "status", NULL), "False"))
            continue;
        well = false;
        tell_policy(
            s, policy, kind, ILL, text_at(condition, "reason", NULL), text_at(condition, "message", NULL));
    }
    if (json_is_true(json_object_get(json_object_get(policy, "spec"), "suspend"))) {
        tell_policy(s, policy, kind, WELL, NULL, "suspended, nothing is captured");
        return well;
    }
    return look_at_left_out(s, policy, kind) && well;
}

static void look_at_policies(struct status *s, const char *path, const char *kind)
{
    int rc;
    json_t *list = ask(s, "policies", path, &rc);
    size_t i;
    json_t *item;
    size_t n = json_array_size(json_object_get(list, "items"));
    size_t n_well = 0;
    json_array_foreach(json_object_get(list, "items"), i, item) n_well += look_at_policy(s, item, kind);
    if (rc == 0 && n_well > 0)
        tell(s, "policies", WELL, "%zu of %zu %s well", n_well, n, kind);
    json_decref(list);
}

static int look(struct status *s, struct kp_error *err)
{
    int rc = look_at_server(s, err);
    if (rc != 0)
        return rc;
    if (look_at_kinds(s) == KP_NOT_FOUND)
        return 0;
    look_at_workloads(s, "controller", "/apis/apps/v1/deployments" OURS);
    look_at_workloads(s, "registry", "/apis/apps/v1/statefulsets" OURS);
    if (look_at_api(s) || kp_ask_is_direct(s->cli))
        look_at_services(s);
    kp_auto_free char *own = kp_asprintf(
        "/apis/kube-pprof.dev/v1alpha1/namespaces/%s/profilingpolicies", kp_session_namespace(s->cli));
    look_at_policies(s, own, "ProfilingPolicy");
    look_at_policies(s, "/apis/kube-pprof.dev/v1alpha1/clusterprofilingpolicies", "ClusterProfilingPolicy");
    return s->cli->session->is_interrupted ? kp_fail(err, KP_CANCELED, "interrupted") : 0;
}

int kp_cli_status(struct kp_cli *cli, struct kp_error *err)
{
    static const char *const columns[] = {"PART", "STATE", "MESSAGE", NULL};
    struct kp_output output;
    int rc = kp_output_parse_facts(cli, &output, err);
    if (rc != 0)
        return rc;
    struct status s = {.cli = cli, .table = kp_table_create(columns), .parts = json_array()};
    rc = look(&s, err);
    if (rc == 0 && kp_output_is_data(&output)) {
        json_t *all = json_pack("{s:O}", "parts", s.parts);
        rc = kp_output_print(cli, &output, all, err);
        json_decref(all);
    } else if (rc == 0) {
        kp_table_print(s.table, true, cli->out);
    }
    if (rc == 0 && s.worst == ILL)
        cli->n_failures++; // said in the table
    kp_table_destroy(s.table);
    json_decref(s.parts);
    kp_output_finish(&output);
    return rc;
}
