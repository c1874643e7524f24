// Inside the inventory only: its parts.
#ifndef KP_CONTROLLER_INVENTORY_PRIVATE_H
#define KP_CONTROLLER_INVENTORY_PRIVATE_H

#include "base/list.h"
#include "base/map.h"
#include "controller/inventory.h"

struct workload {
    char *key;
    struct space *space;
    struct kp_list pods;
    struct kp_list stale; // pods whose targets have to be computed anew
    struct kp_list built; // those that were stale and are not, until none is
    bool all_stale;       // all of them
    bool all_listed;      // and are in one of the two lists
    bool members_changed; // the plan does not know which pods there are
    bool told_changed;    // what people are told of it differs
    struct kp_list in_space;
    struct kp_list in_dirty; // alone when clean
    int64_t gone_us;         // since when it lacks a pod that the plan still has; 0 = it does not
    UT_hash_handle hh;
};

struct space { // a namespace
    char *name;
    struct kp_labels *labels; // NULL = not known
    struct kp_list workloads;
    const struct kp_policy **policies; // its own and the cluster's, by precedence
    size_t n_policies;
    uint64_t version; // of the inventory's when they were picked
    UT_hash_handle hh;
};

struct address {
    unsigned char bytes[16]; // the same however it is written
    struct kp_list claims;   // of the pods that have it
    size_t n, n_hosts;       // pods; pods whose node has it
    UT_hash_handle hh;
};

struct claim { // of a pod to an address
    struct kp_list node;
    struct pod_entry *entry;
    struct address *address; // NULL = none that counts
};

struct pod_entry {
    char *key;
    const struct kp_pod *pod;
    struct workload *workload;
    struct claim claims[2];   // to its own addresses, of both families
    struct address *hosts[2]; // its node's
    struct kp_list in_workload;
    struct kp_list in_stale;    // or in built, of its workload; alone when in none
    struct kp_target **targets; // as they were computed last
    size_t n_targets;
    struct kp_pod_match *matches;
    size_t n_matches;
    int64_t changed_us; // since when the plan does not know how it is; 0 = it does
    uint64_t told;      // hash of the annotation problems that were told
    UT_hash_handle hh;
};

struct policy_entry {
    char *key;
    struct kp_policy *policy;
    UT_hash_handle hh;
};

struct kp_inventory {
    struct kp_loop *loop;
    struct kp_plan *plan;
    struct kp_inventory_options options;
    struct pod_entry *pods;
    struct workload *workloads;
    struct space *spaces;
    struct address *addresses;
    struct policy_entry *policies;
    const struct kp_policy **sorted;
    size_t n_sorted;
    bool sorted_stale;
    size_t n_all_stale; // workloads
    uint64_t version;   // of sorted
    struct kp_list dirty;
    struct kp_plan_update *update; // of the first of them, which the plan has in part; NULL = none
    struct kp_timer *timer;
    bool open;
    int64_t opened_us;
    struct kp_metric *replans, *replan_seconds, *replan_delay, *n_pods;
};

// inventory.c
void kp_inventory_workload_free(struct kp_inventory *inventory, struct workload *workload);
// inventory_replan.c
void kp_inventory_on_timer(void *inventory);
void kp_inventory_forget_verdict(struct pod_entry *entry); // targets and matches
// inventory_policies.c: call the first before the second.
void kp_inventory_sort_policies(struct kp_inventory *inventory);
void kp_inventory_pick_policies(const struct kp_inventory *inventory, struct space *space);

#endif
