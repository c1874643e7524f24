// Members: the targets of a workload, and the tracks of each. What was learnt of a track outlives a change of
// its target.
#include <string.h>

#include "base/hash.h"
#include "base/text.h"
#include "plan/plan_private.h"
#include "base/banned.h"

static void track_finish(struct kp_plan *plan, struct kp_track *track)
{
    struct kp_running *running;
    kp_track_unschedule(plan, track);
    kp_group_leave(plan, track);
    HASH_FIND(hh, plan->running, &track->running, sizeof track->running, running);
    if (running != NULL)
        running->track = NULL;
    kp_free(track->message);
}

void kp_member_free(struct kp_plan *plan, struct kp_member *member)
{
    HASH_DEL(plan->members, member);
    for (size_t i = 0; i < member->target->n_wanted; i++)
        track_finish(plan, &member->tracks[i]);
    kp_target_unref(member->target);
    kp_free(member->tracks);
    kp_free(member);
}

static void use_target(struct kp_member *member, const struct kp_target *target)
{
    member->target = kp_target_ref(target);
    member->revision_hash = kp_hash64_str(target->pod->revision, 0);
    member->tracks = KP_NEW_ARRAY(struct kp_track, target->n_wanted + 1);
    for (size_t i = 0; i < target->n_wanted; i++) {
        struct kp_track *track = &member->tracks[i];
        track->kind = NODE_TRACK;
        track->member = member;
        track->at = i;
        track->last_slot = INT64_MIN;
        track->is_new = true;
        kp_list_init(&track->waiting);
    }
}

// Its tracks join their groups, and it is found by its key from now on.
static void make_known(struct kp_plan *plan, struct kp_member *member)
{
    for (size_t i = 0; i < member->target->n_wanted; i++)
        if (member->tracks[i].group == NULL)
            kp_group_join(plan, &member->tracks[i]);
    HASH_ADD_KEYPTR(hh, plan->members, member->target->key, strlen(member->target->key), member);
}

struct kp_member *kp_member_new(struct kp_plan *plan, struct kp_work *work, const struct kp_target *target)
{
    struct kp_member *member = KP_NEW(struct kp_member);
    member->work = work;
    member->uid_hash = kp_hash64_str(target->pod->uid, 0);
    use_target(member, target);
    make_known(plan, member);
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
    to->rank = from->rank;
    to->k = from->k;
    to->n = from->n;
    to->lacks = from->lacks;
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

void kp_member_cancel(
    const struct kp_member *member, void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    for (size_t i = 0; i < member->target->n_wanted; i++)
        cancel_running(&member->tracks[i], on_cancel, user);
}

void kp_member_replace(struct kp_plan *plan, struct kp_member *member, const struct kp_target *target,
    void (*on_cancel)(void *user, uint64_t order_id), void *user)
{
    struct kp_target *old = member->target;
    struct kp_track *old_tracks = member->tracks;
    bool other_life = !kp_streq(old->container->container_id, target->container->container_id);
    HASH_DEL(plan->members, member);
    use_target(member, target);
    for (size_t i = 0; i < old->n_wanted; i++) {
        struct kp_track *to = track_of(member, old->wanted[i].type);
        if (to == NULL || other_life)
            cancel_running(&old_tracks[i], on_cancel, user);
        if (to != NULL) {
            track_move(plan, &old_tracks[i], to);
            kp_group_put_in_place(plan, &old_tracks[i], to);
        }
    }
    for (size_t i = 0; i < old->n_wanted; i++)
        track_finish(plan, &old_tracks[i]);
    kp_target_unref(old);
    kp_free(old_tracks);
    make_known(plan, member);
}
