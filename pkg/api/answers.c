#include "api/answers.h"

#include "api/hint.h"
#include "api/split.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/text.h"
#include "profile/filter.h"
#include "profile/merge.h"
#include "base/banned.h"

#define PPROF_LEVEL 6

// ---- the handler ----

static void finish(struct kp_call *call)
{
    kp_query_finish(call->data);
    kp_free(call->data);
}

void kp_api_answer(struct kp_http_exchange *x, void *user)
{
    struct kp_api *api = user;
    const struct kp_api_tag *tag = kp_http_matched_route(x)->tag;
    tag = tag->like ? tag->like : tag;
    struct kp_error err = {0};
    struct kp_query *q = KP_NEW(struct kp_query);
    if (kp_query_parse(x, tag->query_for, api->options.now_ms(), q, &err) == 0 &&
        (tag->check == NULL || tag->check(q, &err) == 0)) {
        kp_call_start_heavy(api, x, KP_API_NATIVE, q->timeout_ms, tag->work, finish, q);
        return;
    }
    kp_http_reply_error(x, &err);
    kp_query_finish(q);
    kp_free(q);
}

int kp_answer_check_type(struct kp_query *q, struct kp_error *err)
{
    if (q->type == NULL && q->ids.list.n == 0)
        return kp_fail(err, KP_INVALID,
            "say of which profiles: type=cpu, heap, goroutine ... (and namespace, service, selector, from, "
            "to), "
            "or ids=ID,ID");
    if (kp_query_has_base(q) && q->type == NULL && q->base_ids.list.n == 0)
        return kp_fail(err, KP_INVALID, "say of which profiles the base is: baseIds=ID,ID, or type=");
    return 0;
}

// ---- parts ----

static void stats_headers(struct kp_call *call, bool base, const struct kp_merge_stats *s)
{
    kp_call_header(call, base ? "X-Base-Profiles" : "X-Profiles", "%llu", (unsigned long long)s->n_profiles);
    kp_call_header(call, base ? "X-Base-Pods" : "X-Pods", "%llu", (unsigned long long)s->n_pods);
    kp_call_header(call, base ? "X-Base-Builds" : "X-Builds", "%llu", (unsigned long long)s->n_builds);
}

int kp_answer_sum(struct kp_call *call, struct kp_merge_query *merge, bool base, struct kp_profile **ret,
    struct kp_merge_stats *ret_stats)
{
    *ret_stats = (struct kp_merge_stats){0};
    merge->cancelled = &call->cancelled;
    merge->deadline_ms = call->stop.deadline_ms;
    if (kp_store_merge(call->api->options.store, merge, ret, ret_stats, &call->error) != 0) {
        kp_hint_types(call, merge);
        return base ? kp_wrap(&call->error, "base") : call->error.code;
    }
    stats_headers(call, base, ret_stats);
    return 0;
}

void kp_answer_pprof(struct kp_call *call, const struct kp_profile *profile, int level)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_API_MAX_ANSWER);
    kp_profile_encode(profile, level, &out);
    call->content_type = "application/octet-stream";
    kp_call_body(call, &out);
}

void kp_json_stats(struct kp_json *j, const char *key, const struct kp_merge_stats *s)
{
    kp_json_open(j, key, '{');
    kp_json_int(j, "profiles", (int64_t)s->n_profiles);
    kp_json_int(j, "pods", (int64_t)s->n_pods);
    kp_json_int(j, "builds", (int64_t)s->n_builds);
    kp_json_int(j, "startupLeftOut", (int64_t)s->n_startup);
    if (s->n_other_duration != 0)
        kp_json_int(j, "otherDurationLeftOut", (int64_t)s->n_other_duration);
    if (s->n_damaged != 0)
        kp_json_int(j, "damagedLeftOut", (int64_t)s->n_damaged);
    kp_json_time(j, "firstTime", s->first_ms);
    kp_json_time(j, "lastTime", s->last_ms);
    kp_json_close(j, '}');
}

// "checkout cpu", for titles and names of files.
static char *title_of(const struct kp_query *q)
{
    return kp_asprintf("%.100s%s%.100s%s%.60s", q->namespace ? q->namespace : "", q->namespace ? "/" : "",
        q->service ? q->service : "", q->service || q->namespace ? " " : "", q->type ? q->type : "profiles");
}

// A profile of the query and, where one is asked for, its base.
struct sums {
    struct kp_profile *profile, *base;
    struct kp_merge_stats stats, base_stats;
};

