// From the ids of a profile or of another space to the ids of a space: each entity is looked up once.
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "profile/digest.h"
#include "profile/symbols.h"
#include "profile/symbols_guess.h"
#include "profile/symbols_private.h"
#include "base/banned.h"

#define UNKNOWN UINT32_MAX

struct kp_symbols_map {
    struct kp_symbols *to;
    const struct kp_profile *profile; // one of the two
    const struct kp_symbols *space;
    uint32_t *strings, *functions, *mappings, *locations, *nodes, *sets;
    uint32_t *ordinals; // of a profile's mappings
    bool has_recognised;
    uint32_t *stacks; // from then on: nodes of a profile's samples, of those that were known
    KP_ARRAY(struct kp_line) lines;
    KP_ARRAY(uint32_t) stack;
    KP_ARRAY(struct kp_sample_label) labels;
};

static uint32_t *unknown(uint32_t n)
{
    uint32_t *ids = kp_grow(NULL, (size_t)n + 1, sizeof *ids);
    memset(ids, 0xff, ((size_t)n + 1) * sizeof *ids);
    return ids;
}

struct kp_symbols_map *kp_symbols_map_profile(struct kp_symbols *to, const struct kp_profile *from)
{
    struct kp_symbols_map *map = KP_NEW(struct kp_symbols_map);
    map->to = to;
    map->profile = from;
    map->strings = unknown(from->n_strings);
    map->functions = unknown(from->n_functions);
    map->mappings = unknown(from->n_mappings);
    map->locations = unknown(from->n_locations);
    map->ordinals = KP_NEW_ARRAY(uint32_t, (size_t)from->n_mappings + 1);
    if (to->mode == KP_SYMBOLS_EXACT)
        kp_mapping_ordinals(from, map->ordinals);
    return map;
}

struct kp_symbols_map *kp_symbols_map_symbols(struct kp_symbols *to, const struct kp_symbols *from)
{
    struct kp_symbols_map *map = KP_NEW(struct kp_symbols_map);
    map->to = to;
    map->space = from;
    map->strings = unknown(from->n_strings);
    map->functions = unknown(from->n_functions);
    map->mappings = unknown(from->n_mappings);
    map->locations = unknown(from->n_locations);
    map->nodes = unknown(from->n_nodes);
    map->nodes[0] = 0;
    map->sets = unknown(from->n_label_sets);
    return map;
}

void kp_symbols_map_destroy(struct kp_symbols_map *map)
{
    if (map == NULL)
        return;
    kp_free(map->strings);
    kp_free(map->functions);
    kp_free(map->mappings);
    kp_free(map->locations);
    kp_free(map->nodes);
    kp_free(map->sets);
    kp_free(map->ordinals);
    kp_free(map->stacks);
    kp_array_free(&map->lines);
    kp_array_free(&map->stack);
    kp_array_free(&map->labels);
    kp_free(map);
}

uint32_t kp_symbols_map_string(struct kp_symbols_map *map, uint32_t string)
{
    uint32_t *id = &map->strings[string];
    if (*id == UNKNOWN) {
        struct kp_str s = map->profile ? map->profile->strings[string] : map->space->strings[string];
        *id = kp_symbols_string(map->to, s.data, s.len);
    }
    return *id;
}

static uint32_t map_function(struct kp_symbols_map *map, uint32_t function)
{
    uint32_t *id = &map->functions[function];
    if (*id == UNKNOWN) {
        const struct kp_function *f =
            map->profile ? &map->profile->functions[function] : &map->space->functions[function];
        const struct kp_function g = {.name = kp_symbols_map_string(map, f->name),
            .system_name = kp_symbols_map_string(map, f->system_name),
            .filename = kp_symbols_map_string(map, f->filename),
            .start_line = f->start_line};
        *id = kp_symbols_function(map->to, &g);
    }
    return *id;
}

