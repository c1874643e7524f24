#include "status/builder.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/banned.h"

static const char *const words[] = {"Unknown", "True", "False"};

// ---- taking over ----

static int64_t time_of(const json_t *object, const char *key)
{
    int64_t ms = 0;
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL && kp_time_parse(text, &ms, NULL) == 0 ? ms : 0;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

// What is to come yet was written before the clock was set back: it must not stand until then.
static int64_t later_by(int64_t now_ms, int64_t a, int64_t b)
{
    return a > now_ms + KP_STATUS_AHEAD_MS ? b : later(a, b);
}

static void adopt_condition(struct kp_policy_status *status, const json_t *condition)
{
    const char *type = json_string_value(json_object_get(condition, "type"));
    const char *value = json_string_value(json_object_get(condition, "status"));
    const char *reason = json_string_value(json_object_get(condition, "reason"));
    const char *message = json_string_value(json_object_get(condition, "message"));
    for (int i = 0; i < KP_COND_COUNT; i++) {
        if (!kp_streq(type, kp_condition_name((enum kp_condition)i)))
            continue;
        struct kp_condition_state *state = &status->conditions[i];
        for (int w = 0; w < 3; w++)
            if (kp_streq(value, words[w]))
                state->status = (enum kp_condition_status)w;
        kp_copy(state->reason, sizeof state->reason, reason != NULL ? reason : "");
        kp_copy(state->message, sizeof state->message, message != NULL ? message : "");
        state->since_ms = time_of(condition, "lastTransitionTime");
    }
}

static struct kp_type_counts *counts_of(struct kp_policy_status *status, const char *type)
{
    for (size_t i = 0; i < status->n_types; i++)
        if (strcmp(status->types[i].type, type) == 0)
            return &status->types[i];
    return NULL;
}

void kp_policy_status_adopt(struct kp_policy_status *status, const json_t *object)
{
    const json_t *old = json_object_get(object, "status");
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(old, "conditions"), i, item) adopt_condition(status, item);
    status->last_capture_ms = later(status->last_capture_ms, time_of(old, "lastCaptureTime"));
    json_array_foreach(json_object_get(old, "profiles"), i, item)
    {
        const char *type = json_string_value(json_object_get(item, "type"));
        struct kp_type_counts *counts = type != NULL ? counts_of(status, type) : NULL;
        const char *result = json_string_value(json_object_get(item, "lastResult"));
        if (counts == NULL)
            continue;
        counts->last_success_ms = later(counts->last_success_ms, time_of(item, "lastSuccessTime"));
        if (result != NULL)
            (void)kp_outcome_parse(result, &counts->last_result);
    }
}

// ---- counting ----

void kp_policy_status_restart(struct kp_policy_status *status, int64_t now_ms)
{
    status->since_ms = now_ms;
    for (size_t i = 0; i < status->n_types; i++)
        status->types[i].succeeded = status->types[i].failed = status->types[i].skipped = 0;
}

void kp_policy_status_set_types(struct kp_policy_status *status, const struct kp_policy *policy)
{
    struct kp_type_counts types[KP_STATUS_MAX_TYPES] = {0};
    size_t n = 0;
    for (size_t i = 0; i < policy->n_profiles && n < KP_STATUS_MAX_TYPES; i++) {
        const struct kp_type_counts *old = counts_of(status, policy->profiles[i].type);
        if (old != NULL)
            types[n] = *old;
        kp_copy(types[n].type, sizeof types[n].type, policy->profiles[i].type);
        n++;
    }
    memcpy(status->types, types, sizeof types);
    status->n_types = n;
}

void kp_policy_status_count(struct kp_policy_status *status, const char *type, enum kp_outcome outcome,
    int64_t time_ms, int64_t now_ms)
{
    struct kp_type_counts *counts = counts_of(status, type);
    if (counts == NULL)
        return;
    counts->last_result = outcome;
    switch (kp_outcome_info(outcome)->class) {
    case KP_CLASS_SUCCEEDED:
        counts->succeeded++;
        counts->last_success_ms = later_by(now_ms, counts->last_success_ms, time_ms);
        status->last_capture_ms = later_by(now_ms, status->last_capture_ms, time_ms);
        break;
    case KP_CLASS_FAILED:
        counts->failed++;
        break;
    case KP_CLASS_SKIPPED:
        counts->skipped++;
        break;
    case KP_CLASS_NONE:
        break;
    }
}

// ---- JSON ----

static void set_time(json_t *object, const char *key, int64_t ms)
{
    char text[KP_TIME_TEXT];
    if (ms > 0)
        json_object_set_new(object, key, json_string(kp_time_format(text, ms)));
}

