// Forgetting beside readers, sealing and upkeep: what a call has forgotten is in nothing that begins after
// it. Worth most under TSan.
#include "store/seal_testing.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/banned.h"

#define ROUNDS 10
#define EACH   12

static int64_t shared_clock_ms; // atomic
static int64_t forgotten_ms;    // atomic: set when the call has returned

static int64_t shared_now(void)
{
    return __atomic_load_n(&shared_clock_ms, __ATOMIC_RELAXED);
}

struct reader {
    struct kp_store *store;
    int stop; // atomic
    size_t n_lists;
};

static bool on_listed(void *user, const struct kp_record *record)
{
    if (record->start_ms < *(const int64_t *)user)
        abort();
    return true;
}

static void on_shop(void *user, const struct kp_service_info *info)
{
    (void)user;
    (void)info;
}

static void on_label(void *user, const char *text, uint64_t n)
{
    (void)user;
    (void)text;
    (void)n;
}

static void *read_on(void *user)
{
    struct reader *r = user;
    while (__atomic_load_n(&r->stop, __ATOMIC_RELAXED) == 0) {
        const struct kp_store_query q = {.namespace = "shop", .limit = 1000, .newest_first = r->n_lists % 2};
        int64_t before_ms = __atomic_load_n(&forgotten_ms, __ATOMIC_ACQUIRE);
        char *cursor = NULL;
        if (kp_store_list(r->store, &q, on_listed, &before_ms, &cursor, NULL) != 0)
            abort();
        kp_free(cursor);
        if (kp_store_services(r->store, "shop", on_shop, NULL, NULL) != 0 ||
            kp_store_labels(r->store, &q, "k8s.pod", on_label, NULL, NULL) != 0)
            abort();
        r->n_lists++;
    }
    return NULL;
}

static void *run_work(void *user)
{
    if (kp_seal_run(user, NULL, NULL) != 0)
        abort();
    return NULL;
}

static void put_some(struct kp_store *store, size_t round)
{
    int64_t now_ms = shared_now();
    for (size_t i = 0; i < EACH; i++)
        kp_free(put_capture(store, (struct capture){.namespace = i % 3 ? "shop" : "pay",
                                       .pod = i % 2 ? "p0" : "p1",
                                       .digest = "d",
                                       .start_ms = now_ms + (int64_t)i,
                                       .seed = round * EACH + i}));
}

// Forgotten while its profiles are on their way into a segment.
static void work_a_round(struct kp_store *store, size_t round)
{
    struct kp_seal *seal = NULL;
    pthread_t worker;
    put_some(store, round);
    assert_int_equal(kp_store_seal_begin(store, true, &seal, NULL), 0);
    if (seal)
        assert_int_equal(pthread_create(&worker, NULL, run_work, seal), 0);
    int64_t before_ms = shared_now() + EACH;
    __atomic_fetch_add(&shared_clock_ms, HOUR, __ATOMIC_RELAXED);
    assert_int_equal(kp_store_forget_namespace(store, "shop", before_ms, NULL), 0);
    __atomic_store_n(&forgotten_ms, before_ms, __ATOMIC_RELEASE);
    put_some(store, ROUNDS + round);
    if (round % 2)
        retain_all(store);
    if (seal) {
        assert_int_equal(pthread_join(worker, NULL), 0);
        assert_int_equal(kp_seal_end(seal, NULL), 0);
    }
    retain_all(store);
    __atomic_fetch_add(&shared_clock_ms, HOUR, __ATOMIC_RELAXED);
}

static void test_readers_beside(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    __atomic_store_n(&shared_clock_ms, T0 / DAY * DAY, __ATOMIC_RELAXED);
    struct kp_store *store =
        open_store(dir, (struct kp_store_options){.log_file_bytes = 20000, .now_ms = shared_now});
    struct reader readers[2] = {{.store = store}, {.store = store}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    for (size_t round = 0; round < ROUNDS; round++)
        work_a_round(store, round);
    for (int i = 0; i < 2; i++) {
        __atomic_store_n(&readers[i].stop, 1, __ATOMIC_RELAXED);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(readers[i].n_lists > 0);
    }
    size_t n_shop = count(store, (struct kp_store_query){.namespace = "shop"}, NULL);
    assert_int_equal(n_shop, EACH * 2 / 3); // those of the last round's second half
    assert_int_equal(count(store, (struct kp_store_query){.namespace = "pay"}, NULL), ROUNDS * 2 * EACH / 3);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_readers_beside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
