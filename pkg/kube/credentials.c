#include "kube/credentials.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/strbuf.h"
#include "base/text.h"

#include "base/banned.h"

enum {
    TOKEN_EVERY_MS =
        50 * 1000, // kubelets replace tokens long before they end; nobody asks for less than a minute
    CA_EVERY_MS = 5 * 60 * 1000,
    MAX_TOKEN = 64 * KP_KIB,
    MAX_CA = 4 * KP_MIB,
};

static char *basic(const char *username, const char *password)
{
    kp_auto_free char *both = kp_asprintf("%s:%s", username, password ? password : "");
    size_t len = strlen(both);
    kp_auto_free char *coded = kp_alloc((len + 2) / 3 * 4 + 1);
    EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)both, (int)len);
    return kp_asprintf("Authorization: Basic %s", coded);
}

void kp_credentials_init(struct kp_credentials *c, const struct kp_kube_config *config)
{
    memset(c, 0, sizeof *c);
    kp_kube_config_copy(&c->config, config);
    const char *server = c->config.server ? c->config.server : "";
    if (!c->config.token_file && c->config.token)
        c->header = kp_asprintf("Authorization: Bearer %s", c->config.token);
    else if (!c->config.token_file && c->config.username)
        c->header = basic(c->config.username, c->config.password);
    if (kp_starts_with(server, "unix:")) {
        c->unix_socket = kp_strdup(server + strlen("unix:"));
        c->base = kp_strdup("http://localhost");
        c->host = kp_strdup("localhost");
        c->may_authorize = true;
        return;
    }
    const char *scheme = strstr(server, "://");
    const char *host = scheme ? scheme + 3 : server;
    c->base = kp_strdup(server);
    c->host = kp_strndup(host, strcspn(host, "/"));
    c->may_authorize = kp_starts_with(server, "https://") ||
                       (kp_starts_with(server, "http://") && kp_is_loopback(c->host) && !c->config.proxy);
}

static void forget(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    kp_free(secret);
}

void kp_credentials_finish(struct kp_credentials *c)
{
    forget(c->header);
    kp_free(c->unix_socket);
    kp_free(c->base);
    kp_free(c->host);
    kp_free(c->ca_pem);
    kp_exec_credential_finish(&c->from_plugin);
    kp_kube_config_finish(&c->config);
}

// The token of the file, of printable bytes only: it goes into a header. NULL if there is none.
static char *read_token(const char *path)
{
    char *text = NULL;
    size_t len = 0;
    if (kp_file_read(path, MAX_TOKEN, &text, &len, NULL) < 0)
        return NULL;
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        text[--len] = '\0';
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] == 0x7F)
            len = 0;
    }
    if (len == 0) {
        kp_free(text);
        return NULL;
    }
    return text;
}

const char *kp_credentials_header(struct kp_credentials *c, int64_t now_mono_ms)
{
    if (!c->may_authorize)
        return NULL;
    bool due = c->token_read_ms == 0 || now_mono_ms - c->token_read_ms >= TOKEN_EVERY_MS;
    if (!c->config.token_file || !due)
        return c->header;
    char *token = read_token(c->config.token_file);
    if (token) {
        forget(c->header);
        c->header = kp_asprintf("Authorization: Bearer %s", token);
        forget(token);
    } else if (!c->header && c->config.token) {
        c->header = kp_asprintf("Authorization: Bearer %s", c->config.token);
    }
    // A failed read is tried again at the next use: the old token may soon be too old.
    c->token_read_ms = token ? now_mono_ms : 0;
    return c->header;
}

// A header's name takes no more than a token's characters (RFC 9110 5.6.2); the server decodes it.
static char *escaped(const char *key)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 3 * strlen(key) + 1);
    for (const char *p = key; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                     strchr("!#$&'*+-.^_`|~", *p);
        kp_strbuf_addf(&out, plain ? "%c" : "%%%02X", (unsigned char)*p);
    }
    return kp_strbuf_take(&out, NULL);
}

void kp_credentials_headers(struct kp_credentials *c, int64_t now_mono_ms, struct kp_headers *headers)
{
    const struct kp_kube_config *config = &c->config;
    const char *authorization = kp_credentials_header(c, now_mono_ms);
    if (authorization)
        kp_headers_add(headers, "%s", authorization);
    if (!config->as)
        return;
    kp_headers_add(headers, "Impersonate-User: %s", config->as);
    if (config->as_uid)
        kp_headers_add(headers, "Impersonate-Uid: %s", config->as_uid);
    for (size_t i = 0; config->as_groups && config->as_groups[i]; i++)
        kp_headers_add(headers, "Impersonate-Group: %s", config->as_groups[i]);
    for (size_t i = 0; i < config->n_as_extra; i++) {
        kp_auto_free char *key = escaped(config->as_extra[i].name);
        kp_headers_add(headers, "Impersonate-Extra-%s: %s", key, config->as_extra[i].value);
    }
}

void kp_credentials_take(struct kp_credentials *c, struct kp_exec_credential *credential)
{
    kp_exec_credential_finish(&c->from_plugin);
    c->from_plugin = *credential;
    *credential = (struct kp_exec_credential){0};
    forget(c->header);
    c->header = c->from_plugin.token ? kp_asprintf("Authorization: Bearer %s", c->from_plugin.token) : NULL;
}

void kp_credentials_drop(struct kp_credentials *c)
{
    c->token_read_ms = 0;
}

bool kp_credentials_distrust(struct kp_credentials *c)
{
    c->ca_due = true;
    return !c->config.ca_pem && c->config.ca_file;
}

// The file is handed over as text: TLS libraries keep what they once read of a file.
static const char *current_ca(struct kp_credentials *c, int64_t now_mono_ms)
{
    if (c->config.ca_pem)
        return c->config.ca_pem;
    bool due = !c->ca_pem || c->ca_due || now_mono_ms - c->ca_read_ms >= CA_EVERY_MS;
    if (!c->config.ca_file || !due)
        return c->ca_pem;
    char *pem = NULL;
    size_t len = 0;
    if (kp_file_read(c->config.ca_file, MAX_CA, &pem, &len, NULL) == KP_OK && strstr(pem, "-----BEGIN ")) {
        kp_free(c->ca_pem);
        c->ca_pem = kp_take(pem);
        c->ca_read_ms = now_mono_ms;
        c->ca_due = false;
    }
    kp_free(pem);
    return c->ca_pem;
}

void kp_credentials_tls(struct kp_credentials *c, int64_t now_mono_ms, struct kp_http_tls *ret)
{
    *ret = (struct kp_http_tls){
        .ca_pem = current_ca(c, now_mono_ms),
        .ca_file = c->config.ca_file,
        .cert_file = c->config.cert_file,
        .cert_pem = c->from_plugin.cert_pem ? c->from_plugin.cert_pem : c->config.cert_pem,
        .key_file = c->config.key_file,
        .key_pem = c->from_plugin.key_pem ? c->from_plugin.key_pem : c->config.key_pem,
        .server_name = c->config.tls_server_name,
        .insecure = c->config.insecure,
    };
}
