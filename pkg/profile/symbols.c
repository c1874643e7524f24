#include "profile/symbols.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "profile/symbols_private.h"
#include "base/banned.h"

#define FIRST_SLOTS  64
#define MAX_EXPECTED (1U << 16) // slots

void kp_symbols_table_init(struct kp_symbols_table *t)
{
    t->slots = KP_NEW_ARRAY(struct kp_symbols_slot, FIRST_SLOTS);
    t->mask = FIRST_SLOTS - 1;
}

void kp_symbols_table_resize(struct kp_symbols_table *t, uint32_t n_slots)
{
    struct kp_symbols_slot *old = t->slots;
    uint32_t n_old = t->mask + 1;
    t->mask = n_slots - 1;
    t->slots = KP_NEW_ARRAY(struct kp_symbols_slot, n_slots);
    for (uint32_t i = 0; i < n_old; i++) {
        if (old[i].id1 == 0)
            continue;
        uint32_t at = old[i].hash & t->mask;
        while (t->slots[at].id1 != 0)
            at = (at + 1) & t->mask;
        t->slots[at] = old[i];
    }
    kp_free(old);
}

void kp_symbols_table_put(struct kp_symbols_table *t, uint32_t hash, uint32_t id)
{
    if (t->n >= t->mask / 2) // half full at most: short probes
        kp_symbols_table_resize(t, 2 * (t->mask + 1));
    uint32_t at = hash & t->mask;
    while (t->slots[at].id1 != 0)
        at = (at + 1) & t->mask;
    t->slots[at] = (struct kp_symbols_slot){hash, id + 1};
    t->n++;
}

// Makes room for n in an empty table.
static void table_expect(struct kp_symbols_table *t, uint32_t n)
{
    uint32_t n_slots = t->mask + 1;
    while (n_slots / 2 <= n && n_slots < MAX_EXPECTED)
        n_slots *= 2;
    if (n_slots > t->mask + 1)
        kp_symbols_table_resize(t, n_slots);
}

struct kp_symbols *kp_symbols_create(enum kp_symbols_mode mode)
{
    struct kp_symbols *s = KP_NEW(struct kp_symbols);
    struct kp_symbols_index *x = KP_NEW(struct kp_symbols_index);
    s->mode = mode;
    s->index = x;
    x->key = kp_keyed_random();
    kp_symbols_table_init(&x->strings);
    kp_symbols_table_init(&x->functions);
    kp_symbols_table_init(&x->mappings);
    kp_symbols_table_init(&x->locations);
    kp_symbols_table_init(&x->nodes);
    kp_symbols_table_init(&x->stacks);
    kp_symbols_table_init(&x->label_sets);
    (void)kp_symbols_string(s, "", 0);
    kp_symbols_grow_to(s->lines, 1, x->cap_lines);
    kp_symbols_grow_to(s->labels, 1, x->cap_labels);
    kp_symbols_grow_to(s->nodes, 1, x->cap_nodes);
    s->nodes[s->n_nodes++] = (struct kp_sym_node){0, UINT32_MAX};
    x->n_known_nodes = 1;                          // the root is never looked up
    kp_symbols_grow_to(s->lines, 1, x->cap_lines); // never NULL, there is arithmetic on it
    kp_symbols_grow_to(s->labels, 1, x->cap_labels);
    kp_symbols_grow_to(s->label_sets, 2, x->cap_sets);
    s->label_sets[0] = 0;
    (void)kp_symbols_label_set(s, NULL, 0);
    return s;
}

void kp_symbols_expect(struct kp_symbols *s, const struct kp_profile *p)
{
    struct kp_symbols_index *x = s->index;
    if (s->n_nodes > 1 || s->n_locations > 0)
        return;
    table_expect(&x->strings, p->n_strings);
    table_expect(&x->functions, p->n_functions);
    table_expect(&x->locations, p->n_locations);
    table_expect(&x->stacks, p->n_samples);
    table_expect(&x->nodes, (uint32_t)(p->n_frames / 4)); // stacks share most of their frames
}

