// Captures that wait: to the spool, over a restart, and on their way again.
#include "sink/sink_fixture.h"
#include "sink/sink_private.h"
#include "base/banned.h"

static const struct kp_sink_answer away = {.retry = true, .message = "the receiver is away"};
static const struct kp_sink_answer stored = {.outcome = KP_OUTCOME_SUCCEEDED};

static size_t spooled(const char *dir)
{
    kp_auto_free char *path = kp_asprintf("%s/000000000001.spool", dir);
    char *data = NULL;
    size_t len = 0;
    if (kp_file_read(path, 1u << 26, &data, &len, NULL) != 0)
        return 0;
    kp_free(data);
    return len;
}

static const char *watched;
static bool spool_is_larger(const struct bench *bench, size_t want)
{
    (void)bench;
    return spooled(watched) > want;
}

static void goes_over_a_restart(void **state)
{
    char *dir = kp_test_tmpdir();
    const struct kp_sink_options options = {.spool_dir = dir, .concurrent = 1};
    struct bench *bench = fixture_start(options);
    (void)state;
    kp_sink_memory_script(bench->memory, &away);
    for (unsigned i = 0; i < 5; i++)
        fixture_put(bench, i, 1000);
    watched = dir;
    fixture_until(bench, spool_is_larger, 5000);
    fixture_run(bench, 50);
    fixture_close(bench); // no flush: what is on disk counts
    fixture_open(bench, options);
    assert_int_equal(kp_sink_waiting(bench->sink), 5);
    assert_int_equal(kp_sink_waiting_of(bench->sink, "shop/a"), 5);
    fixture_until(bench, outcomes_are, 5);
    for (unsigned i = 0; i < 5; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%u", i);
        assert_string_equal(bench->outcomes.items[i].key, key);
        assert_int_equal(bench->outcomes.items[i].outcome, KP_OUTCOME_SUCCEEDED);
        assert_int_equal(kp_sink_memory_delivery(bench->memory, i)->len, 1000);
    }
    fixture_close(bench);
    assert_int_equal(spooled(dir), 0); // what was delivered does not stay
    fixture_open(bench, options);
    assert_int_equal(kp_sink_waiting(bench->sink), 0);
    fixture_end(bench);
    kp_test_rmdir(dir);
}

// A delivery whose answer does not come must not cost the capture when the process dies.
static void what_waits_for_an_answer_is_spooled(void **state)
{
    char *dir = kp_test_tmpdir();
    const struct kp_sink_options options = {.spool_dir = dir};
    struct bench *bench = fixture_start(options);
    (void)state;
    kp_sink_memory_script(bench->memory, NULL);
    fixture_put(bench, 1, 1000);
    fixture_put(bench, 2, 1000);
    watched = dir;
    fixture_until(bench, spool_is_larger, 2000);
    assert_int_equal(kp_sink_memory_open(bench->memory), 2);
    assert_true(kp_sink_memory_answer(bench->memory, 0, &stored)); // on disk or being written: goes
    fixture_run(bench, 50);
    assert_int_equal(bench->outcomes.n, 1);
    fixture_close(bench);
    fixture_open(bench, options);
    // the first one's file lives on with the second: it may be delivered again, its key makes that harmless
    assert_true(kp_sink_waiting(bench->sink) >= 1);
    fixture_until(bench, outcomes_are, 2);
    fixture_end(bench);
    kp_test_rmdir(dir);
}

static void an_answer_during_the_write_is_safe(void **state)
{
    char *dir = kp_test_tmpdir();
    struct bench *bench =
        fixture_start((struct kp_sink_options){.spool_dir = dir, .memory_bytes = 4000, .concurrent = 50});
    (void)state;
    kp_sink_memory_script(bench->memory, NULL);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 5; i++)
            fixture_put(bench, round * 5 + i, 1000); // the fifth makes memory full: written at once
        while (kp_sink_memory_answer(bench->memory, 0, &stored))
            ;
        fixture_run(bench, 1);
    }
    kp_sink_memory_script(bench->memory, &stored);
    fixture_until(bench, outcomes_are, 100);
    size_t succeeded = 0;
    for (size_t i = 0; i < 100; i++) // a slow disk may cost some: their bytes are held until written
        succeeded += bench->outcomes.items[i].outcome == KP_OUTCOME_SUCCEEDED;
    assert_true(succeeded >= 5);
    assert_int_equal(kp_sink_waiting(bench->sink), 0);
    fixture_close(bench);
    assert_int_equal(spooled(dir), 0);
    fixture_end(bench);
    kp_test_rmdir(dir);
}

static bool nothing_is_being_written(const struct bench *bench, size_t unused)
{
    (void)unused;
    return !bench->sink->spilling;
}

