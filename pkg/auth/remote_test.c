// What a ConfigMap says of the front proxy, and its headers of a user.
#include "auth/remote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

static int read_map(const char *data, struct kp_remote *ret, struct kp_error *err)
{
    kp_auto_free char *text = kp_asprintf("{\"data\":%s}", data);
    json_t *map = json_loads(text, 0, NULL);
    assert_non_null(map);
    int code = kp_remote_read(map, ret, err);
    json_decref(map);
    return code;
}

static void read_well(const char *data, struct kp_remote *ret)
{
    struct kp_error err = {0};
    if (read_map(data, ret, &err) != 0)
        fail_msg("%s", err.text);
}

// ---- the ConfigMap ----

static void test_what_an_api_server_writes(void **state)
{
    (void)state;
    struct kp_remote remote;
    read_well("{\"client-ca-file\":\"other\",\"requestheader-client-ca-file\":\"PEM\","
              "\"requestheader-allowed-names\":\"[\\\"front-proxy-client\\\",\\\"second\\\"]\","
              "\"requestheader-username-headers\":\"[\\\"X-Remote-User\\\",\\\"X-User\\\"]\","
              "\"requestheader-group-headers\":\"[\\\"X-G\\\"]\","
              "\"requestheader-extra-headers-prefix\":\"[\\\"X-E-\\\"]\","
              "\"requestheader-uid-headers\":\"[\\\"X-U\\\"]\"}",
        &remote);
    assert_string_equal(remote.ca_pem, "PEM");
    assert_true(kp_remote_allows(&remote, "front-proxy-client"));
    assert_true(kp_remote_allows(&remote, "second"));
    assert_false(kp_remote_allows(&remote, "Front-Proxy-Client"));
    assert_false(kp_remote_allows(&remote, ""));
    assert_int_equal(remote.user.n, 2);
    assert_string_equal(remote.user.items[1], "X-User");
    assert_string_equal(remote.group.items[0], "X-G");
    assert_string_equal(remote.extra_prefix.items[0], "X-E-");
    assert_string_equal(remote.uid.items[0], "X-U");
    kp_remote_finish(&remote);
}

static void test_what_is_not_said_is_the_usual(void **state)
{
    (void)state;
    static const char *const maps[] = {"{\"requestheader-client-ca-file\":\"PEM\"}",
        "{\"requestheader-client-ca-file\":\"PEM\",\"requestheader-allowed-names\":\"[]\","
        "\"requestheader-username-headers\":\"null\",\"requestheader-group-headers\":\"\","
        "\"requestheader-extra-headers-prefix\":\"[\\\"\\\"]\",\"requestheader-uid-headers\":\"[]\"}"};
    for (size_t i = 0; i < KP_COUNT(maps); i++) {
        struct kp_remote remote;
        read_well(maps[i], &remote);
        assert_true(kp_remote_allows(&remote, "anybody"));
        assert_true(kp_remote_allows(&remote, ""));
        assert_string_equal(remote.user.items[0], "X-Remote-User");
        assert_string_equal(remote.group.items[0], "X-Remote-Group");
        assert_string_equal(remote.extra_prefix.items[0], "X-Remote-Extra-");
        assert_string_equal(remote.uid.items[0], "X-Remote-Uid");
        kp_remote_finish(&remote);
    }
}

// [""] is not []: the API server takes it for a certificate without a name.
static void test_no_name_is_a_name_that_may_be_allowed(void **state)
{
    (void)state;
    struct kp_remote remote;
    read_well(
        "{\"requestheader-client-ca-file\":\"PEM\",\"requestheader-allowed-names\":\"[\\\"\\\"]\"}", &remote);
    assert_true(kp_remote_allows(&remote, ""));
    assert_false(kp_remote_allows(&remote, "anybody"));
    kp_remote_finish(&remote);
}

static void test_without_a_ca_there_is_no_front_proxy(void **state)
{
    (void)state;
    static const char *const maps[] = {"{}", "null", "[]", "{\"client-ca-file\":\"PEM\"}",
        "{\"requestheader-client-ca-file\":\"\"}", "{\"requestheader-client-ca-file\":7}"};
    for (size_t i = 0; i < KP_COUNT(maps); i++) {
        struct kp_remote remote;
        assert_int_equal(read_map(maps[i], &remote, NULL), KP_NOT_FOUND);
    }
}

