// Disks that are full, break, lie or forget.
#include "store/store_testing.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/banned.h"

// ---- system calls that fail on demand ----

static struct {
    int write_errno, sync_errno, truncate_errno; // 0 = works
    size_t short_by;                             // a failing write leaves so many bytes less than asked
    int writes, syncs;
} fault;

static ssize_t fault_pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    fault.writes++;
    if (fault.write_errno == 0)
        return pwritev(fd, iov, n, offset);
    if (fault.short_by > 0 && iov[0].iov_len > fault.short_by) { // a part gets through, the rest does not
        struct iovec part = {iov[0].iov_base, iov[0].iov_len - fault.short_by};
        fault.short_by = 0;
        return pwritev(fd, &part, 1, offset);
    }
    errno = fault.write_errno;
    return -1;
}

static int fault_fdatasync(int fd)
{
    fault.syncs++;
    if (fault.sync_errno == 0)
        return fdatasync(fd);
    errno = fault.sync_errno;
    return -1;
}

static int fault_ftruncate(int fd, off_t size)
{
    if (fault.truncate_errno == 0)
        return ftruncate(fd, size);
    errno = fault.truncate_errno;
    return -1;
}

static const struct kp_io faulty = {fault_pwritev, fault_fdatasync, fault_ftruncate};

static struct kp_store *open_faulty(const char *dir)
{
    memset(&fault, 0, sizeof fault);
    struct kp_store *store = NULL;
    struct kp_error err = {0};
    if (kp_store_open_io(
            &(struct kp_store_options){.dir = dir, .now_ms = test_now}, &faulty, NULL, &store, &err) != 0)
        fail_msg("%s", err.text);
    return store;
}

static void refused(struct kp_store *store, const char *key, int code, const char *words)
{
    struct kp_append batch[3];
    for (int i = 0; i < 3; i++)
        make(&batch[i], (struct what){.service = "refused", .key = key, .size = 3000});
    kp_store_append(store, batch, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(batch[i].status, KP_APPEND_FAILED);
        assert_int_equal(batch[i].error.code, code);
        if (!strstr(batch[i].error.text, words))
            fail_msg("'%s' does not say '%s'", batch[i].error.text, words);
        release(&batch[i]);
    }
}

static void test_full_disk(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_faulty(dir);
    char *a = put(store, (struct what){0});
    struct kp_store_stats stats;
    for (int round = 0; round < 2; round++) {
        fault.write_errno = ENOSPC;
        fault.short_by = round ? 100 : 0;
        refused(store, "k", KP_LIMIT, "the store is full");
        kp_store_get_stats(store, &stats);
        assert_true(stats.full);
        struct kp_error trouble;
        assert_true(kp_store_trouble(store, &trouble));
        assert_int_equal(trouble.code, KP_LIMIT);
        assert_non_null(strstr(trouble.text, dir)); // which folder, how much is free, what to do
        assert_non_null(strstr(trouble.text, "MiB free"));
        assert_non_null(strstr(trouble.text, "given up for room"));
        assert_non_null(strstr(trouble.text, "free space there"));
        assert_true(is_here(store, a));
    }
    fault.write_errno = 0; // space again: it goes on by itself
    char *b = put(store, (struct what){.key = "k"});
    kp_store_get_stats(store, &stats);
    assert_false(stats.full);
    kp_store_close(store);
    store = open_faulty(dir); // and nothing of the refused ones comes back
    assert_true(is_here(store, a));
    assert_true(is_here(store, b));
    assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 2);
    kp_store_close(store);
    kp_free(a);
    kp_free(b);
    kp_test_rmdir(dir);
}

