#include "profile/legacy.h"

#include "profile/digest.h"
#include "profile/profile_fixture.h"
#include "testkit/raw.h"
#include "base/banned.h"

// Texts and binaries, and github.com/google/pprof's view of them (testdata/reference).
static const char *const files[] = {"block.txt", "contentionz.txt", "cpu-32-big.bin", "cpu-32.bin",
    "cpu-64-big.bin", "cpu-64.bin", "cpu-empty.bin", "cpu-handler.bin", "fragmentation.txt", "goroutine.txt",
    "growth.txt", "heap-rate-1.txt", "heap-v2.txt", "heap.txt", "heapprofile.txt", "java-contention.txt",
    "java-cpu-64-big.bin", "java-cpu-no-end.bin", "java-cpu.bin", "java-heap-none.txt", "java-heap-odd.txt",
    "java-heap.txt", "java-odd.txt", "maps.txt", "mutex.txt", "threadcreate.txt", "threads-none.txt",
    "threads.txt"};

// A copy without the lines that begin with this.
static char *without(const char *text, size_t len, const char *start)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 64 << 20);
    size_t n;
    for (const char *p = text; p < text + len; p += n) {
        const char *end = memchr(p, '\n', len - (size_t)(p - text));
        n = end ? (size_t)(end - p) + 1 : len - (size_t)(p - text);
        if (strncmp(p, start, strlen(start)) != 0)
            kp_strbuf_add(&out, p, n);
    }
    return kp_strbuf_take(&out, NULL);
}

static void test_as_go_reads_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(files); i++) {
        kp_auto_free char *name = kp_asprintf("legacy/%s", files[i]);
        kp_auto_free char *raw = kp_asprintf("raw/%s.txt.gz", files[i]);
        size_t len;
        kp_auto_free char *gz = fixture_file(raw, &len);
        uint8_t *golden;
        assert_int_equal(kp_profile_inflate(gz, len, NULL, &golden, &len, NULL), 0);
        kp_auto_profile *p = fixture_decode(name);
        kp_auto_strbuf text;
        kp_strbuf_init(&text, 64 << 20);
        kp_test_raw(p, &text);
        kp_test_top(p, 10, &text);
        // a label that is 0 does not survive encoding, so it is not made; the frames are other expressions
        kp_auto_free char *labels = without((const char *)golden, len, "                bytes:[0]");
        kp_auto_free char *drop = without(labels, strlen(labels), "DropFrames");
        kp_auto_free char *want = without(drop, strlen(drop), "KeepFrames");
        kp_auto_free char *drop_ours = without(text.data, text.len, "DropFrames");
        kp_auto_free char *ours = without(drop_ours, strlen(drop_ours), "KeepFrames");
        if (strcmp(want, ours) != 0)
            fail_msg("%s:\n--- go:\n%s--- we:\n%s", files[i], want, ours);
        kp_free(golden);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(files); i++) {
        kp_auto_free char *name = kp_asprintf("legacy/%s", files[i]);
        size_t len;
        kp_auto_profile *p = fixture_decode(name);
        kp_auto_free uint8_t *bytes = fixture_encode(p, 1, &len);
        kp_auto_profile *q = fixture_decode_bytes(name, bytes, len);
        fixture_same(name, p, q);
        assert_true(kp_digest_equal(kp_profile_digest(p), kp_profile_digest(q)));
    }
}

static void refused(
    const char *text, size_t len, const struct kp_profile_limits *limits, int code, const char *words)
{
    struct kp_profile *p = NULL;
    struct kp_error err = {0};
    kp_auto_free char *exact = kp_memdup(text, len);
    int rc = kp_profile_decode(exact, len, limits, &p, &err);
    if (rc != code || !strstr(err.text, words))
        fail_msg("'%.60s': code %d (wanted %d), '%s' (wanted '%s')", text, rc, code, err.text, words);
    struct kp_error again = {0}; // the walker says the same
    enum kp_profile_verdict verdict = kp_profile_check(exact, len, limits, NULL, &again);
    assert_int_equal(verdict, code == KP_LIMIT ? KP_PROFILE_TOO_LARGE : KP_PROFILE_INVALID);
    assert_string_equal(err.text, again.text);
}

