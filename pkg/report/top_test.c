#include "report/report_fixture.h"

#include <stdio.h>

#include "base/text.h"
#include "base/banned.h"

// ---- against go tool pprof ----

struct golden_case {
    char name[64], profile[64], base[64], type[64], by[16], focus[64], ignore[64], hide[64], sort[8];
    size_t limit;
    double min_share;
};

static const char *given(const char *text)
{
    return kp_streq(text, "-") ? NULL : text;
}

static struct kp_top *top_of_case(const struct golden_case *c)
{
    struct kp_report_options o = {.sample_type = given(c->type),
        .focus = given(c->focus),
        .ignore = given(c->ignore),
        .hide = given(c->hide),
        .sort_cum = kp_streq(c->sort, "cum"),
        .limit = c->limit,
        .min_share = c->min_share};
    const char *label;
    assert_true(kp_report_by_parse(c->by, &o.by, &label));
    kp_auto_profile *profile = kp_load(c->profile);
    kp_auto_profile *base = given(c->base) ? kp_load(c->base) : NULL;
    struct kp_top *top = NULL;
    struct kp_error err = {0};
    if (kp_report_top_diff(profile, base, false, &o, &top, &err) < 0)
        fail_msg("%s: %s", c->name, err.text);
    top->is_diff = false; // pprof has no columns of the base
    if (base)
        top->total = top->base_total; // and tells percentages of it
    return top;
}

// pprof looks at calls among the rows shown only, we at all.
static void drop_marks(char *text)
{
    static const char *const marks[] = {" (inline)", " (partial-inline)"};
    for (size_t i = 0; i < KP_COUNT(marks); i++)
        for (char *at = strstr(text, marks[i]); at; at = strstr(at, marks[i]))
            memmove(at, at + strlen(marks[i]), strlen(at + strlen(marks[i])) + 1);
}

static void check_case(const struct golden_case *c)
{
    struct kp_top *top = top_of_case(c);
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 1 << 20);
    kp_top_text(top, &out);
    kp_top_free(top);
    kp_auto_free char *path = kp_asprintf("%s/top/%s.txt", KP_TESTDATA, c->name);
    size_t len;
    kp_auto_free char *expected = kp_test_read_file(path, &len);
    char *filters = strstr(expected, "Active filters:");
    if (filters) { // they are the caller's to tell
        char *end = strstr(filters, "Showing nodes");
        memmove(filters, end, strlen(end) + 1);
    }
    if (c->limit < 100000) {
        drop_marks(expected);
        drop_marks(out.data);
    }
    if (!kp_streq(expected, out.data)) {
        size_t at = 0;
        while (expected[at] == out.data[at])
            at++;
        while (at > 0 && expected[at - 1] != '\n')
            at--;
        fail_msg("%s: pprof says\n%.150s\nwe say\n%.150s", c->name, expected + at, out.data + at);
    }
}

