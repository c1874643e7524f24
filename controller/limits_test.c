#include "controller/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/banned.h"

#define MINUTE INT64_C(60000)

static void test_the_last_sentence_is_told_for_a_while(void **state)
{
    (void)state;
    struct kp_limit_notes *notes = kp_limit_notes_create();
    assert_null(kp_limit_notes_get(notes, "shop/a"));
    kp_limit_notes_add(notes, "shop/a,/all", "too much", 0);
    kp_limit_notes_add(notes, "", "of nobody", 0);
    kp_limit_notes_add(notes, NULL, "of nobody", 0);
    assert_string_equal(kp_limit_notes_get(notes, "shop/a"), "too much");
    assert_string_equal(kp_limit_notes_get(notes, "/all"), "too much");
    assert_null(kp_limit_notes_get(notes, ""));
    assert_null(kp_limit_notes_get(notes, "shop/b"));
    kp_limit_notes_add(notes, "shop/a", "still too much", 10 * MINUTE);
    assert_string_equal(kp_limit_notes_get(notes, "shop/a"), "still too much");
    kp_limit_notes_forget(notes, 15 * MINUTE);
    assert_non_null(kp_limit_notes_get(notes, "/all"));
    kp_limit_notes_forget(notes, 16 * MINUTE);
    assert_null(kp_limit_notes_get(notes, "/all"));
    assert_non_null(kp_limit_notes_get(notes, "shop/a"));
    kp_limit_notes_forget(notes, 26 * MINUTE);
    assert_null(kp_limit_notes_get(notes, "shop/a"));
    kp_limit_notes_add(notes, "shop/a", "again", 30 * MINUTE);
    kp_limit_notes_destroy(notes);
    kp_limit_notes_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_sentence_is_told_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
