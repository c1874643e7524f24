// Reading protobuf fields from a buffer (https://protobuf.dev/programming-guides/encoding/), as
// github.com/google/pprof and the API server's Go code read them: varint, fixed, bytes; groups are refused.
// Every read is bounds-checked; the first bad byte sets `bad` and ends the reading. Inline because the speed
// of those who walk over profiles and pods depends on it.
#ifndef KP_BASE_PROTO_H
#define KP_BASE_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kp_proto_type { KP_PROTO_VARINT = 0, KP_PROTO_FIXED64 = 1, KP_PROTO_BYTES = 2, KP_PROTO_FIXED32 = 5 };

struct kp_proto {
    const uint8_t *p, *end;
    bool bad;
    // the field in hand
    uint64_t field;
    unsigned type;       // enum kp_proto_type
    uint64_t value;      // varint
    const uint8_t *data; // bytes
    size_t len;
};

static inline void kp_proto_start(struct kp_proto *r, const void *data, size_t len)
{
    *r = (struct kp_proto){.p = data, .end = (const uint8_t *)data + len};
}

static inline bool kp_proto_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
    const uint8_t *q = *p;
    if (q < end && *q < 0x80) { // most are one byte
        *ret = *q;
        *p = q + 1;
        return true;
    }
    if (end - q >= 2 && q[1] < 0x80) { // or two
        *ret = (uint64_t)(q[0] & 0x7f) | (uint64_t)q[1] << 7;
        *p = q + 2;
        return true;
    }
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && q < end; shift += 7) {
        uint8_t b = *q++;
        v |= shift < 64 ? (uint64_t)(b & 0x7f) << shift : 0;
        if (b < 0x80) {
            *ret = v;
            *p = q;
            return true;
        }
    }
    return false;
}

// A number of a field 1..15, as nearly all are: false leaves the reader where it is.
static inline bool kp_proto_small_number(struct kp_proto *r, uint64_t *ret_field, uint64_t *ret)
{
    const uint8_t *p = r->p;
    if (p == r->end || *p >= 0x80 || (*p & 7) != KP_PROTO_VARINT)
        return false;
    *ret_field = *p++ >> 3;
    if (!kp_proto_varint(&p, r->end, ret))
        return false;
    r->p = p;
    return true;
}

__attribute__((noinline, unused)) static bool kp_proto_next_any(struct kp_proto *r)
{
    uint64_t tag;
    if (r->p == r->end)
        return false;
    r->bad = true; // until this field is whole
    if (!kp_proto_varint(&r->p, r->end, &tag))
        return false;
    r->field = tag >> 3;
    r->type = tag & 7;
    size_t left;
    switch (r->type) {
    case KP_PROTO_VARINT:
        if (!kp_proto_varint(&r->p, r->end, &r->value))
            return false;
        break;
    case KP_PROTO_BYTES:
        if (!kp_proto_varint(&r->p, r->end, &r->value))
            return false;
        left = (size_t)(r->end - r->p);
        if (r->value > left)
            return false;
        r->data = r->p;
        r->len = (size_t)r->value;
        r->p += r->len;
        break;
    case KP_PROTO_FIXED64:
    case KP_PROTO_FIXED32:
        left = r->type == KP_PROTO_FIXED64 ? 8 : 4;
        if (left > (size_t)(r->end - r->p))
            return false;
        r->p += left;
        break;
    default:
        return false; // groups and numbers that are not wire types
    }
    r->bad = false;
    return true;
}

// The next field; false at the end, or with `bad` set. Most have a tag and a number or length of one byte
// each.
static inline bool kp_proto_next(struct kp_proto *r)
{
    const uint8_t *p = r->p;
    if (r->end - p < 2 || ((p[0] | p[1]) & 0x80) != 0)
        return kp_proto_next_any(r);
    unsigned type = p[0] & 7;
    if (type == KP_PROTO_BYTES) {
        if (p[1] > r->end - p - 2)
            return kp_proto_next_any(r);
        r->data = p + 2;
        r->len = p[1];
        r->p = p + 2 + p[1];
    } else if (type == KP_PROTO_VARINT) {
        r->p = p + 2;
    } else {
        return kp_proto_next_any(r);
    }
    r->field = p[0] >> 3;
    r->type = type;
    r->value = p[1];
    return true;
}

// The values of a repeated number, packed or not:
//     struct kp_proto_values it = kp_proto_values(&field);
//     while (kp_proto_value(&it, &v)) ...
//     if (it.bad) ...
struct kp_proto_values {
    const uint8_t *p, *end;
    uint64_t single;
    bool has_single, bad;
};

static inline struct kp_proto_values kp_proto_values(const struct kp_proto *r)
{
    if (r->type == KP_PROTO_BYTES)
        return (struct kp_proto_values){.p = r->data, .end = r->data + r->len};
    return (struct kp_proto_values){
        .single = r->value, .has_single = r->type == KP_PROTO_VARINT, .bad = r->type != KP_PROTO_VARINT};
}

static inline bool kp_proto_value(struct kp_proto_values *it, uint64_t *ret)
{
    if (it->p != it->end) {
        if (kp_proto_varint(&it->p, it->end, ret))
            return true;
        it->bad = true;
        return false;
    }
    *ret = it->single;
    bool had = it->has_single;
    it->has_single = false;
    return had;
}

#endif
