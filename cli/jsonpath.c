#include "cli/jsonpath.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_STEPS   64   // of one expression
#define MAX_PARTS   1000 // of a template
#define MAX_FOUND   1000000
#define MAX_NESTING 8 // of {range}

enum step_kind { FIELD, ANY, SLICE, FILTER, DEEP };
enum filter_op { EXISTS, EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL };

struct path;

struct step {
    enum step_kind kind;
    char *name; // FIELD
    bool has_start, has_end, is_one;
    int64_t start, end, by; // SLICE; is_one: just start
    struct path *left;      // FILTER, below each element
    enum filter_op op;
    json_t *right;
};

struct path {
    KP_ARRAY(struct step) steps;
};

enum part_kind { TEXT, PATH, RANGE, END };
struct part {
    enum part_kind kind;
    char *text;
    struct path *path;
};

struct kp_jsonpath {
    KP_ARRAY(struct part) parts;
};

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

static struct step *add_step(struct path *path, enum step_kind kind)
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
        enum filter_op op;
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

static struct part *add_part(struct kp_jsonpath *p, enum part_kind kind)
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
        enum part_kind kind = take(r, "range ") ? RANGE : PATH;
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

// ---- finding ----

struct found {
    KP_ARRAY(const json_t *) values;
};

static void add(struct found *to, const json_t *value)
{
    if (value != NULL && to->values.n < MAX_FOUND)
        *kp_array_add(&to->values) = value;
}

static void add_children(struct found *to, const json_t *value)
{
    size_t i;
    json_t *item;
    const char *key;
    json_array_foreach(value, i, item) add(to, item);
    if (json_is_object(value))
        json_object_foreach((json_t *)(uintptr_t)value, key, item) add(to, item);
}

static void add_slice(struct found *to, const json_t *value, const struct step *s)
{
    int64_t n = (int64_t)json_array_size(value);
    int64_t start = s->has_start ? s->start : 0;
    int64_t end = s->has_end ? s->end : n;
    start = start < 0 ? start + n : start;
    end = end < 0 ? end + n : end;
    if (s->is_one)
        end = start + 1;
    for (int64_t i = start < 0 ? (s->is_one ? n : 0) : start; i < end && i < n; i += s->by)
        add(to, json_array_get(value, (size_t)i));
}

static void find(const struct path *path, const json_t *from, struct found *ret);

static bool compare(const json_t *a, enum filter_op op, const json_t *b)
{
    int order;
    if (json_is_string(a) && json_is_string(b))
        order = strcmp(json_string_value(a), json_string_value(b));
    else if (json_is_number(a) && json_is_number(b))
        order = (json_number_value(a) > json_number_value(b)) - (json_number_value(a) < json_number_value(b));
    else
        return json_equal(a, b) ? op == EQUAL || op == LESS_EQUAL || op == GREATER_EQUAL : op == NOT_EQUAL;
    switch (op) {
    case EQUAL:
        return order == 0;
    case NOT_EQUAL:
        return order != 0;
    case LESS:
        return order < 0;
    case LESS_EQUAL:
        return order <= 0;
    case GREATER:
        return order > 0;
    case GREATER_EQUAL:
        return order >= 0;
    case EXISTS:
        break;
    }
    return true;
}

static void add_filtered(struct found *to, const json_t *value, const struct step *s)
{
    struct found all = {0};
    add_children(&all, value);
    for (size_t i = 0; i < all.values.n; i++) {
        struct found left = {0};
        find(s->left, all.values.items[i], &left);
        if (left.values.n > 0 && (s->op == EXISTS || compare(left.values.items[0], s->op, s->right)))
            add(to, all.values.items[i]);
        kp_array_free(&left.values);
    }
    kp_array_free(&all.values);
}

// The value and everything below it; the list itself is the stack of what is still to be opened.
static void add_deep(struct found *to, const json_t *value)
{
    add(to, value);
    for (size_t i = to->values.n - 1; i < to->values.n; i++)
        add_children(to, to->values.items[i]);
}

static void step_from(const struct step *s, const json_t *value, struct found *to)
{
    switch (s->kind) {
    case FIELD:
        add(to, json_object_get(value, s->name));
        break;
    case ANY:
        add_children(to, value);
        break;
    case SLICE:
        add_slice(to, value, s);
        break;
    case FILTER:
        add_filtered(to, value, s);
        break;
    case DEEP:
        add_deep(to, value);
        break;
    }
}

static void find(const struct path *path, const json_t *from, struct found *ret)
{
    struct found now = {0};
    add(&now, from);
    for (size_t i = 0; i < path->steps.n; i++) {
        struct found next = {0};
        for (size_t k = 0; k < now.values.n; k++)
            step_from(&path->steps.items[i], now.values.items[k], &next);
        kp_array_free(&now.values);
        now = next;
    }
    *ret = now;
}

// ---- writing ----

static void write_value(const json_t *value, struct kp_strbuf *out)
{
    if (json_is_string(value)) {
        kp_strbuf_adds(out, json_string_value(value));
        return;
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_PRESERVE_ORDER);
    kp_strbuf_adds(out, text ? text : "");
    free(text); // jansson's
}

static void write_path(const struct path *path, const json_t *value, struct kp_strbuf *out)
{
    struct found found = {0};
    find(path, value, &found);
    for (size_t i = 0; i < found.values.n; i++) {
        if (i > 0)
            kp_strbuf_addc(out, ' ');
        write_value(found.values.items[i], out);
    }
    kp_array_free(&found.values);
}

static size_t end_of(const struct kp_jsonpath *p, size_t i)
{
    for (int depth = 1; depth > 0; depth -= p->parts.items[i].kind == END) {
        i++;
        depth += p->parts.items[i].kind == RANGE;
    }
    return i;
}

// Parts [from, to) on one value. Nesting was bounded when the template was read.
static void write_parts(
    const struct kp_jsonpath *p, size_t from, size_t to, const json_t *value, struct kp_strbuf *out)
{
    for (size_t i = from; i < to; i++) {
        const struct part *part = &p->parts.items[i];
        if (part->kind == TEXT) {
            kp_strbuf_adds(out, part->text);
        } else if (part->kind == PATH) {
            write_path(part->path, value, out);
        } else if (part->kind == RANGE) {
            struct found found = {0};
            size_t end = end_of(p, i);
            find(part->path, value, &found);
            for (size_t k = 0; k < found.values.n; k++)
                write_parts(p, i + 1, end, found.values.items[k], out);
            kp_array_free(&found.values);
            i = end;
        }
    }
}

int kp_jsonpath_write(
    const struct kp_jsonpath *path, const json_t *value, struct kp_strbuf *out, struct kp_error *err)
{
    write_parts(path, 0, path->parts.n, value, out);
    return out->overflow ? kp_fail(err, KP_LIMIT, "the template finds more than %zu bytes", out->max) : 0;
}
