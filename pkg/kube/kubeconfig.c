// From wishes and files to one configuration: the context gives names, the names entries, and what was wished
// for goes over what the entries say.
#include "kube/kubeconfig.h"

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "kube/config_internal.h"
#include "kube/kubeconfig_internal.h"
#include "kube/proxy.h"
#include "kube/yaml.h"

#include "base/banned.h"

#define SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"
#define LAST_RESORT         "http://localhost:8080"

struct chosen {
    const char *context, *cluster_name, *user_name, *namespace;
    struct kp_kubeconfig_entry cluster, user;
};

static const char *given(const char *wish)
{
    return wish && *wish ? wish : NULL;
}

static const char *ask(const struct kp_kubeconfig_wishes *wishes, const char *name)
{
    return wishes->env ? given(wishes->env(name)) : NULL;
}

static void replace(char **slot, const char *wish)
{
    if (!given(wish))
        return;
    kp_free(*slot);
    *slot = kp_strdup(wish);
}

static void drop(char **slot)
{
    kp_free(*slot);
    *slot = NULL;
}

// ---- names ----

static int no_such(const struct kp_kubeconfig_files *files, enum kp_kubeconfig_kind kind, const char *what,
    const char *name, const char *context, struct kp_error *err)
{
    char names[100];
    kp_kubeconfig_names(files, kind, names, sizeof names);
    return kp_fail(err, KP_INVALID, "kubeconfig has no %s '%s'%s%s%s (there %s%s)", what, name,
        context ? ", named by context '" : "", context ? context : "", context ? "'" : "",
        *names ? "are: " : "are none", names);
}

static int choose_context(const struct kp_kubeconfig_wishes *wishes, const struct kp_kubeconfig_files *files,
    struct chosen *chosen, struct kp_error *err)
{
    const char *name = given(wishes->context) ? wishes->context : kp_kubeconfig_current(files);
    if (!name)
        return KP_OK;
    struct kp_kubeconfig_entry entry = kp_kubeconfig_find(files, KP_KUBECONFIG_CONTEXT, name);
    if (!entry.value)
        return no_such(files, KP_KUBECONFIG_CONTEXT, "context", name, NULL, err);
    chosen->context = name;
    chosen->cluster_name = given(json_string_value(json_object_get(entry.value, "cluster")));
    chosen->user_name = given(json_string_value(json_object_get(entry.value, "user")));
    chosen->namespace = given(json_string_value(json_object_get(entry.value, "namespace")));
    return KP_OK;
}

static int choose(const struct kp_kubeconfig_wishes *wishes, const struct kp_kubeconfig_files *files,
    struct chosen *chosen, struct kp_error *err)
{
    int code = choose_context(wishes, files, chosen, err);
    if (code < 0)
        return code;
    bool by_context = !given(wishes->cluster), user_by_context = !given(wishes->user);
    if (!by_context)
        chosen->cluster_name = wishes->cluster;
    if (!user_by_context)
        chosen->user_name = wishes->user;
    if (chosen->cluster_name) {
        chosen->cluster = kp_kubeconfig_find(files, KP_KUBECONFIG_CLUSTER, chosen->cluster_name);
        if (!chosen->cluster.value)
            return no_such(files, KP_KUBECONFIG_CLUSTER, "cluster", chosen->cluster_name,
                by_context ? chosen->context : NULL, err);
    } else if (chosen->context && !given(wishes->server)) {
        return kp_fail(err, KP_INVALID, "context '%s' of the kubeconfig names no cluster", chosen->context);
    }
    if (chosen->user_name) {
        chosen->user = kp_kubeconfig_find(files, KP_KUBECONFIG_USER, chosen->user_name);
        if (!chosen->user.value)
            return no_such(files, KP_KUBECONFIG_USER, "user", chosen->user_name,
                user_by_context ? chosen->context : NULL, err);
    }
    return KP_OK;
}

// ---- wishes over entries ----

static void wish_cluster(const struct kp_kubeconfig_wishes *wishes, struct kp_kube_config *config)
{
    // What says whom to trust goes together; so do a server and the name its certificate is checked for.
    if (wishes->insecure || given(wishes->certificate_authority)) {
        drop(&config->ca_file);
        drop(&config->ca_pem);
        config->insecure = wishes->insecure;
        replace(&config->ca_file, wishes->certificate_authority);
    }
    if (given(wishes->server) || given(wishes->tls_server_name))
        drop(&config->tls_server_name);
    replace(&config->server, wishes->server);
    replace(&config->tls_server_name, wishes->tls_server_name);
}

static void wish_extra(const char *const *texts, struct kp_kube_config *config)
{
    size_t n = 0;
    kp_kube_pairs_free(config->as_extra, config->n_as_extra);
    while (texts[n])
        n++;
    config->as_extra = KP_NEW_ARRAY(struct kp_kube_pair, n);
    config->n_as_extra = n;
    for (size_t i = 0; i < n; i++) {
        size_t len = strcspn(texts[i], "=");
        config->as_extra[i] = (struct kp_kube_pair){
            kp_strndup(texts[i], len), kp_strdup(texts[i] + len + (texts[i][len] == '='))};
    }
}

