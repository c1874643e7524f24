#include <sys/resource.h>

#include "base/array.h"
#include "profile/digest.h"
#include "profile/refusal_fixture.h"
#include "testkit/raw.h"
#include "base/banned.h"

// ---- against github.com/google/pprof (testdata/reference) ----

static void expect_golden(const char *name, const struct kp_profile *p)
{
    const char *slash = strrchr(name, '/');
    kp_auto_free char *path = kp_asprintf("raw/%s.txt.gz", slash ? slash + 1 : name);
    size_t gz_len;
    size_t len;
    uint8_t *golden = NULL;
    kp_auto_free char *gz = fixture_file(path, &gz_len);
    assert_int_equal(kp_profile_inflate(gz, gz_len, NULL, &golden, &len, NULL), 0);
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 64 << 20);
    kp_test_raw(p, &text);
    kp_test_top(p, 10, &text);
    size_t at = 0;
    while (at < len && at < text.len && (char)golden[at] == text.data[at])
        at++;
    if (at < len || at < text.len) {
        size_t from = at > 60 ? at - 60 : 0;
        fail_msg("%s differs at byte %zu:\n  go: %.*s\n  we: %.*s", name, at,
            (int)(len - from < 200 ? len - from : 200), (const char *)golden + from,
            (int)(text.len - from < 200 ? text.len - from : 200), text.data + from);
    }
    kp_free(golden);
}

static void test_corpus_as_go_reads_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(fixture_corpus); i++) {
        kp_auto_free char *name = kp_asprintf("corpus/%s.pb.gz", fixture_corpus[i]);
        kp_auto_profile *p = fixture_decode(name);
        expect_golden(name, p);
    }
}

static void test_odd_ones_as_go_reads_them(void **state)
{
    (void)state;
    const char *names[] = {"labels-1.pb.gz", "negative.pb.gz", "no-mapping.pb.gz", "no-period-type.pb.gz",
        "no-samples.pb.gz", "no-time.pb.gz", "raw.pb", "sample-without-stack.pb.gz", "swapped-types.pb.gz",
        "year-1969.pb.gz", "zero-sample.pb.gz"};
    for (size_t i = 0; i < KP_COUNT(names); i++) {
        kp_auto_free char *name = kp_asprintf("odd/%s", names[i]);
        kp_auto_profile *p = fixture_decode(name);
        expect_golden(name, p);
    }
}

// ---- refusals ----

static void refused_for(const char *what, const void *data, size_t len,
    const struct kp_profile_limits *limits, int code, const char *words)
{
    kp_auto_free void *exact = kp_memdup(data, len); // ASan sees reads behind it
    struct kp_profile *p = NULL;
    struct kp_error err = {0};
    int rc = kp_profile_decode(exact, len, limits, &p, &err);
    if (rc != code || err.code != code || !strstr(err.text, words))
        fail_msg("%s: code %d (wanted %d), '%s' (wanted '%s')", what, rc, code, err.text, words);
    assert_null(p);
}

static void refused(const char *what, const void *data, size_t len, const char *words)
{
    refused_for(what, data, len, NULL, KP_INVALID, words);
}

static void test_refused(void **state)
{
    (void)state;
    fixture_each_odd_file(refused);
    fixture_each_bad_part(refused);
    fixture_each_cut(refused);
    kp_auto_strbuf b;
    kp_strbuf_init(&b, 1000);
    MESSAGE(&b, 1, 1, 9);
    fixture_bytes(&b, 6, "", 0);
    refused("type", b.data, b.len, "sample type 1 is string 9");
}

// ---- caps ----

static void limited(const struct kp_strbuf *b, struct kp_profile_limits limits, const char *words)
{
    refused_for(words, b->data, b->len, &limits, KP_LIMIT, words);
}

static void test_caps(void **state)
{
    (void)state;
    kp_auto_strbuf b, m;
    fixture_each_cap(limited, &b);
    kp_strbuf_init(&m, 1000);
    fixture_number(&m, 1, 2);
    for (int i = 0; i < 3; i++)
        MESSAGE(&m, 4, 1, 1);
    fixture_bytes(&b, 4, m.data, m.len);
    refused_for("lines", b.data, b.len, &(struct kp_profile_limits){.max_depth = 2}, KP_LIMIT, "more than 2");
    const struct kp_profile_limits wide = {.max_entities = 3, .max_depth = 3, .max_labels = 4};
    struct kp_profile *p = NULL; // right at the caps
    assert_int_equal(kp_profile_decode(b.data, b.len, &wide, &p, NULL), 0);
    kp_profile_free(p);
    kp_strbuf_finish(&m);
    fixture_minimal(&m, 1, 1);
    for (int i = 0; i < 256; i++)
        MESSAGE(&m, 1, 1, 1);
    refused_for("types", m.data, m.len, NULL, KP_LIMIT, "more than 256 sample types");
}

