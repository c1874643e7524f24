// The API server's front proxy: what the ConfigMap kube-system/extension-apiserver-authentication says of it,
// and what its X-Remote-* headers say of a user. Pure; whether a request may say such things at all is found
// out elsewhere. Names of headers are compared exactly but for case ("X_Remote_User" is another header),
// values are taken as they are.
#ifndef KP_AUTH_REMOTE_H
#define KP_AUTH_REMOTE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "serve/gate.h"

struct kp_remote_names {
    char **items;
    size_t n;
};

struct kp_remote {
    char *ca_pem;                                          // whom its certificate is from
    struct kp_remote_names allowed;                        // its common name; none = any
    struct kp_remote_names user, group, extra_prefix, uid; // headers; of user and uid the first that is there
};

// KP_NOT_FOUND: it names no CA, so there is no front proxy to believe. KP_INVALID: it is not as it should be.
// Lists of headers that are missing or empty are those that every API server sends.
KP_MUST_CHECK int kp_remote_read(const json_t *config_map, struct kp_remote *ret, struct kp_error *err);
void kp_remote_finish(struct kp_remote *remote);
bool kp_remote_allows(const struct kp_remote *remote, const char *common_name);

// The i-th header of a request; false past the end. As kp_http_header_at().
typedef bool (*kp_remote_header_fn)(const void *of, size_t i, const char **ret_name, const char **ret_value);

// *ret NULL: no header names a user. KP_UNAUTHENTICATED: they cannot be believed (a user named twice, no
// text, too much of it).
KP_MUST_CHECK int kp_remote_identity(const struct kp_remote *remote, kp_remote_header_fn header_at,
    const void *of, struct kp_identity **ret, struct kp_error *err);

#endif
