// Checks a JSON value against the schema of a CustomResourceDefinition (the part of OpenAPI v3 our own use):
// types, required, unknown and repeated fields, enums, patterns, sizes and ranges. Rules in CEL are not
// evaluated: pkg/policy has them in C.
#ifndef KP_CLI_SCHEMA_H
#define KP_CLI_SCHEMA_H

#include <jansson.h>

// path: "spec.profiles[1].interval"; message: a sentence without it.
typedef void (*kp_schema_fn)(void *user, const char *path, const char *message);

// Depth follows the schema, never the value.
void kp_schema_check(const json_t *schema, const json_t *value, kp_schema_fn on_wrong, void *user);

#endif
