#include "kube/exchange.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"

#include "base/banned.h"

enum { CUT_BYTES = 1024 };

static const struct {
    int status;
    const char *words;
} statuses[] = {
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {409, "Conflict"},
    {410, "Gone"},
    {413, "Request Entity Too Large"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Entity"},
    {429, "Too Many Requests"},
    {500, "Internal Server Error"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

static void write_status(const struct kp_kube_exchange *x, struct kp_strbuf *out)
{
    const char *words = "";
    for (size_t i = 0; i < KP_COUNT(statuses); i++) {
        if (statuses[i].status == x->status)
            words = statuses[i].words;
    }
    if (x->status > 0)
        kp_strbuf_addf(out, "%d%s%s ", x->status, *words ? " " : "", words);
    kp_strbuf_addf(out, "in %" PRId64 " milliseconds", x->total_ms);
    if (x->error)
        kp_strbuf_addf(out, ": %s", x->error);
    kp_strbuf_addc(out, '\n');
}

static void write_headers(const char *title, const char *const *headers, struct kp_strbuf *out)
{
    kp_strbuf_addf(out, "%s Headers:\n", title);
    for (size_t i = 0; headers && headers[i]; i++)
        kp_strbuf_addf(out, "    %s\n", headers[i]);
}

static void write_body(const char *title, const char *body, size_t whole, bool cut, struct kp_strbuf *out)
{
    if (whole == 0)
        return;
    if (!body) {
        kp_strbuf_addf(out, "%s Body: <%zu bytes>\n", title, whole);
        return;
    }
    size_t kept = strlen(body);
    if (cut && kept > CUT_BYTES) {
        kept = CUT_BYTES;
        while (kept > 0 && ((unsigned char)body[kept] & 0xC0) == 0x80)
            kept--; // not within a character
    }
    bool ended = kept > 0 && body[kept - 1] == '\n';
    kp_strbuf_addf(out, "%s Body: ", title);
    kp_strbuf_add(out, body, kept);
    if (kept < whole)
        kp_strbuf_addf(out, " [truncated %zu chars]", whole - kept);
    if (!ended || kept < whole)
        kp_strbuf_addc(out, '\n');
}

// As a word of a shell within quote marks.
static void write_quoted(const char *text, char quote, const char *escape, struct kp_strbuf *out)
{
    kp_strbuf_addc(out, quote);
    for (; *text; text++) {
        if (strchr(escape, *text))
            kp_strbuf_adds(out, quote == '\'' ? "'\\'" : "\\");
        kp_strbuf_addc(out, *text);
    }
    kp_strbuf_addc(out, quote);
}

static void write_curl(const struct kp_kube_exchange *x, struct kp_strbuf *out)
{
    kp_strbuf_addf(out, "curl -v -X%s", x->method);
    for (size_t i = 0; x->request_headers && x->request_headers[i]; i++) {
        kp_strbuf_adds(out, " -H ");
        write_quoted(x->request_headers[i], '"', "\"\\$`", out);
    }
    kp_strbuf_addc(out, ' ');
    write_quoted(x->url, '\'', "'", out);
    kp_strbuf_addc(out, '\n');
}

void kp_kube_exchange_write(const struct kp_kube_exchange *x, int verbosity, struct kp_strbuf *out)
{
    if (verbosity < 6)
        return;
    if (verbosity >= 9)
        write_curl(x, out);
    kp_strbuf_addf(out, "%s %s ", x->method, x->url);
    write_status(x, out);
    if (verbosity >= 7)
        write_headers("Request", x->request_headers, out);
    if (verbosity < 8)
        return;
    write_body("Request", x->request_body, x->request_body_len, verbosity == 8, out);
    write_headers("Response", x->response_headers, out);
    write_body("Response", x->response_body, x->response_body_len, verbosity == 8, out);
}
