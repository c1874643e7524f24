#include "base/metrics.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

static void expect(struct kp_metrics *metrics, const char *want)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 1u << 20);
    kp_metrics_write(metrics, &out);
    assert_string_equal(out.data, want);
}

static void test_text_format(void **state)
{
    (void)state;
    static const char *const names[] = {"type", "result", NULL};
    struct kp_metrics *metrics = kp_metrics_create();
    struct kp_metric_family *family = kp_metrics_family(
        metrics, KP_COUNTER, "captures_total", "Captures, by\ntype \\ \"result\".", names, NULL, 0, 10);
    kp_metric_inc(kp_metric_with(family, (const char *[]){"cpu", "Succeeded"}));
    kp_metric_add(kp_metric_with(family, (const char *[]){"cpu", "Succeeded"}), 2);
    kp_metric_inc(kp_metric_with(family, (const char *[]){"a\"b\\c\nd", "\xff\xc3\xa9"}));
    kp_metric_set(kp_gauge(metrics, "level", "Level."), -0.5);
    expect(metrics, "# HELP captures_total Captures, by\\ntype \\\\ \"result\".\n"
                    "# TYPE captures_total counter\n"
                    "captures_total{type=\"cpu\",result=\"Succeeded\"} 3\n"
                    "captures_total{type=\"a\\\"b\\\\c\\nd\",result=\"\xef\xbf\xbd\xc3\xa9\"} 1\n"
                    "# HELP level Level.\n"
                    "# TYPE level gauge\n"
                    "level -0.5\n");
    kp_metrics_destroy(metrics);
}

static void test_histogram(void **state)
{
    (void)state;
    static const double bounds[] = {0.5, 1, 1048576};
    static const char *const names[] = {"op", NULL};
    struct kp_metrics *metrics = kp_metrics_create();
    struct kp_metric_family *family =
        kp_metrics_family(metrics, KP_HISTOGRAM, "bytes", "Sizes.", names, bounds, KP_COUNT(bounds), 5);
    struct kp_metric *cell = kp_metric_with(family, (const char *[]){"put"});
    kp_metric_observe(cell, 0.5); // on the bound: within
    kp_metric_observe(cell, 0.75);
    kp_metric_observe(cell, 2000000);
    kp_metric_observe(cell, -1);
    assert_true(kp_metric_value(cell) == 4);
    expect(metrics, "# HELP bytes Sizes.\n"
                    "# TYPE bytes histogram\n"
                    "bytes_bucket{op=\"put\",le=\"0.5\"} 2\n"
                    "bytes_bucket{op=\"put\",le=\"1\"} 3\n"
                    "bytes_bucket{op=\"put\",le=\"1048576\"} 3\n"
                    "bytes_bucket{op=\"put\",le=\"+Inf\"} 4\n"
                    "bytes_sum{op=\"put\"} 2000000.25\n"
                    "bytes_count{op=\"put\"} 4\n");
    kp_metrics_destroy(metrics);
}

static void test_histogram_without_labels(void **state)
{
    (void)state;
    static const double bounds[] = {0.001, 0.0025};
    struct kp_metrics *metrics = kp_metrics_create();
    struct kp_metric_family *family = kp_metrics_family(metrics, KP_HISTOGRAM, "s", "S.", NULL, bounds, 2, 1);
    kp_metric_observe(kp_metric_with(family, NULL), 0.002);
    expect(metrics, "# HELP s S.\n# TYPE s histogram\ns_bucket{le=\"0.001\"} 0\ns_bucket{le=\"0.0025\"} 1\n"
                    "s_bucket{le=\"+Inf\"} 1\ns_sum 0.002\ns_count 1\n");
    kp_metrics_destroy(metrics);
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *text;
    } cases[] = {{0, "0"}, {1e14, "100000000000000"}, {1e300, "1e+300"}, {0.1, "0.1"},
        {1.0 / 3, "0.33333333333333331"}, {1795525200.123, "1795525200.123"}, {INFINITY, "+Inf"},
        {-INFINITY, "-Inf"}, {NAN, "NaN"}, {-NAN, "NaN"}};
    struct kp_metrics *metrics = kp_metrics_create();
    struct kp_metric *gauge = kp_gauge(metrics, "g", "G.");
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        kp_auto_free char *want = kp_asprintf("# HELP g G.\n# TYPE g gauge\ng %s\n", cases[i].text);
        kp_metric_set(gauge, cases[i].v);
        expect(metrics, want);
    }
    kp_metrics_destroy(metrics);
}

