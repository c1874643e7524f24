// Reading protobuf fields from a buffer that is readable a few bytes past its end, zeros: the same fields and
// the same refusals as proto.h, without a look at the end for each byte, and mostly without a branch on the
// length of a number. A number that runs past the end is seen afterwards. Private to this module.
#ifndef KP_PROFILE_QUICK_H
#define KP_PROFILE_QUICK_H

#include <endian.h>
#include <string.h>

#include "profile/proto.h"

#define KP_QUICK_SLACK 8 // bytes behind the end, zeros

// A number of up to eight bytes, whole in the eight that are given: where the last one is marked in `stops`.
static inline uint64_t kp_quick_squeeze(uint64_t bytes, uint64_t stops)
{
    uint64_t v = bytes & (stops ^ (stops - 1)) & 0x7f7f7f7f7f7f7f7fu;
    v = (v & 0x7f007f007f007f00u) >> 1 | (v & 0x007f007f007f007fu);
    v = (v & 0x3fff00003fff0000u) >> 2 | (v & 0x00003fff00003fffu);
    return (v & 0x0fffffff00000000u) >> 4 | (v & 0x000000000fffffffu);
}

// What is behind the number at p, which is past the end if the number is cut or none; p is at most one past
// the end.
__attribute__((always_inline)) static inline const uint8_t *kp_quick_varint(
    const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
    if (p[0] < 0x80) { // a branch: where the next field starts must not wait for this one
        *ret = p[0];
        return p + 1;
    }
    if (p[1] < 0x80) {
        *ret = (uint64_t)(p[0] & 0x7f) | (uint64_t)p[1] << 7;
        return p + 2;
    }
    uint64_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    bytes = le64toh(bytes);
    uint64_t stops = ~bytes & 0x8080808080808080u;
    if (stops == 0) {
        *ret = 0;
        return kp_proto_varint(&p, end, ret) ? p : end + 1;
    }
    *ret = kp_quick_squeeze(bytes, stops);
    return p + (__builtin_ctzll(stops) / 8 + 1);
}

// The same for numbers of which nobody can tell whether they have one byte or two: without a branch on that.
__attribute__((always_inline)) static inline const uint8_t *kp_quick_short(
    const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
    uint64_t more = p[0] >> 7;
    if (__builtin_expect((more & (p[1] >> 7)) != 0, 0))
        return kp_quick_varint(p, end, ret);
    *ret = (uint64_t)(p[0] & 0x7f) | ((uint64_t)p[1] << 7 & (0 - more));
    return p + 1 + more;
}

// As kp_proto_next(). The reader never leaves the registers for the rare field.
__attribute__((always_inline)) static inline bool kp_quick_next(struct kp_proto *r)
{
    const uint8_t *p = r->p;
    if (p == r->end)
        return false;
    if ((*p & 0x85) == 0) { // a field 1..15: a number or bytes
        unsigned tag = *p;
        uint64_t v;
        p = kp_quick_varint(p + 1, r->end, &v);
        bool is_bytes = (tag & 7) == KP_PROTO_BYTES;
        if (p <= r->end && (!is_bytes || v <= (uint64_t)(r->end - p))) {
            r->field = tag >> 3;
            r->type = tag & 7;
            r->value = v;
            r->data = p;
            r->len = is_bytes ? (size_t)v : 0;
            r->p = p + r->len;
            return true;
        }
    }
    struct kp_proto other = *r;
    bool has = kp_proto_next_any(&other);
    *r = other;
    return has;
}

// The number behind this tag; if another one stands there 0, and nothing is read. Past the end there may be
// anything: only what leads to the end precisely was a message.
__attribute__((always_inline)) static inline const uint8_t *kp_quick_expect(
    const uint8_t *p, const uint8_t *end, unsigned field, uint64_t *ret)
{
    *ret = 0;
    return *p == field << 3 ? kp_quick_varint(p + 1, end, ret) : p;
}

__attribute__((noinline, unused)) static bool kp_quick_numbers_any(
    const uint8_t *p, const uint8_t *end, uint64_t *values, unsigned max)
{
    struct kp_proto m;
    kp_proto_start(&m, p, (size_t)(end - p));
    memset(values, 0, (max + 1) * sizeof *values);
    while (kp_quick_next(&m)) {
        if (m.field == 0 || m.field > max)
            continue;
        if (m.type != KP_PROTO_VARINT)
            return false;
        values[m.field] = m.value;
    }
    return !m.bad;
}

// The numbers of a message that has no other fields up to max, of several the last: values[1..max]. False if
// it has. Nearly all have them in order, zeros left out.
__attribute__((always_inline)) static inline bool kp_quick_numbers(
    const uint8_t *start, const uint8_t *end, uint64_t *values, unsigned max)
{
    const uint8_t *p = start;
    for (unsigned i = 1; i <= max; i++)
        p = kp_quick_expect(p, end, i, &values[i]);
    return p == end || kp_quick_numbers_any(start, end, values, max);
}

#endif
