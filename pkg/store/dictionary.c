// A space to columns; see dictionary_private.h.
#include <string.h>

#include "base/alloc.h"
#include "store/dictionary_private.h"
#include "base/banned.h"

#define UNKNOWN UINT32_MAX

struct numbering {
    uint32_t *new_id; // by old id
    uint32_t *old_id; // by new id
    uint32_t n;
};

struct writer {
    const struct kp_space_parts *parts;
    const struct kp_symbols *s;
    struct kp_column *c;
    struct numbering strings, functions, locations, nodes;
};

static void number_init(struct numbering *x, uint32_t n)
{
    x->new_id = kp_grow(NULL, (size_t)n + 1, sizeof *x->new_id);
    x->old_id = kp_grow(NULL, (size_t)n + 1, sizeof *x->old_id);
    memset(x->new_id, 0xff, ((size_t)n + 1) * sizeof *x->new_id);
}

static void number_finish(struct numbering *x)
{
    kp_free(x->new_id);
    kp_free(x->old_id);
}

static void number(struct numbering *x, uint32_t old)
{
    if (x->new_id[old] != UNKNOWN)
        return;
    x->new_id[old] = x->n;
    x->old_id[x->n++] = old;
}

// ---- the order ----

static void number_locations(struct writer *w)
{
    kp_order_locations(w->s, w->locations.old_id);
    for (uint32_t i = 0; i < w->s->n_locations; i++)
        w->locations.new_id[w->locations.old_id[i]] = i;
}

static void number_functions(struct writer *w)
{
    for (uint32_t i = 0; i < w->s->n_locations; i++) {
        const struct kp_sym_location *l = &w->s->locations[w->locations.old_id[i]];
        for (uint32_t k = l->n_lines; k-- > 0;)
            number(&w->functions, w->s->lines[l->first_line + k].function);
    }
    for (uint32_t i = 0; i < w->s->n_functions; i++)
        number(&w->functions, i);
}

static void number_strings(struct writer *w)
{
    number(&w->strings, 0);
    for (uint32_t i = 0; i < w->s->n_functions; i++)
        number(&w->strings, w->s->functions[w->functions.old_id[i]].name);
    for (uint32_t i = 0; i < w->s->n_functions; i++)
        number(&w->strings, w->s->functions[w->functions.old_id[i]].filename);
    for (uint32_t i = 0; i < w->s->n_strings; i++)
        number(&w->strings, i);
}

static void number_nodes(struct writer *w)
{
    kp_order_nodes(w->s, w->locations.new_id, w->nodes.old_id);
    for (uint32_t i = 0; i < w->s->n_nodes; i++)
        w->nodes.new_id[w->nodes.old_id[i]] = i;
}

// ---- the columns ----

static void put_strings(const struct writer *w)
{
    struct kp_str last = {"", 0};
    for (uint32_t i = 1; i < w->s->n_strings; i++) {
        struct kp_str s = w->s->strings[w->strings.old_id[i]];
        uint32_t shared = 0;
        while (shared < s.len && shared < last.len && s.data[shared] == last.data[shared])
            shared++;
        kp_column_put(&w->c[KP_DICT_STRING_SHARED], shared);
        kp_column_put(&w->c[KP_DICT_STRING_LENGTHS], s.len - shared);
        kp_column_put_bytes(&w->c[KP_DICT_STRING_BYTES], s.data + shared, s.len - shared);
        last = s;
    }
}

static void put_functions(const struct writer *w)
{
    uint32_t next = 1;
    uint32_t last_file = 0;
    int64_t last_line = 0;
    for (uint32_t i = 0; i < w->s->n_functions; i++) {
        const struct kp_function *f = &w->s->functions[w->functions.old_id[i]];
        uint32_t name = w->strings.new_id[f->name];
        uint32_t system_name = w->strings.new_id[f->system_name];
        uint32_t file = w->strings.new_id[f->filename];
        kp_column_put(&w->c[KP_DICT_FUNCTION_NAMES], name == next ? 0 : (uint64_t)name + 1);
        next += name == next;
        kp_column_put(&w->c[KP_DICT_FUNCTION_SYSTEM], system_name == name ? 0 : (uint64_t)system_name + 1);
        kp_column_put(&w->c[KP_DICT_FUNCTION_FILES], file == last_file ? 0 : (uint64_t)file + 1);
        kp_column_put_int(
            &w->c[KP_DICT_FUNCTION_STARTS], kp_wrap_sub(f->start_line, file == last_file ? last_line : 0));
        last_file = file;
        last_line = f->start_line;
    }
}

