// The clock hand: opens slots, starts what is due and has a place, and takes in what came of it.
#include <string.h>

#include "base/text.h"
#include "plan/plan_private.h"
#include "base/banned.h"

#define WAKE_MS        60000
#define STRETCH_MS     60000 // recomputed so often: rotation and what was learnt change it
#define STRETCH_TRACKS 4000  // looked at in one call: well below a millisecond
#define JUMP_MS        5000  // the clock went back by more: slots start anew
#define LATE_MS        30000 // due for longer without having waited: the time passed while we did not run
#define HOUR_MS        3600000
#define CONTENDED      3
#define RETRY_MIN_MS   2000

// ---- orders ----

// The slot as it goes into the key. The registry knows the keys of a slot that was open before the clock was
// set back, and would take what is captured now for what it has.
static int64_t slot_of_key(const struct kp_plan *plan, const struct kp_track *track)
{
    int64_t start = kp_plan_slot_start(track->group->hash, track->group->interval_ms, track->slot);
    return start < plan->lived_ms ? start + plan->n_lives : start;
}

static void give_order(struct kp_plan *plan, struct kp_track *track, int64_t now_ms,
    void (*on_order)(void *user, struct kp_order *order), void *user)
{
    struct kp_group *group = track->group;
    int64_t due = track->node.due_ms;
    kp_track_unschedule(plan, track);
    struct kp_running *running = kp_plan_take_place(plan, track, now_ms);
    track->last_slot = track->slot > group->slot ? track->slot : group->slot;
    struct kp_order order = {
        .id = running->id,
        .target = kp_target_ref(track->member->target),
        .wanted = kp_track_wanted(track),
        .slot_ms = slot_of_key(plan, track),
        .start_ms = due,
        .interval_ms = group->interval_ms * kp_track_every(track),
        .duration_ms = kp_track_wanted(track)->duration_ms,
        .sample_k = track->k,
        .sample_n = track->n,
        .probe = track->probe,
    };
    on_order(user, &order);
}

static int64_t slot_end(const struct kp_track *track)
{
    return kp_group_slot_end(track->group, track->slot);
}

static void give_up(struct kp_plan *plan, struct kp_track *track)
{
    kp_track_unschedule(plan, track);
    track->last_slot = track->slot;
    kp_metric_inc(plan->missed);
}

static void try_start(struct kp_plan *plan, struct kp_track *track, int64_t now_ms,
    void (*on_order)(void *user, struct kp_order *order), void *user)
{
    bool had_waited = track->node.place == 0;
    // who waits is carried over by the next slot, unless the clock was set forward past it; who comes late
    // did not run at his time
    if (now_ms > slot_end(track) + (had_waited ? LATE_MS : 0) ||
        (!had_waited && now_ms - track->node.due_ms > LATE_MS)) {
        give_up(plan, track);
        return;
    }
    track->lacks = kp_plan_lacks(plan, track, now_ms);
    if (track->lacks == PLACE_FREE) {
        give_order(plan, track, now_ms, on_order, user);
        return;
    }
    if (!had_waited) { // due_ms stays: it says since when
        kp_heap_remove(&plan->heap, &track->node);
        kp_list_append(&plan->waiting, &track->waiting);
        track->soon = false; // it waits like all others
        if (plan->waited != NULL)
            kp_metric_inc(kp_metric_with(plan->waited, (const char *[]){kp_place_label(track->lacks)}));
    }
}

static void try_waiting(
    struct kp_plan *plan, int64_t now_ms, void (*on_order)(void *user, struct kp_order *order), void *user)
{
    size_t n = 0;
    kp_list_foreach_safe (node, &plan->waiting) {
        try_start(plan, kp_container_of(node, struct kp_track, waiting), now_ms, on_order, user);
        n++;
    }
    kp_metric_set(plan->waiting_gauge, (double)n);
}

// ---- the clock ----

static void start_anew(struct kp_plan *plan, int64_t now_ms)
{
    plan->lived_ms = plan->last_now_ms > plan->lived_ms ? plan->last_now_ms : plan->lived_ms;
    plan->n_lives = (plan->n_lives + 1) % 1000;
    for (struct kp_work *work = plan->works; work != NULL; work = work->hh.next) {
        for (struct kp_group *group = work->groups; group != NULL; group = group->hh.next) {
            for (size_t i = 0; i < group->tracks.n; i++) {
                group->tracks.items[i]->last_slot = INT64_MIN;
                if (group->tracks.items[i]->quiet_until_ms > now_ms + HOUR_MS)
                    group->tracks.items[i]->quiet_until_ms = now_ms + HOUR_MS;
            }
            kp_group_reset(plan, group, now_ms);
        }
    }
    plan->stretch_dirty = true; // else it waits until the clock is where it was
    plan->stretch_due_ms = now_ms;
}