uint32_t kp_symbols_map_mapping(struct kp_symbols_map *map, uint32_t mapping)
{
    if (mapping == KP_NO_MAPPING)
        return KP_NO_MAPPING;
    uint32_t *id = &map->mappings[mapping];
    if (*id != UNKNOWN)
        return *id;
    struct kp_sym_mapping m;
    if (map->profile) {
        const struct kp_mapping *from = &map->profile->mappings[mapping];
        m = (struct kp_sym_mapping){.size = from->limit - from->start,
            .offset = from->offset,
            .filename = from->filename,
            .build_id = from->build_id,
            .flags = from->flags,
            .ordinal = map->ordinals[mapping],
            .start = from->start};
    } else {
        m = map->space->mappings[mapping];
    }
    m.filename = kp_symbols_map_string(map, m.filename);
    m.build_id = kp_symbols_map_string(map, m.build_id);
    *id = kp_symbols_mapping(map->to, &m);
    return *id;
}

// Whether an entity here is the one there; if so the map knows it from now on.
static inline bool is_string(struct kp_symbols_map *map, uint32_t string, uint32_t here)
{
    uint32_t *id = &map->strings[string];
    if (*id != UNKNOWN)
        return *id == here;
    struct kp_str s = map->profile ? map->profile->strings[string] : map->space->strings[string];
    if (!kp_str_equal(s, map->to->strings[here]))
        return false;
    *id = here;
    return true;
}

static inline bool is_function(struct kp_symbols_map *map, uint32_t function, uint32_t here)
{
    uint32_t *id = &map->functions[function];
    if (*id != UNKNOWN)
        return *id == here;
    const struct kp_function *f =
        map->profile ? &map->profile->functions[function] : &map->space->functions[function];
    const struct kp_function *g = &map->to->functions[here];
    if (f->start_line != g->start_line || !is_string(map, f->name, g->name) ||
        !is_string(map, f->system_name, g->system_name) || !is_string(map, f->filename, g->filename))
        return false;
    *id = here;
    return true;
}

static inline bool is_location(
    struct kp_symbols_map *map, const struct kp_sym_location *l, const struct kp_line *lines, uint32_t here)
{
    if (here >= map->to->n_locations)
        return false;
    const struct kp_sym_location *o = &map->to->locations[here];
    if (o->address != l->address || o->mapping != l->mapping || o->folded != l->folded ||
        o->n_lines != l->n_lines)
        return false;
    const struct kp_line *other = map->to->lines + o->first_line;
    for (uint32_t i = 0; i < l->n_lines; i++)
        if (other[i].line != lines[i].line || other[i].column != lines[i].column ||
            !is_function(map, lines[i].function, other[i].function))
            return false;
    return true;
}

// ---- all locations and stacks that are known, at once ----
// Level by level, each in the order of the profile: the processor then fetches many at a time, where one
// location after the other, as stacks name them, would wait for each of its parts. Until the last step ids
// are guesses.

// What the lines have as functions is the guess for those.
static bool guess_functions(
    struct kp_symbols_map *map, const struct kp_line *lines, uint32_t n, uint32_t other)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct kp_line *a = &lines[i];
        const struct kp_line *b = &map->to->lines[other + i];
        uint32_t *id = &map->functions[a->function];
        *id = *id == UNKNOWN ? b->function : *id;
        if (a->line != b->line || a->column != b->column || *id != b->function)
            return false;
    }
    return true;
}

static void compare_locations(struct kp_symbols_map *map)
{
    const struct kp_profile *p = map->profile;
    for (uint32_t i = 0; i < p->n_locations; i++) {
        const struct kp_location *l = &p->locations[i];
        uint32_t here = map->locations[i];
        map->locations[i] = UNKNOWN;
        if (here >= map->to->n_locations)
            continue;
        const struct kp_sym_location *o = &map->to->locations[here];
        uint32_t mapping = l->mapping == KP_NO_MAPPING ? KP_NO_MAPPING : map->mappings[l->mapping];
        uint64_t start = l->mapping == KP_NO_MAPPING ? 0 : p->mappings[l->mapping].start;
        if (o->mapping == mapping && (mapping != UNKNOWN || l->mapping == KP_NO_MAPPING) &&
            o->address == l->address - start && o->folded == l->folded && o->n_lines == l->n_lines &&
            (l->n_lines == 0 || guess_functions(map, p->lines + l->first_line, l->n_lines, o->first_line)))
            map->locations[i] = here;
    }
}

