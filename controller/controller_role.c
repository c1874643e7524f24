// `kube-pprof controller`: flags, signals, the loop, the exit status.
#include "controller/env.h"
#include "controller/role.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aio/loop.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "controller/apiserver.h"
#include "controller/controller.h"
#include "controller/controller_options.h"
#include "http/server.h"
#include "serve/serve.h"
#include "base/banned.h"

struct role {
    int argc;
    char **argv;
    struct kp_controller_options options;
    struct kp_controller_config config;
    struct kp_loop *loop;
    struct kp_metrics *metrics;
    struct kp_controller *controller;
    struct kp_http_server *server;
    struct kp_serve *serve;
    struct kp_signal *signals[3];
    bool stopping;
};

static int fail(const struct kp_error *err)
{
    fprintf(stderr, "kube-pprof controller: %s\n", err->text);
    return err->code == KP_INVALID ? 2 : 1;
}

// ---- configuration ----

static void default_identity(struct role *role)
{
    char host[256] = "kube-pprof-controller";
    if (role->options.identity[0] != '\0')
        return;
    gethostname(host, sizeof host - 1);
    kp_free(role->options.identity);
    role->options.identity = kp_strdup(host);
    role->config.identity = role->options.identity;
}

static int load_kube(struct role *role, struct kp_error *err)
{
    struct kp_kube_config *kube = &role->config.kube;
    if (kp_apiserver_find(role->options.kubeconfig, role->options.context, kp_env, kube, err) != 0)
        return err->code;
    if (role->options.lease_namespace[0] == '\0')
        role->config.lease_namespace = kube->namespace;
    kp_controller_options_deny_server(&role->options, &role->config);
    return 0;
}

static int setup_log(const struct kp_controller_options *options, struct kp_error *err)
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
    struct role *role = user;
    kp_loop_stop(role->loop);
}

static void on_stopped(void *user)
{
    struct role *role = user;
    if (role->server != NULL)
        kp_http_server_drain(role->server, 500, on_drained, role);
    else
        kp_loop_stop(role->loop);
}

static void on_terminate(void *user)
{
    struct role *role = user;
    if (role->stopping) {
        KP_SAY(KP_LOG_WARN, "told to stop twice, going now");
        kp_loop_stop(role->loop);
        return;
    }
    role->stopping = true;
    KP_SAY(KP_LOG_INFO, "stopping: captures are cancelled, what is in hand is delivered or spooled");
    kp_controller_stop(role->controller, role->options.grace_ms, on_stopped, role);
}

static void on_hangup(void *user)
{
    struct role *role = user;
    struct kp_controller_options options = {0};
    struct kp_error err = {0};
    if (kp_controller_options_load(role->argc, role->argv, kp_env, &options, &err) == 0 &&
        setup_log(&options, &err) == 0)
        KP_INFO("read the log level again", KP_S("level", options.log_level));
    else
        KP_WARN("cannot read the configuration again, going on with the old one", KP_E(&err));
    kp_controller_options_finish(&options);
}

// ---- the outside ----

static int serve_health(struct role *role, struct kp_error *err)
{
    if (role->options.listen[0] == '\0')
        return 0;
    struct kp_http_server_options options = {.metrics = role->metrics};
    role->server = kp_http_server_create(role->loop, &options, err);
    if (role->server == NULL)
        return err->code;
    role->serve = kp_serve_create(role->loop, role->metrics);
    kp_serve_add_check(role->serve, "caches", kp_controller_caches, role->controller);
    kp_serve_add_check(role->serve, "status", kp_controller_status, role->controller);
    struct kp_http_listener listener = {.address = role->options.listen};
    int port;
    if (kp_http_server_listen(
            role->server, &listener, kp_serve_routes(role->serve), NULL, role->serve, &port, err) != 0)
        return kp_wrap(err, "cannot listen on '%s'", role->options.listen);
    return 0;
}

static int build(struct role *role, struct kp_error *err)
{
    role->loop = kp_loop_create();
    role->metrics = kp_metrics_create();
    kp_metrics_add_process(role->metrics);
    if (kp_controller_create(role->loop, &role->config, role->metrics, &role->controller, err) != 0)
        return err->code;
    if (serve_health(role, err) != 0)
        return err->code;
    role->signals[0] = kp_signal_create(role->loop, SIGTERM, on_terminate, role);
    role->signals[1] = kp_signal_create(role->loop, SIGINT, on_terminate, role);
    role->signals[2] = kp_signal_create(role->loop, SIGHUP, on_hangup, role);
    return 0;
}

static void tear_down(struct role *role)
{
    for (size_t i = 0; i < KP_COUNT(role->signals); i++)
        kp_signal_destroy(role->signals[i]);
    if (role->server != NULL)
        kp_http_server_close(role->server);
    kp_controller_destroy(role->controller);
    kp_serve_destroy(role->serve);
    kp_loop_destroy(role->loop);
    if (role->server != NULL)
        kp_http_server_free(role->server);
    kp_metrics_destroy(role->metrics);
    kp_kube_config_finish(&role->config.kube);
    kp_controller_options_finish(&role->options);
}

int kp_controller_main(int argc, char **argv)
{
    struct role role = {.argc = argc, .argv = argv};
    struct kp_error err = {0};
    kp_alloc_set_up();
    int code = kp_controller_options_load(argc, argv, kp_env, &role.options, &err);
    if (code == KP_OPTIONS_HELP) {
        kp_controller_options_help(stdout);
        return 0;
    }
    if (code != 0)
        return fail(&err);
    if (setup_log(&role.options, &err) != 0 ||
        kp_controller_options_config(&role.options, &role.config, &err) != 0)
        return fail(&err);
    default_identity(&role);
    if (load_kube(&role, &err) != 0 || build(&role, &err) != 0) {
        KP_ERROR("cannot start", KP_E(&err));
        return fail(&err);
    }
    signal(SIGPIPE, SIG_IGN); // a peer that closes is an error of that connection, not the end
    KP_INFO("controller starts", KP_S("version", KP_VERSION), KP_S("server", role.config.kube.server),
        KP_S("registry", role.options.registry_url));
    kp_controller_start(role.controller);
    kp_loop_run(role.loop);
    KP_SAY(KP_LOG_INFO, "controller stops");
    tear_down(&role);
    return 0;
}
