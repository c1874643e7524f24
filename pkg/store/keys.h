// Which capture keys are known: 8 bytes a slot, in an open-addressing table that points to profile numbers;
// the whole key lies in the profile's row. Private to this module.
#ifndef KP_STORE_KEYS_H
#define KP_STORE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kp_keyset {
    struct kp_key_slot *slots;
    size_t n, cap;
    uint64_t first; // number of the first that was added
};

void kp_keyset_add(struct kp_keyset *keys, uint64_t tag, uint64_t number);
// Calls match for every number under this tag until it says yes; false if none does.
bool kp_keyset_find(
    const struct kp_keyset *keys, uint64_t tag, bool (*match)(void *user, uint64_t number), void *user);
void kp_keyset_finish(struct kp_keyset *keys);

// 32 hex digits; false if text is NULL or anything else.
bool kp_key_parse(const char *text, uint64_t ret[2]);

#endif
