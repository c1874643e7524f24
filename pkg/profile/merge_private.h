// The accumulator, for those who fill it (merge.c, merge_rows.c) and make a profile of it (merge_emit.c).
// Private to this module.
#ifndef KP_PROFILE_MERGE_PRIVATE_H
#define KP_PROFILE_MERGE_PRIVATE_H

#include "base/array.h"
#include "profile/keyed.h"
#include "profile/merge.h"

// Sums are whole numbers of 128 bits as long as only such were added, else doubles.
union kp_merge_value {
    int64_t whole;
    double real;
};

struct kp_merge_row {
    uint32_t node, label_set;
};

struct kp_merge_slot {
    struct kp_merge_row key;
    uint32_t row1; // row + 1; 0 = free
};

struct kp_merge_rows {
    uint32_t n_types;
    KP_ARRAY(struct kp_merge_row) keys;
    union kp_merge_value *values; // row r, type t: values[r * n_types + t]
    int64_t *high;                // the upper halves; NULL until a sum needs them
    size_t cap;                   // rows that values and high have room for
    bool real;
    uint32_t *plain; // row + 1 of (node, no labels)
    uint32_t n_plain;
    uint32_t *depths; // of the symbols' nodes, as far as they were needed
    uint32_t n_depths, cap_depths;
    struct kp_merge_slot *slots; // rows with labels, open addressing
    uint32_t mask, n_slots;
    struct kp_keyed key;
    size_t sample_bytes; // what the rows take as samples of a profile
    bool full;
};

struct kp_merger {
    struct kp_symbols *symbols;
    bool started;
    struct kp_value_type *types; // strings here and below are those of the symbols
    struct kp_value_type period_type;
    bool has_period_type;
    int64_t time_ns, duration_ns, period;
    uint32_t drop_frames, keep_frames, default_type, doc_url;
    KP_ARRAY(uint32_t) comments;
    KP_ARRAY(bool) seen; // by string: is a comment
    struct kp_merge_rows rows;
    double *scaled; // scratch, one per type
};

// Frames of the stack of a row.
uint32_t kp_merge_row_depth(struct kp_merge_rows *rows, const struct kp_symbols *symbols, uint32_t node);
void kp_merge_rows_finish(struct kp_merge_rows *rows);
size_t kp_merge_rows_bytes(const struct kp_merge_rows *rows);
// The row, which is added if it is new; UINT32_MAX: no room for more.
uint32_t kp_merge_row_of(
    struct kp_merge_rows *rows, const struct kp_symbols *symbols, struct kp_merge_row key);
void kp_merge_row_add_whole(struct kp_merge_rows *rows, uint32_t row, const int64_t *values, bool negate);
void kp_merge_row_add_real(struct kp_merge_rows *rows, uint32_t row, const double *values);
// What it comes to, rounded half away from zero, between the least and the largest int64.
int64_t kp_merge_row_value(const struct kp_merge_rows *rows, uint32_t row, uint32_t type);

// Half away from zero; not a number is 0.
int64_t kp_merge_round(double v);

#endif
