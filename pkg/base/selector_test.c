#include "base/selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

static struct kp_selector *parse(const char *text, bool regex)
{
    struct kp_error err = {0};
    struct kp_selector *selector = NULL;
    if (kp_selector_parse(text, regex, &selector, &err) != 0)
        fail_msg("'%s': %s", text, err.text);
    return selector;
}

// Whether the selector matches {app: web, env: prod, empty: ""}.
static bool matches(const char *text, bool regex)
{
    static const struct kp_label items[] = {{"env", "prod"}, {"app", "web"}, {"empty", ""}};
    struct kp_labels *labels = kp_labels_create(items, 3);
    struct kp_selector *selector = parse(text, regex);
    bool match = kp_selector_matches(selector, labels);
    kp_selector_destroy(selector);
    kp_labels_destroy(labels);
    return match;
}

static void test_kubectl_grammar(void **state)
{
    (void)state;
    static const char *const yes[] = {"", "  ", "app", "app=web", "app==web", "app = web",
        " app=web ,env=prod ", "app!=db", "gone!=x", "app in (web)", "app in (db, web)", "app in(web)",
        "app  in  ( web ,db )", "app notin (db,x)", "gone notin (a)", "!gone", "! gone", "empty",
        "empty=", "empty==", "empty==,env", "empty in (x,)", "empty in ()", "app=web,empty=,env",
        "!gone,env in (prod,dev),app!=db", "app\tin\t(web)"};
    static const char *const no[] = {"gone", "app=db", "app=", "app==", "gone==", "gone=", "app!=web",
        "app in (db)", "gone in (web)", "app notin (web)", "!app", "app=web,env=dev", "empty=x", "app=We"};
    for (size_t i = 0; i < KP_COUNT(yes); i++)
        if (!matches(yes[i], false) || !matches(yes[i], true))
            fail_msg("'%s' does not match", yes[i]);
    for (size_t i = 0; i < KP_COUNT(no); i++)
        if (matches(no[i], false) || matches(no[i], true))
            fail_msg("'%s' matches", no[i]);
}

static void test_one_of_several_values(void **state)
{
    (void)state;
    static const struct {
        const char *value, *wanted;
        bool yes;
    } rows[] = {{"1", "1", true}, {"1", "2", false}, {"1" KP_LABEL_JOIN "2", "1", true},
        {"1" KP_LABEL_JOIN "2", "2", true}, {"1" KP_LABEL_JOIN "22", "2", false}, {"", "", true},
        {"1" KP_LABEL_JOIN, "", true}, {"1", "", false}, {"12", "1", false}};
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        const struct kp_label label = {"k", rows[i].value};
        const struct kp_requirement req = {
            .key = "k", .op = KP_SELECTOR_HAS, .n_values = 1, .values = &rows[i].wanted};
        struct kp_labels *labels = kp_labels_create(&label, 1);
        struct kp_selector *selector = NULL;
        assert_int_equal(kp_selector_create(&req, 1, &selector, NULL), 0);
        if (kp_selector_matches(selector, labels) != rows[i].yes)
            fail_msg("row %zu", i);
        assert_false(kp_selector_matches(selector, NULL));
        kp_selector_destroy(selector);
        kp_labels_destroy(labels);
    }
}

static void test_keys_named_like_operators(void **state)
{
    (void)state;
    struct kp_selector *selector = parse("in in (in),notin notin (notin),!x", false);
    size_t n;
    const struct kp_requirement *reqs = kp_selector_requirements(selector, &n);
    assert_int_equal(n, 3);
    assert_string_equal(reqs[0].key, "in");
    assert_int_equal(reqs[0].op, KP_SELECTOR_IN);
    assert_int_equal(reqs[1].op, KP_SELECTOR_NOT_IN);
    assert_int_equal(reqs[2].op, KP_SELECTOR_NOT_EXISTS);
    kp_selector_destroy(selector);
}

static void test_refuses_with_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {",", "a key is missing"},
        {"a,", "selector is wrong at its end: a requirement is missing behind ','"},
        {"a,,b", "a key is missing"},
        {"=x", "a key is missing"},
        {"!", "a key is missing behind '!'"},
        {"!a=b", "expected ',' between requirements"},
        {"a b", "selector is wrong at 'b': expected ',' between requirements"},
        {"a=b c=d", "expected ',' between requirements"},
        {"a=b=c", "expected ','"},
        {"a in", "expected '(' with values"},
        {"a in x", "expected '(' with values"},
        {"a in (x", "selector is wrong at its end: expected ')'"},
        {"a in (x(y))", "expected ')'"},
        {"a in (x) y", "expected ','"},
        {"a inn (x)", "expected ','"},
        {"a>1", "< and > are not understood"},
        {"a < 1", "< and > are not understood"},
        {"a=~x", "regular expressions are not understood here"},
        {"a!~x", "regular expressions are not understood here"},
        {"-a=b", "'-a' is not a label key"},
        {"a/b/c", "'a/b/c' is not a label key"},
        {"A.b/c=d", "is not a label key"},
        {"a=b/c", "'b/c' is not a label value"},
        {"a in (x,-y)", "'-y' is not a label value"},
    };
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        struct kp_error err = {0};
        struct kp_selector *selector = NULL;
        if (kp_selector_parse(cases[i].text, false, &selector, &err) != KP_INVALID)
            fail_msg("'%s' was taken", cases[i].text);
        assert_null(selector);
        if (strstr(err.text, cases[i].reason) == NULL)
            fail_msg("'%s' is refused with \"%s\", not \"%s\"", cases[i].text, err.text, cases[i].reason);
    }
}

