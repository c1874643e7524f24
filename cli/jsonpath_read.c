// Templates, read.
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/jsonpath_private.h"
#include "base/banned.h"

#define MAX_STEPS   64   // of one expression
#define MAX_PARTS   1000 // of a template
#define MAX_NESTING 8    // of {range}

// ---- freeing ----

static void path_free(struct path *path)
{
    if (path == NULL)
        return;
    for (size_t i = 0; i < path->steps.n; i++) {
        kp_free(path->steps.items[i].name);
        path_free(path->steps.items[i].left); // a filter holds no filter: one level
        json_decref(path->steps.items[i].right);
    }
    kp_array_free(&path->steps);
    kp_free(path);
}

void kp_jsonpath_destroy(struct kp_jsonpath *path)
{
    if (path == NULL)
        return;
    for (size_t i = 0; i < path->parts.n; i++) {
        kp_free(path->parts.items[i].text);
        path_free(path->parts.items[i].path);
    }
    kp_array_free(&path->parts);
    kp_free(path);
}

// ---- reading ----

struct reader {
    const char *text, *at;
    struct kp_error *err;
};

static int wrong(const struct reader *r, const char *why)
{
    return kp_fail(r->err, KP_INVALID, "the template is wrong at character %zu, '%.20s': %s",
        (size_t)(r->at - r->text) + 1, r->at, why);
}

static void blanks(struct reader *r)
{
    while (*r->at == ' ')
        r->at++;
}

static bool take(struct reader *r, const char *word)
{
    if (!kp_starts_with(r->at, word))
        return false;
    r->at += strlen(word);
    return true;
}

// 'text' or "text", with \n, \t and \\ and the quote itself escaped.
static int read_quoted(struct reader *r, char **ret)
{
    char quote = *r->at++;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 64 * 1024);
    while (*r->at && *r->at != quote) {
        char c = *r->at++;
        if (c == '\\' && *r->at) {
            c = *r->at++;
            c = (char)(c == 'n' ? '\n' : c == 't' ? '\t' : c);
        }
        kp_strbuf_addc(&out, c);
    }
    if (*r->at != quote)
        return wrong(r, "a quote is not closed");
    r->at++;
    *ret = kp_strbuf_take(&out, NULL);
    return 0;
}

static int read_int(struct reader *r, int64_t *ret)
{
    char *end;
    long long v = strtoll(r->at, &end, 10);
    if (end == r->at || v > INT32_MAX || v < -INT32_MAX)
        return wrong(r, "a number belongs here");
    r->at = end;
    *ret = v;
    return 0;
}

static bool is_name_char(char c)
{
    return c != '\0' && strchr(" .[]{}(),=!<>&|'\"@$*?", c) == NULL;
}

static struct step *add_step(struct path *path, enum kp_jsonpath_step_kind kind)
{
    struct step *step = kp_array_add(&path->steps);
    *step = (struct step){.kind = kind, .by = 1};
    return step;
}

// A bare name; a backslash takes the next character as it is (\. in label keys).
static int read_name(struct reader *r, struct path *path)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 4096);
    while (is_name_char(*r->at) || *r->at == '\\') {
        if (*r->at == '\\' && r->at[1])
            r->at++;
        kp_strbuf_addc(&out, *r->at++);
    }
    if (out.len == 0)
        return wrong(r, "a name belongs here");
    add_step(path, FIELD)->name = kp_strbuf_take(&out, NULL);
    return 0;
}

static int read_path(struct reader *r, bool in_filter, struct path **ret);

static int read_literal(struct reader *r, json_t **ret)
{
    char *end;
    if (*r->at == '\'' || *r->at == '"') {
        kp_auto_free char *text = NULL;
        int rc = read_quoted(r, &text);
        if (rc == 0)
            *ret = json_string(text);
        return rc;
    }
    if (take(r, "true") || take(r, "false")) {
        *ret = json_boolean(r->at[-2] == 'u');
        return 0;
    }
    double v = strtod(r->at, &end);
    if (end == r->at)
        return wrong(r, "a filter compares with a text in quotes, a number, true or false");
    r->at = end;
    *ret = json_real(v);
    return 0;
}

// ?(@.a.b op literal)
static int read_filter(struct reader *r, struct path *path)
{
    static const struct {
        const char *text;
        enum kp_jsonpath_op op;
    } ops[] = {{"==", EQUAL}, {"!=", NOT_EQUAL}, {"<=", LESS_EQUAL}, {">=", GREATER_EQUAL}, {"<", LESS},
        {">", GREATER}};
    struct path *left = NULL;
    if (!take(r, "("))
        return wrong(r, "a filter is ?(@.field == \"value\")");
    blanks(r);
    int rc = read_path(r, true, &left);
    if (rc != 0)
        return rc;
    struct step *step = add_step(path, FILTER);
    step->left = left;
    blanks(r);
    if (take(r, ")"))
        return 0;
    for (size_t i = 0; i < KP_COUNT(ops); i++) {
        if (!take(r, ops[i].text))
            continue;
        step->op = ops[i].op;
        blanks(r);
        rc = read_literal(r, &step->right);
        blanks(r);
        return rc != 0 ? rc : take(r, ")") ? 0 : wrong(r, "the filter is not closed with )");
    }
    return wrong(r, "there is no such comparison");
}

