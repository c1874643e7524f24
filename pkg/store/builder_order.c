// The order of a space's entries.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/builder_private.h"
#include "base/banned.h"

static uint32_t slot_of(const struct kp_space_builder *s, uint32_t id)
{
    uint32_t at = kp_entry_hash(s->entry_node[id], s->entry_labels[id]) & s->slot_mask;
    while (s->slots[at] != id + 1)
        at = (at + 1) & s->slot_mask;
    return at;
}

static int compare_locations(const struct kp_symbols *s, uint32_t a, uint32_t b)
{
    const struct kp_sym_location *x = &s->locations[a];
    const struct kp_sym_location *y = &s->locations[b];
    if (x->mapping != y->mapping)
        return x->mapping < y->mapping ? -1 : 1;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    return (a > b) - (a < b);
}

// The order in which the dictionary will number nodes.
static int compare_nodes(const struct kp_space_builder *s, uint32_t a, uint32_t b)
{
    const struct kp_sym_node *nodes = s->symbols->nodes;
    uint32_t depth_a = s->depths.items[a];
    uint32_t depth_b = s->depths.items[b];
    for (uint32_t d = depth_a; d > depth_b; d--)
        a = nodes[a].parent;
    for (uint32_t d = depth_b; d > depth_a; d--)
        b = nodes[b].parent;
    if (a == b)
        return (depth_a > depth_b) - (depth_a < depth_b);
    while (nodes[a].parent != nodes[b].parent) {
        a = nodes[a].parent;
        b = nodes[b].parent;
    }
    return compare_locations(s->symbols, nodes[a].location, nodes[b].location);
}

static int by_node(const void *x, const void *y, void *space)
{
    const struct kp_space_builder *s = space;
    uint32_t a = *(const uint32_t *)x;
    uint32_t b = *(const uint32_t *)y;
    int order = compare_nodes(s, s->entry_node[a], s->entry_node[b]);
    if (order != 0)
        return order;
    return (s->entry_labels[a] > s->entry_labels[b]) - (s->entry_labels[a] < s->entry_labels[b]);
}

// Depths of all nodes; returns that of the deepest of the entries from base on.
static uint32_t measure_depths(struct kp_space_builder *s, uint32_t base)
{
    uint32_t deepest = 0;
    for (uint32_t i = (uint32_t)s->depths.n; i < s->symbols->n_nodes; i++) {
        uint32_t depth = i == 0 ? 0 : s->depths.items[s->symbols->nodes[i].parent] + 1;
        *kp_array_add(&s->depths) = depth;
    }
    for (uint32_t i = base; i < s->n_entries; i++) {
        uint32_t depth = s->depths.items[s->entry_node[i]];
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest;
}

struct ranked {
    uint32_t rank, labels, id;
};

static int by_rank(const void *x, const void *y)
{
    const struct ranked *a = x;
    const struct ranked *b = y;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return (a->labels > b->labels) - (a->labels < b->labels);
}

// By numbering the whole tree.
static void sort_all(const struct kp_space_builder *s, uint32_t *ids, uint32_t n)
{
    const struct kp_symbols *symbols = s->symbols;
    uint32_t most = symbols->n_nodes > symbols->n_locations ? symbols->n_nodes : symbols->n_locations;
    kp_auto_free uint32_t *order = kp_grow(NULL, (size_t)most + 1, sizeof *order);
    kp_auto_free uint32_t *locations = kp_grow(NULL, (size_t)symbols->n_locations + 1, sizeof *locations);
    kp_auto_free uint32_t *nodes = kp_grow(NULL, (size_t)symbols->n_nodes + 1, sizeof *nodes);
    kp_auto_free struct ranked *ranked = kp_grow(NULL, n, sizeof *ranked);
    kp_order_locations(symbols, order);
    for (uint32_t i = 0; i < symbols->n_locations; i++)
        locations[order[i]] = i;
    kp_order_nodes(symbols, locations, order);
    for (uint32_t i = 0; i < symbols->n_nodes; i++)
        nodes[order[i]] = i;
    for (uint32_t i = 0; i < n; i++)
        ranked[i] = (struct ranked){nodes[s->entry_node[ids[i]]], s->entry_labels[ids[i]], ids[i]};
    qsort(ranked, n, sizeof *ranked, by_rank);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = ranked[i].id;
}

void kp_builder_sort_entries(struct kp_space_builder *s, uint32_t base, size_t first_sample)
{
    uint32_t n = s->n_entries - base;
    uint64_t steps = (uint64_t)measure_depths(s, base) * n; // of comparing by pairs, at most
    if (n < 2)
        return;
    kp_auto_free uint32_t *order = kp_grow(NULL, n, sizeof *order);
    kp_auto_free uint32_t *place = kp_grow(NULL, (size_t)3 * n, sizeof *place);
    for (uint32_t i = 0; i < n; i++)
        order[i] = base + i;
    if (steps > s->symbols->n_nodes)
        sort_all(s, order, n);
    else
        qsort_r(order, n, sizeof *order, by_node, s);
    for (uint32_t i = 0; i < n; i++) {
        place[order[i] - base] = base + i;
        place[n + i] = s->entry_node[order[i]];
        place[2 * n + i] = s->entry_labels[order[i]];
    }
    for (uint32_t i = 0; i < n; i++)
        order[i] = slot_of(s, base + i);
    for (uint32_t i = 0; i < n; i++)
        s->slots[order[i]] = place[i] + 1;
    memcpy(s->entry_node + base, place + n, n * sizeof *place);
    memcpy(s->entry_labels + base, place + 2 * (size_t)n, n * sizeof *place);
    for (size_t i = first_sample; i < s->entries.n; i++)
        if (s->entries.items[i] >= base)
            s->entries.items[i] = place[s->entries.items[i] - base];
}
