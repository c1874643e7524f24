// Units as google/pprof knows them: bytes, times, GCUs; everything else is a plain number.
#ifndef KP_REPORT_UNIT_H
#define KP_REPORT_UNIT_H

#include <stddef.h>
#include <stdint.h>

#define KP_VALUE_TEXT 64

// value of unit `from` in unit `to`; "auto" chooses the largest one in which it is at least 1. *ret_unit is
// what to print behind it: a constant, or `to` itself where the unit is unknown.
double kp_unit_scale(int64_t value, const char *from, const char *to, const char **ret_unit);
// "1.53s"; out holds at most KP_VALUE_TEXT bytes.
const char *kp_unit_text(int64_t value, const char *from, const char *to, char out[KP_VALUE_TEXT]);
// "  100%", " 8.85%": a share of a total, six characters wide or more.
const char *kp_unit_percent(int64_t value, int64_t total, char out[KP_VALUE_TEXT]);

// |value| without overflow: INT64_MIN becomes INT64_MAX.
int64_t kp_magnitude(int64_t value);
// a + b and a - b that stay within int64_t.
int64_t kp_add_capped(int64_t a, int64_t b);
int64_t kp_sub_capped(int64_t a, int64_t b);
// value * factor, rounded, within int64_t.
int64_t kp_scale_rounded(int64_t value, double factor);

#endif