static void test_too_many_series_share_other(void **state)
{
    (void)state;
    static const char *const names[] = {"ns", "pod", NULL};
    struct kp_metrics *metrics = kp_metrics_create();
    struct kp_metric_family *family = kp_metrics_family(metrics, KP_COUNTER, "c", "C.", names, NULL, 0, 2);
    kp_metric_inc(kp_metric_with(family, (const char *[]){"a", "1"}));
    kp_metric_inc(kp_metric_with(family, (const char *[]){"a", "2"}));
    kp_metric_inc(kp_metric_with(family, (const char *[]){"a", "3"}));
    kp_metric_inc(kp_metric_with(family, (const char *[]){"b", "1"}));
    kp_metric_inc(kp_metric_with(family, (const char *[]){"a", "1"})); // known ones go on
    char large[5000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    kp_metric_inc(kp_metric_with(family, (const char *[]){large, "1"}));
    expect(metrics, "# HELP c C.\n# TYPE c counter\nc{ns=\"a\",pod=\"1\"} 2\nc{ns=\"a\",pod=\"2\"} 1\n"
                    "c{ns=\"other\",pod=\"other\"} 3\n");
    kp_metrics_destroy(metrics);
}

static void test_same_name_is_same_family(void **state)
{
    (void)state;
    struct kp_metrics *metrics = kp_metrics_create();
    struct kp_metric *one = kp_counter(metrics, "c", "C."), *two = kp_counter(metrics, "c", "C.");
    assert_ptr_equal(one, two);
    kp_metric_inc(one);
    assert_true(kp_metric_value(two) == 1);
    kp_metrics_destroy(metrics);
}

static void test_nothing_is_fine(void **state)
{
    (void)state;
    kp_metric_inc(kp_counter(NULL, "c", "C."));
    kp_metric_set(NULL, 1);
    kp_metric_observe(NULL, 1);
    assert_true(kp_metric_value(NULL) == 0);
    kp_metrics_add_process(NULL);
    kp_metrics_on_collect(NULL, NULL, NULL);
    kp_metrics_destroy(NULL);
}

static void collect(void *user)
{
    kp_metric_inc(user);
}

static void test_collectors_run_before(void **state)
{
    (void)state;
    struct kp_metrics *metrics = kp_metrics_create();
    kp_metrics_on_collect(metrics, collect, kp_gauge(metrics, "g", "G."));
    expect(metrics, "# HELP g G.\n# TYPE g gauge\ng 1\n");
    expect(metrics, "# HELP g G.\n# TYPE g gauge\ng 2\n");
    kp_metrics_destroy(metrics);
}

static double value_of(const char *text, const char *name)
{
    kp_auto_free char *line = kp_asprintf("\n%s ", name);
    const char *at = strstr(text, line);
    double v = -1;
    if (at == NULL || sscanf(at + strlen(line), "%lf", &v) != 1)
        fail_msg("no %s in\n%s", name, text);
    return v;
}

static void test_process(void **state)
{
    (void)state;
    struct kp_metrics *metrics = kp_metrics_create();
    kp_metrics_add_process(metrics);
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 1u << 16);
    kp_metrics_write(metrics, &out);
    assert_true(value_of(out.data, "process_resident_memory_bytes") > 100000);
    assert_true(value_of(out.data, "process_virtual_memory_bytes") > 100000);
    assert_true(value_of(out.data, "process_cpu_seconds_total") > 0);
    assert_true(value_of(out.data, "process_open_fds") >= 3);
    assert_true(value_of(out.data, "process_max_fds") >= value_of(out.data, "process_open_fds"));
    assert_true(value_of(out.data, "process_start_time_seconds") > 1.6e9);
    // a second set, as a program has that waits with one of its own, neither changes nor outlives the first
    struct kp_metrics *second = kp_metrics_create();
    kp_metrics_add_process(second);
    kp_metrics_destroy(second);
    kp_metric_set(kp_gauge(metrics, "process_resident_memory_bytes", ""), 0);
    kp_strbuf_clear(&out);
    kp_metrics_write(metrics, &out);
    assert_true(value_of(out.data, "process_resident_memory_bytes") > 100000);
    kp_metrics_destroy(metrics);
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *hammer(void *user)
{
    struct kp_metric_family **families = user;
    static const char *const values[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < ROUNDS; i++) {
        kp_metric_inc(kp_metric_with(families[0], &values[i % 5]));
        kp_metric_observe(kp_metric_with(families[1], NULL), i % 2);
    }
    return NULL;
}

static void test_threads_lose_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"v", NULL};
    static const double bounds[] = {0};
    struct kp_metrics *metrics = kp_metrics_create();
    struct kp_metric_family *families[] = {
        kp_metrics_family(metrics, KP_COUNTER, "c", "C.", names, NULL, 0, 3),
        kp_metrics_family(metrics, KP_HISTOGRAM, "h", "H.", NULL, bounds, 1, 1)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, families), 0);
    kp_auto_strbuf out; // exposition at the same time
    kp_strbuf_init(&out, 1u << 16);
    for (int i = 0; i < 50; i++) {
        kp_strbuf_clear(&out);
        kp_metrics_write(metrics, &out);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    double sum = 0;
    static const char *const values[] = {"a", "b", "c", "d", "e", "other"};
    // which three got a cell of their own depends on the threads; "other" has the rest
    kp_strbuf_clear(&out);
    kp_metrics_write(metrics, &out);
    for (int i = 0; i < 6; i++) {
        kp_auto_free char *line = kp_asprintf("\nc{v=\"%s\"} ", values[i]);
        const char *at = strstr(out.data, line);
        double v = 0;
        if (at != NULL && sscanf(at + strlen(line), "%lf", &v) == 1)
            sum += v;
    }
    assert_true(sum == (double)THREADS * ROUNDS);
    assert_true(kp_metric_value(kp_metric_with(families[1], NULL)) == (double)THREADS * ROUNDS);
    assert_non_null(strstr(out.data, "\nh_sum 40000\n"));
    kp_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_format),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_histogram_without_labels),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_too_many_series_share_other),
        cmocka_unit_test(test_same_name_is_same_family),
        cmocka_unit_test(test_nothing_is_fine),
        cmocka_unit_test(test_collectors_run_before),
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
