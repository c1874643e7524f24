// Columns to a space; see dictionary_private.h. Whatever they hold, ids in the result lead somewhere.
#include <string.h>

#include "base/alloc.h"
#include "store/dictionary_private.h"
#include "base/banned.h"

#define UNKNOWN UINT32_MAX

struct reader {
    struct kp_column_reader c[KP_DICT_COLUMNS];
    struct kp_space *space;
    struct kp_symbols *s;
    bool bad;
};

#define new_array(r, type, n) KP_ARENA_ARRAY(&(r)->space->arena, type, (size_t)(n) + 1)

// Counts are limited by the bytes of a column that has one for each.
static uint32_t get_count(struct reader *r, int column)
{
    return kp_column_get_below(&r->c[KP_DICT_COUNTS], kp_column_left(&r->c[column]) + 2);
}

static int64_t get_step(struct reader *r, int column, int64_t last, int64_t below)
{
    int64_t v = kp_wrap_add(last, kp_column_get_int(&r->c[column]));
    if (v >= 0 && v < below)
        return v;
    r->bad = true;
    return 0;
}

static void get_counts(struct reader *r)
{
    struct kp_symbols *s = r->s;
    s->n_strings = get_count(r, KP_DICT_STRING_SHARED);
    s->n_functions = get_count(r, KP_DICT_FUNCTION_NAMES);
    s->n_mappings = get_count(r, KP_DICT_MAPPINGS);
    s->n_locations = get_count(r, KP_DICT_LOCATION_ADDRESSES);
    s->n_lines = get_count(r, KP_DICT_LINE_FUNCTIONS);
    s->n_nodes = get_count(r, KP_DICT_NODE_UPS);
    s->n_label_sets = get_count(r, KP_DICT_LABEL_SETS);
    s->n_labels = get_count(r, KP_DICT_LABELS);
    r->space->n_entries = get_count(r, KP_DICT_ENTRY_NODES);
    r->space->n_shapes = get_count(r, KP_DICT_SHAPE_LENGTHS);
    const uint32_t counts[] = {s->n_strings, s->n_functions, s->n_mappings, s->n_locations, s->n_lines,
        s->n_nodes, s->n_label_sets, s->n_labels, r->space->n_entries, r->space->n_shapes};
    for (size_t i = 0; i < KP_COUNT(counts); i++)
        r->bad |= counts[i] > KP_MAX_SPACE_ITEMS;
    r->bad |= s->n_strings == 0 || s->n_nodes == 0 || s->n_label_sets == 0 || r->c[KP_DICT_COUNTS].bad;
}

// All strings lie in one piece of memory. Shared beginnings could make much of little: limited.
static void get_strings(struct reader *r)
{
    struct kp_column_reader lengths = r->c[KP_DICT_STRING_LENGTHS];
    struct kp_column_reader shared = r->c[KP_DICT_STRING_SHARED];
    uint64_t total = 0;
    for (uint32_t i = 1; i < r->s->n_strings && total <= KP_MAX_BLOCK_RAW; i++)
        total +=
            (uint64_t)kp_column_get_below(&shared, UINT32_MAX) + kp_column_get_below(&lengths, UINT32_MAX);
    if (total > KP_MAX_BLOCK_RAW || shared.bad || lengths.bad) {
        r->bad = true;
        return;
    }
    char *bytes = kp_arena_alloc(&r->space->arena, total + 1);
    struct kp_str last = {"", 0};
    r->s->strings[0] = last;
    for (uint32_t i = 1; i < r->s->n_strings; i++) {
        uint32_t n = kp_column_get_below(&r->c[KP_DICT_STRING_SHARED], (uint64_t)last.len + 1);
        uint32_t more = kp_column_get_below(&r->c[KP_DICT_STRING_LENGTHS], UINT32_MAX);
        const uint8_t *rest = kp_column_get_bytes(&r->c[KP_DICT_STRING_BYTES], more);
        if (rest == NULL)
            more = 0;
        struct kp_str *s = &r->s->strings[i];
        *s = (struct kp_str){bytes, n + more};
        memcpy(bytes, last.data, n);
        if (more > 0)
            memcpy(bytes + n, rest, more);
        bytes += s->len;
        last = *s;
    }
}

