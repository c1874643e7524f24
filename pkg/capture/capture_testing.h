// For the tests of capture: their peers listen on loopback, which is never scraped otherwise.
#ifndef KP_CAPTURE_CAPTURE_TESTING_H
#define KP_CAPTURE_CAPTURE_TESTING_H

#include "capture/capture.h"

// Takes a network as it was written ("127.0.0.0/8") off the list of those never scraped.
void kp_capturer_allow(struct kp_capturer *capturer, const char *cidr);

#endif
