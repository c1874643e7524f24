// explain: whether a pod is profiled, by which policy, and if not, why.
#include "cli/explain.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/pods.h"
#include "base/banned.h"

struct explaining {
    struct kp_cli *cli;
    struct kp_policies policies;
    bool is_registry_gone; // asked once, and it cannot be read
    char *counted;         // selector of the revision that was counted last
    int n_counted;
    json_t *items;
};

static int count_pods(struct kp_cli *cli, const struct kp_pod *pod, const char *selector)
{
    struct kp_pods pods = {0};
    struct kp_error ignored = {0};
    int n = 0;
    int rc = kp_pods_list(cli, pod->namespace, selector, NULL, NULL, &pods, &ignored);
    for (size_t i = 0; rc == 0 && i < pods.items.n; i++) {
        const struct kp_pod *other = pods.items.items[i];
        bool runs = other->phase == KP_POD_RUNNING && !other->deleting;
        n += runs && kp_streq(other->workload_name, pod->workload_name) ? 1 : 0;
    }
    kp_pods_finish(&pods);
    return n;
}

// How many pods the revision has, for "k of n"; 0 = not known. Pods of one workload come one after the other.
static int count_revision(struct explaining *e, const struct kp_pod *pod)
{
    static const char *const keys[] = {"pod-template-hash", "controller-revision-hash"};
    for (size_t i = 0; i < KP_COUNT(keys); i++) {
        const char *value = kp_pod_label(pod, keys[i]);
        if (value == NULL || pod->revision[0] == '\0')
            continue;
        char *selector = kp_asprintf("%s=%s", keys[i], value);
        if (!kp_streq(selector, e->counted))
            e->n_counted = count_pods(e->cli, pod, selector);
        kp_free(e->counted);
        e->counted = selector;
        return e->n_counted;
    }
    return 0;
}

// What the registry knows of the pod; NULL: nothing can be known, a note says why.
static json_t *read_states(struct explaining *e, const struct kp_pod *pod)
{
    struct kp_query query;
    struct kp_error why = {0};
    json_t *answer = NULL;
    if (e->is_registry_gone)
        return NULL;
    kp_query_init(&query);
    kp_query_add(&query, "pod", pod->name);
    if (kp_ask_is_direct(e->cli) && !kp_cli_given(e->cli->flags.namespace))
        kp_query_add(&query, "namespace", pod->namespace);
    int rc = kp_ask_json(e->cli, "targets", &query, &answer, &why);
    kp_query_finish(&query);
    if (rc != 0) {
        e->is_registry_gone = true;
        kp_policies_note(&e->policies, "samples, next captures and results are not known: %s", why.text);
        return NULL;
    }
    json_t *states = json_incref(json_object_get(answer, "items"));
    json_decref(answer);
    return states;
}

static const char *text_of(const json_t *data, const char *key)
{
    return json_string_value(json_object_get(data, key));
}

// The rules here are those of a controller that is set as by default; where it says otherwise, it is right.
static void compare(struct explaining *e, const struct kp_pod *pod, const json_t *data, const json_t *states)
{
    bool profiled = json_is_true(json_object_get(data, "profiled"));
    size_t i;
    json_t *state;
    if (states != NULL && json_array_size(states) == 0 && profiled)
        kp_policies_note(&e->policies,
            "the registry knows no target of pod '%s': the controller does not run, has not seen it yet, or "
            "is "
            "set otherwise than by default",
            pod->name);
    json_array_foreach((json_t *)(uintptr_t)states, i, state)
    {
        const char *reason = text_of(state, "leftOutReason");
        const char *message = text_of(state, "message");
        const char *uid = text_of(state, "podUID");
        if (uid != NULL && !kp_streq(uid, pod->uid))
            continue; // of an earlier pod of that name
        if (profiled && reason != NULL)
            kp_policies_note(&e->policies, "the controller, when it looked last, left pod '%s' out: %s: %s",
                pod->name, reason, message ? message : "");
        else if (!profiled && reason == NULL)
            kp_policies_note(&e->policies,
                "the controller, when it looked last, did profile pod '%s' at port %lld: something has "
                "changed "
                "since, you may not see all, or it is set otherwise than by default (--annotation-dialects, "
                "--allow-host-network, --path-prefixes)",
                pod->name, (long long)json_integer_value(json_object_get(state, "port")));
    }
}

static int explain_one(struct explaining *e, const struct kp_pod *pod, struct kp_error *err)
{
    struct kp_explained explained = {.pod = pod, .policies = &e->policies};
    int rc = kp_policies_labels(e->cli, &e->policies, pod->namespace, &explained.namespace_labels, err);
    if (rc != 0)
        return rc;
    json_t *states = e->policies.is_missing ? NULL : read_states(e, pod);
    if (e->cli->session->is_interrupted) {
        json_decref(states);
        return kp_fail(err, KP_CANCELED, "interrupted");
    }
    explained.states = states;
    explained.revision_pods = count_revision(e, pod);
    json_t *data = kp_explain_data(&explained);
    compare(e, pod, data, states);
    json_array_append_new(e->items, data);
    json_decref(states);
    return 0;
}

static int print(struct explaining *e, const struct kp_output *output, struct kp_error *err)
{
    size_t i;
    json_t *item;
    int rc = 0;
    if (kp_output_is_data(output)) {
        bool is_one = json_array_size(e->items) == 1;
        json_t *list = is_one ? json_incref(json_array_get(e->items, 0))
                              : json_pack("{s:s,s:O}", "kind", "List", "items", e->items);
        json_object_set(list, "notes", e->policies.notes);
        rc = kp_output_print(e->cli, output, list, err);
        json_decref(list);
        return rc;
    }
    json_array_foreach(e->items, i, item)
    {
        if (i > 0)
            fputs("\n\n", e->cli->out);
        kp_explain_text(item, kp_now_ms(), e->cli->out);
    }
    fflush(e->cli->out);
    json_array_foreach(e->policies.notes, i, item) kp_cli_note(e->cli, "%s", json_string_value(item));
    return 0;
}

static int explain_all(struct explaining *e, const struct kp_output *output, struct kp_error *err)
{
    struct kp_pods pods;
    int rc = kp_pods_find(e->cli, &pods, err);
    if (rc != 0)
        return rc;
    if (pods.items.n > 0) { // names are of one namespace
        rc = kp_policies_read(e->cli, pods.items.items[0]->namespace, &e->policies, err);
        for (size_t i = 0; rc == 0 && i < pods.items.n; i++)
            rc = explain_one(e, pods.items.items[i], err);
        if (rc == 0)
            rc = print(e, output, err);
        kp_policies_finish(&e->policies);
    }
    kp_pods_finish(&pods);
    return rc;
}

int kp_cli_explain(struct kp_cli *cli, struct kp_error *err)
{
    struct explaining e = {.cli = cli, .items = json_array()};
    struct kp_output output = {0};
    int rc = kp_output_parse_facts(cli, &output, err);
    if (rc == 0)
        rc = explain_all(&e, &output, err);
    kp_output_finish(&output);
    kp_free(e.counted);
    json_decref(e.items);
    return rc;
}
