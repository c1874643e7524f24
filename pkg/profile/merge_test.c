#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profile/digest.h"
#include "profile/merge.h"
#include "profile/merge_fixture.h"
#include "base/banned.h"

static struct kp_profile *merge_all(struct kp_profile *const *profiles, size_t n)
{
    struct kp_profile *p = NULL;
    struct kp_error err = {0};
    if (kp_profile_merge((const struct kp_profile *const *)profiles, n, &p, &err) != 0)
        fail_msg("%s", err.text);
    fixture_check(p);
    return p;
}

static void free_all(struct kp_profile **profiles, size_t n)
{
    for (size_t i = 0; i < n; i++)
        kp_profile_free(profiles[i]);
}

static void load_captures(const char *kind, struct kp_profile **ret, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        kp_auto_free char *name = kp_asprintf("merge/%s.%02zu.pb.gz", kind, i % 10 + 1);
        ret[i] = fixture_decode(name);
    }
}

static bool same_bytes(const struct kp_profile *a, const struct kp_profile *b)
{
    kp_auto_strbuf x, y;
    kp_strbuf_init(&x, 64 << 20);
    kp_strbuf_init(&y, 64 << 20);
    kp_profile_encode(a, 0, &x);
    kp_profile_encode(b, 0, &y);
    return x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

// ---- against google/pprof ----

static void say_merge(struct kp_strbuf *b, const char *title, struct kp_profile **profiles, size_t n)
{
    struct kp_profile *p = merge_all(profiles, n);
    fixture_say(b, title, p);
    kp_profile_free(p);
    free_all(profiles, n);
}

static void test_as_google_pprof_merges(void **state)
{
    (void)state;
    const char *kinds[] = {"cpu", "heap"};
    const size_t counts[] = {1, 2, 10, 30};
    kp_auto_strbuf b;
    kp_strbuf_init(&b, 1 << 20);
    for (size_t k = 0; k < KP_COUNT(kinds); k++)
        for (size_t i = 0; i < KP_COUNT(counts); i++) {
            struct kp_profile *profiles[30];
            load_captures(kinds[k], profiles, counts[i]);
            kp_auto_free char *title = kp_asprintf("%s x %zu", kinds[k], counts[i]);
            say_merge(&b, title, profiles, counts[i]);
        }
    struct kp_profile *two[] = {
        fixture_decode("corpus/etcd-cpu.pb.gz"), fixture_decode("corpus/prom-cpu.pb.gz")};
    say_merge(&b, "two programs", two, 2);
    struct kp_profile *labels[] = {fixture_decode("odd/labels-1.pb.gz"), fixture_decode("odd/labels-1.pb.gz"),
        fixture_decode("odd/no-mapping.pb.gz")};
    say_merge(&b, "labels", labels, 3);
    struct kp_profile *mutex[] = {
        fixture_decode("corpus/etcd-mutex.pb.gz"), fixture_decode("corpus/prom-mutex.pb.gz")};
    say_merge(&b, "mutex", mutex, 2);
    kp_test_golden(KP_TESTDATA "/merge.golden", b.data);
}

// ---- properties ----

static void test_order_does_not_matter(void **state)
{
    (void)state;
    const char *kinds[] = {"cpu", "heap"};
    for (size_t k = 0; k < KP_COUNT(kinds); k++) {
        struct kp_profile *profiles[10], *turned[10];
        load_captures(kinds[k], profiles, 10);
        for (size_t i = 0; i < 10; i++)
            turned[i] = profiles[(i * 7 + 3) % 10];
        struct kp_profile *a = merge_all(profiles, 10);
        struct kp_profile *b = merge_all(turned, 10);
        assert_true(same_bytes(a, b));
        struct kp_profile *half[] = {merge_all(turned, 4), merge_all(turned + 4, 6)};
        struct kp_profile *c = merge_all(half, 2);
        assert_true(same_bytes(a, c));
        kp_profile_free(a);
        kp_profile_free(b);
        kp_profile_free(c);
        free_all(half, 2);
        free_all(profiles, 10);
    }
}

static void test_a_merge_of_one_is_equal(void **state)
{
    (void)state;
    struct kp_profile *p = fixture_decode("corpus/etcd-heap.pb.gz");
    struct kp_profile *once = merge_all(&p, 1);
    struct kp_profile *twice = merge_all(&once, 1);
    for (uint32_t t = 0; t < p->n_sample_types; t++)
        assert_int_equal(kp_profile_total(p, t), kp_profile_total(once, t));
    assert_true(same_bytes(once, twice));
    assert_int_equal(p->mappings[0].start, once->mappings[0].start);
    kp_profile_free(p);
    kp_profile_free(once);
    kp_profile_free(twice);
}

static void test_less_itself_is_nothing(void **state)
{
    (void)state;
    struct kp_profile *p = fixture_decode("corpus/prom-heap.pb.gz");
    struct kp_merger *m = kp_merger_create();
    assert_int_equal(kp_merger_add(m, p, 1, NULL), 0);
    assert_int_equal(kp_merger_add(m, p, -1, NULL), 0);
    struct kp_profile *none = kp_merger_profile(m);
    assert_int_equal(none->n_samples, 0);
    assert_int_equal(none->n_locations, 0);
    assert_int_equal(none->n_functions, 0);
    assert_int_equal(none->n_mappings, 1);
    assert_int_equal(none->n_sample_types, 4);
    fixture_check(none);
    kp_profile_free(none);
    assert_int_equal(kp_merger_add(m, p, 1, NULL), 0); // and goes on
    struct kp_profile *back = kp_merger_profile(m);
    assert_int_equal(kp_profile_total(back, 1), kp_profile_total(p, 1));
    kp_profile_free(back);
    kp_merger_destroy(m);
    kp_profile_free(p);
}

static void test_an_empty_merger_gives_an_empty_profile(void **state)
{
    (void)state;
    struct kp_profile *p = merge_all(NULL, 0);
    assert_int_equal(p->n_samples, 0);
    assert_int_equal(p->n_strings, 1);
    kp_profile_free(p);
}

// ---- profiles by hand ----

struct tiny {
    int64_t value, time_ns, duration_ns, period;
    const char *type, *default_type, *comments[3];
    uint64_t start; // of the mapping
};

static uint32_t text(struct kp_profile *p, const char *s)
{
    if (s == NULL)
        return 0;
    p->strings[p->n_strings] = (struct kp_str){s, (uint32_t)strlen(s)};
    return p->n_strings++;
}

// One sample of one type, main.main at 0x10 of /app.
static struct kp_profile *make(const struct tiny *t)
{
    struct kp_profile *p = KP_NEW(struct kp_profile);
    p->strings = KP_ARENA_ARRAY(&p->arena, struct kp_str, 16);
    p->strings[0].data = "";
    p->n_strings = 1;
    p->sample_types = KP_ARENA_NEW(&p->arena, struct kp_value_type);
    p->samples = KP_ARENA_NEW(&p->arena, struct kp_sample);
    p->values = KP_ARENA_NEW(&p->arena, int64_t);
    p->frames = KP_ARENA_NEW(&p->arena, uint32_t);
    p->mappings = KP_ARENA_NEW(&p->arena, struct kp_mapping);
    p->locations = KP_ARENA_NEW(&p->arena, struct kp_location);
    p->lines = KP_ARENA_NEW(&p->arena, struct kp_line);
    p->functions = KP_ARENA_NEW(&p->arena, struct kp_function);
    p->comments = KP_ARENA_ARRAY(&p->arena, uint32_t, 3);
    p->sample_types[0].type = text(p, t->type ? t->type : "samples");
    p->samples[0].n_frames = 1;
    p->values[0] = t->value;
    p->mappings[0] =
        (struct kp_mapping){.start = t->start, .limit = t->start + 0x1000, .filename = text(p, "/app")};
    p->locations[0] = (struct kp_location){.address = t->start + 0x10, .n_lines = 1};
    p->functions[0].name = text(p, "main.main");
    p->n_sample_types = p->n_samples = p->n_frames = p->n_mappings = p->n_locations = p->n_lines = 1;
    p->n_functions = 1;
    for (; p->n_comments < 3 && t->comments[p->n_comments]; p->n_comments++)
        p->comments[p->n_comments] = text(p, t->comments[p->n_comments]);
    p->default_type = text(p, t->default_type);
    p->time_ns = t->time_ns;
    p->duration_ns = t->duration_ns;
    p->period = t->period;
    return p;
}

static struct kp_profile *merge_tiny(const struct tiny *tiny, size_t n)
{
    struct kp_profile *profiles[8];
    for (size_t i = 0; i < n; i++)
        profiles[i] = make(&tiny[i]);
    struct kp_profile *p = merge_all(profiles, n);
    free_all(profiles, n);
    return p;
}

static void test_headers(void **state)
{
    (void)state;
    const struct tiny tiny[] = {
        {.value = 1, .duration_ns = 5, .period = 10, .comments = {"b", "a"}},
        {.value = 1, .time_ns = 300, .duration_ns = 7, .period = 30, .default_type = "samples"},
        {.value = 1, .time_ns = 200, .period = 20, .default_type = "other", .comments = {"c", "b", "c"}},
        {.value = 1, .duration_ns = INT64_MAX},
    };
    struct kp_profile *p = merge_tiny(tiny, 4);
    assert_int_equal(p->time_ns, 200);
    assert_int_equal(p->duration_ns, INT64_MAX);
    assert_int_equal(p->period, 30);
    assert_true(kp_profile_str_is(p, p->default_type, "samples"));
    assert_int_equal(p->n_comments, 3);
    assert_true(kp_profile_str_is(p, p->comments[0], "b"));
    assert_true(kp_profile_str_is(p, p->comments[1], "a"));
    assert_true(kp_profile_str_is(p, p->comments[2], "c"));
    kp_profile_free(p);
}

static void test_loaded_elsewhere_is_the_same(void **state)
{
    (void)state;
    const struct tiny tiny[] = {{.value = 1, .start = 0x400000}, {.value = 2, .start = 0x7f0000000000}};
    struct kp_profile *p = merge_tiny(tiny, 2);
    assert_int_equal(p->n_samples, 1);
    assert_int_equal(p->values[0], 3);
    assert_int_equal(p->locations[0].address, 0x400010);
    assert_int_equal(p->mappings[0].start, 0x400000);
    assert_int_equal(p->mappings[0].limit, 0x401000);
    kp_profile_free(p);
}

static void test_conflicts_change_nothing(void **state)
{
    (void)state;
    struct kp_profile *a = make(&(struct tiny){.value = 1, .time_ns = 5});
    struct kp_profile *b = make(&(struct tiny){.value = 1, .time_ns = 1, .type = "alloc_space"});
    struct kp_profile *c = make(&(struct tiny){.value = 1, .time_ns = 1});
    c->has_period_type = true;
    c->period_type.unit = c->sample_types[0].type;
    struct kp_merger *m = kp_merger_create();
    struct kp_error err = {0};
    assert_int_equal(kp_merger_add(m, a, 1, &err), 0);
    struct kp_profile *before = kp_merger_profile(m);
    assert_int_equal(kp_merger_add(m, b, 1, &err), KP_CONFLICT);
    assert_string_equal(
        err.text, "profiles of different sample types cannot be merged: 'samples/' and 'alloc_space/'");
    kp_error_clear(&err);
    assert_int_equal(kp_merger_add(m, c, 1, &err), KP_CONFLICT);
    assert_string_equal(err.text, "profiles of different period types cannot be merged: '/' and '/samples'");
    struct kp_profile *after = kp_merger_profile(m);
    assert_true(same_bytes(before, after));
    kp_merger_destroy(m);
    kp_profile_free(before);
    kp_profile_free(after);
    kp_profile_free(a);
    kp_profile_free(b);
    kp_profile_free(c);
}

static int64_t sum_of(const int64_t *values, const double *factors, size_t n)
{
    struct kp_merger *m = kp_merger_create();
    for (size_t i = 0; i < n; i++) {
        struct kp_profile *p = make(&(struct tiny){.value = values[i]});
        assert_int_equal(kp_merger_add(m, p, factors ? factors[i] : 1, NULL), 0);
        kp_profile_free(p);
    }
    struct kp_profile *p = kp_merger_profile(m);
    int64_t sum = p->n_samples > 0 ? p->values[0] : 0;
    kp_profile_free(p);
    kp_merger_destroy(m);
    return sum;
}

static void test_whole_sums_are_exact(void **state)
{
    (void)state;
    const int64_t large[] = {INT64_C(9007199254740993), 1, INT64_C(9007199254740992)};
    assert_int_equal(sum_of(large, NULL, 3), INT64_C(18014398509481986));
    // past 64 bits and back, in any order
    const int64_t over[] = {INT64_MAX, INT64_MAX, 7, -INT64_MAX, -INT64_MAX};
    assert_int_equal(sum_of(over, NULL, 5), 7);
    const int64_t under[] = {INT64_MIN, INT64_MIN, -5, INT64_MAX, INT64_MAX};
    assert_int_equal(sum_of(under, NULL, 5), -7);
    const double less[] = {-1, 1, 1, 1, -1};
    assert_int_equal(sum_of(under, less, 5), -5);
    // what stays past them is held
    assert_int_equal(sum_of(over, NULL, 2), INT64_MAX);
    assert_int_equal(sum_of(under, NULL, 2), INT64_MIN);
}

static void test_factors_round_at_the_end(void **state)
{
    (void)state;
    const int64_t values[] = {1, 1, 1};
    assert_int_equal(sum_of(values, (const double[]){0.5}, 1), 1);
    assert_int_equal(sum_of(values, (const double[]){-0.5}, 1), -1);
    assert_int_equal(sum_of(values, (const double[]){0.25, 0.25}, 2), 1);
    assert_int_equal(sum_of(values, (const double[]){1, 0.4}, 2), 1);
    assert_int_equal(sum_of(values, (const double[]){0.4, 1}, 2), 1);
    assert_int_equal(sum_of(values, (const double[]){0.25}, 1), 0);
    const int64_t large[] = {INT64_MAX, INT64_MIN};
    assert_int_equal(sum_of(large, (const double[]){1e300}, 1), INT64_MAX);
    assert_int_equal(sum_of(large + 1, (const double[]){1e300}, 1), INT64_MIN);
}

// ---- rows ----

static void test_rows(void **state)
{
    (void)state;
    struct kp_profile *p = make(&(struct tiny){.value = 1});
    struct kp_merger *m = kp_merger_create();
    const struct kp_merge_header header = {p, 77, 5};
    assert_int_equal(kp_merger_add_header(m, &header, NULL), 0);
    assert_int_equal(kp_merger_add_header(m, &header, NULL), 0);
    struct kp_symbols *s = kp_merger_symbols(m);
    enum { N = 2000, SETS = 40 };
    for (uint32_t i = 0; i < N; i++) {
        const struct kp_sym_location location = {.address = i % 97, .mapping = KP_NO_MAPPING};
        uint32_t node = kp_symbols_node(s, i == 0 ? 0 : i / 3, kp_symbols_location(s, &location, NULL));
        struct kp_sample_label label = {.key = kp_symbols_string(s, "k", 1), .num = i % SETS + 1};
        kp_merger_add_row(m, node, 0, &(double){1});
        kp_merger_add_row(m, node, kp_symbols_label_set(s, &label, 1), &(double){0.5});
    }
    assert_false(kp_merger_is_full(m));
    assert_true(kp_merger_bytes(m) > kp_symbols_bytes(s));
    struct kp_profile *sum = kp_merger_profile(m);
    fixture_check(sum);
    int64_t labelled = 0;
    for (uint32_t i = 0; i < sum->n_samples; i++)
        labelled += sum->samples[i].n_labels > 0;
    assert_true(labelled > 0);
    assert_true(sum->n_samples - labelled <= N);
    assert_int_equal(sum->time_ns, 77);
    assert_int_equal(sum->duration_ns, 10);
    // rows of one stack and set are one sample
    kp_auto_free char *lines = fixture_samples(sum);
    char *last = lines;
    for (char *at = strchr(lines, '\n'); at; at = strchr(last, '\n')) {
        size_t key = (size_t)(strrchr((*at = '\0', last), ' ') - last);
        assert_false(strncmp(last, at + 1, key + 1) == 0);
        last = at + 1;
    }
    kp_profile_free(sum);
    kp_merger_destroy(m);
    kp_profile_free(p);
}

// A chain of frames with a row at each: as a tree it is small, as samples it is not.
static void test_deep_stacks_are_limited(void **state)
{
    (void)state;
    struct kp_profile *p = make(&(struct tiny){.value = 1});
    struct kp_merger *m = kp_merger_create();
    const struct kp_merge_header header = {p, 1, 1};
    assert_int_equal(kp_merger_add_header(m, &header, NULL), 0);
    struct kp_symbols *s = kp_merger_symbols(m);
    const struct kp_sym_location location = {.address = 1, .mapping = KP_NO_MAPPING};
    uint32_t id = kp_symbols_location(s, &location, NULL);
    uint32_t node = 0;
    for (uint32_t i = 0; i < 30000 && !kp_merger_is_full(m); i++) {
        node = kp_symbols_node(s, node, id);
        if (i % 50 == 0) // many rows of many frames
            kp_merger_add_row(m, node, 0, &(double){1});
    }
    assert_false(kp_merger_is_full(m));
    for (uint32_t i = 0; i < 20000 && !kp_merger_is_full(m); i++) {
        struct kp_sample_label label = {.key = kp_symbols_string(s, "k", 1), .num = i + 1};
        kp_merger_add_row(m, node, kp_symbols_label_set(s, &label, 1), &(double){1});
    }
    assert_true(kp_merger_is_full(m));
    assert_true(kp_merger_bytes(m) < (size_t)2 * KP_MERGER_MAX_SAMPLE_BYTES);
    struct kp_error err = {0};
    assert_int_equal(kp_merger_add(m, p, 1, &err), KP_LIMIT);
    kp_merger_destroy(m);
    kp_profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_google_pprof_merges),
        cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_a_merge_of_one_is_equal),
        cmocka_unit_test(test_less_itself_is_nothing),
        cmocka_unit_test(test_an_empty_merger_gives_an_empty_profile),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_loaded_elsewhere_is_the_same),
        cmocka_unit_test(test_conflicts_change_nothing),
        cmocka_unit_test(test_whole_sums_are_exact),
        cmocka_unit_test(test_factors_round_at_the_end),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_deep_stacks_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
