#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "store/builder_private.h"
#include "store/row.h"
#include "base/banned.h"

#define DEFAULT_LEVEL    7
#define OPAQUE_LEVEL     3
#define MAX_OPAQUE_BYTES ((size_t)1 << 20)
#define MAX_LEVEL        19

struct kp_segment_builder *kp_segment_builder_create(const struct kp_segment_options *options)
{
    struct kp_segment_builder *b = KP_NEW(struct kp_segment_builder);
    b->namespace = kp_strdup(options->namespace ? options->namespace : "");
    b->keep_s = options->keep_s;
    b->keep_original = options->keep_original;
    b->level = options->level > 0 && options->level <= MAX_LEVEL ? options->level : DEFAULT_LEVEL;
    b->max_space = KP_MAX_OPEN_SPACE;
    b->cancelled = options->cancelled;
    b->doubt = options->doubt;
    b->squeezer = kp_squeezer_create();
    kp_column_put_bytes(&b->file, (uint8_t[KP_SEGMENT_HEAD_BYTES]){0}, KP_SEGMENT_HEAD_BYTES);
    return b;
}

void kp_segment_builder_destroy(struct kp_segment_builder *b)
{
    if (b == NULL)
        return;
    struct kp_built_series *series;
    struct kp_built_series *next_series;
    struct kp_built_rollup_key *key;
    struct kp_built_rollup_key *next_key;
    HASH_ITER (hh, b->series, series, next_series) {
        HASH_DEL(b->series, series);
        kp_free(series);
    }
    HASH_ITER (hh, b->rollup_keys, key, next_key) {
        HASH_DEL(b->rollup_keys, key);
        kp_free(key);
    }
    for (size_t i = 0; i < b->replaces.n; i++)
        kp_free(b->replaces.items[i]);
    kp_array_free(&b->replaces);
    kp_builder_forget_space(b);
    kp_squeezer_destroy(b->squeezer);
    kp_column_finish(&b->file);
    kp_array_free(&b->blocks);
    kp_array_free(&b->rows);
    kp_column_finish(&b->records);
    kp_column_finish(&b->series_records);
    kp_array_free(&b->spaces);
    kp_array_free(&b->rollups);
    kp_array_free(&b->rollup_series);
    kp_array_free(&b->rollup_counts);
    kp_column_finish(&b->opaque.lengths);
    kp_column_finish(&b->opaque.bytes);
    kp_array_free(&b->opaque_rows);
    kp_columns_finish(&b->columns);
    kp_column_finish(&b->raw);
    kp_free(b->namespace);
    kp_free(b);
}

bool kp_segment_builder_failed_space(const struct kp_segment_builder *b, uint64_t ret_space[2])
{
    memcpy(ret_space, b->failed_space, sizeof b->failed_space);
    return b->failed;
}

size_t kp_segment_builder_bytes(const struct kp_segment_builder *b)
{
    size_t n = b->file.cap + b->blocks.cap * sizeof b->blocks.items[0] +
               b->rows.cap * sizeof b->rows.items[0] + b->records.cap + b->series_records.cap +
               HASH_COUNT(b->series) * sizeof *b->series + b->opaque.bytes.cap + b->raw.cap;
    for (size_t i = 0; i < b->columns.cap; i++)
        n += b->columns.items[i].cap;
    if (b->space)
        n += kp_builder_space_bytes(b->space) + b->space->body_bytes +
             b->space->values.cap * sizeof(int64_t) + b->space->entries.cap * sizeof(uint32_t) +
             b->space->rollup_bytes;
    return n;
}

// ---- blocks ----

static uint32_t add_block(struct kp_segment_builder *b, enum kp_block_kind kind, size_t at, size_t raw_len)
{
    *kp_array_add(&b->blocks) = (struct kp_block_info){.offset = at,
        .stored_len = (uint32_t)(b->file.len - at),
        .raw_len = (uint32_t)raw_len,
        .crc = kp_crc32c(0, b->file.data + at, b->file.len - at),
        .kind = kind};
    return (uint32_t)b->blocks.n - 1;
}

uint32_t kp_builder_put_block(struct kp_segment_builder *b, enum kp_block_kind kind, int level)
{
    size_t at = b->file.len;
    size_t raw_len;
    kp_squeeze_columns(b->squeezer, &b->columns, level > MAX_LEVEL ? MAX_LEVEL : level, &b->file, &raw_len);
    if (b->file.len - at >= raw_len) {
        b->file.len = at;
        kp_columns_join(&b->columns, &b->file);
    }
    return add_block(b, kind, at, raw_len);
}

uint32_t kp_builder_put_original(struct kp_segment_builder *b, const void *data, size_t len)
{
    size_t at = b->file.len;
    kp_column_put_bytes(&b->file, data, len);
    return add_block(b, KP_BLOCK_ORIGINAL, at, len);
}

void kp_builder_flush_opaque(struct kp_segment_builder *b)
{
    if (b->opaque.n == 0)
        return;
    kp_list_columns(&b->opaque, &b->columns);
    uint32_t block = kp_builder_put_block(b, KP_BLOCK_OPAQUE, OPAQUE_LEVEL);
    for (size_t i = 0; i < b->opaque_rows.n; i++) {
        struct kp_segment_row *row = &b->rows.items[b->opaque_rows.items[i]].row;
        row->block = block;
        row->index = (uint32_t)i;
    }
    kp_list_reset(&b->opaque);
    b->opaque_rows.n = 0;
}

