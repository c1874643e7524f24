// Which roll-ups may stand for the captures of a merge. Private to this module.
#ifndef KP_STORE_ROLLUPS_H
#define KP_STORE_ROLLUPS_H

#include "store/picks.h"

struct kp_rollup_use {
    const struct kp_segment *segment;
    const struct kp_segment_rollup *rollup;
    uint32_t hit; // one of those it stands for
    float weight; // that all of them have; 1 if they have several
};

// Takes the captures that roll-ups stand for out of the picks, which are in order of segments. weigh: only
// where those of a roll-up have one weight. *ret: what to read instead (free it).
size_t kp_rollups_use(struct kp_picks *picks, bool weigh, struct kp_rollup_use **ret);

#endif
