// What is set on a call before it starts.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "aio/http_private.h"
#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

#define KEEPALIVE_IDLE_S     30L
#define KEEPALIVE_INTERVAL_S 15L
#define TCP_SILENCE_MS       60000u

// ---- headers ----

static bool header_named(const char *header, const char *name)
{
    size_t n = strlen(name);
    return strncasecmp(header, name, n) == 0 && header[n] == ':';
}

static int add_headers(struct kp_http_call *call, const struct kp_http_request *request,
    const char *authority, struct kp_error *err)
{
    bool has_type = false, has_host = false;
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
        const char *header = request->headers[i];
        const char *colon = strchr(header, ':');
        if (strpbrk(header, "\r\n") != NULL || colon == NULL || colon == header)
            return kp_fail(
                err, KP_INVALID, "%s: header %zu is not of the form 'Name: value'", call->what, i + 1);
        has_type |= header_named(header, "Content-Type");
        has_host |= header_named(header, "Host");
        call->headers = curl_slist_append(call->headers, header);
    }
    call->headers = curl_slist_append(call->headers, "Expect:"); // never wait for 100 Continue
    if (!has_type)
        call->headers = curl_slist_append(call->headers, "Content-Type:"); // nor guess a type
    if (authority != NULL && !has_host) {
        kp_auto_free char *host = kp_asprintf("Host: %s", authority);
        call->headers = curl_slist_append(call->headers, host);
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    return 0;
}

// ---- where to ----

struct url_parts {
    char *scheme, *host, *port, *path;
};

static void url_parts_finish(struct url_parts *parts)
{
    curl_free(parts->scheme);
    curl_free(parts->host);
    curl_free(parts->port);
    curl_free(parts->path);
}

static int url_split(CURLU *url, const char *text, struct url_parts *parts)
{
    if (curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER | CURLU_PATH_AS_IS) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_SCHEME, &parts->scheme, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &parts->host, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_PORT, &parts->port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_PATH, &parts->path, 0) != CURLUE_OK)
        return KP_INVALID;
    return strcmp(parts->scheme, "http") == 0 || strcmp(parts->scheme, "https") == 0 ? 0 : KP_INVALID;
}

// The name to verify is also the one sent as SNI: it takes the URL's place, while the connection goes where
// the URL said.
static void set_server_name(struct kp_http_call *call, CURLU *url, const struct kp_http_request *request)
{
    char *text = NULL;
    curl_url_set(url, CURLUPART_HOST, request->tls.server_name, 0);
    if (curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK)
        curl_easy_setopt(call->easy, CURLOPT_URL, text);
    curl_free(text);
}

static void connect_to(struct kp_http_call *call, const char *host)
{
    bool bare_six = strchr(host, ':') != NULL && host[0] != '[';
    kp_auto_free char *rule = kp_asprintf(bare_six ? "::[%s]:" : "::%s:", host);
    call->connect_to = curl_slist_append(NULL, rule);
    curl_easy_setopt(call->easy, CURLOPT_CONNECT_TO, call->connect_to);
}

static int set_url(struct kp_http_call *call, const struct kp_http_request *request, char **ret_authority,
    struct kp_error *err)
{
    struct url_parts parts = {0};
    CURLU *url = curl_url();
    int code = url_split(url, request->url, &parts);
    if (code != 0) {
        char shown[100];
        kp_fail(err, KP_INVALID, "'%s' is not an http or https URL",
            kp_printable(shown, sizeof shown, request->url, strlen(request->url)));
    } else {
        call->what =
            kp_asprintf("%s %s://%s:%s%s", request->method, parts.scheme, parts.host, parts.port, parts.path);
        curl_easy_setopt(call->easy, CURLOPT_URL, request->url);
        bool named = request->tls.server_name != NULL && strcmp(parts.scheme, "https") == 0;
        if (named) {
            *ret_authority = kp_asprintf("%s:%s", parts.host, parts.port);
            set_server_name(call, url, request);
        }
        if (request->connect_ip != NULL)
            connect_to(call, request->connect_ip);
        else if (named)
            connect_to(call, parts.host);
    }
    url_parts_finish(&parts);
    curl_url_cleanup(url);
    return code;
}

// ---- the rest ----

static void set_blob(CURL *easy, CURLoption option, const char *text)
{
    struct curl_blob blob = {.data = (void *)(uintptr_t)text, .len = strlen(text), .flags = CURL_BLOB_COPY};
    curl_easy_setopt(easy, option, &blob);
}

