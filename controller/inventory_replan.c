// From dirty workloads to the plan: only what is stale of a workload is computed anew, and the plan is told
// of single targets where that is enough.
#include "controller/inventory.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "controller/inventory_private.h"
#include "base/banned.h"

#define STEP_TARGETS 50 // put into the plan between two looks at the clock: 0.1 ms

typedef KP_ARRAY(struct kp_target *) target_array;

// ---- one pod ----

static void targets_free(struct kp_target **targets, size_t n)
{
    for (size_t i = 0; i < n; i++)
        kp_target_unref(targets[i]);
    kp_free(targets);
}

static void matches_free(struct kp_pod_match *matches, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        kp_policy_unref(matches[i].policy);
        kp_free((void *)(uintptr_t)matches[i].message);
    }
    kp_free(matches);
}

void kp_inventory_forget_verdict(struct pod_entry *entry)
{
    matches_free(entry->matches, entry->n_matches);
    entry->matches = NULL;
    entry->n_matches = 0;
    targets_free(entry->targets, entry->n_targets);
    entry->targets = NULL;
    entry->n_targets = 0;
}

static bool same_matches(const struct pod_entry *entry, const struct kp_pod_match *matches, size_t n)
{
    if (entry->n_matches != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct kp_pod_match *old = &entry->matches[i];
        if (old->policy != matches[i].policy || old->leftout != matches[i].leftout ||
            old->n_targets != matches[i].n_targets || !kp_streq(old->message, matches[i].message))
            return false;
    }
    return true;
}

// Returns whether they differ from those before.
static bool keep_matches(struct pod_entry *entry, const struct kp_verdict *verdict)
{
    struct kp_pod_match *matches =
        verdict->matches.n > 0 ? KP_NEW_ARRAY(struct kp_pod_match, verdict->matches.n) : NULL;
    size_t n = 0;
    for (size_t i = 0; i < verdict->matches.n; i++) {
        const struct kp_match *match = &verdict->matches.items[i];
        if (match->leftout == KP_LEFTOUT_NOT_OPTED_IN)
            continue; // most pods of most clusters: neither counted nor reported
        matches[n++] = (struct kp_pod_match){
            .policy = kp_policy_ref(match->policy),
            .leftout = match->leftout,
            .n_targets = (unsigned)match->n_targets,
            .message = match->leftout != KP_LEFTOUT_NONE ? kp_strdup(match->message) : NULL,
        };
    }
    if (n == 0) {
        kp_free(matches);
        matches = NULL;
    }
    bool differ = !same_matches(entry, matches, n);
    matches_free(entry->matches, entry->n_matches);
    entry->matches = matches;
    entry->n_matches = n;
    return differ;
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

// Whether people are told the same of two targets that are scheduled alike.
static bool told_same(const struct kp_target *a, const struct kp_target *b)
{
    return kp_streq(a->pod->uid, b->pod->uid) && kp_streq(a->container->name, b->container->name) &&
           a->port == b->port && kp_streq(a->wanted[0].service, b->wanted[0].service);
}

// Tells the plan of the targets that differ; false if it has to be handed the workload as a whole.
static bool replace_targets(struct kp_inventory *inventory, struct workload *workload,
    struct kp_target *const *old, struct kp_target *const *new, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (kp_target_same(old[i], new[i]))
            continue;
        if (!kp_plan_replace_target(inventory->plan, workload->key, new[i], inventory->options.on_cancel,
                inventory->options.user))
            return false;
        workload->told_changed |= !told_same(old[i], new[i]);
    }
    return true;
}

// One that is as it was stays the same object: the plan has it.
static void keep_targets(struct pod_entry *entry, struct kp_target *const *new, size_t n)
{
    while (entry->n_targets > n)
        kp_target_unref(entry->targets[--entry->n_targets]);
    if (entry->n_targets < n)
        entry->targets = kp_grow(entry->targets, n, sizeof *entry->targets);
    for (size_t i = 0; i < n; i++) {
        struct kp_target *old = i < entry->n_targets ? entry->targets[i] : NULL;
        if (old != NULL && kp_target_same(old, new[i]))
            continue;
        entry->targets[i] = kp_target_ref(new[i]);
        kp_target_unref(old);
    }
    entry->n_targets = n;
}

static enum kp_ip_claim claim_of(const struct pod_entry *entry)
{
    const struct address *address = entry->claims[0].address;
    if (address == NULL)
        return KP_IP_OWN;
    return address->n_hosts > 0 ? KP_IP_OF_NODE : address->n > 1 ? KP_IP_OF_POD : KP_IP_OWN;
}

// Computes the pod's targets anew.
static void build_pod(struct kp_inventory *inventory, struct workload *workload, struct pod_entry *entry)
{
    struct kp_verdict verdict;
    struct space *space = workload->space;
    kp_inventory_pick_policies(inventory, space);
    kp_target_build(entry->pod, space->policies, space->n_policies, space->labels, claim_of(entry),
        &inventory->options.target, &verdict);
    workload->told_changed |= keep_matches(entry, &verdict);
    if (verdict.matches.n > 0)
        tell_problems(inventory, entry, &verdict.wishes);
    size_t n = verdict.targets.n;
    if (n != entry->n_targets)
        workload->members_changed = true;
    else if (!workload->members_changed)
        workload->members_changed =
            !replace_targets(inventory, workload, entry->targets, verdict.targets.items, n);
    keep_targets(entry, verdict.targets.items, n);
    kp_verdict_finish(&verdict);
}

// ---- one workload ----

