// A template once it was read. Private to jsonpath_read.c and jsonpath.c.
#ifndef KP_CLI_JSONPATH_PRIVATE_H
#define KP_CLI_JSONPATH_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/array.h"
#include "cli/jsonpath.h"

enum kp_jsonpath_step_kind { FIELD, ANY, SLICE, FILTER, DEEP };
enum kp_jsonpath_op { EXISTS, EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL };

struct path;

struct step {
    enum kp_jsonpath_step_kind kind;
    char *name; // FIELD
    bool has_start, has_end, is_one;
    int64_t start, end, by; // SLICE; is_one: just start
    struct path *left;      // FILTER, below each element
    enum kp_jsonpath_op op;
    json_t *right;
};

struct path {
    KP_ARRAY(struct step) steps;
};

enum kp_jsonpath_part_kind { TEXT, PATH, RANGE, END };
struct part {
    enum kp_jsonpath_part_kind kind;
    char *text;
    struct path *path;
};

struct kp_jsonpath {
    KP_ARRAY(struct part) parts;
};

#endif
