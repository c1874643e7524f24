#include "cli/reach.h"

#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "cli/progress.h"
#include "forward/forward.h"
#include "base/banned.h"

#define MAX_REFUSAL (64 * 1024)

struct kp_reach {
    struct kp_cli *cli;
    char *namespace, *pod, *dir, *prefix;
    uint16_t port;
    bool https, with_credentials;
    enum kp_reach_via via;
    bool is_forwarded;           // the way that is taken
    struct kp_error not_proxied; // why it is not the pod proxy, until that was told

    // the request that runs
    struct kp_kube_call *kube_call;
    struct kp_http_call *http_call;
    struct kp_forward *forward;
    char *path;
    struct kp_reach_request request;
    bool has_data;
    char content_type[128];
    struct kp_strbuf refusal;
};

struct kp_reach *kp_reach_create(struct kp_cli *cli, const struct kp_reach_options *o)
{
    struct kp_reach *reach = KP_NEW(struct kp_reach);
    *reach = (struct kp_reach){.cli = cli,
        .namespace = kp_strdup(o->namespace),
        .pod = kp_strdup(o->pod),
        .dir = kp_strdup(o->dir),
        .prefix = kp_strdup(o->prefix),
        .with_credentials = o->with_credentials,
        .port = o->port,
        .https = o->https,
        .via = o->prefix             ? KP_REACH_PROXY
               : o->with_credentials ? KP_REACH_FORWARD
                                     : o->via,
        .is_forwarded = o->prefix == NULL && (o->with_credentials || o->via == KP_REACH_FORWARD)};
    kp_strbuf_init(&reach->refusal, MAX_REFUSAL);
    return reach;
}

void kp_reach_destroy(struct kp_reach *reach)
{
    if (reach == NULL)
        return;
    kp_forward_destroy(reach->forward);
    kp_free(reach->namespace);
    kp_free(reach->pod);
    kp_free(reach->dir);
    kp_free(reach->prefix);
    kp_free(reach->path);
    kp_strbuf_finish(&reach->refusal);
    kp_free(reach);
}

void kp_reach_cancel(struct kp_reach *reach)
{
    if (reach->kube_call != NULL)
        kp_kube_cancel(reach->kube_call);
    if (reach->http_call != NULL)
        kp_http_cancel(reach->http_call);
}

// ---- what both ways share ----

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct kp_reach *reach = user;
    reach->has_data = true;
    return reach->request.on_data == NULL || reach->request.on_data(reach->request.user, data, len);
}

static bool on_head(void *user, int status, const char *content_type)
{
    struct kp_reach *reach = user;
    (void)status;
    kp_copy(reach->content_type, sizeof reach->content_type, content_type);
    return true;
}

static void tell(struct kp_reach *reach, int status, const struct kp_error *err)
{
    const struct kp_reach_answer answer = {.status = status,
        .content_type = reach->content_type,
        .refusal = reach->refusal.data,
        .refusal_len = reach->refusal.len,
        .error = *err};
    if (reach->request.on_done != NULL)
        reach->request.on_done(reach->request.user, &answer);
}

static int start(struct kp_reach *reach, struct kp_error *err);

// ---- port-forward ----

// Who may not forward ports is told why the pod proxy did not do: that may be what can be helped.
static void tell_why_not_proxied(struct kp_reach *reach)
{
    if (reach->not_proxied.code == 0)
        return;
    kp_progress_clear(reach->cli);
    kp_cli_note(
        reach->cli, "%s/%s: not by the pod proxy: %s", reach->namespace, reach->pod, reach->not_proxied.text);
    kp_error_clear(&reach->not_proxied);
}

// Components of the control plane answer as the API server does: who may not, and what.
static int read_refusal(const struct kp_http_result *result, struct kp_error *err)
{
    if ((result->status != 401 && result->status != 403) || result->body == NULL)
        return 0;
    json_t *status = json_loadb((const char *)result->body->data, result->body->len, 0, NULL);
    const char *message = json_string_value(json_object_get(status, "message"));
    if (kp_streq(json_string_value(json_object_get(status, "kind")), "Status") && message != NULL) {
        kp_fail(err, result->status == 401 ? KP_UNAUTHENTICATED : KP_DENIED, "%s", message);
        err->http_status = result->status;
    }
    json_decref(status);
    return err->code;
}

// What TLS calls an alert, and people cannot know.
static void explain_alert(const struct kp_reach *reach, struct kp_error *err)
{
    struct kp_http_tls tls = {0};
    kp_kube_identity(reach->cli->session->kube, &tls);
    bool has_certificate = tls.cert_file != NULL || tls.cert_pem != NULL;
    if (!reach->with_credentials || strstr(err->text, " alert ") == NULL)
        return;
    int code = err->code;
    kp_error_clear(err);
    if (has_certificate)
        kp_fail(err, code,
            "it does not take this kubeconfig's certificate: it believes an authority of its own, as "
            "kubeadm's etcd does; with one of that authority use curl and kubectl port-forward");
    else
        kp_fail(err, code, "it wants a client certificate, and this kubeconfig's user has none");
}

