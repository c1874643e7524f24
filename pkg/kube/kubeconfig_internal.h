// What the parts of the kubeconfig reader share. Internal to kube.
#ifndef KP_KUBE_KUBECONFIG_INTERNAL_H
#define KP_KUBE_KUBECONFIG_INTERNAL_H

#include <jansson.h>
#include <stddef.h>

#include "kube/kubeconfig.h"

enum { KP_KUBECONFIG_FILES = 32 };

// Files as JSON values, first file first: it wins.
struct kp_kubeconfig_files {
    size_t n;
    json_t *files[KP_KUBECONFIG_FILES];
    char *dirs[KP_KUBECONFIG_FILES]; // relative paths start there
};
void kp_kubeconfig_files_finish(struct kp_kubeconfig_files *files);
KP_MUST_CHECK int kp_kubeconfig_files_add(
    struct kp_kubeconfig_files *files, const char *path, bool may_be_missing, struct kp_error *err);
// A colon-separated list; missing ones are skipped, and none at all is fine.
KP_MUST_CHECK int kp_kubeconfig_files_add_list(
    struct kp_kubeconfig_files *files, const char *paths, struct kp_error *err);

enum kp_kubeconfig_kind { KP_KUBECONFIG_CONTEXT, KP_KUBECONFIG_CLUSTER, KP_KUBECONFIG_USER };

struct kp_kubeconfig_entry {
    const json_t *value; // NULL = not found
    const char *dir;
};
// The first file that has an entry of that name gives the whole of it.
struct kp_kubeconfig_entry kp_kubeconfig_find(
    const struct kp_kubeconfig_files *files, enum kp_kubeconfig_kind kind, const char *name);
const char *kp_kubeconfig_current(const struct kp_kubeconfig_files *files); // NULL = none
bool kp_kubeconfig_says_nothing(const struct kp_kubeconfig_files *files);
// "a, b, c" for messages; cut.
const char *kp_kubeconfig_names(
    const struct kp_kubeconfig_files *files, enum kp_kubeconfig_kind kind, char *out, size_t size);

// Into config, which must hold nothing of theirs yet.
KP_MUST_CHECK int kp_kubeconfig_read_cluster(
    const struct kp_kubeconfig_entry *entry, struct kp_kube_config *config, struct kp_error *err);
KP_MUST_CHECK int kp_kubeconfig_read_user(
    const struct kp_kubeconfig_entry *entry, struct kp_kube_config *config, struct kp_error *err);
KP_MUST_CHECK int kp_kubeconfig_read_exec(
    const json_t *exec, const char *dir, struct kp_kube_exec **ret, struct kp_error *err);
// exec->cluster_info, once everything about the cluster is settled. extensions: of the cluster's entry.
KP_MUST_CHECK int kp_kubeconfig_tell_plugin(
    struct kp_kube_config *config, const json_t *cluster, struct kp_error *err);

#endif
