#include "base/quantity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

static void test_reads(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {
        {"0", 0},
        {"500", 500},
        {"16Mi", 16777216},
        {"1Ki", 1024},
        {"2Gi", 2147483648},
        {"3Ti", 3298534883328},
        {"1Pi", 1125899906842624},
        {"100M", 100000000},
        {"5k", 5000},
        {"7G", 7000000000},
        {"1T", 1000000000000},
        {"1P", 1000000000000000},
        {"1e3", 1000},
        {"12E2", 1200},
        {"1e18", 1000000000000000000},
        {"1.5Gi", 1610612736},
        {"0.5Mi", 524288},
        {"1.25k", 1250},
        {"2.5e3", 2500},
        {"999999999999999999", 999999999999999999},
        // below one, Kubernetes rounds up too
        {"1.5", 2},
        {"0.1", 1},
        {"0.001Ki", 2},
        {"1.0", 1},
        {"9.999999999k", 10000},
    };
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        int64_t value = -1;
        if (kp_quantity_parse(cases[i].text, &value, NULL) != 0 || value != cases[i].value)
            fail_msg("'%s' gave %lld, not %lld", cases[i].text, (long long)value, (long long)cases[i].value);
    }
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const cases[] = {"", "M", "-1", "+1", "1m", "1K", "1mi", "1 Mi", " 1", "1 ", "1E",
        "1Ei", "1e", "1e19", "1e-3", "1.", ".5", "1.Mi", "1.5.5", "16MiB", "9223372036854775808",
        "9223372036854775807", "9007199254740992Pi", "9223.9P", "0x10", "ten"};
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        struct kp_error err = {0};
        int64_t value = 77;
        if (kp_quantity_parse(cases[i], &value, &err) != KP_INVALID)
            fail_msg("'%s' was taken as %lld", cases[i], (long long)value);
        assert_int_equal(value, 77);
        assert_true(strlen(err.text) > 0);
    }
}

static void test_writes(void **state)
{
    (void)state;
    char text[KP_QUANTITY_TEXT];
    assert_string_equal(kp_quantity_format(text, 0), "0");
    assert_string_equal(kp_quantity_format(text, 16777216), "16Mi");
    assert_string_equal(kp_quantity_format(text, 1000), "1000");
    assert_string_equal(kp_quantity_format(text, 1536), "1536");
    assert_string_equal(kp_quantity_format(text, 3072), "3Ki");
    assert_string_equal(kp_quantity_format(text, 1ll << 50), "1Pi");
    assert_string_equal(kp_quantity_format(text, -2048), "-2Ki");
    assert_string_equal(kp_quantity_format(text, INT64_MAX), "9223372036854775807");
}

static void test_int_or_percent(void **state)
{
    (void)state;
    struct kp_int_or_percent v;
    assert_int_equal(kp_int_or_percent_parse("3", &v, NULL), 0);
    assert_int_equal(kp_int_or_percent_of(v, 100), 3);
    assert_int_equal(kp_int_or_percent_parse("25%", &v, NULL), 0);
    assert_true(v.is_percent);
    assert_int_equal(kp_int_or_percent_of(v, 0), 0);
    assert_int_equal(kp_int_or_percent_of(v, 1), 1); // rounds up
    assert_int_equal(kp_int_or_percent_of(v, 8), 2);
    assert_int_equal(kp_int_or_percent_of(v, 9), 3);
    assert_int_equal(kp_int_or_percent_of(v, INT32_MAX), 536870912);
    assert_int_equal(kp_int_or_percent_parse("0%", &v, NULL), 0);
    assert_int_equal(kp_int_or_percent_of(v, 1000), 0);
    assert_int_equal(kp_int_or_percent_parse("100%", &v, NULL), 0);
    assert_int_equal(kp_int_or_percent_of(v, 7), 7);
    static const char *const wrong[] = {"", "%", "-1", "101%", "-5%", "1.5", "3 %", "3%%", "%3", "2147483648",
        "99999999999999999999%", "many"};
    for (size_t i = 0; i < KP_COUNT(wrong); i++) {
        struct kp_error err = {0};
        assert_int_equal(kp_int_or_percent_parse(wrong[i], &v, &err), KP_INVALID);
        assert_non_null(strstr(err.text, "is neither a number nor a percentage"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_int_or_percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