// start:end:step, each may be missing; a number alone is one element.
static int read_slice(struct reader *r, struct path *path)
{
    struct step *step = add_step(path, SLICE);
    int rc = 0;
    if (*r->at != ':') {
        step->has_start = true;
        rc = read_int(r, &step->start);
    }
    step->is_one = rc == 0 && *r->at != ':';
    if (rc == 0 && take(r, ":") && *r->at != ']' && *r->at != ':') {
        step->has_end = true;
        rc = read_int(r, &step->end);
    }
    if (rc == 0 && take(r, ":") && *r->at != ']')
        rc = read_int(r, &step->by);
    return rc != 0 ? rc : step->by < 1 ? wrong(r, "the step is at least 1") : 0;
}

static int read_bracket(struct reader *r, struct path *path, bool in_filter)
{
    int rc = 0;
    blanks(r);
    if (take(r, "*"))
        add_step(path, ANY);
    else if (*r->at == '\'' || *r->at == '"') {
        char *name = NULL;
        rc = read_quoted(r, &name);
        if (rc == 0)
            add_step(path, FIELD)->name = name;
    } else if (take(r, "?"))
        rc = in_filter ? wrong(r, "a filter within a filter is not understood") : read_filter(r, path);
    else
        rc = read_slice(r, path);
    blanks(r);
    return rc != 0 ? rc : take(r, "]") ? 0 : wrong(r, "a bracket is not closed");
}

static int read_step(struct reader *r, struct path *path, bool in_filter)
{
    if (take(r, "..")) {
        add_step(path, DEEP);
        return *r->at == '*' ? (r->at++, add_step(path, ANY), 0) : *r->at == '[' ? 0 : read_name(r, path);
    }
    if (take(r, "["))
        return read_bracket(r, path, in_filter);
    if (take(r, ".*")) {
        add_step(path, ANY);
        return 0;
    }
    if (take(r, ".")) // "{.}" is all of it
        return is_name_char(*r->at) || *r->at == '\\' ? read_name(r, path) : 0;
    return read_name(r, path);
}

static int read_path(struct reader *r, bool in_filter, struct path **ret)
{
    struct path *path = KP_NEW(struct path);
    int rc = 0;
    if (*r->at == '$' || *r->at == '@')
        r->at++;
    while (rc == 0 && *r->at && strchr("},) =!<>", *r->at) == NULL) {
        if (path->steps.n >= MAX_STEPS)
            rc = wrong(r, "the expression is too long");
        else
            rc = read_step(r, path, in_filter);
    }
    if (rc == 0)
        *ret = path;
    else
        path_free(path);
    return rc;
}

static struct part *add_part(struct kp_jsonpath *p, enum kp_jsonpath_part_kind kind)
{
    struct part *part = kp_array_add(&p->parts);
    *part = (struct part){.kind = kind};
    return part;
}

// What stands between braces: a text, "range PATH", "end", or paths with commas.
static int read_braces(struct reader *r, struct kp_jsonpath *p)
{
    struct path *path = NULL;
    int rc = 0;
    blanks(r);
    if (take(r, "end")) {
        add_part(p, END);
    } else if (*r->at == '"' || *r->at == '\'') {
        char *text = NULL;
        rc = read_quoted(r, &text);
        if (rc == 0)
            add_part(p, TEXT)->text = text;
    } else {
        enum kp_jsonpath_part_kind kind = take(r, "range ") ? RANGE : PATH;
        do {
            blanks(r);
            rc = read_path(r, false, &path);
            if (rc != 0)
                return rc;
            add_part(p, kind)->path = path;
        } while (kind == PATH && take(r, ","));
    }
    blanks(r);
    return rc != 0 ? rc : take(r, "}") ? 0 : wrong(r, "an expression is not closed with }");
}

static int check_nesting(const struct kp_jsonpath *p, struct kp_error *err)
{
    int depth = 0;
    for (size_t i = 0; i < p->parts.n; i++) {
        depth += p->parts.items[i].kind == RANGE;
        depth -= p->parts.items[i].kind == END;
        if (depth < 0)
            return kp_fail(err, KP_INVALID, "the template has an {end} without {range}");
        if (depth > MAX_NESTING)
            return kp_fail(err, KP_INVALID, "the template nests more than %d {range}", MAX_NESTING);
    }
    return depth == 0 ? 0 : kp_fail(err, KP_INVALID, "the template has a {range} without {end}");
}

int kp_jsonpath_parse(const char *text, struct kp_jsonpath **ret, struct kp_error *err)
{
    struct reader r = {.text = text, .at = text, .err = err};
    struct kp_jsonpath *p = KP_NEW(struct kp_jsonpath);
    int rc = 0;
    while (rc == 0 && *r.at) {
        size_t len = strcspn(r.at, "{");
        if (len > 0)
            add_part(p, TEXT)->text = kp_strndup(r.at, len);
        r.at += len;
        if (take(&r, "{"))
            rc = read_braces(&r, p);
        if (rc == 0 && p->parts.n > MAX_PARTS)
            rc = wrong(&r, "the template is too long");
    }
    if (rc == 0)
        rc = check_nesting(p, err);
    if (rc == 0)
        *ret = p;
    else
        kp_jsonpath_destroy(p);
    return rc;
}
