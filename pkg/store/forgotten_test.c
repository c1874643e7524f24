// Forgetting namespaces: in the log, in segments, at once, after upkeep, after restarts, without the index.
#include "store/forgotten_testing.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/banned.h"

static void test_every_way_of_reading(void **state)
{
    (void)state;
    for (int tier = 0; tier < 4; tier++) {
        for (int lost = 0; lost < 4; lost++) {
            struct world w;
            begin(&w);
            set_tier(&w, tier);
            check(&w);
            forget(&w, 0, w.all[N / 2].received_ms - 500); // in the middle of files and segments
            check_times(&w, tier == 3);
            forget(&w, 2, clock_ms + 1);
            check_times(&w, tier == 3);
            restart(&w, lost);
            check_times(&w, tier == 3);
            for (size_t i = 0; i < N / 2; i++) // into the same series
                put_one(&w);
            check(&w);
            retain_all(w.store);
            check(&w);
            restart(&w, lost);
            check(&w);
            seal_all(w.store, true);
            check(&w);
            restart(&w, lost);
            retain_all(w.store);
            clock_ms += 2 * DAY;
            seal_all(w.store, true);
            retain_all(w.store);
            check(&w);
            restart(&w, lost);
            check(&w);
            end(&w);
        }
    }
}

static void test_the_latest_time_stands(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    forget(&w, 0, w.all[N / 2].start_ms);
    forget(&w, 0, w.all[N / 4].start_ms); // says less than was said
    check(&w);
    restart(&w, 3);
    check(&w);
    forget(&w, 0, w.all[N / 2].start_ms);
    forget(&w, 0, clock_ms + 1);
    check(&w);
    restart(&w, 0);
    check(&w);
    end(&w);
}

static void test_several_with_one_note(void **state)
{
    (void)state;
    for (int tier = 0; tier < 3; tier++) {
        struct world w;
        struct kp_error err = {0};
        begin(&w);
        set_tier(&w, tier);
        forget(&w, 1, w.all[N / 4].received_ms);
        int fd = kp_test_watch_moves(w.dir);
        const struct kp_forget items[] = {
            {"", clock_ms + 1},
            {"shop", w.all[N / 3].received_ms},
            {"shop", w.all[N / 2].received_ms}, // the latest time stands
            {"shop", w.all[N / 4].received_ms},
            {"pay", w.all[N / 8].received_ms}, // says less than is known
            {"nowhere", clock_ms},
        };
        assert_int_equal(kp_store_forget_namespaces(w.store, items, KP_COUNT(items), &err), 0);
        assert_int_equal(kp_test_count_moves(fd, "forgotten"), 1);
        assert_int_equal(kp_store_forget_namespaces(w.store, items, KP_COUNT(items), &err), 0);
        assert_int_equal(kp_store_forget_namespaces(w.store, items, 0, &err), 0);
        assert_int_equal(kp_test_count_moves(fd, "forgotten"), 0); // nothing new
        close(fd);
        w.before_ms[0] = w.all[N / 2].received_ms;
        w.before_ms[2] = clock_ms + 1;
        check(&w);
        restart(&w, tier);
        check(&w);
        retain_all(w.store);
        check(&w);
        const struct kp_forget bad[] = {{"pay", clock_ms + 1}, {"a\nb", 1}};
        assert_int_equal(kp_store_forget_namespaces(w.store, bad, 2, &err), KP_INVALID);
        check(&w); // none
        end(&w);
    }
}

static enum kp_append_status put_late(
    struct world *w, const char *namespace, const char *key, int64_t start_ms)
{
    struct kp_append a;
    make_capture(
        &a, &(struct capture){.namespace = namespace, .pod = "p0", .key = key, .start_ms = start_ms});
    kp_store_append(w->store, &a, 1);
    assert_true((a.status == KP_APPEND_GONE) == (a.record->id == NULL));
    release_capture(&a);
    return a.status;
}

