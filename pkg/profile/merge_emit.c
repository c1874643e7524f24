// Makes a profile of the sums. What no sample needs is left out; the rest is sorted by what it says, each
// kind by the new numbers of what it refers to. Stacks are not sorted but counted: children hang below their
// callers in the order of locations, and a walk down the tree meets the samples in order.
#include "profile/merge_emit.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

static uint32_t *unused(uint32_t n)
{
    uint32_t *ids = kp_grow(NULL, (size_t)n + 1, sizeof *ids);
    memset(ids, 0xff, ((size_t)n + 1) * sizeof *ids);
    return ids;
}

// ---- what is needed ----

static bool is_live(const struct kp_merge_rows *rows, uint32_t row)
{
    for (uint32_t t = 0; t < rows->n_types; t++)
        if (kp_merge_row_value(rows, row, t) != 0)
            return true;
    return false;
}

static void need_location(struct kp_emit *e, uint32_t location)
{
    const struct kp_sym_location *l = &e->s->locations[location];
    if (e->locations[location] == KP_EMIT_USED)
        return;
    e->locations[location] = KP_EMIT_USED;
    if (l->mapping != KP_NO_MAPPING)
        e->mappings[l->mapping] = KP_EMIT_USED;
    for (uint32_t i = 0; i < l->n_lines; i++)
        e->functions[e->s->lines[l->first_line + i].function] = KP_EMIT_USED;
}

static void need_set(struct kp_emit *e, uint32_t set)
{
    if (e->sets[set] == KP_EMIT_USED)
        return;
    e->sets[set] = KP_EMIT_USED;
    for (uint32_t i = e->s->label_sets[set]; i < e->s->label_sets[set + 1]; i++) {
        e->strings[e->s->labels[i].key] = KP_EMIT_USED;
        e->strings[e->s->labels[i].str] = KP_EMIT_USED;
        e->strings[e->s->labels[i].unit] = KP_EMIT_USED;
    }
}

// Marks nodes by a sibling of their own; root (node 0) is always there.
static void need_rows(struct kp_emit *e)
{
    const struct kp_merge_rows *rows = &e->m->rows;
    e->sibling[0] = KP_EMIT_USED;
    for (uint32_t r = 0; r < rows->keys.n; r++) {
        if (!is_live(rows, r))
            continue;
        e->n_rows++;
        e->next_row[r] = KP_EMIT_USED;
        need_set(e, rows->keys.items[r].label_set);
        for (uint32_t node = rows->keys.items[r].node; e->sibling[node] != KP_EMIT_USED;
             node = e->s->nodes[node].parent) {
            e->sibling[node] = KP_EMIT_USED;
            need_location(e, e->s->nodes[node].location);
        }
    }
}

static void need_rest(struct kp_emit *e)
{
    const struct kp_merger *m = e->m;
    const uint32_t header[] = {0, m->period_type.type, m->period_type.unit, m->drop_frames, m->keep_frames,
        m->default_type, m->doc_url};
    for (size_t i = 0; i < KP_COUNT(header); i++)
        e->strings[header[i]] = KP_EMIT_USED;
    for (uint32_t i = 0; i < m->rows.n_types; i++)
        e->strings[m->types[i].type] = e->strings[m->types[i].unit] = KP_EMIT_USED;
    for (size_t i = 0; i < m->comments.n; i++)
        e->strings[m->comments.items[i]] = KP_EMIT_USED;
    if (e->s->n_mappings > 0)
        e->mappings[0] = KP_EMIT_USED;
    for (uint32_t i = 0; i < e->s->n_mappings; i++)
        if (e->mappings[i] == KP_EMIT_USED)
            e->strings[e->s->mappings[i].filename] = e->strings[e->s->mappings[i].build_id] = KP_EMIT_USED;
    for (uint32_t i = 0; i < e->s->n_functions; i++)
        if (e->functions[i] == KP_EMIT_USED) {
            const struct kp_function *f = &e->s->functions[i];
            e->strings[f->name] = e->strings[f->system_name] = e->strings[f->filename] = KP_EMIT_USED;
        }
}

// ---- samples ----

