#include "policy/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/duration.h"
#include "base/text.h"
#include "base/banned.h"

// The first problem is the one that is told.
void kp_policy_reject(struct kp_policy_reader *p, const char *fmt, ...)
{
    if (p->policy->reject_reason != NULL)
        return;
    va_list args;
    char text[480];
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    p->policy->reject_reason = "InvalidSpec";
    p->policy->reject_message = kp_arena_strdup(&p->arena, text);
}

// ---- scalars: NULL or absent leaves the default ----

const char *kp_policy_get_string(
    struct kp_policy_reader *p, const json_t *object, const char *key, size_t max)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL || json_is_null(value))
        return NULL;
    if (!json_is_string(value)) {
        kp_policy_reject(p, "%s must be a string", key);
        return NULL;
    }
    if (json_string_length(value) > max || strlen(json_string_value(value)) != json_string_length(value)) {
        kp_policy_reject(p, "%s is longer than %zu characters", key, max);
        return NULL;
    }
    return kp_arena_strdup(&p->arena, json_string_value(value));
}

static const json_t *get_kind(
    struct kp_policy_reader *p, const json_t *object, const char *key, json_type kind, const char *words)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL || json_is_null(value))
        return NULL;
    if (json_typeof(value) == kind)
        return value;
    kp_policy_reject(p, "%s must be %s", key, words);
    return NULL;
}

const json_t *kp_policy_get_object(struct kp_policy_reader *p, const json_t *object, const char *key)
{
    return get_kind(p, object, key, JSON_OBJECT, "an object");
}

const json_t *kp_policy_get_list(struct kp_policy_reader *p, const json_t *object, const char *key)
{
    return get_kind(p, object, key, JSON_ARRAY, "a list");
}

bool kp_policy_get_bool(struct kp_policy_reader *p, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (value != NULL && !json_is_boolean(value) && !json_is_null(value))
        kp_policy_reject(p, "%s must be true or false", key);
    return json_is_true(value);
}

int64_t kp_policy_get_duration(
    struct kp_policy_reader *p, const json_t *object, const char *key, int64_t fallback)
{
    int64_t ms = fallback;
    struct kp_error err = {0};
    const char *text = kp_policy_get_string(p, object, key, 64);
    if (text != NULL && kp_duration_parse(text, &ms, &err) != 0)
        kp_policy_reject(p, "%s: %s", key, err.text);
    return ms;
}

int64_t kp_policy_get_bytes(
    struct kp_policy_reader *p, const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);
    struct kp_error err = {0};
    int64_t bytes = fallback;
    if (json_is_integer(value))
        bytes = json_integer_value(value);
    else if (json_is_string(value) && kp_quantity_parse(json_string_value(value), &bytes, &err) != 0)
        kp_policy_reject(p, "%s: %s", key, err.text);
    else if (value != NULL && !json_is_string(value) && !json_is_null(value))
        kp_policy_reject(p, "%s must be a number of bytes or a quantity like 16Mi", key);
    return bytes;
}

struct kp_int_or_percent kp_policy_get_share(
    struct kp_policy_reader *p, const json_t *object, const char *key, struct kp_int_or_percent fallback)
{
    const json_t *value = json_object_get(object, key);
    struct kp_int_or_percent share = fallback;
    struct kp_error err = {0};
    if (json_is_integer(value)) {
        json_int_t n = json_integer_value(value);
        share = (struct kp_int_or_percent){.value = n < 0 ? 0 : n > INT32_MAX ? INT32_MAX : (int)n};
    } else if (json_is_string(value) &&
               kp_int_or_percent_parse(json_string_value(value), &share, &err) != 0) {
        kp_policy_reject(p, "%s: %s", key, err.text);
    } else if (value != NULL && !json_is_string(value) && !json_is_null(value)) {
        kp_policy_reject(p, "%s must be a number or a percentage", key);
    }
    return share;
}

// The index of the text among the words, or fallback.
int kp_policy_get_choice(
    struct kp_policy_reader *p, const json_t *object, const char *key, const char *const *words, int fallback)
{
    const char *text = kp_policy_get_string(p, object, key, 64);
    if (text == NULL)
        return fallback;
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    kp_policy_reject(p, "%s: '%.40s' is not known", key, text);
    return fallback;
}

// ---- selectors ----

static bool read_expression(const json_t *item, struct kp_requirement *req, const char **values, size_t max)
{
    static const struct {
        const char *name;
        enum kp_selector_op op;
    } ops[] = {{"In", KP_SELECTOR_IN}, {"NotIn", KP_SELECTOR_NOT_IN}, {"Exists", KP_SELECTOR_EXISTS},
        {"DoesNotExist", KP_SELECTOR_NOT_EXISTS}};
    const char *name = json_string_value(json_object_get(item, "operator"));
    const json_t *list = json_object_get(item, "values");
    req->key = json_string_value(json_object_get(item, "key"));
    size_t op = 0;
    while (op < KP_COUNT(ops) && !kp_streq(name, ops[op].name))
        op++;
    if (req->key == NULL || op == KP_COUNT(ops) || json_array_size(list) > max)
        return false;
    req->op = ops[op].op;
    req->n_values = json_array_size(list);
    for (size_t i = 0; i < req->n_values; i++) {
        values[i] = json_string_value(json_array_get(list, i));
        if (values[i] == NULL)
            return false;
    }
    req->values = values;
    bool takes_values = req->op == KP_SELECTOR_IN || req->op == KP_SELECTOR_NOT_IN;
    return takes_values == (req->n_values > 0);
}

#define MAX_REQUIREMENTS 64
#define MAX_VALUES       64

struct kp_selector *kp_policy_get_selector(struct kp_policy_reader *p, const json_t *object, const char *key)
{
    const json_t *value = kp_policy_get_object(p, object, key);
    const json_t *labels = kp_policy_get_object(p, value, "matchLabels");
    const json_t *expressions = kp_policy_get_list(p, value, "matchExpressions");
    struct kp_requirement reqs[MAX_REQUIREMENTS];
    kp_auto_free const char **values = KP_NEW_ARRAY(const char *, MAX_REQUIREMENTS *MAX_VALUES);
    size_t n = 0, i;
    const char *label;
    json_t *item;
    if (value == NULL)
        return NULL;
    json_object_foreach((json_t *)(uintptr_t)labels, label, item)
    {
        const char **room = &values[n * MAX_VALUES];
        if (n == MAX_REQUIREMENTS || !json_is_string(item)) {
            kp_policy_reject(p, "%s.matchLabels holds too many or wrong labels", key);
            return NULL;
        }
        room[0] = json_string_value(item);
        reqs[n++] =
            (struct kp_requirement){.key = label, .op = KP_SELECTOR_IN, .n_values = 1, .values = room};
    }
    json_array_foreach(expressions, i, item)
    {
        if (n == MAX_REQUIREMENTS || !read_expression(item, &reqs[n], &values[n * MAX_VALUES], MAX_VALUES)) {
            kp_policy_reject(p,
                "%s.matchExpressions[%zu] is wrong: key, operator (In, NotIn, Exists, DoesNotExist), values",
                key, i);
            return NULL;
        }
        n++;
    }
    struct kp_selector *selector = NULL;
    struct kp_error err = {0};
    if (kp_selector_create(reqs, n, &selector, &err) != 0)
        kp_policy_reject(p, "%s: %s", key, err.text);
    return selector;
}
