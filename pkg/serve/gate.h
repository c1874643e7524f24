// The gate: who is it, may he. A request passes in two steps over a table of functions, so that TokenReview,
// SubjectAccessReview and front-proxy certificates can come in beside the one answer there is now,
// "everyone".
#ifndef KP_SERVE_GATE_H
#define KP_SERVE_GATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "http/server.h"

enum kp_identity_by {
    KP_BY_NOTHING,     // there is no authentication: loopback, or where a flag says so in words
    KP_BY_TOKEN,       // a bearer token
    KP_BY_FRONT_PROXY, // the API server says so
    KP_BY_TENANT,      // nobody said who he is, and a tenant is open to such (--allow-anonymous)
};

struct kp_identity_extra {
    char *key, *value; // of several values of a key: several of these
};

struct kp_identity {
    enum kp_identity_by by;
    char *name; // "system:serviceaccount:shop:agent"; "system:anonymous" if nobody said who he is
    char *uid;  // NULL = none
    char **groups;
    size_t n_groups;
    struct kp_identity_extra *extra;
    size_t n_extra;
    char *namespace;      // of a service account, or the open tenant; NULL = none
    bool controller_cert; // the client has also shown a certificate of the CA of controllers
};

// What a request wants, for authorize: in group data.kube-pprof.dev.
struct kp_access {
    const char *verb;        // "get", "list", "watch", "create", "delete", "deletecollection"
    const char *resource;    // "profiles"
    const char *subresource; // "merge"; NULL = none
    const char *namespace;   // "" = all
    const char *name;        // "-" of queries; NULL = none
};

struct kp_gate_ops {
    const char *name; // "everyone"
    // Calls on_done once, at once or later, unless cancelled before: identity (taken over by the receiver) or
    // the error to answer (KP_UNAUTHENTICATED; KP_THROTTLED, KP_UNAVAILABLE: nobody can say now).
    void (*authenticate)(void *self, struct kp_http_exchange *x,
        void (*on_done)(void *user, struct kp_identity *identity, const struct kp_error *err), void *user);
    // The same for "may he": NULL = yes; KP_DENIED with a sentence that names verb, resource and namespace;
    // anything else: nobody can say now, and then it is no as well. identity and access are borrowed until
    // it returns.
    void (*authorize)(void *self, const struct kp_identity *identity, const struct kp_access *access,
        void (*on_done)(void *user, const struct kp_error *err), void *user);
    void (*cancel)(void *self, void *user); // on_done with this user is no longer wanted
};

struct kp_gate {
    const struct kp_gate_ops *ops;
    void *self;
};

// Lets everyone do everything, as "system:anonymous": on loopback, and where a flag says so in words.
struct kp_gate kp_gate_everyone(void);

void kp_identity_free(struct kp_identity *identity); // NULL is fine

// "profiles.data.kube-pprof.dev is forbidden: User \"x\" cannot get resource \"profiles/merge\" in API group
// \"data.kube-pprof.dev\" in the namespace \"shop\"", as the API server words it. Returns KP_DENIED.
KP_MUST_CHECK int kp_access_denied(
    const struct kp_identity *identity, const struct kp_access *access, struct kp_error *err);

#endif