void kp_symbols_destroy(struct kp_symbols *s)
{
    if (s == NULL)
        return;
    struct kp_symbols_index *x = s->index;
    struct kp_symbols_table *tables[] = {
        &x->strings, &x->functions, &x->mappings, &x->locations, &x->nodes, &x->stacks, &x->label_sets};
    for (size_t i = 0; i < KP_COUNT(tables); i++)
        kp_free(tables[i]->slots);
    kp_free(x->guesses.slots);
    kp_free(x->stacks_seen);
    kp_arena_free(x->bytes);
    kp_free(x);
    kp_free(s->strings);
    kp_free(s->functions);
    kp_free(s->mappings);
    kp_free(s->locations);
    kp_free(s->lines);
    kp_free(s->nodes);
    kp_free(s->label_sets);
    kp_free(s->labels);
    kp_free(s);
}

size_t kp_symbols_bytes(const struct kp_symbols *s)
{
    const struct kp_symbols_index *x = s->index;
    const struct kp_symbols_table *tables[] = {
        &x->strings, &x->functions, &x->mappings, &x->locations, &x->nodes, &x->stacks, &x->label_sets};
    size_t n = kp_arena_bytes(x->bytes);
    n += x->guesses.slots ? ((size_t)x->guesses.mask + 1) * sizeof(struct kp_symbols_slot) : 0;
    for (size_t i = 0; i < KP_COUNT(tables); i++)
        n += ((size_t)tables[i]->mask + 1) * sizeof(struct kp_symbols_slot);
    n += x->cap_stacks_seen * sizeof *x->stacks_seen;
    return n + x->cap_strings * sizeof *s->strings + x->cap_functions * sizeof *s->functions +
           x->cap_mappings * sizeof *s->mappings + x->cap_locations * sizeof *s->locations +
           x->cap_lines * sizeof *s->lines + x->cap_nodes * sizeof *s->nodes +
           x->cap_sets * sizeof *s->label_sets + x->cap_labels * sizeof *s->labels;
}

uint32_t kp_symbols_string(struct kp_symbols *s, const char *data, uint32_t len)
{
    struct kp_symbols_index *x = s->index;
    uint32_t h = kp_symbols_fold(kp_keyed_bytes(&x->key, data, len));
    kp_symbols_table_foreach(&x->strings, h, id)
    {
        if (s->strings[id].len == len && (len == 0 || memcmp(s->strings[id].data, data, len) == 0))
            return id;
    }
    kp_symbols_grow_to(s->strings, s->n_strings + 1, x->cap_strings);
    s->strings[s->n_strings] = (struct kp_str){len > 0 ? kp_arena_memdup(&x->bytes, data, len) : "", len};
    kp_symbols_table_put(&x->strings, h, s->n_strings);
    return s->n_strings++;
}

uint32_t kp_symbols_function(struct kp_symbols *s, const struct kp_function *f)
{
    struct kp_symbols_index *x = s->index;
    uint64_t h64 =
        kp_keyed_pair(&x->key, x->key.start, (uint64_t)f->name << 32 | f->system_name, f->filename);
    uint32_t h = kp_symbols_fold(kp_keyed_pair(&x->key, h64, (uint64_t)f->start_line, 0));
    kp_symbols_table_foreach(&x->functions, h, id)
    {
        const struct kp_function *g = &s->functions[id];
        if (g->name == f->name && g->system_name == f->system_name && g->filename == f->filename &&
            g->start_line == f->start_line)
            return id;
    }
    kp_symbols_grow_to(s->functions, s->n_functions + 1, x->cap_functions);
    s->functions[s->n_functions] = *f;
    kp_symbols_table_put(&x->functions, h, s->n_functions);
    return s->n_functions++;
}

