#include "store/segment.h"

#include <endian.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/limits.h"
#include "store/segment_private.h"
#include "base/banned.h"

#define MAGIC            UINT64_C(0x313047455350004b) // "K\0PSEG01"
#define MAX_FOOTER_BYTES ((uint32_t)128 << 20)

// ---- numbers ----

static uint8_t *put32(uint8_t *out, uint32_t v)
{
    v = htole32(v);
    memcpy(out, &v, sizeof v);
    return out + sizeof v;
}

static uint8_t *put64(uint8_t *out, uint64_t v)
{
    v = htole64(v);
    memcpy(out, &v, sizeof v);
    return out + sizeof v;
}

static uint32_t get32(const uint8_t **in)
{
    uint32_t v;
    memcpy(&v, *in, sizeof v);
    *in += sizeof v;
    return le32toh(v);
}

static uint64_t get64(const uint8_t **in)
{
    uint64_t v;
    memcpy(&v, *in, sizeof v);
    *in += sizeof v;
    return le64toh(v);
}

void kp_segment_head_put(uint8_t out[KP_SEGMENT_HEAD_BYTES], const struct kp_segment_head *head)
{
    memset(out, 0, KP_SEGMENT_HEAD_BYTES);
    uint8_t *p = put64(out, MAGIC);
    p = put32(p, KP_SEGMENT_VERSION);
    p = put32(p, head->footer_crc);
    p = put64(p, head->file_bytes);
    p = put64(p, head->footer_offset);
    p = put32(p, head->footer_stored);
    (void)put32(p, head->footer_raw);
    (void)put32(out + KP_SEGMENT_HEAD_BYTES - 4, kp_crc32c(0, out, KP_SEGMENT_HEAD_BYTES - 4));
}

int kp_segment_head_get(
    const uint8_t in[KP_SEGMENT_HEAD_BYTES], struct kp_segment_head *ret, struct kp_error *err)
{
    const uint8_t *p = in;
    const uint8_t *sum = in + KP_SEGMENT_HEAD_BYTES - 4;
    if (get64(&p) != MAGIC)
        return kp_fail(err, KP_CORRUPT, "not a segment");
    if (get32(&sum) != kp_crc32c(0, in, KP_SEGMENT_HEAD_BYTES - 4))
        return kp_fail(err, KP_CORRUPT, "the checksum of its head is wrong");
    uint32_t version = get32(&p);
    if (version != KP_SEGMENT_VERSION)
        return kp_fail(err, KP_INVALID,
            "it is in format %u, this program (%s) reads up to %d: a newer one wrote it; start that again, "
            "or restore a backup; nothing was changed",
            version, KP_VERSION, KP_SEGMENT_VERSION);
    ret->footer_crc = get32(&p);
    ret->file_bytes = get64(&p);
    ret->footer_offset = get64(&p);
    ret->footer_stored = get32(&p);
    ret->footer_raw = get32(&p);
    if (ret->footer_raw > MAX_FOOTER_BYTES || ret->footer_stored > MAX_FOOTER_BYTES ||
        ret->footer_offset < KP_SEGMENT_HEAD_BYTES || ret->footer_offset > INT64_MAX / 2 ||
        ret->footer_offset + ret->footer_stored + KP_SEGMENT_HEAD_BYTES != ret->file_bytes)
        return kp_fail(err, KP_CORRUPT, "its head leads nowhere");
    return 0;
}

void kp_segment_row_put(uint8_t out[KP_SEGMENT_ROW_BYTES], const struct kp_segment_row *row)
{
    uint32_t weight;
    memcpy(&weight, &row->weight, sizeof weight);
    uint8_t *p = put64(out, (uint64_t)row->start_ms);
    p = put64(p, (uint64_t)row->received_ms);
    p = put64(p, row->key[0]);
    p = put64(p, row->key[1]);
    p = put64(p, row->number);
    const uint32_t rest[] = {
        row->series, row->body_len, row->block, row->index, row->life, row->duration_ms, weight, row->flags};
    for (size_t i = 0; i < KP_COUNT(rest); i++)
        p = put32(p, rest[i]);
}

void kp_segment_row_get(const uint8_t in[KP_SEGMENT_ROW_BYTES], struct kp_segment_row *ret)
{
    const uint8_t *p = in;
    uint32_t weight;
    ret->start_ms = (int64_t)get64(&p);
    ret->received_ms = (int64_t)get64(&p);
    ret->key[0] = get64(&p);
    ret->key[1] = get64(&p);
    ret->number = get64(&p);
    ret->series = get32(&p);
    ret->body_len = get32(&p);
    ret->block = get32(&p);
    ret->index = get32(&p);
    ret->life = get32(&p);
    ret->duration_ms = get32(&p);
    weight = get32(&p);
    ret->flags = get32(&p);
    memcpy(&ret->weight, &weight, sizeof weight);
}

// ---- open ----

