#include "cli/fetch.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/command.h"
#include "kube/proxy.h"
#include "base/banned.h"

#define MAX_TOKEN (64 * KP_KIB)

void kp_fetched_finish(struct kp_fetched *fetched)
{
    kp_blob_unref(fetched->body);
    fetched->body = NULL;
}

// What runs: one of both calls.
struct run {
    struct kp_kube_call *kube_call;
    struct kp_http_call *http_call;
    struct kp_strbuf body;
    struct kp_fetched *ret;
    bool is_done, is_status; // asked by `status` itself
    struct kp_error err;
};

static void on_interrupt(void *user)
{
    struct run *run = user;
    if (run->kube_call != NULL)
        kp_kube_cancel(run->kube_call);
    if (run->http_call != NULL)
        kp_http_cancel(run->http_call);
}

// Waits for what was started (or not: rc), and hands out the body.
static int finish(struct kp_cli *cli, struct run *run, int rc, struct kp_error *err)
{
    struct kp_session *session = cli->session;
    if (rc == 0) {
        session->on_interrupt = on_interrupt;
        session->interrupt_user = run;
        rc = kp_session_wait(cli, &run->is_done, err);
        session->on_interrupt = NULL;
        if (rc == 0 && run->err.code != 0) {
            if (err != NULL)
                *err = run->err;
            rc = run->err.code;
        }
    }
    if (rc == 0) {
        size_t len;
        char *data = kp_strbuf_take(&run->body, &len);
        run->ret->body = kp_blob_take(data, len);
    }
    kp_strbuf_finish(&run->body);
    return rc;
}

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct run *run = user;
    kp_strbuf_add(&run->body, data, len);
    return !run->body.overflow;
}

// ---- the API server ----

static bool on_api_head(void *user, int http_status, const char *content_type)
{
    struct run *run = user;
    (void)http_status;
    kp_copy(run->ret->content_type, sizeof run->ret->content_type, content_type);
    return true;
}

static void on_api_done(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct run *run = user;
    (void)http_status;
    (void)json;
    run->kube_call = NULL;
    run->is_done = true;
    if (err != NULL)
        run->err = *err;
    size_t n = strlen(run->err.text);
    // where no registry is ready the API server says no more than that
    if (!run->is_status && kp_ends_with(run->err.text, "the API server answered 503"))
        snprintf(run->err.text + n, sizeof run->err.text - n, "; see what is not well: kubectl pprof status");
}

int kp_fetch_api(
    struct kp_cli *cli, const struct kp_fetch *fetch, struct kp_fetched *ret, struct kp_error *err)
{
    int rc = kp_session_connect(cli, err);
    if (rc != 0)
        return rc;
    *ret = (struct kp_fetched){0};
    struct run run = {.ret = ret, .is_status = kp_streq(cli->command->name, "status")};
    kp_strbuf_init(&run.body, KP_FETCH_MAX);
    struct kp_blob *body = fetch->body ? kp_blob_copy(fetch->body, fetch->len) : NULL;
    const struct kp_kube_request request = {.method = fetch->method ? fetch->method : "GET",
        .path = fetch->path,
        .accept = fetch->accept,
        .content_type = fetch->content_type,
        .body = body,
        .max_body = KP_FETCH_MAX,
        .timeout_ms = cli->flags.request_timeout_ms,
        .max_tries = 3,
        .on_head = on_api_head,
        .on_data = on_data,
        .on_done = on_api_done,
        .user = &run};
    rc = kp_kube_start(cli->session->kube, &request, &run.kube_call, err);
    kp_blob_unref(body);
    return finish(cli, &run, rc, err);
}

// ---- a registry ----

static int read_token(struct kp_cli *cli, char **ret, struct kp_error *err)
{
    const char *text = cli->env("KUBE_PPROF_TOKEN");
    if (!kp_cli_given(cli->flags.registry_token_file)) {
        *ret = kp_cli_given(text) ? kp_strdup(text) : NULL;
        return 0;
    }
    size_t len;
    int rc = kp_file_read(cli->flags.registry_token_file, MAX_TOKEN, ret, &len, err);
    if (rc != 0)
        return kp_wrap(err, "--registry-token-file");
    (*ret)[strcspn(*ret, "\r\n")] = '\0';
    return 0;
}

