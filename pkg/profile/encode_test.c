#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "profile/digest.h"
#include "profile/profile_fixture.h"
#include "base/banned.h"

static void expect_round_trip(const char *what, const struct kp_profile *p)
{
    for (int level = 0; level <= 12; level = level == 0 ? 1 : level == 1 ? 6 : level == 6 ? 12 : 13) {
        size_t len;
        size_t again_len;
        kp_auto_free uint8_t *bytes = fixture_encode(p, level, &len);
        kp_auto_profile *q = fixture_decode_bytes(what, bytes, len);
        fixture_same(what, p, q);
        assert_true(kp_digest_equal(kp_profile_digest(p), kp_profile_digest(q)));
        kp_auto_free uint8_t *again = fixture_encode(q, level, &again_len);
        assert_int_equal(len, again_len);
        assert_memory_equal(bytes, again, len);
        if (level > 0) // gzip without flags, time and system
            assert_memory_equal(bytes, "\x1f\x8b\x08\0\0\0\0\0", 8);
    }
}

static void test_corpus(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(fixture_corpus); i++) {
        kp_auto_profile *p = fixture_decode_corpus(fixture_corpus[i]);
        expect_round_trip(fixture_corpus[i], p);
    }
    const char *odd[] = {"labels-1.pb.gz", "negative.pb.gz", "no-mapping.pb.gz", "no-period-type.pb.gz",
        "no-samples.pb.gz", "no-time.pb.gz", "raw.pb", "sample-without-stack.pb.gz", "swapped-types.pb.gz",
        "year-1969.pb.gz", "zero-sample.pb.gz"};
    for (size_t i = 0; i < KP_COUNT(odd); i++) {
        kp_auto_free char *name = kp_asprintf("odd/%s", odd[i]);
        kp_auto_profile *p = fixture_decode(name);
        expect_round_trip(name, p);
    }
}

// Every field of profile.proto, with the values that are hard to encode.
static void test_every_field(void **state)
{
    (void)state;
    char nul[] = "nul\0inside";
    struct kp_str strings[] = {
        {"", 0}, {"cpu", 3}, {"ns", 2}, {nul, sizeof nul - 1}, {"\xff\xfe", 2}, {"", 0}};
    struct kp_value_type types[] = {{1, 2}, {3, 4}};
    struct kp_sample samples[] = {{0, 3, 0, 3}, {3, 0, 3, 0}};
    int64_t values[] = {INT64_MIN, INT64_MAX, -1, 0};
    uint32_t frames[] = {1, 0, 1};
    struct kp_sample_label labels[] = {
        {.key = 1, .str = 2}, {.key = 1, .unit = 2, .num = INT64_MIN}, {.key = 5, .num = 1}};
    struct kp_mapping mappings[] = {{UINT64_MAX, 1, 2, 3, 4, 15}, {0, UINT64_MAX, 0, 0, 0, KP_MAPPING_LINES}};
    struct kp_location locations[] = {{.address = UINT64_MAX, .mapping = 1, .n_lines = 2, .folded = true},
        {.mapping = KP_NO_MAPPING, .first_line = 2}};
    struct kp_line lines[] = {{.function = 1, .line = -1, .column = INT64_MAX}, {.function = 0}};
    struct kp_function functions[] = {{1, 2, 3, INT64_MIN}, {0, 0, 0, 0}};
    uint32_t comments[] = {0, 4, 0};
    const struct kp_profile p = {.strings = strings,
        .n_strings = 6,
        .sample_types = types,
        .n_sample_types = 2,
        .samples = samples,
        .n_samples = 2,
        .values = values,
        .frames = frames,
        .n_frames = 3,
        .labels = labels,
        .n_labels = 3,
        .mappings = mappings,
        .n_mappings = 2,
        .locations = locations,
        .n_locations = 2,
        .lines = lines,
        .n_lines = 2,
        .functions = functions,
        .n_functions = 2,
        .comments = comments,
        .n_comments = 3,
        .time_ns = -5,
        .duration_ns = INT64_MIN,
        .period = -1,
        .period_type = {4, 5},
        .has_period_type = true,
        .drop_frames = 1,
        .keep_frames = 2,
        .default_type = 3,
        .doc_url = 4};
    expect_round_trip("every field", &p);
}

static void test_nothing(void **state)
{
    (void)state;
    kp_auto_profile *p = kp_profile_new();
    expect_round_trip("nothing", p);
}

static void test_overflow(void **state)
{
    (void)state;
    kp_auto_profile *p = fixture_decode_corpus("etcd-mutex");
    for (int level = 0; level <= 1; level++) {
        kp_auto_strbuf out;
        kp_strbuf_init(&out, 100);
        kp_profile_encode(p, level, &out);
        assert_true(out.overflow);
        assert_true(out.len <= 100);
    }
}

static void test_appends(void **state)
{
    (void)state;
    kp_auto_profile *p = kp_profile_new();
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 100);
    kp_strbuf_adds(&out, "before");
    kp_profile_encode(p, 0, &out);
    assert_int_equal(out.len, 8);
    assert_memory_equal(out.data, "before\x32\x00", 8);
}

// ---- what Go says of it ----

// NULL when it fails.
static char *pprof_raw(const char *file, size_t *ret_len)
{
    kp_auto_free char *command = kp_asprintf("go tool pprof -raw '%s' 2>/dev/null", file);
    FILE *pipe = popen(command, "r"); // NOLINT(cert-env33-c)
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 16 << 20);
    char chunk[4096];
    size_t n;
    while (pipe && (n = fread(chunk, 1, sizeof chunk, pipe)) > 0)
        kp_strbuf_add(&out, chunk, n);
    if (pipe == NULL || pclose(pipe) != 0)
        return NULL;
    return kp_strbuf_take(&out, ret_len);
}

static void test_go_reads_both_alike(void **state)
{
    (void)state;
    const char *names[] = {
        "corpus/etcd-cpu", "corpus/prom-heap", "corpus/etcd-goroutine", "corpus/etcd-mutex", "odd/labels-1"};
    char *folder = kp_test_tmpdir();
    for (size_t i = 0; i < KP_COUNT(names); i++) {
        size_t a_len;
        size_t b_len;
        size_t len;
        kp_auto_free char *in = kp_asprintf("%s/%s.pb.gz", KP_TESTDATA, names[i]);
        kp_auto_free char *out = kp_asprintf("%s/out.pb.gz", folder);
        kp_auto_free char *a = pprof_raw(in, &a_len);
        if (a == NULL) {
            print_message("'go tool pprof' does not run here: skipped\n");
            break;
        }
        kp_auto_free char *data = kp_test_read_file(in, &len);
        kp_auto_profile *p = fixture_decode_bytes(in, data, len);
        kp_auto_free uint8_t *bytes = fixture_encode(p, 6, &len);
        FILE *file = fopen(out, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, len, file), len);
        assert_int_equal(fclose(file), 0);
        kp_auto_free char *b = pprof_raw(out, &b_len);
        assert_non_null(b);
        assert_true(a_len > 100);
        assert_int_equal(a_len, b_len);
        assert_memory_equal(a, b, a_len);
    }
    kp_test_rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_every_field),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_appends),
        cmocka_unit_test(test_go_reads_both_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
