#include "capture/request.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

static char *base64(const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = strlen(text), at = 0;
    const unsigned char *p = (const unsigned char *)text;
    char *out = kp_alloc((n + 2) / 3 * 4 + 1);
    for (size_t i = 0; i < n; i += 3) {
        unsigned v =
            (unsigned)p[i] << 16 | (i + 1 < n ? (unsigned)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0u);
        out[at++] = digits[v >> 18];
        out[at++] = digits[v >> 12 & 63];
        out[at++] = i + 1 < n ? digits[v >> 6 & 63] : '=';
        out[at++] = i + 2 < n ? digits[v & 63] : '=';
    }
    out[at] = '\0';
    return out;
}

static void wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    kp_free(text);
}

static char *authorization(const struct kp_capture_secrets *secrets)
{
    if (secrets == NULL)
        return NULL;
    if (secrets->bearer != NULL)
        return kp_asprintf("Authorization: Bearer %s", secrets->bearer);
    if (secrets->username == NULL)
        return NULL;
    char *pair = kp_asprintf("%s:%s", secrets->username, secrets->password != NULL ? secrets->password : "");
    char *code = base64(pair);
    char *header = kp_asprintf("Authorization: Basic %s", code);
    wipe(pair);
    wipe(code);
    return header;
}

static void make_headers(
    const struct kp_order *order, const struct kp_capture_secrets *secrets, struct kp_scrape_request *ret)
{
    const struct kp_endpoint *endpoint = order->wanted->endpoint;
    size_t n = 0, own = endpoint != NULL ? endpoint->n_headers : 0;
    ret->headers = KP_NEW_ARRAY(char *, own + 4);
    ret->headers[n++] = kp_strdup("User-Agent: kube-pprof/" KP_VERSION);
    ret->headers[n++] = kp_strdup("Accept: */*");
    char *auth = authorization(secrets);
    if (auth != NULL)
        ret->headers[n++] = auth;
    for (size_t i = 0; i < own; i++)
        ret->headers[n++] = kp_asprintf("%s: %s", endpoint->headers[i].key, endpoint->headers[i].value);
}

// Go reads whole seconds; a trace takes fractions.
static char *query_of(const struct kp_order *order)
{
    if (order->duration_ms <= 0)
        return kp_strdup("");
    if (order->duration_ms % 1000 == 0 || !order->wanted->opaque)
        return kp_asprintf("?seconds=%lld", (long long)((order->duration_ms + 999) / 1000));
    return kp_asprintf("?seconds=%.3f", (double)order->duration_ms / 1000);
}

void kp_scrape_request_make(
    const struct kp_order *order, const struct kp_capture_secrets *secrets, struct kp_scrape_request *ret)
{
    const struct kp_target *target = order->target;
    const struct kp_endpoint *endpoint = order->wanted->endpoint;
    bool six = strchr(target->pod->ip, ':') != NULL;
    kp_auto_free char *query = query_of(order);
    *ret = (struct kp_scrape_request){0};
    ret->where =
        kp_asprintf(six ? "[%s]:%u%s" : "%s:%u%s", target->pod->ip, target->port, order->wanted->path);
    ret->url = kp_asprintf("%s://%s%s", target->https ? "https" : "http", ret->where, query);
    make_headers(order, secrets, ret);
    if (!target->https)
        return;
    ret->tls = (struct kp_http_tls){
        .ca_pem = secrets != NULL ? secrets->ca_pem : NULL,
        .cert_pem = secrets != NULL ? secrets->cert_pem : NULL,
        .key_pem = secrets != NULL ? secrets->key_pem : NULL,
        .server_name = endpoint != NULL ? endpoint->tls_server_name : NULL,
        .insecure = endpoint != NULL && endpoint->tls_insecure,
    };
}

void kp_scrape_request_finish(struct kp_scrape_request *request)
{
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++)
        wipe(request->headers[i]);
    kp_free(request->headers);
    kp_free(request->url);
    kp_free(request->where);
}
