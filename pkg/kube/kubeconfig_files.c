// The files of a kubeconfig, and what is found in them by name.
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "kube/kubeconfig_internal.h"
#include "kube/yaml.h"

#include "base/banned.h"

enum { MAX_FILE = 4 * KP_MIB };

static const struct {
    const char *list, *inner;
} kinds[] = {
    [KP_KUBECONFIG_CONTEXT] = {"contexts", "context"},
    [KP_KUBECONFIG_CLUSTER] = {"clusters", "cluster"},
    [KP_KUBECONFIG_USER] = {"users", "user"},
};

void kp_kubeconfig_files_finish(struct kp_kubeconfig_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        json_decref(files->files[i]);
        kp_free(files->dirs[i]);
    }
    files->n = 0;
}

int kp_kubeconfig_files_add(
    struct kp_kubeconfig_files *files, const char *path, bool may_be_missing, struct kp_error *err)
{
    kp_auto_free char *text = NULL;
    size_t len = 0;
    struct kp_error own = {0};
    if (files->n == KP_KUBECONFIG_FILES)
        return kp_fail(err, KP_LIMIT, "more than %d kubeconfig files", KP_KUBECONFIG_FILES);
    int code = kp_file_read(path, MAX_FILE, &text, &len, &own);
    if (code == KP_NOT_FOUND && may_be_missing)
        return KP_OK;
    if (code == KP_OK)
        code = kp_yaml_parse(text, len, &files->files[files->n], &own);
    if (code < 0)
        return kp_fail(err, own.code, "cannot read kubeconfig '%s': %s", path, own.text);
    if (!json_is_object(files->files[files->n]) && !json_is_null(files->files[files->n])) {
        json_decref(files->files[files->n]);
        return kp_fail(err, KP_INVALID, "cannot read kubeconfig '%s': it is not a map", path);
    }
    const char *slash = strrchr(path, '/');
    files->dirs[files->n++] = slash ? kp_strndup(path, (size_t)(slash - path)) : kp_strdup(".");
    return KP_OK;
}

int kp_kubeconfig_files_add_list(struct kp_kubeconfig_files *files, const char *paths, struct kp_error *err)
{
    for (const char *p = paths; *p;) {
        size_t n = strcspn(p, ":");
        if (n > 0) {
            kp_auto_free char *path = kp_strndup(p, n);
            int code = kp_kubeconfig_files_add(files, path, true, err);
            if (code < 0)
                return code;
        }
        p += n + (p[n] == ':');
    }
    return KP_OK;
}

struct kp_kubeconfig_entry kp_kubeconfig_find(
    const struct kp_kubeconfig_files *files, enum kp_kubeconfig_kind kind, const char *name)
{
    for (size_t i = 0; i < files->n; i++) {
        size_t index;
        json_t *item;
        json_array_foreach(json_object_get(files->files[i], kinds[kind].list), index, item)
        {
            const char *its = json_string_value(json_object_get(item, "name"));
            if (its && strcmp(its, name) == 0)
                return (struct kp_kubeconfig_entry){json_object_get(item, kinds[kind].inner), files->dirs[i]};
        }
    }
    return (struct kp_kubeconfig_entry){NULL, NULL};
}

const char *kp_kubeconfig_current(const struct kp_kubeconfig_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        const char *name = json_string_value(json_object_get(files->files[i], "current-context"));
        if (name && *name)
            return name;
    }
    return NULL;
}

bool kp_kubeconfig_says_nothing(const struct kp_kubeconfig_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        for (size_t k = 0; k < KP_COUNT(kinds); k++) {
            if (json_array_size(json_object_get(files->files[i], kinds[k].list)) > 0)
                return false;
        }
    }
    return kp_kubeconfig_current(files) == NULL;
}

const char *kp_kubeconfig_names(
    const struct kp_kubeconfig_files *files, enum kp_kubeconfig_kind kind, char *out, size_t size)
{
    kp_auto_strbuf names;
    kp_strbuf_init(&names, 64 * KP_KIB);
    for (size_t i = 0; i < files->n; i++) {
        size_t index;
        json_t *item;
        json_array_foreach(json_object_get(files->files[i], kinds[kind].list), index, item)
        {
            const char *name = json_string_value(json_object_get(item, "name"));
            if (name)
                kp_strbuf_addf(&names, "%s%s", names.len > 0 ? ", " : "", name);
        }
    }
    return kp_printable(out, size, names.data, names.len);
}
