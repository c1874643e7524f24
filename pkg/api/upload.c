// An upload: parse the request, walk the profile in a job, hand it to the writer, answer.
#include <stdio.h>
#include <string.h>

#include "api/aggregated.h"
#include "api/json.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "profile/check.h"
#include "base/banned.h"

#define LARGE_BYTES KP_MIB
#define GONE_TEXT   "not kept: it was captured before its namespace was deleted or made"

static void refuse(struct kp_upload *u, int status, const char *reason)
{
    u->status = status;
    u->reason = reason;
}

// ---- in the job ----

static void take_times(struct kp_upload *u, const struct kp_profile_summary *s)
{
    struct kp_record *r = &u->record;
    if (r->start_ms != 0)
        return;
    if (s && s->time_ns >= 1000000)
        r->start_ms = s->time_ns / 1000000;
    else
        r->start_ms = u->created_ms != 0 ? u->created_ms : u->api->options.now_ms();
    if (s && s->duration_ns > 0 && r->end_ms == 0)
        r->end_ms = r->start_ms + s->duration_ns / 1000000;
}

// What a profile says of its own time may be nonsense; then it counts as silent.
static void forget_odd_times(struct kp_upload *u)
{
    if (u->framed || kp_record_check(&u->record, NULL) == 0)
        return;
    u->record.start_ms = u->created_ms != 0 ? u->created_ms : u->api->options.now_ms();
    u->record.end_ms = 0;
}

static void check_profile(struct kp_upload *u, struct kp_profile_summary *ret)
{
    enum kp_profile_verdict verdict =
        kp_profile_check(u->profile->data, u->profile->len, NULL, ret, &u->error);
    switch (verdict) {
    case KP_PROFILE_VALID:
        break;
    case KP_PROFILE_EMPTY:
        if (u->dialect == KP_API_PROFEFE && u->api->options.accept_empty)
            kp_error_clear(&u->error);
        else
            refuse(u, 422, "Empty");
        break;
    case KP_PROFILE_INVALID:
        refuse(u, 422, "Invalid");
        break;
    case KP_PROFILE_TOO_LARGE:
        refuse(u, 413, "TooLarge");
        break;
    }
}

static void walk(struct kp_upload *u)
{
    struct kp_profile_summary summary;
    bool pprof = kp_streq(u->record.format, "pprof");
    if (pprof)
        check_profile(u, &summary);
    if (u->status != 0)
        return;
    take_times(u, pprof ? &summary : NULL);
    forget_odd_times(u);
}

// A push named like a service of the cluster could be taken for it, and not be found under its own name.
static bool is_shadowed(struct kp_upload *u)
{
    const char *slash = strchr(u->record.service, '/');
    if (u->framed || u->plain_names || slash == NULL || slash == u->record.service)
        return false;
    kp_auto_free char *namespace = kp_strndup(u->record.service, (size_t)(slash - u->record.service));
    if (!kp_api_namespace_known(u->api, namespace))
        return false;
    kp_fail(&u->error, KP_CONFLICT,
        "service '%.100s' would be taken for a service of the namespace '%.63s'; push it under another name",
        u->record.service, namespace);
    return true;
}

static bool unframe(struct kp_upload *u)
{
    const uint8_t *profile;
    size_t len;
    if (kp_capture_unframe(u->request->data, u->request->len, &u->record, &profile, &len, &u->error) != 0)
        return false;
    u->profile = kp_blob_copy(profile, len);
    if (u->record.format == NULL)
        u->record.format = kp_strdup(kp_streq(u->record.type, "trace") ? "trace" : "pprof");
    return true;
}

static void check(void *arg)
{
    struct kp_upload *u = arg;
    if (u->framed && !unframe(u)) {
        refuse(u, 422, "Invalid");
        return;
    }
    if (kp_record_check(&u->record, &u->error) != 0)
        refuse(u, u->framed ? 422 : 400, "Invalid");
    else if (is_shadowed(u))
        refuse(u, 409, "Conflict");
    else
        walk(u);
}

// ---- on the loop ----

static void checked(void *arg);

