// Pods without a JSON tree: one pass over the text picks the fields of struct kp_pod in whatever order they
// come; what the status says of a container is matched to it by name at the end.
#include "kube/reflector.h"

#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "kube/scan.h"
#include "record/pod.h"

#include "base/banned.h"

enum { MAX_LABELS = 1024 };

struct container_draft {
    struct kp_container c;
    size_t first_port;
    bool init, sidecar;
};

struct container_status {
    const char *name, *image_id, *container_id;
    int64_t started_ms;
    uint32_t restarts;
    bool ready, init;
};

struct pod_scan {
    struct kp_scan s;
    struct kp_pod draft;
    KP_ARRAY(struct kp_label) labels;
    KP_ARRAY(struct kp_label) annotations;
    KP_ARRAY(struct container_draft) containers;
    KP_ARRAY(struct container_status) statuses;
    KP_ARRAY(struct kp_port) ports;
    const char *too_many; // what passed its limit: "more than 128 containers"
};

static int64_t scan_time(struct kp_scan *s)
{
    int64_t ms = 0;
    const char *text = kp_scan_string(s);
    if (*text && kp_time_parse(text, &ms, NULL) < 0)
        return 0;
    return ms;
}

// ---- metadata ----

static void scan_labels(struct pod_scan *x)
{
    struct kp_span key;
    if (!kp_scan_enter(&x->s, '{'))
        return;
    while (kp_scan_key(&x->s, &key)) {
        if (x->labels.n == MAX_LABELS) {
            x->too_many = "more than 1024 labels";
            kp_scan_skip(&x->s);
            continue;
        }
        const char *kept = kp_scan_keep(&x->s, key);
        *kp_array_add(&x->labels) = (struct kp_label){kept, kp_scan_string(&x->s)};
    }
}

static void scan_annotations(struct pod_scan *x)
{
    struct kp_span key;
    if (!kp_scan_enter(&x->s, '{'))
        return;
    while (kp_scan_key(&x->s, &key)) {
        if (!kp_pod_keeps_annotation(key.p, key.len)) {
            kp_scan_skip(&x->s);
            continue;
        }
        if (x->annotations.n == MAX_LABELS) {
            x->too_many = "more than 1024 annotations for us";
            kp_scan_skip(&x->s);
            continue;
        }
        const char *kept = kp_scan_keep(&x->s, key);
        *kp_array_add(&x->annotations) = (struct kp_label){kept, kp_scan_string(&x->s)};
    }
}

static void scan_owners(struct pod_scan *x)
{
    if (!kp_scan_enter(&x->s, '['))
        return;
    while (kp_scan_item(&x->s)) {
        struct kp_span key;
        const char *kind = "";
        const char *name = "";
        bool controller = false;
        if (!kp_scan_enter(&x->s, '{'))
            continue;
        while (kp_scan_key(&x->s, &key)) {
            if (kp_span_is(key, "kind"))
                kind = kp_scan_string(&x->s);
            else if (kp_span_is(key, "name"))
                name = kp_scan_string(&x->s);
            else if (kp_span_is(key, "controller"))
                controller = kp_scan_bool(&x->s);
            else
                kp_scan_skip(&x->s);
        }
        if (controller) {
            x->draft.owner_kind = kind;
            x->draft.owner_name = name;
        }
    }
}

static void scan_deletion(struct pod_scan *x)
{
    x->draft.deleting = !kp_scan_is_null(&x->s);
    kp_scan_skip(&x->s);
}

static void scan_metadata(struct pod_scan *x)
{
    struct kp_span key;
    if (!kp_scan_enter(&x->s, '{'))
        return;
    while (kp_scan_key(&x->s, &key)) {
        if (kp_span_is(key, "namespace"))
            x->draft.namespace = kp_scan_string(&x->s);
        else if (kp_span_is(key, "name"))
            x->draft.name = kp_scan_string(&x->s);
        else if (kp_span_is(key, "uid"))
            x->draft.uid = kp_scan_string(&x->s);
        else if (kp_span_is(key, "resourceVersion"))
            x->draft.resource_version = kp_scan_string(&x->s);
        else if (kp_span_is(key, "creationTimestamp"))
            x->draft.created_ms = scan_time(&x->s);
        else if (kp_span_is(key, "deletionTimestamp"))
            scan_deletion(x);
        else if (kp_span_is(key, "labels"))
            scan_labels(x);
        else if (kp_span_is(key, "annotations"))
            scan_annotations(x);
        else if (kp_span_is(key, "ownerReferences"))
            scan_owners(x);
        else
            kp_scan_skip(&x->s);
    }
}