static void put_mappings(const struct writer *w)
{
    struct kp_column *c = &w->c[KP_DICT_MAPPINGS];
    for (uint32_t i = 0; i < w->s->n_mappings; i++) {
        const struct kp_sym_mapping *m = &w->s->mappings[i];
        kp_column_put(c, m->size);
        kp_column_put(c, m->offset);
        kp_column_put(c, w->strings.new_id[m->filename]);
        kp_column_put(c, w->strings.new_id[m->build_id]);
        kp_column_put(c, m->flags);
        kp_column_put(c, m->ordinal);
        kp_column_put(c, m->start);
    }
}

static void put_lines(const struct writer *w, const struct kp_sym_location *l, uint32_t *next,
    uint32_t *outermost, int64_t *last_lines)
{
    uint32_t reference = *outermost;
    for (uint32_t k = l->n_lines; k-- > 0;) {
        const struct kp_line *line = &w->s->lines[l->first_line + k];
        uint32_t f = w->functions.new_id[line->function];
        int64_t difference = (int64_t)f - reference;
        kp_column_put(&w->c[KP_DICT_LINE_FUNCTIONS], f == *next ? 0 : kp_zigzag(difference) + 1);
        if (f == *next) {
            last_lines[f] = w->s->functions[line->function].start_line;
            ++*next;
        }
        kp_column_put_int(&w->c[KP_DICT_LINE_LINES], kp_wrap_sub(line->line, last_lines[f]));
        kp_column_put_int(&w->c[KP_DICT_LINE_COLUMNS], line->column);
        last_lines[f] = line->line;
        if (k + 1 == l->n_lines)
            *outermost = f;
    }
}

static void put_locations(const struct writer *w)
{
    uint32_t next = 0;
    uint32_t outermost = 0;
    uint32_t last_mapping = 0; // + 1; none = 0
    uint64_t last_address = 0;
    kp_auto_free int64_t *last_lines = KP_NEW_ARRAY(int64_t, (size_t)w->s->n_functions + 1);
    for (uint32_t i = 0; i < w->s->n_locations; i++) {
        const struct kp_sym_location *l = &w->s->locations[w->locations.old_id[i]];
        uint32_t mapping = l->mapping + 1;
        kp_column_put_int(&w->c[KP_DICT_LOCATION_MAPPINGS], (int64_t)mapping - last_mapping);
        kp_column_put(
            &w->c[KP_DICT_LOCATION_ADDRESSES], l->address - (mapping == last_mapping ? last_address : 0));
        kp_column_put(&w->c[KP_DICT_LOCATION_LINES], (uint64_t)l->n_lines << 1 | l->folded);
        last_mapping = mapping;
        last_address = l->address;
        put_lines(w, l, &next, &outermost, last_lines);
    }
}

static void put_nodes(const struct writer *w)
{
    uint32_t n = w->s->n_nodes;
    uint32_t n_locations = w->s->n_locations;
    kp_auto_free uint32_t *depth = KP_NEW_ARRAY(uint32_t, n);
    kp_auto_free uint32_t *path = kp_grow(NULL, (size_t)n + 1, sizeof *path); // location by depth
    kp_auto_free uint32_t *last_child = kp_grow(NULL, (size_t)n_locations + 1, sizeof *last_child);
    memset(last_child, 0xff, ((size_t)n_locations + 1) * sizeof *last_child);
    uint32_t last_depth = 0;
    path[0] = n_locations; // stands for the root
    for (uint32_t i = 1; i < n; i++)
        depth[i] = depth[w->s->nodes[i].parent] + 1;
    for (uint32_t i = 1; i < n; i++) {
        uint32_t node = w->nodes.old_id[i];
        uint32_t location = w->locations.new_id[w->s->nodes[node].location];
        uint32_t d = depth[node];
        uint32_t parent = path[d - 1];
        kp_column_put(&w->c[KP_DICT_NODE_UPS], last_depth + 1 - d);
        if (d <= last_depth)
            kp_column_put(&w->c[KP_DICT_NODE_SIBLINGS], location - path[d] - 1);
        else if (last_child[parent] != UNKNOWN)
            kp_column_put_int(&w->c[KP_DICT_NODE_KNOWN], (int64_t)location - last_child[parent]);
        else
            kp_column_put_int(&w->c[KP_DICT_NODE_NEW], (int64_t)location - parent);
        last_child[parent] = location;
        path[d] = location;
        last_depth = d;
    }
}

