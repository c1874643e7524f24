// What keys do.
#include "cli/flameview.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "cli/flameview_private.h"
#include "report/unit.h"
#include "base/banned.h"

static void measure(struct kp_flameview *view)
{
    const struct kp_flame *flame = view->flame;
    for (uint32_t i = flame->n; i-- > 0;) {
        view->sizes[i]++;
        if (i == 0)
            break;
        uint32_t parent = flame->nodes[i].parent;
        view->sizes[parent] += view->sizes[i];
        view->below[parent] = kp_add_capped(view->below[parent], flame->nodes[i].weight);
    }
}

struct kp_flameview *kp_flameview_create(const struct kp_flame *flame, const char *title, bool has_colors)
{
    struct kp_flameview *view = KP_NEW(struct kp_flameview);
    view->flame = flame;
    view->title = kp_strdup(title != NULL ? title : "");
    view->has_colors = has_colors;
    view->sizes = KP_NEW_ARRAY(uint32_t, (size_t)flame->n + 1);
    view->below = KP_NEW_ARRAY(int64_t, (size_t)flame->n + 1);
    measure(view);
    *kp_array_add(&view->zooms) = 0;
    kp_search_init(view);
    kp_flameview_resize(view, 80, 24);
    return view;
}

void kp_flameview_destroy(struct kp_flameview *view)
{
    if (view == NULL)
        return;
    kp_layout_finish(&view->layout);
    kp_search_finish(view);
    kp_array_free(&view->zooms);
    kp_free(view->origin.zooms);
    kp_free(view->table.rows);
    kp_free(view->sizes);
    kp_free(view->below);
    kp_free(view->title);
    kp_free(view);
}

void kp_flameview_resize(struct kp_flameview *view, int width, int height)
{
    view->width = width < 1 ? 1 : width > KP_SCREEN_MAX_WIDTH ? KP_SCREEN_MAX_WIDTH : width;
    view->height = height < 1 ? 1 : height > KP_SCREEN_MAX_HEIGHT ? KP_SCREEN_MAX_HEIGHT : height;
    kp_layout_reset(view);
    kp_flameview_scroll_to_selected(view);
    kp_flametable_move(view, 0);
}

// What does not fit goes first: the path, the second line of the status, the title, the hint.
struct kp_flameview_lines kp_flameview_lines(const struct kp_flameview *view)
{
    int h = view->height;
    struct kp_flameview_lines lines = {.title = h >= 6 ? 0 : -1, .path = h >= 10 ? 1 : -1, .hint = -1};
    int below = h >= 10 ? 3 : h >= 3 ? 2 : h - 1;
    lines.body = h >= 10 ? 2 : h >= 6 ? 1 : 0;
    lines.n_body = h - below - lines.body;
    lines.status = below > 0 ? h - below : -1;
    lines.n_status = h >= 10 ? 2 : below > 0 ? 1 : 0;
    if (below >= 2)
        lines.hint = h - 1;
    return lines;
}

// ---- moving ----

void kp_flameview_scroll_to_selected(struct kp_flameview *view)
{
    uint32_t node = view->selected;
    while (kp_layout_find(view, node) == NULL) // the screen became smaller
        node = view->flame->nodes[node].parent;
    int row = kp_layout_row_of(view, node), n = kp_flameview_lines(view).n_body;
    if (row < view->top)
        view->top = row;
    if (row >= view->top + n)
        view->top = row - n + 1;
}

static void push_zoom(struct kp_flameview *view, uint32_t node)
{
    *kp_array_add(&view->zooms) = node;
    view->top = 0;
    kp_layout_reset(view);
}

void kp_flameview_select(struct kp_flameview *view, uint32_t node)
{
    bool is_out = false;
    for (; view->zooms.n > 1 && !kp_flameview_is_below(view, node, kp_flameview_zoom(view)); is_out = true)
        view->zooms.n--;
    if (is_out)
        kp_layout_reset(view);
    view->selected = node;
    if (kp_layout_find(view, node) == NULL)
        push_zoom(view, view->flame->nodes[node].parent);
    kp_flameview_scroll_to_selected(view);
}

static void zoom_in(struct kp_flameview *view)
{
    if (view->selected != kp_flameview_zoom(view))
        push_zoom(view, view->selected);
}

static void zoom_out_to(struct kp_flameview *view, size_t n_zooms)
{
    uint32_t zoom = kp_flameview_zoom(view);
    if (view->zooms.n <= n_zooms)
        return;
    view->zooms.n = n_zooms;
    kp_layout_reset(view);
    if (kp_layout_find(view, view->selected) == NULL)
        view->selected = kp_layout_find(view, zoom) != NULL ? zoom : kp_flameview_zoom(view);
    kp_flameview_scroll_to_selected(view);
}

static void zoom_out(struct kp_flameview *view)
{
    zoom_out_to(view, view->zooms.n > 1 ? view->zooms.n - 1 : 1);
}

static void zoom_reset(struct kp_flameview *view)
{
    zoom_out_to(view, 1);
}

