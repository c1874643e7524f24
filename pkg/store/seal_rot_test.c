// One of two copies rots: the other one counts.
#include "store/seal_testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store/tier.h"
#include "base/banned.h"

#define N 12

static void fill(struct kp_store *store, int n, char **ids)
{
    for (int i = 0; i < n; i++) {
        char *id = put_capture(store, (struct capture){.namespace = "shop",
                                          .pod = i % 2 ? "p0" : "p1",
                                          .digest = "sha256:1",
                                          .start_ms = clock_ms + i * 1000});
        if (ids)
            ids[i] = id;
        else
            kp_free(id);
    }
}

// The log's copy of the last one, and a reader sees it.
static void rot_log(struct kp_store *store, const char *dir, const char *id)
{
    kp_auto_free char *path = kp_asprintf("%s/log/00000001.log", dir);
    struct kp_blob *body;
    flip_bit(path, -100);
    assert_int_equal(kp_store_get(store, id, NULL, &body, NULL), KP_CORRUPT);
    assert_int_equal(kp_store_get(store, id, NULL, &body, NULL), KP_NOT_FOUND);
}

static void test_log_rots_after_the_reading(void **state)
{
    (void)state;
    for (int compacted = 0; compacted < 2; compacted++) {
        clock_ms = T0;
        char *dir = kp_test_tmpdir();
        char *ids[N];
        struct kp_store *store = open_store(dir, (struct kp_store_options){0});
        struct pictures before;
        struct kp_seal *seal;
        fill(store, N, ids);
        take_pictures(store, &before);
        assert_int_equal(kp_store_seal_begin(store, true, &seal, NULL), 0);
        assert_int_equal(kp_seal_run(seal, NULL, NULL), 0);
        rot_log(store, dir, ids[N - 1]);
        if (compacted)
            assert_int_equal(kp_store_compact(store, 0, NULL), 0);
        assert_int_equal(stats_of(store).n_profiles, N - 1);
        assert_int_equal(kp_seal_end(seal, NULL), 0);
        for (int round = 0; round < 4; round++) {
            assert_int_equal(stats_of(store).n_profiles, N);
            check_pictures(store, &before);
            retain_all(store);
            kp_store_close(store);
            lose(dir, round);
            store = open_store(dir, (struct kp_store_options){0});
        }
        free_pictures(&before);
        kp_store_close(store);
        for (int i = 0; i < N; i++)
            kp_free(ids[i]);
        kp_test_rmdir(dir);
    }
}

static void rot_and_die(const char *dir, const char *id)
{
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    struct kp_seal *seal;
    if (kp_store_seal_begin(store, true, &seal, NULL) != 0 || kp_seal_run(seal, NULL, NULL) != 0)
        _exit(2);
    rot_log(store, dir, id);
    _exit(0);
}