static void test_lists_that_are_none(void **state)
{
    (void)state;
    static const char *const lists[] = {"x", "{}", "\\\"X-Remote-User\\\"", "[1]", "[[]]", "[\\\"a\\\"", "7"};
    for (size_t i = 0; i < KP_COUNT(lists); i++) {
        struct kp_remote remote;
        struct kp_error err = {0};
        kp_auto_free char *map = kp_asprintf(
            "{\"requestheader-client-ca-file\":\"PEM\",\"requestheader-allowed-names\":\"%s\"}", lists[i]);
        assert_int_equal(read_map(map, &remote, &err), KP_INVALID);
        assert_non_null(strstr(err.text, "'requestheader-allowed-names'"));
    }
}

// ---- headers ----

static bool header_at(const void *of, size_t i, const char **ret_name, const char **ret_value)
{
    const char *const *pairs = of;
    if (pairs[2 * i] == NULL)
        return false;
    *ret_name = pairs[2 * i];
    *ret_value = pairs[2 * i + 1];
    return true;
}

static const char *const usual = "{\"requestheader-client-ca-file\":\"PEM\"}";

// "name/uid +group key=value", "nobody", or the error.
static const char *who(const char *config, const char *const *pairs)
{
    static char text[1000];
    struct kp_remote remote;
    struct kp_identity *identity;
    struct kp_error err = {0};
    kp_auto_strbuf out;
    kp_strbuf_init(&out, sizeof text - 1);
    read_well(config, &remote);
    if (kp_remote_identity(&remote, header_at, pairs, &identity, &err) != 0)
        kp_strbuf_adds(&out, err.text);
    else if (identity == NULL)
        kp_strbuf_adds(&out, "nobody");
    else {
        assert_int_equal(identity->by, KP_BY_FRONT_PROXY);
        kp_strbuf_addf(&out, "%s/%s", identity->name, identity->uid ? identity->uid : "-");
        for (size_t i = 0; i < identity->n_groups; i++)
            kp_strbuf_addf(&out, " +%s", identity->groups[i]);
        for (size_t i = 0; i < identity->n_extra; i++)
            kp_strbuf_addf(&out, " %s=%s", identity->extra[i].key, identity->extra[i].value);
        kp_identity_free(identity);
    }
    kp_remote_finish(&remote);
    kp_copy(text, sizeof text, out.data);
    return text;
}

#define WHO(config, ...) who(config, (const char *const[]){__VA_ARGS__, NULL})

static void test_a_user_as_the_api_server_sends_him(void **state)
{
    (void)state;
    assert_string_equal(WHO(usual, "Host", "x", "X-Remote-User", "alice", "X-Remote-Group", "dev",
                            "X-Remote-Group", "qa team", "X-Remote-Group", "system:authenticated",
                            "X-Remote-Extra-Authentication.kubernetes.io%2fcredential-Id", "X509SHA256=7a88",
                            "X-Remote-Uid", "7eb6892c"),
        "alice/7eb6892c +dev +qa team +system:authenticated "
        "authentication.kubernetes.io/credential-id=X509SHA256=7a88");
    // values raw, keys lower-cased and decoded, of several values all
    assert_string_equal(
        WHO(usual, "x-remote-user", "a b/\xc3\xbc%c", "X-Remote-Extra-Scopes", "%41", "x-remote-extra-scopes",
            "B", "X-Remote-Extra-%4bEY", "", "X-Remote-Extra-a%zz", "v", "X-Remote-Extra-a%00", "w"),
        "a b/\xc3\xbc%c/- scopes=%41 scopes=B Key= a%zz=v a%00=w");
}

static void test_names_are_compared_exactly(void **state)
{
    (void)state;
    assert_string_equal(WHO(usual, "X_remote_user", "root", "X-Remote_User", "root", "X-Remote-Users", "root",
                            "X-Remote-Use", "root", "X-Remote-User-", "root", "Remote-User", "root"),
        "nobody");
    assert_string_equal(
        WHO(usual, "X-Remote-User", "a", "X_Remote_Group", "system:masters", "X-Remote-Groups",
            "system:masters", "X_Remote_Uid", "0", "X_Remote_Extra_a", "b", "X-Remote-Extra-", "c"),
        "a/-");
}

static void test_a_user_is_named_once(void **state)
{
    (void)state;
    assert_string_equal(
        WHO(usual, "X-Remote-User", "a", "x-remote-user", "b"), "header 'X-Remote-User' is there twice");
    assert_string_equal(WHO(usual, "X-Remote-User", "a", "X-Remote-Uid", "1", "X-Remote-Uid", "2"),
        "header 'X-Remote-Uid' is there twice");
    assert_string_equal(WHO(usual, "X-Remote-User", ""), "nobody");
    assert_string_equal(WHO(usual, "X-Remote-Group", "system:masters", "X-Remote-Uid", "0"), "nobody");
}