static void test_refused(void **state)
{
    (void)state;
    const char *rows[][2] = {
        {"goroutine profile: total 7\n4 @ 0x42ed16 \n",
            "line 2 of the goroutine text is not 'COUNT @ ADDRESSES'"},
        {"goroutine profile: total 7\n4 @\n", "line 2 of the goroutine text"},
        {"goroutine profile: total 7\n08 @ 0x1\n", "line 2 of the goroutine text"},
        {"goroutine profile: total 7\n4 @ 0x10000000000000000\n", "line 2 of the goroutine text"},
        {"goroutine profile: total 7 \n", ""}, {"goroutine 1 [running]:\nmain.main()\n", ""}, // debug=2
        {"heap profile: 1: 2 [3: 4] @ heap/8\nnonsense\n", "line 2 of the heap text is not"},
        {"heap profile: 1: 2 [3: 4] @ heap/8\n0: 5 [1: 1] @ 0x1\n", "line 2 has 5 bytes in no objects"},
        {"heap profile: 1: 2 [3: 4] @ heap/8\n1: 99999999999999999999 [1: 1] @ 0x1\n", "more than 64 bits"},
        {"heap profile: 1: 2 [3: 4] @ heap/8\n1: 9 [1: 1] @ 0x10000000000000000\n", "more than 64 bits"},
        {"heap profile: 1: 2 [3: 4] @ heapx/8\n", ""}, {"--- mutex:\nformat = java\n", ""},
        {"--- mutex:\ncycles/second=x\n", ""}, {"--- mutex:\nnonsense\n", ""},
        {"--- heapz 1 ---\nformat = cpp\n", ""}, {"--- heapz 1 ---\nsampling period = 1\n", ""},
        {"--- heapz 1 ---", ""}, {"--- heapz 2 ---\nformat = java\n", ""},
        {"--- heapz 1 ---\nformat = java\n 8 1 @ 0x1\n", "the Java text does not say its resolution"},
        {"--- heapz 1 ---\nresolution = bytes\n 8 0 @ 0x1\n", "sample 1 has bytes in no objects"},
        {"--- heapz 1 ---\nresolution = bytes\n 8 09 @ 0x1\n", "sample 1 holds no number"},
        {"--- heapz 1 ---\nresolution = bytes\n 8 1 @ 0x12345678901234567\n", "more than 64 bits"},
        {"--- heapz 1 ---\nresolution = bytes\n 8 1 @ 0x1\n0x12345678901234567 GC\n",
            "the address of a frame has more than 64 bits"},
        {"--- contentionz 1 ---\nformat = java\nsampling period = x\n", "the sampling period is no number"},
        {"--- contentionz 1 ---\nformat = java\nms since reset = 1 2\n", "the milliseconds since reset"},
        {"--- contentionz 1 ---\nformat = java\nother = 1\n", ""},
        {"--- threadz 1 ---\n\n--- Thread 1 (name: a/1) stack: ---\n0x5\n", ""}, // no end
    };
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        refused(rows[i][0], strlen(rows[i][0]), NULL, KP_INVALID, rows[i][1]);
    const char cut[40] = {[8] = 3, [24] = 1}; // a binary CPU profile, cut in the first sample
    kp_auto_free char *longer = kp_calloc(1, 60);
    memcpy(longer, cut, sizeof cut);
    refused(longer, 47, NULL, KP_INVALID, "");
}

static void test_long_lines(void **state)
{
    (void)state;
    const char *heads[] = {"goroutine profile: total 7\n#", "heap profile: 1: 2 [3: 4] @ heap/8\n#",
        "--- mutex:\n#", "goroutine profile: total 1\n--- Memory map: ---\n"};
    for (size_t i = 0; i < KP_COUNT(heads); i++) {
        size_t head = strlen(heads[i]);
        kp_auto_free char *text = kp_alloc(head + 70000);
        memcpy(text, heads[i], head);
        memset(text + head, 'z', 70000);
        refused(text, head + 70000, NULL, KP_INVALID, i < 3 ? "line 2" : "line 3");
    }
}

static void test_caps(void **state)
{
    (void)state;
    const char counts[] = "goroutine profile: total 3\n1 @ 0x1 0x2 0x3\n1 @ 0x4 0x5\n1 @ 0x6\n";
    refused(
        counts, sizeof counts - 1, &(struct kp_profile_limits){.max_entities = 2}, KP_LIMIT, "more than 2");
    refused(counts, sizeof counts - 1, &(struct kp_profile_limits){.max_depth = 2}, KP_LIMIT,
        "sample 1 has more than 2 frames");
    refused(counts, sizeof counts - 1, &(struct kp_profile_limits){.max_entities = 5}, KP_LIMIT,
        "more than 5 locations");
    const char java[] = "--- heapz 1 ---\nresolution = b\n 8 1 @ 0x1\n0x1 a\n0x1 b\n0x1 c\n";
    refused(java, sizeof java - 1, &(struct kp_profile_limits){.max_entities = 2}, KP_LIMIT,
        "more than 2 functions");
    refused(java, sizeof java - 1, &(struct kp_profile_limits){.max_entities = 5}, KP_LIMIT,
        "more than 5 strings");
    kp_auto_strbuf maps;
    kp_strbuf_init(&maps, 1 << 20);
    kp_strbuf_adds(&maps, "goroutine profile: total 1\n1 @ 0x1\n--- Memory map: ---\n");
    for (int i = 0; i < 4097; i++)
        kp_strbuf_addf(&maps, "%x-%x /bin/a%d\n", 2 * i * 4096, (2 * i + 1) * 4096, i);
    refused(maps.data, maps.len, NULL, KP_LIMIT, "more than 4096 mappings");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_go_reads_them),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_caps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
