#include "controller/secrets.h"

#include <string.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "base/banned.h"

#define KEEP_MS         30000
#define KEEP_FAILURE_MS 10000
#define USE_LABEL       "kube-pprof.dev/use"

// One object as last read.
struct entry {
    char *path; // API path, the key
    bool is_secret;
    json_t *data; // NULL: not read, or failed
    struct kp_error error;
    int64_t until_ms; // monotonic
    struct kp_kube_call *call;
    struct kp_list waiting; // of struct step
    struct kp_secrets *owner;
    UT_hash_handle hh;
};

enum { REF_CA, REF_CLIENT, REF_AUTH, REF_COUNT };

// One endpoint being resolved: walks over its references one by one.
struct step {
    struct kp_list in_entry;
    struct kp_list in_all;
    struct kp_secrets *owner;
    struct kp_endpoint
        endpoint; // strings borrowed from the policy, which is referenced by the order of the caller
    char *namespace;
    int next;       // REF_*
    char *texts[6]; // bearer username password ca cert key
    void (*on_done)(void *user, const struct kp_capture_secrets *resolved, const struct kp_error *err);
    void *user;
};
enum { TEXT_BEARER, TEXT_USERNAME, TEXT_PASSWORD, TEXT_CA, TEXT_CERT, TEXT_KEY };

struct kp_secrets {
    struct kp_kube *kube;
    struct entry *entries;
    struct kp_list steps; // all that run
    struct kp_list ready; // steps to go on with at the next turn
    struct kp_timer *turn, *sweep;
};

static void go_on(struct step *step);

static void wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    kp_free(text);
}

static void step_end(struct step *step, const struct kp_error *err)
{
    struct kp_capture_secrets resolved = {
        .bearer = step->texts[TEXT_BEARER],
        .username = step->texts[TEXT_USERNAME],
        .password = step->texts[TEXT_PASSWORD],
        .ca_pem = step->texts[TEXT_CA],
        .cert_pem = step->texts[TEXT_CERT],
        .key_pem = step->texts[TEXT_KEY],
    };
    step->on_done(step->user, err == NULL ? &resolved : NULL, err);
    kp_list_remove(&step->in_entry);
    kp_list_remove(&step->in_all);
    for (size_t i = 0; i < KP_COUNT(step->texts); i++)
        wipe(step->texts[i]);
    kp_free(step->namespace);
    kp_free(step);
}

// ---- entries ----

static void entry_free(struct kp_secrets *secrets, struct entry *entry)
{
    HASH_DEL(secrets->entries, entry);
    json_decref(entry->data);
    kp_free(entry->path);
    kp_free(entry);
}

static void on_object(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct entry *entry = user;
    (void)http_status;
    entry->call = NULL;
    json_decref(entry->data);
    entry->data = NULL;
    kp_error_clear(&entry->error);
    const char *what = entry->is_secret ? "Secret" : "ConfigMap";
    const char *name = strrchr(entry->path, '/') + 1;
    if (err != NULL) {
        entry->error = *err;
        if (err->code == KP_DENIED)
            kp_wrap(&entry->error,
                "may not read %s '%s' (give the controller's ServiceAccount 'get' on it by a RoleBinding)",
                what, name);
        else
            kp_wrap(&entry->error, "cannot read %s '%s'", what, name);
    } else {
        const char *use = json_string_value(
            json_object_get(json_object_get(json_object_get(json, "metadata"), "labels"), USE_LABEL));
        if (entry->is_secret && !kp_streq(use, "true"))
            kp_fail(&entry->error, KP_DENIED,
                "Secret '%s' is not labelled for kube-pprof: set the label %s=true on it", name, USE_LABEL);
        else
            entry->data = json_incref(json_object_get(json, "data"));
    }
    entry->until_ms = kp_mono_ms() + (entry->error.code != 0 ? KEEP_FAILURE_MS : KEEP_MS);
    kp_list_foreach_safe (node, &entry->waiting) {
        kp_list_remove(node);
        kp_list_append(&entry->owner->ready, node);
    }
    kp_timer_start(entry->owner->turn, 0, 0);
}

