// Inside plan only: the parts and who owns them.
//
//   plan -> works (a workload) -> members (a target) -> tracks (one wanted profile of it)
//                              -> groups (container, port, type): the tracks that share slots
#ifndef KP_PLAN_PLAN_PRIVATE_H
#define KP_PLAN_PLAN_PRIVATE_H

#include "base/array.h"
#include "base/backoff.h"
#include "base/list.h"
#include "base/map.h"
#include "plan/heap.h"
#include "plan/plan.h"

#define KP_PLAN_PAUSE_MS 1000 // left free at the end of every slot

enum kp_node_kind { NODE_GROUP, NODE_TRACK };

struct kp_group;
struct kp_member;

// Why a group is stretched: the largest factor wins.
enum kp_stretch_cause {
    STRETCH_NONE,
    STRETCH_OVERHEAD,
    STRETCH_WORKLOAD,
    STRETCH_NODE,
    STRETCH_NAMESPACE,
    STRETCH_TOTAL,
    STRETCH_RATE,
    STRETCH_BYTES,
};

// What a capture that is due has to wait for.
enum kp_place {
    PLACE_FREE,
    PLACE_POD,
    PLACE_WORKLOAD,
    PLACE_NODE,
    PLACE_NAMESPACE,
    PLACE_TOTAL,
    PLACE_BYTES,
    PLACE_RATE,
    PLACE_COUNT
};

struct kp_track {
    enum kp_node_kind kind;   // NODE_TRACK
    struct kp_heap_node node; // its appointment
    struct kp_list waiting;   // due, but no place is free
    struct kp_member *member;
    struct kp_group *group;
    size_t place; // in group->tracks
    size_t at;    // of target->wanted
    int64_t slot; // of the appointment
    bool probe, retried;
    bool sampled, is_new;
    bool soon;           // the appointment is that of a new pod
    enum kp_place lacks; // while it waits
    uint32_t k, n;       // of its revision
    uint32_t rank;       // in the group, when its slot was opened
    int64_t last_slot;   // used; INT64_MIN = none
    uint64_t running;    // order id, 0 = none
    // what is known
    enum kp_outcome last_outcome;
    char *message;
    int64_t last_ms, last_success_ms;
    unsigned busy_times, not_served_times;
    bool contended;
    int64_t quiet_until_ms; // asked again then only
    size_t expected_bytes;
    int64_t busy_ms;
    struct kp_count *on_node; // while stretches are computed; NULL = not sampled
};

struct kp_member {
    struct kp_work *work;
    struct kp_target *target;
    struct kp_track *tracks; // as many as target->n_wanted
    uint64_t uid_hash, revision_hash;
    uint64_t round; // of the last set that it was in
    UT_hash_handle hh;
};

struct kp_group {
    enum kp_node_kind kind;   // NODE_GROUP
    struct kp_heap_node node; // start of the next slot
    struct kp_work *work;
    char *key;        // "container/port/type"
    const char *type; // inside key
    unsigned port;
    uint64_t hash;
    struct kp_list unsettled; // in plan->unsettled, or alone
    int64_t interval_ms, duration_ms;
    int64_t slot; // open now; INT64_MIN before the first
    KP_ARRAY(struct kp_track *) tracks;
    size_t n_sampled;
    // of its tracks, while stretches are computed
    int64_t busy_ms; // the longest
    bool is_small;
    double byte_places, asked_per_minute;
    int next_stretch;
    enum kp_stretch_cause next_cause;
    int stretch; // as it was computed last
    enum kp_stretch_cause cause;
    UT_hash_handle hh;
};

struct kp_work {
    char *key;
    char *namespace;
    KP_ARRAY(struct kp_member *) list;
    struct kp_group *groups;
    struct kp_group *joined; // by a track last; NULL = none
    int running, allowed;
    uint64_t round; // of the newest set
    UT_hash_handle hh;
};

struct kp_running {
    uint64_t id;
    struct kp_track *track; // NULL once its target is gone
    struct kp_work *work;   // NULL once it is gone
    char *node, *namespace, *uid;
    bool exclusive;
    size_t bytes;
    int64_t overdue_ms; // then it does not count for its node any more; INT64_MAX: it does not already
    UT_hash_handle hh;
};

struct kp_slice {          // a namespace's part of a node's load
    const char *namespace; // of the namespaces that are added up
    double load;
};

// Counts by name: captures running on a node, in a namespace, on a pod.
struct kp_count {
    char *name;
    int n;
    bool exclusive; // an exclusive capture runs (pods)
    double load;    // while stretches are computed, like the next three
    double large;   // share of the bytes in flight, of large profiles
    double level;   // that the load of a namespace may have here
    KP_ARRAY(struct kp_slice) slices;
    int64_t bytes; // expected of what runs (namespaces)
    struct kp_bucket bucket;
    UT_hash_handle hh;
};

struct kp_policy_fit {
    char *key;
    double asked, possible;
    int worst;
    enum kp_stretch_cause cause;
    char example[160];
    UT_hash_handle hh;
};

enum kp_stretch_phase {
    STRETCH_IDLE,
    STRETCH_LOOK,       // at every pod, and what its workload allows
    STRETCH_NAMESPACES, // what each has
    STRETCH_NODES,
    STRETCH_SHARES, // what those allow
    STRETCH_APPLY,
};

