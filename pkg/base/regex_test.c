#include "base/regex.h"

#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/banned.h"

static bool matches(const char *regex, const char *text)
{
    struct kp_error err = {0};
    struct kp_regex *compiled = NULL;
    if (kp_regex_compile(regex, &compiled, &err) != 0)
        fail_msg("'%s': %s", regex, err.text);
    bool match = kp_regex_matches(compiled, text);
    kp_regex_destroy(compiled);
    return match;
}

static void test_matches(void **state)
{
    (void)state;
    static const struct {
        const char *regex, *yes[5], *no[5];
    } cases[] = {
        {"", {""}, {"a"}},
        {"web", {"web"}, {"we", "webs", "aweb", ""}},
        {"a|b|", {"a", "b", ""}, {"ab", "c"}},
        {"a|bc|d*", {"a", "bc", "", "ddd"}, {"ac", "abc", "bcd"}},
        {"(a|b)c", {"ac", "bc"}, {"a", "abc", "c"}},
        {"(?:a|b)+", {"a", "abba"}, {"", "c"}},
        {"a*", {"", "a", "aaaa"}, {"b", "ab"}},
        {"a+?", {"", "a", "aa"}, {"b"}},
        {"(a*)*b", {"b", "aab"}, {"", "aa"}},
        {"(a?){3}", {"", "a", "aaa"}, {"aaaa"}},
        {"a{2}", {"aa"}, {"a", "aaa", ""}},
        {"a{2,}", {"aa", "aaaaa"}, {"a", ""}},
        {"a{0,2}", {"", "a", "aa"}, {"aaa"}},
        {"a{1,3}", {"a", "aa", "aaa"}, {"", "aaaa"}},
        {"a{0}b", {"b"}, {"ab"}},
        {"(ab){2}{2}", {"abababab"}, {"abab", "ababab"}},
        {"a{,2}", {"a{,2}"}, {"aa"}}, // no repeat
        {"a{x", {"a{x"}, {"a"}},
        {"v1\\.[0-9]+", {"v1.0", "v1.27"}, {"v1x0", "v1."}},
        {"[a-c]x", {"ax", "cx"}, {"dx", "x"}},
        {"[^a-c]", {"d", "\xc3\xa9"}, {"a", "", "dd"}},
        {"[x-zb-dac-ep0-30]", {"a", "e", "0", "p", "x"}, {"f", "4", "/", "w", "{"}}, // in any order
        {"[^x-zb-dac-ep0-30]", {"f", "4", "/", "w", "{"}, {"a", "e", "0", "p", "x"}},
        {"[]a]", {"]", "a"}, {"b"}},
        {"[^]a]", {"b"}, {"]", "a"}},
        {"[a-]", {"a", "-"}, {"b"}},
        {"[\\]\\-\\\\]", {"]", "-", "\\"}, {"a"}},
        {"[[:alpha:]_]+", {"a_Z"}, {"1", ""}},
        {"[[:punct:]]", {"!", "~", "_", "@"}, {"a", " "}},
        {"\\d\\D\\w\\W\\s\\S", {"1a_- x"}, {"aa_- x", "11_- x"}},
        {"[\\d\\s]+", {"1 2"}, {"a"}},
        {".", {"a", "\xc3\xa9", "\xf0\x9f\x98\x80", "\xff"}, {"", "ab", "\xc3\xa9\xc3\xa9"}},
        {"\xc3\xa9+", {"\xc3\xa9\xc3\xa9"}, {"\xc3\xa9\xa9", ""}}, // the character repeats, not its last byte
        {"[\xc3\xa0-\xc3\xbf]", {"\xc3\xa9"}, {"e", "\xc4\x80"}},
        {"^a$", {"a"}, {"", "^a$"}},
        {"(^|x)a($|y)", {"a", "xa", "ay", "xay"}, {"aa", "x"}},
        {"a^b", {NULL}, {"ab", "a^b"}},
        {"}]", {"}]"}, {"}"}},
        {"(())", {""}, {"a"}},
        {"(?i)aB[c-e]+[^x]\\w", {"abcd_1", "ABDE_z", "AbCcD-9"}, {"abx_1", "abcX1", "abcx1"}},
        {"(?i)[S-c]", {"s", "S", "C", "_", "z"}, {"d", "D", "r", "R"}},
    };
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        for (size_t k = 0; k < 5 && cases[i].yes[k] != NULL; k++)
            if (!matches(cases[i].regex, cases[i].yes[k]))
                fail_msg("'%s' does not match '%s'", cases[i].regex, cases[i].yes[k]);
        for (size_t k = 0; k < 5 && cases[i].no[k] != NULL; k++)
            if (matches(cases[i].regex, cases[i].no[k]))
                fail_msg("'%s' matches '%s'", cases[i].regex, cases[i].no[k]);
    }
}

