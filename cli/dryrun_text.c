#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/duration.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/describe.h"
#include "cli/dryrun.h"
#include "cli/table.h"
#include "base/banned.h"

#define LABEL 12

static const char *text_of(const json_t *data, const char *key)
{
    return json_string_value(json_object_get(data, key));
}

static double number_of(const json_t *data, const char *key)
{
    return json_number_value(json_object_get(data, key));
}

static long long count_of(const json_t *data, const char *key)
{
    return json_integer_value(json_object_get(data, key));
}

static const char *duration_of(char out[KP_DURATION_TEXT], double seconds)
{
    return kp_duration_format(out, (int64_t)(seconds * 1000 + 0.5));
}

static const char *rate_of(char out[32], double per_hour)
{
    snprintf(out, 32, per_hour < 10 && per_hour > 0 ? "%.1f" : "%.0f", per_hour);
    return out;
}

// ---- one workload ----

static void sampled_cell(struct kp_table *table, const json_t *row)
{
    size_t n = json_array_size(json_object_get(row, "revisions"));
    if (n > 1)
        kp_table_cellf(
            table, "%lld of %lld in %zu revisions", count_of(row, "sampled"), count_of(row, "pods"), n);
    else
        kp_table_cellf(table, "%lld of %lld", count_of(row, "sampled"), count_of(row, "pods"));
}

static void row_cells(struct kp_table *table, const json_t *row)
{
    char text[KP_DURATION_TEXT];
    char size[KP_AGE_TEXT];
    char rate[32];
    const char *also = text_of(row, "also");
    const json_t *duration = json_object_get(row, "durationSeconds");
    const json_t *bytes = json_object_get(row, "bytesPerDay");
    kp_table_cell(table, "   ");
    kp_table_cellf(table, "%s%s%s", text_of(row, "type"), also ? "+" : "", also ? also : "");
    kp_table_cell(table, duration_of(text, number_of(row, "intervalSeconds")));
    kp_table_cell(table, duration ? duration_of(text, json_number_value(duration)) : "at once");
    sampled_cell(table, row);
    kp_table_cell(table, rate_of(rate, number_of(row, "capturesPerHour")));
    kp_table_cell(table, bytes ? kp_size_format(size, (uint64_t)json_number_value(bytes)) : "?");
}

static bool same_port(const json_t *a, const json_t *b)
{
    return a != NULL && kp_streq(text_of(a, "workload"), text_of(b, "workload")) &&
           kp_streq(text_of(a, "container"), text_of(b, "container")) &&
           count_of(a, "port") == count_of(b, "port");
}

static void remark(const json_t *row, FILE *out)
{
    char text[KP_DURATION_TEXT];
    const json_t *others = json_object_get(row, "sharedWith");
    const char *type = text_of(row, "type");
    size_t i;
    json_t *other;
    if (number_of(row, "intervalSeconds") > number_of(row, "askedSeconds") * 1.001)
        kp_describe(out, 6, 0, "", "%s is stretched: every %s is asked", type,
            duration_of(text, number_of(row, "askedSeconds")));
    json_array_foreach(others, i, other) kp_describe(out, 6, 0, "",
        "%s is shared with %s: %s decides, the shortest interval and most pods count", type,
        json_string_value(other), text_of(row, "decidedBy"));
}

// Rows from `begin` on that are of the same port; returns where the next one begins.
static size_t print_port(const json_t *rows, size_t begin, FILE *out)
{
    static const char *const columns[] = {"   ", "TYPE", "EVERY", "FOR", "SAMPLED", "AN HOUR", "A DAY", NULL};
    const json_t *first = json_array_get(rows, begin);
    struct kp_table *table = kp_table_create(columns);
    size_t end = begin;
    while (end < json_array_size(rows) && same_port(first, json_array_get(rows, end)))
        row_cells(table, json_array_get(rows, end++));
    fputc('\n', out);
    kp_describe(out, 4, 0, "", "%s, %s:%lld, service %s", text_of(first, "workload"),
        text_of(first, "container"), count_of(first, "port"), text_of(first, "service"));
    kp_table_print(table, true, out);
    kp_table_destroy(table);
    for (size_t i = begin; i < end; i++)
        remark(json_array_get(rows, i), out);
    return end;
}

// ---- one policy ----

static void print_left_out(const json_t *list, FILE *out)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) kp_describe(out, 2, LABEL, i == 0 ? "Left out:" : "",
        "%lld %s: %s (%s%s)", count_of(item, "pods"), text_of(item, "reason"), text_of(item, "message"),
        count_of(item, "pods") > 1 ? "for example " : "", text_of(item, "example"));
}

