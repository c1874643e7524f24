// Answers: the head, whole bodies, bodies in pieces, errors.
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "http/private.h"
#include "base/banned.h"

// ---- status ----

static const struct status {
    int status;
    const char *text, *reason;
} statuses[] = {
    {200, "OK", ""},
    {201, "Created", ""},
    {202, "Accepted", ""},
    {204, "No Content", ""},
    {206, "Partial Content", ""},
    {304, "Not Modified", ""},
    {400, "Bad Request", "Invalid"},
    {401, "Unauthorized", "Unauthenticated"},
    {403, "Forbidden", "Denied"},
    {404, "Not Found", "NotFound"},
    {405, "Method Not Allowed", "MethodNotAllowed"},
    {406, "Not Acceptable", "NotAcceptable"},
    {408, "Request Timeout", "Timeout"},
    {409, "Conflict", "Conflict"},
    {410, "Gone", "Gone"},
    {412, "Precondition Failed", "PreconditionFailed"},
    {413, "Content Too Large", "TooLarge"},
    {414, "URI Too Long", "TooLarge"},
    {415, "Unsupported Media Type", "UnsupportedMediaType"},
    {416, "Range Not Satisfiable", "RangeNotSatisfiable"},
    {417, "Expectation Failed", "Invalid"},
    {422, "Unprocessable Content", "Invalid"},
    {429, "Too Many Requests", "Throttled"},
    {431, "Request Header Fields Too Large", "TooLarge"},
    {500, "Internal Server Error", "Internal"},
    {501, "Not Implemented", "NotImplemented"},
    {502, "Bad Gateway", "Network"},
    {503, "Service Unavailable", "Unavailable"},
    {504, "Gateway Timeout", "Timeout"},
    {505, "HTTP Version Not Supported", "Invalid"},
    {507, "Insufficient Storage", "StoreFull"},
};

static const struct status *status_row(int status)
{
    for (size_t i = 0; i < KP_COUNT(statuses); i++)
        if (statuses[i].status == status)
            return &statuses[i];
    static const struct status other = {0, "Status", "Unknown"};
    return &other;
}

const char *kp_http_status_text(int status)
{
    return status_row(status)->text;
}

int kp_http_status_of(int code)
{
    static const struct {
        int code, status;
    } rows[] = {{KP_OK, 200}, {KP_INVALID, 400}, {KP_NOT_FOUND, 404}, {KP_CONFLICT, 409}, {KP_GONE, 410},
        {KP_DENIED, 403}, {KP_UNAUTHENTICATED, 401}, {KP_THROTTLED, 429}, {KP_UNAVAILABLE, 503},
        {KP_NETWORK, 502}, {KP_TLS, 502}, {KP_TIMEOUT, 504}, {KP_CANCELED, 503}, {KP_LIMIT, 413}};
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        if (rows[i].code == code)
            return rows[i].status;
    return 500;
}

// ---- head ----

static void add_line(struct kp_strbuf *out, const char *name, const char *value)
{
    kp_strbuf_addf(out, "%s: ", name);
    for (; *value != '\0'; value++) // a value made of outside text cannot start a new line
        kp_strbuf_addc(out, (unsigned char)*value < ' ' || *value == 0x7f ? ' ' : *value);
    kp_strbuf_adds(out, "\r\n");
}

