// The newest states of targets, by the clock of who posts them.
#include "api/states.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/banned.h"

#define T0 INT64_C(1790000000000)

static void put(struct kp_states *states, int64_t time_ms, const char *text)
{
    struct kp_blob *blob = kp_blob_copy(text, strlen(text));
    kp_states_put(states, "shop", time_ms, blob);
    kp_blob_unref(blob);
}

static void expect(struct kp_states *states, const char *text)
{
    size_t n;
    struct kp_state_entry *entries = kp_states_snapshot(states, "shop", 0, &n);
    assert_int_equal(n, 1);
    assert_int_equal(entries[0].encoded->len, strlen(text));
    assert_memory_equal(entries[0].encoded->data, text, strlen(text));
    kp_state_entries_free(entries, n);
}

static void test_what_was_overtaken_changes_nothing(void **state)
{
    (void)state;
    struct kp_states *states = kp_states_create(1000);
    put(states, T0, "new");
    put(states, T0 - 1, "overtaken");
    put(states, T0 - 60000, "overtaken");
    expect(states, "new");
    put(states, T0, "as new");
    expect(states, "as new");
    kp_states_destroy(states);
}

// Else everybody would be shown targets of an hour ago, for an hour.
static void test_the_clock_of_who_posts_is_set_back(void **state)
{
    (void)state;
    struct kp_states *states = kp_states_create(1000);
    put(states, T0 + 3600000, "ahead");
    put(states, T0, "right");
    expect(states, "right");
    put(states, T0 + 1000, "later");
    expect(states, "later");
    kp_states_destroy(states);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_overtaken_changes_nothing),
        cmocka_unit_test(test_the_clock_of_who_posts_is_set_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