static void test_configured_headers(void **state)
{
    (void)state;
    static const char *const own =
        "{\"requestheader-client-ca-file\":\"PEM\","
        "\"requestheader-username-headers\":\"[\\\"X-First\\\",\\\"X-Second\\\"]\","
        "\"requestheader-group-headers\":\"[\\\"X-G\\\",\\\"X-H\\\"]\","
        "\"requestheader-extra-headers-prefix\":\"[\\\"X-E-\\\",\\\"X-F-\\\"]\"}";
    assert_string_equal(WHO(own, "X-Second", "b", "X-First", "a", "X-H", "3", "X-G", "1", "X-G", "2", "X-F-k",
                            "v", "X-E-k", "w", "X-Remote-Group", "system:masters"),
        "a/- +1 +2 +3 k=w k=v");
    assert_string_equal(WHO(own, "X-Second", "b", "X-First", ""), "b/-");
    assert_string_equal(WHO(own, "X-Remote-User", "root"), "nobody");
}

static void test_what_is_no_text_or_too_much_is_refused(void **state)
{
    (void)state;
    static const char refused[] = "the user's name, groups and extra are not UTF-8 or larger than 64 KiB";
    assert_string_equal(WHO(usual, "X-Remote-User", "a\xff"), refused);
    assert_string_equal(WHO(usual, "X-Remote-User", "a", "X-Remote-Group", "\xc3"), refused);
    assert_string_equal(WHO(usual, "X-Remote-User", "a", "X-Remote-Uid", "\x80"), refused);
    assert_string_equal(WHO(usual, "X-Remote-User", "a", "X-Remote-Extra-k", "\xed\xa0\x80"), refused);
    assert_string_equal(WHO(usual, "X-Remote-User", "a", "X-Remote-Extra-%ff", "v"), refused);
    kp_auto_free char *large = kp_calloc(1, 40000);
    memset(large, 'a', 39999);
    assert_string_equal(
        WHO(usual, "X-Remote-User", "a", "X-Remote-Group", large, "X-Remote-Group", large), refused);
    const char **pairs = KP_NEW_ARRAY(const char *, 2 * 1100 + 1);
    for (size_t i = 0; i < 1100; i++) {
        pairs[2 * i] = i == 0 ? "X-Remote-User" : "X-Remote-Group";
        pairs[2 * i + 1] = "a";
    }
    assert_string_equal(who(usual, pairs), "more than 1024 groups or extra values");
    kp_free(pairs);
}

static void test_service_accounts_have_a_namespace(void **state)
{
    (void)state;
    static const struct {
        const char *name, *namespace;
    } rows[] = {
        {"system:serviceaccount:shop:agent", "shop"},
        {"system:serviceaccount:shop:a.b", "shop"},
        {"system:serviceaccount:shop", NULL},
        {"system:serviceaccount::agent", NULL},
        {"system:serviceaccount:shop:", NULL},
        {"system:serviceaccount:Shop:agent", NULL},
        {"system:serviceaccount:a/b:agent", NULL},
        {"system:serviceaccount:shop:a:b", NULL},
        {"system:serviceaccounts:shop:agent", NULL},
        {"x:system:serviceaccount:shop:agent", NULL},
    };
    struct kp_remote remote;
    read_well(usual, &remote);
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_identity *identity;
        const char *const pairs[] = {"X-Remote-User", rows[i].name, NULL};
        assert_int_equal(kp_remote_identity(&remote, header_at, pairs, &identity, NULL), 0);
        if (!kp_streq(identity->namespace, rows[i].namespace))
            fail_msg("%s: %s", rows[i].name, identity->namespace);
        kp_identity_free(identity);
    }
    kp_remote_finish(&remote);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_an_api_server_writes),
        cmocka_unit_test(test_what_is_not_said_is_the_usual),
        cmocka_unit_test(test_no_name_is_a_name_that_may_be_allowed),
        cmocka_unit_test(test_without_a_ca_there_is_no_front_proxy),
        cmocka_unit_test(test_lists_that_are_none),
        cmocka_unit_test(test_a_user_as_the_api_server_sends_him),
        cmocka_unit_test(test_names_are_compared_exactly),
        cmocka_unit_test(test_a_user_is_named_once),
        cmocka_unit_test(test_configured_headers),
        cmocka_unit_test(test_what_is_no_text_or_too_much_is_refused),
        cmocka_unit_test(test_service_accounts_have_a_namespace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
