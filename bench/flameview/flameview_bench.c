// How fast a flame graph is drawn on a terminal: for graphs of several sizes, milliseconds until it can be
// seen, of a whole frame, of a step with what it changes, and of a letter of a search; medians, on one
// thread.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "cli/flameview.h"
#include "report/flame.h"
#include "base/banned.h"

#define ROUNDS 101

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *times)
{
    qsort(times, ROUNDS, sizeof *times, compare);
    return times[ROUNDS / 2];
}

struct todo {
    uint32_t parent, n; // nodes at and below it
};

static void make_node(struct kp_flame *flame, struct todo t)
{
    uint32_t i = flame->n++;
    int64_t weight = (int64_t)t.n * 10000000;
    flame->nodes[i] = (struct kp_flame_node){
        .parent = t.parent, .frame = i - 1, .value = weight, .self = 10000000, .weight = weight};
    if (i == 0) {
        flame->nodes[0].frame = KP_FLAME_NO_FRAME;
        return;
    }
    flame->nodes[i].depth = flame->nodes[t.parent].depth + 1;
    flame->nodes[t.parent].n_children++;
    flame->frames[flame->n_frames++] = (struct kp_flame_frame){
        .name = kp_asprintf("example.com/shop/part%u.(*Server).handle%u", i % 97, i / 7),
        .file = "/src/example.com/shop/server.go",
        .package = "example.com/shop"};
}

// Each node spends six tenths in its first callee, three in the second, one in the third.
static void make(struct kp_flame *flame, uint32_t n)
{
    static const uint32_t tenths[] = {1, 3, 6};
    struct todo todo[200] = {{0, n}};
    uint32_t n_todo = 1;
    *flame = (struct kp_flame){.sample_type = "cpu", .unit = "nanoseconds", .total = (int64_t)n * 10000000};
    flame->nodes = KP_NEW_ARRAY(struct kp_flame_node, n);
    flame->frames = KP_NEW_ARRAY(struct kp_flame_frame, n);
    while (n_todo > 0) {
        struct todo t = todo[--n_todo];
        uint32_t i = flame->n, rest = t.n - 1;
        make_node(flame, t);
        for (size_t k = 0; k < KP_COUNT(tenths); k++) {
            uint32_t below = k == 2 ? rest - rest / 10 - rest * 3 / 10 : rest * tenths[k] / 10;
            if (below > 0)
                todo[n_todo++] = (struct todo){i, below};
        }
    }
}

struct sight {
    struct kp_flameview *view;
    struct kp_screen screen;
    struct kp_strbuf out;
};

static void draw(struct sight *s)
{
    kp_strbuf_clear(&s->out);
    kp_flameview_draw(s->view, &s->screen);
    kp_screen_flush(&s->screen, KP_COLORS_TRUE, &s->out);
}

static double press(struct sight *s, uint32_t rune, enum kp_key_code code)
{
    double at = now_ms();
    struct kp_key key = {.code = code, .rune = rune};
    (void)kp_flameview_key(s->view, &key);
    draw(s);
    return now_ms() - at;
}

static void measure(const struct kp_flame *flame, int width, int height)
{
    double whole[ROUNDS], step[ROUNDS], letter[ROUNDS], at = now_ms();
    struct sight s = {.view = kp_flameview_create(flame, "bench", true)};
    kp_strbuf_init(&s.out, 16 << 20);
    kp_screen_init(&s.screen);
    kp_screen_resize(&s.screen, width, height);
    kp_flameview_resize(s.view, width, height);
    draw(&s);
    double first = now_ms() - at;
    for (int i = 0; i < ROUNDS; i++) {
        at = now_ms();
        kp_flameview_resize(s.view, width, height); // the layout anew as well
        kp_screen_forget(&s.screen);
        draw(&s);
        whole[i] = now_ms() - at;
    }
    size_t bytes = s.out.len;
    for (int i = 0; i < ROUNDS; i++)
        step[i] = press(&s, i % 40 < 20 ? 'j' : 'k', KP_KEY_RUNE);
    size_t step_bytes = s.out.len;
    press(&s, '/', KP_KEY_RUNE);
    for (int i = 0; i < ROUNDS; i++)
        letter[i] = i % 2 == 0 ? press(&s, 'h', KP_KEY_RUNE) : press(&s, 0, KP_KEY_BACKSPACE);
    printf("%7u nodes  %3d x %3d  first %7.2f  whole frame %.3f (%zu bytes)  step %.3f (%zu bytes)  letter "
           "%.2f\n",
        flame->n, width, height, first, median(whole), bytes, median(step), step_bytes, median(letter));
    kp_strbuf_finish(&s.out);
    kp_screen_finish(&s.screen);
    kp_flameview_destroy(s.view);
}

int main(void)
{
    static const uint32_t sizes[] = {5000, 100000, 1000000};
    for (size_t i = 0; i < KP_COUNT(sizes); i++) {
        struct kp_flame flame;
        make(&flame, sizes[i]);
        measure(&flame, 80, 24);
        measure(&flame, 240, 70);
        kp_free(flame.nodes);
        for (uint32_t k = 0; k < flame.n_frames; k++)
            kp_free((void *)(uintptr_t)flame.frames[k].name);
        kp_free(flame.frames);
    }
    return 0;
}
