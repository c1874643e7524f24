#include "store/rollups.h"

#include "base/alloc.h"
#include "base/array.h"
#include "base/banned.h"

#define NONE UINT32_MAX

// What a segment has of the merge, by series.
struct count {
    uint32_t n_picked, n_startup;
    float min_weight, max_weight;
    uint32_t hit;
    uint32_t group; // of roll-ups that share series; NONE = no roll-up
};

struct part {
    struct kp_picks *picks;
    bool weigh;
    const struct kp_segment *segment;
    struct count *counts; // by position of the series in hits.series
    uint32_t *groups;     // by roll-up: one of the same group, itself = the first
};

static size_t position(const struct kp_hits *hits, uint32_t series)
{
    size_t low = 0;
    size_t high = hits->n_series;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (hits->series[mid]->id < series)
            low = mid + 1;
        else
            high = mid;
    }
    return low < hits->n_series && hits->series[low]->id == series ? low : SIZE_MAX;
}

static uint32_t first_of(const struct part *part, uint32_t rollup)
{
    while (part->groups[rollup] != rollup)
        rollup = part->groups[rollup];
    return rollup;
}

// Roll-ups that share a series stand for it together or not at all. One with a series that was not asked for
// cannot be used: it is left without a group.
static void group(struct part *part)
{
    const struct kp_segment *segment = part->segment;
    for (uint32_t r = 0; r < segment->n_rollups; r++) {
        const struct kp_segment_rollup *rollup = &segment->rollups[r];
        part->groups[r] = r;
        for (uint32_t i = 0; i < rollup->n_series; i++) {
            uint32_t series = segment->rollup_series[rollup->first_series + i];
            size_t at = position(&part->picks->hits, series);
            if (at == SIZE_MAX)
                continue;
            struct count *count = &part->counts[at];
            if (count->group == NONE)
                count->group = r;
            else
                part->groups[first_of(part, r)] = first_of(part, count->group);
        }
    }
}

struct sum {
    uint64_t picked, startup;       // by rows
    uint64_t n_profiles, n_startup; // by roll-ups
    float min_weight, max_weight;
};

// What was picked of the series of a group has to be just what its roll-ups hold, capture by capture.
static struct sum *compare(struct part *part)
{
    const struct kp_segment *segment = part->segment;
    struct sum *sums = KP_NEW_ARRAY(struct sum, (size_t)segment->n_rollups + 1);
    for (size_t i = 0; i < part->picks->hits.n_series; i++)
        if (part->counts[i].group != NONE) {
            struct sum *sum = &sums[first_of(part, part->counts[i].group)];
            const struct count *count = &part->counts[i];
            bool first = sum->picked == 0;
            sum->picked += count->n_picked;
            sum->startup += count->n_startup;
            if (count->n_picked == 0)
                continue;
            sum->min_weight =
                first || count->min_weight < sum->min_weight ? count->min_weight : sum->min_weight;
            sum->max_weight =
                first || count->max_weight > sum->max_weight ? count->max_weight : sum->max_weight;
        }
    for (uint32_t r = 0; r < segment->n_rollups; r++) {
        struct sum *sum = &sums[first_of(part, r)];
        sum->n_profiles += segment->rollups[r].n_profiles;
        sum->n_startup += segment->rollups[r].n_startup;
    }
    return sums;
}

static bool is_one_weight(const struct sum *sum)
{
    return !(sum->min_weight < sum->max_weight);
}

static bool stands(const struct part *part, const struct sum *sums, uint32_t rollup)
{
    const struct sum *sum = &sums[first_of(part, rollup)];
    return sum->n_profiles > 0 && sum->picked == sum->n_profiles && sum->startup == sum->n_startup &&
           (!part->weigh || is_one_weight(sum));
}

static void count_picks(struct part *part, const struct kp_pick *items, size_t n)
{
    for (size_t i = 0; i < part->picks->hits.n_series; i++)
        part->counts[i] = (struct count){.group = NONE};
    for (size_t i = 0; i < n; i++) {
        size_t at = position(&part->picks->hits, kp_pick_hit(part->picks, &items[i])->row.series);
        if (at == SIZE_MAX)
            continue;
        struct count *count = &part->counts[at];
        count->hit = items[i].hit;
        if (items[i].is_startup) {
            count->n_startup++;
            continue;
        }
        float weight = items[i].weight;
        bool first = count->n_picked++ == 0;
        count->min_weight = first || weight < count->min_weight ? weight : count->min_weight;
        count->max_weight = first || weight > count->max_weight ? weight : count->max_weight;
    }
}

struct uses {
    KP_ARRAY(struct kp_rollup_use) list;
};

// Of a segment's picks, those that stay are moved to `to`; returns how many.
static size_t use_segment(
    struct part *part, struct kp_pick *items, size_t n, struct kp_pick *to, struct uses *uses)
{
    const struct kp_segment *segment = part->segment;
    const struct kp_hits *hits = &part->picks->hits;
    size_t n_left = 0;
    count_picks(part, items, n);
    part->groups = KP_NEW_ARRAY(uint32_t, (size_t)segment->n_rollups + 1);
    group(part);
    kp_auto_free struct sum *sums = compare(part);
    for (uint32_t r = 0; r < segment->n_rollups; r++) {
        const struct kp_segment_rollup *rollup = &segment->rollups[r];
        if (!stands(part, sums, r) || rollup->n_profiles == 0)
            continue;
        size_t at = position(hits, segment->rollup_series[rollup->first_series]);
        const struct sum *sum = &sums[first_of(part, r)];
        *kp_array_add(&uses->list) = (struct kp_rollup_use){.segment = segment,
            .rollup = rollup,
            .hit = at == SIZE_MAX ? 0 : part->counts[at].hit,
            .weight = is_one_weight(sum) ? sum->min_weight : 1};
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = position(hits, kp_pick_hit(part->picks, &items[i])->row.series);
        uint32_t of = at == SIZE_MAX ? NONE : part->counts[at].group;
        if (of == NONE || !stands(part, sums, of))
            to[n_left++] = items[i];
    }
    kp_free(part->groups);
    return n_left;
}

static bool is_whole(const struct kp_hits *hits, const struct kp_segment *segment)
{
    for (size_t i = 0; i < hits->n_whole; i++)
        if (hits->whole[i] == segment)
            return true;
    return false;
}

size_t kp_rollups_use(struct kp_picks *picks, bool weigh, struct kp_rollup_use **ret)
{
    struct uses uses = {0};
    struct part part = {
        .picks = picks, .weigh = weigh, .counts = KP_NEW_ARRAY(struct count, picks->hits.n_series + 1)};
    size_t n_left = 0;
    for (size_t i = 0; i < picks->n;) {
        const struct kp_segment *segment = kp_pick_hit(picks, &picks->items[i])->segment;
        size_t end = i;
        while (end < picks->n && kp_pick_hit(picks, &picks->items[end])->segment == segment)
            end++;
        part.segment = segment;
        if (segment && segment->n_rollups > 0 && is_whole(&picks->hits, segment)) {
            n_left += use_segment(&part, picks->items + i, end - i, picks->items + n_left, &uses);
        } else {
            for (size_t k = i; k < end; k++)
                picks->items[n_left++] = picks->items[k];
        }
        i = end;
    }
    picks->n = n_left;
    kp_free(part.counts);
    *ret = uses.list.items;
    return uses.list.n;
}