static void wish_user(const struct kp_kubeconfig_wishes *wishes, struct kp_kube_config *config)
{
    if (given(wishes->token))
        drop(&config->token_file);
    if (given(wishes->client_certificate))
        drop(&config->cert_pem);
    if (given(wishes->client_key))
        drop(&config->key_pem);
    replace(&config->token, wishes->token);
    replace(&config->username, wishes->username);
    replace(&config->password, wishes->password);
    replace(&config->cert_file, wishes->client_certificate);
    replace(&config->key_file, wishes->client_key);
    replace(&config->as, wishes->as);
    replace(&config->as_uid, wishes->as_uid);
    if (wishes->as_extra && wishes->as_extra[0])
        wish_extra(wishes->as_extra, config);
    if (!wishes->as_groups || !wishes->as_groups[0])
        return;
    kp_kube_texts_free(config->as_groups);
    config->as_groups = kp_kube_texts_copy(wishes->as_groups);
}

// ---- is it of one piece ----

static int settle_server(struct kp_kube_config *config, struct kp_error *err)
{
    if (!strstr(config->server, "://")) { // as kubectl reads "localhost:8080"
        bool tls =
            config->ca_file || config->ca_pem || config->cert_file || config->cert_pem || config->insecure;
        char *whole = kp_asprintf("%s://%s", tls ? "https" : "http", config->server);
        kp_free(config->server);
        config->server = whole;
    }
    if (!kp_starts_with(config->server, "https://") && !kp_starts_with(config->server, "http://"))
        return kp_fail(err, KP_INVALID, "server '%s' is not an http or https URL", config->server);
    for (size_t n = strlen(config->server); n > 0 && config->server[n - 1] == '/'; n--)
        config->server[n - 1] = '\0';
    if (config->insecure && (config->ca_pem || config->ca_file))
        return kp_fail(err, KP_INVALID, "insecure-skip-tls-verify cannot go with a certificate authority");
    return KP_OK;
}

static int settle_user(struct kp_kube_config *config, struct kp_error *err)
{
    // of the two forms the text wins
    if (config->ca_pem)
        drop(&config->ca_file);
    if (config->cert_pem)
        drop(&config->cert_file);
    if (config->key_pem)
        drop(&config->key_file);
    if ((config->cert_pem || config->cert_file) != (config->key_pem || config->key_file))
        return kp_fail(err, KP_INVALID, "a client certificate and a client key must come together");
    if (config->username && (config->token || config->token_file))
        return kp_fail(err, KP_INVALID, "both a token and a user name are given; only one is allowed");
    if (!config->as && (config->as_uid || config->as_groups || config->as_extra))
        return kp_fail(err, KP_INVALID,
            "a uid, groups or extra fields to act as are given without a user; give one (--as)");
    return KP_OK;
}

// ---- together ----

static int follow(const struct kp_kubeconfig_wishes *wishes, const struct chosen *chosen,
    struct kp_kube_config *config, struct kp_error *err)
{
    struct kp_error own = {0};
    int code = KP_OK;
    if (chosen->cluster.value)
        code = kp_kubeconfig_read_cluster(&chosen->cluster, config, &own);
    wish_cluster(wishes, config);
    if (code == KP_OK && !config->server)
        code = kp_fail(&own, KP_INVALID, "it names no server");
    if (code == KP_OK)
        code = settle_server(config, &own);
    if (code < 0 && chosen->cluster_name)
        return kp_fail(err, code, "cluster '%s' of the kubeconfig: %s", chosen->cluster_name, own.text);
    if (code < 0)
        return kp_fail(err, code, "%s", own.text);
    if (chosen->user.value)
        code = kp_kubeconfig_read_user(&chosen->user, config, &own);
    wish_user(wishes, config);
    if (code == KP_OK)
        code = settle_user(config, &own);
    if (code == KP_OK)
        code = kp_kubeconfig_tell_plugin(config, chosen->cluster.value, &own);
    if (code < 0 && chosen->user_name)
        return kp_fail(err, code, "user '%s' of the kubeconfig: %s", chosen->user_name, own.text);
    return code < 0 ? kp_fail(err, code, "%s", own.text) : KP_OK;
}

static char *why_last_resort(const struct kp_kubeconfig_wishes *wishes)
{
    const char *list = ask(wishes, "KUBECONFIG");
    if (given(wishes->kubeconfig))
        return kp_asprintf("kubeconfig '%s' is empty", wishes->kubeconfig);
    if (list)
        return kp_asprintf("KUBECONFIG '%s' leads to no configuration", list);
    if (!wishes->home)
        return kp_strdup("there is no kubeconfig");
    return kp_asprintf("there is no kubeconfig '%s/.kube/config'", wishes->home);
}