static void test_late_deliveries(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    int64_t before_ms = clock_ms + 1;
    forget(&w, 0, before_ms);
    for (int round = 0; round < 4; round++) {
        clock_ms += 10 * MINUTES;
        assert_int_equal(put_late(&w, "shop", "key-0", w.all[0].start_ms), KP_APPEND_GONE); // a key of before
        assert_int_equal(put_late(&w, "shop", "late", before_ms - 1), KP_APPEND_GONE);
        assert_int_equal(put_late(&w, "pay", "key-1", w.all[1].start_ms), KP_APPEND_KNOWN);
        check(&w);
        if (round % 2 == 0)
            retain_all(w.store);
        restart(&w, round);
    }
    // the same key, taken of the new namespace: counts as new, once
    assert_int_equal(put_late(&w, "shop", "key-3", before_ms), KP_APPEND_STORED);
    assert_int_equal(put_late(&w, "shop", "key-3", before_ms), KP_APPEND_KNOWN);
    end(&w);
}

// The clock is set back below the time of a note: what comes after the note is of after it all the same.
static void test_clock_set_back(void **state)
{
    (void)state;
    for (int tier = 0; tier < 3; tier++) {
        struct world w;
        begin(&w);
        int64_t before_ms = clock_ms - MINUTES;
        forget(&w, 0, before_ms);
        clock_ms -= HOUR;
        assert_int_equal(put_late(&w, "shop", "old", before_ms - 1), KP_APPEND_GONE);
        assert_int_equal(put_late(&w, "shop", "new", before_ms + 1000), KP_APPEND_STORED);
        assert_int_equal(put_late(&w, "pay", "other", before_ms), KP_APPEND_STORED);
        size_t n = count_merged(w.store, "shop");
        if (tier == 1)
            seal_all(w.store, true);
        retain_all(w.store);
        restart(&w, tier);
        assert_int_equal(count_merged(w.store, "shop"), n);
        assert_int_equal(put_late(&w, "shop", "new", before_ms + 1000), KP_APPEND_KNOWN);
        clock_ms += 2 * HOUR;
        retain_all(w.store);
        assert_int_equal(count_merged(w.store, "shop"), n);
        end(&w);
    }
}

static bool has_file(const char *dir, const char *name)
{
    kp_auto_free char *path = kp_asprintf("%s/%s", dir, name);
    struct stat st;
    return stat(path, &st) == 0;
}

static void test_upkeep_removes_the_bytes(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    set_tier(&w, 2);
    struct kp_store_stats before = stats_of(w.store);
    forget(&w, 0, clock_ms + 1);
    forget(&w, 1, clock_ms + 1);
    forget(&w, 2, clock_ms + 1);
    assert_int_equal(stats_of(w.store).n_segments, before.n_segments); // nothing but a note
    assert_int_equal(stats_of(w.store).log_bytes, before.log_bytes);
    clock_ms += 1;
    retain_all(w.store);
    assert_int_equal(stats_of(w.store).n_segments, 0);
    assert_int_equal(stats_of(w.store).n_profiles, 0);
    assert_int_equal(stats_of(w.store).segment_bytes, 0);
    clock_ms += 2 * DAY; // keys are not known any more
    retain_all(w.store);
    assert_true(stats_of(w.store).log_bytes < 1000);
    check(&w);
    end(&w);
}

static void on_notes(const char *dir, char **ret, size_t *ret_len)
{
    kp_auto_free char *path = kp_asprintf("%s/forgotten", dir);
    struct kp_error err = {0};
    if (kp_file_read(path, 1 << 20, ret, ret_len, &err) != 0)
        fail_msg("%s", err.text);
}

static void test_notes_are_forgotten_in_the_end(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    set_tier(&w, 1);
    forget(&w, 0, clock_ms + 1);
    forget(&w, 2, clock_ms + 1);
    clock_ms += 6 * DAY;
    retain_all(w.store);
    restart(&w, 0);
    assert_int_equal(put_late(&w, "shop", "late", w.all[5].start_ms), KP_APPEND_GONE);
    forget(&w, 2, clock_ms);
    clock_ms += 2 * DAY;
    seal_all(w.store, true);
    retain_all(w.store);
    clock_ms += 2 * HOUR;
    retain_all(w.store);
    restart(&w, 3);
    check(&w);
    char *text;
    size_t len;
    on_notes(w.dir, &text, &len);
    assert_null(strstr(text, "shop"));
    assert_int_equal(strcspn(strchr(text, '\n') + 1, "\n"), 30); // that of the namespace without a name
    kp_free(text);
    end(&w);
}