static void test_golden(void **state)
{
    (void)state;
    size_t len;
    kp_auto_free char *cases = kp_test_read_file(KP_TESTDATA "/top/cases.txt", &len);
    int n = 0;
    char *save = NULL;
    for (char *line = strtok_r(cases, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        struct golden_case c;
        if (line[0] == '#')
            continue;
        assert_int_equal(
            sscanf(line, "%63s %63s %63s %63s %15s %zu %lf %63s %63s %63s %7s", c.name, // NOLINT
                c.profile, c.base, c.type, c.by, &c.limit, &c.min_share, c.focus, c.ignore, c.hide, c.sort),
            11);
        check_case(&c);
        n++;
    }
    assert_true(n >= 25);
}

// "flat% sum% cum% name" of each row.
static void shares_of(char *text, struct kp_strbuf *out)
{
    drop_marks(text);
    char *save = NULL, *rows = strchr(strstr(text, "      flat "), '\n') + 1;
    for (char *line = strtok_r(rows, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char flat[16], sum[16], cum[16], name[256];
        assert_int_equal(sscanf(line, "%*s %15s %15s %*s %15s %255[^\n]", flat, sum, cum, name), 4); // NOLINT
        kp_strbuf_addf(out, "%s %s %s %s\n", flat, sum, cum, name);
    }
}

// pprof scales the profile to the base, we the base to the profile: shares are the same.
static void check_normalized(const char *name, const char *profile_name, const char *base_name)
{
    kp_auto_profile *profile = kp_load(profile_name);
    kp_auto_profile *base = kp_load(base_name);
    struct kp_report_options o = {.sample_type = "cpu", .limit = 20};
    struct kp_top *top = NULL;
    kp_auto_strbuf ours, expected, out;
    kp_strbuf_init(&ours, 1 << 20);
    kp_strbuf_init(&expected, 1 << 20);
    kp_strbuf_init(&out, 1 << 20);
    assert_int_equal(kp_report_top_diff(profile, base, true, &o, &top, NULL), 0);
    top->is_diff = false; // pprof has no columns of the base
    top->total = top->base_total;
    kp_top_text(top, &out);
    kp_top_free(top);
    shares_of(out.data, &ours);
    kp_auto_free char *path = kp_asprintf("%s/top/%s.txt", KP_TESTDATA, name);
    size_t len;
    kp_auto_free char *text = kp_test_read_file(path, &len);
    shares_of(text, &expected);
    assert_string_equal(ours.data, expected.data);
}

static void test_normalized_golden(void **state)
{
    (void)state;
    check_normalized("normalized-up", "prom-cpu", "etcd-cpu");
    check_normalized("normalized-down", "etcd-cpu", "prom-cpu");
}

// ---- values ----

// Each row of `-unit=auto`: the same values in the same order.
static void check_auto(const char *profile_name, const char *type, const char *golden)
{
    kp_auto_profile *profile = kp_load(profile_name);
    struct kp_report_options o = {.sample_type = type, .limit = 100000};
    struct kp_top *top = NULL;
    assert_int_equal(kp_report_top(profile, &o, &top, NULL), 0);
    kp_auto_free char *path = kp_asprintf("%s/top/%s.txt", KP_TESTDATA, golden);
    size_t len, n = 0;
    kp_auto_free char *text = kp_test_read_file(path, &len);
    char *save = NULL, *rows = strchr(strstr(text, "      flat "), '\n') + 1;
    for (char *line = strtok_r(rows, "\n", &save); line; line = strtok_r(NULL, "\n", &save), n++) {
        char flat[32], cum[32], value[32];
        assert_int_equal(sscanf(line, "%31s %*s %*s %31s", flat, cum), 2); // NOLINT
        assert_true(n < top->n);
        kp_report_value(top->rows[n].flat, top->unit, value, sizeof value);
        assert_string_equal(value, flat);
        kp_report_value(top->rows[n].cum, top->unit, value, sizeof value);
        assert_string_equal(value, cum);
    }
    assert_int_equal(n, top->n);
    kp_top_free(top);
}

static void test_values_golden(void **state)
{
    (void)state;
    check_auto("etcd-heap", "alloc_space", "auto-alloc_space");
    check_auto("etcd-heap", "alloc_objects", "auto-alloc_objects");
    check_auto("etcd-mutex", "delay", "auto-delay");
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *unit, *text;
    } cases[] = {
        {1530000000, "nanoseconds", "1.53s"},
        {13002342, "bytes", "12.40MB"},
        {380, "count", "380"},
        {-1530000000, "nanoseconds", "-1.53s"},
        {0, "bytes", "0"},
        {999, "ns", "999ns"},
        {1000, "microseconds", "1ms"},
        {7200, "seconds", "2hrs"},
        {INT64_MIN, "bytes", "-8192PB"},
        {INT64_MAX, "count", "9223372036854775808"}, // as a double has it
        {5, "gcu", "5GCU"},
        {5, "furlongs", "5"},
        {5, "", "5"},
        {5, "a unit much longer than any that is known", "5"},
    };
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        char text[32];
        kp_report_value(cases[i].value, cases[i].unit, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
    char cut[4];
    kp_report_value(1530000000, "ns", cut, sizeof cut);
    assert_string_equal(cut, "1.5");
}

// ---- meaning ----

static struct kp_top *top_of(const char *folded, const char *base, bool normalize, struct kp_report_options o)
{
    kp_auto_profile *profile = kp_folded(folded);
    kp_auto_profile *before = base ? kp_folded(base) : NULL;
    struct kp_top *top = NULL;
    struct kp_error err = {0};
    if (kp_report_top_diff(profile, before, normalize, &o, &top, &err) < 0)
        fail_msg("%s", err.text);
    return top;
}

// "name flat/cum ..." of all rows.
static void assert_rows(struct kp_top *top, const char *expected)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 10000);
    for (size_t i = 0; i < top->n; i++)
        kp_strbuf_addf(&out, "%s%s %lld/%lld", i > 0 ? ", " : "", top->rows[i].name,
            (long long)top->rows[i].flat, (long long)top->rows[i].cum);
    assert_string_equal(out.data, expected);
    kp_top_free(top);
}

