// Killed at every step of sealing and joining: what was stored is there afterwards, whole and once; what was
// deleted stays deleted.
#include "store/seal_testing.h"

#include <stdio.h>
#include <sys/wait.h>

#include "store/tier.h"
#include "base/banned.h"

static const struct kp_store_options options = {.log_file_bytes = 60000};

enum step {
    BEFORE_RUN,
    AFTER_RUN,
    AFTER_RUN_AND_DELETE,
    AFTER_RUN_AND_DELETE_AND_COMPACTION,
    AFTER_RUN_AND_DROP,
    AFTER_END,
    AFTER_COMPACTION,
    N_STEPS
};

static bool deletes(int step)
{
    return step == AFTER_RUN_AND_DELETE || step == AFTER_RUN_AND_DELETE_AND_COMPACTION;
}

// As retention by bytes does it: a mark and no tombstone.
static void drop(struct kp_store *store, const char *text)
{
    struct kp_id id;
    struct kp_logfile *file;
    size_t at;
    if (!kp_id_parse(&store->id_form, text, &id) || !kp_store_locate(store, id.number, &file, &at))
        _exit(13);
    pthread_rwlock_wrlock(&store->lock);
    kp_store_mark(store, file, at, KP_ROW_DEAD);
    pthread_rwlock_unlock(&store->lock);
}

static const char *doomed_id; // what AFTER_RUN_AND_DELETE deletes

// Until neither the file of what was just deleted nor that of its tombstone is as it was.
static void churn(struct kp_store *store)
{
    for (int i = 0; i < 8; i++) {
        char *id = put_capture(store, (struct capture){.namespace = "shop", .stacks = 300});
        if (kp_store_delete(store, id, NULL) != 0)
            _exit(11);
    }
    for (bool more = true; more;)
        if (kp_store_retain(store, &more, NULL) != 0)
            _exit(12);
}

// In a process of its own that ends without a word.
static void stop_at(const char *dir, enum step step, bool now)
{
    fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct kp_store *store = open_store(dir, options);
        struct kp_seal *seal;
        if (kp_store_seal_begin(store, now, &seal, NULL) != 0 || seal == NULL)
            _exit(2);
        if (step >= AFTER_RUN && kp_seal_run(seal, NULL, NULL) != 0)
            _exit(3);
        if (deletes((int)step) && kp_store_delete(store, doomed_id, NULL) != 0)
            _exit(4);
        if (step == AFTER_RUN_AND_DELETE_AND_COMPACTION)
            churn(store);
        if (step == AFTER_RUN_AND_DROP)
            drop(store, doomed_id);
        if (step >= AFTER_END && kp_seal_end(seal, NULL) != 0)
            _exit(5);
        bool more = true;
        while (step >= AFTER_COMPACTION && more)
            if (kp_store_retain(store, &more, NULL) != 0)
                _exit(6);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("step %d ended with %d", step, status);
}

static void fill(struct kp_store *store, int n)
{
    for (int i = 0; i < n; i++) {
        kp_auto_free char *key = kp_asprintf("%lld-%d", (long long)clock_ms, i);
        kp_free(put_capture(store, (struct capture){.namespace = i % 3 ? "shop" : "bank",
                                       .pod = i % 2 ? "p0" : "p1",
                                       .type = i % 4 ? "cpu" : "trace",
                                       .format = i % 4 ? "pprof" : "trace",
                                       .key = key,
                                       .start_ms = clock_ms + i * 1000}));
    }
}

static void test_steps_of_sealing(void **state)
{
    (void)state;
    for (int step = BEFORE_RUN; step < N_STEPS; step++) {
        for (int lost = 0; step != AFTER_RUN_AND_DROP && lost < 4; lost++) {
            clock_ms = T0;
            char *dir = kp_test_tmpdir();
            struct kp_store *store = open_store(dir, options);
            struct pictures before;
            fill(store, 40);
            char *victim = put_capture(
                store, (struct capture){.namespace = "shop", .start_ms = T0 + DAY, .stacks = 600});
            if (!deletes(step))
                assert_int_equal(kp_store_delete(store, victim, NULL), 0);
            else
                doomed_id = victim;
            if (deletes(step)) // the picture is without it
                before = (struct pictures){0};
            else
                take_pictures(store, &before);
            kp_store_close(store);
            stop_at(dir, (enum step)step, true);
            lose(dir, lost);
            for (int round = 0; round < 3; round++) {
                store = open_store(dir, options);
                assert_int_equal(stats_of(store).n_profiles, 40);
                assert_int_equal(kp_store_delete(store, victim, NULL), KP_NOT_FOUND);
                if (before.oldest.items.n > 0)
                    check_pictures(store, &before);
                if (round == 1) {
                    seal_all(store, true);
                    retain_all(store);
                    assert_int_equal(stats_of(store).n_profiles, 40);
                    assert_int_equal(stats_of(store).n_sealed, 40);
                }
                kp_store_close(store);
                lose(dir, lost);
            }
            free_pictures(&before);
            kp_free(victim);
            kp_test_rmdir(dir);
        }
    }
}

