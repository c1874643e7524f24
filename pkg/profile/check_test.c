#include <zlib.h>

#include "base/text.h"
#include "profile/check.h"
#include "profile/refusal_fixture.h"
#include "base/banned.h"

// ---- files ----

static enum kp_profile_verdict check_file(
    const char *name, struct kp_profile_summary *ret, struct kp_error *err)
{
    size_t len;
    kp_auto_free char *data = fixture_file(name, &len);
    return kp_profile_check(data, len, NULL, ret, err);
}

static void test_corpus(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(fixture_corpus); i++) {
        kp_auto_free char *name = kp_asprintf("corpus/%s.pb.gz", fixture_corpus[i]);
        struct kp_profile_summary s;
        struct kp_error err = {0};
        enum kp_profile_verdict verdict = check_file(name, &s, &err);
        bool empty = strstr(name, "block") || strstr(name, "prom-mutex");
        if (verdict != (empty ? KP_PROFILE_EMPTY : KP_PROFILE_VALID))
            fail_msg("%s: verdict %d, %s", name, verdict, err.text);
    }
}

static void test_summary(void **state)
{
    (void)state;
    struct kp_profile_summary s;
    assert_int_equal(check_file("corpus/prom-cpu.pb.gz", &s, NULL), KP_PROFILE_VALID);
    assert_string_equal(s.first_type, "samples");
    assert_string_equal(s.first_unit, "count");
    assert_int_equal(s.n_sample_types, 2);
    assert_int_equal(s.period, 10000000);
    assert_true(s.duration_ns > INT64_C(1000000000));
    assert_true(s.time_ns > INT64_C(1600000000000000000));
    assert_true(s.n_samples > 100 && s.n_locations > 100 && s.n_functions > 100 && s.n_mappings > 0);
    assert_true(s.inflated_bytes > 20000);
    assert_int_equal(check_file("corpus/prom-heap.pb.gz", &s, NULL), KP_PROFILE_VALID);
    assert_int_equal(s.n_sample_types, 4);
    assert_int_equal(check_file("corpus/etcd-allocs.pb.gz", &s, NULL), KP_PROFILE_VALID);
    assert_string_equal(s.default_type, "alloc_space");
}

static void test_legacy_summary(void **state)
{
    (void)state;
    struct kp_profile_summary s;
    assert_int_equal(check_file("legacy/heap.txt", &s, NULL), KP_PROFILE_VALID);
    assert_true(s.legacy);
    assert_int_equal(s.n_samples, 4);
    assert_int_equal(s.n_sample_types, 4);
    assert_string_equal(s.first_type, "alloc_objects");
    assert_string_equal(s.first_unit, "count");
    assert_int_equal(s.period, 524288);
    struct kp_error err = {0};
    assert_int_equal(check_file("legacy/cpu-empty.bin", &s, &err), KP_PROFILE_EMPTY);
    assert_non_null(strstr(err.text, "no samples"));
    assert_int_equal(check_file("corpus/prom-cpu.pb.gz", &s, NULL), KP_PROFILE_VALID);
    assert_false(s.legacy);
}

static void test_odd_files(void **state)
{
    (void)state;
    const struct {
        const char *name;
        enum kp_profile_verdict verdict;
        const char *words;
    } rows[] = {
        {"goroutine-debug1.txt", KP_PROFILE_VALID, NULL},
        {"heap-debug1.txt", KP_PROFILE_VALID, NULL},
        {"labels-1.pb.gz", KP_PROFILE_VALID, NULL},
        {"negative.pb.gz", KP_PROFILE_VALID, NULL},
        {"no-mapping.pb.gz", KP_PROFILE_VALID, NULL},
        {"no-period-type.pb.gz", KP_PROFILE_VALID, NULL},
        {"no-samples.pb.gz", KP_PROFILE_EMPTY, "no samples"},
        {"no-time.pb.gz", KP_PROFILE_VALID, NULL},
        {"raw.pb", KP_PROFILE_VALID, NULL},
        {"sample-without-stack.pb.gz", KP_PROFILE_VALID, NULL},
        {"swapped-types.pb.gz", KP_PROFILE_VALID, NULL},
        {"year-1969.pb.gz", KP_PROFILE_VALID, NULL},
        {"zero-sample.pb.gz", KP_PROFILE_VALID, NULL},
    };
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        kp_auto_free char *name = kp_asprintf("odd/%s", rows[i].name);
        struct kp_error err = {0};
        enum kp_profile_verdict verdict = check_file(name, NULL, &err);
        if (verdict != rows[i].verdict || (rows[i].words && !strstr(err.text, rows[i].words)))
            fail_msg("%s: verdict %d, '%s'", rows[i].name, verdict, err.text);
    }
}

