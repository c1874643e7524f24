// Characters as a terminal shows them: how many columns each takes, and which must never get there.
#ifndef KP_CLI_GLYPH_H
#define KP_CLI_GLYPH_H

#include <stddef.h>
#include <stdint.h>

struct kp_glyph {
    char text[5]; // UTF-8, terminated
    uint8_t len;
    uint8_t width; // columns: 0 (belongs to the character before), 1 or 2
};

// The first character of s (len > 0 bytes are there); returns the bytes it took. Controls, what reorders text
// and what is no UTF-8 become U+FFFD.
size_t kp_glyph_next(const char *s, size_t len, struct kp_glyph *ret);

// Columns of a text.
size_t kp_glyph_columns(const char *text);
// How many of its bytes fit into that many columns.
size_t kp_glyph_fit(const char *text, size_t columns);
// Where its last so many columns begin.
const char *kp_glyph_tail(const char *text, size_t columns);

#endif