static void a_full_spool_costs_the_newest(void **state)
{
    char *dir = kp_test_tmpdir();
    struct kp_metrics *metrics = kp_metrics_create();
    struct bench *bench = fixture_start((struct kp_sink_options){
        .spool_dir = dir, .spool_bytes = 200000, .memory_bytes = 30000, .metrics = metrics});
    (void)state;
    kp_sink_memory_script(bench->memory, &away);
    for (unsigned i = 0; i < 40; i++) {
        fixture_put(bench, i, 10000);
        fixture_run(bench, 20);
        fixture_until(bench, nothing_is_being_written, 0); // else it is memory that is full
    }
    assert_true(bench->outcomes.n > 10 && bench->outcomes.n < 35);
    assert_string_equal(bench->outcomes.items[bench->outcomes.n - 1].key, "k39");
    for (size_t i = 0; i < bench->outcomes.n; i++)
        assert_int_equal(bench->outcomes.items[i].outcome, KP_OUTCOME_UNDELIVERED);
    assert_non_null(strstr(bench->outcomes.items[0].message, "spool is full"));
    assert_true(spooled(dir) <= 200000);
    assert_int_equal(kp_metric_value(kp_gauge(metrics, "kube_pprof_spool_limit_bytes", "")), 200000);
    assert_int_equal(kp_metric_value(kp_gauge(metrics, "kube_pprof_spool_bytes", "")), spooled(dir));
    size_t kept = kp_sink_waiting(bench->sink), lost = bench->outcomes.n;
    assert_int_equal(kept + lost, 40);
    kp_sink_memory_script(bench->memory, &stored);
    fixture_until(bench, outcomes_are, 40);
    for (size_t i = lost; i < 40; i++)
        assert_int_equal(bench->outcomes.items[i].outcome, KP_OUTCOME_SUCCEEDED);
    fixture_end(bench);
    kp_metrics_destroy(metrics);
    kp_test_rmdir(dir);
}

static void what_is_too_old_is_given_up(void **state)
{
    char *dir = kp_test_tmpdir();
    struct bench *bench =
        fixture_start((struct kp_sink_options){.spool_dir = dir, .max_age_ms = 3600000, .concurrent = 1});
    (void)state;
    kp_sink_memory_script(bench->memory, &away);
    fixture_put(bench, 1, 100);
    watched = dir;
    fixture_until(bench, spool_is_larger, 100);
    fixture_now_offset = 3700000;
    fixture_put(bench, 2, 100);
    kp_sink_memory_script(bench->memory, &stored);
    fixture_until(bench, outcomes_are, 2);
    assert_string_equal(bench->outcomes.items[0].key, "k1");
    assert_int_equal(bench->outcomes.items[0].outcome, KP_OUTCOME_UNDELIVERED);
    assert_int_equal(bench->outcomes.items[1].outcome, KP_OUTCOME_SUCCEEDED);
    fixture_end(bench);
    kp_test_rmdir(dir);
}

static void set(void *user)
{
    *(bool *)user = true;
}

static void a_flush_writes_what_cannot_be_delivered(void **state)
{
    char *dir = kp_test_tmpdir();
    const struct kp_sink_options options = {.spool_dir = dir};
    struct bench *bench = fixture_start(options);
    (void)state;
    kp_sink_memory_script(bench->memory, NULL); // no answer ever
    for (unsigned i = 0; i < 3; i++)
        fixture_put(bench, i, 500);
    kp_sink_flush(bench->sink, 100, set, &bench->flushed);
    assert_true(kp_loop_run_until(bench->loop, &bench->flushed, 5000));
    assert_int_equal(bench->outcomes.n, 0);
    fixture_close(bench);
    fixture_open(bench, options);
    assert_int_equal(kp_sink_waiting(bench->sink), 3);
    fixture_until(bench, outcomes_are, 3);
    bench->flushed = false;
    kp_sink_flush(bench->sink, 60000, set, &bench->flushed); // nothing waits: at once
    assert_true(kp_loop_run_until(bench->loop, &bench->flushed, 5000));
    fixture_end(bench);
    kp_test_rmdir(dir);
}

static void a_second_process_is_told(void **state)
{
    char *dir = kp_test_tmpdir();
    struct bench *bench = fixture_start((struct kp_sink_options){.spool_dir = dir});
    (void)state;
    struct kp_error err = {0};
    struct kp_sink *other = NULL;
    struct kp_sink_memory *memory = kp_sink_memory_create(bench->loop);
    const struct kp_sink_options options = {.ops = &kp_sink_memory_ops, .self = memory, .spool_dir = dir};
    assert_int_equal(
        kp_sink_create(bench->loop, &options, fixture_outcome, bench, &other, &err), KP_CONFLICT);
    assert_non_null(strstr(err.text, "another process"));
    kp_sink_memory_destroy(memory);
    fixture_end(bench);
    kp_test_rmdir(dir);
}

