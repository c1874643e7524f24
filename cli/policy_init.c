// policy init: a policy to begin with, from nothing or from a workload as it stands.
#include <string.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/source.h"
#include "policy/annotations.h"
#include "policy/policy.h"
#include "policy/types.h"
#include "base/banned.h"

#define MAX_TEXT ((size_t)KP_MIB)

// Where workloads are, and where in them the pod template.
static const struct {
    const char *kind, *path;
} workloads[] = {
    {"Deployment", "/apis/apps/v1/namespaces/%s/deployments/%s"},
    {"StatefulSet", "/apis/apps/v1/namespaces/%s/statefulsets/%s"},
    {"DaemonSet", "/apis/apps/v1/namespaces/%s/daemonsets/%s"},
    {"ReplicaSet", "/apis/apps/v1/namespaces/%s/replicasets/%s"},
    {"Job", "/apis/batch/v1/namespaces/%s/jobs/%s"},
    {"CronJob", "/apis/batch/v1/namespaces/%s/cronjobs/%s"},
    {"Rollout", "/apis/argoproj.io/v1alpha1/namespaces/%s/rollouts/%s"},
    {"Pod", "/api/v1/namespaces/%s/pods/%s"},
};

static const json_t *at(const json_t *value, const char *path)
{
    for (const char *p = path; *p; p += strspn(p, ".")) {
        size_t len = strcspn(p, ".");
        kp_auto_free char *key = kp_strndup(p, len);
        value = json_object_get(value, key);
        p += len;
    }
    return value;
}

static const char *text_of(const json_t *value, const char *key)
{
    return json_string_value(json_object_get(value, key));
}

static const json_t *template_of(const json_t *workload, const char *kind)
{
    if (kp_streq(kind, "Pod"))
        return workload;
    return at(workload, kp_streq(kind, "CronJob") ? "spec.jobTemplate.spec.template" : "spec.template");
}

static int read_workload(struct kp_cli *cli, const char *arg, const char **ret_kind, const char **ret_name,
    json_t **ret, struct kp_error *err)
{
    const char *name = "";
    const char *kind = kp_source_workload_kind(arg, &name);
    size_t i = 0;
    while (i < KP_COUNT(workloads) && !kp_streq(workloads[i].kind, kind))
        i++;
    if (i == KP_COUNT(workloads) || !kp_kube_name_valid(name))
        return kp_cli_usage(
            cli, err, "'%.60s' is no KIND/NAME: deploy, sts, ds, rs, job, cronjob, rollout, pod", arg);
    int rc = kp_session_connect(cli, err);
    if (rc != 0)
        return rc;
    kp_auto_strbuf path;
    kp_strbuf_init(&path, 4096);
    const char *first = strstr(workloads[i].path, "%s");
    kp_strbuf_addf(
        &path, "%.*s%s", (int)(first - workloads[i].path), workloads[i].path, kp_session_namespace(cli));
    const char *second = strstr(first + 2, "%s");
    kp_strbuf_addf(&path, "%.*s%s", (int)(second - first - 2), first + 2, name);
    *ret_kind = kind;
    *ret_name = name;
    return kp_session_json(cli, "GET", path.data, NULL, ret, err);
}

// ---- the selector ----

// Labels that are of one revision or one run: a policy is for all of them.
static bool is_passing(const char *key)
{
    static const char *const keys[] = {"pod-template-hash", "controller-revision-hash",
        "pod-template-generation", "controller-uid", "batch.kubernetes.io/controller-uid", "job-name",
        "batch.kubernetes.io/job-name", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
        "rollouts-pod-template-hash"};
    for (size_t i = 0; i < KP_COUNT(keys); i++)
        if (kp_streq(keys[i], key))
            return true;
    return false;
}

static json_t *lasting_labels(const json_t *labels)
{
    json_t *ret = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)labels, key, value) if (!is_passing(key))
        json_object_set(ret, key, value);
    return ret;
}

