// Errors: a code for the program, a sentence for the person.
//
// A function that can fail returns int: 0 or the negative code, and takes a `struct kp_error *err` as its
// last parameter. NULL is allowed there. Results go through `ret_x` parameters that are written only on
// success. The first error wins: kp_fail() on an error that is already set changes nothing, kp_wrap() puts
// context in front ("outer: inner"). Texts: lower case, no full stop, what failed first, subject in single
// quotes, cause after a colon.
#ifndef KP_BASE_ERROR_H
#define KP_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

#define KP_MUST_CHECK     __attribute__((warn_unused_result))
#define KP_PRINTF(fmt, n) __attribute__((format(printf, fmt, n)))

enum kp_code {
    KP_OK = 0,
    KP_INVALID = -1, // what was given is wrong and stays wrong
    KP_NOT_FOUND = -2,
    KP_CONFLICT = -3, // somebody else changed it; read again
    KP_GONE = -4,     // a version or cursor that is no longer kept (HTTP 410)
    KP_DENIED = -5,   // known, but not allowed
    KP_UNAUTHENTICATED = -6,
    KP_THROTTLED = -7,   // try later; see retry_after_s
    KP_UNAVAILABLE = -8, // the other side is there but cannot answer now
    KP_NETWORK = -9,     // no connection, or it broke
    KP_TLS = -10,
    KP_TIMEOUT = -11,
    KP_CANCELED = -12,
    KP_LIMIT = -13,   // a limit of ours was passed
    KP_CORRUPT = -14, // bytes that ought to be ours are not
    KP_INTERNAL = -15,
};

struct kp_error {
    int code;          // enum kp_code; 0 = nothing failed
    int http_status;   // 0 if no HTTP answer was involved
    int retry_after_s; // what the other side asked for; 0 if it did not
    char text[240];    // the sentence, cut if longer
};

// One row per code: its CamelCase reason (conditions, JSON errors), whether a retry can help, its metric
// label.
struct kp_code_info {
    const char *reason; // "NotFound"
    const char *label;  // "not_found"
    bool retry;
};

// Never NULL; an unknown code is Internal.
const struct kp_code_info *kp_code_info(int code);

// Sets code and text unless err already holds an error; returns code.
int kp_fail(struct kp_error *err, int code, const char *fmt, ...) KP_PRINTF(3, 4);
int kp_vfail(struct kp_error *err, int code, const char *fmt, va_list args) KP_PRINTF(3, 0);

// Puts "fmt: " in front of the text of an error that is set; returns its code. Without an error it does
// nothing.
int kp_wrap(struct kp_error *err, const char *fmt, ...) KP_PRINTF(2, 3);

// kp_fail() with ": " and the words for the errno value behind the text; the code follows from errno
// (ENOENT NotFound, EACCES Denied, ENOSPC Limit, ...).
int kp_fail_errno(struct kp_error *err, int errno_value, const char *fmt, ...) KP_PRINTF(3, 4);

void kp_error_clear(struct kp_error *err);

#endif
