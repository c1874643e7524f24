// The tables of a merged profile, each sorted by what it says.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "profile/merge_emit.h"
#include "base/banned.h"

static uint32_t count_used(const uint32_t *ids, uint32_t n)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < n; i++)
        used += ids[i] == KP_EMIT_USED;
    return used;
}

struct sort_string {
    struct kp_str str;
    uint32_t id;
};

static int by_bytes(const void *a, const void *b)
{
    struct kp_str x = ((const struct sort_string *)a)->str;
    struct kp_str y = ((const struct sort_string *)b)->str;
    uint32_t n = x.len < y.len ? x.len : y.len;
    int c = n > 0 ? memcmp(x.data, y.data, n) : 0;
    return c != 0 ? c : (x.len > y.len) - (x.len < y.len);
}

void kp_emit_strings(struct kp_emit *e)
{
    uint32_t n = 0;
    size_t bytes = 0;
    kp_auto_free struct sort_string *list =
        KP_NEW_ARRAY(struct sort_string, (size_t)count_used(e->strings, e->s->n_strings) + 1);
    for (uint32_t i = 0; i < e->s->n_strings; i++)
        if (e->strings[i] == KP_EMIT_USED) {
            list[n++] = (struct sort_string){e->s->strings[i], i};
            bytes += e->s->strings[i].len;
        }
    qsort(list, n, sizeof list[0], by_bytes); // "" is the first
    e->p->strings = KP_ARENA_ARRAY(&e->arena, struct kp_str, n);
    e->p->n_strings = n;
    char *at = kp_arena_alloc(&e->arena, bytes + 1);
    for (uint32_t i = 0; i < n; i++) {
        e->strings[list[i].id] = i;
        e->p->strings[i] = (struct kp_str){at, list[i].str.len};
        if (list[i].str.len > 0)
            memcpy(at, list[i].str.data, list[i].str.len);
        at += list[i].str.len;
    }
}

struct sort_numbers {
    uint64_t key[5];
    uint32_t id;
};

static int by_numbers(const void *a, const void *b)
{
    const struct sort_numbers *x = a;
    const struct sort_numbers *y = b;
    for (size_t i = 0; i < KP_COUNT(x->key); i++)
        if (x->key[i] != y->key[i])
            return x->key[i] < y->key[i] ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

void kp_emit_functions(struct kp_emit *e)
{
    uint32_t n = 0;
    uint32_t n_used = count_used(e->functions, e->s->n_functions);
    kp_auto_free struct sort_numbers *list = KP_NEW_ARRAY(struct sort_numbers, (size_t)n_used + 1);
    for (uint32_t i = 0; i < e->s->n_functions; i++) {
        const struct kp_function *f = &e->s->functions[i];
        if (e->functions[i] == KP_EMIT_USED)
            list[n++] = (struct sort_numbers){{e->strings[f->name], e->strings[f->filename],
                                                  e->strings[f->system_name], (uint64_t)f->start_line},
                i};
    }
    qsort(list, n, sizeof list[0], by_numbers);
    e->p->functions = KP_ARENA_ARRAY(&e->arena, struct kp_function, (size_t)n + 1);
    e->p->n_functions = n;
    for (uint32_t i = 0; i < n; i++) {
        e->functions[list[i].id] = i;
        e->p->functions[i] = (struct kp_function){.name = (uint32_t)list[i].key[0],
            .filename = (uint32_t)list[i].key[1],
            .system_name = (uint32_t)list[i].key[2],
            .start_line = (int64_t)list[i].key[3]};
    }
}

void kp_emit_mappings(struct kp_emit *e)
{
    uint32_t n = 0;
    uint32_t n_used = count_used(e->mappings, e->s->n_mappings);
    kp_auto_free struct sort_numbers *list = KP_NEW_ARRAY(struct sort_numbers, (size_t)n_used + 1);
    for (uint32_t i = 0; i < e->s->n_mappings; i++) {
        const struct kp_sym_mapping *m = &e->s->mappings[i];
        if (e->mappings[i] == KP_EMIT_USED)
            list[n++] = (struct sort_numbers){
                {i > 0, e->strings[m->filename], e->strings[m->build_id], m->offset, m->size}, i};
    }
    qsort(list, n, sizeof list[0], by_numbers);
    e->p->mappings = KP_ARENA_ARRAY(&e->arena, struct kp_mapping, (size_t)n + 1);
    e->p->n_mappings = n;
    for (uint32_t i = 0; i < n; i++) {
        const struct kp_sym_mapping *m = &e->s->mappings[list[i].id];
        e->mappings[list[i].id] = i;
        e->p->mappings[i] = (struct kp_mapping){.start = m->start,
            .limit = m->start + m->size,
            .offset = m->offset,
            .filename = e->strings[m->filename],
            .build_id = e->strings[m->build_id],
            .flags = m->flags};
    }
}

struct sort_location {
    uint64_t mapping1, address;
    const struct kp_line *lines;
    uint32_t n_lines, id;
    bool folded;
};

static int by_place(const void *a, const void *b)
{
    const struct sort_location *x = a;
    const struct sort_location *y = b;
    if (x->mapping1 != y->mapping1)
        return x->mapping1 < y->mapping1 ? -1 : 1;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    for (uint32_t i = 0; i < x->n_lines && i < y->n_lines; i++) {
        const struct kp_line *v = &x->lines[i];
        const struct kp_line *w = &y->lines[i];
        if (v->function != w->function)
            return v->function < w->function ? -1 : 1;
        if (v->line != w->line)
            return v->line < w->line ? -1 : 1;
        if (v->column != w->column)
            return v->column < w->column ? -1 : 1;
    }
    if (x->n_lines != y->n_lines)
        return x->n_lines < y->n_lines ? -1 : 1;
    return x->folded - y->folded;
}

static uint32_t sort_locations(struct kp_emit *e, struct sort_location *list)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->s->n_locations; i++) {
        const struct kp_sym_location *l = &e->s->locations[i];
        if (e->locations[i] != KP_EMIT_USED)
            continue;
        for (uint32_t k = l->first_line; k < l->first_line + l->n_lines; k++) {
            e->lines[k] = e->s->lines[k];
            e->lines[k].function = e->functions[e->lines[k].function];
        }
        e->p->n_lines += l->n_lines;
        list[n++] = (struct sort_location){
            .mapping1 = l->mapping == KP_NO_MAPPING ? 0 : (uint64_t)e->mappings[l->mapping] + 1,
            .address = l->address,
            .lines = e->lines + l->first_line,
            .n_lines = l->n_lines,
            .id = i,
            .folded = l->folded};
    }
    qsort(list, n, sizeof list[0], by_place);
    return n;
}

