// The answer as it comes in, and what is made of it in the end.
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "aio/http_private.h"
#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

#define ERROR_BODY_BYTES (64 * KP_KIB)
#define HEAD_TOO_LARGE   "%s: the answer's headers take more than %zu bytes"

static bool is_success(const struct kp_http_call *call)
{
    return call->status >= 200 && call->status < 300;
}

// ---- head ----

// "Name: value" -> value without spaces around, written into out; false if the name is another.
static bool value_of(const char *line, size_t len, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
        return false;
    const char *start = line + n + 1, *end = line + len;
    while (start < end && (*start == ' ' || *start == '\t'))
        start++;
    while (end > start && strchr(" \t\r\n", end[-1]) != NULL)
        end--;
    size_t take = (size_t)(end - start) < size - 1 ? (size_t)(end - start) : size - 1;
    memcpy(out, start, take);
    out[take] = '\0';
    return true;
}

static void tell_header(struct kp_http_call *call, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    if (call->request.on_header == NULL || colon == NULL || len > 16384)
        return;
    kp_auto_free char *name = kp_strndup(line, (size_t)(colon - line));
    kp_auto_free char *value = kp_alloc(len + 1);
    if (value_of(line, len, name, value, len + 1))
        call->request.on_header(call->request.user, name, value);
}

bool kp_http_call_head_end(struct kp_http_call *call)
{
    if (call->status < 200 && call->upgrade == NULL)
        return true; // an interim answer
    call->head_over = true;
    if (call->request.on_head == NULL ||
        call->request.on_head(call->request.user, call->status, call->content_type))
        return true;
    kp_http_call_end(call, KP_CANCELED, "%s: canceled", call->what);
    return false;
}

void kp_http_call_head(struct kp_http_call *call, int status)
{
    call->status = status;
    call->content_type[0] = '\0';
}

void kp_http_call_header(struct kp_http_call *call, const char *line, size_t len)
{
    char number[16];
    int64_t seconds;
    value_of(line, len, "Content-Type", call->content_type, sizeof call->content_type);
    if (value_of(line, len, "Retry-After", number, sizeof number) &&
        kp_parse_int(number, 0, 86400, &seconds, NULL) == 0)
        call->retry_after_s = (int)seconds;
    tell_header(call, line, len);
}

static size_t on_header(char *line, size_t size, size_t n, void *user)
{
    struct kp_http_call *call = user;
    size_t len = size * n;
    if (call->why.code != 0)
        return 0;
    // curl keeps each header until the call is over
    call->head_len += len;
    if (call->head_len > KP_MAX_ANSWER_HEAD) {
        call->head_too_large = true;
        kp_http_call_end(call, KP_LIMIT, HEAD_TOO_LARGE, call->what, (size_t)KP_MAX_ANSWER_HEAD);
        return 0;
    }
    if (call->upgrade != NULL)
        return len; // of the proxy
    if (len > 9 && strncmp(line, "HTTP/", 5) == 0) {
        long status = 0;
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        kp_http_call_head(call, (int)status);
        return len;
    }
    if (len <= 2)
        return kp_http_call_head_end(call) ? len : 0;
    if (!call->head_over) // else a trailer
        kp_http_call_header(call, line, len);
    return len;
}

// ---- body ----

bool kp_http_call_keep(struct kp_http_call *call, const uint8_t *data, size_t len)
{
    bool is_error = call->request.on_data != NULL || call->upgrade != NULL;
    size_t max = is_error ? ERROR_BODY_BYTES : call->request.max_body;
    if (call->body_len + len > max) {
        if (is_error)
            return true; // the start of an error text is enough
        kp_http_call_end(call, KP_LIMIT, "%s: the answer is larger than %zu bytes", call->what, max);
        return false;
    }
    if (call->body_len + len > call->body_cap) {
        size_t cap = call->body_cap * 2;
        call->body_cap = cap < call->body_len + len ? call->body_len + len : cap;
        call->body = kp_realloc(call->body, call->body_cap);
    }
    memcpy(call->body + call->body_len, data, len);
    call->body_len += len;
    return true;
}

static bool pass_on(struct kp_http_call *call, const char *data, size_t len)
{
    if (call->received + len > call->request.max_body) {
        kp_http_call_end(
            call, KP_LIMIT, "%s: the answer is larger than %zu bytes", call->what, call->request.max_body);
        return false;
    }
    if (call->request.on_data(call->request.user, (const uint8_t *)data, len))
        return true;
    kp_http_call_end(call, KP_CANCELED, "%s: canceled", call->what);
    return false;
}

