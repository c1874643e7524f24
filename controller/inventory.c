#include "controller/inventory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "capture/address.h"
#include "controller/inventory_private.h"
#include "base/banned.h"

#define SETTLE_MS 0 // with the next turn: a watch brings together what comes within its gap

static void arm(struct kp_inventory *inventory)
{
    if (inventory->open && !kp_list_empty(&inventory->dirty) && !kp_timer_active(inventory->timer))
        kp_timer_start(inventory->timer, SETTLE_MS, 0);
}

static void mark(struct kp_inventory *inventory, struct workload *workload)
{
    if (kp_list_empty(&workload->in_dirty))
        kp_list_append(&inventory->dirty, &workload->in_dirty);
    arm(inventory);
}

static void mark_pod(struct kp_inventory *inventory, struct pod_entry *entry)
{
    kp_list_remove(&entry->in_stale); // it may have been built a moment ago
    kp_list_append(&entry->workload->stale, &entry->in_stale);
    mark(inventory, entry->workload);
}

static void mark_members(struct kp_inventory *inventory, struct workload *workload)
{
    workload->members_changed = true;
    mark(inventory, workload);
}

static void mark_all(struct kp_inventory *inventory, struct workload *workload)
{
    inventory->n_all_stale += workload->all_stale ? 0 : 1;
    workload->all_stale = true;
    workload->all_listed = false;
    mark(inventory, workload);
}

static void mark_space(struct kp_inventory *inventory, struct space *space)
{
    kp_list_foreach (node, &space->workloads)
        mark_all(inventory, kp_container_of(node, struct workload, in_space));
}

// ---- spaces, workloads, addresses ----

static struct space *space_get(struct kp_inventory *inventory, const char *name)
{
    struct space *space;
    HASH_FIND_STR(inventory->spaces, name, space);
    if (space == NULL) {
        space = KP_NEW(struct space);
        space->name = kp_strdup(name);
        kp_list_init(&space->workloads);
        HASH_ADD_KEYPTR(hh, inventory->spaces, space->name, strlen(space->name), space);
    }
    return space;
}

// A namespace that is gone, or was never told of, lives as long as its last workload.
static void space_release(struct kp_inventory *inventory, struct space *space)
{
    if (space->labels != NULL || !kp_list_empty(&space->workloads))
        return;
    HASH_DEL(inventory->spaces, space);
    kp_free(space->policies);
    kp_free(space->name);
    kp_free(space);
}

static struct workload *workload_get(struct kp_inventory *inventory, const struct kp_pod *pod)
{
    kp_auto_free char *key = kp_asprintf("%s/%s/%s", pod->namespace, pod->workload_kind, pod->workload_name);
    struct workload *workload;
    HASH_FIND_STR(inventory->workloads, key, workload);
    if (workload == NULL) {
        workload = KP_NEW(struct workload);
        workload->key = kp_take(key);
        workload->space = space_get(inventory, pod->namespace);
        kp_list_init(&workload->pods);
        kp_list_init(&workload->stale);
        kp_list_init(&workload->built);
        kp_list_init(&workload->in_dirty);
        kp_list_append(&workload->space->workloads, &workload->in_space);
        HASH_ADD_KEYPTR(hh, inventory->workloads, workload->key, strlen(workload->key), workload);
    }
    return workload;
}

void kp_inventory_workload_free(struct kp_inventory *inventory, struct workload *workload)
{
    HASH_DEL(inventory->workloads, workload);
    kp_list_remove(&workload->in_space);
    kp_list_remove(&workload->in_dirty);
    inventory->n_all_stale -= workload->all_stale ? 1 : 0;
    space_release(inventory, workload->space);
    kp_free(workload->key);
    kp_free(workload);
}

// Whether a pod's address is its own and in use: pods of the host network share their node's.
static bool has_own_address(const struct kp_pod *pod)
{
    return pod->ip[0] != '\0' && !pod->host_network && pod->phase != KP_POD_SUCCEEDED &&
           pod->phase != KP_POD_FAILED;
}