static int get(const struct kp_segment *s, uint64_t offset, size_t len, void *out, struct kp_error *err)
{
    const struct kp_storage *storage = s->private->storage;
    return storage->ops->get(storage->self, s->name, offset, len, out, err);
}

// Of a segment that is open: its file may be gone only when nobody holds it any more.
static int get_again(const struct kp_segment *s, uint64_t offset, size_t len, void *out, struct kp_error *err)
{
    struct kp_error why = {0};
    int rc = get(s, offset, len, out, &why);
    if (rc == KP_NOT_FOUND)
        return kp_fail(err, KP_CORRUPT, "segment '%s': its file is gone", s->name);
    return rc == 0 ? 0 : kp_fail(err, rc, "%s", why.text);
}

static int read_footer(struct kp_segment *s, struct kp_error *err)
{
    uint8_t bytes[KP_SEGMENT_HEAD_BYTES];
    struct kp_segment_head head;
    int rc = get(s, 0, sizeof bytes, bytes, err);
    if (rc == 0)
        rc = kp_segment_head_get(bytes, &head, err);
    if (rc != 0)
        return rc;
    size_t len = (size_t)head.footer_stored + KP_SEGMENT_HEAD_BYTES;
    kp_auto_free uint8_t *stored = kp_alloc(len);
    kp_auto_free uint8_t *raw = NULL;
    rc = get(s, head.footer_offset, len, stored, err);
    if (rc != 0)
        return rc;
    if (memcmp(stored + head.footer_stored, bytes, sizeof bytes) != 0)
        return kp_fail(err, KP_CORRUPT, "its tail differs from its head");
    if (kp_crc32c(0, stored, head.footer_stored) != head.footer_crc)
        return kp_fail(err, KP_CORRUPT, "the checksum of its footer is wrong");
    rc = kp_unsqueeze(stored, head.footer_stored, head.footer_raw, &raw, err);
    if (rc != 0)
        return rc;
    s->file_bytes = head.file_bytes;
    return kp_segment_footer_get(raw, head.footer_raw, s, err);
}

int kp_segment_open(
    const struct kp_storage *storage, const char *name, struct kp_segment **ret, struct kp_error *err)
{
    struct kp_segment *s = KP_NEW(struct kp_segment);
    struct kp_error why = {0};
    s->private = KP_NEW(struct kp_segment_private);
    s->private->storage = storage;
    s->name = kp_strdup(name);
    s->refs = 1;
    int rc = read_footer(s, &why);
    if (rc != 0) {
        kp_segment_unref(s);
        return kp_fail(err, rc, "cannot open segment '%s': %s", name, why.text);
    }
    *ret = s;
    return 0;
}

struct kp_segment *kp_segment_ref(struct kp_segment *segment)
{
    __atomic_add_fetch(&segment->refs, 1, __ATOMIC_RELAXED);
    return segment;
}

