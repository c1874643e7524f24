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

// Whether a profile that is not his is there must not be told by the time either: that it is not is said a
// tenth of a second after the request arrived (100; the time of arrival is that of the turn of the loop,
// which began a little before), and later by what questions to the gate have taken at most in the last
// minute, twice, since there may be two more for a profile that is there.
#define KP_API_LATE_MS      105
#define KP_API_LATE_REVIEWS 2
#define KP_API_LATE_MAX_MS  5000 // beyond it questions fail anyway
void kp_api_note_review(struct kp_api *api, int64_t took_ms);
int64_t kp_api_slowest_review_ms(struct kp_api *api);
// kp_api_refuse(), but not sooner.
void kp_api_refuse_late(
    struct kp_api *api, struct kp_http_exchange *x, int64_t not_before_ms, const struct kp_error *err);

#endif