// ---- spec ----

static void scan_port(struct pod_scan *x, struct container_draft *c)
{
    struct kp_span key;
    struct kp_port port = {"", 0, true};
    if (!kp_scan_enter(&x->s, '{'))
        return;
    while (kp_scan_key(&x->s, &key)) {
        if (kp_span_is(key, "name")) {
            port.name = kp_scan_string(&x->s);
        } else if (kp_span_is(key, "containerPort")) {
            int64_t v = kp_scan_int(&x->s);
            port.number = v > 0 && v <= UINT16_MAX ? (uint16_t)v : 0;
        } else if (kp_span_is(key, "protocol")) {
            const char *protocol = kp_scan_string(&x->s);
            port.tcp = *protocol == '\0' || strcmp(protocol, "TCP") == 0;
        } else {
            kp_scan_skip(&x->s);
        }
    }
    if (port.number == 0)
        return;
    if (x->ports.n == KP_MAX_POD_PORTS) {
        x->too_many = "more than 256 container ports";
        return;
    }
    *kp_array_add(&x->ports) = port;
    c->c.n_ports++;
}

static void scan_container(struct pod_scan *x, bool init)
{
    struct kp_span key;
    struct container_draft c = {.init = init, .first_port = x->ports.n};
    if (!kp_scan_enter(&x->s, '{'))
        return;
    while (kp_scan_key(&x->s, &key)) {
        if (kp_span_is(key, "name")) {
            c.c.name = kp_scan_string(&x->s);
        } else if (kp_span_is(key, "image")) {
            c.c.image = kp_scan_string(&x->s);
        } else if (kp_span_is(key, "restartPolicy")) {
            c.sidecar = strcmp(kp_scan_string(&x->s), "Always") == 0;
        } else if (kp_span_is(key, "ports")) {
            x->ports.n = c.first_port;
            c.c.n_ports = 0;
            if (!kp_scan_enter(&x->s, '['))
                continue;
            while (kp_scan_item(&x->s))
                scan_port(x, &c);
        } else {
            kp_scan_skip(&x->s);
        }
    }
    if (init && !c.sidecar) {
        x->ports.n = c.first_port;
        return;
    }
    if (x->containers.n == KP_MAX_POD_CONTAINERS) {
        x->too_many = "more than 128 containers";
        return;
    }
    *kp_array_add(&x->containers) = c;
}

static void scan_containers(struct pod_scan *x, bool init)
{
    if (!kp_scan_enter(&x->s, '['))
        return;
    while (kp_scan_item(&x->s))
        scan_container(x, init);
}

static void scan_spec(struct pod_scan *x)
{
    struct kp_span key;
    if (!kp_scan_enter(&x->s, '{'))
        return;
    while (kp_scan_key(&x->s, &key)) {
        if (kp_span_is(key, "nodeName"))
            x->draft.node = kp_scan_string(&x->s);
        else if (kp_span_is(key, "hostNetwork"))
            x->draft.host_network = kp_scan_bool(&x->s);
        else if (kp_span_is(key, "containers"))
            scan_containers(x, false);
        else if (kp_span_is(key, "initContainers"))
            scan_containers(x, true);
        else
            kp_scan_skip(&x->s);
    }
}

// ---- status ----

static void scan_state(struct pod_scan *x, struct container_status *status)
{
    struct kp_span key;
    if (!kp_scan_enter(&x->s, '{'))
        return;
    while (kp_scan_key(&x->s, &key)) {
        if (!kp_span_is(key, "running")) {
            kp_scan_skip(&x->s);
            continue;
        }
        if (!kp_scan_enter(&x->s, '{'))
            continue;
        while (kp_scan_key(&x->s, &key)) {
            if (kp_span_is(key, "startedAt"))
                status->started_ms = scan_time(&x->s);
            else
                kp_scan_skip(&x->s);
        }
    }
}

