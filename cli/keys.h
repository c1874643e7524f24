// Keys, from the bytes a terminal sends for them. Pure.
#ifndef KP_CLI_KEYS_H
#define KP_CLI_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kp_key_code {
    KP_KEY_NONE, // nothing that is known
    KP_KEY_RUNE, // a character
    KP_KEY_ENTER,
    KP_KEY_ESC,
    KP_KEY_TAB,
    KP_KEY_BACKSPACE,
    KP_KEY_DELETE,
    KP_KEY_UP,
    KP_KEY_DOWN,
    KP_KEY_LEFT,
    KP_KEY_RIGHT,
    KP_KEY_HOME,
    KP_KEY_END,
    KP_KEY_PAGE_UP,
    KP_KEY_PAGE_DOWN,
    KP_KEY_CLICK, // at x, y
    KP_KEY_WHEEL_UP,
    KP_KEY_WHEEL_DOWN,
};

struct kp_key {
    enum kp_key_code code;
    uint32_t rune; // of a character; controls from U+0001 to U+001A are Ctrl with a letter
    int x, y;      // of a click: column and row, from 0
};

#define KP_KEYS_MAX 32 // bytes of a sequence: longer ones are dropped

struct kp_keys {
    unsigned char bytes[KP_KEYS_MAX]; // of a sequence that is not complete yet
    size_t n;
    bool is_too_long; // its end is awaited
};

// One byte more, from a kp_keys that began as zeroes. Returns how many keys that made (at most 2) in ret.
size_t kp_keys_add(struct kp_keys *keys, unsigned char byte, struct kp_key ret[2]);
// Whether bytes wait for more of their kind. An Esc does, as it may begin a sequence.
bool kp_keys_is_pending(const struct kp_keys *keys);
// No more came for a while: a lone Esc is that key, anything else that is not complete is dropped.
size_t kp_keys_timeout(struct kp_keys *keys, struct kp_key ret[2]);

#endif
