#include "testkit/pprof.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "profile/check.h"
#include "base/banned.h"

static struct kp_profile_summary check(const struct kp_pprof_recipe *recipe, enum kp_profile_verdict want)
{
    struct kp_error err = {0};
    struct kp_profile_summary summary;
    size_t len = 0;
    uint8_t *bytes = kp_pprof_make(recipe, &len);
    assert_true(kp_profile_sniff(bytes, len));
    enum kp_profile_verdict verdict = kp_profile_check(bytes, len, NULL, &summary, &err);
    if (verdict != want)
        fail_msg("verdict %d, not %d: %s", verdict, want, err.text);
    kp_free(bytes);
    return summary;
}

static void test_makes_valid_profiles(void **state)
{
    (void)state;
    static const char *const labels[] = {"tenant", "shop", "job", "1", NULL};
    struct kp_pprof_recipe recipe = {.stacks = 10,
        .labels = labels,
        .time_nanos = 1795525200000000000,
        .duration_nanos = 10000000000,
        .value = 7};
    for (int gzip = 0; gzip < 2; gzip++) {
        recipe.gzip = gzip != 0;
        struct kp_profile_summary summary = check(&recipe, KP_PROFILE_VALID);
        assert_int_equal(summary.n_samples, 10);
        assert_int_equal(summary.n_locations, 13);
        assert_int_equal(summary.n_functions, 13);
        assert_int_equal(summary.n_sample_types, 2);
        assert_int_equal(summary.n_mappings, 1);
        assert_true(summary.time_ns == 1795525200000000000);
        assert_true(summary.duration_ns == 10000000000);
        assert_int_equal(summary.period, 10000000);
        assert_string_equal(summary.first_type, "samples");
        assert_string_equal(summary.first_unit, "count");
        assert_string_equal(summary.build_id, "build");
    }
}

static void test_makes_other_kinds(void **state)
{
    (void)state;
    static const char *const heap[] = {
        "alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes", NULL};
    struct kp_profile_summary summary = check(
        &(struct kp_pprof_recipe){
            .sample_types = heap, .stacks = 1, .depth = 1, .period_type = "space/bytes", .build_id = "b2"},
        KP_PROFILE_VALID);
    assert_int_equal(summary.n_sample_types, 4);
    assert_int_equal(summary.n_locations, 1);
    assert_string_equal(summary.build_id, "b2");
    check(&(struct kp_pprof_recipe){.stacks = 0}, KP_PROFILE_EMPTY);
    summary = check(&(struct kp_pprof_recipe){.stacks = 3000, .depth = 40, .gzip = true}, KP_PROFILE_VALID);
    assert_int_equal(summary.n_samples, 3000);
    assert_int_equal(summary.n_locations, 3039);
}

static void test_same_recipe_same_bytes(void **state)
{
    (void)state;
    size_t len = 0, again_len = 0;
    struct kp_pprof_recipe recipe = {.stacks = 5, .seed = 1};
    kp_auto_free uint8_t *bytes = kp_pprof_make(&recipe, &len), *again = kp_pprof_make(&recipe, &again_len);
    assert_int_equal(len, again_len);
    assert_memory_equal(bytes, again, len);
    recipe.seed = 2;
    kp_auto_free uint8_t *other = kp_pprof_make(&recipe, &again_len);
    assert_true(len != again_len || memcmp(bytes, other, len) != 0);
}

static void test_gzip(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 65535, 65536, 200000};
    for (size_t i = 0; i < KP_COUNT(sizes); i++) {
        kp_auto_free uint8_t *data = kp_alloc(sizes[i]), *back = NULL;
        for (size_t k = 0; k < sizes[i]; k++)
            data[k] = (uint8_t)(k * 31);
        size_t len = 0, back_len = 1;
        kp_auto_free uint8_t *wrapped = kp_test_gzip(data, sizes[i], &len);
        assert_int_equal(kp_profile_inflate(wrapped, len, NULL, &back, &back_len, NULL), 0);
        assert_int_equal(back_len, sizes[i]);
        assert_memory_equal(back, data, sizes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_makes_valid_profiles),
        cmocka_unit_test(test_makes_other_kinds),
        cmocka_unit_test(test_same_recipe_same_bytes),
        cmocka_unit_test(test_gzip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
