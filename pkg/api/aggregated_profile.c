// A profile as an object, and the schema that kubectl explain shows: from one table of fields.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/aggregated.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/banned.h"

enum kind { TEXT, TIME, SECONDS, NUMBER, SIZE, WORDS, WORKLOAD, OTHER_LABELS };

#define AT(field) offsetof(struct kp_record, field)

static const struct field {
    const char *section, *name;
    enum kind kind;
    size_t offset;
    const char *about;
} fields[] = {
    {"spec", "service", TEXT, AT(service),
        "What was profiled: the workload's name unless a policy says otherwise."},
    {"spec", "type", TEXT, AT(type), "What was measured: cpu, heap, goroutine, mutex, block, ..."},
    {"spec", "format", TEXT, AT(format), "Of the stored bytes: pprof, trace or text."},
    {"spec", "workload", WORKLOAD, 0, "Kind and name of what owns the pod: Deployment/checkout."},
    {"spec", "pod", TEXT, AT(pod), "Name of the pod."},
    {"spec", "podUID", TEXT, AT(pod_uid), "Uid of the pod."},
    {"spec", "container", TEXT, AT(container), "Name of the container."},
    {"spec", "containerID", TEXT, AT(container_id), "Id of the container at its runtime."},
    {"spec", "containerStartTime", TIME, AT(container_started_ms), "When the container was started."},
    {"spec", "node", TEXT, AT(node), "Node the pod ran on."},
    {"spec", "revision", TEXT, AT(revision), "Revision of the workload: its pod-template-hash or its like."},
    {"spec", "version", TEXT, AT(version), "Version, from the label app.kubernetes.io/version."},
    {"spec", "image", TEXT, AT(image), "Image of the container."},
    {"spec", "imageDigest", TEXT, AT(image_digest), "Digest of the image: which build this is."},
    {"spec", "architecture", TEXT, AT(architecture), "Architecture of the node: amd64, arm64."},
    {"spec", "port", NUMBER, AT(port), "Port that was asked."},
    {"spec", "path", TEXT, AT(path), "Path that was asked."},
    {"spec", "startTime", TIME, AT(start_ms), "When the capture began."},
    {"spec", "endTime", TIME, AT(end_ms), "When the capture was over."},
    {"spec", "slotTime", TIME, AT(slot_ms), "When the capture was due."},
    {"spec", "durationSeconds", SECONDS, AT(duration_ms), "How long it was to last."},
    {"spec", "intervalSeconds", SECONDS, AT(interval_ms), "How often such a capture is taken."},
    {"spec", "sampledPods", NUMBER, AT(sample_k),
        "How many of the workload's pods were captured at that time."},
    {"spec", "pods", NUMBER, AT(sample_n), "How many pods the workload had at that time."},
    {"spec", "policies", WORDS, AT(policies),
        "The policies that asked for it, as NAMESPACE/NAME; of a cluster policy /NAME."},
    {"spec", "retentionSeconds", SECONDS, AT(retention_ms),
        "How long it is kept, if not as long as the registry's default."},
    {"spec", "otherLabels", OTHER_LABELS, 0, "Labels that Kubernetes would not take as labels."},
    {"status", "sizeBytes", SIZE, AT(size_bytes), "Size of the profile as it was received."},
    {"status", "receivedTime", TIME, AT(received_ms), "When the registry made it durable."},
};

// ---- fields ----

static const char *text_of(const struct kp_record *r, size_t offset)
{
    return *(char *const *)((const char *)r + offset);
}

static int64_t int_of(const struct kp_record *r, size_t offset)
{
    return *(const int64_t *)(const void *)((const char *)r + offset);
}

static uint32_t count_of(const struct kp_record *r, size_t offset)
{
    return *(const uint32_t *)(const void *)((const char *)r + offset);
}

static int64_t start_of(const struct kp_record *r)
{
    return r->start_ms ? r->start_ms : r->received_ms;
}

static bool is_plain(const struct kp_label *label)
{
    return kp_label_key_valid(label->key) && kp_label_value_valid(label->value);
}

static void add_labels(struct kp_json *j, const char *key, const struct kp_record *r, bool plain)
{
    bool any = false;
    for (size_t i = 0; r->labels && i < r->labels->n; i++)
        any |= is_plain(&r->labels->items[i]) == plain;
    if (!any)
        return;
    kp_json_open(j, key, '{');
    for (size_t i = 0; i < r->labels->n; i++)
        if (is_plain(&r->labels->items[i]) == plain)
            kp_json_text(j, r->labels->items[i].key, r->labels->items[i].value);
    kp_json_close(j, '}');
}

char *kp_agg_workload(const struct kp_record *r)
{
    if (r->workload_name == NULL || r->workload_name[0] == '\0')
        return NULL;
    return kp_asprintf("%s/%s", r->workload_kind ? r->workload_kind : "", r->workload_name);
}

