// What an outside writer may put into a record.
#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "record/record.h"
#include "base/banned.h"

#define YEAR_2000_MS INT64_C(946684800000)
#define YEAR_2200_MS INT64_C(7258118400000)
#define DAY_MS       INT64_C(86400000)

static bool printable(const char *s)
{
    size_t len = strlen(s);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f ||
            (s[i] == '\xc2' && (unsigned char)s[i + 1] < 0xa0)) // U+0080 to U+009F: terminals obey them
            return false;
    return kp_utf8_valid(s, len);
}

static int check_text(const char *what, const char *s, size_t max, struct kp_error *err)
{
    if (s == NULL)
        return 0;
    if (strlen(s) > max)
        return kp_fail(
            err, KP_INVALID, "%s is %zu bytes long, at most %zu are allowed", what, strlen(s), max);
    if (!printable(s))
        return kp_fail(err, KP_INVALID, "%s holds control characters or is not UTF-8", what);
    return 0;
}

static bool name_of(const char *s, const char *more)
{
    if (*s == '\0')
        return false;
    for (; *s; s++) {
        bool alnum = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9');
        if (!alnum && strchr(more, *s) == NULL)
            return false;
    }
    return true;
}

static int check_what(const struct kp_record *r, struct kp_error *err)
{
    if (r->service == NULL || r->service[0] == '\0')
        return kp_fail(err, KP_INVALID, "the service is missing: give service=NAME");
    int rc = check_text("the service", r->service, KP_MAX_SERVICE_NAME, err);
    if (rc != 0)
        return rc;
    if (r->type == NULL || r->type[0] == '\0')
        return kp_fail(err, KP_INVALID, "the profile type is missing: give type=cpu, heap, goroutine ...");
    if (strlen(r->type) > KP_MAX_TYPE_NAME || !name_of(r->type, "_.-"))
        return kp_fail(err, KP_INVALID, "the profile type must be 1 to %d letters, digits, '-', '_' or '.'",
            KP_MAX_TYPE_NAME);
    if (!kp_streq(r->format, "pprof") && !kp_streq(r->format, "trace") && !kp_streq(r->format, "text"))
        return kp_fail(err, KP_INVALID, "the format must be pprof, trace or text");
    return 0;
}

static int check_where(const struct kp_record *r, struct kp_error *err)
{
    const struct {
        const char *what, *value;
        size_t max;
    } rows[] = {
        {"the pod", r->pod, 253},
        {"the pod's uid", r->pod_uid, 63},
        {"the container", r->container, 63},
        {"the container's id", r->container_id, 253},
        {"the node", r->node, 253},
        {"the workload's kind", r->workload_kind, 63},
        {"the workload", r->workload_name, 253},
        {"the revision", r->revision, 253},
        {"the version", r->version, 253},
        {"the image", r->image, 1024},
        {"the image's digest", r->image_digest, 253},
        {"the architecture", r->architecture, 63},
        {"the path", r->path, 1024},
        {"the list of policies", r->policies, 4096},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int rc = check_text(rows[i].what, rows[i].value, rows[i].max, err);
        if (rc != 0)
            return rc;
    }
    if (r->namespace && r->namespace[0] && (strlen(r->namespace) > 63 || !name_of(r->namespace, "-")))
        return kp_fail(err, KP_INVALID, "the namespace is not a Kubernetes name");
    if (r->port > 65535)
        return kp_fail(err, KP_INVALID, "the port %u is past 65535", r->port);
    if (r->key &&
        (strlen(r->key) != KP_CAPTURE_KEY_TEXT - 1 || strspn(r->key, "0123456789abcdef") != strlen(r->key)))
        return kp_fail(err, KP_INVALID, "the capture key must be 32 lower-case hex digits");
    return 0;
}

static int check_when(const struct kp_record *r, struct kp_error *err)
{
    const struct {
        const char *what;
        int64_t value;
    } times[] = {{"slot", r->slot_ms}, {"start", r->start_ms}, {"end", r->end_ms},
        {"container start", r->container_started_ms}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (times[i].value != 0 && (times[i].value < YEAR_2000_MS || times[i].value > YEAR_2200_MS))
            return kp_fail(
                err, KP_INVALID, "the %s time is not between the years 2000 and 2200", times[i].what);
    if (r->end_ms != 0 && (r->start_ms == 0 || r->end_ms < r->start_ms))
        return kp_fail(err, KP_INVALID, "the end time lies before the start time");
    if (r->interval_ms < 0 || r->duration_ms < 0 || r->duration_ms > DAY_MS || r->interval_ms > 400 * DAY_MS)
        return kp_fail(err, KP_INVALID, "the interval or the duration is out of range");
    if (r->retention_ms < 0)
        return kp_fail(err, KP_INVALID, "the retention is negative");
    if (r->sample_k > r->sample_n)
        return kp_fail(err, KP_INVALID, "%u pods sampled of %u", r->sample_k, r->sample_n);
    return 0;
}

static int check_labels(const struct kp_labels *labels, struct kp_error *err)
{
    if (labels == NULL)
        return 0;
    if (labels->n > KP_MAX_LABELS)
        return kp_fail(err, KP_INVALID, "%zu labels, at most %d are allowed", labels->n, KP_MAX_LABELS);
    for (size_t i = 0; i < labels->n; i++) {
        const struct kp_label *l = &labels->items[i];
        if (l->key[0] == '\0' || strlen(l->key) > KP_MAX_LABEL_KEY || !printable(l->key))
            return kp_fail(
                err, KP_INVALID, "label %zu: a key is 1 to %d printable bytes", i + 1, KP_MAX_LABEL_KEY);
        if (strlen(l->value) > KP_MAX_LABEL_VALUE || !printable(l->value)) {
            char key[80];
            return kp_fail(err, KP_INVALID, "label '%s': a value is at most %d printable bytes",
                kp_printable(key, sizeof key, l->key, strlen(l->key)), KP_MAX_LABEL_VALUE);
        }
    }
    return 0;
}

int kp_record_check(const struct kp_record *record, struct kp_error *err)
{
    int rc = check_what(record, err);
    if (rc == 0)
        rc = check_where(record, err);
    if (rc == 0)
        rc = check_when(record, err);
    if (rc == 0)
        rc = check_labels(record->labels, err);
    return rc;
}
