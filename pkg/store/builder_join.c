// Joins segments: spaces of equal id become one, blocks are made anew, what was kept as received is copied.
// One space is open at a time, and one block of a source.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/builder_private.h"
#include "base/banned.h"

#define MAX_CACHED_BLOCKS ((size_t)24 << 20)

struct source_row {
    uint32_t segment, at; // row of it
    uint32_t space;       // of the segment; UINT32_MAX: opaque
    uint32_t type;        // of types
    uint64_t id[2];       // of the space
    struct kp_segment_row row;
};

struct opened { // a space of one source while its captures are copied
    struct kp_space *space;
    uint32_t number; // which
    struct kp_symbol_hashes hashes;
    struct kp_symbols_map *map;
    uint32_t *entries; // ids here; UINT32_MAX = not looked up
};

struct joiner {
    struct kp_segment_builder *b;
    struct kp_segment *const *segments;
    size_t n_segments;
    bool (*keep)(void *user, size_t segment, const struct kp_segment_row *row);
    void *user;
    const struct kp_segment_salvage *salvage; // NULL = all can be read
    KP_ARRAY(struct source_row) rows;
    KP_ARRAY(char *) types;
    uint32_t **block_spaces, **block_types; // of each block of each segment
    // in hand
    struct opened *opened;    // of each segment
    uint32_t opened_for;      // 1 + the space here
    struct kp_block **blocks; // the last of each segment
    uint32_t *block_numbers;
    size_t block_bytes;
    struct kp_record_reader *readers;
};

static int check_cancelled(const struct joiner *j, struct kp_error *err)
{
    if (j->b->cancelled == NULL || __atomic_load_n(j->b->cancelled, __ATOMIC_RELAXED) == 0)
        return 0;
    return kp_fail(err, KP_CANCELED, "joining segments was stopped");
}

static uint32_t type_number(struct joiner *j, char *type)
{
    for (size_t i = 0; i < j->types.n; i++)
        if (strcmp(j->types.items[i], type) == 0) {
            kp_free(type);
            return (uint32_t)i;
        }
    *kp_array_add(&j->types) = type;
    return (uint32_t)j->types.n - 1;
}

// Space and type of a block of samples; each block is looked at once.
static int look_at_block(struct joiner *j, uint32_t segment, uint32_t number, struct kp_error *err)
{
    uint8_t *data;
    size_t len;
    struct kp_block *block;
    char *type;
    if (j->block_types[segment][number] != 0)
        return 0;
    int rc = kp_segment_load(j->segments[segment], number, KP_BLOCK_SAMPLES, &data, &len, err);
    if (rc != 0)
        return rc;
    rc = kp_block_get(data, len, &block, &type, err);
    kp_free(data);
    if (rc != 0)
        return rc;
    j->block_spaces[segment][number] = block->space;
    j->block_types[segment][number] = type_number(j, type) + 1;
    if (block->space >= j->segments[segment]->n_spaces)
        rc = kp_fail(err, KP_CORRUPT, "segment '%s': a block without a space", j->segments[segment]->name);
    kp_block_free(block);
    return rc;
}

static int collect_row(
    struct joiner *j, uint32_t segment, uint32_t at, const struct kp_segment_row *row, struct kp_error *err)
{
    struct source_row source = {.segment = segment, .at = at, .space = UINT32_MAX, .row = *row};
    bool is_lost = j->salvage && j->salvage->states[at] == KP_SROW_LOST;
    bool as_received = j->salvage && j->salvage->states[at] == KP_SROW_AS_RECEIVED;
    if (is_lost)
        return 0;
    if ((row->flags & KP_SROW_OPAQUE) == 0 && !as_received) {
        int rc = look_at_block(j, segment, row->block, err);
        if (rc != 0)
            return rc;
        source.space = j->block_spaces[segment][row->block];
        source.type = j->block_types[segment][row->block] - 1;
        memcpy(source.id, j->segments[segment]->spaces[source.space].id, sizeof source.id);
    }
    *kp_array_add(&j->rows) = source;
    return 0;
}

static bool is_any_left(const struct joiner *j, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++)
        if (j->salvage == NULL || j->salvage->states[i] != KP_SROW_LOST)
            return true;
    return false;
}