static void add_workload(struct kp_json *j, const char *key, const struct kp_record *r)
{
    kp_auto_free char *text = kp_agg_workload(r);
    kp_json_str(j, key, text);
}

static void add_field(struct kp_json *j, const struct field *f, const struct kp_record *r)
{
    switch (f->kind) {
    case TEXT:
        kp_json_str(j, f->name, text_of(r, f->offset));
        break;
    case TIME:
        kp_json_time(j, f->name, f->offset == AT(start_ms) ? start_of(r) : int_of(r, f->offset));
        break;
    case SECONDS:
        kp_json_seconds(j, f->name, int_of(r, f->offset));
        break;
    case NUMBER:
        if (count_of(r, f->offset) != 0)
            kp_json_int(j, f->name, count_of(r, f->offset));
        break;
    case SIZE:
        kp_json_int(j, f->name, (int64_t)r->size_bytes);
        break;
    case WORDS:
        if (text_of(r, f->offset) && text_of(r, f->offset)[0])
            kp_json_words(j, f->name, text_of(r, f->offset));
        break;
    case WORKLOAD:
        add_workload(j, f->name, r);
        break;
    case OTHER_LABELS:
        add_labels(j, f->name, r, false);
        break;
    }
}

static void add_section(struct kp_json *j, const char *section, const struct kp_record *r)
{
    kp_json_open(j, section, '{');
    for (size_t i = 0; i < KP_COUNT(fields); i++)
        if (kp_streq(fields[i].section, section))
            add_field(j, &fields[i], r);
    kp_json_close(j, '}');
}

// ---- objects ----

// Always the same for the same id: RFC 9562's version 8.
void kp_agg_uid(char out[KP_AGG_UID_TEXT], const char *id)
{
    uint64_t a = kp_hash64_str(id, 1);
    uint64_t b = kp_hash64_str(id, 2);
    snprintf(out, KP_AGG_UID_TEXT, "%08" PRIx64 "-%04" PRIx64 "-8%03" PRIx64 "-%04" PRIx64 "-%012" PRIx64,
        a >> 32, a >> 16 & 0xffff, a & 0xfff, (b >> 48 & 0x3fff) | 0x8000, b & UINT64_C(0xffffffffffff));
}

static void add_metadata(struct kp_json *j, const struct kp_record *r)
{
    char uid[KP_AGG_UID_TEXT];
    char created[KP_TIME_TEXT];
    kp_agg_uid(uid, r->id ? r->id : "");
    kp_json_open(j, "metadata", '{');
    kp_json_text(j, "name", r->id);
    kp_json_str(j, "namespace", r->namespace);
    kp_json_text(j, "uid", uid);
    kp_json_text(j, "resourceVersion", "1"); // it never changes
    kp_json_text(j, "creationTimestamp", kp_time_format(created, r->received_ms));
    add_labels(j, "labels", r, true);
    kp_json_close(j, '}');
}

void kp_agg_object(struct kp_json *j, const char *key, const struct kp_record *r)
{
    kp_json_open(j, key, '{');
    kp_json_text(j, "apiVersion", KP_AGG_API_VERSION);
    kp_json_text(j, "kind", "Profile");
    add_metadata(j, r);
    add_section(j, "spec", r);
    add_section(j, "status", r);
    kp_json_close(j, '}');
}

static const char *meta_version(bool beta)
{
    return beta ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1";
}

void kp_agg_metadata_object(struct kp_json *j, const char *key, const struct kp_record *r, bool beta)
{
    kp_json_open(j, key, '{');
    kp_json_text(j, "apiVersion", meta_version(beta));
    kp_json_text(j, "kind", "PartialObjectMetadata");
    add_metadata(j, r);
    kp_json_close(j, '}');
}

// ---- schema ----

static void add_type(struct kp_json *j, const struct field *f)
{
    bool words = f->kind == WORDS;
    bool map = f->kind == OTHER_LABELS;
    kp_json_text(j, "type",
        words                                  ? "array"
        : map                                  ? "object"
        : f->kind == NUMBER || f->kind == SIZE ? "integer"
        : f->kind == SECONDS                   ? "number"
                                               : "string");
    if (f->kind == TIME)
        kp_json_text(j, "format", "date-time");
    if (!words && !map)
        return;
    kp_json_open(j, words ? "items" : "additionalProperties", '{');
    kp_json_text(j, "type", "string");
    kp_json_close(j, '}');
}

void kp_agg_schema(struct kp_json *j, const char *section)
{
    kp_json_open(j, "properties", '{');
    for (size_t i = 0; i < KP_COUNT(fields); i++) {
        if (!kp_streq(fields[i].section, section))
            continue;
        kp_json_open(j, fields[i].name, '{');
        kp_json_text(j, "description", fields[i].about);
        add_type(j, &fields[i]);
        kp_json_close(j, '}');
    }
    kp_json_close(j, '}');
}
