// top, tree and diff.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/blob.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/outfile.h"
#include "cli/picture.h"
#include "cli/reporting.h"
#include "cli/source.h"
#include "profile/filter.h"
#include "profile/merge.h"
#include "base/banned.h"

#define ALL_ROWS   UINT32_MAX
#define TREE_NODES 200
#define LEVEL      6

// ---- by label, of a registry: system fields are no labels of samples, so only the registry can tell ----

static bool is_told_by_registry(const struct kp_cli_report *report, const struct kp_source *source)
{
    return report->options.by == KP_BY_LABEL && source->kind != KP_SOURCE_FILES;
}

static void add_report(struct kp_cli *cli, const struct kp_cli_report *report, struct kp_query *query)
{
    const struct kp_cli_flags *f = &cli->flags;
    kp_query_add(query, "by", f->by);
    kp_query_add(query, "sampleType", f->sample_type);
    kp_query_add(query, "focus", f->focus);
    kp_query_add(query, "ignore", f->ignore);
    kp_query_add(query, "hide", f->hide);
    if (f->limit > 0)
        kp_query_add_int(query, "limit", f->limit);
    if (f->cum)
        kp_query_add(query, "sort", "cum");
    kp_query_add(query, "format", report->has_json ? "json" : "text");
}

// What of the base is not as in the profile.
static int add_base(struct kp_cli *cli, const struct kp_source *source, const struct kp_source *base,
    struct kp_query *query, struct kp_error *err)
{
    static const char *const keys[][2] = {
        {"from", "baseFrom"}, {"to", "baseTo"}, {"selector", "baseSelector"}, {"ids", "baseIds"}};
    struct kp_query asked;
    if (source->kind != base->kind || !kp_streq(source->service, base->service))
        return kp_cli_usage(
            cli, err, "by label a workload is compared with another time, revision or selector of its own");
    kp_query_init(&asked);
    int rc = kp_source_query(cli, base, &asked, err);
    for (size_t i = 0; i < asked.items.n; i++)
        for (size_t k = 0; k < KP_COUNT(keys); k++)
            if (kp_streq(asked.items.items[i].key, keys[k][0]))
                kp_query_add(query, keys[k][1], asked.items.items[i].value);
    if (cli->flags.normalize)
        kp_query_add(query, "normalize", "true");
    kp_query_finish(&asked);
    return rc;
}

// {"stats": ..., "top": report}: the report, as of files.
static int print_json(struct kp_cli *cli, const struct kp_blob *blob, struct kp_error *err)
{
    json_t *answer = json_loadb((const char *)blob->data, blob->len, 0, NULL);
    const json_t *top = json_object_get(answer, "top");
    char *text = json_dumps(top ? top : answer, JSON_COMPACT);
    json_decref(answer);
    if (text == NULL)
        return kp_fail(err, KP_INVALID, "the registry's answer is no JSON");
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_CLI_MAX_TEXT);
    kp_strbuf_addf(&out, "%s\n", text);
    free(text); // jansson's
    return kp_out_text(cli, out.data, out.len, err);
}

static int print_registrys(struct kp_cli *cli, const struct kp_cli_report *report,
    const struct kp_source *source, const struct kp_source *base, struct kp_error *err)
{
    struct kp_query query;
    struct kp_blob *blob = NULL;
    kp_query_init(&query);
    int rc = kp_source_query(cli, source, &query, err);
    if (rc == 0 && base != NULL)
        rc = add_base(cli, source, base, &query, err);
    if (rc == 0) {
        add_report(cli, report, &query);
        rc = kp_ask_bytes(cli, base ? "diff" : "top", &query, &blob, err);
    }
    if (rc == 0)
        rc = report->has_json ? print_json(cli, blob, err) : kp_out_text(cli, blob->data, blob->len, err);
    kp_blob_unref(blob);
    kp_query_finish(&query);
    return rc;
}

// ---- top ----

