#include "capture/describe.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_POLICIES_TEXT 4096 // what a record takes; policies beyond are left out

// "docker.io/x/y@sha256:..." -> "sha256:..."; what runtimes without a registry say may hold no digest.
static char *digest_of(const char *image_id)
{
    const char *at = strstr(image_id, "sha256:");
    return at != NULL ? kp_strdup(at) : NULL;
}

static char *filled(const char *text)
{
    return text[0] != '\0' ? kp_strdup(text) : NULL;
}

static char *policies_of(const struct kp_wanted *wanted)
{
    kp_auto_strbuf keys;
    kp_strbuf_init(&keys, MAX_POLICIES_TEXT);
    for (size_t i = 0; i < wanted->n_policies; i++) {
        if (i > 0)
            kp_strbuf_addc(&keys, ',');
        kp_strbuf_adds(&keys, wanted->policies[i]->key);
    }
    return kp_strbuf_take(&keys, NULL);
}

static void describe_pod(const struct kp_target *target, struct kp_record *ret)
{
    const struct kp_pod *pod = target->pod;
    const struct kp_container *container = target->container;
    ret->namespace = kp_strdup(pod->namespace);
    ret->pod = kp_strdup(pod->name);
    ret->pod_uid = kp_strdup(pod->uid);
    ret->node = filled(pod->node);
    ret->workload_kind = kp_strdup(pod->workload_kind);
    ret->workload_name = kp_strdup(pod->workload_name);
    ret->revision = filled(pod->revision);
    ret->version = filled(pod->version);
    ret->container = kp_strdup(container->name);
    ret->container_id = filled(container->container_id);
    ret->container_started_ms = container->started_ms;
    ret->restarts = container->restarts;
    ret->image = filled(container->image);
    ret->image_digest = digest_of(container->image_id);
    ret->port = target->port;
}

void kp_capture_describe(
    const struct kp_order *order, int64_t start_ms, int64_t end_ms, struct kp_record *ret)
{
    const struct kp_wanted *wanted = order->wanted;
    char key[KP_CAPTURE_KEY_TEXT];
    kp_record_init(ret);
    describe_pod(order->target, ret);
    ret->service = kp_strdup(wanted->service);
    ret->type = kp_strdup(wanted->type);
    ret->format = kp_strdup(wanted->opaque ? "trace" : "pprof");
    ret->path = kp_strdup(wanted->path);
    ret->slot_ms = order->slot_ms;
    ret->start_ms = start_ms;
    ret->end_ms = end_ms;
    ret->interval_ms = order->interval_ms;
    ret->duration_ms = order->duration_ms;
    ret->sample_k = order->sample_k;
    ret->sample_n = order->sample_n;
    ret->policies = policies_of(wanted);
    ret->retention_ms = wanted->retention_ms;
    kp_labels_destroy(ret->labels);
    ret->labels = kp_labels_copy(wanted->labels);
    kp_capture_key(key, ret->pod_uid, ret->container, ret->port, ret->path, ret->type, ret->slot_ms);
    ret->key = kp_strdup(key);
}
