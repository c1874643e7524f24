// Arguments, letters and flags of one command line.
#include "options/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

struct values {
    char *namespace;
    bool all, watch;
    int64_t limit;
    struct kp_option_list types, groups;
};

#define AT(field) offsetof(struct values, field)
static const struct kp_option rows[] = {
    {"namespace", "NAME", KP_OPTION_STRING, AT(namespace), NULL, 0, 0, "Where."},
    {"all-namespaces", NULL, KP_OPTION_BOOL, AT(all), NULL, 0, 0, "Everywhere."},
    {"watch", NULL, KP_OPTION_BOOL, AT(watch), NULL, 0, 0, "Go on."},
    {"limit", "N", KP_OPTION_INT, AT(limit), "10", 1, 100, "At most."},
    {"type", "TYPE", KP_OPTION_LIST, AT(types), NULL, 0, 0, "Which."},
    {"group", "NAME", KP_OPTION_TEXTS, AT(groups), NULL, 0, 0, "Who."},
};
static const struct kp_option_letter letters[] = {
    {'n', "namespace"}, {'A', "all-namespaces"}, {'w', "watch"}, {'t', "type"}, {0, NULL}};
enum { N = sizeof rows / sizeof rows[0], ARGS = 16 };

struct parse {
    int rc;
    struct values values;
    struct kp_error err;
    char words[ARGS][64];
    char *argv[ARGS], *args[ARGS];
    int argc;
    size_t n_args;
};

static void parse(struct parse *p, const char *line, bool takes_args)
{
    memset(p, 0, sizeof *p);
    while (*line && p->argc < ARGS) {
        size_t len = strcspn(line, " ");
        kp_copy(p->words[p->argc], len + 1 < 64 ? len + 1 : 64, line);
        p->argv[p->argc] = p->words[p->argc];
        p->argc++;
        line += len + (line[len] == ' ');
    }
    const struct kp_options_source source = {.argc = p->argc,
        .argv = p->argv,
        .letters = letters,
        .args = takes_args ? p->args : NULL,
        .n_args = takes_args ? &p->n_args : NULL};
    p->rc = kp_options_load(rows, N, &source, &p->values, &p->err);
}

static void test_arguments_and_flags_may_be_mixed(void **state)
{
    (void)state;
    struct parse p;
    parse(
        &p, "get pods -n shop web-1 --limit 3 -tcpu,heap -Aw db --type=goroutine -- -x --watch=false", true);
    assert_int_equal(p.rc, 0);
    assert_string_equal(p.values.namespace, "shop");
    assert_true(p.values.all && p.values.watch);
    assert_int_equal(p.values.limit, 3);
    assert_int_equal(p.values.types.n, 3);
    assert_string_equal(p.values.types.items[2], "goroutine");
    static const char *const expected[] = {"pods", "web-1", "db", "-x", "--watch=false"};
    assert_int_equal(p.n_args, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(p.args[i], expected[i]);
    kp_options_finish(rows, N, &p.values);
}

static void test_a_letter_takes_its_value_in_three_ways(void **state)
{
    (void)state;
    static const char *const lines[] = {"x -n shop", "x -nshop", "x -n=shop", "x -wn shop", "x -An=shop"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct parse p;
        parse(&p, lines[i], false);
        assert_int_equal(p.rc, 0);
        assert_string_equal(p.values.namespace, "shop");
        kp_options_finish(rows, N, &p.values);
    }
    struct parse p;
    parse(&p, "x -w=false -", true);
    assert_int_equal(p.rc, 0);
    assert_false(p.values.watch);
    assert_string_equal(p.args[0], "-"); // standard input
    kp_options_finish(rows, N, &p.values);
}

static void test_texts_are_taken_as_they_are(void **state)
{
    (void)state;
    struct parse p;
    parse(&p, "cmd --group CN=a,OU=b --group= --group=c", false);
    assert_int_equal(p.rc, 0);
    assert_int_equal(p.values.groups.n, 3);
    assert_string_equal(p.values.groups.items[0], "CN=a,OU=b");
    assert_string_equal(p.values.groups.items[1], "");
    kp_options_finish(rows, N, &p.values);
}

static void test_what_is_wrong_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"x -z", "unknown flag '-z'; --help lists them"},
        {"x -wz", "unknown flag '-z' in '-wz'; --help lists them"},
        {"x -n", "-n needs a value: --namespace=NAME"},
        {"x --limit=0", "--limit: '0' is not between 1 and 100"},
        {"x --nope", "unknown flag '--nope'; --help lists them"},
        {"x --limt=3", "unknown flag '--limt'; did you mean --limit?; --help lists them"},
        {"x word", "unexpected argument 'word'; flags start with --"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct parse p;
        parse(&p, cases[i].line, false);
        assert_int_equal(p.rc, KP_INVALID);
        assert_string_equal(p.err.text, cases[i].says);
    }
}

static void test_help_is_asked_for_before_the_dashes_only(void **state)
{
    (void)state;
    struct parse p;
    parse(&p, "x word -h", true);
    assert_int_equal(p.rc, KP_OPTIONS_HELP);
    parse(&p, "x -- -h", true);
    assert_int_equal(p.rc, 0);
    assert_string_equal(p.args[0], "-h");
    kp_options_finish(rows, N, &p.values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments_and_flags_may_be_mixed),
        cmocka_unit_test(test_a_letter_takes_its_value_in_three_ways),
        cmocka_unit_test(test_texts_are_taken_as_they_are),
        cmocka_unit_test(test_what_is_wrong_is_said),
        cmocka_unit_test(test_help_is_asked_for_before_the_dashes_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
