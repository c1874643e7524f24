// What the compiler of regular expressions hands to their matcher. Private to pkg/base.
#ifndef KP_BASE_REGEX_PRIVATE_H
#define KP_BASE_REGEX_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/array.h"
#include "base/regex.h"

#define KP_REGEX_MAX_TEXT  2000
#define KP_REGEX_MAX_DEPTH 32
#define KP_REGEX_MAX_STEPS 2000

enum kp_regex_op {
    KP_REGEX_CHAR, // value: the character
    KP_REGEX_ANY,
    KP_REGEX_SET,   // value: the first of its ranges, n: how many, in order and apart; negate
    KP_REGEX_SPLIT, // goes on at both x and y, relative to itself
    KP_REGEX_JUMP,  // to x
    KP_REGEX_BEGIN,
    KP_REGEX_END,
    KP_REGEX_DONE,
};

struct kp_regex_step {
    enum kp_regex_op op;
    bool negate;
    uint32_t value, n;
    int x, y;
};

struct kp_regex_range {
    uint32_t low, high;
};

struct kp_regex {
    KP_ARRAY(struct kp_regex_step) steps;
    KP_ARRAY(struct kp_regex_range) ranges;
};

// The character at *p, of at most n > 0 bytes, and moves on.
uint32_t kp_regex_character(const char **p, size_t n);

#endif
