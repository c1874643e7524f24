#include "sink/sink_fixture.h"
#include "base/banned.h"

static const struct kp_sink_answer away = {.retry = true, .message = "the receiver is away"};
static const struct kp_sink_answer stored = {.outcome = KP_OUTCOME_SUCCEEDED};

static void captures_are_delivered_in_order(void **state)
{
    struct bench *bench = fixture_start((struct kp_sink_options){.concurrent = 1});
    (void)state;
    for (unsigned i = 0; i < 20; i++)
        fixture_put(bench, i, 100 + i);
    assert_int_equal(kp_sink_waiting_of(bench->sink, "shop/a"), 20);
    assert_int_equal(kp_sink_waiting_of(bench->sink, "/all"), 20);
    assert_int_equal(kp_sink_waiting_of(bench->sink, "shop/b"), 0);
    fixture_until(bench, outcomes_are, 20);
    for (unsigned i = 0; i < 20; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%u", i);
        assert_string_equal(bench->outcomes.items[i].key, key);
        assert_int_equal(bench->outcomes.items[i].outcome, KP_OUTCOME_SUCCEEDED);
        assert_int_equal(kp_sink_memory_delivery(bench->memory, i)->len, 100 + i);
    }
    assert_int_equal(kp_sink_waiting(bench->sink), 0);
    assert_int_equal(kp_sink_waiting_of(bench->sink, "shop/a"), 0);
    fixture_end(bench);
}

static void answers_may_come_in_any_order(void **state)
{
    struct bench *bench = fixture_start((struct kp_sink_options){.concurrent = 3});
    (void)state;
    const struct kp_sink_answer bad = {.outcome = KP_OUTCOME_INVALID, .message = "no sample type"};
    kp_sink_memory_script(bench->memory, NULL);
    for (unsigned i = 0; i < 5; i++)
        fixture_put(bench, i, 10);
    assert_int_equal(kp_sink_memory_open(bench->memory), 3); // not more at once
    assert_true(kp_sink_memory_answer(bench->memory, 2, &bad));
    assert_true(kp_sink_memory_answer(bench->memory, 0, &stored));
    fixture_until(bench, outcomes_are, 2);
    assert_string_equal(bench->outcomes.items[0].key, "k2");
    assert_int_equal(bench->outcomes.items[0].outcome, KP_OUTCOME_INVALID);
    assert_string_equal(bench->outcomes.items[0].message, "no sample type");
    assert_string_equal(bench->outcomes.items[1].key, "k0");
    assert_int_equal(kp_sink_memory_open(bench->memory), 3);
    kp_sink_memory_script(bench->memory, &stored);
    fixture_until(bench, outcomes_are, 5);
    assert_int_equal(kp_sink_memory_count(bench->memory), 5); // none twice
    fixture_end(bench);
}

static void what_fails_is_tried_again(void **state)
{
    struct bench *bench = fixture_start((struct kp_sink_options){.concurrent = 2});
    (void)state;
    kp_sink_memory_script(bench->memory, &away);
    fixture_put(bench, 1, 10);
    fixture_put(bench, 2, 10);
    fixture_until(bench, sent_are, 3); // both, then one of them again
    assert_string_equal(kp_sink_trouble(bench->sink), "the receiver is away");
    assert_int_equal(kp_sink_waiting(bench->sink), 2);
    assert_int_equal(bench->outcomes.n, 0);
    kp_sink_memory_script(bench->memory, &stored);
    fixture_until(bench, outcomes_are, 2);
    assert_null(kp_sink_trouble(bench->sink));
    fixture_end(bench);
}

