// From the whole tree to the nodes that are shown.
#include <stdlib.h>

#include "base/alloc.h"
#include "report/flame_private.h"
#include "report/unit.h"
#include "base/banned.h"

struct cutting {
    const struct kp_flame_tree *tree;
    uint32_t top;
    uint32_t *chosen; // a heap with the lightest first while they are chosen
    uint32_t n, max;
    uint32_t *place; // of each node of the tree: its index in chosen or later in the answer, or NONE
};

#define NONE UINT32_MAX

// A caller comes before what it calls: it weighs as much or more, and is nearer to the root.
static bool comes_before(const struct kp_flame_tree *tree, uint32_t a, uint32_t b)
{
    const struct kp_flame_weight *x = &tree->weights.items[a], *y = &tree->weights.items[b];
    if (x->weight != y->weight)
        return x->weight > y->weight;
    if (x->depth != y->depth)
        return x->depth < y->depth;
    return x->id != y->id ? x->id < y->id : a < b;
}

static void sift_down(struct cutting *c)
{
    uint32_t node = c->chosen[0], at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= c->n)
            break;
        if (child + 1 < c->n && comes_before(c->tree, c->chosen[child], c->chosen[child + 1]))
            child++;
        if (!comes_before(c->tree, node, c->chosen[child]))
            break;
        c->chosen[at] = c->chosen[child];
        at = child;
    }
    c->chosen[at] = node;
}

static void sift_up(struct cutting *c, uint32_t at)
{
    uint32_t node = c->chosen[at];
    for (; at > 0 && comes_before(c->tree, c->chosen[(at - 1) / 2], node); at = (at - 1) / 2)
        c->chosen[at] = c->chosen[(at - 1) / 2];
    c->chosen[at] = node;
}

static void offer(struct cutting *c, uint32_t node)
{
    if (c->n < c->max) {
        c->chosen[c->n] = node;
        sift_up(c, c->n++);
    } else if (comes_before(c->tree, node, c->chosen[0])) {
        c->chosen[0] = node;
        sift_down(c);
    }
}

static void choose(struct cutting *c, double cutoff)
{
    uint32_t n = (uint32_t)c->tree->weights.n;
    for (uint32_t i = c->top; i < n; i++) {
        const struct kp_flame_weight *w = &c->tree->weights.items[i];
        bool inside = i == c->top || c->place[c->tree->tree->nodes[i].parent] != NONE;
        c->place[i] = inside ? 0 : NONE; // for now: whether it lies below top
        if (i == c->top || (inside && w->weight > 0 && (double)w->weight >= cutoff))
            offer(c, i);
    }
    for (uint32_t i = 0; i < n; i++)
        c->place[i] = NONE;
}

// By caller, then the heaviest first, then by name.
static int compare_siblings(const void *a, const void *b, void *context)
{
    const struct kp_flame_tree *tree = context;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    const struct kp_sym_node *nodes = tree->tree->nodes;
    if (x == 0 || y == 0) // the root is its own caller
        return (x > y) - (x < y);
    if (nodes[x].parent != nodes[y].parent)
        return nodes[x].parent < nodes[y].parent ? -1 : 1;
    int64_t v = tree->weights.items[x].weight, w = tree->weights.items[y].weight;
    if (v != w)
        return v > w ? -1 : 1;
    return kp_keys_compare(&tree->keys, nodes[x].location, nodes[y].location);
}

// ---- the answer ----

struct writing {
    struct kp_flame *flame;
    const struct cutting *cut;
    uint32_t *frames; // of each key: its frame in the answer, or NONE
};

static const char *copy_text(struct kp_flame *flame, struct kp_str s)
{
    return kp_arena_strndup(&flame->arena, s.data, s.len);
}

static uint32_t frame_of(struct writing *w, uint32_t key)
{
    if (w->frames[key] != NONE)
        return w->frames[key];
    const struct kp_keys *keys = &w->cut->tree->keys;
    const struct kp_key_info *info = &keys->infos.items[key];
    w->flame->frames[w->flame->n_frames] = (struct kp_flame_frame){
        .name = copy_text(w->flame, kp_keys_name(keys, key)),
        .file = copy_text(w->flame, keys->symbols->strings[info->file]),
        .package = copy_text(w->flame, keys->symbols->strings[info->package]),
        .line = info->line,
    };
    w->frames[key] = w->flame->n_frames;
    return w->flame->n_frames++;
}