static inline bool guess_string(struct kp_symbols_map *map, uint32_t string, uint32_t here)
{
    uint32_t *id = &map->strings[string];
    *id = *id == UNKNOWN ? here : *id;
    return *id == here;
}

static bool guess_strings(struct kp_symbols_map *map)
{
    const struct kp_profile *p = map->profile;
    bool all = true;
    for (uint32_t i = 0; i < p->n_functions; i++) {
        uint32_t *id = &map->functions[i];
        if (*id == UNKNOWN)
            continue;
        const struct kp_function *f = &p->functions[i];
        const struct kp_function *g = &map->to->functions[*id];
        if (f->start_line != g->start_line || !guess_string(map, f->name, g->name) ||
            !guess_string(map, f->system_name, g->system_name) ||
            !guess_string(map, f->filename, g->filename)) {
            *id = UNKNOWN;
            all = false;
        }
    }
    return all;
}

static bool compare_strings(struct kp_symbols_map *map)
{
    const struct kp_profile *p = map->profile;
    bool all = true;
    for (uint32_t i = 0; i < p->n_strings; i++) {
        uint32_t id = map->strings[i];
        if (id != UNKNOWN && !kp_str_equal(p->strings[i], map->to->strings[id])) {
            map->strings[i] = UNKNOWN;
            all = false;
        }
    }
    return all;
}

// And back: what has a part that is another one.
static void forget_wrong(struct kp_symbols_map *map)
{
    const struct kp_profile *p = map->profile;
    for (uint32_t i = 0; i < p->n_functions; i++) {
        const struct kp_function *f = &p->functions[i];
        if (map->strings[f->name] == UNKNOWN || map->strings[f->system_name] == UNKNOWN ||
            map->strings[f->filename] == UNKNOWN)
            map->functions[i] = UNKNOWN;
    }
    for (uint32_t i = 0; i < p->n_locations; i++) {
        uint32_t first = p->locations[i].first_line;
        for (uint32_t k = first; k < first + p->locations[i].n_lines; k++)
            if (map->functions[p->lines[k].function] == UNKNOWN)
                map->locations[i] = UNKNOWN;
    }
}

// Nodes of the stacks that are known as a whole.
static void find_stacks(struct kp_symbols_map *map)
{
    const struct kp_profile *p = map->profile;
    const struct kp_sample *s = p->samples;
    size_t n_frames = 0;
    for (uint32_t i = 0; i < p->n_samples; i++) {
        size_t end = (size_t)s[i].first_frame + s[i].n_frames;
        n_frames = end > n_frames ? end : n_frames;
    }
    kp_auto_free uint32_t *ids = kp_grow(NULL, n_frames, sizeof *ids);
    for (uint32_t i = 0; i < p->n_samples;) { // those that lie behind each other in one go
        size_t k = s[i].first_frame;
        size_t end = k;
        for (; i < p->n_samples && s[i].first_frame == end; i++)
            end += s[i].n_frames;
        for (; k < end; k++)
            ids[k] = map->locations[p->frames[k]];
    }
    map->stacks = kp_grow(NULL, p->n_samples, sizeof *map->stacks);
    kp_symbols_find_stacks(map->to, ids, s, p->n_samples, map->stacks);
}

static void recognise(struct kp_symbols_map *map)
{
    map->has_recognised = true;
    if (map->profile == NULL || map->to->n_locations == 0)
        return;
    kp_symbols_guess_all(map->to, map->profile, map->mappings, map->locations);
    compare_locations(map);
    bool is_right = guess_strings(map);
    if (!compare_strings(map) || !is_right)
        forget_wrong(map);
    find_stacks(map);
}

