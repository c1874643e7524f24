#include "kube/upgrade.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "kube/client_internal.h"
#include "kube/failure.h"

#include "base/banned.h"

enum { DEFAULT_TIMEOUT_MS = 10 * 1000, MAX_HEADERS = 8, MAX_TRIES = 2 };

struct kp_kube_upgrade {
    struct kp_kube *kube;
    struct kp_kube_upgrade_request request; // strings are below
    char *path, *protocol, *headers[MAX_HEADERS + 1];
    struct kp_http_call *http;
    int tries;
    unsigned login_generation;
    struct kp_login_wait login;
    bool waiting; // for credentials
    bool counted, closed;
};

static void upgrade_free(struct kp_kube_upgrade *upgrade)
{
    for (size_t i = 0; i < MAX_HEADERS; i++)
        kp_free(upgrade->headers[i]);
    kp_free(upgrade->path);
    kp_free(upgrade->protocol);
    kp_free(upgrade);
}

static void on_header(void *user, const char *name, const char *value)
{
    struct kp_kube_upgrade *upgrade = user;
    if (!upgrade->closed && upgrade->request.on_header)
        upgrade->request.on_header(upgrade->request.user, name, value);
}

static void on_upgraded(void *user)
{
    struct kp_kube_upgrade *upgrade = user;
    kp_kube_count_request(upgrade->kube, "GET", 101);
    upgrade->counted = true;
    if (!upgrade->closed)
        upgrade->request.on_upgraded(upgrade->request.user);
}

static void on_ready(void *user)
{
    struct kp_kube_upgrade *upgrade = user;
    if (!upgrade->closed)
        upgrade->request.on_ready(upgrade->request.user);
}

static int log_in_and_begin(struct kp_kube_upgrade *upgrade, struct kp_error *err);

static void read_failure(
    const struct kp_kube_upgrade *upgrade, const struct kp_http_result *result, struct kp_error *err)
{
    char what[200];
    if (result->code != KP_OK) {
        *err = result->error;
        err->http_status = 0; // as for other calls: only of answers that were read
        return;
    }
    snprintf(what, sizeof what, "GET %.*s", (int)strcspn(upgrade->path, "?"), upgrade->path);
    if (result->status >= 200 && result->status < 400)
        kp_fail(err, KP_INVALID, "%s: status %d instead of a change to %s", what, result->status,
            upgrade->protocol);
    else
        kp_failure_read(result->status, result->body ? (const char *)result->body->data : "",
            result->body ? result->body->len : 0, what, result->retry_after_s, err);
}

static void on_done(void *user, const struct kp_http_result *result)
{
    struct kp_kube_upgrade *upgrade = user;
    struct kp_kube *kube = upgrade->kube;
    struct kp_error err = {0};
    upgrade->http = NULL;
    if (!upgrade->counted)
        kp_kube_count_request(kube, "GET", result->status);
    if (result->status == 401)
        kp_credentials_drop(&kube->credentials);
    bool refused = result->status == 401;
    bool renewable = refused && (kp_login_refused(kube->login, upgrade->login_generation) ||
                                    kube->credentials.config.token_file);
    if (!upgrade->closed && renewable && upgrade->tries < MAX_TRIES && !kube->destroying &&
        log_in_and_begin(upgrade, &err) == KP_OK)
        return;
    if (!upgrade->closed) {
        read_failure(upgrade, result, &err);
        upgrade->request.on_failed(upgrade->request.user, &err);
    }
    upgrade_free(upgrade);
}

static int begin(struct kp_kube_upgrade *upgrade, struct kp_error *err)
{
    int64_t timeout_ms =
        upgrade->request.timeout_ms > 0 ? upgrade->request.timeout_ms : (int64_t)DEFAULT_TIMEOUT_MS;
    struct kp_http_request http = {
        .method = "GET",
        .upgrade = upgrade->protocol,
        .timeout_ms = timeout_ms,
        .connect_timeout_ms = timeout_ms,
        .on_header = on_header,
        .on_upgraded = on_upgraded,
        .on_ready = on_ready,
        .on_done = on_done,
        .user = upgrade,
    };
    upgrade->tries++;
    upgrade->login_generation = kp_login_generation(upgrade->kube->login);
    // what is connected to makes no JSON: asked for it, the API server answers 406
    const struct kp_kube_headers headers = {.accept = "*/*", .more = (const char *const *)upgrade->headers};
    return kp_kube_http_start(
        upgrade->kube, upgrade->kube->long_http, upgrade->path, &headers, &http, &upgrade->http, err);
}

static void on_login(void *user, const struct kp_error *err)
{
    struct kp_kube_upgrade *upgrade = user;
    struct kp_error own = {0};
    upgrade->waiting = false;
    if (err)
        own = *err;
    if (!err && begin(upgrade, &own) == KP_OK)
        return;
    upgrade->request.on_failed(upgrade->request.user, &own);
    upgrade_free(upgrade);
}

static int log_in_and_begin(struct kp_kube_upgrade *upgrade, struct kp_error *err)
{
    struct kp_login *login = upgrade->kube->login;
    if (kp_login_ready(login))
        return begin(upgrade, err);
    upgrade->login = (struct kp_login_wait){.on_login = on_login, .user = upgrade};
    upgrade->waiting = true;
    kp_login_wait(login, &upgrade->login);
    return KP_OK;
}

int kp_kube_upgrade_start(struct kp_kube *kube, const struct kp_kube_upgrade_request *request,
    struct kp_kube_upgrade **ret, struct kp_error *err)
{
    struct kp_kube_upgrade *upgrade = KP_NEW(struct kp_kube_upgrade);
    upgrade->kube = kube;
    upgrade->request = *request;
    upgrade->path = kp_strdup(request->path);
    upgrade->protocol = kp_strdup(request->protocol);
    for (size_t i = 0; request->headers && request->headers[i] && i < MAX_HEADERS; i++)
        upgrade->headers[i] = kp_strdup(request->headers[i]);
    int code = log_in_and_begin(upgrade, err);
    if (code < 0) {
        upgrade_free(upgrade);
        return code;
    }
    *ret = upgrade;
    return KP_OK;
}

struct kp_http_call *kp_kube_upgrade_connection(const struct kp_kube_upgrade *upgrade)
{
    return upgrade->http;
}

void kp_kube_upgrade_close(struct kp_kube_upgrade *upgrade)
{
    if (!upgrade)
        return;
    upgrade->closed = true;
    if (upgrade->waiting) {
        kp_login_leave(upgrade->kube->login, &upgrade->login);
        upgrade_free(upgrade);
        return;
    }
    if (upgrade->http)
        kp_http_cancel(upgrade->http);
}
