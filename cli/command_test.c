// The table of commands, and what is made from it.
#include "cli/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/help.h"
#include "base/banned.h"

// "a b " -> "a", "b", "": words of a line, the last one perhaps empty.
struct line {
    char text[128];
    char *words[8];
    size_t n;
};

static struct line *split(struct line *line, const char *text)
{
    char *p = line->text;
    kp_copy(line->text, sizeof line->text, text);
    line->n = 0;
    for (;;) {
        line->words[line->n++] = p;
        p += strcspn(p, " ");
        if (*p == '\0')
            return line;
        *p++ = '\0';
    }
}

static void test_every_row_is_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < kp_cli_n_commands; i++) {
        const struct kp_command *c = &kp_cli_commands[i];
        assert_true(c->run != NULL);
        assert_true(c->hidden || c->summary[0] != '\0');
        assert_true(c->complete != KP_COMPLETE_WORDS || c->words != NULL);
        for (const char *p = c->flags; *p; p += strspn(p, " ")) { // each flag it names is one
            kp_auto_free char *flag = kp_strndup(p, strcspn(p, " "));
            assert_true(kp_cli_option(flag) != NULL && !kp_command_is_common(flag));
            p += strlen(flag);
        }
    }
}

static void test_every_flag_is_of_some_command(void **state)
{
    (void)state;
    for (size_t i = 0; i < kp_cli_n_options; i++) {
        bool taken = false;
        for (size_t k = 0; k < kp_cli_n_commands; k++)
            taken = taken || kp_command_takes(&kp_cli_commands[k], kp_cli_options[i].flag);
        assert_true(taken);
    }
    for (const struct kp_option_letter *l = kp_cli_letters; l->letter; l++)
        assert_non_null(kp_cli_option(l->flag));
}

static void test_names_of_two_words(void **state)
{
    (void)state;
    struct line line;
    size_t taken = 0;
    split(&line, "policy dry-run x");
    assert_string_equal(kp_command_find(line.words, 3, &taken)->name, "policy dry-run");
    assert_int_equal(taken, 2);
    assert_null(kp_command_find(line.words, 1, &taken));
    assert_true(kp_help_is_group("policy"));
    assert_false(kp_help_is_group("top"));
}

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static char *run(int (*fn)(struct kp_cli *cli, struct kp_error *err), const char *args)
{
    struct line line;
    char *text = NULL;
    size_t len = 0;
    struct kp_error err = {0};
    struct kp_cli cli = {.args = split(&line, args)->words,
        .n_args = line.n,
        .out = open_memstream(&text, &len),
        .err = stderr,
        .env = no_env};
    assert_int_equal(fn(&cli, &err), 0);
    fclose(cli.out);
    return text;
}

static void test_the_documentation_is_of_this_table(void **state)
{
    (void)state;
    char *made = run(kp_cli_man, "markdown");
    char *written = NULL;
    size_t len = 0;
    assert_int_equal(
        kp_file_read(KP_TESTDATA "/../../docs/kubectl-pprof.md", 1 << 20, &written, &len, NULL), 0);
    if (strcmp(made, written) != 0)
        print_error("docs/kubectl-pprof.md is old: build/dev/bin/kubectl-pprof __man markdown "
                    ">docs/kubectl-pprof.md\n");
    assert_string_equal(made, written);
    free(made);
    kp_free(written);
}

static void check_complete(const char *words, const char *expected)
{
    char *text = run(kp_cli_complete, words);
    assert_string_equal(text, expected);
    free(text);
}

static void test_completion_without_a_cluster(void **state)
{
    (void)state;
    check_complete("__complete-me x", ":4\n");
    check_complete("pol", "policy\n:4\n");
    check_complete("policy l", "lint\tcheck policies before they are applied\n:4\n");
    check_complete("capture --via ", "auto\nproxy\nport-forward\n:4\n");
    check_complete("capture --via=p", "proxy\nport-forward\n:4\n");
    check_complete("top -t cpu,bl", "cpu,block\n:4\n");
    check_complete("load ", ":0\n");
    check_complete("load --nope ", ":4\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_whole),
        cmocka_unit_test(test_every_flag_is_of_some_command),
        cmocka_unit_test(test_names_of_two_words),
        cmocka_unit_test(test_the_documentation_is_of_this_table),
        cmocka_unit_test(test_completion_without_a_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
