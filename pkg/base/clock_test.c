#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

static void test_reads_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2026-11-24T13:00:00Z", 1795525200000},
        {"2026-11-24t13:00:00z", 1795525200000},
        {"2026-11-24 13:00:00Z", 1795525200000},
        {"2026-11-24T14:30:00+01:30", 1795525200000},
        {"2026-11-24T05:00:00-08:00", 1795525200000},
        {"2026-11-24T13:00:00-00:00", 1795525200000},
        {"2026-11-24T13:00:00.1Z", 1795525200100},
        {"2026-11-24T13:00:00.123456Z", 1795525200123},
        {"2026-11-24T13:00:00.999999999Z", 1795525200999},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"2024-02-29T23:59:59Z", 1709251199000},
        {"2016-12-31T23:59:60Z", 1483228800000}, // a leap second is the next second
        {"9999-12-31T23:59:59Z", 253402300799000},
        {"0000-01-01T00:00:00Z", -62167219200000},
    };
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        int64_t ms = 0;
        if (kp_time_parse(cases[i].text, &ms, NULL) != 0 || ms != cases[i].ms)
            fail_msg("'%s' gave %lld, not %lld", cases[i].text, (long long)ms, (long long)cases[i].ms);
    }
}

static void test_refuses_what_is_no_time(void **state)
{
    (void)state;
    static const char *const cases[] = {"", "2026", "2026-11-24", "2026-11-24T13:00:00", "2026-11-24T13:00Z",
        "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-11-31T00:00:00Z", "2026-11-00T00:00:00Z",
        "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-11-24T24:00:00Z",
        "2026-11-24T13:60:00Z", "2026-11-24T13:00:61Z", "2026-11-24T13:00:00.Z", "2026-11-24T13:00:00+24:00",
        "2026-11-24T13:00:00+01", "2026-11-24T13:00:00+0100", "2026-11-24T13:00:00+01:60",
        "2026-11-24T13:00:00ZZ", " 2026-11-24T13:00:00Z", "2026-11-24T13:00:00Z ", "26-11-24T13:00:00Z",
        "2026-1-24T13:00:00Z", "-2026-11-24T13:00:00Z", "yesterday"};
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        struct kp_error err = {0};
        int64_t ms = 77;
        if (kp_time_parse(cases[i], &ms, &err) != KP_INVALID)
            fail_msg("'%s' was taken as %lld", cases[i], (long long)ms);
        assert_int_equal(ms, 77);
        assert_non_null(strstr(err.text, "is not a time; write it like"));
    }
}

static void test_writes_utc(void **state)
{
    (void)state;
    char text[KP_TIME_TEXT];
    assert_string_equal(kp_time_format(text, 1795525200123), "2026-11-24T13:00:00Z");
    assert_string_equal(kp_time_format_micro(text, 1795525200123), "2026-11-24T13:00:00.123000Z");
    assert_string_equal(kp_time_format(text, 0), "1970-01-01T00:00:00Z");
    assert_string_equal(kp_time_format_micro(text, -1), "1969-12-31T23:59:59.999000Z");
    assert_string_equal(kp_time_format(text, -62135596800000), "0001-01-01T00:00:00Z"); // Go's zero time
    assert_string_equal(kp_time_format(text, 951782400000), "2000-02-29T00:00:00Z");
    // whatever comes, it stays within the buffer
    assert_true(strlen(kp_time_format_micro(text, INT64_MAX)) < KP_TIME_TEXT);
    assert_true(strlen(kp_time_format_micro(text, INT64_MIN)) < KP_TIME_TEXT);
}

// Every day of 400 years: the calendar's whole period.
static void test_reads_what_it_writes(void **state)
{
    (void)state;
    for (int64_t day = -36525; day < 110000; day++) {
        char text[KP_TIME_TEXT];
        int64_t back = 0, ms = day * 86400000 + day % 86400 * 1000 + 7;
        assert_int_equal(kp_time_parse(kp_time_format_micro(text, ms), &back, NULL), 0);
        assert_int_equal(back, ms);
    }
}

static void test_reads_what_people_type(void **state)
{
    (void)state;
    const int64_t now = 1795525200000;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"", 1795525200000},
        {"now", 1795525200000},
        {"-1h", 1795521600000},
        {"1h", 1795521600000},
        {"-90s", 1795525110000},
        {"-7d", 1795525200000 - INT64_C(7) * 86400000},
        {"2w", 1795525200000 - INT64_C(14) * 86400000},
        {"1d1h", 1795525200000 - INT64_C(25) * 3600000},
        {"99999d", 1795525200000 - INT64_C(99999) * 86400000},
        {"1795525200", 1795525200000},
        {"0", 0},
        {"2026-11-24T13:00:00Z", 1795525200000},
    };
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        int64_t ms = -1;
        assert_int_equal(kp_time_parse_relative(cases[i].text, now, &ms, NULL), 0);
        assert_int_equal(ms, cases[i].ms);
    }
    static const char *const wrong[] = {"tomorrow", "--1h", "-", "+1h", "1.5h", "-1795525200",
        "99999999999999999999", "d", "-d", "1.5d", "1y", "100000d"};
    for (size_t i = 0; i < KP_COUNT(wrong); i++) {
        struct kp_error err = {0};
        int64_t ms = 77;
        assert_int_equal(kp_time_parse_relative(wrong[i], now, &ms, &err), KP_INVALID);
        assert_int_equal(ms, 77);
        assert_non_null(strstr(err.text, "write now, -1h, -7d, 2026-11-24T13:00:00Z or unix seconds"));
    }
}

static void test_clocks(void **state)
{
    (void)state;
    int64_t before = kp_mono_us();
    assert_true(kp_mono_us() >= before);
    assert_true(kp_mono_ms() >= before / 1000);
    int64_t wall = kp_now_ms() / 1000 - (int64_t)time(NULL);
    assert_in_range(wall + 2, 0, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_rfc_3339),
        cmocka_unit_test(test_refuses_what_is_no_time),
        cmocka_unit_test(test_writes_utc),
        cmocka_unit_test(test_reads_what_it_writes),
        cmocka_unit_test(test_reads_what_people_type),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
