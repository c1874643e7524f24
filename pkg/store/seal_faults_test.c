// Segments that rot, storage that fails, work that is stopped.
#include "store/seal_testing.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/banned.h"

#define N 40

// ---- files that rot ----

struct found {
    char name[512];
    uint64_t size;
    int n, n_bad;
};

static void on_file(void *user, const char *name, uint64_t size)
{
    struct found *f = user;
    if (kp_ends_with(name, ".bad")) {
        f->n_bad++;
        return;
    }
    kp_copy(f->name, sizeof f->name, name);
    f->size = size;
    f->n++;
}

static struct found segments_in(const char *dir)
{
    struct found found = {0};
    struct kp_storage storage;
    kp_auto_free char *path = kp_asprintf("%s/segments", dir);
    assert_int_equal(kp_storage_dir_open(path, &storage, NULL), 0);
    assert_int_equal(storage.ops->list(storage.self, "", on_file, &found, NULL), 0);
    storage.ops->close(storage.self);
    return found;
}

static void flip(const char *dir, const struct found *segment, uint64_t at)
{
    kp_auto_free char *path = kp_asprintf("%s/segments/%s", dir, segment->name);
    flip_bit(path, (off_t)at);
}

// Reads all that is listed. How many were given out, all of them as they were; how many are listed.
static size_t read_what_is_there(struct kp_store *store, const struct picture *before, size_t *ret_listed)
{
    struct picture now = {0};
    char *cursor = NULL;
    size_t n = 0;
    assert_int_equal(kp_store_list(store, &(struct kp_store_query){0}, on_shown, &now, &cursor, NULL), 0);
    assert_null(cursor);
    size_t k = 0;
    for (size_t i = 0; i < now.items.n; i++) {
        struct kp_blob *body;
        struct kp_error err = {0};
        while (k < before->items.n && strcmp(before->items.items[k].id, now.items.items[i].id) != 0)
            k++;
        assert_true(k < before->items.n);
        assert_true(before->items.items[k].record == now.items.items[i].record);
        int rc = kp_store_get(store, now.items.items[i].id, NULL, &body, &err);
        if (rc != 0) {
            assert_int_equal(rc, KP_CORRUPT);
            assert_int_equal(kp_store_get(store, now.items.items[i].id, NULL, &body, NULL), KP_NOT_FOUND);
            continue;
        }
        assert_true(kp_digest_equal(digest_of(body), before->items.items[k].body));
        kp_blob_unref(body);
        n++;
    }
    *ret_listed = now.items.n;
    kp_array_free(&now.items);
    return n;
}

static void test_flipped_bits(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    struct picture before;
    fill_mixed(store, N, NULL);
    take_picture(store, (struct kp_store_query){0}, &before);
    seal_all(store, true);
    retain_all(store);
    kp_store_close(store);
    struct found segment = segments_in(dir);
    assert_int_equal(segment.n, 1);
    size_t n_whole = 0;
    size_t n_none = 0;
    for (uint64_t at = 3; at < segment.size; at += segment.size / 97) {
        struct kp_error err = {0};
        struct kp_metrics *metrics = kp_metrics_create();
        flip(dir, &segment, at);
        store = open_store(dir, (struct kp_store_options){.metrics = metrics});
        size_t listed;
        size_t n = read_what_is_there(store, &before, &listed);
        n_whole += n == before.items.n;
        n_none += n == 0;
        int wrong = wrong_in(store);
        if (n < before.items.n && wrong == 0)
            fail_msg("byte %llu: verify sees nothing wrong", (unsigned long long)at);
        bool more = true;
        if (kp_store_retain(store, &more, &err) != 0)
            fail_msg("%s", err.text);
        kp_auto_strbuf text;
        kp_strbuf_init(&text, 1 << 20);
        kp_metrics_write(metrics, &text);
        if (n < before.items.n && strstr(text.data, "kube_pprof_registry_corrupt_total 0"))
            fail_msg("byte %llu: not counted", (unsigned long long)at);
        kp_store_close(store);
        kp_metrics_destroy(metrics);
        flip(dir, &segment, at); // mended again
        kp_auto_free char *mark = kp_asprintf("%s/segments/%s.bad", dir, segment.name);
        unlink(mark);
    }
    print_message("of 98 flips %zu hid nothing, %zu everything\n", n_whole, n_none);
    store = open_store(dir, (struct kp_store_options){0});
    size_t listed;
    assert_int_equal(read_what_is_there(store, &before, &listed), N);
    kp_store_close(store);
    kp_array_free(&before.items);
    kp_test_rmdir(dir);
}

