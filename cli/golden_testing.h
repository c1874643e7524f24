// Texts a command prints, compared with files in testdata. KP_GOLDEN=1 writes them anew; look at the diff
// then. Tests only.
#ifndef KP_CLI_GOLDEN_TESTING_H
#define KP_CLI_GOLDEN_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"

static inline void check_golden(const char *name, const char *text)
{
    kp_auto_free char *path = kp_asprintf("%s/%s", KP_TESTDATA, name);
    kp_auto_free char *expected = NULL;
    if (getenv("KP_GOLDEN") != NULL)
        assert_int_equal(kp_file_write_atomic(path, text, strlen(text), 0644, NULL), 0);
    assert_int_equal(kp_file_read(path, 1 << 20, &expected, NULL, NULL), 0);
    if (strcmp(text, expected) != 0)
        fail_msg("%s is not what is printed:\n%s", path, text);
}

// Lines fit a terminal of 80 columns.
static inline void check_width(const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        size_t columns = 0;
        for (size_t i = 0; i < len; i++)
            columns += ((unsigned char)text[i] & 0xc0) != 0x80;
        if (columns > 80)
            fail_msg("%zu columns: %.*s", columns, (int)len, text);
        text += len + (text[len] != '\0');
    }
}

#endif
