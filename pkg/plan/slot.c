// Slots: slot n of (workload, type) starts at o + nI with o = H(workload, type) I; a pod's place in it is
// o + nI + frac(rank/m + H(workload, type, n)) (I - D - 1 s). So load is even, a workload's pods overlap no
// more than they must, and a job that runs every minute is not missed for ever.
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "plan/plan_private.h"
#include "base/banned.h"

#define OPEN_LATE_MS 2000 // that a busy machine may be late for a slot

uint64_t kp_plan_workload_hash(const char *workload, const char *type)
{
    return kp_hash64_str(type, kp_hash64_str(workload, 0));
}

static int64_t offset_ms(uint64_t hash, int64_t interval_ms)
{
    return (int64_t)(kp_hash_unit(hash) * (double)interval_ms);
}

int64_t kp_plan_slot_start(uint64_t hash, int64_t interval_ms, int64_t n)
{
    return offset_ms(hash, interval_ms) + n * interval_ms;
}

int64_t kp_plan_slot_number(uint64_t hash, int64_t interval_ms, int64_t now_ms)
{
    int64_t t = now_ms - offset_ms(hash, interval_ms);
    int64_t n = t / interval_ms;
    return t < 0 && n * interval_ms != t ? n - 1 : n;
}

int64_t kp_plan_place(
    uint64_t hash, int64_t n, int64_t interval_ms, int64_t duration_ms, size_t rank, size_t m)
{
    double turn = (m > 0 ? (double)rank / (double)m : 0) + kp_hash_unit(kp_hash64_mix(hash, (uint64_t)n));
    double room = (double)(interval_ms - duration_ms - KP_PLAN_PAUSE_MS);
    return kp_plan_slot_start(hash, interval_ms, n) + (room > 0 ? (int64_t)((turn - floor(turn)) * room) : 0);
}

int64_t kp_group_slot_end(const struct kp_group *group, int64_t slot)
{
    return kp_plan_slot_start(group->hash, group->interval_ms, slot + 1);
}

void kp_track_unschedule(struct kp_plan *plan, struct kp_track *track)
{
    kp_heap_remove(&plan->heap, &track->node);
    kp_list_remove(&track->waiting);
    track->soon = false;
}

// The group's slots are those of the pod that asks most; one that asks less takes every i-th, stretched by j
// every (i j)-th.
int kp_track_every(const struct kp_track *track)
{
    int64_t i = kp_track_wanted(track)->interval_ms / track->group->interval_ms;
    return i > 1 && i < INT_MAX / track->group->stretch ? (int)i * track->group->stretch
                                                        : track->group->stretch;
}

// Whether the track's turn comes in this slot: each pod takes others.
static bool takes_slot(const struct kp_group *group, const struct kp_track *track)
{
    uint64_t j = (uint64_t)kp_track_every(track);
    return ((uint64_t)group->slot + track->member->uid_hash) % j == 0;
}

// Due in an earlier slot and still without a place: its turn is before all others, and uses up this slot too.
// Only so does no gap grow much beyond two intervals. The capture keeps the slot it was made for: its key is
// its own.
static bool carry_over(struct kp_group *group, struct kp_track *track)
{
    if (kp_list_empty(&track->waiting) || track->slot >= group->slot)
        return false;
    if (track->last_outcome == KP_OUTCOME_NONE || track->last_outcome == KP_OUTCOME_THROTTLED) {
        track->last_outcome = KP_OUTCOME_THROTTLED;
        kp_free(track->message);
        track->message =
            kp_asprintf("not captured yet, it is the next to get a place: %s", kp_place_limit(track->lacks));
    }
    return true;
}

static void appoint(struct kp_plan *plan, struct kp_group *group, struct kp_track *track, size_t rank,
    int64_t now_ms, bool is_in_turn)
{
    int64_t place = kp_plan_place(
        group->hash, group->slot, group->interval_ms, group->duration_ms, rank, group->n_sampled);
    if (is_in_turn && place < now_ms)
        place = now_ms; // nobody could keep it
    track->rank = (uint32_t)rank;
    if (carry_over(group, track)) {
        kp_metric_inc(plan->throttled);
        return;
    }
    if (track->soon) { // to be captured any moment: that uses up this slot then
        track->slot = group->slot;
        return;
    }
    kp_track_unschedule(plan, track);
    if (track->last_slot >= group->slot || place < now_ms || !takes_slot(group, track))
        return;
    if (track->quiet_until_ms > place)
        return;
    track->probe = track->contended || track->not_served_times > 1;
    track->retried = false;
    track->slot = group->slot;
    kp_heap_set(&plan->heap, &track->node, place);
}

// An appointment; else the place in the next slot that it takes, if nobody joins or leaves its group.
int64_t kp_track_next_ms(const struct kp_track *track)
{
    const struct kp_group *group = track->group;
    if (track->node.place != 0 || !kp_list_empty((struct kp_list *)(uintptr_t)&track->waiting))
        return track->node.due_ms;
    if (!track->sampled || group->slot == INT64_MIN)
        return 0;
    int64_t every = kp_track_every(track);
    int64_t quiet = kp_plan_slot_number(group->hash, group->interval_ms, track->quiet_until_ms);
    int64_t slot = quiet > group->slot ? quiet : group->slot + 1;
    slot += (int64_t)(((uint64_t)every - ((uint64_t)slot + track->member->uid_hash) % (uint64_t)every) %
                      (uint64_t)every);
    int64_t place = 0;
    do {
        place = kp_plan_place(
            group->hash, slot, group->interval_ms, group->duration_ms, track->rank, group->n_sampled);
        slot += every;
    } while (place < track->quiet_until_ms);
    return place;
}

static int by_uid(const void *a, const void *b)
{
    const struct kp_track *x = *(struct kp_track *const *)a, *y = *(struct kp_track *const *)b;
    return (x->member->uid_hash > y->member->uid_hash) - (x->member->uid_hash < y->member->uid_hash);
}

void kp_group_open(struct kp_plan *plan, struct kp_group *group, int64_t now_ms)
{
    int64_t before = group->slot;
    group->slot = kp_plan_slot_number(group->hash, group->interval_ms, now_ms);
    // else, after a start or with another clock, places that passed are left
    bool is_in_turn =
        before != INT64_MIN && before + 1 == group->slot &&
        now_ms - kp_plan_slot_start(group->hash, group->interval_ms, group->slot) <= OPEN_LATE_MS;
    kp_heap_set(&plan->heap, &group->node, kp_group_slot_end(group, group->slot));
    group->n_sampled = kp_group_sample(group, now_ms);
    size_t n = 0;
    kp_auto_free struct kp_track **sampled = KP_NEW_ARRAY(struct kp_track *, group->n_sampled + 1);
    for (size_t i = 0; i < group->tracks.n; i++) {
        if (group->tracks.items[i]->sampled)
            sampled[n++] = group->tracks.items[i];
        else
            kp_track_unschedule(plan, group->tracks.items[i]);
    }
    if (n > 1)
        qsort(sampled, n, sizeof *sampled, by_uid);
    for (size_t rank = 0; rank < n; rank++)
        appoint(plan, group, sampled[rank], rank, now_ms, is_in_turn);
}

void kp_group_reset(struct kp_plan *plan, struct kp_group *group, int64_t now_ms)
{
    group->slot = INT64_MIN;
    for (size_t i = 0; i < group->tracks.n; i++)
        kp_track_unschedule(plan, group->tracks.items[i]);
    kp_heap_set(&plan->heap, &group->node, now_ms);
}
