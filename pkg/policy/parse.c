// A policy object as the API server gives it -> struct kp_policy after defaults. The API server has checked
// the schema, but the CRD in the cluster may be an older one: nothing here trusts it.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/alloc.h"
#include "base/duration.h"
#include "base/text.h"
#include "policy/policy.h"
#include "policy/types.h"
#include "policy/validate.h"
#include "base/banned.h"

struct parser {
    struct kp_policy *policy;
    struct kp_arena *arena;
    const struct kp_policy_caps *caps;
};

// The first problem is the one that is told.
KP_PRINTF(2, 3)
static void reject(struct parser *p, const char *fmt, ...)
{
    if (p->policy->reject_reason != NULL)
        return;
    va_list args;
    char text[480];
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    p->policy->reject_reason = "InvalidSpec";
    p->policy->reject_message = kp_arena_strdup(&p->arena, text);
}

// ---- scalars: NULL or absent leaves the default ----

static const char *get_string(struct parser *p, const json_t *object, const char *key, size_t max)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL || json_is_null(value))
        return NULL;
    if (!json_is_string(value)) {
        reject(p, "%s must be a string", key);
        return NULL;
    }
    if (json_string_length(value) > max || strlen(json_string_value(value)) != json_string_length(value)) {
        reject(p, "%s is longer than %zu characters", key, max);
        return NULL;
    }
    return kp_arena_strdup(&p->arena, json_string_value(value));
}

static bool get_bool(struct parser *p, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (value != NULL && !json_is_boolean(value) && !json_is_null(value))
        reject(p, "%s must be true or false", key);
    return json_is_true(value);
}

static int64_t get_duration(struct parser *p, const json_t *object, const char *key, int64_t fallback)
{
    int64_t ms = fallback;
    struct kp_error err = {0};
    const char *text = get_string(p, object, key, 64);
    if (text != NULL && kp_duration_parse(text, &ms, &err) != 0)
        reject(p, "%s: %s", key, err.text);
    return ms;
}

static int64_t get_bytes(struct parser *p, const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);
    struct kp_error err = {0};
    int64_t bytes = fallback;
    if (json_is_integer(value))
        bytes = json_integer_value(value);
    else if (json_is_string(value) && kp_quantity_parse(json_string_value(value), &bytes, &err) != 0)
        reject(p, "%s: %s", key, err.text);
    return bytes;
}

static struct kp_int_or_percent get_share(
    struct parser *p, const json_t *object, const char *key, struct kp_int_or_percent fallback)
{
    const json_t *value = json_object_get(object, key);
    struct kp_int_or_percent share = fallback;
    struct kp_error err = {0};
    if (json_is_integer(value)) {
        json_int_t n = json_integer_value(value);
        share = (struct kp_int_or_percent){.value = n < 0 ? 0 : n > INT32_MAX ? INT32_MAX : (int)n};
    } else if (json_is_string(value) &&
               kp_int_or_percent_parse(json_string_value(value), &share, &err) != 0) {
        reject(p, "%s: %s", key, err.text);
    }
    return share;
}

// The index of the text among the words, or fallback.
static int get_choice(
    struct parser *p, const json_t *object, const char *key, const char *const *words, int fallback)
{
    const char *text = get_string(p, object, key, 64);
    if (text == NULL)
        return fallback;
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    reject(p, "%s: '%.40s' is not known", key, text);
    return fallback;
}

// ---- selectors ----

static bool read_expression(const json_t *item, struct kp_requirement *req, const char **values, size_t max)
{
    static const struct {
        const char *name;
        enum kp_selector_op op;
    } ops[] = {{"In", KP_SELECTOR_IN}, {"NotIn", KP_SELECTOR_NOT_IN}, {"Exists", KP_SELECTOR_EXISTS},
        {"DoesNotExist", KP_SELECTOR_NOT_EXISTS}};
    const char *name = json_string_value(json_object_get(item, "operator"));
    const json_t *list = json_object_get(item, "values");
    req->key = json_string_value(json_object_get(item, "key"));
    size_t op = 0;
    while (op < KP_COUNT(ops) && !kp_streq(name, ops[op].name))
        op++;
    if (req->key == NULL || op == KP_COUNT(ops) || json_array_size(list) > max)
        return false;
    req->op = ops[op].op;
    req->n_values = json_array_size(list);
    for (size_t i = 0; i < req->n_values; i++) {
        values[i] = json_string_value(json_array_get(list, i));
        if (values[i] == NULL)
            return false;
    }
    req->values = values;
    return true;
}