// Stretches are computed over several calls of kp_plan_run(); targets come and go meanwhile, which makes it
// begin again afterwards.
struct kp_stretching {
    enum kp_stretch_phase phase;
    struct kp_work *next; // of this phase
    // What several namespaces share is divided so that who asks for less than an equal part of it is not
    // touched by those who ask for more: they are cut to the level at which all fit.
    struct kp_count *nodes, *namespaces;
    double level, bytes_level;
    double small; // share of the bytes in flight, of small profiles
    struct kp_policy_fit *fits;
};

struct kp_plan {
    struct kp_plan_limits limits;
    struct kp_stretching stretching;
    struct kp_work *works;
    struct kp_member *members; // by target key
    struct kp_heap heap;
    struct kp_list waiting;
    struct kp_list unsettled; // groups that others are in than were sampled
    uint64_t rounds;          // sets handed over
    struct kp_running *running;
    struct kp_count *nodes, *namespaces, *pods;
    int n_running;
    int64_t bytes_in_flight;
    int64_t next_overdue_ms; // none of those that run is overdue before
    uint64_t next_id, random;
    int64_t last_now_ms, stretch_due_ms;
    // The clock was set back: slots that begin before lived_ms were open before, in their key they are told
    // apart by n_lives milliseconds.
    int64_t lived_ms;
    int n_lives;
    bool stretch_dirty;
    bool shared; // there is more than one namespace
    struct kp_policy_fit *fits;
    struct kp_metric *throttled, *missed, *waiting_gauge;
    struct kp_metric_family *waited;
};

static inline struct kp_track *kp_track_of(struct kp_heap_node *node)
{
    return kp_container_of(node, struct kp_track, node);
}
static inline const struct kp_wanted *kp_track_wanted(const struct kp_track *track)
{
    return &track->member->target->wanted[track->at];
}

// member.c
// It is new to its groups then: they are to be settled.
struct kp_member *kp_member_new(struct kp_plan *plan, struct kp_work *work, const struct kp_target *target);
void kp_member_free(struct kp_plan *plan, struct kp_member *member);
void kp_member_cancel(
    const struct kp_member *member, void (*on_cancel)(void *user, uint64_t order_id), void *user);
// Another target under the same key: what was asked changed.
void kp_member_replace(struct kp_plan *plan, struct kp_member *member, const struct kp_target *target,
    void (*on_cancel)(void *user, uint64_t order_id), void *user);
// group.c: a group whose last track leaves is freed.
void kp_group_join(struct kp_plan *plan, struct kp_track *track);
void kp_group_leave(struct kp_plan *plan, struct kp_track *track); // fine if it is in none
void kp_group_put_in_place(struct kp_plan *plan, struct kp_track *from, struct kp_track *to);
void kp_group_free(struct kp_plan *plan, struct kp_group *group);
// Samples and opens one of the groups that changed; false if there is none.
bool kp_groups_settle_one(struct kp_plan *plan, int64_t now_ms);
// update.c
void kp_work_free(struct kp_plan *plan, struct kp_work *work);
// sample.c: decides sampled, k, n of every track of the group and returns how many are sampled.
size_t kp_group_sample(struct kp_group *group, int64_t now_ms);
// slot.c: opens the slot of now: appointments of its sampled tracks, the next slot's start.
void kp_group_open(struct kp_plan *plan, struct kp_group *group, int64_t now_ms);
void kp_group_reset(struct kp_plan *plan, struct kp_group *group, int64_t now_ms);
void kp_track_unschedule(struct kp_plan *plan, struct kp_track *track);
int64_t kp_group_slot_end(const struct kp_group *group, int64_t slot);
// Takes every so-many-th slot of its group: because of the stretch, and of what it asks for itself.
int kp_track_every(const struct kp_track *track);
int64_t kp_track_next_ms(const struct kp_track *track); // as struct kp_plan_profile tells it
// stretch.c
void kp_work_set_allowed(struct kp_work *work);
void kp_stretching_begin(struct kp_plan *plan);
// Looks at about so many tracks, of whole workloads; false when it is over.
bool kp_stretching_step(struct kp_plan *plan, int64_t now_ms, size_t n_tracks);
void kp_stretching_forget(struct kp_plan *plan, const struct kp_work *work); // which is about to go
void kp_stretching_finish(struct kp_plan *plan);
// limits.c
struct kp_count *kp_count_get(struct kp_count **map, const char *name);
size_t kp_track_bytes(const struct kp_track *track); // that the capture is expected to have
enum kp_place kp_plan_lacks(struct kp_plan *plan, const struct kp_track *track, int64_t now_ms);
const char *kp_place_label(enum kp_place place); // for metrics
const char *kp_place_limit(enum kp_place place); // what sets the limit, and what to do
struct kp_running *kp_plan_take_place(struct kp_plan *plan, struct kp_track *track, int64_t now_ms);
void kp_plan_free_place(struct kp_plan *plan, struct kp_running *running);
// Who hangs is no work for its node: its place there is free. Returns when the next one will be.
int64_t kp_plan_free_overdue(struct kp_plan *plan, int64_t now_ms);
void kp_counts_free(struct kp_count **map);

#endif
