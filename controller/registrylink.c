#include "controller/registrylink.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "controller/apiservice.h"
#include "controller/certificates.h"
#include "controller/namespaces.h"
#include "sink/sink.h"
#include "base/banned.h"

#define MAX_CA_FILE (256u << 10)
#define N_NAMES     4

struct kp_registrylink {
    struct kp_registrylink_options options;
    struct kp_certificates *certificates; // NULL: not managed
    struct kp_apiservice *apiservice;
    struct kp_namespaces *namespaces;
    char *names[N_NAMES], *ca;
    bool usable, told_refusal;
};

struct asking {
    struct kp_registrylink *link;
    void (*on_probed)(void *asker, bool answers, const char *why_not);
    kp_namespaces_posted_fn on_posted;
    void *who;
};

// ---- the CA ----

static void use_ca(struct kp_registrylink *link, const char *bundle)
{
    if (kp_streq(link->ca, bundle))
        return;
    kp_free(link->ca);
    link->ca = kp_strdup(bundle);
    kp_sink_registry_set_ca(link->options.registry, bundle);
    kp_apiservice_set_bundle(link->apiservice, bundle);
}

static void on_bundle(void *user, const char *bundle)
{
    struct kp_registrylink *link = user;
    use_ca(link, bundle);
    if (link->usable)
        return;
    link->usable = true;
    link->options.on_usable(link->options.user);
}

static void on_client(void *user, const char *cert, const char *key)
{
    kp_sink_registry_set_client(((struct kp_registrylink *)user)->options.registry, cert, key);
}

static bool published(void *user, const char *bundle)
{
    const struct kp_registrylink *link = user;
    return kp_apiservice_published(link->apiservice, bundle);
}

// A CA of somebody else's changes its file when it likes.
static void read_ca_file(struct kp_registrylink *link)
{
    char *text = NULL;
    struct kp_error err = {0};
    if (link->certificates != NULL || link->options.config->ca_file == NULL)
        return;
    if (kp_file_read(link->options.config->ca_file, MAX_CA_FILE, &text, NULL, &err) != 0)
        KP_DEBUG("the registry's CA cannot be read", KP_E(&err));
    else
        use_ca(link, text);
    kp_free(text);
}

// ---- requests ----

static void on_asked(void *user, const struct kp_sink_answer *answer)
{
    struct asking *asking = user;
    bool ok = !answer->retry && answer->outcome == KP_OUTCOME_SUCCEEDED;
    if (asking->on_probed != NULL) {
        asking->on_probed(asking->who, ok, answer->message);
        if (ok) // it may have started anew since it was asked last
            kp_namespaces_ask(asking->link->namespaces);
    } else {
        bool again = answer->retry || answer->outcome == KP_OUTCOME_STORE_FULL;
        bool is_new = answer->status == 409;
        if (!ok && !is_new && !asking->link->told_refusal)
            KP_WARN("the registry does not take the namespaces' ages", KP_S("why", answer->message),
                KP_B("again", again));
        asking->link->told_refusal = !ok && !is_new;
        asking->on_posted(asking->who, ok       ? KP_NAMESPACES_TAKEN
                                       : is_new ? KP_NAMESPACES_TELL_ALL
                                       : again  ? KP_NAMESPACES_AGAIN
                                                : KP_NAMESPACES_REFUSED);
    }
    kp_free(asking);
}

static void probe(void *user, void (*on_done)(void *asker, bool answers, const char *why_not), void *asker)
{
    struct kp_registrylink *link = user;
    struct asking *asking = KP_NEW(struct asking);
    read_ca_file(link);
    if (link->certificates != NULL && link->ca == NULL) { // nothing to verify it with
        kp_free(asking);
        on_done(asker, false, "its CA is not made yet");
        return;
    }
    *asking = (struct asking){.link = link, .on_probed = on_done, .who = asker};
    kp_sink_registry_ask(link->options.registry, "GET", "/healthz", NULL, NULL, on_asked, asking);
}

static void on_answers(void *user, bool answers)
{
    struct kp_registrylink *link = user;
    if (!answers)
        return;
    kp_namespaces_tell_all(link->namespaces);
    link->options.on_back(link->options.user);
}

static void on_new(void *user)
{
    struct kp_registrylink *link = user;
    KP_SAY(KP_LOG_INFO, "the registry has started anew: it is told all namespaces");
    link->options.on_back(link->options.user);
}

