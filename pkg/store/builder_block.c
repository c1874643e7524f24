// The block being filled: written when it is full, after it has been read back and compared.
#include "base/alloc.h"
#include "store/builder_private.h"
#include "base/banned.h"

// A bit per capture that reads back as something else than what was decoded.
static uint64_t check(struct kp_segment_builder *b, const struct kp_block *block)
{
    struct kp_space_builder *s = b->space;
    uint64_t unequal = 0;
    kp_symbol_hashes_extend(&s->hashes, s->symbols);
    for (uint32_t i = 0; i < block->n_captures; i++) {
        struct kp_digest digest;
        kp_block_digest(&s->hashes, s->entry_node, s->entry_labels, block, i,
            s->shapes.items[block->shape[i]].profile, &digest);
        bool doubt = b->doubt_every != 0 && ++b->n_checked % b->doubt_every == 0;
        if (doubt || !kp_digest_equal(digest, s->captures.items[i].digest))
            unequal |= UINT64_C(1) << i;
    }
    return unequal;
}

static void put_originals(struct kp_segment_builder *b, uint32_t block, uint64_t which)
{
    struct kp_space_builder *s = b->space;
    b->blocks.items[block].originals = which;
    b->blocks.items[block].first_original = (uint32_t)b->blocks.n;
    for (size_t i = 0; i < s->captures.n; i++) {
        const struct kp_pending_capture *c = &s->captures.items[i];
        if ((which >> i & 1) == 0)
            continue;
        (void)kp_builder_put_original(b, c->body, c->body_len);
        b->rows.items[c->row].row.flags |= KP_SROW_ORIGINAL;
    }
}

static void place_rows(struct kp_segment_builder *b, uint32_t block)
{
    for (size_t i = 0; i < b->space->captures.n; i++) {
        struct kp_segment_row *row = &b->rows.items[b->space->captures.items[i].row].row;
        row->block = block;
        row->index = (uint32_t)i;
    }
}

static void put_parts(struct kp_segment_builder *b)
{
    struct kp_space_builder *s = b->space;
    uint32_t shape[KP_BLOCK_CAPTURES];
    int64_t time_ns[KP_BLOCK_CAPTURES];
    int64_t duration_ns[KP_BLOCK_CAPTURES];
    for (size_t i = 0; i < s->captures.n; i++) {
        shape[i] = s->captures.items[i].shape;
        time_ns[i] = s->captures.items[i].time_ns;
        duration_ns[i] = s->captures.items[i].duration_ns;
    }
    const struct kp_block_parts parts = {.space = s->index,
        .n_captures = (uint32_t)s->captures.n,
        .n_types = s->n_types,
        .n_entries = s->n_entries,
        .type = s->type,
        .first = s->first.items,
        .entries = s->entries.items,
        .values = s->values.items,
        .shape = shape,
        .time_ns = time_ns,
        .duration_ns = duration_ns};
    kp_block_put(&parts, &b->columns);
    b->raw.len = 0;
    kp_columns_join(&b->columns, &b->raw);
}

static void clear(struct kp_space_builder *s)
{
    for (size_t i = 0; i < s->captures.n; i++)
        kp_free(s->captures.items[i].body);
    s->captures.n = 0;
    s->first.n = 1;
    s->entries.n = 0;
    s->values.n = 0;
    s->body_bytes = 0;
}

int kp_builder_flush_block(struct kp_segment_builder *b, struct kp_error *err)
{
    struct kp_space_builder *s = b->space;
    struct kp_block *block;
    if (s->captures.n == 0)
        return 0;
    put_parts(b);
    int rc = kp_block_get(b->raw.data, b->raw.len, &block, NULL, err);
    if (rc != 0)
        return kp_fail(err, KP_INTERNAL, "a block just made cannot be read");
    uint64_t unequal = check(b, block);
    uint64_t kept = 0;
    for (size_t i = 0; i < s->captures.n; i++) {
        const struct kp_pending_capture *c = &s->captures.items[i];
        bool differs = (unequal >> i & 1) != 0;
        bool wanted = b->keep_original == KP_ORIGINAL_ALWAYS || c->joined ||
                      (b->keep_original == KP_ORIGINAL_ON_ERROR && differs);
        if (c->body && wanted)
            kept |= UINT64_C(1) << i;
        else if (c->joined && differs)
            rc = kp_fail(err, KP_INTERNAL, "a profile would read back unequal");
    }
    if (rc != 0) {
        kp_block_free(block);
        return rc;
    }
    uint32_t number = kp_builder_put_block(b, KP_BLOCK_SAMPLES, b->level);
    place_rows(b, number);
    if (kept != 0)
        put_originals(b, number, kept);
    kp_rollup_take(b, block);
    kp_block_free(block);
    clear(s);
    return 0;
}
