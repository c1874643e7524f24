#include "base/wire.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

static void put_varint(struct kp_strbuf *out, uint64_t v)
{
    unsigned char bytes[10];
    size_t n = 0;
    while (v >= 0x80) {
        bytes[n++] = (unsigned char)(v | 0x80);
        v >>= 7;
    }
    bytes[n++] = (unsigned char)v;
    kp_strbuf_add(out, bytes, n);
}

void kp_wire_put_uint(struct kp_strbuf *out, uint32_t number, uint64_t v)
{
    put_varint(out, (uint64_t)number << 1);
    put_varint(out, v);
}

void kp_wire_put_int(struct kp_strbuf *out, uint32_t number, int64_t v)
{
    kp_wire_put_uint(out, number, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

void kp_wire_put_bytes(struct kp_strbuf *out, uint32_t number, const void *data, size_t len)
{
    put_varint(out, (uint64_t)number << 1 | 1);
    put_varint(out, len);
    kp_strbuf_add(out, data, len);
}

void kp_wire_put_str(struct kp_strbuf *out, uint32_t number, const char *s)
{
    if (s != NULL)
        kp_wire_put_bytes(out, number, s, strlen(s));
}

void kp_wire_start(struct kp_wire *w, const void *data, size_t len)
{
    const uint8_t *p = len != 0 ? data : (const uint8_t *)""; // NULL + 0 is undefined
    *w = (struct kp_wire){.p = p, .end = p + len};
}

static bool get_varint(struct kp_wire *w, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; w->p < w->end && shift < 64; shift += 7) {
        uint8_t byte = *w->p++;
        if (shift == 63 && byte > 1)
            return false;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

bool kp_wire_next(struct kp_wire *w)
{
    uint64_t key, value;
    if (w->bad || w->p == w->end)
        return false;
    if (!get_varint(w, &key) || key >> 1 > UINT32_MAX || !get_varint(w, &value)) {
        w->bad = true;
        return false;
    }
    w->number = (uint32_t)(key >> 1);
    w->is_bytes = (key & 1) != 0;
    w->value = value;
    w->data = NULL;
    w->len = 0;
    if (!w->is_bytes)
        return true;
    if (value > (uint64_t)(w->end - w->p)) {
        w->bad = true;
        return false;
    }
    w->data = w->p;
    w->len = (size_t)value;
    w->p += value;
    return true;
}

int64_t kp_wire_int(const struct kp_wire *w)
{
    return (int64_t)(w->value >> 1) ^ -(int64_t)(w->value & 1);
}

char *kp_wire_strdup(const struct kp_wire *w)
{
    return w->is_bytes ? kp_strndup((const char *)w->data, w->len) : kp_strdup("");
}
