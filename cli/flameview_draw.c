// What people see.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/flameview_private.h"
#include "cli/glyph.h"
#include "report/unit.h"
#include "base/banned.h"

#define ELLIPSIS "\xe2\x80\xa6"

static const struct kp_style plain = {0}, bold = {.flags = KP_STYLE_BOLD}, dim = {.flags = KP_STYLE_DIM};

// ---- colours ----

static uint32_t channel(double h, double s, double l, double n)
{
    double k = fmod(n + h / 30, 12), a = s * fmin(l, 1 - l);
    double m = fmin(fmin(k - 3, 9 - k), 1);
    return (uint32_t)lround(255 * (l - a * fmax(m, -1)));
}

// Of 16 colours: red, yellow, green, cyan, blue, magenta by hue, white for grey; neighbours differ in
// brightness.
static uint32_t color_of(struct kp_flame_colour c, bool is_odd)
{
    static const uint8_t names[] = {1, 3, 2, 6, 4, 5};
    double s = c.saturation / 100.0, l = c.lightness / 100.0 - (is_odd ? 0.08 : 0);
    unsigned name = c.saturation < 20 ? 7 : names[(c.hue + 30) / 60 % 6];
    return KP_COLOR(
        name + (is_odd ? 0 : 8), channel(c.hue, s, l, 0), channel(c.hue, s, l, 8), channel(c.hue, s, l, 4));
}

static struct kp_style frame_style(
    const struct kp_flameview *view, const struct kp_span *span, bool is_selected, bool is_odd)
{
    bool is_match = kp_search_has(view, span);
    if (!view->has_colors)
        return (struct kp_style){.flags = (is_selected ? KP_STYLE_REVERSE : 0) |
                                          (is_match ? KP_STYLE_BOLD | KP_STYLE_UNDERLINE : 0)};
    struct kp_style style = {.fg = KP_COLOR(0, 0x1b, 0x1f, 0x24)};
    style.bg = color_of(kp_flame_colour(view->flame, &view->flame->nodes[span->node]), is_odd);
    if (span->n > 1)
        style.bg = is_odd ? KP_COLOR(7, 0xb4, 0xba, 0xc2) : KP_COLOR(15, 0xc8, 0xcd, 0xd4);
    if (is_match) {
        style.bg = is_odd ? KP_COLOR(5, 0xd8, 0x4f, 0xd8) : KP_COLOR(13, 0xf0, 0x68, 0xf0);
        style.flags = KP_STYLE_BOLD;
    }
    if (is_selected)
        style = (struct kp_style){.fg = KP_COLOR(15, 0xff, 0xff, 0xff),
            .bg = KP_COLOR(4, 0x0b, 0x3d, 0x91),
            .flags = KP_STYLE_BOLD | (is_match ? KP_STYLE_UNDERLINE : 0)};
    return style;
}

// ---- the graph ----

// The last / before what follows a name in brackets ends a path.
const char *kp_flameview_label(const char *name, int columns)
{
    if (columns <= 0 || kp_glyph_fit(name, (size_t)columns) == strlen(name))
        return name;
    const char *slash = memrchr(name, '/', strcspn(name, "([<{ "));
    return slash != NULL ? slash + 1 : name;
}

// Without colours a line on the left keeps frames apart.
static void draw_span(const struct kp_flameview *view, struct kp_screen *screen, int y,
    const struct kp_span *span, struct kp_style style)
{
    int x = span->x, columns = span->width;
    kp_screen_fill(screen, x, y, columns, style);
    if (span->n > 1) {
        kp_screen_text(screen, x, y, 1, style, ELLIPSIS);
        return;
    }
    if (!view->has_colors) {
        kp_screen_text(screen, x++, y, 1, style, "|");
        columns--;
    }
    const char *name = kp_flame_name(view->flame, &view->flame->nodes[span->node]);
    if (columns >= 3)
        kp_screen_text_cut(screen, x, y, columns, style, kp_flameview_label(name, columns));
}

static void draw_graph(struct kp_flameview *view, struct kp_screen *screen)
{
    struct kp_flameview_lines lines = kp_flameview_lines(view);
    int rows = kp_layout_rows(view, view->top + lines.n_body + 1);
    const struct kp_span *selected = kp_layout_find(view, view->selected);
    for (int i = 0; i < lines.n_body && view->top + i < rows; i++) {
        size_t n;
        const struct kp_span *spans = kp_layout_row(view, view->top + i, &n);
        for (size_t k = 0; k < n; k++)
            draw_span(view, screen, lines.body + i, &spans[k],
                frame_style(view, &spans[k], &spans[k] == selected, k % 2 == 1));
    }
}

// ---- lines around it ----

static const char *skip_spaces(const char *text)
{
    return text + strspn(text, " ");
}

static void draw_right(struct kp_screen *screen, int y, int left, struct kp_style style, const char *text)
{
    int columns = (int)kp_glyph_columns(text);
    if (columns > 0 && screen->width - columns > left)
        kp_screen_text(screen, screen->width - columns, y, columns, style, text);
}

