#include "store/segment_fixture.h"

#include "store/builder_private.h"
#include "base/banned.h"

static const struct kp_gen_program tiny = {
    .seed = 1, .functions = 20, .stacks = 6, .depth = 4, .new_percent = 10, .labels = 2};

static void make_tiny(struct givens *g, struct made *m)
{
    give_program(g, &tiny, 1, 2, 2, 3);
    struct given *x = give(g, "trace", 1, MADE_T0, 3, (uint8_t *)kp_strdup("some trace"), 10);
    x->row.flags = KP_SROW_OPAQUE;
    struct kp_segment_builder *b = new_builder(KP_ORIGINAL_ON_ERROR);
    b->doubt_every = 5;
    for (size_t i = 0; i < g->list.n; i++)
        add_given(b, &g->list.items[i]);
    finish_made(b, m);
}

static void on_wrong(void *user, const char *file, const char *what)
{
    assert_string_equal(file, "made");
    assert_true(what[0] != '\0');
    ++*(size_t *)user;
}

// Whether opening it or anything in it says that it is broken.
static bool is_found_out(const struct kp_storage *storage)
{
    struct kp_segment *s;
    struct kp_error err = {0};
    size_t n_wrong = 0;
    int rc = kp_segment_open(storage, "made", &s, &err);
    if (rc != 0) {
        assert_int_equal(rc, KP_CORRUPT);
        assert_non_null(strstr(err.text, "made"));
        return true;
    }
    assert_int_equal(kp_segment_verify(s, on_wrong, &n_wrong, &err), 0);
    for (uint32_t i = 0; n_wrong == 0 && i < s->n_rows; i++) {
        struct kp_segment_row row;
        struct kp_blob *body;
        rc = kp_segment_read_rows(s, i, 1, &row, NULL);
        if (rc == 0 && (rc = kp_segment_read_body(s, &row, &body, NULL)) == 0)
            kp_blob_unref(body);
        assert_true(rc == 0 || rc == KP_CORRUPT);
    }
    kp_segment_unref(s);
    return n_wrong > 0;
}

static void test_every_flipped_bit_is_found(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m;
    make_tiny(&g, &m);
    uint8_t *copy = kp_memdup(m.blob->data, m.blob->len);
    struct memory_file file = {copy, m.blob->len, false};
    struct kp_storage storage = memory_storage(&file);
    assert_false(is_found_out(&storage));
    for (size_t i = 0; i < m.blob->len; i++) {
        copy[i] ^= (uint8_t)(1 << i % 8);
        if (!is_found_out(&storage))
            fail_msg("byte %zu of %zu", i, m.blob->len);
        copy[i] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t cut = 0; cut < m.blob->len; cut += cut < 100 ? 1 : 13) {
        file.len = cut;
        assert_true(is_found_out(&storage));
    }
    kp_free(copy);
    made_finish(&m);
    givens_finish(&g);
}

static void test_other_versions_and_errors(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m;
    struct kp_segment *s;
    struct kp_error err = {0};
    make_tiny(&g, &m);
    uint8_t *copy = kp_memdup(m.blob->data, m.blob->len);
    struct memory_file file = {copy, m.blob->len, false};
    struct kp_storage storage = memory_storage(&file);
    copy[8] = 2;
    uint32_t crc = kp_crc32c(0, copy, KP_SEGMENT_HEAD_BYTES - 4);
    memcpy(copy + KP_SEGMENT_HEAD_BYTES - 4, &crc, sizeof crc);
    assert_int_equal(kp_segment_open(&storage, "made", &s, &err), KP_INVALID);
    assert_non_null(strstr(err.text, "format 2"));
    file.fails = true;
    kp_error_clear(&err);
    assert_int_equal(kp_segment_open(&storage, "made", &s, &err), KP_INTERNAL);
    m.file.fails = true; // while it is open
    struct kp_segment_row row;
    struct kp_block *block;
    kp_error_clear(&err);
    assert_int_equal(kp_segment_read_rows(m.segment, 0, 1, &row, &err), KP_INTERNAL);
    assert_int_equal(kp_segment_read_block(m.segment, m.rows[0].block, &block, NULL), KP_INTERNAL);
    m.file.fails = false;
    kp_free(copy);
    made_finish(&m);
    givens_finish(&g);
}

