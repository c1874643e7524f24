#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "report/report.h"
#include "report/unit.h"
#include "report/view.h"
#include "base/banned.h"

enum {
    EDGE_INLINED = 1,
    EDGE_CALLED = 2,
};

struct sum {
    int64_t flat, cum;
    uint64_t samples;
    uint32_t seen; // number of the last sample that had it, from 1
    uint8_t edges; // EDGE_* of the edges into it
    bool may_be_inlined;
};

// An edge between two keys: how its calls were made, in one stack the call nearest to the root counts.
struct edge {
    uint32_t seen;
    uint8_t how;
};

struct sums {
    struct sum *of;           // each key
    struct kp_symbols *graph; // its nodes are the edges: (caller, callee)
    KP_ARRAY(struct edge) edges;
};

// ---- one profile ----

static void find_inlined(const struct kp_view *view, struct sum *sums)
{
    for (uint32_t l = 0; l < view->profile->n_locations; l++)
        for (uint32_t i = view->runs[l]; i + 1 < view->runs[l + 1]; i++)
            if (view->run[i] != view->run[i + 1])
                sums[view->run[i]].may_be_inlined = true;
}

// What is called how is only a remark beside a name: past this many edges it is no longer looked at.
#define MAX_EDGES (1u << 20)

static void add_edge(struct sums *sums, uint32_t caller, uint32_t callee, uint8_t how, uint32_t sample)
{
    if (sums->graph->n_nodes > MAX_EDGES)
        return;
    uint32_t id = kp_symbols_node(sums->graph, caller, callee);
    while (sums->edges.n <= id)
        *kp_array_add(&sums->edges) = (struct edge){0};
    struct edge *edge = &sums->edges.items[id];
    if (edge->seen != sample)
        edge->how |= how;
    edge->seen = sample;
}

static uint32_t add_frame(
    struct sums *sums, uint32_t caller, uint32_t key, uint8_t how, uint32_t sample, int64_t value)
{
    struct sum *sum = &sums->of[key];
    if (sum->seen != sample) { // recursion counts once
        sum->seen = sample;
        sum->cum = kp_add_capped(sum->cum, value);
        sum->samples++;
    }
    if (sum->may_be_inlined && caller != KP_NO_KEY && caller != key)
        add_edge(sums, caller, key, how, sample);
    return key;
}

static void add_sample(struct sums *sums, struct kp_view *view, uint32_t sample, int64_t value)
{
    const struct kp_sample *s = &view->profile->samples[sample];
    uint32_t at = KP_NO_KEY;
    if (view->options->by == KP_BY_LABEL) {
        at = add_frame(sums, at, kp_view_label(view, sample), EDGE_CALLED, sample + 1, value);
    } else {
        for (uint32_t i = s->n_frames; i-- > 0;) {
            uint32_t l = view->profile->frames[s->first_frame + i];
            uint8_t how = EDGE_CALLED;
            for (uint32_t k = view->runs[l + 1]; k-- > view->runs[l]; how = EDGE_INLINED)
                at = add_frame(sums, at, view->run[k], how, sample + 1, value);
        }
    }
    if (at != KP_NO_KEY)
        sums->of[at].flat = kp_add_capped(sums->of[at].flat, value);
}

// By label keys come as samples are read: they are made first.
static void make_label_keys(struct kp_view *view)
{
    for (uint32_t i = 0; view->options->by == KP_BY_LABEL && i < view->profile->n_samples; i++)
        (void)kp_view_label(view, i);
}

// Room for n_keys sums; to be finished also if it fails.
static int sum_up(struct sums *sums, struct kp_view *view, uint32_t n_keys, struct kp_error *err)
{
    *sums = (struct sums){
        .of = KP_NEW_ARRAY(struct sum, (size_t)n_keys + 1), .graph = kp_symbols_create(KP_SYMBOLS_EXACT)};
    find_inlined(view, sums->of);
    for (uint32_t i = 0; i < view->profile->n_samples; i++) {
        int64_t value = kp_view_value(view, i);
        int rc = kp_view_go_on(view, i, err);
        if (rc != 0)
            return rc;
        if (value != 0)
            add_sample(sums, view, i, value);
    }
    for (uint32_t i = 1; i < sums->edges.n; i++) {
        uint8_t how = sums->edges.items[i].how;
        sums->of[sums->graph->nodes[i].location].edges |= how & EDGE_CALLED ? EDGE_CALLED : how;
    }
    return 0;
}

