// What explain found, in the layout of `kubectl describe`.
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/describe.h"
#include "cli/explain.h"
#include "cli/table.h"
#include "base/banned.h"

#define LABEL 14 // columns of the labels at the left

static const char *text_of(const json_t *data, const char *key)
{
    return json_string_value(json_object_get(data, key));
}

static bool is_true(const json_t *data, const char *key)
{
    return json_is_true(json_object_get(data, key));
}

static const char *duration_of(char out[KP_DURATION_TEXT], const json_t *value)
{
    return kp_duration_format(out, (int64_t)(json_number_value(value) * 1000));
}

// A number, or a percentage as text.
static void add_share(struct kp_strbuf *text, const json_t *share)
{
    if (json_is_string(share))
        kp_strbuf_adds(text, json_string_value(share));
    else
        kp_strbuf_addf(text, "%lld", (long long)json_integer_value(share));
}

// ---- the pod ----

// Known to be, at all of its ports.
static bool is_out_of_sample(const json_t *data)
{
    size_t i;
    json_t *target;
    json_array_foreach(json_object_get(data, "targets"), i,
        target) if (!json_is_false(json_object_get(target, "sampled"))) return false;
    return true;
}

static void print_pod(const json_t *data, FILE *out)
{
    const char *kind = text_of(data, "workloadKind");
    const char *revision = text_of(data, "revision");
    const char *message = text_of(data, "message");
    size_t n = json_array_size(json_object_get(data, "targets"));
    kp_describe(out, 0, LABEL, "Name:", "%s", text_of(data, "pod"));
    kp_describe(out, 0, LABEL, "Namespace:", "%s", text_of(data, "namespace"));
    kp_describe(out, 0, LABEL, "Workload:", "%s%s%s%s%s", kind ? kind : "", kind ? "/" : "",
        text_of(data, "workload"), revision ? ", revision " : "", revision ? revision : "");
    kp_describe(out, 0, LABEL, "Status:", "%s, %s", text_of(data, "phase"),
        is_true(data, "ready") ? "ready" : "not ready");
    if (is_true(data, "profiled"))
        kp_describe(out, 0, LABEL, "Profiled:", "yes, at %zu port%s%s", n, n == 1 ? "" : "s",
            is_out_of_sample(data) ? "; other pods of its revision are in the sample now" : "");
    else
        kp_describe(out, 0, LABEL, "Profiled:", "no%s: %s",
            json_is_false(json_object_get(data, "certain")) ? ", as far as you may see" : "",
            message ? message : "");
}

static void print_annotations(const json_t *list, FILE *out)
{
    size_t i;
    json_t *note;
    kp_describe(
        out, 0, LABEL, "Annotations:", "%s", json_array_size(list) ? "" : "<none that mean anything here>");
    json_array_foreach(list, i, note)
    {
        const char *problem = text_of(note, "problem");
        const char *meaning = text_of(note, "meaning");
        kp_describe(out, 2, 0, "", "%s: %s", text_of(note, "key"), text_of(note, "value"));
        if (meaning != NULL)
            kp_describe(out, 6, 0, "", "%s (dialect %s)", meaning, text_of(note, "dialect"));
        if (problem != NULL)
            kp_describe(out, 6, 9, "problem:", "%s", problem);
    }
}

// ---- policies ----

static void print_selector(const json_t *selector, const char *label, const char *whose, FILE *out)
{
    const json_t *list = json_object_get(selector, "requirements");
    size_t i;
    json_t *req;
    if (selector == NULL)
        return;
    kp_describe(out, 4, LABEL, label, "%s",
        json_array_size(list) == 0   ? "selects all"
        : is_true(selector, "holds") ? "selects it"
                                     : "does not select it");
    json_array_foreach(list, i, req)
    {
        const char *value = text_of(req, "value");
        const char *key = text_of(req, "key");
        const char *mark = is_true(req, "holds") ? "yes" : "no";
        if (json_is_null(json_object_get(req, "value")))
            kp_describe(
                out, 6, 5, mark, "%s: the %s has no label %s", text_of(req, "requirement"), whose, key);
        else
            kp_describe(
                out, 6, 5, mark, "%s: the %s has %s=%s", text_of(req, "requirement"), whose, key, value);
    }
}

