#include "kube/reviews.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/blob.h"
#include "base/limits.h"
#include "base/text.h"
#include "kube/client_internal.h"

#include "base/banned.h"

enum {
    TIMEOUT_MS = 10 * 1000,
    TRIES = 2,
    MAX_AUDIENCES = 64,
    MAX_GROUPS = 4096,
    MAX_EXTRA = 1024, // values of all keys
};

struct kp_review {
    struct kp_kube *kube;
    struct kp_kube_call *call;
    struct kp_timer *failing; // the question could not be put: to be told later
    struct kp_error err;
    json_t *audiences; // asked for; NULL = none
    kp_review_token_fn on_token;
    kp_review_access_fn on_access;
    void *user;
};

static void review_free(struct kp_review *review)
{
    kp_timer_destroy(review->failing);
    json_decref(review->audiences);
    kp_free(review);
}

void kp_review_forget(struct kp_review *review)
{
    if (!review)
        return;
    kp_kube_forget(review->call);
    review_free(review);
}

// ---- asking ----

static void tell(struct kp_review *review, const struct kp_error *err)
{
    struct kp_review r = *review;
    struct kp_error copy = *err; // may be the review's own
    review_free(review);
    if (r.on_token)
        r.on_token(r.user, NULL, NULL, &copy);
    else
        r.on_access(r.user, false, &copy);
}

static void on_failing(void *user)
{
    struct kp_review *review = user;
    tell(review, &review->err);
}

static void on_done(void *user, int http_status, json_t *json, const struct kp_error *err);

// Takes object.
static int put(struct kp_review *review, const char *path, json_t *object, struct kp_error *err)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (!text)
        return kp_fail(err, KP_INVALID, "cannot ask the API server: what is to be asked is not UTF-8");
    size_t len = strlen(text);
    struct kp_blob *body = kp_blob_copy(text, len);
    explicit_bzero(text, len);
    free(text);
    const struct kp_kube_request request = {
        .method = "POST",
        .path = path,
        .content_type = "application/json",
        .body = body,
        .max_body = KP_MIB,
        .timeout_ms = TIMEOUT_MS,
        .max_tries = TRIES,
        .harmless = true,
        .on_done = on_done,
        .user = review,
    };
    int code = kp_kube_start(review->kube, &request, &review->call, err);
    kp_blob_unref(body);
    return code;
}

static struct kp_review *ask(struct kp_kube *kube, struct kp_review r, const char *path, json_t *object)
{
    struct kp_review *review = KP_NEW(struct kp_review);
    *review = r;
    review->kube = kube;
    if (put(review, path, object, &review->err) != 0) {
        review->failing = kp_timer_create(kube->loop, on_failing, review);
        kp_timer_start(review->failing, 0, 0);
    }
    return review;
}

// Whether all of it is text; takes value.
static bool set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static bool set_if(json_t *object, const char *key, const char *value)
{
    return value == NULL || *value == '\0' || set(object, key, json_string(value));
}