static size_t on_write(char *data, size_t size, size_t n, void *user)
{
    struct kp_http_call *call = user;
    size_t len = size * n;
    if (call->why.code != 0)
        return 0;
    if (call->paused || kp_http_call_yields(call))
        return CURL_WRITEFUNC_PAUSE;
    call->http->gap_ms = call->gap_ms;
    if (call->idle != NULL)
        kp_timer_start(call->idle, call->request.idle_timeout_ms, 0);
    bool stream = call->request.on_data != NULL && is_success(call);
    bool ok = stream ? pass_on(call, data, len) : kp_http_call_keep(call, (const uint8_t *)data, len);
    call->received += len;
    return ok ? len : 0;
}

// Before a request goes out, also on a connection that is used again.
static int on_prereq(void *user, char *peer_ip, char *local_ip, int peer_port, int local_port)
{
    struct kp_http_call *call = user;
    struct sockaddr_storage addr;
    (void)local_ip;
    (void)peer_port;
    (void)local_port;
    kp_copy(call->peer_ip, sizeof call->peer_ip, peer_ip);
    if (!kp_http_address_parse(peer_ip, &addr))
        return CURL_PREREQFUNC_OK; // a Unix socket
    const struct sockaddr *generic = (const struct sockaddr *)(const void *)&addr;
    return kp_http_address_allowed(call, generic) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

void kp_http_call_hook(struct kp_http_call *call)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_error);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_prereq);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
}

// ---- result ----

static int code_of(CURLcode code)
{
    switch ((int)code) {
    case CURLE_OPERATION_TIMEDOUT:
        return KP_TIMEOUT;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_PROXY:
        return KP_NETWORK;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return KP_TLS;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_HTTP2:
    case CURLE_BAD_CONTENT_ENCODING:
        return KP_INVALID;
    default:
        return KP_NETWORK;
    }
}

// curl's words without its own numbers, lower case at the start, no full stop.
static const char *words(
    const struct kp_http_call *call, CURLcode code, long os_errno, char *room, size_t size)
{
    const char *text = call->curl_error[0] != '\0' ? call->curl_error : curl_easy_strerror(code);
    if (code == CURLE_COULDNT_CONNECT && os_errno != 0) {
        text = strerror_r((int)os_errno, room, size);
        if (text != room)
            kp_copy(room, size, text);
    } else {
        kp_printable(room, size, text, strlen(text));
    }
    if (room[0] >= 'A' && room[0] <= 'Z' && room[1] >= 'a' && room[1] <= 'z')
        room[0] = (char)(room[0] | 0x20);
    size_t n = strlen(room);
    if (n > 0 && room[n - 1] == '.')
        room[n - 1] = '\0';
    return room;
}

static void set_failure(const struct kp_http_call *call, CURLcode code, struct kp_http_result *ret)
{
    char room[160];
    long os_errno = 0;
    if (call->why.code != 0) {
        ret->error = call->why;
    } else if (code != CURLE_OK) {
        curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_errno);
        ret->os_errno = code == CURLE_COULDNT_CONNECT ? (int)os_errno : 0;
        kp_fail(
            &ret->error, code_of(code), "%s: %s", call->what, words(call, code, os_errno, room, sizeof room));
    }
    ret->error.http_status = ret->error.code != 0 ? call->status : 0;
    ret->code = ret->error.code;
}

void kp_http_call_result(struct kp_http_call *call, CURLcode code, struct kp_http_result *ret)
{
    curl_off_t connect = 0, first = 0, total = 0;
    const char *ip = NULL;
    if (code == CURLE_OUT_OF_MEMORY && !call->head_over && call->why.code == 0) {
        call->head_too_large = true; // one line was too much for curl
        kp_fail(&call->why, KP_LIMIT, HEAD_TOO_LARGE, call->what, (size_t)KP_MAX_ANSWER_HEAD);
    }
    ret->head_too_large = call->head_too_large;
    curl_easy_getinfo(call->easy, CURLINFO_CONNECT_TIME_T, &connect);
    curl_easy_getinfo(call->easy, CURLINFO_STARTTRANSFER_TIME_T, &first);
    curl_easy_getinfo(call->easy, CURLINFO_TOTAL_TIME_T, &total);
    if (call->peer_ip[0] == '\0' && curl_easy_getinfo(call->easy, CURLINFO_PRIMARY_IP, &ip) == CURLE_OK &&
        ip != NULL)
        kp_copy(call->peer_ip, sizeof call->peer_ip, ip);
    ret->status = call->status;
    ret->content_type = call->content_type;
    ret->retry_after_s = call->retry_after_s;
    ret->connect_us = connect;
    ret->first_byte_us = first;
    ret->total_us = total;
    ret->bytes_received = call->received;
    kp_copy(ret->peer_ip, sizeof ret->peer_ip, call->peer_ip);
    set_failure(call, code, ret);
    if (call->request.on_data == NULL || !is_success(call)) {
        // one byte more than len: a NUL, so that texts can be read as such
        call->body = kp_realloc(call->body, call->body_len + 1);
        call->body[call->body_len] = '\0';
        ret->body = kp_blob_take(kp_take(call->body), call->body_len);
    }
}
