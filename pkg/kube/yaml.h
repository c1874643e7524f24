// YAML text to a JSON value (libyaml to jansson), for kubeconfig and our own configuration files. One
// document; anchors and aliases work within a budget of nodes, so that no small text grows without end; tags
// are ignored.
#ifndef KP_KUBE_YAML_H
#define KP_KUBE_YAML_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

// Plain scalars become null, bool, integer or real as in the YAML core schema; quoted ones stay strings. An
// empty text is null. The new reference is the caller's. KP_INVALID with line and column, KP_LIMIT past the
// budget.
KP_MUST_CHECK int kp_yaml_parse(const char *text, size_t len, json_t **ret, struct kp_error *err);

#endif
