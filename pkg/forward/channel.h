// v4.channel.k8s.io for one port: the first byte of a message says the channel (0 data, 1 error), the first
// message of each is the port as two bytes, little endian. Pure; internal to forward.
#ifndef KP_FORWARD_CHANNEL_H
#define KP_FORWARD_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define KP_CHANNEL_DATA      0
#define KP_CHANNEL_ERROR     1
#define KP_CHANNEL_MAX_ERROR 2048 // of the error channel's text; the rest is dropped

struct kp_channels {
    int port;
    uint8_t channel; // of the message at hand
    bool has_channel;
    struct {
        uint8_t port[2];
        size_t n;   // bytes of the port so far
        bool begun; // the message with the port is over
    } in[2];
    char error[KP_CHANNEL_MAX_ERROR + 1];
    size_t error_len;
};

// A piece of a message (first: the message begins; last: it ends). ret, ret_len: what of it is the pod's
// data; 0 bytes if none. KP_INVALID when the server breaks the protocol.
KP_MUST_CHECK int kp_channels_take(struct kp_channels *channels, bool first, bool last, const uint8_t *data,
    size_t len, const uint8_t **ret, size_t *ret_len, struct kp_error *err);

// What the error channel said, as a failure: KP_NETWORK when nothing listens, else KP_UNAVAILABLE. Nothing if
// it said nothing.
void kp_channels_failure(const struct kp_channels *channels, struct kp_error *err);

#endif
