// Sums by stack and label set: rows of a symbol space with a double per sample type. Private to this module.
#ifndef KP_STORE_SUMS_H
#define KP_STORE_SUMS_H

#include <stddef.h>
#include <stdint.h>

#include "profile/symbols.h"

struct kp_sums_key {
    uint32_t node, label_set;
};

struct kp_sums {
    uint32_t n_types; // set it before the first row
    uint32_t n_rows;
    struct kp_sums_key *keys;
    double *values; // row r, type t: values[r * n_types + t]
    // private
    uint32_t cap;
    uint32_t *plain; // row + 1 of (node, no labels); 0 = none
    uint32_t n_plain;
    uint32_t *slots; // row + 1 of those with labels, open addressing; 0 = free
    uint32_t mask, n_slots;
    uint64_t seed; // so that nobody can choose rows that collide
};

// The row, which is added with zeroes if it is new.
uint32_t kp_sums_row(struct kp_sums *sums, struct kp_sums_key key);
size_t kp_sums_bytes(const struct kp_sums *sums);
void kp_sums_finish(struct kp_sums *sums);

#endif
