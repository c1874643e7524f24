#include "store/mergequery_testing.h"

#include "base/banned.h"

static struct capture capture(const char *type, const char *pod, int64_t minute, int64_t a, int64_t b)
{
    struct capture c = {.type = type,
        .pod = pod,
        .container_id = pod,
        .team = pod[0] == 'a' ? "pay" : "ship",
        .started_ms = T0 - 3600 * INT64_C(1000),
        .start_ms = T0 + minute * MINUTE,
        .samples = {{"main;work;leaf", {a, a, a, a}}, {"main;idle", {b, b, b, b}}}};
    if (strcmp(type, "cpu") == 0) {
        c.duration_ms = 10000;
        for (size_t i = 0; i < 2; i++)
            c.samples[i].values[1] *= 1000000000;
    }
    return c;
}

static void on_point(void *user, const struct kp_point *point)
{
    kp_strbuf_addf(user, "%s@%lld=%.3f(%llu) ", point->group, (long long)((point->time_ms - T0) / 1000),
        point->value, (unsigned long long)point->n_profiles);
}

static char *points(struct kp_store *store, struct kp_points_query query)
{
    struct kp_strbuf out;
    struct kp_error err = {0};
    kp_auto_free char *unit = NULL;
    kp_strbuf_init(&out, 1 << 16);
    if (query.step_ms == 0)
        query.step_ms = 5 * MINUTE;
    int rc = kp_store_points(store, &query, on_point, &out, &unit, &err);
    if (rc != 0)
        kp_strbuf_addf(&out, "%s", err.text);
    else
        kp_strbuf_adds(&out, unit);
    return kp_strbuf_take(&out, NULL);
}

#define assert_points(store, query, expected)                                                                \
    do {                                                                                                     \
        char *text_ = points(store, query);                                                                  \
        assert_string_equal(text_, expected);                                                                \
        kp_free(text_);                                                                                      \
    } while (0)

// T0 is a multiple of 5 minutes.
static void test_windows(void **state)
{
    struct fixture *f = *state;
    keep_capture(f->store, capture("cpu", "a", 0, 1, 4));  // half a core
    keep_capture(f->store, capture("cpu", "a", 1, 2, 5));  // 0.7
    keep_capture(f->store, capture("cpu", "b", 0, 10, 0)); // one core
    keep_capture(f->store, capture("cpu", "a", 5, 0, 1));
    struct kp_points_query query = {.merge.select = {.type = "cpu"}};
    assert_points(f->store, query, "@0=1.600(3) @300=0.100(1) cores");
    query.group_by = "team";
    assert_points(f->store, query, "pay@0=0.600(2) pay@300=0.100(1) ship@0=1.000(1) cores");
    query.function = "work";
    assert_points(f->store, query, "pay@0=0.150(2) pay@300=0.000(1) ship@0=1.000(1) cores");
    query.group_by = NULL;
    query.sample_type = "samples";
    query.function = "main";
    assert_points(f->store, query, "@0=1.600(3) @300=0.100(1) count/second");
    query.function = "nobody";
    assert_points(f->store, query, "@0=0.000(3) @300=0.000(1) count/second");
    query.function = "leaf";
    query.group_by = "k8s.pod";
    assert_points(f->store, query, "a@0=0.150(2) a@300=0.000(1) b@0=1.000(1) count/second");
}

static void test_gauges(void **state)
{
    struct fixture *f = *state;
    keep_capture(f->store, capture("goroutine", "a", 0, 10, 5));
    keep_capture(f->store, capture("goroutine", "a", 1, 30, 5));
    keep_capture(f->store, capture("goroutine", "b", 1, 100, 0));
    const struct kp_points_query query = {.merge.select = {.type = "goroutine"}};
    assert_points(f->store, query, "@0=125.000(3) count");
}

