#include "store/facts.h"

#include "store/store_testing.h"
#include "base/banned.h"

static struct kp_segment_row facts(struct kp_record r)
{
    struct kp_segment_row row = {.series = 7, .flags = KP_SROW_ORIGINAL | KP_SROW_STARTUP};
    kp_row_set_facts(&row, &r);
    assert_int_equal(row.series, 7);
    assert_true((row.flags & KP_SROW_ORIGINAL) != 0);
    return row;
}

static uint32_t life(struct kp_record r)
{
    return facts(r).life;
}

static void test_lives(void **state)
{
    (void)state;
    char uid[] = "uid-1", id[] = "containerd://1", other[] = "containerd://2", app[] = "app", side[] = "side";
    assert_int_equal(life((struct kp_record){0}), 0);
    assert_int_not_equal(life((struct kp_record){.container_id = id}), 0);
    assert_int_equal(life((struct kp_record){.container_id = id}),
        life((struct kp_record){.container_id = id, .restarts = 2, .start_ms = T0}));
    assert_int_not_equal(
        life((struct kp_record){.container_id = id}), life((struct kp_record){.container_id = other}));
    // without an id: the start, or the number of restarts
    const struct kp_record a = {.pod_uid = uid, .container = app, .container_started_ms = T0};
    struct kp_record b = a;
    b.container_started_ms++;
    assert_int_not_equal(life(a), life(b));
    b = a;
    b.container = side;
    assert_int_not_equal(life(a), life(b));
    assert_int_not_equal(life((struct kp_record){.pod_uid = uid, .restarts = 1}),
        life((struct kp_record){.pod_uid = uid, .restarts = 2}));
}

static void test_startup(void **state)
{
    (void)state;
    const struct {
        int64_t started, start;
        bool is;
    } rows[] = {
        {0, T0, false}, {T0, T0, true}, {T0, T0 + 59999, true}, {T0, T0 + 60000, false}, {T0 + 1, T0, false}};
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        assert_int_equal(
            (facts((struct kp_record){.container_started_ms = rows[i].started, .start_ms = rows[i].start})
                    .flags &
                KP_SROW_STARTUP) != 0,
            rows[i].is);
}

static void test_duration_and_weight(void **state)
{
    (void)state;
    struct kp_segment_row row =
        facts((struct kp_record){.duration_ms = 10000, .sample_k = 3, .sample_n = 12});
    assert_int_equal(row.duration_ms, 10000);
    assert_true(row.weight == 4.0F);
    assert_int_equal(facts((struct kp_record){.duration_ms = -1}).duration_ms, 0);
    assert_int_equal(facts((struct kp_record){.duration_ms = INT64_MAX}).duration_ms, UINT32_MAX);
    assert_true(facts((struct kp_record){.sample_n = 12}).weight == 1.0F);
    assert_true(facts((struct kp_record){.sample_k = 12, .sample_n = 3}).weight == 1.0F);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_startup),
        cmocka_unit_test(test_duration_and_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