static void finish_sums(struct sums *sums)
{
    kp_free(sums->of);
    kp_array_free(&sums->edges);
    kp_symbols_destroy(sums->graph);
}

// ---- rows ----

struct row {
    uint32_t key;
    int64_t flat, cum, base_flat, base_cum;
};

struct sorting {
    const struct kp_keys *keys;
    bool by_cum;
};

static int compare_rows(const void *a, const void *b, void *context)
{
    const struct row *x = a, *y = b;
    const struct sorting *s = context;
    int64_t v = kp_magnitude(s->by_cum ? x->cum : x->flat), w = kp_magnitude(s->by_cum ? y->cum : y->flat);
    if (v != w)
        return v > w ? -1 : 1;
    int c = kp_keys_compare(s->keys, x->key, y->key);
    if (c != 0)
        return c;
    v = kp_magnitude(s->by_cum ? x->flat : x->cum);
    w = kp_magnitude(s->by_cum ? y->flat : y->cum);
    if (v != w)
        return v > w ? -1 : 1;
    return (x->key > y->key) - (x->key < y->key);
}

static size_t make_rows(
    struct row *rows, uint32_t n_keys, const struct sums *sums, const struct sums *base, double factor)
{
    size_t n = 0;
    for (uint32_t key = 0; key < n_keys; key++) {
        struct row row = {.key = key, .flat = sums->of[key].flat, .cum = sums->of[key].cum};
        if (base) {
            row.base_flat = kp_scale_rounded(base->of[key].flat, factor);
            row.base_cum = kp_scale_rounded(base->of[key].cum, factor);
            row.flat = kp_sub_capped(row.flat, row.base_flat);
            row.cum = kp_sub_capped(row.cum, row.base_cum);
        }
        if (row.flat != 0 || row.cum != 0)
            rows[n++] = row;
    }
    return n;
}

static size_t drop_small(struct row *rows, size_t n, double least)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if ((double)kp_magnitude(rows[i].cum) >= least)
            rows[kept++] = rows[i];
    return kept;
}

static const char *copy_text(struct kp_top *top, struct kp_str s)
{
    return kp_arena_strndup(&top->arena, s.data, s.len);
}

static void fill_row(
    struct kp_top *top, const struct row *row, const struct kp_keys *keys, const struct sums *sums)
{
    const struct kp_key_info *info = &keys->infos.items[row->key];
    const struct sum *sum = &sums->of[row->key];
    top->shown_flat = kp_add_capped(top->shown_flat, row->flat);
    top->rows[top->n++] = (struct kp_top_row){
        .name = copy_text(top, kp_keys_name(keys, row->key)),
        .file = copy_text(top, keys->symbols->strings[info->file]),
        .line = info->line,
        .flat = row->flat,
        .cum = row->cum,
        .base_flat = row->base_flat,
        .base_cum = row->base_cum,
        .samples = sum->samples,
        .inlined = sum->edges == EDGE_INLINED,
        .partly = sum->edges == (EDGE_INLINED | EDGE_CALLED),
    };
}

// ---- the answer ----

static void fill_header(struct kp_top *top, struct kp_view *view, const struct kp_view *base, double factor)
{
    const struct kp_profile *p = view->profile;
    const char *binary = p->n_mappings > 0 ? kp_view_text(view, p->mappings[0].filename, &top->arena) : "";
    const char *slash = strrchr(binary, '/');
    top->binary = slash ? slash + 1 : binary;
    top->build_id = p->n_mappings > 0 ? kp_view_text(view, p->mappings[0].build_id, &top->arena) : "";
    top->doc_url = kp_view_text(view, p->doc_url, &top->arena);
    top->comments = KP_ARENA_ARRAY(&top->arena, const char *, (size_t)p->n_comments + 1);
    for (uint32_t i = 0; i < p->n_comments; i++)
        top->comments[top->n_comments++] = kp_view_text(view, p->comments[i], &top->arena);
    top->sample_type = kp_view_type(view, &top->arena);
    top->unit = kp_view_unit(view, &top->arena);
    top->time_ns = p->time_ns;
    top->duration_ns = p->duration_ns;
    top->period = p->period;
    top->by = view->options->by;
    top->min_share = view->options->min_share;
    top->total = view->total;
    if (base) {
        top->is_diff = true;
        top->base_total = kp_scale_rounded(base->total, factor);
        top->base_time_ns = base->profile->time_ns;
        top->base_duration_ns = base->profile->duration_ns;
    }
}

