#include "cli/policies.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

#define ROOT           "/apis/" KP_API_VERSION
#define MAX_POLICIES   10000
#define MAX_NAMESPACES 100000

void kp_policies_note(struct kp_policies *policies, const char *fmt, ...)
{
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 4096);
    va_list args;
    va_start(args, fmt);
    kp_strbuf_vaddf(&text, fmt, args);
    va_end(args);
    json_array_append_new(policies->notes, json_string(text.data));
}

char *kp_policies_name(const struct kp_policy *policy)
{
    return kp_asprintf(
        "%s/%s", kp_policy_is_cluster(policy) ? "clusterprofilingpolicy" : "profilingpolicy", policy->name);
}

void kp_policies_finish(struct kp_policies *policies)
{
    for (size_t i = 0; i < policies->items.n; i++)
        kp_policy_unref(policies->items.items[i]);
    for (size_t i = 0; i < policies->namespaces.n; i++) {
        kp_free(policies->namespaces.items[i].name);
        kp_labels_destroy(policies->namespaces.items[i].labels);
    }
    kp_array_free(&policies->items);
    kp_array_free(&policies->namespaces);
    json_decref(policies->notes);
    policies->notes = NULL;
}

// ---- policies ----

static int compare(const void *a, const void *b)
{
    return kp_policy_compare(*(struct kp_policy *const *)a, *(struct kp_policy *const *)b);
}

static void sort(struct kp_policies *policies)
{
    if (policies->items.n > 1)
        qsort(policies->items.items, policies->items.n, sizeof *policies->items.items, compare);
}

bool kp_policies_put(struct kp_policies *policies, struct kp_policy *policy)
{
    bool is_known = false;
    for (size_t i = 0; i < policies->items.n && !is_known; i++) {
        if (!kp_streq(policies->items.items[i]->key, policy->key))
            continue;
        kp_policy_unref(policies->items.items[i]);
        policies->items.items[i] = policy;
        is_known = true;
    }
    if (!is_known)
        *kp_array_add(&policies->items) = policy;
    sort(policies);
    return is_known;
}

// Whether the answer only means that something is not there or not allowed.
static bool may_go_on(const struct kp_error *why)
{
    return why->http_status == 403 || why->http_status == 404;
}

static int add_list(struct kp_cli *cli, struct kp_policies *policies, const char *path, struct kp_error *err)
{
    json_t *list = NULL;
    int rc = kp_session_json(cli, "GET", path, NULL, &list, err);
    if (rc != 0)
        return rc;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(list, "items"), i, item)
    {
        struct kp_policy *policy = NULL;
        struct kp_error why = {0};
        if (policies->items.n >= MAX_POLICIES)
            rc = kp_fail(err, KP_LIMIT, "there are more than %d policies", MAX_POLICIES);
        else if (kp_policy_parse(item, NULL, &policy, &why) == 0)
            *kp_array_add(&policies->items) = policy;
        else
            kp_policies_note(policies, "a policy cannot be read: %s", why.text);
        if (rc != 0)
            break;
    }
    json_decref(list);
    return rc;
}

static int read_kind(
    struct kp_cli *cli, struct kp_policies *policies, const char *path, bool is_cluster, struct kp_error *err)
{
    struct kp_error why = {0};
    int rc = add_list(cli, policies, path, &why);
    if (rc == 0 || !may_go_on(&why)) {
        if (rc != 0 && err != NULL)
            *err = why;
        return rc;
    }
    if (why.http_status == 404) {
        policies->is_missing = true;
        return 0;
    }
    policies->is_partial = true;
    kp_policies_note(
        policies, "policies of the %s are not known: %s", is_cluster ? "cluster" : "namespace", why.text);
    return 0;
}

int kp_policies_read(struct kp_cli *cli, const char *namespace, struct kp_policies *ret, struct kp_error *err)
{
    *ret = (struct kp_policies){.notes = json_array()};
    kp_auto_free char *own = namespace ? kp_asprintf(ROOT "/namespaces/%s/profilingpolicies", namespace)
                                       : kp_strdup(ROOT "/profilingpolicies");
    int rc = read_kind(cli, ret, own, false, err);
    if (rc == 0)
        rc = read_kind(cli, ret, ROOT "/clusterprofilingpolicies", true, err);
    if (rc != 0) {
        kp_policies_finish(ret);
        return rc;
    }
    if (ret->is_missing)
        kp_policies_note(ret, "this cluster does not know ProfilingPolicy and ClusterProfilingPolicy: "
                              "install kube-pprof (its chart brings the CRDs); until then profiles are taken "
                              "by hand, kubectl pprof capture");
    sort(ret);
    return 0;
}

// ---- labels of namespaces ----

static struct kp_policies_namespace *find(struct kp_policies *policies, const char *name)
{
    for (size_t i = policies->namespaces.n; i-- > 0;)
        if (kp_streq(policies->namespaces.items[i].name, name))
            return &policies->namespaces.items[i];
    return NULL;
}

static struct kp_labels *labels_of(const json_t *namespace)
{
    json_t *map = json_object_get(json_object_get(namespace, "metadata"), "labels");
    kp_auto_free struct kp_label *labels = KP_NEW_ARRAY(struct kp_label, json_object_size(map) + 1);
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value) if (json_is_string(value)) labels[n++] =
        (struct kp_label){key, json_string_value(value)};
    return kp_labels_create(labels, n);
}

static void add_namespace(struct kp_policies *policies, const char *name, struct kp_labels *labels)
{
    *kp_array_add(&policies->namespaces) = (struct kp_policies_namespace){kp_strdup(name), labels};
}

int kp_policies_labels(struct kp_cli *cli, struct kp_policies *policies, const char *namespace,
    const struct kp_labels **ret, struct kp_error *err)
{
    struct kp_policies_namespace *known = find(policies, namespace);
    if (known != NULL) {
        *ret = known->labels;
        return 0;
    }
    kp_auto_free char *path = kp_asprintf("/api/v1/namespaces/%s", namespace);
    json_t *json = NULL;
    struct kp_error why = {0};
    struct kp_labels *labels = NULL;
    int rc = kp_session_json(cli, "GET", path, NULL, &json, &why);
    if (rc == 0)
        labels = labels_of(json);
    else if (may_go_on(&why))
        kp_policies_note(policies,
            "labels of namespace '%s' are not known, so a namespaceSelector cannot be judged: %s", namespace,
            why.text);
    json_decref(json);
    if (rc != 0 && !may_go_on(&why)) {
        if (err != NULL)
            *err = why;
        return rc;
    }
    add_namespace(policies, namespace, labels);
    *ret = labels;
    return 0;
}

int kp_policies_all_labels(struct kp_cli *cli, struct kp_policies *policies, struct kp_error *err)
{
    json_t *list = NULL;
    struct kp_error why = {0};
    int rc = kp_session_json(cli, "GET", "/api/v1/namespaces", NULL, &list, &why);
    if (rc != 0 && !may_go_on(&why)) {
        if (err != NULL)
            *err = why;
        return rc;
    }
    if (rc != 0) // each by itself may still be allowed
        return 0;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(list, "items"), i, item)
    {
        const char *name = json_string_value(json_object_get(json_object_get(item, "metadata"), "name"));
        if (name != NULL && i < MAX_NAMESPACES)
            add_namespace(policies, name, labels_of(item));
    }
    json_decref(list);
    return 0;
}
