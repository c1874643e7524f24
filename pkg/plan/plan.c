// A plan from its creation to its end, and targets that change without the schedule changing.
#include "plan/plan.h"

#include <string.h>

#include "base/text.h"
#include "plan/plan_private.h"
#include "base/banned.h"

static struct kp_plan_limits with_defaults(const struct kp_plan_limits *limits)
{
    struct kp_plan_limits l = limits != NULL ? *limits : (struct kp_plan_limits){0};
    l.per_node = l.per_node > 0 ? l.per_node : 5;
    l.per_namespace = l.per_namespace > 0 ? l.per_namespace : 100;
    l.total = l.total > 0 ? l.total : 500;
    l.bytes_in_flight = l.bytes_in_flight > 0 ? l.bytes_in_flight : 64 * KP_MIB;
    l.max_stretch_ms = l.max_stretch_ms > 0 ? l.max_stretch_ms : 24 * 3600000;
    return l;
}

struct kp_plan *kp_plan_create(const struct kp_plan_limits *limits, struct kp_metrics *metrics)
{
    struct kp_plan *plan = KP_NEW(struct kp_plan);
    plan->limits = with_defaults(limits);
    kp_list_init(&plan->waiting);
    kp_list_init(&plan->unsettled);
    plan->random = 1;
    if (metrics != NULL) {
        plan->throttled = kp_counter(metrics, "kube_pprof_captures_throttled_total",
            "Captures carried over because no place became free within their slot.");
        plan->waited = kp_metrics_family(metrics, KP_COUNTER, "kube_pprof_captures_waited_total",
            "Captures that were due and found no place, by what was full.",
            (const char *const[]){"for", NULL}, NULL, 0, PLACE_COUNT);
        plan->missed = kp_counter(metrics, "kube_pprof_captures_missed_total",
            "Captures whose time passed while the controller did not run (suspended, clock set).");
        plan->waiting_gauge =
            kp_gauge(metrics, "kube_pprof_captures_waiting", "Captures that are due and wait for a place.");
    }
    return plan;
}

// Whether slots, sampling and stretching would be the same.
static bool same_schedule(const struct kp_target *a, const struct kp_target *b)
{
    if (a->n_wanted != b->n_wanted || strcmp(a->pod->revision, b->pod->revision) != 0 ||
        strcmp(a->pod->node, b->pod->node) != 0)
        return false;
    for (size_t i = 0; i < a->n_wanted; i++) {
        const struct kp_wanted *x = &a->wanted[i], *y = &b->wanted[i];
        if (strcmp(x->type, y->type) != 0 || x->collecting != y->collecting || x->exclusive != y->exclusive ||
            x->interval_ms != y->interval_ms || x->duration_ms != y->duration_ms ||
            x->k.value != y->k.value || x->k.is_percent != y->k.is_percent ||
            x->rotation_ms != y->rotation_ms || x->overhead_percent != y->overhead_percent ||
            x->concurrent.value != y->concurrent.value ||
            x->concurrent.is_percent != y->concurrent.is_percent || x->profile_bytes != y->profile_bytes ||
            x->n_policies != y->n_policies ||
            memcmp(x->policies, y->policies, x->n_policies * sizeof *x->policies) != 0)
            return false;
    }
    return true;
}

bool kp_plan_replace_target(struct kp_plan *plan, const char *workload, struct kp_target *target,
    void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    struct kp_member *member;
    HASH_FIND_STR(plan->members, target->key, member);
    if (member == NULL || strcmp(member->work->key, workload) != 0 || !same_schedule(member->target, target))
        return false;
    if (!kp_streq(member->target->container->container_id, target->container->container_id))
        kp_member_cancel(member, on_cancel, user);
    member->hh.key = target->key; // the same text, in the target that stays
    kp_target_unref(member->target);
    member->target = kp_target_ref(target);
    return true;
}

void kp_plan_destroy(struct kp_plan *plan)
{
    if (plan == NULL)
        return;
    struct kp_running *running, *next_running;
    HASH_ITER (hh, plan->running, running, next_running)
        kp_plan_free_place(plan, running);
    struct kp_member *member, *next_member;
    HASH_ITER (hh, plan->members, member, next_member)
        kp_member_free(plan, member);
    struct kp_work *work, *next_work;
    HASH_ITER (hh, plan->works, work, next_work)
        kp_work_free(plan, work);
    kp_counts_free(&plan->nodes);
    kp_counts_free(&plan->namespaces);
    kp_counts_free(&plan->pods);
    kp_stretching_finish(plan);
    kp_heap_finish(&plan->heap);
    kp_free(plan);
}