static int collect(struct joiner *j, uint32_t segment, struct kp_error *err)
{
    const struct kp_segment *s = j->segments[segment];
    struct kp_segment_row rows[KP_RECORD_ROWS];
    int rc = 0;
    for (uint32_t first = 0; rc == 0 && first < s->n_rows; first += KP_RECORD_ROWS) {
        uint32_t n = s->n_rows - first < KP_RECORD_ROWS ? s->n_rows - first : KP_RECORD_ROWS;
        rc = check_cancelled(j, err);
        if (rc == 0 && !is_any_left(j, first, n))
            continue;
        if (rc == 0)
            rc = kp_segment_read_rows(s, first, n, rows, err);
        for (uint32_t i = 0; rc == 0 && i < n; i++)
            if (j->keep == NULL || j->keep(j->user, segment, &rows[i]))
                rc = collect_row(j, segment, first + i, &rows[i], err);
    }
    return rc;
}

#define order_by(x, y)                                                                                       \
    if ((x) != (y))                                                                                          \
    return (x) < (y) ? -1 : 1

// As the builder wants them: space, type, then series and time in the place of an order that is not kept.
static int by_space(const void *a, const void *b)
{
    const struct source_row *x = a;
    const struct source_row *y = b;
    order_by(x->space == UINT32_MAX, y->space == UINT32_MAX);
    order_by(x->id[0], y->id[0]);
    order_by(x->id[1], y->id[1]);
    order_by(x->type, y->type);
    order_by(x->row.series, y->row.series);
    order_by(x->row.start_ms, y->row.start_ms);
    order_by(x->row.number, y->row.number);
    return 0;
}

static int note_series(struct joiner *j, const struct source_row *source, struct kp_error *err)
{
    static const uint64_t none[2] = {0, 0};
    if (kp_builder_series(j->b, source->row.series) != NULL)
        return 0;
    const struct kp_segment *s = j->segments[source->segment];
    const struct kp_segment_run *run = kp_segment_find_run(s, source->row.series);
    if (run == NULL)
        return kp_fail(err, KP_CORRUPT, "segment '%s': a row without a run", s->name);
    uint32_t at = (uint32_t)(run - s->runs);
    uint32_t key = s->private->rollup_keys_of_run[at];
    struct kp_record record;
    struct kp_error why = {0};
    int rc = kp_segment_read_series(s, at, &record, &why);
    if (rc != 0 && j->salvage && j->salvage->describe)
        rc = j->salvage->describe(j->salvage->user, source->row.series, &record);
    if (rc != 0)
        return kp_fail(err, rc, "%s", why.text);
    kp_auto_strbuf encoded;
    kp_strbuf_init(&encoded, KP_MAX_BLOCK_RAW);
    kp_record_encode(&record, &encoded);
    kp_record_finish(&record);
    kp_builder_note_series(j->b, source->row.series, encoded.data, encoded.len,
        key > 0 ? s->private->rollup_keys[key - 1] : none);
    return 0;
}

static int add_row(struct joiner *j, const struct source_row *source, uint32_t *ret_row, struct kp_error *err)
{
    struct kp_record record;
    int rc = note_series(j, source, err);
    if (rc == 0)
        rc = kp_segment_read_record(
            &j->readers[source->segment], j->segments[source->segment], source->at, &record, err);
    if (rc != 0)
        return rc;
    kp_auto_strbuf encoded;
    kp_auto_strbuf stripped;
    kp_strbuf_init(&encoded, KP_MAX_BLOCK_RAW);
    kp_strbuf_init(&stripped, KP_MAX_BLOCK_RAW);
    kp_record_encode(&record, &encoded);
    kp_record_finish(&record);
    kp_record_strip(&source->row, encoded.data, encoded.len, &stripped);
    struct kp_segment_row row = source->row;
    row.flags &= KP_SROW_STARTUP;
    *ret_row = kp_builder_add_row(j->b, &row, stripped.data, stripped.len);
    return 0;
}

// ---- captures ----

static void close_space(struct opened *o)
{
    kp_symbols_map_destroy(o->map);
    kp_symbol_hashes_finish(&o->hashes);
    kp_space_free(o->space);
    kp_free(o->entries);
    *o = (struct opened){0};
}

static void close_spaces(struct joiner *j)
{
    for (size_t i = 0; i < j->n_segments; i++)
        close_space(&j->opened[i]);
}