static const char *annotation_words(const char *policy)
{
    if (kp_streq(policy, "Require"))
        return "Require: only pods that opt in by annotation";
    if (kp_streq(policy, "Ignore"))
        return "Ignore: annotations mean nothing, but for kube-pprof.dev/enable: \"false\"";
    return "Honor: annotations fill in what the policy leaves open";
}

static void print_policy(const json_t *policy, FILE *out)
{
    const char *verdict = text_of(policy, "verdict");
    const char *reason = text_of(policy, "reason");
    const char *message = text_of(policy, "message");
    bool profiles = kp_streq(verdict, "Profiles");
    fputc('\n', out);
    kp_describe(out, 2, 0, "", "%s, priority %lld", text_of(policy, "policy"),
        (long long)json_integer_value(json_object_get(policy, "priority")));
    if (profiles)
        kp_describe(out, 4, LABEL, "profiles it:", "yes");
    else if (kp_streq(verdict, "NotSelected") || kp_streq(verdict, "Suspended"))
        kp_describe(out, 4, LABEL, "profiles it:", "no: %s", message);
    else
        kp_describe(out, 4, LABEL, "profiles it:", "no, %s: %s", reason, message);
    print_selector(json_object_get(policy, "namespaceSelector"), "namespaceSelector:", "namespace", out);
    print_selector(json_object_get(policy, "selector"), "selector:", "pod", out);
    if (profiles || kp_streq(verdict, "LeftOut"))
        kp_describe(
            out, 4, LABEL, "annotations:", "%s", annotation_words(text_of(policy, "annotationPolicy")));
}

// ---- targets ----

static void print_shares(const json_t *target, FILE *out)
{
    char text[KP_DURATION_TEXT];
    const json_t *sampling = json_object_get(target, "sampling");
    const json_t *budget = json_object_get(target, "budget");
    const json_t *of = json_object_get(sampling, "of");
    kp_auto_strbuf line;
    kp_strbuf_init(&line, 4096);
    add_share(&line, json_object_get(sampling, "replicas"));
    kp_describe(out, 4, LABEL, "sampling:", "%s of the pods of each revision, others every %s", line.data,
        duration_of(text, json_object_get(sampling, "rotationSeconds")));
    kp_strbuf_clear(&line);
    add_share(&line, json_object_get(budget, "concurrentPerWorkload"));
    kp_describe(out, 4, LABEL, "budget:", "%g%% of the CPU, %s of the workload's pods at once, %s a profile",
        json_number_value(json_object_get(budget, "overheadPercent")), line.data,
        text_of(budget, "profileBytes"));
    if (json_object_get(target, "retentionSeconds"))
        kp_describe(
            out, 4, LABEL, "kept:", "%s", duration_of(text, json_object_get(target, "retentionSeconds")));
    const json_t *sampled = json_object_get(target, "sampled");
    if (sampled == NULL)
        kp_describe(out, 4, LABEL, "sampled now:", "not known");
    else if (of != NULL)
        kp_describe(out, 4, LABEL, "sampled now:", "%s, %lld of the %lld pods of its revision are",
            json_is_true(sampled) ? "yes" : "no",
            (long long)json_integer_value(json_object_get(sampling, "taken")),
            (long long)json_integer_value(of));
    else
        kp_describe(out, 4, LABEL, "sampled now:", "%s", json_is_true(sampled) ? "yes" : "no");
}

static void print_labels(const json_t *labels, FILE *out)
{
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 65536);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
        kp_strbuf_addf(&text, "%s%s=%s", text.len ? " " : "", key, json_string_value(value));
    if (text.len > 0)
        kp_describe(out, 4, LABEL, "labels:", "%s", text.data);
}

static void age_cell(struct kp_table *table, const json_t *type, const char *key, int64_t now_ms)
{
    char text[KP_AGE_TEXT];
    int64_t ms = 0;
    const char *time = text_of(type, key);
    bool is_next = kp_streq(key, "nextTime");
    if (time == NULL || kp_time_parse(time, &ms, NULL) != 0)
        kp_table_cell(table, NULL);
    else if (is_next)
        kp_table_cell(table, ms <= now_ms ? "now" : kp_age_format(text, ms - now_ms));
    else
        kp_table_cellf(table, "%s ago", kp_age_format(text, now_ms - ms));
}

