// Moving profiles from the log into segments: nothing that a store shows may change by it.
#include "store/seal_testing.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "store/state.h"
#include "base/banned.h"

static const struct kp_store_options small_files = {.log_file_bytes = 30000};

// Three namespaces, many pods, two kinds of retention, traces and texts, a damaged pprof, keys.
static void fill(struct kp_store *store, int n)
{
    static const char *const namespaces[] = {"shop", "bank.example", NULL};
    static const char *const pods[] = {"p0", "p1", "p2", "p3", NULL};
    for (int i = 0; i < n; i++) {
        kp_auto_free char *key = kp_asprintf("key-%d", i);
        kp_free(put_capture(store, (struct capture){.namespace = namespaces[i % 3],
                                       .service = i % 2 ? "api" : "web",
                                       .type = i % 7 == 0 ? "trace"
                                               : i % 3    ? "cpu"
                                                          : "heap",
                                       .format = i % 7 == 0 ? "trace" : "pprof",
                                       .pod = pods[i % 5],
                                       .digest = i % 4 ? "sha256:1234" : NULL,
                                       .build = i % 8 ? "one" : "two",
                                       .key = i % 2 ? key : NULL,
                                       .seed = (uint64_t)(i % 3),
                                       .retention_ms = i % 10 == 0 ? 7 * DAY : 0,
                                       .start_ms = T0 + (i * 37 % n) * 1000}));
    }
}

struct service_bytes {
    uint64_t small, big;
};

static void add_bytes(void *user, const struct kp_service_info *info)
{
    struct service_bytes *bytes = user;
    *(strcmp(info->service, "big") == 0 ? &bytes->big : &bytes->small) += info->bytes;
}

// Each service keeps its own bytes, not its part of a segment's by number.
static void test_bytes_of_services(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, small_files);
    for (int i = 0; i < 20; i++)
        kp_free(put_capture(store, (struct capture){.service = i % 2 ? "big" : "small",
                                       .pod = i % 4 > 1 ? "p1" : "p2",
                                       .stacks = i % 2 ? 100 : 1,
                                       .start_ms = T0 + i * 1000}));
    struct service_bytes before = {0};
    struct service_bytes after = {0};
    assert_int_equal(kp_store_services(store, NULL, add_bytes, &before, NULL), 0);
    assert_true(before.small > 0 && before.big > 5 * before.small);
    clock_ms += HOUR;
    assert_true(seal_all(store, true) > 0);
    retain_all(store);
    for (int round = 0; round < 2; round++) {
        after = (struct service_bytes){0};
        assert_int_equal(kp_store_services(store, NULL, add_bytes, &after, NULL), 0);
        assert_int_equal(after.small, before.small);
        assert_int_equal(after.big, before.big);
        kp_store_close(store);
        store = open_store(dir, small_files);
    }
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static int assert_private(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)type;
    if (where->level > 0 && (st->st_mode & 077) != 0)
        fail_msg("%s has the mode %o", path, st->st_mode);
    return 0;
}

// A folder on a disk that others see: nobody else reads what is in it, nor what its index names.
static void test_files_are_private(void **state)
{
    (void)state;
    clock_ms = T0;
    mode_t mask = umask(022);
    char *dir = kp_test_tmpdir();
    kp_auto_free char *index = kp_asprintf("%s/index.db", dir);
    for (int round = 0; round < 2; round++) {
        struct kp_store *store = open_store(dir, small_files);
        fill(store, 200);
        clock_ms += HOUR;
        assert_true(seal_all(store, false) > 0 || round > 0);
        fill(store, 203);
        assert_int_equal(nftw(dir, assert_private, 8, FTW_PHYS), 0);
        kp_store_close(store);
        assert_int_equal(chmod(index, 0644), 0); // as earlier programs made it
    }
    umask(mask);
    kp_test_rmdir(dir);
}

