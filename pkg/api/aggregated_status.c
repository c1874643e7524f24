// Errors and success as Status objects.
#include <string.h>

#include "api/aggregated.h"
#include "api/api.h"
#include "base/text.h"
#include "base/banned.h"

#define NARROW                                                                                               \
    "; ask for less: a shorter time (from, to), one service or type, a selector, or fewer rows (limit)"

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = {{400, "BadRequest"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "NotFound"},
        {405, "MethodNotAllowed"}, {406, "NotAcceptable"}, {408, "Timeout"}, {409, "Conflict"},
        {410, "Expired"}, {413, "RequestEntityTooLarge"}, {415, "UnsupportedMediaType"}, {422, "Invalid"},
        {429, "TooManyRequests"}, {500, "InternalError"}, {502, "InternalError"}, {503, "ServiceUnavailable"},
        {504, "Timeout"}, {507, "InternalError"}};
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return status >= 500 ? "InternalError" : "BadRequest";
}

static void add_details(struct kp_json *j, const char *name, int retry_after_s)
{
    kp_json_open(j, "details", '{');
    kp_json_str(j, "name", name);
    kp_json_text(j, "group", KP_AGG_GROUP);
    kp_json_text(j, "kind", "profiles");
    if (retry_after_s > 0)
        kp_json_int(j, "retryAfterSeconds", retry_after_s);
    kp_json_close(j, '}');
}

static void begin(struct kp_json *j, const char *status)
{
    kp_json_open(j, NULL, '{');
    kp_json_text(j, "kind", "Status");
    kp_json_text(j, "apiVersion", "v1");
    kp_json_open(j, "metadata", '{');
    kp_json_close(j, '}');
    kp_json_text(j, "status", status);
}

static void add_message(
    struct kp_json *j, const struct kp_http_exchange *x, int status, const char *id, const char *message)
{
    char shown[80];
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 4096);
    if (status == 404 && id)
        kp_strbuf_addf(&text, "profiles." KP_AGG_GROUP " \"%s\" not found",
            kp_printable(shown, sizeof shown, id, strlen(id)));
    else if (status == 405 && kp_http_matched_route(x) == NULL)
        kp_strbuf_adds(
            &text, "profiles can be listed, read, pushed and deleted here; they cannot be changed");
    else
        kp_strbuf_adds(&text, message);
    if (status == 504)
        kp_strbuf_adds(&text, NARROW);
    kp_json_text(j, "message", text.data);
}

bool kp_api_word_error(const struct kp_http_exchange *x, int status, const char *reason, const char *message,
    struct kp_strbuf *out)
{
    const char *path = kp_http_path(x);
    (void)reason;
    if (path == NULL || !kp_agg_is_path(path))
        return false;
    const char *id = kp_http_param(x, "id");
    struct kp_json j = {.out = out};
    begin(&j, "Failure");
    add_message(&j, x, status, id, message);
    kp_json_text(&j, "reason", reason_of(status));
    add_details(&j, id, status == 429 || status == 503 ? 1 : 0);
    kp_json_int(&j, "code", status);
    kp_json_close(&j, '}');
    kp_strbuf_addc(out, '\n');
    return true;
}

void kp_agg_reply_success(struct kp_http_exchange *x, const char *name)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 4096);
    struct kp_json j = {.out = &out};
    begin(&j, "Success");
    add_details(&j, name, 0);
    kp_json_close(&j, '}');
    kp_strbuf_addc(&out, '\n');
    kp_http_reply_text(x, 200, "application/json", out.data);
}