// Upkeep notices that there is space again, also where nothing is sent any more.
static void test_space_again(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_faulty(dir);
    struct kp_error trouble;
    bool more;
    fault.write_errno = ENOSPC;
    refused(store, "k", KP_LIMIT, "the store is full");
    fault.write_errno = 0;
    assert_true(kp_store_trouble(store, &trouble));
    assert_int_equal(kp_store_retain(store, &more, NULL), 0);
    assert_false(kp_store_trouble(store, &trouble));
    fault.write_errno = fault.sync_errno = EROFS; // the same of a disk that could not be written
    refused(store, "k", KP_INTERNAL, "Read-only file system");
    assert_int_equal(kp_store_retain(store, &more, NULL), 0);
    assert_true(kp_store_trouble(store, &trouble));
    fault.write_errno = fault.sync_errno = 0;
    assert_int_equal(kp_store_retain(store, &more, NULL), 0);
    assert_false(kp_store_trouble(store, &trouble));
    kp_auto_free char *probe = kp_asprintf("%s/log/probe", dir);
    assert_int_not_equal(access(probe, F_OK), 0);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// Somebody removes the log file, or all of the folder, beneath: nothing is said to be stored that cannot be
// found again.
static void test_the_folder_goes(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    kp_auto_free char *log = kp_asprintf("%s/log/00000001.log", dir);
    struct kp_store *store = open_faulty(dir);
    struct kp_error trouble;
    kp_free(put(store, (struct what){0}));
    assert_int_equal(unlink(log), 0);
    refused(store, "k", KP_UNAVAILABLE, "removed beneath the registry");
    char *b = put(store, (struct what){.key = "k"}); // in a new file
    assert_false(kp_store_trouble(store, &trouble));
    kp_store_close(store);
    store = open_faulty(dir);
    assert_true(is_here(store, b));
    kp_free(b);
    kp_test_rmdir(kp_strdup(dir));
    for (int i = 0; i < 2; i++) {
        refused(store, "l", KP_UNAVAILABLE, "removed beneath the registry");
        assert_true(kp_store_trouble(store, &trouble));
        assert_int_equal(trouble.code, KP_UNAVAILABLE);
    }
    kp_store_close(store);
    kp_free(dir);
}

static void test_broken_disk(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_faulty(dir);
    char *a = put(store, (struct what){0});
    fault.write_errno = EIO;
    refused(store, "k", KP_INTERNAL, "Input/output error");
    fault.write_errno = 0;
    fault.sync_errno = EIO; // written, but not durable: not acknowledged, and the file is not used any more
    refused(store, "k", KP_INTERNAL, "Input/output error");
    fault.sync_errno = 0;
    char *b = put(store, (struct what){.key = "k"});
    fault.sync_errno = EIO;
    fault.truncate_errno = EIO; // not even to be undone
    refused(store, "other", KP_INTERNAL, "Input/output error");
    fault.sync_errno = fault.truncate_errno = 0;
    char *c = put(store, (struct what){0});
    for (int round = 0; round < 2; round++) {
        assert_true(is_here(store, a));
        assert_true(is_here(store, b));
        assert_true(is_here(store, c));
        kp_store_close(store);
        store = open_faulty(dir);
    }
    kp_store_close(store);
    kp_free(a);
    kp_free(b);
    kp_free(c);
    kp_test_rmdir(dir);
}

static void test_one_sync_for_many(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_faulty(dir);
    struct kp_append batch[200];
    for (int i = 0; i < 200; i++)
        make(&batch[i], (struct what){0});
    int before = fault.syncs;
    kp_store_append(store, batch, 200);
    assert_int_equal(fault.syncs, before + 1);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(batch[i].status, KP_APPEND_STORED);
        assert_true(is_here(store, batch[i].record->id));
        release(&batch[i]);
    }
    kp_store_close(store);
    kp_test_rmdir(dir);
}

// ---- files that were changed ----

static char *log_path(const char *dir)
{
    return kp_asprintf("%s/log/00000001.log", dir);
}

