#include "cli/overlap.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/banned.h"

#define ROOM (1u << 20) // calls that are noted before equal ones are added up

struct call {
    uint64_t hash; // of caller, line and callee
    double weight;
};

struct calls {
    KP_ARRAY(struct call) list;
    size_t room;
};

static int compare(const void *a, const void *b)
{
    const struct call *x = a;
    const struct call *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

static void join(struct calls *calls)
{
    size_t n = 0;
    if (calls->list.n > 0)
        qsort(calls->list.items, calls->list.n, sizeof *calls->list.items, compare);
    for (size_t i = 0; i < calls->list.n; i++) {
        if (n > 0 && calls->list.items[n - 1].hash == calls->list.items[i].hash)
            calls->list.items[n - 1].weight += calls->list.items[i].weight;
        else
            calls->list.items[n++] = calls->list.items[i];
    }
    calls->list.n = n;
    calls->room = 2 * n > ROOM ? 2 * n : ROOM;
}

static uint64_t name_hash(const struct kp_profile *p, const struct kp_line *line)
{
    struct kp_str name = p->strings[p->functions[line->function].name];
    return kp_hash64(name.data, name.len, 0);
}

static void add(struct calls *calls, const struct kp_profile *p, const struct kp_line *caller,
    const struct kp_line *callee, double weight)
{
    uint64_t offset = (uint64_t)caller->line - (uint64_t)p->functions[caller->function].start_line;
    uint64_t hash = kp_hash64_mix(kp_hash64_mix(name_hash(p, caller), offset), name_hash(p, callee));
    if (calls->list.n >= calls->room)
        join(calls);
    *kp_array_add(&calls->list) = (struct call){hash, weight};
}

// From the leaf to the root; inlined calls are calls.
static void add_sample(
    struct calls *calls, const struct kp_profile *p, const struct kp_sample *sample, double weight)
{
    const struct kp_line *callee = NULL;
    for (uint32_t f = 0; f < sample->n_frames; f++) {
        const struct kp_location *location = &p->locations[p->frames[sample->first_frame + f]];
        for (uint32_t l = 0; l < location->n_lines; l++) {
            const struct kp_line *caller = &p->lines[location->first_line + l];
            if (callee != NULL)
                add(calls, p, caller, callee, weight);
            callee = caller;
        }
    }
}

static double collect(struct calls *calls, const struct kp_profile *p)
{
    double all = 0;
    calls->room = ROOM;
    for (uint32_t s = 0; p->n_sample_types > 0 && s < p->n_samples; s++) {
        int64_t value = p->values[(size_t)s * p->n_sample_types + p->n_sample_types - 1];
        if (value > 0)
            add_sample(calls, p, &p->samples[s], (double)value);
    }
    join(calls);
    for (size_t i = 0; i < calls->list.n; i++)
        all += calls->list.items[i].weight;
    return all;
}

double kp_overlap(const struct kp_profile *a, const struct kp_profile *b)
{
    struct calls x = {0};
    struct calls y = {0};
    double all_x = collect(&x, a);
    double all_y = collect(&y, b);
    double sum = 0;
    size_t k = 0;
    for (size_t i = 0; i < x.list.n; i++) {
        while (k < y.list.n && y.list.items[k].hash < x.list.items[i].hash)
            k++;
        if (k == y.list.n || y.list.items[k].hash != x.list.items[i].hash)
            continue;
        double share_x = x.list.items[i].weight / all_x;
        double share_y = y.list.items[k].weight / all_y;
        sum += share_x < share_y ? share_x : share_y;
    }
    kp_array_free(&x.list);
    kp_array_free(&y.list);
    return sum;
}
