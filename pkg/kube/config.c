// Reading a kubeconfig: the files are turned into JSON values, merged as kubectl merges them (the first file
// that names a cluster, user or context has it whole), then the chosen context is followed.
#include "kube/config.h"

#include <stdlib.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "kube/config_internal.h"
#include "kube/yaml.h"

#include "base/banned.h"

enum { MAX_FILE = 4 * KP_MIB, MAX_TOKEN = 64 * KP_KIB, MAX_FILES = 32 };

void kp_kube_config_finish(struct kp_kube_config *config)
{
    kp_free(config->server);
    kp_free(config->ca_file);
    kp_free(config->ca_pem);
    kp_free(config->cert_file);
    kp_free(config->cert_pem);
    kp_free(config->key_file);
    kp_free(config->key_pem);
    kp_free(config->token);
    kp_free(config->token_file);
    kp_free(config->tls_server_name);
    kp_free(config->proxy);
    kp_free(config->namespace);
    memset(config, 0, sizeof *config);
}

static char *trimmed(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]))
        text[--n] = '\0';
    return text;
}

// ---- in a cluster ----

static int read_ca(const char *path, struct kp_error *err)
{
    kp_auto_free char *pem = NULL;
    size_t len = 0;
    if (kp_file_read(path, MAX_FILE, &pem, &len, err) < 0)
        return kp_wrap(err, "cannot trust the API server");
    if (!strstr(pem, "-----BEGIN CERTIFICATE-----"))
        return kp_fail(err, KP_INVALID, "cannot trust the API server: '%s' holds no certificate", path);
    return KP_OK;
}

