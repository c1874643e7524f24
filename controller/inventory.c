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
#include "controller/inventory_private.h"
#include "base/banned.h"

#define SETTLE_MS 20   // changes come in bunches: wait for the rest of the bunch
#define SLICE_US  3000 // longest stretch of work before the loop gets its turn

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

static void mark_space(struct kp_inventory *inventory, struct space *space)
{
    kp_list_foreach (node, &space->workloads)
        mark(inventory, kp_container_of(node, struct workload, in_space));
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
        kp_list_init(&workload->in_dirty);
        kp_list_append(&workload->space->workloads, &workload->in_space);
        HASH_ADD_KEYPTR(hh, inventory->workloads, workload->key, strlen(workload->key), workload);
    }
    return workload;
}

static void workload_free(struct kp_inventory *inventory, struct workload *workload)
{
    HASH_DEL(inventory->workloads, workload);
    kp_list_remove(&workload->in_space);
    kp_list_remove(&workload->in_dirty);
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

static void mark_address(struct kp_inventory *inventory, struct address *address)
{
    kp_list_foreach (node, &address->pods)
        mark(inventory, kp_container_of(node, struct pod_entry, in_address)->workload);
}

static void address_leave(struct kp_inventory *inventory, struct pod_entry *entry)
{
    struct address *address = entry->address;
    if (address == NULL)
        return;
    entry->address = NULL;
    kp_list_remove(&entry->in_address);
    if (--address->n == 1)
        mark_address(inventory, address);
    if (address->n == 0) {
        HASH_DEL(inventory->addresses, address);
        kp_free(address->ip);
        kp_free(address);
    }
}

static void address_join(struct kp_inventory *inventory, struct pod_entry *entry)
{
    struct address *address;
    HASH_FIND_STR(inventory->addresses, entry->pod->ip, address);
    if (address == NULL) {
        address = KP_NEW(struct address);
        address->ip = kp_strdup(entry->pod->ip);
        kp_list_init(&address->pods);
        HASH_ADD_KEYPTR(hh, inventory->addresses, address->ip, strlen(address->ip), address);
    }
    kp_list_append(&address->pods, &entry->in_address);
    entry->address = address;
    if (++address->n == 2)
        mark_address(inventory, address);
}

// ---- pods ----

static void matches_free(struct pod_entry *entry)
{
    for (size_t i = 0; i < entry->n_matches; i++) {
        kp_policy_unref(entry->matches[i].policy);
        kp_free((void *)(uintptr_t)entry->matches[i].message);
    }
    kp_free(entry->matches);
    entry->matches = NULL;
    entry->n_matches = 0;
}

static void pod_remove(struct kp_inventory *inventory, struct pod_entry *entry)
{
    address_leave(inventory, entry);
    mark(inventory, entry->workload);
    kp_list_remove(&entry->in_workload);
    HASH_DEL(inventory->pods, entry);
    matches_free(entry);
    kp_pod_unref(entry->pod);
    kp_free(entry->key);
    kp_free(entry);
}

static struct pod_entry *pod_add(struct kp_inventory *inventory, const char *key)
{
    struct pod_entry *entry = KP_NEW(struct pod_entry);
    entry->key = kp_strdup(key);
    kp_list_init(&entry->in_workload);
    kp_list_init(&entry->in_address);
    HASH_ADD_KEYPTR(hh, inventory->pods, entry->key, strlen(entry->key), entry);
    return entry;
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
        struct workload *workload = workload_get(inventory, pod);
        address_leave(inventory, entry);
        if (entry->workload != NULL && entry->workload != workload)
            mark(inventory, entry->workload);
        kp_list_remove(&entry->in_workload);
        entry->workload = workload;
        kp_list_append(&workload->pods, &entry->in_workload);
        if (has_own_address(pod))
            address_join(inventory, entry);
        mark(inventory, workload);
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
        mark(inventory, workload);
}

// ---- replanning ----

static int compare_policies(const void *a, const void *b)
{
    return kp_policy_compare(*(const struct kp_policy *const *)a, *(const struct kp_policy *const *)b);
}

static void sort_policies(struct kp_inventory *inventory)
{
    if (!inventory->sorted_stale)
        return;
    inventory->sorted_stale = false;
    inventory->n_sorted = 0;
    inventory->sorted =
        kp_grow(inventory->sorted, HASH_COUNT(inventory->policies) + 1, sizeof *inventory->sorted);
    struct policy_entry *entry, *next;
    HASH_ITER (hh, inventory->policies, entry, next)
        inventory->sorted[inventory->n_sorted++] = entry->policy;
    qsort(inventory->sorted, inventory->n_sorted, sizeof *inventory->sorted, compare_policies);
}

static void keep_matches(struct pod_entry *entry, const struct kp_verdict *verdict)
{
    matches_free(entry);
    if (verdict->matches.n == 0)
        return;
    entry->matches = KP_NEW_ARRAY(struct kp_pod_match, verdict->matches.n);
    for (size_t i = 0; i < verdict->matches.n; i++) {
        const struct kp_match *match = &verdict->matches.items[i];
        if (match->leftout == KP_LEFTOUT_NOT_OPTED_IN)
            continue; // most pods of most clusters: neither counted nor reported
        entry->matches[entry->n_matches++] = (struct kp_pod_match){
            .policy = kp_policy_ref(match->policy),
            .leftout = match->leftout,
            .n_targets = (unsigned)match->n_targets,
            .message = match->leftout != KP_LEFTOUT_NONE ? kp_strdup(match->message) : NULL,
        };
    }
    if (entry->n_matches == 0) {
        kp_free(entry->matches);
        entry->matches = NULL;
    }
}

static void tell_problems(
    struct kp_inventory *inventory, struct pod_entry *entry, const struct kp_pod_wishes *wishes)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < wishes->n_problems; i++)
        hash = kp_hash64_str(wishes->problems[i].message, hash + 1);
    if (hash == entry->told)
        return;
    entry->told = hash;
    for (size_t i = 0; i < wishes->n_problems; i++)
        inventory->options.on_annotation_problem(inventory->options.user, entry->pod, &wishes->problems[i]);
}

