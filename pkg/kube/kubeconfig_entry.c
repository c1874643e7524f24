// One cluster and one user of a kubeconfig, field by field.
#include <openssl/evp.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "kube/kubeconfig_internal.h"
#include "kube/proxy.h"

#include "base/banned.h"

enum form { TEXT, PATH, DATA };

struct field {
    const char *key;
    enum form form;
    size_t slot; // of a char * in kp_kube_config
};

#define SLOT(name) offsetof(struct kp_kube_config, name)

static const struct field cluster_fields[] = {
    {"server", TEXT, SLOT(server)},
    {"tls-server-name", TEXT, SLOT(tls_server_name)},
    {"proxy-url", TEXT, SLOT(proxy)},
    {"certificate-authority", PATH, SLOT(ca_file)},
    {"certificate-authority-data", DATA, SLOT(ca_pem)},
};

static const struct field user_fields[] = {
    {"token", TEXT, SLOT(token)},
    {"tokenFile", PATH, SLOT(token_file)},
    {"username", TEXT, SLOT(username)},
    {"password", TEXT, SLOT(password)},
    {"client-certificate", PATH, SLOT(cert_file)},
    {"client-certificate-data", DATA, SLOT(cert_pem)},
    {"client-key", PATH, SLOT(key_file)},
    {"client-key-data", DATA, SLOT(key_pem)},
    {"as", TEXT, SLOT(as)},
    {"as-uid", TEXT, SLOT(as_uid)},
};

// base64; white space is ignored.
static int decode(const char *key, const char *text, char **ret, struct kp_error *err)
{
    size_t len = strlen(text);
    kp_auto_free unsigned char *out = kp_alloc(len / 4 * 3 + 4);
    kp_auto_free char *packed = kp_alloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (!strchr(" \t\r\n", text[i]))
            packed[n++] = text[i];
    }
    packed[n] = '\0';
    int decoded = n % 4 == 0 ? EVP_DecodeBlock(out, (const unsigned char *)packed, (int)n) : -1;
    if (decoded < 0)
        return kp_fail(err, KP_INVALID, "%s is not base64", key);
    size_t padding = (n > 0 && packed[n - 1] == '=') + (n > 1 && packed[n - 2] == '=');
    *ret = kp_strndup((const char *)out, (size_t)decoded - padding);
    return KP_OK;
}

// NULL when the field is missing, null or empty; a number or a list is a mistake, not nothing.
static int text_of(const json_t *object, const char *key, const char **ret, struct kp_error *err)
{
    const json_t *value = json_object_get(object, key);
    *ret = NULL;
    if (!value || json_is_null(value))
        return KP_OK;
    if (!json_is_string(value))
        return kp_fail(err, KP_INVALID, "%s is not text; put it in quotes", key);
    if (*json_string_value(value))
        *ret = json_string_value(value);
    return KP_OK;
}

static int read_field(const struct field *field, const struct kp_kubeconfig_entry *entry,
    struct kp_kube_config *config, struct kp_error *err)
{
    char **slot = (char **)(void *)((char *)config + field->slot);
    const char *text;
    int code = text_of(entry->value, field->key, &text, err);
    if (code < 0 || !text)
        return code;
    if (field->form == DATA)
        return decode(field->key, text, slot, err);
    bool relative = field->form == PATH && text[0] != '/';
    *slot = relative ? kp_asprintf("%s/%s", entry->dir, text) : kp_strdup(text);
    return KP_OK;
}

static int read_fields(const struct field *fields, size_t n, const struct kp_kubeconfig_entry *entry,
    struct kp_kube_config *config, struct kp_error *err)
{
    for (size_t i = 0; i < n; i++) {
        int code = read_field(&fields[i], entry, config, err);
        if (code < 0)
            return code;
    }
    return KP_OK;
}

int kp_kubeconfig_read_cluster(
    const struct kp_kubeconfig_entry *entry, struct kp_kube_config *config, struct kp_error *err)
{
    int code = read_fields(cluster_fields, KP_COUNT(cluster_fields), entry, config, err);
    if (code == KP_OK && config->proxy)
        code = kp_proxy_check(config->proxy, err);
    config->insecure = json_is_true(json_object_get(entry->value, "insecure-skip-tls-verify"));
    return code;
}

// ---- users ----

static int read_texts(const char *key, const json_t *array, char ***ret, struct kp_error *err)
{
    size_t n = json_array_size(array);
    if (array && !json_is_null(array) && !json_is_array(array))
        return kp_fail(err, KP_INVALID, "%s is not a list", key);
    if (n == 0)
        return KP_OK;
    char **texts = KP_NEW_ARRAY(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        texts[i] = kp_strdup(text ? text : "");
        if (!text)
            kp_fail(err, KP_INVALID, "%s holds something that is not text; put it in quotes", key);
    }
    *ret = texts;
    return err && err->code != KP_OK ? err->code : KP_OK;
}

static int read_extra(const json_t *extra, struct kp_kube_config *config, struct kp_error *err)
{
    const char *key;
    json_t *values;
    size_t n = 0;
    json_object_foreach((json_t *)(uintptr_t)extra, key, values) n += json_array_size(values);
    config->as_extra = n > 0 ? KP_NEW_ARRAY(struct kp_kube_pair, n) : NULL;
    json_object_foreach((json_t *)(uintptr_t)extra, key, values)
    {
        size_t i;
        json_t *value;
        json_array_foreach(values, i, value)
        {
            const char *text = json_string_value(value);
            if (!text)
                return kp_fail(err, KP_INVALID, "as-user-extra: '%s' holds something that is not text", key);
            config->as_extra[config->n_as_extra++] = (struct kp_kube_pair){kp_strdup(key), kp_strdup(text)};
        }
    }
    return KP_OK;
}

static int refuse_provider(const json_t *user, struct kp_error *err)
{
    const json_t *provider = json_object_get(user, "auth-provider");
    if (!provider || json_is_null(provider))
        return KP_OK;
    const char *name = json_string_value(json_object_get(provider, "name"));
    char shown[64];
    return kp_fail(err, KP_INVALID,
        "auth-provider '%s' is not supported; use an exec credential plugin (user.exec) instead",
        kp_printable(shown, sizeof shown, name ? name : "", name ? strlen(name) : 0));
}

int kp_kubeconfig_read_user(
    const struct kp_kubeconfig_entry *entry, struct kp_kube_config *config, struct kp_error *err)
{
    struct kp_error own = {0};
    const json_t *exec = json_object_get(entry->value, "exec");
    int code = read_fields(user_fields, KP_COUNT(user_fields), entry, config, &own);
    if (code == KP_OK)
        code = read_texts("as-groups", json_object_get(entry->value, "as-groups"), &config->as_groups, &own);
    if (code == KP_OK)
        code = read_extra(json_object_get(entry->value, "as-user-extra"), config, &own);
    if (code == KP_OK && exec && !json_is_null(exec))
        code = kp_kubeconfig_read_exec(exec, entry->dir, &config->exec, &own);
    bool known = config->token || config->token_file || config->username || config->cert_file ||
                 config->cert_pem || config->exec;
    if (code == KP_OK && !known)
        code = refuse_provider(entry->value, &own);
    if (code < 0)
        kp_fail(err, own.code, "%s", own.text);
    return code;
}
