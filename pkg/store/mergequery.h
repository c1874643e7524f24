// The sum of captures that were picked. Private to this module.
#ifndef KP_STORE_MERGEQUERY_H
#define KP_STORE_MERGEQUERY_H

#include "store/picks.h"

// As kp_store_merge; the picks are put into another order and thinned out.
KP_MUST_CHECK int kp_merge_picks(struct kp_store *store, const struct kp_merge_query *query,
    struct kp_picks *picks, struct kp_profile **ret, struct kp_merge_stats *ret_stats, struct kp_error *err);

#endif
