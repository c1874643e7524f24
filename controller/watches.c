#include "controller/watches.h"

#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/banned.h"

#define LASTING_MS 30000 // of refusals that may pass by themselves

enum kind { WATCH_POLICIES, WATCH_CLUSTER_POLICIES, WATCH_PODS, WATCH_NAMESPACES };

struct watch {
    enum kind kind;
    struct kp_watches *owner;
    char *path;
    char *namespace; // NULL = all
    struct kp_reflector *reflector;
    bool synced;
    int trouble;              // its code, 0 = well
    int64_t refused_since_ms; // the API server answers, but not well; monotonic, 0 = no
};

struct kp_watches {
    struct kp_watches_options options;
    KP_ARRAY(struct watch *) list;
    size_t n_synced;
    char why_not[1200];
};

// ---- what came ----

static void set_pod(struct watch *watch, const char *key, const struct kp_pod *pod)
{
    kp_inventory_set_pod(watch->owner->options.inventory, key, pod);
}

static void set_policy(struct watch *watch, const char *key, const json_t *object)
{
    struct kp_watches *watches = watch->owner;
    kp_auto_free char *full =
        watch->kind == WATCH_CLUSTER_POLICIES && key[0] != '/' ? kp_asprintf("/%s", key) : kp_strdup(key);
    const struct kp_policy *policy = kp_inventory_set_policy(watches->options.inventory, full, object);
    if (policy != NULL)
        kp_statuses_set_policy(watches->options.statuses, policy, object);
    else
        kp_statuses_drop_policy(watches->options.statuses, full);
    watches->options.on_change(watches->options.user, NULL);
}

static void set_namespace(struct watch *watch, const char *key, const json_t *object)
{
    const char *name = key[0] == '/' ? key + 1 : key;
    const struct kp_watches_options *options = &watch->owner->options;
    if (options->on_namespace != NULL)
        options->on_namespace(options->user, name,
            json_string_value(json_object_get(json_object_get(object, "metadata"), "creationTimestamp")));
    if (object == NULL) {
        kp_inventory_set_namespace(watch->owner->options.inventory, name, NULL);
        return;
    }
    KP_ARRAY(struct kp_label) items = {0};
    const char *label;
    json_t *value;
    json_t *labels = json_object_get(json_object_get(object, "metadata"), "labels");
    json_object_foreach(labels, label, value)
    {
        if (json_is_string(value))
            *kp_array_add(&items) = (struct kp_label){label, json_string_value(value)};
    }
    struct kp_labels *set = kp_labels_create(items.items, items.n);
    kp_inventory_set_namespace(watch->owner->options.inventory, name, set);
    kp_labels_destroy(set);
    kp_array_free(&items);
}

static void on_change(void *user, const char *key, void *old_value, void *new_value)
{
    struct watch *watch = user;
    (void)old_value;
    switch (watch->kind) {
    case WATCH_PODS:
        set_pod(watch, key, new_value);
        break;
    case WATCH_POLICIES:
    case WATCH_CLUSTER_POLICIES:
        set_policy(watch, key, new_value);
        break;
    case WATCH_NAMESPACES:
        set_namespace(watch, key, new_value);
        break;
    }
}

static void on_synced(void *user)
{
    struct watch *watch = user;
    struct kp_watches *watches = watch->owner;
    KP_INFO("cache complete", KP_S("path", watch->path),
        KP_I("objects", (int64_t)kp_reflector_count(watch->reflector)));
    watch->synced = true;
    if (++watches->n_synced == watches->list.n)
        watches->options.on_synced(watches->options.user);
}

static bool nobody_answers(int code)
{
    return code == KP_NETWORK || code == KP_TLS || code == KP_TIMEOUT;
}

