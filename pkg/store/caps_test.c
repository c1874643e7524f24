// What one namespace may keep, and that others notice nothing of one that wants more.
#include "store/store_testing.h"

#include <stdio.h>

#include "base/banned.h"

#define KEEP ((uint64_t)200000)

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

// 0, or the code it was refused with.
static int try_put(struct kp_store *store, struct what w, struct kp_error *ret_err)
{
    struct kp_append a;
    make(&a, w);
    kp_store_append(store, &a, 1);
    int code = a.status == KP_APPEND_FAILED ? a.error.code : 0;
    if (ret_err)
        *ret_err = a.error;
    release(&a);
    return code;
}

static size_t n_of(struct kp_store *store, const char *namespace)
{
    return count(store, (struct kp_store_query){.namespace = namespace}, NULL);
}

static void seal_all(struct kp_store *store)
{
    struct kp_seal *seal = NULL;
    struct kp_error err = {0};
    for (;;) {
        if (kp_store_seal_begin(store, true, &seal, &err) != 0)
            fail_msg("%s", err.text);
        if (seal == NULL)
            return;
        int rc = kp_seal_run(seal, NULL, &err);
        if (kp_seal_end(seal, &err) != 0 || rc != 0)
            fail_msg("%s", err.text);
    }
}

static void test_the_oldest_of_the_greedy_go(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_metrics *metrics = kp_metrics_create();
    struct kp_store *store =
        open_store(dir, (struct kp_store_options){
                            .max_bytes_per_namespace = KEEP, .log_file_bytes = 50000, .metrics = metrics});
    struct kp_error err = {0};
    size_t n_taken = 0;
    for (int i = 0; i < 20; i++)
        kp_free(put(store, (struct what){.namespace = "modest", .size = 1000}));
    for (; try_put(store, (struct what){.namespace = "greedy", .size = 5000}, &err) == 0; n_taken++)
        clock_ms += 1000;
    assert_true(n_taken > 36 && n_taken < 46); // and a tenth
    assert_int_equal(err.code, KP_THROTTLED);
    assert_true(err.retry_after_s > 0);
    assert_non_null(strstr(err.text, "namespace 'greedy'"));
    assert_non_null(strstr(err.text, "--max-bytes-per-namespace"));
    assert_true(kp_store_wants_retain(store));
    kp_free(put(store, (struct what){.namespace = "modest", .size = 1000})); // goes on
    retain(store);
    assert_false(kp_store_wants_retain(store));
    assert_int_equal(n_of(store, "modest"), 21);
    assert_true(n_of(store, "greedy") >= 30 && n_of(store, "greedy") <= 40);
    // room was made: it goes on as well
    kp_free(put(store, (struct what){.namespace = "greedy", .size = 5000}));
    // not for lack of room: that would be the administrator's trouble
    assert_int_equal(
        kp_metric_value(kp_counter(metrics, "kube_pprof_registry_profiles_given_up_total", "")), 0);
    assert_int_equal(
        kp_metric_value(kp_counter(metrics, "kube_pprof_registry_append_failures_total", "")), 0);
    kp_store_close(store);
    kp_metrics_destroy(metrics);
    kp_test_rmdir(dir);
}