static off_t log_size(const char *dir)
{
    kp_auto_free char *path = log_path(dir);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void flip(const char *dir, off_t at)
{
    kp_auto_free char *path = log_path(dir);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

// Ten profiles; their ids, and where each ends in the log.
static void ten(const char *dir, char *ids[10], off_t ends[10])
{
    struct kp_store *store = open_faulty(dir);
    for (int i = 0; i < 10; i++) {
        ids[i] = put(store, (struct what){.start_ms = T0 + i, .size = 100 + (size_t)i * 13});
        ends[i] = log_size(dir);
    }
    kp_store_close(store);
}

static void test_torn_tail(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    char *ids[10];
    off_t ends[10];
    ten(dir, ids, ends);
    // cut anywhere: what lies before the cut is whole, the rest is gone, and writing goes on
    for (int i = 9; i > 0; i--) {
        off_t cut = ends[i] - 1 - (i * 17) % (ends[i] - ends[i - 1] - 1);
        kp_auto_free char *path = log_path(dir);
        assert_int_equal(truncate(path, cut), 0);
        struct kp_store *store = open_faulty(dir);
        for (int k = 0; k < 10; k++)
            assert_int_equal(is_here(store, ids[k]), k < i);
        assert_int_equal(log_size(dir), ends[i - 1]);
        kp_store_close(store);
    }
    struct kp_store *store = open_faulty(dir);
    char *more = put(store, (struct what){.start_ms = T0 + 100});
    kp_store_close(store);
    store = open_faulty(dir);
    assert_true(is_here(store, ids[0]));
    assert_true(is_here(store, more));
    kp_store_close(store);
    kp_free(more);
    for (int i = 0; i < 10; i++)
        kp_free(ids[i]);
    kp_test_rmdir(dir);
}

static void test_flipped_bits(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    char *ids[10];
    off_t ends[10];
    ten(dir, ids, ends);
    for (off_t at = ends[3]; at < ends[4]; at += 7) { // every part of the fifth: head, record, body
        flip(dir, at);
        struct kp_store *store = open_faulty(dir);
        for (int k = 0; k < 10; k++)
            if (k != 4 && !is_here(store, ids[k]))
                fail_msg("byte %ld: profile %d is lost", (long)at, k);
        bool padding = at >= ends[4] - 8;
        if (!padding)
            assert_false(is_here(store, ids[4]));
        kp_store_close(store);
        flip(dir, at);
    }
    for (int i = 0; i < 10; i++)
        kp_free(ids[i]);
    kp_test_rmdir(dir);
}

static void test_rots_while_running(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_faulty(dir);
    char *a = put(store, (struct what){.size = 5000});
    char *b = put(store, (struct what){.size = 5000});
    flip(dir, log_size(dir) - 1000);
    struct kp_error err = {0};
    struct kp_blob *body;
    assert_int_equal(kp_store_get(store, b, NULL, &body, &err), KP_CORRUPT);
    assert_non_null(strstr(err.text, "checksum"));
    assert_false(is_here(store, b)); // quarantined
    assert_true(is_here(store, a));
    assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 1);
    kp_store_close(store);
    kp_free(a);
    kp_free(b);
    kp_test_rmdir(dir);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    kp_auto_free char *path = kp_asprintf("%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void test_odd_files(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){.log_file_bytes = 4000});
    char *ids[10];
    for (int i = 0; i < 10; i++)
        ids[i] = put(store, (struct what){.start_ms = T0 + i});
    kp_store_close(store);
    write_file(dir, "log/00000001.idx", "nonsense");       // a sidecar of somebody else
    write_file(dir, "log/00000077.log", "not a log file"); // put aside
    write_file(dir, "log/00000001.log.tmp", "half");       // a rewrite that was cut short
    write_file(dir, "index.db", "this is not a database, though it has that name and some length");
    store = open_store(dir, (struct kp_store_options){.log_file_bytes = 4000});
    for (int i = 0; i < 10; i++)
        assert_true(is_here(store, ids[i]));
    kp_free(put(store, (struct what){0}));
    kp_store_close(store);
    kp_auto_free char *aside = kp_asprintf("%s/log/00000077.log.bad", dir);
    assert_int_equal(access(aside, F_OK), 0);
    kp_auto_free char *half = kp_asprintf("%s/log/00000001.log.tmp", dir);
    assert_int_not_equal(access(half, F_OK), 0);
    for (int i = 0; i < 10; i++)
        kp_free(ids[i]);
    kp_test_rmdir(dir);
}

// Every page of it in turn: whatever is lost, the index is made anew and the next start finds it whole.
static void test_damaged_index(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){.log_file_bytes = 4000});
    char *ids[10];
    for (int i = 0; i < 10; i++)
        ids[i] = put(store, (struct what){.service = i % 2 ? "a" : "b", .start_ms = T0 + i});
    kp_store_close(store);
    kp_auto_free char *path = kp_asprintf("%s/index.db", dir);
    char junk[4096];
    memset(junk, 0x5a, sizeof junk);
    struct stat st;
    for (off_t at = 0; stat(path, &st) == 0 && at < st.st_size; at += (off_t)sizeof junk) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, junk, sizeof junk, at), sizeof junk);
        close(fd);
        for (int start = 0; start < 2; start++) {
            store = open_store(dir, (struct kp_store_options){.log_file_bytes = 4000});
            for (int i = 0; i < 10; i++)
                assert_true(is_here(store, ids[i]));
            kp_free(put(store, (struct what){.service = "c"}));
            kp_store_close(store);
        }
    }
    for (int i = 0; i < 10; i++)
        kp_free(ids[i]);
    kp_test_rmdir(dir);
}