// ---- made-up ones ----

static void expect(const struct kp_strbuf *b, enum kp_profile_verdict want, const char *words)
{
    struct kp_error err = {0};
    enum kp_profile_verdict got = kp_profile_check(b->data, b->len, NULL, NULL, &err);
    if (got != want || (words && !strstr(err.text, words)))
        fail_msg("verdict %d (wanted %d), '%s' (wanted '%s')", got, want, err.text, words ? words : "");
}

static void test_any_ids(void **state)
{
    (void)state;
    const uint64_t ids[] = {1, 64, 1024, 1000000, UINT64_MAX, UINT64_C(0x7f0000001000)};
    for (size_t i = 0; i < KP_COUNT(ids); i++) {
        kp_auto_strbuf b;
        fixture_minimal(&b, ids[i], ids[KP_COUNT(ids) - 1 - i]);
        expect(&b, KP_PROFILE_VALID, NULL);
        MESSAGE(&b, 2, 1, ids[i] + 1, 2, 7); // a neighbour that is not there (and 0)
        expect(&b, KP_PROFILE_INVALID, "sample 2 names location");
        kp_strbuf_finish(&b);
        fixture_minimal(&b, ids[i], 1);
        fixture_location(&b, ids[i], 1);
        expect(&b, KP_PROFILE_INVALID, "two locations have the id");
    }
}

static void test_unknown_fields_and_packing(void **state)
{
    (void)state;
    kp_auto_strbuf b;
    fixture_minimal(&b, 1, 1);
    fixture_number(&b, 77, 5);
    fixture_bytes(&b, 100000, "whatever", 8);
    kp_strbuf_add(&b,
        "\xa1\x06"
        "12345678",
        10); // field 100, fixed64
    kp_strbuf_add(&b,
        "\xa5\x06"
        "1234",
        6); // field 100, fixed32
    kp_auto_strbuf m;
    kp_strbuf_init(&m, 1000);
    fixture_bytes(&m, 1, "\x01\x01\x01", 3); // packed locations
    fixture_bytes(&m, 2, "\x05", 1);         // packed values
    fixture_number(&m, 9, 9);                // unknown
    fixture_bytes(&b, 2, m.data, m.len);
    expect(&b, KP_PROFILE_VALID, NULL);
    kp_strbuf_add(&b, "\x83\x01", 2); // a group starts
    expect(&b, KP_PROFILE_INVALID, "no protobuf at byte");
}

static void refused(const char *what, const void *data, size_t len, const char *words)
{
    struct kp_error err = {0};
    enum kp_profile_verdict got = kp_profile_check(data, len, NULL, NULL, &err);
    if (got != KP_PROFILE_INVALID || !strstr(err.text, words))
        fail_msg("%s: verdict %d, '%s' (wanted '%s')", what, got, err.text, words);
}

