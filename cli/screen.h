// A screen of cells: drawn anew for each frame, written as what differs from the frame before. Pure.
#ifndef KP_CLI_SCREEN_H
#define KP_CLI_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

// What a terminal understands.
enum kp_colors {
    KP_COLORS_NONE, // bold, underlined and reversed text is still used
    KP_COLORS_16,
    KP_COLORS_256,
    KP_COLORS_TRUE,
};

#define KP_SCREEN_MAX_WIDTH  1000
#define KP_SCREEN_MAX_HEIGHT 500

// A colour, with the nearest of the 16 (0 to 15) chosen by who draws. 0 is the terminal's own.
#define KP_COLOR(ansi, r, g, b)                                                                              \
    (1u << 31 | (uint32_t)(ansi) << 24 | (uint32_t)(r) << 16 | (uint32_t)(g) << 8 | (uint32_t)(b))

#define KP_STYLE_BOLD      1u
#define KP_STYLE_DIM       2u
#define KP_STYLE_UNDERLINE 4u
#define KP_STYLE_REVERSE   8u

struct kp_style {
    uint32_t fg, bg;
    unsigned flags;
};

#define KP_CELL_TEXT 15

struct kp_cell {
    char text[KP_CELL_TEXT]; // a character and its marks, not terminated
    uint8_t len;
    uint8_t width; // columns; 0: the right half of a wide one
    struct kp_style style;
};

struct kp_screen {
    int width, height;
    struct kp_cell *cells, *shown; // row by row
    bool is_known;                 // what the terminal shows
};

void kp_screen_init(struct kp_screen *screen); // of no size
void kp_screen_finish(struct kp_screen *screen);
// Within the limits above and at least 1 x 1; the next frame is written whole.
void kp_screen_resize(struct kp_screen *screen, int width, int height);
// The terminal may show anything: the next frame is written whole.
void kp_screen_forget(struct kp_screen *screen);

void kp_screen_clear(struct kp_screen *screen);
// Text from (x, y) on, at most `columns` of them; what lies outside is left out. Returns the columns used.
int kp_screen_text(
    struct kp_screen *screen, int x, int y, int columns, struct kp_style style, const char *text);
// The same, and where it does not fit its end ("the star…") or its beginning ("…rtbeat.go") makes room for an
// ellipsis.
int kp_screen_text_cut(
    struct kp_screen *screen, int x, int y, int columns, struct kp_style style, const char *text);
int kp_screen_text_tail(
    struct kp_screen *screen, int x, int y, int columns, struct kp_style style, const char *text);
void kp_screen_fill(struct kp_screen *screen, int x, int y, int columns, struct kp_style style);

// Appends what makes the terminal show the frame.
void kp_screen_flush(struct kp_screen *screen, enum kp_colors colors, struct kp_strbuf *out);

#endif
