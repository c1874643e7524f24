// docs/operations.md against the metrics there are: names stand in the sources as they are served.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <glob.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"
#include "testkit/testkit.h"
#include "base/banned.h"

#define ROOT KP_TESTDATA "/../../.."

struct names {
    KP_ARRAY(char *) list;
};

static bool has(const struct names *names, const char *name)
{
    for (size_t i = 0; i < names->list.n; i++)
        if (kp_streq(names->list.items[i], name))
            return true;
    return false;
}

static bool is_metric(const char *name)
{
    static const char *const prefixes[] = {
        "kube_pprof_", "http_", "process_", "rest_client_", "leader_election_", "profefe_api_"};
    for (size_t i = 0; i < KP_COUNT(prefixes); i++)
        if (kp_starts_with(name, prefixes[i]))
            return !kp_streq(name, "http_proxy"); // an environment variable
    return false;
}

// Words between two quotes, or between a backtick and the end of the word.
static void collect(const char *text, char quote, char also_ends, struct names *names)
{
    for (const char *p = strchr(text, quote); p != NULL; p = strchr(p + 1, quote)) {
        size_t n = strspn(p + 1, "abcdefghijklmnopqrstuvwxyz0123456789_");
        if (n == 0 || (p[n + 1] != quote && p[n + 1] != also_ends))
            continue;
        kp_auto_free char *name = kp_strndup(p + 1, n);
        if (is_metric(name) && !has(names, name))
            *kp_array_add(&names->list) = kp_strdup(name);
    }
}

static void collect_sources(const char *pattern, struct names *names)
{
    glob_t found;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *path = found.gl_pathv[i];
        if (kp_ends_with(path, "_test.c") || kp_ends_with(path, "_fuzz.c"))
            continue;
        kp_auto_free char *text = kp_test_read_file(path, NULL);
        collect(text, '"', '"', names);
    }
    globfree(&found);
}

static void names_finish(struct names *names)
{
    for (size_t i = 0; i < names->list.n; i++)
        kp_free(names->list.items[i]);
    kp_array_free(&names->list);
}

static void test_the_list_is_whole(void **state)
{
    (void)state;
    struct names made = {0}, told = {0}, listed = {0};
    collect_sources(ROOT "/pkg/*/*.c", &made);
    collect_sources(ROOT "/pkg/*/*.h", &made);
    collect_sources(ROOT "/controller/*.c", &made);
    kp_auto_free char *docs = kp_test_read_file(ROOT "/docs/operations.md", NULL);
    const char *list = strstr(docs, "\n## All metrics\n");
    assert_non_null(list);
    collect(docs, '`', '{', &told);
    collect(list, '`', '{', &listed);
    assert_true(made.list.n > 50);
    for (size_t i = 0; i < made.list.n; i++)
        if (!has(&listed, made.list.items[i]))
            fail_msg("docs/operations.md does not list %s under 'All metrics'", made.list.items[i]);
    for (size_t i = 0; i < told.list.n; i++)
        if (!has(&made, told.list.items[i]))
            fail_msg("docs/operations.md names %s, which nothing makes", told.list.items[i]);
    names_finish(&made);
    names_finish(&told);
    names_finish(&listed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_list_is_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
