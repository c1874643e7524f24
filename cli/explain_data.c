// What explain finds, as data: the rules of pkg/policy and pkg/target applied to one pod.
#include <string.h>

#include "base/alloc.h"
#include "base/duration.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/explain.h"
#include "target/target.h"
#include "base/banned.h"

static json_t *text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? json_string(text) : json_null();
}

// Of what people wrote into annotations; JSON holds valid UTF-8 only.
static json_t *foreign_text(const char *text)
{
    size_t len = strlen(text);
    if (kp_utf8_valid(text, len))
        return json_string(text);
    kp_auto_free char *shown = kp_alloc(len + 16);
    return json_string(kp_printable(shown, len + 16, text, len));
}

static json_t *seconds(int64_t ms)
{
    return ms % 1000 == 0 ? json_integer(ms / 1000) : json_real((double)ms / 1000);
}

static json_t *share(struct kp_int_or_percent share)
{
    return share.is_percent ? json_sprintf("%d%%", share.value) : json_integer(share.value);
}

// ---- selectors ----

static const char *of_labels(const void *labels, const char *key)
{
    return kp_labels_get(labels, key);
}

static json_t *requirement_data(const struct kp_requirement *req, kp_label_lookup_fn lookup, const void *user)
{
    struct kp_selector *one = NULL;
    if (kp_selector_create(req, 1, &one, NULL) != 0)
        return NULL;
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 65536);
    kp_selector_format(one, &text);
    json_t *ret = json_pack("{s:s,s:b,s:s,s:o}", "requirement", text.data, "holds",
        kp_selector_matches_fn(one, lookup, user), "key", req->key, "value",
        text_or_null(lookup(user, req->key)));
    kp_selector_destroy(one);
    return ret;
}

static json_t *selector_data(const struct kp_selector *selector, kp_label_lookup_fn lookup, const void *user)
{
    size_t n = 0;
    const struct kp_requirement *reqs = kp_selector_requirements(selector, &n);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, requirement_data(&reqs[i], lookup, user));
    return json_pack(
        "{s:b,s:o}", "holds", kp_selector_matches_fn(selector, lookup, user), "requirements", list);
}

// ---- policies ----

static const struct kp_match *match_of(const struct kp_verdict *verdict, const struct kp_policy *policy)
{
    for (size_t i = 0; i < verdict->matches.n; i++)
        if (verdict->matches.items[i].policy == policy)
            return &verdict->matches.items[i];
    return NULL;
}

static void add_verdict(json_t *data, const char *verdict, const char *reason, const char *message)
{
    json_object_set_new(data, "verdict", json_string(verdict));
    json_object_set_new(data, "reason", text_or_null(reason));
    json_object_set_new(data, "message", text_or_null(message));
}

static void judge(
    const struct kp_explained *e, const struct kp_policy *policy, const struct kp_match *match, json_t *data)
{
    bool ruled = kp_policy_is_cluster(policy) && !kp_selector_is_empty(policy->namespace_selector);
    if (policy->reject_reason != NULL)
        add_verdict(data, "Rejected", policy->reject_reason, policy->reject_message);
    else if (policy->suspend)
        add_verdict(data, "Suspended", "Suspended", "spec.suspend is true");
    else if (match != NULL && match->leftout != KP_LEFTOUT_NONE)
        add_verdict(data, "LeftOut", kp_leftout_info(match->leftout)->name, match->message);
    else if (match != NULL)
        add_verdict(data, "Profiles", NULL, NULL);
    else if (ruled && e->namespace_labels == NULL)
        add_verdict(data, "NotSelected", "NamespaceUnknown", "the labels of the namespace are not known");
    else if (ruled && !kp_selector_matches(policy->namespace_selector, e->namespace_labels))
        add_verdict(
            data, "NotSelected", "NamespaceSelector", "its namespaceSelector does not select the namespace");
    else
        add_verdict(data, "NotSelected", "Selector", "its selector does not select the pod");
}

