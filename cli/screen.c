#include "cli/screen.h"

#include <string.h>

#include "base/alloc.h"
#include "cli/glyph.h"
#include "base/banned.h"

#define ELLIPSIS "\xe2\x80\xa6"

static const struct kp_cell blank = {.text = " ", .len = 1, .width = 1};

void kp_screen_init(struct kp_screen *screen)
{
    *screen = (struct kp_screen){0};
}

void kp_screen_finish(struct kp_screen *screen)
{
    kp_free(screen->cells);
    kp_free(screen->shown);
    kp_screen_init(screen);
}

static int clamp(int v, int max)
{
    return v < 1 ? 1 : v > max ? max : v;
}

static size_t n_cells(const struct kp_screen *screen)
{
    return (size_t)screen->width * (size_t)screen->height;
}

void kp_screen_resize(struct kp_screen *screen, int width, int height)
{
    screen->width = clamp(width, KP_SCREEN_MAX_WIDTH);
    screen->height = clamp(height, KP_SCREEN_MAX_HEIGHT);
    screen->cells = kp_grow(screen->cells, n_cells(screen), sizeof *screen->cells);
    screen->shown = kp_grow(screen->shown, n_cells(screen), sizeof *screen->shown);
    kp_screen_clear(screen);
    kp_screen_forget(screen);
}

void kp_screen_forget(struct kp_screen *screen)
{
    screen->is_known = false;
}

void kp_screen_clear(struct kp_screen *screen)
{
    for (size_t i = 0; i < n_cells(screen); i++)
        screen->cells[i] = blank;
}

static struct kp_cell *cell_at(const struct kp_screen *screen, int x, int y)
{
    if (x < 0 || y < 0 || x >= screen->width || y >= screen->height)
        return NULL;
    return &screen->cells[(size_t)y * (size_t)screen->width + (size_t)x];
}

// What half of a wide character is left over is a blank.
static void break_wide(const struct kp_screen *screen, int x, int y)
{
    struct kp_cell *cell = cell_at(screen, x, y);
    if (cell == NULL || cell->width == 1)
        return;
    struct kp_cell *other = cell->width == 2 ? cell + 1 : cell - 1;
    struct kp_style style = other->style;
    *other = blank;
    other->style = style;
}

static void put(const struct kp_screen *screen, int x, int y, struct kp_style style, const struct kp_glyph *g)
{
    struct kp_cell *cell = cell_at(screen, x, y);
    if (cell == NULL || (g->width == 2 && x + 1 >= screen->width))
        return;
    break_wide(screen, x, y);
    *cell = (struct kp_cell){.len = g->len, .width = g->width, .style = style};
    memcpy(cell->text, g->text, g->len);
    if (g->width < 2)
        return;
    break_wide(screen, x + 1, y);
    cell[1] = (struct kp_cell){.style = style};
}

// More marks than a cell holds are left out.
static void add_mark(const struct kp_screen *screen, int x, int y, const struct kp_glyph *g)
{
    struct kp_cell *cell = cell_at(screen, x, y);
    if (cell != NULL && cell->width == 0 && x > 0)
        cell--;
    if (cell == NULL || cell->len + g->len > KP_CELL_TEXT)
        return;
    memcpy(cell->text + cell->len, g->text, g->len);
    cell->len = (uint8_t)(cell->len + g->len);
}

static int add(
    struct kp_screen *screen, int x, int y, int columns, struct kp_style style, const char *text, size_t len)
{
    int used = 0;
    struct kp_glyph g;
    for (size_t i = 0; i < len && used <= columns;) {
        i += kp_glyph_next(text + i, len - i, &g);
        if (used + g.width > columns || (g.width > 0 && x + used + g.width > screen->width))
            break;
        if (g.width > 0)
            put(screen, x + used, y, style, &g);
        else if (used > 0)
            add_mark(screen, x + used - 1, y, &g);
        used += g.width;
    }
    return used;
}

int kp_screen_text(
    struct kp_screen *screen, int x, int y, int columns, struct kp_style style, const char *text)
{
    return add(screen, x, y, columns, style, text, strlen(text));
}

int kp_screen_text_cut(
    struct kp_screen *screen, int x, int y, int columns, struct kp_style style, const char *text)
{
    if (columns <= 0)
        return 0;
    size_t len = strlen(text);
    if (kp_glyph_fit(text, (size_t)columns) == len)
        return add(screen, x, y, columns, style, text, len);
    int used = add(screen, x, y, columns - 1, style, text, kp_glyph_fit(text, (size_t)columns - 1));
    return used + add(screen, x + used, y, 1, style, ELLIPSIS, strlen(ELLIPSIS));
}

