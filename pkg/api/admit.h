// The door of the API (decisions/0008): the gate of its listeners. Authenticates, finds out what the request
// wants from the row of the routes table, has it authorized, and attaches the scope: all that handlers know
// of their caller. Private to this module.
#ifndef KP_API_ADMIT_H
#define KP_API_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "http/server.h"
#include "serve/gate.h"

struct kp_api;

// Where the namespace of a request stands.
enum kp_admit_where {
    KP_ADMIT_NOBODY,  // the row forgot to say: refused
    KP_ADMIT_OPEN,    // nothing of anybody is shown: not even asked who it is
    KP_ADMIT_KNOWN,   // whoever he is: authenticated, no right needed
    KP_ADMIT_PATH,    // {namespace} of the path; a path without: all
    KP_ADMIT_QUERY,   // parameter namespace; without, or empty: all
    KP_ADMIT_SERVICE, // /api/0: parameter service ("shop/api"), else the caller's own, else all
    KP_ADMIT_ID,      // parameter namespace, else that of the profile {id}
    KP_ADMIT_PUSH,    // parameter namespace, else the caller's own
    KP_ADMIT_SELF,    // the registry's own namespace: captures, target states, admin
};

struct kp_admission {
    enum kp_admit_where where;
    const char *verb, *subresource; // NULL subresource = profiles itself
    const char *name;               // "-" of queries
    bool or_loopback;               // a caller on the same machine may without
};

// Of answers made of many profiles.
#define KP_ADMIT_SUM(where_, subresource_)                                                                   \
    {                                                                                                        \
        .where = KP_ADMIT_##where_, .verb = "get", .subresource = (subresource_), .name = "-"                \
    }

// What the caller may see and touch. Handlers put `namespace` into every query of the store; what lies
// outside does not exist.
struct kp_scope {
    const struct kp_identity *who;
    const char *namespace; // NULL = all of them
    // /api/0 words services of `namespace` without it: the caller has no other
    bool plain_names;
    bool writer;                    // may set system fields and namespaces: came in by KP_ADMIT_SELF
    int64_t not_before_ms;          // monotonic; see kp_api_refuse_id()
    const struct kp_access *access; // what was granted, to be asked again while an answer lasts
};

// Of a request that was let in; never NULL in a handler. Borrowed, as long as the exchange. Where no gate
// was asked: one in which there is nothing.
const struct kp_scope *kp_api_scope(const struct kp_http_exchange *x);

// Counts a large answer against the scope's namespace until its client has read it. KP_THROTTLED: it has what
// it may.
KP_MUST_CHECK int kp_api_count_unread(
    struct kp_api *api, struct kp_http_exchange *x, size_t bytes, struct kp_error *err);

// Asks again whether the caller may still do what he was let in for. on_done comes once, now or later; err
// NULL = yes. Cancel it before the exchange ends.
struct kp_api_review {
    bool running;
    // private
    const struct kp_gate *gate;
    struct kp_identity *who;
    const struct kp_access *access;
    void (*on_done)(void *user, const struct kp_error *err);
    void *user;
};
void kp_api_review_start(struct kp_api_review *review, struct kp_api *api, struct kp_http_exchange *x,
    void (*on_done)(void *user, const struct kp_error *err), void *user);
void kp_api_review_cancel(struct kp_api_review *review); // one of zeroes is fine

// Seconds after which space may have been made.
#define KP_API_FULL_RETRY_S 30
// For what the store was to write: KP_LIMIT means that it is full, 507.
void kp_api_refuse_write(struct kp_http_exchange *x, const struct kp_error *err);
// Answers an error in the words of the path's API; adds what belongs to 401, 429 and 503.
void kp_api_refuse(struct kp_http_exchange *x, const struct kp_error *err);

// The same for a KP_THROTTLED of a namespace that has what it may: 429 NamespaceLimit.
void kp_api_refuse_limit(struct kp_http_exchange *x, const struct kp_error *err);

// Answers that a profile asked for by its id is not there: at once to a caller who sees all, else so late
// that the time does not tell whether it is somewhere he may not look.
void kp_api_refuse_id(struct kp_api *api, struct kp_http_exchange *x, const struct kp_error *err);

// What a row of the table says; NULL if it says nothing.
const struct kp_admission *kp_api_admission(const struct kp_http_route *route);

// Whether a text can be the name of a namespace.
bool kp_api_is_namespace(const char *text);

#endif
