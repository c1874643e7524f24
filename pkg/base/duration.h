// Durations in Go's notation as Gateway API restricts it (GEP-2257): one to four parts, each a whole number
// of at most five digits and a unit h, m, s or ms, in any order: "1h30m", "250ms". Where people type them and
// no schema says otherwise (flags, queries), days and weeks as well: "5d", "2w", "1d12h".
#ifndef KP_BASE_DURATION_H
#define KP_BASE_DURATION_H

#include <stdint.h>

#include "base/error.h"

KP_MUST_CHECK int kp_duration_parse(const char *text, int64_t *ret_ms, struct kp_error *err);
KP_MUST_CHECK int kp_duration_parse_days(const char *text, int64_t *ret_ms, struct kp_error *err);
#define KP_DURATION_TEXT 40
// Shortest exact form: 60000 -> "1m", 90500 -> "1m30s500ms", 0 -> "0s".
const char *kp_duration_format(char out[KP_DURATION_TEXT], int64_t ms);

#endif