static void forget_what_is_past(struct kp_plan *plan, struct kp_track *track, int64_t now_ms)
{
    bool waits = !kp_list_empty(&track->waiting);
    bool past = track->node.place != 0 && track->node.due_ms < now_ms;
    if (waits || (past && !(track->soon && now_ms - track->node.due_ms <= LATE_MS)))
        kp_track_unschedule(plan, track);
}

static enum kp_node_kind kind_of(const struct kp_heap_node *node)
{
    // groups and tracks both begin with their kind, and hold their node right behind it
    const char *start = (const char *)node - offsetof(struct kp_track, node);
    enum kp_node_kind kind;
    memcpy(&kind, start, sizeof kind);
    return kind;
}
_Static_assert(
    offsetof(struct kp_track, node) == offsetof(struct kp_group, node), "kind_of() needs the same place");

// Who is there when a slot opens has his place in it and is not new any more.
static void open_slot(struct kp_plan *plan, struct kp_group *group, int64_t now_ms)
{
    kp_group_open(plan, group, now_ms);
    for (size_t i = 0; i < group->tracks.n; i++)
        if (group->tracks.items[i]->sampled)
            group->tracks.items[i]->is_new = false;
}

// Slots that are over are followed by the present ones first: what is still to be captured soon is of these
// then.
void kp_plan_take_over(struct kp_plan *plan, int64_t now_ms)
{
    for (struct kp_work *work = plan->works; work != NULL; work = work->hh.next) {
        for (struct kp_group *group = work->groups; group != NULL; group = group->hh.next) {
            for (size_t i = 0; i < group->tracks.n; i++)
                forget_what_is_past(plan, group->tracks.items[i], now_ms);
            if (group->node.place != 0 && group->node.due_ms <= now_ms)
                open_slot(plan, group, now_ms);
        }
    }
}

// Some of it at a time: it walks through all targets. True while there is more.
static bool stretch(struct kp_plan *plan, int64_t now_ms)
{
    bool due =
        plan->stretch_dirty ? now_ms >= plan->stretch_due_ms : now_ms - plan->stretch_due_ms >= STRETCH_MS;
    if (plan->stretching.phase == STRETCH_IDLE) {
        if (!due)
            return false;
        kp_stretching_begin(plan);
        plan->stretch_dirty = false;
        plan->stretch_due_ms = now_ms;
    }
    return kp_stretching_step(plan, now_ms, STRETCH_TRACKS);
}

int64_t kp_plan_run(
    struct kp_plan *plan, int64_t now_ms, void (*on_order)(void *user, struct kp_order *order), void *user)
{
    if (plan->last_now_ms != 0 && now_ms < plan->last_now_ms - JUMP_MS)
        start_anew(plan, now_ms);
    plan->last_now_ms = now_ms;
    bool stretches = stretch(plan, now_ms);
    int64_t overdue = kp_plan_free_overdue(plan, now_ms);
    try_waiting(plan, now_ms, on_order, user);
    struct kp_heap_node *node;
    while ((node = kp_heap_first(&plan->heap)) != NULL && node->due_ms <= now_ms) {
        if (kind_of(node) == NODE_GROUP)
            open_slot(plan, kp_container_of(node, struct kp_group, node), now_ms);
        else
            try_start(plan, kp_track_of(node), now_ms, on_order, user);
    }
    int64_t next = now_ms + (kp_list_empty(&plan->waiting) ? WAKE_MS : 1000);
    if (!kp_list_empty(&plan->waiting) && overdue < next)
        next = overdue;
    if (plan->stretch_dirty && plan->stretch_due_ms < next)
        next = plan->stretch_due_ms;
    if (stretches)
        next = now_ms + 1;
    return node != NULL && node->due_ms < next ? node->due_ms : next;
}

// ---- results ----

void kp_plan_finish(struct kp_plan *plan, uint64_t order_id, size_t bytes, int64_t busy_ms, int64_t now_ms)
{
    struct kp_running *running;
    (void)now_ms;
    HASH_FIND(hh, plan->running, &order_id, sizeof order_id, running);
    if (running == NULL)
        return;
    struct kp_track *track = running->track;
    if (track != NULL && bytes > 0) {
        track->expected_bytes = bytes;
        // smoothed: one slow read is no reason to stretch
        track->busy_ms = track->busy_ms == 0 ? busy_ms : (3 * track->busy_ms + busy_ms) / 4;
    }
    kp_plan_free_place(plan, running);
}

