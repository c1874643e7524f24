#include "cli/lint.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/duration.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/crds.h"
#include "cli/policyfile.h"
#include "cli/schema.h"
#include "kube/yaml.h"
#include "plan/plan.h"
#include "policy/types.h"
#include "base/banned.h"

#define MAX_NAME         63
#define MINUTE           (60 * (int64_t)1000)
#define SPARSE_TRACES    (10 * MINUTE)
#define LONGEST          MINUTE           // a platform that says nothing else allows so much
#define LONGEST_TRACE    ((int64_t)10000) // and of a trace
#define LONGEST_INTERVAL (7 * 24 * 60 * MINUTE)
#define MANY_PODS        50
#define MAX_PARTS        64 // more than a policy may have

struct kp_lint {
    json_t *crds[2]; // of ProfilingPolicy, ClusterProfilingPolicy
};

static json_t *read_crd(const unsigned char *text, size_t len)
{
    json_t *crd = NULL;
    return kp_yaml_parse((const char *)text, len, &crd, NULL) == 0 ? crd : NULL;
}

struct kp_lint *kp_lint_create(void)
{
    struct kp_lint *lint = KP_NEW(struct kp_lint);
    lint->crds[0] = read_crd(kp_crd_profilingpolicies, kp_crd_profilingpolicies_len);
    lint->crds[1] = read_crd(kp_crd_clusterprofilingpolicies, kp_crd_clusterprofilingpolicies_len);
    return lint;
}

void kp_lint_destroy(struct kp_lint *lint)
{
    json_decref(lint->crds[0]);
    json_decref(lint->crds[1]);
    kp_free(lint);
}

// ---- findings ----

KP_PRINTF(4, 5)
static void find(json_t *findings, const char *severity, const char *field, const char *fmt, ...)
{
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 2048);
    va_list args;
    va_start(args, fmt);
    kp_strbuf_vaddf(&text, fmt, args);
    va_end(args);
    json_array_append_new(
        findings, json_pack("{s:s,s:s,s:s}", "severity", severity, "field", field, "message", text.data));
}
#define error(findings, field, ...)   find(findings, "error", field, __VA_ARGS__)
#define warning(findings, field, ...) find(findings, "warning", field, __VA_ARGS__)

static void on_wrong(void *user, const char *path, const char *message)
{
    error(user, path, "%s", message);
}

// ---- what is refused ----

static const json_t *version_of(const json_t *crd, const char *name)
{
    size_t i;
    json_t *version;
    json_array_foreach(json_object_get(json_object_get(crd, "spec"), "versions"), i,
        version) if (kp_streq(json_string_value(json_object_get(version, "name")), name)) return version;
    return NULL;
}

static void check_schema(struct kp_lint *lint, const json_t *object, const char *kind, json_t *findings)
{
    const json_t *crd = lint->crds[kp_streq(kind, "ClusterProfilingPolicy") ? 1 : 0];
    const char *version = json_string_value(json_object_get(object, "apiVersion")) + strlen(KP_GROUP "/");
    const json_t *served = version_of(crd, version);
    if (served == NULL) {
        error(findings, "apiVersion", "there is no version '%.40s'; write " KP_API_VERSION, version);
        return;
    }
    kp_schema_check(
        json_object_get(json_object_get(served, "schema"), "openAPIV3Schema"), object, on_wrong, findings);
}

static void check_metadata(const json_t *object, const char *kind, json_t *findings)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const char *name = json_string_value(json_object_get(metadata, "name"));
    if (name == NULL || name[0] == '\0')
        error(findings, "metadata.name", "is missing");
    else if (strlen(name) > MAX_NAME)
        error(findings, "metadata.name", "the name must be at most %d characters", MAX_NAME);
    else if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != strlen(name) ||
             strchr("-.", name[0]) != NULL || strchr("-.", name[strlen(name) - 1]) != NULL)
        error(findings, "metadata.name", "'%.63s' is no name: lower case letters, digits, '-' and '.'", name);
    if (kp_streq(kind, "ClusterProfilingPolicy") && json_object_get(metadata, "namespace") != NULL)
        error(findings, "metadata.namespace",
            "a ClusterProfilingPolicy is of no namespace; use namespaceSelector");
}

static bool is_port_name(const char *name)
{
    size_t n = strlen(name);
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n &&
           strpbrk(name, "abcdefghijklmnopqrstuvwxyz") != NULL && name[0] != '-' && name[n - 1] != '-';
}