static void test_finds(void **state)
{
    (void)state;
    static const struct {
        const char *regex, *yes[4], *no[4];
    } cases[] = {
        {"", {"", "a"}, {NULL}},
        {"web", {"web", "a web", "webs", "wweb"}, {"we", "w eb", ""}},
        {"^web", {"web", "webs"}, {"a web"}},
        {"web$", {"web", "a web"}, {"webs"}},
        {"^$", {""}, {"a"}},
        {"a|b$", {"xax", "xb"}, {"bx", "x"}},
        {"a+b", {"aab", "xaabx"}, {"ba"}},
        {"aab", {"aaab"}, {"abab"}},
        {"(?i)^main\\.", {"Main.x", "main.y"}, {"xmain.", "mainx"}},
    };
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        struct kp_regex *regex = NULL;
        assert_int_equal(kp_regex_compile(cases[i].regex, &regex, NULL), 0);
        for (size_t k = 0; k < 4 && cases[i].yes[k] != NULL; k++)
            if (!kp_regex_finds(regex, cases[i].yes[k], strlen(cases[i].yes[k])))
                fail_msg("'%s' does not find '%s'", cases[i].regex, cases[i].yes[k]);
        for (size_t k = 0; k < 4 && cases[i].no[k] != NULL; k++)
            if (kp_regex_finds(regex, cases[i].no[k], strlen(cases[i].no[k])))
                fail_msg("'%s' finds '%s'", cases[i].regex, cases[i].no[k]);
        kp_regex_destroy(regex);
    }
    struct kp_regex *regex = NULL;
    assert_int_equal(kp_regex_compile("b$", &regex, NULL), 0);
    assert_true(kp_regex_finds(regex, "a\0b", 3));
    assert_true(kp_regex_finds(regex, "abc", 2)); // no further than told
    kp_regex_destroy(regex);
}

static void refuse(const char *regex, int code, const char *reason)
{
    struct kp_error err = {0};
    struct kp_regex *compiled = NULL;
    if (kp_regex_compile(regex, &compiled, &err) != code || strstr(err.text, reason) == NULL)
        fail_msg("'%s': code %d, \"%s\"", regex, err.code, err.text);
    assert_null(compiled);
}

static void test_refuses_what_is_wrong(void **state)
{
    (void)state;
    refuse("(", KP_INVALID, "regex '(' is wrong: ')' is missing");
    refuse("a)", KP_INVALID, "a ')' has no '('");
    refuse("a)|(b", KP_INVALID, "a ')' has no '('");
    refuse("*a", KP_INVALID, "a repeat has nothing before it");
    refuse("a|+", KP_INVALID, "a repeat has nothing before it");
    refuse("a{3,2}", KP_INVALID, "m greater than n");
    refuse("[a", KP_INVALID, "']' is missing");
    refuse("[", KP_INVALID, "']' is missing");
    refuse("[]", KP_INVALID, "']' is missing");
    refuse("[a\\", KP_INVALID, "backslash");
    refuse("[a-", KP_INVALID, "']' is missing");
    refuse("[z-a]", KP_INVALID, "wrong way round");
    refuse("[[:beta:]]", KP_INVALID, "a class is one of");
    refuse("[[:alpha", KP_INVALID, "a class is one of");
    refuse("[[:]]", KP_INVALID, "a class is one of");
    refuse("\\", KP_INVALID, "backslash");
    refuse("(a)\\1", KP_INVALID, "backslash");
    refuse("\\bx", KP_INVALID, "backslash");
    refuse("(?s)x", KP_INVALID, "only (?: is understood");
    refuse("x(?i)", KP_INVALID, "only (?: is understood");
}