static void test_recursion(void **state)
{
    (void)state;
    struct kp_report_options o = {0};
    assert_rows(top_of("a;b;a;b 5|a 2", NULL, false, o), "b 5/5, a 2/7");
    assert_rows(top_of("a;a;a 3", NULL, false, o), "a 3/3");
    struct kp_top *top = top_of("a;b+c+b 5|c 1", NULL, false, o);
    assert_true(top->rows[0].inlined == false && top->rows[0].partly); // b: called by a, inlined into c
    assert_int_equal(top->rows[0].samples, 1);
    assert_rows(top, "b 5/5, c 1/6, a 0/5");
}

static void test_by(void **state)
{
    (void)state;
    const char *text = "net/http.(*conn).serve@net/http/server.go:10;main.f@main.go:3;memmove 4|"
                       "main.f@main.go:3;main.g[go.shape.int/x.T]@main.go:9 2|main.f@main.go:4 1|"
                       "std::io::Read::read;memcpy.part.0 1|gopkg.in/yaml%2ev2.Unmarshal 1";
    assert_rows(top_of(text, NULL, false, (struct kp_report_options){.by = KP_BY_LINE, .focus = "^main"}),
        "memmove 4/4, main.g[go.shape.int/x.T] 2/2, main.f 1/1, main.f 0/6, net/http.(*conn).serve 0/4");
    assert_rows(top_of(text, NULL, false, (struct kp_report_options){.by = KP_BY_FILE}),
        "[app] 6/6, main.go 3/7, net/http/server.go 0/4");
    assert_rows(top_of(text, NULL, false, (struct kp_report_options){.by = KP_BY_PACKAGE}),
        "[app] 5/5, main 3/7, gopkg.in/yaml.v2 1/1, net/http 0/4, std::io 0/1");
    const char *labelled = "path=/a x;y 3|path=/b x 2|path=/a z 1|x 7|other=/a x 1";
    assert_rows(top_of(labelled, NULL, false, (struct kp_report_options){.by = KP_BY_LABEL, .label = "path"}),
        "<none> 8/8, /a 4/4, /b 2/2");
    enum kp_report_by by;
    const char *label;
    assert_true(kp_report_by_parse("label=path", &by, &label));
    assert_int_equal(by, KP_BY_LABEL);
    assert_string_equal(label, "path");
    assert_true(kp_report_by_parse("package", &by, &label));
    assert_int_equal(by, KP_BY_PACKAGE);
    assert_false(kp_report_by_parse("label=", &by, &label));
    assert_false(kp_report_by_parse("label", &by, &label));
    assert_false(kp_report_by_parse("functions", &by, &label));
}

