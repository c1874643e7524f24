// A profile for the Go compiler (go build -pgo): CPU captures of equal length, weighed by how many pods stand
// behind each, without what the compiler does not look at. The same captures give the same bytes, so that
// build caches hold; the ETag is their hash.
#include <stdlib.h>
#include <string.h>

#include "api/answers.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/text.h"
#include "profile/filter.h"
#include "profile/merge.h"
#include "base/banned.h"

#define WINDOW_MS  (INT64_C(72) * 3600 * 1000)
#define LEVEL      9
#define KEEP_SHARE 0.99

struct pgo {
    struct kp_query q;
    char *if_none_match;
    bool is_default_window;
};

// What is told beside the profile.
struct facts {
    double start_lines;     // share of the weight with a start line
    const char *renamed[2]; // functions that are kept from being inlined; see harmful
    int n_renamed;
};

struct cut {
    double kept;       // share of the weight
    bool does_not_fit; // larger than was asked for
};

// ---- what had better not be inlined ----

// Hot calls of these are inlined, which costs more than it brings: processData goes into its caller three
// times, so that stacks of goroutines grow by a third (golang/go issue 65532). Under another name the
// compiler finds no such function, and does as without a profile.
static const char *const harmful[] = {
    "google.golang.org/grpc/internal/transport.(*loopyWriter).processData", "runtime.gopark"};
#define NOT_INLINED "NOT TO BE INLINED: "

static void rename_harmful(struct kp_profile *p, struct facts *facts)
{
    for (size_t h = 0; h < KP_COUNT(harmful); h++) {
        bool is_there = false;
        for (uint32_t i = 0; i < p->n_functions; i++) {
            struct kp_str *name = &p->strings[p->functions[i].name];
            if (!kp_profile_str_is(p, p->functions[i].name, harmful[h]))
                continue;
            kp_auto_free char *text = kp_asprintf(NOT_INLINED "%s", harmful[h]);
            *name = (struct kp_str){kp_arena_strdup(&p->arena, text), (uint32_t)strlen(text)};
            is_there = true;
        }
        if (is_there)
            facts->renamed[facts->n_renamed++] = harmful[h];
    }
}

// ---- what the compiler looks at ----

// Function, line, start line. Mappings, files, addresses, labels and comments say where the program runs and
// keep apart what is the same to the compiler.
static int strip(struct kp_profile **profile, bool inline_all, struct facts *facts, struct kp_error *err)
{
    struct kp_profile *p = *profile;
    if (!inline_all)
        rename_harmful(p, facts);
    kp_profile_aggregate(p, KP_KEEP_FUNCTION | KP_KEEP_LINE | KP_KEEP_INLINE);
    for (uint32_t i = 0; i < p->n_locations; i++)
        p->locations[i].mapping = KP_NO_MAPPING;
    p->n_mappings = 0;
    p->n_comments = 0;
    p->doc_url = 0;
    return kp_profile_compact(profile, err);
}

static bool leaf_has_start(const struct kp_profile *p, const struct kp_sample *s)
{
    if (s->n_frames == 0)
        return false;
    const struct kp_location *l = &p->locations[p->frames[s->first_frame]];
    return l->n_lines > 0 && p->functions[p->lines[l->first_line].function].start_line > 0;
}

static int64_t weight_of(const struct kp_profile *p, uint32_t sample)
{
    int64_t v = p->values[(size_t)sample * p->n_sample_types + p->n_sample_types - 1];
    return v > 0 ? v : 0;
}

// Share of the weight whose leaf function has a start line. Refuses what the toolchain refuses.
static int check_start_lines(const struct kp_profile *p, double *ret_share, struct kp_error *err)
{
    double all = 0;
    double with = 0;
    bool any = false;
    for (uint32_t i = 0; i < p->n_functions; i++)
        any |= p->functions[i].start_line > 0;
    for (uint32_t i = 0; i < p->n_samples; i++) {
        all += (double)weight_of(p, i);
        with += leaf_has_start(p, &p->samples[i]) ? (double)weight_of(p, i) : 0;
    }
    *ret_share = all > 0 ? with / all : 0;
    if (any)
        return 0;
    return kp_fail(err, KP_CONFLICT,
        "no function of these profiles has a start line, so the Go toolchain would refuse the file: the "
        "program "
        "has to be built with Go 1.20 or later and not be stripped by its profiler");
}

// ---- size ----

struct order {
    int64_t weight;
    uint32_t sample;
};

