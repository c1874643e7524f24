#include "base/alloc.h"
#include "base/array.h"
#include "base/strbuf.h"
#include "store/segment_private.h"
#include "base/banned.h"

struct verifier {
    const struct kp_segment *s;
    void (*each)(void *user, const char *file, const char *what);
    void *user;
    uint8_t *n_items; // of each block
    bool *bad;        // of each block: it was complained about
    struct kp_space *space;
    uint32_t space_number; // 1 + which
};

static void complain(const struct verifier *v, const struct kp_error *why)
{
    v->each(v->user, v->s->name, why->text);
}

// Once for each block, however much leads to it.
static void complain_of_block(const struct verifier *v, uint32_t number, const struct kp_error *why)
{
    if (!v->bad[number])
        complain(v, why);
    v->bad[number] = true;
}

static void complain_about(const struct verifier *v, const char *what, uint32_t number)
{
    kp_auto_free char *text = kp_asprintf("segment '%s': %s %u", v->s->name, what, number);
    v->each(v->user, v->s->name, text);
}

static void check_samples(struct verifier *v, uint32_t number)
{
    struct kp_block *block;
    struct kp_error why = {0};
    int rc = kp_segment_read_block(v->s, number, &block, &why);
    if (rc != 0) {
        complain_of_block(v, number, &why);
        return;
    }
    if (v->space_number != block->space + 1) {
        kp_space_free(v->space);
        v->space = NULL;
        rc = kp_segment_read_space(v->s, block->space, &v->space, &why);
        v->space_number = block->space + 1;
        if (rc != 0)
            complain_of_block(v, v->s->spaces[block->space].block, &why);
    }
    for (uint32_t i = 0; v->space && i < block->n_captures; i++) {
        struct kp_profile *profile = kp_block_profile(v->space, block, i);
        if (profile == NULL)
            complain_about(v, "no profile can be made of a capture of block", number);
        kp_profile_free(profile);
    }
    v->n_items[number] = (uint8_t)block->n_captures;
    kp_block_free(block);
}

// Items are found by counting: the last one leads over all.
static void check_list(struct verifier *v, uint32_t number)
{
    uint8_t *data;
    size_t len;
    const uint8_t *item;
    size_t item_len;
    struct kp_error why = {0};
    if (kp_segment_load(
            v->s, number, (enum kp_block_kind)v->s->private->blocks[number].kind, &data, &len, &why) != 0) {
        complain_of_block(v, number, &why);
        return;
    }
    uint8_t n = 0;
    while (n < KP_RECORD_ROWS && kp_list_block_item(data, len, n, &item, &item_len, NULL) == 0)
        n++;
    v->n_items[number] = n;
    kp_free(data);
}

static void check_original(struct verifier *v, uint32_t number)
{
    uint8_t *data;
    size_t len;
    struct kp_error why = {0};
    if (kp_segment_load(v->s, number, KP_BLOCK_ORIGINAL, &data, &len, &why) == 0)
        kp_free(data);
    else
        complain_of_block(v, number, &why);
}

static void check_block(struct verifier *v, uint32_t number)
{
    switch (v->s->private->blocks[number].kind) {
    case KP_BLOCK_SAMPLES:
        check_samples(v, number);
        break;
    case KP_BLOCK_OPAQUE:
    case KP_BLOCK_RECORDS:
    case KP_BLOCK_SERIES:
        check_list(v, number);
        break;
    case KP_BLOCK_ORIGINAL:
        check_original(v, number);
        break;
    default: // spaces, by their samples
        break;
    }
}

static void check_rows(struct verifier *v)
{
    struct kp_segment_row rows[KP_RECORD_ROWS];
    struct kp_record_reader reader = {0};
    for (uint32_t first = 0; first < v->s->n_rows; first += KP_RECORD_ROWS) {
        struct kp_error why = {0};
        uint32_t n = v->s->n_rows - first < KP_RECORD_ROWS ? v->s->n_rows - first : KP_RECORD_ROWS;
        if (kp_segment_read_rows(v->s, first, n, rows, &why) != 0) {
            complain(v, &why);
            continue;
        }
        for (uint32_t i = 0; i < n; i++) {
            struct kp_record record;
            const struct kp_block_info *info = &v->s->private->blocks[rows[i].block];
            bool original = (rows[i].flags & KP_SROW_ORIGINAL) != 0;
            if (!v->bad[rows[i].block] && (rows[i].index >= v->n_items[rows[i].block] ||
                                              (original && (info->originals >> rows[i].index & 1) == 0)))
                complain_about(v, "no profile for row", first + i);
            kp_error_clear(&why);
            if (v->bad[v->s->private->first_record_block + first / KP_RECORD_ROWS])
                continue;
            if (kp_segment_read_record(&reader, v->s, first + i, &record, &why) == 0)
                kp_record_finish(&record);
            else
                complain(v, &why);
        }
    }
    kp_record_reader_finish(&reader);
}

static void check_runs(struct verifier *v)
{
    for (uint32_t i = 0; i < v->s->n_runs; i++) {
        struct kp_record record;
        struct kp_error why = {0};
        if (v->bad[v->s->private->first_series_block + i / KP_RECORD_ROWS])
            continue;
        if (kp_segment_read_series(v->s, i, &record, &why) == 0)
            kp_record_finish(&record);
        else
            complain(v, &why);
    }
}

int kp_segment_verify(const struct kp_segment *segment,
    void (*each)(void *user, const char *file, const char *what), void *user, struct kp_error *err)
{
    (void)err; // what is wrong goes to each
    struct verifier v = {.s = segment, .each = each, .user = user};
    v.n_items = KP_NEW_ARRAY(uint8_t, (size_t)segment->n_blocks + 1);
    v.bad = KP_NEW_ARRAY(bool, (size_t)segment->n_blocks + 1);
    for (uint32_t i = 0; i < segment->n_blocks; i++)
        check_block(&v, i);
    check_rows(&v);
    check_runs(&v);
    for (uint32_t i = 0; i < segment->n_spaces; i++) {
        struct kp_space *space;
        struct kp_error why = {0};
        if (kp_segment_read_space(segment, i, &space, &why) == 0)
            kp_space_free(space);
        else
            complain_of_block(&v, segment->spaces[i].block, &why);
    }
    kp_space_free(v.space);
    kp_free(v.n_items);
    kp_free(v.bad);
    return 0;
}