static void a_damaged_capture_is_given_up(void **state)
{
    char *dir = kp_test_tmpdir();
    const struct kp_sink_options options = {.spool_dir = dir, .concurrent = 1};
    struct bench *bench = fixture_start(options);
    (void)state;
    kp_sink_memory_script(bench->memory, &away);
    fixture_put(bench, 1, 1000);
    watched = dir;
    fixture_until(bench, spool_is_larger, 1000);
    fixture_close(bench);
    fixture_open(bench, options);
    kp_auto_free char *path = kp_asprintf("%s/000000000001.spool", dir);
    assert_int_equal(kp_file_write_atomic(path, "KPSP", 4, 0600, NULL), 0);
    fixture_until(bench, outcomes_are, 1);
    assert_int_equal(bench->outcomes.items[0].outcome, KP_OUTCOME_UNDELIVERED);
    assert_non_null(strstr(bench->outcomes.items[0].message, "could not be read back"));
    fixture_end(bench);
    kp_test_rmdir(dir);
}

static void put_on_disk(struct bench *bench, const char *namespace, unsigned n, size_t size)
{
    fixture_put_in(bench, namespace, n, size);
    kp_sink_spill(bench->sink, 0);
    fixture_until(bench, nothing_is_being_written, 0);
}

// What comes back from disk must not take the room of what has nowhere else to be.
static void the_spool_is_read_as_memory_has_room(void **state)
{
    char *dir = kp_test_tmpdir();
    struct bench *bench = fixture_start((struct kp_sink_options){.spool_dir = dir, .memory_bytes = 16000});
    (void)state;
    kp_sink_pause(bench->sink, true);
    for (unsigned i = 0; i < 8; i++)
        put_on_disk(bench, "shop", i, 5000);
    assert_int_equal(kp_sink_memory(bench->sink), 0);
    kp_sink_memory_script(bench->memory, NULL);
    kp_sink_pause(bench->sink, false);
    fixture_until(bench, open_are, 3);
    fixture_run(bench, 50);
    assert_int_equal(kp_sink_memory_open(bench->memory), 3);
    assert_int_equal(kp_sink_memory(bench->sink), 15000);
    fixture_put_in(bench, "blog", 8, 5000);
    fixture_put_in(bench, "shop", 9, 5000);
    assert_int_equal(bench->outcomes.n, 0); // both are taken
    fixture_until(bench, open_are, 4);      // blog's is in memory: nothing of its own is before it
    assert_string_equal(kp_sink_memory_delivery(bench->memory, 3)->key, "k8");
    fixture_run(bench, 50);
    assert_int_equal(kp_sink_memory_open(bench->memory), 4); // shop's waits behind those on disk
    kp_sink_memory_script(bench->memory, &stored);
    fixture_until(bench, outcomes_are, 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(bench->outcomes.items[i].outcome, KP_OUTCOME_SUCCEEDED);
    assert_int_equal(kp_sink_memory(bench->sink), 0);
    fixture_end(bench);
    kp_test_rmdir(dir);
}

static void what_is_larger_than_memory_gets_its_turn(void **state)
{
    char *dir = kp_test_tmpdir();
    struct bench *bench = fixture_start((struct kp_sink_options){.spool_dir = dir, .memory_bytes = 16000});
    (void)state;
    kp_sink_pause(bench->sink, true);
    for (unsigned i = 0; i < 4; i++)
        put_on_disk(bench, "shop", i, 5000);
    put_on_disk(bench, "blog", 4, 40000);
    kp_sink_memory_script(bench->memory, NULL);
    kp_sink_pause(bench->sink, false);
    fixture_until(bench, open_are, 1); // shop's others would fit, but it is blog's turn
    fixture_run(bench, 50);
    assert_int_equal(kp_sink_memory_open(bench->memory), 1);
    assert_true(kp_sink_memory_answer(bench->memory, 0, &stored));
    fixture_until(bench, sent_are, 2);
    assert_string_equal(kp_sink_memory_delivery(bench->memory, 1)->key, "k4");
    assert_int_equal(kp_sink_memory(bench->sink), 40000);
    assert_true(kp_sink_memory_answer(bench->memory, 0, &away)); // and once more from disk
    assert_int_equal(kp_sink_memory(bench->sink), 0);
    kp_sink_memory_script(bench->memory, &stored);
    fixture_until(bench, outcomes_are, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(bench->outcomes.items[i].outcome, KP_OUTCOME_SUCCEEDED);
    fixture_end(bench);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_over_a_restart),
        cmocka_unit_test(what_waits_for_an_answer_is_spooled),
        cmocka_unit_test(an_answer_during_the_write_is_safe),
        cmocka_unit_test(a_full_spool_costs_the_newest),
        cmocka_unit_test(what_is_too_old_is_given_up),
        cmocka_unit_test(a_flush_writes_what_cannot_be_delivered),
        cmocka_unit_test(a_second_process_is_told),
        cmocka_unit_test(a_damaged_capture_is_given_up),
        cmocka_unit_test(the_spool_is_read_as_memory_has_room),
        cmocka_unit_test(what_is_larger_than_memory_gets_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
