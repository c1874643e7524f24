// The door of the API (decisions/0008): the gate of its listeners. Authenticates, finds out what the request
// wants from the row of the routes table, has it authorized, and attaches the scope: all that handlers know
// of their caller. Private to this module.
#ifndef KP_API_ADMIT_H
#define KP_API_ADMIT_H

#include <stdbool.h>

#include "http/server.h"
#include "serve/gate.h"

// Where the namespace of a request stands.
enum kp_admit_where {
    KP_ADMIT_NOBODY,  // the row forgot to say: refused
    KP_ADMIT_OPEN,    // nothing of anybody is shown: not even asked who it is
    KP_ADMIT_KNOWN,   // whoever he is: authenticated, no right needed
    KP_ADMIT_PATH,    // {namespace} of the path; a path without: all
    KP_ADMIT_QUERY,   // parameter namespace; without: all
    KP_ADMIT_SERVICE, // /api/0: parameter service ("shop/api"), else the caller's own, else all
    KP_ADMIT_ID,      // parameter namespace, else that of the profile {id}
    KP_ADMIT_PUSH,    // parameter namespace, else the caller's own
    KP_ADMIT_SELF,    // the registry's own namespace: captures, target states, admin
};

struct kp_admission {
    enum kp_admit_where where;
    const char *verb, *subresource; // NULL subresource = profiles itself
    const char *name;               // "-" of queries
};

// What the caller may see and touch. Handlers put `namespace` into every query of the store; what lies
// outside does not exist.
struct kp_scope {
    const struct kp_identity *who;
    const char *namespace; // NULL = all of them
    // /api/0 words services of `namespace` without it: the caller has no other
    bool plain_names;
};

// Of a request that was let in; never NULL in a handler. Borrowed, as long as the exchange.
const struct kp_scope *kp_api_scope(const struct kp_http_exchange *x);

#endif
