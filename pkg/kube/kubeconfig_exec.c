// The exec plugin of a user.
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "kube/kubeconfig_internal.h"

#include "base/banned.h"

enum { MAX_WORDS = 256, MAX_CA = 4 * KP_MIB };

#define GROUP "client.authentication.k8s.io/"

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int read_mode(const json_t *exec, struct kp_kube_exec *plugin, struct kp_error *err)
{
    static const char *const modes[] = {[KP_KUBE_EXEC_NEVER] = "Never",
        [KP_KUBE_EXEC_IF_AVAILABLE] = "IfAvailable",
        [KP_KUBE_EXEC_ALWAYS] = "Always"};
    const char *mode = text_at(exec, "interactiveMode");
    plugin->interactive_mode = KP_KUBE_EXEC_IF_AVAILABLE;
    if (!*mode && kp_streq(plugin->api_version, GROUP "v1"))
        return kp_fail(err, KP_INVALID,
            "exec: interactiveMode must be specified (Never, IfAvailable or Always) with '%s'",
            plugin->api_version);
    for (size_t i = 0; i < KP_COUNT(modes); i++) {
        if (strcmp(mode, modes[i]) == 0) {
            plugin->interactive_mode = (enum kp_kube_exec_mode)i;
            return KP_OK;
        }
    }
    if (!*mode)
        return KP_OK;
    return kp_fail(err, KP_INVALID, "exec: interactiveMode is not Never, IfAvailable or Always");
}

static int read_args(const json_t *args, struct kp_kube_exec *plugin, struct kp_error *err)
{
    size_t n = json_array_size(args);
    if (n > MAX_WORDS)
        return kp_fail(err, KP_LIMIT, "exec: more than %d args", MAX_WORDS);
    plugin->args = KP_NEW_ARRAY(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(args, i));
        if (!text)
            return kp_fail(err, KP_INVALID, "exec: args[%zu] is not text; put it in quotes", i);
        plugin->args[i] = kp_strdup(text);
    }
    return KP_OK;
}

static int read_env(const json_t *env, struct kp_kube_exec *plugin, struct kp_error *err)
{
    size_t n = json_array_size(env);
    if (n > MAX_WORDS)
        return kp_fail(err, KP_LIMIT, "exec: more than %d env", MAX_WORDS);
    plugin->env = n > 0 ? KP_NEW_ARRAY(struct kp_kube_pair, n) : NULL;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(env, i);
        const char *name = text_at(item, "name");
        if (!*name || strchr(name, '=') || !json_is_string(json_object_get(item, "value")))
            return kp_fail(err, KP_INVALID, "exec: env[%zu] needs a name and a value that is text", i);
        plugin->env[plugin->n_env++] =
            (struct kp_kube_pair){kp_strdup(name), kp_strdup(text_at(item, "value"))};
    }
    return KP_OK;
}

int kp_kubeconfig_read_exec(
    const json_t *exec, const char *dir, struct kp_kube_exec **ret, struct kp_error *err)
{
    struct kp_kube_exec *plugin = KP_NEW(struct kp_kube_exec);
    const char *command = text_at(exec, "command"), *version = text_at(exec, "apiVersion");
    *ret = plugin;
    if (!*command)
        return kp_fail(err, KP_INVALID, "exec: command must be specified");
    if (strcmp(version, GROUP "v1") != 0 && strcmp(version, GROUP "v1beta1") != 0) {
        char shown[80];
        return kp_fail(err, KP_INVALID, "exec: apiVersion '%s' is not " GROUP "v1 or v1beta1",
            kp_printable(shown, sizeof shown, version, strlen(version)));
    }
    plugin->api_version = kp_strdup(version);
    bool beside = strchr(command, '/') && command[0] != '/';
    plugin->command = beside ? kp_asprintf("%s/%s", dir, command) : kp_strdup(command);
    if (*text_at(exec, "installHint"))
        plugin->install_hint = kp_strdup(text_at(exec, "installHint"));
    plugin->provide_cluster_info = json_is_true(json_object_get(exec, "provideClusterInfo"));
    int code = read_mode(exec, plugin, err);
    if (code == KP_OK)
        code = read_args(json_object_get(exec, "args"), plugin, err);
    return code == KP_OK ? read_env(json_object_get(exec, "env"), plugin, err) : code;
}

// ---- what the plugin is told ----

static int add_ca(const struct kp_kube_config *config, json_t *info, struct kp_error *err)
{
    kp_auto_free char *read = NULL;
    const char *pem = config->ca_pem;
    size_t len = pem ? strlen(pem) : 0;
    if (!pem && config->ca_file) {
        int code = kp_file_read(config->ca_file, MAX_CA, &read, &len, err);
        if (code < 0)
            return kp_wrap(err, "cannot tell the exec plugin about the cluster");
        pem = read;
    }
    if (!pem || len == 0)
        return KP_OK;
    kp_auto_free char *coded = kp_alloc((len + 2) / 3 * 4 + 1);
    EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)pem, (int)len);
    json_object_set_new(info, "certificate-authority-data", json_string(coded));
    return KP_OK;
}

static json_t *plugin_extension(const json_t *cluster)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(cluster, "extensions"), i, item)
    {
        if (strcmp(text_at(item, "name"), GROUP "exec") == 0)
            return json_object_get(item, "extension");
    }
    return NULL;
}

int kp_kubeconfig_tell_plugin(struct kp_kube_config *config, const json_t *cluster, struct kp_error *err)
{
    if (!config->exec || !config->exec->provide_cluster_info)
        return KP_OK;
    json_t *info = json_object();
    json_object_set_new(info, "server", json_string(config->server));
    if (config->tls_server_name)
        json_object_set_new(info, "tls-server-name", json_string(config->tls_server_name));
    if (config->insecure)
        json_object_set_new(info, "insecure-skip-tls-verify", json_true());
    if (config->proxy)
        json_object_set_new(info, "proxy-url", json_string(config->proxy));
    if (json_is_true(json_object_get(cluster, "disable-compression")))
        json_object_set_new(info, "disable-compression", json_true());
    json_object_set(info, "config", plugin_extension(cluster)); // nothing with NULL
    int code = add_ca(config, info, err);
    char *text = json_dumps(info, JSON_COMPACT);
    config->exec->cluster_info = text ? kp_strdup(text) : NULL;
    free(text);
    json_decref(info);
    return code;
}
