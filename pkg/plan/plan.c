// The wanted sets: what a workload's targets are, diffed with what runs.
#include "plan/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/text.h"
#include "plan/plan_private.h"
#include "base/banned.h"

#define STRETCH_SETTLE_MS 1000
#define SOON_MS           3000 // a new pod is captured within so long

// ---- life ----

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

// ---- tracks and members ----

static void track_finish(struct kp_plan *plan, struct kp_track *track)
{
    struct kp_running *running;
    kp_track_unschedule(plan, track);
    HASH_FIND(hh, plan->running, &track->running, sizeof track->running, running);
    if (running != NULL)
        running->track = NULL;
    kp_free(track->message);
}

static void member_free(struct kp_plan *plan, struct kp_member *member)
{
    HASH_DEL(plan->members, member);
    for (size_t i = 0; i < member->target->n_wanted; i++)
        track_finish(plan, &member->tracks[i]);
    kp_target_unref(member->target);
    kp_free(member->tracks);
    kp_free(member);
}

static struct kp_track *tracks_for(struct kp_member *member, const struct kp_target *target)
{
    struct kp_track *tracks = KP_NEW_ARRAY(struct kp_track, target->n_wanted + 1);
    for (size_t i = 0; i < target->n_wanted; i++) {
        tracks[i].kind = NODE_TRACK;
        tracks[i].member = member;
        tracks[i].at = i;
        tracks[i].last_slot = INT64_MIN;
        tracks[i].is_new = true;
        kp_list_init(&tracks[i].waiting);
    }
    return tracks;
}

static struct kp_member *member_new(
    struct kp_plan *plan, struct kp_work *work, const struct kp_target *target)
{
    struct kp_member *member = KP_NEW(struct kp_member);
    member->work = work;
    member->target = kp_target_ref(target);
    member->uid_hash = kp_hash64_str(target->pod->uid, 0);
    member->tracks = tracks_for(member, target);
    HASH_ADD_KEYPTR(hh, plan->members, member->target->key, strlen(member->target->key), member);
    return member;
}

static struct kp_track *track_of(const struct kp_member *member, const char *type)
{
    for (size_t i = 0; i < member->target->n_wanted; i++)
        if (strcmp(member->target->wanted[i].type, type) == 0)
            return &member->tracks[i];
    return NULL;
}

// An appointment or a place in the line is kept: else who changes often would never have his turn.
static void appointment_move(struct kp_plan *plan, struct kp_track *from, struct kp_track *to)
{
    to->slot = from->slot;
    to->probe = from->probe;
    to->retried = from->retried;
    to->soon = from->soon;
    if (from->node.place != 0) {
        kp_heap_set(&plan->heap, &to->node, from->node.due_ms);
    } else if (!kp_list_empty(&from->waiting)) {
        to->node.due_ms = from->node.due_ms;
        kp_list_append(&from->waiting, &to->waiting); // where it stood
    }
    kp_track_unschedule(plan, from);
}

// What was learnt of a track moves to its successor; a running order follows.
static void track_move(struct kp_plan *plan, struct kp_track *from, struct kp_track *to)
{
    struct kp_running *running;
    to->last_slot = from->last_slot;
    to->is_new = from->is_new;
    to->sampled = from->sampled;
    to->running = from->running;
    to->last_outcome = from->last_outcome;
    to->message = kp_take(from->message);
    to->last_ms = from->last_ms;
    to->last_success_ms = from->last_success_ms;
    to->busy_times = from->busy_times;
    to->not_served_times = from->not_served_times;
    to->contended = from->contended;
    to->quiet_until_ms = from->quiet_until_ms;
    to->expected_bytes = from->expected_bytes;
    to->busy_ms = from->busy_ms;
    appointment_move(plan, from, to);
    HASH_FIND(hh, plan->running, &from->running, sizeof from->running, running);
    if (running != NULL)
        running->track = to;
    from->running = 0;
}

static void cancel_running(
    const struct kp_track *track, void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    if (track->running != 0)
        on_cancel(user, track->running);
}

