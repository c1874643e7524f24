#include "cli/session.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "kube/exchange.h"
#include "kube/kubeconfig.h"
#include "base/banned.h"

#define MAX_SHOWN_BODY ((size_t)KP_MIB)
#define USER_AGENT     "kubectl-pprof/" KP_VERSION " (linux)"

static void on_signal(void *user)
{
    struct kp_session *session = user;
    session->is_interrupted = true;
    if (session->on_interrupt)
        session->on_interrupt(session->interrupt_user);
}

static bool is_ignored(int signal)
{
    struct sigaction now;
    return sigaction(signal, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

struct kp_session *kp_session_open(struct kp_cli *cli)
{
    if (cli->session != NULL)
        return cli->session;
    struct kp_session *session = KP_NEW(struct kp_session);
    session->loop = kp_loop_create();
    session->http = kp_http_create(session->loop, &(struct kp_http_options){.reuse = true});
    session->sigint = kp_signal_create(session->loop, SIGINT, on_signal, session);
    session->sigterm = kp_signal_create(session->loop, SIGTERM, on_signal, session);
    if (!is_ignored(SIGHUP)) // nohup
        session->sighup = kp_signal_create(session->loop, SIGHUP, on_signal, session);
    cli->session = session;
    return session;
}

static void on_exchange(void *user, const struct kp_kube_exchange *exchange)
{
    const struct kp_cli *cli = user;
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 4 * MAX_SHOWN_BODY);
    kp_kube_exchange_write(exchange, (int)cli->flags.verbosity, &text);
    kp_cli_write(cli, cli->err, text.data, text.len);
}

// The items as a NULL-terminated array, for a kubeconfig's wishes.
static const char **texts_of(const struct kp_option_list *list)
{
    const char **ret = KP_NEW_ARRAY(const char *, list->n + 1);
    for (size_t i = 0; i < list->n; i++)
        ret[i] = list->items[i];
    return ret;
}

static int check_extra(struct kp_cli *cli, struct kp_error *err)
{
    for (size_t i = 0; i < cli->flags.as_extra.n; i++) {
        const char *text = cli->flags.as_extra.items[i];
        if (strcspn(text, "=") == 0 || strchr(text, '=') == NULL)
            return kp_cli_usage(cli, err, "--as-user-extra '%.80s' is not KEY=VALUE", text);
    }
    return 0;
}

int kp_session_connect(struct kp_cli *cli, struct kp_error *err)
{
    struct kp_session *session = kp_session_open(cli);
    if (session->is_connected)
        return 0;
    const struct kp_cli_flags *f = &cli->flags;
    kp_auto_free const char **groups = texts_of(&f->as_groups);
    kp_auto_free const char **extra = texts_of(&f->as_extra);
    const struct kp_kubeconfig_wishes wishes = {.kubeconfig = f->kubeconfig,
        .context = f->context,
        .cluster = f->cluster,
        .user = f->user,
        .namespace = f->namespace,
        .server = f->server,
        .token = f->token,
        .certificate_authority = f->certificate_authority,
        .client_certificate = f->client_certificate,
        .client_key = f->client_key,
        .tls_server_name = f->tls_server_name,
        .as = f->as,
        .as_uid = f->as_uid,
        .as_groups = groups,
        .as_extra = extra,
        .username = f->username,
        .password = f->password,
        .insecure = f->insecure,
        .env = cli->env,
        .home = cli->env("HOME")};
    int rc = check_extra(cli, err);
    if (rc == 0)
        rc = kp_kubeconfig_load(&wishes, &session->config, err);
    if (rc != 0)
        return rc;
    if (!kp_kube_name_valid(session->config.namespace)) { // it becomes a part of paths
        rc = kp_cli_usage(cli, err, "'%.80s' is no name of a namespace", session->config.namespace);
        kp_kube_config_finish(&session->config);
        return rc;
    }
    const bool tells = f->verbosity >= 6;
    const struct kp_kube_options options = {.user_agent = USER_AGENT,
        .writes_per_second = 1000,
        .terminal = cli->is_in_tty,
        .on_exchange = tells ? on_exchange : NULL,
        .exchange_user = cli,
        .exchange_max_body = f->verbosity >= 8 ? MAX_SHOWN_BODY : 0};
    session->kube = kp_kube_create(session->loop, &session->config, &options);
    session->is_connected = true;
    return 0;
}

void kp_session_close(struct kp_cli *cli)
{
    struct kp_session *session = cli->session;
    if (session == NULL)
        return;
    if (session->is_connected) {
        kp_kube_destroy(session->kube);
        kp_kube_config_finish(&session->config);
    }
    kp_http_destroy(session->http);
    kp_signal_destroy(session->sigint);
    kp_signal_destroy(session->sigterm);
    kp_signal_destroy(session->sighup);
    kp_loop_destroy(session->loop);
    kp_free(session);
    cli->session = NULL;
}

const char *kp_session_namespace(const struct kp_cli *cli)
{
    return cli->session->config.namespace;
}

int kp_session_wait(struct kp_cli *cli, const bool *done, struct kp_error *err)
{
    while (!kp_loop_run_until(cli->session->loop, done, 60 * 1000))
        ;
    return cli->session->is_interrupted ? kp_fail(err, KP_CANCELED, "interrupted") : 0;
}

// ---- one request ----

struct ask {
    struct kp_kube_call *call;
    bool is_done;
    json_t *json;
    struct kp_error err;
};

static void on_done(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct ask *ask = user;
    (void)http_status;
    ask->is_done = true;
    ask->call = NULL;
    if (err != NULL)
        ask->err = *err;
    else if (json != NULL)
        ask->json = json_incref(json);
}

static void on_interrupt(void *user)
{
    struct ask *ask = user;
    if (ask->call != NULL)
        kp_kube_cancel(ask->call);
}

int kp_session_json(struct kp_cli *cli, const char *method, const char *path, const json_t *body,
    json_t **ret, struct kp_error *err)
{
    int rc = kp_session_connect(cli, err);
    if (rc != 0)
        return rc;
    struct kp_session *session = cli->session;
    struct ask ask = {0};
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct kp_blob *blob = text ? kp_blob_copy(text, strlen(text)) : NULL;
    free(text); // jansson's
    const struct kp_kube_request request = {.method = method,
        .path = path,
        .content_type = body ? "application/json" : NULL,
        .body = blob,
        .timeout_ms = cli->flags.request_timeout_ms,
        .max_tries = 3,
        .on_done = on_done,
        .user = &ask};
    rc = kp_kube_start(session->kube, &request, &ask.call, err);
    kp_blob_unref(blob);
    if (rc != 0)
        return rc;
    session->on_interrupt = on_interrupt;
    session->interrupt_user = &ask;
    rc = kp_session_wait(cli, &ask.is_done, err);
    session->on_interrupt = NULL;
    if (rc == 0 && ask.err.code != 0) {
        if (err != NULL)
            *err = ask.err;
        rc = ask.err.code;
    }
    if (rc == 0 && ask.json == NULL)
        rc = kp_fail(err, KP_INVALID, "%s %s: the answer is no JSON", method, path);
    if (rc == 0)
        *ret = ask.json;
    else
        json_decref(ask.json);
    return rc;
}