static void print_types(const json_t *types, int64_t now_ms, FILE *out)
{
    static const char *const columns[] = {"   ", "TYPE", "EVERY", "FOR", "NEXT IN", "LAST", "RESULT", NULL};
    struct kp_table *table = kp_table_create(columns);
    char text[KP_DURATION_TEXT];
    size_t i;
    json_t *type;
    json_array_foreach(types, i, type)
    {
        const char *also = text_of(type, "also");
        const json_t *asked = json_object_get(type, "intervalSeconds");
        const json_t *stretched = json_object_get(type, "stretchedSeconds");
        const json_t *duration = json_object_get(type, "durationSeconds");
        kp_table_cell(table, "   ");
        kp_table_cellf(table, "%s%s%s", text_of(type, "type"), also ? "+" : "", also ? also : "");
        kp_table_cell(table, duration_of(text, stretched ? stretched : asked));
        kp_table_cell(table, duration ? duration_of(text, duration) : "at once");
        age_cell(table, type, "nextTime", now_ms);
        age_cell(table, type, "lastTime", now_ms);
        kp_table_cell(table, text_of(type, "lastResult"));
    }
    kp_table_print(table, true, out);
    kp_table_destroy(table);
}

// What the table has no room for.
static void print_remarks(const json_t *target, FILE *out)
{
    char text[KP_DURATION_TEXT];
    const json_t *types = json_object_get(target, "types");
    const char *decided = text_of(target, "decidedBy");
    size_t i;
    size_t k;
    json_t *type;
    json_t *policy;
    json_array_foreach(types, i, type)
    {
        const char *name = text_of(type, "type");
        const json_t *asked = json_object_get(type, "intervalSeconds");
        const json_t *stretched = json_object_get(type, "stretchedSeconds");
        const json_t *policies = json_object_get(type, "policies");
        const char *message = text_of(type, "message");
        bool same = json_array_size(policies) == 1 &&
                    kp_streq(json_string_value(json_array_get(policies, 0)), decided);
        kp_describe(out, 4, LABEL, name, "%s://...%s", text_of(target, "scheme"), text_of(type, "path"));
        if (stretched && json_number_value(stretched) > json_number_value(asked))
            kp_describe(out, 4, LABEL, "", "stretched: asked for every %s", duration_of(text, asked));
        if (message != NULL)
            kp_describe(out, 4, LABEL, "", "%s", message);
        if (!same)
            json_array_foreach(policies, k, policy) kp_describe(out, 4, LABEL, "", "%s %s",
                k == 0 ? "decided by" : "and wanted by", json_string_value(policy));
    }
}

static void print_target(const json_t *target, int64_t now_ms, FILE *out)
{
    fputc('\n', out);
    kp_describe(out, 2, 0, "", "container %s, port %lld, %s", text_of(target, "container"),
        (long long)json_integer_value(json_object_get(target, "port")), text_of(target, "scheme"));
    kp_describe(out, 4, LABEL, "service:", "%s", text_of(target, "service"));
    kp_describe(out, 4, LABEL, "decided by:", "%s", text_of(target, "decidedBy"));
    kp_describe(out, 4, LABEL, "endpoint:", "%s", text_of(target, "endpoint"));
    print_labels(json_object_get(target, "labels"), out);
    print_shares(target, out);
    print_types(json_object_get(target, "types"), now_ms, out);
    print_remarks(target, out);
}

void kp_explain_text(const json_t *data, int64_t now_ms, FILE *out)
{
    const json_t *policies = json_object_get(data, "policies");
    const json_t *targets = json_object_get(data, "targets");
    size_t i;
    json_t *item;
    print_pod(data, out);
    print_annotations(json_object_get(data, "annotations"), out);
    kp_describe(out, 0, LABEL, "Policies:", "%s", json_array_size(policies) ? "by precedence" : "<none>");
    json_array_foreach(policies, i, item) print_policy(item, out);
    if (json_array_size(targets) > 0)
        fputs("\nTargets:\n", out);
    json_array_foreach(targets, i, item) print_target(item, now_ms, out);
}
