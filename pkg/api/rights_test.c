// What people are told of rights, against the table of routes: docs/registry-api.md and decisions/0008.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/answers.h"
#include "api/api.h"
#include "base/alloc.h"
#include "base/text.h"
#include "testkit/testkit.h"
#include "base/banned.h"

#define CELLS 4

// The cells of a table's line, without blanks around; false for other lines.
static bool read_row(char *line, char *ret[CELLS])
{
    size_t n = 0;
    if (line[0] != '|')
        return false;
    for (char *rest = line + 1, *cell; n < CELLS && (cell = strsep(&rest, "|")) != NULL;) {
        cell += strspn(cell, " ");
        for (size_t len = strlen(cell); len > 0 && cell[len - 1] == ' ';)
            cell[--len] = '\0';
        ret[n++] = cell;
    }
    return n == CELLS;
}

// Whether a line of the document says so.
static bool says(const char *document, const struct kp_http_route *route, const struct kp_admission *a,
    bool (*fits)(char *const cells[CELLS], const struct kp_http_route *route, const struct kp_admission *a))
{
    kp_auto_free char *path = kp_asprintf("%s/../../../docs/%s", KP_TESTDATA, document);
    kp_auto_free char *text = kp_test_read_file(path, NULL);
    bool found = false;
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *cells[CELLS];
        found |= read_row(line, cells) && fits(cells, route, a);
    }
    return found;
}

// | verb | `profiles/sub` | where | `GET /path`, ... |
static bool fits_manual(
    char *const cells[CELLS], const struct kp_http_route *route, const struct kp_admission *a)
{
    kp_auto_free char *resource =
        kp_asprintf("`profiles%s%s`", a->subresource ? "/" : "", a->subresource ? a->subresource : "");
    bool own = kp_starts_with(route->path, "/api/v1");
    kp_auto_free char *told = kp_strdup(own ? route->path + strlen("/api/v1") : route->path);
    char *param = strchr(told, '{');
    if (param && strncmp(param, "{id", 3) == 0)
        memcpy(param, "ID", 3);
    else if (param)
        memcpy(param, "KEY", 4);
    kp_auto_free char *request = kp_asprintf("`%s %s`", route->method, told);
    return kp_streq(cells[0], a->verb) && kp_streq(cells[1], resource) && strstr(cells[3], request);
}

// | what | verb | sub-resource | where |
static bool fits_decision(
    char *const cells[CELLS], const struct kp_http_route *route, const struct kp_admission *a)
{
    const char *sub = a->subresource ? a->subresource : "";
    (void)route;
    return kp_streq(cells[1], a->verb) &&
           (kp_streq(cells[2], sub) ||
               (a->subresource && kp_streq(cells[2], "of that name") && strstr(cells[0], sub)));
}

// Second spellings of a path, what is not served, and what needs no right are not told.
static bool is_told(const struct kp_http_route *route, const struct kp_admission *a)
{
    return a->where != KP_ADMIT_KNOWN && a->where != KP_ADMIT_OPEN && !kp_ends_with(route->path, "/");
}

static void test_the_documents_say_which_rights(void **state)
{
    (void)state;
    struct kp_http_route routes[KP_API_ROUTES];
    size_t n = kp_api_add_routes(routes);
    for (size_t i = 0; i < n; i++) {
        const struct kp_http_route *r = &routes[i];
        const struct kp_admission *a = kp_api_admission(r);
        assert_non_null(a);
        if (!is_told(r, a))
            continue;
        if (!kp_starts_with(r->path, "/apis/") && !says("registry-api.md", r, a, fits_manual))
            fail_msg("docs/registry-api.md does not say that %s %s needs %s profiles/%s", r->method, r->path,
                a->verb, a->subresource ? a->subresource : "");
        if (!says("decisions/0008-who-may-read.md", r, a, fits_decision))
            fail_msg("decisions/0008 does not say that anything needs %s profiles/%s, as %s %s does", a->verb,
                a->subresource ? a->subresource : "", r->method, r->path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_documents_say_which_rights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