static json_t *policy_data(
    const struct kp_explained *e, const struct kp_policy *policy, const struct kp_verdict *verdict)
{
    static const char *const annotations[] = {"Honor", "Require", "Ignore"};
    const struct kp_match *match = match_of(verdict, policy);
    kp_auto_free char *name = kp_policies_name(policy);
    json_t *data = json_pack("{s:s,s:i,s:s}", "policy", name, "priority", (int)policy->priority,
        "annotationPolicy", annotations[policy->annotations]);
    judge(e, policy, match, data);
    if (policy->selector != NULL)
        json_object_set_new(data, "selector", selector_data(policy->selector, kp_pod_label_lookup, e->pod));
    if (policy->namespace_selector != NULL && e->namespace_labels != NULL)
        json_object_set_new(data, "namespaceSelector",
            selector_data(policy->namespace_selector, of_labels, e->namespace_labels));
    json_object_set_new(data, "targets", json_integer(match ? (json_int_t)match->n_targets : 0));
    return data;
}

// ---- annotations ----

static const char *problem_of(const struct kp_pod_wishes *wishes, const char *key)
{
    for (size_t i = 0; i < wishes->n_problems; i++) {
        const char *message = wishes->problems[i].message;
        size_t len = strlen(key);
        if (kp_streq(wishes->problems[i].key, key)) // "KEY: sentence"
            return strncmp(message, key, len) == 0 && message[len] == ':' ? message + len + 2 : message;
    }
    return NULL;
}

static json_t *annotation_data(const struct kp_label *note, const struct kp_pod_wishes *wishes)
{
    struct kp_annotation_info info;
    json_t *data = json_pack("{s:o,s:o}", "key", foreign_text(note->key), "value", foreign_text(note->value));
    const char *nearest = kp_annotation_nearest(note->key);
    if (kp_annotation_info(note->key, &info)) {
        bool is_read = (info.dialect & KP_DIALECTS_DEFAULT) != 0;
        json_object_set_new(data, "dialect", json_string(info.dialect_name));
        json_object_set_new(data, "meaning", json_string(info.meaning));
        json_object_set_new(data, "problem", text_or_null(problem_of(wishes, note->key)));
        if (!is_read)
            json_object_set_new(data, "problem",
                json_sprintf(
                    "read only where the controller's --annotation-dialects names %s", info.dialect_name));
    } else {
        json_object_set_new(data, "problem",
            nearest ? json_sprintf("means nothing; did you mean %s?", nearest)
                    : json_string("means nothing"));
    }
    return data;
}

static json_t *annotations_data(const struct kp_pod *pod)
{
    struct kp_pod_wishes wishes;
    json_t *list = json_array();
    kp_annotations_read(pod->annotations, pod->n_annotations, KP_DIALECTS_DEFAULT, &wishes);
    for (size_t i = 0; i < pod->n_annotations; i++)
        if (!kp_streq(pod->annotations[i].key, KP_POD_MIRROR)) // the kubelet's, not a wish
            json_array_append_new(list, annotation_data(&pod->annotations[i], &wishes));
    return list;
}

// ---- targets ----

static json_t *policy_names(const struct kp_wanted *wanted)
{
    json_t *list = json_array();
    for (size_t i = 0; i < wanted->n_policies; i++) {
        kp_auto_free char *name = kp_policies_name(wanted->policies[i]);
        json_array_append_new(list, json_string(name));
    }
    return list;
}

static const json_t *state_of(const json_t *states, const struct kp_target *target)
{
    size_t i;
    json_t *state;
    json_array_foreach((json_t *)(uintptr_t)states, i, state)
    {
        const char *container = json_string_value(json_object_get(state, "container"));
        bool same_port = json_integer_value(json_object_get(state, "port")) == target->port;
        const char *uid = json_string_value(json_object_get(state, "podUID"));
        if (same_port && kp_streq(container, target->container->name) &&
            (!uid || kp_streq(uid, target->pod->uid)))
            return state;
    }
    return NULL;
}

static const json_t *profile_of(const json_t *state, const char *type)
{
    size_t i;
    json_t *profile;
    json_array_foreach(json_object_get(state, "profiles"), i,
        profile) if (kp_streq(json_string_value(json_object_get(profile, "type")), type)) return profile;
    return NULL;
}

