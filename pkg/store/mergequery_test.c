#include "store/mergequery_testing.h"

#include "base/clock.h"
#include "base/banned.h"

static struct capture cpu(const char *pod, int64_t minute, int64_t work, int64_t idle)
{
    return (struct capture){.type = "cpu",
        .pod = pod,
        .container_id = pod,
        .started_ms = T0 - 3600 * INT64_C(1000),
        .start_ms = T0 + minute * MINUTE,
        .duration_ms = 10000,
        .samples = {{"main;work", {work, work * 10}}, {"main;idle", {idle, idle * 10}}}};
}

static struct capture heap(const char *pod, const char *life, int64_t minute, int64_t alloc, int64_t inuse)
{
    return (struct capture){.type = "heap",
        .pod = pod,
        .container_id = life,
        .started_ms = T0 - 3600 * INT64_C(1000),
        .start_ms = T0 + minute * MINUTE,
        .samples = {{"main;make", {alloc, alloc * 8, inuse, inuse * 8}}}};
}

static struct kp_merge_query of_type(const char *type)
{
    return (struct kp_merge_query){.select = {.type = type}};
}

// What began before is not inside.
static struct kp_merge_query since_t0(const char *type)
{
    return (struct kp_merge_query){.select = {.type = type, .from_ms = T0}};
}

static void expect_refusal(struct kp_store *store, struct kp_merge_query query, int code, const char *words)
{
    struct kp_profile *p = NULL;
    struct kp_error err = {0};
    assert_int_equal(kp_store_merge(store, &query, &p, NULL, &err), code);
    assert_null(p);
    assert_non_null(strstr(err.text, words));
}

// ---- windows ----

static void test_windows_add(void **state)
{
    struct fixture *f = *state;
    keep_capture(f->store, cpu("a", 0, 1, 10));
    keep_capture(f->store, cpu("a", 1, 2, 0));
    keep_capture(f->store, cpu("b", 1, 4, 0));
    struct kp_merge_stats stats;
    kp_auto_free char *text = merge_text(f->store, of_type("cpu"), &stats);
    assert_string_equal(text, "main;idle: 10 100\nmain;work: 7 70\n");
    assert_int_equal(stats.n_profiles, 3);
    assert_int_equal(stats.n_pods, 2);
    assert_int_equal(stats.n_builds, 1);
    assert_int_equal(stats.first_ms, T0);
    assert_int_equal(stats.last_ms, T0 + MINUTE);
    struct kp_merge_query query = of_type("cpu");
    query.select.from_ms = T0 + MINUTE;
    assert_merge(f->store, query, "main;work: 6 60\n");
    expect_refusal(f->store, of_type("heap"), KP_NOT_FOUND, "no profile matches");
}

static void test_header(void **state)
{
    struct fixture *f = *state;
    for (int i = 3; i >= 0; i--)
        keep_capture(f->store, cpu("a", i, 1, 1));
    struct kp_merge_query query = of_type("cpu");
    struct kp_profile *p = NULL;
    assert_int_equal(kp_store_merge(f->store, &query, &p, NULL, NULL), 0);
    assert_int_equal(p->time_ns, T0 * 1000000);
    assert_int_equal(p->duration_ns, 40 * INT64_C(1000000000));
    assert_int_equal(p->period, 10000000);
    assert_int_equal(p->n_mappings, 1);
    assert_true(kp_profile_str_is(p, p->mappings[0].build_id, "build-1"));
    assert_true(p->locations[0].address >= p->mappings[0].start); // within one build addresses stay
    kp_profile_free(p);
}

static void test_weights(void **state)
{
    struct fixture *f = *state;
    struct capture c = cpu("a", 0, 1, 0);
    c.k = 2;
    c.n = 10;
    keep_capture(f->store, c);
    keep_capture(f->store, cpu("b", 0, 1, 0));
    assert_merge(f->store, of_type("cpu"), "main;work: 2 20\n");
    struct kp_merge_query query = of_type("cpu");
    query.weigh_by_sampling = true;
    assert_merge(f->store, query, "main;work: 6 60\n");
}

static void test_equal_durations(void **state)
{
    struct fixture *f = *state;
    const int64_t durations[] = {10000, 10400, 30000, 9600, 2000};
    for (size_t i = 0; i < KP_COUNT(durations); i++) {
        struct capture c = cpu("a", (int64_t)i, 1 << i, 0);
        c.duration_ms = durations[i];
        keep_capture(f->store, c);
    }
    struct kp_merge_query query = of_type("cpu");
    query.equal_durations = true;
    struct kp_merge_stats stats;
    kp_auto_free char *text = merge_text(f->store, query, &stats);
    assert_string_equal(text, "main;work: 11 110\n");
    assert_int_equal(stats.n_other_duration, 2);
    assert_int_equal(stats.n_profiles, 3);
}