static bool same_addresses(const struct kp_pod *a, const struct kp_pod *b)
{
    return has_own_address(a) == has_own_address(b) && strcmp(a->ip, b->ip) == 0 &&
           strcmp(a->other_ip, b->other_ip) == 0 && strcmp(a->host_ip, b->host_ip) == 0 &&
           strcmp(a->other_host_ip, b->other_host_ip) == 0;
}

static void mark_address(struct kp_inventory *inventory, struct address *address)
{
    kp_list_foreach (node, &address->claims)
        mark_pod(inventory, kp_container_of(node, struct claim, node)->entry);
}

static struct address *address_get(struct kp_inventory *inventory, const char *ip)
{
    struct address *address;
    unsigned char bytes[16];
    if (!kp_address_parse(ip, bytes))
        return NULL; // never scraped
    HASH_FIND(hh, inventory->addresses, bytes, sizeof bytes, address);
    if (address == NULL) {
        address = KP_NEW(struct address);
        memcpy(address->bytes, bytes, sizeof bytes);
        kp_list_init(&address->claims);
        HASH_ADD(hh, inventory->addresses, bytes, sizeof address->bytes, address);
    }
    return address;
}

static void address_release(struct kp_inventory *inventory, struct address *address)
{
    if (address->n > 0 || address->n_hosts > 0)
        return;
    HASH_DEL(inventory->addresses, address);
    kp_free(address);
}

static void addresses_leave(struct kp_inventory *inventory, struct pod_entry *entry)
{
    for (size_t i = 0; i < KP_COUNT(entry->claims); i++) {
        struct address *address = entry->claims[i].address;
        entry->claims[i].address = NULL;
        kp_list_remove(&entry->claims[i].node);
        if (address != NULL && --address->n == 1)
            mark_address(inventory, address);
        if (address != NULL)
            address_release(inventory, address);
    }
    for (size_t i = 0; i < KP_COUNT(entry->hosts); i++) {
        struct address *address = entry->hosts[i];
        entry->hosts[i] = NULL;
        if (address != NULL && --address->n_hosts == 0)
            mark_address(inventory, address);
        if (address != NULL)
            address_release(inventory, address);
    }
}

static void claim(struct kp_inventory *inventory, struct claim *claim, const char *ip)
{
    struct address *address = address_get(inventory, ip);
    claim->address = address;
    if (address == NULL)
        return;
    kp_list_append(&address->claims, &claim->node);
    if (++address->n == 2)
        mark_address(inventory, address);
}

static void addresses_join(struct kp_inventory *inventory, struct pod_entry *entry)
{
    const struct kp_pod *pod = entry->pod;
    if (has_own_address(pod)) {
        claim(inventory, &entry->claims[0], pod->ip);
        claim(inventory, &entry->claims[1], pod->other_ip);
    }
    entry->hosts[0] = address_get(inventory, pod->host_ip);
    entry->hosts[1] = address_get(inventory, pod->other_host_ip);
    for (size_t i = 0; i < KP_COUNT(entry->hosts); i++)
        if (entry->hosts[i] != NULL && ++entry->hosts[i]->n_hosts == 1)
            mark_address(inventory, entry->hosts[i]);
}

// ---- pods ----

static void pod_remove(struct kp_inventory *inventory, struct pod_entry *entry)
{
    addresses_leave(inventory, entry);
    if (entry->workload->gone_us == 0)
        entry->workload->gone_us = kp_mono_us();
    mark_members(inventory, entry->workload);
    kp_list_remove(&entry->in_workload);
    kp_list_remove(&entry->in_stale);
    HASH_DEL(inventory->pods, entry);
    kp_inventory_forget_verdict(entry);
    kp_pod_unref(entry->pod);
    kp_free(entry->key);
    kp_free(entry);
}

