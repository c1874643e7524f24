#include "testkit/kube_api.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "testkit/peer.h"
#include "base/banned.h"

struct grant {
    char *user, *verb, *subresource, *namespace;
};

struct kp_test_api {
    struct kp_peer *peer;
    pthread_mutex_t lock; // of all below
    enum kp_test_api_mode mode;
    bool stopping;
    KP_ARRAY(char *) revoked;
    KP_ARRAY(struct grant) grants;
    char *front_proxy, *last_access;
    int version; // of the front proxy's ConfigMap
    size_t token_reviews, access_reviews;
};

// ---- reading ----

// The text of "key":"text" in JSON without escapes, cut if longer; "" if it is not there.
static void field(const char *json, const char *key, char *out, size_t size)
{
    kp_auto_free char *head = kp_asprintf("\"%s\":\"", key);
    const char *from = strstr(json, head);
    size_t len = from != NULL ? strcspn(from + strlen(head), "\"") : 0;
    if (len >= size)
        len = size - 1;
    if (from != NULL)
        memcpy(out, from + strlen(head), len);
    out[len] = '\0';
}

static const struct kp_step *reply(struct kp_peer *peer, int status, const char *text)
{
    return kp_peer_answer(peer, status, "application/json", text, strlen(text));
}

// ---- reviews ----

static bool is_revoked(const struct kp_test_api *api, const char *token)
{
    for (size_t i = 0; i < api->revoked.n; i++)
        if (strcmp(api->revoked.items[i], token) == 0)
            return true;
    return false;
}

static const struct kp_step *review_token(struct kp_test_api *api, struct kp_peer *peer, const char *body)
{
    char token[1024];
    field(body, "token", token, sizeof token);
    api->token_reviews++;
    char *at = strrchr(token, '@');
    const char *audience = at != NULL ? at + 1 : "";
    kp_auto_free char *quoted = kp_asprintf("\"%s\"", audience);
    const char *asked = strstr(body, "\"audiences\":");
    bool good = at != NULL && !is_revoked(api, token) &&
                (asked != NULL ? strstr(asked, quoted) != NULL && *audience != '\0' : *audience == '\0');
    if (!good)
        return reply(peer, 201, "{\"kind\":\"TokenReview\",\"status\":{\"error\":\"nobody's\"}}");
    *at = '\0';
    kp_auto_free char *text =
        kp_asprintf("{\"kind\":\"TokenReview\",\"status\":{\"authenticated\":true,\"audiences\":[%s],"
                    "\"user\":{\"username\":\"%s\",\"uid\":\"u-%s\",\"groups\":[\"system:authenticated\"],"
                    "\"extra\":{\"k\":[\"v\"]}}}}",
            quoted, token, token);
    return reply(peer, 201, text);
}

static bool matches(const char *granted, const char *wanted)
{
    return strcmp(granted, "*") == 0 || strcmp(granted, wanted) == 0;
}

static const struct kp_step *review_access(struct kp_test_api *api, struct kp_peer *peer, const char *body)
{
    char user[1024], verb[64], subresource[64], namespace[256];
    field(body, "user", user, sizeof user);
    field(body, "verb", verb, sizeof verb);
    field(body, "subresource", subresource, sizeof subresource);
    field(body, "namespace", namespace, sizeof namespace);
    api->access_reviews++;
    kp_free(api->last_access);
    api->last_access = kp_strdup(body);
    bool allowed = false;
    for (size_t i = 0; i < api->grants.n; i++) {
        const struct grant *g = &api->grants.items[i];
        // what is granted in all namespaces is in each
        allowed |= strcmp(g->user, user) == 0 && matches(g->verb, verb) &&
                   matches(g->subresource, subresource) &&
                   (matches(g->namespace, namespace) || g->namespace[0] == '\0');
    }
    return reply(peer, 201,
        allowed ? "{\"kind\":\"SubjectAccessReview\",\"status\":{\"allowed\":true}}"
                : "{\"kind\":\"SubjectAccessReview\",\"status\":{\"allowed\":false}}");
}

// ---- the front proxy's ConfigMap ----

static void add_event(struct kp_strbuf *out, const char *type, int version, const char *data)
{
    kp_strbuf_addf(out,
        "{\"type\":\"%s\",\"object\":{\"metadata\":{\"name\":\"extension-apiserver-authentication\","
        "\"namespace\":\"kube-system\",\"resourceVersion\":\"%d\"},\"data\":%s}}\n",
        type, version, data != NULL ? data : "{}");
}

static const struct kp_step *watch(struct kp_test_api *api, struct kp_peer *peer, const char *target)
{
    kp_auto_strbuf out;
    const char *from = strstr(target, "&resourceVersion=");
    int64_t seen = 0;
    char number[16] = "";
    kp_strbuf_init(&out, 1 << 20);
    if (from != NULL)
        snprintf(number, sizeof number, "%.*s", (int)strcspn(from + 17, "&"), from + 17);
    bool is_first = kp_parse_int(number, 1, INT32_MAX, &seen, NULL) != 0;
    while (!is_first && seen >= api->version && !api->stopping) {
        pthread_mutex_unlock(&api->lock);
        usleep(1000);
        pthread_mutex_lock(&api->lock);
    }
    if (api->stopping)
        return NULL;
    if (api->front_proxy != NULL || !is_first)
        add_event(&out,
            is_first                   ? "ADDED"
            : api->front_proxy == NULL ? "DELETED"
                                       : "MODIFIED",
            api->version, api->front_proxy);
    if (is_first)
        kp_strbuf_addf(&out,
            "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"%d\",\"annotations\":{"
            "\"k8s.io/initial-events-end\":\"true\"}}}}\n",
            api->version);
    return reply(peer, 200, out.data);
}