static struct entry *entry_get(
    struct kp_secrets *secrets, const char *namespace, const char *name, bool is_secret)
{
    kp_auto_free char *path =
        kp_asprintf("/api/v1/namespaces/%s/%s/%s", namespace, is_secret ? "secrets" : "configmaps", name);
    struct entry *entry;
    HASH_FIND_STR(secrets->entries, path, entry);
    if (entry == NULL) {
        entry = KP_NEW(struct entry);
        entry->path = kp_take(path);
        entry->is_secret = is_secret;
        entry->owner = secrets;
        kp_list_init(&entry->waiting);
        HASH_ADD_KEYPTR(hh, secrets->entries, entry->path, strlen(entry->path), entry);
    }
    return entry;
}

static bool entry_fresh(const struct entry *entry)
{
    return entry->until_ms > kp_mono_ms();
}

// Waits for a fresh entry; false if the request could not be made.
static bool entry_wait(struct entry *entry, struct step *step)
{
    if (entry->call == NULL) {
        struct kp_kube_request request = {
            .method = "GET",
            .path = entry->path,
            .max_body = 2 * KP_MIB,
            .timeout_ms = 10000,
            .max_tries = 2,
            .on_done = on_object,
            .user = entry,
        };
        kp_error_clear(&entry->error);
        if (kp_kube_start(entry->owner->kube, &request, &entry->call, &entry->error) != 0)
            return false;
    }
    kp_list_append(&entry->waiting, &step->in_entry);
    return true;
}

// A key's text; Secrets are base64. NULL with err set where it is missing.
static char *entry_text(const struct entry *entry, const char *key, struct kp_error *err)
{
    const char *name = strrchr(entry->path, '/') + 1;
    const char *value = json_string_value(json_object_get(entry->data, key));
    if (value == NULL) {
        kp_fail(err, KP_NOT_FOUND, "%s '%s' has no key '%s'", entry->is_secret ? "Secret" : "ConfigMap", name,
            key);
        return NULL;
    }
    if (!entry->is_secret)
        return kp_strdup(value);
    size_t len = strlen(value);
    char *text = kp_calloc(1, len / 4 * 3 + 4);
    int n = EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)value, (int)len);
    if (n < 0) {
        kp_fail(err, KP_INVALID, "Secret '%s' key '%s' is not base64", name, key);
        kp_free(text);
        return NULL;
    }
    for (size_t i = len; i > 0 && value[i - 1] == '=' && n > 0; i--)
        n--;
    text[n] = '\0';
    return text;
}

// ---- steps ----

static char *trimmed(char *text)
{
    if (text != NULL) {
        size_t n = strlen(text);
        while (n > 0 && strchr(" \r\n\t", text[n - 1]) != NULL)
            text[--n] = '\0';
    }
    return text;
}

static int take_texts(struct step *step, const struct entry *entry, int ref, struct kp_error *err)
{
    const struct kp_endpoint *endpoint = &step->endpoint;
    if (ref == REF_CA) {
        step->texts[TEXT_CA] = entry_text(entry, endpoint->tls_ca.key, err);
    } else if (ref == REF_CLIENT) {
        step->texts[TEXT_CERT] = entry_text(entry, "tls.crt", err);
        step->texts[TEXT_KEY] = entry_text(entry, "tls.key", err);
    } else if (endpoint->auth == KP_AUTH_BEARER) {
        step->texts[TEXT_BEARER] = trimmed(entry_text(entry, endpoint->auth_secret.key, err));
    } else {
        step->texts[TEXT_USERNAME] = trimmed(entry_text(entry, "username", err));
        step->texts[TEXT_PASSWORD] = trimmed(entry_text(entry, "password", err));
    }
    return err->code;
}

static const char *ref_name(const struct kp_endpoint *endpoint, int ref, bool *ret_is_secret)
{
    *ret_is_secret = true;
    switch (ref) {
    case REF_CA:
        *ret_is_secret = !endpoint->tls_ca.is_config_map;
        return endpoint->tls_ca.name;
    case REF_CLIENT:
        return endpoint->tls_client_secret;
    default:
        return endpoint->auth != KP_AUTH_NONE ? endpoint->auth_secret.name : NULL;
    }
}

