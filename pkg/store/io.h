// The system calls that make bytes durable, as a table, so that tests can make them fail. Private to this
// module.
#ifndef KP_STORE_IO_H
#define KP_STORE_IO_H

#include <sys/types.h>
#include <sys/uio.h>

#include "store/store.h"

struct kp_io {
    ssize_t (*pwritev)(int fd, const struct iovec *iov, int n, off_t offset);
    int (*fdatasync)(int fd);
    int (*ftruncate)(int fd, off_t size);
};

extern const struct kp_io kp_io_posix;

// kp_store_open() with other calls; io must outlive the store. storage: for segments, closed with the store;
// NULL = a folder.
KP_MUST_CHECK int kp_store_open_io(const struct kp_store_options *options, const struct kp_io *io,
    const struct kp_storage *storage, struct kp_store **ret, struct kp_error *err);

// Writes all of it at offset, over short writes and EINTR; changes iov. 0 or an errno value.
int kp_io_write_all(const struct kp_io *io, int fd, struct iovec *iov, size_t n, off_t offset);

#endif
