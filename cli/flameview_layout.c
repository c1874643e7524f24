// Where frames lie. A row is made of the row above, and only of children at least a cell wide, so the work is
// that of what can be seen, however large the graph is.
#include <math.h>

#include "cli/flameview_private.h"
#include "base/banned.h"

static void add_span(struct kp_layout *layout, struct kp_span span)
{
    *kp_array_add(&layout->spans) = span;
}

static void end_row(struct kp_layout *layout)
{
    *kp_array_add(&layout->rows) = layout->spans.n;
}

void kp_layout_reset(struct kp_flameview *view)
{
    struct kp_layout *layout = &view->layout;
    uint32_t zoom = kp_flameview_zoom(view);
    layout->spans.n = layout->rows.n = 0;
    layout->is_whole = false;
    end_row(layout);
    add_span(layout,
        (struct kp_span){.node = zoom, .end = zoom + view->sizes[zoom], .n = 1, .width = view->width});
    end_row(layout);
}

void kp_layout_finish(struct kp_layout *layout)
{
    kp_array_free(&layout->spans);
    kp_array_free(&layout->rows);
}

// Cells of a stretch of weight, within its caller's.
static void place(struct kp_span *span, const struct kp_span *parent, double weight, double scale)
{
    int right = parent->x + parent->width;
    int from = (int)lround(span->at * scale), to = (int)lround((span->at + weight) * scale);
    from = from < parent->x ? parent->x : from > right ? right : from;
    to = to < from ? from : to > right ? right : to;
    span->x = from;
    span->width = to - from;
}

// Children that are all narrower than a cell. They get one if there is a free one to their right, or if
// nothing else would be seen of what the caller calls.
static void add_narrow(struct kp_flameview *view, const struct kp_span *parent, struct kp_span *rest,
    double weight, double scale)
{
    int right = parent->x + parent->width;
    bool is_all = rest->node == parent->node + 1;
    place(rest, parent, weight, scale);
    struct kp_span *neighbour = is_all ? NULL : &view->layout.spans.items[view->layout.spans.n - 1];
    if (rest->width == 0 && rest->x == right && parent->node == kp_flameview_zoom(view) &&
        neighbour != NULL && neighbour->width > 1) {
        neighbour->width--;
        rest->x--;
    }
    if (rest->width == 0 && (is_all || rest->x < right)) {
        rest->x = rest->x < right ? rest->x : right - 1;
        rest->width = 1;
    }
    if (rest->width > 0)
        add_span(&view->layout, *rest);
}

static void add_children(struct kp_flameview *view, struct kp_span parent, double scale)
{
    const struct kp_flame_node *nodes = view->flame->nodes;
    uint32_t child = parent.node + 1;
    double at = parent.at, end = parent.at + (double)view->below[parent.node];
    for (uint32_t left = nodes[parent.node].n_children; left > 0; left--) {
        double weight = (double)nodes[child].weight;
        struct kp_span span = {.node = child, .end = child + view->sizes[child], .n = 1, .at = at};
        if (weight * scale < 1) { // so are those behind it
            span.n = left;
            span.end = parent.end;
            add_narrow(view, &parent, &span, end > at ? end - at : 0, scale);
            return;
        }
        place(&span, &parent, weight, scale);
        if (span.width > 0)
            add_span(&view->layout, span);
        at += weight;
        child += view->sizes[child];
    }
}

static void add_row(struct kp_flameview *view)
{
    struct kp_layout *layout = &view->layout;
    double whole = (double)view->flame->nodes[kp_flameview_zoom(view)].weight;
    double scale = whole > 0 ? view->width / whole : 0;
    size_t from = layout->rows.items[layout->rows.n - 2], to = layout->rows.items[layout->rows.n - 1];
    for (size_t i = from; i < to; i++)
        if (layout->spans.items[i].n == 1)
            add_children(view, layout->spans.items[i], scale);
    layout->is_whole = layout->spans.n == to;
    if (!layout->is_whole)
        end_row(layout);
}

int kp_layout_rows(struct kp_flameview *view, int n)
{
    while (!view->layout.is_whole && view->layout.rows.n <= (size_t)n)
        add_row(view);
    return (int)view->layout.rows.n - 1;
}

const struct kp_span *kp_layout_row(const struct kp_flameview *view, int row, size_t *ret_n)
{
    size_t from = view->layout.rows.items[row];
    *ret_n = view->layout.rows.items[row + 1] - from;
    return &view->layout.spans.items[from];
}

int kp_layout_row_of(const struct kp_flameview *view, uint32_t node)
{
    return (int)view->flame->nodes[node].depth - (int)view->flame->nodes[kp_flameview_zoom(view)].depth;
}

bool kp_flameview_is_below(const struct kp_flameview *view, uint32_t node, uint32_t top)
{
    return node >= top && node - top < view->sizes[top];
}

const struct kp_span *kp_layout_find(struct kp_flameview *view, uint32_t node)
{
    int row = kp_layout_row_of(view, node);
    if (row < 0 || kp_layout_rows(view, row + 1) <= row)
        return NULL;
    size_t from = 0, to;
    const struct kp_span *spans = kp_layout_row(view, row, &to);
    size_t n = to;
    while (from < to) { // spans of a row are in the order of their nodes
        size_t middle = (from + to) / 2;
        if (spans[middle].end <= node)
            from = middle + 1;
        else
            to = middle;
    }
    return from < n && spans[from].node <= node ? &spans[from] : NULL;
}
