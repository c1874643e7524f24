#include "store/segment_fixture.h"

#include "base/file.h"
#include "store/builder_private.h"
#include "base/banned.h"

static const struct kp_gen_program small = {
    .seed = 1, .functions = 200, .stacks = 60, .depth = 8, .new_percent = 10, .labels = 3};

static void test_round_trip(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m;
    give_program(&g, &small, 1, KP_GEN_KINDS, 3, 25); // 75 of a type: two blocks
    give_program(&g, &(struct kp_gen_program){.seed = 2, .stacks = 30}, 2, 1, 1, 5);
    make_segment(&g, KP_ORIGINAL_ON_ERROR, &m);
    check_made(&m, &g);
    assert_int_equal(m.segment->n_spaces, 2);
    assert_int_equal(m.segment->n_runs, 12);
    assert_string_equal(m.segment->namespace, "shop");
    assert_int_equal(m.segment->keep_s, KP_KEEP_DEFAULT);
    assert_int_equal(m.segment->min_number, 1);
    assert_int_equal(m.segment->max_number, g.list.n);
    assert_int_equal(m.segment->min_start_ms, MADE_T0);
    assert_int_equal(m.segment->max_start_ms, MADE_T0 + 24 * 60000);
    assert_int_equal(m.segment->file_bytes, m.blob->len);
    size_t in = 0;
    for (size_t i = 0; i < g.list.n; i++)
        in += g.list.items[i].len;
    assert_int_equal(m.segment->body_bytes, in);
    assert_true(m.blob->len < in / 5);
    for (uint32_t i = 0; i < m.n_rows; i++)
        assert_int_equal(m.rows[i].flags, 0);
    for (uint32_t i = 0; i < m.segment->n_runs; i++) {
        const struct kp_segment_run *run = &m.segment->runs[i];
        struct kp_record r;
        assert_ptr_equal(kp_segment_find_run(m.segment, run->series), run);
        assert_int_equal(kp_segment_read_series(m.segment, i, &r, NULL), 0);
        assert_string_equal(r.type, g.list.items[m.rows[run->first_row].number - 1].record.type);
        kp_record_finish(&r);
    }
    assert_null(kp_segment_find_run(m.segment, 1000));
    assert_null(kp_segment_find_run(m.segment, 0));
    made_finish(&m);
    givens_finish(&g);
}

static void test_empty(void **state)
{
    (void)state;
    struct made m;
    make_segment(&(struct givens){0}, KP_ORIGINAL_NEVER, &m);
    assert_int_equal(m.segment->n_rows, 0);
    assert_int_equal(kp_segment_verify(m.segment, no_complaint, NULL, NULL), 0);
    made_finish(&m);
}

static uint8_t *encode(const struct kp_profile *p, size_t *ret_len)
{
    struct kp_strbuf out;
    kp_strbuf_init(&out, KP_MAX_PROFILE_BYTES);
    kp_profile_encode(p, 0, &out);
    return (uint8_t *)kp_strbuf_take(&out, ret_len);
}

// Samples that come twice, that are all zero, of all extremes; without samples; without mappings.
static void test_odd_profiles(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m;
    struct kp_gen *gen = kp_gen_create(&small);
    for (unsigned i = 0; i < 8; i++) {
        struct kp_profile *p = kp_gen_profile(gen, KP_GEN_HEAP, 0, i);
        size_t len;
        switch (i) {
        case 0:
            for (uint32_t s = 1; s < p->n_samples; s += 2)
                p->samples[s] = p->samples[s - 1];
            break;
        case 1:
            memset(p->values, 0, (size_t)p->n_samples * p->n_sample_types * sizeof *p->values);
            break;
        case 2:
            p->values[0] = INT64_MIN;
            p->values[1] = INT64_MAX;
            p->values[2] = -1;
            p->time_ns = INT64_MIN;
            p->duration_ns = INT64_MAX;
            p->period = -5;
            break;
        case 3:
            p->n_samples = 0;
            break;
        case 4:
            for (uint32_t l = 0; l < p->n_locations; l++)
                p->locations[l].mapping = KP_NO_MAPPING;
            p->locations[0].folded = true;
            p->locations[0].address = UINT64_MAX;
            break;
        case 5:
            p->samples[0].n_frames = 0;
            p->sample_types[1] = p->sample_types[0];
            break;
        case 6:
            p->n_sample_types = 1;
            p->has_period_type = false;
            break;
        default:
            p->mappings[0].start += 0x1000;
            p->mappings[0].limit += 0x1000;
            p->doc_url = p->n_strings - 1;
            p->comments = kp_arena_memdup(&p->arena, (uint32_t[]){1, 2, 2}, 12);
            p->n_comments = 3;
            break;
        }
        uint8_t *body = encode(p, &len);
        (void)give(&g, "heap", 0, MADE_T0 + i, 1, body, len);
        assert_true(g.list.items[i].digest.lo != 0);
        kp_profile_free(p);
    }
    kp_gen_destroy(gen);
    make_segment(&g, KP_ORIGINAL_ON_ERROR, &m);
    check_made(&m, &g);
    for (uint32_t i = 0; i < m.n_rows; i++)
        assert_int_equal(m.rows[i].flags, 0); // none had to be kept
    made_finish(&m);
    givens_finish(&g);
}