// The same while it is open: nothing is lost, it is made anew by upkeep, and the next start finds it whole.
static void test_index_goes_while_running(void **state)
{
    (void)state;
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (int how = 0; how < 3; how++) {
        char *dir = kp_test_tmpdir();
        const struct kp_store_options options = {.log_file_bytes = 4000};
        struct kp_store *store = open_store(dir, options);
        char *ids[10];
        for (int i = 0; i < 10; i++) {
            ids[i] = put(store, (struct what){.service = i % 2 ? "a" : "b", .start_ms = T0 + i});
            for (size_t k = 0; i == 4 && k < KP_COUNT(suffixes); k++) {
                kp_auto_free char *name = kp_asprintf("index.db%s", suffixes[k]);
                kp_auto_free char *path = kp_asprintf("%s/%s", dir, name);
                if (how == 0)
                    assert_int_equal(unlink(path), 0);
                else if (how == 2 || k == 0)
                    write_file(dir, name, "this is not a database, though it has that name");
            }
        }
        kp_free(put(store, (struct what){.service = "new", .start_ms = T0 + 20}));
        bool more = true;
        while (more)
            assert_int_equal(kp_store_retain(store, &more, NULL), 0);
        struct kp_store_stats stats;
        kp_store_get_stats(store, &stats);
        if (how != 1) // what the cache has of the pages is enough
            assert_int_equal(stats.n_corrupt, 1);
        for (int i = 0; i < 10; i++)
            assert_true(is_here(store, ids[i]));
        kp_store_close(store);
        store = open_store(dir, options);
        for (int i = 0; i < 10; i++) {
            assert_true(is_here(store, ids[i]));
            kp_free(ids[i]);
        }
        assert_int_equal(count(store, (struct kp_store_query){.service = "new"}, NULL), 1);
        kp_store_close(store);
        kp_test_rmdir(dir);
    }
}

// A start writes nothing into an index that has nothing new to note: it works on a full disk, too.
static void test_start_writes_nothing(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    kp_free(put(store, (struct what){0}));
    kp_store_close(store);
    kp_store_close(open_store(dir, (struct kp_store_options){0}));
    kp_auto_free char *path = kp_asprintf("%s/index.db", dir);
    kp_auto_free char *wal = kp_asprintf("%s/index.db-wal", dir);
    struct stat before;
    struct stat after;
    struct stat log;
    assert_int_equal(stat(path, &before), 0);
    store = open_store(dir, (struct kp_store_options){0});
    assert_true(stat(wal, &log) != 0 || log.st_size == 0);
    kp_store_close(store);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_space_again),
        cmocka_unit_test(test_the_folder_goes),
        cmocka_unit_test(test_broken_disk),
        cmocka_unit_test(test_one_sync_for_many),
        cmocka_unit_test(test_torn_tail),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_rots_while_running),
        cmocka_unit_test(test_odd_files),
        cmocka_unit_test(test_damaged_index),
        cmocka_unit_test(test_index_goes_while_running),
        cmocka_unit_test(test_start_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
