#include "kube/exec_credential.h"

#include <jansson.h>
#include <limits.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"

#include "base/banned.h"

static void wipe(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    kp_free(secret);
}

void kp_exec_credential_finish(struct kp_exec_credential *credential)
{
    wipe(credential->token);
    wipe(credential->key_pem);
    kp_free(credential->cert_pem);
    *credential = (struct kp_exec_credential){0};
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && *text ? text : NULL;
}

static int never_ask(char *out, int size, int writing, void *user)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static int check_pair(const char *cert_pem, const char *key_pem, struct kp_error *err)
{
    if (strlen(cert_pem) > INT_MAX || strlen(key_pem) > INT_MAX)
        return kp_fail(err, KP_LIMIT, "certificate or key too large");
    BIO *cert_text = BIO_new_mem_buf(cert_pem, -1), *key_text = BIO_new_mem_buf(key_pem, -1);
    X509 *cert = PEM_read_bio_X509(cert_text, NULL, never_ask, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_text, NULL, never_ask, NULL);
    int code = KP_OK;
    if (!cert || !key)
        code =
            kp_fail(err, KP_INVALID, "its %s is not PEM", cert ? "clientKeyData" : "clientCertificateData");
    else if (X509_check_private_key(cert, key) != 1)
        code = kp_fail(err, KP_INVALID, "its certificate and key do not belong together");
    X509_free(cert);
    EVP_PKEY_free(key);
    BIO_free(cert_text);
    BIO_free(key_text);
    return code;
}

static int check_token(const char *token, struct kp_error *err)
{
    for (const char *p = token; *p; p++) {
        if (*p <= ' ' || *p == 0x7F)
            return kp_fail(err, KP_INVALID, "its token holds a byte that cannot stand in a header");
    }
    return KP_OK;
}

static int read_status(const json_t *status, struct kp_exec_credential *credential, struct kp_error *err)
{
    const char *token = text_of(status, "token");
    const char *cert = text_of(status, "clientCertificateData"), *key = text_of(status, "clientKeyData");
    const char *expires = text_of(status, "expirationTimestamp");
    if (!json_is_object(status))
        return kp_fail(err, KP_INVALID, "it has no status");
    if (!token && !cert && !key)
        return kp_fail(err, KP_INVALID, "its status has neither a token nor a certificate and key");
    if (!cert != !key)
        return kp_fail(err, KP_INVALID, "its status has only one of certificate and key");
    if (expires && kp_time_parse(expires, &credential->expires_ms, NULL) < 0)
        return kp_fail(err, KP_INVALID, "its expirationTimestamp is not a time");
    if (token && check_token(token, err) < 0)
        return KP_INVALID;
    if (cert && check_pair(cert, key, err) < 0)
        return KP_INVALID;
    credential->token = kp_strdup(token);
    credential->cert_pem = kp_strdup(cert);
    credential->key_pem = kp_strdup(key);
    return KP_OK;
}

int kp_exec_credential_parse(const char *json, size_t len, const char *api_version,
    struct kp_exec_credential *ret, struct kp_error *err)
{
    char shown[80];
    struct kp_error own = {0};
    struct kp_exec_credential credential = {0};
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
    const char *kind = text_of(root, "kind"), *version = text_of(root, "apiVersion");
    if (!json_is_object(root))
        kp_fail(&own, KP_INVALID, "what it printed is not one JSON object");
    else if (!kp_streq(kind, "ExecCredential"))
        kp_fail(&own, KP_INVALID, "what it printed is not of kind ExecCredential");
    else if (!kp_streq(version, api_version))
        kp_fail(&own, KP_INVALID, "it is configured for %s and answered with '%s'", api_version,
            kp_printable(shown, sizeof shown, version ? version : "", version ? strlen(version) : 0));
    else if (read_status(json_object_get(root, "status"), &credential, &own) == KP_OK)
        *ret = credential;
    json_decref(root);
    return own.code == KP_OK ? KP_OK : kp_fail(err, own.code, "%s", own.text);
}

char *kp_exec_info(const struct kp_kube_exec *exec, bool interactive)
{
    json_t *spec = json_object();
    json_object_set_new(spec, "interactive", json_boolean(interactive));
    if (exec->cluster_info)
        json_object_set_new(spec, "cluster", json_loads(exec->cluster_info, 0, NULL));
    json_t *root = json_object();
    json_object_set_new(root, "apiVersion", json_string(exec->api_version));
    json_object_set_new(root, "kind", json_string("ExecCredential"));
    json_object_set_new(root, "spec", spec);
    char *text = json_dumps(root, JSON_COMPACT);
    char *copy = kp_strdup(text);
    free(text);
    json_decref(root);
    return copy;
}
