// The opening handshake of a WebSocket (RFC 6455 4.1): our key, and whether the server's 101 is an answer to
// it. Internal to forward.
#ifndef KP_FORWARD_HANDSHAKE_H
#define KP_FORWARD_HANDSHAKE_H

#include <stdbool.h>

#include "base/error.h"

#define KP_WS_PROTOCOL "v4.channel.k8s.io"

struct kp_handshake {
    char key[64], version[40], protocol[64]; // header lines
    char expected[32];                       // of Sec-WebSocket-Accept
    bool accept_ok, protocol_ok, upgrade_ok, connection_ok;
    char wrong[96]; // what contradicts; "" = nothing
};

// key: 16 random bytes.
void kp_handshake_init(struct kp_handshake *handshake, const unsigned char key[16]);
void kp_handshake_header(struct kp_handshake *handshake, const char *name, const char *value);
KP_MUST_CHECK int kp_handshake_check(const struct kp_handshake *handshake, struct kp_error *err);

#endif
