// Policies by precedence, and those of them that may select the pods of a namespace.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "controller/inventory_private.h"
#include "base/banned.h"

static int compare_policies(const void *a, const void *b)
{
    return kp_policy_compare(*(const struct kp_policy *const *)a, *(const struct kp_policy *const *)b);
}

void kp_inventory_sort_policies(struct kp_inventory *inventory)
{
    if (!inventory->sorted_stale)
        return;
    inventory->sorted_stale = false;
    inventory->version++;
    inventory->n_sorted = 0;
    inventory->sorted =
        kp_grow(inventory->sorted, HASH_COUNT(inventory->policies) + 1, sizeof *inventory->sorted);
    struct policy_entry *entry, *next;
    HASH_ITER (hh, inventory->policies, entry, next)
        inventory->sorted[inventory->n_sorted++] = entry->policy;
    qsort(inventory->sorted, inventory->n_sorted, sizeof *inventory->sorted, compare_policies);
}

// However many policies others have: a pod is only held against those that may select it.
void kp_inventory_pick_policies(const struct kp_inventory *inventory, struct space *space)
{
    if (space->version == inventory->version)
        return;
    space->version = inventory->version;
    space->n_policies = 0;
    for (size_t i = 0; i < inventory->n_sorted; i++) {
        const struct kp_policy *policy = inventory->sorted[i];
        if (!kp_policy_is_cluster(policy) && !kp_streq(policy->namespace, space->name))
            continue;
        space->policies = kp_grow(space->policies, space->n_policies + 1, sizeof *space->policies);
        space->policies[space->n_policies++] = policy;
    }
}