static void draw_title(const struct kp_flameview *view, struct kp_screen *screen, int y)
{
    const struct kp_flame *flame = view->flame;
    char total[KP_VALUE_TEXT], base[KP_VALUE_TEXT], line[KP_TEXT_LINE];
    kp_unit_text(flame->total, flame->unit, "auto", total);
    kp_unit_text(flame->base_total, flame->unit, "auto", base);
    snprintf(line, sizeof line, "%s: %s%s%s", flame->sample_type, total, flame->is_diff ? " against " : "",
        flame->is_diff ? base : "");
    int room = view->width - (int)kp_glyph_columns(line) - 2;
    int x = kp_screen_text_cut(screen, 0, y, room > 8 ? room : view->width, bold, view->title);
    x += x > 0 ? 2 : 0;
    x += kp_screen_text_cut(screen, x, y, view->width - x, plain, line);
    draw_right(screen, y, x + 1, dim, view->is_table ? "Tab graph" : "Tab table");
}

// From the root to the zoomed node; what is nearest to it stays where there is no room.
static void draw_path(struct kp_flameview *view, struct kp_screen *screen, int y)
{
    const struct kp_flame *flame = view->flame;
    kp_auto_strbuf path;
    kp_strbuf_init(&path, 1 << 20);
    for (uint32_t i = 0; i < flame->n_path; i++)
        kp_strbuf_addf(&path, "%s > ", flame->path[i]);
    uint32_t zoom = kp_flameview_zoom(view);
    uint32_t depth = flame->nodes[zoom].depth, shown = depth < 64 ? depth : 64;
    for (uint32_t up = shown + 1; up-- > 0;) { // callers are few, and none has a list of them
        uint32_t node = zoom;
        for (uint32_t i = 0; i < up; i++)
            node = flame->nodes[node].parent;
        const char *name = kp_flame_name(flame, &flame->nodes[node]);
        kp_strbuf_addf(&path, "%s%s", kp_flameview_label(name, 24), up > 0 ? " > " : "");
    }
    int n_body = kp_flameview_lines(view).n_body;
    bool is_more = kp_layout_rows(view, view->top + n_body + 1) > view->top + n_body;
    char more[64] = "";
    if (view->top > 0 || is_more)
        snprintf(more, sizeof more, "row %d%s", view->top + 1, is_more ? ", more below" : "");
    int columns = view->width - (more[0] != '\0' ? (int)strlen(more) + 1 : 0);
    kp_screen_text_tail(screen, 0, y, columns, view->zooms.n > 1 ? plain : dim, path.data);
    draw_right(screen, y, 0, dim, more);
}

static void add_share(struct kp_strbuf *out, int64_t value, int64_t whole)
{
    char percent[KP_VALUE_TEXT];
    kp_strbuf_adds(out, skip_spaces(kp_unit_percent(value, whole, percent)));
}

static void add_values(const struct kp_flameview *view, struct kp_strbuf *out, bool is_short)
{
    const struct kp_flame *flame = view->flame;
    const struct kp_flame_node *node = &flame->nodes[view->selected],
                               *zoom = &flame->nodes[kp_flameview_zoom(view)];
    char text[KP_VALUE_TEXT];
    kp_strbuf_addf(
        out, "%s%s ", is_short ? "" : "total ", kp_unit_text(node->value, flame->unit, "auto", text));
    add_share(out, node->value, flame->total);
    if (view->zooms.n > 1 && zoom->value != 0 && !is_short) {
        kp_strbuf_adds(out, ", ");
        add_share(out, node->value, zoom->value);
        kp_strbuf_adds(out, " of the zoomed");
    }
    if (flame->is_diff)
        kp_strbuf_addf(out, ", before %s", kp_unit_text(node->base, flame->unit, "auto", text));
    if (is_short)
        return;
    kp_strbuf_addf(out, ", self %s ", kp_unit_text(node->self, flame->unit, "auto", text));
    add_share(out, node->self, flame->total);
    if (flame->is_diff)
        kp_strbuf_addf(out, ", before %s", kp_unit_text(node->base_self, flame->unit, "auto", text));
}

static void add_file(const struct kp_flameview *view, struct kp_strbuf *out)
{
    uint32_t frame = view->flame->nodes[view->selected].frame;
    if (frame == KP_FLAME_NO_FRAME || view->flame->frames[frame].file[0] == '\0')
        return;
    kp_strbuf_adds(out, view->flame->frames[frame].file);
    if (view->flame->frames[frame].line > 0)
        kp_strbuf_addf(out, ":%" PRId64, view->flame->frames[frame].line);
}

