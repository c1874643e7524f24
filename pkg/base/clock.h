// Time. Wall-clock times are `int64_t x_ms`, milliseconds since 1970 UTC; monotonic ones are named mono_ms.
// Pure modules never ask for the time: they are told.
#ifndef KP_BASE_CLOCK_H
#define KP_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

int64_t kp_now_ms(void);  // wall clock
int64_t kp_mono_ms(void); // never goes back
int64_t kp_mono_us(void);
int64_t kp_boot_ms(void); // as kp_mono_ms(), but goes on while the machine is suspended

#define KP_TIME_TEXT 32
// RFC 3339, UTC: "2026-11-24T13:00:00Z" (milliseconds are dropped) or with six decimals (MicroTime).
const char *kp_time_format(char out[KP_TIME_TEXT], int64_t ms);
const char *kp_time_format_micro(char out[KP_TIME_TEXT], int64_t ms);
// RFC 3339 with any offset and fraction.
KP_MUST_CHECK int kp_time_parse(const char *text, int64_t *ret_ms, struct kp_error *err);
// What people type: RFC 3339, "now", "-1h" or "1h" (ago), "-7d", unix seconds.
KP_MUST_CHECK int kp_time_parse_relative(
    const char *text, int64_t now_ms, int64_t *ret_ms, struct kp_error *err);

#endif