// Another target under the same key: what was asked changed.
static void member_replace(struct kp_plan *plan, struct kp_member *member, const struct kp_target *target,
    void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    struct kp_target *old = member->target;
    struct kp_track *old_tracks = member->tracks;
    bool other_life = !kp_streq(old->container->container_id, target->container->container_id);
    HASH_DEL(plan->members, member);
    member->tracks = tracks_for(member, target);
    for (size_t i = 0; i < old->n_wanted; i++) {
        member->target = kp_target_ref(target);
        struct kp_track *to = track_of(member, old->wanted[i].type);
        kp_target_unref(member->target);
        if (to == NULL || other_life)
            cancel_running(&old_tracks[i], on_cancel, user);
        if (to != NULL)
            track_move(plan, &old_tracks[i], to);
    }
    member->target = old;
    for (size_t i = 0; i < old->n_wanted; i++)
        track_finish(plan, &old_tracks[i]);
    member->target = kp_target_ref(target);
    kp_target_unref(old);
    kp_free(old_tracks);
    HASH_ADD_KEYPTR(hh, plan->members, member->target->key, strlen(member->target->key), member);
}

// ---- groups ----

static struct kp_group *group_get(
    struct kp_work *work, const struct kp_member *member, const struct kp_wanted *wanted)
{
    kp_auto_free char *key =
        kp_asprintf("%s/%u/%s", member->target->container->name, member->target->port, wanted->type);
    struct kp_group *group;
    HASH_FIND_STR(work->groups, key, group);
    if (group != NULL)
        return group;
    group = KP_NEW(struct kp_group);
    group->kind = NODE_GROUP;
    group->work = work;
    group->key = kp_take(key);
    group->type = strrchr(group->key, '/') + 1;
    group->hash = kp_plan_workload_hash(work->key, group->key);
    group->slot = INT64_MIN;
    group->stretch = group->next_stretch = 1;
    HASH_ADD_KEYPTR(hh, work->groups, group->key, strlen(group->key), group);
    return group;
}

static void group_free(struct kp_plan *plan, struct kp_group *group)
{
    HASH_DEL(group->work->groups, group);
    kp_heap_remove(&plan->heap, &group->node);
    kp_array_free(&group->tracks);
    kp_free(group->key);
    kp_free(group);
}

// A pod that is new, and became Ready less than an interval ago, is captured soon: that uses up its slot.
static void capture_soon(struct kp_plan *plan, struct kp_group *group, struct kp_track *track, int64_t now_ms)
{
    int64_t ready = track->member->target->pod->ready_since_ms;
    bool fresh = ready > 0 && now_ms - ready < group->interval_ms;
    if (!track->is_new || !track->sampled || !fresh || track->last_slot >= group->slot)
        return;
    double unit = kp_hash_unit(kp_hash64_mix(track->member->uid_hash, group->hash));
    track->is_new = false;
    track->slot = group->slot;
    track->probe = track->retried = false;
    kp_track_unschedule(plan, track);
    kp_heap_set(&plan->heap, &track->node, now_ms + (int64_t)(unit * SOON_MS));
    track->soon = true;
}

static void group_settle(struct kp_plan *plan, struct kp_group *group, int64_t now_ms)
{
    int64_t interval = INT64_MAX, duration = 0;
    for (size_t i = 0; i < group->tracks.n; i++) {
        const struct kp_wanted *wanted = kp_track_wanted(group->tracks.items[i]);
        interval = wanted->interval_ms < interval ? wanted->interval_ms : interval;
        duration = wanted->duration_ms > duration ? wanted->duration_ms : duration;
    }
    bool other = interval != group->interval_ms || duration != group->duration_ms;
    group->interval_ms = interval;
    group->duration_ms = duration;
    if (other) {
        // other slots: numbers of the old ones say nothing any more
        for (size_t i = 0; i < group->tracks.n; i++) {
            group->tracks.items[i]->last_slot = INT64_MIN;
            kp_track_unschedule(plan, group->tracks.items[i]);
        }
        group->slot = INT64_MIN;
    }
    if (group->slot == INT64_MIN)
        kp_group_open(plan, group, now_ms);
    else
        group->n_sampled = kp_group_sample(group, now_ms);
    for (size_t i = 0; i < group->tracks.n; i++) {
        struct kp_track *track = group->tracks.items[i];
        capture_soon(plan, group, track, now_ms);
        if (!track->sampled)
            kp_track_unschedule(plan, track);
    }
}