static int heaviest_first(const void *a, const void *b)
{
    const struct order *x = a;
    const struct order *y = b;
    if (x->weight != y->weight)
        return x->weight < y->weight ? 1 : -1;
    return (x->sample > y->sample) - (x->sample < y->sample);
}

static void sort_samples(struct kp_profile *p)
{
    kp_auto_free struct order *order = KP_NEW_ARRAY(struct order, (size_t)p->n_samples + 1);
    kp_auto_free struct kp_sample *samples =
        kp_memdup(p->samples, ((size_t)p->n_samples + 1) * sizeof *samples);
    size_t row = p->n_sample_types * sizeof(int64_t);
    kp_auto_free int64_t *values = kp_memdup(p->values, p->n_samples * row + 1);
    for (uint32_t i = 0; i < p->n_samples; i++)
        order[i] = (struct order){weight_of(p, i), i};
    qsort(order, p->n_samples, sizeof *order, heaviest_first);
    for (uint32_t i = 0; i < p->n_samples; i++) {
        p->samples[i] = samples[order[i].sample];
        memcpy(&p->values[(size_t)i * p->n_sample_types],
            &values[(size_t)order[i].sample * p->n_sample_types], row);
    }
}

// The heaviest n samples as a profile of their own, encoded.
static void encode_first(const struct kp_profile *p, uint32_t n, struct kp_strbuf *out)
{
    struct kp_profile view = *p;
    const struct kp_profile *one = &view;
    struct kp_profile *cut = NULL;
    view.n_samples = n;
    kp_strbuf_clear(out);
    if (kp_profile_merge(&one, 1, &cut, NULL) != 0)
        return;
    kp_profile_encode(cut, LEVEL, out);
    kp_profile_free(cut);
}

// How many of the heaviest samples hold the share that has to be kept.
static uint32_t least_samples(const struct kp_profile *p)
{
    double all = 0;
    double sum = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n_samples; i++)
        all += (double)weight_of(p, i);
    while (n < p->n_samples && sum < KEEP_SHARE * all)
        sum += (double)weight_of(p, n++);
    return n;
}

static int encode_within(
    struct kp_call *call, struct kp_profile *p, size_t max_bytes, struct kp_strbuf *out, struct cut *ret)
{
    double all = 0;
    double kept = 0;
    *ret = (struct cut){.kept = 1};
    kp_profile_encode(p, LEVEL, out);
    if (max_bytes == 0 || out->len <= max_bytes)
        return 0;
    sort_samples(p);
    uint32_t low = least_samples(p);
    uint32_t high = p->n_samples;
    while (low + 1 < high) { // low is kept in any case, high does not fit
        uint32_t middle = low + (high - low) / 2;
        if (kp_stop_check(&call->stop, &call->error) != 0)
            return call->error.code;
        encode_first(p, middle, out);
        if (out->len <= max_bytes)
            low = middle;
        else
            high = middle;
    }
    encode_first(p, low, out);
    ret->does_not_fit = out->len > max_bytes;
    for (uint32_t i = 0; i < p->n_samples; i++) {
        all += (double)weight_of(p, i);
        kept += i < low ? (double)weight_of(p, i) : 0;
    }
    ret->kept = all > 0 ? kept / all : 1;
    return 0;
}

// ---- the answer ----

static void write_meta(struct kp_call *call, const struct kp_profile *p, const struct kp_merge_stats *stats,
    const struct facts *facts, const struct cut *cut, size_t bytes, const char *etag)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_API_MAX_ANSWER);
    struct kp_json j = {.out = &out};
    kp_json_open(&j, NULL, '{');
    kp_json_stats(&j, "stats", stats);
    kp_json_number(&j, "cpuSeconds", (double)kp_profile_total(p, p->n_sample_types - 1) / 1e9);
    kp_json_number(&j, "startLineShare", facts->start_lines);
    kp_json_open(&j, "notInlined", '[');
    for (int i = 0; i < facts->n_renamed; i++)
        kp_json_text(&j, NULL, facts->renamed[i]);
    kp_json_close(&j, ']');
    kp_json_number(&j, "keptShare", cut->kept);
    kp_json_bool(&j, "fits", !cut->does_not_fit);
    kp_json_int(&j, "bytes", (int64_t)bytes);
    kp_json_text(&j, "etag", etag);
    kp_json_close(&j, '}');
    kp_call_body(call, &out);
}

static bool etag_is_known(const char *if_none_match, const char *etag)
{
    return if_none_match && (kp_streq(if_none_match, "*") || strstr(if_none_match, etag) != NULL);
}