static void test_refuses_what_is_too_large(void **state)
{
    (void)state;
    char deep[70] = "", nested[100] = "", large[2100];
    refuse("((a{1,200}){1,200}){1,200}", KP_LIMIT, "multiply to more than");
    refuse("a{1,20000}", KP_LIMIT, "multiply to more than");
    refuse("a{99999999999999999999}", KP_LIMIT, "multiply to more than");
    refuse("((){2000}){2000}", KP_LIMIT, "multiply to more than");
    for (int i = 0; i < 30; i++) // each + copies what it repeats: 2^30 steps
        nested[i] = '(';
    strncat(nested, "a", 2);
    for (int i = 0; i < 30; i++)
        strncat(nested, "+)", 3);
    refuse(nested, KP_LIMIT, "multiply to more than");
    memset(deep, '(', 60);
    refuse(deep, KP_LIMIT, "nested more than 32 deep");
    memset(large, 'a', sizeof large);
    large[sizeof large - 1] = '\0';
    refuse(large, KP_LIMIT, "longer than 2000 bytes");
}

// What takes a backtracking matcher for ever.
static void test_takes_no_exponential_time(void **state)
{
    (void)state;
    char text[1025];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    int64_t before = kp_mono_ms();
    assert_false(matches("(a*)*b", text));
    assert_false(matches("((a?){10}){10}b", text));
    assert_false(matches("(a|aa|aaa)*b", text));
    assert_false(matches("(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)b", text));
    assert_false(matches("(a{1,30}){1,30}", text)); // 1024 are more than 900
    assert_true(kp_mono_ms() - before < 20000);
}

// Against the C library, on small expressions made at random: every text of up to four characters.
static void test_agrees_with_the_c_library(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a", "b", "a", "b", "|", "(", ")", "*", "+", "?", ".", "[ab]",
        "[^a]", "{2}", "{1,2}", "{0,}", "^", "$", "()"};
    uint64_t random = 7;
    int compared = 0;
    for (int round = 0; round < 30000; round++) {
        char regex[64] = "", anchored[80];
        for (uint64_t n = 1 + kp_random_next(&random) % 7; n > 0; n--)
            strncat(regex, pieces[kp_random_next(&random) % KP_COUNT(pieces)], 8);
        struct kp_regex *ours = NULL;
        regex_t theirs, found;
        if (kp_regex_compile(regex, &ours, NULL) != 0)
            continue;
        memcpy(anchored, "^(", 3);
        strncat(anchored, regex, 64);
        strncat(anchored, ")$", 3);
        // a repeat of an anchor means nothing to one and something to the other
        bool odd = strstr(regex, "^*") || strstr(regex, "^+") || strstr(regex, "^?") || strstr(regex, "^{") ||
                   strstr(regex, "$*") || strstr(regex, "$+") || strstr(regex, "$?") || strstr(regex, "${") ||
                   strstr(regex, "(*") || strstr(regex, "|*");
        if (!odd && regcomp(&theirs, anchored, REG_EXTENDED | REG_NOSUB) == 0) {
            assert_int_equal(regcomp(&found, regex, REG_EXTENDED | REG_NOSUB), 0);
            for (unsigned code = 1; code < 32; code++) { // the bits behind the leading one, as a and b
                char text[8];
                size_t len = 0;
                for (int bit = 30 - __builtin_clz(code); bit >= 0; bit--)
                    text[len++] = (code >> bit & 1) != 0 ? 'a' : 'b';
                text[len] = '\0';
                bool want = regexec(&theirs, text, 0, NULL, 0) == 0;
                if (kp_regex_matches(ours, text) != want)
                    fail_msg("'%s' on '%s': the C library says %d", regex, text, want);
                want = regexec(&found, text, 0, NULL, 0) == 0;
                if (kp_regex_finds(ours, text, len) != want)
                    fail_msg("'%s' within '%s': the C library says %d", regex, text, want);
            }
            regfree(&theirs);
            regfree(&found);
            compared++;
        }
        kp_regex_destroy(ours);
    }
    assert_true(compared > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_finds),
        cmocka_unit_test(test_refuses_what_is_wrong),
        cmocka_unit_test(test_refuses_what_is_too_large),
        cmocka_unit_test(test_takes_no_exponential_time),
        cmocka_unit_test(test_agrees_with_the_c_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
