// What one namespace may take of the registry, so that others find room: bytes a second of uploads, and
// answers made of many profiles at once. What it may keep is the store's business. On the loop. Private to
// this module.
#ifndef KP_API_LIMITS_H
#define KP_API_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct kp_api;
struct kp_limits;
struct kp_tenant; // a namespace; all of them at once count as one

void kp_limits_start(struct kp_api *api);
void kp_limits_free(struct kp_limits *limits); // NULL is fine

// Whether an upload may go on: else KP_THROTTLED, with a sentence that names cap and flag, and when to come
// back. namespace NULL = "".
KP_MUST_CHECK int kp_limits_upload(
    struct kp_api *api, const char *namespace, size_t bytes, struct kp_error *err);

// A place among uploads that wait: pushes of one namespace have at most half of them, in number and bytes.
// *ret NULL: the namespace (NULL) is not limited. Given back by leave_queue.
KP_MUST_CHECK int kp_limits_queue(
    struct kp_api *api, const char *namespace, size_t bytes, struct kp_tenant **ret, struct kp_error *err);
void kp_limits_leave_queue(struct kp_tenant *tenant, size_t bytes); // NULL is fine

// Room among the answers that wait for their clients to read: those of one namespace have at most half of it,
// but one always may. *ret as above. Given back by leave_unread, also after kp_limits_free().
KP_MUST_CHECK int kp_limits_unread(
    struct kp_api *api, const char *namespace, size_t bytes, struct kp_tenant **ret, struct kp_error *err);
void kp_limits_leave_unread(struct kp_tenant *tenant, size_t bytes); // NULL is fine

// A place for heavy work, given back by leave; the same of errors. Of the places there are one namespace has
// at most half, unless it was the only one to ask for some time. namespace NULL = all.
KP_MUST_CHECK int kp_limits_enter(
    struct kp_api *api, const char *namespace, struct kp_tenant **ret, struct kp_error *err);
void kp_limits_leave(struct kp_tenant *tenant);

// Counts a refusal by its limit: "ingest", "store", "merges", "watches", "waiting",
// "unread".
void kp_limits_count(struct kp_api *api, const char *limit);

#endif