// Rules of the CRDs that the controller does not need, since it takes such values as they are.
static void check_rules(const struct kp_policy *policy, const char *field, json_t *findings)
{
    for (size_t i = 0; i < policy->n_endpoints; i++) {
        const char *name = policy->endpoints[i].port_name;
        kp_auto_free char *port = kp_asprintf("%s.port", field);
        if (name != NULL && !is_port_name(name))
            error(findings, port,
                "'%.15s' is neither a number from 1 to 65535 nor the name of a container port (lower case, "
                "with a "
                "letter)",
                name);
    }
    for (size_t i = 0; i < policy->n_profiles; i++) {
        kp_auto_free char *interval = kp_asprintf("%s.interval", field);
        if (policy->profiles[i].interval_ms > LONGEST_INTERVAL)
            error(findings, interval, "must be at most 168h");
    }
}

// Whether something of it or in it was found wrong: one cause, one sentence.
static bool is_found(const json_t *findings, const char *field)
{
    size_t i;
    json_t *finding;
    json_array_foreach(findings, i, finding)
    {
        const char *other = json_string_value(json_object_get(finding, "field"));
        if (kp_starts_with(other, field) && strchr(".[", other[strlen(field)]) != NULL) // also its end
            return true;
    }
    return false;
}

// A policy that says nothing but this one thing. The controller's own checks end at the first problem; so
// each part is shown to them by itself.
static void check_part(
    const json_t *object, const char *key, json_t *value, const char *field, json_t *findings)
{
    struct kp_policy *policy = NULL;
    struct kp_error why = {0};
    if (is_found(findings, field))
        return;
    json_t *part = json_copy((json_t *)(uintptr_t)object);
    json_t *spec = json_pack("{s:{}}", "selector");
    json_object_set(spec, key, value);
    json_object_set_new(part, "spec", spec);
    if (kp_policyfile_parse(part, "default", &policy, &why) != 0)
        error(findings, field, "%s", why.text);
    else if (policy->reject_reason != NULL)
        error(findings, field, "%s", policy->reject_message);
    else if (kp_streq(key, "endpoints") || kp_streq(key, "profiles"))
        check_rules(policy, field, findings);
    kp_policy_unref(policy);
    json_decref(part);
}

static void check_parts(const json_t *object, json_t *findings)
{
    const char *key;
    json_t *value;
    size_t i;
    size_t n = 0;
    json_t *item;
    if (is_found(findings, "metadata") || is_found(findings, "apiVersion"))
        return;
    json_object_foreach(json_object_get(object, "spec"), key, value)
    {
        if (n++ == MAX_PARTS)
            return;
        bool is_list = kp_streq(key, "endpoints") || kp_streq(key, "profiles");
        kp_auto_free char *field = kp_asprintf("spec.%s", key);
        if (!is_list)
            check_part(object, key, value, field, findings);
        json_array_foreach(is_list ? value : NULL, i, item)
        {
            if (n++ == MAX_PARTS)
                return;
            kp_auto_free char *at = kp_asprintf("spec.%s[%zu]", key, i);
            json_t *one = json_array();
            json_array_append(one, item);
            check_part(object, key, one, at, findings);
            json_decref(one);
        }
    }
}

// ---- what is allowed, but perhaps not meant ----

// One profile type costs nothing in particular where it is read at once.
static double overhead_of(const struct kp_profile_spec *profile)
{
    const struct kp_profile_type *known = kp_profile_type(profile->type);
    const struct kp_wanted wanted = {.type = profile->type,
        .collecting = known ? known->collecting : profile->duration_ms > 0,
        .exclusive = known && known->exclusive,
        .duration_ms = profile->duration_ms};
    return kp_plan_overhead_percent(&wanted, profile->interval_ms, 0);
}

static void warn_of_overhead(const struct kp_policy *policy, json_t *findings)
{
    double sum = 0;
    for (size_t i = 0; i < policy->n_profiles; i++)
        sum += overhead_of(&policy->profiles[i]);
    if (sum > policy->overhead_percent)
        warning(findings, "spec.profiles",
            "costs about %.2g%% of a process' CPU, budget.overheadPercent is %g: intervals will be stretched "
            "to "
            "about %.0f times as long",
            sum, policy->overhead_percent, sum / policy->overhead_percent + 0.5);
}

