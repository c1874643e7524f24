// A policy object as the API server gives it -> struct kp_policy after defaults. The API server has checked
// the schema, but the CRD in the cluster may be an older one: nothing here trusts it.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/duration.h"
#include "base/text.h"
#include "policy/policy.h"
#include "policy/reader.h"
#include "policy/types.h"
#include "policy/validate.h"
#include "base/banned.h"

// ---- profiles ----

static void clamp_profile(
    struct kp_policy_reader *p, const struct kp_profile_type *known, struct kp_profile_spec *profile)
{
    int64_t longest = known != NULL && known->opaque ? 10000 : p->caps->max_duration_ms;
    if (profile->interval_ms < p->caps->min_interval_ms)
        profile->interval_ms = p->caps->min_interval_ms;
    if (profile->duration_ms > longest)
        profile->duration_ms = longest;
}

static void read_profile(struct kp_policy_reader *p, const json_t *object, struct kp_profile_spec *profile)
{
    profile->type = kp_policy_get_string(p, object, "type", KP_MAX_TYPE_NAME);
    profile->path = kp_policy_get_string(p, object, "path", 255);
    if (profile->type == NULL) {
        kp_policy_reject(p, "a profile has no type");
        profile->type = "";
        return;
    }
    const struct kp_profile_type *known = kp_profile_type(profile->type);
    bool has_duration = json_object_get(object, "duration") != NULL;
    if (known == NULL && profile->path == NULL)
        kp_policy_reject(p, "profile type '%.40s' is not known; give its path", profile->type);
    if (known != NULL && !known->collecting && has_duration)
        kp_policy_reject(p, "profile type '%s' takes no duration: it is read at once", profile->type);
    profile->interval_ms =
        kp_policy_get_duration(p, object, "interval", known != NULL ? known->default_interval_ms : 300000);
    profile->duration_ms =
        kp_policy_get_duration(p, object, "duration", known != NULL ? known->default_duration_ms : 0);
    if (has_duration && profile->duration_ms < 1000)
        kp_policy_reject(p, "the duration of profile '%.40s' is shorter than 1s", profile->type);
    if (profile->interval_ms < 10000)
        kp_policy_reject(p, "the interval of profile '%.40s' is shorter than 10s", profile->type);
    if (profile->duration_ms >= profile->interval_ms)
        kp_policy_reject(
            p, "the duration of profile '%.40s' must be shorter than its interval", profile->type);
    clamp_profile(p, known, profile);
}

static void default_profiles(struct kp_policy_reader *p)
{
    static const char *const names[] = {"cpu", "heap", "goroutine"};
    struct kp_profile_spec *profiles = KP_ARENA_ARRAY(&p->arena, struct kp_profile_spec, KP_COUNT(names));
    for (size_t i = 0; i < KP_COUNT(names); i++) {
        const struct kp_profile_type *known = kp_profile_type(names[i]);
        profiles[i] = (struct kp_profile_spec){.type = known->name,
            .interval_ms = known->default_interval_ms,
            .duration_ms = known->default_duration_ms};
        clamp_profile(p, known, &profiles[i]);
    }
    p->policy->profiles = profiles;
    p->policy->n_profiles = KP_COUNT(names);
}

static void read_profiles(struct kp_policy_reader *p, const json_t *list)
{
    size_t n = json_array_size(list);
    if (n == 0) {
        if (list != NULL)
            kp_policy_reject(
                p, "profiles is empty; name at least one, or leave profiles out for the usual three");
        default_profiles(p);
        return;
    }
    if (n > KP_MAX_PROFILES) {
        kp_policy_reject(p, "more than %d profiles", KP_MAX_PROFILES);
        default_profiles(p);
        return;
    }
    struct kp_profile_spec *profiles = KP_ARENA_ARRAY(&p->arena, struct kp_profile_spec, n);
    for (size_t i = 0; i < n; i++) {
        read_profile(p, json_array_get(list, i), &profiles[i]);
        for (size_t j = 0; j < i; j++)
            if (strcmp(profiles[i].type, profiles[j].type) == 0)
                kp_policy_reject(p, "profile type '%.40s' is listed twice", profiles[i].type);
    }
    p->policy->profiles = profiles;
    p->policy->n_profiles = n;
}

// ---- the rest of the spec ----

static void read_sampling(struct kp_policy_reader *p, const json_t *object)
{
    p->policy->sample_replicas =
        kp_policy_get_share(p, object, "replicas", (struct kp_int_or_percent){.value = 3});
    p->policy->rotation_ms = kp_policy_get_duration(p, object, "rotation", 3600000);
    if (p->policy->rotation_ms < 60000)
        p->policy->rotation_ms = 60000;
    if (p->policy->sample_replicas.value < 1)
        kp_policy_reject(p, "sampling.replicas must be at least 1, or a percentage above 0%%");
}

