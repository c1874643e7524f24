// Lists and watches: one GET each, handed over while it comes in. Never compressed (nothing asks for it):
// from 1.37 on a compressed watch is many gzip members, which libcurl does not read.
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "kube/client_internal.h"
#include "kube/failure.h"

#include "base/banned.h"

struct kp_kube_stream {
    struct kp_list node; // of kube->ending, with `turn`
    struct kp_kube *kube;
    struct kp_kube_stream_request request; // path is not kept
    char *path;                            // until it is asked for
    struct kp_http_call *http;
    struct kp_login_wait login;
    unsigned login_generation;
    struct kp_timer *turn; // of a cancel before anything was asked for; NULL until then
    char what[160];
    bool counted, canceled;
};

static void stream_free(struct kp_kube_stream *stream)
{
    kp_list_remove(&stream->node);
    kp_timer_destroy(stream->turn);
    kp_free(stream->path);
    kp_free(stream);
}

static void finish(struct kp_kube_stream *stream, const struct kp_error *err)
{
    struct kp_kube_stream_request request = stream->request;
    stream_free(stream);
    request.on_done(request.user, err);
}

static bool on_head(void *user, int status, const char *content_type)
{
    struct kp_kube_stream *stream = user;
    (void)content_type;
    // at the head, not at the end: a watch lasts minutes
    kp_kube_count_request(stream->kube, "GET", status);
    stream->counted = true;
    if (!stream->canceled && status >= 200 && status < 300)
        stream->request.on_begin(stream->request.user);
    return !stream->canceled;
}

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct kp_kube_stream *stream = user;
    if (stream->canceled)
        return false;
    return stream->request.on_data(stream->request.user, data, len) && !stream->canceled;
}

static void on_done(void *user, const struct kp_http_result *result)
{
    struct kp_kube_stream *stream = user;
    struct kp_kube_stream_request request = stream->request;
    struct kp_error err = {0};
    if (!stream->counted)
        kp_kube_count_request(stream->kube, "GET", result->status);
    if (result->status == 401) {
        kp_credentials_drop(&stream->kube->credentials);
        (void)kp_login_refused(stream->kube->login, stream->login_generation);
    }
    if (stream->canceled) {
        kp_fail(&err, KP_CANCELED, "%s: canceled", stream->what);
    } else if (result->code != KP_OK) {
        err = result->error;
        kp_kube_explain(stream->kube, result, &err);
    } else if (result->status < 200 || result->status >= 300) {
        const char *body = result->body ? (const char *)result->body->data : "";
        size_t len = result->body ? result->body->len : 0;
        kp_failure_read(result->status, body, len, stream->what, result->retry_after_s, &err);
        if (request.on_refusal)
            request.on_refusal(request.user, body, len);
    }
    finish(stream, err.code != KP_OK ? &err : NULL);
}

static int begin(struct kp_kube_stream *stream, struct kp_error *err)
{
    struct kp_kube *kube = stream->kube;
    struct kp_http_request http = {
        .method = "GET",
        .timeout_ms = stream->request.timeout_ms,
        .idle_timeout_ms = stream->request.idle_timeout_ms,
        .max_body = SIZE_MAX / 2, // what is bounded is a single object
        .on_head = on_head,
        .on_data = on_data,
        .on_done = on_done,
        .user = stream,
    };
    stream->login_generation = kp_login_generation(kube->login);
    return kp_kube_http_start(kube, kube->long_http, stream->path,
        &(struct kp_kube_headers){.accept = stream->request.accept}, &http, &stream->http, err);
}

static void on_login(void *user, const struct kp_error *err)
{
    struct kp_kube_stream *stream = user;
    struct kp_error own = {0};
    if (err)
        own = *err;
    if (!stream->canceled && (err || begin(stream, &own) < 0))
        finish(stream, &own);
}

int kp_kube_stream_start(struct kp_kube *kube, const struct kp_kube_stream_request *request,
    struct kp_kube_stream **ret, struct kp_error *err)
{
    struct kp_kube_stream *stream = KP_NEW(struct kp_kube_stream);
    stream->kube = kube;
    kp_list_init(&stream->node);
    stream->request = *request;
    stream->request.path = NULL;
    stream->path = kp_strdup(request->path);
    snprintf(stream->what, sizeof stream->what, "GET %.*s", (int)strcspn(request->path, "?"), request->path);
    int code = KP_OK;
    if (kp_login_ready(kube->login)) {
        code = begin(stream, err);
    } else {
        stream->login = (struct kp_login_wait){.on_login = on_login, .user = stream};
        kp_login_wait(kube->login, &stream->login);
    }
    if (code < 0) {
        stream_free(stream);
        return code;
    }
    *ret = stream;
    return KP_OK;
}

static void on_turn(void *user)
{
    struct kp_kube_stream *stream = user;
    struct kp_error err = {0};
    kp_fail(&err, KP_CANCELED, "%s: canceled", stream->what);
    finish(stream, &err);
}

void kp_kube_stream_relax(struct kp_kube_stream *stream, int64_t gap_ms)
{
    if (stream->http)
        kp_http_relax(stream->http, gap_ms);
}

void kp_kube_stream_cancel(struct kp_kube_stream *stream)
{
    if (stream->canceled)
        return;
    stream->canceled = true;
    if (stream->http) {
        kp_http_cancel(stream->http);
        return;
    }
    kp_login_leave(stream->kube->login, &stream->login);
    kp_list_append(&stream->kube->ending, &stream->node);
    stream->turn = kp_timer_create(stream->kube->loop, on_turn, stream);
    kp_timer_start(stream->turn, 0, 0);
}

void kp_kube_streams_end(struct kp_kube *kube)
{
    while (!kp_list_empty(&kube->ending))
        on_turn(kp_container_of(kube->ending.next, struct kp_kube_stream, node));
}