static struct pod_entry *pod_add(struct kp_inventory *inventory, const char *key)
{
    struct pod_entry *entry = KP_NEW(struct pod_entry);
    entry->key = kp_strdup(key);
    kp_list_init(&entry->in_workload);
    for (size_t i = 0; i < KP_COUNT(entry->claims); i++) {
        kp_list_init(&entry->claims[i].node);
        entry->claims[i].entry = entry;
    }
    kp_list_init(&entry->in_stale);
    HASH_ADD_KEYPTR(hh, inventory->pods, entry->key, strlen(entry->key), entry);
    return entry;
}

static void join_workload(struct kp_inventory *inventory, struct pod_entry *entry, struct workload *workload)
{
    if (entry->workload == workload)
        return;
    if (entry->workload != NULL)
        mark_members(inventory, entry->workload);
    kp_list_remove(&entry->in_workload);
    kp_list_remove(&entry->in_stale);
    entry->workload = workload;
    kp_list_append(&workload->pods, &entry->in_workload);
    mark_members(inventory, workload);
}

static bool same_workload(const struct kp_pod *a, const struct kp_pod *b)
{
    return strcmp(a->namespace, b->namespace) == 0 && strcmp(a->workload_kind, b->workload_kind) == 0 &&
           strcmp(a->workload_name, b->workload_name) == 0;
}

void kp_inventory_set_pod(struct kp_inventory *inventory, const char *key, const struct kp_pod *pod)
{
    struct pod_entry *entry;
    HASH_FIND_STR(inventory->pods, key, entry);
    if (pod == NULL) {
        if (entry != NULL)
            pod_remove(inventory, entry);
        return;
    }
    bool same = entry != NULL && kp_pod_same(entry->pod, pod);
    if (entry == NULL)
        entry = pod_add(inventory, key);
    const struct kp_pod *old = entry->pod;
    entry->pod = kp_pod_ref(pod);
    if (!same) {
        bool moved = old == NULL || !same_addresses(old, pod);
        if (moved)
            addresses_leave(inventory, entry);
        if (old == NULL || !same_workload(old, pod))
            join_workload(inventory, entry, workload_get(inventory, pod));
        if (moved)
            addresses_join(inventory, entry);
        if (entry->changed_us == 0)
            entry->changed_us = kp_mono_us();
        mark_pod(inventory, entry);
    }
    kp_pod_unref(old);
}

// ---- policies and namespaces ----

static void mark_for_policy(struct kp_inventory *inventory, const char *key)
{
    inventory->sorted_stale = true;
    const char *slash = strchr(key, '/');
    if (slash == NULL || slash == key) {
        kp_inventory_refresh(inventory);
        return;
    }
    kp_auto_free char *namespace = kp_strndup(key, (size_t)(slash - key));
    struct space *space;
    HASH_FIND_STR(inventory->spaces, namespace, space);
    if (space != NULL)
        mark_space(inventory, space);
}

const struct kp_policy *kp_inventory_set_policy(
    struct kp_inventory *inventory, const char *key, const json_t *object)
{
    struct policy_entry *entry;
    HASH_FIND_STR(inventory->policies, key, entry);
    struct kp_policy *policy = NULL;
    struct kp_error err = {0};
    if (object != NULL && kp_policy_parse(object, &inventory->options.caps, &policy, &err) != 0)
        policy = NULL;
    if (policy != NULL && entry != NULL && entry->policy->generation == policy->generation &&
        kp_streq(entry->policy->uid, policy->uid)) {
        kp_policy_unref(policy); // only its status or metadata changed
        return entry->policy;
    }
    if (entry != NULL) {
        kp_policy_unref(entry->policy);
        entry->policy = NULL;
    }
    if (policy == NULL && entry != NULL) {
        HASH_DEL(inventory->policies, entry);
        kp_free(entry->key);
        kp_free(entry);
    } else if (policy != NULL) {
        if (entry == NULL) {
            entry = KP_NEW(struct policy_entry);
            entry->key = kp_strdup(key);
            HASH_ADD_KEYPTR(hh, inventory->policies, entry->key, strlen(entry->key), entry);
        }
        entry->policy = policy;
    }
    mark_for_policy(inventory, key);
    return policy;
}