static void retry_after_is_kept(void **state)
{
    struct bench *bench = fixture_start((struct kp_sink_options){.concurrent = 1});
    (void)state;
    const struct kp_sink_answer busy = {.retry = true, .retry_after_s = 3, .message = "429"};
    kp_sink_memory_script(bench->memory, &busy);
    int64_t start = kp_mono_ms();
    fixture_put(bench, 1, 10);
    fixture_until(bench, sent_are, 1);
    fixture_run(bench, 1); // the answer
    kp_sink_memory_script(bench->memory, &stored);
    fixture_until(bench, outcomes_are, 1);
    assert_true(kp_mono_ms() - start >= 2900);
    fixture_end(bench);
}

// Captures and states that wait for their next try.
static void who_is_back_is_delivered_to_at_once(void **state)
{
    struct bench *bench = fixture_start((struct kp_sink_options){.concurrent = 1});
    (void)state;
    const struct kp_sink_answer busy = {.retry = true, .retry_after_s = 200, .message = "503"};
    struct kp_state_batch batch = {.namespace = kp_strdup("shop"), .time_ms = 1};
    kp_sink_memory_script(bench->memory, &busy);
    fixture_put(bench, 1, 10);
    fixture_until(bench, sent_are, 1);
    fixture_run(bench, 1); // the answer
    fixture_put_state(bench, &batch);
    assert_int_equal(kp_sink_memory_count(bench->memory), 1); // it waits
    kp_sink_memory_script(bench->memory, NULL);
    kp_sink_wake(bench->sink);
    assert_int_equal(kp_sink_memory_open(bench->memory), 2); // both, now
    assert_non_null(kp_sink_trouble(bench->sink));           // until it is seen that it gets on
    assert_true(kp_sink_memory_answer(bench->memory, 0, &stored));
    assert_true(kp_sink_memory_answer(bench->memory, 0, &stored));
    fixture_until(bench, outcomes_are, 1);
    assert_null(kp_sink_trouble(bench->sink));
    kp_sink_wake(bench->sink); // nothing waits
    assert_int_equal(kp_sink_memory_count(bench->memory), 3);
    kp_state_batch_finish(&batch);
    fixture_end(bench);
}

// What is under way of a series holds the next of it, and nothing else.
static void a_series_arrives_in_order(void **state)
{
    static const char *const pods[] = {"a", "a", "b", "b", "c", "a"};
    static const char *const order[] = {"k0", "k2", "k4", "k3", "k0", "k1", "k5"};
    struct bench *bench = fixture_start((struct kp_sink_options){.concurrent = 3});
    (void)state;
    kp_sink_memory_script(bench->memory, NULL);
    for (unsigned i = 0; i < KP_COUNT(pods); i++)
        fixture_put_of(bench, "shop", pods[i], i, 10);
    assert_int_equal(kp_sink_memory_open(bench->memory), 3);
    assert_true(kp_sink_memory_answer(bench->memory, 1, &stored)); // k2, and k3 follows
    assert_int_equal(kp_sink_memory_open(bench->memory), 3);
    assert_true(kp_sink_memory_answer(bench->memory, 0, &away)); // k0 comes again, before k1
    kp_sink_memory_script(bench->memory, &stored);
    fixture_until(bench, outcomes_are, KP_COUNT(pods));
    assert_int_equal(kp_sink_memory_count(bench->memory), KP_COUNT(order));
    for (size_t i = 0; i < KP_COUNT(order); i++)
        assert_string_equal(kp_sink_memory_delivery(bench->memory, i)->key, order[i]);
    fixture_end(bench);
}

