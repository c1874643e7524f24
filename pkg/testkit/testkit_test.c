#include "testkit/testkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/banned.h"

static void test_folders_vanish(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir(), *other = kp_test_tmpdir();
    assert_string_not_equal(dir, other);
    kp_auto_free char *kept = kp_strdup(dir), *deep = kp_asprintf("%s/a/b", dir),
                      *file = kp_asprintf("%s/a/b/c", dir), *link = kp_asprintf("%s/link", dir),
                      *outside = kp_asprintf("%s/x", other);
    assert_int_equal(kp_dir_create(deep, 0700, NULL), 0);
    assert_int_equal(kp_file_write_atomic(file, "x", 1, 0600, NULL), 0);
    assert_int_equal(kp_file_write_atomic(outside, "x", 1, 0600, NULL), 0);
    assert_int_equal(symlink(other, link), 0);
    kp_test_rmdir(dir);
    assert_int_equal(access(kept, F_OK), -1);
    assert_int_equal(access(outside, F_OK), 0); // links are not followed
    kp_test_rmdir(other);
}

static void test_golden_writes_and_compares(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    kp_auto_free char *path = kp_asprintf("%s/golden", dir);
    const char *before = getenv("KP_UPDATE_GOLDEN");
    kp_auto_free char *kept = kp_strdup(before);
    setenv("KP_UPDATE_GOLDEN", "1", 1);
    kp_test_golden(path, "one\ntwo\n");
    unsetenv("KP_UPDATE_GOLDEN");
    kp_test_golden(path, "one\ntwo\n");
    size_t len = 0;
    kp_auto_free char *text = kp_test_read_file(path, &len);
    assert_string_equal(text, "one\ntwo\n");
    assert_int_equal(len, 8);
    if (kept != NULL)
        setenv("KP_UPDATE_GOLDEN", kept, 1);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders_vanish),
        cmocka_unit_test(test_golden_writes_and_compares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