static void test_quarantine(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    char *ids[N];
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    fill_mixed(store, N, ids);
    seal_all(store, true);
    retain_all(store);
    char *other = put_capture(store, (struct capture){.namespace = "bank"});
    seal_all(store, true);
    kp_store_close(store);
    struct found segment = segments_in(dir);
    if (kp_starts_with(segment.name, "bank")) { // the other one
        struct found all = {0};
        struct kp_storage storage;
        kp_auto_free char *root = kp_asprintf("%s/segments", dir);
        assert_int_equal(kp_storage_dir_open(root, &storage, NULL), 0);
        assert_int_equal(storage.ops->list(storage.self, "shop", on_file, &all, NULL), 0);
        storage.ops->close(storage.self);
        segment = all;
    }
    flip(dir, &segment, segment.size - 5);
    for (int round = 0; round < 3; round++) {
        store = open_store(dir, (struct kp_store_options){0});
        assert_int_equal(stats_of(store).n_profiles, 1);
        assert_int_equal(stats_of(store).n_segments, 1);
        assert_int_equal(wrong_in(store), 1);
        struct kp_record record;
        assert_int_equal(kp_store_get(store, other, &record, NULL, NULL), 0);
        kp_record_finish(&record);
        assert_int_equal(kp_store_get(store, ids[0], &record, NULL, NULL), KP_NOT_FOUND);
        kp_store_close(store);
        assert_int_equal(segments_in(dir).n, 2); // kept for people
        assert_int_equal(segments_in(dir).n_bad, 1);
        if (round == 1)
            remove_index(dir);
    }
    kp_free(other);
    free_ids(ids, N);
    kp_test_rmdir(dir);
}

// ---- storage that fails ----

static struct {
    struct kp_storage real;
    int fail_put, fail_get, fail_remove; // codes; 0 = works
    int fail_sync;                       // an errno value
    bool half;                           // a put that fails leaves a file
    int puts;
} fault;

static int fault_put(void *self, const char *name, const void *data, size_t len, struct kp_error *err)
{
    (void)self;
    fault.puts++;
    if (fault.fail_put == 0)
        return fault.real.ops->put(fault.real.self, name, data, len, err);
    if (fault.half)
        (void)!fault.real.ops->put(fault.real.self, name, data, len, NULL);
    return kp_fail(err, fault.fail_put, "no space left on device");
}

static int fault_get(
    void *self, const char *name, uint64_t offset, size_t len, void *out, struct kp_error *err)
{
    (void)self;
    if (fault.fail_get == 0)
        return fault.real.ops->get(fault.real.self, name, offset, len, out, err);
    return kp_fail(err, fault.fail_get, "input/output error");
}

static int fault_list(void *self, const char *prefix,
    void (*each)(void *user, const char *name, uint64_t size), void *user, struct kp_error *err)
{
    (void)self;
    return fault.real.ops->list(fault.real.self, prefix, each, user, err);
}

static int fault_remove(void *self, const char *name, struct kp_error *err)
{
    (void)self;
    if (fault.fail_remove == 0)
        return fault.real.ops->remove(fault.real.self, name, err);
    return kp_fail(err, fault.fail_remove, "input/output error");
}

static void fault_close(void *self)
{
    (void)self;
    fault.real.ops->close(fault.real.self);
}

static struct kp_store *open_faulty(const char *dir)
{
    static const struct kp_storage_ops ops = {fault_put, fault_get, fault_list, fault_remove, fault_close};
    struct kp_store *store = NULL;
    struct kp_error err = {0};
    memset(&fault, 0, sizeof fault);
    kp_auto_free char *path = kp_asprintf("%s/segments", dir);
    assert_int_equal(kp_storage_dir_open(path, &fault.real, NULL), 0);
    const struct kp_storage storage = {&ops, NULL};
    const struct kp_store_options options = {.dir = dir, .now_ms = test_now};
    if (kp_store_open_io(&options, &kp_io_posix, &storage, &store, &err) != 0)
        fail_msg("%s", err.text);
    return store;
}

