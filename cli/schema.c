#include "cli/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/regex.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_PATH  512
#define MAX_DEPTH 32

struct checking {
    struct kp_strbuf path;
    kp_schema_fn on_wrong;
    void *user;
    int depth;
};

static void check(struct checking *c, const json_t *schema, const json_t *value);

KP_PRINTF(2, 3)
static void wrong(struct checking *c, const char *fmt, ...)
{
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 1024);
    va_list args;
    va_start(args, fmt);
    kp_strbuf_vaddf(&text, fmt, args);
    va_end(args);
    c->on_wrong(c->user, c->path.data, text.data);
}

static size_t descend(struct checking *c, const char *key)
{
    size_t len = c->path.len;
    kp_strbuf_addf(&c->path, "%s%.100s", len ? "." : "", key);
    return len;
}

static void ascend(struct checking *c, size_t len)
{
    c->path.len = len;
    c->path.data[len] = '\0';
    c->path.overflow = false;
}

static const char *name_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
        return "a whole number";
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        return "nothing";
    }
    return "";
}

static bool is_of_type(const json_t *schema, const json_t *value, const char **ret_wanted)
{
    static const struct {
        const char *type, *words;
    } types[] = {{"object", "an object"}, {"array", "a list"}, {"string", "a text"},
        {"integer", "a whole number"}, {"boolean", "true or false"}, {"number", "a number"}};
    const char *type = json_string_value(json_object_get(schema, "type"));
    if (json_is_true(json_object_get(schema, "x-kubernetes-int-or-string"))) {
        *ret_wanted = "a whole number or a text";
        return json_is_integer(value) || json_is_string(value);
    }
    for (size_t i = 0; i < KP_COUNT(types) && type != NULL; i++)
        if (kp_streq(types[i].type, type))
            *ret_wanted = types[i].words;
    if (type == NULL)
        return true;
    return (kp_streq(type, "object") && json_is_object(value)) ||
           (kp_streq(type, "array") && json_is_array(value)) ||
           (kp_streq(type, "string") && json_is_string(value)) ||
           (kp_streq(type, "integer") && json_is_integer(value)) ||
           (kp_streq(type, "boolean") && json_is_boolean(value)) ||
           (kp_streq(type, "number") && json_is_number(value));
}

// ---- objects ----

static const char *nearest(const json_t *properties, const char *key)
{
    const char *best = NULL;
    const char *known;
    json_t *ignored;
    size_t least = 4;
    json_object_foreach((json_t *)(uintptr_t)properties, known, ignored)
    {
        size_t distance = kp_edit_distance(known, key);
        if (distance < least && distance < strlen(known))
            least = distance, best = known;
    }
    return best;
}

static void unknown(struct checking *c, const json_t *properties, const char *key)
{
    const char *near = nearest(properties, key);
    kp_auto_free char *parent = kp_strdup(c->path.data);
    size_t len = descend(c, key);
    if (near != NULL)
        wrong(c, "unknown field; did you mean %s%s%s?", parent, parent[0] ? "." : "", near);
    else
        wrong(c, "unknown field");
    ascend(c, len);
}

static void check_object(struct checking *c, const json_t *schema, const json_t *value)
{
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *others = json_object_get(schema, "additionalProperties");
    const json_t *most = json_object_get(schema, "maxProperties");
    const char *key;
    json_t *member;
    size_t i;
    json_t *required;
    json_array_foreach(json_object_get(schema, "required"), i, required)
    {
        const char *name = json_string_value(required);
        const json_t *given = json_object_get(value, name);
        size_t len = descend(c, name);
        if (given == NULL || json_is_null(given))
            wrong(c, "is missing");
        ascend(c, len);
    }
    if (most != NULL && json_object_size(value) > (size_t)json_integer_value(most))
        wrong(c, "has more than %lld entries", (long long)json_integer_value(most));
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        const json_t *known = json_object_get(properties, key);
        if (known == NULL && others == NULL) {
            if (properties != NULL)
                unknown(c, properties, key);
            continue;
        }
        size_t len = descend(c, key);
        check(c, known ? known : others, member);
        ascend(c, len);
    }
}

// ---- lists ----

// Whether two entries are the same one: their keys are (list-map-keys), or they are (set).
static bool is_repeated(const json_t *schema, const json_t *a, const json_t *b)
{
    const json_t *keys = json_object_get(schema, "x-kubernetes-list-map-keys");
    size_t i;
    json_t *key;
    if (kp_streq(json_string_value(json_object_get(schema, "x-kubernetes-list-type")), "set"))
        return json_equal(a, b);
    if (json_array_size(keys) == 0)
        return false;
    json_array_foreach(keys, i, key)
    {
        const json_t *of_a = json_object_get(a, json_string_value(key));
        if (of_a == NULL || !json_equal(of_a, json_object_get(b, json_string_value(key))))
            return false;
    }
    return true;
}

