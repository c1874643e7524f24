#include "api/query.h"

#include <string.h>

#include "api/admit.h"
#include "api/aggregated.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/limits.h"
#include "base/quantity.h"
#include "base/regex.h"
#include "base/text.h"
#include "http/query.h"
#include "base/banned.h"

#define MAX_LIST    10000
#define MAX_IDS     10000
#define MAX_NODES   200000
#define MAX_STEP_MS (INT64_C(31) * 24 * 3600 * 1000)

enum kind { TEXT, REGEX, CHOICE, TIME, SELECTOR, IDS, NUMBER, DURATION, BYTES, SHARE, YES_NO };

enum {
    WHERE = KP_Q_LIST | KP_Q_LABELS,
    SUMS = KP_Q_MERGE | KP_Q_DIFF | KP_Q_TOP | KP_Q_FLAME | KP_Q_SERIES | KP_Q_PEERS | KP_Q_PGO,
    REPORTS = KP_Q_DIFF | KP_Q_TOP | KP_Q_FLAME | KP_Q_PEERS,
    FILTERED = REPORTS | KP_Q_MERGE,
    BASED = KP_Q_DIFF | KP_Q_FLAME,
};

#define AT(field) offsetof(struct kp_query, field)

static const struct row {
    const char *name;
    enum kind kind;
    size_t offset;
    unsigned query_for;
    int64_t min, max;
    const char *choices;
} rows[] = {
    {"namespace", TEXT, AT(namespace), WHERE | SUMS | KP_Q_SERVICES | KP_Q_TARGETS | KP_Q_GET | KP_Q_DELETE,
        0, 0, NULL},
    {"service", TEXT, AT(service), WHERE | SUMS, 0, 0, NULL},
    {"type", TEXT, AT(type), WHERE | SUMS, 0, 0, NULL},
    {"selector", SELECTOR, AT(selector), WHERE | SUMS, 0, 0, NULL},
    {"from", TIME, AT(from_ms), WHERE | SUMS, 0, 0, NULL},
    {"to", TIME, AT(to_ms), WHERE | SUMS, 0, 0, NULL},
    {"limit", NUMBER, AT(limit), KP_Q_LIST | KP_Q_TARGETS, 0, MAX_LIST, NULL},
    {"cursor", TEXT, AT(cursor), KP_Q_LIST | KP_Q_TARGETS, 0, 0, NULL},
    {"order", CHOICE, AT(order), KP_Q_LIST, 0, 0, "newest|oldest|desc|asc"},
    {"watch", YES_NO, AT(watch), KP_Q_LIST, 0, 0, NULL},
    {"meta", YES_NO, AT(meta), KP_Q_GET, 0, 0, NULL},
    {"pod", TEXT, AT(pod), KP_Q_TARGETS, 0, 0, NULL},
    {"policy", TEXT, AT(policy), KP_Q_TARGETS, 0, 0, NULL},
    {"ids", IDS, AT(ids), SUMS, 0, 0, NULL},
    {"startup", YES_NO, AT(startup), SUMS, 0, 0, NULL},
    {"timeout", DURATION, AT(timeout_ms), SUMS, 1, 600000, NULL},
    {"sampleType", TEXT, AT(sample_type), REPORTS | KP_Q_SERIES, 0, 0, NULL},
    {"baseFrom", TIME, AT(base_from_ms), BASED, 0, 0, NULL},
    {"baseTo", TIME, AT(base_to_ms), BASED, 0, 0, NULL},
    {"baseSelector", SELECTOR, AT(base_selector), BASED, 0, 0, NULL},
    {"baseIds", IDS, AT(base_ids), BASED, 0, 0, NULL},
    {"normalize", YES_NO, AT(normalize), BASED, 0, 0, NULL},
    {"by", TEXT, AT(by), KP_Q_DIFF | KP_Q_TOP, 0, 0, NULL},
    {"sort", CHOICE, AT(sort), KP_Q_DIFF | KP_Q_TOP, 0, 0, "flat|cum"},
    {"limit", NUMBER, AT(limit), KP_Q_DIFF | KP_Q_TOP | KP_Q_PEERS, 0, MAX_LIST, NULL},
    {"focus", REGEX, AT(focus), FILTERED, 0, 0, NULL},
    {"ignore", REGEX, AT(ignore), FILTERED, 0, 0, NULL},
    {"hide", REGEX, AT(hide), FILTERED, 0, 0, NULL},
    {"minShare", SHARE, AT(min_share), KP_Q_DIFF | KP_Q_TOP | KP_Q_FLAME, 0, 0, NULL},
    {"maxNodes", NUMBER, AT(max_nodes), KP_Q_FLAME, 1, MAX_NODES, NULL},
    {"below", TEXT, AT(below), KP_Q_FLAME, 0, 0, NULL},
    {"format", CHOICE, AT(format), KP_Q_FLAME, 0, 0, "json|svg|html|folded|text"},
    {"format", CHOICE, AT(format), KP_Q_TOP, 0, 0, "json|text"},
    {"format", CHOICE, AT(format), KP_Q_DIFF, 0, 0, "json|text|pprof"},
    {"format", CHOICE, AT(format), KP_Q_PGO, 0, 0, "pprof|json"},
    {"function", TEXT, AT(function), KP_Q_SERIES | KP_Q_PEERS, 0, 0, NULL},
    {"step", DURATION, AT(step_ms), KP_Q_SERIES, 1000, MAX_STEP_MS, NULL},
    {"groupBy", TEXT, AT(group_by), KP_Q_SERIES, 0, 0, NULL},
    {"inlineAll", YES_NO, AT(inline_all), KP_Q_PGO, 0, 0, NULL},
    {"maxBytes", BYTES, AT(max_bytes), KP_Q_PGO, 1024, INT64_C(1) << 30, NULL},
};

