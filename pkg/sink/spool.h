// The spool: captures on disk while the receiver is away. Files NNNNNNNNNNNN.spool of frames
//
//     u32 magic "KPSP" | u32 length | u32 CRC32C of what follows | i64 time it was put (ms) | capture
//     (record/record.h)
//
// all little-endian. A torn tail ends a file, a frame with a bad CRC is passed over; both are counted. A file
// goes when nothing in it waits any more; what was delivered before a crash is delivered again (the receiver
// knows its key). Blocking; one thread at a time.
#ifndef KP_SINK_SPOOL_H
#define KP_SINK_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"

struct kp_spool;

struct kp_spool_place { // where a capture lies
    uint64_t file;
    uint64_t offset; // of the frame
    uint32_t len;    // of the capture
};

// Locks the folder (KP_CONFLICT if another process has it) and visits what is there, oldest first; each says
// whether it wants to keep the capture. A file that cannot be read is left alone and counts as damaged.
KP_MUST_CHECK int kp_spool_open(const char *dir,
    bool (*each)(
        void *user, const struct kp_spool_place *place, int64_t put_ms, const void *capture, size_t len),
    void *user, struct kp_spool **ret, struct kp_error *err);
void kp_spool_close(struct kp_spool *spool);

// Appends; durable after kp_spool_sync().
KP_MUST_CHECK int kp_spool_append(struct kp_spool *spool, const void *capture, size_t len, int64_t put_ms,
    struct kp_spool_place *ret, struct kp_error *err);
KP_MUST_CHECK int kp_spool_sync(struct kp_spool *spool, struct kp_error *err);
// The capture, CRC checked; free it. KP_CORRUPT if it does not hold.
KP_MUST_CHECK int kp_spool_read(
    struct kp_spool *spool, const struct kp_spool_place *place, char **ret, struct kp_error *err);
// It is delivered or given up.
void kp_spool_drop(struct kp_spool *spool, const struct kp_spool_place *place);

uint64_t kp_spool_bytes(
    const struct kp_spool *spool); // on disk, delivered ones in files that live on included
uint64_t kp_spool_damaged(const struct kp_spool *spool); // frames that could not be read since open

#define KP_SPOOL_OVERHEAD 20 // bytes of a frame beside its capture

#endif