// What the workload itself goes by, else the labels of its pods.
static json_t *selector_of(const json_t *workload, const json_t *template)
{
    const json_t *own = at(workload, "spec.selector");
    json_t *labels = lasting_labels(json_object_get(own, "matchLabels"));
    const json_t *expressions = json_object_get(own, "matchExpressions");
    json_t *ret = json_object();
    if (json_object_size(labels) == 0 && json_array_size(expressions) == 0) {
        json_decref(labels);
        labels = lasting_labels(at(template, "metadata.labels"));
    }
    if (json_object_size(labels) > 0)
        json_object_set(ret, "matchLabels", labels);
    if (json_array_size(expressions) > 0)
        json_object_set(ret, "matchExpressions", (json_t *)(uintptr_t)expressions);
    json_decref(labels);
    return ret;
}

// ---- endpoints ----

// "pprof", "debug-pprof", "http-pprof" are found by themselves; others that sound like it are named.
static bool sounds_like_pprof(const json_t *port)
{
    const char *name = text_of(port, "name");
    int64_t number = json_integer_value(json_object_get(port, "containerPort"));
    return (name != NULL && (strstr(name, "pprof") != NULL || strstr(name, "debug") != NULL)) ||
           number == 6060;
}

static json_t *endpoint_of(const char *container, const json_t *port, size_t n)
{
    const char *name = text_of(port, "name");
    json_t *ret = json_object();
    json_object_set_new(ret, "name", n == 0 ? json_string("main") : json_sprintf("endpoint-%zu", n + 1));
    json_object_set_new(ret, "container", json_string(container));
    json_object_set(
        ret, "port", name ? json_object_get(port, "name") : json_object_get(port, "containerPort"));
    return ret;
}

static json_t *endpoints_of(const json_t *template)
{
    json_t *list = json_array();
    size_t i;
    size_t k;
    json_t *container;
    json_t *port;
    json_array_foreach(at(template, "spec.containers"), i, container)
    {
        const char *name = text_of(container, "name");
        json_array_foreach(json_object_get(container, "ports"), k,
            port) if (name != NULL && sounds_like_pprof(port) && json_array_size(list) < KP_MAX_ENDPOINTS)
            json_array_append_new(list, endpoint_of(name, port, json_array_size(list)));
    }
    return list;
}

static bool says_port(const json_t *template)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)at(template, "metadata.annotations"), key, value)
    {
        struct kp_annotation_info info;
        if (kp_annotation_info(key, &info) && (info.dialect & KP_DIALECTS_DEFAULT) &&
            kp_ends_with(key, "/port"))
            return true;
    }
    return false;
}

// ---- the text ----

static void add_indented(struct kp_strbuf *out, const json_t *value, int indent)
{
    kp_auto_strbuf text;
    kp_strbuf_init(&text, MAX_TEXT);
    kp_yaml_write(value, &text);
    for (const char *p = text.data; *p;) {
        size_t len = strcspn(p, "\n");
        kp_strbuf_addf(out, "%*s%.*s\n", indent, "", (int)len, p);
        p += len + (p[len] == '\n');
    }
}

static void write_selector(
    struct kp_strbuf *out, const json_t *workload, const json_t *template, const char *name)
{
    kp_strbuf_adds(out, "  # The pods, by their labels. {} selects all of the namespace.\n  selector:\n");
    json_t *selector =
        workload ? selector_of(workload, template) : json_pack("{s:{s:s}}", "matchLabels", "app", name);
    if (json_object_size(selector) > 0)
        add_indented(out, selector, 4);
    else {
        out->len--; // "selector: {}" on one line
        kp_strbuf_adds(
            out, " {} # the pods of this workload carry no labels of their own: this is every pod\n");
    }
    json_decref(selector);
}

static void write_endpoints(struct kp_strbuf *out, const json_t *workload, const json_t *template)
{
    json_t *list = workload ? endpoints_of(template) : json_array();
    if (json_array_size(list) > 0) {
        kp_strbuf_adds(out, "  # Where pprof is served, by what the containers declare.\n  endpoints:\n");
        add_indented(out, list, 2);
    } else {
        if (workload != NULL && says_port(template))
            kp_strbuf_adds(
                out, "  # Where pprof is served is said by the pods' annotations. To say it here instead:\n");
        else
            kp_strbuf_adds(out, "  # Where pprof is served. Without it, the pods' annotations say so "
                                "(kube-pprof.dev/port), or a\n"
                                "  # container port named pprof, debug-pprof or http-pprof does.\n");
        kp_strbuf_adds(out, "  # endpoints:\n  # - {name: main, port: 6060}\n");
    }
    json_decref(list);
}

