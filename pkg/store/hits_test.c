#include "store/store_testing.h"

#include <pthread.h>
#include <stdio.h>

#include "store/hits.h"
#include "base/banned.h"

// 60 profiles of six series (two services, three pods), out of order in time; ids by arrival.
static struct kp_store *filled(const char *dir, char *ids[60])
{
    static const char *const pods[] = {"p0", "p1", "p2"};
    struct kp_store *store = open_store(dir, (struct kp_store_options){.log_file_bytes = 20000});
    for (int i = 0; i < 60; i++)
        ids[i] = put(store, (struct what){.namespace = "shop",
                                .service = i % 2 ? "a" : "b",
                                .pod = pods[i % 3],
                                .start_ms = T0 + (i * 37 % 60) * 1000});
    return store;
}

static void release_all(struct kp_store *store, char *ids[60], char *dir)
{
    for (int i = 0; i < 60; i++)
        kp_free(ids[i]);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void check_order(const struct kp_hits *hits)
{
    for (size_t i = 0; i < hits->n; i++) {
        const struct kp_segment_row *row = &hits->items[i].row;
        const struct kp_segment_row *before = i > 0 ? &hits->items[i - 1].row : NULL;
        assert_true(before == NULL || before->series < row->series ||
                    (before->series == row->series && before->start_ms <= row->start_ms));
        assert_non_null(kp_hits_series(hits, row->series));
    }
}

static void test_find(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    char *ids[60];
    struct kp_store *store = filled(dir, ids);
    struct kp_hits hits;
    assert_int_equal(kp_hits_find(store, &(struct kp_store_query){0}, 60, &hits, NULL), 0);
    assert_int_equal(hits.n, 60);
    assert_int_equal(hits.n_series, 6);
    assert_true(hits.n_files > 1);
    check_order(&hits);
    kp_hits_finish(&hits);
    const struct kp_store_query some = {.service = "a", .from_ms = T0 + 10000, .to_ms = T0 + 30000};
    assert_int_equal(kp_hits_find(store, &some, 60, &hits, NULL), 0);
    assert_int_equal(hits.n, 10);
    assert_int_equal(hits.n_series, 3);
    check_order(&hits);
    for (size_t i = 0; i < hits.n_series; i++)
        assert_string_equal(hits.series[i]->fields[KP_SERIES_SERVICE], "a");
    assert_null(kp_hits_series(&hits, 4000));
    kp_hits_finish(&hits);
    assert_int_equal(kp_hits_find(store, &(struct kp_store_query){.type = "none"}, 1, &hits, NULL), 0);
    assert_int_equal(hits.n, 0);
    kp_hits_finish(&hits);
    struct kp_error err = {0};
    assert_int_equal(kp_hits_find(store, &(struct kp_store_query){0}, 59, &hits, &err), KP_LIMIT);
    assert_non_null(strstr(err.text, "more than 59"));
    release_all(store, ids, dir);
}

static void test_of_ids(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    char *ids[60];
    struct kp_store *store = filled(dir, ids);
    struct kp_hits hits;
    const char *const some[] = {ids[7], ids[3], ids[7], ids[50]};
    assert_int_equal(kp_hits_of_ids(store, NULL, some, 4, &hits, NULL), 0);
    assert_int_equal(hits.n, 4);
    for (size_t i = 0; i < 4; i++) {
        struct kp_record record;
        struct kp_blob *body;
        assert_int_equal(kp_hit_read(store, &hits.items[i], &record, &body, NULL), 0);
        assert_string_equal(record.id, some[i]);
        assert_int_equal(body->len, 1000);
        assert_string_equal(
            kp_hits_series(&hits, hits.items[i].row.series)->fields[KP_SERIES_POD], record.pod);
        kp_record_finish(&record);
        kp_blob_unref(body);
    }
    kp_hits_finish(&hits);
    assert_int_equal(kp_store_delete(store, ids[3], NULL), 0);
    struct kp_error err = {0};
    assert_int_equal(kp_hits_of_ids(store, NULL, some, 4, &hits, &err), KP_NOT_FOUND);
    assert_non_null(strstr(err.text, ids[3]));
    assert_int_equal(kp_hits_of_ids(store, NULL, some, 0, &hits, NULL), 0);
    assert_int_equal(hits.n, 0);
    kp_hits_finish(&hits);
    release_all(store, ids, dir);
}

// An id of somewhere else is answered like one that never was, also when others are named beside it.
static void test_ids_of_another_namespace_are_not_there(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    char *ids[60];
    struct kp_store *store = filled(dir, ids);
    struct kp_hits hits;
    struct kp_record record;
    const char *const known[] = {ids[7], "nonsense"};
    const char *const unknown[] = {"nonsense", ids[7]};
    const char *const other = "elsewhere";
    struct kp_error first = {0}, second = {0};
    assert_int_equal(kp_store_get_in(store, NULL, ids[7], &record, NULL, NULL), 0);
    kp_auto_free char *home = kp_strdup(record.namespace ? record.namespace : "");
    kp_record_finish(&record);
    assert_int_equal(kp_store_get_in(store, home, ids[7], NULL, NULL, NULL), 0);
    assert_int_equal(kp_store_get_in(store, other, ids[7], NULL, NULL, NULL), KP_NOT_FOUND);
    assert_int_equal(kp_hits_of_ids(store, home, known, 1, &hits, NULL), 0);
    kp_hits_finish(&hits);
    assert_int_equal(kp_hits_of_ids(store, other, known, 2, &hits, &first), KP_NOT_FOUND);
    assert_non_null(strstr(first.text, ids[7]));
    assert_int_equal(kp_hits_of_ids(store, other, unknown, 2, &hits, &second), KP_NOT_FOUND);
    assert_non_null(strstr(second.text, "nonsense"));
    release_all(store, ids, dir);
}

// What was found stays readable, whatever the writer does.
static void test_nothing_changes_under_a_reader(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    char *ids[60];
    struct kp_store *store = filled(dir, ids);
    struct kp_hits hits;
    assert_int_equal(kp_hits_find(store, &(struct kp_store_query){0}, 60, &hits, NULL), 0);
    for (int i = 0; i < 60; i++)
        assert_int_equal(kp_store_delete(store, ids[i], NULL), 0);
    for (bool more = true; more;)
        assert_int_equal(kp_store_retain(store, &more, NULL), 0);
    struct kp_store_stats stats;
    kp_store_get_stats(store, &stats);
    assert_int_equal(stats.n_series, 0);
    for (size_t i = 0; i < hits.n; i++) {
        struct kp_record record;
        assert_int_equal(kp_hit_read(store, &hits.items[i], &record, NULL, NULL), 0);
        assert_string_equal(
            kp_hits_series(&hits, hits.items[i].row.series)->fields[KP_SERIES_POD], record.pod);
        kp_record_finish(&record);
    }
    kp_hits_finish(&hits);
    release_all(store, ids, dir);
}

// ---- expressions that take long ----

#define MANY 400

static struct kp_store *with_many_series(const char *dir)
{
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    char team[1001];
    memset(team, 'a', 1000);
    team[1000] = '\0';
    for (int i = 0; i < MANY; i++) {
        char pod[16];
        snprintf(pod, sizeof pod, "p%d", i);
        kp_free(
            put(store, (struct what){.service = i % 2 ? "a" : "b", .pod = pod, .team = team, .size = 10}));
    }
    return store;
}

static struct kp_selector *selector_of(const char *text)
{
    struct kp_selector *selector = NULL;
    assert_int_equal(kp_selector_parse(text, true, &selector, NULL), 0);
    return selector;
}

static void test_expressions_choose_series(void **state)
{
    (void)state;
    static const struct {
        const char *service, *selector;
        size_t n;
    } cases[] = {{NULL, "k8s.pod=~p1.*", 111}, {NULL, "k8s.pod!~p1.*", MANY - 111}, {"a", "k8s.pod=~p1.", 5},
        {"a", "k8s.pod=~p.?.?,k8s.pod!=p1", 49}, {"c", "k8s.pod=~.*", 0}, {NULL, "team=~a+", MANY}};
    char *dir = kp_test_tmpdir();
    struct kp_store *store = with_many_series(dir);
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        struct kp_selector *selector = selector_of(cases[i].selector);
        const struct kp_store_query query = {.service = cases[i].service, .selector = selector};
        assert_int_equal(count(store, query, NULL), cases[i].n);
        kp_selector_destroy(selector);
    }
    kp_store_close(store);
    kp_test_rmdir(dir);
}

