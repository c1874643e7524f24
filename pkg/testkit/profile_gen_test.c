#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "profile/digest.h"
#include "profile/symbols.h"
#include "testkit/profile_gen.h"
#include "base/banned.h"

static struct kp_gen *make(unsigned build, unsigned stacks, unsigned new_percent)
{
    return kp_gen_create(&(struct kp_gen_program){
        .seed = 7, .build = build, .stacks = stacks, .new_percent = new_percent, .labels = 3});
}

static void test_valid_and_deterministic(void **state)
{
    (void)state;
    struct kp_gen *a = make(0, 200, 3);
    struct kp_gen *b = make(0, 200, 3);
    for (int kind = 0; kind < KP_GEN_KINDS; kind++) {
        for (unsigned round = 0; round < 3; round++) {
            size_t n;
            size_t m;
            struct kp_profile_summary s;
            struct kp_error err = {0};
            kp_auto_free uint8_t *x = kp_gen_bytes(a, kind, 5, round, 1, &n);
            kp_auto_free uint8_t *between = kp_gen_bytes(b, kind, 6, round, 0, &m); // leaves no trace
            assert_true(m > n);
            kp_free(kp_take(between));
            kp_auto_free uint8_t *y = kp_gen_bytes(b, kind, 5, round, 1, &m);
            assert_int_equal(n, m);
            assert_memory_equal(x, y, n);
            if (kp_profile_check(x, n, NULL, &s, &err) != KP_PROFILE_VALID)
                fail_msg("%s: %s", kp_gen_kind_name(kind), err.text);
            assert_int_equal(s.n_samples, 200);
            assert_string_equal(s.build_id, kp_gen_build_id(a));
            assert_true(n > 20000 && n < 80000);
        }
    }
    kp_gen_destroy(a);
    kp_gen_destroy(b);
    kp_gen_destroy(NULL);
}

// Bytes are part of what benchmarks compare from one day to the next.
static void test_known_bytes(void **state)
{
    (void)state;
    struct kp_gen *gen = make(1, 50, 10);
    size_t n;
    kp_auto_free uint8_t *bytes = kp_gen_bytes(gen, KP_GEN_HEAP, 1, 2, 0, &n);
    assert_int_equal(kp_hash64(bytes, n, 0), UINT64_C(0x3f545171197c1484));
    kp_gen_destroy(gen);
}

// Stacks of rounds x pods, interned: those of the program, and new_percent of each capture.
static void test_new_stacks(void **state)
{
    (void)state;
    const struct {
        unsigned percent, min, max;
    } rows[] = {{0, 0, 0}, {3, 2 * 200, 4 * 200}, {100, 99 * 200, 100 * 200}};
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_gen *gen = make(0, 1000, rows[i].percent);
        struct kp_symbols *s = kp_symbols_create(KP_SYMBOLS_EXACT);
        kp_auto_free uint8_t *seen = KP_NEW_ARRAY(uint8_t, 1 << 20);
        unsigned n_distinct = 0;
        for (unsigned k = 0; k < 20; k++) {
            kp_auto_profile *p = kp_gen_profile(gen, KP_GEN_CPU, k % 4, k / 4);
            struct kp_symbols_map *map = kp_symbols_map_profile(s, p);
            for (uint32_t j = 0; j < p->n_samples; j++) {
                uint32_t node = kp_symbols_map_stack(map, j);
                assert_true(node < 1 << 20);
                n_distinct += !seen[node];
                seen[node] = 1;
            }
            kp_symbols_map_destroy(map);
        }
        unsigned base = rows[i].percent == 100 ? 0 : 1000;
        assert_true(n_distinct >= base + rows[i].min && n_distinct <= base + rows[i].max);
        kp_symbols_destroy(s);
        kp_gen_destroy(gen);
    }
}

static void test_builds_and_values_differ(void **state)
{
    (void)state;
    struct kp_gen *a = make(0, 100, 0);
    struct kp_gen *b = make(1, 100, 0);
    assert_string_not_equal(kp_gen_build_id(a), kp_gen_build_id(b));
    kp_auto_profile *one = kp_gen_profile(a, KP_GEN_CPU, 0, 0);
    kp_auto_profile *other_round = kp_gen_profile(a, KP_GEN_CPU, 0, 1);
    kp_auto_profile *other_pod = kp_gen_profile(a, KP_GEN_CPU, 1, 0);
    kp_auto_profile *other_build = kp_gen_profile(b, KP_GEN_CPU, 0, 0);
    assert_memory_equal(one->frames, other_pod->frames, one->n_frames * sizeof *one->frames);
    assert_memory_not_equal(one->values, other_pod->values, one->n_samples * 2 * sizeof *one->values);
    assert_memory_not_equal(one->values, other_round->values, one->n_samples * 2 * sizeof *one->values);
    assert_true(one->time_ns + INT64_C(60000000000) == other_round->time_ns);
    assert_true(one->locations[0].address != other_build->locations[0].address);
    unsigned moved = 0;
    for (uint32_t i = 0; i < one->n_functions; i++) { // the same functions, few of them moved
        struct kp_str x = one->strings[one->functions[i].name];
        struct kp_str y = other_build->strings[other_build->functions[i].name];
        assert_int_equal(x.len, y.len);
        assert_memory_equal(x.data, y.data, x.len);
        moved += one->functions[i].start_line != other_build->functions[i].start_line;
    }
    assert_true(moved > 0 && moved < one->n_functions / 2);
    kp_gen_destroy(a);
    kp_gen_destroy(b);
}

// What is cumulative never falls.
static void test_alloc_grows(void **state)
{
    (void)state;
    struct kp_gen *gen = make(0, 100, 0);
    kp_auto_profile *early = kp_gen_profile(gen, KP_GEN_HEAP, 3, 1);
    kp_auto_profile *late = kp_gen_profile(gen, KP_GEN_HEAP, 3, 9);
    for (uint32_t i = 0; i < early->n_samples; i++)
        for (uint32_t t = 0; t < 2; t++)
            assert_true(early->values[4 * i + t] <= late->values[4 * i + t]);
    kp_gen_destroy(gen);
}

static void test_tiny_and_deep(void **state)
{
    (void)state;
    const struct kp_gen_program rows[] = {{.functions = 1, .stacks = 1, .depth = 1, .new_percent = 100},
        {.functions = 2, .stacks = 500, .depth = 1},
        {.functions = 5000, .stacks = 20, .depth = 1000, .new_percent = 50, .labels = 1}};
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_gen *gen = kp_gen_create(&rows[i]);
        for (int kind = 0; kind < KP_GEN_KINDS; kind++) {
            size_t n;
            kp_auto_free uint8_t *x = kp_gen_bytes(gen, kind, 0, 0, 6, &n);
            assert_int_equal(kp_profile_check(x, n, NULL, NULL, NULL), KP_PROFILE_VALID);
        }
        kp_gen_destroy(gen);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_and_deterministic),
        cmocka_unit_test(test_known_bytes),
        cmocka_unit_test(test_new_stacks),
        cmocka_unit_test(test_builds_and_values_differ),
        cmocka_unit_test(test_alloc_grows),
        cmocka_unit_test(test_tiny_and_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