static void warn_of_profiles(const struct kp_policy *policy, const json_t *spec, json_t *findings)
{
    size_t i;
    json_t *given;
    warn_of_overhead(policy, findings);
    json_array_foreach(json_object_get(spec, "profiles"), i, given)
    {
        const char *duration = json_string_value(json_object_get(given, "duration"));
        const struct kp_profile_spec *profile = &policy->profiles[i];
        int64_t longest = kp_streq(profile->type, "trace") ? LONGEST_TRACE : LONGEST;
        int64_t asked = 0;
        char text[KP_DURATION_TEXT];
        kp_auto_free char *field = kp_asprintf("spec.profiles[%zu]", i);
        if (duration && kp_duration_parse(duration, &asked, NULL) == 0 && asked > longest)
            warning(findings, field,
                "a duration of %s is cut to %s, unless the platform allows more (--max-duration)", duration,
                kp_duration_format(text, longest));
        if (kp_streq(profile->type, "trace") && profile->interval_ms < SPARSE_TRACES)
            warning(findings, field, "traces every %s are many and large; once in 10m or less often is usual",
                kp_duration_format(text, profile->interval_ms));
    }
}

static void warn_of_pods(const struct kp_policy *policy, json_t *findings)
{
    struct kp_int_or_percent k = policy->sample_replicas;
    bool all_namespaces = kp_policy_is_cluster(policy) && kp_selector_is_empty(policy->namespace_selector);
    if (all_namespaces && kp_selector_is_empty(policy->selector) &&
        policy->annotations != KP_ANNOTATIONS_REQUIRE)
        warning(findings, "spec.selector",
            "selects every pod of every namespace, the cluster's own as well; set a selector, a "
            "namespaceSelector, or "
            "annotationPolicy: Require");
    if (k.is_percent ? k.value == 100 : k.value > MANY_PODS)
        warning(findings, "spec.sampling.replicas",
            "%d%s of the pods of each revision: a few say as much, and cost less; 3 if not set", k.value,
            k.is_percent ? "%" : "");
    if (policy->annotations == KP_ANNOTATIONS_IGNORE)
        warning(findings, "spec.annotationPolicy",
            "Ignore: pods cannot say where pprof is%s; only kube-pprof.dev/enable: \"false\" counts",
            policy->n_endpoints == 0 ? ", and there are no endpoints: only ports named pprof are found" : "");
}

static void warn_of_endpoints(const struct kp_policy *policy, json_t *findings)
{
    for (size_t i = 0; i < policy->n_endpoints; i++) {
        const struct kp_endpoint *endpoint = &policy->endpoints[i];
        kp_auto_free char *field = kp_asprintf("spec.endpoints[%zu]", i);
        if (endpoint->tls_insecure)
            warning(findings, field,
                "insecureSkipVerify: whoever can answer at the address is believed; set tls.ca");
        if (endpoint->container == NULL && endpoint->port_name == NULL)
            warning(findings, field,
                "port %u without a container: where no container declares it, the first one is taken; name "
                "the "
                "container, or the port",
                endpoint->port);
    }
}

static void warn(const struct kp_policy *policy, const json_t *object, json_t *findings)
{
    const json_t *spec = json_object_get(object, "spec");
    if (policy->suspend)
        warning(findings, "spec.suspend", "nothing is captured while it is true");
    warn_of_pods(policy, findings);
    warn_of_endpoints(policy, findings);
    warn_of_profiles(policy, spec, findings);
}

void kp_lint_object(struct kp_lint *lint, const json_t *object, json_t *findings)
{
    const char *kind = kp_policyfile_kind(object);
    struct kp_policy *policy = NULL;
    struct kp_error why = {0};
    size_t before = json_array_size(findings);
    if (kind == NULL) {
        error(findings, "",
            "is no policy: apiVersion must be " KP_API_VERSION
            ", kind ProfilingPolicy or ClusterProfilingPolicy");
        return;
    }
    check_metadata(object, kind, findings);
    check_schema(lint, object, kind, findings);
    check_parts(object, findings);
    bool is_well = json_array_size(findings) == before;
    if (kp_policyfile_parse(object, "default", &policy, &why) != 0 && is_well)
        error(findings, "", "%s", why.text);
    else if (policy != NULL && policy->reject_reason != NULL && is_well) // by parts that do not go together
        error(findings, "spec", "%s", policy->reject_message);
    if (policy != NULL && json_array_size(findings) == before)
        warn(policy, object, findings);
    kp_policy_unref(policy);
}
