// The gate: who is it, may he. A request passes in two steps over a table of functions, so that TokenReview,
// SubjectAccessReview and front-proxy certificates can come in beside the one answer there is now,
// "everyone".
#ifndef KP_SERVE_GATE_H
#define KP_SERVE_GATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "http/server.h"

struct kp_identity {
    char *name; // "system:serviceaccount:shop:agent"; "system:anonymous" if nobody said who he is
    char **groups;
    size_t n_groups;
    char *namespace; // of a service account; NULL = none
};

// What a request wants, for authorize. namespace "" = all.
struct kp_access {
    const char *verb;     // "get", "list", "create", "delete"
    const char *resource; // "profiles", "targets"
    const char *namespace;
};

struct kp_gate_ops {
    const char *name; // "everyone"
    // Calls on_done once, at once or later, unless the client left first (then cancel was called): identity
    // (taken over by the receiver) or the error to answer.
    void (*authenticate)(void *self, struct kp_http_exchange *x,
        void (*on_done)(void *user, struct kp_identity *identity, const struct kp_error *err), void *user);
    // The same for "may he": NULL = yes.
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

// A listener's address may be opened with this gate? "everyone" is refused beyond loopback and Unix sockets
// unless allowed in words; the sentence says which flag.
KP_MUST_CHECK int kp_gate_check_listener(
    const struct kp_gate *gate, const char *address, bool allow_everyone, struct kp_error *err);

// To be called from the gate handler of a listener: authenticates; then either opens the gate, with the
// identity attached to the exchange (it goes with it), or answers. Uses the exchange's on_gone until then.
void kp_gate_pass(const struct kp_gate *gate, struct kp_http_exchange *x);
const struct kp_identity *kp_gate_identity(const struct kp_http_exchange *x); // NULL before

void kp_identity_free(struct kp_identity *identity);

#endif