static void test_startup_is_left_out(void **state)
{
    struct fixture *f = *state;
    struct capture c = cpu("a", 0, 1, 0);
    c.started_ms = c.start_ms - 30000;
    keep_capture(f->store, c);
    expect_refusal(f->store, of_type("cpu"), KP_NOT_FOUND, "startup=true");
    keep_capture(f->store, cpu("b", 0, 2, 0));
    struct kp_merge_stats stats;
    kp_auto_free char *text = merge_text(f->store, of_type("cpu"), &stats);
    assert_string_equal(text, "main;work: 2 20\n");
    assert_int_equal(stats.n_startup, 1);
    assert_int_equal(stats.n_pods, 1);
    struct kp_merge_query query = of_type("cpu");
    query.with_startup = true;
    assert_merge(f->store, query, "main;work: 3 30\n");
}

// ---- counters ----

static void test_counters_are_differences(void **state)
{
    struct fixture *f = *state;
    keep_capture(f->store, heap("a", "a1", 0, 100, 1));
    keep_capture(f->store, heap("a", "a1", 2, 130, 3)); // arrives before the one in between
    keep_capture(f->store, heap("a", "a1", 1, 110, 2));
    keep_capture(f->store, heap("b", "b1", 0, 1000, 10));
    keep_capture(f->store, heap("b", "b1", 1, 1007, 20));
    // a: 10 + 20 allocated, 2 in use on average; b: 7, 15
    assert_merge(f->store, since_t0("heap"), "main;make: 37 296 17 136\n");
    struct kp_merge_query query = of_type("heap");
    query.select.from_ms = T0 + MINUTE;
    assert_merge(f->store, query, "main;make: 20 160 23 180\n"); // 2.5 + 20 in use
}

static void test_resets_and_lives(void **state)
{
    struct fixture *f = *state;
    keep_capture(f->store, heap("a", "a1", 0, 100, 0));
    keep_capture(f->store, heap("a", "a1", 1, 120, 0)); // + 20
    keep_capture(f->store, heap("a", "a1", 2, 5, 0));   // fell: + 5
    keep_capture(f->store, heap("a", "a2", 3, 900, 0)); // another life: from here on
    keep_capture(f->store, heap("a", "a2", 4, 901, 0)); // + 1
    assert_merge(f->store, since_t0("heap"), "main;make: 26 208 0 0\n");
}

static void test_life_that_began_inside(void **state)
{
    struct fixture *f = *state;
    struct capture c = heap("a", "a1", 5, 100, 0);
    c.started_ms = T0 + MINUTE;
    keep_capture(f->store, c);
    c = heap("a", "a1", 6, 130, 0);
    c.started_ms = T0 + MINUTE;
    keep_capture(f->store, c);
    assert_merge(f->store, of_type("heap"), "main;make: 130 1040 0 0\n");
    struct kp_merge_query query = of_type("heap");
    query.select.from_ms = T0 + MINUTE;
    assert_merge(f->store, query, "main;make: 130 1040 0 0\n");
    query.select.from_ms = T0 + MINUTE + 1;
    assert_merge(f->store, query, "main;make: 30 240 0 0\n");
}

static void test_startup_is_what_counters_start_from(void **state)
{
    struct fixture *f = *state;
    struct capture c = heap("a", "a1", 0, 100, 50);
    c.started_ms = T0 - 1000;
    keep_capture(f->store, c);
    c = heap("a", "a1", 1, 130, 7);
    c.started_ms = T0 - 1000;
    keep_capture(f->store, c);
    assert_merge(f->store, of_type("heap"), "main;make: 30 240 7 56\n");
    struct kp_merge_query query = of_type("heap");
    query.with_startup = true;
    query.select.from_ms = T0;
    assert_merge(f->store, query, "main;make: 30 240 29 228\n");
}

