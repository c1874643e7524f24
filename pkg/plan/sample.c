// Which pods are captured: of each revision the k pods with the smallest H(pod uid, floor(t / rotation +
// H(workload))): rotating, stable under scaling, and a canary is always seen.
#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "plan/plan_private.h"
#include "base/banned.h"

struct candidate {
    struct kp_track *track;
    uint64_t revision, score;
};

static uint64_t epoch_of(double shift, int64_t rotation_ms, int64_t now_ms)
{
    return (uint64_t)(int64_t)floor((double)now_ms / (double)rotation_ms + shift);
}

static int by_revision_and_score(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->revision != y->revision)
        return x->revision > y->revision ? 1 : -1;
    return (x->score > y->score) - (x->score < y->score);
}

static int wanted_of_revision(const struct kp_track *track, size_t n)
{
    int k = kp_int_or_percent_of(kp_track_wanted(track)->k, (int)n);
    return k < 1 ? 1 : k;
}

size_t kp_group_sample(struct kp_group *group, int64_t now_ms)
{
    // frozen for the slot: whoever computes it later within the slot, a new leader say, finds the same
    if (group->slot != INT64_MIN)
        now_ms = kp_plan_slot_start(group->hash, group->interval_ms, group->slot);
    size_t n = group->tracks.n, sampled = 0;
    double shift = kp_hash_unit(kp_hash64_str(group->work->key, 0));
    kp_auto_free struct candidate *list = KP_NEW_ARRAY(struct candidate, n);
    for (size_t i = 0; i < n; i++) {
        struct kp_track *track = group->tracks.items[i];
        uint64_t epoch = epoch_of(shift, kp_track_wanted(track)->rotation_ms, now_ms);
        list[i] = (struct candidate){
            track, track->member->revision_hash, kp_hash64_mix(track->member->uid_hash, epoch)};
    }
    if (n > 1)
        qsort(list, n, sizeof *list, by_revision_and_score);
    for (size_t start = 0; start < n;) {
        size_t end = start + 1;
        while (end < n && list[end].revision == list[start].revision)
            end++;
        int k = wanted_of_revision(list[start].track, end - start);
        for (size_t i = start; i < end; i++) {
            struct kp_track *track = list[i].track;
            track->sampled = i - start < (size_t)k;
            track->n = (uint32_t)(end - start);
            track->k = (uint32_t)k < track->n ? (uint32_t)k : track->n;
            sampled += track->sampled ? 1 : 0;
        }
        start = end;
    }
    return sampled;
}