static void draw_status(struct kp_flameview *view, struct kp_screen *screen, int y, bool is_short)
{
    kp_auto_strbuf values, file;
    kp_strbuf_init(&values, KP_TEXT_LINE);
    kp_strbuf_init(&file, 1 << 16);
    add_values(view, &values, is_short);
    add_file(view, &file);
    const struct kp_span *span = kp_layout_find(view, view->selected);
    const char *name = kp_flame_name(view->flame, &view->flame->nodes[view->selected]);
    char more[64] = "";
    if (span != NULL && span->n > 1)
        snprintf(more, sizeof more, " and %" PRIu32 " as narrow", span->n - 1);
    int x = 0;
    if (is_short)
        x = kp_screen_text_cut(screen, 0, y, view->width, plain, values.data) + 1;
    int room = view->width - x - (int)strlen(more);
    int at = x + kp_screen_text_cut(screen, x, y, room, bold, kp_flameview_label(name, room));
    kp_screen_text(screen, at, y, view->width - at, plain, more);
    if (is_short)
        return;
    x = kp_screen_text_cut(screen, 0, y + 1, view->width, plain, values.data) + 2;
    kp_screen_text_tail(screen, x, y + 1, view->width - x, dim, file.data);
}

static void draw_table_status(const struct kp_flameview *view, struct kp_screen *screen, int y, bool is_short)
{
    static const char *const orders[] = {"flat", "cum", "name"};
    const struct kp_flame *flame = view->flame;
    const struct kp_flametable *table = &view->table;
    char line[KP_TEXT_LINE];
    if (table->n == 0)
        return;
    const struct kp_flame_frame *frame = &flame->frames[table->rows[table->selected].frame];
    kp_screen_text_cut(screen, 0, y, view->width, bold, kp_flameview_label(frame->name, view->width));
    if (is_short)
        return;
    snprintf(line, sizeof line, "%" PRIu32 " of %" PRIu32 ", by %s", table->selected + 1, table->n,
        orders[table->order]);
    int x = kp_screen_text_cut(screen, 0, y + 1, view->width, plain, line) + 2;
    kp_screen_text_tail(screen, x, y + 1, view->width - x, dim, frame->file);
}

static void add_search(const struct kp_flameview *view, struct kp_strbuf *out)
{
    const struct kp_flame *flame = view->flame;
    const struct kp_search *search = &view->search;
    uint32_t n = kp_search_count(view);
    if (!search->is_active)
        return;
    kp_strbuf_addf(out, "%" PRIu32 " %s", n, n == 1 ? "place" : "places");
    if (n == 0)
        return;
    kp_strbuf_adds(out, ", ");
    add_share(out, search->value, flame->total);
    if (flame->is_diff) {
        kp_strbuf_adds(out, ", before ");
        add_share(out, search->base, flame->base_total);
    }
    if (!view->is_table && kp_search_matches(view, view->selected))
        kp_strbuf_addf(out, ", this is %" PRIu32, kp_search_number(view, view->selected));
}

static void draw_hint(const struct kp_flameview *view, struct kp_screen *screen, int y)
{
    const struct kp_search *search = &view->search;
    kp_auto_strbuf found;
    kp_strbuf_init(&found, KP_TEXT_LINE);
    add_search(view, &found);
    if (view->is_prompt || search->is_active) {
        const char *text =
            search->only != KP_FLAME_NO_FRAME ? view->flame->frames[search->only].name : search->text;
        int room = view->width - (int)found.len - 3;
        int x = kp_screen_text(screen, 0, y, 1, bold, search->only != KP_FLAME_NO_FRAME ? "=" : "/");
        x += kp_screen_text_tail(screen, x, y, room > 6 ? room : view->width - 2, bold, text);
        if (view->is_prompt)
            kp_screen_fill(screen, x, y, 1, (struct kp_style){.flags = KP_STYLE_REVERSE});
        draw_right(screen, y, x + 1, plain, view->message[0] != '\0' ? view->message : found.data);
        return;
    }
    const char *hint = view->is_table
                           ? "Enter its place  s sort  / search  Tab graph  ? help  q quit"
                           : "arrows move  Enter zoom  Esc out  / search  Tab table  ? help  q quit";
    kp_screen_text_cut(screen, 0, y, view->width, view->message[0] != '\0' ? bold : dim,
        view->message[0] != '\0' ? view->message : hint);
}

void kp_flameview_draw(struct kp_flameview *view, struct kp_screen *screen)
{
    struct kp_flameview_lines lines = kp_flameview_lines(view);
    kp_screen_clear(screen);
    if (view->is_table)
        kp_flametable_draw(view, screen);
    else
        draw_graph(view, screen);
    if (lines.title >= 0)
        draw_title(view, screen, lines.title);
    if (lines.path >= 0 && !view->is_table)
        draw_path(view, screen, lines.path);
    if (lines.status >= 0 && view->is_table)
        draw_table_status(view, screen, lines.status, lines.n_status < 2);
    else if (lines.status >= 0)
        draw_status(view, screen, lines.status, lines.n_status < 2);
    if (lines.hint >= 0)
        draw_hint(view, screen, lines.hint);
    if (view->is_help)
        kp_flameview_draw_help(view, screen);
}