static int take_sum(
    struct kp_call *call, bool base, struct kp_profile **ret, struct kp_merge_stats *ret_stats)
{
    const struct kp_query *q = call->data;
    struct kp_merge_query merge = kp_query_merge(q, base);
    const char *field = kp_split_field(q->by);
    int rc = kp_answer_sum(call, &merge, base, ret, ret_stats);
    return rc == 0 && field ? kp_split_sum(call, &merge, field, ret) : rc;
}

static int take_sums(struct kp_call *call, struct sums *ret)
{
    *ret = (struct sums){0};
    int rc = take_sum(call, false, &ret->profile, &ret->stats);
    if (rc != 0 || !kp_query_has_base(call->data))
        return rc;
    return take_sum(call, true, &ret->base, &ret->base_stats);
}

static void sums_finish(struct sums *s)
{
    kp_profile_free(s->profile);
    kp_profile_free(s->base);
}

// {"stats": {...}, "baseStats": {...}, KEY: report}
static void begin_report(struct kp_strbuf *out, const struct sums *s, const char *key)
{
    struct kp_json j = {.out = out};
    kp_strbuf_init(out, KP_API_MAX_ANSWER);
    kp_json_open(&j, NULL, '{');
    kp_json_stats(&j, "stats", &s->stats);
    if (s->base)
        kp_json_stats(&j, "baseStats", &s->base_stats);
    kp_strbuf_addf(out, ",\"%s\":", key);
}

static void end_report(struct kp_call *call, struct kp_strbuf *out)
{
    kp_strbuf_adds(out, "}\n");
    kp_call_body(call, out);
}

static int report_options(struct kp_call *call, struct kp_report_options *ret)
{
    int rc = kp_query_report(call->data, ret, &call->error);
    ret->stop = &call->stop;
    return rc;
}

// ---- merge ----

static int compile(const char *text, struct kp_regex **ret, struct kp_error *err)
{
    return text && text[0] ? kp_regex_compile(text, ret, err) : 0;
}

// What `go tool pprof -proto` writes with the same -focus, -ignore and -hide.
static int filter(struct kp_call *call, struct kp_profile **profile)
{
    const struct kp_query *q = call->data;
    struct kp_regex *focus = NULL, *ignore = NULL, *hide = NULL;
    if (q->focus == NULL && q->ignore == NULL && q->hide == NULL)
        return 0;
    int rc = compile(q->focus, &focus, &call->error);
    if (rc == 0)
        rc = compile(q->ignore, &ignore, &call->error);
    if (rc == 0)
        rc = compile(q->hide, &hide, &call->error);
    if (rc == 0) {
        kp_profile_filter(*profile,
            &(struct kp_profile_filter){.focus = focus, .ignore = ignore, .hide = hide, .stop = &call->stop});
        rc = kp_stop_check(&call->stop, &call->error);
    }
    if (rc == 0)
        rc = kp_profile_compact(profile, &call->error);
    kp_regex_destroy(focus);
    kp_regex_destroy(ignore);
    kp_regex_destroy(hide);
    return rc;
}

static void merge_work(struct kp_call *call)
{
    struct sums sums;
    if (take_sums(call, &sums) == 0 && filter(call, &sums.profile) == 0) {
        call->file_name = kp_strdup("merge.pb.gz");
        kp_answer_pprof(call, sums.profile, PPROF_LEVEL);
    }
    sums_finish(&sums);
}

const struct kp_api_tag kp_answer_merge = {.admission = KP_ADMIT_SUM(QUERY, "merge"),
    .query_for = KP_Q_MERGE,
    .work = merge_work,
    .check = kp_answer_check_type};

// ---- top and diff ----

static void write_top(struct kp_call *call, struct kp_top *top, const struct sums *sums, const char *format)
{
    kp_auto_strbuf out;
    if (kp_streq(format, "text")) {
        kp_strbuf_init(&out, KP_API_MAX_ANSWER);
        kp_top_text(top, &out);
        call->content_type = "text/plain; charset=utf-8";
        kp_call_body(call, &out);
    } else {
        begin_report(&out, sums, "top");
        kp_top_json(top, &out);
        end_report(call, &out);
    }
    kp_top_free(top);
}

static void top_work(struct kp_call *call)
{
    const struct kp_query *q = call->data;
    struct kp_report_options options;
    struct sums sums = {0};
    struct kp_top *top;
    if (report_options(call, &options) == 0 && take_sums(call, &sums) == 0 &&
        kp_report_top(sums.profile, &options, &top, &call->error) == 0)
        write_top(call, top, &sums, q->format);
    sums_finish(&sums);
}

const struct kp_api_tag kp_answer_top = {.admission = KP_ADMIT_SUM(QUERY, "top"),
    .query_for = KP_Q_TOP,
    .work = top_work,
    .check = kp_answer_check_type};

