#include "report/report_fixture.h"

#include <stdio.h>

#include "base/text.h"
#include "report/flame.h"
#include "base/banned.h"

typedef void writer_fn(const struct kp_flame *flame, struct kp_strbuf *out);

static struct kp_flame *flame_of(
    const char *folded, const char *base, bool normalize, struct kp_report_options o)
{
    kp_auto_profile *profile = kp_folded(folded);
    kp_auto_profile *before = base ? kp_folded(base) : NULL;
    struct kp_flame *flame = NULL;
    struct kp_error err = {0};
    if (kp_report_flame(profile, before, normalize, &o, &flame, &err) < 0)
        fail_msg("%s", err.text);
    return flame;
}

static char *text_of(struct kp_flame *flame, writer_fn *write)
{
    struct kp_strbuf out;
    kp_strbuf_init(&out, 64 << 20);
    write(flame, &out);
    assert_false(out.overflow);
    kp_flame_free(flame);
    return kp_strbuf_take(&out, NULL);
}

static void write_svg(const struct kp_flame *flame, struct kp_strbuf *out)
{
    kp_flame_svg(flame, "a title", out);
}

static void write_html(const struct kp_flame *flame, struct kp_strbuf *out)
{
    kp_flame_html(flame, "a title", out);
}

static void assert_text(struct kp_flame *flame, writer_fn *write, const char *expected)
{
    kp_auto_free char *text = text_of(flame, write);
    assert_string_equal(text, expected);
}

#define PLAIN ((struct kp_report_options){0})

static void test_folded(void **state)
{
    (void)state;
    assert_text(flame_of("a;b 1|a;b+c 2|d 9|a 3|a;b 4", NULL, false, PLAIN), kp_flame_folded,
        "a 3\na;b 5\na;b;c 2\nd 9\n");
}

static void test_folded_cut(void **state)
{
    (void)state;
    struct kp_report_options o = {.limit = 3}; // all, d, a
    assert_text(flame_of("a;b 5|a 3|a;c 1|d 10", NULL, false, o), kp_flame_folded, "d 10\na 9\n");
    assert_text(flame_of("a;b 5|a;c 1|b 2", "a;b 2|e 1", false, PLAIN), kp_flame_folded,
        "a;b 2 5\na;c 0 1\nb 0 2\ne 1 0\n");
    assert_text(flame_of("a;b,c 1", NULL, false, PLAIN), kp_flame_folded, "a;b,c 1\n");
}

static void test_json(void **state)
{
    (void)state;
    assert_text(flame_of("net/http.f@s.go:1;main.g 5|net/http.f@s.go:1 3", "main.g 2", false, PLAIN),
        kp_flame_json,
        "{\"sampleType\":\"cpu\",\"unit\":\"nanoseconds\",\"by\":\"function\",\"total\":8,\"baseTotal\":2,"
        "\"timeNanos\":0,\"durationNanos\":0,\"period\":0,\"leftOut\":{\"nodes\":0,\"value\":0},\"path\":[],"
        "\"frames\":[[\"net/http.f\",1,0,1],[\"main.g\",0,0,2]],\"files\":[\"\",\"s.go\"],"
        "\"packages\":[\"\",\"net/http\",\"main\"],\"hues\":[201,118,294],"
        "\"nodes\":{\"parent\":[-1,0,1,0],\"frame\":[-1,0,1,1],\"value\":[8,8,5,0],\"self\":[0,3,5,0],"
        "\"leftOut\":[0,0,0,0],\"base\":[2,0,0,2],\"baseSelf\":[0,0,0,2],\"weight\":[10,8,5,2],"
        "\"id\":[\"34c96acdcadb1bbb\",\"4bab71636472be2a\",\"1367730572683294\",\"1dee41bb5041f487\"]}}");
}

static void test_below(void **state)
{
    (void)state;
    const char *text = "a;b;c 4|a;b;d 2|a;e 3|f 1";
    struct kp_flame *whole = flame_of(text, NULL, false, PLAIN);
    assert_int_equal(whole->n, 7);
    assert_string_equal(kp_flame_name(whole, &whole->nodes[2]), "b");
    char id[17];
    snprintf(id, sizeof id, "%016llx", (unsigned long long)whole->nodes[2].id);
    struct kp_flame *below = flame_of(text, NULL, false, (struct kp_report_options){.below = id});
    assert_int_equal(below->n, 3);
    assert_int_equal(below->n_path, 1);
    assert_string_equal(below->path[0], "a");
    assert_int_equal(below->total, 10); // of all
    assert_int_equal(below->nodes[0].value, 6);
    assert_int_equal(below->nodes[1].id, whole->nodes[3].id);
    kp_flame_free(whole);
    assert_text(below, kp_flame_folded, "b;c 4\nb;d 2\n");

    kp_auto_profile *profile = kp_folded(text);
    struct kp_flame *flame = NULL;
    struct kp_error err = {0};
    struct kp_report_options o = {.below = "0123456789abcdef"};
    assert_int_equal(kp_report_flame(profile, NULL, false, &o, &flame, &err), KP_NOT_FOUND);
    static const char *const wrong[] = {
        "1", "0123456789abcdefg", "0123456789ABCDEF", "-123456789abcdef", " 1"};
    for (size_t i = 0; i < KP_COUNT(wrong); i++) {
        o.below = wrong[i];
        assert_int_equal(kp_report_flame(profile, NULL, false, &o, &flame, NULL), KP_INVALID);
    }
}

