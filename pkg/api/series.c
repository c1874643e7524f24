// Values over time, and label keys and values.
#include "api/answers.h"
#include "api/hint.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

#define STEPS_WANTED 200
#define MIN_STEP_MS  15000

// ---- points ----

struct points {
    struct kp_json j;
    char *group; // the line that is open
};

static void close_line(struct points *p)
{
    if (p->group == NULL)
        return;
    kp_json_close(&p->j, ']');
    kp_json_close(&p->j, '}');
    kp_free(p->group);
    p->group = NULL;
}

static void on_point(void *user, const struct kp_point *point)
{
    struct points *p = user;
    if (p->group == NULL || !kp_streq(p->group, point->group)) {
        close_line(p);
        p->group = kp_strdup(point->group);
        kp_json_open(&p->j, NULL, '{');
        kp_json_text(&p->j, "group", point->group);
        kp_json_open(&p->j, "points", '[');
    }
    kp_json_open(&p->j, NULL, '{');
    kp_json_time(&p->j, "time", point->time_ms);
    kp_json_number(&p->j, "value", point->value);
    kp_json_int(&p->j, "profiles", (int64_t)point->n_profiles);
    kp_json_close(&p->j, '}');
}

static int64_t step_of(const struct kp_query *q)
{
    int64_t to = q->to_ms != 0 ? q->to_ms : q->now_ms;
    int64_t step = q->from_ms != 0 && to > q->from_ms ? (to - q->from_ms) / STEPS_WANTED : MIN_STEP_MS * 4;
    if (q->step_ms != 0)
        return q->step_ms;
    return step <= MIN_STEP_MS ? MIN_STEP_MS : (step + 59999) / 60000 * 60000;
}

static void series_work(struct kp_call *call)
{
    const struct kp_query *q = call->data;
    struct kp_points_query query = {.merge = kp_query_merge(q, false),
        .step_ms = step_of(q),
        .sample_type = q->sample_type,
        .function = q->function,
        .group_by = q->group_by};
    query.merge.cancelled = &call->cancelled;
    query.merge.deadline_ms = call->stop.deadline_ms;
    kp_auto_strbuf out;
    kp_auto_free char *unit = NULL;
    kp_strbuf_init(&out, KP_API_MAX_ANSWER);
    struct points points = {.j = {.out = &out}};
    kp_json_open(&points.j, NULL, '{');
    kp_json_open(&points.j, "series", '[');
    int rc = kp_store_points(call->api->options.store, &query, on_point, &points, &unit, &call->error);
    close_line(&points);
    if (rc != 0) {
        kp_hint_types(call, &query.merge);
        return;
    }
    kp_json_close(&points.j, ']');
    kp_json_seconds(&points.j, "stepSeconds", query.step_ms);
    kp_json_text(&points.j, "unit", unit);
    kp_json_str(&points.j, "sampleType", q->sample_type);
    kp_json_str(&points.j, "function", q->function);
    kp_json_str(&points.j, "groupBy", q->group_by);
    kp_json_close(&points.j, '}');
    kp_call_body(call, &out);
}

const struct kp_api_tag kp_answer_series = {.admission = KP_ADMIT_SUM(QUERY, "series"),
    .query_for = KP_Q_SERIES,
    .work = series_work,
    .check = kp_answer_check_type};

// ---- labels ----

struct label_list {
    struct kp_json j;
    const char *member;
};

static void on_label(void *user, const char *text, uint64_t n_profiles)
{
    struct label_list *l = user;
    kp_json_open(&l->j, NULL, '{');
    kp_json_text(&l->j, l->member, text);
    kp_json_int(&l->j, "profiles", (int64_t)n_profiles);
    kp_json_close(&l->j, '}');
}

static void list_labels(struct kp_call *call, const struct kp_query *q, const char *key)
{
    struct kp_store_query query = kp_query_select(q);
    query.stop = &call->stop;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, KP_API_MAX_ANSWER);
    struct label_list list = {.j = {.out = &out}, .member = key ? "value" : "key"};
    kp_json_open(&list.j, NULL, '{');
    kp_json_open(&list.j, "items", '[');
    if (kp_store_labels(call->api->options.store, &query, key, on_label, &list, &call->error) != 0)
        return;
    kp_json_close(&list.j, ']');
    kp_json_text(&list.j, "cursor", "");
    kp_json_close(&list.j, '}');
    kp_call_body(call, &out);
}

struct label_call {
    struct kp_query q;
    char *key;
};

static void labels_work(struct kp_call *call)
{
    const struct label_call *l = call->data;
    list_labels(call, &l->q, l->key);
}

static void labels_finish(struct kp_call *call)
{
    struct label_call *l = call->data;
    kp_query_finish(&l->q);
    kp_free(l->key);
    kp_free(l);
}

void kp_api_list_labels(struct kp_http_exchange *x, void *user)
{
    struct kp_api *api = user;
    struct kp_error err = {0};
    struct label_call *l = KP_NEW(struct label_call);
    l->key = kp_strdup(kp_http_param(x, "key"));
    int rc = kp_query_parse(x, KP_Q_LABELS, api->options.now_ms(), &l->q, &err);
    if (rc == 0) {
        kp_call_start_search(api, x, l->q.selector, labels_work, labels_finish, l);
        return;
    }
    kp_http_reply_error(x, &err);
    kp_query_finish(&l->q);
    kp_free(l->key);
    kp_free(l);
}
