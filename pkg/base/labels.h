// Label sets: sorted by key, keys unique. One heap block each, immutable once built, so they can be shared
// and compared by hash. The text form is key=value,key=value (values percent-encoded).
#ifndef KP_BASE_LABELS_H
#define KP_BASE_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"

struct kp_label {
    const char *key, *value;
};

struct kp_labels {
    size_t n;
    uint64_t hash; // of all keys and values
    const struct kp_label *items;
};

// Between the values of a key that was given several times (profefe has such sets): U+2063, which shows as
// nothing. KP_SELECTOR_HAS finds one of them.
#define KP_LABEL_JOIN "\xe2\x81\xa3"

// A set is built from any order of pairs; of a key that comes twice the later one counts. Strings are copied.
struct kp_labels *kp_labels_create(const struct kp_label *items, size_t n);
struct kp_labels *kp_labels_copy(const struct kp_labels *labels); // NULL gives an empty set
void kp_labels_destroy(struct kp_labels *labels);
const char *kp_labels_get(
    const struct kp_labels *labels, const char *key); // NULL if it is not there; labels may be NULL
bool kp_labels_equal(const struct kp_labels *a, const struct kp_labels *b);
void kp_labels_format(const struct kp_labels *labels, struct kp_strbuf *out);
KP_MUST_CHECK int kp_labels_parse(const char *text, struct kp_labels **ret, struct kp_error *err);

// Kubernetes' rules for label keys ([prefix/]name) and values; profefe's wider rules are the API's business.
bool kp_label_key_valid(const char *key);
bool kp_label_value_valid(const char *value);

#endif
