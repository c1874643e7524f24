#include "api/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/outcome.h"
#include "base/banned.h"

static void lead(struct kp_json *j, const char *key)
{
    if (j->comma)
        kp_strbuf_addc(j->out, ',');
    j->comma = true;
    if (key) {
        kp_strbuf_add_json(j->out, key);
        kp_strbuf_addc(j->out, ':');
    }
}

void kp_json_open(struct kp_json *j, const char *key, char bracket)
{
    lead(j, key);
    kp_strbuf_addc(j->out, bracket);
    j->comma = false;
}

void kp_json_close(struct kp_json *j, char bracket)
{
    kp_strbuf_addc(j->out, bracket);
    j->comma = true;
}

void kp_json_text(struct kp_json *j, const char *key, const char *value)
{
    lead(j, key);
    kp_strbuf_add_json(j->out, value ? value : "");
}

void kp_json_str(struct kp_json *j, const char *key, const char *value)
{
    if (value && value[0])
        kp_json_text(j, key, value);
}

void kp_json_int(struct kp_json *j, const char *key, int64_t value)
{
    lead(j, key);
    kp_strbuf_addf(j->out, "%" PRId64, value);
}

void kp_json_number(struct kp_json *j, const char *key, double value)
{
    lead(j, key);
    if (!isfinite(value))
        kp_strbuf_adds(j->out, "null");
    else
        kp_strbuf_addf(j->out, "%.15g", value);
}

void kp_json_bool(struct kp_json *j, const char *key, bool value)
{
    lead(j, key);
    kp_strbuf_adds(j->out, value ? "true" : "false");
}

void kp_json_time(struct kp_json *j, const char *key, int64_t ms)
{
    char text[KP_TIME_TEXT];
    if (ms == 0)
        return;
    kp_time_format_micro(text, ms); // ...:00.123456Z
    size_t len = strlen(text);
    if (len > 4)
        memmove(text + len - 4, "Z", 2);
    kp_json_text(j, key, text);
}

void kp_json_seconds(struct kp_json *j, const char *key, int64_t ms)
{
    if (ms == 0)
        return;
    lead(j, key);
    kp_strbuf_addf(j->out, "%" PRId64, ms / 1000);
    if (ms % 1000 != 0)
        kp_strbuf_addf(j->out, ".%03" PRId64, ms % 1000 < 0 ? -(ms % 1000) : ms % 1000);
}

void kp_json_words(struct kp_json *j, const char *key, const char *words)
{
    kp_json_open(j, key, '[');
    for (const char *p = words ? words : ""; *p;) {
        size_t len = strcspn(p, ",");
        kp_auto_free char *word = kp_strndup(p, len);
        kp_json_str(j, NULL, word);
        p += len + (p[len] == ',');
    }
    kp_json_close(j, ']');
}

static void labels(struct kp_json *j, const struct kp_labels *set)
{
    kp_json_open(j, "labels", '{');
    for (size_t i = 0; set && i < set->n; i++)
        kp_json_text(j, set->items[i].key, set->items[i].value);
    kp_json_close(j, '}');
}

static void workload(struct kp_json *j, const struct kp_record *r)
{
    if (r->workload_name && r->workload_name[0]) {
        kp_auto_free char *text =
            kp_asprintf("%s/%s", r->workload_kind ? r->workload_kind : "", r->workload_name);
        kp_json_text(j, "workload", text);
    }
}

static void where_from(struct kp_json *j, const struct kp_record *r)
{
    kp_json_str(j, "pod", r->pod);
    kp_json_str(j, "podUID", r->pod_uid);
    kp_json_str(j, "container", r->container);
    kp_json_str(j, "containerID", r->container_id);
    kp_json_time(j, "containerStartTime", r->container_started_ms);
    if (r->pod)
        kp_json_int(j, "restarts", r->restarts);
    kp_json_str(j, "node", r->node);
    workload(j, r);
    kp_json_str(j, "revision", r->revision);
    kp_json_str(j, "version", r->version);
    kp_json_str(j, "image", r->image);
    kp_json_str(j, "imageDigest", r->image_digest);
    kp_json_str(j, "architecture", r->architecture);
    if (r->port != 0)
        kp_json_int(j, "port", r->port);
    kp_json_str(j, "path", r->path);
}

void kp_json_record(struct kp_json *j, const struct kp_record *r)
{
    kp_json_open(j, NULL, '{');
    kp_json_text(j, "id", r->id);
    kp_json_text(j, "namespace", r->namespace);
    kp_json_text(j, "service", r->service);
    kp_json_text(j, "type", r->type);
    kp_json_str(j, "format", r->format);
    where_from(j, r);
    kp_json_time(j, "startTime", r->start_ms ? r->start_ms : r->received_ms);
    kp_json_time(j, "endTime", r->end_ms);
    kp_json_time(j, "slotTime", r->slot_ms);
    kp_json_time(j, "receivedTime", r->received_ms);
    kp_json_seconds(j, "intervalSeconds", r->interval_ms);
    kp_json_seconds(j, "durationSeconds", r->duration_ms);
    if (r->sample_n != 0) {
        kp_json_int(j, "sampledPods", r->sample_k);
        kp_json_int(j, "pods", r->sample_n);
    }
    if (r->policies && r->policies[0])
        kp_json_words(j, "policies", r->policies);
    kp_json_seconds(j, "retentionSeconds", r->retention_ms);
    kp_json_str(j, "key", r->key);
    kp_json_int(j, "sizeBytes", (int64_t)r->size_bytes);
    labels(j, r->labels);
    kp_json_close(j, '}');
}

static void profile_state(struct kp_json *j, const struct kp_profile_state *p)
{
    kp_json_open(j, NULL, '{');
    kp_json_text(j, "type", p->type);
    kp_json_seconds(j, "intervalSeconds", p->interval_ms);
    kp_json_seconds(j, "durationSeconds", p->duration_ms);
    kp_json_time(j, "nextTime", p->next_ms);
    kp_json_time(j, "lastTime", p->last_ms);
    kp_json_time(j, "lastSuccessTime", p->last_success_ms);
    if (p->last_outcome != KP_OUTCOME_NONE)
        kp_json_str(j, "lastResult", kp_outcome_info(p->last_outcome)->name);
    kp_json_str(j, "message", p->message);
    kp_json_close(j, '}');
}

void kp_json_target(
    struct kp_json *j, const char *namespace, int64_t time_ms, const struct kp_target_state *t)
{
    kp_json_open(j, NULL, '{');
    kp_json_text(j, "namespace", namespace);
    kp_json_text(j, "pod", t->pod);
    kp_json_str(j, "podUID", t->pod_uid);
    kp_json_str(j, "node", t->node);
    kp_json_str(j, "container", t->container);
    if (t->port != 0)
        kp_json_int(j, "port", t->port);
    kp_json_str(j, "workload", t->workload);
    kp_json_str(j, "service", t->service);
    kp_json_words(j, "policies", t->policies);
    kp_json_bool(j, "sampled", t->sampled);
    kp_json_str(j, "leftOutReason", t->left_out_reason);
    kp_json_str(j, "message", t->message);
    kp_json_open(j, "profiles", '[');
    for (size_t i = 0; i < t->profiles.n; i++)
        profile_state(j, &t->profiles.items[i]);
    kp_json_close(j, ']');
    kp_json_time(j, "time", time_ms); // when the controller said so
    kp_json_close(j, '}');
}