static void test_nothing_changes(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, small_files);
    struct pictures before;
    fill(store, 200);
    take_pictures(store, &before);
    assert_int_equal(before.oldest.items.n, 200);
    assert_int_equal(seal_all(store, false), 0); // the hour is not over
    clock_ms += HOUR;
    assert_true(seal_all(store, false) > 0);
    check_pictures(store, &before);
    struct kp_store_stats stats = stats_of(store);
    assert_int_equal(stats.n_profiles, 200);
    assert_int_equal(stats.n_sealed, 200);
    assert_int_equal(stats.n_segments, 6); // namespaces x retentions
    retain_all(store);
    stats = stats_of(store);
    assert_true(stats.log_bytes < 2000);
    for (int round = 0; round < 6; round++) {
        check_pictures(store, &before);
        assert_int_equal(wrong_in(store), 0);
        kp_store_close(store);
        if (round % 3 == 1)
            remove_index(dir);
        if (round >= 2)
            remove_sidecars(dir);
        store = open_store(dir, small_files);
        stats = stats_of(store);
        assert_int_equal(stats.n_profiles, 200);
        assert_int_equal(stats.n_sealed, 200);
    }
    check_pictures(store, &before);
    free_pictures(&before);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// Part sealed, part not; more comes in between.
static void test_two_tiers(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, small_files);
    struct pictures before;
    for (int round = 0; round < 3; round++) {
        fill(store, 50 + round);
        take_pictures(store, &before);
        assert_true(seal_all(store, true) > 0);
        check_pictures(store, &before);
        free_pictures(&before);
        fill(store, 40 + round);
        take_pictures(store, &before);
        if (round == 1)
            retain_all(store);
        kp_store_close(store);
        store = open_store(dir, small_files);
        check_pictures(store, &before);
        free_pictures(&before);
    }
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void on_service(void *user, const struct kp_service_info *info)
{
    kp_strbuf_addf(user, "%s/%s %llu %s %lld-%lld\n", info->namespace, info->service,
        (unsigned long long)info->n_profiles, info->types, (long long)info->first_ms,
        (long long)info->last_ms);
}

static void test_services(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, small_files);
    kp_auto_strbuf before;
    kp_auto_strbuf after;
    kp_strbuf_init(&before, 10000);
    kp_strbuf_init(&after, 10000);
    fill(store, 100);
    assert_int_equal(kp_store_services(store, NULL, on_service, &before, NULL), 0);
    seal_all(store, true);
    retain_all(store);
    assert_int_equal(kp_store_services(store, NULL, on_service, &after, NULL), 0);
    assert_string_equal(before.data, after.data);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// ---- deleting ----

static bool is_there(struct kp_store *store, const char *id)
{
    struct kp_error err = {0};
    struct kp_record record;
    int rc = kp_store_get(store, id, &record, NULL, &err);
    if (rc == 0)
        kp_record_finish(&record);
    else
        assert_int_equal(rc, KP_NOT_FOUND);
    return rc == 0;
}

static void check_deleted(struct kp_store *store, char *ids[30])
{
    for (int i = 0; i < 30; i++)
        assert_int_equal(is_there(store, ids[i]), i >= 15);
    assert_int_equal(stats_of(store).n_profiles, 15);
    assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 15);
}

