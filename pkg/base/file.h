// Whole small files.
#ifndef KP_BASE_FILE_H
#define KP_BASE_FILE_H

#include <stddef.h>

#include "base/error.h"

// The file's bytes plus a NUL, to be freed; larger than max_bytes is KP_LIMIT.
KP_MUST_CHECK int kp_file_read(
    const char *path, size_t max_bytes, char **ret, size_t *ret_len, struct kp_error *err);
// Writes beside, fsyncs, renames over, fsyncs the folder.
KP_MUST_CHECK int kp_file_write_atomic(
    const char *path, const void *data, size_t len, unsigned mode, struct kp_error *err);
KP_MUST_CHECK int kp_dir_create(
    const char *path, unsigned mode, struct kp_error *err); // with parents; there already is fine
KP_MUST_CHECK int kp_dir_sync(const char *path, struct kp_error *err);
// All of it, over short writes and EINTR.
KP_MUST_CHECK int kp_write_all(int fd, const void *data, size_t len, struct kp_error *err);

#endif
