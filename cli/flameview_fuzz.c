// Any graph, looked at with any keys in any size: no crash, and a screen that holds together.
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/flameview_private.h"
#include "base/banned.h"

#define MAX_NODES 200
#define MAX_KEYS  400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

struct input {
    const uint8_t *data;
    size_t n;
};

static uint8_t take(struct input *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->data++;
}

// A tree in preorder: each byte says how far up the caller of the next node is. Children weigh what is left
// of their caller at the most, the heaviest first.
static void make_nodes(struct input *in, struct kp_flame *flame, uint32_t n)
{
    int64_t last[MAX_NODES]; // weight of the last child of each node
    int64_t left[MAX_NODES];
    flame->nodes[0] = (struct kp_flame_node){.frame = KP_FLAME_NO_FRAME, .value = 1000, .weight = 1000};
    last[0] = left[0] = 1000;
    for (flame->n = 1; flame->n < n; flame->n++) {
        uint32_t parent = flame->n - 1, i = flame->n;
        for (uint8_t up = take(in) % 6; up > 0 && parent > 0; up--)
            parent = flame->nodes[parent].parent;
        int64_t most = left[parent] < last[parent] ? left[parent] : last[parent],
                weight = most * take(in) / 255;
        left[parent] -= weight;
        last[parent] = weight;
        left[i] = last[i] = weight;
        flame->nodes[parent].n_children++;
        flame->nodes[i] = (struct kp_flame_node){.parent = parent,
            .frame = take(in) % flame->n_frames,
            .depth = flame->nodes[parent].depth + 1,
            .n_cut = weight % 7 == 0,
            .value = flame->is_diff ? weight / 2 : weight,
            .base = flame->is_diff ? weight - weight / 2 : 0,
            .self = weight / 3,
            .weight = weight};
    }
}

static void make(struct input *in, struct kp_flame *flame)
{
    static const char *const names[] = {"main.main", "example.com/a/b.(*T).f[x/y]", "",
        "\xe6\xbc\xa2\xe5\xad\x97", "\x1b[31m\r\n", "e\xcc\x81\xcc\x81", "\xf0\x9f\x94\xa5", "\xff\xfe",
        "runtime.gcBgMarkWorker"};
    uint8_t options = take(in);
    flame->is_diff = options & 1;
    flame->total = 1000;
    flame->base_total = options & 2 ? 500 : 0;
    flame->sample_type = "cpu";
    flame->unit = options & 4 ? "nanoseconds" : "bytes";
    flame->nodes = KP_NEW_ARRAY(struct kp_flame_node, MAX_NODES);
    flame->frames = KP_NEW_ARRAY(struct kp_flame_frame, 16);
    for (; flame->n_frames < 16; flame->n_frames++) {
        const char *name = names[flame->n_frames % KP_COUNT(names)];
        flame->frames[flame->n_frames] =
            (struct kp_flame_frame){name, flame->n_frames % 3 ? name : "", name, flame->n_frames};
    }
    make_nodes(in, flame, 1 + take(in) % MAX_NODES);
}

// Cells hold no controls, a wide one has its right half, nothing is outside.
static void check_screen(const struct kp_screen *screen)
{
    for (int y = 0; y < screen->height; y++)
        for (int x = 0; x < screen->width; x++) {
            const struct kp_cell *cell = &screen->cells[y * screen->width + x];
            check(cell->len <= KP_CELL_TEXT && (cell->width > 0) == (cell->len > 0));
            check(kp_utf8_valid(cell->text, cell->len));
            for (int i = 0; i < cell->len; i++)
                check((unsigned char)cell->text[i] >= 0x20 && cell->text[i] != 0x7f);
            if (cell->width == 2)
                check(x + 1 < screen->width && cell[1].width == 0);
            if (cell->width == 0)
                check(x > 0 && cell[-1].width == 2);
        }
}

static void check_rows(struct kp_flameview *view)
{
    int rows = kp_layout_rows(view, MAX_NODES + 1);
    check(rows >= 1 && view->top >= 0 && view->top < rows);
    for (int row = 0; row < rows; row++) {
        size_t n;
        const struct kp_span *spans = kp_layout_row(view, row, &n);
        int x = 0;
        for (size_t i = 0; i < n; i++) {
            check(spans[i].x >= x && spans[i].width > 0 && spans[i].node < spans[i].end);
            check(kp_layout_row_of(view, spans[i].node) == row);
            check(i == 0 || spans[i].node >= spans[i - 1].end);
            x = spans[i].x + spans[i].width;
        }
        check(x <= view->width);
    }
}

static void check_view(struct kp_flameview *view, struct kp_screen *screen, struct kp_strbuf *out)
{
    kp_flameview_draw(view, screen);
    check_screen(screen);
    check_rows(view);
    check(kp_flameview_is_below(view, view->selected, kp_flameview_zoom(view)));
    check(view->zooms.n <= MAX_NODES && view->zooms.items[0] == 0);
    for (size_t i = 1; i < view->zooms.n; i++)
        check(kp_flameview_is_below(view, view->zooms.items[i], view->zooms.items[i - 1]));
    check(view->table.n == 0 || view->table.selected < view->table.n);
    check(kp_utf8_valid(view->search.text, strlen(view->search.text)));
    kp_strbuf_clear(out);
    kp_screen_flush(screen, KP_COLORS_256, out);
    check(!out->overflow && kp_utf8_valid(out->data, out->len));
    kp_strbuf_clear(out);
    kp_screen_flush(screen, KP_COLORS_256, out);
    check(out->len == 0);
}

static void resize(struct kp_flameview *view, struct kp_screen *screen, int width, int height)
{
    kp_flameview_resize(view, width, height);
    kp_screen_resize(screen, width, height);
}

// 0xff, which no terminal sends, changes the size.
static void run(struct input *in, struct kp_flameview *view, struct kp_screen *screen, struct kp_strbuf *out)
{
    struct kp_keys keys = {0};
    struct kp_key got[2];
    for (int i = 0; in->n > 0 && i < MAX_KEYS; i++) {
        uint8_t byte = take(in);
        if (byte == 0xff) {
            int width = take(in) % 70, height = take(in) % 20;
            resize(view, screen, width, height);
            check_view(view, screen, out);
            continue;
        }
        size_t n = byte == 0xfe ? kp_keys_timeout(&keys, got) : kp_keys_add(&keys, byte, got);
        check(n <= 2 && keys.n < KP_KEYS_MAX);
        for (size_t k = 0; k < n; k++)
            (void)kp_flameview_key(view, &got[k]);
        if (n > 0)
            check_view(view, screen, out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct kp_flame flame = {0};
    struct kp_screen screen;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 1 << 20);
    make(&in, &flame);
    struct kp_flameview *view = kp_flameview_create(&flame, "fuzz \x1b[2J \xe6\xbc\xa2", size % 2 == 0);
    kp_screen_init(&screen);
    resize(view, &screen, 30, 12);
    check_view(view, &screen, &out);
    run(&in, view, &screen, &out);
    kp_flameview_destroy(view);
    kp_screen_finish(&screen);
    kp_free(flame.nodes);
    kp_free(flame.frames);
    return 0;
}
