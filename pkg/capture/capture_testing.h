// For the tests of capture: their peers listen on loopback, which is never scraped otherwise, and what one
// shows must not hang on how fast they send.
#ifndef KP_CAPTURE_CAPTURE_TESTING_H
#define KP_CAPTURE_CAPTURE_TESTING_H

#include "capture/capture.h"

// Takes a network as it was written ("127.0.0.0/8") off the list of those never scraped.
void kp_capturer_allow(struct kp_capturer *capturer, const char *cidr);

// How often those who read on alone are looked at from now on: who got little between two looks is cut off.
void kp_capturer_watch_every(struct kp_capturer *capturer, int64_t ms);

#endif
