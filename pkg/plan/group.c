// Groups: the tracks of a workload that share slots. They join and leave one by one; what follows from who is
// in a group is settled when all have.
#include <string.h>

#include "base/hash.h"
#include "base/text.h"
#include "plan/plan_private.h"
#include "base/banned.h"

#define SOON_MS 3000 // a new pod is captured within so long

static bool is_of(
    const struct kp_group *group, const struct kp_member *member, const struct kp_wanted *wanted)
{
    size_t n = strlen(member->target->container->name);
    return group->port == member->target->port && strcmp(group->type, wanted->type) == 0 &&
           strncmp(group->key, member->target->container->name, n) == 0 && group->key[n] == '/';
}

// Most pods of a workload are alike: the group that follows the one joined before is looked at first.
static struct kp_group *group_get(
    struct kp_work *work, const struct kp_member *member, const struct kp_wanted *wanted)
{
    struct kp_group *group = work->joined != NULL ? work->joined->hh.next : NULL;
    if (group == NULL)
        group = work->groups;
    if (group != NULL && is_of(group, member, wanted))
        return group;
    kp_auto_free char *key =
        kp_asprintf("%s/%u/%s", member->target->container->name, member->target->port, wanted->type);
    HASH_FIND_STR(work->groups, key, group);
    if (group != NULL)
        return group;
    group = KP_NEW(struct kp_group);
    group->kind = NODE_GROUP;
    group->work = work;
    group->key = kp_take(key);
    group->type = strrchr(group->key, '/') + 1;
    group->port = member->target->port;
    group->hash = kp_plan_workload_hash(work->key, group->key);
    group->interval_ms = wanted->interval_ms; // until it is settled
    group->duration_ms = wanted->duration_ms;
    group->slot = INT64_MIN;
    group->stretch = group->next_stretch = 1;
    kp_list_init(&group->unsettled);
    HASH_ADD_KEYPTR(hh, work->groups, group->key, strlen(group->key), group);
    return group;
}

void kp_group_free(struct kp_plan *plan, struct kp_group *group)
{
    if (group->work->joined == group)
        group->work->joined = NULL;
    HASH_DEL(group->work->groups, group);
    kp_heap_remove(&plan->heap, &group->node);
    kp_list_remove(&group->unsettled);
    kp_array_free(&group->tracks);
    kp_free(group->key);
    kp_free(group);
}

static void unsettle(struct kp_plan *plan, struct kp_group *group)
{
    if (kp_list_empty(&group->unsettled))
        kp_list_append(&plan->unsettled, &group->unsettled);
}

void kp_group_join(struct kp_plan *plan, struct kp_track *track)
{
    struct kp_work *work = track->member->work;
    struct kp_group *group = group_get(work, track->member, kp_track_wanted(track));
    work->joined = group;
    track->group = group;
    track->place = group->tracks.n;
    *kp_array_add(&group->tracks) = track;
    unsettle(plan, group);
}

void kp_group_leave(struct kp_plan *plan, struct kp_track *track)
{
    struct kp_group *group = track->group;
    if (group == NULL)
        return;
    struct kp_track *last = group->tracks.items[--group->tracks.n];
    group->tracks.items[track->place] = last;
    last->place = track->place;
    track->group = NULL;
    if (group->tracks.n == 0) { // settling any other says how many of the workload may run
        struct kp_work *work = group->work;
        kp_group_free(plan, group);
        group = work->groups;
    }
    if (group != NULL)
        unsettle(plan, group);
}

void kp_group_put_in_place(struct kp_plan *plan, struct kp_track *from, struct kp_track *to)
{
    struct kp_group *group = from->group;
    to->group = group;
    to->place = from->place;
    group->tracks.items[to->place] = to;
    from->group = NULL;
    unsettle(plan, group);
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
    bool other_slots = interval != group->interval_ms;
    if (other_slots || duration != group->duration_ms) {
        for (size_t i = 0; i < group->tracks.n; i++) {
            if (other_slots) // numbers of the old ones say nothing any more
                group->tracks.items[i]->last_slot = INT64_MIN;
            kp_track_unschedule(plan, group->tracks.items[i]);
        }
        group->slot = INT64_MIN;
    }
    group->interval_ms = interval;
    group->duration_ms = duration;
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

bool kp_groups_settle_one(struct kp_plan *plan, int64_t now_ms)
{
    if (kp_list_empty(&plan->unsettled))
        return false;
    struct kp_group *group = kp_container_of(plan->unsettled.next, struct kp_group, unsettled);
    kp_list_remove(&group->unsettled);
    group_settle(plan, group, now_ms);
    const struct kp_group *next = kp_container_of(plan->unsettled.next, struct kp_group, unsettled);
    if (kp_list_empty(&plan->unsettled) || next->work != group->work)
        kp_work_set_allowed(group->work);
    return true;
}
