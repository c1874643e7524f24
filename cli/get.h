// What `get` can list: how each is asked for and which columns it has. Internal to the command.
#ifndef KP_CLI_GET_H
#define KP_CLI_GET_H

#include <jansson.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/table.h"

struct kp_get;

struct kp_get_resource {
    const char *names; // the first is its own, then what else people type
    const char *kind;  // for -o name
    const char *const *columns, *const *wide;
    void (*row)(const struct kp_get *get, const json_t *item, struct kp_table *table);
    const char *(*name)(const json_t *item);
    int (*list)(struct kp_cli *cli, const struct kp_get *get, json_t **ret, struct kp_error *err);
};

struct kp_get {
    const struct kp_get_resource *resource;
    struct kp_output output;
    int64_t now_ms;
    bool is_wide, with_namespace, with_labels;
    char *const *ids; // only these
    size_t n_ids;
};

// By one of its names; NULL: there is none.
const struct kp_get_resource *kp_get_resource(const char *word);
// Whether its objects have ids (profiles).
bool kp_get_has_ids(const struct kp_get_resource *resource);
void kp_get_labels_cell(struct kp_table *table, const json_t *labels);

#endif
