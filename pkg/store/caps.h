// What one namespace may keep: bytes and series. On the writer thread only, but for kp_store_wants_retain().
// Private to this module.
#ifndef KP_STORE_CAPS_H
#define KP_STORE_CAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/map.h"
#include "record/record.h"

struct kp_store;

struct kp_cap {
    uint64_t bytes;  // live ones of the log, and segments: as of the last measuring, and what came since
    size_t n_series; // the same
    UT_hash_handle hh;
    char namespace[];
};

struct kp_caps {
    struct kp_cap *all;
    bool measured;
    int over; // atomic: a namespace has more than it may, and older profiles of it are to go
};

// Whether one more profile of `bytes` fits: else KP_THROTTLED with a sentence that names cap and flag. Counts
// it.
KP_MUST_CHECK int kp_caps_take(struct kp_store *store, const struct kp_record *record, uint64_t bytes,
    bool is_new_series, struct kp_error *err);
// Measures, and drops the oldest of those who have too much. Small steps: again while *ret_more.
KP_MUST_CHECK int kp_caps_retain(struct kp_store *store, bool *ret_more, struct kp_error *err);
void kp_caps_finish(struct kp_caps *caps);

#endif