static uint32_t get_string(struct reader *r, int column)
{
    return kp_column_get_below(&r->c[column], r->s->n_strings);
}

static void get_functions(struct reader *r)
{
    uint32_t next = 1;
    struct kp_function last = {0};
    for (uint32_t i = 0; i < r->s->n_functions; i++) {
        struct kp_function *f = &r->s->functions[i];
        uint64_t limit = (uint64_t)r->s->n_strings + 1;
        uint32_t name = kp_column_get_below(&r->c[KP_DICT_FUNCTION_NAMES], limit);
        uint32_t system_name = kp_column_get_below(&r->c[KP_DICT_FUNCTION_SYSTEM], limit);
        uint32_t file = kp_column_get_below(&r->c[KP_DICT_FUNCTION_FILES], limit);
        r->bad |= name == 0 && next >= r->s->n_strings;
        if (r->bad)
            return;
        f->name = name == 0 ? next++ : name - 1;
        f->system_name = system_name == 0 ? f->name : system_name - 1;
        f->filename = file == 0 ? last.filename : file - 1;
        f->start_line = kp_wrap_add(kp_column_get_int(&r->c[KP_DICT_FUNCTION_STARTS]),
            f->filename == last.filename ? last.start_line : 0);
        last = *f;
    }
}

static void get_mappings(struct reader *r)
{
    struct kp_column_reader *c = &r->c[KP_DICT_MAPPINGS];
    for (uint32_t i = 0; i < r->s->n_mappings; i++) {
        struct kp_sym_mapping *m = &r->s->mappings[i];
        m->size = kp_column_get(c);
        m->offset = kp_column_get(c);
        m->filename = get_string(r, KP_DICT_MAPPINGS);
        m->build_id = get_string(r, KP_DICT_MAPPINGS);
        m->flags = kp_column_get_below(c, 16);
        m->ordinal = kp_column_get_below(c, UINT32_MAX);
        m->start = kp_column_get(c);
    }
}

struct line_state {
    uint32_t next, outermost, n_lines;
    int64_t *last_lines;
};

static void get_lines(struct reader *r, const struct kp_sym_location *l, struct line_state *st)
{
    uint32_t reference = st->outermost;
    for (uint32_t k = l->n_lines; k-- > 0;) {
        struct kp_line *line = &r->s->lines[l->first_line + k];
        uint64_t code = kp_column_get(&r->c[KP_DICT_LINE_FUNCTIONS]);
        int64_t f = code == 0 ? st->next : kp_wrap_add(reference, kp_unzigzag(code - 1));
        if (f < 0 || f >= r->s->n_functions) {
            r->bad = true;
            return;
        }
        if (f == st->next)
            st->last_lines[st->next++] = r->s->functions[f].start_line;
        line->function = (uint32_t)f;
        line->line = kp_wrap_add(st->last_lines[f], kp_column_get_int(&r->c[KP_DICT_LINE_LINES]));
        line->column = kp_column_get_int(&r->c[KP_DICT_LINE_COLUMNS]);
        st->last_lines[f] = line->line;
        if (k + 1 == l->n_lines)
            st->outermost = (uint32_t)f;
    }
}

