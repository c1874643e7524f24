// Parameters of profefe's API, read as profefe reads them: which of them are wrong first, and in which words.
// Private to this module.
#ifndef KP_API_PROFEFE_ARGS_H
#define KP_API_PROFEFE_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/labels.h"
#include "base/selector.h"
#include "http/query.h"
#include "record/record.h"

// Of a query's text: pairs that hold a ';' or are badly escaped are left out.
void kp_profefe_args_parse(struct kp_http_query *ret, const char *query);

// The upload's parameters as a record; created_at 0 if it is not given. Finish the record also after an
// error.
KP_MUST_CHECK int kp_profefe_parse_upload(
    const char *query, struct kp_record *ret, int64_t *ret_created_ms, struct kp_error *err);

struct kp_profefe_find {
    char *service; // as it was given: NAME or NAMESPACE/NAME
    char *type;    // NULL = all
    struct kp_labels *labels;
    int64_t from_ms, to_ms; // [from, to); both > 0
    int64_t limit;          // 0 = none
};
// Finish it also after an error.
KP_MUST_CHECK int kp_profefe_parse_find(const char *query, struct kp_profefe_find *ret, struct kp_error *err);
void kp_profefe_find_finish(struct kp_profefe_find *find);

// What selects these labels; in a namespace of the cluster pod, container and, for those who see more than
// one (plain_names false), namespace are what the controller says they are. NULL without labels.
KP_MUST_CHECK int kp_profefe_selector(const struct kp_labels *labels, bool in_cluster, bool plain_names,
    struct kp_selector **ret, struct kp_error *err);

// cpu heap block mutex goroutine threadcreate other trace
bool kp_profefe_type_known(const char *type);
// What profefe's clients are shown for a type of ours.
const char *kp_profefe_type_shown(const char *type);

// Ids of a path segment that was decoded once: decoded again, cut at '+'. Finish them
// also after an error.
struct kp_profefe_ids {
    char *text; // decoded
    char **items;
    size_t n;
};
KP_MUST_CHECK int kp_profefe_parse_ids(const char *segment, struct kp_profefe_ids *ret, struct kp_error *err);
void kp_profefe_ids_finish(struct kp_profefe_ids *ids);

#endif