// ---- values ----

static int parse_choice(const char *text, const char *choices, char **ret, struct kp_error *err)
{
    size_t len = strlen(text);
    for (const char *p = choices; *p;) {
        size_t n = strcspn(p, "|");
        if (n == len && strncmp(p, text, n) == 0) {
            *ret = kp_strdup(text);
            return 0;
        }
        p += n + (p[n] == '|');
    }
    return kp_fail(err, KP_INVALID, "'%.40s' is none of %s", text, choices);
}

static int parse_ids(const char *text, struct kp_query_ids *ret, struct kp_error *err)
{
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, ",");
        if (len == 0)
            return kp_fail(err, KP_INVALID, "an empty id stands between or beside commas");
        if (ret->list.n == MAX_IDS)
            return kp_fail(err, KP_INVALID, "more than %d ids", MAX_IDS);
        *kp_array_add(&ret->list) = kp_strndup(p, len);
        p += len + (p[len] == ',');
    }
    return 0;
}

static int parse_regex(const char *text, char **ret, struct kp_error *err)
{
    struct kp_regex *regex = NULL;
    int rc = kp_regex_compile(text, &regex, err);
    kp_regex_destroy(regex);
    if (rc == 0)
        *ret = kp_strdup(text);
    return rc;
}

static int check_number(const struct row *row, int64_t value, int64_t *ret, struct kp_error *err)
{
    if (value < row->min || value > row->max)
        return kp_fail(err, KP_INVALID, "it must lie between %lld and %lld%s", (long long)row->min,
            (long long)row->max, row->kind == DURATION ? " ms" : "");
    *ret = value;
    return 0;
}