// Nothing is configured: a pod has a service account, everybody else gets what kubectl tries in the end.
static int without_files(
    const struct kp_kubeconfig_wishes *wishes, struct kp_kube_config *config, struct kp_error *err)
{
    const char *dir = wishes->service_account_dir ? wishes->service_account_dir : SERVICE_ACCOUNT_DIR;
    const char *host = ask(wishes, "KUBERNETES_SERVICE_HOST");
    const char *port = ask(wishes, "KUBERNETES_SERVICE_PORT");
    kp_auto_free char *token = kp_asprintf("%s/token", dir);
    if (!given(wishes->server) && host && port && access(token, R_OK) == 0) {
        int code = kp_kube_config_in_cluster(host, port, dir, config, err);
        if (code < 0)
            return code;
        replace(&config->namespace, ask(wishes, "POD_NAMESPACE"));
    } else if (!given(wishes->server)) {
        config->server = kp_strdup(LAST_RESORT);
        config->last_resort = why_last_resort(wishes);
    }
    return follow(wishes, &(struct chosen){0}, config, err);
}

static int find_files(
    const struct kp_kubeconfig_wishes *wishes, struct kp_kubeconfig_files *files, struct kp_error *err)
{
    const char *list = ask(wishes, "KUBECONFIG");
    if (given(wishes->kubeconfig))
        return kp_kubeconfig_files_add(files, wishes->kubeconfig, false, err);
    if (list)
        return kp_kubeconfig_files_add_list(files, list, err);
    if (!given(wishes->home))
        return KP_OK;
    kp_auto_free char *path = kp_asprintf("%s/.kube/config", wishes->home);
    return kp_kubeconfig_files_add(files, path, true, err);
}

static int load_from(const struct kp_kubeconfig_wishes *wishes, const struct kp_kubeconfig_files *files,
    struct kp_kube_config *config, struct kp_error *err)
{
    struct chosen chosen = {0};
    char names[100];
    int code = choose(wishes, files, &chosen, err);
    if (code < 0)
        return code;
    if (kp_kubeconfig_says_nothing(files))
        code = without_files(wishes, config, err);
    else if (!chosen.cluster.value && !given(wishes->server))
        return kp_fail(err, KP_INVALID,
            "kubeconfig has no current-context; name one with --context (there are: %s)",
            kp_kubeconfig_names(files, KP_KUBECONFIG_CONTEXT, names, sizeof names));
    else
        code = follow(wishes, &chosen, config, err);
    if (code < 0)
        return code;
    if (chosen.namespace)
        replace(&config->namespace, chosen.namespace);
    replace(&config->namespace, wishes->namespace);
    if (!config->namespace)
        config->namespace = kp_strdup("default");
    if (!config->proxy)
        config->proxy = kp_proxy_of_environment(config->server, wishes->env);
    return KP_OK;
}

// Takes the files.
static int load_and_finish(const struct kp_kubeconfig_wishes *wishes, struct kp_kubeconfig_files *files,
    struct kp_kube_config *ret, struct kp_error *err)
{
    struct kp_kube_config config = {0};
    int code = load_from(wishes, files, &config, err);
    kp_kubeconfig_files_finish(files);
    if (code < 0)
        kp_kube_config_finish(&config);
    else
        *ret = config;
    return code;
}

int kp_kubeconfig_load(
    const struct kp_kubeconfig_wishes *wishes, struct kp_kube_config *ret, struct kp_error *err)
{
    struct kp_kubeconfig_files files = {0};
    int code = find_files(wishes, &files, err);
    if (code < 0) {
        kp_kubeconfig_files_finish(&files);
        return code;
    }
    return load_and_finish(wishes, &files, ret, err);
}

// For programs without flags of kubectl's: no last resort, and no words about flags.
static int load_strictly(
    const char *context, struct kp_kubeconfig_files *files, struct kp_kube_config *ret, struct kp_error *err)
{
    const struct kp_kubeconfig_wishes wishes = {.context = context};
    if (!given(context) && !kp_kubeconfig_current(files)) {
        kp_kubeconfig_files_finish(files);
        return kp_fail(err, KP_INVALID, "the kubeconfig has no current-context; name one");
    }
    return load_and_finish(&wishes, files, ret, err);
}

int kp_kube_config_load(
    const char *paths, const char *context, struct kp_kube_config *ret, struct kp_error *err)
{
    struct kp_kubeconfig_files files = {0};
    int code = strchr(paths, ':') ? kp_kubeconfig_files_add_list(&files, paths, err)
                                  : kp_kubeconfig_files_add(&files, paths, false, err);
    if (code == KP_OK && files.n == 0)
        code = kp_fail(err, KP_NOT_FOUND, "no kubeconfig: none of '%s' exists", paths);
    if (code < 0) {
        kp_kubeconfig_files_finish(&files);
        return code;
    }
    return load_strictly(context, &files, ret, err);
}

int kp_kube_config_parse(
    const char *text, size_t len, const char *dir, struct kp_kube_config *ret, struct kp_error *err)
{
    struct kp_kubeconfig_files files = {0};
    int code = kp_yaml_parse(text, len, &files.files[0], err);
    if (code < 0)
        return code;
    files.n = 1;
    files.dirs[0] = kp_strdup(dir);
    return load_strictly(NULL, &files, ret, err);
}