// A graph cut short, and what was cut loaded below its nodes, make up the whole.
static void test_cut_counts(void **state)
{
    (void)state;
    kp_auto_profile *profile = kp_load("etcd-cpu");
    struct kp_flame *whole = NULL, *cut = NULL;
    struct kp_report_options all = {.limit = 1000000}, few = {.limit = 100};
    assert_int_equal(kp_report_flame(profile, NULL, false, &all, &whole, NULL), 0);
    assert_int_equal(kp_report_flame(profile, NULL, false, &few, &cut, NULL), 0);
    assert_int_equal(whole->n_left_out, 0);
    assert_int_equal(cut->n, 100);
    assert_int_equal(cut->n_left_out, whole->n - 100);
    int64_t lightest = INT64_MAX;
    uint32_t n_cut = 0;
    for (uint32_t i = 0; i < cut->n; i++) {
        const struct kp_flame_node *node = &cut->nodes[i];
        int64_t rest = node->value - node->self - node->cut;
        for (uint32_t k = i + 1; k < cut->n; k++)
            if (cut->nodes[k].parent == i)
                rest -= cut->nodes[k].value;
        assert_true(rest == 0);
        assert_true(i == 0 || node->parent < i);
        lightest = node->weight < lightest ? node->weight : lightest;
        n_cut += node->n_cut;
    }
    assert_int_equal(n_cut, cut->n_left_out);
    unsigned heavier = 0;
    for (uint32_t i = 0; i < whole->n; i++)
        heavier += whole->nodes[i].weight > lightest;
    assert_true(heavier < 100); // none of those was left out
    kp_flame_free(cut);
    struct kp_report_options share = {.limit = 1000000, .min_share = 0.01};
    assert_int_equal(kp_report_flame(profile, NULL, false, &share, &cut, NULL), 0);
    for (uint32_t i = 0; i < cut->n; i++)
        assert_true(cut->nodes[i].value * 100 >= cut->total);
    assert_true(cut->n_left_out > 0 && cut->n > 20);
    kp_flame_free(cut);
    kp_flame_free(whole);
}

// Values of a function in the tree, recursion counted once, are what top says.
static void test_agrees_with_top(void **state)
{
    (void)state;
    kp_auto_profile *profile = kp_load("etcd-heap");
    struct kp_report_options o = {.sample_type = "alloc_space", .limit = 1000000};
    struct kp_top *top = NULL;
    struct kp_flame *flame = NULL;
    assert_int_equal(kp_report_top(profile, &o, &top, NULL), 0);
    assert_int_equal(kp_report_flame(profile, NULL, false, &o, &flame, NULL), 0);
    for (size_t r = 0; r < top->n; r++) {
        int64_t flat = 0, cum = 0;
        for (uint32_t i = 1; i < flame->n; i++) {
            const struct kp_flame_node *node = &flame->nodes[i];
            if (!kp_streq(kp_flame_name(flame, node), top->rows[r].name))
                continue;
            flat += node->self;
            bool is_inner = false;
            for (uint32_t up = node->parent; up != 0 && !is_inner; up = flame->nodes[up].parent)
                is_inner = kp_streq(kp_flame_name(flame, &flame->nodes[up]), top->rows[r].name);
            cum += is_inner ? 0 : node->value;
        }
        assert_true(flat == top->rows[r].flat && cum == top->rows[r].cum);
    }
    kp_top_free(top);
    kp_flame_free(flame);
}

static void test_order_of_samples(void **state)
{
    (void)state;
    struct kp_report_options o = {.limit = 6};
    kp_auto_free char *one =
        text_of(flame_of("a;b 1|a;c 1|d;e 1|d;f 1|g 1|h 1|i 1", NULL, false, o), kp_flame_json);
    kp_auto_free char *two =
        text_of(flame_of("i 1|h 1|g 1|d;f 1|d;e 1|a;c 1|a;b 1", NULL, false, o), kp_flame_json);
    assert_string_equal(one, two);
}

static void test_by(void **state)
{
    (void)state;
    struct kp_report_options o = {.by = KP_BY_LABEL, .label = "path"};
    assert_text(flame_of("path=/a x;y 3|path=/b x 2|x;y 7", NULL, false, o), kp_flame_folded,
        "<none>;x;y 7\n/a;x;y 3\n/b;x 2\n");
    o = (struct kp_report_options){.by = KP_BY_PACKAGE};
    assert_text(flame_of("a/b.f;a/b.g;c.h 3", NULL, false, o), kp_flame_folded, "a/b;a/b;c 3\n");
    o = (struct kp_report_options){.by = KP_BY_LINE};
    assert_text(
        flame_of("a@f.c:1;b@f.c:7 3|a@f.c:2;b 2", NULL, false, o), kp_flame_folded, "a:1;b:7 3\na:2;b 2\n");
    o = (struct kp_report_options){.hide = "^a/b", .focus = "^c", .ignore = "bad"};
    assert_text(flame_of("a/b.f;a/b.g;c.h 3|d.e 1|c.bad 2", NULL, false, o), kp_flame_folded, "c.h 3\n");
}

