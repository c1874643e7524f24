// Calls that go over to another protocol. curl makes the connection (names, TLS, proxy); the request, the
// answer and what follows are ours, because curl does not send once an answer has begun.
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "aio/http_private.h"
#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_ASK    (256 * KP_KIB) // tokens of some identity providers are large
#define READ_BYTES (16 * KP_KIB)
#define MAX_READ   (1 << 30)

// ---- the request ----

static void add_part(struct kp_strbuf *buf, CURLU *url, CURLUPart part, const char *before, const char *none)
{
    char *text = NULL;
    if (curl_url_get(url, part, &text, 0) == CURLUE_OK && text != NULL) {
        kp_strbuf_adds(buf, before);
        kp_strbuf_adds(buf, text);
    } else {
        kp_strbuf_adds(buf, none);
    }
    curl_free(text);
}

static void write_ask(struct kp_strbuf *buf, const struct kp_http_request *request)
{
    bool has_host = false;
    CURLU *url = curl_url(); // whether it is one, was seen before
    curl_url_set(url, CURLUPART_URL, request->url, CURLU_DISALLOW_USER | CURLU_PATH_AS_IS);
    kp_strbuf_addf(buf, "%s ", request->method);
    add_part(buf, url, CURLUPART_PATH, "", "/");
    add_part(buf, url, CURLUPART_QUERY, "?", "");
    kp_strbuf_adds(buf, " HTTP/1.1\r\n");
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
        kp_strbuf_addf(buf, "%s\r\n", request->headers[i]);
        has_host |= strncasecmp(request->headers[i], "Host:", 5) == 0;
    }
    if (!has_host) {
        add_part(buf, url, CURLUPART_HOST, "Host: ", "Host:");
        add_part(buf, url, CURLUPART_PORT, ":", "");
        kp_strbuf_adds(buf, "\r\n");
    }
    kp_strbuf_addf(buf, "Connection: Upgrade\r\nUpgrade: %s\r\n\r\n", request->upgrade);
    curl_url_cleanup(url);
}

static void on_deadline(void *user)
{
    struct kp_http_call *call = user;
    kp_http_call_end(
        call, KP_TIMEOUT, "%s: no answer within %lld ms", call->what, (long long)call->request.timeout_ms);
}