// What google/pprof's merge looks at: the size in whole pages, the offset, and the build id or else the file.
static struct kp_sym_mapping merge_key(const struct kp_sym_mapping *m)
{
    return (struct kp_sym_mapping){.size = (m->size + 0xfff) / 0x1000,
        .offset = m->offset,
        .build_id = m->build_id,
        .filename = m->build_id != 0 ? 0 : m->filename};
}

static bool same_mapping(const struct kp_sym_mapping *a, const struct kp_sym_mapping *b)
{
    return a->size == b->size && a->offset == b->offset && a->filename == b->filename &&
           a->build_id == b->build_id && a->flags == b->flags && a->ordinal == b->ordinal;
}

uint32_t kp_symbols_mapping(struct kp_symbols *s, const struct kp_sym_mapping *m)
{
    struct kp_symbols_index *x = s->index;
    bool merge = s->mode == KP_SYMBOLS_MERGE;
    struct kp_sym_mapping key = merge ? merge_key(m) : *m;
    uint64_t h64 = kp_keyed_pair(&x->key, x->key.start, key.size, key.offset);
    h64 = kp_keyed_pair(
        &x->key, h64, (uint64_t)key.filename << 32 | key.build_id, (uint64_t)key.flags << 32 | key.ordinal);
    uint32_t h = kp_symbols_fold(h64);
    kp_symbols_table_foreach(&x->mappings, h, id)
    {
        struct kp_sym_mapping other = merge ? merge_key(&s->mappings[id]) : s->mappings[id];
        if (same_mapping(&other, &key))
            return id;
    }
    kp_symbols_grow_to(s->mappings, s->n_mappings + 1, x->cap_mappings);
    s->mappings[s->n_mappings] = *m;
    kp_symbols_table_put(&x->mappings, h, s->n_mappings);
    return s->n_mappings++;
}

uint32_t kp_symbols_location(
    struct kp_symbols *s, const struct kp_sym_location *l, const struct kp_line *lines)
{
    struct kp_symbols_index *x = s->index;
    uint64_t h64 =
        kp_keyed_pair(&x->key, x->key.start, l->address, (uint64_t)l->mapping << 1 | (l->folded ? 1 : 0));
    for (uint32_t i = 0; i < l->n_lines; i++) {
        h64 = kp_keyed_pair(&x->key, h64, (uint64_t)lines[i].line, lines[i].function);
        if (lines[i].column != 0)
            h64 = kp_keyed_pair(&x->key, h64, (uint64_t)lines[i].column, 0);
    }
    uint32_t h = kp_symbols_fold(h64);
    kp_symbols_table_foreach(&x->locations, h, id)
    {
        const struct kp_sym_location *o = &s->locations[id];
        if (o->address != l->address || o->mapping != l->mapping || o->folded != l->folded ||
            o->n_lines != l->n_lines)
            continue;
        const struct kp_line *other = s->lines + o->first_line;
        uint32_t i = 0;
        while (i < l->n_lines && other[i].function == lines[i].function && other[i].line == lines[i].line &&
               other[i].column == lines[i].column)
            i++;
        if (i == l->n_lines)
            return id;
    }
    kp_symbols_grow_to(s->lines, s->n_lines + l->n_lines, x->cap_lines);
    kp_symbols_grow_to(s->locations, s->n_locations + 1, x->cap_locations);
    s->locations[s->n_locations] = *l;
    s->locations[s->n_locations].first_line = s->n_lines;
    for (uint32_t i = 0; i < l->n_lines; i++)
        s->lines[s->n_lines++] = lines[i];
    kp_symbols_table_put(&x->locations, h, s->n_locations);
    return s->n_locations++;
}

