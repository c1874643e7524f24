// Removals are durable before what depends on them goes.
#include "store/seal_testing.h"

#include <errno.h>

#include "base/banned.h"

static int n_fsyncs;
static bool fail_fsync;

int fsync(int fd) // in the place of the C library's
{
    n_fsyncs++;
    if (!fail_fsync)
        return fdatasync(fd);
    errno = EIO;
    return -1;
}

// A file that came back with a crash, after what said that it is out of date has gone, would bring back what
// was deleted.
static void test_removals_last(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_storage storage;
    kp_auto_free char *path = kp_asprintf("%s/other", dir);
    assert_int_equal(kp_storage_dir_open(path, &storage, NULL), 0);
    assert_int_equal(storage.ops->put(storage.self, "a/b.seg", "x", 1, NULL), 0);
    fail_fsync = true;
    assert_int_equal(storage.ops->remove(storage.self, "a/b.seg", NULL), KP_INTERNAL);
    assert_int_equal(storage.ops->remove(storage.self, "a/b.seg", NULL), KP_INTERNAL); // again
    fail_fsync = false;
    n_fsyncs = 0;
    assert_int_equal(storage.ops->remove(storage.self, "a/b.seg", NULL), KP_NOT_FOUND);
    assert_int_equal(n_fsyncs, 1);
    assert_int_equal(storage.ops->remove(storage.self, "none/b.seg", NULL), KP_NOT_FOUND);
    storage.ops->close(storage.self);

    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    for (int i = 0; i < 9; i++)
        kp_free(put_capture(store, (struct capture){.namespace = "shop", .start_ms = clock_ms + i}));
    seal_all(store, true);
    clock_ms += 2 * DAY; // no key matters any more: the file goes whole
    bool more;
    fail_fsync = true;
    assert_int_equal(kp_store_retain(store, &more, NULL), KP_INTERNAL);
    fail_fsync = false;
    retain_all(store);
    assert_int_equal(stats_of(store).n_profiles, 9);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_removals_last)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