int kp_kube_config_in_cluster(
    const char *host, const char *port, const char *dir, struct kp_kube_config *ret, struct kp_error *err)
{
    if (!host || !*host)
        return kp_fail(err, KP_NOT_FOUND, "not in a cluster: KUBERNETES_SERVICE_HOST is not set");
    struct kp_kube_config config = {0};
    bool v6 = strchr(host, ':') != NULL && host[0] != '[';
    config.server =
        kp_asprintf("https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port && *port ? port : "443");
    config.ca_file = kp_asprintf("%s/ca.crt", dir);
    config.token_file = kp_asprintf("%s/token", dir);
    kp_auto_free char *namespace_file = kp_asprintf("%s/namespace", dir);
    size_t len = 0;
    int code = read_ca(config.ca_file, err);
    if (code == KP_OK && kp_file_read(namespace_file, 4096, &config.namespace, &len, NULL) == KP_OK)
        trimmed(config.namespace);
    if (code == KP_OK && (!config.namespace || !*config.namespace)) {
        kp_free(config.namespace);
        config.namespace = kp_strdup("default");
    }
    if (code < 0) {
        kp_kube_config_finish(&config);
        return code;
    }
    *ret = config;
    return KP_OK;
}

// ---- the files ----

struct kubeconfig {
    size_t n;
    json_t *files[MAX_FILES];
    char *dirs[MAX_FILES]; // relative paths start there
};

static void kubeconfig_finish(struct kubeconfig *k)
{
    for (size_t i = 0; i < k->n; i++) {
        json_decref(k->files[i]);
        kp_free(k->dirs[i]);
    }
}

static int load_file(struct kubeconfig *k, const char *path, bool may_be_missing, struct kp_error *err)
{
    kp_auto_free char *text = NULL;
    size_t len = 0;
    struct kp_error own = {0};
    int code = kp_file_read(path, MAX_FILE, &text, &len, &own);
    if (code == KP_NOT_FOUND && may_be_missing)
        return KP_OK;
    if (code == KP_OK)
        code = kp_yaml_parse(text, len, &k->files[k->n], &own);
    if (code < 0)
        return kp_fail(err, own.code, "cannot read kubeconfig '%s': %s", path, own.text);
    if (!json_is_object(k->files[k->n]) && !json_is_null(k->files[k->n])) {
        json_decref(k->files[k->n]);
        return kp_fail(err, KP_INVALID, "cannot read kubeconfig '%s': it is not a map", path);
    }
    const char *slash = strrchr(path, '/');
    k->dirs[k->n++] = slash ? kp_strndup(path, (size_t)(slash - path)) : kp_strdup(".");
    return KP_OK;
}

static int load_files(struct kubeconfig *k, const char *paths, struct kp_error *err)
{
    bool list = strchr(paths, ':') != NULL;
    for (const char *p = paths; *p;) {
        size_t n = strcspn(p, ":");
        if (n > 0) {
            kp_auto_free char *path = kp_strndup(p, n);
            if (k->n == MAX_FILES)
                return kp_fail(err, KP_LIMIT, "more than %d kubeconfig files in '%s'", MAX_FILES, paths);
            int code = load_file(k, path, list, err);
            if (code < 0)
                return code;
        }
        p += n + (p[n] == ':');
    }
    if (k->n == 0)
        return kp_fail(err, KP_NOT_FOUND, "no kubeconfig: none of '%s' exists", paths);
    return KP_OK;
}

// ---- following a name ----

struct entry {
    const json_t *value; // "cluster", "user" or "context" of the entry; NULL = not found
    const char *dir;
};

// First file that has an entry of that name wins with the whole of it.
static struct entry find_entry(
    const struct kubeconfig *k, const char *list, const char *inner, const char *name)
{
    for (size_t i = 0; i < k->n; i++) {
        size_t index;
        json_t *item;
        json_array_foreach(json_object_get(k->files[i], list), index, item)
        {
            const char *its = json_string_value(json_object_get(item, "name"));
            if (its && strcmp(its, name) == 0)
                return (struct entry){json_object_get(item, inner), k->dirs[i]};
        }
    }
    return (struct entry){NULL, NULL};
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s && *s ? s : NULL;
}

static const char *current_context(const struct kubeconfig *k)
{
    for (size_t i = 0; i < k->n; i++) {
        const char *name = text_of(k->files[i], "current-context");
        if (name)
            return name;
    }
    return NULL;
}

static char *path_of(const struct entry *entry, const char *key)
{
    const char *path = text_of(entry->value, key);
    if (!path)
        return NULL;
    return path[0] == '/' ? kp_strdup(path) : kp_asprintf("%s/%s", entry->dir, path);
}

// base64 of PEM; whitespace is ignored.
static int data_of(const struct entry *entry, const char *key, char **ret, struct kp_error *err)
{
    const char *text = text_of(entry->value, key);
    if (!text)
        return KP_OK;
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

static int read_cluster(const struct entry *entry, struct kp_kube_config *config, struct kp_error *err)
{
    const char *server = text_of(entry->value, "server");
    const char *name = text_of(entry->value, "tls-server-name");
    const char *proxy = text_of(entry->value, "proxy-url");
    if (!server)
        return kp_fail(err, KP_INVALID, "it names no server");
    if (!kp_starts_with(server, "https://") && !kp_starts_with(server, "http://"))
        return kp_fail(err, KP_INVALID, "server '%s' is not an http or https URL", server);
    config->server = kp_strdup(server);
    for (size_t n = strlen(config->server); n > 0 && config->server[n - 1] == '/'; n--)
        config->server[n - 1] = '\0';
    config->tls_server_name = kp_strdup(name);
    config->proxy = kp_strdup(proxy);
    config->insecure = json_is_true(json_object_get(entry->value, "insecure-skip-tls-verify"));
    int code = data_of(entry, "certificate-authority-data", &config->ca_pem, err);
    if (!config->ca_pem)
        config->ca_file = path_of(entry, "certificate-authority");
    if (code == KP_OK && config->insecure && (config->ca_pem || config->ca_file))
        code = kp_fail(err, KP_INVALID, "insecure-skip-tls-verify cannot go with a certificate authority");
    return code;
}

// What would be somebody else's rights if it were ignored.
static int refuse_impersonation(const struct entry *entry, struct kp_error *err)
{
    static const char *const keys[] = {"as", "as-uid", "as-groups", "as-user-extra"};
    for (size_t i = 0; i < KP_COUNT(keys); i++) {
        if (json_object_get(entry->value, keys[i]))
            return kp_fail(err, KP_INVALID, "impersonation ('%s') is not supported here", keys[i]);
    }
    return KP_OK;
}

static int read_user(const struct entry *entry, struct kp_kube_config *config, struct kp_error *err)
{
    if (refuse_impersonation(entry, err) < 0)
        return KP_INVALID;
    config->token = kp_strdup(text_of(entry->value, "token"));
    config->token_file = path_of(entry, "tokenFile");
    int code = data_of(entry, "client-certificate-data", &config->cert_pem, err);
    if (!config->cert_pem)
        config->cert_file = path_of(entry, "client-certificate");
    if (code == KP_OK)
        code = data_of(entry, "client-key-data", &config->key_pem, err);
    if (!config->key_pem)
        config->key_file = path_of(entry, "client-key");
    if (code < 0)
        return code;
    bool has_cert = config->cert_pem || config->cert_file;
    bool has_key = config->key_pem || config->key_file;
    if (has_cert != has_key)
        return kp_fail(err, KP_INVALID, "a client certificate and a client key must come together");
    if (has_cert || config->token || config->token_file)
        return KP_OK;
    if (json_object_get(entry->value, "exec"))
        return kp_fail(err, KP_INVALID,
            "credentials from an exec plugin are not supported here; use a token or a client certificate");
    if (json_object_get(entry->value, "auth-provider"))
        return kp_fail(
            err, KP_INVALID, "an auth-provider is not supported here; use a token or a client certificate");
    if (text_of(entry->value, "username"))
        return kp_fail(err, KP_INVALID, "user name and password are not supported by Kubernetes any more");
    return KP_OK;
}

static int follow(
    const struct kubeconfig *k, const char *context, struct kp_kube_config *config, struct kp_error *err)
{
    struct entry chosen = find_entry(k, "contexts", "context", context);
    if (!chosen.value)
        return kp_fail(err, KP_INVALID, "kubeconfig has no context '%s'", context);
    const char *cluster_name = text_of(chosen.value, "cluster");
    const char *user_name = text_of(chosen.value, "user");
    const char *namespace = text_of(chosen.value, "namespace");
    config->namespace = kp_strdup(namespace ? namespace : "default");
    struct entry cluster = {NULL, NULL};
    if (cluster_name)
        cluster = find_entry(k, "clusters", "cluster", cluster_name);
    if (!cluster.value)
        return kp_fail(err, KP_INVALID, "kubeconfig has no cluster '%s', named by context '%s'",
            cluster_name ? cluster_name : "", context);
    struct kp_error own = {0};
    if (read_cluster(&cluster, config, &own) < 0)
        return kp_fail(err, own.code, "cluster '%s' of the kubeconfig: %s", cluster_name, own.text);
    if (!user_name)
        return KP_OK;
    struct entry user = find_entry(k, "users", "user", user_name);
    if (!user.value)
        return kp_fail(
            err, KP_INVALID, "kubeconfig has no user '%s', named by context '%s'", user_name, context);
    if (read_user(&user, config, &own) < 0)
        return kp_fail(err, own.code, "user '%s' of the kubeconfig: %s", user_name, own.text);
    return KP_OK;
}

static int choose(const struct kubeconfig *k, const char *paths, const char *context,
    struct kp_kube_config *ret, struct kp_error *err)
{
    struct kp_kube_config config = {0};
    if (!context)
        context = current_context(k);
    if (!context)
        return kp_fail(err, KP_INVALID, "kubeconfig '%s' has no current-context; name one", paths);
    int code = follow(k, context, &config, err);
    if (code < 0) {
        kp_kube_config_finish(&config);
        return code;
    }
    *ret = config;
    return KP_OK;
}

int kp_kube_config_load(
    const char *paths, const char *context, struct kp_kube_config *ret, struct kp_error *err)
{
    struct kubeconfig k = {0};
    int code = load_files(&k, paths, err);
    if (code == KP_OK)
        code = choose(&k, paths, context, ret, err);
    kubeconfig_finish(&k);
    return code;
}

int kp_kube_config_parse(
    const char *text, size_t len, const char *dir, struct kp_kube_config *ret, struct kp_error *err)
{
    struct kubeconfig k = {0};
    int code = kp_yaml_parse(text, len, &k.files[0], err);
    if (code < 0)
        return code;
    k.n = 1;
    k.dirs[0] = kp_strdup(dir);
    code = choose(&k, "", NULL, ret, err);
    kubeconfig_finish(&k);
    return code;
}