static double get_percent(struct kp_policy_reader *p, const json_t *object, const char *key, double fallback)
{
    const json_t *value = json_object_get(object, key);
    double percent = json_is_number(value) ? json_number_value(value) : fallback;
    if (value != NULL && !json_is_number(value) && !json_is_string(value) && !json_is_null(value))
        kp_policy_reject(p, "%s must be a number", key);
    if (json_is_string(value)) {
        // quantities: "0.5", "500m"
        const char *text = json_string_value(value);
        int64_t whole;
        size_t n = strlen(text);
        if (n > 1 && n < 12 && text[n - 1] == 'm') {
            kp_auto_free char *number = kp_strndup(text, n - 1);
            if (kp_parse_int(number, 0, 100000, &whole, NULL) == 0)
                percent = (double)whole / 1000;
        } else {
            int consumed = 0;
            double parsed;
            if (sscanf(text, "%lf%n", &parsed, &consumed) == 1 && (size_t)consumed == n)
                percent = parsed;
            else
                kp_policy_reject(p, "%s: '%.20s' is not a number", key, text);
        }
    }
    if (!(percent > 0) || percent > 100) {
        kp_policy_reject(p, "%s must be above 0 and at most 100", key);
        percent = fallback;
    }
    return percent;
}

static void read_budget(struct kp_policy_reader *p, const json_t *object)
{
    struct kp_policy *policy = p->policy;
    policy->overhead_percent = get_percent(p, object, "overheadPercent", 1);
    policy->concurrent_per_workload = kp_policy_get_share(
        p, object, "concurrentPerWorkload", (struct kp_int_or_percent){.value = 25, .is_percent = true});
    policy->profile_bytes = kp_policy_get_bytes(p, object, "profileBytes", 16 * KP_MIB);
    policy->overhead_percent = fmin(policy->overhead_percent, p->caps->max_overhead_percent);
    if (policy->profile_bytes < 1024)
        kp_policy_reject(p, "budget.profileBytes must be at least 1Ki");
    if (policy->profile_bytes > p->caps->max_profile_bytes)
        policy->profile_bytes = p->caps->max_profile_bytes;
}

static void read_service(struct kp_policy_reader *p, const json_t *object)
{
    static const char *const sources[] = {"Workload", "PodLabel", "Annotation", "Static", NULL};
    struct kp_policy *policy = p->policy;
    policy->service_source =
        (enum kp_service_source)kp_policy_get_choice(p, object, "source", sources, KP_SERVICE_WORKLOAD);
    policy->service_key = kp_policy_get_string(
        p, object, policy->service_source == KP_SERVICE_STATIC ? "value" : "key", KP_MAX_LABEL_KEY);
    bool needs_key =
        policy->service_source == KP_SERVICE_POD_LABEL || policy->service_source == KP_SERVICE_STATIC;
    if (needs_key && policy->service_key == NULL)
        kp_policy_reject(
            p, "service.%s is missing", policy->service_source == KP_SERVICE_STATIC ? "value" : "key");
    else if (policy->service_source == KP_SERVICE_STATIC &&
             (strlen(policy->service_key) > KP_MAX_SERVICE_NAME ||
                 strpbrk(policy->service_key, "/ \t\r\n") != NULL || policy->service_key[0] == '\0'))
        kp_policy_reject(p, "service.value '%.60s' must have 1 to %d characters, without '/' and spaces",
            policy->service_key, KP_MAX_SERVICE_NAME);
}

// What begins so is what the API server says of a pod (k8s.namespace); no policy can say it.
static void refuse_system_label(struct kp_policy_reader *p, const char *where, const char *key)
{
    if (key != NULL && kp_starts_with(key, "k8s."))
        kp_policy_reject(p,
            "%s: '%.60s' begins with k8s., as what the controller says of a pod does; leave it out or give "
            "it another name",
            where, key);
}

static void read_labels(struct kp_policy_reader *p, const json_t *object)
{
    const json_t *list = kp_policy_get_list(p, object, "fromPod");
    json_t *fixed = (json_t *)(uintptr_t)kp_policy_get_object(p, object, "static");
    size_t n = json_array_size(list), used = 0;
    struct kp_label items[KP_MAX_LABELS];
    const char *key;
    json_t *value;
    if (n > KP_MAX_LABELS || json_object_size(fixed) > KP_MAX_LABELS) {
        kp_policy_reject(p, "more than %d labels", KP_MAX_LABELS);
        n = 0;
    }
    const char **from_pod = KP_ARENA_ARRAY(&p->arena, const char *, n);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL || !kp_label_key_valid(text))
            kp_policy_reject(p, "labels.fromPod[%zu] is not a label key", i);
        else
            from_pod[p->policy->n_labels_from_pod++] = kp_arena_strdup(&p->arena, text);
        refuse_system_label(p, "labels.fromPod", text);
    }
    p->policy->labels_from_pod = from_pod;
    json_object_foreach(fixed, key, value)
    {
        const char *text = json_string_value(value);
        if (text == NULL || strlen(text) > KP_MAX_LABEL_VALUE || !kp_label_key_valid(key))
            kp_policy_reject(p, "labels.static: '%.60s' is not a label", key);
        else if (used < KP_MAX_LABELS)
            items[used++] = (struct kp_label){key, text};
        refuse_system_label(p, "labels.static", key);
    }
    p->policy->static_labels = kp_labels_create(items, used);
}

