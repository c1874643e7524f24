#include "kube/recorder.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "kube/client_internal.h"
#include "kube/exchange.h"
#include "kube/headers.h"

#include "base/banned.h"

enum { MAX_HEADERS = 64, MAX_BODY = KP_MIB };

struct kp_recorder {
    struct kp_kube *kube;
    struct kp_http_request inner; // whose callbacks are called; borrowed texts are not used
    char *method, *url;
    struct kp_headers request_headers, response_headers;
    char *request_body;
    size_t request_body_len;
    struct kp_strbuf body; // of the answer, its beginning
    size_t body_len;
    bool secret, told;
    int64_t began_ms;
};

// ---- masking ----

static void add_header(struct kp_headers *headers, const char *name, const char *value)
{
    static const char *const secrets[] = {"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"};
    for (size_t i = 0; i < KP_COUNT(secrets); i++) {
        if (strcasecmp(name, secrets[i]) == 0) {
            bool scheme = strcasecmp(secrets[i], "Authorization") == 0 && strchr(value, ' ');
            int n = scheme ? (int)(strchr(value, ' ') - value + 1) : 0;
            kp_headers_add(headers, "%s: %.*s<masked>", name, n, value);
            return;
        }
    }
    if (headers->n < MAX_HEADERS)
        kp_headers_add(headers, "%s: %s", name, value);
}

static void add_lines(struct kp_headers *headers, const char *const *lines)
{
    for (size_t i = 0; lines && lines[i]; i++) {
        const char *colon = strchr(lines[i], ':');
        if (!colon)
            continue;
        kp_auto_free char *name = kp_strndup(lines[i], (size_t)(colon - lines[i]));
        add_header(headers, name, colon + 1 + strspn(colon + 1, " "));
    }
}

// Whether bodies of this resource hold what nobody should read in a terminal's history. Decided by the path:
// a body that was cut cannot be asked what it is.
static bool about_secrets(const char *url)
{
    static const char *const segments[] = {"secrets", "token", "tokenreviews"};
    size_t end = strcspn(url, "?");
    for (const char *p = url; p < url + end;) {
        size_t n = strcspn(p, "/?");
        for (size_t i = 0; i < KP_COUNT(segments); i++) {
            if (n == strlen(segments[i]) && strncmp(p, segments[i], n) == 0)
                return true;
        }
        p += n + 1;
    }
    return false;
}

// The text to show of a body's beginning; NULL = it is none. len: how much of it there is.
static const char *shown(const struct kp_recorder *r, char *body, size_t len)
{
    if (r->secret)
        return "<masked>";
    if (memchr(body, '\0', len))
        return NULL;
    for (size_t cut = 0; cut < 4 && cut <= len; cut++) { // the last character may not be whole
        if (!kp_utf8_valid(body, len - cut))
            continue;
        body[len - cut] = '\0';
        return body;
    }
    return NULL;
}

// ---- noting ----

static void keep(struct kp_recorder *r, const void *data, size_t len)
{
    size_t room = r->body.max - r->body.len;
    r->body_len += len;
    kp_strbuf_add(&r->body, data, len < room ? len : room);
}

static void on_header(void *user, const char *name, const char *value)
{
    struct kp_recorder *r = user;
    add_header(&r->response_headers, name, value);
    if (r->inner.on_header)
        r->inner.on_header(r->inner.user, name, value);
}

static bool on_head(void *user, int status, const char *content_type)
{
    struct kp_recorder *r = user;
    return !r->inner.on_head || r->inner.on_head(r->inner.user, status, content_type);
}

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct kp_recorder *r = user;
    keep(r, data, len);
    return r->inner.on_data(r->inner.user, data, len);
}

// Once; error: NULL = the answer came in whole.
static void tell(struct kp_recorder *r, int status, const char *error)
{
    if (r->told)
        return;
    r->told = true;
    size_t request_len = r->request_body ? strlen(r->request_body) : 0;
    const struct kp_kube_exchange exchange = {
        .method = r->method,
        .url = r->url,
        .status = status,
        .error = error,
        .total_ms = kp_mono_ms() - r->began_ms,
        .request_headers = (const char *const *)r->request_headers.items,
        .response_headers = (const char *const *)r->response_headers.items,
        .request_body = r->request_body ? shown(r, r->request_body, request_len) : NULL,
        .request_body_len = r->request_body_len,
        .response_body = r->body.len > 0 ? shown(r, r->body.data, r->body.len) : NULL,
        .response_body_len = r->body_len,
    };
    r->kube->on_exchange(r->kube->exchange_user, &exchange);
}

// What follows on an upgraded connection is no answer: it is told of now.
static void on_upgraded(void *user)
{
    struct kp_recorder *r = user;
    tell(r, 101, NULL);
    r->inner.on_upgraded(r->inner.user);
}

static void on_ready(void *user)
{
    struct kp_recorder *r = user;
    r->inner.on_ready(r->inner.user);
}

static void on_done(void *user, const struct kp_http_result *result)
{
    struct kp_recorder *r = user;
    struct kp_http_request inner = r->inner;
    if (result->body)
        keep(r, result->body->data, result->body->len);
    tell(r, result->status, result->code != KP_OK ? result->error.text : NULL);
    kp_recorder_destroy(r);
    inner.on_done(inner.user, result);
}

struct kp_recorder *kp_recorder_create(struct kp_kube *kube, struct kp_http_request *http)
{
    struct kp_recorder *r = KP_NEW(struct kp_recorder);
    size_t max = kube->exchange_max_body < MAX_BODY ? kube->exchange_max_body : MAX_BODY;
    r->kube = kube;
    r->inner = *http;
    r->method = kp_strdup(http->method);
    r->url = kp_strdup(http->url);
    r->secret = about_secrets(http->url);
    r->began_ms = kp_mono_ms();
    kp_headers_init(&r->request_headers);
    kp_headers_init(&r->response_headers);
    add_lines(&r->request_headers, http->headers);
    kp_strbuf_init(&r->body, max);
    if (http->body) {
        r->request_body_len = http->body->len;
        if (max > 0)
            r->request_body =
                kp_strndup((const char *)http->body->data, http->body->len < max ? http->body->len : max);
    }
    http->on_header = on_header;
    http->on_head = on_head;
    http->on_data = http->on_data ? on_data : NULL;
    http->on_done = on_done;
    http->on_upgraded = on_upgraded;
    http->on_ready = on_ready;
    http->user = r;
    return r;
}

void kp_recorder_destroy(struct kp_recorder *r)
{
    if (!r)
        return;
    kp_headers_finish(&r->request_headers);
    kp_headers_finish(&r->response_headers);
    kp_strbuf_finish(&r->body);
    kp_free(r->request_body);
    kp_free(r->method);
    kp_free(r->url);
    kp_free(r);
}
