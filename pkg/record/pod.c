// One pod as one heap block: the struct, its arrays, then the bytes of its strings. Nothing in it changes
// after kp_pod_build(), so that jobs may read a pod while the loop thread replaces it in the cache.
#include "record/pod.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#include "base/banned.h"

static const char *const kept_prefixes[] = {
    "kube-pprof.dev/", "profefe.com/", "profiles.grafana.com/", "pyroscope.io/", "coroot.com/"};

bool kp_pod_keeps_annotation(const char *key, size_t len)
{
    for (size_t i = 0; i < KP_COUNT(kept_prefixes); i++) {
        size_t n = strlen(kept_prefixes[i]);
        if (len > n && memcmp(key, kept_prefixes[i], n) == 0)
            return true;
    }
    return len == sizeof KP_POD_MIRROR - 1 && memcmp(key, KP_POD_MIRROR, len) == 0;
}

// ---- the block ----

static size_t text_size(const char *s)
{
    return s && *s ? strlen(s) + 1 : 0;
}

static size_t labels_size(const struct kp_label *labels, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += strlen(labels[i].key) + 1 + text_size(labels[i].value);
    return size;
}

static size_t containers_size(const struct kp_pod *draft, size_t *ret_ports)
{
    size_t size = 0;
    *ret_ports = 0;
    for (size_t i = 0; i < draft->n_containers; i++) {
        const struct kp_container *c = &draft->containers[i];
        size +=
            text_size(c->name) + text_size(c->image) + text_size(c->image_id) + text_size(c->container_id);
        for (size_t j = 0; j < c->n_ports; j++)
            size += text_size(c->ports[j].name);
        *ret_ports += c->n_ports;
    }
    return size;
}

struct derived {
    const char *kind, *name;
    size_t name_len;
    const char *revision, *version;
};

static const char *draft_label(const struct kp_pod *draft, const char *key)
{
    const char *found = "";
    for (size_t i = 0; i < draft->n_labels; i++) {
        if (strcmp(draft->labels[i].key, key) == 0)
            found = draft->labels[i].value ? draft->labels[i].value : "";
    }
    return found;
}

static const char *first_label(const struct kp_pod *draft, const char *a, const char *b)
{
    const char *value = draft_label(draft, a);
    return *value ? value : draft_label(draft, b);
}

// Length of name without "-suffix"; 0 if it does not end so.
static size_t strip_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name);
    size_t m = strlen(suffix);
    if (m == 0 || n < m + 2 || name[n - m - 1] != '-' || strcmp(name + n - m, suffix) != 0)
        return 0;
    return n - m - 1;
}

// A CronJob names its Jobs NAME-<scheduled time in minutes since 1970>, 8 digits since 1989.
static size_t strip_schedule(const char *name)
{
    size_t n = strlen(name);
    size_t digits = 0;
    while (digits < n && name[n - 1 - digits] >= '0' && name[n - 1 - digits] <= '9')
        digits++;
    if (digits < 8 || n < digits + 2 || name[n - digits - 1] != '-')
        return 0;
    return n - digits - 1;
}

static void derive(const struct kp_pod *draft, struct derived *out)
{
    const char *kind = draft->owner_kind && *draft->owner_kind ? draft->owner_kind : "Pod";
    bool owned = draft->owner_name && *draft->owner_name;
    const char *name = owned ? draft->owner_name : draft->name ? draft->name : "";
    const char *template_hash = draft_label(draft, "pod-template-hash");
    const char *rollout_hash = draft_label(draft, "rollouts-pod-template-hash");
    size_t len = 0;
    *out = (struct derived){.kind = owned ? kind : "Pod", .name = name};
    if (owned && strcmp(kind, "ReplicaSet") == 0) {
        if ((len = strip_suffix(name, template_hash)) > 0)
            out->kind = "Deployment";
        else if ((len = strip_suffix(name, rollout_hash)) > 0)
            out->kind = "Rollout";
    } else if (owned && strcmp(kind, "Job") == 0) {
        if ((len = strip_schedule(name)) > 0)
            out->kind = "CronJob";
    } else if (owned && strcmp(kind, "Node") == 0) {
        // The kubelet's mirror of a static pod: POD-NODE. The same file on several nodes is one workload.
        out->kind = "StaticPod";
        out->name = draft->name ? draft->name : "";
        len = strip_suffix(out->name, draft->owner_name);
    }
    out->name_len = len > 0 ? len : strlen(out->name);
    out->revision = *template_hash
                        ? template_hash
                        : first_label(draft, "controller-revision-hash", "rollouts-pod-template-hash");
    out->version = first_label(draft, "app.kubernetes.io/version", "version");
}

