// Sentences of the API server that are longer than an error holds.
#include "kube/failure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

#define A60 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void read_forbidden(const char *user, const char *namespace, struct kp_error *ret)
{
    kp_auto_free char *body =
        kp_asprintf("{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"code\":403,\"message\":\"pods "
                    "\\\"checkout-7d9f8c6b5-x2abc\\\" is forbidden: User \\\"%s\\\" cannot get resource "
                    "\\\"pods/portforward\\\" in API group \\\"\\\" in the namespace \\\"%s\\\"\"}",
            user, namespace);
    *ret = (struct kp_error){0};
    assert_int_equal(kp_failure_read(403, body, strlen(body), "GET /x", 0, ret), KP_DENIED);
}

static void test_verb_and_resource_stay(void **state)
{
    (void)state;
    struct kp_error err;
    read_forbidden("me", "shop", &err);
    assert_string_equal(err.text, "pods \"checkout-7d9f8c6b5-x2abc\" is forbidden: User \"me\" cannot get "
                                  "resource \"pods/portforward\" "
                                  "in API group \"\" in the namespace \"shop\"");
    read_forbidden("arn:" A60 A60 "/first.last@company.example", "shop", &err);
    assert_true(strlen(err.text) == sizeof err.text - 1);
    assert_non_null(strstr(err.text, "forbidden: User \"arn:aaa"));
    assert_non_null(strstr(err.text, "aaa..."));
    assert_true(kp_ends_with(err.text,
        "company.example\" cannot get resource \"pods/portforward\" in API group \"\" in the namespace "
        "\"shop\""));
    read_forbidden("me", A60 A60 A60 A60, &err); // nothing to leave out there
    assert_non_null(strstr(err.text, "User \"me\" cannot get resource \"pods/portforward\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verb_and_resource_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