static void regroup(struct kp_plan *plan, struct kp_work *work, int64_t now_ms)
{
    struct kp_group *group, *next;
    HASH_ITER (hh, work->groups, group, next)
        group->tracks.n = 0;
    for (size_t m = 0; m < work->list.n; m++) {
        struct kp_member *member = work->list.items[m];
        for (size_t i = 0; i < member->target->n_wanted; i++) {
            group = group_get(work, member, &member->target->wanted[i]);
            member->tracks[i].group = group;
            *kp_array_add(&group->tracks) = &member->tracks[i];
        }
    }
    HASH_ITER (hh, work->groups, group, next) {
        if (group->tracks.n == 0)
            group_free(plan, group);
        else
            group_settle(plan, group, now_ms);
    }
    kp_work_set_allowed(work);
}

// ---- workloads ----

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

static void work_free(struct kp_plan *plan, struct kp_work *work)
{
    struct kp_group *group, *next;
    HASH_ITER (hh, work->groups, group, next)
        group_free(plan, group);
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
static void leave_workload(struct kp_plan *plan, struct kp_member *member, int64_t now_ms,
    void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    struct kp_work *work = member->work;
    size_t kept = 0;
    for (size_t i = 0; i < work->list.n; i++)
        if (work->list.items[i] != member)
            work->list.items[kept++] = work->list.items[i];
    work->list.n = kept;
    for (size_t t = 0; t < member->target->n_wanted; t++)
        cancel_running(&member->tracks[t], on_cancel, user);
    member_free(plan, member);
    regroup(plan, work, now_ms);
    if (work->list.n == 0)
        work_free(plan, work);
}

static void merge_set(struct kp_plan *plan, struct kp_work *work, struct kp_target *const *targets, size_t n,
    int64_t now_ms, struct kp_plan_diff *diff, void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    for (size_t i = 0; i < n; i++) {
        struct kp_member *member;
        HASH_FIND_STR(plan->members, targets[i]->key, member);
        if (member != NULL && member->work != work) {
            leave_workload(plan, member, now_ms, on_cancel, user);
            member = NULL;
        }
        if (member == NULL) {
            member = member_new(plan, work, targets[i]);
            *kp_array_add(&work->list) = member;
            diff->added++;
        } else if (!kp_target_same(member->target, targets[i])) {
            member_replace(plan, member, targets[i], on_cancel, user);
            diff->changed++;
        }
        member->seen = true;
    }
}

static void drop_unseen(struct kp_plan *plan, struct kp_work *work, struct kp_plan_diff *diff,
    void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    size_t kept = 0;
    for (size_t i = 0; i < work->list.n; i++) {
        struct kp_member *member = work->list.items[i];
        if (member->seen) {
            member->seen = false;
            work->list.items[kept++] = member;
            continue;
        }
        for (size_t t = 0; t < member->target->n_wanted; t++)
            cancel_running(&member->tracks[t], on_cancel, user);
        member_free(plan, member);
        diff->removed++;
    }
    work->list.n = kept;
}

struct kp_plan_diff kp_plan_set_workload(struct kp_plan *plan, const char *workload,
    struct kp_target *const *targets, size_t n, int64_t now_ms,
    void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    struct kp_plan_diff diff = {0};
    struct kp_work *work;
    HASH_FIND_STR(plan->works, workload, work);
    if (work == NULL && n == 0)
        return diff;
    if (work == NULL)
        work = work_get(plan, workload);
    merge_set(plan, work, targets, n, now_ms, &diff, on_cancel, user);
    drop_unseen(plan, work, &diff, on_cancel, user);
    if (diff.added + diff.removed + diff.changed == 0)
        return diff;
    regroup(plan, work, now_ms);
    if (work->list.n == 0)
        work_free(plan, work);
    if (!plan->stretch_dirty) {
        plan->stretch_dirty = true;
        plan->stretch_due_ms = now_ms + STRETCH_SETTLE_MS;
    }
    return diff;
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
        for (size_t i = 0; i < target->n_wanted; i++)
            cancel_running(&member->tracks[i], on_cancel, user);
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
        member_free(plan, member);
    struct kp_work *work, *next_work;
    HASH_ITER (hh, plan->works, work, next_work)
        work_free(plan, work);
    kp_counts_free(&plan->nodes);
    kp_counts_free(&plan->namespaces);
    kp_counts_free(&plan->pods);
    kp_stretching_finish(plan);
    kp_heap_finish(&plan->heap);
    kp_free(plan);
}
