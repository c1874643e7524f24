// A hash with a random key, for tables whose entries come from outside: without the key nobody can choose
// entries that collide. Results differ from key to key: never store one, and let no order depend on one. The
// multiplication folds 128 bits into 64, as wyhash and its kin do. Private to this module; inline because
// interning lives on it.
#ifndef KP_PROFILE_KEYED_H
#define KP_PROFILE_KEYED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct kp_keyed {
    uint64_t start, factor;
};

struct kp_keyed kp_keyed_random(void);

static inline uint64_t kp_keyed_fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = a;
    product *= b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t kp_keyed_pair(const struct kp_keyed *key, uint64_t h, uint64_t a, uint64_t b)
{
    return kp_keyed_fold(h ^ a, key->factor ^ b);
}

static inline uint64_t kp_keyed_read(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t kp_keyed_bytes(const struct kp_keyed *key, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t h = key->start + len * 0x9E3779B185EBCA87u;
    if (len > 16) {
        const uint8_t *last = p + len - 16;
        for (; p < last; p += 16)
            h = kp_keyed_pair(key, h, kp_keyed_read(p), kp_keyed_read(p + 8));
        return kp_keyed_pair(key, h, kp_keyed_read(last), kp_keyed_read(last + 8));
    }
    if (len >= 8)
        return kp_keyed_pair(key, h, kp_keyed_read(p), kp_keyed_read(p + len - 8));
    uint64_t v = 0;
    if (len > 0)
        memcpy(&v, p, len);
    return kp_keyed_pair(key, h, v, 0);
}

#endif
