// Blocks of lists (records, series, bodies), and records without what their row says.
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "store/builder_private.h"
#include "base/banned.h"

// ---- lists: lengths | bytes ----

void kp_list_put(struct kp_pending_list *list, const void *data, size_t len)
{
    kp_column_put(&list->lengths, len);
    kp_column_put_bytes(&list->bytes, data, len);
    list->n++;
}

void kp_list_columns(const struct kp_pending_list *list, struct kp_columns *columns)
{
    kp_columns_reset(columns, 2);
    kp_column_put_bytes(&columns->items[0], list->lengths.data, list->lengths.len);
    kp_column_put_bytes(&columns->items[1], list->bytes.data, list->bytes.len);
}

void kp_list_reset(struct kp_pending_list *list)
{
    list->lengths.len = 0;
    list->bytes.len = 0;
    list->n = 0;
}

int kp_list_block_item(
    const void *data, size_t len, uint32_t index, const uint8_t **ret, size_t *ret_len, struct kp_error *err)
{
    struct kp_column_reader c[2];
    int rc = kp_columns_split(data, len, c, 2, err);
    if (rc != 0)
        return rc;
    const uint8_t *item = NULL;
    size_t item_len = 0;
    for (uint32_t i = 0; i <= index && !c[0].bad && !c[1].bad; i++) {
        item_len = kp_column_get(&c[0]);
        item = kp_column_get_bytes(&c[1], item_len);
    }
    if (c[0].bad || c[1].bad || item == NULL)
        return kp_fail(err, KP_CORRUPT, "a block has no item %u", index);
    *ret = item;
    *ret_len = item_len;
    return 0;
}

// ---- records ----

static void key_text(const struct kp_segment_row *row, char out[KP_CAPTURE_KEY_TEXT])
{
    (void)snprintf(out, KP_CAPTURE_KEY_TEXT, "%016llx%016llx", (unsigned long long)row->key[0],
        (unsigned long long)row->key[1]);
}

void kp_record_strip(const struct kp_segment_row *row, const void *data, size_t len, struct kp_strbuf *out)
{
    struct kp_record record;
    if (kp_record_decode(data, len, &record, NULL) != 0) {
        kp_strbuf_add(out, data, len);
        return;
    }
    char key[KP_CAPTURE_KEY_TEXT];
    key_text(row, key);
    if (record.key && strcmp(record.key, key) == 0) {
        kp_free(record.key);
        record.key = NULL;
    }
    if (record.start_ms == row->start_ms)
        record.start_ms = 0;
    kp_free(record.id);
    record.id = NULL;
    record.received_ms = 0;
    record.size_bytes = 0;
    kp_record_encode(&record, out);
    kp_record_finish(&record);
}

static int load(
    struct kp_record_reader *reader, const struct kp_segment *segment, uint32_t block, struct kp_error *err)
{
    if (reader->segment == segment && reader->block == block + 1)
        return 0;
    kp_record_reader_finish(reader);
    int rc = kp_segment_load(segment, segment->private->first_record_block + block, KP_BLOCK_RECORDS,
        &reader->data, &reader->len, err);
    if (rc != 0)
        return rc;
    uint32_t first = block * KP_RECORD_ROWS;
    reader->n_rows = segment->n_rows - first < KP_RECORD_ROWS ? segment->n_rows - first : KP_RECORD_ROWS;
    reader->rows = KP_NEW_ARRAY(struct kp_segment_row, KP_RECORD_ROWS);
    rc = kp_segment_read_rows(segment, first, reader->n_rows, reader->rows, err);
    if (rc != 0) {
        kp_record_reader_finish(reader);
        return rc;
    }
    reader->segment = segment;
    reader->block = block + 1;
    return 0;
}

int kp_segment_read_record(struct kp_record_reader *reader, const struct kp_segment *segment, uint32_t row,
    struct kp_record *ret, struct kp_error *err)
{
    if (row >= segment->n_rows)
        return kp_fail(err, KP_NOT_FOUND, "segment '%s' has no row %u", segment->name, row);
    int rc = load(reader, segment, row / KP_RECORD_ROWS, err);
    const uint8_t *data;
    size_t len;
    if (rc == 0)
        rc = kp_list_block_item(reader->data, reader->len, row % KP_RECORD_ROWS, &data, &len, err);
    if (rc == 0)
        rc = kp_record_decode(data, len, ret, err);
    if (rc != 0)
        return rc;
    const struct kp_segment_row *r = &reader->rows[row % KP_RECORD_ROWS];
    if (ret->key == NULL && (r->key[0] != 0 || r->key[1] != 0)) {
        char key[KP_CAPTURE_KEY_TEXT];
        key_text(r, key);
        ret->key = kp_strdup(key);
    }
    if (ret->start_ms == 0)
        ret->start_ms = r->start_ms;
    ret->received_ms = r->received_ms;
    ret->size_bytes = r->body_len;
    return 0;
}

void kp_record_reader_finish(struct kp_record_reader *reader)
{
    kp_free(reader->data);
    kp_free(reader->rows);
    *reader = (struct kp_record_reader){0};
}

int kp_segment_read_series(
    const struct kp_segment *segment, uint32_t run, struct kp_record *ret, struct kp_error *err)
{
    if (run >= segment->n_runs)
        return kp_fail(err, KP_NOT_FOUND, "segment '%s' has no run %u", segment->name, run);
    uint8_t *data;
    size_t len;
    uint32_t block = segment->private->first_series_block + run / KP_RECORD_ROWS;
    int rc = kp_segment_load(segment, block, KP_BLOCK_SERIES, &data, &len, err);
    if (rc != 0)
        return rc;
    const uint8_t *item;
    size_t item_len;
    rc = kp_list_block_item(data, len, run % KP_RECORD_ROWS, &item, &item_len, err);
    if (rc == 0)
        rc = kp_record_decode(item, item_len, ret, err);
    kp_free(data);
    return rc;
}