static void test_corpus(void **state)
{
    (void)state;
    static const char *const files[] = {"etcd-cpu", "etcd-heap", "etcd-allocs", "etcd-mutex",
        "etcd-goroutine", "etcd-block", "etcd-threadcreate", "prom-cpu", "prom-heap", "prom-goroutine"};
    struct givens g = {0};
    struct made m;
    for (unsigned i = 0; i < KP_COUNT(files); i++) {
        kp_auto_free char *path =
            kp_asprintf("%s/../../profile/testdata/corpus/%s.pb.gz", KP_TESTDATA, files[i]);
        char *body;
        size_t len;
        struct kp_error err = {0};
        if (kp_file_read(path, KP_MAX_PROFILE_BYTES, &body, &len, &err) != 0)
            fail_msg("%s", err.text);
        (void)give(&g, strchr(files[i], '-') + 1, i, MADE_T0, files[i][0], (uint8_t *)body, len);
    }
    make_segment(&g, KP_ORIGINAL_ON_ERROR, &m);
    check_made(&m, &g);
    for (uint32_t i = 0; i < m.n_rows; i++)
        assert_int_equal(m.rows[i].flags, 0);
    made_finish(&m);
    givens_finish(&g);
}

static void test_opaque(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m;
    give_program(&g, &small, 1, 1, 1, 3);
    for (unsigned i = 0; i < 100; i++) { // more than fit a block
        size_t len = i == 50 ? 2 << 20 : i * 100;
        uint8_t *body = kp_alloc(len + 1);
        memset(body, 'a', len);
        struct given *x = give(&g, "trace", 1, MADE_T0 + i, 3, body, len);
        x->row.flags = KP_SROW_OPAQUE;
    }
    (void)give(&g, "cpu", 2, MADE_T0, 3, (uint8_t *)kp_strdup("<html>not a profile"), 19);
    const char text[] = "goroutine profile: total 1\n1 @ 0x401000\n"; // a profile, but given back as it came
    (void)give(&g, "goroutine", 2, MADE_T0, 3, kp_memdup(text, sizeof text - 1), sizeof text - 1);
    make_segment(&g, KP_ORIGINAL_NEVER, &m);
    check_made(&m, &g);
    uint32_t n = 0;
    for (uint32_t i = 0; i < m.n_rows; i++)
        n += (m.rows[i].flags & KP_SROW_OPAQUE) != 0;
    assert_int_equal(n, 102);
    assert_true(m.blob->len < 300000); // of 2.5 MB
    made_finish(&m);
    givens_finish(&g);
}

static void test_originals(void **state)
{
    (void)state;
    static const uint32_t expected[] = {
        [KP_ORIGINAL_ON_ERROR] = 22, [KP_ORIGINAL_ALWAYS] = 66, [KP_ORIGINAL_NEVER] = 0};
    struct givens g = {0};
    give_program(&g, &small, 1, 1, 2, 33);
    for (int keep = KP_ORIGINAL_ON_ERROR; keep <= KP_ORIGINAL_NEVER; keep++) {
        struct made m;
        struct kp_segment_builder *b = new_builder((enum kp_keep_original)keep);
        b->doubt_every = 3;
        for (size_t i = 0; i < g.list.n; i++)
            add_given(b, &g.list.items[i]);
        finish_made(b, &m);
        check_made(&m, &g);
        uint32_t n = 0;
        for (uint32_t i = 0; i < m.n_rows; i++)
            n += (m.rows[i].flags & KP_SROW_ORIGINAL) != 0;
        assert_int_equal(n, expected[keep]);
        made_finish(&m);
    }
    givens_finish(&g);
}

static void test_generations(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m;
    give_program(&g, &small, 1, 2, 3, 20);
    struct kp_segment_builder *b = new_builder(KP_ORIGINAL_ON_ERROR);
    b->max_space = 60000;
    for (size_t i = 0; i < g.list.n; i++)
        add_given(b, &g.list.items[i]);
    assert_true(kp_segment_builder_bytes(b) > 1000);
    finish_made(b, &m);
    check_made(&m, &g);
    assert_true(m.segment->n_spaces > 2);
    for (uint32_t i = 0; i < m.segment->n_spaces; i++)
        assert_int_equal(m.segment->spaces[i].id[0], 1);
    // captures of one series lie in several spaces: a roll-up of one of them would not be whole
    for (uint32_t i = 0; i < m.segment->n_rollups; i++)
        assert_true(m.segment->rollups[i].n_profiles <= 60);
    made_finish(&m);
    givens_finish(&g);
}