// Ids in the order of their keys, equal ones in the order they stand in.
static uint32_t *counted(const uint32_t *keys, const uint32_t *ids, uint32_t n, uint32_t n_keys)
{
    uint32_t *order = KP_NEW_ARRAY(uint32_t, (size_t)n + 1);
    kp_auto_free uint32_t *starts = KP_NEW_ARRAY(uint32_t, (size_t)n_keys + 2);
    for (uint32_t i = 0; i < n; i++)
        starts[keys[i] + 1]++;
    for (uint32_t k = 0; k < n_keys; k++)
        starts[k + 1] += starts[k];
    for (uint32_t i = 0; i < n; i++)
        order[starts[keys[i]]++] = ids[i];
    return order;
}

// Children in the order of their locations.
static void hang_nodes(struct kp_emit *e)
{
    uint32_t n = 0;
    uint32_t n_nodes = e->s->n_nodes;
    kp_auto_free uint32_t *ids = KP_NEW_ARRAY(uint32_t, n_nodes);
    kp_auto_free uint32_t *keys = KP_NEW_ARRAY(uint32_t, n_nodes);
    for (uint32_t node = 1; node < n_nodes; node++)
        if (e->sibling[node] == KP_EMIT_USED) {
            ids[n] = node;
            keys[n++] = e->locations[e->s->nodes[node].location];
        }
    kp_auto_free uint32_t *order = counted(keys, ids, n, e->p->n_locations);
    e->first_child = KP_NEW_ARRAY(uint32_t, n_nodes);
    e->sibling[0] = 0;
    for (uint32_t i = n; i-- > 0;) {
        uint32_t parent = e->s->nodes[order[i]].parent;
        e->sibling[order[i]] = e->first_child[parent];
        e->first_child[parent] = order[i];
    }
}

// Rows of a node in the order of their label sets.
static void hang_rows(struct kp_emit *e)
{
    uint32_t n = 0;
    const struct kp_merge_rows *rows = &e->m->rows;
    kp_auto_free uint32_t *ids = KP_NEW_ARRAY(uint32_t, (size_t)e->n_rows + 1);
    kp_auto_free uint32_t *keys = KP_NEW_ARRAY(uint32_t, (size_t)e->n_rows + 1);
    for (uint32_t r = 0; r < rows->keys.n; r++)
        if (e->next_row[r] == KP_EMIT_USED) {
            ids[n] = r;
            keys[n++] = e->sets[rows->keys.items[r].label_set];
        }
    kp_auto_free uint32_t *order = counted(keys, ids, n, e->n_sets);
    e->first_row = KP_NEW_ARRAY(uint32_t, e->s->n_nodes);
    for (uint32_t i = n; i-- > 0;) {
        uint32_t node = rows->keys.items[order[i]].node;
        e->next_row[order[i]] = e->first_row[node];
        e->first_row[node] = order[i] + 1;
    }
}

static void emit_sample(struct kp_emit *e, uint32_t row)
{
    struct kp_profile *p = e->p;
    struct kp_merge_row key = e->m->rows.keys.items[row];
    struct kp_sample *sample = &p->samples[p->n_samples];
    sample->first_frame = p->n_frames;
    for (uint32_t node = key.node; node != 0; node = e->s->nodes[node].parent)
        p->frames[p->n_frames++] = e->locations[e->s->nodes[node].location];
    sample->n_frames = p->n_frames - sample->first_frame;
    sample->first_label = p->n_labels;
    for (uint32_t i = e->s->label_sets[key.label_set]; i < e->s->label_sets[key.label_set + 1]; i++)
        p->labels[p->n_labels++] = e->labels[i];
    sample->n_labels = p->n_labels - sample->first_label;
    for (uint32_t t = 0; t < p->n_sample_types; t++)
        p->values[(size_t)p->n_samples * p->n_sample_types + t] = kp_merge_row_value(&e->m->rows, row, t);
    p->n_samples++;
}

