#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static const struct {
    int code;
    struct kp_code_info info;
} codes[] = {
    {KP_OK, {"Success", "ok", false}},
    {KP_INVALID, {"Invalid", "invalid", false}},
    {KP_NOT_FOUND, {"NotFound", "not_found", false}},
    {KP_CONFLICT, {"Conflict", "conflict", true}},
    {KP_GONE, {"Gone", "gone", false}},
    {KP_DENIED, {"Forbidden", "denied", false}},
    {KP_UNAUTHENTICATED, {"Unauthorized", "unauthenticated", false}},
    {KP_THROTTLED, {"TooManyRequests", "throttled", true}},
    {KP_UNAVAILABLE, {"Unavailable", "unavailable", true}},
    {KP_NETWORK, {"NetworkError", "network", true}},
    {KP_TLS, {"TLSError", "tls", true}},
    {KP_TIMEOUT, {"Timeout", "timeout", true}},
    {KP_CANCELED, {"Canceled", "canceled", false}},
    {KP_LIMIT, {"LimitExceeded", "limit", false}},
    {KP_CORRUPT, {"Corrupt", "corrupt", false}},
    {KP_INTERNAL, {"Internal", "internal", true}},
};

const struct kp_code_info *kp_code_info(int code)
{
    const size_t n = sizeof codes / sizeof codes[0];
    for (size_t i = 0; i < n; i++)
        if (codes[i].code == code)
            return &codes[i].info;
    return &codes[n - 1].info;
}

int kp_vfail(struct kp_error *err, int code, const char *fmt, va_list args)
{
    if (err != NULL && err->code == 0) {
        err->code = code;
        vsnprintf(err->text, sizeof err->text, fmt, args);
    }
    return code;
}

int kp_fail(struct kp_error *err, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    kp_vfail(err, code, fmt, args);
    va_end(args);
    return code;
}

int kp_wrap(struct kp_error *err, const char *fmt, ...)
{
    if (err == NULL || err->code == 0)
        return err == NULL ? KP_INTERNAL : 0;
    char inner[sizeof err->text];
    memcpy(inner, err->text, sizeof inner);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", inner);
    return err->code;
}

static int code_of_errno(int e)
{
    switch (e) {
    case ENOENT:
    case ENOTDIR:
        return KP_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return KP_DENIED;
    case EEXIST:
        return KP_CONFLICT;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
        return KP_LIMIT;
    case ETIMEDOUT:
        return KP_TIMEOUT;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return KP_NETWORK;
    case EINVAL:
    case ENAMETOOLONG:
        return KP_INVALID;
    default:
        return KP_INTERNAL;
    }
}

int kp_fail_errno(struct kp_error *err, int errno_value, const char *fmt, ...)
{
    int code = code_of_errno(errno_value);
    if (err == NULL || err->code != 0)
        return code;
    va_list args;
    va_start(args, fmt);
    kp_vfail(err, code, fmt, args);
    va_end(args);
    char words[96];
    size_t n = strlen(err->text);
    // the GNU form returns the text, which need not lie in the buffer
    snprintf(err->text + n, sizeof err->text - n, ": %s", strerror_r(errno_value, words, sizeof words));
    return code;
}

void kp_error_clear(struct kp_error *err)
{
    *err = (struct kp_error){0};
}
