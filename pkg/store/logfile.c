#include "store/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/banned.h"

struct kp_logfile *kp_logfile_new(const char *dir, uint64_t number)
{
    struct kp_logfile *file = KP_NEW(struct kp_logfile);
    file->path = kp_asprintf("%s/%08" PRIu64 ".log", dir, number);
    file->sidecar = kp_asprintf("%s/%08" PRIu64 ".idx", dir, number);
    file->head.number = number;
    file->fd = -1;
    file->refs = 1;
    file->min_start_ms = INT64_MAX;
    file->max_start_ms = INT64_MIN;
    return file;
}

struct kp_logfile *kp_logfile_ref(struct kp_logfile *file)
{
    __atomic_add_fetch(&file->refs, 1, __ATOMIC_RELAXED);
    return file;
}

void kp_logfile_unref(struct kp_logfile *file)
{
    if (file == NULL || __atomic_sub_fetch(&file->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (file->fd >= 0)
        close(file->fd);
    kp_rows_finish(&file->rows);
    kp_free(file->path);
    kp_free(file->sidecar);
    kp_free(file);
}

int kp_logfile_create(struct kp_logfile *file, uint64_t first, int64_t now_ms, struct kp_error *err)
{
    file->head.first = first;
    file->head.created_ms = now_ms;
    uint8_t head[KP_LOG_HEAD_BYTES];
    kp_log_head_put(head, &file->head);
    int rc = kp_file_write_atomic(file->path, head, sizeof head, 0600, err);
    return rc != 0 ? rc : kp_logfile_open(file, err);
}

static int read_all(
    const struct kp_logfile *file, void *out, size_t len, uint64_t offset, struct kp_error *err)
{
    uint8_t *p = out;
    while (len > 0) {
        ssize_t n = pread(file->fd, p, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return kp_fail_errno(err, errno, "cannot read '%s'", file->path);
        if (n == 0)
            return kp_fail(err, KP_CORRUPT, "'%s' ends at byte %" PRIu64 ", before the end of a profile",
                file->path, offset);
        p += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int kp_logfile_open(struct kp_logfile *file, struct kp_error *err)
{
    file->fd = open(file->path, O_RDWR | O_CLOEXEC);
    if (file->fd < 0)
        return kp_fail_errno(err, errno, "cannot open '%s'", file->path);
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return kp_fail_errno(err, errno, "cannot stat '%s'", file->path);
    uint8_t bytes[KP_LOG_HEAD_BYTES];
    struct kp_log_head head;
    if (st.st_size < (off_t)sizeof bytes || read_all(file, bytes, sizeof bytes, 0, err) != 0 ||
        !kp_log_head_get(bytes, &head) || head.number != file->head.number) {
        kp_error_clear(err);
        return kp_fail(err, KP_CORRUPT, "'%s' does not start as a log file of this store", file->path);
    }
    file->head = head;
    file->size = (uint64_t)st.st_size;
    return 0;
}

void kp_logfile_park(struct kp_logfile *file)
{
    if (file->fd < 0 || file->size > KP_LOG_HEAD_BYTES)
        return;
    close(file->fd);
    file->fd = -1;
}

void kp_logfile_count(struct kp_logfile *file, const struct kp_row *row, bool live)
{
    if (row->start_ms < file->min_start_ms)
        file->min_start_ms = row->start_ms;
    if (row->start_ms > file->max_start_ms)
        file->max_start_ms = row->start_ms;
    if (row->received_ms > file->max_received_ms)
        file->max_received_ms = row->received_ms;
    if (live) {
        file->n_live++;
        file->live_bytes += (uint64_t)row->record_len + row->body_len + KP_FRAME_HEAD_BYTES;
    }
}

// The head again from the disk: what the row says must be what lies there.
static int check_head(const struct kp_logfile *file, const struct kp_row *row, const uint8_t *bytes,
    struct kp_frame *ret, struct kp_error *err)
{
    if (!kp_frame_get(bytes, ret) || ret->number != file->head.first + row->number_delta ||
        ret->series != row->series || ret->record_len != row->record_len || ret->body_len != row->body_len)
        return kp_fail(err, KP_CORRUPT, "'%s' has a damaged head at byte %u", file->path, row->offset);
    return 0;
}

int kp_logfile_read_record(
    const struct kp_logfile *file, const struct kp_row *row, struct kp_record *ret, struct kp_error *err)
{
    uint8_t small[2048];
    size_t len = (size_t)KP_FRAME_HEAD_BYTES + row->record_len;
    kp_auto_free uint8_t *large = len > sizeof small ? kp_alloc(len) : NULL;
    uint8_t *bytes = large ? large : small;
    struct kp_frame frame;
    int rc = read_all(file, bytes, len, row->offset, err);
    if (rc == 0)
        rc = check_head(file, row, bytes, &frame, err);
    return rc != 0 ? rc : kp_record_decode(bytes + KP_FRAME_HEAD_BYTES, row->record_len, ret, err);
}

int kp_logfile_read_payload(
    const struct kp_logfile *file, const struct kp_row *row, uint8_t **ret, struct kp_error *err)
{
    size_t payload = (size_t)row->record_len + row->body_len;
    uint8_t head[KP_FRAME_HEAD_BYTES];
    kp_auto_free uint8_t *bytes = kp_alloc(payload);
    struct kp_frame frame;
    int rc = read_all(file, head, sizeof head, row->offset, err);
    if (rc == 0)
        rc = check_head(file, row, head, &frame, err);
    if (rc == 0)
        rc = read_all(file, bytes, payload, (uint64_t)row->offset + KP_FRAME_HEAD_BYTES, err);
    if (rc != 0)
        return rc;
    if (kp_crc32c(0, bytes, payload) != frame.body_crc)
        return kp_fail(err, KP_CORRUPT, "'%s' holds a profile at byte %u whose checksum is wrong", file->path,
            row->offset);
    *ret = kp_take(bytes);
    return 0;
}

int kp_logfile_read(const struct kp_logfile *file, const struct kp_row *row, struct kp_record *ret_record,
    struct kp_blob **ret_body, struct kp_error *err)
{
    kp_auto_free uint8_t *record = NULL;
    int rc = kp_logfile_read_payload(file, row, &record, err);
    if (rc == 0 && ret_record)
        rc = kp_record_decode(record, row->record_len, ret_record, err);
    if (rc == 0 && ret_body)
        *ret_body = kp_blob_copy(record + row->record_len, row->body_len);
    return rc;
}
