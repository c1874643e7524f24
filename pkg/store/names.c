#include "store/names.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

#define UNKNOWN UINT32_MAX

// From the ids of one build to those of the merger; each is looked up once.
struct build_map {
    struct kp_names *names;
    struct kp_symbols *to;
    const struct kp_symbols *from;
    struct kp_symbols_map *plain; // of strings, mappings and label sets
    uint32_t *functions, *locations, *nodes;
    KP_ARRAY(struct kp_line) lines;
    KP_ARRAY(uint32_t) stack;
};

static uint32_t *unknown(uint32_t n)
{
    uint32_t *ids = kp_grow(NULL, (size_t)n + 1, sizeof *ids);
    memset(ids, 0xff, ((size_t)n + 1) * sizeof *ids);
    return ids;
}

static uint32_t function_of(struct build_map *map, uint32_t function)
{
    if (map->functions[function] != UNKNOWN)
        return map->functions[function];
    const struct kp_function *f = &map->from->functions[function];
    uint32_t name = kp_symbols_map_string(map->plain, f->name);
    while (map->names->functions.n <= name)
        *kp_array_add(&map->names->functions) = 0;
    uint32_t *known = &map->names->functions.items[name];
    if (*known == 0) {
        const struct kp_function g = {.name = name,
            .system_name = name,
            .filename = kp_symbols_map_string(map->plain, f->filename),
            .start_line = f->start_line};
        *known = kp_symbols_function(map->to, &g) + 1;
    }
    return map->functions[function] = *known - 1;
}

static struct kp_line line_of(struct build_map *map, const struct kp_line *line)
{
    uint32_t function = function_of(map, line->function);
    int64_t old_start = map->from->functions[line->function].start_line;
    int64_t start = map->to->functions[function].start_line;
    int64_t moved;
    bool can_move = old_start > 0 && start > 0 && !__builtin_sub_overflow(line->line, old_start, &moved) &&
                    !__builtin_add_overflow(moved, start, &moved);
    return (struct kp_line){
        .function = function, .line = can_move ? moved : line->line, .column = line->column};
}

// Without names an address is all there is.
static uint32_t location_of(struct build_map *map, uint32_t location)
{
    if (map->locations[location] != UNKNOWN)
        return map->locations[location];
    struct kp_sym_location l = map->from->locations[location];
    map->lines.n = 0;
    for (uint32_t i = 0; i < l.n_lines; i++)
        *kp_array_add(&map->lines) = line_of(map, &map->from->lines[l.first_line + i]);
    if (l.n_lines > 0)
        l = (struct kp_sym_location){.mapping = KP_NO_MAPPING, .n_lines = l.n_lines};
    else
        l.mapping = kp_symbols_map_mapping(map->plain, l.mapping);
    return map->locations[location] = kp_symbols_location(map->to, &l, map->lines.items);
}

static uint32_t node_of(struct build_map *map, uint32_t node)
{
    map->stack.n = 0;
    while (map->nodes[node] == UNKNOWN) {
        *kp_array_add(&map->stack) = node;
        node = map->from->nodes[node].parent;
    }
    uint32_t id = map->nodes[node];
    while (map->stack.n > 0) {
        node = map->stack.items[--map->stack.n];
        id = kp_symbols_node(map->to, id, location_of(map, map->from->nodes[node].location));
        map->nodes[node] = id;
    }
    return id;
}

void kp_names_add(struct kp_names *names, const struct kp_symbols *from, const struct kp_sums *sums)
{
    struct kp_symbols *to = kp_merger_symbols(names->merger);
    struct build_map map = {.names = names,
        .to = to,
        .from = from,
        .plain = kp_symbols_map_symbols(to, from),
        .functions = unknown(from->n_functions),
        .locations = unknown(from->n_locations),
        .nodes = unknown(from->n_nodes)};
    map.nodes[0] = 0;
    for (uint32_t row = 0; row < sums->n_rows; row++)
        kp_merger_add_row(names->merger, node_of(&map, sums->keys[row].node),
            kp_symbols_map_label_set(map.plain, sums->keys[row].label_set),
            sums->values + (size_t)row * sums->n_types);
    kp_symbols_map_destroy(map.plain);
    kp_free(map.functions);
    kp_free(map.locations);
    kp_free(map.nodes);
    kp_array_free(&map.lines);
    kp_array_free(&map.stack);
}

void kp_names_finish(struct kp_names *names)
{
    kp_array_free(&names->functions);
}
