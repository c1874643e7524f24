// The scan of a log file's bytes: as they are, and as frames made of them, so that what lies behind the
// checksums is reached.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/strbuf.h"
#include "store/frame.h"
#include "base/banned.h"

struct seen {
    const uint8_t *data;
    size_t len;
    size_t at; // everything before was handed out
    size_t n_good;
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void on_good(void *user, const struct kp_frame *frame, size_t offset, const uint8_t *payload)
{
    struct seen *s = user;
    size_t bytes = kp_frame_bytes(frame);
    check(offset == s->at && bytes <= s->len - offset && payload == s->data + offset + KP_FRAME_HEAD_BYTES);
    check(kp_crc32c(0, payload, (size_t)frame->record_len + frame->body_len) == frame->body_crc);
    s->at = offset + bytes;
    s->n_good++;
}

static void on_bad(void *user, size_t offset, size_t len)
{
    struct seen *s = user;
    check(offset == s->at && len > 0 && len <= s->len - offset);
    s->at = offset + len;
}

static size_t scan(const uint8_t *data, size_t len)
{
    struct seen seen = {.data = data, .len = len};
    const struct kp_frame_visitor visitor = {on_good, on_bad, &seen};
    size_t whole = kp_frames_scan(data, len, &visitor);
    check(whole == seen.at && whole <= len);
    return seen.n_good;
}

// Five bytes say what comes: a frame, one with a wrong sum, or a stretch of anything. Returns the frames that
// no head before them can hide.
static size_t make(const uint8_t *data, size_t size, struct kp_strbuf *out)
{
    size_t n_whole = 0;
    bool counts = true;
    while (size >= 5) {
        static const char zeros[KP_FRAME_ALIGN];
        size_t payload = (size_t)(data[1] + data[2]) < size - 5 ? (size_t)(data[1] + data[2]) : size - 5;
        const uint8_t *body = data + 5;
        struct kp_frame frame = {.kind = data[0] & 4 ? KP_FRAME_TOMBSTONE : KP_FRAME_PROFILE,
            .series = data[3],
            .record_len = (uint32_t)(data[1] < payload ? data[1] : payload),
            .number = data[4],
            .start_ms = (int64_t)data[4] << 40};
        frame.body_len = (uint32_t)payload - frame.record_len;
        frame.body_crc = kp_crc32c(0, body, payload) ^ ((data[0] & 3) == 1);
        uint8_t head[KP_FRAME_HEAD_BYTES];
        kp_frame_put(head, &frame);
        bool is_frame = (data[0] & 3) <= 1;
        if (is_frame)
            kp_strbuf_add(out, head, sizeof head);
        kp_strbuf_add(out, body, payload);
        kp_strbuf_add(out, zeros, (KP_FRAME_ALIGN - out->len % KP_FRAME_ALIGN) % KP_FRAME_ALIGN);
        counts = counts && is_frame; // a stretch may hold the head of one that reaches over all that follows
        n_whole += counts && (data[0] & 3) == 0;
        data += 5 + payload;
        size -= 5 + payload;
    }
    return n_whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kp_log_head head;
    if (size >= KP_LOG_HEAD_BYTES)
        (void)kp_log_head_get(data, &head);
    (void)scan(data, size);
    kp_auto_strbuf made;
    kp_strbuf_init(&made, 1 << 22);
    size_t n_whole = make(data, size, &made);
    if (!made.overflow)
        check(scan((const uint8_t *)made.data, made.len) >= n_whole);
    return 0;
}
