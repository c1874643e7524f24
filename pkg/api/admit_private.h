// What the door hands on. Private to admit.c and admitted.c.
#ifndef KP_API_ADMIT_PRIVATE_H
#define KP_API_ADMIT_PRIVATE_H

#include "api/admit.h"

#define KP_API_NOWHERE  "!" // no namespace has this name: a scope in which there is nothing
#define KP_API_NOT_HERE "profile '%s' is not here" // as the store says it

// Lies with the exchange.
struct kp_admitted {
    struct kp_scope scope;
    struct kp_identity *identity;
    char *namespace, *asked;
    struct kp_access access;
    struct kp_tenant *reader; // whose answer waits to be read; NULL = not counted
    size_t unread;
};
void kp_api_admitted_free(void *admitted);

// kp_api_refuse(), but not sooner than a tenth of a second after the request arrived.
void kp_api_refuse_late(
    struct kp_api *api, struct kp_http_exchange *x, int64_t arrived_ms, const struct kp_error *err);

#endif
