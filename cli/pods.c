#include "cli/pods.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/source.h"
#include "kube/listing.h"
#include "kube/reflector.h"
#include "base/banned.h"

#define MAX_PATH 16384

void kp_pods_finish(struct kp_pods *pods)
{
    for (size_t i = 0; i < pods->items.n; i++)
        kp_pod_unref(pods->items.items[i]);
    kp_array_free(&pods->items);
}

// ---- names ----

// "deploy/checkout" taken apart; a name alone is a pod's.
struct reference {
    const char *kind, *name;
};

static int read_reference(struct kp_cli *cli, const char *text, struct reference *ret, struct kp_error *err)
{
    ret->name = text;
    ret->kind = strchr(text, '/') ? kp_source_workload_kind(text, &ret->name) : "Pod";
    if (ret->kind == NULL)
        return kp_cli_usage(cli, err,
            "'%.60s': pods are named by themselves or by a workload: deploy, sts, ds, rs, job, cronjob",
            text);
    if (!kp_kube_name_valid(ret->name))
        return kp_cli_usage(cli, err, "'%.60s' is no name", ret->name);
    return 0;
}

// ---- lists ----

struct listing {
    struct kp_kube_listing *running;
    struct kp_pods *pods;
    size_t n_before; // what was there already is not of this list
    bool (*keep)(void *user, const struct kp_pod *pod);
    void *user;
    bool is_full, is_done;
    struct kp_error err;
};

static bool on_object(void *user, const char *json, size_t len)
{
    struct listing *l = user;
    char key[512];
    char rv[64];
    struct kp_pod *pod = kp_decode_pod(NULL, json, len, key, rv, &l->err);
    if (pod == NULL)
        return false;
    l->pods->n_seen++;
    if (l->keep != NULL && !l->keep(l->user, pod)) {
        kp_pod_unref(pod);
        return true;
    }
    if (l->pods->items.n >= KP_PODS_MAX) {
        l->is_full = true;
        kp_pod_unref(pod);
        return false;
    }
    *kp_array_add(&l->pods->items) = pod;
    return true;
}

static void on_restart(void *user)
{
    struct listing *l = user;
    while (l->pods->items.n > l->n_before)
        kp_pod_unref(l->pods->items.items[--l->pods->items.n]);
    l->pods->n_seen = 0;
}

static void on_done(void *user, const char *resource_version, const struct kp_error *err)
{
    struct listing *l = user;
    (void)resource_version;
    l->is_done = true;
    l->running = NULL;
    if (err != NULL && l->err.code == 0)
        l->err = *err;
}

static void on_interrupt(void *user)
{
    struct listing *l = user;
    if (l->running != NULL)
        kp_kube_listing_cancel(l->running);
}

static int compare(const void *a, const void *b)
{
    const struct kp_pod *x = *(const struct kp_pod *const *)a;
    const struct kp_pod *y = *(const struct kp_pod *const *)b;
    int order = strcmp(x->namespace, y->namespace);
    return order != 0 ? order : strcmp(x->name, y->name);
}

static void sort(struct kp_pods *pods)
{
    if (pods->items.n > 1)
        qsort(pods->items.items, pods->items.n, sizeof *pods->items.items, compare);
}

int kp_pods_list(struct kp_cli *cli, const char *namespace, const char *selector,
    bool (*keep)(void *user, const struct kp_pod *pod), void *user, struct kp_pods *pods,
    struct kp_error *err)
{
    int rc = kp_session_connect(cli, err);
    if (rc != 0)
        return rc;
    kp_auto_strbuf path;
    kp_strbuf_init(&path, MAX_PATH);
    kp_strbuf_addf(&path, namespace ? "/api/v1/namespaces/%s/pods" : "/api/v1/pods", namespace);
    if (kp_cli_given(selector)) {
        kp_strbuf_adds(&path, "?labelSelector=");
        kp_strbuf_add_url(&path, selector);
    }
    if (path.overflow)
        return kp_fail(err, KP_LIMIT, "--selector is longer than an API server takes");
    struct listing l = {.pods = pods, .n_before = pods->items.n, .keep = keep, .user = user};
    const struct kp_kube_listing_request request = {.path = path.data,
        .timeout_ms = cli->flags.request_timeout_ms,
        .on_object = on_object,
        .on_restart = on_restart,
        .on_done = on_done,
        .user = &l};
    rc = kp_kube_list_each(cli->session->kube, &request, &l.running, err);
    if (rc != 0)
        return rc;
    cli->session->on_interrupt = on_interrupt;
    cli->session->interrupt_user = &l;
    rc = kp_session_wait(cli, &l.is_done, err);
    cli->session->on_interrupt = NULL;
    if (rc == 0 && l.is_full)
        return kp_fail(err, KP_LIMIT, "more than %d pods match; choose with -n and --selector", KP_PODS_MAX);
    if (rc == 0 && l.err.code != 0) {
        if (err != NULL)
            *err = l.err;
        return l.err.code;
    }
    sort(pods);
    return rc;
}