void kp_http_upgrade_setup(struct kp_http_call *call, const struct kp_http_request *request)
{
    struct kp_http_upgrade *upgrade = call->upgrade = KP_NEW(struct kp_http_upgrade);
    kp_strbuf_init(&upgrade->ask, MAX_ASK);
    write_ask(&upgrade->ask, request);
    if (request->timeout_ms > 0)
        upgrade->deadline = kp_timer_create(call->http->loop, on_deadline, call);
    curl_easy_setopt(call->easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(call->easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
    curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, 0L); // the deadline is ours
}

void kp_http_upgrade_start(struct kp_http_call *call)
{
    if (call->upgrade != NULL && call->upgrade->deadline != NULL)
        kp_timer_start(call->upgrade->deadline, call->request.timeout_ms, 0);
}

void kp_http_upgrade_let_go(struct kp_http_call *call)
{
    if (call->upgrade == NULL)
        return;
    kp_watch_destroy(call->upgrade->watch);
    call->upgrade->watch = NULL;
}

void kp_http_upgrade_free(struct kp_http_upgrade *upgrade)
{
    if (upgrade == NULL)
        return;
    explicit_bzero(upgrade->ask.data, upgrade->ask.len); // credentials
    kp_strbuf_finish(&upgrade->ask);
    kp_timer_destroy(upgrade->deadline);
    kp_free(upgrade->early);
    kp_free(upgrade);
}

// ---- the connection's bytes ----

static int broke(struct kp_http_call *call, CURLcode code, struct kp_error *err)
{
    const char *why = call->curl_error[0] != '\0' ? call->curl_error : curl_easy_strerror(code);
    char shown[120];
    return kp_fail(err, KP_NETWORK, "%s: the connection broke: %s", call->what,
        kp_printable(shown, sizeof shown, why, strlen(why)));
}

static int receive(struct kp_http_call *call, void *buf, size_t size, struct kp_error *err)
{
    size_t n = 0;
    CURLcode code = curl_easy_recv(call->easy, buf, size < MAX_READ ? size : MAX_READ, &n);
    if (code == CURLE_AGAIN)
        return KP_THROTTLED;
    return code == CURLE_OK ? (int)n : broke(call, code, err);
}

int kp_http_write(struct kp_http_call *call, const void *bytes, size_t len, struct kp_error *err)
{
    size_t n = 0;
    CURLcode code = curl_easy_send(call->easy, bytes, len < MAX_READ ? len : MAX_READ, &n);
    if (code == CURLE_AGAIN)
        return KP_THROTTLED;
    return code == CURLE_OK ? (int)n : broke(call, code, err);
}

int kp_http_read(struct kp_http_call *call, void *buf, size_t size, struct kp_error *err)
{
    struct kp_http_upgrade *upgrade = call->upgrade;
    size_t early = upgrade->early_len - upgrade->early_at;
    if (early == 0)
        return receive(call, buf, size, err);
    size_t n = early < size ? early : size;
    memcpy(buf, upgrade->early + upgrade->early_at, n);
    upgrade->early_at += n;
    return (int)n;
}

void kp_http_want(struct kp_http_call *call, bool readable, bool writable)
{
    if (call->upgrade->watch != NULL)
        kp_watch_set(call->upgrade->watch, readable, writable);
}

// ---- asking ----

static void enter_done(struct kp_http_call *call, const uint8_t *rest, size_t len)
{
    struct kp_http_upgrade *upgrade = call->upgrade;
    upgrade->state = UPGRADE_DONE;
    if (upgrade->deadline != NULL)
        kp_timer_stop(upgrade->deadline);
    kp_watch_set(upgrade->watch, false, false);
    if (len > 0) {
        upgrade->early = kp_memdup(rest, len);
        upgrade->early_len = len;
    }
    call->request.on_upgraded(call->request.user);
}

static void take_head(struct kp_http_call *call)
{
    call->status = call->upgrade->answer.status;
    if (!kp_http_call_head_end(call))
        call->upgrade->state = UPGRADE_OVER;
}

static void take_event(struct kp_http_call *call, enum kp_answer_event event)
{
    const struct kp_answer *answer = &call->upgrade->answer;
    switch (event) {
    case KP_ANSWER_HEADER:
        kp_http_call_header(call, answer->line, answer->line_len);
        break;
    case KP_ANSWER_HEAD:
        take_head(call);
        break;
    case KP_ANSWER_DATA:
        call->received += answer->data_len;
        kp_http_call_keep(call, answer->data, answer->data_len);
        break;
    case KP_ANSWER_FAILED:
        kp_http_call_end(call, KP_INVALID, "%s: the answer cannot be read: %s", call->what, answer->why);
        call->upgrade->state = UPGRADE_OVER;
        break;
    case KP_ANSWER_END:
        call->upgrade->state = UPGRADE_OVER;
        break;
    case KP_ANSWER_MORE:
        break;
    }
}

static void take_bytes(struct kp_http_call *call, const uint8_t *data, size_t len)
{
    struct kp_http_upgrade *upgrade = call->upgrade;
    size_t at = 0;
    enum kp_answer_event event = KP_ANSWER_HEADER;
    while (event != KP_ANSWER_MORE && upgrade->state == UPGRADE_ASKING && call->why.code == 0) {
        at += kp_answer_feed(&upgrade->answer, data + at, len - at, &event);
        if (event == KP_ANSWER_END && upgrade->answer.status == 101) {
            enter_done(call, data + at, len - at);
            return;
        }
        take_event(call, event);
    }
}

// The request goes out as far as it can; false when the connection broke.
static bool send_ask(struct kp_http_call *call, struct kp_error *err)
{
    struct kp_http_upgrade *upgrade = call->upgrade;
    while (upgrade->asked < upgrade->ask.len) {
        int n =
            kp_http_write(call, upgrade->ask.data + upgrade->asked, upgrade->ask.len - upgrade->asked, err);
        if (n == KP_THROTTLED)
            break;
        if (n < 0)
            return false;
        upgrade->asked += (size_t)n;
    }
    return true;
}

static bool read_answer(struct kp_http_call *call, struct kp_error *err)
{
    uint8_t bytes[READ_BYTES];
    struct kp_http_upgrade *upgrade = call->upgrade;
    while (upgrade->state == UPGRADE_ASKING && call->why.code == 0) {
        int n = receive(call, bytes, sizeof bytes, err);
        if (n == KP_THROTTLED)
            return true;
        if (n < 0)
            return false;
        if (n == 0)
            take_event(call, kp_answer_eof(&upgrade->answer));
        else
            take_bytes(call, bytes, (size_t)n);
    }
    return true;
}

static void ask(struct kp_http_call *call)
{
    struct kp_http_upgrade *upgrade = call->upgrade;
    struct kp_error err = {0};
    // an early refusal may be there although the request did not go out whole
    bool sent = send_ask(call, &err);
    bool ok = read_answer(call, sent ? &err : NULL) && (sent || upgrade->state != UPGRADE_ASKING);
    if (upgrade->state == UPGRADE_DONE || call->why.code != 0)
        return;
    if (!ok)
        kp_http_call_end(call, err.code, "%s", err.text);
    else if (upgrade->state == UPGRADE_OVER)
        kp_http_call_finish(call, CURLE_OK);
    else
        kp_watch_set(upgrade->watch, true, upgrade->asked < upgrade->ask.len);
}

static void on_ready(void *user)
{
    struct kp_http_call *call = user;
    if (call->why.code != 0)
        kp_watch_set(call->upgrade->watch, false, false); // it ends at the next turn
    else if (call->upgrade->state == UPGRADE_ASKING)
        ask(call);
    else
        call->request.on_ready(call->request.user);
}

void kp_http_upgrade_begin(struct kp_http_call *call)
{
    struct kp_http_upgrade *upgrade = call->upgrade;
    curl_socket_t fd = CURL_SOCKET_BAD;
    curl_easy_getinfo(call->easy, CURLINFO_ACTIVESOCKET, &fd);
    if (fd != CURL_SOCKET_BAD)
        upgrade->watch = kp_watch_create(call->http->loop, fd, on_ready, call);
    if (upgrade->watch == NULL || upgrade->ask.overflow) {
        kp_http_call_end(call, KP_INTERNAL, "%s: %s", call->what,
            upgrade->ask.overflow ? "the request is too large" : "the connection cannot be watched");
        return;
    }
    upgrade->state = UPGRADE_ASKING;
    kp_watch_set(upgrade->watch, true, true);
}
