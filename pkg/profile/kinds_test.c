#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "profile/kinds.h"
#include "base/banned.h"

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *profile_type, *sample_type;
        bool has_window;
        enum kp_aggregation want;
    } cases[] = {
        {"cpu", "samples", true, KP_AGGREGATE_SUM},
        {"cpu", "cpu", false, KP_AGGREGATE_SUM},
        {"fgprof", "time", false, KP_AGGREGATE_SUM},
        {"heap", "alloc_objects", false, KP_AGGREGATE_DELTA},
        {"heap", "alloc_space", false, KP_AGGREGATE_DELTA},
        {"heap", "inuse_objects", false, KP_AGGREGATE_GAUGE},
        {"allocs", "inuse_space", false, KP_AGGREGATE_GAUGE},
        {"heap", "inuse_space", true, KP_AGGREGATE_SUM},
        {"heap", "alloc_space", true, KP_AGGREGATE_SUM},
        {"mutex", "contentions", false, KP_AGGREGATE_DELTA},
        {"block", "delay", false, KP_AGGREGATE_DELTA},
        {"goroutine", "goroutine", false, KP_AGGREGATE_GAUGE},
        {"goroutine", "goroutines", false, KP_AGGREGATE_GAUGE},
        {"threadcreate", "threadcreate", false, KP_AGGREGATE_GAUGE},
        {"other", "alloc_space", false, KP_AGGREGATE_DELTA},
        {"other", "wall", false, KP_AGGREGATE_SUM},
        {"other", "connections", false, KP_AGGREGATE_NONE},
        {"heap", "strange", false, KP_AGGREGATE_NONE},
        {"", "", false, KP_AGGREGATE_NONE},
    };
    for (size_t i = 0; i < KP_COUNT(cases); i++)
        if (kp_aggregation_of(cases[i].profile_type, cases[i].sample_type, cases[i].has_window) !=
            cases[i].want)
            fail_msg("%s %s", cases[i].profile_type, cases[i].sample_type);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
