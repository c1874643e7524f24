// One piece of sealing work: what it takes from the log (or from older segments) and what it made. Private to
// this module.
#ifndef KP_STORE_SEAL_PRIVATE_H
#define KP_STORE_SEAL_PRIVATE_H

#include "store/tier.h"

// A profile of the stretch.
struct kp_seal_item {
    struct kp_logfile *file; // of the work's files
    struct kp_row row;
    uint64_t number;
    uint64_t space[2], order;
    uint32_t series; // index into the work's series
    uint32_t group;  // index into the work's groups
    uint32_t life, duration_ms, flags;
    float weight;
    bool bad; // cannot be read
};

// What goes into segments of its own.
struct kp_seal_group {
    const char *namespace; // of a series of the work
    uint32_t keep_s;
};

struct kp_seal_series {
    struct kp_series *series;
    struct kp_record identity;
    uint64_t rollup[2];
    bool opaque;
};

// rows: as they lie in it.
struct kp_seal_output {
    struct kp_sealed *sealed;
    struct kp_segment_row *rows;
};

struct kp_seal {
    struct kp_store *store;
    int64_t now_ms;
    int64_t period_ms;                      // start of the hour or day
    uint64_t id;                            // of the work, in names
    uint32_t n_put;                         // files made
    bool failed, stopped;                   // stopped: failed, but by being cancelled
    bool (*doubt)(const uint64_t space[2]); // tests: see struct kp_segment_options

    KP_ARRAY(struct kp_logfile *) files;
    KP_ARRAY(struct kp_seal_item) items;
    KP_ARRAY(struct kp_seal_series) series; // by id
    KP_ARRAY(struct kp_seal_group) groups;

    struct kp_tier_group inputs; // joining: the segments, instead of files and items
    bool is_whole;               // the damaged one turned out not to be
    uint32_t n_lost;             // of the damaged one's profiles

    KP_ARRAY(struct kp_seal_output) outputs;
};

// seal_take.c: picks a stretch of closed files and copies what is known of its profiles. False: nothing to
// do.
bool kp_seal_take(struct kp_seal *seal, bool now);
// seal_space.c: reads the records: where each profile belongs. Any thread.
KP_MUST_CHECK int kp_seal_sort(struct kp_seal *seal, const int *cancelled, struct kp_error *err);
// What cannot be read is marked so, and left out. Any thread.
void kp_seal_set_bad(struct kp_seal *seal, struct kp_seal_item *item);
// seal_write.c. Any thread.
KP_MUST_CHECK int kp_seal_write_all(struct kp_seal *seal, const int *cancelled, struct kp_error *err);
KP_MUST_CHECK int kp_seal_join(struct kp_seal *seal, const int *cancelled, struct kp_error *err);
// seal_publish.c. Writer thread.
KP_MUST_CHECK int kp_seal_publish(struct kp_seal *seal, struct kp_error *err);

static inline bool kp_seal_cancelled(const int *cancelled)
{
    return cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED) != 0;
}

#endif