static void write_headers(struct kp_call *call, const struct kp_profile *p, const struct facts *facts,
    const struct cut *cut, size_t bytes)
{
    kp_call_header(call, "X-CPU-Seconds", "%.3f", (double)kp_profile_total(p, p->n_sample_types - 1) / 1e9);
    kp_call_header(call, "X-Start-Line-Share", "%.4f", facts->start_lines);
    kp_call_header(call, "X-Kept-Share", "%.4f", cut->kept);
    if (facts->n_renamed > 0)
        kp_call_header(call, "X-Not-Inlined", "%s%s%s", facts->renamed[0], facts->n_renamed > 1 ? ", " : "",
            facts->n_renamed > 1 ? facts->renamed[1] : "");
    if (cut->does_not_fit)
        kp_call_header(call, "X-Larger-Than-MaxBytes", "%zu bytes hold 99 %% of the weight", bytes);
}

static void answer(
    struct kp_call *call, struct kp_profile *p, const struct kp_merge_stats *stats, struct facts *facts)
{
    const struct pgo *pgo = call->data;
    struct cut cut;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_API_MAX_ANSWER);
    if (check_start_lines(p, &facts->start_lines, &call->error) != 0)
        return;
    if (encode_within(call, p, (size_t)pgo->q.max_bytes, &out, &cut) != 0)
        return;
    kp_auto_free char *etag =
        kp_asprintf("\"%016llx%016llx\"", (unsigned long long)kp_hash64(out.data, out.len, 1),
            (unsigned long long)kp_hash64(out.data, out.len, 2));
    if (kp_streq(pgo->q.format, "json")) {
        write_meta(call, p, stats, facts, &cut, out.len, etag);
        return;
    }
    kp_call_header(call, "ETag", "%s", etag);
    if (etag_is_known(pgo->if_none_match, etag)) {
        call->status = 304;
        return;
    }
    write_headers(call, p, facts, &cut, out.len);
    call->content_type = "application/octet-stream";
    call->file_name = kp_strdup("default.pgo");
    kp_call_body(call, &out);
}

static void work(struct kp_call *call)
{
    const struct pgo *pgo = call->data;
    struct kp_merge_query merge = kp_query_merge(&pgo->q, false);
    struct kp_merge_stats stats;
    struct facts facts = {0};
    struct kp_profile *profile = NULL;
    merge.weigh_by_sampling = merge.equal_durations = true;
    if (kp_answer_sum(call, &merge, false, &profile, &stats) == 0 &&
        strip(&profile, pgo->q.inline_all, &facts, &call->error) == 0)
        answer(call, profile, &stats, &facts);
    else if (call->error.code == KP_NOT_FOUND && pgo->is_default_window)
        (void)kp_wrap(&call->error, "the last 72 h (from= looks further back)");
    kp_profile_free(profile);
}

static void finish(struct kp_call *call)
{
    struct pgo *pgo = call->data;
    kp_query_finish(&pgo->q);
    kp_free(pgo->if_none_match);
    kp_free(pgo);
}

static int parse(const struct kp_http_exchange *x, int64_t now_ms, struct pgo *pgo, struct kp_error *err)
{
    struct kp_query *q = &pgo->q;
    if (kp_query_parse(x, KP_Q_PGO, now_ms, q, err) != 0)
        return err->code;
    if (q->type && !kp_streq(q->type, "cpu"))
        return kp_fail(err, KP_INVALID, "the compiler reads CPU profiles only, not '%.60s'", q->type);
    if (q->type == NULL && q->ids.list.n == 0)
        q->type = kp_strdup("cpu");
    pgo->is_default_window = q->from_ms == 0 && q->ids.list.n == 0;
    if (pgo->is_default_window)
        q->from_ms = (q->to_ms != 0 ? q->to_ms : now_ms) - WINDOW_MS;
    return 0;
}

void kp_api_pgo(struct kp_http_exchange *x, void *user)
{
    struct kp_api *api = user;
    struct kp_error err = {0};
    struct pgo *pgo = KP_NEW(struct pgo);
    pgo->if_none_match = kp_strdup(kp_http_header(x, "If-None-Match"));
    if (parse(x, api->options.now_ms(), pgo, &err) == 0) {
        kp_call_start_heavy(api, x, KP_API_NATIVE, pgo->q.timeout_ms, work, finish, pgo);
        return;
    }
    kp_http_reply_error(x, &err);
    kp_query_finish(&pgo->q);
    kp_free(pgo->if_none_match);
    kp_free(pgo);
}
