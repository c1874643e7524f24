// Label selectors as Kubernetes has them: requirements that must all hold. Text form as in kubectl:
// a=b, a==b, a!=b, a in (x,y), a notin (x,y), a, !a; the registry also takes a=~regex and a!~regex
// (anchored; in double quotes if it holds commas or spaces).
#ifndef KP_BASE_SELECTOR_H
#define KP_BASE_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/labels.h"

enum kp_selector_op {
    KP_SELECTOR_IN,     // the key is there and its value one of values
    KP_SELECTOR_NOT_IN, // the key is not there, or its value none of values
    KP_SELECTOR_EXISTS,
    KP_SELECTOR_NOT_EXISTS,
    KP_SELECTOR_MATCHES, // a regex (base/regex.h), anchored, in values[0]; a missing key counts as ""
    KP_SELECTOR_NOT_MATCHES,
    KP_SELECTOR_HAS, // the key is there and one of its joined values (KP_LABEL_JOIN) is values[0]; has no
                     // text form
};

struct kp_requirement {
    const char *key;
    enum kp_selector_op op;
    size_t n_values;
    const char *const *values;
};

struct kp_selector;

// An empty selector matches everything. Requirements are copied; a bad regex or too many values is
// KP_INVALID.
KP_MUST_CHECK int kp_selector_create(
    const struct kp_requirement *reqs, size_t n, struct kp_selector **ret, struct kp_error *err);
// Without allow_regex keys and values have to be such as Kubernetes labels can have.
KP_MUST_CHECK int kp_selector_parse(
    const char *text, bool allow_regex, struct kp_selector **ret, struct kp_error *err);
void kp_selector_destroy(struct kp_selector *selector);

bool kp_selector_matches(const struct kp_selector *selector, const struct kp_labels *labels);
// The same over a look-up function (returns NULL where the key is missing).
typedef const char *(*kp_label_lookup_fn)(const void *user, const char *key);
bool kp_selector_matches_fn(const struct kp_selector *selector, kp_label_lookup_fn lookup, const void *user);

bool kp_selector_is_empty(const struct kp_selector *selector);
// The requirements, borrowed, for those who translate them (index look-ups).
const struct kp_requirement *kp_selector_requirements(const struct kp_selector *selector, size_t *ret_n);
// Of all its regular expressions together (kp_regex_steps); 0 = it has none.
size_t kp_selector_regex_steps(const struct kp_selector *selector);
void kp_selector_format(const struct kp_selector *selector, struct kp_strbuf *out);

#endif
