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
    struct kp_list in_space;
    struct kp_list in_dirty; // alone when clean
    UT_hash_handle hh;
};

struct space { // a namespace
    char *name;
    struct kp_labels *labels; // NULL = not known
    struct kp_list workloads;
    UT_hash_handle hh;
};

struct address {
    char *ip;
    struct kp_list pods;
    size_t n;
    UT_hash_handle hh;
};

struct pod_entry {
    char *key;
    const struct kp_pod *pod;
    struct workload *workload;
    struct address *address; // NULL if it has none that counts
    struct kp_list in_workload, in_address;
    struct kp_pod_match *matches;
    size_t n_matches;
    uint64_t told; // hash of the annotation problems that were told
    UT_hash_handle hh;
};

struct policy_entry {
    char *key;
    struct kp_policy *policy;
    UT_hash_handle hh;
};

struct kp_inventory {
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
    struct kp_list dirty;
    struct kp_timer *timer;
    bool open;
    struct kp_metric *replans, *replan_seconds, *n_pods;
};

#endif
