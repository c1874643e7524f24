// Our own byte format for what we store and send between our processes: tagged fields as in protobuf (varint
// key = number << 1 | kind; kind 0 varint (zigzag for signed), kind 1 length + bytes). Unknown fields are
// skipped, so old readers take what new writers add. Every read is bounds-checked; the first bad byte sets
// `bad` and ends the reading.
#ifndef KP_BASE_WIRE_H
#define KP_BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

void kp_wire_put_uint(struct kp_strbuf *out, uint32_t number, uint64_t v);
void kp_wire_put_int(struct kp_strbuf *out, uint32_t number, int64_t v);
void kp_wire_put_bytes(struct kp_strbuf *out, uint32_t number, const void *data, size_t len);
void kp_wire_put_str(struct kp_strbuf *out, uint32_t number, const char *s); // NULL: nothing

struct kp_wire {
    const uint8_t *p, *end;
    bool bad;
    // the field in hand
    uint32_t number;
    bool is_bytes;
    uint64_t value;      // varint; kp_wire_int() for signed
    const uint8_t *data; // bytes, borrowed from the input
    size_t len;
};

void kp_wire_start(struct kp_wire *w, const void *data, size_t len);
bool kp_wire_next(struct kp_wire *w); // false at the end or when bad
int64_t kp_wire_int(const struct kp_wire *w);
char *kp_wire_strdup(const struct kp_wire *w); // bytes as a new string; a NUL inside sets nothing and cuts

#endif
