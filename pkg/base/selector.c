#include "base/selector.h"

#include <string.h>

#include "base/alloc.h"
#include "base/regex.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_REQUIREMENTS 64
#define MAX_VALUES       64

struct kp_selector {
    size_t n;
    struct kp_requirement *reqs;
    struct kp_regex **regexes; // one a requirement; NULL where the operation is no match
};

static bool is_match(enum kp_selector_op op)
{
    return op == KP_SELECTOR_MATCHES || op == KP_SELECTOR_NOT_MATCHES;
}

static void requirement_finish(struct kp_requirement *req)
{
    for (size_t i = 0; i < req->n_values; i++)
        kp_free((void *)(uintptr_t)req->values[i]);
    kp_free((void *)(uintptr_t)req->values);
    kp_free((void *)(uintptr_t)req->key);
}

static void requirement_copy(struct kp_requirement *to, const struct kp_requirement *from)
{
    char **values = KP_NEW_ARRAY(char *, from->n_values);
    for (size_t i = 0; i < from->n_values; i++)
        values[i] = kp_strdup(from->values[i]);
    *to = (struct kp_requirement){.key = kp_strdup(from->key),
        .op = from->op,
        .n_values = from->n_values,
        .values = (const char *const *)values};
}

static int check(const struct kp_requirement *req, struct kp_error *err)
{
    bool wants_values = req->op != KP_SELECTOR_EXISTS && req->op != KP_SELECTOR_NOT_EXISTS;
    if (req->key == NULL || req->key[0] == '\0')
        return kp_fail(err, KP_INVALID, "a selector requirement has no key");
    if (req->n_values > MAX_VALUES)
        return kp_fail(err, KP_LIMIT, "selector key '%.60s' has more than %d values", req->key, MAX_VALUES);
    if (wants_values && req->n_values == 0)
        return kp_fail(err, KP_INVALID, "selector key '%.60s' needs at least one value", req->key);
    if (is_match(req->op) && req->n_values != 1)
        return kp_fail(err, KP_INVALID, "selector key '%.60s' takes one regex", req->key);
    if (!wants_values && req->n_values > 0)
        return kp_fail(err, KP_INVALID, "selector key '%.60s' takes no values with this operator", req->key);
    return 0;
}

int kp_selector_create(
    const struct kp_requirement *reqs, size_t n, struct kp_selector **ret, struct kp_error *err)
{
    if (n > MAX_REQUIREMENTS)
        return kp_fail(err, KP_LIMIT, "a selector has more than %d requirements", MAX_REQUIREMENTS);
    struct kp_selector *selector = KP_NEW(struct kp_selector);
    selector->reqs = KP_NEW_ARRAY(struct kp_requirement, n);
    selector->regexes = KP_NEW_ARRAY(struct kp_regex *, n);
    for (size_t i = 0; i < n; i++) {
        struct kp_error failure = {0};
        if (check(&reqs[i], &failure) != 0 ||
            (is_match(reqs[i].op) &&
                kp_regex_compile(reqs[i].values[0], &selector->regexes[i], &failure) != 0)) {
            kp_selector_destroy(selector);
            return kp_fail(err, failure.code, "%s", failure.text);
        }
        requirement_copy(&selector->reqs[i], &reqs[i]);
        selector->n = i + 1;
    }
    *ret = selector;
    return 0;
}

void kp_selector_destroy(struct kp_selector *selector)
{
    if (selector == NULL)
        return;
    for (size_t i = 0; i < selector->n; i++) {
        kp_regex_destroy(selector->regexes[i]);
        requirement_finish(&selector->reqs[i]);
    }
    kp_free(selector->reqs);
    kp_free(selector->regexes);
    kp_free(selector);
}

static bool has_value(const struct kp_requirement *req, const char *value)
{
    for (size_t i = 0; i < req->n_values; i++)
        if (strcmp(req->values[i], value) == 0)
            return true;
    return false;
}

// Whether one of the values joined in text is the one wanted.
static bool has_joined(const char *text, const char *value)
{
    for (size_t len = strlen(value);;) {
        const char *end = strstr(text, KP_LABEL_JOIN);
        size_t n = end != NULL ? (size_t)(end - text) : strlen(text);
        if (n == len && memcmp(text, value, n) == 0)
            return true;
        if (end == NULL)
            return false;
        text = end + strlen(KP_LABEL_JOIN);
    }
}