// Of another kind is news, other words for the same are not.
static void on_trouble(void *user, const struct kp_error *err)
{
    struct watch *watch = user;
    int code = err != NULL ? err->code : KP_OK;
    if (err != NULL && code != watch->trouble)
        KP_WARN(
            "cannot watch; trying again, going on with what is known", KP_S("path", watch->path), KP_E(err));
    else if (err == NULL && watch->trouble != KP_OK)
        KP_INFO("watching again", KP_S("path", watch->path));
    watch->trouble = code;
    if (err == NULL || nobody_answers(code))
        watch->refused_since_ms = 0;
    else if (watch->refused_since_ms == 0)
        watch->refused_since_ms = kp_mono_ms();
    watch->owner->options.on_change(watch->owner->options.user, NULL);
}

// ---- life ----

static void add_watch(
    struct kp_watches *watches, enum kind kind, const char *namespace, const char *name, char *path)
{
    struct watch *watch = KP_NEW(struct watch);
    watch->kind = kind;
    watch->owner = watches;
    watch->path = path;
    watch->namespace = kp_strdup(namespace);
    struct kp_reflector_kind what = {
        .name = name,
        .path = watch->path,
        .decode = kind == WATCH_PODS ? kp_decode_pod : kp_decode_json,
        .decode_protobuf = kind == WATCH_PODS ? kp_decode_pod_protobuf : NULL,
        .unref = kind == WATCH_PODS ? kp_unref_pod : kp_unref_json,
    };
    struct kp_reflector_events events = {
        .on_change = on_change, .on_synced = on_synced, .on_trouble = on_trouble, .user = watch};
    watch->reflector = kp_reflector_create(watches->options.kube, &what, &events, watches->options.metrics);
    *kp_array_add(&watches->list) = watch;
}

static void add_namespace(struct kp_watches *watches, const char *namespace)
{
    add_watch(watches, WATCH_POLICIES, namespace, "profilingpolicies",
        kp_asprintf("/apis/" KP_API_VERSION "/namespaces/%s/profilingpolicies", namespace));
    add_watch(watches, WATCH_PODS, namespace, "pods", kp_asprintf("/api/v1/namespaces/%s/pods", namespace));
}

struct kp_watches *kp_watches_create(const struct kp_watches_options *options)
{
    struct kp_watches *watches = KP_NEW(struct kp_watches);
    watches->options = *options;
    if (options->namespaces != NULL && options->namespaces[0] != NULL) {
        for (size_t i = 0; options->namespaces[i] != NULL; i++)
            add_namespace(watches, options->namespaces[i]);
    } else {
        add_watch(watches, WATCH_POLICIES, NULL, "profilingpolicies",
            kp_strdup("/apis/" KP_API_VERSION "/profilingpolicies"));
        add_watch(watches, WATCH_PODS, NULL, "pods", kp_strdup("/api/v1/pods"));
    }
    if (options->cluster_policies) {
        add_watch(watches, WATCH_CLUSTER_POLICIES, NULL, "clusterprofilingpolicies",
            kp_strdup("/apis/" KP_API_VERSION "/clusterprofilingpolicies"));
        add_watch(watches, WATCH_NAMESPACES, NULL, "namespaces", kp_strdup("/api/v1/namespaces"));
    }
    return watches;
}

void kp_watches_start(struct kp_watches *watches)
{
    for (size_t i = 0; i < watches->list.n; i++)
        kp_reflector_start(watches->list.items[i]->reflector);
}

void kp_watches_destroy(struct kp_watches *watches)
{
    if (watches == NULL)
        return;
    for (size_t i = 0; i < watches->list.n; i++) {
        struct watch *watch = watches->list.items[i];
        kp_reflector_destroy(watch->reflector);
        kp_free(watch->path);
        kp_free(watch->namespace);
        kp_free(watch);
    }
    kp_array_free(&watches->list);
    kp_free(watches);
}

// The first watch that is not listed yet; of_trouble: and has trouble. NULL = there is none.
static const struct watch *first_unlisted(const struct kp_watches *watches, bool of_trouble)
{
    for (size_t i = 0; i < watches->list.n; i++) {
        const struct watch *watch = watches->list.items[i];
        if (!kp_reflector_synced(watch->reflector) &&
            (!of_trouble || kp_reflector_trouble(watch->reflector) != NULL))
            return watch;
    }
    return NULL;
}