static void test_storage_fails(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_faulty(dir);
    struct pictures before;
    struct kp_error err = {0};
    struct kp_seal *seal;
    fill_mixed(store, N, NULL);
    take_pictures(store, &before);
    for (int round = 0; round < 3; round++) { // full; half a file; half a file that cannot be removed
        fault.fail_put = KP_LIMIT;
        fault.half = round > 0;
        fault.fail_remove = round == 2 ? KP_INTERNAL : 0;
        err = (struct kp_error){0};
        assert_int_equal(kp_store_seal_begin(store, true, &seal, &err), 0);
        assert_non_null(seal);
        assert_int_equal(kp_seal_run(seal, NULL, &err), KP_LIMIT);
        assert_int_equal(kp_seal_end(seal, NULL), 0);
        check_pictures(store, &before);
        assert_int_equal(stats_of(store).n_sealed, 0);
        if (round == 1)
            assert_int_equal(segments_in(dir).n, 0);
    }
    fault.fail_put = fault.fail_remove = 0;
    clock_ms += 1;
    seal_all(store, true); // it goes on by itself
    check_pictures(store, &before);
    assert_int_equal(stats_of(store).n_sealed, N);
    assert_int_equal(segments_in(dir).n, 2); // the half one is still there
    for (int round = 0; round < 4; round++) {
        kp_store_close(store);
        if (round == 2)
            remove_index(dir);
        store = open_faulty(dir);
        assert_int_equal(stats_of(store).n_profiles, N);
        check_pictures(store, &before); // each once
        if (round == 2)
            retain_all(store);
    }
    assert_int_equal(segments_in(dir).n, 1);
    fault.fail_get = KP_INTERNAL; // cannot be read now: said, not forgotten
    struct kp_blob *body;
    const char *id = before.oldest.items.items[5].id;
    assert_int_equal(kp_store_get(store, id, NULL, &body, NULL), KP_INTERNAL);
    fault.fail_get = 0;
    check_pictures(store, &before);
    kp_store_close(store);
    free_pictures(&before);
    kp_test_rmdir(dir);
}

// The disk breaks while the work is put in place: nothing is lost, nothing comes back.
static int broken_sync(int fd)
{
    if (fault.fail_sync == 0)
        return fdatasync(fd);
    errno = fault.fail_sync;
    return -1;
}

static void test_disk_breaks_at_the_end(void **state)
{
    (void)state;
    static const struct kp_io io = {pwritev, broken_sync, ftruncate};
    static const int codes[] = {EIO, ENOSPC};
    for (size_t k = 0; k < KP_COUNT(codes); k++) {
        clock_ms = T0;
        char *dir = kp_test_tmpdir();
        char *ids[N];
        struct kp_store *store = NULL;
        struct kp_seal *seal;
        const struct kp_store_options options = {.dir = dir, .now_ms = test_now};
        memset(&fault, 0, sizeof fault);
        assert_int_equal(kp_store_open_io(&options, &io, NULL, &store, NULL), 0);
        fill_mixed(store, N, ids);
        assert_int_equal(kp_store_seal_begin(store, true, &seal, NULL), 0);
        assert_int_equal(kp_seal_run(seal, NULL, NULL), 0);
        assert_int_equal(kp_store_delete(store, ids[3], NULL), 0);
        struct pictures before;
        take_pictures(store, &before);
        fault.fail_sync = codes[k];
        assert_int_not_equal(kp_seal_end(seal, NULL), 0);
        fault.fail_sync = 0;
        for (int round = 0; round < 4; round++) {
            check_pictures(store, &before);
            assert_int_equal(stats_of(store).n_profiles, N - 1);
            if (round == 2)
                retain_all(store);
            kp_store_close(store);
            assert_int_equal(kp_store_open_io(&options, &io, NULL, &store, NULL), 0);
        }
        free_ids(ids, N);
        free_pictures(&before);
        kp_store_close(store);
        kp_test_rmdir(dir);
    }
}

