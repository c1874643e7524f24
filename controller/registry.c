// `kube-pprof registry`: opens the store, serves the API, stops in order. Wiring only.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aio/loop.h"
#include "api/api.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "controller/env.h"
#include "options/options.h"
#include "controller/registry_auth.h"
#include "controller/registry_options.h"
#include "controller/registry_tools.h"
#include "controller/registry_wait.h"
#include "controller/role.h"
#include "http/server.h"
#include "serve/serve.h"
#include "store/store.h"
#include "base/banned.h"

#define FILES_EVERY_MS 10000

struct registry {
    int argc;
    char **argv;
    struct kp_registry_options options;
    struct kp_metrics *metrics;
    struct kp_loop *loop;
    struct kp_store *store;
    struct kp_registry_auth *auth; // NULL = nobody is asked
    struct kp_api *api;
    struct kp_serve *serve;
    struct kp_http_server *server;
    struct kp_http_route routes[KP_API_ROUTES + KP_SERVE_ROUTES + 1];
    struct kp_signal *signals[3];
    struct kp_timer *files; // looks whether certificates have changed
    char files_trouble[240];
    bool stopping;
    char seal_error[256]; // said last
    uint64_t n_corrupt;   // damaged pieces that were said
    bool is_in_trouble;   // profiles cannot be stored: said once, not for each
};

static int set_up_log(const struct kp_registry_options *options, struct kp_error *err)
{
    enum kp_log_level level;
    if (kp_log_level_parse(options->log_level, &level, err) != 0)
        return err->code;
    kp_log_setup(level, kp_streq(options->log_format, "json"), STDERR_FILENO);
    return 0;
}

// ---- signals ----

static void on_drained(void *user)
{
    struct registry *r = user;
    kp_loop_stop(r->loop);
}

static void on_terminate(void *user)
{
    struct registry *r = user;
    if (r->stopping) { // asked twice: no more waiting
        kp_loop_stop(r->loop);
        return;
    }
    r->stopping = true;
    KP_INFO("stopping: running requests may finish", KP_I("grace_ms", r->options.grace_ms));
    kp_api_end_watches(r->api);
    kp_http_server_drain(r->server, r->options.grace_ms, on_drained, r);
}

static void look_at_files(void *user)
{
    struct registry *r = user;
    struct kp_error err = {0};
    if (kp_http_server_reload(r->server, &err) != 0 && !kp_streq(err.text, r->files_trouble))
        KP_ERROR("the certificate is not taken over, the old one is served", KP_E(&err));
    kp_copy(r->files_trouble, sizeof r->files_trouble, err.text);
    if (r->auth)
        kp_registry_auth_reload(r->auth);
}

// Damage that was found since: in what was read, or by sealing.
static void look_at_store(struct registry *r)
{
    struct kp_store_stats stats;
    kp_store_get_stats(r->store, &stats);
    if (stats.n_corrupt > r->n_corrupt)
        KP_WARN("damage was found in the folder: what is damaged is put aside and not served, the index is "
                "made anew; the disk may be losing bits, 'registry verify' names it",
            KP_I("damaged", (int64_t)(stats.n_corrupt - r->n_corrupt)));
    r->n_corrupt = stats.n_corrupt;
}

static void on_files(void *user)
{
    look_at_files(user);
    look_at_store(user);
}

static void on_hangup(void *user)
{
    struct registry *r = user;
    struct kp_error err = {0};
    struct kp_registry_options fresh = {0};
    if (kp_registry_options_load(r->argc, r->argv, kp_env, &fresh, &err) != 0 ||
        set_up_log(&fresh, &err) != 0)
        KP_ERROR("the configuration is not taken over", KP_E(&err));
    else
        KP_INFO("log level read again", KP_S("log_level", fresh.log_level));
    kp_registry_options_finish(&fresh);
    r->files_trouble[0] = '\0'; // who asks is told again
    look_at_files(r);
}

// ---- serving ----

