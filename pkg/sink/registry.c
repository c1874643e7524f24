// The registry as a receiver: POST /api/v1/profiles and /api/v1/targets.
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/text.h"
#include "sink/sink.h"
#include "base/banned.h"

#define TIMEOUT_MS 30000

struct registry {
    struct kp_http *http;
    char *url, *token_file;
    char *ca_file, *cert_file, *key_file;
    char *ca_pem, *cert_pem, *key_pem; // in their place
};

struct sending {
    void (*on_done)(void *user, const struct kp_sink_answer *answer);
    void *user;
};

// ---- answers ----

// The value of a string member of {"error": {"reason": "...", "message": "..."}}; enough for our own
// registry's answers.
static bool json_text(const char *body, const char *member, char *out, size_t size)
{
    char pattern[32];
    snprintf(pattern, sizeof pattern, "\"%s\"", member);
    const char *p = strstr(body, pattern);
    if (p == NULL)
        return false;
    p += strlen(pattern);
    p += strspn(p, " :");
    if (*p++ != '"')
        return false;
    size_t n = 0;
    for (; *p != '\0' && *p != '"' && n + 1 < size; p++) {
        if (*p == '\\' && p[1] != '\0')
            p++;
        out[n++] = *p;
    }
    out[n] = '\0';
    return true;
}

static void refused(const struct kp_http_result *result, struct kp_sink_answer *answer)
{
    char reason[40] = "";
    kp_auto_free char *body = kp_strndup((const char *)result->body->data, result->body->len);
    if (!json_text(body, "message", answer->message, sizeof answer->message))
        snprintf(answer->message, sizeof answer->message, "the registry answers %d", result->status);
    json_text(body, "reason", reason, sizeof reason);
    answer->outcome = result->status == 413       ? KP_OUTCOME_TOO_LARGE
                      : result->status == 429     ? KP_OUTCOME_THROTTLED
                      : result->status == 507     ? KP_OUTCOME_STORE_FULL
                      : kp_streq(reason, "Empty") ? KP_OUTCOME_EMPTY
                                                  : KP_OUTCOME_INVALID;
}

// The registry is busy with what everybody sends, which passes; or this namespace has what it may: captures
// that waited for it would fill the spool, and keep those of others out.
static bool is_limit_of_namespace(const struct kp_http_result *result)
{
    char reason[40] = "";
    kp_auto_free char *body = kp_strndup((const char *)result->body->data, result->body->len);
    return json_text(body, "reason", reason, sizeof reason) && kp_streq(reason, "NamespaceLimit");
}

// In the registry's own words, if it is one that answers.
static void not_now(const struct kp_http_result *result, struct kp_sink_answer *answer)
{
    char words[sizeof answer->message] = "";
    kp_auto_free char *body = kp_strndup((const char *)result->body->data, result->body->len);
    bool is_told = json_text(body, "message", words, sizeof words);
    kp_auto_free char *text = kp_asprintf("the registry answers %d: %s", result->status,
        is_told && words[0] != '\0' ? words : "see its log and --registry-url");
    kp_printable(answer->message, sizeof answer->message, text, strlen(text));
}

static void judge(const struct kp_http_result *result, struct kp_sink_answer *answer)
{
    if (result->code != KP_OK) {
        answer->retry = true;
        snprintf(answer->message, sizeof answer->message, "cannot deliver to the registry: %s%s",
            result->error.text,
            result->code == KP_TLS ? " (is the CA that of its certificate, is that for the host of "
                                     "--registry-url, and is the clock right?)"
                                   : "");
        return;
    }
    if (result->status == 429 && is_limit_of_namespace(result)) {
        refused(result, answer);
        return;
    }
    switch (result->status) {
    case 200:
    case 201:
    case 202:
    case 204:
        answer->outcome = KP_OUTCOME_SUCCEEDED;
        return;
    case 400:
    case 413:
    case 422:
    case 507:
        refused(result, answer);
        return;
    default: // 401, 403, 404 (not ready, or the wrong URL), 429, 5xx: it may be mended
        answer->retry = true;
        answer->retry_after_s = result->retry_after_s;
        not_now(result, answer);
    }
}

static void on_answer(void *user, const struct kp_http_result *result)
{
    struct sending *sending = user;
    struct kp_sink_answer answer = {.status = result->code == KP_OK ? result->status : 0};
    judge(result, &answer);
    sending->on_done(sending->user, &answer);
    kp_free(sending);
}

// ---- requests ----

static char *bearer(const struct registry *registry)
{
    char *token = NULL;
    if (registry->token_file == NULL ||
        kp_file_read(registry->token_file, 64 * KP_KIB, &token, NULL, NULL) != 0)
        return NULL;
    token[strcspn(token, "\r\n \t")] = '\0';
    char *header = kp_asprintf("Authorization: Bearer %s", token);
    explicit_bzero(token, strlen(token));
    kp_free(token);
    return header;
}