static bool holds(const struct kp_selector *selector, size_t i, const char *value)
{
    const struct kp_requirement *req = &selector->reqs[i];
    switch (req->op) {
    case KP_SELECTOR_IN:
        return value != NULL && has_value(req, value);
    case KP_SELECTOR_NOT_IN:
        return value == NULL || !has_value(req, value);
    case KP_SELECTOR_EXISTS:
        return value != NULL;
    case KP_SELECTOR_NOT_EXISTS:
        return value == NULL;
    case KP_SELECTOR_MATCHES:
        return kp_regex_matches(selector->regexes[i], value != NULL ? value : "");
    case KP_SELECTOR_NOT_MATCHES:
        return !kp_regex_matches(selector->regexes[i], value != NULL ? value : "");
    case KP_SELECTOR_HAS:
        return value != NULL && has_joined(value, req->values[0]);
    }
    return false;
}

bool kp_selector_matches_fn(const struct kp_selector *selector, kp_label_lookup_fn lookup, const void *user)
{
    for (size_t i = 0; selector != NULL && i < selector->n; i++)
        if (!holds(selector, i, lookup(user, selector->reqs[i].key)))
            return false;
    return true;
}

static const char *lookup_labels(const void *user, const char *key)
{
    return kp_labels_get(user, key);
}

bool kp_selector_matches(const struct kp_selector *selector, const struct kp_labels *labels)
{
    return kp_selector_matches_fn(selector, lookup_labels, labels);
}

bool kp_selector_is_empty(const struct kp_selector *selector)
{
    return selector == NULL || selector->n == 0;
}

const struct kp_requirement *kp_selector_requirements(const struct kp_selector *selector, size_t *ret_n)
{
    *ret_n = selector != NULL ? selector->n : 0;
    return selector != NULL ? selector->reqs : NULL;
}

size_t kp_selector_regex_steps(const struct kp_selector *selector)
{
    size_t n = 0;
    for (size_t i = 0; selector && i < selector->n; i++)
        n += selector->regexes[i] ? kp_regex_steps(selector->regexes[i]) : 0;
    return n;
}

// A regex that would not be read back as it stands goes into quotes.
static void add_regex(struct kp_strbuf *out, const char *text)
{
    size_t n = strlen(text);
    bool quotes = n == 0 || text[0] == '"' || strpbrk(text, ", \t") != NULL;
    kp_strbuf_adds(out, quotes ? "\"" : "");
    kp_strbuf_adds(out, text);
    kp_strbuf_adds(out, quotes ? "\"" : "");
}

void kp_selector_format(const struct kp_selector *selector, struct kp_strbuf *out)
{
    static const char *const words[] = {[KP_SELECTOR_IN] = " in ",
        [KP_SELECTOR_NOT_IN] = " notin ",
        [KP_SELECTOR_EXISTS] = "",
        [KP_SELECTOR_NOT_EXISTS] = "",
        [KP_SELECTOR_MATCHES] = "=~",
        [KP_SELECTOR_NOT_MATCHES] = "!~",
        [KP_SELECTOR_HAS] = "="};
    for (size_t i = 0; selector != NULL && i < selector->n; i++) {
        const struct kp_requirement *req = &selector->reqs[i];
        bool set = req->op == KP_SELECTOR_IN || req->op == KP_SELECTOR_NOT_IN;
        bool single = set && req->n_values == 1;
        kp_strbuf_adds(out, i > 0 ? "," : "");
        kp_strbuf_adds(out, req->op == KP_SELECTOR_NOT_EXISTS ? "!" : "");
        kp_strbuf_adds(out, req->key);
        kp_strbuf_adds(out, single ? (req->op == KP_SELECTOR_IN ? "=" : "!=") : words[req->op]);
        kp_strbuf_adds(out, set && !single ? "(" : "");
        for (size_t v = 0; v < req->n_values; v++) {
            kp_strbuf_adds(out, v > 0 ? "," : "");
            if (is_match(req->op))
                add_regex(out, req->values[v]);
            else
                kp_strbuf_adds(out, req->values[v]);
        }
        kp_strbuf_adds(out, set && !single ? ")" : "");
    }
}