void kp_segment_unref(struct kp_segment *segment)
{
    if (segment == NULL || __atomic_sub_fetch(&segment->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    kp_arena_free(segment->private->arena);
    kp_free(segment->private);
    kp_free(segment->name);
    kp_free(segment);
}

// ---- rows and blocks ----

const struct kp_segment_run *kp_segment_find_run(const struct kp_segment *segment, uint32_t series)
{
    uint32_t low = 0;
    uint32_t high = segment->n_runs;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (segment->runs[middle].series < series)
            low = middle + 1;
        else
            high = middle;
    }
    return low < segment->n_runs && segment->runs[low].series == series ? &segment->runs[low] : NULL;
}

static bool is_row_sound(const struct kp_segment *s, const struct kp_segment_row *row)
{
    if (row->block >= s->n_blocks || row->body_len > KP_MAX_PROFILE_BYTES)
        return false;
    uint32_t kind = s->private->blocks[row->block].kind;
    return kind == ((row->flags & KP_SROW_OPAQUE) != 0 ? KP_BLOCK_OPAQUE : KP_BLOCK_SAMPLES) &&
           row->index < KP_BLOCK_CAPTURES;
}

int kp_segment_read_rows(
    const struct kp_segment *s, uint32_t first, uint32_t n, struct kp_segment_row *ret, struct kp_error *err)
{
    if (first > s->n_rows || n > s->n_rows - first)
        return kp_fail(err, KP_NOT_FOUND, "segment '%s' has no rows %u to %llu", s->name, first,
            (unsigned long long)first + n);
    if (n == 0)
        return 0;
    uint32_t begin = first / KP_RECORD_ROWS * KP_RECORD_ROWS; // whole pieces: they have the checksums
    uint32_t past = (first + n) % KP_RECORD_ROWS;
    uint32_t rest = past == 0 ? 0 : KP_RECORD_ROWS - past;
    uint32_t end = s->n_rows - first - n < rest ? s->n_rows : first + n + rest;
    size_t len = (size_t)(end - begin) * KP_SEGMENT_ROW_BYTES;
    kp_auto_free uint8_t *bytes = kp_alloc(len);
    int rc = get_again(s, s->private->rows_offset + (uint64_t)begin * KP_SEGMENT_ROW_BYTES, len, bytes, err);
    if (rc != 0)
        return rc;
    for (uint32_t at = begin; at < end; at += KP_RECORD_ROWS) {
        uint32_t rows = end - at < KP_RECORD_ROWS ? end - at : KP_RECORD_ROWS;
        uint32_t crc = kp_crc32c(
            0, bytes + (size_t)(at - begin) * KP_SEGMENT_ROW_BYTES, (size_t)rows * KP_SEGMENT_ROW_BYTES);
        if (crc != s->private->row_crcs[at / KP_RECORD_ROWS])
            return kp_fail(err, KP_CORRUPT, "segment '%s': the checksum of rows %u to %u is wrong", s->name,
                at, at + rows);
    }
    for (uint32_t i = 0; i < n; i++) {
        kp_segment_row_get(bytes + (size_t)(first - begin + i) * KP_SEGMENT_ROW_BYTES, &ret[i]);
        if (!is_row_sound(s, &ret[i]))
            return kp_fail(err, KP_CORRUPT, "segment '%s': row %u leads nowhere", s->name, first + i);
    }
    return 0;
}

int kp_segment_load(const struct kp_segment *s, uint32_t block, enum kp_block_kind kind, uint8_t **ret,
    size_t *ret_len, struct kp_error *err)
{
    const struct kp_block_info *info = block < s->n_blocks ? &s->private->blocks[block] : NULL;
    if (info == NULL || info->kind != (uint32_t)kind)
        return kp_fail(err, KP_INVALID, "segment '%s': block %u is of another kind", s->name, block);
    uint8_t *stored = kp_alloc((size_t)info->stored_len + 1);
    int rc = get_again(s, info->offset, info->stored_len, stored, err);
    if (rc == 0 && kp_crc32c(0, stored, info->stored_len) != info->crc)
        rc = kp_fail(err, KP_CORRUPT, "segment '%s': the checksum of block %u is wrong", s->name, block);
    *ret_len = info->raw_len;
    if (rc == 0 && info->stored_len == info->raw_len) {
        *ret = stored;
        return 0;
    }
    struct kp_error why = {0};
    if (rc == 0) {
        rc = kp_unsqueeze(stored, info->stored_len, info->raw_len, ret, &why);
        if (rc != 0)
            kp_fail(err, rc, "segment '%s': block %u: %s", s->name, block, why.text);
    }
    kp_free(stored);
    return rc;
}

int kp_segment_read_space(
    const struct kp_segment *s, uint32_t space, struct kp_space **ret, struct kp_error *err)
{
    uint8_t *data;
    size_t len;
    struct kp_error why = {0};
    if (space >= s->n_spaces)
        return kp_fail(err, KP_NOT_FOUND, "segment '%s' has no space %u", s->name, space);
    int rc = kp_segment_load(s, s->spaces[space].block, KP_BLOCK_SPACE, &data, &len, err);
    if (rc != 0)
        return rc;
    struct kp_space *read = NULL;
    rc = kp_dictionary_get(data, len, &read, &why);
    kp_free(data);
    if (rc == 0 && read->n_entries != s->spaces[space].n_entries)
        rc = kp_fail(&why, KP_CORRUPT, "another number of entries than the footer says");
    if (rc != 0) {
        kp_space_free(read);
        return kp_fail(err, rc, "segment '%s': space %u: %s", s->name, space, why.text);
    }
    *ret = read;
    return 0;
}

// Entries of a block must be there in its space: readers need not look.
static int check_entries(const struct kp_segment *s, const struct kp_block *block, struct kp_error *err)
{
    if (block->space >= s->n_spaces)
        return kp_fail(err, KP_CORRUPT, "its space is not there");
    for (uint32_t i = 0; i < block->n_captures; i++)
        if (block->first[i] < block->first[i + 1] &&
            block->entries[block->first[i + 1] - 1] >= s->spaces[block->space].n_entries)
            return kp_fail(err, KP_CORRUPT, "an entry is not there");
    return 0;
}

int kp_segment_read_block(
    const struct kp_segment *s, uint32_t block, struct kp_block **ret, struct kp_error *err)
{
    uint8_t *data;
    size_t len;
    struct kp_error why = {0};
    if (block >= s->n_blocks)
        return kp_fail(err, KP_NOT_FOUND, "segment '%s' has no block %u", s->name, block);
    int rc = kp_segment_load(s, block, KP_BLOCK_SAMPLES, &data, &len, err);
    if (rc != 0)
        return rc;
    struct kp_block *read = NULL;
    rc = kp_block_get(data, len, &read, NULL, &why);
    kp_free(data);
    if (rc == 0)
        rc = check_entries(s, read, &why);
    if (rc != 0) {
        kp_block_free(read);
        return kp_fail(err, rc, "segment '%s': block %u: %s", s->name, block, why.text);
    }
    *ret = read;
    return 0;
}