static void test_also_what_is_sealed(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    struct kp_store_stats stats;
    for (int i = 0; i < 5; i++)
        kp_free(put(store, (struct what){.namespace = "modest", .size = 200}));
    for (int i = 0; i < 90; i++, clock_ms += 240000) // of several hours
        kp_free(put(store, (struct what){.namespace = "greedy", .size = 5000}));
    seal_all(store);
    kp_store_get_stats(store, &stats);
    assert_true(stats.n_segments > 4);
    kp_store_close(store);
    store =
        open_store(dir, (struct kp_store_options){.max_bytes_per_namespace = stats.segment_bytes * 2 / 3});
    retain(store);
    assert_int_equal(n_of(store, "modest"), 5);
    assert_true(n_of(store, "greedy") > 20 && n_of(store, "greedy") < 80);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void test_it_never_keeps_more(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    const struct kp_store_options options = {.max_bytes_per_namespace = KEEP, .log_file_bytes = 30000};
    struct kp_store *store = open_store(dir, options);
    int n_refused = 0;
    for (int i = 0; i < 600; i++) {
        clock_ms += 1000;
        n_refused += try_put(store, (struct what){.namespace = "greedy", .size = 5000}, NULL) != 0;
        if (kp_store_wants_retain(store))
            retain(store);
        assert_true(n_of(store, "greedy") <= 44);
    }
    assert_int_equal(n_refused, 0); // who is served in time refuses nobody
    kp_store_close(store);
    store = open_store(dir, options); // what is there counts from the start
    retain(store);
    assert_true(n_of(store, "greedy") >= 30 && n_of(store, "greedy") <= 40);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void test_series_are_counted(void **state)
{
    (void)state;
    static const char *const teams[] = {"a", "b", "c", "d"};
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store_options options = {.max_series_per_namespace = 3, .retention_ms = 1000000};
    struct kp_store *store = open_store(dir, options);
    struct kp_error err = {0};
    for (int i = 0; i < 3; i++)
        kp_free(put(store, (struct what){.namespace = "shop", .team = teams[i]}));
    assert_int_equal(try_put(store, (struct what){.namespace = "shop", .team = "d"}, &err), KP_THROTTLED);
    assert_non_null(strstr(err.text, "namespace 'shop' has 3 series"));
    assert_non_null(strstr(err.text, "--max-series-per-namespace"));
    for (int i = 0; i < 3; i++) {
        kp_free(put(store, (struct what){.namespace = "shop", .team = teams[i]}));
        kp_free(put(store, (struct what){.namespace = "pay", .team = teams[i]}));
    }
    kp_store_close(store);
    store = open_store(dir, options);
    assert_int_equal(try_put(store, (struct what){.namespace = "shop", .team = "d"}, NULL), KP_THROTTLED);
    clock_ms += 2000000; // they have ended
    retain(store);
    kp_free(put(store, (struct what){.namespace = "shop", .team = "d"}));
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// Whoever may push cannot fill the memory with labels, nor take what others need.
static void test_memory_of_series(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    char team[1000];
    struct kp_store_options options = {.max_series_bytes = 100000, .retention_ms = 1000000};
    struct kp_store *store = open_store(dir, options);
    struct kp_error err = {0};
    int n[3] = {0};
    static const char *const namespaces[] = {"greedy", "shop", "third"};
    memset(team, 'a', sizeof team);
    for (int tenant = 0; tenant < 3; tenant++) {
        int rc = 0;
        kp_error_clear(&err);
        for (; rc == 0 && n[tenant] < 1000; n[tenant] += rc == 0) {
            snprintf(team + 900, 100, "%d", n[tenant]);
            rc = try_put(store, (struct what){.namespace = namespaces[tenant], .team = team}, &err);
        }
        assert_int_equal(rc, KP_THROTTLED);
        assert_true(err.retry_after_s > 0);
    }
    assert_non_null(strstr(err.text, "namespace 'third' has "));
    assert_true(n[0] > 45 && n[0] < 75); // three quarters
    assert_true(n[1] >= n[0] / 4 - 2);   // and of what each leaves
    assert_true(n[2] >= n[1] / 4 - 2 && n[2] >= 2);
    kp_store_close(store);
    store = open_store(dir, options); // what is there is counted again
    snprintf(team + 900, 100, "%d", 9999);
    assert_int_equal(try_put(store, (struct what){.namespace = "greedy", .team = team}, NULL), KP_THROTTLED);
    snprintf(team + 900, 100, "%d", 7);
    assert_int_equal(try_put(store, (struct what){.namespace = "greedy", .team = team}, NULL), 0); // is there
    clock_ms += 2000000; // they have ended
    retain(store);
    assert_int_equal(try_put(store, (struct what){.namespace = "third", .team = team}, NULL), 0);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// Two that take what they may leave room; however many come, there is an end, which is not called theirs.
static void test_memory_of_all_series(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    char team[1000];
    char namespace[16];
    struct kp_store *store =
        open_store(dir, (struct kp_store_options){.max_series_bytes = 20000, .retention_ms = 1000000});
    struct kp_error err = {0};
    int rc = 0;
    int n = 0;
    memset(team, 'a', sizeof team);
    team[900] = '\0';
    for (; rc == 0 && n < 100; n += rc == 0) {
        snprintf(namespace, sizeof namespace, "shop%d", n);
        rc = try_put(store, (struct what){.namespace = namespace, .team = team}, &err);
    }
    assert_int_equal(rc, KP_UNAVAILABLE); // captures wait for it
    assert_non_null(strstr(err.text, "as much as there may be"));
    assert_true(n > 10 && n < 25);
    kp_free(put(store, (struct what){.namespace = "shop0", .team = team})); // is there
    clock_ms += 2000000;
    retain(store);
    assert_int_equal(try_put(store, (struct what){.namespace = namespace, .team = team}, NULL), 0);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_oldest_of_the_greedy_go),
        cmocka_unit_test(test_also_what_is_sealed),
        cmocka_unit_test(test_it_never_keeps_more),
        cmocka_unit_test(test_series_are_counted),
        cmocka_unit_test(test_memory_of_series),
        cmocka_unit_test(test_memory_of_all_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