static void start_check(struct kp_upload *u)
{
    struct kp_fair *fair = u->bytes > LARGE_BYTES ? u->api->fair_large : u->api->fair;
    u->api->busy++;
    kp_fair_run(fair, u->framed ? KP_FAIR_CAPTURES : u->record.namespace, check, checked, u);
}

static void on_gone(void *user)
{
    struct kp_upload *u = user;
    u->x = NULL;
}

static void checked(void *arg)
{
    struct kp_upload *u = arg;
    u->api->busy--;
    kp_blob_unref(u->request); // the profile has its own reference
    u->request = NULL;
    if (u->status == 0 && kp_limits_upload(u->api, u->record.namespace, u->bytes, &u->error) != 0)
        refuse(u, 429, KP_API_LIMIT_REASON);
    if (u->status != 0)
        kp_upload_finish(u);
    else
        kp_api_write(u->api, u);
}

// Captures are answered 200: there is nothing for the controller to do about it.
static void refuse_gone(struct kp_upload *u)
{
    if (u->status != 0 || u->framed || u->append.status != KP_APPEND_GONE)
        return;
    kp_fail(&u->error, KP_GONE, GONE_TEXT "; a profile is as old as it says itself");
    refuse(u, 410, "Gone");
}

static void answer_stored(const struct kp_upload *u)
{
    struct kp_strbuf buf;
    kp_strbuf_init(&buf, 1024);
    struct kp_json j = {.out = &buf};
    kp_json_open(&j, NULL, '{');
    kp_json_text(&j, "id", u->record.id);
    if (u->append.status == KP_APPEND_GONE)
        kp_json_text(&j, "message", GONE_TEXT);
    kp_json_close(&j, '}');
    if (u->record.id) {
        bool is_agg = kp_agg_is_path(kp_http_path(u->x));
        kp_auto_free char *location =
            is_agg ? kp_asprintf(KP_AGG_ROOT "/namespaces/%s/profiles/%s", u->record.namespace, u->record.id)
                   : kp_asprintf("/api/v1/profiles/%s", u->record.id);
        kp_http_set_header(u->x, "Location", location);
    }
    kp_http_reply_text(u->x, u->append.status == KP_APPEND_STORED ? 201 : 200, "application/json", buf.data);
    kp_strbuf_finish(&buf);
}

static void count(const struct kp_upload *u)
{
    const char *result = u->status != 0                        ? u->reason
                         : u->append.status == KP_APPEND_KNOWN ? "Known"
                         : u->append.status == KP_APPEND_GONE  ? "Gone"
                                                               : "Stored";
    if (u->api->m_uploads)
        kp_metric_inc(kp_metric_with(u->api->m_uploads, (const char *const[]){result}));
}

void kp_upload_finish(struct kp_upload *u)
{
    struct kp_api *api = u->api;
    refuse_gone(u);
    count(u);
    if (u->status == 0 && u->append.status == KP_APPEND_STORED)
        kp_api_publish(api, &u->record);
    if (u->x) {
        kp_http_on_gone(u->x, NULL, NULL);
        if (u->status == 429 || u->status == 503 || u->status == 507) {
            int least = u->status == 429 ? 1 : KP_API_FULL_RETRY_S;
            kp_auto_free char *seconds =
                kp_asprintf("%d", u->error.retry_after_s > 0 ? u->error.retry_after_s : least);
            kp_http_set_header(u->x, "Retry-After", seconds);
        }
        if (u->dialect == KP_API_PROFEFE)
            kp_profefe_answer(u->x, u);
        else if (u->status != 0)
            kp_http_reply_status(u->x, u->status, u->reason, u->error.text);
        else
            answer_stored(u);
    }
    api->n_waiting--;
    api->waiting_bytes -= u->bytes;
    kp_limits_leave_queue(u->tenant, u->bytes);
    kp_metric_set(api->m_waiting, (double)api->n_waiting);
    kp_blob_unref(u->request);
    kp_blob_unref(u->profile);
    kp_record_finish(&u->record);
    kp_free(u);
}