static void print_bytes(const json_t *rows, FILE *out)
{
    double sum = 0;
    size_t known = 0;
    size_t unknown = 0;
    size_t i;
    json_t *row;
    char size[KP_AGE_TEXT];
    json_array_foreach(rows, i, row)
    {
        known += json_object_get(row, "bytesPerDay") != NULL ? 1 : 0;
        unknown += json_is_true(json_object_get(row, "bytesUnknown")) ? 1 : 0;
        sum += number_of(row, "bytesPerDay");
    }
    if (known > 0)
        kp_describe(out, 2, LABEL, "Bytes:", "%s a day%s, by the size of profiles that are kept",
            kp_size_format(size, (uint64_t)sum), known < i ? " at least" : "");
    else if (unknown > 0)
        kp_describe(
            out, 2, LABEL, "Bytes:", "not known: profiles that are kept cannot be read, see the note");
    else if (i > 0)
        kp_describe(out, 2, LABEL, "Bytes:", "not known: no profiles of these services and types are kept");
}

static void print_hint(const char *namespace, FILE *out)
{
    bool is_cluster = namespace[0] == '\0';
    kp_describe(out, 2, LABEL, "Hint:", "no pod in %s%s has these labels; see which there are:",
        is_cluster ? "the namespaces it selects" : "namespace ", namespace);
    kp_describe(
        out, 2, LABEL, "", "kubectl get pods %s%s --show-labels", is_cluster ? "-A" : "-n ", namespace);
}

// Whether there is a schedule to compare: none of the pods may be of these policies.
static bool is_of_any_pod(const json_t *data)
{
    size_t i;
    json_t *policy;
    bool any = number_of(data, "capturesPerHour") != number_of(data, "capturesPerHourNow");
    json_array_foreach(json_object_get(data, "policies"), i, policy) any |=
        count_of(policy, "podsMatched") > 0;
    return any;
}

static void print_policy(const json_t *policy, FILE *out)
{
    const char *namespace = text_of(policy, "namespace");
    const json_t *fit = json_object_get(policy, "fit");
    const json_t *rows = json_object_get(policy, "captures");
    char rate[32];
    kp_describe(out, 0, 0, "", "%s%s%s, %s", text_of(policy, "policy"), namespace[0] ? " of namespace " : "",
        namespace,
        json_is_true(json_object_get(policy, "replaces")) ? "instead of the one in the cluster" : "new");
    if (json_is_true(json_object_get(policy, "suspended")))
        kp_describe(out, 2, LABEL, "Suspended:", "captures nothing; this is what it would do otherwise");
    kp_describe(out, 2, LABEL, "Pods:", "%lld match, %lld can be profiled", count_of(policy, "podsMatched"),
        count_of(policy, "podsProfiled"));
    if (count_of(policy, "podsMatched") == 0)
        print_hint(namespace, out);
    print_left_out(json_object_get(policy, "leftOut"), out);
    kp_describe(
        out, 2, LABEL, "Captures:", "%s an hour", rate_of(rate, number_of(policy, "capturesPerHour")));
    if (json_array_size(rows) == 0)
        return;
    kp_describe(out, 2, LABEL, "Fits:", "%s%s%s%s",
        json_is_true(json_object_get(fit, "fits")) ? "yes: " : "no, ",
        json_is_true(json_object_get(fit, "fits")) ? "" : text_of(fit, "reason"),
        json_is_true(json_object_get(fit, "fits")) ? "" : ": ", text_of(fit, "message"));
    kp_describe(out, 2, LABEL, "Overhead:",
        "about %.2g%% of the CPU of a process while it is sampled (%s), budget %g%%; what is read at once is "
        "not "
        "counted: how long that takes is known after the first captures only",
        number_of(policy, "overheadPercent"), text_of(policy, "overheadOf"),
        number_of(policy, "budgetPercent"));
    print_bytes(rows, out);
    for (size_t i = 0; i < json_array_size(rows);)
        i = print_port(rows, i, out);
}

void kp_dryrun_text(const json_t *data, FILE *out)
{
    size_t i;
    json_t *policy;
    char then[32];
    char now[32];
    json_array_foreach(json_object_get(data, "policies"), i, policy)
    {
        if (i > 0)
            fputc('\n', out);
        print_policy(policy, out);
    }
    if (!is_of_any_pod(data))
        return;
    fputc('\n', out);
    kp_describe(out, 0, 0, "", "All policies together: %s captures an hour of these pods, now %s.",
        rate_of(then, number_of(data, "capturesPerHour")),
        rate_of(now, number_of(data, "capturesPerHourNow")));
}