static void test_absent_stacks_are_unchanged(void **state)
{
    struct fixture *f = *state;
    struct capture c = heap("a", "a1", 0, 100, 0);
    c.samples[1] = (struct line_sample){"main;rare", {7, 70, 0, 0}};
    keep_capture(f->store, c);
    keep_capture(f->store, heap("a", "a1", 1, 100, 1)); // without rare
    c = heap("a", "a1", 2, 101, 0);
    c.samples[1] = (struct line_sample){"main;rare", {9, 90, 0, 0}};
    c.samples[2] = (struct line_sample){"main;new", {3, 30, 0, 0}};
    keep_capture(f->store, c);
    // in use: 0, 1, 0 rounds to 0 and 8 / 3 to 3
    assert_merge(f->store, since_t0("heap"), "main;make: 1 8 0 3\nmain;new: 3 30 0 0\nmain;rare: 2 20 0 0\n");
}

static void test_windows_of_counters_add(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++) {
        struct capture c = heap("a", "a1", i, 5, -2);
        c.duration_ms = 10000; // asked for a difference
        keep_capture(f->store, c);
    }
    keep_capture(f->store, heap("b", "b1", 0, 5, 4));
    assert_merge(f->store, since_t0("heap"), "main;make: 15 120 -2 -16\n");
}

// ---- builds ----

static void test_builds_are_joined_by_names(void **state)
{
    struct fixture *f = *state;
    keep_capture(f->store, cpu("a", 0, 1, 0));
    struct capture c = cpu("b", 0, 2, 5);
    c.build = "build-2";
    c.shift = 3;
    keep_capture(f->store, c);
    struct kp_merge_query query = of_type("cpu");
    struct kp_merge_stats stats;
    struct kp_profile *p = NULL;
    assert_int_equal(kp_store_merge(f->store, &query, &p, &stats, NULL), 0);
    assert_int_equal(stats.n_builds, 2);
    assert_int_equal(p->n_functions, 3);
    assert_int_equal(p->n_samples, 2); // what moved in the file is still the same line of its function
    for (uint32_t i = 0; i < p->n_locations; i++) {
        assert_int_equal(p->locations[i].address, 0);
        assert_int_equal(p->locations[i].mapping, KP_NO_MAPPING);
    }
    for (uint32_t i = 0; i < p->n_lines; i++)
        assert_int_equal(p->lines[i].line - p->functions[p->lines[i].function].start_line, 5);
    assert_int_equal(p->time_ns, T0 * 1000000);
    assert_int_equal(p->duration_ns, 20 * INT64_C(1000000000));
    kp_auto_free char *text = profile_text(p);
    assert_string_equal(text, "main;idle: 5 50\nmain;work: 3 30\n");
    kp_profile_free(p);
    // profefe's sum leaves them apart
    query.plain_sum = true;
    assert_int_equal(kp_store_merge(f->store, &query, &p, &stats, NULL), 0);
    assert_int_equal(p->n_mappings, 2);
    assert_int_equal(p->n_samples, 3);
    kp_profile_free(p);
}

// ---- by ids ----

static void test_ids_count_as_often_as_named(void **state)
{
    struct fixture *f = *state;
    kp_auto_free char *a = put_capture(f->store, cpu("a", 0, 1, 10));
    kp_auto_free char *b = put_capture(f->store, cpu("b", 0, 2, 0));
    const char *ids[] = {b, a, b};
    struct kp_merge_query query = {.ids = ids, .n_ids = 3, .plain_sum = true};
    struct kp_merge_stats stats;
    kp_auto_free char *text = merge_text(f->store, query, &stats);
    assert_string_equal(text, "main;idle: 10 100\nmain;work: 5 50\n");
    assert_int_equal(stats.n_profiles, 3);
    const char *unknown[] = {a, "nothing"};
    query = (struct kp_merge_query){.ids = unknown, .n_ids = 2};
    expect_refusal(f->store, query, KP_NOT_FOUND, "'nothing'");
    query = (struct kp_merge_query){.ids = ids, .n_ids = 3, .max_profiles = 2};
    expect_refusal(f->store, query, KP_LIMIT, "more than can be merged");
}

static void test_plain_sum_adds_everything(void **state)
{
    struct fixture *f = *state;
    struct capture c = heap("a", "a1", 0, 100, 1);
    c.started_ms = c.start_ms;
    kp_auto_free char *a = put_capture(f->store, c);
    kp_auto_free char *b = put_capture(f->store, heap("a", "a1", 1, 130, 3));
    const char *ids[] = {a, b};
    struct kp_merge_query query = {.ids = ids, .n_ids = 2, .plain_sum = true};
    assert_merge(f->store, query, "main;make: 230 1840 4 32\n");
    query = (struct kp_merge_query){.select = {.type = "heap"}, .plain_sum = true};
    assert_merge(f->store, query, "main;make: 230 1840 4 32\n");
    query = (struct kp_merge_query){.ids = ids, .n_ids = 1}; // a single one as it is
    assert_merge(f->store, query, "main;make: 100 800 1 8\n");
    query = (struct kp_merge_query){.ids = ids, .n_ids = 2};
    assert_merge(f->store, query, "main;make: 30 240 2 16\n");
}

