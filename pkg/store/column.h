// Columns: numbers as bytes (varints, zigzag where signed), several columns to a block, a block squeezed by
// zstd as one frame whose inner blocks end where columns end, so that each has its own statistics. Reading is
// checked byte by byte: the first bad one sets `bad`, and all numbers after it are 0. Private to this module.
#ifndef KP_STORE_COLUMN_H
#define KP_STORE_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

// Growing bytes. Start from zeroes, free `data` (or kp_column_finish).
struct kp_column {
    uint8_t *data;
    size_t len, cap;
};

void kp_column_grow(struct kp_column *c, size_t more);
void kp_column_put_bytes(struct kp_column *c, const void *data, size_t len);
void kp_column_finish(struct kp_column *c);

static inline void kp_column_put(struct kp_column *c, uint64_t v)
{
    if (c->cap - c->len < 10)
        kp_column_grow(c, 10);
    uint8_t *p = c->data + c->len;
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    c->len = (size_t)(p - c->data);
}

static inline uint64_t kp_zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (0 - ((uint64_t)v >> 63));
}

static inline int64_t kp_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

static inline void kp_column_put_int(struct kp_column *c, int64_t v)
{
    kp_column_put(c, kp_zigzag(v));
}

// a - b, wrapping: differences of any two numbers, undone by adding.
static inline int64_t kp_wrap_sub(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

static inline int64_t kp_wrap_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

// ---- reading ----
struct kp_column_reader {
    const uint8_t *p, *end;
    bool bad;
};

uint64_t kp_column_get_long(struct kp_column_reader *r); // of two bytes or more, or bad

static inline uint64_t kp_column_get(struct kp_column_reader *r)
{
    if (r->p < r->end && *r->p < 0x80)
        return *r->p++;
    return kp_column_get_long(r);
}

static inline int64_t kp_column_get_int(struct kp_column_reader *r)
{
    return kp_unzigzag(kp_column_get(r));
}

// A number that has to be less than `below`; else bad and 0.
uint32_t kp_column_get_below(struct kp_column_reader *r, uint64_t below);
// NULL and bad if there are fewer.
const uint8_t *kp_column_get_bytes(struct kp_column_reader *r, size_t len);

static inline size_t kp_column_left(const struct kp_column_reader *r)
{
    return (size_t)(r->end - r->p);
}

// ---- several of them ----
struct kp_columns {
    struct kp_column *items;
    size_t n, cap;
};

void kp_columns_reset(struct kp_columns *columns, size_t n); // n empty ones; memory is kept for the next use
void kp_columns_finish(struct kp_columns *columns);
// As one piece: number and lengths of the columns, then their bytes.
void kp_columns_join(const struct kp_columns *columns, struct kp_column *out);
// The readers of n columns; those that are not there are empty, further ones are ignored.
KP_MUST_CHECK int kp_columns_split(
    const void *data, size_t len, struct kp_column_reader *ret, size_t n, struct kp_error *err);

// ---- squeezing ----
struct kp_squeezer; // zstd's memory, for one thread

struct kp_squeezer *kp_squeezer_create(void);
void kp_squeezer_destroy(struct kp_squeezer *squeezer); // NULL is fine
// What kp_columns_join() gives, squeezed; appended to out.
void kp_squeeze_columns(struct kp_squeezer *squeezer, const struct kp_columns *columns, int level,
    struct kp_column *out, size_t *ret_raw_len);
void kp_squeeze(struct kp_squeezer *squeezer, const void *data, size_t len, int level, struct kp_column *out);
// raw_len: what has to come out; the caller has limited it. ret to be freed.
KP_MUST_CHECK int kp_unsqueeze(
    const void *data, size_t len, size_t raw_len, uint8_t **ret, struct kp_error *err);

#endif