static void add_date(struct kp_strbuf *out)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = (time_t)(kp_now_ms() / 1000);
    struct tm tm;
    gmtime_r(&now, &tm);
    kp_strbuf_addf(out, "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n", days + 3 * tm.tm_wday,
        tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static bool has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

// length < 0: not known, the body comes in pieces.
static struct kp_blob *make_head(
    struct kp_http_exchange *x, int status, const char *content_type, int64_t length)
{
    kp_auto_strbuf out;
    size_t len;
    kp_strbuf_init(&out, 64 * 1024);
    kp_strbuf_addf(&out, "HTTP/1.1 %d %s\r\n", status, kp_http_status_text(status));
    add_date(&out);
    if (content_type != NULL && content_type[0] != '\0' && has_body(status))
        add_line(&out, "Content-Type", content_type);
    if (length >= 0 && has_body(status))
        kp_strbuf_addf(&out, "Content-Length: %lld\r\n", (long long)length);
    x->chunked = length < 0 && x->parser->minor > 0;
    if (x->chunked)
        kp_strbuf_adds(&out, "Transfer-Encoding: chunked\r\n");
    else if (length < 0)
        x->close = true;
    add_line(&out, "X-Request-Id", x->request_id);
    kp_strbuf_adds(&out, "X-Content-Type-Options: nosniff\r\n");
    for (size_t i = 0; i < x->headers.n; i++)
        add_line(&out, x->headers.items[i].name, x->headers.items[i].value);
    x->close |= x->server->draining;
    if (x->close)
        kp_strbuf_adds(&out, "Connection: close\r\n");
    else if (x->parser->minor == 0)
        kp_strbuf_adds(&out, "Connection: keep-alive\r\n");
    kp_strbuf_adds(&out, "\r\n");
    char *text = kp_strbuf_take(&out, &len);
    return kp_blob_take(text, len);
}

void kp_http_set_header(struct kp_http_exchange *x, const char *name, const char *value)
{
    for (size_t i = 0; i < x->headers.n; i++) {
        if (strcasecmp(x->headers.items[i].name, name) != 0)
            continue;
        kp_free(x->headers.items[i].value);
        x->headers.items[i].value = kp_strdup(value);
        return;
    }
    *kp_array_add(&x->headers) = (struct kp_header){kp_strdup(name), kp_strdup(value)};
}

// The request may be over before it was read: then the connection cannot be used again.
static void stop_reading(struct kp_http_exchange *x)
{
    struct kp_conn *conn = x->conn;
    bool is_unread = conn->state == CONN_IDLE || conn->state == CONN_HEAD || conn->state == CONN_BODY ||
                     conn->parser.status != 0 ||
                     (conn->state == CONN_GATE && (conn->parser.chunked || conn->parser.left > 0));
    x->close |= is_unread;
    if (conn->state != CONN_ANSWER)
        kp_conn_enter(conn, CONN_ANSWER);
}

// ---- whole ----

void kp_reply_whole(struct kp_http_exchange *x, int status, const char *content_type, struct kp_blob *body)
{
    struct kp_conn *conn = x->conn;
    size_t len = body != NULL ? body->len : 0;
    stop_reading(x);
    x->status = status;
    x->ended = true;
    kp_conn_send(conn, make_head(x, status, content_type, (int64_t)len));
    if (body == NULL || x->is_head || !has_body(status))
        return;
    x->body_sent = len;
    kp_conn_send(conn, kp_blob_ref(body));
}

void kp_http_reply(struct kp_http_exchange *x, int status, const char *content_type, struct kp_blob *body)
{
    if (x->replied)
        return;
    x->replied = true;
    x->on_gone = NULL;
    if (x->conn == NULL) {
        kp_exchange_free(x); // nobody is there to read it
        return;
    }
    stop_reading(x);
    if (body == NULL || !kp_gzip_wanted(x, content_type, body->len) ||
        !kp_gzip_reply(x, status, content_type, body))
        kp_reply_whole(x, status, content_type, body);
}

void kp_http_reply_text(struct kp_http_exchange *x, int status, const char *content_type, const char *text)
{
    struct kp_blob *body = kp_blob_copy(text, strlen(text));
    kp_http_reply(x, status, content_type, body);
    kp_blob_unref(body);
}

void kp_http_reply_status(struct kp_http_exchange *x, int status, const char *reason, const char *message)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 64 * 1024);
    kp_http_word_error_fn word_error = x->conn ? x->conn->listener->word_error : NULL;
    if (word_error == NULL || !word_error(x, status, reason, message, &out)) {
        kp_strbuf_adds(&out, "{\"error\":{\"reason\":");
        kp_strbuf_add_json(&out, reason);
        kp_strbuf_adds(&out, ",\"message\":");
        kp_strbuf_add_json(&out, message);
        kp_strbuf_adds(&out, "}}\n");
    }
    kp_http_reply_text(x, status, "application/json", out.data);
}

void kp_http_reply_error(struct kp_http_exchange *x, const struct kp_error *err)
{
    char seconds[16];
    int status = kp_http_status_of(err->code);
    if (err->retry_after_s > 0) {
        snprintf(seconds, sizeof seconds, "%d", err->retry_after_s);
        kp_http_set_header(x, "Retry-After", seconds);
    }
    kp_http_reply_status(x, status, kp_code_info(err->code)->reason, err->text);
}

void kp_reply_early(struct kp_http_exchange *x, int status, const char *message)
{
    kp_http_reply_status(x, status, status_row(status)->reason, message);
}

// ---- in pieces ----

void kp_http_reply_begin(
    struct kp_http_exchange *x, int status, const char *content_type, kp_loop_fn on_space, void *user)
{
    if (x->replied)
        return;
    x->replied = x->streaming = true;
    x->status = status;
    x->on_space = on_space;
    x->on_space_user = user;
    if (x->conn == NULL)
        return;
    stop_reading(x);
    kp_conn_send(x->conn, make_head(x, status, content_type, -1));
}

void kp_http_reply_write(struct kp_http_exchange *x, const void *data, size_t len)
{
    struct kp_conn *conn = x->conn;
    if (conn == NULL || !x->streaming || x->ended || x->is_head || len == 0 || conn->doomed)
        return;
    if (conn->unsent + len > KP_HTTP_MAX_UNSENT) {
        conn->doomed = true; // the writer did not heed on_space
        return;
    }
    char size[24];
    int n = x->chunked ? snprintf(size, sizeof size, "%zx\r\n", len) : 0;
    uint8_t *piece = kp_alloc((size_t)n + len + 2);
    memcpy(piece, size, (size_t)n);
    memcpy(piece + n, data, len);
    if (x->chunked)
        memcpy(piece + n + len, "\r\n", 2);
    x->body_sent += len;
    kp_conn_send(conn, kp_blob_take(piece, (size_t)n + len + (x->chunked ? 2 : 0)));
}

void kp_http_reply_end(struct kp_http_exchange *x)
{
    if (!x->streaming || x->ended)
        return;
    x->ended = true;
    x->on_gone = NULL;
    x->on_space = NULL;
    if (x->conn == NULL)
        kp_exchange_free(x);
    else if (x->chunked && !x->is_head)
        kp_conn_send(x->conn, kp_blob_copy("0\r\n\r\n", 5));
    else
        lws_callback_on_writable(x->conn->wsi);
}