void kp_sink_registry_ask(void *self, const char *method, const char *path, const char *content_type,
    struct kp_blob *body, void (*on_done)(void *user, const struct kp_sink_answer *answer), void *user)
{
    struct registry *registry = self;
    kp_auto_free char *url = kp_asprintf("%s%s", registry->url, path);
    kp_auto_free char *type = content_type ? kp_asprintf("Content-Type: %s", content_type) : NULL;
    kp_auto_free char *auth = bearer(registry);
    const char *headers[4] = {"User-Agent: kube-pprof/" KP_VERSION " controller", type ? type : auth};
    if (type)
        headers[2] = auth;
    struct sending *sending = KP_NEW(struct sending);
    *sending = (struct sending){on_done, user};
    struct kp_http_request request = {
        .method = method,
        .url = url,
        .headers = headers,
        .body = body,
        .tls = {.ca_file = registry->ca_file,
            .ca_pem = registry->ca_pem,
            .cert_file = registry->cert_file,
            .cert_pem = registry->cert_pem,
            .key_file = registry->key_file,
            .key_pem = registry->key_pem},
        .timeout_ms = TIMEOUT_MS,
        .max_body = 64 * KP_KIB,
        .on_done = on_answer,
        .user = sending,
    };
    struct kp_error err = {0};
    if (kp_http_start(registry->http, &request, NULL, &err) != 0) {
        // only a bad URL or a closing client gets here; nothing can be told later than from here
        struct kp_sink_answer answer = {.retry = true};
        kp_copy(answer.message, sizeof answer.message, err.text);
        kp_free(sending);
        on_done(user, &answer);
    }
}

static void send_capture(void *self, const struct kp_record *record, struct kp_blob *body,
    void (*on_done)(void *user, const struct kp_sink_answer *answer), void *user)
{
    struct kp_strbuf frame;
    size_t len;
    kp_strbuf_init(&frame, body->len + KP_MAX_RECORD_BYTES + 64);
    kp_capture_frame(&frame, record, body->data, body->len);
    char *data = kp_strbuf_take(&frame, &len);
    kp_strbuf_finish(&frame);
    struct kp_blob *blob = kp_blob_take(data, len);
    kp_sink_registry_ask(self, "POST", "/api/v1/profiles", KP_CAPTURE_MEDIA_TYPE, blob, on_done, user);
    kp_blob_unref(blob);
}

static void send_state(void *self, struct kp_blob *encoded,
    void (*on_done)(void *user, const struct kp_sink_answer *answer), void *user)
{
    kp_sink_registry_ask(self, "POST", "/api/v1/targets", KP_STATE_MEDIA_TYPE, encoded, on_done, user);
}

static void replace(char **text, const char *by)
{
    if (*text != NULL)
        explicit_bzero(*text, strlen(*text)); // it may be a key
    kp_free(*text);
    *text = kp_strdup(by);
}

void kp_sink_registry_set_ca(void *self, const char *ca_pem)
{
    replace(&((struct registry *)self)->ca_pem, ca_pem);
}

void kp_sink_registry_set_client(void *self, const char *cert_pem, const char *key_pem)
{
    struct registry *registry = self;
    replace(&registry->cert_pem, cert_pem);
    replace(&registry->key_pem, key_pem);
}

static void close_registry(void *self)
{
    struct registry *registry = self;
    kp_http_destroy(registry->http);
    kp_sink_registry_set_ca(registry, NULL);
    kp_sink_registry_set_client(registry, NULL, NULL);
    kp_free(registry->url);
    kp_free(registry->token_file);
    kp_free(registry->ca_file);
    kp_free(registry->cert_file);
    kp_free(registry->key_file);
    kp_free(registry);
}

int kp_sink_registry_create(struct kp_loop *loop, const struct kp_sink_registry_options *options,
    const struct kp_sink_ops **ret_ops, void **ret_self, struct kp_error *err)
{
    static const struct kp_sink_ops ops = {"registry", send_capture, send_state, close_registry};
    if (!kp_starts_with(options->url, "http://") && !kp_starts_with(options->url, "https://"))
        return kp_fail(err, KP_INVALID,
            "'%.100s' is not the URL of a registry; it starts with http:// or https://", options->url);
    struct registry *registry = KP_NEW(struct registry);
    size_t n = strlen(options->url);
    while (n > 0 && options->url[n - 1] == '/')
        n--;
    registry->url = kp_strndup(options->url, n);
    registry->token_file = kp_strdup(options->token_file);
    registry->ca_file = kp_strdup(options->ca_file);
    registry->cert_file = kp_strdup(options->cert_file);
    registry->key_file = kp_strdup(options->key_file);
    struct kp_http_options http = {.max_connections = 16, .reuse = true};
    registry->http = kp_http_create(loop, &http);
    *ret_ops = &ops;
    *ret_self = registry;
    return 0;
}