static void scan_container_status(struct pod_scan *x, bool init)
{
    struct kp_span key;
    struct container_status status = {.name = "", .init = init};
    if (!kp_scan_enter(&x->s, '{'))
        return;
    while (kp_scan_key(&x->s, &key)) {
        if (kp_span_is(key, "name")) {
            status.name = kp_scan_string(&x->s);
        } else if (kp_span_is(key, "imageID")) {
            status.image_id = kp_scan_string(&x->s);
        } else if (kp_span_is(key, "containerID")) {
            status.container_id = kp_scan_string(&x->s);
        } else if (kp_span_is(key, "restartCount")) {
            int64_t v = kp_scan_int(&x->s);
            status.restarts = v < 0 ? 0 : v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
        } else if (kp_span_is(key, "ready")) {
            status.ready = kp_scan_bool(&x->s);
        } else if (kp_span_is(key, "state")) {
            scan_state(x, &status);
        } else {
            kp_scan_skip(&x->s);
        }
    }
    // Containers that end at once (init containers) have a status too, so there may be many; those past the
    // limit could only belong to containers past theirs.
    if (x->statuses.n < 4 * KP_MAX_POD_CONTAINERS)
        *kp_array_add(&x->statuses) = status;
}

static void scan_statuses(struct pod_scan *x, bool init)
{
    if (!kp_scan_enter(&x->s, '['))
        return;
    while (kp_scan_item(&x->s))
        scan_container_status(x, init);
}

static void scan_conditions(struct pod_scan *x)
{
    if (!kp_scan_enter(&x->s, '['))
        return;
    while (kp_scan_item(&x->s)) {
        struct kp_span key;
        const char *type = "";
        const char *status = "";
        int64_t since_ms = 0;
        if (!kp_scan_enter(&x->s, '{'))
            continue;
        while (kp_scan_key(&x->s, &key)) {
            if (kp_span_is(key, "type"))
                type = kp_scan_string(&x->s);
            else if (kp_span_is(key, "status"))
                status = kp_scan_string(&x->s);
            else if (kp_span_is(key, "lastTransitionTime"))
                since_ms = scan_time(&x->s);
            else
                kp_scan_skip(&x->s);
        }
        if (strcmp(type, "Ready") == 0) {
            x->draft.ready = strcmp(status, "True") == 0;
            x->draft.ready_since_ms = x->draft.ready ? since_ms : 0;
        }
    }
}

static enum kp_pod_phase phase_of(const char *text)
{
    static const struct {
        const char *text;
        enum kp_pod_phase phase;
    } phases[] = {{"Pending", KP_POD_PENDING}, {"Running", KP_POD_RUNNING}, {"Succeeded", KP_POD_SUCCEEDED},
        {"Failed", KP_POD_FAILED}};
    for (size_t i = 0; i < KP_COUNT(phases); i++) {
        if (strcmp(text, phases[i].text) == 0)
            return phases[i].phase;
    }
    return KP_POD_UNKNOWN;
}

// Of the addresses the one that is not the first: a pod has at most two, one of each family.
static void scan_addresses(struct pod_scan *x, const char **other)
{
    size_t n = 0;
    if (!kp_scan_enter(&x->s, '['))
        return;
    while (kp_scan_item(&x->s)) {
        struct kp_span key;
        if (!kp_scan_enter(&x->s, '{'))
            continue;
        while (kp_scan_key(&x->s, &key)) {
            if (!kp_span_is(key, "ip"))
                kp_scan_skip(&x->s);
            else if (n++ == 0)
                kp_scan_string(&x->s);
            else
                *other = kp_scan_string(&x->s);
        }
    }
}

static void scan_status(struct pod_scan *x)
{
    struct kp_span key;
    if (!kp_scan_enter(&x->s, '{'))
        return;
    while (kp_scan_key(&x->s, &key)) {
        if (kp_span_is(key, "phase"))
            x->draft.phase = phase_of(kp_scan_string(&x->s));
        else if (kp_span_is(key, "podIP"))
            x->draft.ip = kp_scan_string(&x->s);
        else if (kp_span_is(key, "hostIP"))
            x->draft.host_ip = kp_scan_string(&x->s);
        else if (kp_span_is(key, "podIPs"))
            scan_addresses(x, &x->draft.other_ip);
        else if (kp_span_is(key, "hostIPs"))
            scan_addresses(x, &x->draft.other_host_ip);
        else if (kp_span_is(key, "conditions"))
            scan_conditions(x);
        else if (kp_span_is(key, "containerStatuses"))
            scan_statuses(x, false);
        else if (kp_span_is(key, "initContainerStatuses"))
            scan_statuses(x, true);
        else
            kp_scan_skip(&x->s);
    }
}

