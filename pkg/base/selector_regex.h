// Regular expressions from outside, kept from eating memory. Private to pkg/base.
#ifndef KP_BASE_SELECTOR_REGEX_H
#define KP_BASE_SELECTOR_REGEX_H

#include <regex.h>

#include "base/error.h"

// POSIX extended, anchored at both ends. Without back references (they take exponential time), and refused
// where nested repeats would grow past a few thousand parts (regcomp copies what is repeated).
KP_MUST_CHECK int kp_selector_regex_compile(regex_t *ret, const char *text, struct kp_error *err);

#endif