static void test_delete(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    char *ids[30];
    struct kp_error err = {0};
    struct kp_store *store = open_store(dir, (struct kp_store_options){.log_file_bytes = 4000});
    for (int i = 0; i < 30; i++)
        ids[i] = put_capture(store, (struct capture){.namespace = "shop", .pod = "p", .start_ms = T0 + i});
    for (int i = 0; i < 5; i++) // before
        assert_int_equal(kp_store_delete(store, ids[i], NULL), 0);
    struct kp_seal *seal;
    assert_int_equal(kp_store_seal_begin(store, true, &seal, &err), 0);
    assert_int_equal(kp_seal_run(seal, NULL, &err), 0);
    for (int i = 5; i < 10; i++) // while it is made
        assert_int_equal(kp_store_delete(store, ids[i], NULL), 0);
    retain_all(store);
    assert_int_equal(kp_seal_end(seal, &err), 0);
    for (int i = 10; i < 15; i++) // after
        assert_int_equal(kp_store_delete(store, ids[i], NULL), 0);
    assert_int_equal(kp_store_delete(store, ids[12], NULL), KP_NOT_FOUND);
    for (int round = 0; round < 8; round++) {
        check_deleted(store, ids);
        char *passing = put_capture(store, (struct capture){.namespace = "shop", .pod = "p"});
        assert_int_equal(kp_store_delete(store, passing, NULL), 0); // closes the file with the tombstones
        kp_free(passing);
        if (round % 2)
            retain_all(store);
        clock_ms += 20 * HOUR; // keys are forgotten, files with nothing but tombstones stay
        kp_store_close(store);
        if (round % 3 == 1)
            remove_index(dir);
        if (round % 3 == 2)
            remove_sidecars(dir);
        store = open_store(dir, small_files);
        if (round == 6) // written again, without the dead
            assert_int_equal(seal_all(store, false), 0);
    }
    assert_int_equal(kp_store_delete(store, ids[15], NULL), 0);
    assert_int_equal(kp_store_delete(store, ids[16], NULL), 0);
    for (int i = 17; i < 29; i++)
        assert_int_equal(kp_store_delete(store, ids[i], NULL), 0);
    retain_all(store);
    assert_int_equal(seal_all(store, false), 1); // more dead than living: written again
    retain_all(store);
    remove_index(dir);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(stats_of(store).n_profiles, 1);
        for (int i = 0; i < 30; i++)
            assert_int_equal(is_there(store, ids[i]), i == 29);
        kp_store_close(store);
        store = open_store(dir, small_files);
        clock_ms += 30 * HOUR;
        retain_all(store);
    }
    assert_int_equal(kp_store_delete(store, ids[29], NULL), 0);
    retain_all(store);
    assert_int_equal(stats_of(store).n_segments, 0);
    assert_int_equal(stats_of(store).n_series, 0);
    for (int i = 0; i < 30; i++)
        kp_free(ids[i]);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// ---- keys ----

static void check_known(struct kp_store *store, const char *id)
{
    struct kp_append again;
    make_capture(&again, &(struct capture){.namespace = "shop", .pod = "p", .key = "a"});
    kp_store_append(store, &again, 1);
    assert_int_equal(again.status, KP_APPEND_KNOWN);
    assert_string_equal(again.record->id, id);
    assert_int_not_equal(again.record->size_bytes, 0);
    release_capture(&again);
}

static void test_keys_stay_known(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, small_files);
    char *id = put_capture(store, (struct capture){.namespace = "shop", .pod = "p", .key = "a"});
    kp_free(put_capture(store, (struct capture){.namespace = "shop", .pod = "p"}));
    clock_ms += HOUR;
    seal_all(store, false);
    for (int round = 0; round < 8; round++) {
        check_known(store, id);
        retain_all(store);
        check_known(store, id);
        assert_int_equal(stats_of(store).n_profiles, 2);
        kp_store_close(store);
        if (round & 1)
            remove_index(dir);
        if (round & 2)
            remove_sidecars(dir);
        store = open_store(dir, small_files);
    }
    assert_int_equal(kp_store_delete(store, id, NULL), 0);
    check_known(store, id); // also of what was deleted
    clock_ms += DAY;
    retain_all(store);
    char *anew = put_capture(store, (struct capture){.namespace = "shop", .pod = "p", .key = "a"});
    assert_string_not_equal(anew, id);
    kp_free(anew);
    kp_free(id);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// ---- many readers of one page after another, while it is sealed ----

