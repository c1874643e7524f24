// The keys, told over the graph.
#include "cli/flameview_private.h"
#include "cli/glyph.h"
#include "base/banned.h"

static const struct {
    const char *keys, *what;
} rows[] = {
    {"arrows, hjkl", "to the caller, the heaviest callee, the neighbours"},
    {"Enter", "zoom in; in the table: to the function's place"},
    {"Esc, Backspace", "end the search, zoom out"},
    {"r", "zoom out all the way"},
    {"PgUp, PgDn", "many rows; g and G: first and last"},
    {"/", "search names and files: text or an expression"},
    {"n, N", "next and previous place that matches"},
    {"Tab", "table of functions, and back; s: sort it"},
    {"mouse", "click selects, again zooms; the wheel scrolls"},
    {"q", "quit"},
};

#define KEYS  16 // columns
#define WIDTH 68

// Without room for a box around it the list takes the whole screen.
void kp_flameview_draw_help(const struct kp_flameview *view, struct kp_screen *screen)
{
    int width = view->width < WIDTH ? view->width : WIDTH, height = (int)KP_COUNT(rows) + 2;
    int x = (view->width - width) / 2, y = view->height > height ? (view->height - height) / 2 : 0;
    struct kp_style box = {.flags = KP_STYLE_REVERSE}, keys = {.flags = KP_STYLE_REVERSE | KP_STYLE_BOLD};
    for (int i = 0; i < height && y + i < view->height; i++) {
        kp_screen_fill(screen, x, y + i, width, box);
        bool is_edge = view->height > height && (i == 0 || i == height - 1);
        int row = view->height > height ? i - 1 : i;
        if (is_edge || row >= (int)KP_COUNT(rows))
            continue;
        int at = x + 1 + KEYS;
        kp_screen_text_cut(screen, x + 1, y + i, width - 2, keys, rows[row].keys);
        kp_screen_text_cut(screen, at, y + i, width - 1 - KEYS, box, rows[row].what);
    }
}