struct asking {
    struct kp_store *store;
    struct kp_store_query query;
    int rc[2];
};

static bool never(void *user, const struct kp_record *record)
{
    (void)user;
    (void)record;
    return true;
}

static void not_told(void *user, const char *text, uint64_t n)
{
    (void)user;
    (void)text;
    (void)n;
}

static void *ask(void *user)
{
    struct asking *a = user;
    char *cursor = NULL;
    a->rc[0] = kp_store_list(a->store, &a->query, never, NULL, &cursor, NULL);
    a->rc[1] = kp_store_labels(a->store, &a->query, NULL, not_told, NULL, NULL);
    kp_free(cursor);
    return NULL;
}

// Matching these expressions takes long enough: uploads do not wait for it, and it ends when it shall.
static void test_slow_expressions_hold_nobody(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = with_many_series(dir);
    struct kp_selector *selector = selector_of("team=~\"(a?){900}Z\"");
    int cancelled = 0;
    const struct kp_stop stop = {.cancelled = &cancelled};
    struct asking asking = {.store = store, .query = {.selector = selector, .stop = &stop}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ask, &asking), 0);
    for (int i = 0; i < 20; i++)
        kp_free(put(store, (struct what){.service = "new"}));
    __atomic_store_n(&cancelled, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    assert_int_equal(asking.rc[0], KP_CANCELED);
    assert_int_equal(asking.rc[1], KP_CANCELED);
    kp_selector_destroy(selector);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_of_ids),
        cmocka_unit_test(test_ids_of_another_namespace_are_not_there),
        cmocka_unit_test(test_nothing_changes_under_a_reader),
        cmocka_unit_test(test_expressions_choose_series),
        cmocka_unit_test(test_slow_expressions_hold_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
