#include "base/labels.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

struct indexed {
    struct kp_label label;
    size_t at;
};

static int compare(const void *a, const void *b)
{
    const struct indexed *x = a, *y = b;
    int order = strcmp(x->label.key, y->label.key);
    return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

// Sorts and keeps the last of equal keys; returns how many are left.
static size_t normalise(struct indexed *items, size_t n)
{
    if (n > 0)
        qsort(items, n, sizeof *items, compare);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (i + 1 == n || strcmp(items[i].label.key, items[i + 1].label.key) != 0)
            items[kept++] = items[i];
    return kept;
}

static const char *put(char **at, const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = memcpy(*at, s, n);
    *at += n;
    return copy;
}

struct kp_labels *kp_labels_create(const struct kp_label *items, size_t n)
{
    kp_auto_free struct indexed *sorted = KP_NEW_ARRAY(struct indexed, n + 1);
    for (size_t i = 0; i < n; i++)
        sorted[i] = (struct indexed){items[i], i};
    n = normalise(sorted, n);
    size_t text = 0;
    for (size_t i = 0; i < n; i++)
        text += strlen(sorted[i].label.key) + strlen(sorted[i].label.value) + 2;
    struct kp_labels *labels = kp_alloc(sizeof *labels + n * sizeof(struct kp_label) + text);
    struct kp_label *copies = (struct kp_label *)(labels + 1);
    char *at = (char *)(copies + n);
    uint64_t hash = n;
    for (size_t i = 0; i < n; i++) {
        copies[i].key = put(&at, sorted[i].label.key);
        copies[i].value = put(&at, sorted[i].label.value);
        hash = kp_hash64_str(copies[i].value, kp_hash64_str(copies[i].key, hash));
    }
    *labels = (struct kp_labels){.n = n, .hash = hash, .items = copies};
    return labels;
}

struct kp_labels *kp_labels_copy(const struct kp_labels *labels)
{
    return labels != NULL ? kp_labels_create(labels->items, labels->n) : kp_labels_create(NULL, 0);
}

void kp_labels_destroy(struct kp_labels *labels)
{
    kp_free(labels);
}

const char *kp_labels_get(const struct kp_labels *labels, const char *key)
{
    size_t low = 0, high = labels != NULL ? labels->n : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(labels->items[middle].key, key);
        if (order == 0)
            return labels->items[middle].value;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool kp_labels_equal(const struct kp_labels *a, const struct kp_labels *b)
{
    if (a->n != b->n || a->hash != b->hash)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->items[i].key, b->items[i].key) != 0 ||
            strcmp(a->items[i].value, b->items[i].value) != 0)
            return false;
    return true;
}

void kp_labels_format(const struct kp_labels *labels, struct kp_strbuf *out)
{
    for (size_t i = 0; labels != NULL && i < labels->n; i++) {
        if (i > 0)
            kp_strbuf_addc(out, ',');
        kp_strbuf_add_url(out, labels->items[i].key);
        kp_strbuf_addc(out, '=');
        kp_strbuf_add_url(out, labels->items[i].value);
    }
}

int kp_labels_parse(const char *text, struct kp_labels **ret, struct kp_error *err)
{
    if (strlen(text) > (size_t)KP_MAX_LABELS * (KP_MAX_LABEL_KEY + KP_MAX_LABEL_VALUE) * 3)
        return kp_fail(err, KP_LIMIT, "labels are longer than allowed");
    struct kp_label items[KP_MAX_LABELS];
    size_t n = 0;
    kp_auto_free char *copy = kp_strdup(text);
    char *rest = copy;
    while (rest != NULL && *rest != '\0') {
        char *pair = strsep(&rest, ",");
        char *equals = strchr(pair, '=');
        if (equals == NULL || equals == pair)
            return kp_fail(err, KP_INVALID, "label '%.40s' is not of the form key=value", pair);
        if (n == KP_MAX_LABELS)
            return kp_fail(err, KP_LIMIT, "more than %d labels", KP_MAX_LABELS);
        *equals = '\0';
        if (!kp_url_decode(pair, strlen(pair), pair) ||
            !kp_url_decode(equals + 1, strlen(equals + 1), equals + 1))
            return kp_fail(err, KP_INVALID, "label '%.40s' has a bad percent escape", pair);
        items[n++] = (struct kp_label){pair, equals + 1};
    }
    *ret = kp_labels_create(items, n);
    return 0;
}

// ---- Kubernetes' rules ----

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// [A-Za-z0-9] at both ends, also -_. between, at most 63.
static bool name_valid(const char *s, size_t n)
{
    if (n == 0 || n > 63 || !is_alnum(s[0]) || !is_alnum(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.')
            return false;
    return true;
}

// A DNS subdomain (RFC 1123): lower-case labels joined by dots.
static bool prefix_valid(const char *s, size_t n)
{
    if (n == 0 || n > 253)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool edge = i == 0 || i + 1 == n || s[i - 1] == '.' || s[i + 1] == '.';
        bool word = is_alnum(s[i]) && !(s[i] >= 'A' && s[i] <= 'Z');
        if (!word && (edge || (s[i] != '-' && s[i] != '.')))
            return false;
    }
    return true;
}

bool kp_label_key_valid(const char *key)
{
    const char *slash = strchr(key, '/');
    if (slash == NULL)
        return name_valid(key, strlen(key));
    return prefix_valid(key, (size_t)(slash - key)) && name_valid(slash + 1, strlen(slash + 1));
}

bool kp_label_value_valid(const char *value)
{
    return value[0] == '\0' || name_valid(value, strlen(value));
}
