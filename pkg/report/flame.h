// What a flame graph is made of, for those who draw it: the stacks of one profile (and of a base) as a tree,
// cut to the heaviest nodes. kp_report_flame() makes it, and it does not change.
#ifndef KP_REPORT_FLAME_H
#define KP_REPORT_FLAME_H

#include "base/arena.h"
#include "report/report.h"

#define KP_FLAME_NO_FRAME UINT32_MAX

struct kp_flame_frame {
    const char *name, *file, *package; // texts of the arena
    int64_t line;
};

// Callers come before what they call (preorder); siblings the heaviest first.
struct kp_flame_node {
    uint32_t parent; // index; of node 0: 0
    uint32_t frame;  // KP_FLAME_NO_FRAME: the root of everything
    uint32_t depth;  // of node 0: 0
    uint32_t n_children;
    uint32_t n_cut; // nodes below that were left out
    uint64_t id;
    int64_t value, self, base, base_self;
    int64_t weight; // sum of magnitudes, value and base: at least the sum of the children's; width in a graph
    int64_t cut;    // of this, weight of the children that were left out
};

struct kp_flame {
    struct kp_arena *arena;
    struct kp_flame_node *nodes;
    struct kp_flame_frame *frames;
    const char **path; // names of the callers of node 0 where the graph is below a node
    uint32_t n, n_frames, n_path;
    uint32_t n_left_out;
    int64_t left_out;          // weight of them
    int64_t total, base_total; // of the whole profiles
    bool is_diff, is_below, has_negative;
    enum kp_report_by by;
    const char *sample_type, *unit;
    int64_t time_ns, duration_ns, period;
};

// ---- for those who draw ----
const char *kp_flame_name(const struct kp_flame *flame, const struct kp_flame_node *node);
// What percentages are of.
int64_t kp_flame_whole(const struct kp_flame *flame);
// Growth of a node's share of its total between base and profile, from -1 (gone) to 1 (new).
double kp_flame_change(const struct kp_flame *flame, const struct kp_flame_node *node);
// Hue of a package, in degrees: always the same.
unsigned kp_flame_hue(const char *package);

// What a node is filled with, under dark letters: its package's hue, grey where it has none; in a difference
// orange for more, blue for less, red for new, violet for gone, grey for about the same.
struct kp_flame_colour {
    unsigned hue, saturation, lightness; // degrees, percent, percent
};
struct kp_flame_colour kp_flame_colour(const struct kp_flame *flame, const struct kp_flame_node *node);

#endif
