// The end of a segment's file: rows in order, records, series, footer, tail.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/builder_private.h"
#include "base/banned.h"

#define RECORD_LEVEL 12
#define FOOTER_LEVEL 12

static int by_series(const void *a, const void *b)
{
    const struct kp_segment_row *x = &((const struct kp_built_row *)a)->row;
    const struct kp_segment_row *y = &((const struct kp_built_row *)b)->row;
    if (x->series != y->series)
        return x->series < y->series ? -1 : 1;
    if (x->start_ms != y->start_ms)
        return x->start_ms < y->start_ms ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

struct ending { // the footer as it is put together
    struct kp_segment segment;
    struct kp_segment_private private;
    KP_ARRAY(struct kp_segment_run) runs;
    KP_ARRAY(uint32_t) rollup_keys_of_run;
    KP_ARRAY(uint32_t) row_crcs;
};

static void take_row(struct ending *e, const struct kp_segment_builder *b, uint32_t at)
{
    struct kp_segment *s = &e->segment;
    const struct kp_segment_row *row = &b->rows.items[at].row;
    s->body_bytes += row->body_len;
    s->min_start_ms = at == 0 || row->start_ms < s->min_start_ms ? row->start_ms : s->min_start_ms;
    s->max_start_ms = at == 0 || row->start_ms > s->max_start_ms ? row->start_ms : s->max_start_ms;
    s->min_received_ms =
        at == 0 || row->received_ms < s->min_received_ms ? row->received_ms : s->min_received_ms;
    s->max_received_ms =
        at == 0 || row->received_ms > s->max_received_ms ? row->received_ms : s->max_received_ms;
    s->min_number = at == 0 || row->number < s->min_number ? row->number : s->min_number;
    s->max_number = at == 0 || row->number > s->max_number ? row->number : s->max_number;
    if (e->runs.n == 0 || e->runs.items[e->runs.n - 1].series != row->series) {
        *kp_array_add(&e->runs) =
            (struct kp_segment_run){.series = row->series, .first_row = at, .min_start_ms = row->start_ms};
        const struct kp_built_series *series = kp_builder_series(b, row->series);
        *kp_array_add(&e->rollup_keys_of_run) = series ? series->rollup_key : 0;
    }
    struct kp_segment_run *run = &e->runs.items[e->runs.n - 1];
    run->n_rows++;
    run->body_bytes += row->body_len;
    run->max_start_ms = row->start_ms;
}

static void put_records(struct kp_segment_builder *b, struct ending *e)
{
    struct kp_pending_list list = {0};
    e->private.first_record_block = (uint32_t)b->blocks.n;
    for (size_t i = 0; i < b->rows.n; i++) {
        const struct kp_built_row *row = &b->rows.items[i];
        kp_list_put(&list, b->records.data + row->record, row->record_len);
        if (list.n == KP_RECORD_ROWS || i + 1 == b->rows.n) {
            kp_list_columns(&list, &b->columns);
            (void)kp_builder_put_block(b, KP_BLOCK_RECORDS, RECORD_LEVEL);
            kp_list_reset(&list);
        }
    }
    e->private.first_series_block = (uint32_t)b->blocks.n;
    for (size_t i = 0; i < e->runs.n; i++) {
        const struct kp_built_series *series = kp_builder_series(b, e->runs.items[i].series);
        kp_list_put(
            &list, b->series_records.data + (series ? series->record : 0), series ? series->record_len : 0);
        if (list.n == KP_RECORD_ROWS || i + 1 == e->runs.n) {
            kp_list_columns(&list, &b->columns);
            (void)kp_builder_put_block(b, KP_BLOCK_SERIES, RECORD_LEVEL);
            kp_list_reset(&list);
        }
    }
    kp_column_finish(&list.lengths);
    kp_column_finish(&list.bytes);
}

static void put_rows(struct kp_segment_builder *b, struct ending *e)
{
    e->private.rows_offset = b->file.len;
    size_t begin = b->file.len;
    for (size_t i = 0; i < b->rows.n; i++) {
        uint8_t bytes[KP_SEGMENT_ROW_BYTES];
        kp_segment_row_put(bytes, &b->rows.items[i].row);
        kp_column_put_bytes(&b->file, bytes, sizeof bytes);
        if ((i + 1) % KP_RECORD_ROWS == 0 || i + 1 == b->rows.n) {
            *kp_array_add(&e->row_crcs) = kp_crc32c(0, b->file.data + begin, b->file.len - begin);
            begin = b->file.len;
        }
    }
}

static int put_footer(struct kp_segment_builder *b, struct ending *e, struct kp_error *err)
{
    struct kp_segment_head head = {.footer_offset = b->file.len};
    size_t raw_len;
    int rc = kp_segment_footer_put(&e->segment, &b->columns, err);
    if (rc != 0)
        return rc;
    kp_squeeze_columns(b->squeezer, &b->columns, FOOTER_LEVEL, &b->file, &raw_len);
    head.footer_stored = (uint32_t)(b->file.len - head.footer_offset);
    head.footer_raw = (uint32_t)raw_len;
    head.footer_crc = kp_crc32c(0, b->file.data + head.footer_offset, head.footer_stored);
    head.file_bytes = b->file.len + KP_SEGMENT_HEAD_BYTES;
    uint8_t bytes[KP_SEGMENT_HEAD_BYTES];
    kp_segment_head_put(bytes, &head);
    memcpy(b->file.data, bytes, sizeof bytes);
    kp_column_put_bytes(&b->file, bytes, sizeof bytes);
    return 0;
}

static void fill_footer(struct kp_segment_builder *b, struct ending *e)
{
    struct kp_segment *s = &e->segment;
    s->private = &e->private;
    s->namespace = b->namespace;
    s->keep_s = b->keep_s;
    s->n_rows = (uint32_t)b->rows.n;
    s->n_runs = (uint32_t)e->runs.n;
    s->n_rollups = (uint32_t)b->rollups.n;
    s->n_spaces = (uint32_t)b->spaces.n;
    s->n_blocks = (uint32_t)b->blocks.n;
    s->n_replaces = (uint32_t)b->replaces.n;
    s->runs = e->runs.items;
    s->rollups = b->rollups.items;
    s->rollup_series = b->rollup_series.items;
    s->spaces = b->spaces.items;
    s->replaces = b->replaces.items;
    e->private.blocks = b->blocks.items;
    e->private.row_crcs = e->row_crcs.items;
    e->private.rollup_keys_of_run = e->rollup_keys_of_run.items;
    e->private.n_rollup_keys = HASH_COUNT(b->rollup_keys);
    e->private.rollup_keys = kp_calloc((size_t)e->private.n_rollup_keys + 1, sizeof *e->private.rollup_keys);
    for (const struct kp_built_rollup_key *key = b->rollup_keys; key; key = key->hh.next)
        memcpy(e->private.rollup_keys[key->at], key->key, sizeof key->key);
}

static void hand_out_rows(
    const struct kp_segment_builder *b, struct kp_segment_row **ret_rows, uint32_t *ret_n_rows)
{
    if (ret_n_rows)
        *ret_n_rows = (uint32_t)b->rows.n;
    if (ret_rows == NULL)
        return;
    *ret_rows = KP_NEW_ARRAY(struct kp_segment_row, b->rows.n + 1);
    for (size_t i = 0; i < b->rows.n; i++)
        (*ret_rows)[i] = b->rows.items[i].row;
}

// Start-up captures and what is no profile do not count.
static void count_windows(struct kp_segment_builder *b)
{
    for (size_t i = 0; i < b->rows.n; i++) {
        const struct kp_segment_row *row = &b->rows.items[i].row;
        struct kp_built_series *series = kp_builder_series(b, row->series);
        if (series && (row->flags & (KP_SROW_STARTUP | KP_SROW_OPAQUE)) == 0)
            series->n_windows++;
    }
}

int kp_segment_builder_finish(struct kp_segment_builder *b, struct kp_blob **ret,
    struct kp_segment_row **ret_rows, uint32_t *ret_n_rows, struct kp_error *err)
{
    int rc = kp_builder_leave(b, err);
    if (rc != 0)
        return rc;
    kp_builder_flush_opaque(b);
    count_windows(b);
    kp_rollup_prune(b);
    if (b->rows.n > 1)
        qsort(b->rows.items, b->rows.n, sizeof b->rows.items[0], by_series);
    struct ending *e = KP_NEW(struct ending);
    for (size_t i = 0; i < b->rows.n; i++)
        take_row(e, b, (uint32_t)i);
    put_records(b, e);
    put_rows(b, e);
    fill_footer(b, e);
    rc = put_footer(b, e, err);
    if (rc == 0)
        hand_out_rows(b, ret_rows, ret_n_rows);
    kp_free(e->private.rollup_keys);
    kp_array_free(&e->runs);
    kp_array_free(&e->rollup_keys_of_run);
    kp_array_free(&e->row_crcs);
    kp_free(e);
    if (rc != 0)
        return rc;
    *ret = kp_blob_take(b->file.data, b->file.len);
    b->file = (struct kp_column){0};
    return 0;
}
