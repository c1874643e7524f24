// Profiles as rows of a Table, which kubectl prints as it comes.
#include <inttypes.h>
#include <stdio.h>

#include "api/aggregated.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/banned.h"

enum kind { TEXT, WORKLOAD, SIZE, DURATION, AGE, STARTED };

#define AT(field) offsetof(struct kp_record, field)

static const struct column {
    const char *name, *format;
    enum kind kind;
    size_t offset;
    int priority; // above 0: with -o wide only
    const char *about;
} columns[] = {
    {"Name", "name", TEXT, AT(id), 0, "Id of the profile: newer ones sort behind older ones."},
    {"Service", "", TEXT, AT(service), 0, "What was profiled."},
    {"Type", "", TEXT, AT(type), 0, "What was measured."},
    {"Pod", "", TEXT, AT(pod), 0, "Name of the pod."},
    {"Size", "", SIZE, 0, 0, "Size of the profile as it was received."},
    {"Duration", "", DURATION, 0, 0, "How long the capture lasted."},
    {"Age", "", AGE, 0, 0, "Time since the capture began."},
    {"Container", "", TEXT, AT(container), 1, "Name of the container."},
    {"Node", "", TEXT, AT(node), 1, "Node the pod ran on."},
    {"Workload", "", WORKLOAD, 0, 1, "Kind and name of what owns the pod."},
    {"Revision", "", TEXT, AT(revision), 1, "Revision of the workload."},
    {"Started", "", STARTED, 0, 1, "When the capture began."},
};

void kp_agg_columns(struct kp_json *j)
{
    kp_json_open(j, "columnDefinitions", '[');
    for (size_t i = 0; i < KP_COUNT(columns); i++) {
        kp_json_open(j, NULL, '{');
        kp_json_text(j, "name", columns[i].name);
        kp_json_text(j, "type", "string");
        kp_json_text(j, "format", columns[i].format);
        kp_json_text(j, "description", columns[i].about);
        kp_json_int(j, "priority", columns[i].priority);
        kp_json_close(j, '}');
    }
    kp_json_close(j, ']');
}

// ---- cells ----

const char *kp_agg_age(char out[KP_AGG_AGE_TEXT], int64_t ms)
{
    int64_t s = ms > 0 ? ms / 1000 : 0;
    int64_t m = s / 60;
    int64_t h = m / 60;
    int64_t d = h / 24;
    if (s < 120)
        snprintf(out, KP_AGG_AGE_TEXT, "%" PRId64 "s", s);
    else if (m < 10 && s % 60 != 0)
        snprintf(out, KP_AGG_AGE_TEXT, "%" PRId64 "m%" PRId64 "s", m, s % 60);
    else if (m < 180)
        snprintf(out, KP_AGG_AGE_TEXT, "%" PRId64 "m", m);
    else if (h < 8 && m % 60 != 0)
        snprintf(out, KP_AGG_AGE_TEXT, "%" PRId64 "h%" PRId64 "m", h, m % 60);
    else if (h < 48)
        snprintf(out, KP_AGG_AGE_TEXT, "%" PRId64 "h", h);
    else if (d < 8 && h % 24 != 0)
        snprintf(out, KP_AGG_AGE_TEXT, "%" PRId64 "d%" PRId64 "h", d, h % 24);
    else if (d < 2 * 365)
        snprintf(out, KP_AGG_AGE_TEXT, "%" PRId64 "d", d);
    else
        snprintf(out, KP_AGG_AGE_TEXT, "%" PRId64 "y%" PRId64 "d", d / 365, d % 365);
    return out;
}

static void size_text(char *out, size_t size, uint64_t bytes)
{
    static const char *const units[] = {"", "Ki", "Mi", "Gi"};
    size_t unit = 0;
    double value = (double)bytes;
    for (; value >= 1024 && unit + 1 < KP_COUNT(units); unit++)
        value /= 1024;
    snprintf(out, size, "%.*f%s", unit > 0 && value < 10 ? 1 : 0, value, units[unit]);
}

static void duration_text(char *out, size_t size, int64_t ms)
{
    char age[KP_AGG_AGE_TEXT];
    if (ms >= 1000)
        kp_copy(out, size, kp_agg_age(age, ms));
    else if (ms > 0)
        snprintf(out, size, "%" PRId64 "ms", ms);
}

static void add_cell(struct kp_json *j, const struct column *c, const struct kp_record *r, int64_t now_ms)
{
    int64_t start_ms = r->start_ms ? r->start_ms : r->received_ms;
    kp_auto_free char *workload = NULL;
    char text[64] = "";
    const char *shown = text;
    switch (c->kind) {
    case TEXT:
        shown = *(char *const *)((const char *)r + c->offset);
        break;
    case WORKLOAD:
        workload = kp_agg_workload(r);
        shown = workload;
        break;
    case SIZE:
        size_text(text, sizeof text, r->size_bytes);
        break;
    case DURATION:
        duration_text(text, sizeof text, r->end_ms > start_ms ? r->end_ms - start_ms : r->duration_ms);
        break;
    case AGE:
        kp_agg_age(text, now_ms - start_ms);
        break;
    case STARTED:
        kp_time_format(text, start_ms);
        break;
    }
    kp_json_text(j, NULL, shown);
}

void kp_agg_row(
    struct kp_json *j, const struct kp_record *record, int64_t now_ms, const char *include, bool beta)
{
    kp_json_open(j, NULL, '{');
    kp_json_open(j, "cells", '[');
    for (size_t i = 0; i < KP_COUNT(columns); i++)
        add_cell(j, &columns[i], record, now_ms);
    kp_json_close(j, ']');
    if (kp_streq(include, "Object"))
        kp_agg_object(j, "object", record);
    else if (!kp_streq(include, "None"))
        kp_agg_metadata_object(j, "object", record, beta);
    kp_json_close(j, '}');
}