static void on_forwarded(void *user, const struct kp_http_result *result)
{
    struct kp_reach *reach = user;
    struct kp_error err = result->code != 0 ? result->error : (struct kp_error){0};
    struct kp_error why = {0};
    reach->http_call = NULL;
    kp_forward_error(reach->forward, &why);
    if (err.code != 0 && err.code != KP_CANCELED && err.code != KP_LIMIT && why.code != 0)
        err = why; // why the connection broke
    if (err.http_status == 403)
        tell_why_not_proxied(reach);
    if (err.code == KP_NETWORK || err.code == KP_TLS)
        explain_alert(reach, &err);
    if (err.code == 0 && reach->with_credentials && read_refusal(result, &err) != 0) {
        tell(reach, 0, &err);
        return;
    }
    if (err.code == 0 && (result->status < 200 || result->status > 299)) {
        if (result->body != NULL)
            kp_strbuf_add(&reach->refusal, result->body->data, result->body->len);
        kp_copy(reach->content_type, sizeof reach->content_type, result->content_type);
        kp_fail(&err, KP_UNAVAILABLE, "it answers %d", result->status);
    }
    tell(reach, result->status, &err);
}

static int start_forward(struct kp_reach *reach, struct kp_error *err)
{
    struct kp_session *session = reach->cli->session;
    int rc = 0;
    if (reach->forward == NULL) {
        const struct kp_forward_options options = {
            .namespace = reach->namespace, .pod = reach->pod, .port = reach->port, .dir = reach->dir};
        rc = kp_forward_create(session->loop, session->kube, &options, &reach->forward, err);
    }
    if (rc != 0)
        return rc;
    kp_auto_free char *url =
        kp_asprintf("%s://localhost:%u%s", reach->https ? "https" : "http", reach->port, reach->path);
    struct kp_http_tls tls = {0};
    const char *who = reach->with_credentials ? kp_kube_identity(session->kube, &tls) : NULL;
    const char *const headers[] = {"Accept: */*", who, NULL};
    tls.insecure = true;
    kp_cli_verbose(
        reach->cli, 1, "%s/%s: by port-forward to port %u", reach->namespace, reach->pod, reach->port);
    const struct kp_http_request request = {.method = "GET",
        .url = url,
        .headers = headers,
        .tls = tls,
        .unix_socket = kp_forward_socket(reach->forward),
        .connect_timeout_ms = 10 * 1000,
        .timeout_ms = reach->request.timeout_ms,
        .max_body = reach->request.max_body,
        .on_head = on_head,
        .on_data = on_data,
        .on_done = on_forwarded,
        .user = reach};
    return kp_http_start(session->http, &request, &reach->http_call, err);
}

// ---- the pod proxy ----

static void on_refusal(void *user, int http_status, const char *content_type, const void *body, size_t len)
{
    struct kp_reach *reach = user;
    (void)http_status;
    kp_copy(reach->content_type, sizeof reach->content_type, content_type);
    kp_strbuf_add(&reach->refusal, body, len);
}

// Whether the sentence is the API server's own: it did not get as far as the pod.
static bool is_of_api_server(const struct kp_reach *reach)
{
    return kp_starts_with(reach->content_type, "application/json") &&
           strstr(reach->refusal.data, "\"kind\":\"Status\"") != NULL;
}

// Not allowed to, or no way from the API server to the port: port-forward enters the pod itself.
static bool is_worth_forwarding(const struct kp_reach *reach, const struct kp_error *err)
{
    if (reach->via != KP_REACH_AUTO || reach->dir == NULL || reach->has_data || !is_of_api_server(reach))
        return false;
    return err->http_status == 403 || strstr(err->text, "error trying to reach service") != NULL ||
           strstr(err->text, "address not allowed") != NULL;
}

static void on_proxied(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct kp_reach *reach = user;
    struct kp_error failed = err ? *err : (struct kp_error){0};
    (void)json;
    reach->kube_call = NULL;
    if (err == NULL) {
        tell(reach, http_status, &failed);
        return;
    }
    if (!is_worth_forwarding(reach, err)) {
        tell(reach, is_of_api_server(reach) ? 0 : http_status, &failed);
        return;
    }
    kp_cli_verbose(reach->cli, 1, "%s/%s: not by the pod proxy (%s), by port-forward", reach->namespace,
        reach->pod, err->text);
    reach->is_forwarded = true;
    reach->not_proxied = *err;
    struct kp_error again = {0};
    if (start(reach, &again) != 0)
        tell(reach, 0, &again);
}

static int start_proxy(struct kp_reach *reach, struct kp_error *err)
{
    kp_auto_free char *path =
        reach->prefix ? kp_asprintf("%s%s", reach->prefix, reach->path)
                      : kp_asprintf("/api/v1/namespaces/%s/pods/%s%s:%u/proxy%s", reach->namespace,
                            reach->https ? "https:" : "", reach->pod, reach->port, reach->path);
    const struct kp_kube_request request = {.method = "GET",
        .path = path,
        .accept = "*/*",
        .max_body = reach->request.max_body,
        .timeout_ms = reach->request.timeout_ms,
        .max_tries = 1,
        .on_head = on_head,
        .on_data = on_data,
        .on_refusal = on_refusal,
        .on_done = on_proxied,
        .user = reach};
    return kp_kube_start(reach->cli->session->kube, &request, &reach->kube_call, err);
}

// ---- either ----

static int start(struct kp_reach *reach, struct kp_error *err)
{
    reach->has_data = false;
    reach->content_type[0] = '\0';
    kp_strbuf_clear(&reach->refusal);
    return reach->is_forwarded ? start_forward(reach, err) : start_proxy(reach, err);
}

int kp_reach_get(struct kp_reach *reach, const struct kp_reach_request *request, struct kp_error *err)
{
    char *path = kp_strdup(request->path);
    kp_free(reach->path);
    reach->path = path;
    reach->request = *request;
    reach->request.path = reach->path;
    return start(reach, err);
}
