// The part of an API server that says who is who and who may what, for tests: TokenReview,
// SubjectAccessReview and the ConfigMap of the front proxy, on loopback over http. It knows these tokens:
// "USER@AUDIENCE" (a user and whom the token is for; "USER@" is for the API server itself). Safe from the
// test's thread at any time.
#ifndef KP_TESTKIT_KUBE_API_H
#define KP_TESTKIT_KUBE_API_H

#include <stdbool.h>
#include <stddef.h>

struct kp_test_api;

enum kp_test_api_mode {
    KP_TEST_API_WELL,
    KP_TEST_API_FORBIDS, // 403: the asker has no right to ask
    KP_TEST_API_CLOSES,  // every connection
    KP_TEST_API_HANGS,   // does not answer, until the mode is another
};

struct kp_test_api *kp_test_api_start(void);
void kp_test_api_stop(struct kp_test_api *api); // NULL is fine
const char *kp_test_api_url(const struct kp_test_api *api);
void kp_test_api_set_mode(struct kp_test_api *api, enum kp_test_api_mode mode);

void kp_test_api_revoke(struct kp_test_api *api, const char *token); // from now on nobody's
// subresource NULL: profiles itself; namespace "": all. "*" = any.
void kp_test_api_grant(struct kp_test_api *api, const char *user, const char *verb, const char *subresource,
    const char *namespace);
void kp_test_api_take_back(struct kp_test_api *api, const char *user); // all of his
// data: of the ConfigMap, as JSON; NULL: it is deleted. Those who watch are told.
void kp_test_api_set_front_proxy(struct kp_test_api *api, const char *data);

size_t kp_test_api_token_reviews(struct kp_test_api *api);
size_t kp_test_api_access_reviews(struct kp_test_api *api);
// The last SubjectAccessReview's body; free it.
char *kp_test_api_last_access(struct kp_test_api *api);

#endif
