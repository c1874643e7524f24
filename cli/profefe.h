// The few words profefe's own registry knows, for --registry with an address of one: the questions of /api/v1
// are put in those of /api/0, and the answers given back in the form of /api/v1.
#ifndef KP_CLI_PROFEFE_H
#define KP_CLI_PROFEFE_H

#include "cli/ask.h"

// Whether an answer to a path of /api/v1 came from somebody who has never heard of it.
bool kp_profefe_is_meant(const struct kp_error *err);

// "services" and "profiles"; everything else is KP_INVALID with a sentence.
KP_MUST_CHECK int kp_profefe_json(
    struct kp_cli *cli, const char *what, const struct kp_query *query, json_t **ret, struct kp_error *err);
// "merge" and "profiles/ID".
KP_MUST_CHECK int kp_profefe_bytes(struct kp_cli *cli, const char *what, const struct kp_query *query,
    struct kp_blob **ret, struct kp_error *err);
KP_MUST_CHECK int kp_profefe_store(struct kp_cli *cli, const struct kp_query *query, const void *data,
    size_t len, char **ret_id, struct kp_error *err);

#endif
