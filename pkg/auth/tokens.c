// What is known of bearer tokens. Only their hash is kept.
#include <openssl/evp.h>
#include <string.h>

#include "auth/auth_private.h"
#include "auth/identity.h"
#include "base/text.h"
#include "base/banned.h"

// ---- keeping ----

static void forget_text(struct kp_token *token)
{
    if (token->text != NULL)
        explicit_bzero(token->text, strlen(token->text));
    kp_free(kp_take(token->text));
}

static void token_free(struct kp_token *token)
{
    forget_text(token);
    kp_list_remove(&token->used);
    kp_identity_free(token->identity);
    kp_free(token);
}

static void token_drop(struct kp_token *token)
{
    HASH_DEL(token->auth->tokens, token);
    token_free(token);
}

static void touch(struct kp_token *token)
{
    struct kp_auth *auth = token->auth;
    kp_list_remove(&token->used);
    kp_list_append(token->identity != NULL ? &auth->known : &auth->refused, &token->used);
}

// Nobody's tokens go before somebody's: made-up ones cannot push the good ones out.
static bool drop_one_of(struct kp_list *list)
{
    kp_list_foreach_safe (node, list) {
        struct kp_token *token = kp_container_of(node, struct kp_token, used);
        if (kp_question_is_open(&token->question))
            continue;
        token_drop(token);
        return true;
    }
    return false;
}

static struct kp_token *token_create(struct kp_auth *auth, const uint8_t hash[KP_AUTH_HASH])
{
    while (HASH_COUNT(auth->tokens) >= auth->options.max_tokens)
        if (!drop_one_of(&auth->refused) && !drop_one_of(&auth->known))
            break; // all are being asked about, and those are bounded
    struct kp_token *token = KP_NEW(struct kp_token);
    memcpy(token->hash, hash, KP_AUTH_HASH);
    token->auth = auth;
    kp_question_init(&token->question);
    kp_list_init(&token->used);
    HASH_ADD(hh, auth->tokens, hash, KP_AUTH_HASH, token);
    touch(token);
    return token;
}

// ---- answering ----

static void refuse(const struct kp_auth *auth, struct kp_error *err)
{
    kp_fail(err, KP_UNAUTHENTICATED,
        "the bearer token is nobody's, has expired, or is for another audience than '%.60s'",
        auth->options.n_audiences > 0 ? auth->audiences[0] : "the API server");
}

static void answer(
    const struct kp_token *token, const struct kp_waiter *waiter, const struct kp_error *failure)
{
    struct kp_error err = {0};
    struct kp_identity *identity = NULL;
    if (failure != NULL)
        err = *failure;
    else if (token->identity == NULL)
        refuse(token->auth, &err);
    else {
        identity = kp_identity_copy(token->identity);
        identity->controller_cert = waiter->controller_cert;
    }
    waiter->on_identity(waiter->user, identity, identity == NULL ? &err : NULL);
}

static void answer_all(struct kp_token *token, const struct kp_error *failure)
{
    struct kp_waiter *waiter;
    while ((waiter = kp_question_next(&token->question)) != NULL) {
        answer(token, waiter, failure);
        kp_free(waiter);
    }
}

static void failed(struct kp_token *token, const struct kp_error *why)
{
    struct kp_auth *auth = token->auth;
    struct kp_error err = {0};
    kp_question_answered(auth, &token->question);
    kp_metric_inc(auth->token_metrics.error);
    kp_question_failed(auth, "whose token this is", why, &err);
    HASH_DEL(auth->tokens, token); // who asks again from inside the answer begins anew
    kp_list_remove(&token->used);
    answer_all(token, &err);
    token_free(token);
}

static void settled(struct kp_token *token, struct kp_identity *identity)
{
    struct kp_auth *auth = token->auth;
    const struct kp_auth_options *o = &auth->options;
    forget_text(token);
    kp_identity_free(token->identity);
    token->identity = identity;
    token->until_ms = token->question.asked_ms + (identity != NULL ? o->token_ms : o->refused_ms);
    touch(token);
    kp_question_answered(auth, &token->question);
    kp_metric_inc(identity != NULL ? auth->token_metrics.yes : auth->token_metrics.no);
    kp_question_went_well(auth);
    answer_all(token, NULL);
}

// ---- asking ----

static void on_review(
    void *user, const struct kp_review_user *who, const char *not_why, const struct kp_error *err);

// text is asked about as one for our audiences, or as one for the API server itself.
static void ask(struct kp_token *token, const char *text, bool ours)
{
    struct kp_auth *auth = token->auth;
    token->question.review =
        kp_review_token(auth->options.kube, text, ours ? (const char *const *)auth->audiences : NULL,
            ours ? auth->options.n_audiences : 0, on_review, token);
}

static struct kp_identity *identity_of(const struct kp_review_user *who)
{
    struct kp_identity *identity = NULL;
    struct kp_identity_draft draft = {.by = KP_BY_TOKEN, .name = who->name, .uid = who->uid};
    for (size_t i = 0; i < who->n_groups; i++)
        *kp_array_add(&draft.groups) = who->groups[i];
    for (size_t i = 0; i < who->n_extra; i++)
        *kp_array_add(&draft.extra) = who->extra[i];
    return kp_identity_make(&draft, &identity, NULL) == 0 ? identity : NULL;
}

static void on_review(
    void *user, const struct kp_review_user *who, const char *not_why, const struct kp_error *err)
{
    struct kp_token *token = user;
    (void)not_why;
    if (err != NULL) {
        failed(token, err);
    } else if (who == NULL && token->text != NULL) {
        kp_auto_free char *text = kp_take(token->text);
        ask(token, text, false);
        explicit_bzero(text, strlen(text));
    } else {
        settled(token, who != NULL ? identity_of(who) : NULL);
    }
}

static void begin(struct kp_token *token, const char *text, uint64_t by)
{
    const struct kp_auth_options *o = &token->auth->options;
    kp_question_begin(token->auth, &token->question, by);
    if (o->api_server_tokens && o->n_audiences > 0)
        token->text = kp_strdup(text);
    ask(token, text, true);
}

void kp_tokens_ask(struct kp_auth *auth, const char *text, const struct kp_waiter *waiter)
{
    struct kp_error err = {0};
    struct kp_token *token;
    uint8_t hash[KP_AUTH_HASH];
    if (EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL) != 1) {
        kp_fail(&err, KP_UNAVAILABLE, "cannot hash a token: OpenSSL has no SHA-256");
        waiter->on_identity(waiter->user, NULL, &err);
        return;
    }
    HASH_FIND(hh, auth->tokens, hash, KP_AUTH_HASH, token);
    if (token != NULL && kp_auth_now(auth) < token->until_ms) {
        touch(token);
        kp_metric_inc(auth->token_metrics.hits);
        answer(token, waiter, NULL);
        return;
    }
    if (token == NULL || !kp_question_is_open(&token->question)) {
        bool is_unknown = token == NULL || token->identity == NULL;
        // a token that was good has an account of its own
        uint64_t by = is_unknown ? waiter->by : kp_question_by_user(token->identity);
        if (!kp_question_may_begin(auth, by, is_unknown, &err)) {
            waiter->on_identity(waiter->user, NULL, &err);
            return;
        }
        if (token == NULL)
            token = token_create(auth, hash);
        begin(token, text, by);
    }
    kp_question_wait(&token->question, waiter);
}

void kp_tokens_finish(struct kp_auth *auth)
{
    struct kp_token *token, *next;
    HASH_ITER (hh, auth->tokens, token, next) {
        kp_question_drop(&token->question);
        token_drop(token);
    }
}