static void test_what_is_not_there(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m;
    struct kp_segment_row rows[20];
    struct kp_block *block;
    struct kp_space *space;
    struct kp_record record;
    struct kp_record_reader reader = {0};
    make_tiny(&g, &m);
    const struct kp_segment *s = m.segment;
    assert_int_equal(kp_segment_read_rows(s, 13, 1, rows, NULL), KP_NOT_FOUND);
    assert_int_equal(kp_segment_read_rows(s, 12, 2, rows, NULL), KP_NOT_FOUND);
    assert_int_equal(kp_segment_read_rows(s, 13, 0, rows, NULL), 0);
    assert_int_equal(kp_segment_read_rows(s, 1, UINT32_MAX, rows, NULL), KP_NOT_FOUND);
    assert_int_equal(kp_segment_read_block(s, s->n_blocks, &block, NULL), KP_NOT_FOUND);
    assert_int_equal(kp_segment_read_block(s, s->spaces[0].block, &block, NULL), KP_INVALID);
    assert_int_equal(kp_segment_read_space(s, s->n_spaces, &space, NULL), KP_NOT_FOUND);
    assert_int_equal(kp_segment_read_series(s, s->n_runs, &record, NULL), KP_NOT_FOUND);
    assert_int_equal(kp_segment_read_record(&reader, s, s->n_rows, &record, NULL), KP_NOT_FOUND);
    struct kp_segment *again = kp_segment_ref(m.segment);
    kp_segment_unref(again);
    kp_segment_unref(NULL);
    kp_space_free(NULL);
    kp_block_free(NULL);
    made_finish(&m);
    givens_finish(&g);
}

// Blocks as the merge reads them.
static void test_blocks(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m;
    make_tiny(&g, &m);
    for (uint32_t i = 0; i < m.n_rows; i++) {
        struct kp_block *block;
        struct kp_space *space;
        if ((m.rows[i].flags & KP_SROW_OPAQUE) != 0)
            continue;
        assert_int_equal(kp_segment_read_block(m.segment, m.rows[i].block, &block, NULL), 0);
        assert_int_equal(kp_segment_read_space(m.segment, block->space, &space, NULL), 0);
        struct kp_profile *p = kp_block_profile(space, block, m.rows[i].index);
        struct kp_digest digest = kp_profile_digest(p);
        assert_true(kp_digest_equal(digest, g.list.items[m.rows[i].number - 1].digest));
        uint32_t begin = block->first[m.rows[i].index];
        uint32_t end = block->first[m.rows[i].index + 1];
        assert_int_equal(end - begin, p->n_samples);
        for (uint32_t s = begin + 1; s < end; s++)
            assert_true(block->entries[s] >= block->entries[s - 1]);
        for (uint32_t t = 0; t < block->n_types; t++) {
            int64_t sum = 0;
            for (uint32_t s = begin; s < end; s++)
                sum += block->values[(size_t)t * block->n_samples + s];
            assert_int_equal(sum, kp_profile_total(p, t));
        }
        kp_profile_free(p);
        kp_space_free(space);
        kp_block_free(block);
    }
    made_finish(&m);
    givens_finish(&g);
}

// ---- joining ----

static bool keep_even(void *user, size_t segment, const struct kp_segment_row *row)
{
    (void)user;
    (void)segment;
    return row->number % 2 == 0;
}

