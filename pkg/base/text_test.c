#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

static void test_comparisons(void **state)
{
    (void)state;
    assert_true(kp_streq("a", "a"));
    assert_true(kp_streq(NULL, NULL));
    assert_false(kp_streq("a", NULL));
    assert_false(kp_streq(NULL, ""));
    assert_true(kp_starts_with("abc", "ab"));
    assert_true(kp_starts_with("abc", ""));
    assert_false(kp_starts_with("ab", "abc"));
    assert_true(kp_ends_with("abc", "bc"));
    assert_true(kp_ends_with("abc", ""));
    assert_false(kp_ends_with("bc", "abc"));
    assert_true(kp_has_word("top tree", "tree"));
    assert_false(kp_has_word("top tree", "tre"));
    assert_false(kp_has_word("top tree", "top tree"));
    assert_false(kp_has_word("", ""));
}

static void test_copy(void **state)
{
    (void)state;
    char out[4] = "xxx";
    assert_true(kp_copy(out, sizeof out, "abc"));
    assert_string_equal(out, "abc");
    assert_false(kp_copy(out, sizeof out, "abcd"));
    assert_string_equal(out, "abc");
    assert_true(kp_copy(out, 1, ""));
    assert_string_equal(out, "");
}

static void test_int(void **state)
{
    (void)state;
    int64_t v = 0;
    assert_int_equal(kp_parse_int("0", 0, 9, &v, NULL), 0);
    assert_int_equal(v, 0);
    assert_int_equal(kp_parse_int("-9223372036854775808", INT64_MIN, INT64_MAX, &v, NULL), 0);
    assert_true(v == INT64_MIN);
    assert_int_equal(kp_parse_int("9223372036854775807", 0, INT64_MAX, &v, NULL), 0);
    assert_true(v == INT64_MAX);
    assert_int_equal(kp_parse_int("007", 0, 9, &v, NULL), 0);
    assert_int_equal(v, 7);
    static const char *const wrong[] = {"", "-", "+1", "1 ", " 1", "1x", "0x1", "1.0", "-1", "-0", "101",
        "9223372036854775808", "99999999999999999999999999", "--1"};
    for (size_t i = 0; i < KP_COUNT(wrong); i++) {
        struct kp_error err = {0};
        v = 77;
        if (kp_parse_int(wrong[i], 0, 100, &v, &err) != KP_INVALID)
            fail_msg("'%s' was taken", wrong[i]);
        assert_int_equal(v, 77);
        assert_true(strlen(err.text) > 0);
    }
    struct kp_error err = {0};
    assert_int_equal(kp_parse_int("101", 1, 100, &v, &err), KP_INVALID);
    assert_string_equal(err.text, "'101' is not between 1 and 100");
    kp_error_clear(&err);
    assert_int_equal(kp_parse_int("-1", 0, 100, &v, &err), KP_INVALID);
    assert_string_equal(err.text, "'-1' is not between 0 and 100");
}

static void test_bool(void **state)
{
    (void)state;
    static const char *const yes[] = {"true", "1", "yes", "on", "True"}, *const no[] = {"false", "0", "no",
                                                                             "off", "FALSE"};
    for (size_t i = 0; i < KP_COUNT(yes); i++) {
        bool v = false;
        assert_int_equal(kp_parse_bool(yes[i], &v, NULL), 0);
        assert_true(v);
        assert_int_equal(kp_parse_bool(no[i], &v, NULL), 0);
        assert_false(v);
    }
    bool v = true;
    assert_int_equal(kp_parse_bool("", &v, NULL), KP_INVALID);
    assert_int_equal(kp_parse_bool("y", &v, NULL), KP_INVALID);
    assert_int_equal(kp_parse_bool("true ", &v, NULL), KP_INVALID);
    assert_true(v);
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
        "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\302a", "\xe0\x9f\xbf",
        "\xed\xa0\x80", "\xef\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
        "a\xfe"};
    for (size_t i = 0; i < KP_COUNT(good); i++)
        assert_true(kp_utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < KP_COUNT(bad); i++)
        assert_false(kp_utf8_valid(bad[i], strlen(bad[i])));
    assert_true(kp_utf8_valid("a\0b", 3));
    assert_int_equal(kp_utf8_rune("~", 1), 0x7e);
    assert_int_equal(kp_utf8_rune("\xdf\xbf", 2), 0x7ff);
    assert_int_equal(kp_utf8_rune("\xef\xbf\xbf", 3), 0xffff);
    assert_int_equal(kp_utf8_rune("\xf4\x8f\xbf\xbf", 4), 0x10ffff);
}