static const char *not_listed(const struct kp_watches *watches, const struct watch *watch)
{
    const char *trouble = kp_reflector_trouble(watch->reflector);
    // written in place: the sentence is read at once, on this thread
    snprintf(((struct kp_watches *)(uintptr_t)watches)->why_not, sizeof watches->why_not,
        "%s are not listed yet%s%s", watch->path, trouble != NULL ? ": " : "",
        trouble != NULL ? trouble : "");
    return watches->why_not;
}

bool kp_watches_synced(const struct kp_watches *watches, const char **ret_why_not)
{
    const struct watch *watch = first_unlisted(watches, false);
    if (watch != NULL)
        *ret_why_not = not_listed(watches, watch);
    return watch == NULL;
}

const char *kp_watches_hindrance(const struct kp_watches *watches)
{
    const struct watch *watch = first_unlisted(watches, true);
    return watch != NULL ? not_listed(watches, watch) : NULL;
}

static bool lasts(const struct watch *watch)
{
    if (watch->trouble == KP_DENIED || watch->trouble == KP_NOT_FOUND || watch->trouble == KP_UNAUTHENTICATED)
        return true;
    return watch->refused_since_ms != 0 && kp_mono_ms() - watch->refused_since_ms >= LASTING_MS;
}

static bool matters_to(const struct watch *watch, const char *policy_key)
{
    size_t len = watch->namespace != NULL ? strlen(watch->namespace) : 0;
    if (watch->kind == WATCH_CLUSTER_POLICIES || watch->kind == WATCH_NAMESPACES)
        return policy_key[0] == '/';
    return watch->namespace == NULL ||
           (strncmp(policy_key, watch->namespace, len) == 0 && policy_key[len] == '/');
}

// policy_key: NULL = whatever is the matter
static const char *trouble_of(const struct kp_watches *watches, const char *policy_key)
{
    char *out = ((struct kp_watches *)(uintptr_t)watches)->why_not; // as above
    size_t len = 0;
    for (size_t i = 0; i < watches->list.n; i++) {
        const struct watch *watch = watches->list.items[i];
        const char *trouble = kp_reflector_trouble(watch->reflector);
        if (!watch->synced || trouble == NULL)
            continue;
        if (policy_key != NULL && !(matters_to(watch, policy_key) && lasts(watch)))
            continue;
        int n = snprintf(out + len, sizeof watches->why_not - len,
            "%s%s cannot be watched, going on with what is known: %s", len > 0 ? "; " : "", watch->path,
            trouble);
        len += n > 0 ? (size_t)n : 0;
        if (len >= sizeof watches->why_not) // of many namespaces the first ones
            break;
    }
    return len > 0 ? out : NULL;
}

const char *kp_watches_trouble(const struct kp_watches *watches)
{
    return trouble_of(watches, NULL);
}

const char *kp_watches_trouble_of(const struct kp_watches *watches, const char *policy_key)
{
    return trouble_of(watches, policy_key);
}

int64_t kp_watches_pods_mono_ms(const struct kp_watches *watches)
{
    int64_t oldest = INT64_MAX;
    for (size_t i = 0; i < watches->list.n; i++) {
        const struct watch *watch = watches->list.items[i];
        if (watch->kind != WATCH_PODS)
            continue;
        int64_t at = kp_reflector_last_event_mono_ms(watch->reflector);
        if (at < oldest)
            oldest = at;
    }
    return oldest == INT64_MAX ? 0 : oldest;
}

void kp_watches_ask_pods(struct kp_watches *watches)
{
    for (size_t i = 0; i < watches->list.n; i++)
        if (watches->list.items[i]->kind == WATCH_PODS)
            kp_reflector_ask(watches->list.items[i]->reflector);
}
