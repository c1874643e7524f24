// Places: what may run at once, per process, workload, node, namespace, in all, and bytes in flight.
#include <string.h>

#include "base/share.h"
#include "base/text.h"
#include "plan/plan_private.h"
#include "base/banned.h"

#define GUESSED_BYTES  (64 * KP_KIB) // of a profile that was never read
#define OVERDUE_MIN_MS 2000          // beside its duration a capture is work for its node for so long
#define OVERDUE_MAX_MS 10000

struct kp_count *kp_count_get(struct kp_count **map, const char *name)
{
    struct kp_count *count;
    HASH_FIND_STR(*map, name, count);
    if (count == NULL) {
        count = KP_NEW(struct kp_count);
        count->name = kp_strdup(name);
        HASH_ADD_KEYPTR(hh, *map, count->name, strlen(count->name), count);
    }
    return count;
}

static void count_free(struct kp_count **map, struct kp_count *count)
{
    HASH_DEL(*map, count);
    kp_array_free(&count->slices);
    kp_free(count->name);
    kp_free(count);
}

void kp_counts_free(struct kp_count **map)
{
    struct kp_count *count, *next;
    HASH_ITER (hh, *map, count, next)
        count_free(map, count);
}

static int count_of(struct kp_count *map, const char *name)
{
    struct kp_count *count;
    HASH_FIND_STR(map, name, count);
    return count != NULL ? count->n : 0;
}

static bool pod_free(const struct kp_plan *plan, const struct kp_track *track)
{
    struct kp_count *pod;
    HASH_FIND_STR(plan->pods, track->member->target->pod->uid, pod);
    // an exclusive profile runs alone on its pod
    return pod == NULL || pod->n == 0 || (!pod->exclusive && !kp_track_wanted(track)->exclusive);
}

size_t kp_track_bytes(const struct kp_track *track)
{
    size_t most = (size_t)kp_track_wanted(track)->profile_bytes;
    size_t bytes = track->expected_bytes != 0 ? track->expected_bytes : GUESSED_BYTES;
    return bytes < most ? bytes : most;
}

static bool rate_allows(struct kp_plan *plan, const char *namespace, int64_t now_ms)
{
    double rate = plan->limits.captures_per_second_per_namespace;
    if (rate <= 0)
        return true;
    struct kp_count *count = kp_count_get(&plan->namespaces, namespace);
    if (count->bucket.rate != rate)
        kp_bucket_init(&count->bucket, rate, rate < 1 ? 1 : rate, now_ms);
    return kp_bucket_take(&count->bucket, now_ms);
}

static bool bytes_fit(const struct kp_plan *plan, const struct kp_track *track)
{
    const struct kp_count *count;
    int64_t limit = plan->limits.bytes_in_flight, used = plan->bytes_in_flight;
    int64_t bytes = (int64_t)kp_track_bytes(track);
    // the first one always fits, so that a profile larger than the budget is not starved
    if (plan->n_running == 0)
        return true;
    HASH_FIND_STR(plan->namespaces, track->member->target->pod->namespace, count);
    uint64_t has = count != NULL ? (uint64_t)count->bytes : 0;
    return used + bytes <= limit &&
           (!plan->shared || kp_share_fits(has, (uint64_t)bytes, (uint64_t)used, (uint64_t)limit));
}

enum kp_place kp_plan_lacks(struct kp_plan *plan, const struct kp_track *track, int64_t now_ms)
{
    const struct kp_pod *pod = track->member->target->pod;
    const struct kp_plan_limits *limits = &plan->limits;
    const struct kp_work *work = track->group->work;
    if (track->running != 0 || !pod_free(plan, track))
        return PLACE_POD;
    if (work->running >= work->allowed)
        return PLACE_WORKLOAD;
    if (plan->n_running >= limits->total)
        return PLACE_TOTAL;
    if (count_of(plan->nodes, pod->node) >= limits->per_node)
        return PLACE_NODE;
    if (count_of(plan->namespaces, pod->namespace) >= limits->per_namespace)
        return PLACE_NAMESPACE;
    if (!bytes_fit(plan, track))
        return PLACE_BYTES;
    return rate_allows(plan, pod->namespace, now_ms) ? PLACE_FREE : PLACE_RATE;
}

