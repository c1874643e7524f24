#include "store/frame.h"

#include <endian.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/banned.h"

#define FRAME_MAGIC 0x3146504bU                  // "KPF1"
#define LOG_MAGIC   UINT64_C(0x31474f4c2d504b00) // "\0KP-LOG1"

static void put32(uint8_t *out, uint32_t v)
{
    v = htole32(v);
    memcpy(out, &v, sizeof v);
}

static void put64(uint8_t *out, uint64_t v)
{
    v = htole64(v);
    memcpy(out, &v, sizeof v);
}

static uint32_t get32(const uint8_t *in)
{
    uint32_t v;
    memcpy(&v, in, sizeof v);
    return le32toh(v);
}

static uint64_t get64(const uint8_t *in)
{
    uint64_t v;
    memcpy(&v, in, sizeof v);
    return le64toh(v);
}

void kp_frame_put(uint8_t out[KP_FRAME_HEAD_BYTES], const struct kp_frame *frame)
{
    put32(out, FRAME_MAGIC);
    put32(out + 8, (uint32_t)frame->kind);
    put32(out + 12, frame->series);
    put32(out + 16, frame->record_len);
    put32(out + 20, frame->body_len);
    put32(out + 24, frame->body_crc);
    put32(out + 28, 0);
    put64(out + 32, frame->number);
    put64(out + 40, (uint64_t)frame->start_ms);
    put32(out + 4, kp_crc32c(0, out + 8, KP_FRAME_HEAD_BYTES - 8));
}

bool kp_frame_get(const uint8_t in[KP_FRAME_HEAD_BYTES], struct kp_frame *ret)
{
    if (get32(in) != FRAME_MAGIC || get32(in + 4) != kp_crc32c(0, in + 8, KP_FRAME_HEAD_BYTES - 8))
        return false;
    uint32_t kind = get32(in + 8);
    if (kind != KP_FRAME_PROFILE && kind != KP_FRAME_TOMBSTONE)
        return false;
    *ret = (struct kp_frame){.kind = (enum kp_frame_kind)kind,
        .series = get32(in + 12),
        .record_len = get32(in + 16),
        .body_len = get32(in + 20),
        .body_crc = get32(in + 24),
        .number = get64(in + 32),
        .start_ms = (int64_t)get64(in + 40)};
    return ret->record_len <= KP_MAX_RECORD_BYTES && ret->body_len <= KP_MAX_PROFILE_BYTES;
}

void kp_log_head_put(uint8_t out[KP_LOG_HEAD_BYTES], const struct kp_log_head *head)
{
    put64(out, LOG_MAGIC);
    put64(out + 8, head->number);
    put64(out + 16, head->first);
    put64(out + 24, (uint64_t)head->created_ms);
    put32(out + 32, kp_crc32c(0, out, 32));
    put32(out + 36, 0);
}

bool kp_log_head_get(const uint8_t in[KP_LOG_HEAD_BYTES], struct kp_log_head *ret)
{
    if (get64(in) != LOG_MAGIC || get32(in + 32) != kp_crc32c(0, in, 32))
        return false;
    *ret = (struct kp_log_head){
        .number = get64(in + 8), .first = get64(in + 16), .created_ms = (int64_t)get64(in + 24)};
    return true;
}

bool kp_log_head_is_newer(const uint8_t in[KP_LOG_HEAD_BYTES], unsigned *ret_format)
{
    const uint64_t digit = UINT64_C(0xff) << 56;
    unsigned format = in[7] - (unsigned)'0';
    if ((get64(in) & ~digit) != (LOG_MAGIC & ~digit) || in[7] <= '1' || in[7] > 'z' ||
        get32(in + 32) != kp_crc32c(0, in, 32))
        return false;
    *ret_format = format;
    return true;
}

// ---- scan ----

enum found { FOUND_GOOD, FOUND_BAD_BODY, FOUND_NOTHING };

static enum found look(const uint8_t *data, size_t len, size_t at, struct kp_frame *ret)
{
    if (len - at < KP_FRAME_HEAD_BYTES || !kp_frame_get(data + at, ret) || kp_frame_bytes(ret) > len - at)
        return FOUND_NOTHING;
    uint32_t crc = kp_crc32c(0, data + at + KP_FRAME_HEAD_BYTES, (size_t)ret->record_len + ret->body_len);
    return crc == ret->body_crc ? FOUND_GOOD : FOUND_BAD_BODY;
}

size_t kp_frames_scan(const uint8_t *data, size_t len, const struct kp_frame_visitor *visitor)
{
    size_t whole = 0; // end of the last good frame
    size_t at = 0;
    while (at < len) {
        struct kp_frame f;
        enum found found = look(data, len, at, &f);
        if (found == FOUND_GOOD) {
            if (at > whole)
                visitor->bad(visitor->user, whole, at - whole);
            visitor->good(visitor->user, &f, at, data + at + KP_FRAME_HEAD_BYTES);
            at += kp_frame_bytes(&f);
            whole = at;
        } else {
            at += found == FOUND_BAD_BODY ? kp_frame_bytes(&f) : KP_FRAME_ALIGN;
        }
    }
    return whole;
}