// Who read what.
static void audit(const struct kp_http_exchange *x, int status, size_t bytes_sent)
{
    struct kp_api_described d;
    char path[300];
    if (!kp_api_describe(x, &d))
        return;
    kp_auto_free char *whole = kp_asprintf("%s?%s", kp_http_path(x), kp_http_query(x));
    kp_printable(path, sizeof path, whole, strlen(whole) - (kp_http_query(x)[0] == '\0'));
    KP_INFO("audit", KP_S("user", d.user), KP_S("verb", d.verb), KP_S("resource", d.resource),
        KP_S("namespace", d.namespace), KP_S("method", kp_http_method(x)), KP_S("path", path),
        KP_I("status", status), KP_I("bytes", (int64_t)bytes_sent), KP_S("peer", kp_http_peer(x)),
        KP_S("request_id", kp_http_request_id(x)));
}

static void on_access(
    void *user, const struct kp_http_exchange *x, int status, size_t bytes_sent, double seconds)
{
    struct registry *r = user;
    if (r->api)
        kp_api_on_access(r->api, x, status, bytes_sent, seconds);
    if (r->auth)
        audit(x, status, bytes_sent);
    bool is_said = status == 507 || (status == 503 && r->is_in_trouble);
    KP_LOG_(status >= 500 && !is_said ? KP_LOG_WARN : KP_LOG_DEBUG, "request",
        KP_S("method", kp_http_method(x)), KP_S("path", kp_http_path(x)), KP_I("status", status),
        KP_I("bytes", (int64_t)bytes_sent), KP_F("seconds", seconds), KP_S("peer", kp_http_peer(x)),
        KP_S("request_id", kp_http_request_id(x)));
}

static int listen_on(struct registry *r, const struct kp_http_listener *listener,
    const struct kp_http_route *routes, kp_http_handler_fn gate, void *user, struct kp_error *err)
{
    int port = 0;
    if (kp_http_server_listen(r->server, listener, routes, gate, user, &port, err) != 0)
        return kp_wrap(err, "cannot listen on '%s'", listener->address);
    KP_INFO("listening", KP_S("address", listener->address), KP_I("port", port),
        KP_B("tls", listener->cert_file != NULL));
    return 0;
}

// /healthz is on every listener; /readyz and /metrics are with the API until they get a listener of their
// own.
static void fill_routes(struct registry *r, bool apart)
{
    struct kp_http_route health[KP_SERVE_ROUTES];
    size_t n = kp_api_add_routes(r->routes);
    kp_serve_add_routes(r->serve, health);
    for (size_t i = 0; i < KP_SERVE_ROUTES; i++)
        if (!apart || kp_streq(health[i].path, "/healthz"))
            r->routes[n++] = health[i];
}

static int serve(struct registry *r, struct kp_error *err)
{
    const struct kp_http_server_options options = {.metrics = r->metrics, .on_access = on_access, .user = r};
    const struct kp_registry_options *o = &r->options;
    bool apart = o->metrics_listen[0] != '\0';
    r->server = kp_http_server_create(r->loop, &options, err);
    if (r->server == NULL)
        return err->code;
    r->serve = kp_serve_create(r->loop, r->metrics);
    kp_serve_add_check(r->serve, "store", kp_api_ready, r->api);
    kp_serve_add_check(r->serve, "writes", kp_api_writes, r->api);
    fill_routes(r, apart);
    bool tls = o->tls_cert_file[0] != '\0';
    if (r->auth)
        kp_serve_add_check(r->serve, "authentication", kp_registry_auth_ready, r->auth);
    else if (!kp_listen_is_local(o->listen))
        KP_WARN("--insecure-allow-everyone: whoever reaches this address reads and writes all profiles",
            KP_S("address", o->listen));
    const struct kp_http_listener api = {.address = o->listen,
        .ask_client_cert = o->aggregated_api || o->controller_client_ca_file[0] != '\0',
        .cert_file = tls ? o->tls_cert_file : NULL,
        .key_file = tls ? o->tls_key_file : NULL,
        .word_error = kp_api_word_error};
    const struct kp_http_listener health = {.address = o->metrics_listen};
    int rc = listen_on(r, &api, r->routes, kp_api_gate, r->api, err);
    if (rc == 0 && apart)
        rc = listen_on(r, &health, kp_serve_routes(r->serve), NULL, r->serve, err);
    return rc;
}

