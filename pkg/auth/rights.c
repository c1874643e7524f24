// What is known of who may do what.
#include <openssl/evp.h>
#include <string.h>

#include "auth/auth_private.h"
#include "base/banned.h"

// ---- the key: everything the answer may depend on ----

// Each with its length, so that no two lists of texts read the same.
static void add(EVP_MD_CTX *md, const char *text)
{
    uint64_t len = text != NULL ? strlen(text) : UINT64_MAX;
    EVP_DigestUpdate(md, &len, sizeof len);
    if (text != NULL)
        EVP_DigestUpdate(md, text, (size_t)len);
}

static void add_count(EVP_MD_CTX *md, uint64_t n)
{
    EVP_DigestUpdate(md, &n, sizeof n);
}

static void add_all(EVP_MD_CTX *md, const struct kp_identity *who, const struct kp_access *access)
{
    add(md, who->name);
    add(md, who->uid);
    add_count(md, who->n_groups);
    for (size_t i = 0; i < who->n_groups; i++)
        add(md, who->groups[i]);
    add_count(md, who->n_extra);
    for (size_t i = 0; i < who->n_extra; i++) {
        add(md, who->extra[i].key);
        add(md, who->extra[i].value);
    }
    add(md, access->verb);
    add(md, access->resource);
    add(md, access->subresource);
    add(md, access->namespace != NULL ? access->namespace : "");
    add(md, access->name);
}

static int hash_of(const struct kp_identity *who, const struct kp_access *access, uint8_t ret[KP_AUTH_HASH],
    struct kp_error *err)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    if (good)
        add_all(md, who, access);
    good = good && EVP_DigestFinal_ex(md, ret, NULL) == 1;
    EVP_MD_CTX_free(md);
    return good ? 0 : kp_fail(err, KP_UNAVAILABLE, "cannot hash a right: OpenSSL has no SHA-256");
}

// ---- keeping ----

static void right_free(struct kp_right *right)
{
    kp_list_remove(&right->used);
    kp_free(right);
}

static void touch(struct kp_right *right)
{
    kp_list_remove(&right->used);
    kp_list_append(&right->auth->used_rights, &right->used);
}

static bool drop_one(struct kp_auth *auth)
{
    kp_list_foreach_safe (node, &auth->used_rights) {
        struct kp_right *right = kp_container_of(node, struct kp_right, used);
        if (kp_question_is_open(&right->question))
            continue;
        HASH_DEL(auth->rights, right);
        right_free(right);
        return true;
    }
    return false;
}

static struct kp_right *right_create(struct kp_auth *auth, const uint8_t hash[KP_AUTH_HASH])
{
    while (HASH_COUNT(auth->rights) >= auth->options.max_answers && drop_one(auth))
        ;
    struct kp_right *right = KP_NEW(struct kp_right);
    memcpy(right->hash, hash, KP_AUTH_HASH);
    right->auth = auth;
    kp_question_init(&right->question);
    kp_list_init(&right->used);
    HASH_ADD(hh, auth->rights, hash, KP_AUTH_HASH, right);
    touch(right);
    return right;
}

// ---- answering ----

static void answer_all(struct kp_right *right, const struct kp_error *failure)
{
    struct kp_waiter *waiter;
    while ((waiter = kp_question_next(&right->question)) != NULL) {
        const struct kp_error *err = failure != NULL ? failure : right->allowed ? NULL : &waiter->denied;
        waiter->on_access(waiter->user, err);
        kp_free(waiter);
    }
}

static void failed(struct kp_right *right, const struct kp_error *why)
{
    struct kp_auth *auth = right->auth;
    struct kp_error err = {0};
    kp_question_answered(auth, &right->question);
    kp_metric_inc(auth->right_metrics.error);
    kp_question_failed(auth, "who may do this", why, &err);
    HASH_DEL(auth->rights, right); // who asks again from inside the answer begins anew
    kp_list_remove(&right->used);
    answer_all(right, &err);
    right_free(right);
}

static void on_review(void *user, bool allowed, const struct kp_error *err)
{
    struct kp_right *right = user;
    struct kp_auth *auth = right->auth;
    if (err != NULL) {
        failed(right, err);
        return;
    }
    right->allowed = allowed;
    right->until_ms = right->question.asked_ms + auth->options.access_ms;
    touch(right);
    kp_question_answered(auth, &right->question);
    kp_metric_inc(allowed ? auth->right_metrics.yes : auth->right_metrics.no);
    kp_question_went_well(auth);
    answer_all(right, NULL);
}

// ---- asking ----

static void begin(struct kp_right *right, const struct kp_identity *who, const struct kp_access *access)
{
    struct kp_auth *auth = right->auth;
    struct kp_review_extra *extra = KP_NEW_ARRAY(struct kp_review_extra, who->n_extra + 1);
    for (size_t i = 0; i < who->n_extra; i++)
        extra[i] = (struct kp_review_extra){who->extra[i].key, who->extra[i].value};
    const struct kp_review_user user = {.name = who->name,
        .uid = who->uid,
        .groups = (const char *const *)who->groups,
        .n_groups = who->n_groups,
        .extra = extra,
        .n_extra = who->n_extra};
    const struct kp_review_access what = {.verb = access->verb,
        .group = "data.kube-pprof.dev",
        .version = "v1alpha1",
        .resource = access->resource,
        .subresource = access->subresource,
        .namespace = access->namespace,
        .name = access->name};
    kp_question_begin(auth, &right->question, kp_question_by_user(who));
    right->question.review = kp_review_may(auth->options.kube, &user, &what, on_review, right);
    kp_free(extra);
}

// What is known and still good; NULL: it has to be asked for (again).
static struct kp_right *find(struct kp_auth *auth, const uint8_t hash[KP_AUTH_HASH], bool *ret_known)
{
    struct kp_right *right;
    HASH_FIND(hh, auth->rights, hash, KP_AUTH_HASH, right);
    *ret_known = right != NULL && kp_auth_now(auth) < right->until_ms;
    return right;
}

void kp_rights_ask(struct kp_auth *auth, const struct kp_identity *who, const struct kp_access *access,
    kp_on_access_fn on_access, void *user)
{
    struct kp_error err = {0};
    uint8_t hash[KP_AUTH_HASH];
    bool is_known;
    if (hash_of(who, access, hash, &err) != 0) {
        on_access(user, &err);
        return;
    }
    struct kp_right *right = find(auth, hash, &is_known);
    if (is_known) {
        touch(right);
        kp_metric_inc(auth->right_metrics.hits);
        int code = right->allowed ? 0 : kp_access_denied(who, access, &err);
        on_access(user, code != 0 ? &err : NULL);
        return;
    }
    if (right == NULL || !kp_question_is_open(&right->question)) {
        if (!kp_question_may_begin(auth, kp_question_by_user(who), false, &err)) {
            on_access(user, &err);
            return;
        }
        if (right == NULL)
            right = right_create(auth, hash);
        begin(right, who, access);
    }
    struct kp_waiter waiter = {.on_access = on_access, .user = user};
    if (kp_access_denied(who, access, &waiter.denied) != 0)
        kp_question_wait(&right->question, &waiter);
}

void kp_rights_finish(struct kp_auth *auth)
{
    struct kp_right *right, *next;
    HASH_ITER (hh, auth->rights, right, next) {
        kp_question_drop(&right->question);
        HASH_DEL(auth->rights, right);
        right_free(right);
    }
}
