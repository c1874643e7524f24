#include "controller/certificates.h"

#include <string.h>

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "controller/secretdata.h"
#include "base/banned.h"

#define EVERY_MS     30000
#define RETRY_MS     1000
#define RETRY_MAX_MS 60000
#define CLIENT_NAME  "kube-pprof controller"
#define MAX_STEPS    8 // in a row, without a wait between them

enum state {
    STATE_STOPPED,
    STATE_WAITING, // for the timer
    STATE_READING_CA,
    STATE_READING_TLS,
    STATE_WRITING,
};

enum which { SECRET_CA, SECRET_TLS };

struct kp_certificates {
    struct kp_pki_pair client; // told
    struct kp_certificates_options options;
    enum kp_certificates_mode mode;
    enum state state;
    struct kp_timer *timer;
    struct kp_kube_call *call;
    struct kp_backoff backoff;
    char *names[2], *paths[2];
    json_t *objects[2]; // as read; NULL = not there
    struct kp_renewal_state data;
    char *bundle;    // told
    char *published; // that was everywhere since:
    int64_t published_since_ms;
    struct kp_renewal doing;
    int steps;
    bool told_failure;
    struct kp_metric *expiry, *ca_expiry, *writes, *failures;
};

static int64_t now_ms(const struct kp_certificates *c)
{
    return c->options.now_ms != NULL ? c->options.now_ms() : kp_now_ms();
}

// What was read: keys among it.
static void forget(struct kp_certificates *c)
{
    for (int i = 0; i < 2; i++) {
        kp_secretdata_wipe(c->objects[i]);
        json_decref(c->objects[i]);
        c->objects[i] = NULL;
    }
    kp_renewal_state_finish(&c->data);
}

static void wait_for(struct kp_certificates *c, int64_t ms)
{
    forget(c); // who waits needs no key
    c->state = STATE_WAITING;
    c->steps = 0;
    kp_timer_start(c->timer, ms > 0 ? ms : 1, 0);
}

static void failed(struct kp_certificates *c, const struct kp_error *err)
{
    kp_metric_inc(c->failures);
    if (!c->told_failure)
        KP_WARN(c->mode == KP_CERTIFICATES_KEEP ? "the registry's certificates cannot be kept, trying again"
                                                : "the registry's CA cannot be read, trying again",
            KP_E(err));
    c->told_failure = true;
    wait_for(c, kp_backoff_next_ms(&c->backoff, kp_mono_ms()));
}

// ---- what lies in the Secrets ----

static void take_data(struct kp_certificates *c)
{
    json_t *ca = c->objects[SECRET_CA], *tls = c->objects[SECRET_TLS];
    kp_renewal_state_finish(&c->data);
    c->data.ca.cert = kp_secretdata_get(ca, "ca.crt");
    c->data.ca.key = kp_secretdata_get(ca, "ca.key");
    c->data.previous = kp_secretdata_get(ca, "previous.crt");
    c->data.serving.cert = kp_secretdata_get(tls, "tls.crt");
    c->data.serving.key = kp_secretdata_get(tls, "tls.key");
    c->data.bundle = kp_secretdata_get(tls, "ca.crt");
}

// Since when the bundle is with all that verify: starts anew with every bundle and every leader.
static void note_published(struct kp_certificates *c, const char *bundle)
{
    bool is_published = kp_streq(bundle, c->data.bundle) && c->options.published(c->options.user, bundle);
    if (!is_published) {
        kp_free(c->published);
        c->published = NULL;
    } else if (!kp_streq(c->published, bundle)) {
        kp_free(c->published);
        c->published = kp_strdup(bundle);
        c->published_since_ms = now_ms(c);
    }
    c->data.published_since_ms = c->published != NULL ? c->published_since_ms : 0;
}

// Signed anew with the serving certificate, so by a CA that is known to the registry; and at two thirds of
// its life.
static bool client_is_good(const struct kp_certificates *c)
{
    struct kp_pki_facts facts, serving;
    return c->client.cert != NULL && kp_pki_read(c->client.cert, &facts, NULL) == 0 &&
           kp_pki_read(c->data.serving.cert, &serving, NULL) == 0 &&
           memcmp(facts.issuer_key_id, serving.issuer_key_id, sizeof facts.issuer_key_id) == 0 &&
           facts.not_after_ms - now_ms(c) > c->options.renewal.lifetime_ms / 3;
}