static uint32_t map_location(struct kp_symbols_map *map, uint32_t location)
{
    uint32_t *id = &map->locations[location];
    if (*id != UNKNOWN)
        return *id;
    struct kp_sym_location l;
    const struct kp_line *lines;
    if (map->profile) {
        const struct kp_location *from = &map->profile->locations[location];
        uint64_t start = from->mapping == KP_NO_MAPPING ? 0 : map->profile->mappings[from->mapping].start;
        l = (struct kp_sym_location){.address = from->address - start,
            .mapping = from->mapping,
            .n_lines = from->n_lines,
            .folded = from->folded};
        lines = from->n_lines == 0 ? NULL : map->profile->lines + from->first_line;
    } else {
        l = map->space->locations[location];
        lines = map->space->lines + l.first_line;
    }
    l.mapping = kp_symbols_map_mapping(map, l.mapping);
    if (!map->has_recognised) {
        recognise(map);
        if (*id != UNKNOWN)
            return *id;
    }
    uint32_t hash;
    uint32_t guess = kp_symbols_guess(map->to, &l, lines, &hash);
    if (is_location(map, &l, lines, guess))
        return *id = guess;
    map->lines.n = 0;
    for (uint32_t i = 0; i < l.n_lines; i++) {
        struct kp_line line = lines[i];
        line.function = map_function(map, line.function);
        *kp_array_add(&map->lines) = line;
    }
    *id = kp_symbols_location(map->to, &l, map->lines.items);
    kp_symbols_guess_put(map->to, hash, *id);
    return *id;
}

uint32_t kp_symbols_map_stack(struct kp_symbols_map *map, uint32_t sample)
{
    const struct kp_sample *s = &map->profile->samples[sample];
    const uint32_t *frames = map->profile->frames + s->first_frame;
    if (map->stacks && map->stacks[sample] != UNKNOWN)
        return map->stacks[sample];
    if (map->stack.cap < s->n_frames) {
        map->stack.cap = (size_t)2 * s->n_frames;
        map->stack.items = kp_grow(map->stack.items, map->stack.cap, sizeof *map->stack.items);
    }
    const uint32_t *known = map->locations; // most
    uint32_t *stack = map->stack.items;
    for (uint32_t i = 0; i < s->n_frames; i++)
        stack[i] = __builtin_expect(known[frames[i]] != UNKNOWN, 1) ? known[frames[i]]
                                                                    : map_location(map, frames[i]);
    return kp_symbols_stack(map->to, stack, s->n_frames);
}

static uint32_t map_labels(struct kp_symbols_map *map, const struct kp_sample_label *labels, uint32_t n)
{
    if (n == 0)
        return 0;
    map->labels.n = 0;
    for (uint32_t i = 0; i < n; i++)
        *kp_array_add(&map->labels) =
            (struct kp_sample_label){.key = kp_symbols_map_string(map, labels[i].key),
                .str = kp_symbols_map_string(map, labels[i].str),
                .unit = kp_symbols_map_string(map, labels[i].unit),
                .num = labels[i].num};
    return kp_symbols_label_set(map->to, map->labels.items, n);
}

uint32_t kp_symbols_map_labels(struct kp_symbols_map *map, uint32_t sample)
{
    const struct kp_sample *s = &map->profile->samples[sample];
    return s->n_labels == 0 ? 0 : map_labels(map, map->profile->labels + s->first_label, s->n_labels);
}

// From the nearest known caller down; without recursion, stacks may be deep.
uint32_t kp_symbols_map_node(struct kp_symbols_map *map, uint32_t node)
{
    map->stack.n = 0;
    while (map->nodes[node] == UNKNOWN) {
        *kp_array_add(&map->stack) = node;
        node = map->space->nodes[node].parent;
    }
    uint32_t id = map->nodes[node];
    bool is_new = false; // then it has no callees yet
    while (map->stack.n > 0) {
        node = map->stack.items[--map->stack.n];
        uint32_t location = map_location(map, map->space->nodes[node].location);
        uint32_t n_nodes = map->to->n_nodes;
        id = is_new ? kp_symbols_new_node(map->to, id, location) : kp_symbols_node(map->to, id, location);
        is_new = map->to->n_nodes > n_nodes;
        map->nodes[node] = id;
    }
    return id;
}

uint32_t kp_symbols_map_label_set(struct kp_symbols_map *map, uint32_t set)
{
    if (set == 0)
        return 0;
    uint32_t *id = &map->sets[set];
    if (*id == UNKNOWN) {
        const uint32_t *at = &map->space->label_sets[set];
        *id = map_labels(map, map->space->labels + at[0], at[1] - at[0]);
    }
    return *id;
}