static int print(struct kp_cli *cli, const struct kp_strbuf *out, struct kp_error *err)
{
    if (out->overflow)
        return kp_fail(err, KP_LIMIT, "the answer is too long: ask for less with --limit or --focus");
    return kp_out_text(cli, out->data, out->len, err);
}

// As pprof tells them, cut as there.
static void add_filter(struct kp_strbuf *out, const char *name, const char *value)
{
    if (!kp_cli_given(value))
        return;
    if (strstr(out->data, "Active filters:") == NULL)
        kp_strbuf_adds(out, "Active filters:\n");
    kp_auto_free char *line = kp_asprintf("%s=%s", name, value);
    kp_strbuf_addf(out, "   %.80s%s\n", line, strlen(line) > 80 ? "\u2026" : "");
}

static void add_filters(const struct kp_cli *cli, struct kp_strbuf *out)
{
    add_filter(out, "focus", cli->flags.focus);
    add_filter(out, "ignore", cli->flags.ignore);
    add_filter(out, "hide", cli->flags.hide);
}

static int print_text(struct kp_cli *cli, const struct kp_top *top, struct kp_error *err)
{
    kp_auto_strbuf text;
    kp_auto_strbuf out;
    kp_strbuf_init(&text, KP_CLI_MAX_TEXT);
    kp_strbuf_init(&out, KP_CLI_MAX_TEXT);
    kp_top_text(top, &text);
    const char *summary = strstr(text.data, "Showing nodes accounting for");
    const char *head = summary ? strstr(summary, "      flat  flat%") : NULL;
    const char *rows = head ? strchr(head, '\n') : NULL;
    if (rows == NULL)
        return print(cli, &text, err);
    if (cli->flags.no_headers) {
        kp_strbuf_adds(&out, rows + 1);
        return print(cli, &out, err);
    }
    kp_strbuf_add(&out, text.data, (size_t)(summary - text.data));
    add_filters(cli, &out);
    kp_strbuf_adds(&out, summary);
    out.overflow |= text.overflow;
    return print(cli, &out, err);
}

static int print_top(struct kp_cli *cli, const struct kp_top *top, bool json, struct kp_error *err)
{
    if (top->n + top->n_left_out == 0)
        kp_cli_note_nothing_left(cli);
    if (!json)
        return print_text(cli, top, err);
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_CLI_MAX_TEXT);
    kp_top_json(top, &out);
    kp_strbuf_addc(&out, '\n');
    return print(cli, &out, err);
}

int kp_cli_top(struct kp_cli *cli, struct kp_error *err)
{
    struct kp_cli_report report;
    struct kp_source source;
    kp_auto_profile *profile = NULL;
    struct kp_top *top = NULL;
    int rc = kp_cli_report_parse(cli, &report, err);
    if (rc != 0)
        return rc;
    if (report.options.limit == 0)
        report.options.limit = ALL_ROWS;
    rc = kp_source_parse(cli, cli->args, cli->n_args, &source, err);
    if (rc == 0 && is_told_by_registry(&report, &source)) {
        rc = print_registrys(cli, &report, &source, NULL, err);
        kp_source_finish(&source);
        return rc;
    }
    if (rc == 0)
        rc = kp_source_load(cli, &source, &profile, err);
    if (rc == 0)
        rc = kp_report_top(profile, &report.options, &top, err);
    if (rc == 0)
        rc = print_top(cli, top, report.has_json, err);
    kp_top_free(top);
    kp_source_finish(&source);
    return rc;
}

// ---- tree ----

int kp_cli_tree(struct kp_cli *cli, struct kp_error *err)
{
    struct kp_cli_report report;
    struct kp_source source;
    kp_auto_profile *profile = NULL;
    int rc = kp_cli_report_parse(cli, &report, err);
    if (rc != 0)
        return rc;
    if (report.options.limit == 0)
        report.options.limit = TREE_NODES;
    rc = kp_source_parse(cli, cli->args, cli->n_args, &source, err);
    if (rc == 0)
        rc = kp_source_load(cli, &source, &profile, err);
    if (rc == 0)
        rc =
            kp_picture_print(cli, profile, NULL, &report.options, report.has_json ? "json" : "text", "", err);
    kp_source_finish(&source);
    return rc;
}