static void read_spec(struct kp_policy_reader *p, const json_t *spec)
{
    static const char *const annotations[] = {"Honor", "Require", "Ignore", NULL};
    static const char *const on_busy[] = {"Yield", "Retry", NULL};
    struct kp_policy *policy = p->policy;
    const json_t *priority = json_object_get(spec, "priority");
    policy->suspend = kp_policy_get_bool(p, spec, "suspend");
    if (json_is_integer(priority) && json_integer_value(priority) <= INT32_MAX &&
        json_integer_value(priority) >= INT32_MIN)
        policy->priority = (int32_t)json_integer_value(priority);
    else if (priority != NULL && !json_is_null(priority))
        kp_policy_reject(p, "priority must be a whole number of 32 bits");
    policy->selector = kp_policy_get_selector(p, spec, "selector");
    if (policy->selector == NULL)
        kp_policy_reject(p, "selector is missing; {} selects every pod");
    if (kp_policy_is_cluster(policy))
        policy->namespace_selector = kp_policy_get_selector(p, spec, "namespaceSelector");
    policy->annotations = (enum kp_annotation_policy)kp_policy_get_choice(
        p, spec, "annotationPolicy", annotations, KP_ANNOTATIONS_HONOR);
    policy->on_busy = (enum kp_on_busy)kp_policy_get_choice(p, spec, "onBusy", on_busy, KP_ON_BUSY_YIELD);
    kp_policy_read_endpoints(p, kp_policy_get_list(p, spec, "endpoints"));
    read_profiles(p, kp_policy_get_list(p, spec, "profiles"));
    read_sampling(p, kp_policy_get_object(p, spec, "sampling"));
    read_budget(p, kp_policy_get_object(p, spec, "budget"));
    read_service(p, kp_policy_get_object(p, spec, "service"));
    read_labels(p, kp_policy_get_object(p, spec, "labels"));
    policy->retention_ms = kp_policy_get_duration(p, kp_policy_get_object(p, spec, "retention"), "age", 0);
}

// ---- the object ----

static struct kp_policy_caps with_defaults(const struct kp_policy_caps *caps)
{
    struct kp_policy_caps c = caps != NULL ? *caps : (struct kp_policy_caps){0};
    c.min_interval_ms = c.min_interval_ms > 0 ? c.min_interval_ms : 10000;
    c.max_duration_ms = c.max_duration_ms > 0 ? c.max_duration_ms : 60000;
    c.max_profile_bytes = c.max_profile_bytes > 0 ? c.max_profile_bytes : KP_MAX_PROFILE_BYTES;
    c.max_overhead_percent = c.max_overhead_percent > 0 ? c.max_overhead_percent : 5;
    return c;
}

static int read_metadata(struct kp_policy_reader *p, const json_t *object, struct kp_error *err)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const char *name = json_string_value(json_object_get(metadata, "name"));
    const char *namespace = json_string_value(json_object_get(metadata, "namespace"));
    const char *uid = json_string_value(json_object_get(metadata, "uid"));
    const char *rv = json_string_value(json_object_get(metadata, "resourceVersion"));
    if (name == NULL || name[0] == '\0' || strlen(name) > 253 ||
        (namespace != NULL && strlen(namespace) > 253))
        return kp_fail(err, KP_INVALID, "the object has no usable metadata.name");
    struct kp_policy *policy = p->policy;
    policy->name = kp_arena_strdup(&p->arena, name);
    policy->namespace = kp_arena_strdup(&p->arena, namespace != NULL ? namespace : "");
    policy->uid = kp_arena_strdup(&p->arena, uid != NULL ? uid : "");
    policy->resource_version = kp_arena_strdup(&p->arena, rv != NULL ? rv : "");
    policy->generation = json_integer_value(json_object_get(metadata, "generation"));
    kp_auto_free char *key = kp_asprintf("%s/%s", policy->namespace, policy->name);
    policy->key = kp_arena_strdup(&p->arena, key);
    return 0;
}

int kp_policy_parse(
    const json_t *object, const struct kp_policy_caps *caps, struct kp_policy **ret, struct kp_error *err)
{
    struct kp_policy_caps full = with_defaults(caps);
    struct kp_policy_reader p = {.policy = KP_NEW(struct kp_policy), .caps = &full};
    p.policy->refs = 1;
    int code = read_metadata(&p, object, err);
    if (code == 0) {
        read_spec(&p, json_object_get(object, "spec"));
        if (p.policy->reject_reason == NULL) {
            char message[480];
            const char *reason = kp_policy_problem(p.policy, &full, message, sizeof message);
            p.policy->reject_reason = reason;
            p.policy->reject_message = reason != NULL ? kp_arena_strdup(&p.arena, message) : NULL;
        }
    }
    p.policy->memory = p.arena;
    if (code != 0)
        kp_policy_unref(p.policy);
    else
        *ret = p.policy;
    return code;
}
