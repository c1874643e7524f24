#include "store/keys.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

#define MIDDLE (UINT64_C(1) << 31)

struct kp_key_slot {
    uint32_t tag;    // the lower half
    uint32_t number; // less the first one, plus MIDDLE; 0 = free
};

static void insert(struct kp_key_slot *slots, size_t cap, uint32_t tag, uint32_t number)
{
    size_t at = tag & (cap - 1); // tags are hashes already
    while (slots[at].number != 0)
        at = (at + 1) & (cap - 1);
    slots[at] = (struct kp_key_slot){tag, number};
}

static void grow(struct kp_keyset *keys)
{
    size_t cap = keys->cap == 0 ? 1024 : 2 * keys->cap;
    struct kp_key_slot *slots = KP_NEW_ARRAY(struct kp_key_slot, cap);
    for (size_t i = 0; i < keys->cap; i++)
        if (keys->slots[i].number != 0)
            insert(slots, cap, keys->slots[i].tag, keys->slots[i].number);
    kp_free(keys->slots);
    keys->slots = slots;
    keys->cap = cap;
}

void kp_keyset_add(struct kp_keyset *keys, uint64_t tag, uint64_t number)
{
    if (keys->n == 0)
        keys->first = number;
    uint64_t shifted = number - keys->first + MIDDLE;
    if (shifted == 0 || shifted > UINT32_MAX)
        return; // two thousand million profiles away
    if (4 * (keys->n + 1) > 3 * keys->cap)
        grow(keys);
    insert(keys->slots, keys->cap, (uint32_t)tag, (uint32_t)shifted);
    keys->n++;
}

bool kp_keyset_find(
    const struct kp_keyset *keys, uint64_t tag, bool (*match)(void *user, uint64_t number), void *user)
{
    if (keys->cap == 0)
        return false;
    size_t at = tag & (keys->cap - 1);
    for (; keys->slots[at].number != 0; at = (at + 1) & (keys->cap - 1))
        if (keys->slots[at].tag == (uint32_t)tag &&
            match(user, keys->first + keys->slots[at].number - MIDDLE))
            return true;
    return false;
}

void kp_keyset_finish(struct kp_keyset *keys)
{
    kp_free(keys->slots);
    *keys = (struct kp_keyset){0};
}

bool kp_key_parse(const char *text, uint64_t ret[2])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t v[2] = {0, 0};
    if (text == NULL || strlen(text) != 32)
        return false;
    for (int i = 0; i < 32; i++) {
        const char *d = strchr(digits, text[i]);
        if (d == NULL)
            return false;
        v[i / 16] = v[i / 16] << 4 | (uint64_t)(d - digits);
    }
    ret[0] = v[0];
    ret[1] = v[1];
    return true;
}
