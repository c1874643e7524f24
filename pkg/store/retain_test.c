#include "store/store_testing.h"

#include <sys/stat.h>
#include <unistd.h>

#include "store/state.h"
#include "base/banned.h"

#define HOUR INT64_C(3600000)

static void retain(struct kp_store *store)
{
    struct kp_error err = {0};
    bool more = true;
    for (int i = 0; more; i++) {
        assert_true(i < 1000);
        if (kp_store_retain(store, &more, &err) != 0)
            fail_msg("%s", err.text);
    }
}

static uint64_t bytes_of(struct kp_store *store)
{
    struct kp_store_stats stats;
    kp_store_get_stats(store, &stats);
    return stats.log_bytes;
}

static void test_age(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    const struct kp_store_options options = {
        .retention_ms = 10 * HOUR, .max_retention_ms = 100 * HOUR, .log_file_bytes = 20000};
    struct kp_store *store = open_store(dir, options);
    char *normal[30];
    char *longer[30];
    for (int i = 0; i < 30; i++) { // of 2019, all the same: the time of receipt counts
        normal[i] = put(store, (struct what){.start_ms = INT64_C(1559250000000) + i});
        longer[i] = put(store, (struct what){.retention_ms = 1000 * HOUR, .service = "capped"});
    }
    char *shorter = put(store, (struct what){.retention_ms = HOUR, .service = "short"});
    clock_ms += HOUR - 1;
    retain(store);
    assert_true(is_here(store, shorter));
    clock_ms += 1;
    assert_false(is_here(store, shorter)); // also before it is dropped
    retain(store);
    assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 60);
    clock_ms = T0 + 10 * HOUR;
    for (int round = 0; round < 2; round++) {
        retain(store);
        for (int i = 0; i < 30; i++) {
            assert_false(is_here(store, normal[i]));
            assert_true(is_here(store, longer[i]));
        }
        kp_store_close(store);
        store = open_store(dir, options);
    }
    clock_ms = T0 + 100 * HOUR;
    retain(store);
    assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 0);
    retain(store);
    struct kp_store_stats stats;
    kp_store_get_stats(store, &stats);
    assert_int_equal(stats.n_profiles, 0);
    assert_int_equal(stats.n_series, 0);
    assert_true(stats.log_bytes < 1000);
    // numbers go on: an id never comes twice
    char *next = put(store, (struct what){.start_ms = INT64_C(1559250000000)});
    for (int i = 0; i < 30; i++) {
        assert_string_not_equal(next, normal[i]);
        kp_free(normal[i]);
        kp_free(longer[i]);
    }
    kp_free(next);
    kp_free(shorter);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void test_keys_outlive_profiles(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    const struct kp_store_options options = {.retention_ms = HOUR, .log_file_bytes = 20000};
    struct kp_store *store = open_store(dir, options);
    char *first = put(store, (struct what){.key = "a"});
    clock_ms += 2 * HOUR;
    retain(store);
    assert_false(is_here(store, first));
    assert_true(bytes_of(store) < 500);
    for (int round = 0; round < 3; round++) { // a replay from a spool: not counted again
        struct kp_append again;
        make(&again, (struct what){.key = "a"});
        kp_store_append(store, &again, 1);
        assert_int_equal(again.status, KP_APPEND_KNOWN);
        assert_string_equal(again.record->id, first);
        release(&again);
        kp_store_close(store);
        store = open_store(dir, options);
    }
    clock_ms += 23 * HOUR;
    retain(store);
    char *anew = put(store, (struct what){.key = "a"});
    assert_string_not_equal(anew, first);
    kp_free(anew);
    kp_free(first);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static size_t count_of(struct kp_store *store, const char *namespace)
{
    return count(store, (struct kp_store_query){.namespace = namespace}, NULL);
}

static void test_bytes_are_shared(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_metrics *metrics = kp_metrics_create();
    const struct kp_store_options options = {.max_bytes = 1 << 20, .metrics = metrics};
    const struct kp_metric *given_up = kp_counter(metrics, "kube_pprof_registry_profiles_given_up_total", "");
    struct kp_store *store = open_store(dir, options);
    struct kp_store_stats stats;
    kp_store_get_stats(store, &stats);
    assert_int_equal(stats.limit_bytes, options.max_bytes);
    char *modest[20];
    for (int i = 0; i < 20; i++)
        modest[i] = put(store, (struct what){.namespace = "modest", .start_ms = T0 + i, .size = 5000});
    char *first = put(store, (struct what){.namespace = "greedy", .size = 10000});
    char *last = NULL;
    for (int i = 0; i < 500; i++) {
        kp_free(last);
        last = put(store, (struct what){.namespace = "greedy", .start_ms = T0 + 1000 + i, .size = 10000});
        assert_true(bytes_of(store) <= (uint64_t)options.max_bytes);
    }
    assert_false(is_here(store, first)); // the greedy one's oldest went
    assert_true(is_here(store, last));
    assert_int_equal(count_of(store, "modest"), 20);
    size_t greedy = count_of(store, "greedy");
    assert_true(greedy > 40 && greedy < 100);
    assert_int_equal(kp_metric_value(given_up), 501 - greedy);
    for (int i = 0; i < 20; i++)
        assert_true(is_here(store, modest[i]));
    kp_store_close(store);
    store = open_store(dir, options);
    assert_int_equal(count_of(store, "modest"), 20);
    assert_int_equal(count_of(store, "greedy"), greedy);
    assert_true(is_here(store, last));
    // one that can never fit
    struct kp_append huge;
    make(&huge, (struct what){.size = 2 << 20});
    kp_store_append(store, &huge, 1);
    assert_int_equal(huge.status, KP_APPEND_FAILED);
    assert_int_equal(huge.error.code, KP_LIMIT);
    release(&huge);
    for (int i = 0; i < 20; i++)
        kp_free(modest[i]);
    kp_free(first);
    kp_free(last);
    kp_store_close(store);
    kp_metrics_destroy(metrics);
    kp_test_rmdir(dir);
}

static void test_mixed_files_shrink(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    const struct kp_store_options options = {.log_file_bytes = 100000};
    struct kp_store *store = open_store(dir, options);
    char *ids[100];
    for (int i = 0; i < 100; i++)
        ids[i] = put(store, (struct what){.start_ms = T0 + i, .size = 5000});
    uint64_t before = bytes_of(store);
    for (int i = 0; i < 100; i++)
        if (i % 4 != 0)
            assert_int_equal(kp_store_delete(store, ids[i], NULL), 0);
    retain(store);
    assert_true(bytes_of(store) < before / 2);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            assert_int_equal(is_here(store, ids[i]), i % 4 == 0);
        kp_store_close(store);
        if (round == 1) {
            kp_auto_free char *path = kp_asprintf("%s/index.db", dir);
            assert_int_equal(unlink(path), 0);
        }
        store = open_store(dir, options);
    }
    for (int i = 0; i < 100; i++)
        kp_free(ids[i]);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void test_what_others_fill_takes_not_all(void **state)
{
    (void)state;
    static const struct {
        uint64_t total, free_bytes, used, budget;
    } rows[] = {{1000, 1000, 0, 900}, {1000, 500, 500, 900}, {1000, 50, 950, 900}, {1000, 0, 1000, 900},
        {1000, 300, 200, 400}, // others have the rest
        {1000, 0, 200, 100}, {1000, 0, 60, 100}, {1000, 100, 0, 100}, {0, 0, 0, 1}};
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        assert_int_equal(kp_store_budget_of(rows[i].total, rows[i].free_bytes, rows[i].used), rows[i].budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_what_others_fill_takes_not_all),
        cmocka_unit_test(test_keys_outlive_profiles),
        cmocka_unit_test(test_bytes_are_shared),
        cmocka_unit_test(test_mixed_files_shrink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
