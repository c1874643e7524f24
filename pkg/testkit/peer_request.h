// How a peer reads one request. Private to pkg/testkit.
#ifndef KP_TESTKIT_PEER_REQUEST_H
#define KP_TESTKIT_PEER_REQUEST_H

#include "testkit/peer.h"

struct kp_peer_input {
    // more bytes; false when there are none any more
    bool (*fill)(void *user, char *out, size_t size, size_t *ret_n);
    bool (*go_on)(void *user); // sends "100 Continue"
    void *user;
    char *data; // read, but not used up yet
    size_t len, cap;
};

struct kp_peer_message {
    struct kp_peer_request request; // points into the rest
    char *line, *head, *body;
};

// The next request, NULL when the connection ends or the request is over a limit or nonsense.
struct kp_peer_message *kp_peer_message_read(struct kp_peer_input *input);
void kp_peer_message_destroy(struct kp_peer_message *message);
void kp_peer_input_finish(struct kp_peer_input *input);

#endif