// ---- one ----

static int get(struct kp_cli *cli, const char *namespace, const char *name, const struct kp_pod **ret,
    struct kp_error *err)
{
    kp_auto_free char *path = kp_asprintf("/api/v1/namespaces/%s/pods/%s", namespace, name);
    json_t *json = NULL;
    char key[512];
    char rv[64];
    int rc = kp_session_json(cli, "GET", path, NULL, &json, err);
    if (rc != 0)
        return rc;
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    *ret = text ? kp_decode_pod(NULL, text, strlen(text), key, rv, err) : NULL;
    free(text); // jansson's
    if (*ret != NULL)
        return 0;
    return err != NULL && err->code != 0 ? err->code : kp_fail(err, KP_INVALID, "the answer is no pod");
}

// ---- what was asked for ----

static bool is_of_workload(void *user, const struct kp_pod *pod)
{
    const struct reference *ref = user;
    bool of_replica_set = kp_streq(ref->kind, "ReplicaSet") && kp_streq(pod->owner_kind, "ReplicaSet") &&
                          kp_streq(pod->owner_name, ref->name);
    return of_replica_set ||
           (kp_streq(pod->workload_kind, ref->kind) && kp_streq(pod->workload_name, ref->name));
}

static int add_reference(
    struct kp_cli *cli, struct reference *ref, struct kp_pods *pods, struct kp_error *err)
{
    const char *namespace = kp_session_namespace(cli);
    const struct kp_pod *pod = NULL;
    size_t before = pods->items.n;
    int rc;
    if (kp_streq(ref->kind, "Pod")) {
        rc = get(cli, namespace, ref->name, &pod, err);
        if (rc == 0)
            *kp_array_add(&pods->items) = pod;
        return rc;
    }
    rc = kp_pods_list(cli, namespace, cli->flags.selector, is_of_workload, ref, pods, err);
    if (rc == 0 && pods->items.n == before)
        return kp_fail(err, KP_NOT_FOUND, "there is no pod of %s '%s' in namespace '%s': is the name right?",
            ref->kind, ref->name, namespace);
    return rc;
}

static void drop_doubles(struct kp_pods *pods)
{
    size_t n = 0;
    sort(pods);
    for (size_t i = 0; i < pods->items.n; i++) {
        const struct kp_pod *pod = pods->items.items[i];
        if (n > 0 && kp_streq(pod->uid, pods->items.items[n - 1]->uid) &&
            compare(&pods->items.items[n - 1], &pod) == 0)
            kp_pod_unref(pod);
        else
            pods->items.items[n++] = pod;
    }
    pods->items.n = n;
}

static int find_named(struct kp_cli *cli, struct kp_pods *pods, struct kp_error *err)
{
    for (size_t i = 0; i < cli->n_args; i++) {
        struct reference ref;
        struct kp_error one = {0};
        int rc = read_reference(cli, cli->args[i], &ref, err);
        if (rc != 0)
            return rc;
        rc = add_reference(cli, &ref, pods, &one);
        if (rc == KP_CANCELED)
            return kp_cli_pass(err, &one);
        if (rc != 0)
            kp_cli_complain(cli, &one);
    }
    drop_doubles(pods);
    return 0;
}

int kp_pods_find(struct kp_cli *cli, struct kp_pods *ret, struct kp_error *err)
{
    *ret = (struct kp_pods){0};
    bool chosen = kp_cli_given(cli->flags.selector) || cli->flags.all_namespaces;
    if (cli->n_args == 0 && !chosen)
        return kp_cli_usage(cli, err, "say which pods: POD, deploy/NAME, -l SELECTOR or -A");
    if (cli->n_args > 0 && cli->flags.all_namespaces)
        return kp_cli_usage(cli, err, "names are of one namespace: leave -A out, or the names");
    int rc = kp_session_connect(cli, err);
    if (rc != 0)
        return rc;
    const char *namespace = cli->flags.all_namespaces ? NULL : kp_session_namespace(cli);
    rc = cli->n_args > 0 ? find_named(cli, ret, err)
                         : kp_pods_list(cli, namespace, cli->flags.selector, NULL, NULL, ret, err);
    if (rc == 0 && ret->items.n == 0 && cli->n_failures == 0)
        rc = kp_fail(err, KP_NOT_FOUND, "no pods found%s%s", namespace ? " in namespace " : "",
            namespace ? namespace : "");
    if (rc != 0)
        kp_pods_finish(ret);
    return rc;
}