static void set_tls(CURL *easy, const struct kp_http_tls *tls)
{
    // Debian's CApath makes curl parse the whole bundle for every connection
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (tls->insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (tls->ca_pem != NULL)
        set_blob(easy, CURLOPT_CAINFO_BLOB, tls->ca_pem);
    else if (tls->ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, tls->ca_file);
    if (tls->cert_pem != NULL)
        set_blob(easy, CURLOPT_SSLCERT_BLOB, tls->cert_pem);
    else if (tls->cert_file != NULL)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->cert_file);
    if (tls->key_pem != NULL)
        set_blob(easy, CURLOPT_SSLKEY_BLOB, tls->key_pem);
    else if (tls->key_file != NULL)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key_file);
}

static curl_socket_t on_open(void *user, curlsocktype purpose, struct curl_sockaddr *addr)
{
    struct kp_http_call *call = user;
    (void)purpose;
    if (!kp_http_address_allowed(call, &addr->addr))
        return CURL_SOCKET_BAD;
    return socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
}

static int on_sockopt(void *user, curl_socket_t fd, curlsocktype purpose)
{
    const struct kp_http_call *call = user;
    unsigned silence = TCP_SILENCE_MS;
    (void)purpose;
    if (call->request.keepalive)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof silence);
    return CURL_SOCKOPT_OK;
}

static void set_method(struct kp_http_call *call, const struct kp_http_request *request)
{
    CURL *easy = call->easy;
    if (request->body != NULL || strcmp(request->method, "POST") == 0) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(
            easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(request->body != NULL ? request->body->len : 0));
        curl_easy_setopt(
            easy, CURLOPT_POSTFIELDS, request->body != NULL ? (const char *)request->body->data : "");
    }
    if (strcmp(request->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else if (strcmp(request->method, "POST") != 0 && strcmp(request->method, "GET") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_proxy(CURL *easy, const struct kp_http_request *request)
{
    const char *proxy = request->proxy != NULL ? request->proxy : "";
    // "socks5" leaves names to the proxy, as everywhere but in curl
    kp_auto_free char *socks =
        kp_starts_with(proxy, "socks5://") ? kp_asprintf("socks5h%s", proxy + strlen("socks5")) : NULL;
    curl_easy_setopt(easy, CURLOPT_PROXY, socks != NULL ? socks : proxy);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, ""); // or curl asks the environment
    // what the proxy says to CONNECT is no head of an answer
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (!kp_starts_with(proxy, "https://"))
        return;
    // trusted by the same certificates as the server (as Go does)
    curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
    if (request->tls.insecure) {
        curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, 0L);
    }
    if (request->tls.ca_pem != NULL)
        set_blob(easy, CURLOPT_PROXY_CAINFO_BLOB, request->tls.ca_pem);
    else if (request->tls.ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, request->tls.ca_file);
}

// curl lets go of the buffers whenever a connection has nothing to read, which for one that stays is at each
// record.
static CURLcode on_ssl_ctx(CURL *easy, void *ctx, void *user)
{
    (void)easy;
    (void)user;
    SSL_CTX_clear_mode((SSL_CTX *)ctx, SSL_MODE_RELEASE_BUFFERS);
    return CURLE_OK;
}

static void set_transport(struct kp_http_call *call, const struct kp_http_request *request)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    set_proxy(easy, request);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
        (long)(request->connect_timeout_ms > 0 ? request->connect_timeout_ms : 5000));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_sockopt);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, call);
    if (request->unix_socket != NULL)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
    if (call->http->reuse)
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
    if (!call->http->reuse && request->upgrade == NULL) { // curl would not keep the connection open for us
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        // curl keeps even addresses that need no look-up, for a minute, and walks through all at each
        // transfer
        curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    }
    if (request->keepalive) {
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    }
}

int kp_http_call_setup(struct kp_http_call *call, const struct kp_http_request *request, struct kp_error *err)
{
    struct kp_error failure = {0};
    kp_auto_free char *authority = NULL;
    call->request = *request;
    if (call->request.max_body == 0)
        call->request.max_body = KP_MAX_JSON_BYTES;
    call->request_body = kp_blob_ref(request->body);
    if (set_url(call, request, &authority, &failure) != 0 ||
        add_headers(call, request, authority, &failure) != 0) {
        kp_fail(err, failure.code, "%s", failure.text);
        return failure.code;
    }
    set_transport(call, request);
    set_method(call, request);
    set_tls(call->easy, &request->tls);
    if (request->upgrade != NULL)
        kp_http_upgrade_setup(call, request);
    // what was borrowed for the call of kp_http_start() must not be looked at later
    call->request.url = call->request.connect_ip = call->request.unix_socket = call->request.proxy = NULL;
    call->request.method = call->request.upgrade = NULL;
    call->request.headers = NULL;
    call->request.body = NULL;
    call->request.tls = (struct kp_http_tls){0};
    return 0;
}
