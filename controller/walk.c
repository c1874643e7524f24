#include "controller/walk.h"

#include "base/array.h"
#include "base/text.h"
#include "base/banned.h"

struct kp_walk {
    KP_ARRAY(char *) workloads;
    size_t at;   // of workloads
    size_t from; // of its pods, or
    bool targets;
};

static void add_workload(void *user, const char *workload)
{
    struct kp_walk *walk = user;
    *kp_array_add(&walk->workloads) = kp_strdup(workload);
}

struct kp_walk *kp_walk_create(const struct kp_inventory *inventory, const char *namespace)
{
    struct kp_walk *walk = KP_NEW(struct kp_walk);
    kp_inventory_each_workload(inventory, namespace, add_workload, walk);
    return walk;
}

void kp_walk_destroy(struct kp_walk *walk)
{
    if (walk == NULL)
        return;
    for (size_t i = 0; i < walk->workloads.n; i++)
        kp_free(walk->workloads.items[i]);
    kp_array_free(&walk->workloads);
    kp_free(walk);
}

bool kp_walk_step(struct kp_walk *walk, const struct kp_inventory *inventory, struct kp_plan *plan,
    int64_t now_ms, const struct kp_walk_visit *visit)
{
    if (walk->at == walk->workloads.n)
        return false;
    const char *workload = walk->workloads.items[walk->at];
    size_t n =
        walk->targets
            ? kp_plan_each_some(plan, workload, walk->from, KP_WALK_MOST, now_ms, visit->target, visit->user)
            : kp_inventory_each_some(inventory, workload, walk->from, KP_WALK_MOST, visit->pod, visit->user);
    walk->from += n;
    if (n == KP_WALK_MOST)
        return true;
    walk->from = 0;
    walk->at += walk->targets ? 1 : 0;
    walk->targets = !walk->targets;
    return walk->at < walk->workloads.n;
}
