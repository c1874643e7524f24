#include "kube/failure.h"

#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/proto.h"
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

// What a Status says; its strings are borrowed.
struct said {
    const char *message, *reason;
    int64_t code, retry_after_s;
};

// Sentences longer than an error holds lose the middle of the user's name, which people know, and not the
// verb, the resource and the namespace behind it.
static void fit(const char *sentence, char *out, size_t size)
{
    static const char before[] = "User \"";
    static const char behind[] = "\" cannot ";
    size_t len = strlen(sentence);
    const char *user = strstr(sentence, before);
    const char *end = user ? strstr(user, behind) : NULL;
    size_t excess = len < size ? 0 : len - size + 1 + strlen("...");
    size_t name = end ? (size_t)(end - user) - (sizeof before - 1) : 0;
    if (excess == 0 || name < excess + 8) { // or cut at the end
        kp_printable(out, size, sentence, len);
        return;
    }
    size_t kept = (name - excess) / 2;
    const char *tail = end - (name - excess - kept);
    kp_auto_free char *text =
        kp_asprintf("%.*s...%s", (int)((size_t)(user - sentence) + sizeof before - 1 + kept), sentence, tail);
    kp_printable(out, size, text, strlen(text));
}

// Returns whether it says something.
static bool tell(const struct said *said, int http_status, int retry_after_s, struct kp_error *err)
{
    if (!said->message && !said->reason)
        return false;
    if (http_status == 0)
        http_status = said->code >= 400 && said->code < 600 ? (int)said->code : 500;
    int code = code_of_reason(said->reason);
    if (code == KP_OK)
        code = code_of_http(http_status);
    char text[sizeof err->text];
    const char *sentence = said->message && *said->message ? said->message : said->reason ? said->reason : "";
    fit(sentence, text, sizeof text);
    // all that the API server says of bad credentials
    if (code == KP_UNAUTHENTICATED && strcmp(text, "Unauthorized") == 0)
        kp_copy(text, sizeof text, "the API server does not accept our credentials (Unauthorized)");
    kp_fail(err, code, "%s", text);
    if (err) {
        int64_t after = said->retry_after_s;
        err->http_status = http_status;
        err->retry_after_s = retry_after_s > 0 ? retry_after_s : after > 0 && after < 86400 ? (int)after : 0;
    }
    return true;
}

static bool read_json(const char *body, size_t len, int http_status, int retry_after_s, struct kp_error *err)
{
    json_t *status = json_loadb(body, len, 0, NULL);
    const struct said said = {
        .message = json_string_value(json_object_get(status, "message")),
        .reason = json_string_value(json_object_get(status, "reason")),
        .code = json_integer_value(json_object_get(status, "code")),
        .retry_after_s =
            json_integer_value(json_object_get(json_object_get(status, "details"), "retryAfterSeconds")),
    };
    bool is_status = kp_streq(json_string_value(json_object_get(status, "kind")), "Status");
    bool told = is_status && tell(&said, http_status, retry_after_s, err);
    json_decref(status);
    return told;
}

static int64_t retry_after(const struct kp_proto *details)
{
    struct kp_proto r;
    int64_t seconds = 0;
    kp_proto_start(&r, details->data, details->len);
    while (kp_proto_next(&r)) {
        if (r.field == 5 && r.type == KP_PROTO_VARINT)
            seconds = (int64_t)r.value;
    }
    return seconds;
}

// Status of k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto.
static bool read_protobuf(
    const char *status, size_t len, int http_status, int retry_after_s, struct kp_error *err)
{
    struct said said = {0};
    struct kp_proto r;
    kp_auto_free char *message = NULL;
    kp_auto_free char *reason = NULL;
    kp_proto_start(&r, status, len);
    while (kp_proto_next(&r)) {
        if (r.field == 3 && r.type == KP_PROTO_BYTES && !message)
            said.message = message = kp_strndup((const char *)r.data, r.len);
        else if (r.field == 4 && r.type == KP_PROTO_BYTES && !reason)
            said.reason = reason = kp_strndup((const char *)r.data, r.len);
        else if (r.field == 5 && r.type == KP_PROTO_BYTES)
            said.retry_after_s = retry_after(&r);
        else if (r.field == 6 && r.type == KP_PROTO_VARINT)
            said.code = (int64_t)r.value;
    }
    return !r.bad && tell(&said, http_status, retry_after_s, err);
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
    const char *status = NULL;
    size_t n = 0;
    bool said = false;
    if (len > 0 && len < KP_MIB)
        said = kp_protobuf_open(body, len, &status, &n)
                   ? read_protobuf(status, n, http_status, retry_after_s, &own)
                   : read_json(body, len, http_status, retry_after_s, &own);
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

int kp_failure_read_event(const struct kp_watch_event *event, struct kp_error *err)
{
    struct kp_error own = {0};
    bool said = event->encoding == KP_ENCODING_PROTOBUF ? read_protobuf(event->object, event->len, 0, 0, &own)
                                                        : read_json(event->object, event->len, 0, 0, &own);
    if (!said)
        kp_fail(&own, KP_UNAVAILABLE, "the API server ended the watch with an error that says nothing");
    if (err && err->code == KP_OK)
        *err = own;
    return own.code;
}