static void note_client(struct kp_certificates *c)
{
    struct kp_pki_facts ca, serving;
    struct kp_pki_pair made = {0};
    struct kp_error err = {0};
    const struct kp_pki_request request = {
        .common_name = CLIENT_NAME, .client = true, .valid_ms = c->options.renewal.lifetime_ms};
    if (c->options.on_client == NULL || c->data.serving.cert == NULL || client_is_good(c) ||
        kp_pki_read(c->data.ca.cert, &ca, NULL) != 0 ||
        kp_pki_read(c->data.serving.cert, &serving, NULL) != 0)
        return;
    if (c->client.cert != NULL && memcmp(ca.key_id, serving.issuer_key_id, sizeof ca.key_id) != 0)
        return; // a new CA that does not sign yet
    if (kp_pki_sign(&c->data.ca, &request, now_ms(c), &made, &err) != 0) {
        KP_WARN("cannot make the controller's certificate for the registry", KP_E(&err));
        return;
    }
    kp_pki_pair_finish(&c->client);
    c->client = made;
    c->options.on_client(c->options.user, made.cert, made.key);
}

static void note_bundle(struct kp_certificates *c)
{
    struct kp_pki_facts facts;
    kp_auto_free char *bundle = kp_renewal_bundle(&c->data);
    note_published(c, bundle);
    note_client(c);
    if (c->data.serving.cert != NULL && kp_pki_read(c->data.serving.cert, &facts, NULL) == 0)
        kp_metric_set(c->expiry, (double)facts.not_after_ms / 1000);
    if (bundle == NULL || kp_pki_read(c->data.ca.cert, &facts, NULL) != 0)
        return;
    kp_metric_set(c->ca_expiry, (double)facts.not_after_ms / 1000);
    if (kp_streq(bundle, c->bundle))
        return;
    kp_free(c->bundle);
    c->bundle = kp_take(bundle);
    c->options.on_bundle(c->options.user, c->bundle);
}

// ---- one step ----

static void read_secret(struct kp_certificates *c, enum which which);

static void on_written(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct kp_certificates *c = user;
    c->call = NULL;
    kp_secretdata_wipe(json);
    // 409: somebody else was faster; 404: he removed it
    if (err != NULL && http_status != 409 && http_status != 404) {
        failed(c, err);
        return;
    }
    if (err == NULL)
        kp_metric_inc(c->writes);
    if (++c->steps < MAX_STEPS)
        read_secret(c, SECRET_CA); // to see what is next
    else
        wait_for(c, RETRY_MS);
}

static void write_secret(struct kp_certificates *c, enum which which)
{
    const struct kp_secretdata_item ca[] = {
        {"ca.crt", c->data.ca.cert}, {"ca.key", c->data.ca.key}, {"previous.crt", c->data.previous}, {0}};
    const struct kp_secretdata_item tls[] = {
        {"tls.crt", c->data.serving.cert}, {"tls.key", c->data.serving.key}, {"ca.crt", c->data.bundle}, {0}};
    struct kp_error err = {0};
    struct kp_kube_request request = {.method = "PUT",
        .path = c->paths[which],
        .content_type = "application/json",
        .body = kp_secretdata_object(c->objects[which], which == SECRET_CA ? ca : tls),
        .timeout_ms = 10000,
        .max_tries = 1,
        .on_done = on_written,
        .user = c};
    c->state = STATE_WRITING;
    int code = kp_kube_start(c->options.kube, &request, &c->call, &err);
    kp_blob_unref(request.body);
    if (code != 0)
        failed(c, &err);
}

static int64_t every_ms(const struct kp_certificates *c)
{
    return c->options.every_ms != 0 ? c->options.every_ms : EVERY_MS;
}

static void act(struct kp_certificates *c)
{
    struct kp_error err = {0};
    int64_t now = now_ms(c);
    kp_renewal_decide(&c->options.renewal, &c->data, now, &c->doing);
    if (c->doing.step == KP_RENEWAL_NOTHING) {
        if (c->told_failure)
            KP_SAY(KP_LOG_INFO, "the registry's certificates are kept again");
        c->told_failure = false;
        kp_backoff_reset(&c->backoff);
        wait_for(c, c->doing.again_ms - now < every_ms(c) ? c->doing.again_ms - now : every_ms(c));
        return;
    }
    static const char *const steps[] = {"", "makes a new CA", "drops the old CA", "publishes the CA bundle",
        "signs a new serving certificate"};
    bool is_ca = c->doing.step == KP_RENEWAL_MAKE_CA || c->doing.step == KP_RENEWAL_DROP_PREVIOUS;
    bool is_first = c->data.ca.cert == NULL || c->data.serving.cert == NULL;
    enum which which = is_ca ? SECRET_CA : SECRET_TLS;
    if (c->objects[which] == NULL) {
        kp_fail(&err, KP_NOT_FOUND,
            "the Secret '%s' is not there, and the controller may not make one: 'helm upgrade' makes it, or "
            "'kubectl -n %s create secret generic %s'",
            c->names[which], c->options.namespace, c->names[which]);
        failed(c, &err);
        return;
    }
    KP_LOG_(c->doing.is_repair && !is_first ? KP_LOG_WARN : KP_LOG_INFO, "certificates of the registry",
        KP_S("step", steps[c->doing.step]), KP_S("because", c->doing.why));
    if (kp_renewal_make(&c->options.renewal, c->doing.step, now, &c->data, &err) != 0) {
        failed(c, &err);
        return;
    }
    write_secret(c, which);
}