// Somebody removes the files beneath: what is left is found all the same, and what the log still has comes
// back.
static void test_files_go_while_running(void **state)
{
    (void)state;
    for (int compacted = 0; compacted < 2; compacted++) {
        clock_ms = T0;
        char *dir = kp_test_tmpdir();
        struct kp_store *store = open_store(dir, (struct kp_store_options){0});
        char *ids[N];
        fill_mixed(store, N, ids);
        assert_true(seal_all(store, true) > 0);
        if (compacted)
            retain_all(store);
        kp_test_rmdir(kp_asprintf("%s/segments", dir));
        char *new = put(store, (struct what){0});
        assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 1);
        assert_int_equal(kp_store_get(store, ids[0], NULL, NULL, NULL), KP_CORRUPT);
        assert_true(is_here(store, new));
        retain_all(store);
        assert_int_equal(seal_all(store, false), 1);
        assert_int_equal(kp_store_get(store, ids[0], NULL, NULL, NULL), compacted ? KP_NOT_FOUND : 0);
        assert_int_equal(stats_of(store).n_profiles, compacted ? 1 : N + 1);
        assert_true(stats_of(store).n_corrupt > 0);
        kp_free(new);
        free_ids(ids, N);
        kp_store_close(store);
        kp_test_rmdir(dir);
    }
}

// A day that cannot be written is tried again after an hour, then ever more rarely.
static void test_joins_back_off(void **state)
{
    (void)state;
    clock_ms = T0 / DAY * DAY;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_faulty(dir);
    for (int hour = 0; hour < 2; hour++) {
        fill_mixed(store, N, NULL);
        clock_ms += HOUR;
        assert_int_equal(seal_all(store, false), 1);
    }
    clock_ms += DAY;
    fault.fail_put = KP_INTERNAL;
    int n_tries = 0;
    for (int quarter = 0; quarter < 4 * 24 * 4; quarter++, clock_ms += HOUR / 4) {
        struct kp_seal *seal;
        assert_int_equal(kp_store_seal_begin(store, false, &seal, NULL), 0);
        if (seal == NULL)
            continue;
        assert_int_equal(kp_seal_run(seal, NULL, NULL), KP_INTERNAL);
        assert_int_equal(kp_seal_end(seal, NULL), 0);
        n_tries++;
    }
    assert_in_range(n_tries, 6, 9); // in four days: after 1, 2, 4, 8, 16 hours, then daily
    fault.fail_put = 0;
    clock_ms += DAY;
    assert_int_equal(seal_all(store, false), 1);
    assert_int_equal(stats_of(store).n_profiles, 2 * N);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void test_stopped(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    struct pictures before;
    struct kp_error err = {0};
    struct kp_seal *seal;
    struct kp_seal *second;
    fill_mixed(store, N, NULL);
    take_pictures(store, &before);
    int cancelled = 1;
    assert_int_equal(kp_store_seal_begin(store, true, &seal, &err), 0);
    assert_int_equal(kp_store_seal_begin(store, true, &second, &err), KP_CONFLICT);
    err = (struct kp_error){0};
    assert_int_equal(kp_seal_run(seal, &cancelled, &err), KP_CANCELED);
    assert_int_equal(kp_seal_end(seal, NULL), 0);
    check_pictures(store, &before);
    assert_int_equal(seal_all(store, true), 1);
    check_pictures(store, &before);
    free_pictures(&before);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// A frame of the log that rots before it is sealed.
static void test_log_rots(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    char *ids[N];
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    fill_mixed(store, N, ids);
    kp_auto_free char *path = kp_asprintf("%s/log/00000001.log", dir);
    int fd = open(path, O_RDWR);
    uint8_t byte = 0;
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pread(fd, &byte, 1, st.st_size - 100), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, st.st_size - 100), 1);
    close(fd);
    assert_int_equal(seal_all(store, true), 1);
    for (int round = 0; round < 2; round++) {
        struct kp_record record;
        assert_int_equal(stats_of(store).n_profiles, N - 1);
        assert_int_equal(kp_store_get(store, ids[N - 1], &record, NULL, NULL), KP_NOT_FOUND);
        assert_int_equal(kp_store_get(store, ids[N - 2], &record, NULL, NULL), 0);
        kp_record_finish(&record);
        retain_all(store);
        kp_store_close(store);
        store = open_store(dir, (struct kp_store_options){0});
    }
    free_ids(ids, N);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_quarantine),
        cmocka_unit_test(test_storage_fails),
        cmocka_unit_test(test_disk_breaks_at_the_end),
        cmocka_unit_test(test_files_go_while_running),
        cmocka_unit_test(test_joins_back_off),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_log_rots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