// Who has much waiting is not delivered before those who have little; each in its own order.
static void namespaces_take_turns(void **state)
{
    static const char *const order[] = {"k0", "k1", "k100", "k2", "k200", "k101", "k3", "k4"};
    struct bench *bench = fixture_start((struct kp_sink_options){.concurrent = 2});
    (void)state;
    kp_sink_memory_script(bench->memory, NULL);
    for (unsigned i = 0; i < 20; i++)
        fixture_put_in(bench, "storm", i, 10);
    fixture_put_in(bench, "calm", 100, 10);
    fixture_put_in(bench, "calm", 101, 10);
    fixture_put_in(bench, "quiet", 200, 10);
    for (size_t i = 0; i < KP_COUNT(order); i++) {
        assert_int_equal(kp_sink_memory_open(bench->memory), 2);
        assert_true(kp_sink_memory_answer(bench->memory, 0, &stored));
        fixture_until(bench, outcomes_are, i + 1);
        assert_string_equal(bench->outcomes.items[i].key, order[i]);
    }
    kp_sink_memory_script(bench->memory, &stored);
    fixture_until(bench, outcomes_are, 23);
    fixture_end(bench);
}

// What takes the receiver long does not hold all deliveries.
static void slow_ones_leave_a_delivery_to_others(void **state)
{
    struct bench *bench = fixture_start((struct kp_sink_options){.concurrent = 3});
    (void)state;
    kp_sink_memory_script(bench->memory, NULL);
    for (unsigned i = 0; i < 10; i++)
        fixture_put_in(bench, "storm", i, 10);
    for (unsigned i = 100; i < 110; i++)
        fixture_put_in(bench, "calm", i, 10);
    assert_true(
        kp_sink_memory_answer(bench->memory, 0, &stored)); // k0; the others of the storm are not answered
    for (size_t i = 1; i <= 10; i++) {
        fixture_until(bench, outcomes_are, i);
        assert_int_equal(kp_sink_memory_open(bench->memory), 3);
        assert_true(kp_sink_memory_answer(bench->memory, 2, &stored));
    }
    fixture_until(bench, outcomes_are, 11);
    for (size_t i = 1; i <= 10; i++)
        assert_int_equal(bench->outcomes.items[i].key[1], '1'); // k100 and on
    kp_sink_memory_script(bench->memory, &stored);
    fixture_end(bench);
}

static size_t lost_of(const struct bench *bench)
{
    size_t n = 0;
    for (size_t i = 0; i < bench->outcomes.n; i++)
        n += bench->outcomes.items[i].outcome == KP_OUTCOME_UNDELIVERED;
    return n;
}

// Whoever fills the room there is leaves some for the others, and so do several who do.
static void a_namespace_leaves_room_for_others(void **state)
{
    struct bench *bench = fixture_start((struct kp_sink_options){.memory_bytes = 100000});
    (void)state;
    kp_sink_memory_script(bench->memory, NULL);
    for (unsigned i = 0; i < 100; i++)
        fixture_put_in(bench, "storm", i, 1000);
    size_t lost = lost_of(bench);
    assert_int_equal(lost, 25);
    assert_non_null(strstr(bench->outcomes.items[0].message, "full for this namespace"));
    for (unsigned i = 100; i < 200; i++)
        fixture_put_in(bench, "flood", i, 1000);
    assert_true(lost_of(bench) < lost + 100 - 15);
    lost = lost_of(bench);
    fixture_put_in(bench, "calm", 200, 1000);
    fixture_put_in(bench, "quiet", 201, 1000);
    assert_int_equal(lost_of(bench), lost);
    kp_sink_memory_script(bench->memory, &stored);
    fixture_end(bench);
}

static void full_memory_without_a_spool_costs_the_newest(void **state)
{
    struct bench *bench = fixture_start((struct kp_sink_options){.memory_bytes = 1000});
    (void)state;
    kp_sink_memory_script(bench->memory, NULL);
    fixture_put(bench, 1, 600);
    fixture_put(bench, 2, 600);
    assert_int_equal(bench->outcomes.n, 1);
    assert_string_equal(bench->outcomes.items[0].key, "k2");
    assert_int_equal(bench->outcomes.items[0].outcome, KP_OUTCOME_UNDELIVERED);
    assert_non_null(strstr(bench->outcomes.items[0].message, "no spool"));
    fixture_end(bench);
}