// A note that could not be written hides nothing; one that is torn or rotten is told.
static void test_faults(void **state)
{
    (void)state;
    struct world w;
    struct kp_error err = {0};
    begin(&w);
    kp_auto_free char *path = kp_asprintf("%s/forgotten", w.dir);
    assert_int_equal(mkdir(path, 0700), 0);
    kp_auto_free char *inside = kp_asprintf("%s/x", path);
    assert_int_equal(mkdir(inside, 0700), 0); // no file can be renamed over it
    assert_int_not_equal(kp_store_forget_namespace(w.store, "shop", clock_ms, &err), 0);
    assert_int_equal(rmdir(inside), 0);
    assert_int_equal(rmdir(path), 0);
    check(&w);
    kp_error_clear(&err);
    assert_int_equal(kp_store_forget_namespace(w.store, "a\nb", clock_ms, &err), KP_INVALID);
    kp_error_clear(&err);
    assert_int_equal(kp_store_forget_namespace(w.store, "shop", 0, &err), KP_INVALID);
    assert_false(has_file(w.dir, "forgotten"));
    forget(&w, 0, clock_ms + 1);
    forget(&w, 1, clock_ms + 1);
    char *text;
    size_t len;
    on_notes(w.dir, &text, &len);
    strstr(text, "shop")[0] = 'x';
    assert_int_equal(kp_file_write_atomic(path, text, len, 0600, NULL), 0);
    assert_int_equal(wrong_in(w.store), 1);
    kp_store_close(w.store);
    w.store = open_store(w.dir, options);
    assert_int_equal(wrong_in(w.store), 1);
    assert_int_equal(stats_of(w.store).n_corrupt, 1);
    w.before_ms[0] = 0; // what the line said is lost, the other stands
    struct known *k = &w.all[0];
    assert_true(is_visible(&w, k));
    assert_int_equal(count(w.store, (struct kp_store_query){.namespace = "pay"}, NULL), 0);
    kp_store_close(w.store);
    assert_int_equal(kp_file_write_atomic(path, "something else\n", 15, 0600, NULL), 0);
    struct kp_store_options o = options;
    o.dir = w.dir;
    struct kp_error why = {0};
    w.store = NULL;
    assert_int_equal(kp_store_open(&o, &w.store, &why), KP_CORRUPT);
    assert_non_null(strstr(why.text, "forgotten"));
    kp_free(text);
    end(&w);
}

// A folder in the place of each segment: it can be neither read nor removed.
static void on_segment(void *user, const char *name, uint64_t size)
{
    (void)size;
    kp_auto_free char *path = kp_asprintf("%s/segments/%s", (const char *)user, name);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void test_what_cannot_be_forgotten_holds_nothing_up(void **state)
{
    (void)state;
    struct world w;
    struct kp_storage storage;
    struct kp_store_options o = options;
    bool more;
    begin(&w);
    seal_all(w.store, true);
    retain_all(w.store);
    kp_store_close(w.store);
    o.retention_ms = 2 * DAY;
    w.store = open_store(w.dir, o);
    kp_auto_free char *folder = kp_asprintf("%s/segments", w.dir);
    assert_int_equal(kp_storage_dir_open(folder, &storage, NULL), 0);
    assert_int_equal(storage.ops->list(storage.self, "", on_segment, w.dir, NULL), 0);
    storage.ops->close(storage.self);
    assert_true(stats_of(w.store).segment_bytes > 0);
    forget(&w, 0, w.all[N / 2].received_ms);
    clock_ms += 3 * DAY;
    do
        (void)!kp_store_retain(w.store, &more, NULL);
    while (more);
    assert_int_equal(stats_of(w.store).segment_bytes, 0);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_way_of_reading),
        cmocka_unit_test(test_the_latest_time_stands),
        cmocka_unit_test(test_several_with_one_note),
        cmocka_unit_test(test_late_deliveries),
        cmocka_unit_test(test_clock_set_back),
        cmocka_unit_test(test_upkeep_removes_the_bytes),
        cmocka_unit_test(test_notes_are_forgotten_in_the_end),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_what_cannot_be_forgotten_holds_nothing_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