static void escape(struct kp_flameview *view)
{
    if (view->search.is_active)
        kp_search_clear(view);
    else
        zoom_out(view);
}

static bool step_down(struct kp_flameview *view)
{
    const struct kp_flame_node *node = &view->flame->nodes[view->selected];
    if (node->n_children == 0 || kp_layout_find(view, view->selected + 1) == NULL)
        return false;
    view->selected++; // the heaviest child
    return true;
}

static void down(struct kp_flameview *view)
{
    const struct kp_flame_node *node = &view->flame->nodes[view->selected];
    if (step_down(view))
        kp_flameview_scroll_to_selected(view);
    else if (node->n_children > 0)
        kp_copy(view->message, sizeof view->message, "too narrow to go down: Enter zooms in");
    else if (node->n_cut > 0)
        snprintf(view->message, sizeof view->message, "%" PRIu32 " small %s below %s left out of the graph",
            node->n_cut, node->n_cut == 1 ? "node" : "nodes", node->n_cut == 1 ? "was" : "were");
}

static bool step_up(struct kp_flameview *view)
{
    if (view->selected == kp_flameview_zoom(view))
        return false;
    view->selected = view->flame->nodes[view->selected].parent;
    return true;
}

static void move_rows(struct kp_flameview *view, int n, bool (*step)(struct kp_flameview *))
{
    while (n > 0 && step(view))
        n--;
    kp_flameview_scroll_to_selected(view);
}

static void up(struct kp_flameview *view)
{
    move_rows(view, 1, step_up);
}

static int page(const struct kp_flameview *view)
{
    int n = kp_flameview_lines(view).n_body;
    return n > 2 ? n - 1 : 1;
}

static void page_up(struct kp_flameview *view)
{
    move_rows(view, page(view), step_up);
}

static void page_down(struct kp_flameview *view)
{
    move_rows(view, page(view), step_down);
}

static void first(struct kp_flameview *view)
{
    view->selected = kp_flameview_zoom(view);
    kp_flameview_scroll_to_selected(view);
}

static void last(struct kp_flameview *view)
{
    move_rows(view, INT32_MAX, step_down);
}

// Those that share an ellipsis are gone through one by one.
static bool step_within(struct kp_flameview *view, const struct kp_span *span, int by)
{
    uint32_t at = view->selected, next = at + view->sizes[at];
    if (span->n == 1 || (by < 0 ? at == span->node : next >= span->end))
        return false;
    if (by < 0)
        for (next = span->node; next + view->sizes[next] < at;)
            next += view->sizes[next];
    view->selected = next;
    return true;
}

static void sideways(struct kp_flameview *view, int by)
{
    const struct kp_span *span = kp_layout_find(view, view->selected);
    if (span == NULL || step_within(view, span, by))
        return;
    size_t n;
    const struct kp_span *row = kp_layout_row(view, kp_layout_row_of(view, view->selected), &n);
    if (by < 0 ? span == row : span + 1 == row + n)
        return;
    view->selected = span[by].node;
    kp_flameview_scroll_to_selected(view);
}

static void left(struct kp_flameview *view)
{
    sideways(view, -1);
}

static void right(struct kp_flameview *view)
{
    sideways(view, 1);
}

// ---- the table ----

static void table_up(struct kp_flameview *view)
{
    kp_flametable_move(view, -1);
}

static void table_down(struct kp_flameview *view)
{
    kp_flametable_move(view, 1);
}

static void table_page_up(struct kp_flameview *view)
{
    kp_flametable_move(view, -page(view));
}

static void table_page_down(struct kp_flameview *view)
{
    kp_flametable_move(view, page(view));
}

static void table_first(struct kp_flameview *view)
{
    kp_flametable_move(view, INT32_MIN);
}

static void table_last(struct kp_flameview *view)
{
    kp_flametable_move(view, INT32_MAX);
}

static void table_order(struct kp_flameview *view)
{
    kp_flametable_sort(view, view->table.order == KP_ORDER_NAME ? KP_ORDER_FLAT : view->table.order + 1);
}

static void table_enter(struct kp_flameview *view)
{
    if (view->table.n == 0)
        return;
    struct kp_flametable_row row = view->table.rows[view->table.selected];
    view->is_table = false;
    kp_search_frame(view, row.frame);
    kp_flameview_select(view, row.node);
}

static void table_escape(struct kp_flameview *view)
{
    if (view->search.is_active)
        kp_search_clear(view);
    else
        view->is_table = false;
}

static void toggle_table(struct kp_flameview *view)
{
    view->is_table = !view->is_table;
    if (view->is_table)
        kp_flametable_show(view);
}

// ---- keys ----

static void toggle_help(struct kp_flameview *view)
{
    view->is_help = !view->is_help;
}

static void next_match(struct kp_flameview *view)
{
    kp_search_go(view, false);
}

static void previous_match(struct kp_flameview *view)
{
    kp_search_go(view, true);
}

