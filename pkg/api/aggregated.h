// The same profiles as an API of Kubernetes: group data.kube-pprof.dev, which the API server hands on to the
// registry (docs/decisions/0008). Paths mean what the API server authorised or nothing at all; errors are
// Status objects, lists are what kubectl prints. Private to this module.
#ifndef KP_API_AGGREGATED_H
#define KP_API_AGGREGATED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/answers.h"
#include "api/json.h"
#include "base/selector.h"
#include "http/server.h"
#include "record/record.h"
#include "store/store.h"

#define KP_AGG_GROUP       "data.kube-pprof.dev"
#define KP_AGG_VERSION     "v1alpha1"
#define KP_AGG_API_VERSION KP_AGG_GROUP "/" KP_AGG_VERSION
#define KP_AGG_ROOT        "/apis/" KP_AGG_API_VERSION
#define KP_AGG_MAX_LIST    10000

// ---- aggregated_request.c: what is asked for; pure ----

// Whether a path, as sent, is of this API or of the documents about it.
bool kp_agg_is_path(const char *path);
// Whether it can be read in one way only: segments that are not empty, not "." or "..", that hold no '/' once
// they are decoded, and nothing before or behind them.
bool kp_agg_path_is_strict(const char *path);

enum kp_agg_form { KP_AGG_OBJECT, KP_AGG_TABLE, KP_AGG_METADATA };
struct kp_agg_accept {
    enum kp_agg_form form;
    bool beta; // meta.k8s.io/v1beta1
};
// The first form of an Accept header that can be given. accept NULL = anything. KP_INVALID: there is none.
KP_MUST_CHECK int kp_agg_accept_parse(const char *accept, struct kp_agg_accept *ret, struct kp_error *err);
bool kp_agg_wants_discovery(const char *accept); // the aggregated discovery document
// As the API server reads it: everything but "false" and "0" is yes. NULL = no.
bool kp_agg_is_watch(const char *value);

// Of which profiles.
struct kp_agg_select {
    char *name, *namespace, *service, *type; // NULL = any
    struct kp_selector *selector;            // NULL = all
    bool nothing;                            // it contradicts itself: no profile can match
};
// Either text may be NULL or "". Finish it also after an error.
KP_MUST_CHECK int kp_agg_select_parse(
    const char *labels, const char *fields, struct kp_agg_select *ret, struct kp_error *err);
// All of its namespace.
bool kp_agg_select_is_all(const struct kp_agg_select *select);
void kp_agg_select_finish(struct kp_agg_select *select);

struct kp_agg_delete_options {
    bool dry_run;
    char uid[64]; // that the profile has to have; "" = any
};
// body: DeleteOptions as JSON, or empty. dry_run: of the query, or NULL. What would be overlooked, so that
// more is deleted than was meant, is an error.
KP_MUST_CHECK int kp_agg_delete_options_parse(const void *body, size_t len, const char *dry_run,
    struct kp_agg_delete_options *ret, struct kp_error *err);

// Whether DELETE knows a parameter of the query, and it is none that would have to narrow it.
bool kp_agg_delete_takes(const char *param);

// ---- aggregated_status.c ----

// kp_api_word_error(), and:
// "Status: Success", of one profile or (name NULL) of a collection.
void kp_agg_reply_success(struct kp_http_exchange *x, const char *name);

// ---- aggregated_profile.c: how a profile looks ----

#define KP_AGG_UID_TEXT 37
void kp_agg_uid(char out[KP_AGG_UID_TEXT], const char *id);
void kp_agg_object(struct kp_json *j, const char *key, const struct kp_record *record);
void kp_agg_metadata_object(
    struct kp_json *j, const char *key, const struct kp_record *record, bool beta); // PartialObjectMetadata
char *kp_agg_workload(const struct kp_record *record); // "Deployment/checkout", or NULL; free it
// The properties of spec or status, as OpenAPI has them.
void kp_agg_schema(struct kp_json *j, const char *section);

// ---- aggregated_table.c ----

void kp_agg_columns(struct kp_json *j);
// include: "None", "Metadata" or "Object"; NULL = Metadata.
void kp_agg_row(
    struct kp_json *j, const struct kp_record *record, int64_t now_ms, const char *include, bool beta);
// As kubectl words ages: "7s", "5m30s", "3h", "12d".
#define KP_AGG_AGE_TEXT 24
const char *kp_agg_age(char out[KP_AGG_AGE_TEXT], int64_t ms);

// ---- handlers ----

// aggregated_discovery.c
void kp_api_agg_root(struct kp_http_exchange *x, void *user);      // /apis
void kp_api_agg_resources(struct kp_http_exchange *x, void *user); // /apis/GROUP/VERSION
void kp_api_agg_openapi_v2(struct kp_http_exchange *x, void *user);
void kp_api_agg_openapi_v3(struct kp_http_exchange *x, void *user);
void kp_api_agg_schema(struct kp_http_exchange *x, void *user);
void kp_api_agg_nothing(struct kp_http_exchange *x, void *user); // 404

// aggregated.c, aggregated_delete.c
void kp_api_agg_list(struct kp_http_exchange *x, void *user);
void kp_api_agg_get(struct kp_http_exchange *x, void *user);
void kp_api_agg_download(struct kp_http_exchange *x, void *user);
void kp_api_agg_query(struct kp_http_exchange *x, void *user); // the tag says which: sub-resources of "-"
void kp_api_agg_delete(struct kp_http_exchange *x, void *user);
void kp_api_agg_push(struct kp_http_exchange *x, void *user); // aggregated_push.c
void kp_api_agg_delete_all(struct kp_http_exchange *x, void *user);
// Of the collection: namespaces, selectors. False if it was answered already.
bool kp_agg_take_select(struct kp_http_exchange *x, struct kp_agg_select *ret);

#endif
