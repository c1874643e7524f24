// Sealing, joining, deleting and compaction beside readers. Worth most under TSan.
#include "store/seal_testing.h"

#include <pthread.h>
#include <stdlib.h>

#include "store/hits.h"
#include "base/banned.h"

#define N 40

struct reader {
    struct kp_store *store;
    int stop; // atomic
    size_t n_lists, n_gets;
};

static bool on_any(void *user, const struct kp_record *record)
{
    struct listing *l = user;
    kp_copy(l->ids[l->n++], sizeof l->ids[0], record->id);
    return l->n < KP_COUNT(l->ids);
}

static void *read_on(void *user)
{
    struct reader *r = user;
    struct listing *l = KP_NEW(struct listing);
    while (__atomic_load_n(&r->stop, __ATOMIC_RELAXED) == 0) {
        char *cursor = NULL;
        const struct kp_store_query q = {.limit = 100, .newest_first = r->n_lists % 2};
        l->n = 0;
        if (kp_store_list(r->store, &q, on_any, l, &cursor, NULL) != 0)
            abort();
        kp_free(cursor);
        for (size_t i = 1; i < l->n; i++) { // in order, each once; the time stands in front
            int order = strncmp(l->ids[i - 1], l->ids[i], 10);
            if (strcmp(l->ids[i - 1], l->ids[i]) == 0 || (q.newest_first ? order < 0 : order > 0))
                abort();
        }
        for (size_t i = 0; i < l->n; i += 9) {
            struct kp_blob *body = NULL;
            int rc = kp_store_get(r->store, l->ids[i], NULL, &body, NULL);
            if (rc != 0 && rc != KP_NOT_FOUND) // the writer deletes some
                abort();
            kp_blob_unref(body);
            r->n_gets++;
        }
        struct kp_hits hits;
        if (kp_hits_find(r->store, &(struct kp_store_query){0}, 100000, &hits, NULL) != 0)
            abort();
        kp_hits_finish(&hits);
        struct kp_store_stats stats;
        kp_store_get_stats(r->store, &stats);
        r->n_lists++;
    }
    kp_free(l);
    return NULL;
}

struct work {
    struct kp_seal *seal;
    int rc;
};

static void *run_work(void *user)
{
    struct work *work = user;
    work->rc = kp_seal_run(work->seal, NULL, NULL);
    return NULL;
}

static int64_t shared_clock_ms; // atomic: readers ask for the time, too

static int64_t shared_now(void)
{
    return __atomic_load_n(&shared_clock_ms, __ATOMIC_RELAXED);
}

// An hour's work while others read: what is sealed is deleted from and added to.
static void work_an_hour(struct kp_store *store, int64_t start_ms)
{
    struct kp_seal *seal = NULL;
    char *ids[N];
    for (int i = 0; i < N; i++)
        ids[i] = put_capture(
            store, (struct capture){
                       .namespace = "shop", .pod = i % 2 ? "p0" : "p1", .start_ms = start_ms + i * 1000});
    assert_int_equal(kp_store_seal_begin(store, true, &seal, NULL), 0);
    struct work work = {.seal = seal};
    pthread_t worker;
    assert_int_equal(pthread_create(&worker, NULL, run_work, &work), 0);
    for (int i = 0; i < N; i += 8)
        assert_int_equal(kp_store_delete(store, ids[i], NULL), 0);
    fill_mixed(store, N, NULL);
    retain_all(store);
    assert_int_equal(pthread_join(worker, NULL), 0);
    assert_int_equal(work.rc, 0);
    assert_int_equal(kp_seal_end(seal, NULL), 0);
    retain_all(store);
    free_ids(ids, N);
}

static void test_readers_beside(void **state)
{
    (void)state;
    clock_ms = T0 / DAY * DAY;
    __atomic_store_n(&shared_clock_ms, clock_ms, __ATOMIC_RELAXED);
    char *dir = kp_test_tmpdir();
    struct kp_store *store =
        open_store(dir, (struct kp_store_options){.log_file_bytes = 20000, .now_ms = shared_now});
    struct reader readers[2] = {{.store = store}, {.store = store}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    for (int hour = 0; hour < 12; hour++) {
        work_an_hour(store, clock_ms + hour * HOUR);
        __atomic_fetch_add(&shared_clock_ms, hour == 8 ? 2 * DAY : HOUR, __ATOMIC_RELAXED);
        if (hour == 9)
            assert_true(seal_all(store, false) > 0); // joins
    }
    seal_all(store, true);
    for (int i = 0; i < 2; i++) {
        __atomic_store_n(&readers[i].stop, 1, __ATOMIC_RELAXED);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(readers[i].n_lists > 0);
    }
    assert_int_equal(stats_of(store).n_profiles, 12 * (2 * N - N / 8));
    kp_store_close(store);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_readers_beside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
