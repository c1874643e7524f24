// Tables, ages, sizes and YAML as kubectl prints them.
#include "cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/output.h"
#include "base/banned.h"

static void test_columns_stand_three_blanks_apart(void **state)
{
    (void)state;
    static const char *const columns[] = {"NAME", "N", "NOTE", NULL};
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    struct kp_table *table = kp_table_create(columns);
    kp_table_align_right(table, 1);
    kp_table_cell(table, "web");
    kp_table_cellf(table, "%d", 7);
    kp_table_cell(table, "");
    kp_table_cell(table, "caf\xc3\xa9-longer");
    kp_table_cell(table, "100");
    kp_table_cell(table, "a\x1b[31mb");
    kp_table_print(table, true, out);
    kp_table_print(table, false, out);
    fclose(out);
    assert_string_equal(text, "NAME            N   NOTE\n"
                              "web             7   <none>\n"
                              "caf\xc3\xa9-longer   100   a [31mb\n"
                              "web             7   <none>\n"
                              "caf\xc3\xa9-longer   100   a [31mb\n");
    free(text);
    kp_table_destroy(table);
}

static void test_ages_are_kubectls(void **state)
{
    (void)state;
    static const struct {
        int64_t s;
        const char *text;
    } cases[] = {{0, "0s"}, {119, "119s"}, {120, "2m"}, {192, "3m12s"}, {599, "9m59s"}, {600, "10m"},
        {10799, "179m"}, {10800, "3h"}, {12300, "3h25m"}, {28800, "8h"}, {172799, "47h"}, {172800, "2d"},
        {187200, "2d4h"}, {691200, "8d"}, {63071999, "729d"}, {63072000, "2y"}, {94608000, "3y"},
        {96000000, "3y16d"}, {252288000, "8y"}, {-1, "0s"}};
    char text[KP_AGE_TEXT];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(kp_age_format(text, cases[i].s * 1000), cases[i].text);
}

static void test_sizes(void **state)
{
    (void)state;
    char text[KP_AGE_TEXT];
    assert_string_equal(kp_size_format(text, 999), "999 B");
    assert_string_equal(kp_size_format(text, 1234), "1.2 kB");
    assert_string_equal(kp_size_format(text, 123456789), "123 MB");
    assert_string_equal(kp_size_format(text, UINT64_MAX), "18.4 EB");
}

static void test_yaml_reads_as_what_it_was(void **state)
{
    (void)state;
    json_t *value =
        json_loads("{\"a\":\"x\",\"b\":[1,\"2\",{\"c\":null,\"d\":[]},[\"e\"]],\"f\":{},\"g\":{\"h: "
                   "i\":\"yes\",\"j\":\"a: b\"},"
                   "\"k\":\"-l\",\"m\":\"n\\no\",\"p\":true,\"q\":1.5,\"r\":\"\",\"s\":\"a/b=c\"}",
            0, NULL);
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 1 << 20);
    kp_yaml_write(value, &out);
    assert_string_equal(out.data, "a: x\nb:\n- 1\n- \"2\"\n- c: null\n  d: []\n-\n  - e\nf: {}\ng:\n  \"h: "
                                  "i\": \"yes\"\n  j: \"a: b\"\nk: \"-l\"\n"
                                  "m: \"n\\no\"\np: true\nq: 1.5\nr: \"\"\ns: a/b=c\n");
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_stand_three_blanks_apart),
        cmocka_unit_test(test_ages_are_kubectls),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_yaml_reads_as_what_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