static json_t *strings(const char *const *items, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        if (json_array_append_new(array, json_string(items[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

struct kp_review *kp_review_token(struct kp_kube *kube, const char *token, const char *const *audiences,
    size_t n_audiences, kp_review_token_fn on_answer, void *user)
{
    json_t *wanted = n_audiences > 0 ? strings(audiences, n_audiences) : NULL;
    // without audiences it would be asked about as one for the API server
    bool good = n_audiences == 0 || wanted != NULL;
    json_t *object = good ? json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "authentication.k8s.io/v1", "kind",
                                "TokenReview", "spec", "token", token)
                          : NULL;
    if (wanted)
        json_object_set(json_object_get(object, "spec"), "audiences", wanted);
    struct kp_review r = {.on_token = on_answer, .user = user, .audiences = wanted};
    return ask(kube, r, "/apis/authentication.k8s.io/v1/tokenreviews", object);
}

static json_t *extra_object(const struct kp_review_user *who)
{
    json_t *object = json_object();
    for (size_t i = 0; i < who->n_extra; i++) {
        json_t *values = json_object_get(object, who->extra[i].key);
        if (!values && json_object_set_new(object, who->extra[i].key, json_array()) == 0)
            values = json_object_get(object, who->extra[i].key);
        if (!values || json_array_append_new(values, json_string(who->extra[i].value)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *access_object(const struct kp_review_access *access)
{
    json_t *object = json_object();
    bool good = set_if(object, "verb", access->verb) && set_if(object, "group", access->group) &&
                set_if(object, "version", access->version) && set_if(object, "resource", access->resource) &&
                set_if(object, "subresource", access->subresource) &&
                set_if(object, "namespace", access->namespace) && set_if(object, "name", access->name);
    if (good)
        return object;
    json_decref(object);
    return NULL;
}

struct kp_review *kp_review_may(struct kp_kube *kube, const struct kp_review_user *who,
    const struct kp_review_access *access, kp_review_access_fn on_answer, void *user)
{
    json_t *spec = json_object();
    bool good = set(spec, "user", json_string(who->name)) && set_if(spec, "uid", who->uid) &&
                set(spec, "groups", strings(who->groups, who->n_groups)) &&
                set(spec, "extra", extra_object(who)) &&
                set(spec, "resourceAttributes", access_object(access));
    json_t *object = good ? json_pack("{s:s, s:s, s:O}", "apiVersion", "authorization.k8s.io/v1", "kind",
                                "SubjectAccessReview", "spec", spec)
                          : NULL;
    json_decref(spec);
    struct kp_review r = {.on_access = on_answer, .user = user};
    return ask(kube, r, "/apis/authorization.k8s.io/v1/subjectaccessreviews", object);
}

// ---- answers ----

static int unreadable(struct kp_error *err, const char *what)
{
    return kp_fail(err, KP_UNAVAILABLE, "cannot read the API server's answer to a review: %s", what);
}

static bool audience_is_ours(const struct kp_review *review, const json_t *status)
{
    size_t i, j;
    json_t *given, *wanted;
    const json_t *audiences = json_object_get(status, "audiences");
    if (!review->audiences)
        return true; // the API server's own, and that it has looked at
    json_array_foreach(audiences, i, given)
    {
        json_array_foreach(review->audiences, j, wanted)
        {
            if (json_is_string(given) && json_equal(given, wanted))
                return true;
        }
        if (i == MAX_AUDIENCES)
            break;
    }
    return false;
}

struct answer { // with room for what points into the JSON
    struct kp_review_user who;
    const char **groups;
    struct kp_review_extra *extra;
};

static int read_groups(struct answer *answer, const json_t *groups, struct kp_error *err)
{
    size_t n = json_array_size(groups);
    if (groups && !json_is_array(groups) && !json_is_null(groups))
        return unreadable(err, "its groups are no list");
    if (n > MAX_GROUPS)
        return kp_fail(err, KP_LIMIT, "a user is in more than %d groups", MAX_GROUPS);
    answer->groups = KP_NEW_ARRAY(const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        if (!(answer->groups[i] = json_string_value(json_array_get(groups, i))))
            return unreadable(err, "a group is no text");
    answer->who.groups = answer->groups;
    answer->who.n_groups = n;
    return 0;
}

static int add_extra(struct answer *answer, const char *key, const json_t *values, struct kp_error *err)
{
    size_t i;
    json_t *value;
    if (!json_is_array(values))
        return unreadable(err, "its extra is no map of lists");
    json_array_foreach(values, i, value)
    {
        const char *text = json_string_value(value);
        if (!text)
            return unreadable(err, "its extra is no text");
        if (answer->who.n_extra == MAX_EXTRA)
            return kp_fail(err, KP_LIMIT, "a user has more than %d extra values", MAX_EXTRA);
        answer->extra[answer->who.n_extra++] = (struct kp_review_extra){key, text};
    }
    return 0;
}

static int read_extra(struct answer *answer, json_t *extra, struct kp_error *err)
{
    const char *key;
    json_t *values;
    size_t n = 0;
    int code = 0;
    if (extra && !json_is_object(extra) && !json_is_null(extra))
        return unreadable(err, "its extra is no map");
    json_object_foreach(extra, key, values) n += json_array_size(values);
    answer->extra = KP_NEW_ARRAY(struct kp_review_extra, (n < MAX_EXTRA ? n : MAX_EXTRA) + 1);
    answer->who.extra = answer->extra;
    json_object_foreach(extra, key, values)
    {
        if (code == 0)
            code = add_extra(answer, key, values, err);
    }
    return code;
}

static int read_user(struct answer *answer, const json_t *user, struct kp_error *err)
{
    const json_t *uid = json_object_get(user, "uid");
    answer->who.name = json_string_value(json_object_get(user, "username"));
    answer->who.uid = json_string_value(uid);
    if (!answer->who.name || !*answer->who.name)
        return unreadable(err, "it names no user");
    if (answer->who.uid && !*answer->who.uid)
        answer->who.uid = NULL;
    int code = read_groups(answer, json_object_get(user, "groups"), err);
    return code == 0 ? read_extra(answer, json_object_get(user, "extra"), err) : code;
}

static void token_answered(const struct kp_review *review, const json_t *status)
{
    struct kp_error err = {0};
    struct answer answer = {0};
    char why[160];
    const char *said = json_string_value(json_object_get(status, "error"));
    const json_t *authenticated = json_object_get(status, "authenticated");
    kp_printable(why, sizeof why, said ? said : "", said ? strlen(said) : 0);
    if (authenticated && !json_is_boolean(authenticated))
        unreadable(&err, "'authenticated' is neither true nor false");
    else if (!json_is_true(authenticated))
        review->on_token(review->user, NULL, *why ? why : "the API server does not know it", NULL);
    else if (!audience_is_ours(review, status))
        review->on_token(review->user, NULL, "it is for another audience", NULL);
    else if (read_user(&answer, json_object_get(status, "user"), &err) == 0)
        review->on_token(review->user, &answer.who, NULL, NULL);
    if (err.code != 0)
        review->on_token(review->user, NULL, NULL, &err);
    kp_free(answer.groups);
    kp_free(answer.extra);
}

static void access_answered(const struct kp_review *review, const json_t *status)
{
    struct kp_error err = {0};
    const json_t *allowed = json_object_get(status, "allowed");
    bool is_denied = json_is_true(json_object_get(status, "denied"));
    if (json_is_boolean(allowed)) {
        review->on_access(review->user, json_is_true(allowed) && !is_denied, NULL);
        return;
    }
    unreadable(&err, "'allowed' is neither true nor false");
    review->on_access(review->user, false, &err);
}

static void on_done(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct kp_review *review = user;
    struct kp_error own = {0};
    const json_t *status = json_object_get(json, "status");
    const char *kind = json_string_value(json_object_get(json, "kind"));
    (void)http_status;
    if (!err && (!kp_streq(kind, review->on_token ? "TokenReview" : "SubjectAccessReview") ||
                    !json_is_object(status)))
        unreadable(&own, "it is none");
    if (err || own.code != 0) {
        tell(review, err ? err : &own);
        return;
    }
    struct kp_review r = *review;
    json_incref(r.audiences);
    review_free(review); // the receiver may do what it likes
    if (r.on_token)
        token_answered(&r, status);
    else
        access_answered(&r, status);
    json_decref(r.audiences);
}
