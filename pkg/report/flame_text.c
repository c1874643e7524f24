// Flame graphs for terminals and other programs.
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "report/flame.h"
#include "report/unit.h"
#include "base/banned.h"

#define MAX_INDENT 60

// ---- folded ----

struct folding {
    const struct kp_flame *flame;
    struct kp_strbuf path;
    size_t *lengths; // of the path up to each depth
};

// A semicolon separates frames, so none may be in a name.
static void push(struct folding *f, const struct kp_flame_node *node)
{
    if (node->frame == KP_FLAME_NO_FRAME) {
        f->lengths[node->depth] = f->path.len;
        return;
    }
    if (f->path.len > 0)
        kp_strbuf_addc(&f->path, ';');
    for (const char *s = kp_flame_name(f->flame, node); *s != '\0'; s++)
        kp_strbuf_addc(&f->path, *s == ';' ? ',' : *s);
    if (f->flame->by == KP_BY_LINE && f->flame->frames[node->frame].line > 0)
        kp_strbuf_addf(&f->path, ":%" PRId64, f->flame->frames[node->frame].line);
    f->lengths[node->depth] = f->path.len;
}

// Nothing below 0 can be a width elsewhere, so a sum goes to the nearest node that is shown.
static void shown_self(const struct kp_flame *flame, int64_t *self, int64_t *base)
{
    for (uint32_t i = 0; i < flame->n; i++) {
        self[i] = flame->nodes[i].value;
        base[i] = flame->nodes[i].base;
    }
    for (uint32_t i = 1; i < flame->n; i++) {
        uint32_t parent = flame->nodes[i].parent;
        self[parent] = kp_sub_capped(self[parent], flame->nodes[i].value);
        base[parent] = kp_sub_capped(base[parent], flame->nodes[i].base);
    }
}

static uint32_t max_depth(const struct kp_flame *flame)
{
    uint32_t max = 0;
    for (uint32_t i = 0; i < flame->n; i++)
        if (flame->nodes[i].depth > max)
            max = flame->nodes[i].depth;
    return max;
}

void kp_flame_folded(const struct kp_flame *flame, struct kp_strbuf *out)
{
    struct folding f = {.flame = flame, .lengths = KP_NEW_ARRAY(size_t, (size_t)max_depth(flame) + 1)};
    kp_auto_free int64_t *self = KP_NEW_ARRAY(int64_t, (size_t)flame->n + 1);
    kp_auto_free int64_t *base = KP_NEW_ARRAY(int64_t, (size_t)flame->n + 1);
    shown_self(flame, self, base);
    kp_strbuf_init(&f.path, out->max);
    for (uint32_t i = 0; i < flame->n && !out->overflow && !f.path.overflow; i++) {
        const struct kp_flame_node *node = &flame->nodes[i];
        size_t keep = node->depth > 0 ? f.lengths[node->depth - 1] : 0;
        f.path.len = keep;
        push(&f, node);
        if ((self[i] == 0 && base[i] == 0) || f.path.len == 0)
            continue;
        kp_strbuf_add(out, f.path.data, f.path.len);
        if (flame->is_diff)
            kp_strbuf_addf(out, " %" PRId64 " %" PRId64 "\n", base[i], self[i]);
        else
            kp_strbuf_addf(out, " %" PRId64 "\n", self[i]);
    }
    out->overflow |= f.path.overflow;
    kp_strbuf_finish(&f.path);
    kp_free(f.lengths);
}

// ---- tree ----

static void add_value(const struct kp_flame *flame, int64_t value, struct kp_strbuf *out)
{
    char text[KP_VALUE_TEXT];
    kp_strbuf_addf(out, "%10s ", kp_unit_text(value, flame->unit, "auto", text));
}

// A branch begins with a +; below it a | leads down.
static void add_line(const struct kp_flame *flame, const struct kp_flame_node *node, unsigned indent,
    bool is_branch, struct kp_strbuf *out)
{
    char percent[KP_VALUE_TEXT];
    if (flame->is_diff) {
        add_value(flame, kp_sub_capped(node->value, node->base), out);
        add_value(flame, node->base, out);
    }
    add_value(flame, node->value, out);
    int64_t share = flame->is_diff ? kp_sub_capped(node->value, node->base) : node->value;
    kp_strbuf_addf(out, "%7s ", kp_unit_percent(share, kp_flame_whole(flame), percent));
    add_value(flame, node->self, out);
    for (unsigned i = 0; i < indent && i < MAX_INDENT / 2; i++)
        kp_strbuf_adds(out, is_branch && i + 1 == indent ? "+ " : "| ");
    kp_strbuf_addf(out, " %s", kp_flame_name(flame, node));
    if (node->frame != KP_FLAME_NO_FRAME && flame->by == KP_BY_LINE && flame->frames[node->frame].line != 0)
        kp_strbuf_addf(out, " %s:%" PRId64, flame->frames[node->frame].file, flame->frames[node->frame].line);
    if (node->n_cut > 0 && node->n_children == 0)
        kp_strbuf_addf(out, " ... %" PRIu32 " more", node->n_cut);
    kp_strbuf_addc(out, '\n');
}

void kp_flame_tree(const struct kp_flame *flame, struct kp_strbuf *out)
{
    char total[KP_VALUE_TEXT];
    kp_strbuf_addf(
        out, "%s, %s in all", flame->sample_type, kp_unit_text(flame->total, flame->unit, "auto", total));
    if (flame->is_diff)
        kp_strbuf_addf(out, ", %s before", kp_unit_text(flame->base_total, flame->unit, "auto", total));
    if (flame->n_left_out > 0)
        kp_strbuf_addf(out, "; %" PRIu32 " small %s not shown", flame->n_left_out,
            flame->n_left_out == 1 ? "node is" : "nodes are");
    kp_strbuf_adds(out, flame->is_diff ? "\n    change       base        new   share       self\n"
                                       : "\n     total   share       self\n");
    // a node that is the only one its caller calls stands under it, not to the right: stacks are deep
    kp_auto_free unsigned *indents = KP_NEW_ARRAY(unsigned, (size_t)flame->n + 1);
    for (uint32_t i = 0; i < flame->n && !out->overflow; i++) {
        const struct kp_flame_node *node = &flame->nodes[i];
        bool is_branch = i > 0 && flame->nodes[node->parent].n_children > 1;
        if (i > 0)
            indents[i] = indents[node->parent] + is_branch;
        add_line(flame, node, indents[i], is_branch, out);
    }
}