static enum kp_keep_original keep_original(const char *text)
{
    return kp_streq(text, "Always")  ? KP_ORIGINAL_ALWAYS
           : kp_streq(text, "Never") ? KP_ORIGINAL_NEVER
                                     : KP_ORIGINAL_ON_ERROR;
}

static void on_seal_failed(void *user, const struct kp_error *err)
{
    struct registry *r = user;
    bool is_news = !kp_streq(r->seal_error, err->text);
    kp_copy(r->seal_error, sizeof r->seal_error, err->text);
    KP_LOG_(is_news ? KP_LOG_WARN : KP_LOG_DEBUG,
        "sealing failed and will be tried again; profiles stay where they are", KP_E(err));
}

static void on_store_trouble(void *user, const struct kp_error *err)
{
    struct registry *r = user;
    r->is_in_trouble = err != NULL;
    if (err != NULL)
        KP_ERROR("profiles cannot be stored; it is tried again", KP_E(err));
    else
        KP_SAY(KP_LOG_INFO, "profiles are stored again");
}

static void on_namespaces(void *user, bool told)
{
    const struct registry *r = user;
    if (told)
        KP_SAY(KP_LOG_INFO, "the controller has told how old the namespaces are: profiles are shown");
    else
        KP_WARN("the controller has not told how old the namespaces are: who may read single namespaces is "
                "refused "
                "until it does; is it running?",
            KP_I("waited_ms", r->options.await_namespaces_ms));
}

static int build(struct registry *r, struct kp_error *err)
{
    r->metrics = kp_metrics_create();
    kp_metrics_add_process(r->metrics);
    r->loop = kp_loop_create();
    const struct kp_store_options store = {.dir = r->options.data_dir,
        .max_bytes = (uint64_t)r->options.max_bytes,
        .retention_ms = r->options.retention_ms,
        .max_retention_ms = r->options.max_retention_ms,
        .max_profiles_per_service = (uint64_t)r->options.max_profiles_per_service,
        .max_bytes_per_namespace = (uint64_t)r->options.max_bytes_per_namespace,
        .max_series_per_namespace = (size_t)r->options.max_series_per_namespace,
        .seal_after_ms = r->options.seal_after_ms,
        .keep_original = keep_original(r->options.keep_original),
        .metrics = r->metrics};
    int rc = kp_registry_open_store(&store, r->options.metrics_listen, &r->store, err);
    if (rc != 0)
        return rc;
    struct kp_store_stats stats;
    kp_store_get_stats(r->store, &stats);
    KP_INFO("store open", KP_S("folder", r->options.data_dir), KP_I("profiles", (int64_t)stats.n_profiles),
        KP_I("bytes", (int64_t)(stats.log_bytes + stats.segment_bytes)));
    r->n_corrupt = stats.n_corrupt;
    if (stats.n_corrupt > 0 || stats.n_torn > 0)
        KP_WARN(
            "damage in the folder: what is damaged is put aside and not served; 'registry verify' names it, "
            "after a crash a torn tail is usual",
            KP_I("damaged", (int64_t)stats.n_corrupt), KP_I("torn_tails", (int64_t)stats.n_torn));
    if (stats.n_missing > 0)
        KP_WARN(
            "segments are missing: somebody removed them, or a disk lost them; what the log has of them is "
            "served from there",
            KP_I("missing", (int64_t)stats.n_missing));
    if (kp_registry_asks_kubernetes(&r->options) &&
        kp_registry_auth_create(r->loop, r->metrics, &r->options, kp_env, &r->auth, err) != 0)
        return err->code;
    r->api = kp_api_create(&(struct kp_api_options){.loop = r->loop,
        .gate = r->auth ? kp_registry_auth_gate(r->auth) : kp_gate_everyone(),
        .namespace = r->auth ? kp_registry_auth_namespace(r->auth) : r->options.namespace,
        .store = r->store,
        .metrics = r->metrics,
        .on_seal_failed = on_seal_failed,
        .on_store_trouble = on_store_trouble,
        .await_namespaces_ms = r->options.await_namespaces_ms,
        .on_namespaces = on_namespaces,
        .user = r,
        .max_merges = (size_t)r->options.max_merges,
        .max_merges_per_namespace = (size_t)r->options.max_merges_per_namespace,
        .max_ingest_per_namespace = r->options.max_ingest_per_namespace,
        .accept_empty = r->options.accept_empty});
    r->signals[0] = kp_signal_create(r->loop, SIGTERM, on_terminate, r);
    r->signals[1] = kp_signal_create(r->loop, SIGINT, on_terminate, r);
    r->signals[2] = kp_signal_create(r->loop, SIGHUP, on_hangup, r);
    rc = serve(r, err);
    if (rc != 0)
        return rc;
    r->files = kp_timer_create(r->loop, on_files, r);
    kp_timer_start(r->files, FILES_EVERY_MS, FILES_EVERY_MS);
    return 0;
}

