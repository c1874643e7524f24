// The whole tree of stacks.
#include <inttypes.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "report/flame_private.h"
#include "report/unit.h"
#include "base/banned.h"

static void grow_weights(struct kp_flame_tree *tree)
{
    while (tree->weights.n < tree->tree->n_nodes)
        *kp_array_add(&tree->weights) = (struct kp_flame_weight){0};
}

static uint32_t add_stack(struct kp_flame_tree *tree, struct kp_view *view, uint32_t sample)
{
    const struct kp_sample *s = &view->profile->samples[sample];
    uint32_t node = 0;
    if (view->options->by == KP_BY_LABEL)
        node = kp_symbols_node(tree->tree, node, kp_view_label(view, sample));
    for (uint32_t i = s->n_frames; i-- > 0;) {
        uint32_t l = view->profile->frames[s->first_frame + i];
        for (uint32_t k = view->runs[l + 1];
             k-- > view->runs[l] && tree->tree->n_nodes <= KP_FLAME_MAX_NODES;)
            node = kp_symbols_node(tree->tree, node, view->run[k]);
    }
    grow_weights(tree);
    return node;
}

static int add_profile(struct kp_flame_tree *tree, struct kp_view *view, bool is_base, struct kp_error *err)
{
    for (uint32_t i = 0; i < view->profile->n_samples; i++) {
        int64_t value = kp_view_value(view, i);
        int rc = kp_view_go_on(view, i, err);
        if (rc != 0)
            return rc;
        if (value == 0)
            continue;
        uint32_t leaf = add_stack(tree, view, i); // may move the weights
        struct kp_flame_weight *w = &tree->weights.items[leaf];
        int64_t *self = is_base ? &w->base_self : &w->self;
        *self = kp_add_capped(*self, value);
        if (tree->tree->n_nodes > KP_FLAME_MAX_NODES)
            return kp_fail(err, KP_LIMIT,
                "cannot draw the profile: its stacks make a tree of more than %u nodes: merge fewer profiles "
                "or narrow them with 'focus'",
                KP_FLAME_MAX_NODES);
    }
    return 0;
}

static uint64_t key_hash(const struct kp_keys *keys, uint32_t key)
{
    const struct kp_symbols *s = keys->symbols;
    const struct kp_function *f = &s->functions[key];
    uint64_t h = kp_hash64(s->strings[f->name].data, s->strings[f->name].len, 0);
    h = kp_hash64(s->strings[f->filename].data, s->strings[f->filename].len, h);
    return kp_hash64_mix(h, (uint64_t)f->start_line);
}

static uint64_t *hash_keys(const struct kp_keys *keys)
{
    uint32_t n = keys->symbols->n_functions;
    uint64_t *hashes = KP_NEW_ARRAY(uint64_t, (size_t)n + 1);
    for (uint32_t key = 0; key < n; key++)
        hashes[key] = key_hash(keys, key);
    return hashes;
}

// Parents have smaller numbers than their children.
static void sum_up(struct kp_flame_tree *tree, struct kp_flame *flame, double factor)
{
    struct kp_flame_weight *w = tree->weights.items;
    const struct kp_sym_node *nodes = tree->tree->nodes;
    kp_auto_free uint64_t *hashes = hash_keys(&tree->keys);
    w[0].id = kp_hash64_mix(0, 0);
    for (uint32_t i = 1; i < tree->weights.n; i++) {
        w[i].id = kp_hash64_mix(w[nodes[i].parent].id, hashes[nodes[i].location]);
        w[i].depth = w[nodes[i].parent].depth + 1;
    }
    for (uint32_t i = (uint32_t)tree->weights.n; i-- > 0;) {
        w[i].base_self = kp_scale_rounded(w[i].base_self, factor);
        flame->has_negative |= w[i].self < 0 || w[i].base_self < 0;
        w[i].value = kp_add_capped(w[i].value, w[i].self);
        w[i].base = kp_add_capped(w[i].base, w[i].base_self);
        w[i].weight =
            kp_add_capped(w[i].weight, kp_add_capped(kp_magnitude(w[i].self), kp_magnitude(w[i].base_self)));
        if (i == 0)
            break;
        struct kp_flame_weight *parent = &w[nodes[i].parent];
        parent->value = kp_add_capped(parent->value, w[i].value);
        parent->base = kp_add_capped(parent->base, w[i].base);
        parent->weight = kp_add_capped(parent->weight, w[i].weight);
    }
}

static void fill_header(struct kp_flame *flame, struct kp_view *view)
{
    flame->sample_type = kp_view_type(view, &flame->arena);
    flame->unit = kp_view_unit(view, &flame->arena);
    flame->by = view->options->by;
    flame->total = view->total;
    flame->time_ns = view->profile->time_ns;
    flame->duration_ns = view->profile->duration_ns;
    flame->period = view->profile->period;
}

static int add_base(struct kp_flame_tree *tree, struct kp_flame *flame, const struct kp_profile *base,
    const struct kp_report_options *options, struct kp_error *err)
{
    struct kp_view view;
    int rc = kp_view_init(&view, &tree->keys, base, options, err);
    if (rc < 0)
        return rc;
    rc = add_profile(tree, &view, true, err);
    flame->is_diff = true;
    flame->base_total = view.total;
    kp_view_finish(&view);
    return rc;
}

static int fill(struct kp_flame_tree *tree, struct kp_flame *flame, const struct kp_profile *profile,
    const struct kp_profile *base, const struct kp_report_options *options, struct kp_error *err)
{
    struct kp_view view;
    int rc = kp_view_init(&view, &tree->keys, profile, options, err);
    if (rc < 0)
        return rc;
    fill_header(flame, &view);
    rc = add_profile(tree, &view, false, err);
    kp_view_finish(&view);
    if (rc == 0 && base != NULL)
        rc = add_base(tree, flame, base, options, err);
    return rc;
}

int kp_flame_tree_init(struct kp_flame_tree *tree, struct kp_flame *flame, const struct kp_profile *profile,
    const struct kp_profile *base, bool normalize, const struct kp_report_options *options,
    struct kp_error *err)
{
    *tree = (struct kp_flame_tree){.tree = kp_symbols_create(KP_SYMBOLS_EXACT)};
    kp_keys_init(&tree->keys);
    grow_weights(tree);
    int rc = fill(tree, flame, profile, base, options, err);
    if (rc < 0) {
        kp_flame_tree_finish(tree);
        return rc;
    }
    bool scales = normalize && flame->base_total > 0;
    sum_up(tree, flame, scales ? (double)flame->total / (double)flame->base_total : 1);
    if (scales)
        flame->base_total = flame->total;
    return 0;
}

void kp_flame_tree_finish(struct kp_flame_tree *tree)
{
    kp_symbols_destroy(tree->tree);
    kp_keys_finish(&tree->keys);
    kp_array_free(&tree->weights);
}