// Texts from outside may not be UTF-8; jansson would refuse them.
static json_t *text_json(const char *text)
{
    char room[1024];
    return json_string(
        kp_printable(room, sizeof room, text != NULL ? text : "", text != NULL ? strlen(text) : 0));
}

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0')
        json_object_set_new(object, key, text_json(text));
}

static json_t *conditions_json(const struct kp_policy_status *status, const struct kp_policy *policy)
{
    json_t *list = json_array();
    for (int i = 0; i < KP_COND_COUNT; i++) {
        const struct kp_condition_state *state = &status->conditions[i];
        json_t *item = json_object();
        json_object_set_new(item, "type", json_string(kp_condition_name((enum kp_condition)i)));
        json_object_set_new(item, "status", json_string(words[state->status]));
        json_object_set_new(item, "observedGeneration", json_integer(policy->generation));
        json_object_set_new(item, "reason", text_json(state->reason));
        json_object_set_new(item, "message", text_json(state->message));
        set_time(item, "lastTransitionTime", state->since_ms);
        json_array_append_new(list, item);
    }
    return list;
}

static json_t *targets_json(const struct kp_policy_summary *summary)
{
    json_t *targets = json_object();
    json_object_set_new(targets, "selected", json_integer(summary->selected));
    json_object_set_new(targets, "sampled", json_integer(summary->sampled));
    json_object_set_new(targets, "failing", json_integer(summary->failing));
    json_object_set_new(targets, "leftOut", json_integer(summary->left_out));
    return targets;
}

static json_t *captures_json(const struct kp_policy_status *status, const struct kp_policy_summary *summary)
{
    uint64_t succeeded = 0, failed = 0, skipped = 0;
    for (size_t i = 0; i < status->n_types; i++) {
        succeeded += status->types[i].succeeded;
        failed += status->types[i].failed;
        skipped += status->types[i].skipped;
    }
    json_t *captures = json_object();
    json_object_set_new(captures, "succeeded", json_integer((json_int_t)succeeded));
    json_object_set_new(captures, "failed", json_integer((json_int_t)failed));
    json_object_set_new(captures, "skipped", json_integer((json_int_t)skipped));
    json_object_set_new(captures, "spooled", json_integer((json_int_t)summary->spooled));
    set_time(captures, "since", status->since_ms);
    return captures;
}

static json_t *profiles_json(const struct kp_policy_status *status)
{
    json_t *list = json_array();
    for (size_t i = 0; i < status->n_types; i++) {
        const struct kp_type_counts *counts = &status->types[i];
        json_t *item = json_object();
        json_object_set_new(item, "type", text_json(counts->type));
        set_time(item, "lastSuccessTime", counts->last_success_ms);
        if (counts->last_result != KP_OUTCOME_NONE)
            json_object_set_new(item, "lastResult", json_string(kp_outcome_info(counts->last_result)->name));
        json_object_set_new(item, "succeeded", json_integer((json_int_t)counts->succeeded));
        json_object_set_new(item, "failed", json_integer((json_int_t)counts->failed));
        json_array_append_new(list, item);
    }
    return list;
}

static json_t *failures_json(const struct kp_policy_summary *summary)
{
    json_t *list = json_array();
    for (size_t i = 0; i < summary->n_failures && i < KP_STATUS_MAX_FAILURES; i++) {
        const struct kp_failure_summary *failure = &summary->failures[i];
        json_t *item = json_object();
        json_object_set_new(item, "reason", text_json(failure->reason));
        json_object_set_new(item, "targets", json_integer(failure->targets));
        set_text(item, "type", failure->type);
        set_text(item, "namespace", failure->namespace);
        set_text(item, "pod", failure->pod);
        set_text(item, "container", failure->container);
        set_text(item, "message", failure->message);
        set_time(item, "time", failure->time_ms);
        json_array_append_new(list, item);
    }
    return list;
}

json_t *kp_policy_status_json(const struct kp_policy_status *status, const struct kp_policy *policy,
    const struct kp_policy_summary *summary)
{
    json_t *object = json_object();
    json_object_set_new(object, "observedGeneration", json_integer(policy->generation));
    json_object_set_new(object, "conditions", conditions_json(status, policy));
    json_object_set_new(object, "targets", targets_json(summary));
    json_object_set_new(object, "captures", captures_json(status, summary));
    set_time(object, "lastCaptureTime", status->last_capture_ms);
    json_object_set_new(object, "profiles", profiles_json(status));
    json_object_set_new(object, "failures", failures_json(summary));
    return object;
}