static void go_on(struct step *step)
{
    struct kp_error err = {0};
    for (; step->next < REF_COUNT; step->next++) {
        bool is_secret;
        const char *name = ref_name(&step->endpoint, step->next, &is_secret);
        if (name == NULL)
            continue;
        if (!kp_kube_name_valid(name)) {
            kp_fail(&err, KP_INVALID, "'%s' is not a name of a %s", name, is_secret ? "Secret" : "ConfigMap");
            break;
        }
        struct entry *entry = entry_get(step->owner, step->namespace, name, is_secret);
        if (!entry_fresh(entry)) {
            if (entry_wait(entry, step))
                return;
            err = entry->error;
            break;
        }
        if (entry->error.code != 0) {
            err = entry->error;
            break;
        }
        if (take_texts(step, entry, step->next, &err) != 0)
            break;
    }
    step_end(step, err.code != 0 ? &err : NULL);
}

static void on_turn(void *user)
{
    struct kp_secrets *secrets = user;
    struct kp_list now;
    kp_list_init(&now);
    while (!kp_list_empty(&secrets->ready)) {
        struct kp_list *node = secrets->ready.next;
        kp_list_remove(node);
        kp_list_append(&now, node);
    }
    while (!kp_list_empty(&now)) {
        struct step *step = kp_container_of(now.next, struct step, in_entry);
        kp_list_remove(&step->in_entry);
        go_on(step);
    }
}

static void on_sweep(void *user)
{
    struct kp_secrets *secrets = user;
    struct entry *entry, *next;
    HASH_ITER (hh, secrets->entries, entry, next)
        if (entry->call == NULL && !entry_fresh(entry) && kp_list_empty(&entry->waiting))
            entry_free(secrets, entry);
}

bool kp_endpoint_needs_secrets(const struct kp_endpoint *endpoint)
{
    return endpoint != NULL && (endpoint->tls_ca.name != NULL || endpoint->tls_client_secret != NULL ||
                                   endpoint->auth != KP_AUTH_NONE);
}

void kp_secrets_resolve(struct kp_secrets *secrets, const struct kp_endpoint *endpoint, const char *namespace,
    void (*on_done)(void *user, const struct kp_capture_secrets *resolved, const struct kp_error *err),
    void *user)
{
    struct step *step = KP_NEW(struct step);
    step->owner = secrets;
    step->endpoint = *endpoint;
    step->namespace = kp_strdup(namespace);
    step->on_done = on_done;
    step->user = user;
    kp_list_append(&secrets->steps, &step->in_all);
    kp_list_append(&secrets->ready, &step->in_entry);
    kp_timer_start(secrets->turn, 0, 0);
}

struct kp_secrets *kp_secrets_create(struct kp_loop *loop, struct kp_kube *kube)
{
    struct kp_secrets *secrets = KP_NEW(struct kp_secrets);
    secrets->kube = kube;
    kp_list_init(&secrets->steps);
    kp_list_init(&secrets->ready);
    secrets->turn = kp_timer_create(loop, on_turn, secrets);
    secrets->sweep = kp_timer_create(loop, on_sweep, secrets);
    kp_timer_start(secrets->sweep, 60000, 60000);
    return secrets;
}

void kp_secrets_destroy(struct kp_secrets *secrets)
{
    if (secrets == NULL)
        return;
    kp_timer_destroy(secrets->turn);
    kp_timer_destroy(secrets->sweep);
    struct kp_error err = {0};
    kp_fail(&err, KP_CANCELED, "the controller stops");
    kp_list_foreach_safe (node, &secrets->steps)
        step_end(kp_container_of(node, struct step, in_all), &err);
    struct entry *entry, *next;
    HASH_ITER (hh, secrets->entries, entry, next)
        entry_free(secrets, entry);
    kp_free(secrets);
}