static void test_limits(void **state)
{
    (void)state;
    struct kp_top *top = top_of(
        "a 50|b 30|c 15|d 4|e 1", NULL, false, (struct kp_report_options){.limit = 2, .min_share = 0.02});
    assert_int_equal(top->n_left_out, 3);
    assert_int_equal(top->n_small, 1);
    assert_int_equal(top->total, 100);
    assert_int_equal(top->shown_flat, 80);
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 10000);
    kp_top_text(top, &out);
    assert_non_null(strstr(out.data, "Showing nodes accounting for 80ns, 80.00% of 100ns total\n"
                                     "Dropped 1 node (cum <= 2ns)\nShowing top 2 nodes out of 4\n"));
    assert_rows(top, "a 50/50, b 30/30");
    top = top_of("a;b 5|c 5", NULL, false, (struct kp_report_options){.focus = "^b$"});
    assert_int_equal(top->total, 10); // of the whole profile
    assert_rows(top, "b 5/5, a 0/5");
}

static void test_diff(void **state)
{
    (void)state;
    struct kp_report_options o = {0};
    assert_rows(
        top_of("a;b 10|c 5|new 1", "a;b 4|c 5|gone 9", false, o), "gone -9/-9, b 6/6, new 1/1, a 0/6");
    // twice as much of everything is no change in shares
    assert_rows(top_of("a;b 20|c 10", "a;b 10|c 5", true, o), "");
    struct kp_top *top = top_of("a 30|b 10", "a 10|b 10", true, o);
    assert_int_equal(top->base_total, 40); // as it is scaled
    assert_int_equal(top->rows[0].base_flat, 20);
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 10000);
    kp_top_json(top, &out);
    assert_string_equal(out.data,
        "{\"sampleType\":\"cpu\",\"unit\":\"nanoseconds\",\"by\":\"function\",\"total\":40,\"baseTotal\":40,"
        "\"shownFlat\":0,\"timeNanos\":0,\"durationNanos\":0,\"period\":0,\"leftOut\":0,\"rows\":["
        "{\"name\":\"a\",\"flat\":10,\"cum\":10,\"baseFlat\":20,\"baseCum\":20,\"samples\":1},"
        "{\"name\":\"b\",\"flat\":-10,\"cum\":-10,\"baseFlat\":20,\"baseCum\":20,\"samples\":1}]}");
    kp_strbuf_clear(&out);
    kp_top_text(top, &out);
    assert_non_null(
        strstr(out.data, "      flat  flat%   sum%        cum   cum%  base flat   base cum\n"
                         "      10ns 25.00% 25.00%       10ns 25.00%       20ns       20ns  a\n"));
    kp_top_free(top);
    top = top_of("a 1", "", false, o); // nothing before
    assert_int_equal(top->base_total, 0);
    assert_rows(top, "a 1/1");
}

// What is small is told by the base as it is scaled, whichever of the two is the larger.
static void test_small_of_a_normalized_difference(void **state)
{
    (void)state;
    struct kp_report_options o = {.min_share = 0.1};
    assert_rows(top_of("a 60|b 40", "a 7000|b 3000", true, o), "a -10/-10, b 10/10");
    assert_rows(top_of("a 6000|b 3500|c 500", "a 7|b 3", true, o), "a -1000/-1000");
}

// The total is the base's, so the duration and its share are of both.
static void test_duration_of_a_difference(void **state)
{
    (void)state;
    kp_auto_profile *profile = kp_folded("a 2000000000");
    kp_auto_profile *base = kp_folded("a 1000000000");
    profile->duration_ns = 3000000000;
    base->duration_ns = 5000000000;
    profile->time_ns = 1764122400000000000; // 2025-11-26T02:00:00Z
    base->time_ns = profile->time_ns - 3600000000000;
    struct kp_top *top = NULL;
    struct kp_report_options o = {0};
    assert_int_equal(kp_report_top_diff(profile, base, false, &o, &top, NULL), 0);
    assert_int_equal(top->duration_ns, 3000000000);
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 10000);
    kp_top_text(top, &out);
    kp_top_free(top);
    assert_non_null(strstr(out.data, "Time: 2025-11-26 01:00:00 UTC\n"
                                     "Duration: 8s, Total samples = 1s (12.50%)\n"));
}

