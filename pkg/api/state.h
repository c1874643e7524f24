// The API from inside: what its files share. Private to this module.
#ifndef KP_API_STATE_H
#define KP_API_STATE_H

#include "aio/job.h"
#include "api/admit.h"
#include "api/api.h"
#include "api/call.h"
#include "api/fair.h"
#include "api/json.h"
#include "api/limits.h"
#include "api/query.h"
#include "api/states.h"
#include "api/told.h"
#include "base/array.h"
#include "base/list.h"
#include "base/strbuf.h"

struct kp_upload;
struct gauges;

struct kp_profefe_metrics { // profefe_metrics.c
    struct kp_metric_family *requests, *seconds, *request_bytes, *request_count, *response_bytes,
        *response_count;
};

struct kp_api {
    struct kp_api_options options;
    struct kp_worker *worker;
    struct kp_timer *retain_timer;
    bool retaining, should_retain; // should: again, when what runs is done
    bool retains_soon;             // it was set forward
    struct kp_states *states;
    struct kp_sealing *sealing;
    struct kp_error trouble, write_trouble; // of the store, as readyz says it
    int told_trouble;                       // what on_store_trouble was told last
    struct kp_watches *watches;
    struct kp_list asking; // at the door: admit.c
    struct kp_list late;   // refusals that wait for their time: admitted.c
    size_t n_late;
    struct {
        int64_t since_ms, slowest_ms, before_ms; // this window's, that of the one before
    } reviews;                                   // how long the gate's answers took: admitted.c
    struct kp_told *told;
    struct kp_limits *limits;
    struct kp_fair *fair;
    struct kp_fair *fair_large; // what is large inflates to hundreds of megabytes: one at a time
    int busy;                   // jobs and batches whose end calls back
    size_t n_heavy;             // of them: merges
    // writer.c
    struct kp_list waiting;          // uploads checked, not handed to the worker yet
    size_t n_waiting, waiting_bytes; // all accepted uploads without an answer
    bool writing;
    int64_t writing_since_ms; // monotonic
    struct kp_metric_family *m_uploads;
    struct kp_metric *m_waiting;
    struct kp_profefe_metrics profefe;
    struct gauges *gauges; // belongs to the metrics' collect call; freed with the api
};

// One upload from its body to its answer.
struct kp_upload {
    struct kp_api *api;
    struct kp_http_exchange *x; // NULL: the client left; the profile is stored all the same
    enum kp_api_dialect dialect;
    struct kp_blob *request;  // the body as received
    bool framed;              // a record lies before the profile
    bool plain_names;         // of the scope
    struct kp_tenant *tenant; // whose place among those that wait it has; NULL = of nobody
    struct kp_record record;
    struct kp_blob *profile;
    int64_t created_ms; // what the request says, if the profile has no time of its own
    int status;         // of a refusal; 0 = store it
    const char *reason;
    struct kp_error error;
    size_t bytes;
    struct kp_append append;
    struct kp_list node;
};

#define KP_API_LIMIT_REASON "NamespaceLimit"

// admit.c, admitted.c: see admit.h
void kp_api_end_asking(struct kp_api *api); // answers those at the door
void kp_api_end_late(struct kp_api *api);

// upload.c
bool kp_api_is_capture(const struct kp_http_exchange *x); // a record lies before the profile
void kp_api_post_profile(struct kp_http_exchange *x, void *user);
// Whether labels may be pushed: not under the names of system fields.
KP_MUST_CHECK int kp_api_check_labels(const struct kp_labels *labels, struct kp_error *err);
// Takes record and body over (the record's strings; the body by reference), checks in a job, stores, answers.
void kp_api_upload(struct kp_api *api, struct kp_http_exchange *x, enum kp_api_dialect dialect,
    struct kp_record *record, int64_t created_ms, bool framed);
void kp_upload_finish(struct kp_upload *upload); // answers, counts, frees

// profefe.c
void kp_api_post_profefe(struct kp_http_exchange *x, void *user);
void kp_profefe_answer(struct kp_http_exchange *x, const struct kp_upload *upload);
void kp_profefe_error(struct kp_http_exchange *x, int status, const char *message);
void kp_profefe_fail(struct kp_http_exchange *x, const struct kp_error *err); // with the status of the error
// plain_names: of the scope
void kp_profefe_profile(struct kp_json *j, const char *key, const struct kp_record *record, bool plain_names);
char *kp_profefe_service(const struct kp_record *record, bool plain_names); // as it is shown; free it
// What is behind "NAMESPACE/" in a service's name; the name itself if it does not begin so.
const char *kp_profefe_own_service(const char *service, const char *namespace);

// profefe_read.c
void kp_api_profefe_find(struct kp_http_exchange *x, void *user);
void kp_api_profefe_get(struct kp_http_exchange *x, void *user);
void kp_api_profefe_merge(struct kp_http_exchange *x, void *user);
void kp_api_profefe_services(struct kp_http_exchange *x, void *user);
void kp_api_profefe_version(struct kp_http_exchange *x, void *user);
void kp_api_profefe_nothing(struct kp_http_exchange *x, void *user);
void kp_api_profefe_not_a_method(struct kp_http_exchange *x, void *user);
// Whether profiles of this namespace are kept. In a job.
bool kp_api_namespace_known(struct kp_api *api, const char *namespace);

// writer.c
void kp_api_write(struct kp_api *api, struct kp_upload *upload);
void kp_api_delete_profile(struct kp_http_exchange *x, void *user);
void kp_api_start_retention(struct kp_api *api);
void kp_api_retain_soon(struct kp_api *api);

// profiles.c
bool kp_api_wants_facts(const struct kp_http_exchange *x); // of GET profiles/{id}: not the bytes
void kp_api_list_profiles(struct kp_http_exchange *x, void *user);
void kp_api_get_profile(struct kp_http_exchange *x, void *user);
void kp_api_send_profile(struct kp_api *api, struct kp_http_exchange *x, bool facts); // {id} of the path
void kp_api_list_services(struct kp_http_exchange *x, void *user);

// answers.c, series.c, pgo.c: see answers.h
void kp_api_list_labels(struct kp_http_exchange *x, void *user);
void kp_api_pgo(struct kp_http_exchange *x, void *user);

// watch.c; takes the query over
void kp_api_watch(struct kp_api *api, struct kp_http_exchange *x, struct kp_query *q);
void kp_api_publish(struct kp_api *api, const struct kp_record *record); // a profile was stored
void kp_api_start_watches(struct kp_api *api);
void kp_api_free_watches(struct kp_api *api);

// seal.c
void kp_api_seal(struct kp_http_exchange *x, void *user);
void kp_api_start_sealing(struct kp_api *api);
void kp_api_stop_sealing(struct kp_api *api);
void kp_api_free_sealing(struct kp_api *api); // when nothing is busy any more

// stats.c
void kp_api_stats(struct kp_http_exchange *x, void *user);
void kp_api_start_gauges(struct kp_api *api);

// profefe_metrics.c
void kp_api_start_profefe_metrics(struct kp_api *api);

// namespaces.c
void kp_api_post_namespaces(struct kp_http_exchange *x, void *user);

// targets.c
void kp_api_post_targets(struct kp_http_exchange *x, void *user);
void kp_api_list_targets(struct kp_http_exchange *x, void *user);

#endif