static json_t *wanted_data(const struct kp_wanted *wanted, const json_t *state)
{
    static const char *const told[] = {"nextTime", "lastTime", "lastSuccessTime", "lastResult", "message"};
    json_t *data = json_pack("{s:s,s:s,s:o}", "type", wanted->type, "path", wanted->path, "intervalSeconds",
        seconds(wanted->interval_ms));
    if (wanted->alias != NULL)
        json_object_set_new(data, "also", json_string(wanted->alias));
    if (wanted->duration_ms > 0)
        json_object_set_new(data, "durationSeconds", seconds(wanted->duration_ms));
    json_object_set_new(data, "policies", policy_names(wanted));
    const json_t *profile = profile_of(state, wanted->type);
    const json_t *stretched = json_object_get(profile, "intervalSeconds");
    if (stretched != NULL)
        json_object_set(data, "stretchedSeconds", (json_t *)(uintptr_t)stretched);
    for (size_t i = 0; i < KP_COUNT(told); i++)
        if (json_object_get(profile, told[i]) != NULL)
            json_object_set(data, told[i], json_object_get(profile, told[i]));
    return data;
}

static json_t *sampling_data(const struct kp_explained *e, const struct kp_wanted *wanted)
{
    json_t *data =
        json_pack("{s:o,s:o}", "replicas", share(wanted->k), "rotationSeconds", seconds(wanted->rotation_ms));
    if (e->revision_pods > 0) {
        int k = kp_int_or_percent_of(wanted->k, e->revision_pods);
        k = k < 1 ? 1 : k > e->revision_pods ? e->revision_pods : k;
        json_object_set_new(data, "of", json_integer(e->revision_pods));
        json_object_set_new(data, "taken", json_integer(k));
    }
    return data;
}

static json_t *budget_data(const struct kp_wanted *wanted)
{
    char bytes[KP_QUANTITY_TEXT];
    return json_pack("{s:f,s:o,s:s}", "overheadPercent", wanted->overhead_percent, "concurrentPerWorkload",
        share(wanted->concurrent), "profileBytes", kp_quantity_format(bytes, wanted->profile_bytes));
}

static json_t *labels_data(const struct kp_labels *labels)
{
    json_t *data = json_object();
    for (size_t i = 0; labels != NULL && i < labels->n; i++)
        json_object_set_new(data, labels->items[i].key, json_string(labels->items[i].value));
    return data;
}

static json_t *target_data(const struct kp_explained *e, const struct kp_target *target)
{
    const struct kp_wanted *first = &target->wanted[0];
    const json_t *state = state_of(e->states, target);
    kp_auto_free char *decided = kp_policies_name(first->policies[0]);
    json_t *types = json_array();
    for (size_t i = 0; i < target->n_wanted; i++)
        json_array_append_new(types, wanted_data(&target->wanted[i], state));
    json_t *data = json_pack("{s:s,s:i,s:s,s:s,s:s,s:o,s:o,s:o}", "container", target->container->name,
        "port", (int)target->port, "scheme", target->https ? "https" : "http", "decidedBy", decided,
        "service", first->service, "labels", labels_data(first->labels), "sampling", sampling_data(e, first),
        "budget", budget_data(first));
    json_object_set_new(data, "endpoint",
        first->endpoint ? json_sprintf("'%s' of the policy", first->endpoint->name)
                        : json_string("as the pod's annotations and port names say"));
    if (first->retention_ms > 0)
        json_object_set_new(data, "retentionSeconds", seconds(first->retention_ms));
    if (state != NULL)
        json_object_set(data, "sampled", json_object_get(state, "sampled"));
    json_object_set_new(data, "types", types);
    return data;
}

// ---- the whole ----

static const char *phase_of(const struct kp_pod *pod)
{
    static const char *const phases[] = {"Pending", "Running", "Succeeded", "Failed", "Unknown"};
    return pod->deleting ? "Terminating" : phases[pod->phase];
}

static bool is_doubtful(const struct kp_explained *e)
{
    bool any = e->policies->is_partial;
    for (size_t i = 0; i < e->policies->items.n && e->namespace_labels == NULL; i++)
        any |= !kp_selector_is_empty(e->policies->items.items[i]->namespace_selector);
    return any;
}

