#include "forward/frame.h"

#include <string.h>

#include "base/text.h"
#include "base/banned.h"

enum { // frames->state
    IN_HEAD,
    IN_DATA,
    IN_CONTROL,
    IN_OVER,
    IN_FAILED,
};

static enum kp_frame_event fail(struct kp_frames *frames, const char *why)
{
    frames->state = IN_FAILED;
    frames->why = why;
    return KP_FRAME_FAILED;
}

// ---- heads ----

// Bytes of the head, as far as they are known from its first two.
static size_t head_size(const struct kp_frames *frames)
{
    if (frames->head_len < 2)
        return 2;
    unsigned length = frames->head[1] & 0x7f;
    return length == 126 ? 4 : length == 127 ? 10 : 2;
}

static bool take_length(struct kp_frames *frames)
{
    size_t size = head_size(frames);
    frames->left = frames->head[1] & 0x7f;
    if (size > 2) {
        frames->left = 0;
        for (size_t i = 2; i < size; i++)
            frames->left = frames->left << 8 | frames->head[i];
    }
    // the shortest form is the only one
    return size == 2 || (size == 4 && frames->left > 125) ||
           (size == 10 && frames->left > UINT16_MAX && frames->left <= INT64_MAX);
}

static enum kp_frame_event begin_control(struct kp_frames *frames)
{
    if (!frames->final || frames->left > KP_FRAME_MAX_CONTROL)
        return fail(frames, "a control frame is cut or too long");
    frames->control_len = 0;
    frames->state = IN_CONTROL;
    return KP_FRAME_MORE;
}

static enum kp_frame_event begin_data(struct kp_frames *frames)
{
    bool continues = frames->opcode == KP_OP_CONTINUATION;
    if (continues != frames->in_message)
        return fail(frames, continues ? "a continuation of no message" : "a message inside another");
    frames->message_begun |= !continues;
    frames->in_message = true;
    frames->state = IN_DATA;
    return KP_FRAME_MORE;
}

static enum kp_frame_event take_head(struct kp_frames *frames)
{
    frames->final = (frames->head[0] & 0x80) != 0;
    if ((frames->head[0] & 0x70) != 0)
        return fail(frames, "reserved bits are set");
    if ((frames->head[1] & 0x80) != 0)
        return fail(frames, "a frame of a server is masked");
    if (!take_length(frames))
        return fail(frames, "the length of a frame is not written in its shortest form");
    frames->opcode = frames->head[0] & 0x0f;
    frames->head_len = 0;
    switch (frames->opcode) {
    case KP_OP_CONTINUATION:
    case KP_OP_BINARY:
        return begin_data(frames);
    case KP_OP_CLOSE:
    case KP_OP_PING:
    case KP_OP_PONG:
        return begin_control(frames);
    case KP_OP_TEXT:
        return fail(frames, "a text message where binary ones are spoken");
    }
    return fail(frames, "the kind of a frame is not known");
}

// ---- payloads ----

static size_t take_data(
    struct kp_frames *frames, const uint8_t *data, size_t len, enum kp_frame_event *ret_event)
{
    size_t n = len < frames->left ? len : (size_t)frames->left;
    frames->left -= n;
    frames->data = data;
    frames->data_len = n;
    frames->first = frames->message_begun;
    frames->message_begun = false;
    frames->last = frames->final && frames->left == 0;
    if (frames->left == 0) {
        frames->state = IN_HEAD;
        frames->in_message = !frames->final;
    }
    *ret_event = KP_FRAME_DATA;
    return n;
}

static enum kp_frame_event take_close(struct kp_frames *frames)
{
    unsigned code = 0;
    size_t len = frames->control_len;
    frames->state = IN_OVER;
    if (len == 0) {
        frames->close_code = 0;
        return KP_FRAME_CLOSE;
    }
    if (len > 1)
        code = (unsigned)frames->control[0] << 8 | frames->control[1];
    bool known = (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
                 (code >= 3000 && code <= 4999);
    if (!known)
        return fail(frames, "a close frame has no valid code");
    memmove(frames->control, frames->control + 2, len - 1); // with the NUL
    frames->control_len = len - 2;
    if (!kp_utf8_valid((const char *)frames->control, frames->control_len))
        return fail(frames, "the reason in a close frame is not UTF-8");
    frames->close_code = code;
    return KP_FRAME_CLOSE;
}

static size_t take_control(
    struct kp_frames *frames, const uint8_t *data, size_t len, enum kp_frame_event *ret_event)
{
    size_t n = len < frames->left ? len : (size_t)frames->left;
    if (n > 0)
        memcpy(frames->control + frames->control_len, data, n);
    frames->control_len += n;
    frames->left -= n;
    if (frames->left > 0)
        return n;
    frames->control[frames->control_len] = '\0';
    frames->state = IN_HEAD;
    *ret_event = frames->opcode == KP_OP_CLOSE ? take_close(frames) : KP_FRAME_CONTROL;
    return n;
}

size_t kp_frames_feed(
    struct kp_frames *frames, const uint8_t *data, size_t len, enum kp_frame_event *ret_event)
{
    size_t i = 0;
    *ret_event = frames->state == IN_FAILED ? KP_FRAME_FAILED : KP_FRAME_MORE;
    while (*ret_event == KP_FRAME_MORE) {
        // frames without payload are told without waiting for a further byte
        bool has_none = frames->left == 0;
        if (frames->state == IN_OVER || (i == len && (frames->state == IN_HEAD || !has_none)))
            break;
        if (frames->state == IN_HEAD) {
            frames->head[frames->head_len++] = data[i++];
            if (frames->head_len == head_size(frames))
                *ret_event = take_head(frames);
        } else if (frames->state == IN_DATA) {
            i += take_data(frames, data + i, len - i, ret_event);
        } else {
            i += take_control(frames, data + i, len - i, ret_event);
        }
    }
    return i;
}

// ---- writing ----

size_t kp_frame_head(enum kp_opcode opcode, size_t len, const uint8_t mask[4], uint8_t out[KP_FRAME_MAX_HEAD])
{
    size_t n = 2;
    out[0] = (uint8_t)(0x80 | opcode);
    if (len <= 125) {
        out[1] = (uint8_t)(0x80 | len);
    } else {
        int bytes = len <= UINT16_MAX ? 2 : 8;
        out[1] = (uint8_t)(0x80 | (bytes == 2 ? 126 : 127));
        for (int i = bytes - 1; i >= 0; i--)
            out[n++] = (uint8_t)((uint64_t)len >> (8 * i));
    }
    memcpy(out + n, mask, 4);
    return n + 4;
}

void kp_frame_mask(uint8_t *payload, size_t len, const uint8_t mask[4])
{
    for (size_t i = 0; i < len; i++)
        payload[i] ^= mask[i & 3];
}
