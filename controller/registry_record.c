// Descriptions of profiles as lines of JSON: records.jsonl of an export.
#include <jansson.h>
#include <string.h>

#include "api/json.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "controller/registry_tools.h"
#include "base/banned.h"

void kp_tool_write_record(struct kp_strbuf *out, const struct kp_record *record, const char *file)
{
    struct kp_json j = {.out = out};
    kp_json_open(&j, NULL, '{');
    kp_json_text(&j, "file", file);
    kp_json_close(&j, '}');
    out->len--; // the description goes on where the file's name ends
    size_t at = out->len;
    kp_strbuf_addc(out, ',');
    j.comma = false;
    kp_json_record(&j, record);
    memmove(out->data + at + 1, out->data + at + 2, out->len - at - 1); // its opening bracket
    out->len--;
    kp_strbuf_addc(out, '\n');
}

enum kind { TEXT, TIME, SECONDS, NUMBER };

static const struct field {
    const char *name;
    enum kind kind;
    size_t offset;
} fields[] = {
    {"namespace", TEXT, offsetof(struct kp_record, namespace)},
    {"service", TEXT, offsetof(struct kp_record, service)},
    {"type", TEXT, offsetof(struct kp_record, type)},
    {"format", TEXT, offsetof(struct kp_record, format)},
    {"pod", TEXT, offsetof(struct kp_record, pod)},
    {"podUID", TEXT, offsetof(struct kp_record, pod_uid)},
    {"container", TEXT, offsetof(struct kp_record, container)},
    {"containerID", TEXT, offsetof(struct kp_record, container_id)},
    {"containerStartTime", TIME, offsetof(struct kp_record, container_started_ms)},
    {"restarts", NUMBER, offsetof(struct kp_record, restarts)},
    {"node", TEXT, offsetof(struct kp_record, node)},
    {"revision", TEXT, offsetof(struct kp_record, revision)},
    {"version", TEXT, offsetof(struct kp_record, version)},
    {"image", TEXT, offsetof(struct kp_record, image)},
    {"imageDigest", TEXT, offsetof(struct kp_record, image_digest)},
    {"architecture", TEXT, offsetof(struct kp_record, architecture)},
    {"port", NUMBER, offsetof(struct kp_record, port)},
    {"path", TEXT, offsetof(struct kp_record, path)},
    {"startTime", TIME, offsetof(struct kp_record, start_ms)},
    {"endTime", TIME, offsetof(struct kp_record, end_ms)},
    {"slotTime", TIME, offsetof(struct kp_record, slot_ms)},
    {"intervalSeconds", SECONDS, offsetof(struct kp_record, interval_ms)},
    {"durationSeconds", SECONDS, offsetof(struct kp_record, duration_ms)},
    {"sampledPods", NUMBER, offsetof(struct kp_record, sample_k)},
    {"pods", NUMBER, offsetof(struct kp_record, sample_n)},
    {"retentionSeconds", SECONDS, offsetof(struct kp_record, retention_ms)},
    {"key", TEXT, offsetof(struct kp_record, key)},
};

static int read_field(const struct field *f, const json_t *value, void *to, struct kp_error *err)
{
    double number = json_number_value(value);
    switch (f->kind) {
    case TEXT:
        if (!json_is_string(value))
            break;
        if (json_string_length(value) > 0) // none is written for one that is empty
            *(char **)to = kp_strdup(json_string_value(value));
        return 0;
    case TIME:
        if (!json_is_string(value))
            break;
        return kp_time_parse(json_string_value(value), to, err);
    case SECONDS:
        if (!json_is_number(value) || !(number >= 0 && number < 1e12))
            break;
        *(int64_t *)to = (int64_t)(number * 1000 + 0.5);
        return 0;
    case NUMBER:
        if (!json_is_integer(value) || !(number >= 0 && number <= UINT32_MAX))
            break;
        *(uint32_t *)to = (uint32_t)number;
        return 0;
    }
    return kp_fail(err, KP_INVALID, "'%s' is not what it should be", f->name);
}

// "Deployment/checkout"
static void read_workload(const json_t *object, struct kp_record *ret)
{
    const char *text = json_string_value(json_object_get(object, "workload"));
    const char *slash = text ? strchr(text, '/') : NULL;
    if (slash == NULL)
        return;
    ret->workload_kind = kp_strndup(text, (size_t)(slash - text));
    ret->workload_name = kp_strdup(slash + 1);
}

static void read_policies(const json_t *object, struct kp_record *ret)
{
    const json_t *list = json_object_get(object, "policies");
    struct kp_strbuf text;
    kp_strbuf_init(&text, KP_MAX_RECORD_BYTES);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        kp_strbuf_adds(&text, text.len > 0 ? "," : "");
        kp_strbuf_adds(&text, name ? name : "");
    }
    if (text.len > 0)
        ret->policies = kp_strbuf_take(&text, NULL);
    kp_strbuf_finish(&text);
}

static void read_labels(json_t *object, struct kp_record *ret)
{
    KP_ARRAY(struct kp_label) labels = {0};
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(object, "labels"), key, value) if (json_is_string(value)) *
        kp_array_add(&labels) = (struct kp_label){key, json_string_value(value)};
    ret->labels = kp_labels_create(labels.items, labels.n);
    kp_array_free(&labels);
}

static int read_object(json_t *object, struct kp_record *ret, struct kp_error *err)
{
    for (size_t i = 0; i < KP_COUNT(fields); i++) {
        const json_t *value = json_object_get(object, fields[i].name);
        if (value && read_field(&fields[i], value, (char *)ret + fields[i].offset, err) != 0)
            return kp_wrap(err, "%s", fields[i].name);
    }
    read_workload(object, ret);
    read_policies(object, ret);
    read_labels(object, ret);
    if (ret->format == NULL)
        ret->format = kp_strdup("pprof");
    return kp_record_check(ret, err);
}

int kp_tool_read_record(const char *line, struct kp_record *ret, char **ret_file, struct kp_error *err)
{
    json_error_t why;
    kp_record_init(ret);
    *ret_file = NULL;
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &why);
    if (object == NULL)
        return kp_fail(err, KP_INVALID, "it is not JSON: %s", why.text);
    int rc = read_object(object, ret, err);
    const char *file = json_string_value(json_object_get(object, "file"));
    if (rc == 0 && (file == NULL || file[0] == '\0' || strchr(file, '/')))
        rc = kp_fail(err, KP_INVALID, "'file' is not the name of a file beside it");
    if (rc == 0)
        *ret_file = kp_strdup(file);
    json_decref(object);
    return rc;
}