static int parse_share(const char *text, double *ret, struct kp_error *err)
{
    int64_t whole = 0;
    int64_t part = 0;
    const char *dot = strchr(text, '.');
    kp_auto_free char *left = kp_strndup(text, dot ? (size_t)(dot - text) : strlen(text));
    size_t digits = dot ? strlen(dot + 1) : 0;
    if (kp_parse_int(left, 0, 1, &whole, NULL) != 0 || digits > 9 ||
        (dot && kp_parse_int(dot + 1, 0, 999999999, &part, NULL) != 0))
        return kp_fail(err, KP_INVALID, "'%.40s' is not a share like 0.01", text);
    double scale = 1;
    for (size_t i = 0; i < digits; i++)
        scale *= 10;
    *ret = (double)whole + (double)part / scale;
    return 0;
}

static int parse_value(
    const struct row *row, const char *text, int64_t now_ms, void *value, struct kp_error *err)
{
    int64_t number = 0;
    switch (row->kind) {
    case TEXT:
        *(char **)value = kp_strdup(text);
        return 0;
    case REGEX:
        return parse_regex(text, value, err);
    case CHOICE:
        return parse_choice(text, row->choices, value, err);
    case TIME:
        return kp_time_parse_relative(text, now_ms, value, err);
    case SELECTOR:
        return kp_selector_parse(text, true, value, err);
    case IDS:
        return parse_ids(text, value, err);
    case NUMBER:
        return kp_parse_int(text, row->min, row->max, value, err);
    case DURATION:
        if (kp_duration_parse_days(text, &number, err) != 0)
            return err->code;
        return check_number(row, number, value, err);
    case BYTES:
        if (kp_quantity_parse(text, &number, err) != 0)
            return err->code;
        return check_number(row, number, value, err);
    case SHARE:
        return parse_share(text, value, err);
    case YES_NO:
        return kp_parse_bool(text, value, err);
    }
    return 0;
}

// ---- the table ----

static const struct row *find_row(const char *name, unsigned query_for)
{
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        if ((rows[i].query_for & query_for) != 0 && kp_streq(rows[i].name, name))
            return &rows[i];
    return NULL;
}

static bool is_of_others(const char *name, unsigned query_for)
{
    return (query_for & KP_Q_AGGREGATED) != 0 && kp_streq(name, "timeout");
}

static int check_names(const struct kp_http_query *args, unsigned query_for, struct kp_error *err)
{
    for (size_t i = 0; i < args->n; i++) {
        const char *name = args->args[i].name;
        char shown[48];
        if (find_row(name, query_for) == NULL && !is_of_others(name, query_for))
            return kp_fail(err, KP_INVALID,
                "this path takes no parameter '%s'; docs/registry-api.md lists them",
                kp_printable(shown, sizeof shown, name, strlen(name)));
    }
    return 0;
}

static int parse_args(const struct kp_http_query *args, unsigned query_for, int64_t now_ms,
    struct kp_query *ret, struct kp_error *err)
{
    if (check_names(args, query_for, err) != 0)
        return err->code;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        const char *text = kp_http_query_get(args, rows[i].name);
        if ((rows[i].query_for & query_for) == 0 || text == NULL || text[0] == '\0' ||
            is_of_others(rows[i].name, query_for))
            continue;
        if (parse_value(&rows[i], text, now_ms, (char *)ret + rows[i].offset, err) != 0)
            return kp_wrap(err, "%s", rows[i].name);
    }
    if (ret->from_ms != 0 && ret->to_ms != 0 && ret->from_ms >= ret->to_ms)
        return kp_fail(err, KP_INVALID, "from is not before to");
    if (ret->base_from_ms != 0 && ret->base_to_ms != 0 && ret->base_from_ms >= ret->base_to_ms)
        return kp_fail(err, KP_INVALID, "baseFrom is not before baseTo");
    return 0;
}

int kp_query_parse_text(
    const char *text, unsigned query_for, int64_t now_ms, struct kp_query *ret, struct kp_error *err)
{
    struct kp_http_query args;
    struct kp_error why = {0};
    *ret = (struct kp_query){.now_ms = now_ms};
    kp_http_query_parse(&args, text);
    int rc = parse_args(&args, query_for, now_ms, ret, &why);
    kp_http_query_finish(&args);
    return rc == 0 ? 0 : kp_fail(err, why.code, "%s", why.text);
}