static void test_counters(void **state)
{
    struct fixture *f = *state;
    keep_capture(f->store, capture("heap", "a", 0, 100, 100));
    keep_capture(f->store, capture("heap", "a", 1, 160, 100)); // 1 per second
    keep_capture(f->store, capture("heap", "a", 5, 400, 100)); // the same, one step later
    keep_capture(f->store, capture("heap", "b", 0, 0, 0));
    keep_capture(f->store, capture("heap", "b", 1, 0, 120)); // 2 per second
    struct kp_points_query query = {
        .merge.select = {.type = "heap", .from_ms = T0}, .sample_type = "alloc_space"};
    assert_points(f->store, query, "@0=3.000(2) @300=1.000(1) bytes/second");
    query.function = "idle";
    assert_points(f->store, query, "@0=2.000(2) @300=0.000(1) bytes/second");
    query.sample_type = NULL; // the last: in use
    assert_points(f->store, query, "@0=160.000(4) @300=100.000(1) bytes");
}

static void test_refusals(void **state)
{
    struct fixture *f = *state;
    struct kp_points_query query = {.merge.select = {.type = "cpu"}};
    kp_auto_free char *none = points(f->store, query);
    assert_non_null(strstr(none, "no profile matches: check"));
    keep_capture(f->store, capture("cpu", "a", 0, 1, 4));
    keep_capture(f->store, capture("cpu", "a", 5, 1, 4));
    query.sample_type = "wall";
    assert_points(f->store, query, "there is no sample type 'wall': the profiles have samples, cpu");
    query.sample_type = NULL;
    query.max_points = 1;
    assert_points(
        f->store, query, "2 points are more than 1: ask for larger steps, less time or fewer groups");
    query.step_ms = -1;
    assert_points(f->store, query, "steps have to be longer than nothing");
}

// ---- labels ----

static void on_text(void *user, const char *text, uint64_t n)
{
    kp_strbuf_addf(user, "%s(%llu) ", text, (unsigned long long)n);
}

static char *labels(struct kp_store *store, struct kp_store_query query, const char *key)
{
    struct kp_strbuf out;
    struct kp_error err = {0};
    kp_strbuf_init(&out, 1 << 16);
    if (kp_store_labels(store, &query, key, on_text, &out, &err) != 0)
        fail_msg("%s", err.text);
    return kp_strbuf_take(&out, NULL);
}

#define assert_labels(store, query, key, expected)                                                           \
    do {                                                                                                     \
        char *text_ = labels(store, query, key);                                                             \
        assert_string_equal(text_, expected);                                                                \
        kp_free(text_);                                                                                      \
    } while (0)

static void test_keys_and_values(void **state)
{
    struct fixture *f = *state;
    assert_labels(f->store, ((struct kp_store_query){0}), NULL, "");
    keep_capture(f->store, capture("cpu", "a", 0, 1, 4));
    keep_capture(f->store, capture("cpu", "a", 5, 1, 4));
    keep_capture(f->store, capture("heap", "b", 0, 1, 4));
    struct kp_store_query query = {0};
    assert_labels(
        f->store, query, NULL, "k8s.container(3) k8s.namespace(3) k8s.pod(3) k8s.pod.uid(3) team(3) ");
    assert_labels(f->store, query, "team", "pay(2) ship(1) ");
    assert_labels(f->store, query, "k8s.pod", "a(2) b(1) ");
    assert_labels(f->store, query, "service", "");
    query.type = "cpu";
    assert_labels(f->store, query, "team", "pay(2) ");
    query = (struct kp_store_query){.from_ms = T0, .to_ms = T0 + MINUTE};
    assert_labels(f->store, query, "team", "pay(1) ship(1) ");
    assert_labels(f->store, query, "nothing", "");
}

#define a_test(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)

int main(void)
{
    const struct CMUnitTest tests[] = {
        a_test(test_windows),
        a_test(test_gauges),
        a_test(test_counters),
        a_test(test_refusals),
        a_test(test_keys_and_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