// As in pprof, what is small is measured by what focus and the like leave, though shares are of the whole. Of
// a difference that would be next to nothing, so there it is the whole.
static double cutoff(const struct kp_top *top, const struct row *rows, size_t n)
{
    int64_t whole = !top->is_diff ? 0 : top->base_total > 0 ? top->base_total : top->total;
    for (size_t i = 0; !top->is_diff && i < n; i++)
        whole = kp_add_capped(whole, rows[i].flat);
    return trunc((double)kp_magnitude(whole) * top->min_share);
}

// The rows that are shown.
static void fill_rows(struct kp_top *top, struct kp_view *view, const struct sums *sums,
    const struct sums *base_sums, double factor)
{
    const struct kp_report_options *o = view->options;
    struct kp_keys *keys = view->keys;
    uint32_t n_keys = keys->symbols->n_functions;
    struct row *rows = KP_NEW_ARRAY(struct row, (size_t)n_keys + 1);
    size_t n = make_rows(rows, n_keys, sums, top->is_diff ? base_sums : NULL, factor);
    size_t kept = drop_small(rows, n, cutoff(top, rows, n));
    top->n_small = n - kept;
    struct sorting sorting = {keys, o->sort_cum};
    qsort_r(rows, kept, sizeof *rows, compare_rows, &sorting);
    size_t limit = o->limit != 0 ? o->limit : 100;
    size_t shown = kept < limit ? kept : limit;
    top->n_left_out = n - shown;
    top->rows = KP_ARENA_ARRAY(&top->arena, struct kp_top_row, shown + 1);
    for (size_t i = 0; i < shown; i++)
        fill_row(top, &rows[i], keys, sums);
    kp_free(rows);
}

static int answer(
    struct kp_view *view, struct kp_view *base, double factor, struct kp_top **ret, struct kp_error *err)
{
    struct sums sums = {0}, base_sums = {0};
    struct kp_top *top = KP_NEW(struct kp_top);
    fill_header(top, view, base, factor);
    make_label_keys(view);
    if (base)
        make_label_keys(base);
    uint32_t n_keys = view->keys->symbols->n_functions;
    int rc = sum_up(&sums, view, n_keys, err);
    if (rc == 0 && base)
        rc = sum_up(&base_sums, base, n_keys, err);
    if (rc == 0)
        fill_rows(top, view, &sums, &base_sums, factor);
    finish_sums(&sums);
    finish_sums(&base_sums);
    if (rc == 0)
        *ret = top;
    else
        kp_top_free(top);
    return rc;
}

int kp_report_top_diff(const struct kp_profile *profile, const struct kp_profile *base, bool normalize,
    const struct kp_report_options *options, struct kp_top **ret, struct kp_error *err)
{
    struct kp_keys keys;
    struct kp_view view, base_view;
    kp_keys_init(&keys);
    int rc = kp_view_init(&view, &keys, profile, options, err);
    if (rc == 0 && base != NULL) {
        rc = kp_view_init(&base_view, &keys, base, options, err);
        if (rc < 0)
            kp_view_finish(&view);
    }
    if (rc == 0) {
        double factor = 1;
        if (base != NULL && normalize && base_view.total > 0)
            factor = (double)view.total / (double)base_view.total;
        rc = answer(&view, base != NULL ? &base_view : NULL, factor, ret, err);
        kp_view_finish(&view);
        if (base != NULL)
            kp_view_finish(&base_view);
    }
    kp_keys_finish(&keys);
    return rc;
}

int kp_report_top(const struct kp_profile *profile, const struct kp_report_options *options,
    struct kp_top **ret, struct kp_error *err)
{
    return kp_report_top_diff(profile, NULL, false, options, ret, err);
}

void kp_top_free(struct kp_top *top)
{
    if (top == NULL)
        return;
    kp_arena_free(top->arena);
    kp_free(top);
}