static void test_refused(void **state)
{
    (void)state;
    fixture_each_odd_file(refused);
    fixture_each_bad_part(refused);
    fixture_each_cut(refused);
    const unsigned indices[] = {7, 8, 14, 15};
    for (size_t i = 0; i < KP_COUNT(indices); i++) {
        kp_auto_strbuf b;
        fixture_minimal(&b, 1, 1);
        fixture_number(&b, indices[i], 2);
        expect(&b, KP_PROFILE_VALID, NULL);
        fixture_number(&b, indices[i], UINT64_MAX);
        expect(&b, KP_PROFILE_INVALID, "names string -1");
    }
}

static void test_no_strings(void **state)
{
    (void)state;
    kp_auto_strbuf b;
    kp_strbuf_init(&b, 1000);
    fixture_number(&b, 9, 5);
    expect(&b, KP_PROFILE_INVALID, "no string table");
}

// ---- caps ----

static void limited(const struct kp_strbuf *b, struct kp_profile_limits limits, const char *words)
{
    struct kp_error err = {0};
    assert_int_equal(kp_profile_check(b->data, b->len, &limits, NULL, &err), KP_PROFILE_TOO_LARGE);
    if (!strstr(err.text, words))
        fail_msg("'%s' does not say '%s'", err.text, words);
    assert_int_equal(err.code, KP_LIMIT);
}

static void test_caps(void **state)
{
    (void)state;
    kp_auto_strbuf b;
    fixture_each_cap(limited, &b);
}

static uint8_t *gzip(const void *data, size_t len, size_t *ret_len)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, len);
    uint8_t *out = kp_alloc(room);
    z.next_in = (uint8_t *)(uintptr_t)data;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    *ret_len = z.total_out;
    deflateEnd(&z);
    return out;
}

static void test_bomb(void **state)
{
    (void)state;
    size_t size = 64 << 20;
    kp_auto_free uint8_t *zeros = kp_calloc(1, size);
    size_t len;
    kp_auto_free uint8_t *bomb = gzip(zeros, size, &len);
    struct kp_error err = {0};
    assert_true(len * 200 < size);
    assert_int_equal(kp_profile_check(bomb, len, NULL, NULL, &err), KP_PROFILE_TOO_LARGE);
    assert_non_null(strstr(err.text, "inflates to more than"));
    // members behind each other are one stream
    kp_auto_free uint8_t *twice = kp_alloc(2 * len);
    memcpy(twice, bomb, len);
    memcpy(twice + len, bomb, len);
    assert_int_equal(kp_profile_check(twice, 2 * len, NULL, NULL, NULL), KP_PROFILE_TOO_LARGE);
    memset(bomb + len - 4, 0, 4); // a trailer that lies
    assert_int_equal(kp_profile_check(bomb, len, NULL, NULL, NULL), KP_PROFILE_TOO_LARGE);
    memset(bomb + len - 4, 0xff, 4); // the other way
    assert_int_equal(kp_profile_check(bomb, len, NULL, NULL, NULL), KP_PROFILE_TOO_LARGE);
    uint8_t *out;
    size_t out_len;
    assert_int_equal(kp_profile_inflate(bomb, len, NULL, &out, &out_len, NULL), KP_LIMIT);
}

// A program may well do the same thing over and over: where it costs nobody anything, that is no bomb.
static void test_repetitive(void **state)
{
    (void)state;
    size_t size = 8 << 20;
    kp_auto_free uint8_t *zeros = kp_calloc(1, size);
    size_t len;
    kp_auto_free uint8_t *packed = gzip(zeros, size, &len);
    uint8_t *out;
    size_t out_len;
    assert_true(len * 500 < size);
    assert_int_equal(kp_profile_inflate(packed, len, NULL, &out, &out_len, NULL), 0);
    assert_int_equal(out_len, size);
    kp_free(out);
}

