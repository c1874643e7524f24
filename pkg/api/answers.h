// Answers made of many profiles: each is a row of the routes table whose tag says which parameters it takes
// and what is done in the job. Private to this module.
#ifndef KP_API_ANSWERS_H
#define KP_API_ANSWERS_H

#include "api/admit.h"
#include "api/call.h"
#include "api/json.h"
#include "api/query.h"

struct kp_api_tag {
    struct kp_admission admission; // who may ask
    unsigned query_for;            // enum kp_query_for; 0 = the route reads its parameters itself
    // In a job; call->data is the struct kp_query. NULL = the route has a handler of its own.
    void (*work)(struct kp_call *call);
    // What the table of parameters cannot say; sets defaults. On the loop. May be NULL.
    int (*check)(struct kp_query *q, struct kp_error *err);
    // Of the aggregated API: what answers once the path is checked, and the row whose answer it is (NULL =
    // the handler knows).
    kp_http_handler_fn handler;
    const struct kp_api_tag *like;
};

extern const struct kp_api_tag kp_answer_merge, kp_answer_diff, kp_answer_top, kp_answer_flame,
    kp_answer_series, kp_answer_peers;

// The handler of such rows.
void kp_api_answer(struct kp_http_exchange *x, void *user);

// The merged profile of a query, or of its base; statistics go into headers of the answer, under X-Profiles
// and so on, for the base under X-Base-Profiles. In a job.
KP_MUST_CHECK int kp_answer_sum(struct kp_call *call, struct kp_merge_query *merge, bool base,
    struct kp_profile **ret, struct kp_merge_stats *ret_stats);
// Encodes and sends as gzip.
void kp_answer_pprof(struct kp_call *call, const struct kp_profile *profile, int level);
void kp_json_stats(struct kp_json *j, const char *key, const struct kp_merge_stats *stats);
int kp_answer_check_type(struct kp_query *q, struct kp_error *err);

#endif