static void write_profile(struct kp_strbuf *out, const char *name)
{
    const struct kp_profile_type *type = kp_profile_type(name);
    if (type == NULL)
        kp_strbuf_addf(out, "  - {type: %s, path: /debug/pprof/%s, interval: 5m}\n", name, name);
    else if (type->collecting)
        kp_strbuf_addf(out, "  - {type: %s, interval: %s, duration: %llds}\n", name,
            kp_streq(name, "cpu")     ? "1m"
            : kp_streq(name, "trace") ? "1h"
                                      : "5m",
            (long long)type->default_duration_ms / 1000);
    else
        kp_strbuf_addf(
            out, "  - {type: %s, interval: %lldm}\n", name, (long long)type->default_interval_ms / 60000);
}

static void write_profiles(struct kp_strbuf *out, const struct kp_option_list *types)
{
    static const char *const usual[] = {"cpu", "heap", "goroutine"};
    kp_strbuf_adds(
        out, "  # What is captured of each sampled pod, how often, and how long it collects.\n  profiles:\n");
    for (size_t i = 0; i < (types->n ? types->n : KP_COUNT(usual)); i++)
        write_profile(out, types->n ? types->items[i] : usual[i]);
}

static void write_rest(struct kp_strbuf *out)
{
    kp_strbuf_adds(out,
        "  # Of each revision of a workload so many pods (or a share: 20%) are captured; which ones "
        "changes.\n"
        "  sampling: {replicas: 3, rotation: 1h}\n"
        "  # What it may cost: percent of a process' CPU; pods of a workload at once; largest profile "
        "taken.\n"
        "  budget: {overheadPercent: 1, concurrentPerWorkload: 25%, profileBytes: 16Mi}\n"
        "  # Honor: annotations fill in what is open here. Require: only pods that opt in by\n"
        "  # kube-pprof.dev/enable: \"true\". Ignore: they mean nothing.\n"
        "  annotationPolicy: Honor\n"
        "  # Labels stored with the profiles, to choose and compare by.\n"
        "  # labels: {fromPod: [team], static: {env: prod}}\n");
}

int kp_cli_policy_init(struct kp_cli *cli, struct kp_error *err)
{
    json_t *workload = NULL;
    const char *kind = NULL;
    const char *name = "my-app";
    const char *namespace = kp_cli_given(cli->flags.namespace) ? cli->flags.namespace : NULL;
    for (size_t i = 0; i < cli->flags.types.n; i++)
        if (!kp_profile_type_name_valid(cli->flags.types.items[i]))
            return kp_cli_usage(
                cli, err, "--type: '%.60s' is no name of a profile", cli->flags.types.items[i]);
    if (cli->n_args > 0) {
        int rc = read_workload(cli, cli->args[0], &kind, &name, &workload, err);
        if (rc != 0)
            return rc;
        namespace = kp_session_namespace(cli);
    }
    const json_t *template = workload ? template_of(workload, kind) : NULL;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, MAX_TEXT);
    kp_strbuf_addf(&out,
        "# Check it: kubectl pprof policy lint FILE\n# See what it would do: kubectl pprof policy dry-run "
        "FILE\napiVersion: " KP_API_VERSION "\nkind: ProfilingPolicy\nmetadata:\n  name: %.63s\n",
        name);
    if (namespace != NULL)
        kp_strbuf_addf(&out, "  namespace: %s\n", namespace);
    kp_strbuf_adds(&out, "spec:\n");
    write_selector(&out, workload, template, name);
    write_endpoints(&out, workload, template);
    write_profiles(&out, &cli->flags.types);
    write_rest(&out);
    fwrite(out.data, 1, out.len, cli->out);
    json_decref(workload);
    return 0;
}
