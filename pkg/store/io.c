#include "store/io.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "base/banned.h"

#ifndef IOV_MAX
#define IOV_MAX 1024
#endif

const struct kp_io kp_io_posix = {.pwritev = pwritev, .fdatasync = fdatasync, .ftruncate = ftruncate};

int kp_io_write_all(const struct kp_io *io, int fd, struct iovec *iov, size_t n, off_t offset)
{
    while (n > 0) {
        if (iov->iov_len == 0) {
            iov++, n--;
            continue;
        }
        ssize_t wrote = io->pwritev(fd, iov, n > IOV_MAX ? IOV_MAX : (int)n, offset);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return wrote < 0 ? errno : ENOSPC;
        offset += wrote;
        for (size_t left = (size_t)wrote; left > 0 && n > 0;) {
            size_t step = left < iov->iov_len ? left : iov->iov_len;
            if (step > 0) // nothing may be written of nothing: its base is NULL then
                iov->iov_base = (char *)iov->iov_base + step;
            iov->iov_len -= step;
            left -= step;
            if (iov->iov_len == 0)
                iov++, n--;
        }
    }
    return 0;
}
