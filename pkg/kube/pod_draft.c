#include "kube/pod_draft.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

#include "base/banned.h"

void kp_pod_draft_start(struct kp_pod_draft *draft)
{
    draft->pod = (struct kp_pod){.phase = KP_POD_UNKNOWN};
    draft->too_many = NULL;
    draft->n_labels = draft->n_annotations = draft->n_containers = draft->n_statuses = draft->n_ports = 0;
}

bool kp_pod_draft_more_labels(struct kp_pod_draft *draft)
{
    if (draft->n_labels < KP_POD_DRAFT_LABELS)
        return true;
    draft->too_many = "more than 1024 labels";
    return false;
}

bool kp_pod_draft_more_annotations(struct kp_pod_draft *draft)
{
    if (draft->n_annotations < KP_POD_DRAFT_LABELS)
        return true;
    draft->too_many = "more than 1024 annotations for us";
    return false;
}

void kp_pod_draft_add_label(struct kp_pod_draft *draft, const char *key, const char *value)
{
    draft->labels[draft->n_labels++] = (struct kp_label){key, value};
}

void kp_pod_draft_add_annotation(struct kp_pod_draft *draft, const char *key, const char *value)
{
    draft->annotations[draft->n_annotations++] = (struct kp_label){key, value};
}

void kp_pod_draft_add_port(struct kp_pod_draft *draft, struct kp_container_draft *container, const char *name,
    int64_t number, bool tcp)
{
    if (number <= 0 || number > UINT16_MAX)
        return;
    if (draft->n_ports == KP_MAX_POD_PORTS) {
        draft->too_many = "more than 256 container ports";
        return;
    }
    draft->ports[draft->n_ports++] = (struct kp_port){name, (uint16_t)number, tcp};
    container->c.n_ports++;
}

void kp_pod_draft_add_container(struct kp_pod_draft *draft, const struct kp_container_draft *container)
{
    if (container->init && !container->sidecar) {
        draft->n_ports = container->first_port;
        return;
    }
    if (draft->n_containers == KP_MAX_POD_CONTAINERS) {
        draft->too_many = "more than 128 containers";
        return;
    }
    draft->containers[draft->n_containers++] = *container;
}

void kp_pod_draft_add_status(struct kp_pod_draft *draft, const struct kp_container_status *status)
{
    // Containers that end at once (init containers) have a status too, so there may be many; those past the
    // limit could only belong to containers past theirs.
    if (draft->n_statuses < KP_POD_DRAFT_STATUSES)
        draft->statuses[draft->n_statuses++] = *status;
}

void kp_pod_draft_set_phase(struct kp_pod_draft *draft, const char *text)
{
    static const struct {
        const char *text;
        enum kp_pod_phase phase;
    } phases[] = {{"Pending", KP_POD_PENDING}, {"Running", KP_POD_RUNNING}, {"Succeeded", KP_POD_SUCCEEDED},
        {"Failed", KP_POD_FAILED}};
    draft->pod.phase = KP_POD_UNKNOWN;
    for (size_t i = 0; i < KP_COUNT(phases); i++) {
        if (strcmp(text, phases[i].text) == 0)
            draft->pod.phase = phases[i].phase;
    }
}

uint32_t kp_pod_draft_restarts(int64_t number)
{
    return number < 0 ? 0 : number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

void kp_pod_draft_add_condition(
    struct kp_pod_draft *draft, const char *type, const char *status, int64_t since_ms)
{
    if (strcmp(type, "Ready") != 0)
        return;
    draft->pod.ready = strcmp(status, "True") == 0;
    draft->pod.ready_since_ms = draft->pod.ready ? since_ms : 0;
}

// ---- the whole ----

static void join_status(struct kp_pod_draft *draft, struct kp_container_draft *c)
{
    for (size_t i = 0; i < draft->n_statuses; i++) {
        const struct kp_container_status *status = &draft->statuses[i];
        if (status->init != c->init || !kp_streq(status->name, c->c.name))
            continue;
        c->c.image_id = status->image_id;
        c->c.container_id = status->container_id;
        c->c.started_ms = status->started_ms;
        c->c.restarts = status->restarts;
        c->c.ready = status->ready;
    }
}

static int check(const struct kp_pod_draft *draft, struct kp_error *err)
{
    const struct kp_pod *pod = &draft->pod;
    if (!pod->namespace || !pod->name || !*pod->namespace || !*pod->name)
        return kp_fail(err, KP_INVALID, "cannot read a pod: it has no name or namespace");
    if (strlen(pod->namespace) > 63 || strlen(pod->name) > 253)
        return kp_fail(err, KP_INVALID, "cannot read a pod: its name or namespace is too long");
    if (draft->too_many)
        return kp_fail(
            err, KP_LIMIT, "cannot take pod '%s/%s': it has %s", pod->namespace, pod->name, draft->too_many);
    return KP_OK;
}

struct kp_pod *kp_pod_draft_build(
    struct kp_pod_draft *draft, char key[512], char rv[64], struct kp_error *err)
{
    struct kp_container containers[KP_MAX_POD_CONTAINERS];
    size_t n = 0;
    if (check(draft, err) < 0)
        return NULL;
    for (int init = 0; init <= 1; init++) {
        for (size_t i = 0; i < draft->n_containers; i++) {
            struct kp_container_draft *c = &draft->containers[i];
            if (c->init != (init == 1))
                continue;
            join_status(draft, c);
            c->c.ports = c->c.n_ports ? draft->ports + c->first_port : NULL;
            containers[n++] = c->c;
        }
    }
    struct kp_pod *pod = &draft->pod;
    pod->labels = draft->labels;
    pod->n_labels = (uint16_t)draft->n_labels;
    pod->annotations = draft->annotations;
    pod->n_annotations = (uint16_t)draft->n_annotations;
    pod->containers = containers;
    pod->n_containers = (uint16_t)n;
    size_t len = strlen(pod->namespace); // at most 63, and 253 of the name: see check
    memcpy(key, pod->namespace, len);
    key[len] = '/';
    kp_copy(key + len + 1, 512 - len - 1, pod->name);
    kp_copy(rv, 64, pod->resource_version ? pod->resource_version : "");
    struct kp_pod *built = kp_pod_build(pod);
    *pod = (struct kp_pod){0}; // it pointed to what is gone now
    return built;
}
