#include "kube/failure.h"

#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

#include "base/banned.h"

static const struct {
    const char *reason;
    int code;
} reasons[] = {
    {"Unauthorized", KP_UNAUTHENTICATED},
    {"Forbidden", KP_DENIED},
    {"NotFound", KP_NOT_FOUND},
    {"AlreadyExists", KP_CONFLICT},
    {"Conflict", KP_CONFLICT},
    {"Gone", KP_GONE},
    {"Expired", KP_GONE},
    {"Invalid", KP_INVALID},
    {"BadRequest", KP_INVALID},
    {"MethodNotAllowed", KP_INVALID},
    {"NotAcceptable", KP_INVALID},
    {"UnsupportedMediaType", KP_INVALID},
    {"RequestEntityTooLarge", KP_LIMIT},
    {"TooManyRequests", KP_THROTTLED},
    {"ServerTimeout", KP_UNAVAILABLE},
    {"Timeout", KP_TIMEOUT},
    {"InternalError", KP_UNAVAILABLE},
    {"ServiceUnavailable", KP_UNAVAILABLE},
};

static int code_of_reason(const char *reason)
{
    for (size_t i = 0; reason && i < KP_COUNT(reasons); i++) {
        if (strcmp(reason, reasons[i].reason) == 0)
            return reasons[i].code;
    }
    return KP_OK;
}

static int code_of_http(int status)
{
    switch (status) {
    case 401:
        return KP_UNAUTHENTICATED;
    case 403:
        return KP_DENIED;
    case 404:
        return KP_NOT_FOUND;
    case 409:
        return KP_CONFLICT;
    case 410:
        return KP_GONE;
    case 413:
        return KP_LIMIT;
    case 429:
        return KP_THROTTLED;
    case 504:
        return KP_TIMEOUT;
    default:
        return status >= 500 ? KP_UNAVAILABLE : KP_INVALID;
    }
}

// Returns whether it was a Status that says something.
static bool read_status(const json_t *status, int http_status, int retry_after_s, struct kp_error *err)
{
    const char *kind = json_string_value(json_object_get(status, "kind"));
    const char *message = json_string_value(json_object_get(status, "message"));
    const char *reason = json_string_value(json_object_get(status, "reason"));
    const json_t *details = json_object_get(status, "details");
    int64_t after = json_integer_value(json_object_get(details, "retryAfterSeconds"));
    int64_t number = json_integer_value(json_object_get(status, "code"));
    if (!kp_streq(kind, "Status") || (!message && !reason))
        return false;
    if (http_status == 0)
        http_status = number >= 400 && number < 600 ? (int)number : 500;
    int code = code_of_reason(reason);
    if (code == KP_OK)
        code = code_of_http(http_status);
    char text[sizeof err->text];
    const char *sentence = message && *message ? message : reason;
    kp_printable(text, sizeof text, sentence, strlen(sentence));
    // all that the API server says of bad credentials
    if (code == KP_UNAUTHENTICATED && strcmp(text, "Unauthorized") == 0)
        kp_copy(text, sizeof text, "the API server does not accept our credentials (Unauthorized)");
    kp_fail(err, code, "%s", text);
    if (err) {
        err->http_status = http_status;
        err->retry_after_s = retry_after_s > 0 ? retry_after_s : after > 0 && after < 86400 ? (int)after : 0;
    }
    return true;
}

static const char *hint_for(int http_status)
{
    if (http_status >= 300 && http_status < 400)
        return " (a redirect; redirects are not followed)";
    if (http_status == 404)
        return " (it does not know this path; is the CustomResourceDefinition installed?)";
    return "";
}

int kp_failure_read(
    int http_status, const char *body, size_t len, const char *what, int retry_after_s, struct kp_error *err)
{
    struct kp_error own = {0};
    json_t *json = len > 0 && len < (1 << 20) ? json_loadb(body, len, 0, NULL) : NULL;
    bool said = read_status(json, http_status, retry_after_s, &own);
    json_decref(json);
    if (!said) {
        const char *hint = hint_for(http_status);
        kp_fail(&own, code_of_http(http_status), "%s: the API server answered %d%s", what, http_status, hint);
        own.http_status = http_status;
        own.retry_after_s = retry_after_s;
    }
    if (err && err->code == KP_OK)
        *err = own;
    return own.code;
}

int kp_failure_read_status(const char *json, size_t len, struct kp_error *err)
{
    struct kp_error own = {0};
    json_t *status = json_loadb(json, len, 0, NULL);
    if (!read_status(status, 0, 0, &own))
        kp_fail(&own, KP_UNAVAILABLE, "the API server ended the watch with an error that says nothing");
    json_decref(status);
    if (err && err->code == KP_OK)
        *err = own;
    return own.code;
}
