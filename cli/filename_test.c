#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "cli/filename.h"
#include "base/banned.h"

#define MS INT64_C(1795654923456) // 2026-11-26T01:02:03.456Z

static void check(const struct kp_file_name *name, const char *expected)
{
    kp_auto_free char *text = kp_file_name_format(name);
    assert_string_equal(text, expected);
}

static void test_names(void **state)
{
    (void)state;
    check(&(struct kp_file_name){"shop", "checkout-7d9f-x2", "app", "cpu", MS, NULL, ".pb.gz"},
        "shop_checkout-7d9f-x2_app_cpu_20261126T010203.456Z.pb.gz");
    check(&(struct kp_file_name){"", "batch", NULL, "heap", MS, "01k", ".pb"},
        "batch_heap_20261126T010203.456Z_01k.pb");
}

static void test_no_name_leads_elsewhere(void **state)
{
    (void)state;
    check(&(struct kp_file_name){"..", "/etc/passwd", "a\nb", "c_d", MS, "", ".pb"},
        "-._-etc-passwd_a-b_c-d_20261126T010203.456Z.pb");
    check(&(struct kp_file_name){".hidden", "a", NULL, "t", MS, "", ".pb"},
        "-hidden_a_t_20261126T010203.456Z.pb");
    char text[4000];
    memset(text, 'x', sizeof text);
    memcpy(text + sizeof text - 4, "end", 4);
    kp_auto_free char *name =
        kp_file_name_format(&(struct kp_file_name){text, text, NULL, "t", MS, "", ".pb"});
    assert_true(strlen(name) < 255);
    assert_non_null(strstr(name, "xend_t_"));
}

static void test_ends(void **state)
{
    (void)state;
    assert_string_equal(kp_file_name_end("pprof", "\x1f\x8b\x08", 3), ".pb.gz");
    assert_string_equal(kp_file_name_end("pprof", "\x0a\x04", 2), ".pb");
    assert_string_equal(kp_file_name_end("trace", "go 1.22 trace", 13), ".trace");
    assert_string_equal(kp_file_name_end("text", "x", 1), ".txt");
    assert_string_equal(kp_file_name_end("", "", 0), ".pb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_no_name_leads_elsewhere),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