#define MAX_REQUIREMENTS 64
#define MAX_VALUES       64

static struct kp_selector *get_selector(struct parser *p, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    struct kp_requirement reqs[MAX_REQUIREMENTS];
    kp_auto_free const char **values = KP_NEW_ARRAY(const char *, MAX_REQUIREMENTS *MAX_VALUES);
    size_t n = 0, i;
    const char *label;
    json_t *item;
    if (!json_is_object(value))
        return NULL;
    json_object_foreach(json_object_get(value, "matchLabels"), label, item)
    {
        const char **room = &values[n * MAX_VALUES];
        if (n == MAX_REQUIREMENTS || !json_is_string(item)) {
            reject(p, "%s.matchLabels holds too many or wrong labels", key);
            return NULL;
        }
        room[0] = json_string_value(item);
        reqs[n++] =
            (struct kp_requirement){.key = label, .op = KP_SELECTOR_IN, .n_values = 1, .values = room};
    }
    json_array_foreach(json_object_get(value, "matchExpressions"), i, item)
    {
        if (n == MAX_REQUIREMENTS || !read_expression(item, &reqs[n], &values[n * MAX_VALUES], MAX_VALUES)) {
            reject(p,
                "%s.matchExpressions[%zu] is wrong: key, operator (In, NotIn, Exists, DoesNotExist), values",
                key, i);
            return NULL;
        }
        n++;
    }
    struct kp_selector *selector = NULL;
    struct kp_error err = {0};
    if (kp_selector_create(reqs, n, &selector, &err) != 0)
        reject(p, "%s: %s", key, err.text);
    return selector;
}

// ---- endpoints ----

static struct kp_key_ref get_ref(struct parser *p, const json_t *object)
{
    return (struct kp_key_ref){
        .name = get_string(p, object, "name", 253),
        .key = get_string(p, object, "key", 253),
    };
}

static void read_tls(struct parser *p, const json_t *tls, struct kp_endpoint *endpoint)
{
    const json_t *ca = json_object_get(tls, "ca");
    endpoint->tls_server_name = get_string(p, tls, "serverName", 253);
    endpoint->tls_insecure = get_bool(p, tls, "insecureSkipVerify");
    if (json_object_get(ca, "configMapRef") != NULL) {
        endpoint->tls_ca = get_ref(p, json_object_get(ca, "configMapRef"));
        endpoint->tls_ca.is_config_map = true;
    } else if (json_object_get(ca, "secretRef") != NULL) {
        endpoint->tls_ca = get_ref(p, json_object_get(ca, "secretRef"));
    }
    if (endpoint->tls_ca.name != NULL && endpoint->tls_ca.key == NULL)
        endpoint->tls_ca.key = "ca.crt";
    endpoint->tls_client_secret =
        get_string(p, json_object_get(json_object_get(tls, "clientCertificate"), "secretRef"), "name", 253);
}

static void read_authorization(struct parser *p, const json_t *auth, struct kp_endpoint *endpoint)
{
    static const char *const types[] = {"Bearer", "Basic", NULL};
    if (!json_is_object(auth))
        return;
    int type = get_choice(p, auth, "type", types, 0);
    endpoint->auth = type == 0 ? KP_AUTH_BEARER : KP_AUTH_BASIC;
    endpoint->auth_secret = get_ref(p, json_object_get(auth, "secretRef"));
    if (endpoint->auth_secret.key == NULL)
        endpoint->auth_secret.key = "token";
}

