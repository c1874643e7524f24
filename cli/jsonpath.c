// Templates, applied.
#include "cli/jsonpath.h"

#include <stdlib.h>
#include <string.h>

#include "cli/jsonpath_private.h"
#include "base/banned.h"

#define MAX_FOUND 1000000

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

static bool compare(const json_t *a, enum kp_jsonpath_op op, const json_t *b)
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
