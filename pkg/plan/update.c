// The wanted sets: what a workload's targets are, diffed with what runs, at once or in parts.
#include <string.h>

#include "base/text.h"
#include "plan/plan_private.h"
#include "base/banned.h"

#define STRETCH_SETTLE_MS 1000

enum phase {
    UPDATE_PUT,    // each of the set is found, changed or made
    UPDATE_DROP,   // what is not of the set goes
    UPDATE_SETTLE, // groups that changed are sampled and opened
};

struct kp_plan_update {
    struct kp_plan *plan;
    const char *workload;
    struct kp_target *const *targets;
    size_t n, put, unchecked; // members that have not been looked at
    uint64_t round;           // of sets: its members bear it; a workload's is that of the newest
    enum phase phase;
    struct kp_plan_diff diff;
};

static struct kp_work *work_get(struct kp_plan *plan, const char *key)
{
    struct kp_work *work;
    HASH_FIND_STR(plan->works, key, work);
    if (work != NULL)
        return work;
    work = KP_NEW(struct kp_work);
    work->key = kp_strdup(key);
    const char *slash = strchr(key, '/');
    work->namespace = slash != NULL ? kp_strndup(key, (size_t)(slash - key)) : kp_strdup("");
    work->allowed = 1;
    HASH_ADD_KEYPTR(hh, plan->works, work->key, strlen(work->key), work);
    return work;
}

void kp_work_free(struct kp_plan *plan, struct kp_work *work)
{
    struct kp_group *group, *next;
    HASH_ITER (hh, work->groups, group, next)
        kp_group_free(plan, group);
    for (struct kp_running *running = plan->running; running != NULL; running = running->hh.next)
        if (running->work == work)
            running->work = NULL;
    kp_stretching_forget(plan, work);
    HASH_DEL(plan->works, work);
    kp_array_free(&work->list);
    kp_free(work->namespace);
    kp_free(work->key);
    kp_free(work);
}

// The target belongs to another workload now (its owner became known).
static void leave_workload(struct kp_plan *plan, struct kp_member *member,
    void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    struct kp_work *work = member->work;
    size_t at = 0;
    while (work->list.items[at] != member)
        at++;
    work->list.items[at] = work->list.items[--work->list.n];
    kp_member_cancel(member, on_cancel, user);
    kp_member_free(plan, member);
    if (work->list.n == 0)
        kp_work_free(plan, work);
}

static void put_target(struct kp_plan_update *update, struct kp_work *work, const struct kp_target *target,
    void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    struct kp_plan *plan = update->plan;
    struct kp_member *member;
    HASH_FIND_STR(plan->members, target->key, member);
    if (member != NULL && member->work != work) {
        leave_workload(plan, member, on_cancel, user);
        member = NULL;
    }
    if (member == NULL) {
        member = kp_member_new(plan, work, target);
        *kp_array_add(&work->list) = member;
        update->diff.added++;
    } else if (!kp_target_same(member->target, target)) {
        kp_member_replace(plan, member, target, on_cancel, user);
        update->diff.changed++;
    }
    member->round = update->round;
}

static struct kp_work *find_work(const struct kp_plan_update *update)
{
    struct kp_work *work;
    HASH_FIND_STR(update->plan->works, update->workload, work);
    return work;
}

static enum phase put_some(
    struct kp_plan_update *update, size_t most, void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    struct kp_work *work = find_work(update);
    if (work != NULL && work->round > update->round)
        return UPDATE_SETTLE; // a later set is there already
    if (work == NULL && update->put == update->n)
        return UPDATE_SETTLE;
    if (work == NULL)
        work = work_get(update->plan, update->workload);
    work->round = update->round;
    for (; update->put < update->n && most > 0; most--)
        put_target(update, work, update->targets[update->put++], on_cancel, user);
    return update->put < update->n ? UPDATE_PUT : UPDATE_DROP;
}

// From the end, and what goes is replaced by the last, so that members may come and go between two calls.
static enum phase drop_some(
    struct kp_plan_update *update, size_t most, void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    struct kp_work *work = find_work(update);
    if (work == NULL || work->round != update->round)
        return UPDATE_SETTLE;
    if (update->unchecked > work->list.n)
        update->unchecked = work->list.n;
    for (; update->unchecked > 0 && most > 0; most--) {
        size_t at = --update->unchecked;
        struct kp_member *member = work->list.items[at];
        if (member->round == update->round)
            continue;
        work->list.items[at] = work->list.items[--work->list.n];
        kp_member_cancel(member, on_cancel, user);
        kp_member_free(update->plan, member);
        update->diff.removed++;
    }
    if (work->list.n == 0)
        kp_work_free(update->plan, work);
    return update->unchecked > 0 ? UPDATE_DROP : UPDATE_SETTLE;
}

bool kp_plan_update_step(struct kp_plan_update *update, size_t most, int64_t now_ms,
    void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    struct kp_plan *plan = update->plan;
    if (update->phase == UPDATE_PUT) {
        update->phase = put_some(update, most, on_cancel, user);
        return false;
    }
    if (update->phase == UPDATE_DROP) {
        update->phase = drop_some(update, most, on_cancel, user);
        return false;
    }
    if (kp_groups_settle_one(plan, now_ms))
        return false;
    if (update->diff.added + update->diff.removed + update->diff.changed > 0 && !plan->stretch_dirty) {
        plan->stretch_dirty = true;
        plan->stretch_due_ms = now_ms + STRETCH_SETTLE_MS;
    }
    return true;
}

static struct kp_plan_update new_update(
    struct kp_plan *plan, const char *workload, struct kp_target *const *targets, size_t n)
{
    return (struct kp_plan_update){.plan = plan,
        .workload = workload,
        .targets = targets,
        .n = n,
        .unchecked = SIZE_MAX,
        .round = ++plan->rounds};
}

struct kp_plan_diff kp_plan_set_workload(struct kp_plan *plan, const char *workload,
    struct kp_target *const *targets, size_t n, int64_t now_ms,
    void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    struct kp_plan_update update = new_update(plan, workload, targets, n);
    while (!kp_plan_update_step(&update, SIZE_MAX, now_ms, on_cancel, user)) {
    }
    return update.diff;
}

struct kp_plan_update *kp_plan_update_begin(
    struct kp_plan *plan, const char *workload, struct kp_target *const *targets, size_t n)
{
    struct kp_plan_update *update = KP_NEW(struct kp_plan_update);
    struct kp_target **own = KP_NEW_ARRAY(struct kp_target *, n + 1);
    for (size_t i = 0; i < n; i++)
        own[i] = kp_target_ref(targets[i]);
    *update = new_update(plan, kp_strdup(workload), own, n);
    return update;
}

struct kp_plan_diff kp_plan_update_end(struct kp_plan_update *update)
{
    if (update == NULL)
        return (struct kp_plan_diff){0};
    struct kp_plan_diff diff = update->diff;
    for (size_t i = 0; i < update->n; i++)
        kp_target_unref(update->targets[i]);
    kp_free((void *)(uintptr_t)update->targets);
    kp_free((void *)(uintptr_t)update->workload);
    kp_free(update);
    return diff;
}
