#include "base/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

static const uint64_t uints[] = {0, 1, 127, 128, 300, 16383, 16384, UINT32_MAX, UINT64_MAX};
static const int64_t ints[] = {0, 1, -1, 63, -64, 64, -65, INT32_MIN, INT64_MAX, INT64_MIN};

static void write_all(struct kp_strbuf *out)
{
    for (size_t i = 0; i < KP_COUNT(uints); i++)
        kp_wire_put_uint(out, (uint32_t)(i + 1), uints[i]);
    for (size_t i = 0; i < KP_COUNT(ints); i++)
        kp_wire_put_int(out, 100, ints[i]);
    kp_wire_put_bytes(out, 5000, "a\0b", 3);
    kp_wire_put_bytes(out, UINT32_MAX, NULL, 0);
    kp_wire_put_str(out, 7, "text");
    kp_wire_put_str(out, 7, NULL); // nothing
}

static void test_reads_what_was_written(void **state)
{
    (void)state;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 1000);
    write_all(&out);
    struct kp_wire w;
    kp_wire_start(&w, out.data, out.len);
    for (size_t i = 0; i < KP_COUNT(uints); i++) {
        assert_true(kp_wire_next(&w));
        assert_int_equal(w.number, i + 1);
        assert_false(w.is_bytes);
        assert_true(w.value == uints[i]);
    }
    for (size_t i = 0; i < KP_COUNT(ints); i++) {
        assert_true(kp_wire_next(&w));
        assert_true(kp_wire_int(&w) == ints[i]);
    }
    assert_true(kp_wire_next(&w));
    assert_int_equal(w.number, 5000);
    assert_true(w.is_bytes);
    assert_int_equal(w.len, 3);
    assert_memory_equal(w.data, "a\0b", 3);
    kp_auto_free char *cut = kp_wire_strdup(&w);
    assert_string_equal(cut, "a");
    assert_true(kp_wire_next(&w));
    assert_int_equal(w.number, UINT32_MAX);
    assert_int_equal(w.len, 0);
    kp_auto_free char *empty = kp_wire_strdup(&w);
    assert_string_equal(empty, "");
    assert_true(kp_wire_next(&w));
    kp_auto_free char *text = kp_wire_strdup(&w);
    assert_string_equal(text, "text");
    assert_false(kp_wire_next(&w));
    assert_false(w.bad);
}

// Cut anywhere it either ends between two fields or says that it is bad; it never reads past the end (the
// copy is exactly as long as what is left, so AddressSanitizer sees it).
static void test_cut_anywhere(void **state)
{
    (void)state;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 1000);
    write_all(&out);
    size_t whole = 0;
    for (size_t n = 0; n < out.len; n++) {
        kp_auto_free uint8_t *copy = kp_memdup(out.data, n);
        struct kp_wire w;
        kp_wire_start(&w, copy, n);
        while (kp_wire_next(&w))
            continue;
        if (!w.bad)
            whole++;
        assert_false(kp_wire_next(&w)); // and stays so
    }
    assert_int_equal(
        whole, KP_COUNT(uints) + KP_COUNT(ints) + 3); // the lengths at which a field had just ended
}

static void is_bad(const void *bytes, size_t n)
{
    struct kp_wire w;
    kp_wire_start(&w, bytes, n);
    while (kp_wire_next(&w))
        continue;
    assert_true(w.bad);
}

static void test_bad_bytes(void **state)
{
    (void)state;
    is_bad("\x02", 1);                                              // key without value
    is_bad("\x02\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 12); // varint of more than ten bytes
    is_bad("\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11);     // more than 64 bits
    is_bad("\xff\xff\xff\xff\xff\xff\x01\x00", 8);                  // field number over 32 bits
    is_bad("\x03\x05"
           "abcd",
        6); // longer than the rest
    is_bad("\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
           "abcd",
        15); // length of 2^64 - 1
    struct kp_wire w;
    kp_wire_start(&w, NULL, 0);
    assert_false(kp_wire_next(&w));
    assert_false(w.bad);
}

static void test_a_number_is_no_text(void **state)
{
    (void)state;
    struct kp_wire w;
    kp_wire_start(&w, "\x02\x05", 2);
    assert_true(kp_wire_next(&w));
    kp_auto_free char *text = kp_wire_strdup(&w);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_was_written),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_bad_bytes),
        cmocka_unit_test(test_a_number_is_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
