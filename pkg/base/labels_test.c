#include "base/labels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/banned.h"

static void test_sorts_and_keeps_the_last(void **state)
{
    (void)state;
    char key[] = "b";
    const struct kp_label items[] = {{key, "1"}, {"a", "2"}, {"c", ""}, {"b", "3"}, {"b", "4"}};
    struct kp_labels *labels = kp_labels_create(items, 5);
    key[0] = 'x'; // it has copies of its own
    assert_int_equal(labels->n, 3);
    assert_string_equal(labels->items[0].key, "a");
    assert_string_equal(labels->items[1].key, "b");
    assert_string_equal(kp_labels_get(labels, "a"), "2");
    assert_string_equal(kp_labels_get(labels, "b"), "4");
    assert_string_equal(kp_labels_get(labels, "c"), "");
    assert_null(kp_labels_get(labels, "d"));
    assert_null(kp_labels_get(labels, ""));
    assert_null(kp_labels_get(NULL, "a"));
    kp_labels_destroy(labels);
}

static void test_equality_is_by_content(void **state)
{
    (void)state;
    static const struct kp_label one[] = {{"a", "1"}, {"b", "2"}}, turned[] = {{"b", "2"}, {"a", "1"}},
                                 moved[] = {{"a", "1b"}, {"b", "2"}}, less[] = {{"a", "1"}};
    struct kp_labels *x = kp_labels_create(one, 2), *y = kp_labels_create(turned, 2);
    struct kp_labels *z = kp_labels_create(moved, 2), *w = kp_labels_create(less, 1);
    struct kp_labels *copy = kp_labels_copy(x), *none = kp_labels_copy(NULL);
    assert_true(kp_labels_equal(x, y));
    assert_int_equal(x->hash, y->hash);
    assert_true(kp_labels_equal(x, copy));
    assert_false(kp_labels_equal(x, z));
    assert_false(kp_labels_equal(x, w));
    assert_false(kp_labels_equal(none, w));
    assert_int_equal(none->n, 0);
    assert_int_not_equal(x->hash, z->hash);
    kp_labels_destroy(x);
    kp_labels_destroy(y);
    kp_labels_destroy(z);
    kp_labels_destroy(w);
    kp_labels_destroy(copy);
    kp_labels_destroy(none);
    kp_labels_destroy(NULL);
}

static void round_trip(const struct kp_label *items, size_t n, const char *text)
{
    struct kp_labels *labels = kp_labels_create(items, n), *back = NULL;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 1000);
    kp_labels_format(labels, &out);
    assert_string_equal(out.data, text);
    assert_int_equal(kp_labels_parse(out.data, &back, NULL), 0);
    assert_true(kp_labels_equal(labels, back));
    kp_labels_destroy(labels);
    kp_labels_destroy(back);
}

static void test_text_form(void **state)
{
    (void)state;
    round_trip(NULL, 0, "");
    round_trip((struct kp_label[]){{"b", "2"}, {"a", "1"}}, 2, "a=1,b=2");
    round_trip((struct kp_label[]){{"app.io/x", "a=b,c %\n\xc3\xa9"}, {"e", ""}}, 2,
        "app.io%2Fx=a%3Db%2Cc%20%25%0A%C3%A9,e=");
}

static void test_parse_takes(void **state)
{
    (void)state;
    struct kp_labels *labels = NULL;
    assert_int_equal(kp_labels_parse("b=1,a=x=y,b=2,", &labels, NULL), 0);
    assert_int_equal(labels->n, 2);
    assert_string_equal(kp_labels_get(labels, "a"), "x=y");
    assert_string_equal(kp_labels_get(labels, "b"), "2");
    kp_labels_destroy(labels);
}

static void refuse(const char *text, int code, const char *reason)
{
    struct kp_error err = {0};
    struct kp_labels *labels = NULL;
    if (kp_labels_parse(text, &labels, &err) != code || strstr(err.text, reason) == NULL)
        fail_msg("'%.60s': code %d, \"%s\"", text, err.code, err.text);
    assert_null(labels);
}

static void test_parse_refuses(void **state)
{
    (void)state;
    refuse("a", KP_INVALID, "label 'a' is not of the form key=value");
    refuse("a=1,b", KP_INVALID, "label 'b' is not of the form key=value");
    refuse("=1", KP_INVALID, "not of the form key=value");
    refuse(",", KP_INVALID, "not of the form key=value");
    refuse("a=%4", KP_INVALID, "label 'a' has a bad percent escape");
    refuse("a=%zz", KP_INVALID, "bad percent escape");
    refuse("%00=1", KP_INVALID, "bad percent escape");
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 1u << 20);
    for (int i = 0; i <= KP_MAX_LABELS; i++)
        kp_strbuf_addf(&text, "k%d=v,", i);
    refuse(text.data, KP_LIMIT, "more than 64 labels");
    kp_strbuf_clear(&text);
    kp_strbuf_adds(&text, "k=");
    for (int i = 0; i < 300000; i++)
        kp_strbuf_addc(&text, 'v');
    refuse(text.data, KP_LIMIT, "longer than allowed");
}

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// A name of 63 and a prefix of 253 are the longest.
#define A64       A63 "a"
#define PREFIX253 A63 "." A63 "." A63 "." A61
#define PREFIX255 A63 "." A63 "." A63 "." A63

static void test_keys_as_in_kubernetes(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a", "A", "0", "a-b_c.d", "app.kubernetes.io/name", "x/Y", "1.2/3", "a-b.c/d"};
    static const char *const bad[] = {"", "/", "a/", "/a", "a/b/c", "-a", "a-", ".a", "a.", "_a", "a b",
        "a\n", "\xc3\xa9", "a=b", "A.io/x", "a_b/x", "a..b/x", "-a/x", "a-/x", ".a/x", "a./x", "a-.b/x",
        "a.-b/x"};
    for (size_t i = 0; i < KP_COUNT(good); i++)
        if (!kp_label_key_valid(good[i]))
            fail_msg("'%s' is refused", good[i]);
    for (size_t i = 0; i < KP_COUNT(bad); i++)
        if (kp_label_key_valid(bad[i]))
            fail_msg("'%s' is taken", bad[i]);
    assert_true(kp_label_key_valid(A63));
    assert_false(kp_label_key_valid(A64));
    assert_true(kp_label_key_valid(PREFIX253 "/" A63));
    assert_false(kp_label_key_valid(PREFIX255 "/x"));
    assert_false(kp_label_key_valid("a/" A64));
}

static void test_values_as_in_kubernetes(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a", "A.b-c_d", "1"};
    static const char *const bad[] = {" ", "-", "a/b", "a:b", ".a", "a-", "a b", "\xc3\xa9"};
    for (size_t i = 0; i < KP_COUNT(good); i++)
        assert_true(kp_label_value_valid(good[i]));
    for (size_t i = 0; i < KP_COUNT(bad); i++)
        assert_false(kp_label_value_valid(bad[i]));
    assert_true(kp_label_value_valid(A63));
    assert_false(kp_label_value_valid(A64));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sorts_and_keeps_the_last),
        cmocka_unit_test(test_equality_is_by_content),
        cmocka_unit_test(test_text_form),
        cmocka_unit_test(test_parse_takes),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_keys_as_in_kubernetes),
        cmocka_unit_test(test_values_as_in_kubernetes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