struct binding {
    enum kp_key_code code;
    uint32_t rune;
    void (*graph)(struct kp_flameview *view);
    void (*table)(struct kp_flameview *view); // NULL: nothing
};

static const struct binding bindings[] = {
    {KP_KEY_UP, 0, up, table_up},
    {KP_KEY_RUNE, 'k', up, table_up},
    {KP_KEY_DOWN, 0, down, table_down},
    {KP_KEY_RUNE, 'j', down, table_down},
    {KP_KEY_LEFT, 0, left, NULL},
    {KP_KEY_RUNE, 'h', left, NULL},
    {KP_KEY_RIGHT, 0, right, NULL},
    {KP_KEY_RUNE, 'l', right, NULL},
    {KP_KEY_PAGE_UP, 0, page_up, table_page_up},
    {KP_KEY_PAGE_DOWN, 0, page_down, table_page_down},
    {KP_KEY_RUNE, ' ', page_down, table_page_down},
    {KP_KEY_HOME, 0, first, table_first},
    {KP_KEY_RUNE, 'g', first, table_first},
    {KP_KEY_END, 0, last, table_last},
    {KP_KEY_RUNE, 'G', last, table_last},
    {KP_KEY_ENTER, 0, zoom_in, table_enter},
    {KP_KEY_ESC, 0, escape, table_escape},
    {KP_KEY_BACKSPACE, 0, zoom_out, NULL},
    {KP_KEY_RUNE, 'r', zoom_reset, NULL},
    {KP_KEY_TAB, 0, toggle_table, toggle_table},
    {KP_KEY_RUNE, 's', NULL, table_order},
    {KP_KEY_RUNE, '/', kp_search_begin, kp_search_begin},
    {KP_KEY_RUNE, 'n', next_match, next_match},
    {KP_KEY_RUNE, 'N', previous_match, previous_match},
    {KP_KEY_RUNE, '?', toggle_help, toggle_help},
};

// A click selects, one more on the same zooms in (or leads from the table to the graph).
static void click(struct kp_flameview *view, int x, int y)
{
    struct kp_flameview_lines lines = kp_flameview_lines(view);
    if (y < lines.body || y >= lines.body + lines.n_body)
        return;
    int row = view->top + y - lines.body;
    if (view->is_table) {
        int64_t by =
            (int64_t)view->table.top + y - lines.body - 1 - view->table.selected; // below the heading
        if (by == 0)
            table_enter(view);
        else if (y > lines.body)
            kp_flametable_move(view, by);
        return;
    }
    if (kp_layout_rows(view, row + 1) <= row)
        return;
    size_t n;
    const struct kp_span *spans = kp_layout_row(view, row, &n);
    for (size_t i = 0; i < n; i++) {
        if (x < spans[i].x || x >= spans[i].x + spans[i].width)
            continue;
        if (&spans[i] == kp_layout_find(view, view->selected))
            zoom_in(view);
        else
            view->selected = spans[i].node;
        return;
    }
}

static void wheel(struct kp_flameview *view, int by)
{
    if (view->is_table) {
        kp_flametable_move(view, by);
        return;
    }
    int top = view->top + by, rows = kp_layout_rows(view, (top > 0 ? top : 0) + 1);
    view->top = top < 0 ? 0 : top >= rows ? rows - 1 : top;
}

static bool is_quit(const struct kp_key *key)
{
    return key->code == KP_KEY_RUNE && (key->rune == 'q' || key->rune == 'Q' || key->rune == 3 /* Ctrl-C */);
}

static enum kp_flameview_answer pressed(struct kp_flameview *view, const struct kp_key *key)
{
    for (size_t i = 0; i < KP_COUNT(bindings); i++) {
        const struct binding *b = &bindings[i];
        if (b->code != key->code || (key->code == KP_KEY_RUNE && b->rune != key->rune))
            continue;
        void (*action)(struct kp_flameview *) = view->is_table ? b->table : b->graph;
        if (action != NULL)
            action(view);
        return KP_FLAMEVIEW_DRAW;
    }
    return KP_FLAMEVIEW_NOTHING;
}

enum kp_flameview_answer kp_flameview_key(struct kp_flameview *view, const struct kp_key *key)
{
    if (key->code == KP_KEY_NONE)
        return KP_FLAMEVIEW_NOTHING;
    view->message[0] = '\0';
    if (view->is_prompt)
        return kp_search_key(view, key);
    if (is_quit(key))
        return KP_FLAMEVIEW_QUIT;
    if (view->is_help) { // any key closes it
        view->is_help = false;
        return KP_FLAMEVIEW_DRAW;
    }
    if (key->code == KP_KEY_CLICK)
        click(view, key->x, key->y);
    else if (key->code == KP_KEY_WHEEL_UP || key->code == KP_KEY_WHEEL_DOWN)
        wheel(view, key->code == KP_KEY_WHEEL_UP ? -3 : 3);
    else
        return pressed(view, key);
    return KP_FLAMEVIEW_DRAW;
}