static void test_members(void **state)
{
    (void)state;
    kp_auto_strbuf b;
    fixture_minimal(&b, 1, 1);
    for (size_t cut = 0; cut <= b.len; cut += 5) {
        size_t n1;
        size_t n2;
        kp_auto_free uint8_t *first = gzip(b.data, cut, &n1);
        kp_auto_free uint8_t *second = gzip(b.data + cut, b.len - cut, &n2);
        kp_auto_free uint8_t *both = kp_alloc(n1 + n2 + 1);
        memcpy(both, first, n1);
        memcpy(both + n1, second, n2);
        assert_int_equal(kp_profile_check(both, n1 + n2, NULL, NULL, NULL), KP_PROFILE_VALID);
        both[n1 + n2] = 0;
        struct kp_error err = {0};
        assert_int_equal(kp_profile_check(both, n1 + n2 + 1, NULL, NULL, &err), KP_PROFILE_INVALID);
        assert_non_null(strstr(err.text, "follow the gzip data"));
        for (size_t len = 0; len < n1 + n2; len += 7) {
            kp_auto_free uint8_t *cut_off = kp_memdup(both, len);
            assert_int_equal(kp_profile_check(cut_off, len, NULL, NULL, NULL), KP_PROFILE_INVALID);
        }
    }
}

// Sizes around the streaming buffer, exact caps included.
static void test_streamed_sizes(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 65535, 65536, 65537, 131072, 1 << 20};
    for (size_t i = 0; i < KP_COUNT(sizes); i++) {
        kp_auto_free uint8_t *data = kp_alloc(sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            data[k] = (uint8_t)(k * 2654435761U >> 13);
        size_t n;
        size_t none_n;
        kp_auto_free uint8_t *member = gzip(data, sizes[i], &n);
        kp_auto_free uint8_t *none = gzip(data, 0, &none_n);
        kp_auto_free uint8_t *both = kp_alloc(n + none_n); // an empty member behind: streamed
        memcpy(both, member, n);
        memcpy(both + n, none, none_n);
        const struct kp_profile_limits exact = {.max_inflated_bytes = sizes[i]};
        uint8_t *out = NULL;
        size_t len = 0;
        assert_int_equal(kp_profile_inflate(both, n + none_n, &exact, &out, &len, NULL), 0);
        assert_int_equal(len, sizes[i]);
        assert_memory_equal(out, data, len);
        kp_free(out);
        const struct kp_profile_limits tight = {.max_inflated_bytes = sizes[i] - 1};
        if (sizes[i] > 1)
            assert_int_equal(kp_profile_inflate(both, n + none_n, &tight, &out, &len, NULL), KP_LIMIT);
    }
}

static void test_sniff(void **state)
{
    (void)state;
    const char *no[] = {"<!DOCTYPE html><html>", "\n\n<html><body>hello", "{\"a\": 1}",
        "heap profile: 1: 2 [3: 4] @", "goroutine profile: total 7\n", "404 page not found\n",
        "--- contention:\ncycles/second=1", "go 1.22 trace\0\0\0", "Unauthorized", "HTTP/1.1 200 OK", "xyz",
        "PK\x03\x04", "\n{\"error\": true}", "\r\n", ""};
    for (size_t i = 0; i < KP_COUNT(no); i++)
        if (kp_profile_sniff(no[i], strlen(no[i])))
            fail_msg("'%s' is taken for a profile", no[i]);
    kp_auto_free char *path = kp_asprintf("%s/corpus/etcd-cpu.pb.gz", KP_TESTDATA);
    size_t len;
    kp_auto_free char *data = kp_test_read_file(path, &len);
    assert_true(kp_profile_sniff(data, len));
    assert_true(kp_profile_sniff(data, 2));
    uint8_t *raw;
    size_t raw_len;
    assert_int_equal(kp_profile_inflate(data, len, NULL, &raw, &raw_len, NULL), 0);
    for (size_t n = 1; n < 600; n++)
        assert_true(kp_profile_sniff(raw, n));
    kp_free(raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_legacy_summary),
        cmocka_unit_test(test_odd_files),
        cmocka_unit_test(test_any_ids),
        cmocka_unit_test(test_unknown_fields_and_packing),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_strings),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_repetitive),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_streamed_sizes),
        cmocka_unit_test(test_sniff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