static void tear_down(struct registry *r)
{
    for (size_t i = 0; i < KP_COUNT(r->signals); i++)
        if (r->signals[i])
            kp_signal_destroy(r->signals[i]);
    if (r->server)
        kp_http_server_close(r->server);
    kp_api_destroy(r->api);
    r->api = NULL; // connections that end from here on are not counted
    kp_timer_destroy(r->files);
    kp_registry_auth_destroy(kp_take(r->auth));
    if (r->loop)
        kp_loop_destroy(r->loop);
    if (r->server)
        kp_http_server_free(r->server);
    kp_serve_destroy(r->serve);
    kp_store_close(r->store);
    kp_metrics_destroy(r->metrics);
    kp_registry_options_finish(&r->options);
}

static int run_registry(int argc, char **argv)
{
    struct registry r = {.argc = argc, .argv = argv};
    struct kp_error err = {0};
    int rc = kp_registry_options_load(argc, argv, kp_env, &r.options, &err);
    if (rc == KP_OPTIONS_HELP) {
        kp_registry_options_help(stdout);
        return 0;
    }
    if (rc == 0)
        rc = set_up_log(&r.options, &err);
    if (rc != 0) {
        fprintf(stderr, "kube-pprof registry: %s\n", err.text);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); // a full quota is an error of write(), not the end
    kp_alloc_set_up();
    KP_INFO("registry starting", KP_S("version", KP_VERSION));
    rc = build(&r, &err);
    if (rc == 0)
        kp_loop_run(r.loop);
    else if (rc != KP_CANCELED)
        KP_ERROR("the registry cannot start", KP_E(&err));
    tear_down(&r);
    return rc == 0 || rc == KP_CANCELED ? 0 : 1;
}

int kp_registry_main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } tools[] = {
        {"verify", kp_registry_verify_main},
        {"repair", kp_registry_repair_main},
        {"export", kp_registry_export_main},
        {"import", kp_registry_import_main},
    };
    for (size_t i = 0; argc > 1 && i < KP_COUNT(tools); i++)
        if (kp_streq(argv[1], tools[i].name))
            return tools[i].run(argc - 1, argv + 1);
    if (argc > 1 && argv[1][0] != '-') {
        fprintf(stderr,
            "kube-pprof registry: unknown command '%s': there are verify, repair, export, import; alone it "
            "serves\n",
            argv[1]);
        return 2;
    }
    return run_registry(argc, argv);
}