// {"error": {"reason", "message"}}, profefe's {"code", "error"}, or whatever it is.
static void read_failure(const struct kp_http_result *result, struct kp_error *err)
{
    static const struct {
        int status, code;
    } codes[] = {{400, KP_INVALID}, {401, KP_UNAUTHENTICATED}, {403, KP_DENIED}, {404, KP_NOT_FOUND},
        {409, KP_CONFLICT}, {410, KP_GONE}, {413, KP_LIMIT}, {422, KP_INVALID}, {429, KP_THROTTLED},
        {504, KP_TIMEOUT}};
    int code = KP_UNAVAILABLE;
    for (size_t i = 0; i < KP_COUNT(codes); i++)
        if (codes[i].status == result->status)
            code = codes[i].code;
    const struct kp_blob *body = result->body;
    json_t *json = body ? json_loadb((const char *)body->data, body->len, 0, NULL) : NULL;
    json_t *error = json_object_get(json, "error");
    const char *text = json_is_string(error) ? json_string_value(error)
                                             : json_string_value(json_object_get(error, "message"));
    if (text != NULL)
        kp_fail(err, code, "%s", text);
    else
        kp_fail(err, code, "the registry answered %d without saying why", result->status);
    err->http_status = result->status;
    err->retry_after_s = result->retry_after_s;
    json_decref(json);
}

static bool on_registry_head(void *user, int status, const char *content_type)
{
    (void)status;
    struct run *run = user;
    kp_copy(run->ret->content_type, sizeof run->ret->content_type, content_type);
    return true;
}

static void on_registry_done(void *user, const struct kp_http_result *result)
{
    struct run *run = user;
    run->http_call = NULL;
    run->is_done = true;
    if (run->body.overflow)
        kp_fail(&run->err, KP_LIMIT, "the answer is larger than %zu MiB", KP_FETCH_MAX / KP_MIB);
    else if (result->code != 0)
        run->err = result->error;
    else if (result->status < 200 || result->status > 299)
        read_failure(result, &run->err);
}

static int start_registry(struct kp_cli *cli, const struct kp_fetch *fetch, const char *token,
    struct run *run, struct kp_error *err)
{
    const struct kp_cli_flags *flags = &cli->flags;
    const char *base = kp_cli_given(flags->registry) ? flags->registry : flags->profefe_hostport;
    bool has_scheme = strstr(base, "://") != NULL;
    size_t len = strlen(base);
    while (len > 0 && base[len - 1] == '/')
        len--;
    kp_auto_free char *url =
        kp_asprintf("%s%.*s%s", has_scheme ? "" : "http://", (int)len, base, fetch->path);
    kp_auto_free char *accept = kp_asprintf("Accept: %s", fetch->accept ? fetch->accept : "application/json");
    kp_auto_free char *type = kp_asprintf(
        "Content-Type: %s", fetch->content_type ? fetch->content_type : "application/octet-stream");
    kp_auto_free char *authorization = token ? kp_asprintf("Authorization: Bearer %s", token) : NULL;
    const char *host = strstr(url, "://") + strlen("://");
    kp_auto_free char *authority = kp_strndup(host, strcspn(host, "/?#"));
    if (token && !kp_starts_with(url, "https://") && !kp_is_loopback(authority))
        return kp_fail(err, KP_INVALID, "a token is sent over https only, and --registry is %.80s", base);
    kp_auto_free char *proxy = kp_proxy_of_environment(url, cli->env);
    const char *headers[] = {accept, type, authorization, NULL};
    struct kp_blob *body = fetch->body ? kp_blob_copy(fetch->body, fetch->len) : NULL;
    const struct kp_http_request request = {.method = fetch->method ? fetch->method : "GET",
        .url = url,
        .headers = headers,
        .body = body,
        .proxy = proxy,
        .tls = {.ca_file = kp_cli_given(flags->registry_ca) ? flags->registry_ca : NULL},
        .connect_timeout_ms = 10 * 1000,
        .timeout_ms = flags->request_timeout_ms,
        .max_body = KP_FETCH_MAX,
        .on_head = on_registry_head,
        .on_data = on_data,
        .on_done = on_registry_done,
        .user = run};
    kp_cli_verbose(cli, 6, "%s %s", request.method, url);
    int rc = kp_http_start(cli->session->http, &request, &run->http_call, err);
    kp_blob_unref(body);
    return rc;
}

int kp_fetch_registry(
    struct kp_cli *cli, const struct kp_fetch *fetch, struct kp_fetched *ret, struct kp_error *err)
{
    kp_session_open(cli);
    kp_auto_free char *token = NULL;
    int rc = read_token(cli, &token, err);
    if (rc != 0)
        return rc;
    *ret = (struct kp_fetched){0};
    struct run run = {.ret = ret};
    kp_strbuf_init(&run.body, KP_FETCH_MAX);
    return finish(cli, &run, start_registry(cli, fetch, token, &run, err), err);
}
