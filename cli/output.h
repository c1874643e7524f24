// -o: how a command prints what it found. Objects are JSON values; tables are the command's own.
#ifndef KP_CLI_OUTPUT_H
#define KP_CLI_OUTPUT_H

#include <jansson.h>

#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/jsonpath.h"

enum kp_output_kind {
    KP_OUTPUT_TABLE,
    KP_OUTPUT_WIDE,
    KP_OUTPUT_JSON,
    KP_OUTPUT_YAML,
    KP_OUTPUT_NAME,
    KP_OUTPUT_JSONPATH
};

struct kp_output {
    enum kp_output_kind kind;
    struct kp_jsonpath *jsonpath;
};

// From --output; a usage error for what is none of them, and for a template that cannot be read.
KP_MUST_CHECK int kp_output_parse(struct kp_cli *cli, struct kp_output *ret, struct kp_error *err);
// The same for what is no list of objects: -o wide and -o name are refused.
KP_MUST_CHECK int kp_output_parse_facts(struct kp_cli *cli, struct kp_output *ret, struct kp_error *err);
void kp_output_finish(struct kp_output *output);
// Whether the command prints its own text (table, wide) or names.
static inline bool kp_output_is_data(const struct kp_output *output)
{
    return output->kind == KP_OUTPUT_JSON || output->kind == KP_OUTPUT_YAML ||
           output->kind == KP_OUTPUT_JSONPATH;
}
// JSON, YAML or what the template finds.
KP_MUST_CHECK int kp_output_print(
    struct kp_cli *cli, const struct kp_output *output, const json_t *value, struct kp_error *err);

// Block style, keys in their order; strings quoted where YAML would read something else.
void kp_yaml_write(const json_t *value, struct kp_strbuf *out);

#endif
