#include "store/column.h"

#include <string.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/banned.h"

void kp_column_grow(struct kp_column *c, size_t more)
{
    c->cap = 2 * c->cap > c->len + more ? 2 * c->cap : c->len + more + 64;
    c->data = kp_realloc(c->data, c->cap);
}

void kp_column_put_bytes(struct kp_column *c, const void *data, size_t len)
{
    if (c->cap - c->len < len)
        kp_column_grow(c, len);
    if (len > 0)
        memcpy(c->data + c->len, data, len);
    c->len += len;
}

void kp_column_finish(struct kp_column *c)
{
    kp_free(c->data);
    *c = (struct kp_column){0};
}

uint64_t kp_column_get_long(struct kp_column_reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; r->p < r->end && shift < 64; shift += 7) {
        uint8_t byte = *r->p++;
        if (shift == 63 && byte > 1)
            break;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return v;
    }
    r->bad = true;
    r->p = r->end;
    return 0;
}

uint32_t kp_column_get_below(struct kp_column_reader *r, uint64_t below)
{
    uint64_t v = kp_column_get(r);
    if (v < below)
        return (uint32_t)v;
    r->bad = true;
    return 0;
}

const uint8_t *kp_column_get_bytes(struct kp_column_reader *r, size_t len)
{
    if (kp_column_left(r) < len) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += len;
    return p;
}

// ---- several of them ----

void kp_columns_reset(struct kp_columns *columns, size_t n)
{
    if (n > columns->cap) {
        columns->items = kp_grow(columns->items, n, sizeof columns->items[0]);
        memset(columns->items + columns->cap, 0, (n - columns->cap) * sizeof columns->items[0]);
        columns->cap = n;
    }
    columns->n = n;
    for (size_t i = 0; i < n; i++)
        columns->items[i].len = 0;
}

void kp_columns_finish(struct kp_columns *columns)
{
    for (size_t i = 0; i < columns->cap; i++)
        kp_free(columns->items[i].data);
    kp_free(columns->items);
    *columns = (struct kp_columns){0};
}

static void put_head(const struct kp_columns *columns, struct kp_column *out)
{
    kp_column_put(out, columns->n);
    for (size_t i = 0; i < columns->n; i++)
        kp_column_put(out, columns->items[i].len);
}

void kp_columns_join(const struct kp_columns *columns, struct kp_column *out)
{
    put_head(columns, out);
    for (size_t i = 0; i < columns->n; i++)
        kp_column_put_bytes(out, columns->items[i].data, columns->items[i].len);
}

int kp_columns_split(
    const void *data, size_t len, struct kp_column_reader *ret, size_t n, struct kp_error *err)
{
    const uint8_t *bytes = data;
    struct kp_column_reader head = {.p = bytes, .end = bytes + len};
    uint64_t n_there = kp_column_get(&head);
    if (head.bad || n_there > kp_column_left(&head))
        return kp_fail(err, KP_CORRUPT, "broken head of columns");
    struct kp_column_reader lengths = head;
    for (uint64_t i = 0; i < n_there; i++)
        (void)kp_column_get(&head);
    for (uint64_t i = 0; i < n_there; i++) {
        size_t column = kp_column_get(&lengths);
        const uint8_t *p = kp_column_get_bytes(&head, column);
        if (lengths.bad || head.bad)
            return kp_fail(err, KP_CORRUPT, "broken lengths of columns");
        if (i < n)
            ret[i] = (struct kp_column_reader){.p = p, .end = p + column};
    }
    for (uint64_t i = n_there; i < n; i++)
        ret[i] = (struct kp_column_reader){.p = bytes + len, .end = bytes + len};
    return kp_column_left(&head) == 0 ? 0 : kp_fail(err, KP_CORRUPT, "bytes behind the last column");
}

// ---- squeezing ----

#define MIN_FLUSH 256 // a column shorter than this shares statistics with what follows

struct kp_squeezer {
    ZSTD_CCtx *zstd;
    struct kp_column head;
};

struct kp_squeezer *kp_squeezer_create(void)
{
    struct kp_squeezer *squeezer = KP_NEW(struct kp_squeezer);
    squeezer->zstd = ZSTD_createCCtx();
    if (squeezer->zstd == NULL)
        kp_alloc(SIZE_MAX); // out of memory ends the process
    return squeezer;
}

void kp_squeezer_destroy(struct kp_squeezer *squeezer)
{
    if (squeezer == NULL)
        return;
    ZSTD_freeCCtx(squeezer->zstd);
    kp_column_finish(&squeezer->head);
    kp_free(squeezer);
}

static void begin(struct kp_squeezer *squeezer, int level, size_t raw_len)
{
    ZSTD_CCtx_reset(squeezer->zstd, ZSTD_reset_session_only);
    ZSTD_CCtx_setParameter(squeezer->zstd, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setPledgedSrcSize(squeezer->zstd, raw_len);
}

// Cannot fail: the output grows, and the sizes are right.
static void feed(
    struct kp_squeezer *squeezer, const void *data, size_t len, ZSTD_EndDirective how, struct kp_column *out)
{
    ZSTD_inBuffer in = {len > 0 ? data : "", len, 0};
    size_t left = 1;
    while (left != 0 || in.pos < in.size) {
        size_t room = ZSTD_CStreamOutSize();
        if (out->cap - out->len < room)
            kp_column_grow(out, room);
        ZSTD_outBuffer to = {out->data + out->len, out->cap - out->len, 0};
        left = ZSTD_compressStream2(squeezer->zstd, &to, &in, how);
        if (ZSTD_isError(left))
            kp_alloc(SIZE_MAX); // only for want of memory
        out->len += to.pos;
        if (how == ZSTD_e_continue)
            left = 0;
    }
}

void kp_squeeze_columns(struct kp_squeezer *squeezer, const struct kp_columns *columns, int level,
    struct kp_column *out, size_t *ret_raw_len)
{
    struct kp_column *head = &squeezer->head;
    head->len = 0;
    put_head(columns, head);
    size_t raw_len = head->len;
    for (size_t i = 0; i < columns->n; i++)
        raw_len += columns->items[i].len;
    begin(squeezer, level, raw_len);
    feed(squeezer, head->data, head->len, ZSTD_e_continue, out);
    for (size_t i = 0; i < columns->n; i++) {
        const struct kp_column *c = &columns->items[i];
        feed(squeezer, c->data, c->len, c->len >= MIN_FLUSH ? ZSTD_e_flush : ZSTD_e_continue, out);
    }
    feed(squeezer, NULL, 0, ZSTD_e_end, out);
    *ret_raw_len = raw_len;
}

void kp_squeeze(struct kp_squeezer *squeezer, const void *data, size_t len, int level, struct kp_column *out)
{
    begin(squeezer, level, len);
    feed(squeezer, data, len, ZSTD_e_end, out);
}

int kp_unsqueeze(const void *data, size_t len, size_t raw_len, uint8_t **ret, struct kp_error *err)
{
    if (ZSTD_getFrameContentSize(data, len) != raw_len)
        return kp_fail(err, KP_CORRUPT, "squeezed bytes are of another length than noted");
    uint8_t *raw = kp_alloc(raw_len + 1);
    size_t n = ZSTD_decompress(raw, raw_len, data, len);
    if (ZSTD_isError(n) || n != raw_len) {
        kp_free(raw);
        return kp_fail(err, KP_CORRUPT, "squeezed bytes cannot be unpacked: %s",
            ZSTD_isError(n) ? ZSTD_getErrorName(n) : "too short");
    }
    *ret = raw;
    return 0;
}