// As `go tool pprof -diff_base` would hold it: the base negated and marked.
static void diff_pprof(struct kp_call *call, struct sums *sums)
{
    const struct kp_query *q = call->data;
    struct kp_profile *both = NULL;
    if (q->normalize)
        kp_profile_normalize_base(sums->base, sums->profile);
    kp_profile_mark_base(sums->base);
    const struct kp_profile *const parts[] = {sums->profile, sums->base};
    if (kp_profile_merge(parts, 2, &both, &call->error) != 0)
        return;
    if (filter(call, &both) == 0) {
        call->file_name = kp_strdup("diff.pb.gz");
        kp_answer_pprof(call, both, PPROF_LEVEL);
    }
    kp_profile_free(both);
}

static void diff_work(struct kp_call *call)
{
    const struct kp_query *q = call->data;
    struct kp_report_options options;
    struct sums sums = {0};
    struct kp_top *top;
    if (report_options(call, &options) == 0 && take_sums(call, &sums) == 0) {
        if (kp_streq(q->format, "pprof"))
            diff_pprof(call, &sums);
        else if (kp_report_top_diff(sums.profile, sums.base, q->normalize, &options, &top, &call->error) == 0)
            write_top(call, top, &sums, q->format);
    }
    sums_finish(&sums);
}

static int check_diff(struct kp_query *q, struct kp_error *err)
{
    if (!kp_query_has_base(q))
        return kp_fail(
            err, KP_INVALID, "say what to compare with: baseFrom, baseTo, baseSelector or baseIds");
    return kp_answer_check_type(q, err);
}

const struct kp_api_tag kp_answer_diff = {
    .admission = KP_ADMIT_SUM(QUERY, "diff"), .query_for = KP_Q_DIFF, .work = diff_work, .check = check_diff};

// ---- flame graph ----

static void write_flame(struct kp_call *call, const struct kp_flame *flame, const struct sums *sums)
{
    const struct kp_query *q = call->data;
    kp_auto_free char *title = title_of(q);
    kp_auto_strbuf out;
    if (q->format == NULL || kp_streq(q->format, "json")) {
        begin_report(&out, sums, "flamegraph");
        kp_flame_json(flame, &out);
        end_report(call, &out);
        return;
    }
    kp_strbuf_init(&out, KP_API_MAX_ANSWER);
    call->content_type = "text/plain; charset=utf-8";
    if (kp_streq(q->format, "svg")) {
        kp_flame_svg(flame, title, &out);
        call->content_type = "image/svg+xml";
    } else if (kp_streq(q->format, "html")) {
        kp_flame_html(flame, title, &out);
        call->content_type = "text/html; charset=utf-8";
        // names come from profiles: should one ever get past the escaping, it still cannot reach anything
        kp_call_header(call, "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; sandbox "
            "allow-scripts");
    } else if (kp_streq(q->format, "folded")) {
        kp_flame_folded(flame, &out);
    } else {
        kp_flame_tree(flame, &out);
    }
    kp_call_body(call, &out);
}

static void flame_work(struct kp_call *call)
{
    const struct kp_query *q = call->data;
    struct kp_report_options options;
    struct sums sums = {0};
    struct kp_flame *flame;
    if (report_options(call, &options) == 0 && take_sums(call, &sums) == 0 &&
        kp_report_flame(sums.profile, sums.base, q->normalize, &options, &flame, &call->error) == 0) {
        write_flame(call, flame, &sums);
        kp_flame_free(flame);
    }
    sums_finish(&sums);
}

const struct kp_api_tag kp_answer_flame = {.admission = KP_ADMIT_SUM(QUERY, "flamegraph"),
    .query_for = KP_Q_FLAME,
    .work = flame_work,
    .check = kp_answer_check_type};

// ---- peers ----

static void peers_work(struct kp_call *call)
{
    const struct kp_query *q = call->data;
    struct kp_report_options options;
    struct sums sums = {0};
    if (report_options(call, &options) == 0 && take_sums(call, &sums) == 0) {
        kp_auto_strbuf out;
        begin_report(&out, &sums, "peers");
        if (kp_report_peers(sums.profile, &options, q->function, &out, &call->error) == 0)
            end_report(call, &out);
    }
    sums_finish(&sums);
}

static int check_peers(struct kp_query *q, struct kp_error *err)
{
    if (q->function == NULL)
        return kp_fail(err, KP_INVALID, "say whose callers and callees: function=NAME");
    return kp_answer_check_type(q, err);
}

const struct kp_api_tag kp_answer_peers = {.admission = KP_ADMIT_SUM(QUERY, "peers"),
    .query_for = KP_Q_PEERS,
    .work = peers_work,
    .check = check_peers};
