// Parameters of /api/v1, read by one table: what a route takes, how it is checked, what it means. The table
// is also what docs/openapi.yaml is held against. Private to this module.
#ifndef KP_API_QUERY_H
#define KP_API_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"
#include "base/error.h"
#include "base/selector.h"
#include "http/server.h"
#include "report/report.h"
#include "store/store.h"

// Which answer takes a parameter, as a bit set.
enum kp_query_for {
    KP_Q_LIST = 1,
    KP_Q_SERVICES = 2,
    KP_Q_LABELS = 4,
    KP_Q_TARGETS = 8,
    KP_Q_GET = 16,
    KP_Q_MERGE = 32,
    KP_Q_DIFF = 64,
    KP_Q_TOP = 128,
    KP_Q_FLAME = 256,
    KP_Q_SERIES = 512,
    KP_Q_PEERS = 1024,
    KP_Q_PGO = 2048,
    KP_Q_DELETE = 4096,
    KP_Q_AGGREGATED = 8192, // beside the others: `timeout` is between client and API server
};

struct kp_query_ids {
    KP_ARRAY(char *) list;
};

struct kp_query {
    int64_t now_ms; // what times are relative to
    char *namespace, *service, *type, *cursor, *order, *sample_type, *by, *sort, *focus, *ignore, *hide,
        *below, *format, *function, *group_by, *pod, *policy;
    struct kp_selector *selector, *base_selector;
    struct kp_query_ids ids, base_ids;
    int64_t from_ms, to_ms, base_from_ms, base_to_ms; // 0 = open
    int64_t limit, max_nodes, max_bytes, timeout_ms, step_ms;
    double min_share;
    bool startup, normalize, watch, meta, inline_all;
};

// Checks that the route takes every parameter of the request, and each value. Finish it also after an error.
// `namespace` is that of the caller's scope, whatever he asks for.
KP_MUST_CHECK int kp_query_parse(const struct kp_http_exchange *x, unsigned query_for, int64_t now_ms,
    struct kp_query *ret, struct kp_error *err);
// The same of the part of a URL behind '?'.
KP_MUST_CHECK int kp_query_parse_text(
    const char *text, unsigned query_for, int64_t now_ms, struct kp_query *ret, struct kp_error *err);
void kp_query_finish(struct kp_query *q);

// The i-th parameter of a route: its name, or NULL past the end.
const char *kp_query_param(unsigned query_for, size_t i);

struct kp_store_query kp_query_select(const struct kp_query *q);
bool kp_query_has_base(const struct kp_query *q);
// What to merge, or the base of it: parameters that have no base* form are those of the profile.
struct kp_merge_query kp_query_merge(const struct kp_query *q, bool base);
KP_MUST_CHECK int kp_query_report(
    const struct kp_query *q, struct kp_report_options *ret, struct kp_error *err);

#endif
