#include "store/row.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/banned.h"

// Host byte order: a sidecar is a cache of the log, written and read by the same machine; another one
// rebuilds it.
#define MAGIC UINT64_C(0x325844492d504b01)

struct head {
    uint64_t magic, file_number, log_bytes, n, n_tombstones;
    uint32_t row_bytes, crc; // crc of rows and tombstones; flags change in place
};

static void point_at_own(struct kp_rows *rows)
{
    rows->items = rows->own.items;
    rows->flags = rows->own_flags.items;
    rows->n = rows->own.n;
    rows->tombstones = rows->own_tombstones.items;
    rows->n_tombstones = rows->own_tombstones.n;
}

void kp_rows_add(struct kp_rows *rows, const struct kp_row *row)
{
    *kp_array_add(&rows->own) = *row;
    *kp_array_add(&rows->own_flags) = 0;
    point_at_own(rows);
}

void kp_rows_add_tombstone(struct kp_rows *rows, const struct kp_tombstone *tombstone)
{
    *kp_array_add(&rows->own_tombstones) = *tombstone;
    point_at_own(rows);
}

void kp_rows_finish(struct kp_rows *rows)
{
    if (rows->map)
        munmap(rows->map, rows->map_len);
    kp_array_free(&rows->own);
    kp_array_free(&rows->own_flags);
    kp_array_free(&rows->own_tombstones);
    *rows = (struct kp_rows){0};
}

int kp_rows_save(const struct kp_rows *rows, const char *path, uint64_t file_number, uint64_t log_bytes,
    struct kp_error *err)
{
    size_t rows_bytes = rows->n * sizeof *rows->items;
    size_t tomb_bytes = rows->n_tombstones * sizeof *rows->tombstones;
    struct head head = {.magic = MAGIC,
        .file_number = file_number,
        .log_bytes = log_bytes,
        .n = rows->n,
        .n_tombstones = rows->n_tombstones,
        .row_bytes = sizeof *rows->items};
    size_t len = sizeof head + rows_bytes + tomb_bytes + rows->n;
    kp_auto_free uint8_t *data = kp_alloc(len);
    uint8_t *p = data + sizeof head;
    if (rows_bytes > 0)
        memcpy(p, rows->items, rows_bytes);
    if (tomb_bytes > 0)
        memcpy(p + rows_bytes, rows->tombstones, tomb_bytes);
    if (rows->n > 0)
        memcpy(p + rows_bytes + tomb_bytes, rows->flags, rows->n);
    head.crc = kp_crc32c(0, p, rows_bytes + tomb_bytes);
    memcpy(data, &head, sizeof head);
    return kp_file_write_atomic(path, data, len, 0600, err);
}

static bool fits(const struct head *h, size_t len, uint64_t file_number, uint64_t log_bytes)
{
    if (h->magic != MAGIC || h->file_number != file_number || h->log_bytes != log_bytes ||
        h->row_bytes != sizeof(struct kp_row) || h->n > UINT32_MAX || h->n_tombstones > UINT32_MAX)
        return false;
    return len ==
           sizeof *h + h->n * (sizeof(struct kp_row) + 1) + h->n_tombstones * sizeof(struct kp_tombstone);
}

int kp_rows_map(
    struct kp_rows *rows, const char *path, uint64_t file_number, uint64_t log_bytes, struct kp_error *err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return kp_fail_errno(err, errno, "cannot open '%s'", path);
    struct stat st;
    void *map = MAP_FAILED;
    size_t len = 0;
    if (fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof(struct head)) {
        len = (size_t)st.st_size;
        map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    close(fd);
    if (map == MAP_FAILED)
        return kp_fail(err, KP_CORRUPT, "'%s' cannot be mapped", path);
    const struct head *h = map;
    const uint8_t *p = (const uint8_t *)map + sizeof *h;
    if (!fits(h, len, file_number, log_bytes) ||
        kp_crc32c(0, p, h->n * sizeof(struct kp_row) + h->n_tombstones * sizeof(struct kp_tombstone)) !=
            h->crc) {
        munmap(map, len);
        return kp_fail(err, KP_CORRUPT, "'%s' does not belong to its log file", path);
    }
    rows->map = map;
    rows->map_len = len;
    rows->n = h->n;
    rows->n_tombstones = h->n_tombstones;
    rows->items = (const struct kp_row *)(const void *)p;
    rows->tombstones = (const struct kp_tombstone *)(const void *)(p + h->n * sizeof(struct kp_row));
    rows->flags = (uint8_t *)map + len - h->n;
    return 0;
}

int kp_rows_sync(const struct kp_rows *rows, struct kp_error *err)
{
    if (rows->map == NULL || msync(rows->map, rows->map_len, MS_SYNC) == 0)
        return 0;
    return kp_fail_errno(err, errno, "cannot write the flags of a log file");
}

ptrdiff_t kp_rows_find(const struct kp_rows *rows, uint32_t number_delta)
{
    size_t low = 0;
    size_t high = rows->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (rows->items[mid].number_delta < number_delta)
            low = mid + 1;
        else
            high = mid;
    }
    return low < rows->n && rows->items[low].number_delta == number_delta ? (ptrdiff_t)low : -1;
}
