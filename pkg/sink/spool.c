#include "sink/spool.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

#define MAGIC      0x5053504bu // "KPSP"
#define FILE_BYTES (8u * KP_MIB)
#define MAX_FRAME  (KP_MAX_PROFILE_BYTES + KP_MAX_RECORD_BYTES + 64)

struct file {
    uint64_t number;
    uint64_t size;
    size_t waiting; // captures in it that are not dropped
};

struct kp_spool {
    char *dir;
    int lock_fd, dir_fd;
    int fd;                      // of the newest file, -1 = none open
    KP_ARRAY(struct file) files; // oldest first
    _Atomic uint64_t bytes, damaged;
};

static char *path_of(const struct kp_spool *spool, uint64_t number)
{
    return kp_asprintf("%s/%012" PRIu64 ".spool", spool->dir, number);
}

static struct file *file_of(struct kp_spool *spool, uint64_t number)
{
    for (size_t i = 0; i < spool->files.n; i++)
        if (spool->files.items[i].number == number)
            return &spool->files.items[i];
    return NULL;
}

static struct file *newest(struct kp_spool *spool)
{
    return spool->files.n > 0 ? &spool->files.items[spool->files.n - 1] : NULL;
}

// ---- frames ----

static void put32(unsigned char *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

static uint32_t get32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static int64_t get_time(const unsigned char *head)
{
    uint64_t v;
    memcpy(&v, head + 12, sizeof v);
    return (int64_t)le64toh(v);
}

static void make_head(unsigned char head[KP_SPOOL_OVERHEAD], const void *capture, size_t len, int64_t put_ms)
{
    uint64_t time = htole64((uint64_t)put_ms);
    put32(head, MAGIC);
    put32(head + 4, (uint32_t)len);
    memcpy(head + 12, &time, sizeof time);
    put32(head + 8, kp_crc32c(kp_crc32c(0, head + 12, 8), capture, len));
}

static bool frame_holds(const unsigned char *head, const void *capture)
{
    return kp_crc32c(kp_crc32c(0, head + 12, 8), capture, get32(head + 4)) == get32(head + 8);
}

// ---- reading what is there ----

typedef bool (*each_fn)(
    void *user, const struct kp_spool_place *place, int64_t put_ms, const void *capture, size_t len);

static void scan(struct kp_spool *spool, struct file *file, const unsigned char *data, size_t size,
    each_fn each, void *user)
{
    size_t at = 0;
    while (size - at >= KP_SPOOL_OVERHEAD) {
        const unsigned char *head = data + at;
        uint32_t len = get32(head + 4);
        if (get32(head) != MAGIC || len > size - at - KP_SPOOL_OVERHEAD)
            break;
        if (frame_holds(head, head + KP_SPOOL_OVERHEAD)) {
            struct kp_spool_place place = {file->number, at, len};
            if (each(user, &place, get_time(head), head + KP_SPOOL_OVERHEAD, len))
                file->waiting++;
            else
                spool->damaged++;
        } else {
            spool->damaged++;
        }
        at += KP_SPOOL_OVERHEAD + len;
    }
    if (at < size)
        spool->damaged++; // a torn tail
}

static void remove_file(struct kp_spool *spool, struct file *file)
{
    kp_auto_free char *path = path_of(spool, file->number);
    unlink(path);
    spool->bytes -= file->size;
    size_t at = (size_t)(file - spool->files.items);
    memmove(file, file + 1, (spool->files.n - at - 1) * sizeof *file);
    spool->files.n--;
}

static int by_number(const void *a, const void *b)
{
    const struct file *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static int list_files(struct kp_spool *spool, struct kp_error *err)
{
    DIR *dir = opendir(spool->dir);
    if (dir == NULL)
        return kp_fail_errno(err, errno, "cannot read folder '%s'", spool->dir);
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        uint64_t number;
        int end = 0;
        if (sscanf(entry->d_name, "%12" SCNu64 ".spool%n", &number, &end) == 1 && end > 0 &&
            entry->d_name[end] == '\0')
            *kp_array_add(&spool->files) = (struct file){.number = number};
    }
    closedir(dir);
    if (spool->files.n > 1)
        qsort(spool->files.items, spool->files.n, sizeof *spool->files.items, by_number);
    return 0;
}

static void read_files(struct kp_spool *spool, each_fn each, void *user)
{
    for (size_t i = 0; i < spool->files.n;) {
        struct file *file = &spool->files.items[i];
        kp_auto_free char *path = path_of(spool, file->number);
        kp_auto_free char *data = NULL;
        size_t size = 0;
        if (kp_file_read(path, FILE_BYTES + MAX_FRAME + KP_SPOOL_OVERHEAD, &data, &size, NULL) != 0) {
            spool->damaged++;
            file->waiting = 1; // keeps its number taken
            i++;
            continue;
        }
        file->size = size;
        spool->bytes += size;
        scan(spool, file, (const unsigned char *)data, size, each, user);
        if (file->waiting == 0)
            remove_file(spool, file);
        else
            i++;
    }
}

// ---- life ----

static int lock_dir(struct kp_spool *spool, struct kp_error *err)
{
    kp_auto_free char *path = kp_asprintf("%s/lock", spool->dir);
    spool->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (spool->lock_fd < 0)
        return kp_fail_errno(err, errno, "cannot open '%s'", path);
    if (flock(spool->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return kp_fail(err, KP_CONFLICT, "another process uses the spool '%s'", spool->dir);
    spool->dir_fd = open(spool->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return spool->dir_fd < 0 ? kp_fail_errno(err, errno, "cannot open folder '%s'", spool->dir) : 0;
}

int kp_spool_open(const char *dir, each_fn each, void *user, struct kp_spool **ret, struct kp_error *err)
{
    struct kp_spool *spool = KP_NEW(struct kp_spool);
    spool->dir = kp_strdup(dir);
    spool->fd = spool->lock_fd = spool->dir_fd = -1;
    int code = kp_dir_create(dir, 0700, err);
    if (code == 0)
        code = lock_dir(spool, err);
    if (code == 0)
        code = list_files(spool, err);
    if (code != 0) {
        kp_spool_close(spool);
        return code;
    }
    read_files(spool, each, user);
    *ret = spool;
    return 0;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void kp_spool_close(struct kp_spool *spool)
{
    if (spool == NULL)
        return;
    close_fd(spool->fd);
    close_fd(spool->dir_fd);
    close_fd(spool->lock_fd);
    kp_array_free(&spool->files);
    kp_free(spool->dir);
    kp_free(spool);
}

// ---- writing ----

// Old files are never written again: their tails may be torn.
static int new_file(struct kp_spool *spool, struct kp_error *err)
{
    const struct file *last = newest(spool);
    uint64_t number = last != NULL ? last->number + 1 : 1;
    kp_auto_free char *path = path_of(spool, number);
    close_fd(spool->fd);
    spool->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (spool->fd < 0)
        return kp_fail_errno(err, errno, "cannot make '%s'", path);
    *kp_array_add(&spool->files) = (struct file){.number = number};
    if (fsync(spool->dir_fd) != 0)
        return kp_fail_errno(err, errno, "cannot sync folder '%s'", spool->dir);
    return 0;
}

int kp_spool_append(struct kp_spool *spool, const void *capture, size_t len, int64_t put_ms,
    struct kp_spool_place *ret, struct kp_error *err)
{
    unsigned char head[KP_SPOOL_OVERHEAD];
    struct kp_error failure = {0};
    if (len > MAX_FRAME)
        return kp_fail(err, KP_LIMIT, "a capture of %zu bytes is too large for the spool", len);
    if ((spool->fd < 0 || newest(spool) == NULL || newest(spool)->size >= FILE_BYTES) &&
        new_file(spool, err) != 0)
        return err != NULL ? err->code : KP_INTERNAL;
    struct file *file = newest(spool);
    if (file == NULL)
        return kp_fail(err, KP_INTERNAL, "the spool '%s' has no file to write to", spool->dir);
    make_head(head, capture, len, put_ms);
    if (kp_write_all(spool->fd, head, sizeof head, &failure) != 0 ||
        kp_write_all(spool->fd, capture, len, &failure) != 0) {
        // a torn frame must not stand before whole ones
        if (ftruncate(spool->fd, (off_t)file->size) != 0) {
            close_fd(spool->fd);
            spool->fd = -1;
        }
        return kp_fail(err, failure.code, "cannot write to the spool '%s': %s", spool->dir, failure.text);
    }
    *ret = (struct kp_spool_place){file->number, file->size, (uint32_t)len};
    file->size += sizeof head + len;
    file->waiting++;
    spool->bytes += sizeof head + len;
    return 0;
}

int kp_spool_sync(struct kp_spool *spool, struct kp_error *err)
{
    if (spool->fd >= 0 && fdatasync(spool->fd) != 0)
        return kp_fail_errno(err, errno, "cannot sync the spool '%s'", spool->dir);
    return 0;
}

int kp_spool_read(
    struct kp_spool *spool, const struct kp_spool_place *place, char **ret, struct kp_error *err)
{
    kp_auto_free char *path = path_of(spool, place->file);
    size_t size = KP_SPOOL_OVERHEAD + place->len;
    kp_auto_free char *data = kp_alloc(size + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return kp_fail_errno(err, errno, "cannot read '%s'", path);
    ssize_t n = pread(fd, data, size, (off_t)place->offset);
    close(fd);
    if (n != (ssize_t)size || get32((unsigned char *)data + 4) != place->len ||
        !frame_holds((unsigned char *)data, data + KP_SPOOL_OVERHEAD)) {
        spool->damaged++;
        return kp_fail(err, KP_CORRUPT, "'%s' is damaged at %" PRIu64, path, place->offset);
    }
    memmove(data, data + KP_SPOOL_OVERHEAD, place->len);
    data[place->len] = '\0';
    *ret = kp_take(data);
    return 0;
}

void kp_spool_drop(struct kp_spool *spool, const struct kp_spool_place *place)
{
    struct file *file = file_of(spool, place->file);
    if (file == NULL || --file->waiting > 0)
        return;
    if (file == newest(spool)) {
        close_fd(spool->fd);
        spool->fd = -1;
    }
    remove_file(spool, file);
}

uint64_t kp_spool_bytes(const struct kp_spool *spool)
{
    return atomic_load(&((struct kp_spool *)(uintptr_t)spool)->bytes);
}

uint64_t kp_spool_damaged(const struct kp_spool *spool)
{
    return atomic_load(&((struct kp_spool *)(uintptr_t)spool)->damaged);
}
