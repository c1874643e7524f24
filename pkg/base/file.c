#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/banned.h"

static void close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define auto_fd __attribute__((cleanup(close_fd)))

int kp_file_read(const char *path, size_t max_bytes, char **ret, size_t *ret_len, struct kp_error *err)
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return kp_fail_errno(err, errno, "cannot read '%s'", path);
    size_t len = 0, cap = 4096;
    kp_auto_free char *data = kp_alloc(cap);
    for (;;) {
        if (len + 1 == cap)
            data = kp_realloc(data, cap *= 2);
        ssize_t n = read(fd, data + len, cap - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return kp_fail_errno(err, errno, "cannot read '%s'", path);
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > max_bytes)
            return kp_fail(err, KP_LIMIT, "'%s' is larger than %zu bytes", path, max_bytes);
    }
    data[len] = '\0';
    if (ret_len != NULL)
        *ret_len = len;
    *ret = kp_take(data);
    return 0;
}

int kp_write_all(int fd, const void *data, size_t len, struct kp_error *err)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return kp_fail_errno(err, errno, "cannot write");
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int kp_dir_sync(const char *path, struct kp_error *err)
{
    auto_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return kp_fail_errno(err, errno, "cannot sync folder '%s'", path);
    return 0;
}

static int write_beside(const char *path, const void *data, size_t len, unsigned mode, struct kp_error *err)
{
    // In a folder others may write to, somebody could have put a link or an open file under this name: what
    // is there goes (a crash leaves such files, too), and what is written is new.
    unlink(path);
    auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return kp_fail_errno(err, errno, "cannot write '%s'", path);
    if (kp_write_all(fd, data, len, err) != 0)
        return kp_wrap(err, "'%s'", path);
    if (fsync(fd) != 0)
        return kp_fail_errno(err, errno, "cannot sync '%s'", path);
    return 0;
}

int kp_file_write_atomic(const char *path, const void *data, size_t len, unsigned mode, struct kp_error *err)
{
    kp_auto_free char *beside = kp_asprintf("%s.tmp", path);
    int code = write_beside(beside, data, len, mode, err);
    if (code == 0 && rename(beside, path) != 0)
        code = kp_fail_errno(err, errno, "cannot rename '%s'", beside);
    if (code != 0) {
        unlink(beside);
        return code;
    }
    const char *slash = strrchr(path, '/');
    kp_auto_free char *dir = slash == NULL ? kp_strdup(".") : kp_strndup(path, (size_t)(slash - path) + 1);
    return kp_dir_sync(dir, err);
}

int kp_dir_create(const char *path, unsigned mode, struct kp_error *err)
{
    kp_auto_free char *copy = kp_strdup(path);
    for (char *p = copy + 1; *copy != '\0'; p++) {
        bool end = *p == '\0';
        if (!end && *p != '/')
            continue;
        *p = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST)
            return kp_fail_errno(err, errno, "cannot make folder '%s'", copy);
        if (end)
            break;
        *p = '/';
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return kp_fail(err, KP_INVALID, "'%s' is not a folder", path);
    return 0;
}