static void test_regexes(void **state)
{
    (void)state;
    static const char *const yes[] = {"app=~web", "app=~w.*", "app =~ (db|web)", "app=~\"w[a-z]{2,2}\"",
        "app!~we", "gone=~", "gone=~.*", "gone!~.+", "app=~w(e|x)b,env=~pr.d", "app=~\"x,|web\"",
        "app=~ web ,env"};
    static const char *const no[] = {
        "app=~we", "app=~eb", "app!~web", "gone=~.+", "app=~", "app=~\"\"", "app=~WEB"};
    for (size_t i = 0; i < KP_COUNT(yes); i++)
        if (!matches(yes[i], true))
            fail_msg("'%s' does not match", yes[i]);
    for (size_t i = 0; i < KP_COUNT(no); i++)
        if (matches(no[i], true))
            fail_msg("'%s' matches", no[i]);
}

static void test_refuses_bad_regexes(void **state)
{
    (void)state;
    struct kp_error err = {0};
    struct kp_selector *selector = NULL;
    assert_int_equal(kp_selector_parse("a=b,c=~\"(x\"", true, &selector, &err), KP_INVALID);
    assert_string_equal(err.text, "regex '(x' is wrong: ')' is missing");
    kp_error_clear(&err);
    assert_int_equal(kp_selector_parse("a=~\"x", true, &selector, &err), KP_INVALID);
    assert_string_equal(err.text, "selector is wrong at its end: the closing quote is missing");
    assert_null(selector);
}

static void test_formats_what_parses_back(void **state)
{
    (void)state;
    static const char *const cases[] = {"", "a", "!a", "a=b", "a!=b", "a in (x,y)", "a notin (x,y)",
        "a=", "a=~x.*", "a!~x.*", "a=~\"x,y\"", "a=b,c!=d,!e,f in (g,h)"};
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        struct kp_selector *selector = parse(cases[i], true);
        kp_auto_strbuf out;
        kp_strbuf_init(&out, 1000);
        kp_selector_format(selector, &out);
        assert_string_equal(out.data, cases[i]);
        kp_selector_destroy(selector);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct kp_selector *selector = NULL;
    struct kp_error err = {0};
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 100000);
    for (int i = 0; i < 65; i++)
        kp_strbuf_addf(&text, "%sk%d", i > 0 ? "," : "", i);
    assert_int_equal(kp_selector_parse(text.data, true, &selector, &err), KP_LIMIT);
    kp_strbuf_clear(&text);
    kp_strbuf_adds(&text, "k in (v");
    for (int i = 0; i < 64; i++)
        kp_strbuf_addf(&text, ",v%d", i);
    kp_strbuf_adds(&text, ")");
    kp_error_clear(&err);
    assert_int_equal(kp_selector_parse(text.data, true, &selector, &err), KP_LIMIT);
    kp_strbuf_clear(&text);
    for (int i = 0; i < 8193; i++)
        kp_strbuf_addc(&text, 'a');
    kp_error_clear(&err);
    assert_int_equal(kp_selector_parse(text.data, true, &selector, &err), KP_LIMIT);
    assert_null(selector);
}

static void refuse(const struct kp_requirement *req)
{
    struct kp_selector *selector = NULL;
    assert_int_equal(kp_selector_create(req, 1, &selector, NULL), KP_INVALID);
    assert_null(selector);
}

static void test_create_checks(void **state)
{
    (void)state;
    static const char *const values[] = {"x", "y"};
    refuse(&(struct kp_requirement){.key = "", .op = KP_SELECTOR_EXISTS});
    refuse(&(struct kp_requirement){.key = "a", .op = KP_SELECTOR_IN});
    refuse(&(struct kp_requirement){.key = "a", .op = KP_SELECTOR_EXISTS, .n_values = 1, .values = values});
    refuse(&(struct kp_requirement){.key = "a", .op = KP_SELECTOR_MATCHES, .n_values = 2, .values = values});
    // a bad one behind a good one frees the good one
    static const char *const regexes[] = {"x", "("};
    struct kp_requirement both[] = {
        {.key = "a", .op = KP_SELECTOR_MATCHES, .n_values = 1, .values = &regexes[0]},
        {.key = "b", .op = KP_SELECTOR_MATCHES, .n_values = 1, .values = &regexes[1]}};
    struct kp_selector *selector = NULL;
    assert_int_equal(kp_selector_create(both, 2, &selector, NULL), KP_INVALID);
}

static void test_nothing_is_everything(void **state)
{
    (void)state;
    size_t n = 1;
    assert_true(kp_selector_matches(NULL, NULL));
    assert_true(kp_selector_is_empty(NULL));
    assert_null(kp_selector_requirements(NULL, &n));
    assert_int_equal(n, 0);
    struct kp_selector *selector = parse("!a", false);
    assert_true(kp_selector_matches(selector, NULL));
    assert_false(kp_selector_is_empty(selector));
    kp_selector_destroy(selector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kubectl_grammar),
        cmocka_unit_test(test_one_of_several_values),
        cmocka_unit_test(test_keys_named_like_operators),
        cmocka_unit_test(test_refuses_with_reason),
        cmocka_unit_test(test_regexes),
        cmocka_unit_test(test_refuses_bad_regexes),
        cmocka_unit_test(test_formats_what_parses_back),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_create_checks),
        cmocka_unit_test(test_nothing_is_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
