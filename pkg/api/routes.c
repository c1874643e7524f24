// The table of routes.
#include <string.h>

#include "api/aggregated.h"
#include "api/answers.h"
#include "api/state.h"
#include "base/limits.h"
#include "base/banned.h"

#define MAX_STATES  ((size_t)32 * KP_MIB)
#define MAX_UPLOAD  ((size_t)KP_MAX_PROFILE_BYTES + KP_MAX_RECORD_BYTES + 4)
#define MAX_NAMES   ((size_t)KP_MIB)
#define MAX_PUSH    KP_MAX_PROFILE_BYTES
#define MAX_OPTIONS ((size_t)64 * KP_KIB) // DeleteOptions
#define PROFILES    KP_AGG_ROOT "/namespaces/{namespace}/profiles"

// Who may, and which parameters a route takes; see admit.h, query.h and docs/decisions/0008.
#define TAG(name, where_, verb_, sub_, query_)                                                               \
    static const struct kp_api_tag name = {                                                                  \
        .admission = {.where = KP_ADMIT_##where_, .verb = verb_, .subresource = sub_}, .query_for = query_}
TAG(list, QUERY, "list", NULL, KP_Q_LIST);
TAG(get, ID, "get", "download", KP_Q_GET);
TAG(delete, ID, "delete", NULL, KP_Q_DELETE);
TAG(delete_id, ID, "delete", NULL, 0);
TAG(services, QUERY, "list", NULL, KP_Q_SERVICES);
TAG(labels, QUERY, "list", NULL, KP_Q_LABELS);
TAG(stats, PATH, "list", NULL, 0); // of everything
TAG(push, PUSH, "create", NULL, 0);
TAG(told, SELF, "create", "captures", 0);
static const struct kp_api_tag targets = {
    .admission = KP_ADMIT_SUM(QUERY, "targets"), .query_for = KP_Q_TARGETS};
static const struct kp_api_tag pgo = {.admission = KP_ADMIT_SUM(QUERY, "pgo"), .query_for = KP_Q_PGO};
static const struct kp_api_tag seal = {
    .admission = {.where = KP_ADMIT_SELF, .verb = "create", .subresource = "seal", .or_loopback = true}};
TAG(find, SERVICE, "list", NULL, 0);
static const struct kp_api_tag merge = {.admission = KP_ADMIT_SUM(SERVICE, "merge")};
TAG(get_ids, ID, "get", "download", 0);
TAG(known, KNOWN, NULL, NULL, 0);
TAG(open, OPEN, NULL, NULL, 0);
TAG(agg_list, PATH, "list", NULL, 0);
TAG(agg_push, PATH, "create", NULL, 0);
TAG(agg_get, PATH, "get", NULL, 0);
TAG(agg_download, PATH, "get", "download", 0);
TAG(agg_delete, PATH, "delete", NULL, 0);
TAG(agg_delete_all, PATH, "deletecollection", NULL, 0);
#undef TAG

// Namespace-wide answers: sub-resources of "-", with the parameters and answers of /api/v1.
#define TAG(name, sub, query, how, like_)                                                                    \
    static const struct kp_api_tag name = {                                                                  \
        .admission = KP_ADMIT_SUM(PATH, sub), .query_for = query, .handler = how, .like = like_}
TAG(agg_merge, "merge", KP_Q_MERGE, kp_api_answer, &kp_answer_merge);
TAG(agg_diff, "diff", KP_Q_DIFF, kp_api_answer, &kp_answer_diff);
TAG(agg_top, "top", KP_Q_TOP, kp_api_answer, &kp_answer_top);
TAG(agg_flamegraph, "flamegraph", KP_Q_FLAME, kp_api_answer, &kp_answer_flame);
TAG(agg_series, "series", KP_Q_SERIES, kp_api_answer, &kp_answer_series);
TAG(agg_peers, "peers", KP_Q_PEERS, kp_api_answer, &kp_answer_peers);
TAG(agg_pgo, "pgo", KP_Q_PGO, kp_api_pgo, NULL);
TAG(agg_targets, "targets", KP_Q_TARGETS, kp_api_list_targets, NULL);
TAG(agg_services, "services", KP_Q_SERVICES, kp_api_list_services, NULL);
TAG(agg_labels, "labels", KP_Q_LABELS, kp_api_list_labels, NULL);
#undef TAG

static const struct kp_http_route routes[] = {
    {.method = "POST",
        .path = "/api/v1/profiles",
        .handler = kp_api_post_profile,
        .max_body = MAX_UPLOAD,
        .tag = &push},
    {.method = "GET", .path = "/api/v1/profiles", .handler = kp_api_list_profiles, .tag = &list},
    {.method = "GET", .path = "/api/v1/profiles/{id}", .handler = kp_api_get_profile, .tag = &get},
    {.method = "DELETE", .path = "/api/v1/profiles/{id}", .handler = kp_api_delete_profile, .tag = &delete},
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
    {.method = "GET", .path = "/api/v1/stats", .handler = kp_api_stats, .tag = &stats},
    {.method = "POST", .path = "/api/v1/admin/seal", .handler = kp_api_seal, .tag = &seal},
    {.method = "POST",
        .path = "/api/v1/targets",
        .handler = kp_api_post_targets,
        .max_body = MAX_STATES,
        .tag = &told},
    {.method = "GET", .path = "/api/v1/targets", .handler = kp_api_list_targets, .tag = &targets},
    {.method = "POST",
        .path = "/api/v1/namespaces",
        .handler = kp_api_post_namespaces,
        .max_body = MAX_NAMES,
        .tag = &told},
    // profefe's
    {.method = "POST",
        .path = "/api/0/profiles",
        .handler = kp_api_post_profefe,
        .max_body = MAX_PUSH,
        .tag = &push},
    {.method = "POST",
        .path = "/api/0/profiles/",
        .handler = kp_api_post_profefe,
        .max_body = MAX_PUSH,
        .tag = &push},
    {.method = "GET", .path = "/api/0/profiles", .handler = kp_api_profefe_find, .tag = &find},
    {.method = "GET", .path = "/api/0/profiles/", .handler = kp_api_profefe_find, .tag = &find},
    {.method = "GET", .path = "/api/0/profiles/merge", .handler = kp_api_profefe_merge, .tag = &merge},
    {.method = "GET", .path = "/api/0/profiles/merge/", .handler = kp_api_profefe_merge, .tag = &merge},
    {.method = "POST", .path = "/api/0/profiles/merge", .handler = kp_api_profefe_merge, .tag = &merge},
    {.method = "POST", .path = "/api/0/profiles/merge/", .handler = kp_api_profefe_merge, .tag = &merge},
    {.method = "DELETE",
        .path = "/api/0/profiles/merge",
        .handler = kp_api_profefe_not_a_method,
        .tag = &known},
    {.method = "GET", .path = "/api/0/profiles/{ids}", .handler = kp_api_profefe_get, .tag = &get_ids},
    {.method = "GET", .path = "/api/0/profiles/{ids}/", .handler = kp_api_profefe_get, .tag = &get_ids},
    {.method = "DELETE", .path = "/api/0/profiles/{id}", .handler = kp_api_delete_profile, .tag = &delete_id},
    {.method = "GET", .path = "/api/0/services", .handler = kp_api_profefe_services, .tag = &find},
    {.method = "GET", .path = "/api/0/version", .handler = kp_api_profefe_version, .tag = &known},
    {.method = "*", .path = "/api/0/{rest...}", .handler = kp_api_profefe_nothing, .tag = &known},
    // Kubernetes'
    {.method = "GET", .path = "/apis", .handler = kp_api_agg_root, .tag = &open},
    {.method = "GET", .path = KP_AGG_ROOT, .handler = kp_api_agg_resources, .tag = &open},
    {.method = "GET", .path = "/openapi/v2", .handler = kp_api_agg_openapi_v2, .tag = &open},
    {.method = "GET", .path = "/openapi/v3", .handler = kp_api_agg_openapi_v3, .tag = &open},
    {.method = "GET", .path = "/openapi/v3" KP_AGG_ROOT, .handler = kp_api_agg_schema, .tag = &open},
    {.method = "GET", .path = KP_AGG_ROOT "/profiles", .handler = kp_api_agg_list, .tag = &agg_list},
    {.method = "GET", .path = PROFILES, .handler = kp_api_agg_list, .tag = &agg_list},
    {.method = "POST", .path = PROFILES, .handler = kp_api_agg_push, .max_body = MAX_PUSH, .tag = &agg_push},
    {.method = "DELETE",
        .path = PROFILES,
        .handler = kp_api_agg_delete_all,
        .max_body = MAX_OPTIONS,
        .tag = &agg_delete_all},
    {.method = "GET", .path = PROFILES "/-/merge", .handler = kp_api_agg_query, .tag = &agg_merge},
    {.method = "GET", .path = PROFILES "/-/diff", .handler = kp_api_agg_query, .tag = &agg_diff},
    {.method = "GET", .path = PROFILES "/-/top", .handler = kp_api_agg_query, .tag = &agg_top},
    {.method = "GET", .path = PROFILES "/-/flamegraph", .handler = kp_api_agg_query, .tag = &agg_flamegraph},
    {.method = "GET", .path = PROFILES "/-/series", .handler = kp_api_agg_query, .tag = &agg_series},
    {.method = "GET", .path = PROFILES "/-/peers", .handler = kp_api_agg_query, .tag = &agg_peers},
    {.method = "GET", .path = PROFILES "/-/pgo", .handler = kp_api_agg_query, .tag = &agg_pgo},
    {.method = "GET", .path = PROFILES "/-/targets", .handler = kp_api_agg_query, .tag = &agg_targets},
    {.method = "GET", .path = PROFILES "/-/services", .handler = kp_api_agg_query, .tag = &agg_services},
    {.method = "GET", .path = PROFILES "/-/labels", .handler = kp_api_agg_query, .tag = &agg_labels},
    {.method = "GET", .path = PROFILES "/{id}", .handler = kp_api_agg_get, .tag = &agg_get},
    {.method = "DELETE",
        .path = PROFILES "/{id}",
        .handler = kp_api_agg_delete,
        .max_body = MAX_OPTIONS,
        .tag = &agg_delete},
    {.method = "GET",
        .path = PROFILES "/{id}/download",
        .handler = kp_api_agg_download,
        .tag = &agg_download},
    {.method = "*", .path = "/apis/{rest...}", .handler = kp_api_agg_nothing, .tag = &open},
    {.method = "*", .path = "/openapi/{rest...}", .handler = kp_api_agg_nothing, .tag = &open},
};

size_t kp_api_add_routes(struct kp_http_route out[KP_API_ROUTES])
{
    _Static_assert(sizeof routes == KP_API_ROUTES * sizeof out[0], "the header says how many");
    memcpy(out, routes, sizeof routes);
    return KP_API_ROUTES;
}
