#include "kube/config.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/limits.h"
#include "kube/config_internal.h"

#include "base/banned.h"

enum { MAX_FILE = 4 * KP_MIB };

#define SLOT(name) offsetof(struct kp_kube_config, name)

// every text of a configuration
static const size_t texts[] = {SLOT(server), SLOT(ca_file), SLOT(ca_pem), SLOT(cert_file), SLOT(cert_pem),
    SLOT(key_file), SLOT(key_pem), SLOT(token), SLOT(token_file), SLOT(username), SLOT(password),
    SLOT(tls_server_name), SLOT(proxy), SLOT(namespace), SLOT(as), SLOT(as_uid), SLOT(last_resort)};

static char **text_at(const struct kp_kube_config *config, size_t slot)
{
    return (char **)((uintptr_t)config + slot);
}

// ---- parts ----

void kp_kube_texts_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        kp_free(list[i]);
    kp_free(list);
}

char **kp_kube_texts_copy(const char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    char **copy = list ? KP_NEW_ARRAY(char *, n + 1) : NULL;
    for (size_t i = 0; i < n; i++)
        copy[i] = kp_strdup(list[i]);
    return copy;
}

void kp_kube_pairs_free(struct kp_kube_pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        kp_free(pairs[i].name);
        kp_free(pairs[i].value);
    }
    kp_free(pairs);
}

static struct kp_kube_pair *pairs_copy(const struct kp_kube_pair *pairs, size_t n)
{
    struct kp_kube_pair *copy = n > 0 ? KP_NEW_ARRAY(struct kp_kube_pair, n) : NULL;
    for (size_t i = 0; i < n; i++)
        copy[i] = (struct kp_kube_pair){kp_strdup(pairs[i].name), kp_strdup(pairs[i].value)};
    return copy;
}

static void exec_free(struct kp_kube_exec *exec)
{
    if (!exec)
        return;
    kp_free(exec->api_version);
    kp_free(exec->command);
    kp_kube_texts_free(exec->args);
    kp_kube_pairs_free(exec->env, exec->n_env);
    kp_free(exec->install_hint);
    kp_free(exec->cluster_info);
    kp_free(exec);
}

static struct kp_kube_exec *exec_copy(const struct kp_kube_exec *exec)
{
    if (!exec)
        return NULL;
    struct kp_kube_exec *copy = kp_memdup(exec, sizeof *exec);
    copy->api_version = kp_strdup(exec->api_version);
    copy->command = kp_strdup(exec->command);
    copy->args = kp_kube_texts_copy((const char *const *)exec->args);
    copy->env = pairs_copy(exec->env, exec->n_env);
    copy->install_hint = kp_strdup(exec->install_hint);
    copy->cluster_info = kp_strdup(exec->cluster_info);
    return copy;
}

// ---- the whole ----

void kp_kube_config_finish(struct kp_kube_config *config)
{
    for (size_t i = 0; i < KP_COUNT(texts); i++)
        kp_free(*text_at(config, texts[i]));
    kp_kube_texts_free(config->as_groups);
    kp_kube_pairs_free(config->as_extra, config->n_as_extra);
    exec_free(config->exec);
    memset(config, 0, sizeof *config);
}

void kp_kube_config_copy(struct kp_kube_config *to, const struct kp_kube_config *from)
{
    *to = *from;
    for (size_t i = 0; i < KP_COUNT(texts); i++)
        *text_at(to, texts[i]) = kp_strdup(*text_at(from, texts[i]));
    if (!to->namespace)
        to->namespace = kp_strdup("default");
    to->as_groups = kp_kube_texts_copy((const char *const *)from->as_groups);
    to->as_extra = pairs_copy(from->as_extra, from->n_as_extra);
    to->exec = exec_copy(from->exec);
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