static int open_space(struct joiner *j, const struct source_row *source, struct kp_error *err)
{
    struct opened *o = &j->opened[source->segment];
    if (o->space && o->number == source->space)
        return 0;
    close_space(o);
    int rc = kp_segment_read_space(j->segments[source->segment], source->space, &o->space, err);
    if (rc != 0)
        return rc;
    o->number = source->space;
    kp_symbol_hashes_extend(&o->hashes, &o->space->symbols);
    o->map = kp_symbols_map_symbols(j->b->space->symbols, &o->space->symbols);
    o->entries = kp_grow(NULL, (size_t)o->space->n_entries + 1, sizeof *o->entries);
    memset(o->entries, 0xff, ((size_t)o->space->n_entries + 1) * sizeof *o->entries);
    return 0;
}

static void drop_block(struct joiner *j, size_t segment)
{
    if (j->blocks[segment])
        j->block_bytes -= kp_arena_bytes(j->blocks[segment]->arena);
    kp_block_free(j->blocks[segment]);
    j->blocks[segment] = NULL;
}

static int load_block(
    struct joiner *j, const struct source_row *source, const struct kp_block **ret, struct kp_error *err)
{
    uint32_t at = source->segment;
    if (j->blocks[at] == NULL || j->block_numbers[at] != source->row.block) {
        drop_block(j, at);
        for (size_t i = 0; i < j->n_segments && j->block_bytes > MAX_CACHED_BLOCKS; i++)
            drop_block(j, i);
        int rc = kp_segment_read_block(j->segments[at], source->row.block, &j->blocks[at], err);
        if (rc != 0)
            return rc;
        j->block_numbers[at] = source->row.block;
        j->block_bytes += kp_arena_bytes(j->blocks[at]->arena);
    }
    *ret = j->blocks[at];
    return 0;
}

static void take_capture(struct kp_space_builder *s, struct opened *o, const struct kp_block *block,
    uint32_t index, struct kp_pending_capture *capture)
{
    uint32_t shape = block->shape[index];
    uint32_t base = s->n_entries;
    size_t first = s->entries.n;
    for (uint32_t i = block->first[index]; i < block->first[index + 1]; i++) {
        uint32_t from = block->entries[i];
        if (o->entries[from] == UINT32_MAX)
            o->entries[from] = kp_builder_entry(s, kp_symbols_map_node(o->map, o->space->entry_node[from]),
                kp_symbols_map_label_set(o->map, o->space->entry_labels[from]));
        *kp_array_add(&s->entries) = o->entries[from];
        for (uint32_t t = 0; t < block->n_types; t++)
            *kp_array_add(&s->values) = block->values[(size_t)t * block->n_samples + i];
    }
    kp_builder_sort_entries(s, base, first);
    for (uint32_t i = block->first[index]; i < block->first[index + 1]; i++) // they have other ids now
        o->entries[block->entries[i]] = s->entries.items[first + i - block->first[index]];
    const struct kp_profile *p = o->space->shapes[shape];
    kp_auto_free uint32_t *mappings = KP_NEW_ARRAY(uint32_t, (size_t)p->n_mappings + 1);
    for (uint32_t i = 0; i < p->n_mappings; i++)
        mappings[i] = kp_symbols_map_mapping(o->map, o->space->shape_mappings[shape][i]);
    capture->shape = kp_builder_shape(s, p, mappings);
    capture->time_ns = block->time_ns[index];
    capture->duration_ns = block->duration_ns[index];
    kp_block_digest(
        &o->hashes, o->space->entry_node, o->space->entry_labels, block, index, p, &capture->digest);
    s->body_bytes += capture->body_len;
    *kp_array_add(&s->captures) = *capture;
    *kp_array_add(&s->first) = (uint32_t)s->entries.n;
}

static int copy_original(const struct kp_segment *s, const struct source_row *source,
    struct kp_pending_capture *capture, struct kp_error *err)
{
    struct kp_blob *blob;
    if ((source->row.flags & KP_SROW_ORIGINAL) == 0)
        return 0;
    int rc = kp_segment_read_body(s, &source->row, &blob, err);
    if (rc != 0)
        return rc;
    capture->body = kp_memdup(blob->data, blob->len);
    capture->body_len = blob->len;
    kp_blob_unref(blob);
    return 0;
}

