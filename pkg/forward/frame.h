// WebSocket frames (RFC 6455) of a client: strict reading of what a server sends, writing of our own. Pure;
// internal to forward.
#ifndef KP_FORWARD_FRAME_H
#define KP_FORWARD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KP_FRAME_MAX_HEAD    14
#define KP_FRAME_MAX_CONTROL 125

enum kp_opcode {
    KP_OP_CONTINUATION = 0,
    KP_OP_TEXT = 1,
    KP_OP_BINARY = 2,
    KP_OP_CLOSE = 8,
    KP_OP_PING = 9,
    KP_OP_PONG = 10,
};

enum kp_frame_event {
    KP_FRAME_MORE,
    KP_FRAME_DATA,    // data, data_len (may be 0), first, last: a piece of a binary message
    KP_FRAME_CONTROL, // opcode, control, control_len: ping or pong
    KP_FRAME_CLOSE,  // close_code (0 = none given), control = the reason (NUL behind it); nothing comes after
    KP_FRAME_FAILED, // why
};

struct kp_frames {
    int state;
    uint8_t head[10];
    size_t head_len;
    uint64_t left; // of the frame's payload
    enum kp_opcode opcode;
    bool final, in_message, message_begun;
    const uint8_t *data; // borrowed from what was fed
    size_t data_len;
    bool first, last;
    uint8_t control[KP_FRAME_MAX_CONTROL + 1];
    size_t control_len;
    unsigned close_code;
    const char *why;
};

// Starts from zeroes. Reads up to the next event and returns how many bytes it used.
size_t kp_frames_feed(
    struct kp_frames *frames, const uint8_t *data, size_t len, enum kp_frame_event *ret_event);

// The head of a frame that is a whole message, masked as clients have to; returns its length.
size_t kp_frame_head(
    enum kp_opcode opcode, size_t len, const uint8_t mask[4], uint8_t out[KP_FRAME_MAX_HEAD]);
void kp_frame_mask(uint8_t *payload, size_t len, const uint8_t mask[4]); // in place

#endif