static void post(void *user, struct kp_blob *body, kp_namespaces_posted_fn on_done, void *poster)
{
    struct kp_registrylink *link = user;
    struct asking *asking = KP_NEW(struct asking);
    *asking = (struct asking){.link = link, .on_posted = on_done, .who = poster};
    kp_sink_registry_ask(
        link->options.registry, "POST", "/api/v1/namespaces", "application/json", body, on_asked, asking);
}

static bool may_post(void *user)
{
    const struct kp_registrylink *link = user;
    return link->options.may_post == NULL || link->options.may_post(link->options.user);
}

// ---- life ----

static void create_certificates(struct kp_registrylink *link, struct kp_loop *loop)
{
    const struct kp_registrylink_options *o = &link->options;
    link->names[0] = kp_asprintf("%s.%s.svc", o->config->service, o->namespace);
    link->names[1] = kp_asprintf("%s.%s", o->config->service, o->namespace);
    link->names[2] = kp_strdup(o->config->service);
    link->names[3] = kp_strdup("localhost"); // kubectl port-forward
    const struct kp_certificates_options certificates = {.kube = o->kube,
        .namespace = o->namespace,
        .name = o->config->service,
        .renewal = {.ca_lifetime_ms = o->config->ca_lifetime_ms,
            .lifetime_ms = o->config->certificate_lifetime_ms,
            .settle_ms = o->config->settle_ms,
            .names = (const char *const *)link->names,
            .n_names = N_NAMES},
        .metrics = o->metrics,
        .published = published,
        .on_bundle = on_bundle,
        .on_client = o->config->client_certificate ? on_client : NULL,
        .user = link};
    link->certificates = kp_certificates_create(loop, &certificates);
}

struct kp_registrylink *kp_registrylink_create(
    struct kp_loop *loop, const struct kp_registrylink_options *options)
{
    struct kp_registrylink *link = KP_NEW(struct kp_registrylink);
    link->options = *options;
    const struct kp_apiservice_options api = {.kube = options->kube,
        .wanted = options->config->api_service,
        .namespace = options->namespace,
        .service = options->config->service,
        .port = options->config->api_service_port,
        .switch_name = options->config->api_service_switch,
        .metrics = options->metrics,
        .every_ms = options->config->every_ms,
        .probe = probe,
        .on_answers = on_answers,
        .user = link};
    link->apiservice = kp_apiservice_create(loop, &api);
    const struct kp_namespaces_options namespaces = {
        .post = post, .may_post = may_post, .on_new = on_new, .user = link};
    link->namespaces = kp_namespaces_create(loop, &namespaces);
    if (options->config->manage_certificates)
        create_certificates(link, loop);
    else
        link->usable = true;
    return link;
}

bool kp_registrylink_usable(const struct kp_registrylink *link)
{
    return link->usable;
}

void kp_registrylink_set_leading(struct kp_registrylink *link, bool leading)
{
    // Who does not lead has captures to deliver as well, from before or from before its last start.
    if (link->certificates != NULL)
        kp_certificates_set_running(
            link->certificates, leading ? KP_CERTIFICATES_KEEP : KP_CERTIFICATES_READ);
    kp_apiservice_set_running(link->apiservice, leading);
}

void kp_registrylink_set_posting(struct kp_registrylink *link, bool posting)
{
    kp_namespaces_set_posting(link->namespaces, posting && link->usable);
}

void kp_registrylink_set_namespace(struct kp_registrylink *link, const char *name, const char *created)
{
    kp_namespaces_set(link->namespaces, name, created);
}

void kp_registrylink_stop(struct kp_registrylink *link)
{
    if (link == NULL)
        return;
    kp_registrylink_set_leading(link, false);
    if (link->certificates != NULL)
        kp_certificates_set_running(link->certificates, KP_CERTIFICATES_STOP);
    kp_registrylink_set_posting(link, false);
}

void kp_registrylink_destroy(struct kp_registrylink *link)
{
    if (link == NULL)
        return;
    kp_certificates_destroy(link->certificates);
    kp_apiservice_destroy(link->apiservice);
    kp_namespaces_destroy(link->namespaces);
    for (size_t i = 0; i < N_NAMES; i++)
        kp_free(link->names[i]);
    kp_free(link->ca);
    kp_free(link);
}
