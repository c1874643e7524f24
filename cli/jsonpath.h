// kubectl's JSONPath templates (k8s.io/client-go/util/jsonpath): text with {expressions}.
//
//   {.items[*].id}  {.items[0].labels.team}  {.labels['a/b']}  {..id}  {.items[1:3]}  {.items[-1:]}
//   {.items[?(@.type=="cpu")].id}  {range .items[*]}{.id}{"\t"}{.type}{"\n"}{end}  {.a,.b}  {$.a}  {@}
//
// A field that is not there prints nothing. Values that are not texts or numbers are printed as JSON. Pure.
#ifndef KP_CLI_JSONPATH_H
#define KP_CLI_JSONPATH_H

#include <jansson.h>

#include "base/error.h"
#include "base/strbuf.h"

struct kp_jsonpath;

// KP_INVALID with the place of what cannot be read.
KP_MUST_CHECK int kp_jsonpath_parse(const char *text, struct kp_jsonpath **ret, struct kp_error *err);
void kp_jsonpath_destroy(struct kp_jsonpath *path); // NULL is fine
KP_MUST_CHECK int kp_jsonpath_write(
    const struct kp_jsonpath *path, const json_t *value, struct kp_strbuf *out, struct kp_error *err);

#endif
