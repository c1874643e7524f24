// control-plane capture: the API server itself, kubelets through it, and the components that are static pods
// (kubeadm's way), by port-forward with the caller's own credentials. Files are named control-plane_NAME_...
// where there is no pod.
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "cli/captures.h"
#include "cli/command.h"
#include "cli/endpoints.h"
#include "cli/pods.h"
#include "base/banned.h"

#define NAMESPACE    "control-plane"
#define MAX_KUBELETS 20 // unless named

struct component {
    const char *name, *container; // "apiserver", "kube-apiserver": also the label component of kubeadm's pods
    int port;
    int (*add)(struct kp_cli *cli, const struct component *component, const char *which,
        struct kp_captures *captures, struct kp_error *err);
};

static int add_through_server(struct kp_cli *cli, const struct component *component, const char *name,
    const char *prefix, struct kp_captures *captures, struct kp_error *err)
{
    struct kp_target *target = NULL;
    int rc = kp_endpoints_make(
        cli, NULL, NAMESPACE, name, component->container, component->port, false, &target, err);
    if (rc == 0)
        kp_captures_add(captures, target, prefix, false);
    kp_target_unref(target);
    return rc;
}

static int add_apiserver(struct kp_cli *cli, const struct component *component, const char *which,
    struct kp_captures *captures, struct kp_error *err)
{
    (void)which;
    return add_through_server(cli, component, component->container, "", captures, err);
}

static int add_kubelet(struct kp_cli *cli, const struct component *component, const char *node,
    struct kp_captures *captures, struct kp_error *err)
{
    kp_auto_free char *prefix = kp_asprintf("/api/v1/nodes/%s/proxy", node);
    return add_through_server(cli, component, node, prefix, captures, err);
}

static int add_kubelets(struct kp_cli *cli, const struct component *component, const char *which,
    struct kp_captures *captures, struct kp_error *err)
{
    if (which != NULL && !kp_kube_name_valid(which))
        return kp_cli_usage(cli, err, "'%.60s' is no name of a node", which);
    if (which != NULL)
        return add_kubelet(cli, component, which, captures, err);
    json_t *nodes = NULL;
    int rc = kp_session_json(cli, "GET", "/api/v1/nodes", NULL, &nodes, err);
    const json_t *items = json_object_get(nodes, "items");
    if (rc == 0 && json_array_size(items) > MAX_KUBELETS)
        rc = kp_fail(
            err, KP_LIMIT, "there are %zu nodes; name those you mean: kubelet/NODE", json_array_size(items));
    for (size_t i = 0; rc == 0 && i < json_array_size(items); i++) {
        const char *name =
            json_string_value(json_object_get(json_object_get(json_array_get(items, i), "metadata"), "name"));
        if (name && kp_kube_name_valid(name))
            rc = add_kubelet(cli, component, name, captures, err);
    }
    json_decref(nodes);
    return rc;
}

// Static pods only, so that our token goes to no stranger. Anybody who may make pods here can name a node as
// the owner of one, but no kubelet runs what has the annotation of a mirror and is in no file of its own, and
// no API server lets the annotation be added later.
static bool is_static(void *user, const struct kp_pod *pod)
{
    struct kp_cli *cli = user;
    bool is_mirror = kp_pod_annotation(pod, KP_POD_MIRROR) != NULL;
    bool is_of_its_node = kp_streq(pod->owner_kind, "Node") && kp_streq(pod->owner_name, pod->node);
    if (is_mirror && is_of_its_node && pod->node[0] != '\0')
        return true;
    kp_cli_note(
        cli, "%s/%s is no static pod, so it is not shown your credentials", pod->namespace, pod->name);
    return false;
}

static int add_static_pods(struct kp_cli *cli, const struct component *component, const char *which,
    struct kp_captures *captures, struct kp_error *err)
{
    struct kp_pods pods = {0};
    if (cli->session->config.as != NULL)
        return kp_fail(err, KP_INVALID,
            "%s: it is shown your own credentials, which cannot act as '%.60s': only the API server knows "
            "impersonation",
            component->name, cli->session->config.as);
    kp_auto_free char *selector = kp_asprintf("component=%s", component->container);
    (void)which;
    int rc = kp_pods_list(cli, "kube-system", selector, is_static, cli, &pods, err);
    if (rc == 0 && pods.items.n == 0)
        rc = kp_fail(err, KP_NOT_FOUND,
            "%s: no static pod with %s in kube-system: a managed control plane, or one that runs as a "
            "service, is not to be seen from here",
            component->name, selector);
    for (size_t i = 0; rc == 0 && i < pods.items.n; i++) {
        struct kp_target *target = NULL;
        rc = kp_endpoints_make(cli, pods.items.items[i], NAMESPACE, pods.items.items[i]->name,
            component->container, component->port, true, &target, err);
        if (rc == 0)
            kp_captures_add(captures, target, NULL, true);
        kp_target_unref(target);
    }
    kp_pods_finish(&pods);
    return rc;
}

static const struct component components[] = {
    {"apiserver", "kube-apiserver", 443, add_apiserver},
    {"controller-manager", "kube-controller-manager", 10257, add_static_pods},
    {"scheduler", "kube-scheduler", 10259, add_static_pods},
    {"etcd", "etcd", 2379, add_static_pods},
    {"kubelet", "kubelet", 10250, add_kubelets},
};

// Those that were not named may be missing: managed control planes hide most of them. What keeps several from
// being found (no right to list pods) is told once.
static int add_all(struct kp_cli *cli, struct kp_captures *captures, struct kp_error *err)
{
    struct kp_error told = {0};
    for (size_t i = 0; i < KP_COUNT(components); i++) {
        struct kp_error one = {0};
        int rc = components[i].add(cli, &components[i], NULL, captures, &one);
        if (rc == KP_CANCELED || cli->is_usage_wrong)
            return kp_cli_pass(err, &one);
        if (rc != 0 && !kp_streq(one.text, told.text))
            kp_cli_note(cli, "%s", one.text);
        if (rc != 0)
            told = one;
    }
    return 0;
}

static int add_named(struct kp_cli *cli, const char *text, struct kp_captures *captures, struct kp_error *err)
{
    size_t len = strcspn(text, "/");
    const char *which = text[len] ? text + len + 1 : NULL;
    for (size_t i = 0; i < KP_COUNT(components); i++)
        if (strlen(components[i].name) == len && strncmp(components[i].name, text, len) == 0)
            return components[i].add(cli, &components[i], which, captures, err);
    return kp_cli_usage(cli, err,
        "'%.60s' is no component: apiserver, controller-manager, scheduler, etcd, kubelet or kubelet/NODE",
        text);
}

int kp_cli_control_plane(struct kp_cli *cli, struct kp_error *err)
{
    struct kp_captures *captures = NULL;
    int rc = kp_endpoints_check(cli, err);
    if (rc == 0)
        rc = kp_session_connect(cli, err);
    if (rc == 0)
        rc = kp_captures_create(cli, &captures, err);
    if (rc == 0 && cli->n_args == 0)
        rc = add_all(cli, captures, err);
    for (size_t i = 0; rc == 0 && i < cli->n_args; i++) {
        struct kp_error one = {0};
        rc = add_named(cli, cli->args[i], captures, &one);
        if (rc == KP_CANCELED || cli->is_usage_wrong)
            return kp_captures_destroy(captures), kp_cli_pass(err, &one);
        if (rc != 0)
            kp_cli_complain(cli, &one);
        rc = 0;
    }
    if (rc == 0)
        rc = kp_captures_run(captures, err);
    kp_captures_destroy(captures);
    return rc;
}