static void check_list(struct checking *c, const json_t *schema, const json_t *value)
{
    const json_t *least = json_object_get(schema, "minItems");
    const json_t *most = json_object_get(schema, "maxItems");
    size_t n = json_array_size(value);
    if (least != NULL && n < (size_t)json_integer_value(least))
        wrong(c, "needs at least %lld", (long long)json_integer_value(least));
    if (most != NULL && n > (size_t)json_integer_value(most)) {
        wrong(c, "has more than %lld", (long long)json_integer_value(most));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        size_t len = c->path.len;
        kp_strbuf_addf(&c->path, "[%zu]", i);
        check(c, json_object_get(schema, "items"), json_array_get(value, i));
        for (size_t k = 0; k < i && most != NULL; k++) // lists without a bound would take forever
            if (is_repeated(schema, json_array_get(value, i), json_array_get(value, k))) {
                wrong(c, "is there twice");
                break;
            }
        ascend(c, len);
    }
}

// ---- texts and numbers ----

static void add_words(struct kp_strbuf *text, const json_t *list)
{
    size_t i;
    json_t *word;
    json_array_foreach(list, i, word) kp_strbuf_addf(text, "%s%s", i ? ", " : "", json_string_value(word));
}

static void check_enum(struct checking *c, const json_t *list, const json_t *value)
{
    size_t i;
    json_t *word;
    const char *text = json_string_value(value);
    json_array_foreach(list, i, word) if (json_equal(word, value)) return;
    kp_auto_strbuf words;
    kp_strbuf_init(&words, 1024);
    add_words(&words, list);
    wrong(c, "'%.60s' is none of %s", text ? text : "", words.data);
}

static void check_string(struct checking *c, const json_t *schema, const json_t *value)
{
    const char *text = json_string_value(value);
    const char *pattern = json_string_value(json_object_get(schema, "pattern"));
    const json_t *least = json_object_get(schema, "minLength");
    const json_t *most = json_object_get(schema, "maxLength");
    struct kp_regex *regex = NULL;
    size_t len = json_string_length(value);
    if (least != NULL && len < (size_t)json_integer_value(least))
        wrong(c, "is empty");
    if (most != NULL && len > (size_t)json_integer_value(most)) {
        wrong(c, "is longer than %lld characters", (long long)json_integer_value(most));
        return;
    }
    if (pattern == NULL || kp_regex_compile(pattern, &regex, NULL) != 0)
        return;
    if (!kp_regex_finds(regex, text, len)) {
        const char *format = json_string_value(json_object_get(schema, "format"));
        if (kp_streq(format, "duration"))
            wrong(c, "'%.60s' is no duration; write it like 90s, 5m or 1h30m", text);
        else
            wrong(c, "'%.60s' does not match %s", text, pattern);
    }
    kp_regex_destroy(regex);
}

static void check_number(struct checking *c, const json_t *schema, const json_t *value)
{
    const json_t *least = json_object_get(schema, "minimum");
    const json_t *most = json_object_get(schema, "maximum");
    if (least != NULL && json_number_value(value) < json_number_value(least))
        wrong(c, "is below %g", json_number_value(least));
    if (most != NULL && json_number_value(value) > json_number_value(most))
        wrong(c, "is above %.10g", json_number_value(most));
}

static void check(struct checking *c, const json_t *schema, const json_t *value)
{
    const char *wanted = "";
    if (schema == NULL || json_is_null(value) || c->depth >= MAX_DEPTH)
        return;
    if (!is_of_type(schema, value, &wanted)) {
        wrong(c, "must be %s, but is %s", wanted, name_of(value));
        return;
    }
    c->depth++;
    if (json_object_get(schema, "enum") != NULL)
        check_enum(c, json_object_get(schema, "enum"), value);
    if (json_is_object(value))
        check_object(c, schema, value);
    else if (json_is_array(value))
        check_list(c, schema, value);
    else if (json_is_string(value))
        check_string(c, schema, value);
    else if (json_is_number(value))
        check_number(c, schema, value);
    c->depth--;
}

void kp_schema_check(const json_t *schema, const json_t *value, kp_schema_fn on_wrong, void *user)
{
    struct checking c = {.on_wrong = on_wrong, .user = user};
    kp_strbuf_init(&c.path, MAX_PATH);
    check(&c, schema, value);
    kp_strbuf_finish(&c.path);
}
