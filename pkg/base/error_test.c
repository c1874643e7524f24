#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

static void test_the_first_error_wins(void **state)
{
    (void)state;
    struct kp_error err = {0};
    assert_int_equal(kp_fail(&err, KP_TIMEOUT, "no answer within %d s", 5), KP_TIMEOUT);
    assert_int_equal(kp_fail(&err, KP_INTERNAL, "second"), KP_INTERNAL);
    assert_int_equal(kp_fail_errno(&err, ENOENT, "third"), KP_NOT_FOUND);
    assert_int_equal(err.code, KP_TIMEOUT);
    assert_string_equal(err.text, "no answer within 5 s");
    kp_error_clear(&err);
    assert_int_equal(err.code, 0);
    assert_string_equal(err.text, "");
}

static void test_wrap_puts_context_in_front(void **state)
{
    (void)state;
    struct kp_error err = {0};
    assert_int_equal(kp_wrap(&err, "nothing failed"), 0);
    assert_string_equal(err.text, "");
    kp_fail(&err, KP_TLS, "certificate expired");
    assert_int_equal(kp_wrap(&err, "pod '%s'", "web-1"), KP_TLS);
    assert_int_equal(kp_wrap(&err, "capture"), KP_TLS);
    assert_string_equal(err.text, "capture: pod 'web-1': certificate expired");
    assert_true(kp_wrap(NULL, "x") < 0);
}

static void test_texts_are_cut(void **state)
{
    (void)state;
    char large[1000];
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = '\0';
    struct kp_error err = {0};
    kp_fail(&err, KP_INVALID, "%s", large);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    kp_wrap(&err, "outer");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "outer: xxx", 10);
    kp_wrap(&err, "%s", large);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    kp_error_clear(&err);
    kp_fail_errno(&err, EIO, "%s", large);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

static void test_without_an_error_struct(void **state)
{
    (void)state;
    assert_int_equal(kp_fail(NULL, KP_GONE, "x"), KP_GONE);
    assert_int_equal(kp_fail_errno(NULL, EACCES, "x"), KP_DENIED);
}

static void test_errno(void **state)
{
    (void)state;
    static const struct {
        int e, code;
    } cases[] = {{ENOENT, KP_NOT_FOUND}, {EACCES, KP_DENIED}, {EROFS, KP_DENIED}, {ENOSPC, KP_LIMIT},
        {EMFILE, KP_LIMIT}, {ETIMEDOUT, KP_TIMEOUT}, {ECONNREFUSED, KP_NETWORK}, {ENAMETOOLONG, KP_INVALID},
        {EEXIST, KP_CONFLICT}, {EIO, KP_INTERNAL}};
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        struct kp_error err = {0};
        assert_int_equal(kp_fail_errno(&err, cases[i].e, "cannot open '%s'", "x"), cases[i].code);
        kp_auto_free char *want = kp_asprintf("cannot open 'x': %s", strerror(cases[i].e));
        assert_string_equal(err.text, want);
    }
}

static void test_every_code_has_a_row(void **state)
{
    (void)state;
    for (int code = KP_OK; code >= KP_INTERNAL; code--) {
        const struct kp_code_info *info = kp_code_info(code);
        assert_true(info->reason[0] >= 'A' && info->reason[0] <= 'Z');
        assert_null(strpbrk(info->reason, " _-."));
        assert_true(info->label[0] >= 'a' && info->label[0] <= 'z');
        for (int other = code + 1; other <= KP_OK; other++) {
            assert_string_not_equal(info->reason, kp_code_info(other)->reason);
            assert_string_not_equal(info->label, kp_code_info(other)->label);
        }
    }
    assert_string_equal(kp_code_info(12345)->reason, "Internal");
    assert_string_equal(kp_code_info(-99)->reason, "Internal");
    assert_true(kp_code_info(KP_UNAVAILABLE)->retry);
    assert_false(kp_code_info(KP_INVALID)->retry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_error_wins),
        cmocka_unit_test(test_wrap_puts_context_in_front),
        cmocka_unit_test(test_texts_are_cut),
        cmocka_unit_test(test_without_an_error_struct),
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_every_code_has_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