static void test_log_rots_before_a_crash(void **state)
{
    (void)state;
    for (int lost = 0; lost < 4; lost++) {
        clock_ms = T0;
        char *dir = kp_test_tmpdir();
        char *ids[N];
        struct kp_store *store = open_store(dir, (struct kp_store_options){0});
        struct pictures before;
        fill(store, N, ids);
        take_pictures(store, &before);
        kp_store_close(store);
        fflush(stdout);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            rot_and_die(dir, ids[N - 1]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        lose(dir, lost);
        for (int round = 0; round < 2; round++) {
            store = open_store(dir, (struct kp_store_options){0});
            assert_int_equal(stats_of(store).n_profiles, N);
            check_pictures(store, &before);
            retain_all(store);
            kp_store_close(store);
        }
        free_pictures(&before);
        for (int i = 0; i < N; i++)
            kp_free(ids[i]);
        kp_test_rmdir(dir);
    }
}

// ---- the segment ----

// Everything is there and is sealed again; what was deleted stays so.
static void check_again(struct kp_store *store, const char *dir, const struct pictures *before, size_t n)
{
    for (int round = 0; round < 4; round++) {
        assert_int_equal(stats_of(store).n_profiles, n);
        check_pictures(store, before);
        if (round == 1) {
            assert_true(seal_all(store, true) > 0);
            assert_int_equal(stats_of(store).n_sealed, n);
            check_pictures(store, before);
        }
        if (round == 2)
            retain_all(store);
        kp_store_close(store);
        lose(dir, round == 3);
        store = open_store(dir, (struct kp_store_options){0});
    }
    check_pictures(store, before);
    kp_store_close(store);
}

// While it runs, and found so at the next start: rows or footer.
static void test_segment_rots(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        clock_ms = T0;
        char *dir = kp_test_tmpdir();
        char *ids[N];
        struct kp_store *store = open_store(dir, (struct kp_store_options){0});
        struct pictures before;
        fill(store, N, ids);
        assert_int_equal(seal_all(store, true), 1);
        assert_int_equal(kp_store_delete(store, ids[3], NULL), 0);
        take_pictures(store, &before);
        assert_int_equal(store->sealed.n, 1);
        if (how == 0) {
            kp_tier_put_aside(store, store->sealed.items[0], "rotten");
        } else {
            kp_auto_free char *path =
                kp_asprintf("%s/segments/%s", dir, store->sealed.items[0]->segment->name);
            kp_store_close(store);
            flip_bit(path, how == 1 ? -5 : -100);
            store = open_store(dir, (struct kp_store_options){0});
        }
        assert_int_equal(stats_of(store).n_segments, 0);
        check_again(store, dir, &before, N - 1);
        free_pictures(&before);
        for (int i = 0; i < N; i++)
            kp_free(ids[i]);
        kp_test_rmdir(dir);
    }
}

// A day that knows nothing of what was deleted from its hours; and a segment that stays.
static void test_day_rots(void **state)
{
    (void)state;
    clock_ms = T0 / DAY * DAY;
    char *dir = kp_test_tmpdir();
    char *ids[N];
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    struct pictures before;
    fill(store, N, ids);
    clock_ms += HOUR;
    assert_int_equal(seal_all(store, false), 1);
    fill(store, N, NULL);
    clock_ms += HOUR;
    assert_int_equal(seal_all(store, false), 1);
    assert_int_equal(kp_store_delete(store, ids[3], NULL), 0);
    clock_ms += DAY;
    assert_int_equal(seal_all(store, false), 1);
    assert_int_equal(store->sealed.n, 1);
    fill(store, N, NULL);
    assert_int_equal(seal_all(store, true), 1);
    take_pictures(store, &before);
    assert_int_equal(store->sealed.n, 2);
    kp_tier_put_aside(store, store->sealed.items[0], "rotten");
    assert_int_equal(stats_of(store).n_sealed, N);
    check_again(store, dir, &before, 3 * N - 1);
    free_pictures(&before);
    for (int i = 0; i < N; i++)
        kp_free(ids[i]);
    kp_test_rmdir(dir);
}

// A segment that is not there at the start is told of once; a mark of one that is not there is dropped.
static void test_missing_at_start(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    fill(store, N, NULL);
    seal_all(store, true);
    retain_all(store);
    kp_auto_free char *path = kp_asprintf("%s/segments/%s", dir, store->sealed.items[0]->segment->name);
    kp_store_close(store);
    kp_auto_free char *mark = kp_asprintf("%s.bad", path);
    assert_int_equal(unlink(path), 0);
    int fd = open(mark, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    for (int round = 0; round < 2; round++) {
        struct kp_metrics *metrics = kp_metrics_create();
        store = open_store(dir, (struct kp_store_options){.metrics = metrics});
        assert_int_equal(stats_of(store).n_missing, round == 0);
        assert_int_equal(wrong_in(store), 0);
        assert_int_equal(access(mark, F_OK), -1);
        kp_auto_strbuf text;
        kp_strbuf_init(&text, 1 << 20);
        kp_metrics_write(metrics, &text);
        assert_non_null(strstr(text.data,
            round == 0 ? "registry_segments_missing_total 1" : "registry_segments_missing_total 0"));
        kp_store_close(store);
        kp_metrics_destroy(metrics);
    }
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_rots_after_the_reading),
        cmocka_unit_test(test_log_rots_before_a_crash),
        cmocka_unit_test(test_segment_rots),
        cmocka_unit_test(test_day_rots),
        cmocka_unit_test(test_missing_at_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