int kp_screen_text_tail(
    struct kp_screen *screen, int x, int y, int columns, struct kp_style style, const char *text)
{
    if (columns <= 0)
        return 0;
    if (kp_glyph_fit(text, (size_t)columns) == strlen(text))
        return kp_screen_text(screen, x, y, columns, style, text);
    int used = add(screen, x, y, 1, style, ELLIPSIS, strlen(ELLIPSIS));
    return used + kp_screen_text(screen, x + used, y, columns - used, style,
                      kp_glyph_tail(text, (size_t)(columns - used)));
}

void kp_screen_fill(struct kp_screen *screen, int x, int y, int columns, struct kp_style style)
{
    static const struct kp_glyph space = {" ", 1, 1};
    for (int i = x < 0 ? -x : 0; i < columns && x + i < screen->width; i++)
        put(screen, x + i, y, style, &space);
}

// ---- writing ----

static bool same_style(struct kp_style a, struct kp_style b)
{
    return a.fg == b.fg && a.bg == b.bg && a.flags == b.flags;
}

static bool same(const struct kp_cell *a, const struct kp_cell *b)
{
    return a->len == b->len && a->width == b->width && same_style(a->style, b->style) &&
           memcmp(a->text, b->text, a->len) == 0;
}

// Of the 6 x 6 x 6 cube, whose levels are 0, 95, 135, 175, 215, 255.
static unsigned cube(uint32_t level)
{
    return level < 48 ? 0 : level < 115 ? 1 : (level - 35) / 40;
}

static void add_color(struct kp_strbuf *out, uint32_t color, enum kp_colors colors, bool is_bg)
{
    if (color == 0 || colors == KP_COLORS_NONE)
        return;
    unsigned ansi = color >> 24 & 15, r = color >> 16 & 255, g = color >> 8 & 255, b = color & 255;
    if (colors == KP_COLORS_16)
        kp_strbuf_addf(out, ";%u", (ansi < 8 ? 30 + ansi : 82 + ansi) + (is_bg ? 10 : 0));
    else if (colors == KP_COLORS_256)
        kp_strbuf_addf(out, ";%u;5;%u", is_bg ? 48u : 38u, 16 + 36 * cube(r) + 6 * cube(g) + cube(b));
    else
        kp_strbuf_addf(out, ";%u;2;%u;%u;%u", is_bg ? 48u : 38u, r, g, b);
}

static void add_style(struct kp_strbuf *out, struct kp_style style, enum kp_colors colors)
{
    static const char *const names[] = {";1", ";2", ";4", ";7"};
    kp_strbuf_adds(out, "\x1b[0");
    for (unsigned i = 0; i < KP_COUNT(names); i++)
        if (style.flags & 1u << i)
            kp_strbuf_adds(out, names[i]);
    add_color(out, style.fg, colors, false);
    add_color(out, style.bg, colors, true);
    kp_strbuf_addc(out, 'm');
}

struct pen {
    struct kp_strbuf *out;
    enum kp_colors colors;
    int x, y; // of the cursor; -1: unknown
    struct kp_style style;
};

// Terminals do not agree on how wide all characters are: behind one that is not ASCII the cursor is set anew,
// so that the rest of the line stays in place.
static void write_cell(struct pen *pen, const struct kp_cell *cell, int x, int y)
{
    if (pen->x != x || pen->y != y)
        kp_strbuf_addf(pen->out, "\x1b[%d;%dH", y + 1, x + 1);
    if (!same_style(pen->style, cell->style))
        add_style(pen->out, cell->style, pen->colors);
    kp_strbuf_add(pen->out, cell->text, cell->len);
    pen->style = cell->style;
    pen->x = cell->len == 1 ? x + 1 : -1;
    pen->y = y;
}

void kp_screen_flush(struct kp_screen *screen, enum kp_colors colors, struct kp_strbuf *out)
{
    struct pen pen = {.out = out, .colors = colors, .x = -1, .y = -1};
    if (!screen->is_known) {
        kp_strbuf_adds(out, "\x1b[0m\x1b[2J");
        for (size_t i = 0; i < n_cells(screen); i++)
            screen->shown[i] = blank;
    }
    for (int y = 0; y < screen->height; y++)
        for (int x = 0; x < screen->width; x++) {
            size_t i = (size_t)y * (size_t)screen->width + (size_t)x;
            if (same(&screen->cells[i], &screen->shown[i]))
                continue;
            if (screen->cells[i].width > 0)
                write_cell(&pen, &screen->cells[i], x, y);
            screen->shown[i] = screen->cells[i];
        }
    if (!same_style(pen.style, (struct kp_style){0}))
        kp_strbuf_adds(out, "\x1b[0m");
    screen->is_known = true;
}
