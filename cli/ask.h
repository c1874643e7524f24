// Questions to the registry: through the API server as the aggregated API (docs/registry-api.md), or directly
// where --registry says so. The caller writes what he asks once, in the words of /api/v1.
#ifndef KP_CLI_ASK_H
#define KP_CLI_ASK_H

#include <jansson.h>
#include <stdbool.h>

#include "base/array.h"
#include "base/blob.h"
#include "cli/session.h"

// Parameters in the words of /api/v1.
struct kp_query_item {
    char *key, *value;
};
struct kp_query {
    KP_ARRAY(struct kp_query_item) items;
};
void kp_query_init(struct kp_query *query);
void kp_query_finish(struct kp_query *query);
void kp_query_add(struct kp_query *query, const char *key, const char *value); // "" and NULL: nothing
void kp_query_add_int(struct kp_query *query, const char *key, int64_t value);
void kp_query_add_time(struct kp_query *query, const char *key, int64_t ms); // to the millisecond
// What flags say of profiles: --service, --type (the first), --selector and --revision, --from, --to.
// KP_INVALID for a time or selector that cannot be read.
KP_MUST_CHECK int kp_query_add_flags(struct kp_cli *cli, struct kp_query *query, struct kp_error *err);

// Whether --registry (or kube-profefe's flag for it) was given.
bool kp_ask_is_direct(const struct kp_cli *cli);

// what: "profiles", "profiles/ID", "services", "labels", "labels/KEY", "merge", "diff", "top", "flamegraph",
// "series", "peers", "pgo", "targets", of the namespace (kp_session_namespace; with --registry only where -n
// was given). The answer is /api/v1's also where it came through the API server (lists of profiles, too).
// With -A: of all namespaces; through the API server namespace by namespace, those one may not read left out
// with a note.
KP_MUST_CHECK int kp_ask_json(
    struct kp_cli *cli, const char *what, const struct kp_query *query, json_t **ret, struct kp_error *err);
// The same where the answer is bytes; "profiles/ID" is the profile itself. *ret: one reference.
KP_MUST_CHECK int kp_ask_bytes(struct kp_cli *cli, const char *what, const struct kp_query *query,
    struct kp_blob **ret, struct kp_error *err);
// Stores bytes; *ret_id is "" where the registry did not keep them. namespace NULL: the session's.
KP_MUST_CHECK int kp_ask_store(struct kp_cli *cli, const char *namespace, const struct kp_query *query,
    const void *data, size_t len, char **ret_id, struct kp_error *err);

#endif
