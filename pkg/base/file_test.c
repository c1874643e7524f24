#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "testkit/testkit.h"
#include "base/banned.h"

static int setup(void **state)
{
    *state = kp_test_tmpdir();
    return 0;
}

static int teardown(void **state)
{
    kp_test_rmdir(*state);
    return 0;
}

static void test_writes_and_reads(void **state)
{
    kp_auto_free char *path = kp_asprintf("%s/file", (char *)*state);
    kp_auto_free char *beside = kp_asprintf("%s.tmp", path);
    kp_auto_free char *large = kp_alloc(100000);
    memset(large, 'x', 100000);
    char *data = NULL;
    size_t len = 0;
    assert_int_equal(kp_file_write_atomic(path, "a\0b", 3, 0600, NULL), 0);
    assert_int_equal(kp_file_read(path, 3, &data, &len, NULL), 0);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "a\0b", 4);
    kp_free(data);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(kp_file_write_atomic(path, large, 100000, 0600, NULL), 0); // over the old one
    assert_int_equal(kp_file_read(path, 1000000, &data, NULL, NULL), 0);
    assert_int_equal(strlen(data), 100000);
    kp_free(data);
    assert_int_equal(access(beside, F_OK), -1); // nothing left beside
    assert_int_equal(kp_file_write_atomic(path, NULL, 0, 0600, NULL), 0);
    assert_int_equal(kp_file_read(path, 0, &data, &len, NULL), 0);
    assert_int_equal(len, 0);
    kp_free(data);
}

static void test_reads_no_more_than_allowed(void **state)
{
    kp_auto_free char *path = kp_asprintf("%s/file", (char *)*state);
    struct kp_error err = {0};
    char *data = NULL;
    assert_int_equal(kp_file_write_atomic(path, "0123456789", 10, 0600, NULL), 0);
    assert_int_equal(kp_file_read(path, 9, &data, NULL, &err), KP_LIMIT);
    assert_non_null(strstr(err.text, "is larger than 9 bytes"));
    kp_error_clear(&err);
    assert_int_equal(kp_file_read("/dev/zero", 1u << 20, &data, NULL, &err), KP_LIMIT); // has no end
    assert_null(data);
}

static void test_says_what_failed(void **state)
{
    kp_auto_free char *missing = kp_asprintf("%s/missing", (char *)*state);
    kp_auto_free char *below = kp_asprintf("%s/missing/file", (char *)*state);
    kp_auto_free char *want = kp_asprintf("cannot read '%s': No such file or directory", missing);
    struct kp_error err = {0};
    char *data = NULL;
    assert_int_equal(kp_file_read(missing, 10, &data, NULL, &err), KP_NOT_FOUND);
    assert_string_equal(err.text, want);
    kp_error_clear(&err);
    assert_int_equal(kp_file_write_atomic(below, "x", 1, 0600, &err), KP_NOT_FOUND);
    assert_non_null(strstr(err.text, "cannot write '"));
    kp_error_clear(&err);
    assert_true(kp_file_read(*state, 10, &data, NULL, &err) < 0); // a folder
    assert_null(data);
    assert_int_equal(kp_dir_sync(missing, NULL), KP_NOT_FOUND);
}

// The file that was there stays whole when the new one does not fit.
static void test_failed_write_leaves_the_old_file(void **state)
{
    kp_auto_free char *path = kp_asprintf("%s/file", (char *)*state);
    kp_auto_free char *beside = kp_asprintf("%s.tmp", path);
    char large[4096] = {0}, *data = NULL;
    assert_int_equal(kp_file_write_atomic(path, "old", 3, 0600, NULL), 0);
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){.rlim_cur = 1000, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    struct kp_error err = {0};
    int code = kp_file_write_atomic(path, large, sizeof large, 0600, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(code, KP_LIMIT);
    assert_non_null(strstr(err.text, "file.tmp': cannot write: File too large"));
    assert_int_equal(kp_file_read(path, 10, &data, NULL, NULL), 0);
    assert_string_equal(data, "old");
    kp_free(data);
    assert_int_equal(access(beside, F_OK), -1);
}

// In a folder others may write to, somebody may guess the name of the file beside.
static void test_follows_no_link_that_lies_beside(void **state)
{
    kp_auto_free char *path = kp_asprintf("%s/file", (char *)*state);
    kp_auto_free char *beside = kp_asprintf("%s.tmp", path);
    kp_auto_free char *victim = kp_asprintf("%s/victim", (char *)*state);
    char *data = NULL;
    assert_int_equal(kp_file_write_atomic(victim, "mine", 4, 0600, NULL), 0);
    for (int hard = 0; hard < 2; hard++) {
        assert_int_equal(hard ? link(victim, beside) : symlink(victim, beside), 0);
        assert_int_equal(kp_file_write_atomic(path, "new", 3, 0600, NULL), 0);
        assert_int_equal(kp_file_read(victim, 10, &data, NULL, NULL), 0);
        assert_string_equal(data, "mine");
        kp_free(data);
        assert_int_equal(kp_file_read(path, 10, &data, NULL, NULL), 0);
        assert_string_equal(data, "new");
        kp_free(data);
    }
}

static void test_makes_folders(void **state)
{
    kp_auto_free char *deep = kp_asprintf("%s/a/b//c/", (char *)*state);
    kp_auto_free char *file = kp_asprintf("%s/file", (char *)*state);
    kp_auto_free char *below = kp_asprintf("%s/file/x", (char *)*state);
    struct kp_error err = {0};
    assert_int_equal(kp_dir_create(deep, 0700, &err), 0);
    assert_int_equal(access(deep, W_OK), 0);
    assert_int_equal(kp_dir_create(deep, 0700, &err), 0); // there already
    assert_int_equal(kp_dir_create("/", 0700, &err), 0);
    assert_int_equal(kp_file_write_atomic(file, "x", 1, 0600, NULL), 0);
    assert_int_equal(kp_dir_create(file, 0700, &err), KP_INVALID);
    assert_non_null(strstr(err.text, "is not a folder"));
    assert_true(kp_dir_create(below, 0700, NULL) < 0);
    assert_true(kp_dir_create("", 0700, NULL) < 0);
}

static void test_write_all_says_the_cause(void **state)
{
    (void)state;
    struct kp_error err = {0};
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(kp_write_all(fd, "x", 1, &err), KP_LIMIT);
    assert_string_equal(err.text, "cannot write: No space left on device");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_writes_and_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reads_no_more_than_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_says_what_failed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_write_leaves_the_old_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_follows_no_link_that_lies_beside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_makes_folders, setup, teardown),
        cmocka_unit_test(test_write_all_says_the_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