static void test_dropped_while_sealing(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, options);
    fill(store, 20);
    char *victim = put_capture(store, (struct capture){.namespace = "shop", .start_ms = T0 + DAY});
    doomed_id = victim;
    kp_store_close(store);
    stop_at(dir, AFTER_RUN_AND_DROP, true);
    for (int round = 0; round < 4; round++) {
        store = open_store(dir, options);
        assert_int_equal(stats_of(store).n_profiles, 20);
        assert_int_equal(kp_store_delete(store, victim, NULL), KP_NOT_FOUND);
        retain_all(store);
        kp_store_close(store);
        lose(dir, round == 2);
    }
    kp_free(victim);
    kp_test_rmdir(dir);
}

// Bytes of moved profiles that are still in the log may not bring back a segment that retention dropped.
static void test_dropped_before_compaction(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, options);
    fill(store, 30);
    assert_int_equal(seal_all(store, true), 1);
    assert_int_equal(store->sealed.n, 2);
    uint32_t n = store->sealed.items[0]->segment->n_rows;
    assert_int_equal(kp_tier_drop(store, store->sealed.items[0], NULL), 0);
    for (int round = 0; round < 4; round++) {
        assert_int_equal(stats_of(store).n_profiles, 30 - n);
        assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 30 - n);
        kp_store_close(store);
        lose(dir, round);
        store = open_store(dir, options);
    }
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// All of a segment is deleted, a reader keeps its file, and the tombstones' log file is written again.
static void delete_while_read(const char *dir)
{
    struct kp_store *store = open_store(dir, options);
    const struct kp_store_query bank = {.namespace = "bank"};
    struct kp_hits hits;
    struct picture all;
    fill(store, 30);
    seal_all(store, true);
    if (kp_hits_find(store, &bank, 1000, &hits, NULL) != 0)
        _exit(21);
    take_picture(store, bank, &all);
    for (size_t i = 0; i < all.items.n; i++)
        if (kp_store_delete(store, all.items.items[i].id, NULL) != 0)
            _exit(22);
    churn(store);
    _exit(store->doomed.n == 1 && store->sealed.n == 1 ? 0 : 23);
}

static void test_deleted_while_read(void **state)
{
    (void)state;
    for (int lost = 0; lost < 4; lost++) {
        clock_ms = T0;
        char *dir = kp_test_tmpdir();
        fflush(stdout);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            delete_while_read(dir);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        lose(dir, lost);
        for (int round = 0; round < 2; round++) {
            struct kp_store *store = open_store(dir, options);
            assert_int_equal(count(store, (struct kp_store_query){.namespace = "bank"}, NULL), 0);
            assert_int_equal(count(store, (struct kp_store_query){.namespace = "shop"}, NULL), 20);
            retain_all(store);
            kp_store_close(store);
        }
        kp_test_rmdir(dir);
    }
}

static void test_steps_of_joining(void **state)
{
    (void)state;
    for (int step = BEFORE_RUN; step < N_STEPS; step++) {
        for (int lost = 0; step != AFTER_RUN_AND_DROP && lost < 4; lost++) {
            clock_ms = T0 / DAY * DAY;
            char *dir = kp_test_tmpdir();
            struct kp_store *store = open_store(dir, options);
            struct pictures before;
            for (int h = 0; h < 4; h++) {
                fill(store, 12);
                clock_ms += HOUR;
                seal_all(store, false);
            }
            retain_all(store);
            clock_ms += DAY;
            take_pictures(store, &before);
            doomed_id = before.newest.items.items[0].id;
            kp_store_close(store);
            stop_at(dir, (enum step)step, false);
            lose(dir, lost);
            for (int round = 0; round < 2; round++) {
                store = open_store(dir, options);
                if (deletes(step))
                    assert_int_equal(stats_of(store).n_profiles, 47);
                else
                    check_pictures(store, &before);
                seal_all(store, false);
                assert_int_equal(stats_of(store).n_segments, 2);
                assert_int_equal(wrong_in(store), 0);
                kp_store_close(store);
            }
            free_pictures(&before);
            kp_test_rmdir(dir);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_of_sealing),
        cmocka_unit_test(test_dropped_while_sealing),
        cmocka_unit_test(test_dropped_before_compaction),
        cmocka_unit_test(test_deleted_while_read),
        cmocka_unit_test(test_steps_of_joining),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