static void on_read(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct kp_certificates *c = user;
    enum which which = c->state == STATE_READING_CA ? SECRET_CA : SECRET_TLS;
    c->call = NULL;
    if (err != NULL && http_status != 404) {
        failed(c, err);
        return;
    }
    c->objects[which] = err == NULL ? json_incref(json) : NULL;
    if (which == SECRET_CA) {
        read_secret(c, SECRET_TLS);
        return;
    }
    take_data(c);
    note_bundle(c);
    if (c->mode == KP_CERTIFICATES_KEEP)
        act(c);
    else
        wait_for(c, every_ms(c));
}

static void read_secret(struct kp_certificates *c, enum which which)
{
    struct kp_error err = {0};
    struct kp_kube_request request = {.method = "GET",
        .path = c->paths[which],
        .timeout_ms = 10000,
        .max_tries = 1,
        .on_done = on_read,
        .user = c};
    if (which == SECRET_CA)
        forget(c);
    c->state = which == SECRET_CA ? STATE_READING_CA : STATE_READING_TLS;
    if (kp_kube_start(c->options.kube, &request, &c->call, &err) != 0)
        failed(c, &err);
}

static void on_timer(void *user)
{
    struct kp_certificates *c = user;
    if (c->state == STATE_WAITING)
        read_secret(c, SECRET_CA);
}

// ---- life ----

static void make_metrics(struct kp_certificates *c, struct kp_metrics *metrics)
{
    if (metrics == NULL)
        return;
    c->expiry = kp_gauge(metrics, "kube_pprof_registry_certificate_expiry_timestamp_seconds",
        "When the registry's serving certificate ends, as the leader keeps it.");
    c->ca_expiry =
        kp_gauge(metrics, "kube_pprof_registry_ca_expiry_timestamp_seconds", "When the registry's CA ends.");
    c->writes = kp_counter(metrics, "kube_pprof_certificate_writes_total",
        "Secrets of the registry written by this controller.");
    c->failures = kp_counter(metrics, "kube_pprof_certificate_failures_total",
        "Times the registry's Secrets could not be read or written.");
}

struct kp_certificates *kp_certificates_create(
    struct kp_loop *loop, const struct kp_certificates_options *options)
{
    static const char *const suffixes[] = {"ca", "tls"};
    struct kp_certificates *c = KP_NEW(struct kp_certificates);
    c->options = *options;
    for (int i = 0; i < 2; i++) {
        c->names[i] = kp_asprintf("%s-%s", options->name, suffixes[i]);
        c->paths[i] = kp_asprintf("/api/v1/namespaces/%s/secrets/%s", options->namespace, c->names[i]);
    }
    kp_backoff_init(&c->backoff, RETRY_MS, RETRY_MAX_MS, 0.5, (uint64_t)kp_mono_ms());
    c->timer = kp_timer_create(loop, on_timer, c);
    make_metrics(c, options->metrics);
    return c;
}

void kp_certificates_set_running(struct kp_certificates *c, enum kp_certificates_mode mode)
{
    if (c->mode == mode)
        return;
    c->mode = mode;
    kp_kube_forget(kp_take(c->call));
    kp_timer_stop(c->timer);
    c->state = STATE_STOPPED;
    kp_free(kp_take(c->published));
    if (mode != KP_CERTIFICATES_STOP)
        wait_for(c, 0);
    else
        forget(c);
}

void kp_certificates_destroy(struct kp_certificates *c)
{
    if (c == NULL)
        return;
    kp_certificates_set_running(c, KP_CERTIFICATES_STOP);
    kp_timer_destroy(c->timer);
    for (int i = 0; i < 2; i++) {
        kp_free(c->names[i]);
        kp_free(c->paths[i]);
    }
    kp_pki_pair_finish(&c->client);
    kp_free(c->bundle);
    kp_free(c);
}