static struct kp_strbuf frames_of(unsigned n_samples, unsigned n_frames, unsigned n_labels)
{
    struct kp_strbuf b, m;
    fixture_minimal(&b, 1, 1);
    kp_strbuf_init(&m, 1 << 20);
    for (unsigned i = 0; i < n_samples; i++) {
        kp_strbuf_clear(&m);
        for (unsigned k = 0; k < n_frames; k++)
            fixture_number(&m, 1, 1);
        fixture_number(&m, 2, 5);
        for (unsigned k = 0; k < n_labels; k++)
            fixture_bytes(&m, 3, "\x08\x01\x10\x02", 4);
        fixture_bytes(&b, 2, m.data, m.len);
    }
    kp_strbuf_finish(&m);
    return b;
}

// What one sample may have, times the samples, is more than memory is there for.
static void test_caps_in_all(void **state)
{
    (void)state;
    const struct kp_profile_limits limits = {.max_entities = 10};
    kp_auto_strbuf fits = frames_of(4, 39, 9);
    struct kp_profile *p = NULL;
    assert_int_equal(kp_profile_decode(fits.data, fits.len, &limits, &p, NULL), 0);
    kp_profile_free(p);
    kp_auto_strbuf frames = frames_of(4, 41, 0);
    refused_for("frames in all", frames.data, frames.len, &limits, KP_LIMIT, "too many frames");
    kp_auto_strbuf labels = frames_of(4, 1, 11);
    refused_for("labels in all", labels.data, labels.len, &limits, KP_LIMIT, "labels");
}

// Each sample says it has 200 values, but there are no bytes for them: refused before room is made.
static void test_values_that_are_not_there(void **state)
{
    (void)state;
    kp_auto_strbuf b;
    fixture_minimal(&b, 1, 1);
    b.max = 16 << 20;
    for (int i = 1; i < 200; i++)
        MESSAGE(&b, 1, 1, 1);
    for (int i = 0; i < 3000000; i++)
        kp_strbuf_add(&b, "\x12\x00", 2);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    refused_for("values", b.data, b.len, NULL, KP_INVALID, "values");
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 500000); // KiB; the values would be 4.8 GB
}

static void test_many_comments(void **state)
{
    (void)state;
    const char packed[] = "\x01\x01\x01\x02\x82\x00"; // five, the last in two bytes
    kp_auto_strbuf b;
    fixture_minimal(&b, 1, 1);
    fixture_bytes(&b, 13, packed, sizeof packed - 1);
    fixture_number(&b, 13, 1);
    kp_auto_profile *p = fixture_decode_bytes("comments", b.data, b.len);
    assert_int_equal(p->n_comments, 6);
    assert_int_equal(p->comments[4], 2);
    assert_int_equal(p->comments[5], 1);
    const struct kp_profile_limits exact = {.max_entities = 6};
    struct kp_profile *again = NULL;
    assert_int_equal(kp_profile_decode(b.data, b.len, &exact, &again, NULL), 0);
    kp_profile_free(again);
    refused_for("comments", b.data, b.len, &(struct kp_profile_limits){.max_entities = 5}, KP_LIMIT,
        "more than 5 comments");
}

// ---- ids and packing ----

static void test_any_ids(void **state)
{
    (void)state;
    const uint64_t ids[] = {1, 2, 64, 1024, 1000000, UINT64_MAX, UINT64_C(0x7f0000001000)};
    kp_auto_strbuf dense;
    fixture_minimal(&dense, 1, 1);
    kp_auto_profile *want = fixture_decode_bytes("dense", dense.data, dense.len);
    for (size_t i = 0; i < KP_COUNT(ids); i++) {
        kp_auto_strbuf b;
        fixture_minimal(&b, ids[i], ids[KP_COUNT(ids) - 1 - i]);
        kp_auto_profile *p = fixture_decode_bytes("any ids", b.data, b.len);
        fixture_same("any ids", want, p);
        MESSAGE(&b, 2, 1, ids[i] + 1, 2, 7); // a neighbour that is not there (and 0)
        refused_for("neighbour", b.data, b.len, NULL, KP_INVALID, "sample 2 names location");
    }
}

// Entities in another order than their ids, users before what they use.
static void test_ids_out_of_order(void **state)
{
    (void)state;
    kp_auto_strbuf b;
    kp_strbuf_init(&b, 1 << 20);
    MESSAGE(&b, 2, 1, 3, 1, 1, 1, 2, 2, 7);
    const uint64_t order[] = {3, 1, 2};
    MESSAGE(&b, 1, 1, 1);
    for (size_t i = 0; i < 3; i++)
        fixture_location(&b, order[i], 4 - order[i]);
    for (size_t i = 0; i < 3; i++)
        MESSAGE(&b, 5, 1, order[i], 2, order[i], 5, order[i] * 100);
    fixture_bytes(&b, 6, "", 0);
    for (int i = 0; i < 3; i++)
        fixture_bytes(&b, 6, &"abc"[i], 1);
    kp_auto_profile *p = fixture_decode_bytes("out of order", b.data, b.len);
    assert_int_equal(p->n_frames, 3);
    const uint32_t frames[] = {0, 1, 2}; // 3, 1, 2 are entities 0, 1, 2
    assert_memory_equal(p->frames, frames, sizeof frames);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(p->functions[i].start_line, order[i] * 100);
        uint32_t f = p->lines[p->locations[i].first_line].function;
        assert_int_equal(p->functions[f].start_line, (4 - order[i]) * 100);
    }
}