struct cursor {
    char *text;
};

static const char *put(struct cursor *at, const char *s, size_t len)
{
    char *to = at->text;
    if (len == 0)
        return "";
    memcpy(to, s, len);
    to[len] = '\0';
    at->text += len + 1;
    return to;
}

static const char *put_text(struct cursor *at, const char *s)
{
    return s ? put(at, s, strlen(s)) : "";
}

// Keys were copied in the order they came: of a key that comes twice the later one has the higher address.
static int compare_labels(const void *a, const void *b)
{
    const struct kp_label *x = a;
    const struct kp_label *y = b;
    int order = strcmp(x->key, y->key);
    if (order != 0)
        return order;
    return x->key < y->key ? -1 : x->key > y->key;
}

static uint16_t put_labels(struct cursor *at, struct kp_label *to, const struct kp_label *from, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(from[i].key);
        memcpy(at->text, from[i].key, len + 1);
        to[i].key = at->text;
        at->text += len + 1;
        to[i].value = put_text(at, from[i].value);
    }
    if (n > 1)
        qsort(to, n, sizeof *to, compare_labels);
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && strcmp(to[i].key, to[i + 1].key) == 0)
            continue;
        to[kept++] = to[i];
    }
    return (uint16_t)kept;
}

static void put_containers(
    struct cursor *at, struct kp_container *to, struct kp_port *ports, const struct kp_pod *draft)
{
    for (size_t i = 0; i < draft->n_containers; i++) {
        const struct kp_container *from = &draft->containers[i];
        to[i] = *from;
        to[i].name = put_text(at, from->name);
        to[i].image = put_text(at, from->image);
        to[i].image_id = put_text(at, from->image_id);
        to[i].container_id = put_text(at, from->container_id);
        to[i].ports = ports;
        for (size_t j = 0; j < from->n_ports; j++) {
            *ports = from->ports[j];
            ports->name = put_text(at, from->ports[j].name);
            ports++;
        }
    }
}

static void put_strings(struct cursor *at, struct kp_pod *pod, const struct derived *d)
{
    pod->namespace = put_text(at, pod->namespace);
    pod->name = put_text(at, pod->name);
    pod->uid = put_text(at, pod->uid);
    pod->resource_version = put_text(at, pod->resource_version);
    pod->node = put_text(at, pod->node);
    pod->ip = put_text(at, pod->ip);
    pod->host_ip = put_text(at, pod->host_ip);
    pod->other_ip = put_text(at, pod->other_ip);
    pod->other_host_ip = put_text(at, pod->other_host_ip);
    pod->owner_kind = put_text(at, pod->owner_kind);
    pod->owner_name = put_text(at, pod->owner_name);
    pod->workload_kind = put_text(at, d->kind);
    pod->workload_name = put(at, d->name, d->name_len);
    pod->revision = put_text(at, d->revision);
    pod->version = put_text(at, d->version);
}

static size_t strings_size(const struct kp_pod *draft, const struct derived *d)
{
    return text_size(draft->namespace) + text_size(draft->name) + text_size(draft->uid) +
           text_size(draft->resource_version) + text_size(draft->node) + text_size(draft->ip) +
           text_size(draft->host_ip) + text_size(draft->other_ip) + text_size(draft->other_host_ip) +
           text_size(draft->owner_kind) + text_size(draft->owner_name) + text_size(d->kind) + d->name_len +
           1 + text_size(d->revision) + text_size(d->version);
}

struct kp_pod *kp_pod_build(const struct kp_pod *draft)
{
    struct derived d;
    size_t n_ports = 0;
    derive(draft, &d);
    size_t n_labels = (size_t)draft->n_labels + draft->n_annotations;
    size_t text = strings_size(draft, &d) + containers_size(draft, &n_ports) +
                  labels_size(draft->labels, draft->n_labels) +
                  labels_size(draft->annotations, draft->n_annotations);
    size_t arrays = draft->n_containers * sizeof(struct kp_container) + n_ports * sizeof(struct kp_port) +
                    n_labels * sizeof(struct kp_label);
    struct kp_pod *pod = kp_alloc(sizeof *pod + arrays + text);
    struct kp_container *containers = (struct kp_container *)(pod + 1);
    struct kp_port *ports = (struct kp_port *)(containers + draft->n_containers);
    struct kp_label *labels = (struct kp_label *)(ports + n_ports);
    struct cursor at = {(char *)(labels + n_labels)};
    *pod = *draft;
    pod->refs = 1;
    pod->containers = containers;
    pod->labels = labels;
    pod->annotations = labels + draft->n_labels;
    put_strings(&at, pod, &d);
    put_containers(&at, containers, ports, draft);
    pod->n_labels = put_labels(&at, pod->labels, draft->labels, draft->n_labels);
    pod->n_annotations = put_labels(&at, pod->annotations, draft->annotations, draft->n_annotations);
    return pod;
}

