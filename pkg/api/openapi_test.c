// docs/openapi.yaml against the table of routes: the same paths, methods and parameters on both sides. The
// file is read line by line, as it is written: two blanks a level.
#include "api/api_fixture.h"

#include "api/answers.h"
#include "base/array.h"
#include "base/text.h"
#include "base/banned.h"

#define REF "        - $ref: '#/components/parameters/"

struct operation {
    char *path, *method;
    KP_ARRAY(char *) params;
    bool served;
};

struct document {
    KP_ARRAY(struct operation) ops;
    KP_ARRAY(char *) defined; // parameters
};

static char *upper(const char *s, size_t len)
{
    char *out = kp_strndup(s, len);
    for (char *p = out; *p; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    return out;
}

static void read_line(
    struct document *d, const char *line, size_t len, char **path, bool *in_paths, bool *in_params)
{
    kp_auto_free char *text = kp_strndup(line, len);
    if (text[0] != ' ') {
        *in_paths = kp_streq(text, "paths:");
        *in_params = false;
    } else if (kp_starts_with(text, "  ") && text[2] != ' ' && text[2] != '\0') {
        *in_params = kp_streq(text, "  parameters:");
        if (*in_paths) {
            kp_free(*path);
            *path = kp_strndup(text + 2, len - 3);
        }
    } else if (*in_params && kp_starts_with(text, "    ") && text[4] != ' ') {
        *kp_array_add(&d->defined) = kp_strndup(text + 4, len - 5);
    } else if (*in_paths && kp_starts_with(text, "    ") && text[4] != ' ' &&
               !kp_streq(text, "    parameters:")) {
        *kp_array_add(&d->ops) =
            (struct operation){.path = kp_strdup(*path), .method = upper(text + 4, len - 5)};
    } else if (*in_paths && kp_starts_with(text, REF)) {
        *kp_array_add(&d->ops.items[d->ops.n - 1].params) =
            kp_strndup(text + strlen(REF), len - strlen(REF) - 1);
    }
}

static void load(struct document *d)
{
    kp_auto_free char *text = kp_test_read_file(KP_TESTDATA "/../../../docs/openapi.yaml", NULL);
    char *path = NULL;
    bool in_paths = false;
    bool in_params = false;
    *d = (struct document){0};
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, "\n");
        read_line(d, p, len, &path, &in_paths, &in_params);
        p += len + (p[len] == '\n');
    }
    kp_free(path);
}

static void unload(struct document *d)
{
    for (size_t i = 0; i < d->ops.n; i++) {
        struct operation *op = &d->ops.items[i];
        for (size_t k = 0; k < op->params.n; k++)
            kp_free(op->params.items[k]);
        kp_array_free(&op->params);
        kp_free(op->path);
        kp_free(op->method);
    }
    for (size_t i = 0; i < d->defined.n; i++)
        kp_free(d->defined.items[i]);
    kp_array_free(&d->ops);
    kp_array_free(&d->defined);
}

static bool holds(char *const *list, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++)
        if (kp_streq(list[i], text))
            return true;
    return false;
}

// {id} and {ids} name the same segment.
static bool same_path(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        if (*a == '{' && *b == '{') {
            a += strcspn(a, "}");
            b += strcspn(b, "}");
        }
        if (*a != *b)
            return false;
    }
    return *a == *b;
}

static struct operation *find(struct document *d, const struct kp_http_route *route)
{
    for (size_t i = 0; i < d->ops.n; i++)
        if (same_path(d->ops.items[i].path, route->path) && kp_streq(d->ops.items[i].method, route->method))
            return &d->ops.items[i];
    return NULL;
}

static void check_params(const struct kp_http_route *route, const struct operation *op)
{
    const struct kp_api_tag *tag = route->tag;
    const char *name;
    size_t n = 0;
    if (tag == NULL || tag->query_for == 0)
        return;
    for (; (name = kp_query_param(tag->query_for, n)) != NULL; n++)
        if (!holds(op->params.items, op->params.n, name))
            fail_msg(
                "%s %s takes '%s', which docs/openapi.yaml does not say", route->method, route->path, name);
    if (n != op->params.n)
        fail_msg("%s %s takes %zu parameters, docs/openapi.yaml says %zu", route->method, route->path, n,
            op->params.n);
}

// Second spellings of a path, and what stands for all others, are not told; the aggregated API has a document
// of its own.
static bool is_told(const struct kp_http_route *route)
{
    return !kp_streq(route->method, "*") && !kp_ends_with(route->path, "/") &&
           !(kp_streq(route->method, "DELETE") && kp_ends_with(route->path, "/merge")) &&
           !kp_starts_with(route->path, "/apis") && !kp_starts_with(route->path, "/openapi");
}

static void test_the_document_says_what_is_served(void **state)
{
    (void)state;
    struct kp_http_route routes[KP_API_ROUTES];
    struct document d;
    size_t n = kp_api_add_routes(routes);
    load(&d);
    for (size_t i = 0; i < n; i++) {
        if (!is_told(&routes[i]))
            continue;
        struct operation *op = find(&d, &routes[i]);
        if (op == NULL)
            fail_msg("docs/openapi.yaml does not have %s %s", routes[i].method, routes[i].path);
        op->served = true;
        check_params(&routes[i], op);
    }
    for (size_t i = 0; i < d.ops.n; i++) {
        const struct operation *op = &d.ops.items[i];
        if (!op->served)
            fail_msg("docs/openapi.yaml has %s %s, which is not served", op->method, op->path);
        for (size_t k = 0; k < op->params.n; k++)
            if (!holds(d.defined.items, d.defined.n, op->params.items[k]))
                fail_msg("docs/openapi.yaml does not define the parameter '%s'", op->params.items[k]);
    }
    unload(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_document_says_what_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
