// Compressing answers: texts over 1 KiB for clients that take gzip; large ones in a job, so that the loop is
// not held.
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "aio/job.h"
#include "base/alloc.h"
#include "base/text.h"
#include "http/private.h"
#include "base/banned.h"

#define MIN_BYTES    1024
#define INLINE_BYTES (64 * 1024)                 // more goes to a job
#define MAX_BYTES    ((size_t)256 * 1024 * 1024) // more is sent as it is

struct kp_gzip_job {
    struct kp_http_exchange *x; // NULL: abandoned
    int status;
    char *content_type;
    struct kp_blob *in, *out; // out NULL: it did not help
};

static bool is_text(const char *type)
{
    return kp_starts_with(type, "text/") || kp_starts_with(type, "application/json") ||
           kp_starts_with(type, "application/javascript") || kp_starts_with(type, "image/svg+xml");
}

static bool has_header(const struct kp_http_exchange *x, const char *name)
{
    for (size_t i = 0; i < x->headers.n; i++)
        if (strcasecmp(x->headers.items[i].name, name) == 0)
            return true;
    return false;
}

bool kp_gzip_wanted(const struct kp_http_exchange *x, const char *content_type, size_t len)
{
    const char *accepted = kp_http_parser_header(x->parser, "Accept-Encoding");
    return len >= MIN_BYTES && len <= MAX_BYTES && content_type != NULL && is_text(content_type) &&
           accepted != NULL && kp_http_list_has(accepted, "gzip") && !has_header(x, "Content-Encoding");
}

static struct kp_blob *compress_blob(const struct kp_blob *in)
{
    z_stream z = {0};
    if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    uint8_t *out = kp_alloc(in->len);
    z.next_in = (Bytef *)(uintptr_t)in->data;
    z.avail_in = (uInt)in->len;
    z.next_out = out;
    z.avail_out = (uInt)in->len; // not smaller than before: no use
    int code = deflate(&z, Z_FINISH);
    size_t len = z.total_out;
    deflateEnd(&z);
    if (code == Z_STREAM_END)
        return kp_blob_take(out, len);
    kp_free(out);
    return NULL;
}

static void send_compressed(
    struct kp_http_exchange *x, int status, const char *content_type, struct kp_blob *out)
{
    kp_http_set_header(x, "Content-Encoding", "gzip");
    kp_http_set_header(x, "Vary", "Accept-Encoding");
    kp_reply_whole(x, status, content_type, out);
}

static void on_work(void *arg)
{
    struct kp_gzip_job *job = arg;
    job->out = compress_blob(job->in);
}

static void after_work(void *arg)
{
    struct kp_gzip_job *job = arg;
    struct kp_http_exchange *x = job->x;
    if (x != NULL) {
        x->gzip = NULL;
        if (job->out != NULL)
            send_compressed(x, job->status, job->content_type, job->out);
        else
            kp_reply_whole(x, job->status, job->content_type, job->in);
    }
    kp_blob_unref(job->in);
    kp_blob_unref(job->out);
    kp_free(job->content_type);
    kp_free(job);
}

void kp_gzip_abandon(struct kp_gzip_job *job)
{
    job->x = NULL;
}

bool kp_gzip_reply(struct kp_http_exchange *x, int status, const char *content_type, struct kp_blob *body)
{
    if (body->len <= INLINE_BYTES) {
        struct kp_blob *out = compress_blob(body);
        if (out == NULL)
            return false;
        send_compressed(x, status, content_type, out);
        kp_blob_unref(out);
        return true;
    }
    struct kp_gzip_job *job = KP_NEW(struct kp_gzip_job);
    *job = (struct kp_gzip_job){.x = x, .status = status, .in = kp_blob_ref(body)};
    job->content_type = kp_strdup(content_type);
    x->gzip = job;
    kp_job_run(x->server->loop, KP_JOB_SHORT, on_work, after_work, job);
    return true;
}