static int join_capture(struct joiner *j, const struct source_row *source, struct kp_error *err)
{
    struct kp_pending_capture capture = {.joined = true};
    const struct kp_block *block = NULL;
    int rc = load_block(j, source, &block, err);
    if (rc == 0)
        rc = kp_builder_enter(j->b, source->id, j->types.items[source->type], block->n_types, err);
    if (rc == 0 && j->opened_for != j->b->space->index + 1) {
        close_spaces(j);
        j->opened_for = j->b->space->index + 1;
    }
    if (rc == 0)
        rc = open_space(j, source, err);
    if (rc != 0)
        return rc;
    struct opened *o = &j->opened[source->segment];
    uint32_t index = source->row.index;
    if (index >= block->n_captures || block->shape[index] >= o->space->n_shapes ||
        o->space->shapes[block->shape[index]]->n_sample_types != block->n_types)
        return kp_fail(
            err, KP_CORRUPT, "segment '%s': a row leads to no capture", j->segments[source->segment]->name);
    rc = copy_original(j->segments[source->segment], source, &capture, err);
    if (rc == 0)
        rc = add_row(j, source, &capture.row, err);
    if (rc == 0)
        take_capture(j->b->space, o, block, index, &capture);
    else
        kp_free(capture.body);
    return rc;
}

static int join_opaque(struct joiner *j, const struct source_row *source, struct kp_error *err)
{
    struct kp_blob *blob;
    uint32_t row;
    int rc = kp_segment_read_body(j->segments[source->segment], &source->row, &blob, err);
    if (rc != 0)
        return rc;
    rc = add_row(j, source, &row, err);
    if (rc == 0)
        kp_builder_add_opaque(j->b, row, blob->data, blob->len);
    kp_blob_unref(blob);
    return rc;
}

static int join_all(struct joiner *j, struct kp_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < j->n_segments; i++) {
        j->block_spaces[i] = KP_NEW_ARRAY(uint32_t, (size_t)j->segments[i]->n_blocks + 1);
        j->block_types[i] = KP_NEW_ARRAY(uint32_t, (size_t)j->segments[i]->n_blocks + 1);
        rc = collect(j, (uint32_t)i, err);
    }
    if (rc == 0 && j->rows.n > 1)
        qsort(j->rows.items, j->rows.n, sizeof j->rows.items[0], by_space);
    for (size_t i = 0; rc == 0 && i < j->rows.n; i++) {
        rc = check_cancelled(j, err);
        if (rc == 0)
            rc = j->rows.items[i].space == UINT32_MAX ? join_opaque(j, &j->rows.items[i], err)
                                                      : join_capture(j, &j->rows.items[i], err);
    }
    return rc;
}

static int join(struct joiner *j, struct kp_error *err)
{
    size_t n = j->n_segments;
    j->block_spaces = KP_NEW_ARRAY(uint32_t *, n + 1);
    j->block_types = KP_NEW_ARRAY(uint32_t *, n + 1);
    j->opened = KP_NEW_ARRAY(struct opened, n + 1);
    j->blocks = KP_NEW_ARRAY(struct kp_block *, n + 1);
    j->block_numbers = KP_NEW_ARRAY(uint32_t, n + 1);
    j->readers = KP_NEW_ARRAY(struct kp_record_reader, n + 1);
    int rc = join_all(j, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        *kp_array_add(&j->b->replaces) = kp_strdup(j->segments[i]->name);
    close_spaces(j);
    for (size_t i = 0; i < n; i++) {
        kp_block_free(j->blocks[i]);
        kp_free(j->block_spaces[i]);
        kp_free(j->block_types[i]);
        kp_record_reader_finish(&j->readers[i]);
    }
    for (size_t i = 0; i < j->types.n; i++)
        kp_free(j->types.items[i]);
    kp_array_free(&j->types);
    kp_array_free(&j->rows);
    kp_free(j->block_spaces);
    kp_free(j->block_types);
    kp_free(j->opened);
    kp_free(j->readers);
    kp_free(j->blocks);
    kp_free(j->block_numbers);
    return rc;
}

int kp_segment_builder_join(struct kp_segment_builder *b, struct kp_segment *const *segments, size_t n,
    bool (*keep)(void *user, size_t segment, const struct kp_segment_row *row), void *user,
    struct kp_error *err)
{
    struct joiner j = {.b = b, .segments = segments, .n_segments = n, .keep = keep, .user = user};
    return join(&j, err);
}

int kp_segment_builder_salvage(struct kp_segment_builder *b, struct kp_segment *segment,
    const struct kp_segment_salvage *salvage,
    bool (*keep)(void *user, size_t segment, const struct kp_segment_row *row), void *user,
    struct kp_error *err)
{
    struct joiner j = {
        .b = b, .segments = &segment, .n_segments = 1, .keep = keep, .user = user, .salvage = salvage};
    return join(&j, err);
}