static void retry_busy(struct kp_plan *plan, struct kp_track *track, int64_t now_ms)
{
    int64_t room = (slot_end(track) - track->group->duration_ms - now_ms) / 2;
    if (kp_track_wanted(track)->on_busy != KP_ON_BUSY_RETRY || track->retried || room < RETRY_MIN_MS ||
        track->slot != track->group->slot)
        return;
    if (track->node.place != 0 || !kp_list_empty(&track->waiting))
        return; // its turn comes anyway: this was the capture of an earlier slot
    track->retried = true;
    int64_t jitter = (int64_t)(kp_random_next(&plan->random) % (uint64_t)room);
    kp_heap_set(&plan->heap, &track->node, now_ms + RETRY_MIN_MS + jitter);
}

static enum kp_outcome judge_busy(struct kp_plan *plan, struct kp_track *track, int64_t now_ms)
{
    if (++track->busy_times < CONTENDED) {
        retry_busy(plan, track, now_ms);
        return KP_OUTCOME_BUSY;
    }
    track->contended = true;
    track->quiet_until_ms = now_ms + HOUR_MS;
    return KP_OUTCOME_CONTENDED;
}

enum kp_outcome kp_plan_outcome(struct kp_plan *plan, const char *target_key, const char *type,
    enum kp_outcome outcome, const char *message, int64_t start_ms, int64_t now_ms)
{
    struct kp_member *member;
    HASH_FIND_STR(plan->members, target_key, member);
    struct kp_track *track = NULL;
    for (size_t i = 0; member != NULL && i < member->target->n_wanted; i++)
        if (strcmp(member->target->wanted[i].type, type) == 0)
            track = &member->tracks[i];
    if (track == NULL)
        return outcome;
    if (outcome == KP_OUTCOME_BUSY) {
        outcome = judge_busy(plan, track, now_ms);
    } else if (outcome != KP_OUTCOME_CANCELLED && outcome != KP_OUTCOME_POD_GONE &&
               outcome != KP_OUTCOME_THROTTLED) {
        track->busy_times = 0;
        track->contended = false;
    }
    // what a program does not serve it will not serve a minute later either
    track->not_served_times = outcome == KP_OUTCOME_NOT_SERVED ? track->not_served_times + 1 : 0;
    if (track->not_served_times > 1)
        track->quiet_until_ms = now_ms + HOUR_MS;
    else if (outcome == KP_OUTCOME_SUCCEEDED)
        track->quiet_until_ms = 0;
    track->last_outcome = outcome;
    track->last_ms = start_ms;
    if (outcome == KP_OUTCOME_SUCCEEDED)
        track->last_success_ms = start_ms;
    kp_free(track->message);
    track->message = message != NULL && message[0] != '\0' ? kp_strdup(message) : NULL;
    return outcome;
}

// ---- views ----

static void view_member(const struct kp_member *member,
    void (*each)(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles),
    void *user)
{
    // one policy asks for few types, several together for any number
    struct kp_plan_profile few[16];
    kp_auto_free struct kp_plan_profile *many = NULL;
    const struct kp_target *target = member->target;
    if (target->n_wanted > KP_COUNT(few))
        many = KP_NEW_ARRAY(struct kp_plan_profile, target->n_wanted);
    struct kp_plan_profile *profiles = many != NULL ? many : few;
    for (size_t i = 0; i < target->n_wanted; i++) {
        const struct kp_track *track = &member->tracks[i];
        profiles[i] = (struct kp_plan_profile){
            .wanted = &target->wanted[i],
            .sampled = track->sampled,
            .interval_ms = track->group->interval_ms * kp_track_every(track),
            .next_ms = kp_track_next_ms(track),
            .last_outcome = track->last_outcome,
            .message = track->message != NULL ? track->message : "",
            .last_ms = track->last_ms,
            .last_success_ms = track->last_success_ms,
        };
    }
    each(user, target, profiles);
}

void kp_plan_each_target(struct kp_plan *plan, int64_t now_ms,
    void (*each)(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles),
    void *user)
{
    (void)now_ms;
    for (const struct kp_member *member = plan->members; member != NULL; member = member->hh.next)
        view_member(member, each, user);
}

size_t kp_plan_each_some(struct kp_plan *plan, const char *workload, size_t from, size_t most, int64_t now_ms,
    void (*each)(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles),
    void *user)
{
    struct kp_work *work;
    (void)now_ms;
    HASH_FIND_STR(plan->works, workload, work);
    if (work == NULL || from >= work->list.n)
        return 0;
    size_t n = work->list.n - from < most ? work->list.n - from : most;
    for (size_t i = 0; i < n; i++)
        view_member(work->list.items[from + i], each, user);
    return n;
}

bool kp_plan_each_of_workload(struct kp_plan *plan, const char *workload, int64_t now_ms,
    void (*each)(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles),
    void *user)
{
    struct kp_work *work;
    HASH_FIND_STR(plan->works, workload, work);
    kp_plan_each_some(plan, workload, 0, SIZE_MAX, now_ms, each, user);
    return work != NULL;
}
