#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "store/column.h"
#include "base/banned.h"

static const int64_t numbers[] = {0, 1, -1, 63, 64, -64, -65, 127, 128, 16383, 16384, INT32_MAX, INT32_MIN,
    INT64_MAX, INT64_MIN, INT64_MAX - 1};

static void test_numbers(void **state)
{
    (void)state;
    struct kp_column c = {0};
    for (size_t i = 0; i < KP_COUNT(numbers); i++) {
        kp_column_put_int(&c, numbers[i]);
        kp_column_put(&c, (uint64_t)numbers[i]);
        assert_int_equal(kp_unzigzag(kp_zigzag(numbers[i])), numbers[i]);
        for (size_t k = 0; k < KP_COUNT(numbers); k++)
            assert_int_equal(kp_wrap_add(numbers[k], kp_wrap_sub(numbers[i], numbers[k])), numbers[i]);
    }
    for (size_t cut = 0; cut <= c.len; cut++) {
        struct kp_column_reader r = {.p = c.data, .end = c.data + cut};
        for (size_t i = 0; i < KP_COUNT(numbers); i++) {
            int64_t a = kp_column_get_int(&r);
            assert_true(r.bad ? a == 0 : a == numbers[i]);
            uint64_t b = kp_column_get(&r);
            assert_true(r.bad ? b == 0 : b == (uint64_t)numbers[i]);
        }
        assert_int_equal(r.bad, cut < c.len);
        assert_int_equal(kp_column_left(&r), 0);
    }
    kp_column_finish(&c);
}

static void test_bad_numbers(void **state)
{
    (void)state;
    uint8_t bytes[12];
    memset(bytes, 0xff, sizeof bytes);
    struct kp_column_reader r = {.p = bytes, .end = bytes + sizeof bytes};
    assert_int_equal(kp_column_get(&r), 0); // past 64 bits
    assert_true(r.bad);
    memset(bytes, 0x80, sizeof bytes);
    bytes[9] = 2;
    r = (struct kp_column_reader){.p = bytes, .end = bytes + sizeof bytes};
    assert_int_equal(kp_column_get(&r), 0);
    assert_true(r.bad);
    bytes[9] = 1;
    r = (struct kp_column_reader){.p = bytes, .end = bytes + sizeof bytes};
    assert_true(kp_column_get(&r) == UINT64_C(1) << 63);
    assert_false(r.bad);
    bytes[0] = 7;
    r = (struct kp_column_reader){.p = bytes, .end = bytes + 1};
    assert_int_equal(kp_column_get_below(&r, 8), 7);
    r.p = bytes;
    assert_int_equal(kp_column_get_below(&r, 7), 0);
    assert_true(r.bad);
    r = (struct kp_column_reader){.p = bytes, .end = bytes + 3};
    assert_ptr_equal(kp_column_get_bytes(&r, 2), bytes);
    assert_null(kp_column_get_bytes(&r, 2));
    assert_true(r.bad);
}

static void fill(struct kp_columns *columns)
{
    kp_columns_reset(columns, 4);
    for (int i = 0; i < 3000; i++) {
        kp_column_put(&columns->items[0], (uint64_t)(i / 100));
        kp_column_put_int(&columns->items[2], i % 7 - 3);
    }
    kp_column_put_bytes(&columns->items[3], "end", 3);
}

static void check(const void *raw, size_t len)
{
    struct kp_column_reader r[5];
    struct kp_error err = {0};
    assert_int_equal(kp_columns_split(raw, len, r, 5, &err), 0);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(kp_column_get(&r[0]), i / 100);
        assert_int_equal(kp_column_get_int(&r[2]), i % 7 - 3);
    }
    assert_memory_equal(kp_column_get_bytes(&r[3], 3), "end", 3);
    for (int i = 0; i < 5; i++) { // one that is not there is empty
        assert_int_equal(kp_column_left(&r[i]), 0);
        assert_false(r[i].bad);
    }
}

static void test_columns(void **state)
{
    (void)state;
    struct kp_columns columns = {0};
    struct kp_column joined = {0};
    struct kp_column squeezed = {0};
    struct kp_squeezer *squeezer = kp_squeezer_create();
    struct kp_column_reader r[4];
    struct kp_error err = {0};
    uint8_t *raw;
    size_t raw_len;
    fill(&columns);
    kp_columns_join(&columns, &joined);
    check(joined.data, joined.len);
    assert_int_equal(kp_columns_split(joined.data, joined.len, r, 1, &err), 0); // further ones are ignored
    for (size_t cut = 0; cut < joined.len; cut += cut < 20 ? 1 : 997) {
        kp_error_clear(&err);
        assert_int_equal(kp_columns_split(joined.data, cut, r, 4, &err), KP_CORRUPT);
    }
    kp_squeeze_columns(squeezer, &columns, 9, &squeezed, &raw_len);
    assert_int_equal(raw_len, joined.len);
    assert_true(squeezed.len < joined.len / 20);
    assert_int_equal(kp_unsqueeze(squeezed.data, squeezed.len, raw_len, &raw, &err), 0);
    assert_memory_equal(raw, joined.data, raw_len);
    kp_free(raw);
    kp_error_clear(&err);
    assert_int_equal(kp_unsqueeze(squeezed.data, squeezed.len, raw_len + 1, &raw, &err), KP_CORRUPT);
    kp_error_clear(&err);
    assert_int_equal(kp_unsqueeze(squeezed.data, squeezed.len - 1, raw_len, &raw, &err), KP_CORRUPT);
    squeezed.len = 0; // the squeezer can be used again, at another level
    kp_squeeze(squeezer, joined.data, joined.len, 1, &squeezed);
    assert_int_equal(kp_unsqueeze(squeezed.data, squeezed.len, joined.len, &raw, NULL), 0);
    assert_memory_equal(raw, joined.data, joined.len);
    kp_free(raw);
    kp_squeezer_destroy(squeezer);
    kp_columns_finish(&columns);
    kp_column_finish(&joined);
    kp_column_finish(&squeezed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_bad_numbers), cmocka_unit_test(test_columns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
