#include "base/duration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

static void test_reads_what_gep_2257_allows(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"0s", 0},
        {"0h0m0s0ms", 0},
        {"1h", 3600000},
        {"60m", 3600000},
        {"01h", 3600000},
        {"00060m", 3600000},
        {"1h30m", 5400000},
        {"1h30m30s500ms", 5430500},
        {"250ms", 250},
        {"1m5ms", 60005},
        {"99999h", 359996400000},
        // any order and the same unit again: the CRD's pattern lets them through, so they have to be
        // understood
        {"30m1h", 5400000},
        {"1s1s1s1s", 4000},
    };
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        struct kp_error err = {0};
        int64_t ms = -1;
        if (kp_duration_parse(cases[i].text, &ms, &err) != 0 || ms != cases[i].ms)
            fail_msg("'%s' gave %lld, not %lld (%s)", cases[i].text, (long long)ms, (long long)cases[i].ms,
                err.text);
    }
}

static void test_refuses_the_rest(void **state)
{
    (void)state;
    static const char *const cases[] = {"", "1", "h", "-1h", "+1h", "1.5h", "1d", "1 h", " 1h", "1h ", "1us",
        "1ns", "123456s", "1h1h1h1h1h", "1H", "1h30", "ms", "1week", "1hm"};
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        struct kp_error err = {0};
        int64_t ms = 77;
        if (kp_duration_parse(cases[i], &ms, &err) != KP_INVALID)
            fail_msg("'%s' was taken as %lld", cases[i], (long long)ms);
        assert_int_equal(ms, 77);
        assert_true(strlen(err.text) > 0);
    }
    struct kp_error err = {0};
    int64_t ms;
    assert_int_equal(kp_duration_parse("1d", &ms, &err), KP_INVALID);
    assert_string_equal(err.text, "'1d' is not a duration; write it like 90s or 1h30m (units h, m, s, ms)");
}

static void test_reads_days_and_weeks_where_asked_to(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {{"1d", 86400000}, {"5d", 432000000}, {"120h", 432000000}, {"2w", 1209600000},
        {"1d12h", 129600000}, {"1w1d1h1m", 694860000}, {"30s", 30000}, {"5ms", 5},
        {"99999w", 60479395200000}};
    static const char *const wrong[] = {"", "d", "1", "1.5d", "-1d", "1day", "123456d", "1d1d1d1d1d", "1W"};
    struct kp_error err = {0};
    int64_t ms = 77;
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        if (kp_duration_parse_days(cases[i].text, &ms, &err) != 0 || ms != cases[i].ms)
            fail_msg("'%s' gave %lld, not %lld", cases[i].text, (long long)ms, (long long)cases[i].ms);
    }
    for (size_t i = 0; i < KP_COUNT(wrong); i++)
        if (kp_duration_parse_days(wrong[i], &ms, NULL) != KP_INVALID)
            fail_msg("'%s' was taken as %lld", wrong[i], (long long)ms);
    assert_int_equal(kp_duration_parse_days("1y", &ms, &err), KP_INVALID);
    assert_string_equal(
        err.text, "'1y' is not a duration; write it like 90s or 1h30m (units w, d, h, m, s, ms)");
}

static void test_writes_the_shortest_form(void **state)
{
    (void)state;
    char text[KP_DURATION_TEXT];
    assert_string_equal(kp_duration_format(text, 0), "0s");
    assert_string_equal(kp_duration_format(text, 60000), "1m");
    assert_string_equal(kp_duration_format(text, 90500), "1m30s500ms");
    assert_string_equal(kp_duration_format(text, 3600001), "1h1ms");
    assert_string_equal(kp_duration_format(text, -1500), "-1s500ms");
    assert_string_equal(kp_duration_format(text, INT64_MAX), "2562047788015h12m55s807ms");
    assert_string_equal(kp_duration_format(text, INT64_MIN), "-2562047788015h12m55s808ms");
}

static void test_reads_what_it_writes(void **state)
{
    (void)state;
    for (int64_t ms = 1; ms < 359996400000; ms = ms * 3 + 7) {
        char text[KP_DURATION_TEXT];
        int64_t back = 0;
        assert_int_equal(kp_duration_parse(kp_duration_format(text, ms), &back, NULL), 0);
        assert_int_equal(back, ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_gep_2257_allows),
        cmocka_unit_test(test_refuses_the_rest),
        cmocka_unit_test(test_reads_days_and_weeks_where_asked_to),
        cmocka_unit_test(test_writes_the_shortest_form),
        cmocka_unit_test(test_reads_what_it_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