static void get_locations(struct reader *r)
{
    kp_auto_free int64_t *last_lines = KP_NEW_ARRAY(int64_t, (size_t)r->s->n_functions + 1);
    struct line_state st = {.last_lines = last_lines};
    int64_t last_mapping = 0;
    uint64_t last_address = 0;
    for (uint32_t i = 0; i < r->s->n_locations && !r->bad; i++) {
        struct kp_sym_location *l = &r->s->locations[i];
        int64_t mapping = get_step(r, KP_DICT_LOCATION_MAPPINGS, last_mapping, (int64_t)r->s->n_mappings + 1);
        l->address = kp_column_get(&r->c[KP_DICT_LOCATION_ADDRESSES]);
        l->address += mapping == last_mapping ? last_address : 0;
        uint64_t lines = kp_column_get(&r->c[KP_DICT_LOCATION_LINES]);
        l->mapping = mapping == 0 ? KP_NO_MAPPING : (uint32_t)mapping - 1;
        l->folded = lines & 1;
        l->first_line = st.n_lines;
        if (lines >> 1 > r->s->n_lines - st.n_lines) {
            r->bad = true;
            return;
        }
        l->n_lines = (uint32_t)(lines >> 1);
        st.n_lines += l->n_lines;
        last_mapping = mapping;
        last_address = l->address;
        get_lines(r, l, &st);
    }
    r->bad |= st.n_lines != r->s->n_lines;
}

// Location of the next node, as the writer predicted it.
static int64_t get_node(
    struct reader *r, uint32_t ups, uint32_t parent, const uint32_t *last_child, const uint32_t *sibling)
{
    if (ups > 0)
        return (int64_t)*sibling + 1 + kp_column_get_below(&r->c[KP_DICT_NODE_SIBLINGS], r->s->n_locations);
    bool known = last_child[parent] != UNKNOWN;
    return kp_wrap_add(known ? last_child[parent] : parent,
        kp_column_get_int(&r->c[known ? KP_DICT_NODE_KNOWN : KP_DICT_NODE_NEW]));
}

static void get_nodes(struct reader *r)
{
    uint32_t n = r->s->n_nodes;
    uint32_t n_locations = r->s->n_locations;
    uint32_t n_path = (n < KP_MAX_SPACE_DEPTH ? n : KP_MAX_SPACE_DEPTH) + 1;
    kp_auto_free uint32_t *path = kp_grow(NULL, n_path, sizeof *path);
    kp_auto_free uint32_t *path_node = kp_grow(NULL, n_path, sizeof *path_node);
    kp_auto_free uint32_t *last_child = kp_grow(NULL, (size_t)n_locations + 1, sizeof *last_child);
    memset(last_child, 0xff, ((size_t)n_locations + 1) * sizeof *last_child);
    uint32_t depth = 0;
    path[0] = n_locations; // stands for the root
    path_node[0] = 0;
    r->s->nodes[0] = (struct kp_sym_node){0, UINT32_MAX};
    for (uint32_t i = 1; i < n; i++) {
        uint32_t ups = kp_column_get_below(&r->c[KP_DICT_NODE_UPS], (uint64_t)depth + 1);
        uint32_t d = depth + 1 - ups;
        if (r->c[KP_DICT_NODE_UPS].bad || d >= n_path) {
            r->bad = true;
            return;
        }
        int64_t location = get_node(r, ups, path[d - 1], last_child, &path[d]);
        if (location < 0 || location >= n_locations) {
            r->bad = true;
            return;
        }
        last_child[path[d - 1]] = (uint32_t)location;
        path[d] = (uint32_t)location;
        path_node[d] = i;
        depth = d;
        r->s->nodes[i] = (struct kp_sym_node){path_node[d - 1], (uint32_t)location};
    }
}

static void get_labels(struct reader *r)
{
    struct kp_symbols *s = r->s;
    s->label_sets[0] = s->label_sets[1] = 0;
    for (uint32_t i = 1; i < s->n_label_sets; i++)
        s->label_sets[i + 1] = s->label_sets[i] + kp_column_get_below(&r->c[KP_DICT_LABEL_SETS],
                                                      (uint64_t)s->n_labels - s->label_sets[i] + 1);
    r->bad |= s->label_sets[s->n_label_sets] != s->n_labels;
    for (uint32_t i = 0; i < s->n_labels; i++) {
        struct kp_sample_label *l = &s->labels[i];
        l->key = get_string(r, KP_DICT_LABELS);
        l->str = get_string(r, KP_DICT_LABELS);
        l->unit = get_string(r, KP_DICT_LABELS);
        l->num = kp_column_get_int(&r->c[KP_DICT_LABELS]);
    }
}