static void read_headers(struct parser *p, const json_t *list, struct kp_endpoint *endpoint)
{
    size_t n = json_array_size(list);
    if (n > KP_MAX_HEADERS) {
        reject(p, "an endpoint has more than %d headers", KP_MAX_HEADERS);
        return;
    }
    struct kp_label *headers = KP_ARENA_ARRAY(&p->arena, struct kp_label, n);
    for (size_t i = 0; i < n; i++) {
        const char *name = get_string(p, json_array_get(list, i), "name", 128);
        const char *value = get_string(p, json_array_get(list, i), "value", 1024);
        headers[i] = (struct kp_label){name != NULL ? name : "", value != NULL ? value : ""};
    }
    endpoint->n_headers = n;
    endpoint->headers = headers;
}

static void read_endpoint(struct parser *p, const json_t *object, struct kp_endpoint *endpoint)
{
    static const char *const schemes[] = {"HTTP", "HTTPS", NULL};
    const json_t *port = json_object_get(object, "port");
    endpoint->name = get_string(p, object, "name", 63);
    endpoint->container = get_string(p, object, "container", 63);
    if (json_is_integer(port)) {
        json_int_t number = json_integer_value(port);
        if (number < 1 || number > 65535)
            reject(p, "port %lld is not between 1 and 65535", (long long)number);
        else
            endpoint->port = (uint16_t)number;
    } else {
        endpoint->port_name = get_string(p, object, "port", 15);
        if (endpoint->port_name == NULL)
            reject(p, "an endpoint has no port");
    }
    endpoint->https = get_choice(p, object, "scheme", schemes, 0) == 1;
    endpoint->path = get_string(p, object, "path", 255);
    if (endpoint->path == NULL)
        endpoint->path = "/debug/pprof";
    read_tls(p, json_object_get(object, "tls"), endpoint);
    read_authorization(p, json_object_get(object, "authorization"), endpoint);
    read_headers(p, json_object_get(object, "headers"), endpoint);
}

static void read_endpoints(struct parser *p, const json_t *list)
{
    size_t n = json_array_size(list);
    if (n > KP_MAX_ENDPOINTS) {
        reject(p, "more than %d endpoints", KP_MAX_ENDPOINTS);
        return;
    }
    struct kp_endpoint *endpoints = KP_ARENA_ARRAY(&p->arena, struct kp_endpoint, n);
    for (size_t i = 0; i < n; i++)
        read_endpoint(p, json_array_get(list, i), &endpoints[i]);
    p->policy->endpoints = endpoints;
    p->policy->n_endpoints = n;
}

// ---- profiles ----

static void clamp_profile(
    struct parser *p, const struct kp_profile_type *known, struct kp_profile_spec *profile)
{
    int64_t longest = known != NULL && known->opaque ? 10000 : p->caps->max_duration_ms;
    if (profile->interval_ms < p->caps->min_interval_ms)
        profile->interval_ms = p->caps->min_interval_ms;
    if (profile->duration_ms > longest)
        profile->duration_ms = longest;
}

static void read_profile(struct parser *p, const json_t *object, struct kp_profile_spec *profile)
{
    profile->type = get_string(p, object, "type", KP_MAX_TYPE_NAME);
    profile->path = get_string(p, object, "path", 255);
    if (profile->type == NULL) {
        reject(p, "a profile has no type");
        profile->type = "";
        return;
    }
    const struct kp_profile_type *known = kp_profile_type(profile->type);
    bool has_duration = json_object_get(object, "duration") != NULL;
    if (known == NULL && profile->path == NULL)
        reject(p, "profile type '%.40s' is not known; give its path", profile->type);
    if (known != NULL && !known->collecting && has_duration)
        reject(p, "profile type '%s' takes no duration: it is read at once", profile->type);
    profile->interval_ms =
        get_duration(p, object, "interval", known != NULL ? known->default_interval_ms : 300000);
    profile->duration_ms =
        get_duration(p, object, "duration", known != NULL ? known->default_duration_ms : 0);
    if (profile->interval_ms < 10000)
        reject(p, "the interval of profile '%.40s' is shorter than 10s", profile->type);
    if (profile->duration_ms >= profile->interval_ms)
        reject(p, "the duration of profile '%.40s' must be shorter than its interval", profile->type);
    clamp_profile(p, known, profile);
}