static void test_long_footer(void **state)
{
    (void)state;
    struct kp_segment_builder *b = new_builder(KP_ORIGINAL_NEVER);
    struct kp_blob *blob = NULL;
    struct kp_error err = {0};
    for (int i = 0; i < 5000; i++)
        *kp_array_add(&b->replaces) = kp_asprintf("%0255d", i);
    assert_int_equal(kp_segment_builder_finish(b, &blob, NULL, NULL, &err), KP_LIMIT);
    assert_null(blob);
    assert_non_null(strstr(err.text, "5000"));
    kp_segment_builder_destroy(b);
}

// ---- roll-ups ----

static void test_rollups(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m;
    give_program(&g, &small, 1, 2, 4, 20); // cpu and heap
    int64_t total[2] = {0, 0};
    int64_t duration = 0;
    for (size_t i = 0; i < 80; i++) {
        struct given *x = &g.list.items[i];
        struct kp_profile *p;
        assert_int_equal(kp_profile_decode(x->body, x->len, NULL, &p, NULL), 0);
        if (i % 20 == 0)
            x->row.flags = KP_SROW_STARTUP;
        else
            for (uint32_t t = 0; t < 2; t++)
                total[t] += kp_profile_total(p, t);
        duration += i % 20 == 0 ? 0 : p->duration_ns;
        x->row.duration_ms = 10000 + (uint32_t)i;
        kp_profile_free(p);
    }
    make_segment(&g, KP_ORIGINAL_ON_ERROR, &m);
    check_made(&m, &g);
    assert_int_equal(m.segment->n_rollups, 1); // heap does not add up over time
    const struct kp_segment_rollup *r = &m.segment->rollups[0];
    assert_int_equal(r->n_profiles, 76);
    assert_int_equal(r->n_startup, 4);
    assert_int_equal(r->n_series, 4);
    assert_int_equal(r->min_duration_ms, 10001);
    assert_int_equal(r->max_duration_ms, 10079);
    assert_int_equal(r->min_start_ms, MADE_T0 + 60000);
    assert_int_equal(r->max_start_ms, MADE_T0 + 19 * 60000);
    assert_int_equal(r->duration_ns, duration);
    for (uint32_t i = 0; i < r->n_series; i++)
        assert_non_null(kp_segment_find_run(m.segment, m.segment->rollup_series[r->first_series + i]));
    struct kp_block *block;
    struct kp_space *space;
    assert_int_equal(kp_segment_read_block(m.segment, r->block, &block, NULL), 0);
    assert_int_equal(kp_segment_read_space(m.segment, r->space, &space, NULL), 0);
    struct kp_profile *sum = kp_block_profile(space, block, 0);
    for (uint32_t t = 0; t < 2; t++)
        assert_int_equal(kp_profile_total(sum, t), total[t]);
    assert_null(kp_block_profile(space, block, 1));
    kp_profile_free(sum);
    kp_space_free(space);
    kp_block_free(block);
    made_finish(&m);
    givens_finish(&g);
}

// A series with a capture in a space without a roll-up takes the others of its roll-ups with it.
static void test_rollups_are_whole(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m;
    give_program(&g, &small, 1, 1, 2, 5);
    give_program(&g, &(struct kp_gen_program){.seed = 9, .stacks = 20}, 2, 1, 1, 1); // of pod 0 again
    make_segment(&g, KP_ORIGINAL_ON_ERROR, &m);
    assert_int_equal(m.segment->n_rollups, 0);
    made_finish(&m);
    givens_finish(&g);
}

static void test_rollup_overflow(void **state)
{
    (void)state;
    struct givens g = {0};
    struct made m;
    struct kp_gen *gen = kp_gen_create(&small);
    for (unsigned i = 0; i < 4; i++) {
        struct kp_profile *p = kp_gen_profile(gen, KP_GEN_CPU, 0, 0);
        size_t len;
        p->values[0] = INT64_MAX / 2;
        uint8_t *body = encode(p, &len);
        (void)give(&g, "cpu", 0, MADE_T0 + i, 1, body, len);
        kp_profile_free(p);
    }
    kp_gen_destroy(gen);
    make_segment(&g, KP_ORIGINAL_ON_ERROR, &m);
    check_made(&m, &g);
    assert_int_equal(m.segment->n_rollups, 0);
    made_finish(&m);
    givens_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_odd_profiles), cmocka_unit_test(test_corpus), cmocka_unit_test(test_opaque),
        cmocka_unit_test(test_originals), cmocka_unit_test(test_generations),
        cmocka_unit_test(test_long_footer), cmocka_unit_test(test_rollups),
        cmocka_unit_test(test_rollups_are_whole), cmocka_unit_test(test_rollup_overflow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
