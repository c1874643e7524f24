// What of a damaged segment can still be read.
#include "base/alloc.h"
#include "store/segment_private.h"
#include "base/banned.h"

struct look {
    const struct kp_segment *s;
    struct kp_segment_salvage *salvage;
    uint64_t *items; // of each block: a bit per item that is whole
    bool *runs;      // whose series is known
};

static bool is_cancelled(const struct look *l)
{
    const int *cancelled = l->salvage->cancelled;
    return cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED) != 0;
}

// Disks that fail are not damage: that is told by the code.
static int passes(int rc)
{
    return rc == KP_CORRUPT || rc == KP_NOT_FOUND || rc == KP_INVALID ? 0 : rc;
}

// Captures of a block of samples lie in one space, and spaces in the order of their blocks.
static int look_at_samples(
    struct look *l, uint32_t number, struct kp_space **space, uint32_t *opened, struct kp_error *err)
{
    struct kp_block *block;
    struct kp_error why = {0};
    int rc = kp_segment_read_block(l->s, number, &block, &why);
    if (rc != 0)
        return passes(rc) == 0 ? 0 : kp_fail(err, rc, "%s", why.text);
    if (*opened != block->space + 1) {
        kp_space_free(*space);
        *space = NULL;
        *opened = block->space + 1;
        rc = kp_segment_read_space(l->s, block->space, space, &why);
    }
    for (uint32_t i = 0; *space && i < block->n_captures; i++)
        if (block->shape[i] < (*space)->n_shapes &&
            (*space)->shapes[block->shape[i]]->n_sample_types == block->n_types)
            l->items[number] |= UINT64_C(1) << i;
    kp_block_free(block);
    return passes(rc) == 0 ? 0 : kp_fail(err, rc, "%s", why.text);
}

static int look_at_plain(struct look *l, uint32_t number, enum kp_block_kind kind, struct kp_error *err)
{
    uint8_t *data;
    size_t len;
    struct kp_error why = {0};
    int rc = kp_segment_load(l->s, number, kind, &data, &len, &why);
    if (rc != 0)
        return passes(rc) == 0 ? 0 : kp_fail(err, rc, "%s", why.text);
    for (uint32_t i = 0; i < KP_RECORD_ROWS; i++) {
        const uint8_t *item;
        size_t item_len;
        if (kind == KP_BLOCK_ORIGINAL || kp_list_block_item(data, len, i, &item, &item_len, NULL) == 0)
            l->items[number] |= UINT64_C(1) << i;
    }
    kp_free(data);
    return 0;
}

static int look_at_blocks(struct look *l, struct kp_error *err)
{
    struct kp_space *space = NULL;
    uint32_t opened = 0;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < l->s->n_blocks; i++) {
        enum kp_block_kind kind = (enum kp_block_kind)l->s->private->blocks[i].kind;
        if (is_cancelled(l))
            rc = kp_fail(err, KP_CANCELED, "looking at a damaged segment was stopped");
        else if (kind == KP_BLOCK_SAMPLES)
            rc = look_at_samples(l, i, &space, &opened, err);
        else if (kind == KP_BLOCK_OPAQUE || kind == KP_BLOCK_ORIGINAL)
            rc = look_at_plain(l, i, kind, err);
    }
    kp_space_free(space);
    return rc;
}

static int look_at_runs(struct look *l, struct kp_error *err)
{
    for (uint32_t i = 0; i < l->s->n_runs; i++) {
        struct kp_record record;
        struct kp_error why = {0};
        int rc = kp_segment_read_series(l->s, i, &record, &why);
        if (passes(rc) != 0)
            return kp_fail(err, rc, "%s", why.text);
        l->salvage->is_whole = l->salvage->is_whole && rc == 0;
        if (rc != 0 && l->salvage->describe)
            rc = l->salvage->describe(l->salvage->user, l->s->runs[i].series, &record);
        l->runs[i] = rc == 0;
        if (rc == 0)
            kp_record_finish(&record);
    }
    return 0;
}

// Of a capture with its bytes kept: whether these are there.
static bool has_original(const struct look *l, const struct kp_segment_row *row)
{
    const struct kp_block_info *info = &l->s->private->blocks[row->block];
    uint64_t before = info->originals & ((UINT64_C(1) << row->index) - 1);
    uint64_t block = (uint64_t)info->first_original + (uint32_t)__builtin_popcountll(before);
    return (row->flags & KP_SROW_ORIGINAL) != 0 && (info->originals >> row->index & 1) != 0 &&
           block < l->s->n_blocks && l->items[block] != 0;
}

static enum kp_row_state state_of(const struct look *l, const struct kp_segment_row *row)
{
    const struct kp_segment_run *run = kp_segment_find_run(l->s, row->series);
    bool wants_original = (row->flags & KP_SROW_ORIGINAL) != 0;
    if (run == NULL || !l->runs[run - l->s->runs])
        return KP_SROW_LOST;
    if ((l->items[row->block] >> row->index & 1) != 0 && (!wants_original || has_original(l, row)))
        return KP_SROW_WHOLE;
    return has_original(l, row) ? KP_SROW_AS_RECEIVED : KP_SROW_LOST;
}

static int look_at_rows(const struct look *l, uint8_t *states, struct kp_error *err)
{
    struct kp_segment_row rows[KP_RECORD_ROWS];
    struct kp_record_reader reader = {0};
    int rc = 0;
    for (uint32_t first = 0; passes(rc) == 0 && first < l->s->n_rows; first += KP_RECORD_ROWS) {
        uint32_t n = l->s->n_rows - first < KP_RECORD_ROWS ? l->s->n_rows - first : KP_RECORD_ROWS;
        struct kp_error why = {0};
        rc = kp_segment_read_rows(l->s, first, n, rows, &why);
        for (uint32_t i = 0; rc == 0 && i < n; i++) {
            struct kp_record record;
            int found = kp_segment_read_record(&reader, l->s, first + i, &record, &why);
            if (found == 0) {
                kp_record_finish(&record);
                states[first + i] = (uint8_t)state_of(l, &rows[i]);
            }
            rc = passes(found);
        }
        if (passes(rc) != 0)
            kp_fail(err, rc, "%s", why.text);
    }
    kp_record_reader_finish(&reader);
    return passes(rc);
}

int kp_segment_look(
    const struct kp_segment *segment, struct kp_segment_salvage *salvage, struct kp_error *err)
{
    struct look l = {.s = segment, .salvage = salvage};
    l.items = KP_NEW_ARRAY(uint64_t, (size_t)segment->n_blocks + 1);
    l.runs = KP_NEW_ARRAY(bool, (size_t)segment->n_runs + 1);
    salvage->states = KP_NEW_ARRAY(uint8_t, (size_t)segment->n_rows + 1);
    salvage->n_lost = 0;
    salvage->is_whole = true;
    int rc = look_at_blocks(&l, err);
    if (rc == 0)
        rc = look_at_runs(&l, err);
    if (rc == 0)
        rc = look_at_rows(&l, salvage->states, err);
    for (uint32_t i = 0; i < segment->n_rows; i++) {
        salvage->n_lost += salvage->states[i] == KP_SROW_LOST;
        salvage->is_whole = salvage->is_whole && salvage->states[i] == KP_SROW_WHOLE;
    }
    for (uint32_t i = 0; i < segment->n_rollups; i++)
        salvage->is_whole = salvage->is_whole && l.items[segment->rollups[i].block] != 0;
    kp_free(l.items);
    kp_free(l.runs);
    return rc;
}