// A reference is bookkeeping, not a change: callers hold the pod const.
static struct kp_pod *mutable_pod(const struct kp_pod *pod)
{
    union {
        const struct kp_pod *in;
        struct kp_pod *out;
    } u = {.in = pod};
    return u.out;
}

struct kp_pod *kp_pod_ref(const struct kp_pod *pod)
{
    struct kp_pod *p = mutable_pod(pod);
    __atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
    return p;
}

void kp_pod_unref(const struct kp_pod *pod)
{
    if (!pod)
        return;
    struct kp_pod *p = mutable_pod(pod);
    if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) == 0)
        kp_free(p);
}

// ---- looking things up ----

static const char *find(const struct kp_label *labels, size_t n, const char *key)
{
    size_t low = 0;
    while (low < n) {
        size_t middle = low + (n - low) / 2;
        int order = strcmp(labels[middle].key, key);
        if (order == 0)
            return labels[middle].value;
        if (order < 0)
            low = middle + 1;
        else
            n = middle;
    }
    return NULL;
}

const char *kp_pod_label(const struct kp_pod *pod, const char *key)
{
    return find(pod->labels, pod->n_labels, key);
}

const char *kp_pod_annotation(const struct kp_pod *pod, const char *key)
{
    return find(pod->annotations, pod->n_annotations, key);
}

const char *kp_pod_label_lookup(const void *pod, const char *key)
{
    return kp_pod_label(pod, key);
}

// ---- comparing ----

static bool same_labels(const struct kp_label *a, size_t n_a, const struct kp_label *b, size_t n_b)
{
    if (n_a != n_b)
        return false;
    for (size_t i = 0; i < n_a; i++) {
        if (strcmp(a[i].key, b[i].key) != 0 || strcmp(a[i].value, b[i].value) != 0)
            return false;
    }
    return true;
}

static bool same_container(const struct kp_container *a, const struct kp_container *b)
{
    if (strcmp(a->name, b->name) != 0 || strcmp(a->image, b->image) != 0 ||
        strcmp(a->image_id, b->image_id) != 0 || strcmp(a->container_id, b->container_id) != 0 ||
        a->started_ms != b->started_ms || a->restarts != b->restarts || a->ready != b->ready ||
        a->n_ports != b->n_ports)
        return false;
    for (size_t i = 0; i < a->n_ports; i++) {
        const struct kp_port *x = &a->ports[i];
        const struct kp_port *y = &b->ports[i];
        if (strcmp(x->name, y->name) != 0 || x->number != y->number || x->tcp != y->tcp)
            return false;
    }
    return true;
}

static bool same_strings(const struct kp_pod *a, const struct kp_pod *b)
{
    return strcmp(a->uid, b->uid) == 0 && strcmp(a->namespace, b->namespace) == 0 &&
           strcmp(a->name, b->name) == 0 && strcmp(a->node, b->node) == 0 && strcmp(a->ip, b->ip) == 0 &&
           strcmp(a->host_ip, b->host_ip) == 0 && strcmp(a->other_ip, b->other_ip) == 0 &&
           strcmp(a->other_host_ip, b->other_host_ip) == 0 && strcmp(a->owner_kind, b->owner_kind) == 0 &&
           strcmp(a->owner_name, b->owner_name) == 0;
}

bool kp_pod_same(const struct kp_pod *a, const struct kp_pod *b)
{
    if (a == b)
        return true;
    if (a->phase != b->phase || a->ready != b->ready || a->deleting != b->deleting ||
        a->host_network != b->host_network || a->created_ms != b->created_ms ||
        a->ready_since_ms != b->ready_since_ms || a->n_containers != b->n_containers || !same_strings(a, b) ||
        !same_labels(a->labels, a->n_labels, b->labels, b->n_labels) ||
        !same_labels(a->annotations, a->n_annotations, b->annotations, b->n_annotations))
        return false;
    for (size_t i = 0; i < a->n_containers; i++) {
        if (!same_container(&a->containers[i], &b->containers[i]))
            return false;
    }
    return true;
}
