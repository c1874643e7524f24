// The tree of stacks, and the whole stacks that were looked up in it.
#include <string.h>

#include "profile/symbols_private.h"
#include "base/banned.h"

static uint32_t hash_node(const struct kp_symbols_index *x, uint32_t parent, uint32_t location)
{
    return kp_symbols_fold(kp_keyed_pair(&x->key, x->key.start, parent, location));
}

// Many are added or adopted after which none is looked up.
static void know_nodes(struct kp_symbols *s)
{
    struct kp_symbols_index *x = s->index;
    uint32_t n_slots = x->nodes.mask + 1;
    while (n_slots / 2 <= s->n_nodes)
        n_slots *= 2;
    if (n_slots > x->nodes.mask + 1)
        kp_symbols_table_resize(&x->nodes, n_slots);
    for (; x->n_known_nodes < s->n_nodes; x->n_known_nodes++) {
        const struct kp_sym_node *node = &s->nodes[x->n_known_nodes];
        kp_symbols_table_put(&x->nodes, hash_node(x, node->parent, node->location), x->n_known_nodes);
    }
}

uint32_t kp_symbols_node(struct kp_symbols *s, uint32_t parent, uint32_t location)
{
    struct kp_symbols_index *x = s->index;
    uint32_t h = hash_node(x, parent, location);
    if (x->n_known_nodes < s->n_nodes)
        know_nodes(s);
    kp_symbols_table_foreach(&x->nodes, h, id)
    {
        if (s->nodes[id].parent == parent && s->nodes[id].location == location)
            return id;
    }
    kp_symbols_table_put(&x->nodes, h, s->n_nodes);
    x->n_known_nodes++;
    return kp_symbols_new_node(s, parent, location);
}

uint32_t kp_symbols_new_node(struct kp_symbols *s, uint32_t parent, uint32_t location)
{
    kp_symbols_grow_to(s->nodes, s->n_nodes + 1, s->index->cap_nodes);
    s->nodes[s->n_nodes] = (struct kp_sym_node){parent, location};
    return s->n_nodes++;
}

static bool is_stack(const struct kp_symbols *s, uint32_t node, const uint32_t *locations, uint32_t n)
{
    const struct kp_sym_node *nodes = s->nodes;
    const struct kp_sym_node *at = nodes + node;
    uint32_t i = 0;
    while (i < n && at != nodes && at->location == locations[i]) {
        i++;
        // Most stand right behind their parent, which then need not wait for what is read here.
        if (__builtin_expect(at->parent + 1 == (uint32_t)(at - nodes), 1))
            at--;
        else
            at = nodes + at->parent;
    }
    return i == n && at == nodes;
}

// A stack that was looked up: its node, its length, and its locations once more, so that it is recognised by
// one comparison and not by a walk. That takes much more than the tree where stacks are deep and differ
// little: those that would go past these bounds are walked.
#define COPIED_PER_NODE 16
#define COPIED_FREE     4096
#define COPIED_MOST     (1U << 30)
#define NOT_COPIED      (1U << 31) // in the length

static inline bool is_seen(const struct kp_symbols *s, uint32_t at, const uint32_t *locations, uint32_t n)
{
    const uint32_t *seen = s->index->stacks_seen + at;
    if (seen[1] == n)
        return n == 0 || memcmp(seen + 2, locations, n * sizeof *locations) == 0;
    return seen[1] == (n | NOT_COPIED) && is_stack(s, seen[0], locations, n);
}

static void keep_seen(
    struct kp_symbols *s, uint32_t hash, uint32_t node, const uint32_t *locations, uint32_t n)
{
    struct kp_symbols_index *x = s->index;
    uint32_t at = x->n_stacks_seen;
    bool copy = n < COPIED_MOST && at < COPIED_MOST &&
                (uint64_t)at + n < (uint64_t)COPIED_PER_NODE * s->n_nodes + COPIED_FREE;
    uint32_t n_more = copy ? n + 2 : 2;
    kp_symbols_grow_to(x->stacks_seen, at + n_more, x->cap_stacks_seen);
    x->stacks_seen[at] = node;
    x->stacks_seen[at + 1] = copy ? n : n | NOT_COPIED;
    if (copy && n > 0)
        memcpy(x->stacks_seen + at + 2, locations, n * sizeof *locations);
    x->n_stacks_seen += n_more;
    kp_symbols_table_put(&x->stacks, hash, at);
}

static uint32_t hash_stack(const struct kp_symbols_index *x, const uint32_t *locations, uint32_t n)
{
    return kp_symbols_fold(kp_keyed_bytes(&x->key, locations, n * sizeof *locations));
}

void kp_symbols_find_stacks(const struct kp_symbols *s, const uint32_t *locations,
    const struct kp_sample *stacks, uint32_t n, uint32_t *ret)
{
    const struct kp_symbols_index *x = s->index;
    for (uint32_t i = 0; i < n; i++)
        ret[i] = hash_stack(x, locations + stacks[i].first_frame, stacks[i].n_frames);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t h = ret[i];
        ret[i] = UINT32_MAX;
        kp_symbols_table_foreach(&x->stacks, h, at)
        {
            if (is_seen(s, at, locations + stacks[i].first_frame, stacks[i].n_frames)) {
                ret[i] = x->stacks_seen[at];
                break;
            }
        }
    }
}

// Whole stacks have a table of their own: most are known.
uint32_t kp_symbols_stack(struct kp_symbols *s, const uint32_t *locations, uint32_t n)
{
    struct kp_symbols_index *x = s->index;
    uint32_t h = hash_stack(x, locations, n);
    kp_symbols_table_foreach(&x->stacks, h, at)
    {
        if (is_seen(s, at, locations, n))
            return x->stacks_seen[at];
    }
    uint32_t node = 0;
    bool is_new = false; // then it has no callees yet
    for (uint32_t i = n; i-- > 0;) {
        uint32_t n_nodes = s->n_nodes;
        node = is_new ? kp_symbols_new_node(s, node, locations[i]) : kp_symbols_node(s, node, locations[i]);
        is_new = s->n_nodes > n_nodes;
    }
    keep_seen(s, h, node, locations, n);
    return node;
}
