#include "api/call.h"

#include <stdarg.h>

#include "aio/job.h"
#include "api/aggregated.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/banned.h"

#define TIMEOUT_MS  60000
#define SMALL_BYTES ((size_t)64 * KP_KIB)

static void on_gone(void *user)
{
    struct kp_call *call = user;
    call->x = NULL;
    __atomic_store_n(&call->cancelled, 1, __ATOMIC_RELAXED);
}

static void work(void *arg)
{
    struct kp_call *call = arg;
    if (__atomic_load_n(&call->cancelled, __ATOMIC_RELAXED) == 0)
        call->work(call);
}

// Clients that do not read would have us keep any number of answers. One large answer always finds room.
static void check_room(struct kp_call *call)
{
    size_t len = call->body ? call->body->len : 0;
    size_t unsent = kp_http_unsent(call->x);
    if (call->error.code != 0 || len < SMALL_BYTES)
        return;
    if (kp_api_count_unread(call->api, call->x, len, &call->error) != 0) {
        call->is_limit = true;
        return;
    }
    if (unsent < SMALL_BYTES || unsent + len <= call->api->options.max_unsent_bytes)
        return;
    kp_fail(
        &call->error, KP_THROTTLED, "too many answers wait for their clients to read them; ask again later");
    call->error.retry_after_s = 5;
}

static void answer(struct kp_call *call)
{
    struct kp_http_exchange *x = call->x;
    kp_http_on_gone(x, NULL, NULL);
    check_room(call);
    if (call->error.code != 0 && call->is_limit) {
        kp_api_refuse_limit(x, &call->error);
        return;
    }
    if (call->error.code == KP_NOT_FOUND && call->by_id) {
        kp_api_refuse_id(call->api, x, &call->error);
        return;
    }
    if (call->error.code != 0) {
        if (call->dialect == KP_API_PROFEFE)
            kp_profefe_fail(x, &call->error);
        else
            kp_http_reply_error(x, &call->error);
        return;
    }
    if (call->file_name) {
        kp_auto_free char *value = kp_asprintf("attachment; filename=\"%s\"", call->file_name);
        kp_http_set_header(x, "Content-Disposition", value);
    }
    for (int i = 0; i < call->n_headers; i++)
        kp_http_set_header(x, call->headers[i].name, call->headers[i].value);
    const char *type = call->content_type ? call->content_type : "application/json";
    if (call->body)
        kp_http_reply(x, call->status ? call->status : 200, type, call->body);
    else
        kp_http_reply(x, call->status ? call->status : 204, NULL, NULL);
}

static void done(void *arg)
{
    struct kp_call *call = arg;
    if (call->heavy)
        call->api->n_heavy--;
    if (call->tenant)
        kp_limits_leave(call->tenant);
    if (call->x)
        answer(call);
    if (call->finish)
        call->finish(call);
    kp_blob_unref(call->body);
    kp_free(call->file_name);
    for (int i = 0; i < call->n_headers; i++)
        kp_free(call->headers[i].value);
    call->api->busy--;
    kp_free(call);
}

static struct kp_call *create(struct kp_api *api, struct kp_http_exchange *x, enum kp_api_dialect dialect,
    void (*work_fn)(struct kp_call *call), void (*finish)(struct kp_call *call), void *data)
{
    struct kp_call *call = KP_NEW(struct kp_call);
    *call = (struct kp_call){
        .api = api, .x = x, .work = work_fn, .finish = finish, .data = data, .dialect = dialect};
    call->stop.cancelled = &call->cancelled;
    api->busy++;
    kp_http_on_gone(x, on_gone, call);
    return call;
}

void kp_call_start(struct kp_api *api, struct kp_http_exchange *x, enum kp_api_dialect dialect,
    void (*work_fn)(struct kp_call *call), void (*finish)(struct kp_call *call), void *data)
{
    struct kp_call *call = create(api, x, dialect, work_fn, finish, data);
    kp_fair_run(api->fair, kp_api_scope(x)->namespace, work, done, call);
}

void kp_call_start_heavy(struct kp_api *api, struct kp_http_exchange *x, enum kp_api_dialect dialect,
    int64_t timeout_ms, void (*work_fn)(struct kp_call *call), void (*finish)(struct kp_call *call),
    void *data)
{
    struct kp_call *call = create(api, x, dialect, work_fn, finish, data);
    bool full = api->n_heavy >= api->options.max_merges;
    call->heavy = true;
    api->n_heavy++;
    timeout_ms = timeout_ms > 0 ? timeout_ms : TIMEOUT_MS;
    if (kp_agg_is_path(kp_http_path(x)) && timeout_ms > api->options.aggregated_timeout_ms)
        timeout_ms = api->options.aggregated_timeout_ms;
    call->stop.deadline_ms = kp_mono_ms() + timeout_ms;
    if (kp_limits_enter(api, kp_api_scope(x)->namespace, &call->tenant, &call->error) != 0) {
        call->is_limit = true;
    } else if (full) {
        kp_fail(&call->error, KP_THROTTLED,
            "%zu merges and searches are under way already; ask again in a few seconds",
            api->options.max_merges);
        call->error.retry_after_s = 2;
    }
    if (call->error.code != 0) {
        done(call);
        return;
    }
    kp_job_run(api->options.loop, KP_JOB_LONG, work, done, call);
}

void kp_call_start_search(struct kp_api *api, struct kp_http_exchange *x, const struct kp_selector *selector,
    void (*work_fn)(struct kp_call *call), void (*finish)(struct kp_call *call), void *data)
{
    if (kp_selector_regex_steps(selector) > 0)
        kp_call_start_heavy(api, x, KP_API_NATIVE, 0, work_fn, finish, data);
    else
        kp_call_start(api, x, KP_API_NATIVE, work_fn, finish, data);
}

void kp_call_body(struct kp_call *call, struct kp_strbuf *buf)
{
    if (buf->overflow) {
        kp_fail(&call->error, KP_LIMIT, "the answer is larger than %zu MiB; ask for less with limit",
            KP_API_MAX_ANSWER >> 20);
        return;
    }
    size_t len;
    char *text = kp_strbuf_take(buf, &len);
    call->body = kp_blob_take(text, len);
}

void kp_call_header(struct kp_call *call, const char *name, const char *fmt, ...)
{
    struct kp_strbuf text;
    va_list args;
    if (call->n_headers == KP_CALL_HEADERS)
        return;
    kp_strbuf_init(&text, 4096);
    va_start(args, fmt);
    kp_strbuf_vaddf(&text, fmt, args);
    va_end(args);
    call->headers[call->n_headers].name = name;
    call->headers[call->n_headers++].value = kp_strbuf_take(&text, NULL);
}