static void walk(struct kp_emit *e)
{
    uint32_t node = 0;
    for (;;) {
        for (uint32_t row1 = e->first_row[node]; row1 != 0; row1 = e->next_row[row1 - 1])
            emit_sample(e, row1 - 1);
        if (e->first_child[node] != 0) {
            node = e->first_child[node];
            continue;
        }
        while (e->sibling[node] == 0 && node != 0)
            node = e->s->nodes[node].parent;
        if (node == 0)
            return;
        node = e->sibling[node];
    }
}

static void emit_samples(struct kp_emit *e)
{
    struct kp_profile *p = e->p;
    size_t n_frames = 0;
    size_t n_labels = 0;
    for (uint32_t r = 0; r < e->m->rows.keys.n; r++) {
        struct kp_merge_row key = e->m->rows.keys.items[r];
        if (e->next_row[r] != KP_EMIT_USED)
            continue;
        n_frames += e->m->rows.depths[key.node]; // known of all rows
        n_labels += e->s->label_sets[key.label_set + 1] - e->s->label_sets[key.label_set];
    }
    p->samples = KP_ARENA_ARRAY(&e->arena, struct kp_sample, (size_t)e->n_rows + 1);
    p->values = KP_ARENA_ARRAY(&e->arena, int64_t, (size_t)e->n_rows * p->n_sample_types + 1);
    p->frames = KP_ARENA_ARRAY(&e->arena, uint32_t, n_frames + 1);
    p->labels = KP_ARENA_ARRAY(&e->arena, struct kp_sample_label, n_labels + 1);
    hang_nodes(e);
    hang_rows(e);
    walk(e);
}

static void emit_header(struct kp_emit *e)
{
    const struct kp_merger *m = e->m;
    struct kp_profile *p = e->p;
    p->n_sample_types = m->rows.n_types;
    p->sample_types = KP_ARENA_ARRAY(&e->arena, struct kp_value_type, (size_t)p->n_sample_types + 1);
    for (uint32_t i = 0; i < p->n_sample_types; i++)
        p->sample_types[i] =
            (struct kp_value_type){e->strings[m->types[i].type], e->strings[m->types[i].unit]};
    p->comments = KP_ARENA_ARRAY(&e->arena, uint32_t, m->comments.n + 1);
    for (size_t i = 0; i < m->comments.n; i++)
        p->comments[p->n_comments++] = e->strings[m->comments.items[i]];
    p->time_ns = m->time_ns;
    p->duration_ns = m->duration_ns;
    p->period = m->period;
    p->has_period_type = m->has_period_type;
    p->period_type = (struct kp_value_type){e->strings[m->period_type.type], e->strings[m->period_type.unit]};
    p->drop_frames = e->strings[m->drop_frames];
    p->keep_frames = e->strings[m->keep_frames];
    p->default_type = e->strings[m->default_type];
    p->doc_url = e->strings[m->doc_url];
}

static void finish(struct kp_emit *e)
{
    void *all[] = {e->strings, e->functions, e->mappings, e->locations, e->sets, e->lines, e->labels,
        e->first_child, e->sibling, e->first_row, e->next_row};
    for (size_t i = 0; i < KP_COUNT(all); i++)
        kp_free(all[i]);
}

struct kp_profile *kp_merger_profile(struct kp_merger *m)
{
    const struct kp_symbols *s = m->symbols;
    struct kp_emit e = {.m = m,
        .s = s,
        .p = KP_NEW(struct kp_profile),
        .strings = unused(s->n_strings),
        .functions = unused(s->n_functions),
        .mappings = unused(s->n_mappings),
        .locations = unused(s->n_locations),
        .sets = unused(s->n_label_sets),
        .lines = KP_NEW_ARRAY(struct kp_line, (size_t)s->n_lines + 1),
        .labels = KP_NEW_ARRAY(struct kp_sample_label, (size_t)s->n_labels + 1),
        .sibling = unused(s->n_nodes),
        .next_row = unused((uint32_t)m->rows.keys.n)};
    need_rows(&e);
    need_rest(&e);
    kp_emit_strings(&e);
    kp_emit_functions(&e);
    kp_emit_mappings(&e);
    kp_emit_locations(&e);
    kp_emit_label_sets(&e);
    emit_header(&e);
    emit_samples(&e);
    finish(&e);
    e.p->arena = e.arena;
    return e.p;
}