static void test_join(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m[3];
    struct kp_segment *segments[2];
    struct kp_error err = {0};
    give_program(&g, &tiny, 1, KP_GEN_KINDS, 3, 30);
    give_program(&g, &(struct kp_gen_program){.seed = 5, .stacks = 10, .depth = 4}, 2, 2, 2, 4);
    for (unsigned i = 0; i < 10; i++) {
        struct given *x = give(&g, "trace", 9, MADE_T0 + i, 3, (uint8_t *)kp_strdup("some trace"), 10);
        x->row.flags = KP_SROW_OPAQUE;
    }
    for (size_t half = 0; half < 2; half++) {
        struct kp_segment_builder *b = new_builder(KP_ORIGINAL_ON_ERROR);
        b->doubt_every = 7;
        for (size_t i = 0; i < g.list.n; i++)
            if ((i / 2) % 2 == half)
                add_given(b, &g.list.items[i]);
        finish_made(b, &m[half]);
        segments[half] = m[half].segment;
    }
    struct kp_segment_builder *b = new_builder(KP_ORIGINAL_ON_ERROR);
    if (kp_segment_builder_join(b, segments, 2, NULL, NULL, &err) != 0)
        fail_msg("%s", err.text);
    finish_made(b, &m[2]);
    check_made(&m[2], &g);
    assert_int_equal(m[2].n_rows, g.list.n);
    assert_int_equal(m[2].segment->n_spaces, 2);
    assert_int_equal(m[2].segment->n_replaces, 2);
    assert_string_equal(m[2].segment->replaces[0], "made");
    assert_int_equal(m[2].segment->n_rollups, 2);
    assert_int_equal(m[2].segment->rollups[0].n_profiles + m[2].segment->rollups[1].n_profiles, 90 + 8);
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < m[2].n_rows; i++)
        n_kept += (m[2].rows[i].flags & KP_SROW_ORIGINAL) != 0;
    assert_true(n_kept >= g.list.n / 9);
    made_finish(&m[2]);

    b = new_builder(KP_ORIGINAL_NEVER);
    assert_int_equal(kp_segment_builder_join(b, segments, 2, keep_even, NULL, &err), 0);
    finish_made(b, &m[2]);
    check_made(&m[2], &g);
    assert_int_equal(m[2].n_rows, g.list.n / 2);
    made_finish(&m[2]);
    made_finish(&m[0]);
    made_finish(&m[1]);
    givens_finish(&g);
}

struct stopping {
    int cancelled;
    uint32_t n, after;
};

static bool keep_until(void *user, size_t segment, const struct kp_segment_row *row)
{
    struct stopping *s = user;
    (void)segment;
    (void)row;
    s->cancelled = ++s->n >= s->after;
    return true;
}

static void test_stopped_join(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m;
    give_program(&g, &tiny, 1, 2, 2, 50);
    make_segment(&g, KP_ORIGINAL_NEVER, &m);
    const uint32_t after[] = {0, 1, m.n_rows, m.n_rows + 1};
    for (size_t i = 0; i < KP_COUNT(after); i++) {
        struct stopping s = {.cancelled = after[i] == 0, .after = after[i]};
        const struct kp_segment_options options = {.namespace = "shop", .cancelled = &s.cancelled};
        struct kp_segment_builder *b = kp_segment_builder_create(&options);
        int rc = kp_segment_builder_join(b, &m.segment, 1, keep_until, &s, NULL);
        assert_int_equal(rc, i < 3 ? KP_CANCELED : 0);
        assert_true(i > 1 || s.n < m.n_rows); // at once
        kp_segment_builder_destroy(b);
    }
    made_finish(&m);
    givens_finish(&g);
}

static void test_join_of_a_broken_one(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m;
    struct kp_error err = {0};
    make_tiny(&g, &m);
    uint8_t *copy = kp_memdup(m.blob->data, m.blob->len);
    m.file.data = copy;
    for (size_t i = KP_SEGMENT_HEAD_BYTES; i < m.blob->len; i += 7) {
        struct kp_segment_builder *b = new_builder(KP_ORIGINAL_ON_ERROR);
        copy[i] ^= 0x10;
        kp_error_clear(&err);
        int rc = kp_segment_builder_join(b, &m.segment, 1, NULL, NULL, &err);
        assert_true(rc == KP_CORRUPT || rc == 0);
        copy[i] ^= 0x10;
        kp_segment_builder_destroy(b);
    }
    made_finish(&m);
    kp_free(copy);
    givens_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_flipped_bit_is_found),
        cmocka_unit_test(test_other_versions_and_errors), cmocka_unit_test(test_what_is_not_there),
        cmocka_unit_test(test_blocks), cmocka_unit_test(test_join), cmocka_unit_test(test_stopped_join),
        cmocka_unit_test(test_join_of_a_broken_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
