// Templates against what kubectl prints for them.
#include "cli/jsonpath.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/text.h"
#include "base/banned.h"

static const char object[] = "{\"kind\":\"List\",\"items\":[{\"id\":\"a\",\"type\":\"cpu\",\"size\":10,"
                             "\"labels\":{\"app/name\":\"x\",\"a.b\":\"d\"}},"
                             "{\"id\":\"b\",\"type\":\"heap\",\"size\":20,\"on\":true},{\"id\":\"c\","
                             "\"type\":\"cpu\",\"size\":30,\"sub\":{\"id\":\"d\"}}]}";

static void test_templates(void **state)
{
    (void)state;
    static const struct {
        const char *template, *prints;
    } cases[] = {
        {"{.kind}", "List"},
        {"{$.kind}", "List"},
        {"{kind}", "List"},
        {"kind: {.kind}!", "kind: List!"},
        {"{.items[*].id}", "a b c"},
        {"{.items[0].id}{\" \"}{.items[-1].id}", "a c"},
        {"{.items[1:].id}", "b c"},
        {"{.items[:2].id}", "a b"},
        {"{.items[0:3:2].id}", "a c"},
        {"{.items[-2:].id}", "b c"},
        {"{.items[7].id}", ""},
        {"{.items[-7].id}", ""},
        {"{.items[0].labels['app/name']}", "x"},
        {"{.items[0].labels.a\\.b}", "d"},
        {"{..id}", "a b c d"},
        {"{.items[?(@.type==\"cpu\")].id}", "a c"},
        {"{.items[?(@.type != 'cpu')].id}", "b"},
        {"{.items[?(@.size>15)].id}", "b c"},
        {"{.items[?(@.size<=20)].id}", "a b"},
        {"{.items[?(@.on==true)].id}", "b"},
        {"{.items[?(@.sub)].id}", "c"},
        {"{.items[?(@.sub.id=='d')].size}", "30"},
        {"{range .items[*]}{.id}{\"\\t\"}{.size}{\"\\n\"}{end}", "a\t10\nb\t20\nc\t30\n"},
        {"{range .items[*]}{range .labels.*}{@}{','}{end}{.id}{end}", "x,d,abc"},
        {"{.items[0].id,.items[1].id}", "ab"},
        {"{.items[2].sub}", "{\"id\":\"d\"}"},
        {"{.nothing.at.all}", ""},
        {"", ""},
    };
    json_t *value = json_loads(object, 0, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kp_jsonpath *path = NULL;
        struct kp_error err = {0};
        kp_auto_strbuf out;
        kp_strbuf_init(&out, 1 << 20);
        assert_int_equal(kp_jsonpath_parse(cases[i].template, &path, &err), 0);
        assert_int_equal(kp_jsonpath_write(path, value, &out, &err), 0);
        assert_string_equal(out.data, cases[i].prints);
        kp_jsonpath_destroy(path);
    }
    json_decref(value);
}

static void test_what_is_wrong_is_said(void **state)
{
    (void)state;
    static const char *const wrong[] = {"{.a", "{", "{.items[}", "{.items[x]}", "{.items[?(@.a==b)]}",
        "{.items[?(@.a=='x'].b}", "{range .items[*]}", "{end}", "{\"a}", "{.items[?(@[?(@.a)])]}",
        "{.items[1:2:0]}", "{.a b}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct kp_jsonpath *path = NULL;
        struct kp_error err = {0};
        assert_int_equal(kp_jsonpath_parse(wrong[i], &path, &err), KP_INVALID);
        assert_true(kp_starts_with(err.text, "the template"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_what_is_wrong_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
