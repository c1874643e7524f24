// Names of segment files: "shop/20261125T17-d-1-5000-3.0.seg" says the namespace, the hour of receipt (a day
// has no T17), how long it is kept, first and last number, and what makes it a name of its own. So that of a
// file nobody can read any more it is known whose it is. Private to this module.
#ifndef KP_STORE_SEGMENT_NAME_H
#define KP_STORE_SEGMENT_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

struct kp_segment_name {
    char namespace[256];
    int64_t from_ms, to_ms; // received in [from, to)
    uint32_t keep_s;        // KP_KEEP_DEFAULT = what the store's options say
};

// Writes all of the name up to the numbers.
void kp_segment_name_begin(
    struct kp_strbuf *out, const char *namespace, int64_t period_ms, bool is_day, uint32_t keep_s);
// False: it is not a name as this program makes them.
bool kp_segment_name_parse(const char *name, struct kp_segment_name *ret);

#endif
