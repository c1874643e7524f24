// One profile in a log file: head, record, body, zeros up to a multiple of 8. Everything little-endian. The
// head has a checksum of its own, so that a flipped bit in a body does not hide the frames behind it. Private
// to this module.
#ifndef KP_STORE_FRAME_H
#define KP_STORE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KP_FRAME_HEAD_BYTES 48
#define KP_FRAME_ALIGN      8
#define KP_LOG_HEAD_BYTES   40

enum kp_frame_kind { KP_FRAME_PROFILE = 1, KP_FRAME_TOMBSTONE = 2 };

struct kp_frame {
    enum kp_frame_kind kind;
    uint32_t series;
    uint32_t record_len, body_len;
    uint32_t body_crc; // of record and body
    uint64_t number;   // of the profile; of a tombstone: the deleted one
    int64_t start_ms;
};

struct kp_log_head {
    uint64_t number; // of the file
    uint64_t first;  // numbers of its profiles start here
    int64_t created_ms;
};

static inline size_t kp_frame_bytes(const struct kp_frame *f)
{
    size_t len = (size_t)KP_FRAME_HEAD_BYTES + f->record_len + f->body_len;
    return (len + KP_FRAME_ALIGN - 1) / KP_FRAME_ALIGN * KP_FRAME_ALIGN;
}

void kp_frame_put(uint8_t out[KP_FRAME_HEAD_BYTES], const struct kp_frame *frame);
// False if these bytes are not a head.
bool kp_frame_get(const uint8_t in[KP_FRAME_HEAD_BYTES], struct kp_frame *ret);

void kp_log_head_put(uint8_t out[KP_LOG_HEAD_BYTES], const struct kp_log_head *head);
bool kp_log_head_get(const uint8_t in[KP_LOG_HEAD_BYTES], struct kp_log_head *ret);
// Whether it is the head of a log file in a form that came after this one.
bool kp_log_head_is_newer(const uint8_t in[KP_LOG_HEAD_BYTES], unsigned *ret_format);

// Walks a log file's bytes (behind the log head). Calls good for each whole frame whose sums are right
// (payload: record and body) and bad for each stretch that is not, unless nothing whole follows it: that is
// the torn tail of a crash. Returns the length of what is whole, from data on.
struct kp_frame_visitor {
    void (*good)(void *user, const struct kp_frame *frame, size_t offset, const uint8_t *payload);
    void (*bad)(void *user, size_t offset, size_t len);
    void *user;
};
size_t kp_frames_scan(const uint8_t *data, size_t len, const struct kp_frame_visitor *visitor);

#endif
