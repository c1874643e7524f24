// Which row answers a path.
#include "http/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

static const struct kp_http_route routes[] = {
    {.method = "GET", .path = "/a/x"},
    {.method = "POST", .path = "/a/x"},
    {.method = "GET", .path = "/a/{id}"},
    {.method = "GET", .path = "/a/{id}/"},
    {.method = "DELETE", .path = "/a/{id}"},
    {.method = "*", .path = "/a/{rest...}"},
    {0},
};

// Number of the row, or the status.
static int find(const char *method, const char *path, const char *want_allow, const char *want_param)
{
    struct kp_http_match match;
    char allow[128];
    int status = kp_http_route_find(routes, method, path, &match, allow, sizeof allow);
    if (want_allow != NULL)
        assert_string_equal(allow, want_allow);
    if (want_param != NULL)
        assert_string_equal(match.params[0].value, want_param);
    int row = match.route != NULL ? (int)(match.route - routes) : -1;
    kp_http_match_finish(&match);
    return status != 0 ? status : row;
}

static void test_rows_in_order(void **state)
{
    (void)state;
    assert_int_equal(find("GET", "/a/x", NULL, NULL), 0);
    assert_int_equal(find("HEAD", "/a/x", NULL, NULL), 0);
    assert_int_equal(find("POST", "/a/x", NULL, NULL), 1);
    assert_int_equal(find("GET", "/a/b%20c", NULL, "b c"), 2);
    assert_int_equal(find("GET", "/a/b/", NULL, "b"), 3);
    assert_int_equal(find("DELETE", "/a/b", NULL, "b"), 4);
}

static void test_any_method_comes_last(void **state)
{
    (void)state;
    assert_int_equal(find("GET", "/a/b/c", NULL, "b/c"), 5);
    assert_int_equal(find("PATCH", "/a/", NULL, ""), 5);
    assert_int_equal(find("PUT", "/a/b", "GET, HEAD, DELETE", NULL), 405);
    assert_int_equal(find("DELETE", "/a/b/", "GET, HEAD", NULL), 405);
}

static void test_paths_that_lead_nowhere(void **state)
{
    (void)state;
    assert_int_equal(find("GET", "/", "", NULL), 404);
    assert_int_equal(find("GET", "/a", "", NULL), 404);
    assert_int_equal(find("GET", "/A/x", "", NULL), 404);
    assert_int_equal(find("GET", "/a/../a/x", NULL, NULL), 400);
    assert_int_equal(find("GET", "/a/%2e%2e", NULL, NULL), 400);
    assert_int_equal(find("GET", "/a/%zz", NULL, NULL), 400);
}

static void test_doubled_slashes_at_the_beginning_count_as_one(void **state)
{
    (void)state;
    assert_int_equal(find("GET", "//a/x", NULL, NULL), 0);
    assert_int_equal(find("POST", "///a/x", NULL, NULL), 1);
    assert_int_equal(find("GET", "/a//x", NULL, "/x"), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_in_order),
        cmocka_unit_test(test_any_method_comes_last),
        cmocka_unit_test(test_paths_that_lead_nowhere),
        cmocka_unit_test(test_doubled_slashes_at_the_beginning_count_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
