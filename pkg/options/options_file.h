// The configuration file: flat YAML, read line by line (a role's options are a flat table, so no tree is
// needed).
#ifndef KP_OPTIONS_OPTIONS_FILE_H
#define KP_OPTIONS_OPTIONS_FILE_H

#include <stdbool.h>

#include "base/error.h"

// Calls each for every value; `first` is false for the second and later items of a list. Errors name file and
// line.
KP_MUST_CHECK int kp_options_file_read(const char *path,
    int (*each)(void *user, const char *key, const char *value, bool first, struct kp_error *err), void *user,
    struct kp_error *err);

#endif