void kp_builder_add_opaque(struct kp_segment_builder *b, uint32_t row, const void *body, size_t len)
{
    if (b->opaque.n == KP_RECORD_ROWS || b->opaque.bytes.len + len > MAX_OPAQUE_BYTES)
        kp_builder_flush_opaque(b);
    b->rows.items[row].row.flags |= KP_SROW_OPAQUE;
    kp_list_put(&b->opaque, body, len);
    *kp_array_add(&b->opaque_rows) = row;
}

// ---- rows and series ----

static uint32_t rollup_key(struct kp_segment_builder *b, const uint64_t rollup[2])
{
    struct kp_built_rollup_key *key;
    if (rollup[0] == 0 && rollup[1] == 0)
        return 0;
    HASH_FIND(hh, b->rollup_keys, rollup, sizeof key->key, key);
    if (key == NULL) {
        key = KP_NEW(struct kp_built_rollup_key);
        key->key[0] = rollup[0];
        key->key[1] = rollup[1];
        key->at = HASH_COUNT(b->rollup_keys);
        HASH_ADD(hh, b->rollup_keys, key, sizeof key->key, key);
    }
    return key->at + 1;
}

struct kp_built_series *kp_builder_series(const struct kp_segment_builder *b, uint32_t id)
{
    struct kp_built_series *series;
    HASH_FIND(hh, b->series, &id, sizeof id, series);
    return series;
}

void kp_builder_note_series(
    struct kp_segment_builder *b, uint32_t id, const void *record, size_t len, const uint64_t rollup[2])
{
    struct kp_built_series *series = KP_NEW(struct kp_built_series);
    series->id = id;
    series->rollup_key = rollup_key(b, rollup);
    series->record = b->series_records.len;
    series->record_len = (uint32_t)len;
    kp_column_put_bytes(&b->series_records, record, len);
    HASH_ADD(hh, b->series, id, sizeof series->id, series);
}

uint32_t kp_builder_add_row(
    struct kp_segment_builder *b, const struct kp_segment_row *row, const void *record, size_t len)
{
    *kp_array_add(&b->rows) =
        (struct kp_built_row){.row = *row, .record = b->records.len, .record_len = (uint32_t)len};
    kp_column_put_bytes(&b->records, record, len);
    return (uint32_t)b->rows.n - 1;
}

// ---- profiles ----

static bool fits(const struct kp_profile *p)
{
    size_t strings = 0;
    for (uint32_t i = 0; i < p->n_strings; i++)
        strings += p->strings[i].len;
    return (size_t)p->n_samples * (p->n_sample_types + 1) <= KP_MAX_PROFILE_VALUES &&
           p->n_frames <= KP_MAX_PROFILE_FRAMES && strings <= KP_MAX_PROFILE_STRINGS &&
           p->n_mappings <= KP_MAX_SHAPE_BYTES / 1024 && p->n_comments <= KP_MAX_SHAPE_BYTES / 1024;
}

static int add_profile(struct kp_segment_builder *b, const struct kp_segment_input *input,
    const struct kp_profile *profile, uint32_t row, struct kp_error *err)
{
    int rc = kp_builder_enter(b, input->space, input->type, profile->n_sample_types, err);
    if (rc != 0)
        return rc;
    struct kp_pending_capture capture = {.row = row, .digest = kp_profile_digest(profile)};
    if (b->keep_original != KP_ORIGINAL_NEVER) {
        capture.body = kp_memdup(input->body, input->body_len);
        capture.body_len = input->body_len;
    }
    kp_builder_take_profile(b, profile, &capture);
    return 0;
}

static void note_series(
    struct kp_segment_builder *b, const struct kp_segment_input *input, const struct kp_record *series)
{
    if (kp_builder_series(b, input->row.series) != NULL)
        return;
    kp_auto_strbuf encoded;
    kp_strbuf_init(&encoded, KP_MAX_RECORD_BYTES);
    kp_record_encode(series, &encoded);
    kp_builder_note_series(b, input->row.series, encoded.data, encoded.len, input->rollup);
}

int kp_segment_builder_add(struct kp_segment_builder *b, const struct kp_segment_input *input,
    const struct kp_record *series, struct kp_error *err)
{
    kp_auto_profile *profile = NULL;
    if (input->body_len > KP_MAX_PROFILE_BYTES || input->record_len > KP_MAX_RECORD_BYTES)
        return kp_fail(err, KP_LIMIT, "a profile of %zu bytes cannot be sealed", input->body_len);
    note_series(b, input, series);
    kp_auto_strbuf record;
    kp_strbuf_init(&record, KP_MAX_RECORD_BYTES);
    kp_record_strip(&input->row, input->record, input->record_len, &record);
    struct kp_segment_row fresh = input->row;
    fresh.flags &= KP_SROW_STARTUP | KP_SROW_OPAQUE;
    fresh.body_len = (uint32_t)input->body_len;
    uint32_t row = kp_builder_add_row(b, &fresh, record.data, record.len);
    bool opaque = (input->row.flags & KP_SROW_OPAQUE) != 0 ||
                  kp_profile_decode(input->body, input->body_len, NULL, &profile, NULL) != 0 ||
                  profile->legacy || !fits(profile); // texts go back byte for byte
    if (!opaque)
        return add_profile(b, input, profile, row, err);
    kp_builder_add_opaque(b, row, input->body, input->body_len);
    return 0;
}