static const struct {
    const char *label, *limit;
} places[PLACE_COUNT] = {
    [PLACE_FREE] = {"", ""},
    [PLACE_POD] = {"pod", "a profile of the same pod is being taken (if that stays so: shorten durations or "
                          "lengthen intervals)"},
    [PLACE_WORKLOAD] = {"workload", "budget.concurrentPerWorkload of the policy is used up (if that stays "
                                    "so: raise it, lengthen intervals or sample fewer pods)"},
    [PLACE_NODE] = {"node", "the controller's --max-captures-per-node is used up (if that stays so: raise "
                            "it, or lengthen intervals)"},
    [PLACE_NAMESPACE] = {"namespace", "the controller's --max-captures-per-namespace is used up (if that "
                                      "stays so: raise it, or lengthen intervals)"},
    [PLACE_TOTAL] = {"total",
        "the controller's --max-captures is used up (if that stays so: raise it, or lengthen intervals)"},
    [PLACE_BYTES] = {"bytes", "the controller's --max-bytes-in-flight is used up (if that stays so: raise it "
                              "and the memory limit, or lengthen intervals)"},
    [PLACE_RATE] = {"rate", "the controller's --captures-per-second-per-namespace is used up (if that stays "
                            "so: raise it, or lengthen intervals)"},
};

const char *kp_place_label(enum kp_place place)
{
    return places[place].label;
}

const char *kp_place_limit(enum kp_place place)
{
    return places[place].limit;
}

static int64_t overdue_after_ms(const struct kp_track *track)
{
    int64_t more = 3 * track->busy_ms;
    more = more > OVERDUE_MIN_MS ? more : OVERDUE_MIN_MS;
    return kp_track_wanted(track)->duration_ms + (more < OVERDUE_MAX_MS ? more : OVERDUE_MAX_MS);
}

struct kp_running *kp_plan_take_place(struct kp_plan *plan, struct kp_track *track, int64_t now_ms)
{
    const struct kp_pod *pod = track->member->target->pod;
    struct kp_running *running = KP_NEW(struct kp_running);
    running->id = ++plan->next_id;
    running->overdue_ms = now_ms + overdue_after_ms(track);
    if (running->overdue_ms < plan->next_overdue_ms)
        plan->next_overdue_ms = running->overdue_ms;
    running->track = track;
    running->work = track->group->work;
    running->node = kp_strdup(pod->node);
    running->namespace = kp_strdup(pod->namespace);
    running->uid = kp_strdup(pod->uid);
    running->exclusive = kp_track_wanted(track)->exclusive;
    running->bytes = kp_track_bytes(track);
    HASH_ADD(hh, plan->running, id, sizeof running->id, running);
    struct kp_count *on_pod = kp_count_get(&plan->pods, pod->uid);
    on_pod->n++;
    on_pod->exclusive |= running->exclusive;
    kp_count_get(&plan->nodes, pod->node)->n++;
    struct kp_count *in_namespace = kp_count_get(&plan->namespaces, pod->namespace);
    in_namespace->n++;
    in_namespace->bytes += (int64_t)running->bytes;
    running->work->running++;
    plan->n_running++;
    plan->bytes_in_flight += (int64_t)running->bytes;
    track->running = running->id;
    return running;
}

static void count_down(struct kp_count **map, const char *name, bool keep)
{
    struct kp_count *count = kp_count_get(map, name);
    if (--count->n <= 0 && !keep)
        count_free(map, count);
}

int64_t kp_plan_free_overdue(struct kp_plan *plan, int64_t now_ms)
{
    int64_t next = INT64_MAX;
    if (now_ms < plan->next_overdue_ms)
        return plan->next_overdue_ms;
    for (struct kp_running *running = plan->running; running != NULL; running = running->hh.next) {
        if (running->overdue_ms <= now_ms) {
            running->overdue_ms = INT64_MAX;
            count_down(&plan->nodes, running->node, false);
        }
        next = running->overdue_ms < next ? running->overdue_ms : next;
    }
    plan->next_overdue_ms = next;
    return next;
}

void kp_plan_free_place(struct kp_plan *plan, struct kp_running *running)
{
    HASH_DEL(plan->running, running);
    if (running->exclusive)
        kp_count_get(&plan->pods, running->uid)->exclusive = false;
    count_down(&plan->pods, running->uid, false);
    if (running->overdue_ms != INT64_MAX)
        count_down(&plan->nodes, running->node, false);
    kp_count_get(&plan->namespaces, running->namespace)->bytes -= (int64_t)running->bytes;
    // the bucket of a namespace outlives its captures
    count_down(&plan->namespaces, running->namespace, plan->limits.captures_per_second_per_namespace > 0);
    if (running->work != NULL)
        running->work->running--;
    if (running->track != NULL)
        running->track->running = 0;
    plan->n_running--;
    plan->bytes_in_flight -= (int64_t)running->bytes;
    kp_free(running->node);
    kp_free(running->namespace);
    kp_free(running->uid);
    kp_free(running);
}
