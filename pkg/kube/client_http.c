// One HTTP request to the API server: where to, who is asking.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "kube/client_internal.h"
#include "kube/headers.h"
#include "kube/recorder.h"

#include "base/banned.h"

void kp_kube_count_request(struct kp_kube *kube, const char *method, int status)
{
    char code[16];
    if (!kube->requests)
        return;
    if (status > 0)
        snprintf(code, sizeof code, "%d", status);
    else
        kp_copy(code, sizeof code, "<error>");
    kp_metric_inc(
        kp_metric_with(kube->requests, (const char *const[]){code, method, kube->credentials.host}));
}

void kp_kube_explain(const struct kp_kube *kube, const struct kp_http_result *result, struct kp_error *err)
{
    static const char untrusted[] = "SSL certificate problem: ";
    const struct kp_kube_config *config = &kube->credentials.config;
    const char *why = strstr(result->error.text, untrusted);
    if (result->os_errno == ECONNREFUSED && config->last_resort) {
        kp_error_clear(err);
        kp_fail(err, KP_NETWORK,
            "the connection to the server %s was refused - did you specify the right host or port? (%s)",
            kube->credentials.host, config->last_resort);
    } else if (err->code == KP_TLS && why) {
        kp_error_clear(err);
        kp_fail(err, KP_TLS, "cannot trust the server %s: %s; is its certificate authority the right one?",
            kube->credentials.host, why + strlen(untrusted));
    }
}

int kp_kube_http_start(struct kp_kube *kube, struct kp_http *over, const char *path,
    const struct kp_kube_headers *headers, struct kp_http_request *http, struct kp_http_call **ret,
    struct kp_error *err)
{
    int64_t now = kp_loop_mono_ms(kube->loop);
    struct kp_headers all;
    if (kube->destroying)
        return kp_fail(err, KP_CANCELED, "the client is shutting down");
    kp_headers_init(&all);
    kp_headers_add(&all, "%s", kube->user_agent);
    kp_headers_add(&all, "Accept: %s", headers->accept ? headers->accept : "application/json");
    if (headers->content_type)
        kp_headers_add(&all, "Content-Type: %s", headers->content_type);
    kp_credentials_headers(&kube->credentials, now, &all);
    for (size_t i = 0; headers->more && headers->more[i]; i++)
        kp_headers_add(&all, "%s", headers->more[i]);
    kp_auto_free char *url = kp_asprintf("%s%s", kube->credentials.base, path);
    http->url = url;
    http->headers = (const char *const *)all.items;
    http->unix_socket = kube->credentials.unix_socket;
    http->proxy = kube->credentials.config.proxy;
    http->keepalive = true;
    kp_credentials_tls(&kube->credentials, now, &http->tls);
    struct kp_recorder *recorder = kube->on_exchange ? kp_recorder_create(kube, http) : NULL;
    int code = kp_http_start(over, http, ret, err);
    if (code < 0)
        kp_recorder_destroy(recorder);
    kp_headers_finish(&all);
    return code;
}
