// A profile being made of an accumulator, for merge_emit.c and merge_tables.c. Private to this module.
#ifndef KP_PROFILE_MERGE_EMIT_H
#define KP_PROFILE_MERGE_EMIT_H

#include "profile/merge_private.h"

#define KP_EMIT_UNUSED UINT32_MAX
#define KP_EMIT_USED   (UINT32_MAX - 1)

struct kp_emit {
    const struct kp_merger *m;
    const struct kp_symbols *s;
    struct kp_profile *p;
    struct kp_arena *arena;
    // new numbers by the symbols' ids: KP_EMIT_UNUSED, KP_EMIT_USED until there is a number
    uint32_t *strings, *functions, *mappings, *locations, *sets;
    struct kp_line *lines;           // of the symbols, with new numbers
    struct kp_sample_label *labels;  // of the symbols, with new numbers, sorted within each set
    uint32_t *first_child, *sibling; // of nodes; 0 = none
    uint32_t *first_row, *next_row;  // of a node; row + 1
    uint32_t n_sets, n_rows;
};

// Each gives new numbers to what is marked as used and writes the table; strings, functions, mappings,
// locations in this order.
void kp_emit_strings(struct kp_emit *e);
void kp_emit_functions(struct kp_emit *e);
void kp_emit_mappings(struct kp_emit *e);
void kp_emit_locations(struct kp_emit *e);
// Numbers only; e->labels holds them.
void kp_emit_label_sets(struct kp_emit *e);

#endif
