// What the inventory knows, for those who report it.
#include "controller/inventory.h"

#include <string.h>

#include "controller/inventory_private.h"
#include "base/banned.h"

static void each_of_workload(const struct workload *workload,
    void (*each)(void *user, const struct kp_pod *pod, const struct kp_pod_match *matches, size_t n),
    void *user)
{
    kp_list_foreach (node, (struct kp_list *)(uintptr_t)&workload->pods) {
        const struct pod_entry *entry = kp_container_of(node, struct pod_entry, in_workload);
        each(user, entry->pod, entry->matches, entry->n_matches);
    }
}

size_t kp_inventory_each_some(const struct kp_inventory *inventory, const char *workload, size_t from,
    size_t most,
    void (*each)(void *user, const struct kp_pod *pod, const struct kp_pod_match *matches, size_t n),
    void *user)
{
    struct workload *found;
    size_t at = 0, n = 0;
    HASH_FIND_STR(inventory->workloads, workload, found);
    if (found == NULL)
        return 0;
    kp_list_foreach (node, &found->pods) {
        if (at++ < from)
            continue;
        if (n == most)
            break;
        const struct pod_entry *entry = kp_container_of(node, struct pod_entry, in_workload);
        each(user, entry->pod, entry->matches, entry->n_matches);
        n++;
    }
    return n;
}

void kp_inventory_each_pod(const struct kp_inventory *inventory, const char *namespace,
    void (*each)(void *user, const struct kp_pod *pod, const struct kp_pod_match *matches, size_t n),
    void *user)
{
    if (namespace == NULL) {
        for (const struct pod_entry *entry = inventory->pods; entry != NULL; entry = entry->hh.next)
            each(user, entry->pod, entry->matches, entry->n_matches);
        return;
    }
    struct space *space;
    HASH_FIND_STR(inventory->spaces, namespace, space);
    if (space != NULL)
        kp_list_foreach (node, &space->workloads)
            each_of_workload(kp_container_of(node, struct workload, in_space), each, user);
}

void kp_inventory_each_workload(const struct kp_inventory *inventory, const char *namespace,
    void (*each)(void *user, const char *workload), void *user)
{
    if (namespace == NULL) {
        for (const struct workload *w = inventory->workloads; w != NULL; w = w->hh.next)
            each(user, w->key);
        return;
    }
    struct space *space;
    HASH_FIND_STR(inventory->spaces, namespace, space);
    if (space != NULL)
        kp_list_foreach (node, &space->workloads)
            each(user, kp_container_of(node, struct workload, in_space)->key);
}

void kp_inventory_each_policy(const struct kp_inventory *inventory,
    void (*each)(void *user, const struct kp_policy *policy), void *user)
{
    for (const struct policy_entry *entry = inventory->policies; entry != NULL; entry = entry->hh.next)
        each(user, entry->policy);
}

const struct kp_policy *kp_inventory_policy(const struct kp_inventory *inventory, const char *key)
{
    struct policy_entry *entry;
    HASH_FIND_STR(inventory->policies, key, entry);
    return entry != NULL ? entry->policy : NULL;
}

const struct kp_pod *kp_inventory_pod(
    const struct kp_inventory *inventory, const char *namespace, const char *name)
{
    kp_auto_free char *key = kp_asprintf("%s/%s", namespace, name);
    struct pod_entry *entry;
    HASH_FIND_STR(inventory->pods, key, entry);
    return entry != NULL ? entry->pod : NULL;
}

bool kp_inventory_settled(const struct kp_inventory *inventory)
{
    return inventory->open && inventory->n_all_stale == 0;
}

bool kp_inventory_busy(const struct kp_inventory *inventory)
{
    return !inventory->open || !kp_list_empty((struct kp_list *)(uintptr_t)&inventory->dirty);
}