static void write_node(struct writing *w, uint32_t node)
{
    const struct kp_flame_tree *tree = w->cut->tree;
    const struct kp_flame_weight *weight = &tree->weights.items[node];
    struct kp_flame *flame = w->flame;
    uint32_t parent = flame->n > 0 ? w->cut->place[tree->tree->nodes[node].parent] : 0;
    struct kp_flame_node *out = &flame->nodes[flame->n];
    *out = (struct kp_flame_node){
        .parent = parent,
        .frame = node == 0 ? KP_FLAME_NO_FRAME : frame_of(w, tree->tree->nodes[node].location),
        .depth = flame->n > 0 ? flame->nodes[parent].depth + 1 : 0,
        .id = weight->id,
        .value = weight->value,
        .self = weight->self,
        .base = weight->base,
        .base_self = weight->base_self,
        .weight = weight->weight,
    };
    if (flame->n > 0)
        flame->nodes[parent].n_children++;
    w->cut->place[node] = flame->n++;
}

// Preorder without recursion: `sorted` holds siblings side by side; first[i] is where the children of its
// i-th node begin, and a stack holds what is still to come.
static void write_all(struct writing *w, const uint32_t *sorted, uint32_t n)
{
    const struct kp_sym_node *nodes = w->cut->tree->tree->nodes;
    uint32_t *place = w->cut->place; // of a node: where its children begin in sorted
    for (uint32_t i = n; i-- > 0;)
        if (sorted[i] != w->cut->top)
            place[nodes[sorted[i]].parent] = i;
    uint32_t *todo = KP_NEW_ARRAY(uint32_t, (size_t)n + 1), n_todo = 0;
    todo[n_todo++] = w->cut->top;
    while (n_todo > 0) {
        uint32_t node = todo[--n_todo];
        uint32_t from = place[node], to = from;
        while (to < n && sorted[to] != w->cut->top && nodes[sorted[to]].parent == node)
            to++;
        write_node(w, node);
        while (to > from && from != NONE)
            todo[n_todo++] = sorted[--to];
    }
    kp_free(todo);
}

// What was left out counts for the nearest caller that is shown.
static void count_cut(struct writing *w)
{
    const struct kp_flame_tree *tree = w->cut->tree;
    uint32_t *place = w->cut->place;
    for (uint32_t i = w->cut->top + 1; i < tree->weights.n; i++) {
        uint32_t parent = tree->tree->nodes[i].parent;
        uint32_t at = place[parent];
        if (at == NONE || place[i] != NONE || tree->weights.items[i].weight == 0)
            continue;
        struct kp_flame_node *node = &w->flame->nodes[at & ~(1u << 31)];
        if ((at & 1u << 31) == 0) {
            node->cut = kp_add_capped(node->cut, tree->weights.items[i].weight);
            w->flame->left_out = kp_add_capped(w->flame->left_out, tree->weights.items[i].weight);
        }
        node->n_cut++;
        w->flame->n_left_out++;
        place[i] = at | 1u << 31; // its children are left out with it
    }
}

static void write_path(struct kp_flame *flame, const struct kp_flame_tree *tree, uint32_t top)
{
    uint32_t n = top != 0 ? tree->weights.items[top].depth - 1 : 0;
    flame->path = KP_ARENA_ARRAY(&flame->arena, const char *, (size_t)n + 1);
    flame->n_path = n;
    uint32_t node = top;
    while (n > 0) {
        node = tree->tree->nodes[node].parent;
        flame->path[--n] = copy_text(flame, kp_keys_name(&tree->keys, tree->tree->nodes[node].location));
    }
}

void kp_flame_cut(struct kp_flame *flame, const struct kp_flame_tree *tree, uint32_t top,
    const struct kp_report_options *options)
{
    size_t limit = options->limit != 0 ? options->limit : 5000;
    struct cutting cut = {.tree = tree, .top = top};
    cut.max = limit < tree->weights.n ? (uint32_t)limit : (uint32_t)tree->weights.n;
    cut.chosen = KP_NEW_ARRAY(uint32_t, (size_t)cut.max + 1);
    cut.place = KP_NEW_ARRAY(uint32_t, tree->weights.n + 1);
    choose(&cut, ((double)flame->total + (double)flame->base_total) * options->min_share);
    qsort_r(cut.chosen, cut.n, sizeof *cut.chosen, compare_siblings, (void *)(uintptr_t)tree);
    struct writing w = {.flame = flame, .cut = &cut};
    flame->nodes = KP_ARENA_ARRAY(&flame->arena, struct kp_flame_node, (size_t)cut.n + 1);
    flame->frames = KP_ARENA_ARRAY(&flame->arena, struct kp_flame_frame, (size_t)cut.n + 1);
    uint32_t n_keys = tree->keys.symbols->n_functions;
    w.frames = KP_NEW_ARRAY(uint32_t, (size_t)n_keys + 1);
    for (uint32_t i = 0; i < n_keys; i++)
        w.frames[i] = NONE;
    write_all(&w, cut.chosen, cut.n);
    count_cut(&w);
    write_path(flame, tree, top);
    kp_free(w.frames);
    kp_free(cut.chosen);
    kp_free(cut.place);
}