static void test_unknown_mapping(void **state)
{
    (void)state;
    for (int with = 0; with < 2; with++) {
        for (uint64_t id = 1; id <= 7; id += 6) {
            kp_auto_strbuf b;
            fixture_minimal(&b, 1, 1);
            if (with)
                MESSAGE(&b, 3, 1, id, 2, 4096, 3, 8192);
            MESSAGE(&b, 4, 1, 2, 2, 5, 3, 77);
            MESSAGE(&b, 4, 1, 3, 2, id, 3, 78);
            kp_auto_profile *p = fixture_decode_bytes("unknown mapping", b.data, b.len);
            assert_int_equal(p->locations[0].mapping, KP_NO_MAPPING);
            assert_int_equal(p->locations[1].mapping, KP_NO_MAPPING);
            assert_int_equal(p->locations[2].mapping, with ? 0 : KP_NO_MAPPING);
        }
    }
}

static void test_packed_or_not(void **state)
{
    (void)state;
    kp_auto_strbuf packed;
    kp_auto_strbuf single;
    kp_auto_strbuf m;
    fixture_minimal(&packed, 1, 1);
    fixture_minimal(&single, 1, 1);
    kp_strbuf_init(&m, 1000);
    fixture_bytes(&m, 1, "\x01\x81\x00\x01", 4); // the second is a 1 in two bytes
    fixture_number(&m, 1, 1);                    // and one behind it
    fixture_bytes(&m, 2, "\x05", 1);
    fixture_bytes(&packed, 2, m.data, m.len);
    MESSAGE(&single, 2, 1, 1, 1, 1, 2, 5, 1, 1, 1, 1);
    fixture_number(&packed, 77, 5); // unknown fields
    fixture_bytes(&packed, 100000, "whatever", 8);
    kp_auto_profile *a = fixture_decode_bytes("packed", packed.data, packed.len);
    kp_auto_profile *b = fixture_decode_bytes("single", single.data, single.len);
    assert_int_equal(a->samples[1].n_frames, 4);
    fixture_same("packing", a, b);
}

static void test_labels(void **state)
{
    (void)state;
    kp_auto_strbuf b;
    fixture_minimal(&b, 1, 1);
    kp_auto_strbuf m;
    kp_strbuf_init(&m, 1000);
    fixture_number(&m, 2, 1);
    MESSAGE(&m, 3, 1, 1, 2, 2);                         // text
    MESSAGE(&m, 3, 1, 1, 2, 2, 3, 9, 4, 1);             // text; number and unit do not count
    MESSAGE(&m, 3, 1, 1, 3, (uint64_t)INT64_MIN, 4, 2); // number
    MESSAGE(&m, 3, 1, 1);                               // nothing
    MESSAGE(&m, 3, 1, 1, 4, 1);                         // 0 with a unit
    fixture_bytes(&b, 2, m.data, m.len);
    kp_auto_profile *p = fixture_decode_bytes("labels", b.data, b.len);
    const struct kp_sample_label want[] = {{.key = 1, .str = 2}, {.key = 1, .str = 2},
        {.key = 1, .unit = 2, .num = INT64_MIN}, {.key = 1, .unit = 1}};
    assert_int_equal(p->samples[1].n_labels, KP_COUNT(want));
    for (size_t i = 0; i < KP_COUNT(want); i++) {
        const struct kp_sample_label *l = &p->labels[i];
        assert_true(l->key == want[i].key && l->str == want[i].str && l->unit == want[i].unit &&
                    l->num == want[i].num);
    }
}

static void test_small_questions(void **state)
{
    (void)state;
    kp_auto_profile *heap = fixture_decode_corpus("prom-heap");
    assert_int_equal(kp_profile_type_index(heap, "alloc_space"), 1);
    assert_int_equal(kp_profile_type_index(heap, "nothing"), -1);
    assert_int_equal(kp_profile_type_index(heap, NULL), 3); // the last
    assert_true(kp_profile_str_is(heap, heap->sample_types[3].unit, "bytes"));
    assert_false(kp_profile_str_is(heap, heap->sample_types[3].unit, "byte"));
    kp_auto_profile *allocs = fixture_decode_corpus("etcd-allocs");
    assert_int_equal(kp_profile_type_index(allocs, ""), 1); // the one it names
    kp_auto_profile *none = kp_profile_new();
    assert_int_equal(kp_profile_type_index(none, NULL), -1);
    assert_true(kp_profile_str_is(none, 0, ""));
    kp_profile_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus_as_go_reads_it),
        cmocka_unit_test(test_odd_ones_as_go_reads_them),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_caps_in_all),
        cmocka_unit_test(test_values_that_are_not_there),
        cmocka_unit_test(test_many_comments),
        cmocka_unit_test(test_any_ids),
        cmocka_unit_test(test_ids_out_of_order),
        cmocka_unit_test(test_unknown_mapping),
        cmocka_unit_test(test_packed_or_not),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_small_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