int kp_query_parse(const struct kp_http_exchange *x, unsigned query_for, int64_t now_ms, struct kp_query *ret,
    struct kp_error *err)
{
    unsigned aggregated = kp_agg_is_path(kp_http_path(x)) ? KP_Q_AGGREGATED : 0;
    int rc = kp_query_parse_text(kp_http_query(x), query_for | aggregated, now_ms, ret, err);
    const char *confined_to = kp_api_scope(x)->namespace;
    if (confined_to) {
        kp_free(ret->namespace);
        ret->namespace = kp_strdup(confined_to);
    }
    return rc;
}

static void ids_free(struct kp_query_ids *ids)
{
    for (size_t i = 0; i < ids->list.n; i++)
        kp_free(ids->list.items[i]);
    kp_array_free(&ids->list);
}

void kp_query_finish(struct kp_query *q)
{
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        char **text = (char **)(void *)((char *)q + rows[i].offset);
        if (rows[i].kind != TEXT && rows[i].kind != REGEX && rows[i].kind != CHOICE)
            continue;
        kp_free(*text);
        *text = NULL;
    }
    kp_selector_destroy(q->selector);
    kp_selector_destroy(q->base_selector);
    ids_free(&q->ids);
    ids_free(&q->base_ids);
}

const char *kp_query_param(unsigned query_for, size_t i)
{
    for (size_t at = 0; at < KP_COUNT(rows); at++)
        if ((rows[at].query_for & query_for) != 0 && i-- == 0)
            return rows[at].name;
    return NULL;
}

// ---- what they mean ----

struct kp_store_query kp_query_select(const struct kp_query *q)
{
    return (struct kp_store_query){.namespace = q->namespace,
        .service = q->service,
        .type = q->type,
        .from_ms = q->from_ms,
        .to_ms = q->to_ms,
        .selector = q->selector,
        .limit = (size_t)q->limit,
        .cursor = q->cursor,
        .newest_first = q->order == NULL || kp_streq(q->order, "newest") || kp_streq(q->order, "desc")};
}

bool kp_query_has_base(const struct kp_query *q)
{
    return q->base_ids.list.n > 0 || q->base_from_ms != 0 || q->base_to_ms != 0 || q->base_selector != NULL;
}

struct kp_merge_query kp_query_merge(const struct kp_query *q, bool base)
{
    const struct kp_query_ids *ids = base ? &q->base_ids : &q->ids;
    struct kp_merge_query merge = {.select = kp_query_select(q),
        .ids = (const char *const *)ids->list.items,
        .n_ids = ids->list.n,
        .with_startup = q->startup || ids->list.n > 0};
    merge.select.limit = 0;
    if (base && q->base_selector)
        merge.select.selector = q->base_selector;
    if (base && (q->base_from_ms != 0 || q->base_to_ms != 0)) {
        merge.select.from_ms = q->base_from_ms;
        merge.select.to_ms = q->base_to_ms;
    }
    return merge;
}

int kp_query_report(const struct kp_query *q, struct kp_report_options *ret, struct kp_error *err)
{
    *ret = (struct kp_report_options){.sample_type = q->sample_type,
        .focus = q->focus,
        .ignore = q->ignore,
        .hide = q->hide,
        .sort_cum = kp_streq(q->sort, "cum"),
        .limit = (size_t)(q->max_nodes != 0 ? q->max_nodes : q->limit),
        .min_share = q->min_share,
        .below = q->below};
    if (q->by && !kp_report_by_parse(q->by, &ret->by, &ret->label))
        return kp_fail(
            err, KP_INVALID, "by: '%.40s' is none of function, line, file, package, label=KEY", q->by);
    return 0;
}
