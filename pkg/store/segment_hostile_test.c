// Files whose checksums are right and whose contents are not: bytes inside blocks, rows and footer are
// changed and everything around them is made to fit. Reading may succeed or say KP_CORRUPT; it must not
// crash, and joining must not make a file that cannot be read.
#include "store/segment_fixture.h"

#include "store/builder_private.h"
#include "base/banned.h"

#define ROUNDS 800

struct maker {
    const struct made *from;
    struct kp_squeezer *squeezer;
    uint64_t random;
    struct kp_column file;
    unsigned n_changed;
};

static uint32_t draw(struct maker *m, uint32_t below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (uint32_t)((m->random >> 32) % below);
}

// In about one of n_parts of the pieces.
static void change(struct maker *m, uint8_t *data, size_t len, uint32_t n_parts)
{
    static const uint8_t bytes[] = {0, 1, 2, 0x7f, 0x80, 0xff};
    if (len == 0 || draw(m, n_parts) != 0)
        return;
    for (uint32_t i = draw(m, 3) + 1; i > 0; i--) {
        uint8_t *at = &data[draw(m, (uint32_t)len)];
        *at = draw(m, 2) == 0 ? bytes[draw(m, KP_COUNT(bytes))] : (uint8_t)draw(m, 256);
    }
    m->n_changed++;
}

static void put_blocks(struct maker *m, struct kp_block_info *blocks)
{
    const struct kp_segment *s = m->from->segment;
    for (uint32_t i = 0; i < s->n_blocks; i++) {
        uint8_t *data;
        size_t len;
        assert_int_equal(kp_segment_load(s, i, (enum kp_block_kind)blocks[i].kind, &data, &len, NULL), 0);
        change(m, data, len, s->n_blocks);
        blocks[i].offset = m->file.len;
        blocks[i].stored_len = blocks[i].raw_len;
        blocks[i].crc = kp_crc32c(0, data, len);
        kp_column_put_bytes(&m->file, data, len);
        kp_free(data);
    }
}

static void put_rows(struct maker *m, uint32_t *crcs)
{
    const struct kp_segment *s = m->from->segment;
    for (uint32_t first = 0; first < s->n_rows; first += KP_RECORD_ROWS) {
        uint32_t n = s->n_rows - first < KP_RECORD_ROWS ? s->n_rows - first : KP_RECORD_ROWS;
        size_t len = (size_t)n * KP_SEGMENT_ROW_BYTES;
        uint8_t *rows = kp_memdup(
            m->from->blob->data + s->private->rows_offset + (size_t)first * KP_SEGMENT_ROW_BYTES, len);
        change(m, rows, len, 10);
        crcs[first / KP_RECORD_ROWS] = kp_crc32c(0, rows, len);
        kp_column_put_bytes(&m->file, rows, len);
        kp_free(rows);
    }
}

static void put_footer(struct maker *m, const struct kp_segment *s)
{
    struct kp_columns columns = {0};
    struct kp_column raw = {0};
    uint8_t head_bytes[KP_SEGMENT_HEAD_BYTES];
    assert_int_equal(kp_segment_footer_put(s, &columns, NULL), 0);
    kp_columns_join(&columns, &raw);
    change(m, raw.data, raw.len, 5);
    struct kp_segment_head head = {.footer_offset = m->file.len, .footer_raw = (uint32_t)raw.len};
    kp_squeeze(m->squeezer, raw.data, raw.len, 1, &m->file);
    head.footer_stored = (uint32_t)(m->file.len - head.footer_offset);
    head.footer_crc = kp_crc32c(0, m->file.data + head.footer_offset, head.footer_stored);
    head.file_bytes = m->file.len + sizeof head_bytes;
    kp_segment_head_put(head_bytes, &head);
    memcpy(m->file.data, head_bytes, sizeof head_bytes);
    kp_column_put_bytes(&m->file, head_bytes, sizeof head_bytes);
    kp_columns_finish(&columns);
    kp_column_finish(&raw);
}

