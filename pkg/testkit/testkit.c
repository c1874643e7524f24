#include "testkit/testkit.h"

#include <ftw.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
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

// Where the line that holds text[at] starts, and how long it is.
static const char *line_at(const char *text, size_t at, int *ret_len)
{
    while (at > 0 && text[at - 1] != '\n')
        at--;
    *ret_len = (int)strcspn(text + at, "\n");
    return text + at;
}

static void fail_at_difference(const char *path, const char *want, const char *got)
{
    size_t at = 0;
    int number = 1, want_len, got_len;
    for (; want[at] == got[at]; at++)
        number += want[at] == '\n' ? 1 : 0;
    const char *want_line = line_at(want, at, &want_len), *got_line = line_at(got, at, &got_len);
    fail_msg("%s:%d differs (KP_UPDATE_GOLDEN=1 writes it anew)\n  there: %.*s\n  now:   %.*s", path, number,
        want_len, want_line, got_len, got_line);
}

void kp_test_golden(const char *path, const char *text)
{
    struct kp_error err = {0};
    const char *update = getenv("KP_UPDATE_GOLDEN");
    if (update != NULL && strcmp(update, "1") == 0) {
        if (kp_file_write_atomic(path, text, strlen(text), 0644, &err) != 0)
            fail_msg("%s", err.text);
        return;
    }
    kp_auto_free char *want = kp_test_read_file(path, NULL);
    if (strcmp(want, text) != 0)
        fail_at_difference(path, want, text);
}

int kp_test_watch_moves(const char *dir)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0 || inotify_add_watch(fd, dir, IN_MOVED_TO) < 0)
        fail_msg("cannot watch '%s'", dir);
    return fd;
}

int kp_test_count_moves(int fd, const char *name)
{
    int n = 0;
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t len;
    while ((len = read(fd, buffer, sizeof buffer)) > 0)
        for (char *p = buffer; p < buffer + len;) {
            const struct inotify_event *event = (const void *)p;
            n += event->len > 0 && strcmp(event->name, name) == 0;
            p += sizeof *event + event->len;
        }
    return n;
}