// ---- diff ----

// As `go tool pprof -diff_base` takes it in.
static int write_pprof(
    struct kp_cli *cli, struct kp_profile *profile, struct kp_profile *base, struct kp_error *err)
{
    kp_auto_profile *sum = NULL;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_CLI_MAX_TEXT);
    if (cli->flags.normalize)
        kp_profile_normalize_base(base, profile);
    kp_profile_mark_base(base);
    int rc = kp_profile_merge((const struct kp_profile *[]){profile, base}, 2, &sum, err);
    if (rc != 0)
        return rc;
    kp_profile_encode(sum, LEVEL, &out);
    return kp_out_bytes(cli, out.data, out.len, err);
}

static int write_diff(struct kp_cli *cli, const struct kp_cli_report *report, struct kp_profile *profile,
    struct kp_profile *base, const char *title, struct kp_error *err)
{
    const char *format = kp_cli_given(cli->flags.format) ? cli->flags.format : "text";
    struct kp_top *top = NULL;
    struct kp_profile *both[] = {profile, base};
    int rc = kp_profile_common_types(both, 2, err);
    if (rc != 0)
        return kp_wrap(err, "these two cannot be compared");
    if (kp_streq(format, "pprof"))
        return write_pprof(cli, profile, base, err);
    if (!kp_streq(format, "text") && !kp_streq(format, "json")) {
        struct kp_report_options options = report->options;
        options.limit = (size_t)cli->flags.limit;
        options.min_share = 0;
        return kp_picture_print(cli, profile, base, &options, format, title, err);
    }
    rc = kp_report_top_diff(profile, base, cli->flags.normalize, &report->options, &top, err);
    if (rc == 0)
        rc = print_top(cli, top, report->has_json || kp_streq(format, "json"), err);
    kp_top_free(top);
    return rc;
}

// Pictures are not sorted and have no headers.
static int check_format(struct kp_cli *cli, const struct kp_cli_report *report, struct kp_error *err)
{
    const char *format = kp_cli_given(cli->flags.format) ? cli->flags.format : "text";
    const char *flag = report->has_json && !kp_streq(format, "json") && kp_cli_given(cli->flags.format)
                           ? "-o json"
                       : cli->flags.cum && !kp_has_word("text json", format) ? "--cum"
                       : cli->flags.no_headers && !kp_streq(format, "text")  ? "--no-headers"
                                                                             : NULL;
    return flag ? kp_cli_usage(cli, err, "%s does not go with --format %s", flag, format) : 0;
}

int kp_cli_diff(struct kp_cli *cli, struct kp_error *err)
{
    struct kp_cli_report report;
    struct kp_source source = {0};
    struct kp_source base = {0};
    kp_auto_profile *profile = NULL;
    kp_auto_profile *before = NULL;
    bool has_base;
    int rc = kp_cli_report_parse(cli, &report, err);
    if (rc != 0)
        return rc;
    if (report.options.limit == 0)
        report.options.limit = ALL_ROWS;
    rc = kp_picture_check(cli, "text json svg html folded pprof", err);
    if (rc == 0)
        rc = check_format(cli, &report, err);
    if (rc == 0)
        rc = kp_source_parse_pair(cli, true, &source, &base, &has_base, err);
    if (rc == 0 && is_told_by_registry(&report, &source)) {
        rc = print_registrys(cli, &report, &source, &base, err);
    } else if (rc == 0) {
        rc = kp_source_load(cli, &source, &profile, err);
        if (rc == 0 && (rc = kp_source_load(cli, &base, &before, err)) != 0)
            kp_wrap(err, "the base");
        if (rc == 0)
            kp_cli_note_durations(cli, profile, before);
        kp_auto_free char *title = rc == 0 ? kp_source_title(&source) : NULL;
        if (rc == 0)
            rc = write_diff(cli, &report, profile, before, title, err);
    }
    kp_source_finish(&source);
    kp_source_finish(&base);
    return rc;
}
