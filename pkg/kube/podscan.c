// Pods without a JSON tree: one pass over the text picks the fields of struct kp_pod in whatever order they
// come.
#include "kube/reflector.h"

#include <string.h>

#include "base/clock.h"
#include "kube/pod_draft.h"
#include "kube/scan.h"

#include "base/banned.h"

struct pod_scan {
    struct kp_pod_draft draft;
    struct kp_scan s;
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
        if (!kp_pod_draft_more_labels(&x->draft)) {
            kp_scan_skip(&x->s);
            continue;
        }
        const char *kept = kp_scan_keep(&x->s, key);
        kp_pod_draft_add_label(&x->draft, kept, kp_scan_string(&x->s));
    }
}

static void scan_annotations(struct pod_scan *x)
{
    struct kp_span key;
    if (!kp_scan_enter(&x->s, '{'))
        return;
    while (kp_scan_key(&x->s, &key)) {
        if (!kp_pod_keeps_annotation(key.p, key.len) || !kp_pod_draft_more_annotations(&x->draft)) {
            kp_scan_skip(&x->s);
            continue;
        }
        const char *kept = kp_scan_keep(&x->s, key);
        kp_pod_draft_add_annotation(&x->draft, kept, kp_scan_string(&x->s));
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
            x->draft.pod.owner_kind = kind;
            x->draft.pod.owner_name = name;
        }
    }
}

static void scan_deletion(struct pod_scan *x)
{
    x->draft.pod.deleting = !kp_scan_is_null(&x->s);
    kp_scan_skip(&x->s);
}

static void scan_metadata(struct pod_scan *x)
{
    struct kp_span key;
    if (!kp_scan_enter(&x->s, '{'))
        return;
    while (kp_scan_key(&x->s, &key)) {
        if (kp_span_is(key, "namespace"))
            x->draft.pod.namespace = kp_scan_string(&x->s);
        else if (kp_span_is(key, "name"))
            x->draft.pod.name = kp_scan_string(&x->s);
        else if (kp_span_is(key, "uid"))
            x->draft.pod.uid = kp_scan_string(&x->s);
        else if (kp_span_is(key, "resourceVersion"))
            x->draft.pod.resource_version = kp_scan_string(&x->s);
        else if (kp_span_is(key, "creationTimestamp"))
            x->draft.pod.created_ms = scan_time(&x->s);
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

static void scan_port(struct pod_scan *x, struct kp_container_draft *c)
{
    struct kp_span key;
    const char *name = "";
    const char *protocol = "";
    int64_t number = 0;
    if (!kp_scan_enter(&x->s, '{'))
        return;
    while (kp_scan_key(&x->s, &key)) {
        if (kp_span_is(key, "name"))
            name = kp_scan_string(&x->s);
        else if (kp_span_is(key, "containerPort"))
            number = kp_scan_int(&x->s);
        else if (kp_span_is(key, "protocol"))
            protocol = kp_scan_string(&x->s);
        else
            kp_scan_skip(&x->s);
    }
    kp_pod_draft_add_port(&x->draft, c, name, number, *protocol == '\0' || strcmp(protocol, "TCP") == 0);
}

static void scan_container(struct pod_scan *x, bool init)
{
    struct kp_span key;
    struct kp_container_draft c = {.init = init, .first_port = x->draft.n_ports};
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
            x->draft.n_ports = c.first_port;
            c.c.n_ports = 0;
            if (!kp_scan_enter(&x->s, '['))
                continue;
            while (kp_scan_item(&x->s))
                scan_port(x, &c);
        } else {
            kp_scan_skip(&x->s);
        }
    }
    kp_pod_draft_add_container(&x->draft, &c);
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
            x->draft.pod.node = kp_scan_string(&x->s);
        else if (kp_span_is(key, "hostNetwork"))
            x->draft.pod.host_network = kp_scan_bool(&x->s);
        else if (kp_span_is(key, "containers"))
            scan_containers(x, false);
        else if (kp_span_is(key, "initContainers"))
            scan_containers(x, true);
        else
            kp_scan_skip(&x->s);
    }
}

// ---- status ----

static void scan_state(struct pod_scan *x, struct kp_container_status *status)
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
    struct kp_container_status status = {.name = "", .init = init};
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
            status.restarts = kp_pod_draft_restarts(kp_scan_int(&x->s));
        } else if (kp_span_is(key, "ready")) {
            status.ready = kp_scan_bool(&x->s);
        } else if (kp_span_is(key, "state")) {
            scan_state(x, &status);
        } else {
            kp_scan_skip(&x->s);
        }
    }
    kp_pod_draft_add_status(&x->draft, &status);
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
        kp_pod_draft_add_condition(&x->draft, type, status, since_ms);
    }
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
            kp_pod_draft_set_phase(&x->draft, kp_scan_string(&x->s));
        else if (kp_span_is(key, "podIP"))
            x->draft.pod.ip = kp_scan_string(&x->s);
        else if (kp_span_is(key, "hostIP"))
            x->draft.pod.host_ip = kp_scan_string(&x->s);
        else if (kp_span_is(key, "podIPs"))
            scan_addresses(x, &x->draft.pod.other_ip);
        else if (kp_span_is(key, "hostIPs"))
            scan_addresses(x, &x->draft.pod.other_host_ip);
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

void *kp_decode_pod(
    void *user, const char *json, size_t len, char key[512], char rv[64], struct kp_error *err)
{
    (void)user;
    struct kp_pod *pod = NULL;
    struct pod_scan x;
    kp_pod_draft_start(&x.draft);
    kp_scan_init(&x.s, json, len);
    scan_pod(&x);
    if (x.s.bad_why)
        kp_fail(err, KP_INVALID, "cannot read a pod: %s", x.s.bad_why);
    else
        pod = kp_pod_draft_build(&x.draft, key, rv, err);
    kp_scan_finish(&x.s);
    return pod;
}

void kp_unref_pod(void *value)
{
    kp_pod_unref(value);
}