static void default_profiles(struct parser *p)
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

static void read_profiles(struct parser *p, const json_t *list)
{
    size_t n = json_array_size(list);
    if (n == 0) {
        default_profiles(p);
        return;
    }
    if (n > KP_MAX_PROFILES) {
        reject(p, "more than %d profiles", KP_MAX_PROFILES);
        default_profiles(p);
        return;
    }
    struct kp_profile_spec *profiles = KP_ARENA_ARRAY(&p->arena, struct kp_profile_spec, n);
    for (size_t i = 0; i < n; i++) {
        read_profile(p, json_array_get(list, i), &profiles[i]);
        for (size_t j = 0; j < i; j++)
            if (strcmp(profiles[i].type, profiles[j].type) == 0)
                reject(p, "profile type '%.40s' is listed twice", profiles[i].type);
    }
    p->policy->profiles = profiles;
    p->policy->n_profiles = n;
}

// ---- the rest of the spec ----

static void read_sampling(struct parser *p, const json_t *object)
{
    p->policy->sample_replicas = get_share(p, object, "replicas", (struct kp_int_or_percent){.value = 3});
    p->policy->rotation_ms = get_duration(p, object, "rotation", 3600000);
    if (p->policy->rotation_ms < 60000)
        p->policy->rotation_ms = 60000;
    if (p->policy->sample_replicas.value < 1)
        reject(p, "sampling.replicas must be at least 1, or a percentage above 0%%");
}

static double get_percent(struct parser *p, const json_t *object, const char *key, double fallback)
{
    const json_t *value = json_object_get(object, key);
    double percent = json_is_number(value) ? json_number_value(value) : fallback;
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
                reject(p, "%s: '%.20s' is not a number", key, text);
        }
    }
    if (!(percent > 0) || percent > 100) {
        reject(p, "%s must be above 0 and at most 100", key);
        percent = fallback;
    }
    return percent;
}

static void read_budget(struct parser *p, const json_t *object)
{
    struct kp_policy *policy = p->policy;
    policy->overhead_percent = get_percent(p, object, "overheadPercent", 1);
    policy->concurrent_per_workload = get_share(
        p, object, "concurrentPerWorkload", (struct kp_int_or_percent){.value = 25, .is_percent = true});
    policy->profile_bytes = get_bytes(p, object, "profileBytes", 16 * KP_MIB);
    policy->overhead_percent = fmin(policy->overhead_percent, p->caps->max_overhead_percent);
    if (policy->profile_bytes < 1024)
        reject(p, "budget.profileBytes must be at least 1Ki");
    if (policy->profile_bytes > p->caps->max_profile_bytes)
        policy->profile_bytes = p->caps->max_profile_bytes;
}

static void read_service(struct parser *p, const json_t *object)
{
    static const char *const sources[] = {"Workload", "PodLabel", "Annotation", "Static", NULL};
    struct kp_policy *policy = p->policy;
    policy->service_source =
        (enum kp_service_source)get_choice(p, object, "source", sources, KP_SERVICE_WORKLOAD);
    policy->service_key = get_string(
        p, object, policy->service_source == KP_SERVICE_STATIC ? "value" : "key", KP_MAX_LABEL_KEY);
    if (policy->service_source != KP_SERVICE_WORKLOAD && policy->service_key == NULL)
        reject(p, "service.%s is missing", policy->service_source == KP_SERVICE_STATIC ? "value" : "key");
}

