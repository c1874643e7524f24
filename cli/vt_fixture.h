// A small terminal for tests: bytes in, what would be seen out.
#ifndef KP_CLI_VT_FIXTURE_H
#define KP_CLI_VT_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "cli/glyph.h"

#define KP_VT_WIDTH  300
#define KP_VT_HEIGHT 120

struct kp_vt {
    int width, height, x, y;
    char text[KP_VT_HEIGHT][KP_VT_WIDTH][16]; // "" is the right half of a wide character
    char style[KP_VT_HEIGHT][KP_VT_WIDTH][48];
    char pen[48];
    bool is_alternate, has_cursor, wraps, has_mouse, has_color;
    char pending[64]; // of a sequence or character that is not complete
    size_t n_pending;
};

static inline void kp_vt_clear(struct kp_vt *vt)
{
    for (int y = 0; y < KP_VT_HEIGHT; y++)
        for (int x = 0; x < KP_VT_WIDTH; x++) {
            memcpy(vt->text[y][x], " ", 2);
            vt->style[y][x][0] = '\0';
        }
}

static inline void kp_vt_init(struct kp_vt *vt, int width, int height)
{
    memset(vt, 0, sizeof *vt);
    vt->width = width;
    vt->height = height;
    vt->has_cursor = vt->wraps = true;
    kp_vt_clear(vt);
}

static inline void kp_vt_mode(struct kp_vt *vt, int mode, bool is_on)
{
    switch (mode) {
    case 7:
        vt->wraps = is_on;
        break;
    case 25:
        vt->has_cursor = is_on;
        break;
    case 1000:
    case 1006:
        vt->has_mouse = is_on;
        break;
    case 1049:
        vt->is_alternate = is_on;
        vt->x = vt->y = 0;
        kp_vt_clear(vt);
        break;
    default:
        fail_msg("mode %d is not known to all terminals", mode);
    }
}

static inline void kp_vt_pen(struct kp_vt *vt, const char *params, size_t n)
{
    assert_true(n < sizeof vt->pen && n > 0 && params[0] == '0');
    memcpy(vt->pen, params + 1, n - 1);
    vt->pen[n - 1] = '\0';
    for (const char *p = vt->pen; (p = strchr(p, ';')) != NULL; p++)
        vt->has_color |= strtol(p + 1, NULL, 10) >= 30;
}

static inline void kp_vt_sequence(struct kp_vt *vt, const char *s, size_t n)
{
    char last = s[n - 1];
    char *end;
    if (last == 'H') {
        vt->y = (int)strtol(s + 2, &end, 10) - 1;
        vt->x = (int)strtol(end + 1, NULL, 10) - 1;
        assert_true(vt->x >= 0 && vt->x < vt->width && vt->y >= 0 && vt->y < vt->height);
    } else if (last == 'J') {
        kp_vt_clear(vt);
    } else if (last == 'm') {
        kp_vt_pen(vt, s + 2, n - 3);
    } else if ((last == 'h' || last == 'l') && s[2] == '?') {
        kp_vt_mode(vt, (int)strtol(s + 3, NULL, 10), last == 'h');
    } else {
        fail_msg("a sequence that ends with %c", last);
    }
}

static inline void kp_vt_put(struct kp_vt *vt, int x, const char *text)
{
    char(*row)[16] = vt->text[vt->y];
    if (row[x][0] == '\0' && x > 0)
        memcpy(row[x - 1], " ", 2);
    if (x + 1 < vt->width && row[x + 1][0] == '\0')
        memcpy(row[x + 1], " ", 2);
    memcpy(row[x], text, strlen(text) + 1);
    memcpy(vt->style[vt->y][x], vt->pen, sizeof vt->pen);
}

static inline void kp_vt_glyph(struct kp_vt *vt, const struct kp_glyph *g)
{
    int last = vt->x > 0 && vt->text[vt->y][vt->x - 1][0] == '\0' ? vt->x - 2 : vt->x - 1;
    if (g->width == 0) {
        char *text = vt->text[vt->y][last];
        assert_true(last >= 0 && strlen(text) + g->len < 16);
        memcpy(text + strlen(text), g->text, g->len + 1);
        return;
    }
    if (vt->wraps && vt->x + g->width > vt->width) {
        vt->x = 0;
        vt->y += vt->y + 1 < vt->height;
    }
    assert_true(vt->x + g->width <= vt->width);
    kp_vt_put(vt, vt->x, g->text);
    if (g->width == 2) {
        kp_vt_put(vt, vt->x + 1, " ");
        vt->text[vt->y][vt->x + 1][0] = '\0';
        memcpy(vt->text[vt->y][vt->x], g->text, g->len + 1);
    }
    vt->x += g->width;
}

static inline void kp_vt_byte(struct kp_vt *vt, char c)
{
    vt->pending[vt->n_pending++] = c;
    assert_true(vt->n_pending < sizeof vt->pending);
    size_t n = vt->n_pending;
    if (vt->pending[0] == '\x1b') {
        if (n > 2 && c >= 0x40 && c <= 0x7e) {
            vt->pending[n] = '\0';
            kp_vt_sequence(vt, vt->pending, n);
            vt->n_pending = 0;
        }
        assert_true(n < 2 || vt->pending[1] == '[');
        return;
    }
    struct kp_glyph g;
    unsigned char first = (unsigned char)vt->pending[0];
    size_t want = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (n < want)
        return;
    assert_true(first >= 0x20 && first != 0x7f); // no controls
    assert_int_equal(kp_glyph_next(vt->pending, n, &g), n);
    kp_vt_glyph(vt, &g);
    vt->n_pending = 0;
}

static inline void kp_vt_feed(struct kp_vt *vt, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        kp_vt_byte(vt, bytes[i]);
}

// Lines without the spaces at their ends. Free it.
static inline char *kp_vt_text(const struct kp_vt *vt)
{
    struct kp_strbuf out;
    kp_strbuf_init(&out, 1 << 20);
    for (int y = 0; y < vt->height; y++) {
        for (int x = 0; x < vt->width; x++)
            kp_strbuf_adds(&out, vt->text[y][x]);
        while (out.len > 0 && out.data[out.len - 1] == ' ')
            out.data[--out.len] = '\0';
        kp_strbuf_addc(&out, '\n');
    }
    return kp_strbuf_take(&out, NULL);
}

#endif
