// Text in the layout of `kubectl describe`: labels at the left, what is said of them beside, broken at 80
// columns.
#ifndef KP_CLI_DESCRIBE_H
#define KP_CLI_DESCRIBE_H

#include <stdio.h>

#include "base/error.h"

#define KP_DESCRIBE_WIDTH 80

// `indent` blanks, the label in `width` columns, then the words; further lines begin below the words. Control
// characters are taken out. A label wider than its column pushes the first line only.
void kp_describe(FILE *out, int indent, int width, const char *label, const char *fmt, ...) KP_PRINTF(5, 6);

#endif