static void test_tree(void **state)
{
    (void)state;
    assert_text(flame_of("main;serve;a;b 5000000|main;serve;c 3000000|main;serve;d 2000000", NULL, false,
                    (struct kp_report_options){.limit = 6}),
        kp_flame_tree,
        "cpu, 10ms in all; 1 small node is not shown\n"
        "     total   share       self\n"
        "      10ms    100%          0  all\n"
        "      10ms    100%          0  main\n"
        "      10ms    100%          0  serve\n"
        "       5ms  50.00%          0 +  a\n"
        "       5ms  50.00%        5ms |  b\n"
        "       3ms  30.00%        3ms +  c\n");
    assert_text(flame_of("a;b 5|a;c 1", "a;b 7", false, PLAIN), kp_flame_tree,
        "cpu, 6ns in all, 7ns before\n"
        "    change       base        new   share       self\n"
        "      -1ns        7ns        6ns  14.29%          0  all\n"
        "      -1ns        7ns        6ns  14.29%          0  a\n"
        "      -2ns        7ns        5ns  28.57%        5ns +  b\n"
        "       1ns          0        1ns  14.29%        1ns +  c\n");
}

static void test_diff(void **state)
{
    (void)state;
    struct kp_flame *flame = flame_of("a 30|b 10", "a 10|b 10|c 20", true, PLAIN);
    assert_int_equal(flame->base_total, 40);
    assert_string_equal(kp_flame_name(flame, &flame->nodes[1]), "a");
    assert_true(kp_flame_change(flame, &flame->nodes[1]) > 0.66);
    assert_true(kp_flame_change(flame, &flame->nodes[3]) == -1); // c is gone
    assert_true(kp_flame_change(flame, &flame->nodes[2]) == 0);
    kp_flame_free(flame);
    flame =
        flame_of("a -5|b 9223372036854775807", "a 9223372036854775807|a -9223372036854775808", true, PLAIN);
    assert_true(flame->has_negative);
    kp_auto_free char *json = text_of(flame, kp_flame_json);
    assert_non_null(strstr(json, "\"weight\":["));
}

// Stacks as deep as the decoder lets them be, and wide ones.
static void test_deep(void **state)
{
    (void)state;
    struct kp_strbuf text;
    kp_strbuf_init(&text, 16 << 20);
    for (unsigned i = 0; i < 65536; i++)
        kp_strbuf_addf(&text, "%sf%u", i > 0 ? ";" : "", i % 7);
    kp_strbuf_adds(&text, " 3");
    struct kp_flame *flame = flame_of(text.data, NULL, false, (struct kp_report_options){.limit = 100000});
    assert_int_equal(flame->n, 65537);
    static writer_fn *const writers[] = {
        kp_flame_json, kp_flame_tree, kp_flame_folded, write_svg, write_html};
    for (size_t i = 0; i < KP_COUNT(writers); i++) {
        struct kp_strbuf out;
        kp_strbuf_init(&out, 64 << 20);
        writers[i](flame, &out);
        assert_false(out.overflow);
        assert_true(out.len > 65536);
        kp_strbuf_finish(&out);
    }
    kp_flame_free(flame);
    kp_strbuf_finish(&text);
}

static void test_full_buffer(void **state)
{
    (void)state;
    struct kp_flame *flame = flame_of("a;b;c 1|d 2", NULL, false, PLAIN);
    static writer_fn *const writers[] = {
        kp_flame_json, kp_flame_tree, kp_flame_folded, write_svg, write_html};
    for (size_t i = 0; i < KP_COUNT(writers); i++) {
        struct kp_strbuf out;
        kp_strbuf_init(&out, 5);
        writers[i](flame, &out);
        assert_true(out.overflow);
        kp_strbuf_finish(&out);
    }
    kp_flame_free(flame);
}

static void test_empty(void **state)
{
    (void)state;
    assert_text(flame_of("", NULL, false, PLAIN), kp_flame_folded, "");
    assert_text(flame_of("a;b 0", "", true, PLAIN), kp_flame_folded, "");
    kp_auto_profile *nothing = kp_profile_new();
    struct kp_report_options o = {0};
    struct kp_flame *flame = NULL;
    assert_int_equal(kp_report_flame(nothing, nothing, true, &o, &flame, NULL), 0);
    assert_int_equal(flame->n, 1);
    kp_flame_free(flame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folded),
        cmocka_unit_test(test_folded_cut),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_cut_counts),
        cmocka_unit_test(test_agrees_with_top),
        cmocka_unit_test(test_order_of_samples),
        cmocka_unit_test(test_by),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_diff),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_full_buffer),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