void kp_api_upload(struct kp_api *api, struct kp_http_exchange *x, enum kp_api_dialect dialect,
    struct kp_record *record, int64_t created_ms, bool framed)
{
    struct kp_blob *body = kp_http_body(x);
    struct kp_upload *u = KP_NEW(struct kp_upload);
    u->api = api;
    u->x = x;
    u->dialect = dialect;
    u->record = *record;
    if (!framed)
        u->record.namespace = kp_strdup(kp_api_scope(x)->namespace);
    u->plain_names = kp_api_scope(x)->plain_names;
    u->created_ms = created_ms;
    u->framed = framed;
    u->bytes = body->len;
    kp_list_init(&u->node);
    bool full = api->n_waiting >= api->options.max_waiting ||
                (api->n_waiting > 0 && api->waiting_bytes + body->len > api->options.max_waiting_bytes);
    api->n_waiting++;
    api->waiting_bytes += u->bytes;
    kp_metric_set(api->m_waiting, (double)api->n_waiting);
    if (full) {
        refuse(u, 429, "TooManyRequests");
        kp_fail(&u->error, KP_THROTTLED, "%zu uploads wait already; send it again in a second",
            api->n_waiting - 1);
        kp_upload_finish(u);
        return;
    }
    if (!framed && kp_limits_queue(api, u->record.namespace, u->bytes, &u->tenant, &u->error) != 0) {
        refuse(u, 429, KP_API_LIMIT_REASON);
        kp_upload_finish(u);
        return;
    }
    u->request = kp_blob_ref(body);
    if (!framed)
        u->profile = kp_blob_ref(body);
    kp_http_on_gone(x, on_gone, u);
    start_check(u);
}

// ---- the request ----

int kp_api_check_labels(const struct kp_labels *labels, struct kp_error *err)
{
    char shown[80];
    for (size_t i = 0; labels && i < labels->n; i++) {
        const char *key = labels->items[i].key;
        if (kp_starts_with(key, "k8s."))
            return kp_fail(err, KP_INVALID,
                "the label '%s' cannot be pushed: names that begin with k8s. are those of system fields, "
                "which only "
                "the controller sets; leave it out, or give it another name",
                kp_printable(shown, sizeof shown, key, strlen(key)));
    }
    return 0;
}

bool kp_api_is_capture(const struct kp_http_exchange *x)
{
    const char *type = kp_http_header(x, "Content-Type");
    return type && strncmp(type, KP_CAPTURE_MEDIA_TYPE, strlen(KP_CAPTURE_MEDIA_TYPE)) == 0;
}

static int parse_push(struct kp_http_exchange *x, int64_t now_ms, struct kp_record *ret,
    int64_t *ret_created_ms, struct kp_error *err)
{
    const char *labels = kp_http_arg(x, "labels");
    const char *time = kp_http_arg(x, "time");
    const char *type = kp_http_arg(x, "type");
    const char *format = kp_http_arg(x, "format");
    kp_record_init(ret);
    if (time && kp_time_parse_relative(time, now_ms, ret_created_ms, err) != 0)
        return kp_wrap(err, "time");
    if (labels && labels[0] && kp_labels_parse(labels, &ret->labels, err) != 0)
        return kp_wrap(err, "labels");
    if (kp_api_check_labels(ret->labels, err) != 0) {
        kp_record_finish(ret);
        return err->code;
    }
    ret->service = kp_strdup(kp_http_arg(x, "service"));
    ret->type = kp_strdup(type);
    ret->format = kp_strdup(format ? format : kp_streq(type, "trace") ? "trace" : "pprof");
    int rc = kp_record_check(ret, err);
    if (rc != 0)
        kp_record_finish(ret);
    return rc;
}

void kp_api_post_profile(struct kp_http_exchange *x, void *user)
{
    struct kp_api *api = user;
    struct kp_record record = {0};
    struct kp_error err = {0};
    int64_t created_ms = 0;
    bool framed = kp_api_is_capture(x);
    if (framed && !kp_api_scope(x)->writer)
        kp_fail(&err, KP_DENIED, "only the controller sends captures");
    else if (!framed)
        (void)!parse_push(x, api->options.now_ms(), &record, &created_ms, &err);
    if (err.code != 0) {
        kp_http_reply_error(x, &err);
        return;
    }
    kp_api_upload(api, x, KP_API_NATIVE, &record, created_ms, framed);
}
