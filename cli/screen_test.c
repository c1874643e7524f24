#include "cli/vt_fixture.h"

#include "cli/screen.h"
#include "base/banned.h"

static struct kp_vt vt;

// Draws the frame on the small terminal and compares each cell.
static size_t show(struct kp_screen *screen, enum kp_colors colors)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 1 << 20);
    kp_screen_flush(screen, colors, &out);
    kp_vt_feed(&vt, out.data, out.len);
    assert_string_equal(vt.pen, "");
    for (int y = 0; y < screen->height; y++)
        for (int x = 0; x < screen->width; x++) {
            const struct kp_cell *cell = &screen->cells[y * screen->width + x];
            assert_int_equal(strlen(vt.text[y][x]), cell->len);
            assert_memory_equal(vt.text[y][x], cell->text, cell->len);
        }
    return out.len;
}

static void begin(struct kp_screen *screen, int width, int height)
{
    kp_vt_init(&vt, width, height);
    kp_screen_init(screen);
    kp_screen_resize(screen, width, height);
}

#define PLAIN ((struct kp_style){0})

static void test_cut(void **state)
{
    (void)state;
    struct kp_screen s;
    begin(&s, 20, 6);
    assert_int_equal(kp_screen_text_cut(&s, 0, 0, 6, PLAIN, "abcdefgh"), 6);
    assert_int_equal(kp_screen_text_cut(&s, 0, 1, 8, PLAIN, "abcdefgh"), 8);
    assert_int_equal(kp_screen_text_tail(&s, 0, 2, 6, PLAIN, "abcdefgh"), 6);
    assert_int_equal(kp_screen_text_cut(&s, 0, 3, 4, PLAIN, "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2"), 3);
    assert_int_equal(kp_screen_text_cut(&s, 0, 4, 0, PLAIN, "abc"), 0);
    assert_int_equal(kp_screen_text(&s, 17, 5, 20, PLAIN, "abcdefgh"), 3);
    kp_screen_text(&s, 3, 9, 20, PLAIN, "outside");
    kp_screen_text(&s, -2, 4, 20, PLAIN, "abc");
    show(&s, KP_COLORS_NONE);
    kp_auto_free char *text = kp_vt_text(&vt);
    assert_string_equal(text, "abcde\xe2\x80\xa6\nabcdefgh\n\xe2\x80\xa6"
                              "defgh\n\xe6\xbc\xa2\xe2\x80\xa6\nc\n                 abc\n");
    kp_screen_finish(&s);
}

static void test_no_controls(void **state)
{
    (void)state;
    struct kp_screen s;
    begin(&s, 20, 1);
    kp_screen_text(&s, 0, 0, 20, PLAIN,
        "a\x1b[31m\r\n\t\x7f\xc2\x9b\xe2\x80\xae\xff"
        "b");
    show(&s, KP_COLORS_NONE);
    kp_auto_free char *text = kp_vt_text(&vt);
#define R "\xef\xbf\xbd"
    assert_string_equal(text, "a" R "[31m" R R R R R R R "b\n");
    kp_screen_finish(&s);
}

static void test_marks(void **state)
{
    (void)state;
    struct kp_screen s;
    begin(&s, 8, 2);
    assert_int_equal(kp_screen_text(&s, 0, 0, 8, PLAIN, "e\xcc\x81\xe6\xbc\xa2\xcc\x81x"), 4);
    kp_screen_text(&s, 0, 1, 8, PLAIN, "\xcc\x81"); // nothing to stand on
    kp_screen_text(&s, 1, 1, 8, PLAIN,
        "a\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81"); // more than a cell
                                                                                      // holds
    show(&s, KP_COLORS_NONE);
    assert_string_equal(vt.text[0][0], "e\xcc\x81");
    assert_string_equal(vt.text[0][1], "\xe6\xbc\xa2\xcc\x81");
    assert_string_equal(vt.text[0][3], "x");
    kp_screen_finish(&s);
}

static void test_colors(void **state)
{
    (void)state;
    static const struct {
        enum kp_colors colors;
        const char *style;
    } cases[] = {
        {KP_COLORS_NONE, ";1"},
        {KP_COLORS_16, ";1;31;102"},
        {KP_COLORS_256, ";1;38;5;196;48;5;157"},
        {KP_COLORS_TRUE, ";1;38;2;255;0;0;48;2;168;235;168"},
    };
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        struct kp_screen s;
        begin(&s, 3, 1);
        struct kp_style style = {KP_COLOR(1, 255, 0, 0), KP_COLOR(10, 168, 235, 168), KP_STYLE_BOLD};
        kp_screen_text(&s, 1, 0, 3, style, "x");
        show(&s, cases[i].colors);
        assert_string_equal(vt.style[0][1], cases[i].style);
        assert_string_equal(vt.style[0][0], "");
        assert_int_equal(vt.has_color, cases[i].colors != KP_COLORS_NONE);
        kp_screen_finish(&s);
    }
}

static void test_only_what_differs(void **state)
{
    (void)state;
    struct kp_screen s;
    begin(&s, 80, 24);
    kp_screen_text(&s, 0, 5, 80, PLAIN, "a line of text");
    assert_true(show(&s, KP_COLORS_NONE) < 60);
    assert_int_equal(show(&s, KP_COLORS_NONE), 0);
    kp_screen_clear(&s);
    kp_screen_text(&s, 0, 5, 80, PLAIN, "a lime of text");
    assert_int_equal(show(&s, KP_COLORS_NONE), strlen("\x1b[6;5Hm"));
    kp_screen_forget(&s);
    kp_vt_feed(&vt, "\x1b[1;1Hsomebody else", 19);
    show(&s, KP_COLORS_NONE);
    kp_screen_finish(&s);
}

// Frames at random, wide characters beside and over each other: what is written always makes the same
// picture.
static void test_random_frames(void **state)
{
    (void)state;
    static const char *const texts[] = {"a", "bc", "\xe6\xbc\xa2", "\xe5\xad\x97\xe6\xbc\xa2", "e\xcc\x81",
        "\xe2\x80\xa6", "    ", "xyzxyzxyz"};
    struct kp_screen s;
    uint32_t dice = 12345;
    begin(&s, 13, 3);
    for (int i = 0; i < 3000; i++) {
        if (i % 7 == 0)
            kp_screen_clear(&s);
        for (int k = 0; k < 4; k++) {
            dice = dice * 1664525 + 1013904223;
            struct kp_style style = {.bg = dice >> 30 ? KP_COLOR(1, 9, 9, 9) : 0};
            kp_screen_text(
                &s, (int)(dice >> 8 & 15) - 1, (int)(dice >> 12 & 3), 13, style, texts[dice >> 16 & 7]);
        }
        show(&s, KP_COLORS_TRUE);
    }
    kp_screen_finish(&s);
}

static void test_limits(void **state)
{
    (void)state;
    struct kp_screen s;
    kp_screen_init(&s);
    kp_screen_resize(&s, 65535, 65535);
    assert_int_equal(s.width, KP_SCREEN_MAX_WIDTH);
    assert_int_equal(s.height, KP_SCREEN_MAX_HEIGHT);
    kp_screen_resize(&s, 0, -3);
    assert_int_equal(s.width * s.height, 1);
    kp_screen_text(&s, 0, 0, 5, PLAIN, "\xe6\xbc\xa2");
    kp_screen_finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_no_controls),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_colors),
        cmocka_unit_test(test_only_what_differs),
        cmocka_unit_test(test_random_frames),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
