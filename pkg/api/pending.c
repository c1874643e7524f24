// Stands in for what the store does not have yet; goes when it has.
#include "store/store.h"
#include "base/banned.h"

__attribute__((weak)) int kp_store_merge(struct kp_store *store, const struct kp_merge_query *query,
    struct kp_profile **ret, struct kp_merge_stats *ret_stats, struct kp_error *err)
{
    (void)store;
    (void)query;
    (void)ret;
    (void)ret_stats;
    return kp_fail(err, KP_UNAVAILABLE, "this version cannot merge yet");
}