static void put_labels(const struct writer *w)
{
    for (uint32_t i = 1; i < w->s->n_label_sets; i++)
        kp_column_put(&w->c[KP_DICT_LABEL_SETS], w->s->label_sets[i + 1] - w->s->label_sets[i]);
    for (uint32_t i = 0; i < w->s->n_labels; i++) {
        const struct kp_sample_label *l = &w->s->labels[i];
        kp_column_put(&w->c[KP_DICT_LABELS], w->strings.new_id[l->key]);
        kp_column_put(&w->c[KP_DICT_LABELS], w->strings.new_id[l->str]);
        kp_column_put(&w->c[KP_DICT_LABELS], w->strings.new_id[l->unit]);
        kp_column_put_int(&w->c[KP_DICT_LABELS], l->num);
    }
}

static void put_entries(const struct writer *w)
{
    int64_t last_node = 0;
    int64_t last_labels = 0;
    for (uint32_t i = 0; i < w->parts->n_entries; i++) {
        uint32_t node = w->nodes.new_id[w->parts->entry_node[i]];
        kp_column_put_int(&w->c[KP_DICT_ENTRY_NODES], node - last_node);
        kp_column_put_int(&w->c[KP_DICT_ENTRY_LABELS], w->parts->entry_labels[i] - last_labels);
        last_node = node;
        last_labels = w->parts->entry_labels[i];
    }
}

static void put_shapes(const struct writer *w)
{
    for (uint32_t i = 0; i < w->parts->n_shapes; i++) {
        const struct kp_shape *shape = &w->parts->shapes[i];
        kp_column_put(&w->c[KP_DICT_SHAPE_LENGTHS], shape->len);
        kp_column_put_bytes(&w->c[KP_DICT_SHAPES], shape->bytes, shape->len);
        for (uint32_t k = 0; k < shape->profile->n_mappings; k++)
            kp_column_put(&w->c[KP_DICT_SHAPE_MAPPINGS], shape->mappings[k]);
    }
}

void kp_dictionary_put(const struct kp_space_parts *parts, struct kp_columns *columns)
{
    const struct kp_symbols *s = parts->symbols;
    const uint32_t counts[] = {s->n_strings, s->n_functions, s->n_mappings, s->n_locations, s->n_lines,
        s->n_nodes, s->n_label_sets, s->n_labels, parts->n_entries, parts->n_shapes};
    kp_columns_reset(columns, KP_DICT_COLUMNS);
    struct writer w = {.parts = parts, .s = s, .c = columns->items};
    for (size_t i = 0; i < KP_COUNT(counts); i++)
        kp_column_put(&w.c[KP_DICT_COUNTS], counts[i]);
    number_init(&w.strings, s->n_strings);
    number_init(&w.functions, s->n_functions);
    number_init(&w.locations, s->n_locations);
    number_init(&w.nodes, s->n_nodes);
    number_locations(&w);
    number_functions(&w);
    number_strings(&w);
    number_nodes(&w);
    put_strings(&w);
    put_functions(&w);
    put_mappings(&w);
    put_locations(&w);
    put_nodes(&w);
    put_labels(&w);
    put_entries(&w);
    put_shapes(&w);
    number_finish(&w.strings);
    number_finish(&w.functions);
    number_finish(&w.locations);
    number_finish(&w.nodes);
}