static void get_entries(struct reader *r)
{
    uint32_t *nodes = new_array(r, uint32_t, r->space->n_entries);
    uint32_t *labels = new_array(r, uint32_t, r->space->n_entries);
    int64_t node = 0;
    int64_t set = 0;
    for (uint32_t i = 0; i < r->space->n_entries; i++) {
        nodes[i] = (uint32_t)(node = get_step(r, KP_DICT_ENTRY_NODES, node, r->s->n_nodes));
        labels[i] = (uint32_t)(set = get_step(r, KP_DICT_ENTRY_LABELS, set, r->s->n_label_sets));
    }
    r->space->entry_node = nodes;
    r->space->entry_labels = labels;
}

static int get_shapes(struct reader *r, struct kp_error *err)
{
    struct kp_profile **shapes = new_array(r, struct kp_profile *, r->space->n_shapes);
    const uint32_t **mappings = new_array(r, const uint32_t *, r->space->n_shapes);
    for (uint32_t i = 0; i < r->space->n_shapes; i++) {
        size_t len = kp_column_get_below(&r->c[KP_DICT_SHAPE_LENGTHS], KP_MAX_SHAPE_BYTES + 1);
        const uint8_t *bytes = kp_column_get_bytes(&r->c[KP_DICT_SHAPES], len);
        if (bytes == NULL)
            return kp_fail(err, KP_CORRUPT, "shapes are cut short");
        int rc = kp_shape_get(bytes, len, &r->space->arena, &shapes[i], err);
        if (rc != 0)
            return rc;
        uint32_t *ids = new_array(r, uint32_t, shapes[i]->n_mappings);
        for (uint32_t k = 0; k < shapes[i]->n_mappings; k++)
            ids[k] = kp_column_get_below(&r->c[KP_DICT_SHAPE_MAPPINGS], r->s->n_mappings);
        mappings[i] = ids;
    }
    r->space->shapes = shapes;
    r->space->shape_mappings = mappings;
    return 0;
}

static int get_all(struct reader *r, struct kp_error *err)
{
    struct kp_symbols *s = r->s;
    get_counts(r);
    if (r->bad)
        return kp_fail(err, KP_CORRUPT, "counts of a dictionary are wrong");
    s->strings = new_array(r, struct kp_str, s->n_strings);
    s->functions = new_array(r, struct kp_function, s->n_functions);
    s->mappings = new_array(r, struct kp_sym_mapping, s->n_mappings);
    s->locations = new_array(r, struct kp_sym_location, s->n_locations);
    s->lines = new_array(r, struct kp_line, s->n_lines);
    s->nodes = new_array(r, struct kp_sym_node, s->n_nodes);
    s->label_sets = new_array(r, uint32_t, s->n_label_sets);
    s->labels = new_array(r, struct kp_sample_label, s->n_labels);
    static void (*const steps[])(struct reader *) = {
        get_strings, get_functions, get_mappings, get_locations, get_nodes, get_labels, get_entries};
    for (size_t i = 0; i < KP_COUNT(steps) && !r->bad; i++)
        steps[i](r);
    int rc = r->bad ? 0 : get_shapes(r, err);
    for (int i = 0; i < KP_DICT_COLUMNS; i++)
        r->bad |= r->c[i].bad;
    return rc == 0 && r->bad ? kp_fail(err, KP_CORRUPT, "a dictionary is broken") : rc;
}

int kp_dictionary_get(const void *data, size_t len, struct kp_space **ret, struct kp_error *err)
{
    struct kp_space *space = KP_NEW(struct kp_space);
    struct reader r = {.space = space, .s = &space->symbols};
    space->symbols.mode = KP_SYMBOLS_EXACT;
    int rc = kp_columns_split(data, len, r.c, KP_DICT_COLUMNS, err);
    if (rc == 0)
        rc = get_all(&r, err);
    if (rc == 0)
        *ret = space;
    else
        kp_space_free(space);
    return rc;
}

void kp_space_free(struct kp_space *space)
{
    if (space == NULL)
        return;
    kp_arena_free(space->arena);
    kp_free(space);
}
