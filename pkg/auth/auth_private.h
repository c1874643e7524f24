// Inside auth only.
//
//   question  one at the API server; who waits for its answer
//   token     what is known of a bearer token, by its hash
//   right     what is known of (user, access), by the hash of all of it
#ifndef KP_AUTH_AUTH_PRIVATE_H
#define KP_AUTH_AUTH_PRIVATE_H

#include "auth/auth.h"
#include "auth/remote.h"
#include "base/list.h"
#include "base/map.h"
#include "kube/reflector.h"
#include "kube/reviews.h"

#define KP_AUTH_HASH 32 // SHA-256

typedef void (*kp_on_identity_fn)(void *user, struct kp_identity *identity, const struct kp_error *err);
typedef void (*kp_on_access_fn)(void *user, const struct kp_error *err);

struct kp_waiter {
    struct kp_list node;
    kp_on_identity_fn on_identity; // of a token
    kp_on_access_fn on_access;     // of a right
    void *user;
    bool controller_cert;   // of the request; goes into the identity
    uint64_t by;            // on whose account a token is asked about
    struct kp_error denied; // of a right: the sentence if the answer is no
};

struct kp_question {
    struct kp_list node; // of auth->questions while it is put or answered, else alone
    struct kp_list waiters;
    struct kp_review *review; // NULL = not put, or being answered
    uint64_t by;              // on whose account it is put
    int64_t asked_ms;
};

struct kp_token {
    uint8_t hash[KP_AUTH_HASH];
    struct kp_identity *identity; // NULL = nobody's
    int64_t until_ms;             // is known until then; 0 = not known
    char *text;                   // only while it may have to be asked about again
    struct kp_auth *auth;
    struct kp_question question;
    struct kp_list used; // of auth->known or auth->refused, the longest unused first
    UT_hash_handle hh;
};

struct kp_right {
    uint8_t hash[KP_AUTH_HASH];
    bool allowed;
    int64_t until_ms;
    struct kp_auth *auth;
    struct kp_question question;
    struct kp_list used;
    UT_hash_handle hh;
};

struct kp_kind_metrics { // of tokens, of rights
    struct kp_metric *yes, *no, *error, *hits;
};

struct kp_auth {
    struct kp_auth_options options;
    char **audiences;
    char *anonymous_namespace;
    struct kp_token *tokens;
    struct kp_list known, refused;
    struct kp_right *rights;
    struct kp_list used_rights;
    struct kp_list questions;
    size_t n_questions; // at the API server
    bool reviews_in_trouble;
    struct kp_http_trust *controller_ca;
    // the front proxy
    struct kp_reflector *reflector;
    struct kp_remote remote;
    struct kp_http_trust *trust; // NULL = nobody is believed
    struct kp_error why_not;
    struct kp_kind_metrics token_metrics, right_metrics;
    struct kp_metric *running, *throttled, *anonymous;
};

int64_t kp_auth_now(const struct kp_auth *auth);

// question.c
void kp_question_init(struct kp_question *question);
bool kp_question_is_open(const struct kp_question *question);
// On whose account questions are put: a user's, or an address's that nobody is known by yet.
uint64_t kp_question_by_user(const struct kp_identity *who);
uint64_t kp_question_by_peer(const char *peer);
// Whether one more may be put; false: it is counted, and err says so.
bool kp_question_may_begin(struct kp_auth *auth, uint64_t by, bool is_unknown, struct kp_error *err);
void kp_question_begin(struct kp_auth *auth, struct kp_question *question, uint64_t by);
void kp_question_wait(struct kp_question *question, const struct kp_waiter *waiter); // copied
void kp_question_answered(struct kp_auth *auth, struct kp_question *question);       // it is not put any more
// The next that waits, to be freed; NULL: none, and the question is closed.
struct kp_waiter *kp_question_next(struct kp_question *question);
void kp_question_drop(struct kp_question *question); // and who waits
void kp_questions_cancel(struct kp_auth *auth, const void *user);
// A question failed (err) or did not: tells who wants to know of trouble. What to answer with is *ret.
void kp_question_failed(
    struct kp_auth *auth, const char *what, const struct kp_error *err, struct kp_error *ret);
void kp_question_went_well(struct kp_auth *auth);

// tokens.c
void kp_tokens_ask(struct kp_auth *auth, const char *text, const struct kp_waiter *waiter);
void kp_tokens_finish(struct kp_auth *auth);
// rights.c
void kp_rights_ask(struct kp_auth *auth, const struct kp_identity *who, const struct kp_access *access,
    kp_on_access_fn on_access, void *user);
void kp_rights_finish(struct kp_auth *auth);
// front_proxy.c
void kp_front_proxy_start(struct kp_auth *auth);
void kp_front_proxy_finish(struct kp_auth *auth);
// Whether the request comes from the front proxy; *ret NULL then: it says nothing of a user.
KP_MUST_CHECK int kp_front_proxy_read(const struct kp_auth *auth, const struct kp_http_exchange *x,
    struct kp_identity **ret, struct kp_error *err);

#endif
