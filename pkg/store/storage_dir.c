// Segment storage in a folder.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "store/store.h"
#include "base/banned.h"

#define MAX_DEPTH 8

struct storage_dir {
    char *path;
};

// Only what cannot lead out of the folder.
static bool name_valid(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-";
    return name[0] && name[0] != '/' && strspn(name, allowed) == strlen(name) && strstr(name, "..") == NULL &&
           strstr(name, "//") == NULL && !kp_ends_with(name, "/");
}

static char *path_of(const struct storage_dir *dir, const char *name, struct kp_error *err)
{
    if (!name_valid(name)) {
        kp_fail(err, KP_INVALID, "'%s' cannot name a stored file", name);
        return NULL;
    }
    return kp_asprintf("%s/%s", dir->path, name);
}

static int put(void *self, const char *name, const void *data, size_t len, struct kp_error *err)
{
    kp_auto_free char *path = path_of(self, name, err);
    if (path == NULL)
        return KP_INVALID;
    char *slash = strrchr(path, '/');
    *slash = '\0';
    int rc = kp_dir_create(path, 0700, err);
    *slash = '/';
    return rc != 0 ? rc : kp_file_write_atomic(path, data, len, 0600, err);
}

static int get(void *self, const char *name, uint64_t offset, size_t len, void *out, struct kp_error *err)
{
    kp_auto_free char *path = path_of(self, name, err);
    if (path == NULL)
        return KP_INVALID;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return kp_fail_errno(err, errno, "cannot open '%s'", path);
    int rc = 0;
    for (size_t done = 0; rc == 0 && done < len;) {
        ssize_t n = pread(fd, (char *)out + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = kp_fail_errno(err, errno, "cannot read '%s'", path);
        else if (n == 0)
            rc = kp_fail(err, KP_CORRUPT, "'%s' is shorter than expected", path);
        else
            done += (size_t)n;
    }
    close(fd);
    return rc;
}

struct walk {
    const char *prefix;
    void (*each)(void *user, const char *name, uint64_t size);
    void *user;
};

static int list_below(const struct storage_dir *dir, const char *below, int depth, const struct walk *walk,
    struct kp_error *err)
{
    kp_auto_free char *path = kp_asprintf("%s/%s", dir->path, below);
    DIR *d = opendir(path);
    if (d == NULL)
        return kp_fail_errno(err, errno, "cannot list '%s'", path);
    int rc = 0;
    for (struct dirent *e = readdir(d); e && rc == 0; e = readdir(d)) { // NOLINT(concurrency-mt-unsafe)
        if (e->d_name[0] == '.')
            continue;
        kp_auto_free char *name = kp_asprintf("%s%s%s", below, below[0] ? "/" : "", e->d_name);
        struct stat st;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue; // removed meanwhile
        if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH)
            rc = list_below(dir, name, depth + 1, walk, err);
        else if (S_ISREG(st.st_mode) && name_valid(name) && kp_starts_with(name, walk->prefix))
            walk->each(walk->user, name, (uint64_t)st.st_size);
    }
    closedir(d);
    return rc;
}

static int list(void *self, const char *prefix, void (*each)(void *user, const char *name, uint64_t size),
    void *user, struct kp_error *err)
{
    return list_below(self, "", 0, &(struct walk){prefix, each, user}, err);
}

// Durable on return: what said that the file is out of date may go next.
static int remove_file(void *self, const char *name, struct kp_error *err)
{
    kp_auto_free char *path = path_of(self, name, err);
    if (path == NULL)
        return KP_INVALID;
    int e = unlink(path) == 0 ? 0 : errno;
    if (e != 0 && e != ENOENT) // gone: it may be that only the folder could not be synced
        return kp_fail_errno(err, e, "cannot remove '%s'", path);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    int rc = kp_dir_sync(path, err);
    *slash = '/';
    return rc != 0 || e == 0 ? rc : kp_fail_errno(err, e, "cannot remove '%s'", path);
}

static void close_dir(void *self)
{
    struct storage_dir *dir = self;
    kp_free(dir->path);
    kp_free(dir);
}

int kp_storage_dir_open(const char *path, struct kp_storage *ret, struct kp_error *err)
{
    static const struct kp_storage_ops ops = {
        .put = put, .get = get, .list = list, .remove = remove_file, .close = close_dir};
    int rc = kp_dir_create(path, 0700, err);
    if (rc != 0)
        return rc;
    struct storage_dir *dir = KP_NEW(struct storage_dir);
    dir->path = kp_strdup(path);
    *ret = (struct kp_storage){&ops, dir};
    return 0;
}
