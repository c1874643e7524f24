// Hours become days, and old ones go.
#include "store/seal_testing.h"

#include <fcntl.h>

#include "store/hits.h"
#include "store/tier.h"
#include "base/banned.h"

// Two services of two pods, ten profiles an hour each, for so many hours from midnight on; every hour sealed.
static void fill_hours(struct kp_store *store, int hours, struct pictures *ret)
{
    clock_ms = T0 / DAY * DAY;
    for (int h = 0; h < hours; h++) {
        for (int i = 0; i < 20; i++)
            kp_free(put_capture(store, (struct capture){.namespace = i % 2 ? "shop" : "bank",
                                           .pod = i % 4 < 2 ? "p0" : "p1",
                                           .type = i % 5 ? "cpu" : "trace",
                                           .format = i % 5 ? "pprof" : "trace",
                                           .digest = "sha256:1",
                                           .seed = (uint64_t)(i % 3),
                                           .start_ms = clock_ms + i * 60000}));
        clock_ms += HOUR;
        if (seal_all(store, false) == 0)
            fail_msg("nothing to seal in hour %d", h);
        retain_all(store);
    }
    if (ret)
        take_pictures(store, ret);
}

static void test_days(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    struct pictures before;
    fill_hours(store, 30, &before);
    // those of the first day were joined when it was over by an hour
    assert_int_equal(stats_of(store).n_segments, 2 * (1 + 6));
    assert_int_equal(stats_of(store).n_profiles, 600);
    assert_int_equal(before.oldest.items.n, 600);
    clock_ms += DAY;
    assert_int_equal(seal_all(store, false), 2);
    assert_int_equal(seal_all(store, false), 0);
    assert_int_equal(stats_of(store).n_segments, 4);
    for (int round = 0; round < 3; round++) {
        check_pictures(store, &before);
        assert_int_equal(wrong_in(store), 0);
        assert_int_equal(stats_of(store).n_segments, 4);
        assert_int_equal(stats_of(store).n_profiles, 600);
        kp_store_close(store);
        if (round)
            remove_index(dir);
        store = open_store(dir, (struct kp_store_options){0});
    }
    free_pictures(&before);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void test_delete_while_joining(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    struct pictures all;
    struct kp_error err = {0};
    fill_hours(store, 24, &all);
    clock_ms += HOUR;
    struct kp_seal *seal;
    for (size_t i = 0; i < 60; i++)
        assert_int_equal(kp_store_delete(store, all.oldest.items.items[i].id, NULL), 0);
    for (int n = 0; n < 2; n++) {
        assert_int_equal(kp_store_seal_begin(store, false, &seal, &err), 0);
        assert_non_null(seal);
        assert_int_equal(kp_seal_run(seal, NULL, &err), 0);
        for (size_t i = 60 + 30 * (size_t)n; i < 90 + 30 * (size_t)n; i++)
            assert_int_equal(kp_store_delete(store, all.oldest.items.items[i].id, NULL), 0);
        assert_int_equal(kp_seal_end(seal, &err), 0);
    }
    for (int round = 0; round < 4; round++) {
        struct kp_store_stats stats = stats_of(store);
        assert_int_equal(stats.n_segments, 2);
        assert_int_equal(stats.n_profiles, 360);
        struct picture left;
        take_picture(store, (struct kp_store_query){0}, &left);
        assert_int_equal(left.items.n, 360);
        for (size_t i = 0; i < 360; i++)
            assert_string_equal(left.items.items[i].id, all.oldest.items.items[120 + i].id);
        kp_array_free(&left.items);
        retain_all(store);
        kp_store_close(store);
        if (round == 2)
            remove_index(dir);
        store = open_store(dir, (struct kp_store_options){0});
    }
    free_pictures(&all);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void on_file(void *user, const char *name, uint64_t size)
{
    (void)name;
    (void)size;
    (*(int *)user)++;
}

static int n_files(const char *path)
{
    int n = 0;
    struct kp_storage storage;
    assert_int_equal(kp_storage_dir_open(path, &storage, NULL), 0);
    assert_int_equal(storage.ops->list(storage.self, "", on_file, &n, NULL), 0);
    storage.ops->close(storage.self);
    return n;
}

// What a reader holds stays readable while its segments are joined and removed.
static void test_reader_keeps_files(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    fill_hours(store, 24, NULL);
    struct kp_hits hits;
    assert_int_equal(kp_hits_find(store, &(struct kp_store_query){0}, 1000, &hits, NULL), 0);
    assert_int_equal(hits.n, 480);
    assert_int_equal(hits.n_segments, 48);
    assert_int_equal(hits.n_whole, 48);
    clock_ms += HOUR;
    assert_int_equal(seal_all(store, false), 2);
    retain_all(store);
    for (size_t i = 0; i < hits.n; i++) {
        struct kp_record record;
        struct kp_blob *body;
        assert_int_equal(kp_hit_read(store, &hits.items[i], &record, &body, NULL), 0);
        kp_record_finish(&record);
        kp_blob_unref(body);
    }
    kp_hits_finish(&hits);
    retain_all(store);
    kp_auto_free char *path = kp_asprintf("%s/segments", dir);
    assert_int_equal(n_files(path), 2); // then the old files went
    assert_int_equal(
        kp_hits_find(store, &(struct kp_store_query){.from_ms = clock_ms - 5 * HOUR}, 1000, &hits, NULL), 0);
    assert_int_equal(hits.n_whole, 0); // only a part of the day was asked for
    kp_hits_finish(&hits);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void on_shop(void *user, const char *name, uint64_t size)
{
    (void)size;
    char *first = user;
    if (first[0] == '\0')
        kp_copy(first, 512, name);
}

// One that rots keeps nobody else from being joined.
static void test_rotten_one(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    fill_hours(store, 24, NULL);
    clock_ms += HOUR;
    char name[512] = "";
    struct kp_storage storage;
    kp_auto_free char *path = kp_asprintf("%s/segments", dir);
    assert_int_equal(kp_storage_dir_open(path, &storage, NULL), 0);
    assert_int_equal(storage.ops->list(storage.self, "shop", on_shop, name, NULL), 0);
    uint8_t head[80];
    assert_int_equal(storage.ops->get(storage.self, name, 0, sizeof head, head, NULL), 0);
    kp_auto_free char *file = kp_asprintf("%s/%s", path, name);
    int fd = open(file, O_WRONLY);
    head[70] ^= 1; // in the first block
    assert_int_equal(pwrite(fd, head, sizeof head, 0), (ssize_t)sizeof head);
    close(fd);
    storage.ops->close(storage.self);
    struct kp_error err = {0};
    struct kp_seal *seal = NULL;
    int n_failed = 0;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(kp_store_seal_begin(store, false, &seal, &err), 0);
        if (seal == NULL)
            break;
        int rc = kp_seal_run(seal, NULL, NULL);
        assert_true(rc == 0 || rc == KP_CORRUPT);
        n_failed += rc != 0;
        assert_int_equal(kp_seal_end(seal, &err), 0);
    }
    assert_null(seal);
    assert_int_equal(n_failed, 1);
    assert_int_equal(stats_of(store).n_segments, 2);       // what is left of it was joined as well
    assert_in_range(stats_of(store).n_profiles, 470, 479); // without those of the block
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// Work that was stopped is not put off.
static void test_stopped(void **state)
{
    (void)state;
    clock_ms = T0 / DAY * DAY;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    struct kp_seal *seal;
    int cancelled = 1;
    fill_hours(store, 3, NULL);
    clock_ms += DAY;
    assert_int_equal(kp_store_seal_begin(store, false, &seal, NULL), 0);
    assert_non_null(seal);
    assert_int_equal(kp_seal_run(seal, &cancelled, NULL), KP_CANCELED);
    assert_int_equal(kp_seal_end(seal, NULL), 0);
    assert_int_equal(stats_of(store).n_segments, 6);
    assert_int_equal(seal_all(store, false), 2);
    assert_int_equal(stats_of(store).n_segments, 2);
    assert_int_equal(stats_of(store).n_profiles, 60);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void test_many_small_ones(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    char namespace[] = "shop";
    struct kp_segment segment = {
        .namespace = namespace, .file_bytes = 100, .n_rows = 1, .min_received_ms = T0 - 2 * DAY};
    uint64_t dead = 0;
    struct kp_sealed many[600];
    for (size_t i = 0; i < KP_COUNT(many); i++) {
        many[i] = (struct kp_sealed){.segment = &segment, .dead = &dead, .refs = 1};
        *kp_array_add(&store->sealed) = &many[i];
    }
    struct kp_tier_group group = {0};
    kp_tier_pick(store, &group);
    assert_int_equal(group.n, 512);
    kp_free(group.items);
    store->sealed.n = 0;
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// ---- retention ----

static void test_age(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    const struct kp_store_options options = {.retention_ms = 10 * HOUR};
    struct kp_store *store = open_store(dir, options);
    fill_hours(store, 8, NULL);
    int64_t start = T0 / DAY * DAY;
    assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 160);
    clock_ms = start + 10 * HOUR - 1;
    assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 160);
    clock_ms = start + 10 * HOUR; // all of an hour was received at its beginning
    assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 140);
    assert_int_equal(stats_of(store).n_segments, 16);
    retain_all(store);
    assert_int_equal(stats_of(store).n_segments, 14);
    clock_ms = start + 15 * HOUR;
    kp_store_close(store);
    store = open_store(dir, options);
    retain_all(store);
    assert_int_equal(stats_of(store).n_segments, 4);
    assert_int_equal(stats_of(store).n_profiles, 40);
    clock_ms = start + 100 * HOUR;
    retain_all(store);
    assert_int_equal(stats_of(store).n_segments, 0);
    assert_int_equal(stats_of(store).n_series, 0);
    kp_store_close(store);
    store = open_store(dir, options);
    assert_int_equal(stats_of(store).n_profiles, 0);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// A day of which a part is past its age.
static void test_age_within_a_segment(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    const struct kp_store_options options = {.retention_ms = 30 * HOUR};
    struct kp_store *store = open_store(dir, options);
    fill_hours(store, 24, NULL);
    clock_ms += HOUR;
    assert_int_equal(seal_all(store, false), 2);
    int64_t start = T0 / DAY * DAY;
    clock_ms = start + 35 * HOUR;
    for (int round = 0; round < 3; round++) {
        assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 18 * 20);
        retain_all(store);
        assert_int_equal(stats_of(store).n_profiles, 18 * 20);
        kp_store_close(store);
        store = open_store(dir, options);
    }
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// Part of what is joined goes while it is joined.
static void test_dropped_while_joining(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    const struct kp_store_options options = {.retention_ms = 30 * HOUR};
    struct kp_store *store = open_store(dir, options);
    struct kp_seal *seal;
    fill_hours(store, 24, NULL);
    int64_t start = T0 / DAY * DAY;
    clock_ms = start + 25 * HOUR;
    assert_int_equal(kp_store_seal_begin(store, false, &seal, NULL), 0);
    assert_int_equal(kp_seal_run(seal, NULL, NULL), 0);
    clock_ms = start + 31 * HOUR;
    retain_all(store);
    assert_int_equal(stats_of(store).n_segments, 44);
    assert_int_equal(kp_seal_end(seal, NULL), 0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(stats_of(store).n_profiles, 22 * 20);
        assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 22 * 20);
        kp_store_close(store);
        if (round)
            remove_index(dir);
        store = open_store(dir, options);
        assert_int_equal(seal_all(store, false), round ? 0 : 2);
        assert_int_equal(stats_of(store).n_segments, 2);
    }
    clock_ms = start + 60 * HOUR;
    retain_all(store);
    assert_int_equal(stats_of(store).n_series, 0);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void test_number(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    const struct kp_store_options options = {.max_profiles_per_service = 50};
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    struct pictures all;
    fill_hours(store, 10, &all);
    kp_store_close(store);
    store = open_store(dir, options);
    retain_all(store);
    for (int round = 0; round < 3; round++) { // of each of the two namespaces' services the newest 50
        struct picture left;
        take_picture(store, (struct kp_store_query){0}, &left);
        assert_int_equal(left.items.n, 100);
        for (size_t i = 0; i < 100; i++)
            assert_string_equal(left.items.items[i].id, all.oldest.items.items[100 + i].id);
        kp_array_free(&left.items);
        kp_store_close(store);
        if (round)
            remove_index(dir);
        store = open_store(dir, options);
        retain_all(store);
    }
    // deleted ones leave room for the next, not for those that went before
    for (size_t i = 100; i < 110; i++)
        assert_int_equal(kp_store_delete(store, all.oldest.items.items[i].id, NULL), 0);
    kp_store_close(store);
    store = open_store(dir, options);
    retain_all(store);
    assert_int_equal(stats_of(store).n_profiles, 90);
    free_pictures(&all);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void test_bytes(void **state)
{
    (void)state;
    clock_ms = T0 / DAY * DAY;
    char *dir = kp_test_tmpdir();
    const struct kp_store_options options = {.max_bytes = 1 << 20};
    struct kp_store *store = open_store(dir, options);
    char *modest = put_capture(store, (struct capture){.namespace = "modest", .pod = "p"});
    char *first = put_capture(store, (struct capture){.namespace = "greedy", .pod = "p"});
    char *last = NULL;
    for (int h = 0; h < 40; h++) {
        for (int i = 0; i < 40; i++) { // opaque and random: nothing to squeeze
            struct kp_append a;
            make_capture(&a, &(struct capture){.namespace = "greedy",
                                 .pod = "p",
                                 .type = "trace",
                                 .format = "trace",
                                 .start_ms = clock_ms + i});
            uint64_t random = (uint64_t)h * 1000 + (uint64_t)i;
            uint64_t *body = kp_alloc(8000);
            for (int k = 0; k < 1000; k++)
                body[k] = kp_hash64_mix(random, (uint64_t)k);
            kp_blob_unref(a.body);
            a.body = kp_blob_take(body, 8000);
            kp_store_append(store, &a, 1);
            if (a.status != KP_APPEND_STORED)
                fail_msg("%s", a.error.text);
            kp_free(last);
            last = kp_strdup(a.record->id);
            release_capture(&a);
        }
        clock_ms += HOUR;
        seal_all(store, false);
        retain_all(store);
        struct kp_store_stats s = stats_of(store);
        assert_true(s.log_bytes + s.segment_bytes + s.index_bytes <= options.max_bytes);
    }
    for (int round = 0; round < 2; round++) {
        struct kp_record record;
        assert_int_equal(kp_store_get(store, modest, &record, NULL, NULL), 0);
        kp_record_finish(&record);
        assert_int_equal(kp_store_get(store, last, &record, NULL, NULL), 0);
        kp_record_finish(&record);
        assert_int_equal(kp_store_get(store, first, &record, NULL, NULL), KP_NOT_FOUND);
        assert_true(stats_of(store).n_profiles > 40);
        kp_store_close(store);
        store = open_store(dir, options);
    }
    kp_free(modest);
    kp_free(first);
    kp_free(last);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_delete_while_joining),
        cmocka_unit_test(test_reader_keeps_files),
        cmocka_unit_test(test_rotten_one),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_many_small_ones),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_age_within_a_segment),
        cmocka_unit_test(test_dropped_while_joining),
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
