// The functions of the graph as a table.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/flameview_private.h"
#include "report/unit.h"
#include "base/banned.h"

// A function counts once in a stack: where it calls itself again, only the outermost call does.
static void add_nodes(const struct kp_flameview *view, struct kp_flametable_row *rows)
{
    const struct kp_flame *flame = view->flame;
    kp_auto_free uint32_t *until =
        KP_NEW_ARRAY(uint32_t, (size_t)flame->n_frames + 1); // ends of outermost calls
    for (uint32_t i = 0; i < flame->n; i++) {
        const struct kp_flame_node *node = &flame->nodes[i];
        if (node->frame == KP_FLAME_NO_FRAME)
            continue;
        struct kp_flametable_row *row = &rows[node->frame];
        row->flat = kp_add_capped(row->flat, node->self);
        row->base_flat = kp_add_capped(row->base_flat, node->base_self);
        if (row->node == 0 || node->weight > flame->nodes[row->node].weight)
            row->node = i;
        if (i < until[node->frame])
            continue;
        row->cum = kp_add_capped(row->cum, node->value);
        row->base_cum = kp_add_capped(row->base_cum, node->base);
        until[node->frame] = i + view->sizes[i];
    }
}

void kp_flametable_show(struct kp_flameview *view)
{
    struct kp_flametable *table = &view->table;
    if (table->rows == NULL) {
        table->rows = KP_NEW_ARRAY(struct kp_flametable_row, (size_t)view->flame->n_frames + 1);
        add_nodes(view, table->rows);
        table->n = view->flame->n_frames;
        for (uint32_t i = 0; i < table->n; i++)
            table->rows[i].frame = i;
        kp_flametable_sort(view, KP_ORDER_FLAT);
    }
    kp_flametable_move(view, 0);
}

struct sorting {
    const struct kp_flame *flame;
    enum kp_flametable_order order;
};

static int compare_magnitudes(int64_t a, int64_t b)
{
    int64_t x = kp_magnitude(a), y = kp_magnitude(b);
    return (x < y) - (x > y);
}

static int compare_rows(const void *a, const void *b, void *context)
{
    const struct sorting *s = context;
    const struct kp_flametable_row *x = a, *y = b;
    int flat = compare_magnitudes(kp_sub_capped(x->flat, x->base_flat), kp_sub_capped(y->flat, y->base_flat));
    int cum = compare_magnitudes(kp_sub_capped(x->cum, x->base_cum), kp_sub_capped(y->cum, y->base_cum));
    int name = strcmp(s->flame->frames[x->frame].name, s->flame->frames[y->frame].name);
    int keys[] = {s->order == KP_ORDER_NAME ? name : 0, s->order == KP_ORDER_CUM ? cum : 0, flat, cum, name};
    for (size_t i = 0; i < KP_COUNT(keys); i++)
        if (keys[i] != 0)
            return keys[i];
    return (x->frame > y->frame) - (x->frame < y->frame);
}

void kp_flametable_sort(struct kp_flameview *view, enum kp_flametable_order order)
{
    struct kp_flametable *table = &view->table;
    struct sorting s = {view->flame, order};
    table->order = order;
    qsort_r(table->rows, table->n, sizeof *table->rows, compare_rows, &s);
    table->selected = table->top = 0;
}

static int visible(const struct kp_flameview *view)
{
    int n = kp_flameview_lines(view).n_body - 1; // the heading
    return n > 1 ? n : 1;
}

void kp_flametable_move(struct kp_flameview *view, int64_t by)
{
    struct kp_flametable *table = &view->table;
    int64_t at = (int64_t)table->selected + by, last = (int64_t)table->n - 1;
    uint32_t n = (uint32_t)visible(view);
    at = at > last ? last : at;
    table->selected = at > 0 ? (uint32_t)at : 0;
    if (table->selected < table->top)
        table->top = table->selected;
    if (table->selected >= table->top + n)
        table->top = table->selected - n + 1;
}

// ---- drawing ----

#define NUMBER 11 // columns of a value with the space before it
#define SHARE  8  // and of a percentage

struct columns {
    bool has_shares, has_cum;
};

static void draw_number(
    struct kp_screen *screen, int *x, int y, int columns, struct kp_style style, const char *text)
{
    int n = (int)strlen(text); // of ASCII, or of the unit a profile came with
    kp_screen_text_cut(screen, n < columns ? *x + columns - n : *x + 1, y, columns - 1, style, text);
    *x += columns;
}

static void draw_value(const struct kp_flameview *view, struct kp_screen *screen, int *x, int y,
    struct kp_style style, int64_t value, bool has_share)
{
    char text[KP_VALUE_TEXT];
    draw_number(screen, x, y, NUMBER, style, kp_unit_text(value, view->flame->unit, "auto", text));
    if (has_share)
        draw_number(screen, x, y, SHARE, style, kp_unit_percent(value, kp_flame_whole(view->flame), text));
}

static void draw_row(
    const struct kp_flameview *view, struct kp_screen *screen, int y, uint32_t at, struct columns c)
{
    const struct kp_flametable_row *row = &view->table.rows[at];
    bool is_match = view->search.is_active && view->search.frames[row->frame];
    struct kp_style style = {.flags = (at == view->table.selected ? KP_STYLE_REVERSE : 0) |
                                      (is_match ? KP_STYLE_BOLD | KP_STYLE_UNDERLINE : 0)};
    int x = 0;
    kp_screen_fill(screen, 0, y, view->width, (struct kp_style){.flags = style.flags & KP_STYLE_REVERSE});
    draw_value(view, screen, &x, y, style, kp_sub_capped(row->flat, row->base_flat), c.has_shares);
    if (c.has_cum)
        draw_value(view, screen, &x, y, style, kp_sub_capped(row->cum, row->base_cum), c.has_shares);
    const char *name = view->flame->frames[row->frame].name;
    int left = view->width - x - 2;
    kp_screen_text_cut(screen, x + 2, y, left, style, kp_flameview_label(name, left));
}

static void draw_heading(const struct kp_flameview *view, struct kp_screen *screen, int y, struct columns c)
{
    static const struct kp_style plain = {.flags = KP_STYLE_BOLD},
                                 sorted = {.flags = KP_STYLE_BOLD | KP_STYLE_UNDERLINE};
    enum kp_flametable_order order = view->table.order;
    bool is_diff = view->flame->is_diff;
    int x = 0;
    draw_number(screen, &x, y, NUMBER, order == KP_ORDER_FLAT ? sorted : plain, is_diff ? "flat +-" : "flat");
    if (c.has_shares)
        draw_number(screen, &x, y, SHARE, plain, "flat%");
    if (c.has_cum)
        draw_number(
            screen, &x, y, NUMBER, order == KP_ORDER_CUM ? sorted : plain, is_diff ? "cum +-" : "cum");
    if (c.has_cum && c.has_shares)
        draw_number(screen, &x, y, SHARE, plain, "cum%");
    kp_screen_text(screen, x + 2, y, view->width, order == KP_ORDER_NAME ? sorted : plain, "name");
}

void kp_flametable_draw(struct kp_flameview *view, struct kp_screen *screen)
{
    struct kp_flameview_lines lines = kp_flameview_lines(view);
    struct columns c = {.has_shares = view->width >= 60, .has_cum = view->width >= 36};
    if (lines.n_body > 1)
        draw_heading(view, screen, lines.body++, c);
    for (int i = 0; i < visible(view) && view->table.top + (uint32_t)i < view->table.n; i++)
        draw_row(view, screen, lines.body + i, view->table.top + (uint32_t)i, c);
}
