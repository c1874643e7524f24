#include "controller/registry_auth.h"

#include "auth/auth.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "controller/apiserver.h"
#include "http/server.h"
#include "kube/client.h"
#include "base/banned.h"

#define QUESTIONS_PER_SECOND 200

struct kp_registry_auth {
    const struct kp_registry_options *options;
    struct kp_kube_config config;
    struct kp_kube *kube;
    struct kp_auth *auth;
    char *ca_text; // of controllers, as read
    char ca_trouble[240];
};

static void on_trouble(void *user, const char *what, const struct kp_error *err)
{
    (void)user;
    if (err == NULL)
        KP_INFO("authentication works again", KP_S("what", what));
    else
        KP_WARN("who is not known already is refused: the API server does not say who it is",
            KP_S("what", what), KP_E(err));
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

// ---- the CA of controllers ----

static int read_ca(struct kp_registry_auth *a, struct kp_error *err)
{
    struct kp_http_trust *trust;
    char *text;
    size_t len;
    if (kp_file_read(a->options->controller_client_ca_file, KP_MIB, &text, &len, err) != 0)
        return err->code;
    if (kp_streq(text, a->ca_text)) {
        kp_free(text);
        return 0;
    }
    int code = kp_http_trust_create(text, &trust, err);
    if (code != 0) {
        kp_free(text);
        return code;
    }
    if (a->ca_text != NULL)
        KP_INFO("took over the new CA of controllers", KP_S("file", a->options->controller_client_ca_file));
    kp_free(a->ca_text);
    a->ca_text = text;
    kp_auth_set_controller_ca(a->auth, trust);
    return 0;
}

void kp_registry_auth_reload(struct kp_registry_auth *a)
{
    struct kp_error err = {0};
    if (a->options->controller_client_ca_file[0] == '\0')
        return;
    if (read_ca(a, &err) != 0 && !kp_streq(err.text, a->ca_trouble))
        KP_WARN("the CA of controllers is not taken over, the old one goes on to count", KP_E(&err));
    kp_copy(a->ca_trouble, sizeof a->ca_trouble, err.text);
}

// ---- life ----

int kp_registry_auth_create(struct kp_loop *loop, struct kp_metrics *metrics,
    const struct kp_registry_options *options, const char *(*env)(const char *name),
    struct kp_registry_auth **ret, struct kp_error *err)
{
    struct kp_kube_config config = {0};
    if (kp_apiserver_find(options->kubeconfig, options->context, env, &config, err) != 0)
        return err->code;
    struct kp_registry_auth *a = KP_NEW(struct kp_registry_auth);
    a->options = options;
    a->config = config;
    const struct kp_kube_options kube = {.user_agent = "kube-pprof-registry/" KP_VERSION,
        .metrics = metrics,
        .writes_per_second = QUESTIONS_PER_SECOND};
    a->kube = kp_kube_create(loop, &a->config, &kube);
    const struct kp_auth_options auth = {.loop = loop,
        .kube = a->kube,
        .audiences = (const char *const *)options->token_audiences.items,
        .n_audiences = options->token_audiences.n,
        .api_server_tokens = options->accept_api_server_tokens,
        .anonymous_namespace = or_null(options->allow_anonymous),
        .front_proxy = options->aggregated_api,
        .metrics = metrics,
        .on_trouble = on_trouble};
    a->auth = kp_auth_create(&auth);
    if (options->controller_client_ca_file[0] != '\0' && read_ca(a, err) != 0) {
        kp_registry_auth_destroy(a);
        return kp_wrap(err, "--controller-client-ca-file");
    }
    if (options->allow_anonymous[0] != '\0')
        KP_WARN(
            "--allow-anonymous: whoever reaches /api/0 reads and pushes profiles of this namespace without "
            "saying who he is",
            KP_S("namespace", options->allow_anonymous));
    *ret = a;
    return 0;
}

void kp_registry_auth_destroy(struct kp_registry_auth *a)
{
    if (a == NULL)
        return;
    kp_auth_destroy(a->auth);
    kp_kube_destroy(a->kube);
    kp_kube_config_finish(&a->config);
    kp_free(a->ca_text);
    kp_free(a);
}

struct kp_gate kp_registry_auth_gate(struct kp_registry_auth *a)
{
    return kp_auth_gate(a->auth);
}

const char *kp_registry_auth_namespace(const struct kp_registry_auth *a)
{
    return a->options->namespace[0] != '\0' ? a->options->namespace : a->config.namespace;
}

bool kp_registry_auth_ready(void *user, const char **ret_why_not)
{
    return kp_auth_ready(((struct kp_registry_auth *)user)->auth, ret_why_not);
}
