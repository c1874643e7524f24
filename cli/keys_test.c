#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "cli/keys.h"
#include "base/banned.h"

static void add(struct kp_strbuf *out, const struct kp_key *keys, size_t n)
{
    static const char *const names[] = {"none", "", "enter", "esc", "tab", "backspace", "delete", "up",
        "down", "left", "right", "home", "end", "pgup", "pgdn", "click", "wheelup", "wheeldown"};
    for (size_t i = 0; i < n; i++) {
        kp_strbuf_addf(out, "%s%s", out->len > 0 ? " " : "", names[keys[i].code]);
        if (keys[i].code == KP_KEY_RUNE)
            kp_strbuf_addf(out, "U+%X", keys[i].rune);
        if (keys[i].code == KP_KEY_CLICK)
            kp_strbuf_addf(out, "@%d,%d", keys[i].x, keys[i].y);
    }
}

// Bytes with a timeout behind them.
static void assert_keys(const char *bytes, size_t n, const char *expected)
{
    struct kp_keys keys = {0};
    struct kp_key got[2];
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 4096);
    for (size_t i = 0; i < n; i++)
        add(&out, got, kp_keys_add(&keys, (unsigned char)bytes[i], got));
    if (kp_keys_is_pending(&keys))
        add(&out, got, kp_keys_timeout(&keys, got));
    assert_false(kp_keys_is_pending(&keys));
    assert_string_equal(out.data, expected);
}

#define KEYS(bytes, expected) assert_keys(bytes, sizeof(bytes) - 1, expected)

static void test_keys(void **state)
{
    (void)state;
    KEYS("q/", "U+71 U+2F");
    KEYS("\r\n\t\x7f\b", "enter enter tab backspace backspace");
    KEYS("\x1b[A\x1b[B\x1b[C\x1b[D", "up down right left");
    KEYS("\x1bOA\x1bOB\x1bOH\x1bOF\x1bOM", "up down home end enter");
    KEYS("\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[7~\x1b[8~\x1b[3~\x1b[5~\x1b[6~",
        "home end home end home end delete pgup pgdn");
    KEYS("\x1b[1;5A\x1b[5;2~", "up pgup"); // with Ctrl, Shift
    KEYS("\x03\x0c\x15", "U+3 U+C U+15");
}

static void test_esc(void **state)
{
    (void)state;
    KEYS("\x1b", "esc");
    KEYS("\x1b\x1b", "esc esc");
    KEYS("\x1b\x1b[A", "esc up");
    KEYS("\x1bxq\x1b\t\x1b\xc3\xa9", "esc U+78 U+71 esc tab esc U+E9");
    KEYS("\x1b[12", ""); // cut off
    KEYS("\x1b[12\x1b[B", "down");
    KEYS("\x1b[20~\x1b[Zq", "U+71"); // F9, Shift with Tab
}

static void test_mouse(void **state)
{
    (void)state;
    KEYS("\x1b[<0;5;7M\x1b[<0;5;7m", "click@4,6");
    KEYS("\x1b[<64;1;1M\x1b[<65;1;1M", "wheelup wheeldown");
    KEYS("\x1b[<2;5;7M\x1b[<0;0;7M\x1b[<0;5M\x1b[<M\x1b[<;;M", "");
    KEYS("\x1b[<0;99999999999;7Mq", "click@9998,6 U+71");
    KEYS("\x1b[M !!q\x1b[M \x1b\x1bq", "U+71 U+71"); // the old form
}

static void test_utf8(void **state)
{
    (void)state;
    KEYS("\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x94\xa5", "U+E9 U+6F22 U+1F525");
    KEYS("\xc3q\xe6\xbcq", "U+71 U+71"); // cut off
    KEYS("\xff\x80\xc0\xaf\xed\xa0\x80q", "U+71");
    KEYS("\xe6\xbc\x1b[A", "up");
}

static void test_too_long(void **state)
{
    (void)state;
    char bytes[200] = "\x1b[";
    memset(bytes + 2, '1', 180);
    memcpy(bytes + 182, "~q", 3);
    assert_keys(bytes, strlen(bytes), "U+71");
    memset(bytes + 2, '\0', 180);
    assert_keys(bytes, 184, "U+71");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_esc),
        cmocka_unit_test(test_mouse),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
