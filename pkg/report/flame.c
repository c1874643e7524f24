#include "report/flame.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "report/flame_private.h"
#include "report/unit.h"
#include "base/banned.h"

static int find_top(const struct kp_flame_tree *tree, const char *id, uint32_t *ret, struct kp_error *err)
{
    *ret = 0;
    if (id == NULL || id[0] == '\0')
        return 0;
    char *end;
    uint64_t wanted = strtoull(id, &end, 16);
    if (strspn(id, "0123456789abcdef") != 16 || *end != '\0')
        return kp_fail(err, KP_INVALID,
            "cannot draw below '%.32s': a node's id has 16 hexadecimal digits, take it from a graph", id);
    for (uint32_t i = 0; i < tree->weights.n; i++)
        if (tree->weights.items[i].id == wanted) {
            *ret = i;
            return 0;
        }
    return kp_fail(
        err, KP_NOT_FOUND, "there is no node '%s' in this graph: load the graph above it again", id);
}

int kp_report_flame(const struct kp_profile *profile, const struct kp_profile *base, bool normalize,
    const struct kp_report_options *options, struct kp_flame **ret, struct kp_error *err)
{
    struct kp_flame *flame = KP_NEW(struct kp_flame);
    struct kp_flame_tree tree;
    int rc = kp_flame_tree_init(&tree, flame, profile, base, normalize, options, err);
    if (rc == 0) {
        uint32_t top;
        rc = find_top(&tree, options->below, &top, err);
        if (rc == 0) {
            flame->is_below = top != 0;
            kp_flame_cut(flame, &tree, top, options);
        }
        kp_flame_tree_finish(&tree);
    }
    if (rc < 0) {
        kp_flame_free(flame);
        return rc;
    }
    *ret = flame;
    return 0;
}

void kp_flame_free(struct kp_flame *flame)
{
    if (flame == NULL)
        return;
    kp_arena_free(flame->arena);
    kp_free(flame);
}

bool kp_flame_is_empty(const struct kp_flame *flame)
{
    return flame->n <= 1 && flame->n_left_out == 0;
}

const char *kp_flame_name(const struct kp_flame *flame, const struct kp_flame_node *node)
{
    return node->frame == KP_FLAME_NO_FRAME ? "all" : flame->frames[node->frame].name;
}

int64_t kp_flame_whole(const struct kp_flame *flame)
{
    return flame->is_diff && flame->base_total > 0 ? flame->base_total : flame->total;
}

double kp_flame_change(const struct kp_flame *flame, const struct kp_flame_node *node)
{
    double value = (double)node->value, base = (double)node->base, whole = (double)kp_flame_whole(flame);
    double larger = value > base ? value : base;
    double difference = value - base;
    bool is_tiny = difference < whole / 1000 && difference > -whole / 1000;
    if (is_tiny || larger <= 0)
        return 0;
    double change = difference / larger;
    return change > 1 ? 1 : change < -1 ? -1 : change;
}

unsigned kp_flame_hue(const char *package)
{
    return (unsigned)(kp_hash64_str(package, 0) % 360);
}

struct kp_flame_colour kp_flame_colour(const struct kp_flame *flame, const struct kp_flame_node *node)
{
    const char *package = node->frame == KP_FLAME_NO_FRAME ? "" : flame->frames[node->frame].package;
    if (flame->is_diff && node->frame != KP_FLAME_NO_FRAME) {
        double change = kp_flame_change(flame, node), size = fabs(change);
        bool is_end = size >= 1;
        if (size <= 0)
            return (struct kp_flame_colour){215, 14, 89};
        return (struct kp_flame_colour){
            .hue = change > 0 ? (is_end ? 350 : 24) : (is_end ? 255 : 208),
            .saturation = (unsigned)(is_end ? 75 : 70 + 20 * size),
            .lightness = (unsigned)(is_end ? 72 : 91 - 22 * size),
        };
    }
    if (package[0] == '\0' || package[0] == '[' || package[0] == '<')
        return (struct kp_flame_colour){215, 12, 86};
    return (struct kp_flame_colour){kp_flame_hue(package), 62, 79};
}