static void test_url_decode(void **state)
{
    (void)state;
    char out[32];
    assert_true(kp_url_decode("a%20b%2Fc%2f%C3%A9+", 19, out));
    assert_string_equal(out, "a b/c/\xc3\xa9+"); // plus stays: this is no form
    assert_true(kp_url_decode("%41bc", 3, out)); // as long as it is told
    assert_string_equal(out, "A");
    static const char *const bad[] = {"%", "%4", "a%", "%zz", "%4g", "%-1", "%00", "%%"};
    for (size_t i = 0; i < KP_COUNT(bad); i++)
        if (kp_url_decode(bad[i], strlen(bad[i]), out))
            fail_msg("'%s' was taken", bad[i]);
    assert_false(kp_url_decode("a\0b", 3, out));
    char inplace[] = "x%41";
    assert_true(kp_url_decode(inplace, 4, inplace));
    assert_string_equal(inplace, "xA");
}

static void printable(size_t size, const char *text, const char *want)
{
    char *out = kp_alloc(size); // so that AddressSanitizer sees a byte too many
    assert_string_equal(kp_printable(out, size, text, strlen(text)), want);
    kp_free(out);
}

static void test_printable(void **state)
{
    (void)state;
    printable(64, "plain", "plain");
    printable(64, "two\nlines\r\x1b[31m\x7f", "two lines  [31m ");
    printable(64,
        "\xc3\xa9 \xff \xc2\x9b"
        "31m",
        "\xc3\xa9 ?  31m");
    printable(16, "0123456789abcdef", "0123456789ab...");
    printable(16, "0123456789abcde", "0123456789abcde");
    printable(32, "a\u202eb\u2069c\u2030d", "a b c\u2030d");           // no text runs backwards
    printable(16, "01234567890\xf0\x9f\x98\x80xyz", "01234567890..."); // no character is cut
    printable(17, "012345678\xf0\x9f\x98\x80xyz", "012345678\xf0\x9f\x98\x80xyz");
    printable(4, "abc", "abc");
    printable(4, "abcd", "...");
    printable(2, "abc", ".");
    printable(1, "abc", "");
    printable(1, "", "");
}

static void test_edit_distance(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        size_t distance;
    } rows[] = {{"", "", 0}, {"cpu", "cpu", 0}, {"cpuu", "cpu", 1}, {"", "cpu", 3}, {"heap", "hepa", 2},
        {"goroutines", "goroutine", 1}, {"kitten", "sitting", 3}, {"mutex", "block", 5}};
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        assert_int_equal(kp_edit_distance(rows[i].a, rows[i].b), rows[i].distance);
        assert_int_equal(kp_edit_distance(rows[i].b, rows[i].a), rows[i].distance);
    }
    char text[KP_EDIT_MAX + 2];
    memset(text, 'x', sizeof text);
    text[KP_EDIT_MAX] = '\0';
    assert_int_equal(kp_edit_distance(text, ""), KP_EDIT_MAX);
    text[KP_EDIT_MAX] = 'x';
    text[KP_EDIT_MAX + 1] = '\0';
    assert_true(kp_edit_distance(text, "") == SIZE_MAX);
    assert_true(kp_edit_distance("", text) == SIZE_MAX);
}

static void test_loopback(void **state)
{
    (void)state;
    static const char *const here[] = {
        "localhost", "localhost:80", "127.0.0.1", "127.9.8.7:443", "[::1]", "[::1]:80"};
    static const char *const elsewhere[] = {"127.example.org", "127.0.0.1.example.org:80",
        "localhost.example.org", "localhostx", "[::2]", "10.0.0.1", "", "128.0.0.1", "[::1].org"};
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++)
        assert_true(kp_is_loopback(here[i]));
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
        assert_false(kp_is_loopback(elsewhere[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_edit_distance),
        cmocka_unit_test(test_comparisons),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_int),
        cmocka_unit_test(test_bool),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_url_decode),
        cmocka_unit_test(test_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