static void read_labels(struct parser *p, const json_t *object)
{
    const json_t *list = json_object_get(object, "fromPod");
    size_t n = json_array_size(list), used = 0;
    struct kp_label items[KP_MAX_LABELS];
    const char *key;
    json_t *value;
    if (n > KP_MAX_LABELS || json_object_size(json_object_get(object, "static")) > KP_MAX_LABELS) {
        reject(p, "more than %d labels", KP_MAX_LABELS);
        n = 0;
    }
    const char **from_pod = KP_ARENA_ARRAY(&p->arena, const char *, n);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL || !kp_label_key_valid(text))
            reject(p, "labels.fromPod[%zu] is not a label key", i);
        else
            from_pod[p->policy->n_labels_from_pod++] = kp_arena_strdup(&p->arena, text);
    }
    p->policy->labels_from_pod = from_pod;
    json_object_foreach(json_object_get(object, "static"), key, value)
    {
        const char *text = json_string_value(value);
        if (text == NULL || strlen(text) > KP_MAX_LABEL_VALUE || !kp_label_key_valid(key))
            reject(p, "labels.static: '%.60s' is not a label", key);
        else if (used < KP_MAX_LABELS)
            items[used++] = (struct kp_label){key, text};
    }
    p->policy->static_labels = kp_labels_create(items, used);
}

static void read_spec(struct parser *p, const json_t *spec)
{
    static const char *const annotations[] = {"Honor", "Require", "Ignore", NULL};
    static const char *const on_busy[] = {"Yield", "Retry", NULL};
    struct kp_policy *policy = p->policy;
    const json_t *priority = json_object_get(spec, "priority");
    policy->suspend = get_bool(p, spec, "suspend");
    policy->priority = json_is_integer(priority) && json_integer_value(priority) <= INT32_MAX &&
                               json_integer_value(priority) >= INT32_MIN
                           ? (int32_t)json_integer_value(priority)
                           : 0;
    policy->selector = get_selector(p, spec, "selector");
    if (policy->selector == NULL)
        reject(p, "selector is missing; {} selects every pod");
    if (kp_policy_is_cluster(policy))
        policy->namespace_selector = get_selector(p, spec, "namespaceSelector");
    policy->annotations =
        (enum kp_annotation_policy)get_choice(p, spec, "annotationPolicy", annotations, KP_ANNOTATIONS_HONOR);
    policy->on_busy = (enum kp_on_busy)get_choice(p, spec, "onBusy", on_busy, KP_ON_BUSY_YIELD);
    read_endpoints(p, json_object_get(spec, "endpoints"));
    read_profiles(p, json_object_get(spec, "profiles"));
    read_sampling(p, json_object_get(spec, "sampling"));
    read_budget(p, json_object_get(spec, "budget"));
    read_service(p, json_object_get(spec, "service"));
    read_labels(p, json_object_get(spec, "labels"));
    policy->retention_ms = get_duration(p, json_object_get(spec, "retention"), "age", 0);
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

static int read_metadata(struct parser *p, const json_t *object, struct kp_error *err)
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
    struct parser p = {.policy = KP_NEW(struct kp_policy), .caps = &full};
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

struct kp_policy *kp_policy_ref(const struct kp_policy *policy)
{
    struct kp_policy *p = (struct kp_policy *)(uintptr_t)policy;
    p->refs++;
    return p;
}

void kp_policy_unref(const struct kp_policy *policy)
{
    struct kp_policy *p = (struct kp_policy *)(uintptr_t)policy;
    if (p == NULL || --p->refs > 0)
        return;
    kp_selector_destroy((struct kp_selector *)(uintptr_t)p->selector);
    kp_selector_destroy((struct kp_selector *)(uintptr_t)p->namespace_selector);
    kp_labels_destroy((struct kp_labels *)(uintptr_t)p->static_labels);
    kp_arena_free(p->memory);
    kp_free(p);
}

bool kp_policy_is_cluster(const struct kp_policy *policy)
{
    return policy->namespace[0] == '\0';
}

int kp_policy_compare(const struct kp_policy *a, const struct kp_policy *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority ? -1 : 1;
    if (kp_policy_is_cluster(a) != kp_policy_is_cluster(b))
        return kp_policy_is_cluster(a) ? 1 : -1;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : strcmp(a->namespace, b->namespace);
}
