#include "base/hash.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#include "base/banned.h"

// XXH64, from its published specification (xxhash_spec.md of Cyan4973/xxHash).
#define P1 0x9E3779B185EBCA87u
#define P2 0xC2B2AE3D27D4EB4Fu
#define P3 0x165667B19E3779F9u
#define P4 0x85EBCA77C2B2AE63u
#define P5 0x27D4EB2F165667C5u

static uint64_t rotl(uint64_t x, int r)
{
    return (x << r) | (x >> (64 - r));
}

static uint64_t read64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static uint32_t read32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static uint64_t round64(uint64_t acc, uint64_t lane)
{
    return rotl(acc + lane * P2, 31) * P1;
}

static uint64_t merge(uint64_t acc, uint64_t lane)
{
    return (acc ^ round64(0, lane)) * P1 + P4;
}

static uint64_t stripes(const uint8_t **p, const uint8_t *end, uint64_t seed)
{
    uint64_t a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
    for (; end - *p >= 32; *p += 32) {
        a = round64(a, read64(*p));
        b = round64(b, read64(*p + 8));
        c = round64(c, read64(*p + 16));
        d = round64(d, read64(*p + 24));
    }
    uint64_t acc = rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18);
    return merge(merge(merge(merge(acc, a), b), c), d);
}

uint64_t kp_hash64(const void *data, size_t len, uint64_t seed)
{
    const uint8_t *p = len != 0 ? data : (const uint8_t *)""; // NULL + 0 is undefined
    const uint8_t *end = p + len;
    uint64_t acc = len >= 32 ? stripes(&p, end, seed) : seed + P5;
    acc += len;
    for (; end - p >= 8; p += 8)
        acc = rotl(acc ^ round64(0, read64(p)), 27) * P1 + P4;
    if (end - p >= 4) {
        acc = rotl(acc ^ (read32(p) * P1), 23) * P2 + P3;
        p += 4;
    }
    for (; p < end; p++)
        acc = rotl(acc ^ (*p * P5), 11) * P1;
    acc = (acc ^ (acc >> 33)) * P2;
    acc = (acc ^ (acc >> 29)) * P3;
    return acc ^ (acc >> 32);
}

uint64_t kp_hash64_str(const char *s, uint64_t seed)
{
    return kp_hash64(s, strlen(s), seed);
}

uint64_t kp_hash64_mix(uint64_t hash, uint64_t value)
{
    uint64_t little = htole64(value);
    return kp_hash64(&little, sizeof little, hash);
}

double kp_hash_unit(uint64_t hash)
{
    return (double)(hash >> 11) / 9007199254740992.0;
}

// SipHash-2-4, from the paper of Aumasson and Bernstein.
struct sip {
    uint64_t a, b, c, d;
};

static void sip_rounds(struct sip *v, int n)
{
    while (n-- > 0) {
        v->a += v->b;
        v->c += v->d;
        v->b = rotl(v->b, 13) ^ v->a;
        v->d = rotl(v->d, 16) ^ v->c;
        v->a = rotl(v->a, 32) + v->d;
        v->c += v->b;
        v->d = rotl(v->d, 21) ^ v->a;
        v->b = rotl(v->b, 17) ^ v->c;
        v->c = rotl(v->c, 32);
    }
}

static void sip_word(struct sip *v, uint64_t word)
{
    v->d ^= word;
    sip_rounds(v, 2);
    v->a ^= word;
}

uint64_t kp_siphash(const uint64_t key[2], const void *data, size_t len)
{
    struct sip v = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
        key[1] ^ 0x7465646279746573u};
    const uint8_t *p = data;
    uint64_t last = (uint64_t)(len & 0xff) << 56;
    size_t left = len;
    for (; left >= 8; left -= 8, p += 8)
        sip_word(&v, read64(p));
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)p[i] << (8 * i);
    sip_word(&v, last);
    v.c ^= 0xff;
    sip_rounds(&v, 4);
    return v.a ^ v.b ^ v.c ^ v.d;
}

#define CRC32C_POLYNOMIAL 0x82F63B78u

static uint32_t crc_table[256];

__attribute__((constructor)) static void fill_crc_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = (c & 1) != 0 ? (c >> 1) ^ CRC32C_POLYNOMIAL : c >> 1;
        crc_table[i] = c;
    }
}

uint32_t kp_crc32c_portable(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t c = ~crc;
    for (; len > 0; len--, p++)
        c = crc_table[(c ^ *p) & 0xff] ^ (c >> 8);
    return ~c;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc_hard(uint32_t c, const uint8_t *p, size_t len)
{
    uint64_t wide = c;
    for (; len >= 8; len -= 8, p += 8)
        wide = __builtin_ia32_crc32di(wide, read64(p));
    c = (uint32_t)wide;
    for (; len > 0; len--, p++)
        c = __builtin_ia32_crc32qi(c, *p);
    return c;
}
#endif

uint32_t kp_crc32c(uint32_t crc, const void *data, size_t len)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_hard(~crc, data, len);
#endif
    return kp_crc32c_portable(crc, data, len);
}
