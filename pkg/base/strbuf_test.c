#include "base/strbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

static void test_adds(void **state)
{
    (void)state;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 1000);
    assert_string_equal(buf.data, "");
    kp_strbuf_adds(&buf, "a");
    kp_strbuf_addc(&buf, 'b');
    kp_strbuf_addf(&buf, "%d-%s", 7, "x");
    kp_strbuf_add(&buf, "\0z", 2);
    kp_strbuf_add(&buf, NULL, 0);
    kp_strbuf_addf(&buf, "%s", "");
    assert_int_equal(buf.len, 7);
    assert_memory_equal(buf.data, "ab7-x\0z", 8);
    kp_strbuf_clear(&buf);
    assert_int_equal(buf.len, 0);
    assert_string_equal(buf.data, "");
}

static void test_stops_at_its_maximum(void **state)
{
    (void)state;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 5);
    kp_strbuf_adds(&buf, "abcde");
    assert_false(buf.overflow);
    kp_strbuf_addc(&buf, 'f');
    assert_true(buf.overflow);
    assert_string_equal(buf.data, "abcde");
    kp_strbuf_clear(&buf);
    assert_false(buf.overflow);
    kp_strbuf_adds(&buf, "abc");
    kp_strbuf_addf(&buf, "%d", 1234); // not even a part of it
    assert_true(buf.overflow);
    kp_strbuf_addc(&buf, 'd'); // and nothing after it, though it would fit
    assert_string_equal(buf.data, "abc");
    kp_strbuf_clear(&buf);
    kp_strbuf_add(&buf, "x", SIZE_MAX);
    assert_true(buf.overflow);
    assert_int_equal(buf.len, 0);
}

static void test_grows(void **state)
{
    (void)state;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 100000);
    for (int i = 0; i < 100000; i++)
        kp_strbuf_addc(&buf, (char)('a' + i % 26));
    assert_false(buf.overflow);
    assert_int_equal(strlen(buf.data), 100000);
    assert_int_equal(buf.data[99999], 'a' + 99999 % 26);
}

static void test_take_leaves_it_usable(void **state)
{
    (void)state;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 10);
    kp_strbuf_adds(&buf, "one");
    size_t len = 0;
    kp_auto_free char *one = kp_strbuf_take(&buf, &len);
    kp_strbuf_adds(&buf, "two");
    kp_auto_free char *two = kp_strbuf_take(&buf, NULL);
    assert_string_equal(one, "one");
    assert_int_equal(len, 3);
    assert_string_equal(two, "two");
    assert_int_equal(buf.max, 10);
}

static void json(const char *text, const char *want)
{
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 1000);
    kp_strbuf_add_json(&buf, text);
    assert_string_equal(buf.data, want);
}

#define BAD "\xef\xbf\xbd"

static void test_json(void **state)
{
    (void)state;
    json("", "\"\"");
    json("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    json("\b\f\n\r\t\x01\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\"");
    json("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    // not UTF-8: a lone byte, cut short, overlong, a surrogate, beyond U+10FFFF
    json("a\xff"
         "b",
        "\"a" BAD "b\"");
    json("\xc3", "\"" BAD "\"");
    json("\xe2\x82", "\"" BAD BAD "\"");
    json("\xc0\xaf", "\"" BAD BAD "\"");
    json("\xed\xa0\x80", "\"" BAD BAD BAD "\"");
    json("\xf4\x90\x80\x80", "\"" BAD BAD BAD BAD "\"");
    json("\xe2\x82x", "\"" BAD BAD "x\"");
}

static void test_url(void **state)
{
    (void)state;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 1000);
    kp_strbuf_add_url(&buf, "aZ09-._~ /?&=+%\xc3\xa9\n");
    assert_string_equal(buf.data, "aZ09-._~%20%2F%3F%26%3D%2B%25%C3%A9%0A");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adds),
        cmocka_unit_test(test_stops_at_its_maximum),
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_take_leaves_it_usable),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