void kp_inventory_set_namespace(
    struct kp_inventory *inventory, const char *name, const struct kp_labels *labels)
{
    struct space *space = space_get(inventory, name);
    if (space->labels != NULL && labels != NULL && kp_labels_equal(space->labels, labels))
        return;
    kp_labels_destroy(space->labels);
    space->labels = labels != NULL ? kp_labels_copy(labels) : NULL;
    mark_space(inventory, space);
    space_release(inventory, space);
}

void kp_inventory_refresh(struct kp_inventory *inventory)
{
    struct workload *workload, *next;
    HASH_ITER (hh, inventory->workloads, workload, next)
        mark_all(inventory, workload);
}

// ---- life ----

struct kp_inventory *kp_inventory_create(
    struct kp_loop *loop, struct kp_plan *plan, const struct kp_inventory_options *options)
{
    struct kp_inventory *inventory = KP_NEW(struct kp_inventory);
    inventory->loop = loop;
    inventory->plan = plan;
    inventory->options = *options;
    kp_list_init(&inventory->dirty);
    inventory->timer = kp_timer_create(loop, kp_inventory_on_timer, inventory);
    if (options->metrics != NULL) {
        inventory->replans = kp_counter(options->metrics, "kube_pprof_replans_total",
            "Workloads whose wanted targets were computed anew.");
        inventory->replan_seconds = kp_metric_with(
            kp_metrics_family(options->metrics, KP_HISTOGRAM, "kube_pprof_replan_duration_seconds",
                "Time of one slice of replanning.", NULL, kp_buckets_seconds, kp_buckets_seconds_n, 1),
            NULL);
        inventory->replan_delay = kp_metric_with(
            kp_metrics_family(options->metrics, KP_HISTOGRAM, "kube_pprof_replan_delay_seconds",
                "From the arrival of a pod event that changed something to the schedule that knows it.", NULL,
                kp_buckets_seconds, kp_buckets_seconds_n, 1),
            NULL);
        inventory->n_pods = kp_gauge(options->metrics, "kube_pprof_pods", "Pods known from the API server.");
    }
    return inventory;
}

void kp_inventory_open(struct kp_inventory *inventory)
{
    inventory->open = true;
    inventory->opened_us = kp_mono_us();
    kp_inventory_refresh(inventory);
    arm(inventory);
}

void kp_inventory_destroy(struct kp_inventory *inventory)
{
    if (inventory == NULL)
        return;
    kp_timer_destroy(inventory->timer);
    inventory->timer = NULL;
    inventory->open = false;
    kp_plan_update_end(inventory->update);
    struct pod_entry *pod, *next_pod;
    HASH_ITER (hh, inventory->pods, pod, next_pod)
        pod_remove(inventory, pod);
    struct workload *workload, *next_workload;
    HASH_ITER (hh, inventory->workloads, workload, next_workload)
        kp_inventory_workload_free(inventory, workload);
    struct space *space, *next_space;
    HASH_ITER (hh, inventory->spaces, space, next_space) {
        HASH_DEL(inventory->spaces, space);
        kp_labels_destroy(space->labels);
        kp_free(space->policies);
        kp_free(space->name);
        kp_free(space);
    }
    struct policy_entry *policy, *next_policy;
    HASH_ITER (hh, inventory->policies, policy, next_policy) {
        HASH_DEL(inventory->policies, policy);
        kp_policy_unref(policy->policy);
        kp_free(policy->key);
        kp_free(policy);
    }
    kp_free(inventory->sorted);
    kp_free(inventory);
}
