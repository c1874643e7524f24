#include "testkit/testkit.h"

#include <ftw.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/banned.h"

char *kp_test_tmpdir(void)
{
    const char *base = getenv("TMPDIR");
    char *path = kp_asprintf("%s/kp-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(path) == NULL)
        fail_msg("cannot make a folder '%s'", path);
    return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void kp_test_rmdir(char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    kp_free(path);
}

char *kp_test_read_file(const char *path, size_t *ret_len)
{
    struct kp_error err = {0};
    char *data = NULL;
    if (kp_file_read(path, 256u << 20, &data, ret_len, &err) != 0)
        fail_msg("%s", err.text);
    return data;
}