void kp_emit_locations(struct kp_emit *e)
{
    uint32_t n_used = count_used(e->locations, e->s->n_locations);
    kp_auto_free struct sort_location *list = KP_NEW_ARRAY(struct sort_location, (size_t)n_used + 1);
    uint32_t n = sort_locations(e, list);
    struct kp_profile *p = e->p;
    p->locations = KP_ARENA_ARRAY(&e->arena, struct kp_location, (size_t)n + 1);
    p->lines = KP_ARENA_ARRAY(&e->arena, struct kp_line, (size_t)p->n_lines + 1);
    p->n_locations = n;
    uint32_t line = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t mapping = list[i].mapping1 == 0 ? KP_NO_MAPPING : (uint32_t)list[i].mapping1 - 1;
        uint64_t start = list[i].mapping1 == 0 ? 0 : p->mappings[mapping].start;
        e->locations[list[i].id] = i;
        p->locations[i] = (struct kp_location){.address = list[i].address + start,
            .mapping = mapping,
            .first_line = line,
            .n_lines = list[i].n_lines,
            .folded = list[i].folded};
        for (uint32_t k = 0; k < list[i].n_lines; k++)
            p->lines[line++] = list[i].lines[k];
    }
}

// ---- label sets ----

static int by_label(const void *a, const void *b)
{
    const struct kp_sample_label *x = a;
    const struct kp_sample_label *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->str != y->str)
        return x->str < y->str ? -1 : 1;
    if (x->num != y->num)
        return x->num < y->num ? -1 : 1;
    return (x->unit > y->unit) - (x->unit < y->unit);
}

struct sort_set {
    const struct kp_sample_label *labels;
    uint32_t n, id;
};

static int by_labels(const void *a, const void *b)
{
    const struct sort_set *x = a;
    const struct sort_set *y = b;
    for (uint32_t i = 0; i < x->n && i < y->n; i++) {
        int c = by_label(&x->labels[i], &y->labels[i]);
        if (c != 0)
            return c;
    }
    return (x->n > y->n) - (x->n < y->n);
}

void kp_emit_label_sets(struct kp_emit *e)
{
    uint32_t n = 0;
    kp_auto_free struct sort_set *list =
        KP_NEW_ARRAY(struct sort_set, (size_t)count_used(e->sets, e->s->n_label_sets) + 1);
    for (uint32_t i = 0; i < e->s->n_label_sets; i++) {
        uint32_t first = e->s->label_sets[i];
        uint32_t n_labels = e->s->label_sets[i + 1] - first;
        if (e->sets[i] != KP_EMIT_USED)
            continue;
        for (uint32_t k = first; k < first + n_labels; k++)
            e->labels[k] = (struct kp_sample_label){.key = e->strings[e->s->labels[k].key],
                .str = e->strings[e->s->labels[k].str],
                .unit = e->strings[e->s->labels[k].unit],
                .num = e->s->labels[k].num};
        if (n_labels > 1)
            qsort(e->labels + first, n_labels, sizeof e->labels[0], by_label);
        list[n++] = (struct sort_set){e->labels + first, n_labels, i};
    }
    qsort(list, n, sizeof list[0], by_labels);
    for (uint32_t i = 0; i < n; i++)
        e->sets[list[i].id] = i;
    e->n_sets = n;
}