// ---- refusals ----

static void test_unknown_kinds(void **state)
{
    struct fixture *f = *state;
    struct capture c = {.type = "widgets", .pod = "a", .start_ms = T0, .samples = {{"main", {4}}}};
    kp_auto_free char *a = put_capture(f->store, c);
    assert_merge(f->store, of_type("widgets"), "main: 4\n");
    c.start_ms++;
    kp_auto_free char *b = put_capture(f->store, c);
    expect_refusal(f->store, of_type("widgets"), KP_CONFLICT, "by their ids");
    const char *ids[] = {a, b};
    assert_merge(f->store, ((struct kp_merge_query){.ids = ids, .n_ids = 2}), "main: 8\n");
    assert_merge(
        f->store, ((struct kp_merge_query){.select = {.type = "widgets"}, .plain_sum = true}), "main: 8\n");
}

static void test_conflicts(void **state)
{
    struct fixture *f = *state;
    kp_auto_free char *a = put_capture(f->store, cpu("a", 0, 1, 1));
    kp_auto_free char *b = put_capture(f->store, heap("a", "a1", 0, 1, 1));
    const char *ids[] = {a, b};
    expect_refusal(
        f->store, (struct kp_merge_query){.ids = ids, .n_ids = 2, .plain_sum = true}, KP_CONFLICT, "merged");
    struct kp_append trace;
    make(&trace, (struct what){.namespace = "shop", .type = "trace"});
    kp_free(trace.record->format);
    trace.record->format = kp_strdup("trace");
    kp_store_append(f->store, &trace, 1);
    release(&trace);
    expect_refusal(f->store, of_type("trace"), KP_CONFLICT, "not pprof");
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++)
        keep_capture(f->store, cpu("a", i, 1, 1));
    struct kp_merge_query query = of_type("cpu");
    query.max_profiles = 2;
    expect_refusal(f->store, query, KP_LIMIT, "less time");
    query = of_type("cpu");
    query.max_bytes = 1;
    expect_refusal(f->store, query, KP_LIMIT, "ask for less time");
    query = of_type("cpu");
    query.deadline_ms = kp_mono_ms();
    expect_refusal(f->store, query, KP_TIMEOUT, "longer than it may");
    const int cancelled = 1;
    query = of_type("cpu");
    query.cancelled = &cancelled;
    expect_refusal(f->store, query, KP_CANCELED, "not waited for");
}

static void test_damaged_profiles_are_left_out(void **state)
{
    struct fixture *f = *state;
    struct kp_append bad;
    make(&bad, (struct what){.namespace = "shop", .type = "cpu", .pod = "z"}); // never was a profile
    kp_store_append(f->store, &bad, 1);
    kp_auto_free char *id = kp_strdup(bad.record->id);
    release(&bad);
    expect_refusal(f->store, of_type("cpu"), KP_CORRUPT, "");
    keep_capture(f->store, cpu("a", 0, 1, 0));
    struct kp_merge_stats stats;
    kp_auto_free char *text = merge_text(f->store, of_type("cpu"), &stats);
    assert_string_equal(text, "main;work: 1 10\n");
    assert_int_equal(stats.n_damaged, 1);
    assert_int_equal(stats.n_profiles, 1);
    const char *ids[] = {id};
    expect_refusal(f->store, (struct kp_merge_query){.ids = ids, .n_ids = 1}, KP_CORRUPT, "");
}

#define a_test(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)

int main(void)
{
    const struct CMUnitTest tests[] = {
        a_test(test_windows_add),
        a_test(test_header),
        a_test(test_weights),
        a_test(test_equal_durations),
        a_test(test_startup_is_left_out),
        a_test(test_counters_are_differences),
        a_test(test_resets_and_lives),
        a_test(test_life_that_began_inside),
        a_test(test_startup_is_what_counters_start_from),
        a_test(test_absent_stacks_are_unchanged),
        a_test(test_windows_of_counters_add),
        a_test(test_builds_are_joined_by_names),
        a_test(test_ids_count_as_often_as_named),
        a_test(test_plain_sum_adds_everything),
        a_test(test_unknown_kinds),
        a_test(test_conflicts),
        a_test(test_limits),
        a_test(test_damaged_profiles_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