// Whether the policy would select the pod if it were neither suspended nor rejected.
static bool would_select(const struct kp_explained *e, const struct kp_policy *policy)
{
    if (policy->selector == NULL || !kp_selector_matches_fn(policy->selector, kp_pod_label_lookup, e->pod))
        return false;
    if (!kp_policy_is_cluster(policy) || kp_selector_is_empty(policy->namespace_selector))
        return true;
    return e->namespace_labels != NULL &&
           kp_selector_matches(policy->namespace_selector, e->namespace_labels);
}

// The first that is meant for the pod, but captures nothing of anybody; NULL: there is none.
static json_t *of_idle_policies(const struct kp_explained *e)
{
    for (size_t i = 0; i < e->policies->items.n; i++) {
        const struct kp_policy *policy = e->policies->items.items[i];
        if (!would_select(e, policy))
            continue;
        kp_auto_free char *name = kp_policies_name(policy);
        if (policy->reject_reason != NULL)
            return json_sprintf("%s would select it, but is rejected: %s", name, policy->reject_message);
        if (policy->suspend)
            return json_sprintf("%s would select it, but is suspended", name);
    }
    return NULL;
}

// The first policy that leaves the pod out: for what may be wrong (counts), or as somebody wants it to be.
static json_t *of_matches(const struct kp_verdict *verdict, bool counts)
{
    for (size_t i = 0; i < verdict->matches.n; i++) {
        const struct kp_match *match = &verdict->matches.items[i];
        if (match->leftout == KP_LEFTOUT_NONE || kp_leftout_info(match->leftout)->counts != counts)
            continue;
        kp_auto_free char *name = kp_policies_name(match->policy);
        return json_sprintf("%s selects it, but %s", name, match->message);
    }
    return NULL;
}

static json_t *sum_up(const struct kp_explained *e, const struct kp_verdict *verdict)
{
    const struct kp_policies *policies = e->policies;
    if (verdict->targets.n > 0)
        return json_null();
    if (policies->is_missing)
        return json_string("this cluster does not know ProfilingPolicy: kube-pprof is not installed");
    if (policies->items.n == 0)
        return json_sprintf(
            "there is no policy in namespace %s and none of the cluster%s; begin with: kubectl "
            "pprof policy init",
            e->pod->namespace, policies->is_partial ? " that you may see" : "");
    json_t *why = of_idle_policies(e);
    why = why != NULL ? why : of_matches(verdict, true);
    why = why != NULL ? why : of_matches(verdict, false);
    if (why != NULL)
        return why;
    return json_sprintf("no policy selects it (%zu looked at)", policies->items.n);
}

static json_t *pod_data(const struct kp_pod *pod)
{
    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:s,s:b}", "namespace", pod->namespace, "pod", pod->name,
        "workload", pod->workload_name, "workloadKind", text_or_null(pod->workload_kind), "revision",
        text_or_null(pod->revision), "phase", phase_of(pod), "ready", pod->ready);
}

json_t *kp_explain_data(const struct kp_explained *e)
{
    const struct kp_target_config config = {.dialects = KP_DIALECTS_DEFAULT};
    struct kp_verdict verdict;
    kp_target_build(e->pod, (const struct kp_policy *const *)e->policies->items.items, e->policies->items.n,
        e->namespace_labels, KP_IP_OWN, &config, &verdict);
    json_t *data = pod_data(e->pod);
    json_t *policies = json_array();
    json_t *targets = json_array();
    for (size_t i = 0; i < e->policies->items.n; i++)
        json_array_append_new(policies, policy_data(e, e->policies->items.items[i], &verdict));
    for (size_t i = 0; i < verdict.targets.n; i++)
        json_array_append_new(targets, target_data(e, verdict.targets.items[i]));
    json_object_set_new(data, "profiled", json_boolean(verdict.targets.n > 0));
    // what one may not read may profile it
    json_object_set_new(data, "certain", json_boolean(verdict.targets.n > 0 || !is_doubtful(e)));
    json_object_set_new(data, "message", sum_up(e, &verdict));
    json_object_set_new(data, "annotations", annotations_data(e->pod));
    json_object_set_new(data, "policies", policies);
    json_object_set_new(data, "targets", targets);
    kp_verdict_finish(&verdict);
    return data;
}