static void test_overflow(void **state)
{
    (void)state;
    struct kp_report_options o = {0};
    struct kp_top *top = top_of("a 9223372036854775807|a;b 9223372036854775807", NULL, false, o);
    assert_true(top->total == INT64_MAX);
    assert_rows(top, "a 9223372036854775807/9223372036854775807, b 9223372036854775807/9223372036854775807");
    top = top_of("a -9223372036854775808|b 9223372036854775807", "b -9223372036854775808", true, o);
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 10000);
    kp_top_text(top, &out);
    kp_top_free(top);
}

static void test_hostile_names(void **state)
{
    (void)state;
    struct kp_top *top =
        top_of("a\x1b[31m\nb\xff\xc2\x9b\xe2\x82\xac 1", NULL, false, (struct kp_report_options){0});
    assert_string_equal(top->rows[0].name, "a\xef\xbf\xbd[31m\xef\xbf\xbd"
                                           "b\xef\xbf\xbd\xef\xbf\xbd\xe2\x82\xac");
    kp_top_free(top);
}

static void test_wrong_options(void **state)
{
    (void)state;
    kp_auto_profile *profile = kp_folded("a 1");
    struct kp_top *top = NULL;
    struct kp_error err = {0};
    struct kp_report_options o = {.sample_type = "wall"};
    assert_int_equal(kp_report_top(profile, &o, &top, &err), KP_INVALID);
    assert_string_equal(err.text, "the profile has no sample type 'wall': it has cpu");
    o = (struct kp_report_options){.focus = "(a"};
    err = (struct kp_error){0};
    assert_int_equal(kp_report_top(profile, &o, &top, &err), KP_INVALID);
    assert_true(kp_starts_with(err.text, "cannot use '(a' as focus: "));
    kp_auto_profile *nothing = kp_profile_new();
    o = (struct kp_report_options){0};
    assert_int_equal(kp_report_top(nothing, &o, &top, NULL), 0);
    assert_int_equal(top->n, 0);
    kp_top_free(top);
}

// Whoever asks may leave, or wait too long: before a name is matched, and while stacks are walked.
static void test_stops(void **state)
{
    (void)state;
    static const char *const focuses[] = {NULL, "(a|b)*c", "a"};
    kp_auto_profile *profile = kp_folded("a;b 1|a;c 2");
    int cancelled = 1;
    const struct kp_stop gone = {.cancelled = &cancelled}, late = {.deadline_ms = 1};
    for (size_t i = 0; i < KP_COUNT(focuses); i++) {
        struct kp_report_options o = {.focus = focuses[i], .stop = &gone};
        struct kp_top *top = NULL;
        struct kp_flame *flame = NULL;
        struct kp_error err = {0};
        kp_auto_strbuf out;
        kp_strbuf_init(&out, 1000);
        assert_int_equal(kp_report_top(profile, &o, &top, NULL), KP_CANCELED);
        assert_int_equal(kp_report_top_diff(profile, profile, true, &o, &top, NULL), KP_CANCELED);
        assert_int_equal(kp_report_flame(profile, NULL, false, &o, &flame, NULL), KP_CANCELED);
        assert_int_equal(kp_report_peers(profile, &o, "a", &out, NULL), KP_CANCELED);
        o.stop = &late;
        assert_int_equal(kp_report_top(profile, &o, &top, &err), KP_TIMEOUT);
        assert_int_equal(kp_report_flame(profile, NULL, false, &o, &flame, NULL), KP_TIMEOUT);
        assert_int_equal(out.len, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_normalized_golden),
        cmocka_unit_test(test_values_golden),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_recursion),
        cmocka_unit_test(test_by),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_diff),
        cmocka_unit_test(test_small_of_a_normalized_difference),
        cmocka_unit_test(test_duration_of_a_difference),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