static void observe_delay(struct kp_inventory *inventory, int64_t *since_us, int64_t now_us)
{
    if (*since_us > inventory->opened_us)
        kp_metric_observe(inventory->replan_delay, (double)(now_us - *since_us) / 1e6);
    *since_us = 0;
}

// False if the time is over before all are built.
static bool build_pods(struct kp_inventory *inventory, struct workload *workload, int64_t end_us)
{
    if (workload->all_stale && !workload->all_listed)
        kp_list_foreach (node, &workload->pods) {
            struct pod_entry *entry = kp_container_of(node, struct pod_entry, in_workload);
            kp_list_remove(&entry->in_stale);
            kp_list_append(&workload->stale, &entry->in_stale);
        }
    workload->all_listed = workload->all_stale;
    while (!kp_list_empty(&workload->stale)) {
        struct pod_entry *entry = kp_container_of(workload->stale.next, struct pod_entry, in_stale);
        build_pod(inventory, workload, entry);
        kp_list_remove(&entry->in_stale);
        kp_list_append(&workload->built, &entry->in_stale);
        if (kp_mono_us() >= end_us)
            break;
    }
    return kp_list_empty(&workload->stale);
}

static struct kp_plan_update *begin_update(const struct kp_inventory *inventory, struct workload *workload)
{
    target_array targets = {0};
    kp_list_foreach (node, &workload->pods) {
        const struct pod_entry *entry = kp_container_of(node, struct pod_entry, in_workload);
        for (size_t i = 0; i < entry->n_targets; i++)
            *kp_array_add(&targets) = entry->targets[i];
    }
    struct kp_plan_update *update =
        kp_plan_update_begin(inventory->plan, workload->key, targets.items, targets.n);
    kp_array_free(&targets);
    workload->told_changed = true;
    workload->members_changed = false; // what changes from here on is handed over afterwards
    return update;
}

// False if the time is over before the plan has all.
static bool hand_over(struct kp_inventory *inventory, struct workload *workload, int64_t end_us)
{
    if (inventory->update == NULL)
        inventory->update = begin_update(inventory, workload);
    while (!kp_plan_update_step(
        inventory->update, STEP_TARGETS, kp_now_ms(), inventory->options.on_cancel, inventory->options.user))
        if (kp_mono_us() >= end_us)
            return false;
    struct kp_plan_diff diff = kp_plan_update_end(kp_take(inventory->update));
    KP_DEBUG("replanned workload", KP_S("workload", workload->key), KP_I("added", (int64_t)diff.added),
        KP_I("removed", (int64_t)diff.removed), KP_I("changed", (int64_t)diff.changed));
    return true;
}

// Every pod event that changed something has had its effect now.
static void settled(struct kp_inventory *inventory, struct workload *workload)
{
    int64_t now_us = kp_mono_us();
    inventory->n_all_stale -= workload->all_stale ? 1 : 0;
    workload->all_stale = workload->all_listed = workload->members_changed = workload->told_changed = false;
    observe_delay(inventory, &workload->gone_us, now_us);
    while (!kp_list_empty(&workload->built)) {
        struct pod_entry *entry = kp_container_of(workload->built.next, struct pod_entry, in_stale);
        kp_list_remove(&entry->in_stale);
        observe_delay(inventory, &entry->changed_us, now_us);
    }
}

// What changed while the plan was told is told it afterwards.
static bool is_told(const struct workload *workload)
{
    return !workload->members_changed && kp_list_empty((struct kp_list *)(uintptr_t)&workload->stale) &&
           (!workload->all_stale || workload->all_listed);
}

static void replan_workload(struct kp_inventory *inventory, struct workload *workload, int64_t end_us)
{
    bool built = inventory->update != NULL || build_pods(inventory, workload, end_us);
    if (!built || ((inventory->update != NULL || workload->members_changed) &&
                      !hand_over(inventory, workload, end_us))) {
        kp_list_append(inventory->dirty.next, &workload->in_dirty); // it goes on with this one
        return;
    }
    if (!is_told(workload)) { // one that always changes must not keep the others waiting
        kp_list_append(&inventory->dirty, &workload->in_dirty);
        inventory->options.on_replanned(inventory->options.user, workload->space->name);
        return;
    }
    bool differs = workload->told_changed || workload->all_stale;
    settled(inventory, workload);
    kp_metric_inc(inventory->replans);
    if (differs)
        inventory->options.on_replanned(inventory->options.user, workload->space->name);
    if (kp_list_empty(&workload->pods))
        kp_inventory_workload_free(inventory, workload);
}

void kp_inventory_on_timer(void *user)
{
    struct kp_inventory *inventory = user;
    int64_t start_us = kp_mono_us();
    int64_t slice_us = inventory->options.slice_us;
    int64_t end_us = start_us + (slice_us != 0 ? slice_us : kp_loop_slice_us(inventory->loop));
    kp_inventory_sort_policies(inventory);
    while (!kp_list_empty(&inventory->dirty)) {
        struct workload *workload = kp_container_of(inventory->dirty.next, struct workload, in_dirty);
        kp_list_remove(&workload->in_dirty);
        replan_workload(inventory, workload, end_us);
        if (kp_mono_us() >= end_us)
            break;
    }
    kp_metric_observe(inventory->replan_seconds, (double)(kp_mono_us() - start_us) / 1e6);
    kp_metric_set(inventory->n_pods, HASH_COUNT(inventory->pods));
    if (!kp_list_empty(&inventory->dirty))
        kp_timer_start(inventory->timer, 0, 0);
}
