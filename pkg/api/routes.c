// The table of routes.
#include <string.h>

#include "api/answers.h"
#include "api/state.h"
#include "base/limits.h"
#include "base/banned.h"

#define MAX_STATES ((size_t)32 * KP_MIB)
#define MAX_UPLOAD ((size_t)KP_MAX_PROFILE_BYTES + KP_MAX_RECORD_BYTES + 4)
#define MAX_PUSH   KP_MAX_PROFILE_BYTES

// Which parameters a route takes; see query.h.
static const struct kp_api_tag list = {.query_for = KP_Q_LIST}, get = {.query_for = KP_Q_GET},
                               services = {.query_for = KP_Q_SERVICES}, labels = {.query_for = KP_Q_LABELS},
                               targets = {.query_for = KP_Q_TARGETS}, pgo = {.query_for = KP_Q_PGO};

static const struct kp_http_route routes[] = {
    {.method = "POST", .path = "/api/v1/profiles", .handler = kp_api_post_profile, .max_body = MAX_UPLOAD},
    {.method = "GET", .path = "/api/v1/profiles", .handler = kp_api_list_profiles, .tag = &list},
    {.method = "GET", .path = "/api/v1/profiles/{id}", .handler = kp_api_get_profile, .tag = &get},
    {.method = "DELETE", .path = "/api/v1/profiles/{id}", .handler = kp_api_delete_profile},
    {.method = "GET", .path = "/api/v1/services", .handler = kp_api_list_services, .tag = &services},
    {.method = "GET", .path = "/api/v1/labels", .handler = kp_api_list_labels, .tag = &labels},
    {.method = "GET", .path = "/api/v1/labels/{key}", .handler = kp_api_list_labels, .tag = &labels},
    {.method = "GET", .path = "/api/v1/merge", .handler = kp_api_answer, .tag = &kp_answer_merge},
    {.method = "GET", .path = "/api/v1/diff", .handler = kp_api_answer, .tag = &kp_answer_diff},
    {.method = "GET", .path = "/api/v1/top", .handler = kp_api_answer, .tag = &kp_answer_top},
    {.method = "GET", .path = "/api/v1/flamegraph", .handler = kp_api_answer, .tag = &kp_answer_flame},
    {.method = "GET", .path = "/api/v1/series", .handler = kp_api_answer, .tag = &kp_answer_series},
    {.method = "GET", .path = "/api/v1/peers", .handler = kp_api_answer, .tag = &kp_answer_peers},
    {.method = "GET", .path = "/api/v1/pgo", .handler = kp_api_pgo, .tag = &pgo},
    {.method = "GET", .path = "/api/v1/stats", .handler = kp_api_stats},
    {.method = "POST", .path = "/api/v1/admin/seal", .handler = kp_api_seal},
    {.method = "POST", .path = "/api/v1/targets", .handler = kp_api_post_targets, .max_body = MAX_STATES},
    {.method = "GET", .path = "/api/v1/targets", .handler = kp_api_list_targets, .tag = &targets},
    // profefe's
    {.method = "POST", .path = "/api/0/profiles", .handler = kp_api_post_profefe, .max_body = MAX_PUSH},
    {.method = "POST", .path = "/api/0/profiles/", .handler = kp_api_post_profefe, .max_body = MAX_PUSH},
    {.method = "GET", .path = "/api/0/profiles", .handler = kp_api_profefe_find},
    {.method = "GET", .path = "/api/0/profiles/", .handler = kp_api_profefe_find},
    {.method = "GET", .path = "/api/0/profiles/merge", .handler = kp_api_profefe_merge},
    {.method = "GET", .path = "/api/0/profiles/merge/", .handler = kp_api_profefe_merge},
    {.method = "POST", .path = "/api/0/profiles/merge", .handler = kp_api_profefe_merge},
    {.method = "POST", .path = "/api/0/profiles/merge/", .handler = kp_api_profefe_merge},
    {.method = "DELETE", .path = "/api/0/profiles/merge", .handler = kp_api_profefe_not_a_method},
    {.method = "GET", .path = "/api/0/profiles/{ids}", .handler = kp_api_profefe_get},
    {.method = "GET", .path = "/api/0/profiles/{ids}/", .handler = kp_api_profefe_get},
    {.method = "DELETE", .path = "/api/0/profiles/{id}", .handler = kp_api_profefe_delete},
    {.method = "GET", .path = "/api/0/services", .handler = kp_api_profefe_services},
    {.method = "GET", .path = "/api/0/version", .handler = kp_api_profefe_version},
    {.method = "*", .path = "/api/0/{rest...}", .handler = kp_api_profefe_nothing},
};

size_t kp_api_add_routes(struct kp_http_route out[KP_API_ROUTES])
{
    _Static_assert(sizeof routes == KP_API_ROUTES * sizeof out[0], "the header says how many");
    memcpy(out, routes, sizeof routes);
    return KP_API_ROUTES;
}