// ---- the whole ----

static void scan_pod(struct pod_scan *x)
{
    struct kp_span key;
    if (!kp_scan_enter(&x->s, '{'))
        return;
    while (kp_scan_key(&x->s, &key)) {
        if (kp_span_is(key, "metadata"))
            scan_metadata(x);
        else if (kp_span_is(key, "spec"))
            scan_spec(x);
        else if (kp_span_is(key, "status"))
            scan_status(x);
        else
            kp_scan_skip(&x->s);
    }
}

static void join_status(struct pod_scan *x, struct container_draft *c)
{
    for (size_t i = 0; i < x->statuses.n; i++) {
        const struct container_status *status = &x->statuses.items[i];
        if (status->init != c->init || !kp_streq(status->name, c->c.name))
            continue;
        c->c.image_id = status->image_id;
        c->c.container_id = status->container_id;
        c->c.started_ms = status->started_ms;
        c->c.restarts = status->restarts;
        c->c.ready = status->ready;
    }
}

static struct kp_pod *build(struct pod_scan *x)
{
    struct kp_container containers[KP_MAX_POD_CONTAINERS];
    size_t n = 0;
    for (int init = 0; init <= 1; init++) {
        for (size_t i = 0; i < x->containers.n; i++) {
            struct container_draft *c = &x->containers.items[i];
            if (c->init != (init == 1))
                continue;
            join_status(x, c);
            c->c.ports = c->c.n_ports ? x->ports.items + c->first_port : NULL;
            containers[n++] = c->c;
        }
    }
    x->draft.labels = x->labels.items;
    x->draft.n_labels = (uint16_t)x->labels.n;
    x->draft.annotations = x->annotations.items;
    x->draft.n_annotations = (uint16_t)x->annotations.n;
    x->draft.containers = containers;
    x->draft.n_containers = (uint16_t)n;
    return kp_pod_build(&x->draft);
}

static int check(const struct pod_scan *x, struct kp_error *err)
{
    const struct kp_pod *draft = &x->draft;
    if (x->s.bad_why)
        return kp_fail(err, KP_INVALID, "cannot read a pod: %s", x->s.bad_why);
    if (!draft->namespace || !draft->name || !*draft->namespace || !*draft->name)
        return kp_fail(err, KP_INVALID, "cannot read a pod: it has no name or namespace");
    if (strlen(draft->namespace) > 63 || strlen(draft->name) > 253)
        return kp_fail(err, KP_INVALID, "cannot read a pod: its name or namespace is too long");
    if (x->too_many)
        return kp_fail(
            err, KP_LIMIT, "cannot take pod '%s/%s': it has %s", draft->namespace, draft->name, x->too_many);
    return KP_OK;
}

static void pod_scan_finish(struct pod_scan *x)
{
    kp_array_free(&x->labels);
    kp_array_free(&x->annotations);
    kp_array_free(&x->containers);
    kp_array_free(&x->statuses);
    kp_array_free(&x->ports);
    kp_scan_finish(&x->s);
}

void *kp_decode_pod(
    void *user, const char *json, size_t len, char key[512], char rv[64], struct kp_error *err)
{
    (void)user;
    struct kp_pod *pod = NULL;
    struct pod_scan x;
    memset(&x.draft, 0, sizeof x - offsetof(struct pod_scan, draft)); // not the scanner's 4 KiB
    x.draft.phase = KP_POD_UNKNOWN;
    kp_scan_init(&x.s, json, len);
    scan_pod(&x);
    if (check(&x, err) == KP_OK) {
        snprintf(key, 512, "%s/%s", x.draft.namespace, x.draft.name);
        kp_copy(rv, 64, x.draft.resource_version ? x.draft.resource_version : "");
        pod = build(&x);
    }
    pod_scan_finish(&x);
    return pod;
}

void kp_unref_pod(void *value)
{
    kp_pod_unref(value);
}