static void make_hostile(struct maker *m)
{
    struct kp_segment segment = *m->from->segment;
    struct kp_segment_private private = *segment.private;
    segment.private = &private;
    m->file.len = 0;
    kp_column_put_bytes(&m->file, (uint8_t[KP_SEGMENT_HEAD_BYTES]){0}, KP_SEGMENT_HEAD_BYTES);
    private.blocks = kp_memdup(private.blocks, segment.n_blocks * sizeof *private.blocks);
    private.row_crcs = KP_NEW_ARRAY(uint32_t, segment.n_rows + 1);
    put_blocks(m, private.blocks);
    private.rows_offset = m->file.len;
    put_rows(m, private.row_crcs);
    put_footer(m, &segment);
    kp_free(private.blocks);
    kp_free(private.row_crcs);
}

static void on_wrong(void *user, const char *file, const char *what)
{
    assert_string_equal(file, "made");
    *(size_t *)user += strlen(what);
}

static void read_all(struct kp_segment *s, size_t *n_wrong)
{
    assert_int_equal(kp_segment_verify(s, on_wrong, n_wrong, NULL), 0);
    for (uint32_t i = 0; i < s->n_rows; i++) {
        struct kp_segment_row row;
        struct kp_blob *body;
        if (kp_segment_read_rows(s, i, 1, &row, NULL) == 0 && kp_segment_read_body(s, &row, &body, NULL) == 0)
            kp_blob_unref(body);
    }
    for (uint32_t i = 0; i < s->n_rollups; i++) {
        struct kp_block *block;
        assert_true(s->rollups[i].block < s->n_blocks && s->rollups[i].space < s->n_spaces);
        if (kp_segment_read_block(s, s->rollups[i].block, &block, NULL) == 0)
            kp_block_free(block);
    }
}

static void join(struct kp_segment *s)
{
    struct kp_segment_builder *b = new_builder(KP_ORIGINAL_ON_ERROR);
    if (kp_segment_builder_join(b, &s, 1, NULL, NULL, NULL) == 0) {
        size_t n_wrong = 0;
        struct made joined;
        finish_made(b, &joined);
        assert_int_equal(kp_segment_verify(joined.segment, on_wrong, &n_wrong, NULL), 0);
        made_finish(&joined);
    } else {
        kp_segment_builder_destroy(b);
    }
}

static void test_hostile_files(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made from;
    const struct kp_gen_program tiny = {
        .seed = 1, .functions = 20, .stacks = 6, .depth = 4, .new_percent = 10, .labels = 2};
    give_program(&g, &tiny, 1, 2, 2, 3);
    struct given *x = give(&g, "trace", 1, MADE_T0, 3, (uint8_t *)kp_strdup("some trace"), 10);
    x->row.flags = KP_SROW_OPAQUE;
    struct kp_segment_builder *b = new_builder(KP_ORIGINAL_ON_ERROR);
    b->doubt_every = 5;
    for (size_t i = 0; i < g.list.n; i++)
        add_given(b, &g.list.items[i]);
    finish_made(b, &from);
    struct maker m = {.from = &from, .squeezer = kp_squeezer_create(), .random = 88172645463325252U};
    unsigned n_opened = 0;
    unsigned n_found = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        make_hostile(&m);
        struct memory_file file = {m.file.data, m.file.len, false};
        struct kp_storage storage = memory_storage(&file);
        struct kp_segment *s;
        struct kp_error err = {0};
        size_t n_wrong = 0;
        if (kp_segment_open(&storage, "made", &s, &err) != 0) {
            assert_int_equal(err.code, KP_CORRUPT);
            continue;
        }
        read_all(s, &n_wrong);
        join(s);
        n_opened++;
        n_found += n_wrong > 0;
        kp_segment_unref(s);
    }
    assert_true(m.n_changed > ROUNDS / 2); // or this tests nothing
    assert_true(n_opened > ROUNDS / 2 && n_found > ROUNDS / 10);
    kp_squeezer_destroy(m.squeezer);
    kp_column_finish(&m.file);
    made_finish(&from);
    givens_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hostile_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