static void a_pause_holds_everything(void **state)
{
    struct bench *bench = fixture_start((struct kp_sink_options){0});
    (void)state;
    kp_sink_pause(bench->sink, true);
    fixture_put(bench, 1, 10);
    fixture_run(bench, 50);
    assert_int_equal(kp_sink_memory_count(bench->memory), 0);
    kp_sink_pause(bench->sink, false);
    fixture_until(bench, outcomes_are, 1);
    fixture_end(bench);
}

static bool states_are(const struct bench *bench, size_t want)
{
    return kp_sink_memory_count(bench->memory) == want && kp_sink_memory_open(bench->memory) == 0;
}

static void the_newest_state_of_a_namespace_wins(void **state)
{
    struct bench *bench = fixture_start((struct kp_sink_options){0});
    (void)state;
    struct kp_state_batch batch = {.namespace = kp_strdup("shop"), .time_ms = 1};
    kp_sink_memory_script(bench->memory, NULL);
    for (int i = 0; i < 5; i++, batch.time_ms++)
        fixture_put_state(bench, &batch);
    assert_int_equal(kp_sink_memory_open(bench->memory), 1); // one post at a time
    kp_sink_memory_script(bench->memory, &stored);
    fixture_until(bench, states_are, 2); // the first, then the newest
    fixture_run(bench, 50);
    assert_int_equal(kp_sink_memory_count(bench->memory), 2);
    assert_int_not_equal(
        kp_sink_memory_delivery(bench->memory, 0)->hash, kp_sink_memory_delivery(bench->memory, 1)->hash);
    kp_state_batch_finish(&batch);
    fixture_end(bench);
}

// Whoever is told an outcome may put the next capture in at once.
static void put_again(
    void *user, const struct kp_record *record, enum kp_outcome outcome, const char *message)
{
    struct bench *bench = user;
    fixture_outcome(user, record, outcome, message);
    if (bench->outcomes.n <= 10)
        fixture_put(bench, (unsigned)bench->outcomes.n + 100, 10);
}

static void outcomes_may_put_more(void **state)
{
    struct bench *bench = KP_NEW(struct bench);
    (void)state;
    fixture_now_offset = 0;
    bench->loop = kp_loop_create();
    bench->memory = kp_sink_memory_create(bench->loop);
    const struct kp_sink_options options = {
        .ops = &kp_sink_memory_ops, .self = bench->memory, .max_age_ms = 1000, .now_ms = fixture_now};
    assert_int_equal(kp_sink_create(bench->loop, &options, put_again, bench, &bench->sink, NULL), 0);
    kp_sink_pause(bench->sink, true);
    for (unsigned i = 0; i < 10; i++)
        fixture_put(bench, i, 10);
    fixture_now_offset = 5000; // all are too old by now
    kp_sink_pause(bench->sink, false);
    fixture_until(bench, outcomes_are, 20);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(bench->outcomes.items[i].outcome, KP_OUTCOME_UNDELIVERED);
    for (size_t i = 10; i < 20; i++)
        assert_int_equal(bench->outcomes.items[i].outcome, KP_OUTCOME_SUCCEEDED);
    fixture_end(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captures_are_delivered_in_order),
        cmocka_unit_test(answers_may_come_in_any_order),
        cmocka_unit_test(what_fails_is_tried_again),
        cmocka_unit_test(retry_after_is_kept),
        cmocka_unit_test(who_is_back_is_delivered_to_at_once),
        cmocka_unit_test(a_series_arrives_in_order),
        cmocka_unit_test(namespaces_take_turns),
        cmocka_unit_test(slow_ones_leave_a_delivery_to_others),
        cmocka_unit_test(a_namespace_leaves_room_for_others),
        cmocka_unit_test(full_memory_without_a_spool_costs_the_newest),
        cmocka_unit_test(a_pause_holds_everything),
        cmocka_unit_test(the_newest_state_of_a_namespace_wins),
        cmocka_unit_test(outcomes_may_put_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
