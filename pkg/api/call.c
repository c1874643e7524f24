#include "api/state.h"

#include "base/alloc.h"
#include "base/banned.h"

static void on_gone(void *user)
{
    struct kp_call *call = user;
    call->x = NULL;
}

static void work(void *arg)
{
    struct kp_call *call = arg;
    call->work(call);
}

static void answer(struct kp_call *call)
{
    struct kp_http_exchange *x = call->x;
    kp_http_on_gone(x, NULL, NULL);
    if (call->error.code != 0) {
        kp_http_reply_error(x, &call->error);
        return;
    }
    if (call->file_name[0] != '\0') {
        kp_auto_free char *value = kp_asprintf("attachment; filename=\"%s\"", call->file_name);
        kp_http_set_header(x, "Content-Disposition", value);
    }
    const char *type = call->content_type ? call->content_type : "application/json";
    if (call->body)
        kp_http_reply(x, call->status ? call->status : 200, type, call->body);
    else
        kp_http_reply(x, call->status ? call->status : 204, NULL, NULL);
}

static void done(void *arg)
{
    struct kp_call *call = arg;
    if (call->x)
        answer(call);
    if (call->finish)
        call->finish(call);
    kp_blob_unref(call->body);
    call->api->busy--;
    kp_free(call);
}

void kp_call_start(struct kp_api *api, struct kp_http_exchange *x, void (*work_fn)(struct kp_call *call),
    void (*finish)(struct kp_call *call), void *data)
{
    struct kp_call *call = KP_NEW(struct kp_call);
    *call = (struct kp_call){.api = api, .x = x, .work = work_fn, .finish = finish, .data = data};
    api->busy++;
    kp_http_on_gone(x, on_gone, call);
    kp_job_run(api->options.loop, KP_JOB_SHORT, work, done, call);
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
