// The whole tree of stacks, before it is cut. Private to this module.
#ifndef KP_REPORT_FLAME_PRIVATE_H
#define KP_REPORT_FLAME_PRIVATE_H

#include "report/flame.h"
#include "report/view.h"

// Nodes of the whole tree: more are refused.
#define KP_FLAME_MAX_NODES (2u << 20)

// Arrays by node of the symbol space `tree`; 0 is the root.
struct kp_flame_weight {
    int64_t self, base_self, value, base, weight;
    uint64_t id;
    uint32_t depth;
};

struct kp_flame_tree {
    struct kp_keys keys;
    struct kp_symbols *tree; // location = key
    KP_ARRAY(struct kp_flame_weight) weights;
};

KP_MUST_CHECK int kp_flame_tree_init(struct kp_flame_tree *tree, struct kp_flame *flame,
    const struct kp_profile *profile, const struct kp_profile *base, bool normalize,
    const struct kp_report_options *options, struct kp_error *err);
void kp_flame_tree_finish(struct kp_flame_tree *tree);

// Fills the nodes of flame: the heaviest below `top`, which it takes in.
void kp_flame_cut(struct kp_flame *flame, const struct kp_flame_tree *tree, uint32_t top,
    const struct kp_report_options *options);

#endif
