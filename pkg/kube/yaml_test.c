#include "kube/yaml.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/strbuf.h"

#include "base/banned.h"

static const struct {
    const char *yaml, *json;
} pairs[] = {
    {"", "null"},
    {"a: 1\nb: -2\nc: 3.5\nd: 1e3\n", "{\"a\":1,\"b\":-2,\"c\":3.5,\"d\":1000.0}"},
    {"[true, False, ~, null, '', \"true\", '1']", "[true,false,null,null,\"\",\"true\",\"1\"]"},
    {"[1.2.3, 0x10, 007, 1_000, 10.0.0.1:443, -, .5]",
        "[\"1.2.3\",\"0x10\",\"007\",\"1_000\",\"10.0.0.1:443\",\"-\",0.5]"},
    {"a: &x {b: 1}\nc: *x\n", "{\"a\":{\"b\":1},\"c\":{\"b\":1}}"},
    {"text: |\n  one\n  two\n", "{\"text\":\"one\\ntwo\\n\"}"},
    {"{\"json\": [1, {\"too\": null}]}", "{\"json\":[1,{\"too\":null}]}"},
    {"1: one\n", "{\"1\":\"one\"}"},
    {"99999999999999999999", "1e20"},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(pairs); i++) {
        json_t *value = NULL;
        struct kp_error err = {0};
        if (kp_yaml_parse(pairs[i].yaml, strlen(pairs[i].yaml), &value, &err) < 0)
            fail_msg("%s: %s", pairs[i].yaml, err.text);
        json_t *expected = json_loads(pairs[i].json, JSON_DECODE_ANY, NULL);
        assert_non_null(expected);
        if (!json_equal(value, expected)) {
            char *got = json_dumps(value, JSON_ENCODE_ANY);
            fail_msg("%s gives %s", pairs[i].yaml, got);
        }
        json_decref(value);
        json_decref(expected);
    }
}

static const struct {
    const char *yaml;
    int code;
    const char *says;
} wrong[] = {
    {"a: b: c", KP_INVALID, "line 1, column 5"},
    {"a: 1\nb: [1, 2\n", KP_INVALID, "line 3"},
    {"a: 1\na: 2\n", KP_INVALID, "key 'a' is there twice"},
    {"{[1]: 2}", KP_INVALID, "not text"},
    {"a: *nobody", KP_INVALID, "alias"},
    {"\xff\xfe\xfd", KP_INVALID, ""},
    {"&a [*a]", KP_LIMIT, "too large"},
};

static void test_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(wrong); i++) {
        json_t *value = NULL;
        struct kp_error err = {0};
        int code = kp_yaml_parse(wrong[i].yaml, strlen(wrong[i].yaml), &value, &err);
        if (code != wrong[i].code || !strstr(err.text, wrong[i].says))
            fail_msg("%s gives %d '%s'", wrong[i].yaml, code, err.text);
        assert_null(value);
    }
}

// Each further bracket would cost more than the one before.
static void test_bracket_bomb(void **state)
{
    enum { N = 3000000 };
    kp_auto_free char *text = kp_alloc(N);
    json_t *value = NULL;
    (void)state;
    memset(text, '[', N);
    assert_int_equal(kp_yaml_parse(text, N, &value, NULL), KP_LIMIT);
    memset(text, '{', N);
    assert_int_equal(kp_yaml_parse(text, N, &value, NULL), KP_LIMIT);
    for (size_t i = 0; i < N; i++)
        text[i] = i % 2 ? ']' : '[';
    text[0] = '"';
    text[40001] = '"';
    assert_int_equal(kp_yaml_parse(text, 40002, &value, NULL), 0); // text may have many
    json_decref(value);
}

static void test_alias_bomb(void **state)
{
    (void)state;
    kp_auto_strbuf buf;
    json_t *value = NULL;
    struct kp_error err = {0};
    kp_strbuf_init(&buf, 1 << 20);
    kp_strbuf_adds(&buf, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 12; i++) {
        kp_strbuf_addf(&buf, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            kp_strbuf_addf(&buf, "%s*a%d", j ? "," : "", i - 1);
        kp_strbuf_adds(&buf, "]\n");
    }
    assert_int_equal(kp_yaml_parse(buf.data, buf.len, &value, &err), KP_LIMIT);
    kp_strbuf_clear(&buf);
    for (int i = 0; i < 5000; i++)
        kp_strbuf_addc(&buf, '[');
    assert_true(kp_yaml_parse(buf.data, buf.len, &value, NULL) < 0);
    for (int i = 0; i < 5000; i++)
        kp_strbuf_addc(&buf, ']');
    assert_true(kp_yaml_parse(buf.data, buf.len, &value, NULL) < 0);
    assert_null(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_bracket_bomb),
        cmocka_unit_test(test_alias_bomb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
