// Goes through the captures of a merge in the order that is cheapest to read, whichever tier they lie in, and
// hands out the samples of each as rows of its build's sums. Private to this module.
#ifndef KP_STORE_WALK_H
#define KP_STORE_WALK_H

#include "profile/kinds.h"
#include "store/picks.h"
#include "store/sources.h"

struct kp_walk_capture {
    const struct kp_pick *pick; // NULL: a roll-up, which stands for many
    const struct kp_segment_rollup *rollup;
    float weight;                   // n/k of the sampling
    const struct kp_profile *shape; // its header: sample types and so on; not its samples
    uint64_t shape_id;              // equal ones have the same shape; 0: may be any
    int64_t time_ns, duration_ns;
    const enum kp_aggregation *rules; // by sample type
    struct kp_build *build;
    uint32_t n_samples;
    const uint32_t *rows;  // of build->sums, by sample
    const int64_t *values; // type t of sample s: values[s * sample_step + t * type_step]
    size_t sample_step, type_step;
};

struct kp_walk {
    struct kp_store *store;
    const struct kp_merge_query *query;
    struct kp_picks *picks; // put into another order, and thinned out where roll-ups stand for them
    struct kp_builds *builds;
    bool may_use_rollups;
    size_t (*more_bytes)(void *user); // memory of the one who sums
    int (*each)(void *user, const struct kp_walk_capture *capture, struct kp_error *err);
    void *user;
    uint64_t n_damaged; // out: could not be read and are left out
    bool lost_rollup;   // out: KP_CORRUPT for one: all may be there without
    // private
    struct kp_sources sources;
    struct kp_record_reader records;
    uint32_t *rows;
    size_t cap_rows;
    uint32_t n_types;
    uint64_t rules_id;
    KP_ARRAY(enum kp_aggregation) rules;
    bool is_peeking, has_counters;
    struct kp_rollup_use *uses;
    size_t n_uses;
};

// Captures come by life and time where counters are among the sample types, else by place. What began a life
// inside the time asked for is for kp_walk_began_inside().
KP_MUST_CHECK int kp_walk_run(struct kp_walk *walk, struct kp_error *err);
void kp_walk_finish(struct kp_walk *walk);

// When the container of the first capture of a life started, if that is inside the time asked for; else 0.
int64_t kp_walk_began_inside(struct kp_walk *walk, const struct kp_pick *pick);

#endif