// ---- requests ----

static const struct kp_step *answer(
    struct kp_test_api *api, struct kp_peer *peer, const struct kp_peer_request *request)
{
    while (api->mode == KP_TEST_API_HANGS && !api->stopping) {
        pthread_mutex_unlock(&api->lock);
        usleep(1000);
        pthread_mutex_lock(&api->lock);
    }
    if (api->mode == KP_TEST_API_CLOSES || api->stopping)
        return NULL;
    if (api->mode == KP_TEST_API_FORBIDS)
        return reply(peer, 403,
            "{\"kind\":\"Status\",\"message\":\"reviews are "
            "forbidden\",\"reason\":\"Forbidden\",\"code\":403}");
    if (kp_streq(request->target, "/apis/authentication.k8s.io/v1/tokenreviews"))
        return review_token(api, peer, request->body);
    if (kp_streq(request->target, "/apis/authorization.k8s.io/v1/subjectaccessreviews"))
        return review_access(api, peer, request->body);
    if (kp_starts_with(request->target, "/api/v1/namespaces/kube-system/configmaps?fieldSelector="
                                        "metadata.name%3Dextension-apiserver-authentication&watch=1"))
        return watch(api, peer, request->target);
    return reply(peer, 404, "{\"kind\":\"Status\",\"message\":\"no such path\",\"reason\":\"NotFound\"}");
}

static const struct kp_step *route(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    struct kp_test_api *api = user;
    pthread_mutex_lock(&api->lock);
    const struct kp_step *steps = answer(api, peer, request);
    pthread_mutex_unlock(&api->lock);
    return steps;
}

// ---- from outside ----

struct kp_test_api *kp_test_api_start(void)
{
    struct kp_test_api *api = KP_NEW(struct kp_test_api);
    pthread_mutex_init(&api->lock, NULL);
    api->version = 1;
    api->peer = kp_peer_start(route, api);
    return api;
}

static void drop_grant(struct grant *grant)
{
    kp_free(grant->user);
    kp_free(grant->verb);
    kp_free(grant->subresource);
    kp_free(grant->namespace);
}

void kp_test_api_stop(struct kp_test_api *api)
{
    if (api == NULL)
        return;
    pthread_mutex_lock(&api->lock);
    api->stopping = true;
    pthread_mutex_unlock(&api->lock);
    kp_peer_stop(api->peer);
    for (size_t i = 0; i < api->revoked.n; i++)
        kp_free(api->revoked.items[i]);
    kp_array_free(&api->revoked);
    for (size_t i = 0; i < api->grants.n; i++)
        drop_grant(&api->grants.items[i]);
    kp_array_free(&api->grants);
    kp_free(api->front_proxy);
    kp_free(api->last_access);
    pthread_mutex_destroy(&api->lock);
    kp_free(api);
}

const char *kp_test_api_url(const struct kp_test_api *api)
{
    return kp_peer_url(api->peer);
}

void kp_test_api_set_mode(struct kp_test_api *api, enum kp_test_api_mode mode)
{
    pthread_mutex_lock(&api->lock);
    api->mode = mode;
    pthread_mutex_unlock(&api->lock);
}

void kp_test_api_revoke(struct kp_test_api *api, const char *token)
{
    pthread_mutex_lock(&api->lock);
    *kp_array_add(&api->revoked) = kp_strdup(token);
    pthread_mutex_unlock(&api->lock);
}

void kp_test_api_grant(struct kp_test_api *api, const char *user, const char *verb, const char *subresource,
    const char *namespace)
{
    pthread_mutex_lock(&api->lock);
    *kp_array_add(&api->grants) = (struct grant){kp_strdup(user), kp_strdup(verb),
        kp_strdup(subresource != NULL ? subresource : ""), kp_strdup(namespace)};
    pthread_mutex_unlock(&api->lock);
}

void kp_test_api_take_back(struct kp_test_api *api, const char *user)
{
    pthread_mutex_lock(&api->lock);
    for (size_t i = 0; i < api->grants.n;) {
        if (strcmp(api->grants.items[i].user, user) != 0) {
            i++;
            continue;
        }
        drop_grant(&api->grants.items[i]);
        api->grants.items[i] = api->grants.items[--api->grants.n];
    }
    pthread_mutex_unlock(&api->lock);
}

void kp_test_api_set_front_proxy(struct kp_test_api *api, const char *data)
{
    pthread_mutex_lock(&api->lock);
    kp_free(api->front_proxy);
    api->front_proxy = kp_strdup(data);
    api->version++;
    pthread_mutex_unlock(&api->lock);
}

size_t kp_test_api_token_reviews(struct kp_test_api *api)
{
    pthread_mutex_lock(&api->lock);
    size_t n = api->token_reviews;
    pthread_mutex_unlock(&api->lock);
    return n;
}

size_t kp_test_api_access_reviews(struct kp_test_api *api)
{
    pthread_mutex_lock(&api->lock);
    size_t n = api->access_reviews;
    pthread_mutex_unlock(&api->lock);
    return n;
}

char *kp_test_api_last_access(struct kp_test_api *api)
{
    pthread_mutex_lock(&api->lock);
    char *text = kp_strdup(api->last_access);
    pthread_mutex_unlock(&api->lock);
    return text;
}
