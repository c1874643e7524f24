#include "base/outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

// The closed list as the CRD, the metrics and the documentation have it.
static const struct {
    enum kp_outcome outcome;
    enum kp_outcome_class class;
    const char *name;
} list[] = {
    {KP_OUTCOME_NONE, KP_CLASS_NONE, "None"},
    {KP_OUTCOME_SUCCEEDED, KP_CLASS_SUCCEEDED, "Succeeded"},
    {KP_OUTCOME_BUSY, KP_CLASS_SKIPPED, "Busy"},
    {KP_OUTCOME_CONTENDED, KP_CLASS_SKIPPED, "Contended"},
    {KP_OUTCOME_THROTTLED, KP_CLASS_SKIPPED, "Throttled"},
    {KP_OUTCOME_POD_GONE, KP_CLASS_SKIPPED, "PodGone"},
    {KP_OUTCOME_CANCELLED, KP_CLASS_SKIPPED, "Cancelled"},
    {KP_OUTCOME_NOT_SERVED, KP_CLASS_SKIPPED, "NotServed"},
    {KP_OUTCOME_EMPTY, KP_CLASS_SKIPPED, "Empty"},
    {KP_OUTCOME_UNREACHABLE, KP_CLASS_FAILED, "Unreachable"},
    {KP_OUTCOME_TIMEOUT, KP_CLASS_FAILED, "Timeout"},
    {KP_OUTCOME_HTTP_ERROR, KP_CLASS_FAILED, "HTTPError"},
    {KP_OUTCOME_NOT_PPROF, KP_CLASS_FAILED, "NotPprof"},
    {KP_OUTCOME_INVALID, KP_CLASS_FAILED, "Invalid"},
    {KP_OUTCOME_TOO_LARGE, KP_CLASS_FAILED, "TooLarge"},
    {KP_OUTCOME_DENIED, KP_CLASS_FAILED, "Denied"},
    {KP_OUTCOME_TLS_ERROR, KP_CLASS_FAILED, "TLSError"},
    {KP_OUTCOME_REFUSED, KP_CLASS_FAILED, "Refused"},
    {KP_OUTCOME_UNDELIVERED, KP_CLASS_FAILED, "Undelivered"},
    {KP_OUTCOME_STORE_FULL, KP_CLASS_FAILED, "StoreFull"},
};

static void test_the_list_is_whole(void **state)
{
    (void)state;
    assert_int_equal(KP_COUNT(list), KP_OUTCOME_COUNT);
    for (int i = 0; i < KP_OUTCOME_COUNT; i++) {
        assert_int_equal(list[i].outcome, i);
        const struct kp_outcome_info *info = kp_outcome_info(list[i].outcome);
        assert_string_equal(info->name, list[i].name);
        assert_int_equal(info->class, list[i].class);
    }
}

static void test_each_says_what_to_do(void **state)
{
    (void)state;
    for (int i = 0; i < KP_OUTCOME_COUNT; i++) {
        const char *advice = kp_outcome_info((enum kp_outcome)i)->advice;
        size_t n = strlen(advice);
        assert_true(n >= 10 && n <= 200); // one sentence, fits a status message
        assert_true(advice[n - 1] != '.');
        assert_null(strchr(advice, '\n'));
        for (int other = 0; other < i; other++)
            assert_string_not_equal(advice, kp_outcome_info((enum kp_outcome)other)->advice);
        if (list[i].class == KP_CLASS_FAILED) // a failure asks for something to be done
            assert_null(strstr(advice, "nothing to do"));
    }
}

static void test_names_parse_back(void **state)
{
    (void)state;
    for (int i = 0; i < KP_OUTCOME_COUNT; i++) {
        enum kp_outcome outcome = KP_OUTCOME_COUNT;
        assert_true(kp_outcome_parse(list[i].name, &outcome));
        assert_int_equal(outcome, i);
    }
    enum kp_outcome outcome = KP_OUTCOME_BUSY;
    assert_false(kp_outcome_parse("", &outcome));
    assert_false(kp_outcome_parse("busy", &outcome));
    assert_false(kp_outcome_parse("Succeeded ", &outcome));
    assert_int_equal(outcome, KP_OUTCOME_BUSY);
}

static void test_nonsense_is_none(void **state)
{
    (void)state;
    assert_string_equal(kp_outcome_info(KP_OUTCOME_COUNT)->name, "None");
    assert_string_equal(kp_outcome_info((enum kp_outcome)4711)->name, "None");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_list_is_whole),
        cmocka_unit_test(test_each_says_what_to_do),
        cmocka_unit_test(test_names_parse_back),
        cmocka_unit_test(test_nonsense_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