static void test_cursor_while_sealing(void **state)
{
    (void)state;
    for (int newest = 0; newest < 2; newest++) {
        clock_ms = T0;
        char *dir = kp_test_tmpdir();
        struct kp_store *store = open_store(dir, small_files);
        fill(store, 90);
        struct picture whole;
        take_picture(store, (struct kp_store_query){.newest_first = newest}, &whole);
        struct listing *l = KP_NEW(struct listing);
        char *cursor = NULL;
        int pages = 0;
        do {
            struct kp_store_query q = {.limit = 10, .cursor = cursor, .newest_first = newest};
            char *next = NULL;
            assert_int_equal(kp_store_list(store, &q, on_record, l, &next, NULL), 0);
            kp_free(cursor);
            cursor = next;
            if (pages++ == 3)
                seal_all(store, true);
            if (pages == 6)
                retain_all(store);
        } while (cursor);
        assert_int_equal(pages, 9);
        assert_int_equal(l->n, 90);
        for (size_t i = 0; i < l->n; i++)
            assert_string_equal(l->ids[i], whole.items.items[i].id);
        kp_free(l);
        kp_array_free(&whole.items);
        kp_store_close(store);
        kp_test_rmdir(dir);
    }
}

static void test_find_in_both(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, small_files);
    static const struct kp_store_query queries[] = {{.namespace = "shop"}, {.service = "web"},
        {.type = "heap"}, {.namespace = ""}, {.from_ms = T0 + 10000, .to_ms = T0 + 50000},
        {.service = "api", .from_ms = T0 + 5000}, {.namespace = "nobody"}};
    size_t found[KP_COUNT(queries)];
    fill(store, 120);
    for (size_t i = 0; i < KP_COUNT(queries); i++)
        found[i] = count(store, queries[i], NULL);
    seal_all(store, true);
    for (size_t i = 0; i < KP_COUNT(queries); i++)
        assert_int_equal(count(store, queries[i], NULL), found[i]);
    assert_true(found[0] > 0 && found[4] == 40);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// Nothing but the segments is left, as after a restore: all is there, and numbers go on.
static void test_segments_alone(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    char *copy = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, small_files);
    struct pictures before;
    fill(store, 60);
    take_pictures(store, &before);
    seal_all(store, true);
    kp_store_close(store);
    kp_auto_free char *from = kp_asprintf("%s/segments", dir);
    kp_auto_free char *to = kp_asprintf("%s/segments", copy);
    assert_int_equal(rename(from, to), 0);
    kp_auto_free char *ids = kp_asprintf("%s/ids", dir);
    kp_auto_free char *ids_to = kp_asprintf("%s/ids", copy);
    assert_int_equal(rename(ids, ids_to), 0);
    clock_ms += 2 * DAY; // no key matters any more
    store = open_store(copy, small_files);
    check_pictures(store, &before);
    char *next = put_capture(store, (struct capture){.namespace = "shop", .pod = "p0", .start_ms = T0 + 1});
    assert_int_equal(stats_of(store).n_profiles, 61);
    assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 61);
    struct kp_id new_id;
    assert_true(kp_id_parse(&store->id_form, next, &new_id));
    for (size_t i = 0; i < before.oldest.items.n; i++) {
        struct kp_id id;
        assert_true(kp_id_parse(&store->id_form, before.oldest.items.items[i].id, &id));
        assert_true(id.number < new_id.number);
    }
    for (int round = 0; round < 2; round++) {
        kp_store_close(store);
        store = open_store(copy, small_files);
        assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 61);
    }
    kp_free(next);
    free_pictures(&before);
    kp_store_close(store);
    kp_test_rmdir(dir);
    kp_test_rmdir(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_of_services),
        cmocka_unit_test(test_files_are_private),
        cmocka_unit_test(test_nothing_changes),
        cmocka_unit_test(test_two_tiers),
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_delete),
        cmocka_unit_test(test_keys_stay_known),
        cmocka_unit_test(test_cursor_while_sealing),
        cmocka_unit_test(test_find_in_both),
        cmocka_unit_test(test_segments_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