typedef KP_ARRAY(struct kp_target *) target_array;

static void build_pod(
    struct kp_inventory *inventory, struct workload *workload, struct pod_entry *entry, target_array *targets)
{
    struct kp_verdict verdict = {0};
    bool conflict = entry->address != NULL && entry->address->n > 1;
    kp_target_build(entry->pod, inventory->sorted, inventory->n_sorted, workload->space->labels, conflict,
        &inventory->options.target, &verdict);
    keep_matches(entry, &verdict);
    if (verdict.matches.n > 0)
        tell_problems(inventory, entry, &verdict.wishes);
    for (size_t i = 0; i < verdict.targets.n; i++)
        *kp_array_add(targets) = kp_target_ref(verdict.targets.items[i]);
    kp_verdict_finish(&verdict);
}

static void replan_workload(struct kp_inventory *inventory, struct workload *workload)
{
    target_array targets = {0};
    kp_list_foreach (node, &workload->pods)
        build_pod(inventory, workload, kp_container_of(node, struct pod_entry, in_workload), &targets);
    struct kp_plan_diff diff = kp_plan_set_workload(inventory->plan, workload->key, targets.items, targets.n,
        kp_now_ms(), inventory->options.on_cancel, inventory->options.user);
    KP_DEBUG("replanned workload", KP_S("workload", workload->key), KP_I("targets", (int64_t)targets.n),
        KP_I("added", (int64_t)diff.added), KP_I("removed", (int64_t)diff.removed));
    for (size_t i = 0; i < targets.n; i++)
        kp_target_unref(targets.items[i]);
    kp_array_free(&targets);
    kp_metric_inc(inventory->replans);
    inventory->options.on_replanned(inventory->options.user, workload->space->name);
    if (kp_list_empty(&workload->pods))
        workload_free(inventory, workload);
}

static void on_timer(void *user)
{
    struct kp_inventory *inventory = user;
    int64_t start_us = kp_mono_us();
    sort_policies(inventory);
    while (!kp_list_empty(&inventory->dirty)) {
        struct workload *workload = kp_container_of(inventory->dirty.next, struct workload, in_dirty);
        kp_list_remove(&workload->in_dirty);
        replan_workload(inventory, workload);
        if (kp_mono_us() - start_us > SLICE_US)
            break;
    }
    kp_metric_observe(inventory->replan_seconds, (double)(kp_mono_us() - start_us) / 1e6);
    kp_metric_set(inventory->n_pods, HASH_COUNT(inventory->pods));
    if (!kp_list_empty(&inventory->dirty))
        kp_timer_start(inventory->timer, 1, 0);
}

// ---- life ----

struct kp_inventory *kp_inventory_create(
    struct kp_loop *loop, struct kp_plan *plan, const struct kp_inventory_options *options)
{
    struct kp_inventory *inventory = KP_NEW(struct kp_inventory);
    inventory->plan = plan;
    inventory->options = *options;
    kp_list_init(&inventory->dirty);
    inventory->timer = kp_timer_create(loop, on_timer, inventory);
    if (options->metrics != NULL) {
        inventory->replans = kp_counter(options->metrics, "kube_pprof_replans_total",
            "Workloads whose wanted targets were computed anew.");
        inventory->replan_seconds = kp_metric_with(
            kp_metrics_family(options->metrics, KP_HISTOGRAM, "kube_pprof_replan_duration_seconds",
                "Time of one slice of replanning.", NULL, kp_buckets_seconds, kp_buckets_seconds_n, 1),
            NULL);
        inventory->n_pods = kp_gauge(options->metrics, "kube_pprof_pods", "Pods known from the API server.");
    }
    return inventory;
}

void kp_inventory_open(struct kp_inventory *inventory)
{
    inventory->open = true;
    arm(inventory);
}

void kp_inventory_destroy(struct kp_inventory *inventory)
{
    if (inventory == NULL)
        return;
    kp_timer_destroy(inventory->timer);
    inventory->timer = NULL;
    inventory->open = false;
    struct pod_entry *pod, *next_pod;
    HASH_ITER (hh, inventory->pods, pod, next_pod)
        pod_remove(inventory, pod);
    struct workload *workload, *next_workload;
    HASH_ITER (hh, inventory->workloads, workload, next_workload)
        workload_free(inventory, workload);
    struct space *space, *next_space;
    HASH_ITER (hh, inventory->spaces, space, next_space) {
        HASH_DEL(inventory->spaces, space);
        kp_labels_destroy(space->labels);
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