static int compare_labels(const void *of_a, const void *of_b)
{
    const struct kp_sample_label *a = of_a;
    const struct kp_sample_label *b = of_b;
    const uint64_t x[] = {a->key, a->str, a->unit, (uint64_t)a->num};
    const uint64_t y[] = {b->key, b->str, b->unit, (uint64_t)b->num};
    for (size_t i = 0; i < KP_COUNT(x); i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

static inline bool same_label(const struct kp_sample_label *a, const struct kp_sample_label *b)
{
    return a->key == b->key && a->str == b->str && a->unit == b->unit && a->num == b->num;
}

uint32_t kp_symbols_label_set(struct kp_symbols *s, struct kp_sample_label *labels, uint32_t n)
{
    struct kp_symbols_index *x = s->index;
    bool sorted = true; // as they mostly are
    for (uint32_t i = 1; i < n && sorted; i++)
        sorted = compare_labels(&labels[i - 1], &labels[i]) <= 0;
    if (!sorted)
        qsort(labels, n, sizeof *labels, compare_labels);
    uint64_t h64 = x->key.start ^ n;
    for (uint32_t i = 0; i < n; i++) {
        h64 = kp_keyed_pair(&x->key, h64, (uint64_t)labels[i].key << 32 | labels[i].str, labels[i].unit);
        h64 = kp_keyed_pair(&x->key, h64, (uint64_t)labels[i].num, 0);
    }
    uint32_t h = kp_symbols_fold(h64);
    kp_symbols_table_foreach(&x->label_sets, h, id)
    {
        if (s->label_sets[id + 1] - s->label_sets[id] != n)
            continue;
        uint32_t i = 0;
        while (i < n && same_label(&s->labels[s->label_sets[id] + i], &labels[i]))
            i++;
        if (i == n)
            return id;
    }
    kp_symbols_grow_to(s->labels, s->n_labels + n, x->cap_labels);
    kp_symbols_grow_to(s->label_sets, s->n_label_sets + 2, x->cap_sets);
    for (uint32_t i = 0; i < n; i++)
        s->labels[s->n_labels++] = labels[i];
    s->label_sets[s->n_label_sets + 1] = s->n_labels;
    kp_symbols_table_put(&x->label_sets, h, s->n_label_sets);
    return s->n_label_sets++;
}

// ---- all at once ----

static bool adopt_names(struct kp_symbols *s, const struct kp_symbols *from)
{
    bool same = true;
    for (uint32_t i = 0; same && i < from->n_strings; i++)
        same = kp_symbols_string(s, from->strings[i].data, from->strings[i].len) == i;
    for (uint32_t i = 0; same && i < from->n_functions; i++)
        same = kp_symbols_function(s, &from->functions[i]) == i;
    for (uint32_t i = 0; same && i < from->n_mappings; i++)
        same = kp_symbols_mapping(s, &from->mappings[i]) == i;
    for (uint32_t i = 0; same && i < from->n_locations; i++)
        same = kp_symbols_location(s, &from->locations[i], from->lines + from->locations[i].first_line) == i;
    return same;
}

static bool adopt_label_sets(struct kp_symbols *s, const struct kp_symbols *from)
{
    bool same = true;
    for (uint32_t i = 0; same && i < from->n_label_sets; i++) {
        uint32_t n = from->label_sets[i + 1] - from->label_sets[i];
        struct kp_sample_label *labels = kp_grow(NULL, (size_t)n + 1, sizeof *labels);
        if (n > 0)
            memcpy(labels, from->labels + from->label_sets[i], n * sizeof *labels);
        same = kp_symbols_label_set(s, labels, n) == i;
        kp_free(labels);
    }
    return same;
}

bool kp_symbols_adopt(struct kp_symbols *s, const struct kp_symbols *from)
{
    if (s->n_strings > 1 || s->n_nodes > 1 || !adopt_names(s, from) || !adopt_label_sets(s, from))
        return false;
    kp_symbols_grow_to(s->nodes, from->n_nodes, s->index->cap_nodes);
    memcpy(s->nodes, from->nodes, from->n_nodes * sizeof *s->nodes);
    s->n_nodes = from->n_nodes;
    return true;
}
